//! Privileges of roles, by the server's own checks.

use pgrx::pg_sys;

/// A command on the rows of a table, and the privilege of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// SELECT
    Select,
    /// INSERT
    Insert,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
}

impl Command {
    /// All commands, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// The keyword.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether a role has a privilege on a column, directly or through the table.
pub fn on_column(role: pg_sys::Oid, table: pg_sys::Oid, column: i16, command: Command) -> bool {
    let mode = pg_sys::AclMode::from(match command {
        Command::Select => pg_sys::ACL_SELECT,
        Command::Insert => pg_sys::ACL_INSERT,
        Command::Update => pg_sys::ACL_UPDATE,
        Command::Delete => pg_sys::ACL_DELETE,
    });
    // SAFETY: looks up access lists; raises for a dropped table.
    unsafe {
        let ok = pg_sys::AclResult::ACLCHECK_OK;
        pg_sys::pg_class_aclcheck(table, role, mode) == ok
            || pg_sys::pg_attribute_aclcheck(table, column, role, mode) == ok
    }
}

/// Whether a role has SELECT on a relation or on one of its columns.
pub fn may_select(role: pg_sys::Oid, relation: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_SELECT);
    // SAFETY: looks up access lists; raises for a dropped relation.
    unsafe {
        let any = pg_sys::AclMaskHow::ACLMASK_ANY;
        let ok = pg_sys::AclResult::ACLCHECK_OK;
        pg_sys::pg_class_aclcheck(relation, role, mode) == ok
            || pg_sys::pg_attribute_aclcheck_all(relation, role, mode, any) == ok
    }
}

/// Whether a role has EXECUTE on a function; raises for a dropped one.
pub fn may_execute(role: pg_sys::Oid, function: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_EXECUTE);
    // SAFETY: looks up the access list of the function.
    unsafe {
        #[cfg(feature = "pg15")]
        let result = pg_sys::pg_proc_aclcheck(function, role, mode);
        #[cfg(not(feature = "pg15"))]
        let result = pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, function, role, mode);
        result == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// Whether a role has USAGE on a schema; false for a dropped schema.
pub fn may_use_schema(role: pg_sys::Oid, schema: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_USAGE);
    // SAFETY: looks up the schema, NULL if it was dropped, and its access list.
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

/// Whether a column is GENERATED ALWAYS AS an expression.
pub fn is_generated(table: pg_sys::Oid, column: i16) -> bool {
    // SAFETY: looks up the column; raises for a dropped one.
    unsafe { pg_sys::get_attgenerated(table, column) != 0 }
}

/// Whether a column is NOT NULL; false for a dropped column.
pub fn is_not_null(table: pg_sys::Oid, column: i16) -> bool {
    // SAFETY: looks up the column; the fixed part is read before the row is released.
    unsafe {
        let row = pg_sys::SearchSysCacheAttNum(table, column);
        if row.is_null() {
            return false;
        }
        let is_not_null =
            (*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_attribute>()).attnotnull;
        pg_sys::ReleaseSysCache(row);
        is_not_null
    }
}

/// Whether a role bypasses the row-level security of a table on which it is enabled.
pub fn is_exempt(table: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: looks up the table and the role; with no_error, row_security = off raises nothing.
    unsafe {
        pg_sys::check_enable_rls(table, role, true)
            == pg_sys::CheckEnableRlsResult::RLS_NONE_ENV as i32
    }
}

/// Whether row-level security applies to a role on a table.
pub fn is_enforced(table: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: looks up the table and the role; with no_error, row_security = off raises nothing.
    unsafe {
        pg_sys::check_enable_rls(table, role, true)
            == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}

/// Whether a role bypasses the row-level security of every table it does not own.
pub fn bypasses_row_security(role: pg_sys::Oid) -> bool {
    // SAFETY: looks up the role; a dropped role has no attribute.
    unsafe { pg_sys::has_bypassrls_privilege(role) }
}

/// Whether a role is a superuser; false for a dropped role.
pub fn is_superuser(role: pg_sys::Oid) -> bool {
    // SAFETY: looks up the role.
    unsafe { pg_sys::superuser_arg(role) }
}

/// Whether a role is a member of another, directly or not; a superuser is one of every role.
pub fn is_member(member: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: looks up memberships; a dropped role has none.
    unsafe { pg_sys::is_member_of_role(member, role) }
}

/// Whether a role has the privileges of another, by membership; always true for PUBLIC (oid 0).
pub fn has_those_of(role: pg_sys::Oid, other: pg_sys::Oid) -> bool {
    // SAFETY: looks up memberships; a dropped role has none.
    other == pg_sys::InvalidOid || unsafe { pg_sys::has_privs_of_role(role, other) }
}

/// Whether a role can SET ROLE to another: by membership, or as a superuser.
pub fn can_act_as(member: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    #[cfg(feature = "pg15")]
    use pg_sys::is_member_of_role as can_set_role;
    // Since 16, a membership may be granted WITH SET FALSE.
    #[cfg(not(feature = "pg15"))]
    use pg_sys::member_can_set_role as can_set_role;
    // SAFETY: looks up memberships; a dropped role has none.
    unsafe { can_set_role(member, role) }
}

/// A role that a process of this session's own may connect to this database as: the current user,
/// else the session's user, else the user who logged in. `None` if none of them may log in.
pub fn login_role() -> Option<pg_sys::Oid> {
    // SAFETY: reads backend-local variables.
    let roles = unsafe {
        [pg_sys::GetUserId(), pg_sys::GetSessionUserId(), pg_sys::GetAuthenticatedUserId()]
    };
    roles.into_iter().find(|role| may_log_in(*role) && may_connect(*role))
}

/// Whether a role has the attribute LOGIN; false for a dropped role.
fn may_log_in(role: pg_sys::Oid) -> bool {
    // SAFETY: looks up the role; the fixed part is read before the row is released.
    unsafe {
        let row = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::AUTHOID as i32,
            pg_sys::Datum::from(role),
        );
        if row.is_null() {
            return false;
        }
        let may_log_in = (*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_authid>()).rolcanlogin;
        pg_sys::ReleaseSysCache(row);
        may_log_in
    }
}

/// Whether a role has CONNECT on this database.
fn may_connect(role: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_CONNECT);
    // SAFETY: looks up the access list of the database.
    unsafe {
        let database = pg_sys::MyDatabaseId;
        #[cfg(feature = "pg15")]
        let result = pg_sys::pg_database_aclcheck(database, role, mode);
        #[cfg(not(feature = "pg15"))]
        let result = pg_sys::object_aclcheck(pg_sys::DatabaseRelationId, database, role, mode);
        result == pg_sys::AclResult::ACLCHECK_OK
    }
}
