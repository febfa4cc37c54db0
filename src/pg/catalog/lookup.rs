//! Look-ups of single catalog objects. Each sees the latest committed catalog, not the snapshot of
//! the statement, and takes no transaction id: it works on a standby and in parallel workers.

use crate::pg::access::scan;
use crate::pg::access::scan::TableScan;
use crate::pg::backend_local::BackendLocal;
use crate::pg::rewrite::list::elements;
use pgrx::{IntoDatum, pg_sys};
use std::ffi::{CStr, CString};

copied_for!("pg15" "pg16" "pg17" "pg18": "get_primary_key_attnos of catalog/pg_constraint.h");

// From catalog/pg_constraint.h, which pgrx does not declare.
unsafe extern "C-unwind" {
    fn get_primary_key_attnos(
        table: pg_sys::Oid,
        may_be_deferrable: bool,
        constraint: *mut pg_sys::Oid,
    ) -> *mut pg_sys::Bitmapset;
}

/// The last result of [`target_schema`], with the oid of crewsnow_ops.access_privileges at that
/// time. The extension cannot be moved to another schema, so the result holds while that table
/// exists.
static TARGET: BackendLocal<Option<(pg_sys::Oid, pg_sys::Oid)>> = BackendLocal::new(None);

/// The schema of the runbook's objects, as CREATE EXTENSION chose it; `None` if the extension is
/// not installed.
pub fn target_schema() -> Option<pg_sys::Oid> {
    let witness = table_in(schema(c"crewsnow_ops")?, c"access_privileges")?;
    if let Some((schema, _)) =
        TARGET.with(|target| *target).flatten().filter(|(_, of)| *of == witness)
    {
        return Some(schema);
    }
    let schema = schema_of_extension()?;
    TARGET.with(|target| *target = Some((schema, witness)));
    Some(schema)
}

fn schema_of_extension() -> Option<pg_sys::Oid> {
    // SAFETY: a C string literal; with missing_ok an absent extension is InvalidOid and no error.
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

/// The oid of the relation `name` in `schema`.
pub fn table_in(schema: pg_sys::Oid, name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: a syscache look-up with a NUL-terminated name.
    let oid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), schema) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The qualified and quoted name of a relation; `None` if it was dropped.
pub fn table_name(table: pg_sys::Oid) -> Option<String> {
    // SAFETY: both return NULL or a NUL-terminated string in the current memory context.
    let (schema, name) = unsafe {
        (pg_sys::get_namespace_name(pg_sys::get_rel_namespace(table)), pg_sys::get_rel_name(table))
    };
    if schema.is_null() || name.is_null() {
        return None;
    }
    // SAFETY: not NULL, as just checked.
    let [schema, name] =
        [schema, name].map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy());
    Some(pgrx::spi::quote_qualified_identifier(schema, name))
}

