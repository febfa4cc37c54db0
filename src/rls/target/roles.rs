//! The roles that the audit examines tables as.

use crate::rls::error::RlsError;
use pgrx::prelude::*;

/// A role that requests or sessions run as.
#[derive(Debug, Clone)]
pub struct Role {
    /// Oid of the role.
    pub oid: pg_sys::Oid,
    /// Name, not quoted.
    pub name: String,
    /// Whether its requests are not signed in.
    pub is_anonymous: bool,
    /// Whether a setting names it as a client role. Other roles are those that policies name, and
    /// those that the login role of requests can become.
    pub is_client: bool,
}

/// The roles other than these client roles that policies name, or that the login role of requests
/// can become. Roles that are exempt from all policies are left out.
pub fn other_roles(clients: &[Role]) -> Result<Vec<Role>, RlsError> {
    let oids: Vec<pg_sys::Oid> = clients.iter().map(|role| role.oid).collect();
    Spi::connect(|client| {
        let mut roles = Vec::new();
        let sql = include_str!("../../../sql/rls/other_roles.sql");
        for row in client.select(sql, None, &[oids.into()])? {
            roles.push(Role {
                oid: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                name: row.get(2)?.unwrap_or_default(),
                is_anonymous: false,
                is_client: false,
            });
        }
        Ok(roles)
    })
}
