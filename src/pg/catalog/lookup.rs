//! Where the extension's objects are. Every look-up sees the latest committed catalog, whatever snapshot the caller runs under,
//! takes no transaction id, and therefore works on a standby and in parallel workers.

use crate::pg::access::scan;
use crate::pg::access::scan::TableScan;
use crate::pg::backend_local::BackendLocal;
use pgrx::{IntoDatum, pg_sys};
use std::ffi::{CStr, CString};

copied_for!("pg15" "pg16" "pg17" "pg18": "get_primary_key_attnos of catalog/pg_constraint.h");

// The server's catalog/pg_constraint.h, which pgrx leaves out.
unsafe extern "C-unwind" {
    fn get_primary_key_attnos(
        table: pg_sys::Oid,
        may_be_deferrable: bool,
        constraint: *mut pg_sys::Oid,
    ) -> *mut pg_sys::Bitmapset;
}

/// What [`target_schema`] found last, and the table of the extension's own that was there then. The extension cannot move to another
/// schema, so the answer holds as long as that table exists.
static TARGET: BackendLocal<Option<(pg_sys::Oid, pg_sys::Oid)>> = BackendLocal::new(None);

/// The schema that the extension was created in, where the runbook's objects live; `None` while it is not installed.
pub fn target_schema() -> Option<pg_sys::Oid> {
    let witness = table_in(schema(c"crewsnow_ops")?, c"access_privileges")?;
    if let Some((schema, _)) = TARGET.with(|target| *target).flatten().filter(|(_, of)| *of == witness) {
        return Some(schema);
    }
    let schema = schema_of_extension()?;
    TARGET.with(|target| *target = Some((schema, witness)));
    Some(schema)
}

fn schema_of_extension() -> Option<pg_sys::Oid> {
    // SAFETY: a C string literal; with missing_ok an absent extension is InvalidOid, not an error.
    let extension = unsafe { pg_sys::get_extension_oid(c"crewsnow_ops".as_ptr(), true) };
    if extension == pg_sys::InvalidOid {
        return None;
    }
    let mut extensions = TableScan::open(pg_sys::ExtensionRelationId)?;
    while let Some(row) = extensions.next() {
        if row.oid(pg_sys::Anum_pg_extension_oid as i16) == Some(extension) {
            return row.oid(pg_sys::Anum_pg_extension_extnamespace as i16);
        }
    }
    None
}

/// The name of [`target_schema`].
pub fn target_schema_name() -> Option<String> {
    let schema = target_schema()?;
    // SAFETY: returns NULL or a NUL-terminated string allocated in the current memory context.
    let name = unsafe { pg_sys::get_namespace_name(schema) };
    if name.is_null() {
        return None;
    }
    // SAFETY: not NULL, as just checked.
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// The table `name` in `schema`, if there is one.
pub fn table_in(schema: pg_sys::Oid, name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: a syscache look-up with a NUL-terminated name.
    let oid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), schema) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The qualified name of a table, if there is one with this oid.
pub fn table_name(table: pg_sys::Oid) -> Option<String> {
    // SAFETY: with this oid or without, both return NULL or a NUL-terminated string in the current memory context.
    let (schema, name) =
        unsafe { (pg_sys::get_namespace_name(pg_sys::get_rel_namespace(table)), pg_sys::get_rel_name(table)) };
    if schema.is_null() || name.is_null() {
        return None;
    }
    // SAFETY: not NULL, as just checked.
    let [schema, name] = [schema, name].map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy());
    Some(pgrx::spi::quote_qualified_identifier(schema, name))
}

/// The role that owns `name`, one of the tables in the schema crewsnow_ops.
pub fn owner_of_own_table(name: &CStr) -> Option<pg_sys::Oid> {
    scan::owner_of(table_in(schema(c"crewsnow_ops")?, name)?)
}

