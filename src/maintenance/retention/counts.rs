//! The number of rows that a policy would change, and of those that it holds. Read-only, as the
//! role of the policy, and within a time limit.

use super::clauses::Clauses;
use super::error::RetentionError;
use super::policy::{Action, Policy};
use super::target::Target;
use super::{partitions, policy};
use crate::pg::xact::sec_context::as_table_owner;
use crate::pg::xact::timeout::{Stopped, with_timeout};
use crate::pg::xact::{session, snapshot};
use pgrx::prelude::*;

/// Rows of a policy's table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Rows that a run would change.
    pub expired: i64,
    /// Expired rows that the hold keeps.
    pub held: i64,
    /// Expired rows that other rows refer to, or that have their replacements already.
    pub closed: i64,
    /// The earliest time of an expired row that a run would change, in microseconds since 2000.
    pub oldest: Option<i64>,
    /// Rows whose time is more than a day ahead, infinite or NULL: they never expire.
    pub undated: i64,
    /// Expired rows in the default partition of a policy that drops partitions.
    pub in_default: i64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.expired += other.expired;
        self.held += other.held;
        self.closed += other.closed;
        self.undated += other.undated;
        self.in_default += other.in_default;
        self.oldest = [self.oldest, other.oldest].into_iter().flatten().min();
    }
}

/// The outcome of [`count`] that is no number.
#[derive(Debug)]
pub enum Uncounted {
    /// The policy does not fit its table.
    Unfit(RetentionError),
    /// The count was cancelled or failed.
    Stopped(Stopped),
}

impl From<RetentionError> for Uncounted {
    fn from(error: RetentionError) -> Self {
        Self::Unfit(error)
    }
}

/// Counts the rows of a policy, within so many milliseconds.
pub fn count(policy: &Policy, target: &Target, milliseconds: i32) -> Result<Counts, Uncounted> {
    let role = policy.role(target.owner)?;
    let mut readings = Vec::new();
    if policy.action == Action::Drop {
        for partition in partitions::partitions(policy, target)? {
            let mut clauses = Clauses::read(policy, target.table, partition.table)?;
            // A partition can have partitions of its own.
            clauses.relation = clauses.relation.trim_start_matches("ONLY ").to_owned();
            readings.push((clauses, partition.is_expired, partition.is_default));
        }
    } else {
        for leaf in target.leaves(&policy.time_column)?.iter().filter(|leaf| !leaf.is_foreign) {
            readings.push((Clauses::read(policy, target.table, leaf.table)?, true, false));
        }
    }
    let work = || {
        session::set_local(c"row_security", c"off");
        session::set_local(c"lock_timeout", c"2s");
        session::set_local(c"TimeZone", c"UTC");
        snapshot::with_latest_snapshot(|| {
            let mut sum = Counts::default();
            for (clauses, is_expired, is_default) in &readings {
                sum.add(&count_in(policy, clauses, *is_expired, *is_default)?);
            }
            Ok::<_, pgrx::spi::Error>(sum)
        })
    };
    let (result, has_expired) = with_timeout(milliseconds, || as_table_owner(role, work));
    match result {
        Ok(counts) => counts.map_err(|error| Uncounted::Unfit(error.into())),
        Err(_) if has_expired => Err(Uncounted::Stopped(Stopped::TimedOut(milliseconds))),
        Err(failure) => Err(Uncounted::Stopped(Stopped::Failed(failure.rethrow_interrupt()))),
    }
}

/// Counts the rows of one table.
fn count_in(
    policy: &Policy,
    clauses: &Clauses,
    is_expired: bool,
    is_default: bool,
) -> Result<Counts, pgrx::spi::Error> {
    let Clauses { relation, time, is_old, is_released, is_open, .. } = clauses;
    let is_drop = policy.action == policy::Action::Drop;
    let mut counts = Counts::default();
    if !is_drop || is_expired || is_default {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE r.is_open), count(*) FILTER (WHERE r.is_open IS NULL), \
             count(*) FILTER (WHERE NOT r.is_open), \
             min(r.at) FILTER (WHERE r.is_open)::timestamptz \
             FROM (SELECT CASE WHEN {is_released} THEN {is_open} END AS is_open, {time} AS at \
             FROM {relation} WHERE {is_old} OFFSET 0) AS r"
        );
        let arguments = [policy.cutoff().into(), policy.replacements().into()];
        Spi::connect(|client| {
            let row = client.select(sql.as_str(), Some(1), &arguments)?.first();
            counts.expired = row.get(1)?.unwrap_or_default();
            counts.held = row.get(2)?.unwrap_or_default();
            counts.closed = row.get(3)?.unwrap_or_default();
            counts.oldest =
                row.get::<TimestampWithTimeZone>(4)?.map(TimestampWithTimeZone::into_inner);
            Ok::<_, pgrx::spi::Error>(())
        })?;
    }
    if is_default {
        return Ok(Counts { in_default: counts.expired, ..Counts::default() });
    }
    if is_drop && counts.held > 0 {
        // One held row keeps its partition.
        counts.closed += counts.expired;
        counts.expired = 0;
        counts.oldest = None;
    }
    if !is_drop {
        let sql = format!(
            "SELECT count(*) FROM {relation} WHERE {time} > now() + interval '1 day' \
             OR {time} IS NULL OR {time} = '-infinity'"
        );
        counts.undated =
            Spi::connect(|client| client.select(sql.as_str(), Some(1), &[])?.first().get_one())?
                .unwrap_or_default();
    }
    Ok(counts)
}
