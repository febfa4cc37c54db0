//! One batch of a run, in the worker and in a transaction of its own. Its rows are added to the
//! step in the same transaction.

use super::clauses::Clauses;
use super::error::RetentionError;
use super::policy::{Policy, policies};
use super::rows::{Batch, Range, as_policy_role, change};
use super::target::Target;
use crate::access::as_owner;
use crate::pg::catalog::partition;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::pg::xact::session_settings::with_settings;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const ACTION: &str = "apply a batch of retention";
const EXAMPLE: &str = "SELECT run_gdpr_maintenance();";

/// A step that applies a policy now.
pub struct Step {
    run: pgrx::Uuid,
    number: i32,
    /// The policy, with the earlier one of its own cutoff and that of the step.
    pub policy: Policy,
    /// Its table.
    pub target: Target,
    /// Rows that it may still change; `None` without a cap.
    pub room: Option<i64>,
}

impl Step {
    /// The step; `None` if it has ended, or if its policy was removed or switched off. The policy
    /// is read anew: it may have a hold that it had not when the run began.
    pub fn read(
        run: Option<pgrx::Uuid>,
        number: Option<i32>,
    ) -> Result<Option<Self>, RetentionError> {
        session::require_writable(ACTION)?;
        if partition::is_in_transaction_block() {
            return Err(ServerError::InTransactionBlock { action: ACTION }.into());
        }
        let run = argument(run, "p_run")?;
        let number = argument(number, "p_step")?;
        let sql = include_str!("../../../sql/maintenance/retention_step.sql");
        let step = as_owner(|| {
            spi::select_kept(sql, &[run.into(), number.into()], |mut rows| {
                let Some(row) = rows.next() else { return Ok(None) };
                let cutoff = row.get::<TimestampWithTimeZone>(2)?;
                Ok::<_, RetentionError>(row.get::<String>(1)?.zip(cutoff).zip(Some(row.get(3)?)))
            })
        })?;
        let Some(((name, cutoff), room)) = step else { return Ok(None) };
        let Some(mut policy) = policies(Some(&name), clock::now())?.pop() else { return Ok(None) };
        policy.cutoff = policy.cutoff.min(cutoff.into_inner());
        let target = Target::find(&policy.target, &policy.time_column, policy.action)?;
        Ok(Some(Self { run, number, policy, target, room }))
    }

    /// Adds rows to the step. An error if it is not running any more.
    pub fn count(&self, rows: i64) -> Result<(), RetentionError> {
        let sql = include_str!("../../../sql/maintenance/retention_count_batch.sql");
        let arguments = [self.run.into(), self.number.into(), rows.into()];
        let written = as_owner(|| {
            spi::connect_mut(|client| {
                Ok::<_, RetentionError>(client.update(sql, None, &arguments)?.len())
            })
        })?;
        if written == 1 { Ok(()) } else { Err(RetentionError::NotAStep(self.number)) }
    }
}

/// Runs `work`, whose queries are planned once: planning takes longer than reading the catalogs,
/// and each batch needs them.
fn with_kept_plans<R>(work: impl FnOnce() -> R) -> R {
    with_settings(&[(c"plan_cache_mode", c"force_generic_plan")], work)
}

/// An argument that must not be NULL.
pub fn argument<T>(value: Option<T>, argument: &'static str) -> Result<T, ServerError> {
    value.ok_or(ServerError::NullArgument { argument, example: EXAMPLE })
}

/// Applies a batch. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (no such step or table), 25001 (transaction block), 25006
/// (read-only).
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn apply_retention_batch(
    p_run: Option<pgrx::Uuid>,
    p_step: Option<i32>,
    p_table: Option<pg_sys::Oid>,
    p_after: Option<&str>,
    p_block: Option<i64>,
    p_blocks: Option<i64>,
    p_skips_locked: Option<bool>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(picked, i64),
            name!(changed, i64),
            name!(kept, i64),
            name!(last, Option<String>),
            name!(is_complete, bool),
        ),
    >,
    ErrorReport,
> {
    let range = match (p_block, p_blocks) {
        (Some(from), Some(blocks)) => {
            let from = from.clamp(0, u32::MAX.into());
            Range::Blocks(from, from.saturating_add(blocks.max(1)).min(u32::MAX.into()))
        }
        _ => Range::Times(p_after.map(str::to_owned)),
    };
    let table = argument(p_table, "p_table")?;
    let Some(step) = with_kept_plans(|| Step::read(p_run, p_step))? else {
        return Ok(TableIterator::empty());
    };
    let done = apply(&step, table, &range, p_skips_locked.unwrap_or(false))?;
    Ok(TableIterator::once((done.picked, done.changed, done.kept, done.last, done.is_complete)))
}

fn apply(
    step: &Step,
    table: pg_sys::Oid,
    range: &Range,
    skips_locked: bool,
) -> Result<Batch, RetentionError> {
    let policy = &step.policy;
    let limit = step.room.map_or(policy.batch_rows, |room| room.min(policy.batch_rows));
    if limit <= 0 || policy.action == super::policy::Action::Drop {
        return Ok(Batch::default());
    }
    let clauses = with_kept_plans(|| Clauses::read(policy, step.target.table, table))?;
    let role = policy.role(step.target.owner)?;
    // A security-restricted operation refuses to leave triggers to the commit.
    spi::connect_mut(|client| client.update("SET CONSTRAINTS ALL IMMEDIATE", None, &[]).map(drop))?;
    let batch = as_policy_role(role, || change(policy, &clauses, range, limit, skips_locked))?;
    if batch.changed > 0 {
        step.count(batch.changed)?;
    }
    Ok(batch)
}