/// The schema called `name`, if there is one.
pub fn schema(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: a syscache look-up with a NUL-terminated name; missing_ok.
    let oid = unsafe { pg_sys::get_namespace_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The role called `name`, if there is one. The name is taken as it is: no case folding, no quoting.
pub fn role(name: &str) -> Option<pg_sys::Oid> {
    let name = CString::new(name).ok()?;
    // SAFETY: a syscache look-up with a NUL-terminated name; missing_ok.
    let oid = unsafe { pg_sys::get_role_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The number and type of a table's column, if it has one of this name.
pub fn column(table: pg_sys::Oid, name: &CStr) -> Option<(i16, pg_sys::Oid)> {
    // SAFETY: a look-up by a NUL-terminated name; 0 where there is none.
    unsafe {
        let number = pg_sys::get_attnum(table, name.as_ptr());
        (number > 0).then(|| (number, pg_sys::get_atttype(table, number)))
    }
}

/// Whether it is a table, partitioned or not, of no schema of the server's own.
pub fn is_table_of_users(relation: pg_sys::Oid) -> bool {
    // SAFETY: looks up the relation and its schema; NULL or a NUL-terminated string in the current memory context.
    unsafe {
        let kind = pg_sys::get_rel_relkind(relation) as u8;
        if ![pg_sys::RELKIND_RELATION, pg_sys::RELKIND_PARTITIONED_TABLE].contains(&kind) {
            return false;
        }
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        if schema.is_null() {
            return false;
        }
        !is_of_server(CStr::from_ptr(schema))
    }
}

fn is_of_server(schema: &CStr) -> bool {
    schema.to_bytes().starts_with(b"pg_") || schema == c"information_schema"
}

/// The schemas that are neither the server's nor an extension's own, by name.
pub fn schemas_of_users() -> Vec<pg_sys::Oid> {
    let mut found: Vec<(CString, pg_sys::Oid)> = Vec::new();
    let Some(mut rows) = TableScan::open(pg_sys::NamespaceRelationId) else { return Vec::new() };
    while let Some(row) = rows.next() {
        // SAFETY: the rows of pg_namespace are this struct, whose name is NUL-terminated.
        let (oid, name) = unsafe {
            let schema = &*row.as_struct::<pg_sys::FormData_pg_namespace>();
            (schema.oid, CStr::from_ptr(schema.nspname.data.as_ptr()))
        };
        // SAFETY: looks up what the schema depends on.
        let is_of_extension =
            || unsafe { pg_sys::getExtensionOfObject(pg_sys::NamespaceRelationId, oid) } != pg_sys::InvalidOid;
        if !is_of_server(name) && !is_of_extension() {
            found.push((name.to_owned(), oid));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(_, oid)| oid).collect()
}

/// The type of a table's column, if there is one of this number.
pub fn column_type(table: pg_sys::Oid, number: i16) -> Option<pg_sys::Oid> {
    // SAFETY: looks up the column, InvalidOid where there is none.
    let type_ = unsafe { pg_sys::get_atttype(table, number) };
    (type_ != pg_sys::InvalidOid).then_some(type_)
}

/// The name of a table's column.
pub fn column_name(table: pg_sys::Oid, number: i16) -> Option<String> {
    // SAFETY: with missing_ok NULL or a NUL-terminated string in the current memory context.
    let name = unsafe { pg_sys::get_attname(table, number, true) };
    // SAFETY: NUL-terminated, if it is not NULL.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// The number and type of the column that is a table's primary key, if it is one column.
pub fn key(table: pg_sys::Oid) -> Option<(i16, pg_sys::Oid)> {
    let mut constraint = pg_sys::InvalidOid;
    // SAFETY: a look-up in the catalog by the oid of a table; the numbers in the set count from a system column's.
    unsafe {
        let columns = pg_sys::ffi::pg_guard_ffi_boundary(|| get_primary_key_attnos(table, true, &mut constraint));
        if columns.is_null() || pg_sys::bms_num_members(columns) != 1 {
            return None;
        }
        let number = (pg_sys::bms_next_member(columns, -1) + pg_sys::FirstLowInvalidHeapAttributeNumber) as i16;
        Some((number, pg_sys::get_atttype(table, number)))
    }
}

/// The table, partitioned or not, that SQL calls so, as to_regclass() finds it.
pub fn table_called(name: &str) -> Option<pg_sys::Oid> {
    // SAFETY: the function takes a text and returns an oid or NULL.
    let table = unsafe { pgrx::direct_function_call::<pg_sys::Oid>(pg_sys::to_regclass, &[name.into_datum()]) }?;
    // SAFETY: looks up the relation.
    let kind = unsafe { pg_sys::get_rel_relkind(table) } as u8;
    [pg_sys::RELKIND_RELATION, pg_sys::RELKIND_PARTITIONED_TABLE].contains(&kind).then_some(table)
}

/// The function that SQL calls so, as to_regprocedure() finds it.
pub fn function_called(name: &str) -> Option<pg_sys::Oid> {
    // SAFETY: the function takes a text and returns an oid or NULL.
    unsafe { pgrx::direct_function_call::<pg_sys::Oid>(pg_sys::to_regprocedure, &[name.into_datum()]) }
}

/// A function's name and the types of its arguments, qualified where SQL would not find it without.
pub fn signature(function: pg_sys::Oid) -> String {
    // SAFETY: a NUL-terminated string in the current memory context, the number where there is no such function.
    unsafe { CStr::from_ptr(pg_sys::format_procedure(function)) }.to_string_lossy().into_owned()
}

/// The type that a function returns.
pub fn return_type(function: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the function, InvalidOid where there is none.
    unsafe { pg_sys::get_func_rettype(function) }
}

/// A type as SQL writes it.
pub fn type_name(type_: pg_sys::Oid) -> String {
    // SAFETY: gives "???" or "-" where there is none, else a NUL-terminated text; it is copied.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(type_)) }.to_string_lossy().into_owned()
}

/// A type as SQL writes it, with its schema.
pub fn qualified_type_name(type_: pg_sys::Oid) -> String {
    // SAFETY: as for `type_name`.
    unsafe { CStr::from_ptr(pg_sys::format_type_be_qualified(type_)) }.to_string_lossy().into_owned()
}

/// What the values of a type are: of a domain those that it is made of.
pub fn base_type(type_: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the type; one that is gone is its own.
    unsafe {
        match pg_sys::get_typtype(type_) as u8 {
            pg_sys::TYPTYPE_DOMAIN => pg_sys::getBaseType(type_),
            _ => type_,
        }
    }
}

/// Whether values of a type are texts.
pub fn is_text(type_: pg_sys::Oid) -> bool {
    let (mut category, mut is_preferred) = (0, false);
    // SAFETY: looks up the type, which raises for one that is gone: it is asked for before.
    unsafe {
        if pg_sys::get_typisdefined(type_) {
            pg_sys::get_type_category_preferred(type_, &mut category, &mut is_preferred);
        }
    }
    category as u8 == pg_sys::TYPCATEGORY_STRING
}

/// Whether a type is an extension's and its values are texts.
pub fn is_text_of_extension(type_: pg_sys::Oid) -> bool {
    // SAFETY: looks up the type, and what it depends on.
    let is_base = unsafe { pg_sys::get_typtype(type_) } as u8 == pg_sys::TYPTYPE_BASE;
    // SAFETY: likewise.
    is_base
        && is_text(type_)
        && unsafe { pg_sys::getExtensionOfObject(pg_sys::TypeRelationId, type_) } != pg_sys::InvalidOid
}

/// The table and its column that a column refers to by a foreign key of its own: the table qualified and quoted, the column as it is, and its
/// type.
pub fn referenced(table: pg_sys::Oid, column: i16) -> Option<(String, String, pg_sys::Oid)> {
    // SAFETY: the table is open while the list is read, which is the relation cache's and holds as many keys as each says; the lock stays
    // until the end of the transaction or subtransaction, as a statement's would.
    let (other, key) = unsafe {
        let relation = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let keys =
            crate::pg::rewrite::qual::elements::<pg_sys::ForeignKeyCacheInfo>(pg_sys::RelationGetFKeyList(relation));
        let found = keys.into_iter().find(|key| (**key).nkeys == 1 && (**key).conkey[0] == column);
        let found = found.map(|key| ((*key).confrelid, (*key).confkey[0]));
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        found?
    };
    Some((table_name(other)?, column_name(other, key)?, column_type(other, key)?))
}

/// The operators that compare values of a type, as an index would, qualified so that no search_path makes them others: equal, and not.
pub fn equality(type_: pg_sys::Oid) -> Option<[String; 2]> {
    // SAFETY: looks up the type and its operators; an entry of the type cache is always there.
    unsafe {
        let equal = (*pg_sys::lookup_type_cache(type_, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr;
        Some([operator_name(equal)?, operator_name(pg_sys::get_negator(equal))?])
    }
}

/// An operator as SQL writes it where no search_path has a say.
fn operator_name(operator: pg_sys::Oid) -> Option<String> {
    // SAFETY: NULL for an unknown operator or schema, else NUL-terminated copies.
    unsafe {
        let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::OPEROID as i32, operator.into());
        if row.is_null() {
            return None;
        }
        let found = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_operator>();
        let name = CStr::from_ptr(found.oprname.data.as_ptr()).to_string_lossy().into_owned();
        let schema = pg_sys::get_namespace_name(found.oprnamespace);
        pg_sys::ReleaseSysCache(row);
        let schema = (!schema.is_null()).then(|| CStr::from_ptr(schema).to_string_lossy())?;
        Some(format!("OPERATOR({}.{name})", pgrx::spi::quote_identifier(schema)))
    }
}

/// The type of arrays of a type.
pub fn array_type(type_: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the type, InvalidOid where there is none.
    unsafe { pg_sys::get_array_type(type_) }
}
