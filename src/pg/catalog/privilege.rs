//! What a role may do, by the server's own word.

use crate::pg::rewrite::row_security::Command;
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

/// Whether a role may use what is in a schema.
pub fn may_use_schema(role: pg_sys::Oid, schema: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_USAGE);
    // SAFETY: looks up the schema, NULL for one that is gone, and its access list.
    unsafe {
        if pg_sys::get_namespace_name(schema).is_null() {
            return false;
        }
        #[cfg(feature = "pg15")]
        let result = pg_sys::pg_namespace_aclcheck(schema, role, mode);
        #[cfg(not(feature = "pg15"))]
        let result = pg_sys::object_aclcheck(pg_sys::NamespaceRelationId, schema, role, mode);
        result == pg_sys::AclResult::ACLCHECK_OK
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

/// Whether a role could act as another: by membership, as SET ROLE has it, or as a superuser.
pub fn can_act_as(member: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    #[cfg(feature = "pg15")]
    use pg_sys::is_member_of_role as can_set_role;
    // From 16 on a membership may be without it.
    #[cfg(not(feature = "pg15"))]
    use pg_sys::member_can_set_role as can_set_role;
    // SAFETY: looks up memberships; roles that are gone are nobody's.
    unsafe { can_set_role(member, role) }
}
