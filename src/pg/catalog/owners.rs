//! Owners of the objects of a statement.

use crate::pg::rewrite::evaluation::Objects;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Whether superusers own all these objects, and no other objects can be behind them: a view, a
/// table with children or a type that is made of others leaves it open.
pub fn are_plainly_superusers(objects: &Objects) -> bool {
    let functions = objects.functions.iter().chain(&objects.other_functions);
    // SAFETY: each struct is that of its catalog.
    unsafe {
        objects.relations.iter().all(|relation| {
            is_true(pg_sys::SysCacheIdentifier::RELOID, *relation, |row| {
                let row = &*row.cast::<pg_sys::FormData_pg_class>();
                let is_plain = row.relkind as u8 != pg_sys::RELKIND_VIEW && !row.relhassubclass;
                is_plain && pg_sys::superuser_arg(row.relowner)
            })
        }) && functions.into_iter().all(|function| {
            is_true(pg_sys::SysCacheIdentifier::PROCOID, *function, |row| {
                pg_sys::superuser_arg((*row.cast::<pg_sys::FormData_pg_proc>()).proowner)
            })
        }) && objects.types.is_empty()
    }
}

/// Built-in functions that run the text of a query, or read a table that they get by name.
const QUERY_FUNCTIONS: [&CStr; 18] = [
    c"query_to_xml",
    c"query_to_xmlschema",
    c"query_to_xml_and_xmlschema",
    c"table_to_xml",
    c"table_to_xmlschema",
    c"table_to_xml_and_xmlschema",
    c"schema_to_xml",
    c"schema_to_xmlschema",
    c"schema_to_xml_and_xmlschema",
    c"database_to_xml",
    c"database_to_xmlschema",
    c"database_to_xml_and_xmlschema",
    c"cursor_to_xml",
    c"cursor_to_xmlschema",
    c"ts_stat",
    c"ts_rewrite",
    c"pg_input_is_valid",
    c"pg_input_error_info",
];

/// The name of a built-in function among the objects that runs other queries.
pub fn runs_queries(objects: &Objects) -> Option<String> {
    let functions = objects.functions.iter().chain(&objects.other_functions);
    functions.into_iter().filter(|oid| **oid < pg_sys::FirstNormalObjectId).find_map(|oid| {
        // SAFETY: looks up the function; NULL for a dropped one, else NUL-terminated.
        let name = unsafe {
            let name = pg_sys::get_func_name(pg_sys::Oid::from(*oid));
            (!name.is_null()).then(|| CStr::from_ptr(name))
        }?;
        QUERY_FUNCTIONS.contains(&name).then(|| name.to_string_lossy().into_owned())
    })
}

/// Whether a row of a catalog exists and satisfies a condition.
///
/// # Safety
/// The condition must read the struct of that catalog.
unsafe fn is_true(
    cache: pg_sys::SysCacheIdentifier::Type,
    object: u32,
    condition: impl FnOnce(*const std::ffi::c_void) -> bool,
) -> bool {
    // SAFETY: the row stays valid until it is released; the condition raises no error.
    unsafe {
        let row = pg_sys::SearchSysCache1(cache as i32, pg_sys::Oid::from(object).into());
        if row.is_null() {
            return false;
        }
        let is_true = condition(pg_sys::GETSTRUCT(row).cast());
        pg_sys::ReleaseSysCache(row);
        is_true
    }
}
