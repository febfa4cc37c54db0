//! When a job of pg_cron is due, for the queries of health checks.

use crate::time::cron;
use pgrx::datum::Timestamp;
use pgrx::prelude::*;

/// The first time after `after` at which a schedule of cron is due. See the COMMENT on the SQL
/// function.
#[pg_extern(schema = "crewsnow_ops", immutable, strict, parallel_safe, requires = ["health"])]
#[search_path(pg_catalog, pg_temp)]
fn next_cron_time(p_schedule: &str, p_after: Timestamp) -> Option<Timestamp> {
    let after = p_after.into_inner();
    // The ends of the range stand for infinity.
    if after == i64::MIN || after == i64::MAX {
        return None;
    }
    let due = cron::next(&cron::parse(p_schedule)?, after)?;
    Timestamp::try_from(due).ok()
}
