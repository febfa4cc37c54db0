//! The table of a policy as the catalog describes it now: its columns, its leaves, and the foreign
//! keys that lead to it.

use super::error::RetentionError;
use super::policy::{Action, Policy};
use crate::pg::fmgr::spi;
use crate::pg::xact::{snapshot, subtransaction};
use pgrx::prelude::*;

/// The table of a policy.
#[derive(Debug, Clone)]
pub struct Target {
    /// `pg_class.oid`.
    pub table: pg_sys::Oid,
    /// Its name, qualified and quoted.
    pub name: String,
    /// Its owner.
    pub owner: pg_sys::Oid,
}

/// A table that holds rows of the target: itself, a partition or an inheritance child.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// `pg_class.oid`.
    pub table: pg_sys::Oid,
    /// Its name, qualified and quoted.
    pub name: String,
    /// Whether it is a foreign table.
    pub is_foreign: bool,
    /// Whether a B-tree on the time column finds the rows in order.
    pub has_index: bool,
    /// Its blocks.
    pub blocks: i64,
    /// Rows of a block.
    pub rows_of_block: i64,
}

/// Types of a time column.
const TIMES: [&str; 3] = ["date", "timestamp without time zone", "timestamp with time zone"];

/// The parts of a name as SQL reads it; `None` for another text.
fn parts(name: &str) -> Option<Vec<String>> {
    let parse = || {
        spi::select_kept("SELECT parse_ident($1)", &[name.into()], |rows| rows.first().get_one())
    };
    subtransaction::isolated(parse).ok()?.ok().flatten()
}

impl Target {
    /// The table of this name, if it fits a policy with this time column and action.
    pub fn find(name: &str, column: &str, action: Action) -> Result<Self, RetentionError> {
        let unknown = || RetentionError::UnknownTable(name.to_owned());
        let parts = parts(name).ok_or_else(unknown)?;
        let sql = include_str!("../../../sql/maintenance/retention_target.sql");
        let (target, kind, is_of_server, is_own, type_, is_partitioned) =
            spi::select_kept(sql, &[parts.into(), column.into()], |mut rows| {
                let Some(row) = rows.next() else { return Err(unknown()) };
                let target = Self {
                    table: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                    name: row.get(2)?.unwrap_or_default(),
                    owner: row.get(3)?.unwrap_or(pg_sys::InvalidOid),
                };
                let flag = |column| row.get::<bool>(column).map(|flag| flag.unwrap_or(false));
                let kind = row.get::<String>(4)?.unwrap_or_default();
                Ok((target, kind, flag(5)?, flag(6)?, row.get::<String>(7)?, flag(8)?))
            })?;
        let unfit = |reason| RetentionError::UnfitTable { table: target.name.clone(), reason };
        let table = target.name.clone();
        match kind.as_str() {
            "r" | "p" => {}
            "v" => return Err(unfit("is a view")),
            "m" => return Err(unfit("is a materialized view")),
            "f" => return Err(unfit("is a foreign table")),
            _ => return Err(unfit("is not a table")),
        }
        if is_of_server {
            return Err(unfit("is temporary or belongs to the server"));
        }
        if is_own {
            return Err(unfit("belongs to crewsnow_ops, which keeps its own retention"));
        }
        let column = column.to_owned();
        let found = type_.ok_or(RetentionError::UnknownColumn { table, column: column.clone() })?;
        let table = target.name.clone();
        if !TIMES.contains(&found.as_str()) {
            return Err(RetentionError::NoTime { table, column, found });
        }
        if action == Action::Drop && !is_partitioned {
            return Err(RetentionError::NotPartitioned(table));
        }
        Ok(target)
    }

    /// The name of a table, qualified and quoted.
    pub fn named(name: &str) -> Result<String, RetentionError> {
        let unknown = || RetentionError::UnknownTable(name.to_owned());
        let parts = parts(name).ok_or_else(unknown)?;
        let sql = include_str!("../../../sql/maintenance/retention_target.sql");
        Spi::connect(|client| {
            let row = client.select(sql, Some(1), &[parts.into(), "".into()])?.next();
            let row = row.ok_or_else(unknown)?;
            Ok(row.get::<String>(2)?.unwrap_or_default())
        })
    }

    /// The tables that hold its rows.
    pub fn leaves(&self, time_column: &str) -> Result<Vec<Leaf>, RetentionError> {
        let sql = include_str!("../../../sql/maintenance/retention_leaves.sql");
        snapshot::with_latest_snapshot(|| {
            Spi::connect(|client| {
                let mut leaves = Vec::new();
                for row in client.select(sql, None, &[self.table.into(), time_column.into()])? {
                    leaves.push(Leaf {
                        table: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                        name: row.get(2)?.unwrap_or_default(),
                        is_foreign: row.get::<String>(3)?.as_deref() == Some("f"),
                        has_index: row.get(4)?.unwrap_or(false),
                        blocks: row.get(5)?.unwrap_or_default(),
                        rows_of_block: row.get::<i64>(6)?.unwrap_or(1).max(1),
                    });
                }
                Ok(leaves)
            })
        })
    }
}

/// The reason why foreign keys forbid a policy, as a sentence without a period, and the statement
/// that allows it; `None` if nothing does. Reads policies, so call it as the owner.
pub fn forbidden_cascade(
    policy: &Policy,
    target: &Target,
) -> Result<Option<(String, Option<String>)>, RetentionError> {
    if policy.action == Action::Drop {
        return Ok(None);
    }
    let sql = include_str!("../../../sql/maintenance/retention_cascades.sql");
    let arguments = [target.table.into(), policy.replaced_columns().into()];
    let reached = Spi::connect(|client| {
        let mut reached = Vec::new();
        for row in client.select(sql, None, &arguments)? {
            reached.push((row.get::<String>(1)?.unwrap_or_default(), row.get::<String>(2)?));
        }
        Ok::<_, RetentionError>(reached)
    })?;
    let mut further: Vec<String> = reached
        .iter()
        .map(|(table, _)| table.clone())
        .filter(|table| !policy.cascades_to.contains(table))
        .collect();
    further.dedup();
    if !further.is_empty() {
        let detail = format!("foreign keys would also change rows of {}", further.join(", "));
        let mut all = policy.cascades_to.clone();
        all.extend(further);
        let command = spi::connect_mut(|client| {
            let sql = "SELECT format('UPDATE crewsnow_ops.retention_policies SET cascades_to = %L \
                WHERE name = %L;', $1, $2)";
            client
                .select(sql, Some(1), &[all.into(), policy.name.clone().into()])?
                .first()
                .get_one()
        })?;
        return Ok(Some((detail, command)));
    }
    let held = reached.iter().find_map(|(table, held)| Some((table, held.as_ref()?)));
    Ok(held.map(|(table, other)| {
        (format!("foreign keys would change rows of {table} that policy {other} may hold"), None)
    }))
}