/// The name of a relation, without its schema and unquoted; `None` if it was dropped.
pub fn relation_name(table: pg_sys::Oid) -> Option<String> {
    // SAFETY: NULL or a NUL-terminated string in the current memory context, which is copied.
    unsafe {
        let name = pg_sys::get_rel_name(table);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// The owner of the table `name` in the schema crewsnow_ops.
pub fn owner_of_own_table(name: &CStr) -> Option<pg_sys::Oid> {
    scan::owner_of(table_in(schema(c"crewsnow_ops")?, name)?)
}

/// The oid of a schema.
pub fn schema(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: a syscache look-up with a NUL-terminated name; missing_ok.
    let oid = unsafe { pg_sys::get_namespace_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The oid of a role. The name is taken literally: no case folding, no quoting.
pub fn role(name: &str) -> Option<pg_sys::Oid> {
    let name = CString::new(name).ok()?;
    // SAFETY: a syscache look-up with a NUL-terminated name; missing_ok.
    let oid = unsafe { pg_sys::get_role_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The number and type of a column, by its name.
pub fn column(table: pg_sys::Oid, name: &CStr) -> Option<(i16, pg_sys::Oid)> {
    // SAFETY: a look-up by a NUL-terminated name; 0 if the column is missing.
    unsafe {
        let number = pg_sys::get_attnum(table, name.as_ptr());
        (number > 0).then(|| (number, pg_sys::get_atttype(table, number)))
    }
}

/// Whether a relation is an ordinary or partitioned table outside of the server's own schemas.
pub fn is_table_of_users(relation: pg_sys::Oid) -> bool {
    // SAFETY: look-ups by oid; the name is NULL or a NUL-terminated string in the current memory
    // context.
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

/// The schemas that belong neither to the server nor to an extension, sorted by name.
pub fn schemas_of_users() -> Vec<pg_sys::Oid> {
    let mut found: Vec<(CString, pg_sys::Oid)> = Vec::new();
    let Some(mut rows) = TableScan::open(pg_sys::NamespaceRelationId) else { return Vec::new() };
    while let Some(row) = rows.next() {
        // SAFETY: a row of pg_namespace begins with this struct, whose name is NUL-terminated.
        let (oid, name) = unsafe {
            let schema = &*row.as_struct::<pg_sys::FormData_pg_namespace>();
            (schema.oid, CStr::from_ptr(schema.nspname.data.as_ptr()))
        };
        // SAFETY: looks up the dependencies of the schema.
        let is_of_extension =
            || unsafe { pg_sys::getExtensionOfObject(pg_sys::NamespaceRelationId, oid) }
                != pg_sys::InvalidOid;
        if !is_of_server(name) && !is_of_extension() {
            found.push((name.to_owned(), oid));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(_, oid)| oid).collect()
}

/// The type of a column, by its number.
pub fn column_type(table: pg_sys::Oid, number: i16) -> Option<pg_sys::Oid> {
    // SAFETY: looks up the column; InvalidOid if it is missing.
    let type_ = unsafe { pg_sys::get_atttype(table, number) };
    (type_ != pg_sys::InvalidOid).then_some(type_)
}

/// The name of a column, unquoted.
pub fn column_name(table: pg_sys::Oid, number: i16) -> Option<String> {
    // SAFETY: with missing_ok, NULL or a NUL-terminated string in the current memory context.
    let name = unsafe { pg_sys::get_attname(table, number, true) };
    // SAFETY: NUL-terminated unless NULL.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// The number and type of a primary key of one column; `None` for any other primary key.
pub fn key(table: pg_sys::Oid) -> Option<(i16, pg_sys::Oid)> {
    let mut constraint = pg_sys::InvalidOid;
    // SAFETY: a look-up by oid; the numbers in the set are offset by the lowest system column.
    unsafe {
        let columns = pg_sys::ffi::pg_guard_ffi_boundary(|| {
            get_primary_key_attnos(table, true, &mut constraint)
        });
        if columns.is_null() || pg_sys::bms_num_members(columns) != 1 {
            return None;
        }
        let number = (pg_sys::bms_next_member(columns, -1)
            + pg_sys::FirstLowInvalidHeapAttributeNumber) as i16;
        Some((number, pg_sys::get_atttype(table, number)))
    }
}

/// The ordinary or partitioned table with a name as SQL writes it, by to_regclass().
pub fn table_called(name: &str) -> Option<pg_sys::Oid> {
    // SAFETY: the function takes a text and returns an oid or NULL.
    let table = unsafe {
        pgrx::direct_function_call::<pg_sys::Oid>(pg_sys::to_regclass, &[name.into_datum()])
    }?;
    // SAFETY: looks up the relation.
    let kind = unsafe { pg_sys::get_rel_relkind(table) } as u8;
    [pg_sys::RELKIND_RELATION, pg_sys::RELKIND_PARTITIONED_TABLE].contains(&kind).then_some(table)
}

/// The function with a signature as SQL writes it, by to_regprocedure().
pub fn function_called(name: &str) -> Option<pg_sys::Oid> {
    // SAFETY: the function takes a text and returns an oid or NULL.
    unsafe {
        pgrx::direct_function_call::<pg_sys::Oid>(pg_sys::to_regprocedure, &[name.into_datum()])
    }
}

/// Name and argument types of a function, qualified unless the search_path finds it.
pub fn signature(function: pg_sys::Oid) -> String {
    // SAFETY: a NUL-terminated string in the current memory context; the oid for a dropped
    // function.
    unsafe { CStr::from_ptr(pg_sys::format_procedure(function)) }.to_string_lossy().into_owned()
}

/// The type that a function returns.
pub fn return_type(function: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the function, InvalidOid where there is none.
    unsafe { pg_sys::get_func_rettype(function) }
}

/// The name of a type as SQL writes it, qualified unless the search_path finds it.
pub fn type_name(type_: pg_sys::Oid) -> String {
    // SAFETY: a NUL-terminated text, "???" for a dropped type, "-" for oid 0; it is copied.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(type_)) }.to_string_lossy().into_owned()
}

/// The name of a type as SQL writes it, with its schema.
pub fn qualified_type_name(type_: pg_sys::Oid) -> String {
    // SAFETY: as for `type_name`.
    unsafe { CStr::from_ptr(pg_sys::format_type_be_qualified(type_)) }
        .to_string_lossy()
        .into_owned()
}

/// The base type of a domain, or the type itself.
pub fn base_type(type_: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the type; a dropped type has typtype 0.
    unsafe {
        match pg_sys::get_typtype(type_) as u8 {
            pg_sys::TYPTYPE_DOMAIN => pg_sys::getBaseType(type_),
            _ => type_,
        }
    }
}

/// Whether a relation is temporary.
pub fn is_temporary(relation: pg_sys::Oid) -> bool {
    // SAFETY: looks up the relation; a dropped one has persistence 0.
    unsafe { pg_sys::get_rel_persistence(relation) as u8 == pg_sys::RELPERSISTENCE_TEMP }
}

/// Whether a type is an enum.
pub fn is_enum(type_: pg_sys::Oid) -> bool {
    // SAFETY: looks up the type; a dropped type has typtype 0.
    unsafe { pg_sys::get_typtype(type_) as u8 == pg_sys::TYPTYPE_ENUM }
}

/// Whether a type is in the category of strings.
pub fn is_text(type_: pg_sys::Oid) -> bool {
    let (mut category, mut is_preferred) = (0, false);
    // SAFETY: looks up the type; the second look-up would raise for a dropped type.
    unsafe {
        if pg_sys::get_typisdefined(type_) {
            pg_sys::get_type_category_preferred(type_, &mut category, &mut is_preferred);
        }
    }
    category as u8 == pg_sys::TYPCATEGORY_STRING
}

/// Whether the server's own code prints the values of a type: a built-in one, or an enum.
pub fn has_builtin_output(type_: pg_sys::Oid) -> bool {
    // SAFETY: looks up the type.
    type_.to_u32() < pg_sys::FirstNormalObjectId
        || unsafe { pg_sys::get_typtype(type_) } as u8 == pg_sys::TYPTYPE_ENUM
}

/// Whether a type belongs to an extension and is in the category of strings.
pub fn is_text_of_extension(type_: pg_sys::Oid) -> bool {
    // SAFETY: looks up the type and its dependencies.
    let is_base = unsafe { pg_sys::get_typtype(type_) } as u8 == pg_sys::TYPTYPE_BASE;
    // SAFETY: likewise.
    is_base
        && is_text(type_)
        && unsafe { pg_sys::getExtensionOfObject(pg_sys::TypeRelationId, type_) }
            != pg_sys::InvalidOid
}

/// The table and column that a foreign key of one column refers to: the table qualified and quoted,
/// the column unquoted, and its type.
pub fn referenced(table: pg_sys::Oid, column: i16) -> Option<(String, String, pg_sys::Oid)> {
    // SAFETY: the table is open while the list of its relation cache entry is read; a key has
    // `nkeys` columns. The lock is held until the transaction or subtransaction ends, as that of a
    // statement.
    let (other, key) = unsafe {
        let relation = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let keys = elements::<pg_sys::ForeignKeyCacheInfo>(pg_sys::RelationGetFKeyList(relation));
        let found = keys.into_iter().find(|key| (**key).nkeys == 1 && (**key).conkey[0] == column);
        let found = found.map(|key| ((*key).confrelid, (*key).confkey[0]));
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        found?
    };
    Some((table_name(other)?, column_name(other, key)?, column_type(other, key)?))
}

/// The operators `=` and `<>` of a type's default B-tree operator class, schema-qualified so that
/// no search_path replaces them.
pub fn equality(type_: pg_sys::Oid) -> Option<[String; 2]> {
    // SAFETY: looks up the type and its operators; lookup_type_cache() never returns NULL.
    unsafe {
        let equal = (*pg_sys::lookup_type_cache(type_, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr;
        Some([operator_name(equal)?, operator_name(pg_sys::get_negator(equal))?])
    }
}

/// Whether an operator belongs to a B-tree: `Some(true)` as equality, `Some(false)` as another
/// strategy.
pub fn comparison(operator: pg_sys::Oid) -> Option<bool> {
    // SAFETY: looks up the operator; the result is a list with one entry for each operator family.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        let meanings: Vec<bool> = elements::<pg_sys::OpBtreeInterpretation>(
            pg_sys::get_op_btree_interpretation(operator),
        )
        .into_iter()
        .map(|meaning| (*meaning).strategy as u32 == pg_sys::BTEqualStrategyNumber)
        .collect();
        #[cfg(feature = "pg18")]
        let meanings: Vec<bool> = elements::<pg_sys::OpIndexInterpretation>(
            pg_sys::get_op_index_interpretation(operator),
        )
        .into_iter()
        .map(|meaning| (*meaning).cmptype == pg_sys::CompareType::COMPARE_EQ)
        .collect();
        meanings.first().map(|_| meanings.contains(&true))
    }
}

/// The OPERATOR(schema.name) form of an operator.
fn operator_name(operator: pg_sys::Oid) -> Option<String> {
    // SAFETY: NULL for a dropped operator or schema, else NUL-terminated; names are copied before
    // the row is released.
    unsafe {
        let row =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::OPEROID as i32, operator.into());
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

/// The array type of a type.
pub fn array_type(type_: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the type; InvalidOid if there is none.
    unsafe { pg_sys::get_array_type(type_) }
}

/// The type of an array's elements; InvalidOid if the type is no array.
pub fn element_type(type_: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: looks up the type.
    unsafe { pg_sys::get_element_type(type_) }
}

/// The oid of the type `name` in `schema`.
pub fn type_in(schema: pg_sys::Oid, name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: a syscache look-up by a NUL-terminated name and a schema; InvalidOid if absent.
    let oid = unsafe {
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::TYPENAMENSP as i32,
            pg_sys::Anum_pg_type_oid as i16,
            name.as_ptr().into(),
            schema.into(),
            0usize.into(),
            0usize.into(),
        )
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Whether CREATE EXTENSION or ALTER EXTENSION UPDATE runs in this session.
pub fn is_creating_extension() -> bool {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::creating_extension }
}
