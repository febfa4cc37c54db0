//! Drops one partition of which every row has expired, in the worker.

use super::batch::{Step, argument};
use super::clauses::Clauses;
use super::error::RetentionError;
use super::partitions::{Partition, partitions};
use super::rows::as_policy_role;
use crate::pg::access::scan;
use crate::pg::catalog::{partition, privilege};
use crate::pg::fmgr::spi;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::Duration;

/// Pauses before each attempt to lock what a drop needs, in milliseconds: writers of the table
/// queue behind an attempt, so several short ones stop them for less time than a long one.
const RETRIES_MS: [u64; 8] = [0, 20, 50, 100, 200, 300, 400, 500];

/// Drops a partition. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (no such step), 25001 (transaction block), 25006
/// (read-only).
#[pg_extern(sql = false)]
fn drop_retention_partition(
    p_run: Option<pgrx::Uuid>,
    p_step: Option<i32>,
    p_partition: Option<pg_sys::Oid>,
) -> Result<TableIterator<'static, (name!(outcome, String), name!(dropped, i64))>, ErrorReport> {
    let table = argument(p_partition, "p_partition")?;
    let Some(step) = Step::read(p_run, p_step)? else { return Ok(TableIterator::empty()) };
    let (outcome, rows) = drop_one(&step, table)?;
    Ok(TableIterator::once((outcome.to_owned(), rows)))
}

fn drop_one(step: &Step, table: pg_sys::Oid) -> Result<(&'static str, i64), RetentionError> {
    if step.policy.action != super::policy::Action::Drop {
        return Ok(("not expired", 0));
    }
    let all = partitions(&step.policy, &step.target)?;
    let Some(expired) = all.iter().find(|other| other.table == table && other.is_expired) else {
        return Ok(("not expired", 0));
    };
    let default = all.iter().find(|other| other.is_default).map(|default| default.table);
    let role = step.policy.role(step.target.owner)?;
    let mut clauses = Clauses::read(&step.policy, step.target.table, table)?;
    clauses.relation = clauses.relation.trim_start_matches("ONLY ").to_owned();
    let rows = match as_policy_role(role, || lock_and_count(step, expired, &clauses))? {
        Ok(rows) => rows,
        Err(_) => return Ok(("held", 0)),
    };
    let owner = scan::owner_of(table).unwrap_or(pg_sys::InvalidOid);
    // Without the right to drop, the statement itself says so, before it locks anything.
    let may_drop = privilege::has_those_of(role, owner);
    let tables = Vec::from_iter(default.into_iter().chain([table]));
    if may_drop && !lock(step.target.table, &tables) {
        return Ok(("locked", 0));
    }
    let sql = format!("DROP TABLE {}", expired.name);
    as_policy_role(role, || {
        spi::connect_mut(|client| client.update(sql.as_str(), None, &[]).map(drop))
    })?;
    step.count(rows)?;
    Ok(("dropped", rows))
}

/// Keeps writers out of the partition. Returns the number of its rows, or of those that are held.
fn lock_and_count(
    step: &Step,
    expired: &Partition,
    clauses: &Clauses,
) -> Result<Result<i64, i64>, pgrx::spi::Error> {
    let lock = format!("LOCK TABLE {} IN SHARE MODE", expired.name);
    let count = format!(
        "SELECT count(*), count(*) FILTER (WHERE NOT ({})) FROM {}",
        clauses.is_released, clauses.relation
    );
    let arguments = [step.policy.cutoff().into(), step.policy.replacements().into()];
    spi::connect_mut(|client| {
        client.update(lock.as_str(), None, &[])?;
        let row = client.update(count.as_str(), Some(1), &arguments)?.first();
        let (rows, held) = (row.get::<i64>(1)?, row.get::<i64>(2)?.unwrap_or_default());
        Ok(if held == 0 { Ok(rows.unwrap_or_default()) } else { Err(held) })
    })
}

/// Takes the locks of DROP on a partition, with short attempts.
fn lock(parent: pg_sys::Oid, tables: &[pg_sys::Oid]) -> bool {
    RETRIES_MS.into_iter().any(|pause| {
        pgrx::check_for_interrupts!();
        std::thread::sleep(Duration::from_millis(pause));
        partition::are_free(tables) && partition::lock_for_drop(parent, tables)
    })
}
