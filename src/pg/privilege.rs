//! What a role may do, by the server's own word.

use super::row_security::Command;
use pgrx::pg_sys;

/// Whether a role has a privilege on a column, by itself or with the table.
pub fn on_column(role: pg_sys::Oid, table: pg_sys::Oid, column: i16, command: Command) -> bool {
    let mode = pg_sys::AclMode::from(match command {
        Command::Select => pg_sys::ACL_SELECT,
        Command::Insert => pg_sys::ACL_INSERT,
        Command::Update => pg_sys::ACL_UPDATE,
        Command::Delete => pg_sys::ACL_DELETE,
    });
    // SAFETY: looks up access lists; raises for a table that is gone.
    unsafe {
        let ok = pg_sys::AclResult::ACLCHECK_OK;
        pg_sys::pg_class_aclcheck(table, role, mode) == ok
            || pg_sys::pg_attribute_aclcheck(table, column, role, mode) == ok
    }
}

/// Whether a column is computed from others.
pub fn is_generated(table: pg_sys::Oid, column: i16) -> bool {
    // SAFETY: looks up the column; raises for one that is gone.
    unsafe { pg_sys::get_attgenerated(table, column) != 0 }
}

/// Whether a column must have a value.
pub fn is_not_null(table: pg_sys::Oid, column: i16) -> bool {
    // SAFETY: looks up the column, whose fixed part is read before it is let go.
    unsafe {
        let row = pg_sys::SearchSysCacheAttNum(table, column);
        if row.is_null() {
            return false;
        }
        let is_not_null = (*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_attribute>()).attnotnull;
        pg_sys::ReleaseSysCache(row);
        is_not_null
    }
}

/// Whether row-level security, where it is on, does not hold for a role.
pub fn is_exempt(table: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: looks up the table and the role; with no_error it raises nothing for a policy that is off.
    unsafe { pg_sys::check_enable_rls(table, role, true) == pg_sys::CheckEnableRlsResult::RLS_NONE_ENV as i32 }
}

/// Whether a role has the privileges of another, by membership; of everybody's (0) in any case.
pub fn has_those_of(role: pg_sys::Oid, other: pg_sys::Oid) -> bool {
    // SAFETY: looks up memberships; roles that are gone are nobody's.
    other == pg_sys::InvalidOid || unsafe { pg_sys::has_privs_of_role(role, other) }
}
