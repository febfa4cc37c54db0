//! Owners of the objects of a statement.

use crate::pg::rewrite::evaluation::Objects;
use pgrx::pg_sys;

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
