//! Partitions of a policy that drops them: which ranges have expired.

use super::error::RetentionError;
use super::policy::Policy;
use super::target::Target;
use crate::pg::xact::{session_settings, snapshot};
use pgrx::prelude::*;

/// A partition of the policy's table.
#[derive(Debug, Clone)]
pub struct Partition {
    /// `pg_class.oid`.
    pub table: pg_sys::Oid,
    /// Its name, qualified and quoted.
    pub name: String,
    /// Whether each row that it can hold has expired. False for the last range.
    pub is_expired: bool,
    /// Whether it is the default partition.
    pub is_default: bool,
}

/// The partitions in the order of their ranges, the default partition last.
pub fn partitions(policy: &Policy, target: &Target) -> Result<Vec<Partition>, RetentionError> {
    let sql = include_str!("../../../sql/maintenance/retention_partitions.sql");
    let arguments = [target.table.into(), policy.cutoff().into()];
    // The server writes bounds in the formats of the session, and reads them again.
    let settings = [(c"TimeZone", c"UTC"), (c"DateStyle", c"ISO")];
    session_settings::with_settings(&settings, || {
        snapshot::with_latest_snapshot(|| {
            Spi::connect(|client| {
                let mut partitions = Vec::new();
                for row in client.select(sql, None, &arguments)? {
                    partitions.push(Partition {
                        table: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                        name: row.get(2)?.unwrap_or_default(),
                        is_expired: row.get(3)?.unwrap_or(false),
                        is_default: row.get(4)?.unwrap_or(false),
                    });
                }
                Ok(partitions)
            })
        })
    })
}
