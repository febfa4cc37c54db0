//! What the views show: rows of queries as they are, run with the caller's own rights.

use super::checks::registry::STATEMENTS;
use super::mask;
use super::sample;
use super::sample::Surroundings;
use crate::health::error::HealthError;
use crate::pg::fmgr::srf::QueryRows;
use crate::pg::xact::{session, subtransaction, timeout};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// How long looking for slow queries may take, in milliseconds.
const LIMIT: i32 = 10_000;

/// The statement on one line without comments, each literal a `?`. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", immutable, strict, parallel_safe)]
fn mask_literals(p_statement: &str) -> String {
    mask::mask(p_statement, mask::SHOWN)
}

/// The rows of crewsnow_ops.blocking_tree.
#[pg_extern(sql = false)]
fn blocking_tree_now() -> Result<QueryRows, ErrorReport> {
    session::forget_statistics();
    // Mostly nobody waits, and planning the tree takes longer than seeing that.
    if !QueryRows::of("SELECT FROM pg_catalog.pg_locks AS l WHERE NOT l.granted LIMIT 1", &[])
        .has_rows()
    {
        return Ok(QueryRows::none());
    }
    Ok(QueryRows::of(include_str!("../../sql/health/blocking_tree.sql"), &[]))
}

/// The rows of crewsnow_ops.connections.
#[pg_extern(sql = false)]
fn connections_now() -> Result<QueryRows, ErrorReport> {
    session::forget_statistics();
    Ok(QueryRows::of(include_str!("../../sql/health/connections.sql"), &[]))
}

/// The rows of connection_monitoring.
#[pg_extern(sql = false)]
fn connection_states_now() -> Result<QueryRows, ErrorReport> {
    session::forget_statistics();
    Ok(QueryRows::of(include_str!("../../sql/health/connection_monitoring.sql"), &[]))
}

/// The statements that take the time. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn analyze_slow_queries() -> Result<QueryRows, ErrorReport> {
    session::forget_statistics();
    let surroundings = Surroundings::read()?;
    if !surroundings.has(STATEMENTS) {
        // A row says so, too, but who asks for slow ones alone does not see that one.
        pgrx::notice!("pg_stat_statements cannot be read: only what runs now is known");
    }
    let sql = surroundings.choose(
        include_str!("../../sql/health/slow_queries.sql"),
        Some((STATEMENTS, include_str!("../../sql/health/slow_queries.pg_stat_statements.sql"))),
    );
    // Without an earlier sample it is of the whole life.
    let earlier = subtransaction::catching(
        &[PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE],
        AssertUnwindSafe(|| sample::statements(&surroundings)),
    );
    let arguments = earlier.unwrap_or_else(|_| Ok(sample::Statements::default()))?.arguments();
    let arguments = if surroundings.has(STATEMENTS) { &arguments[..] } else { &[] };
    let look = AssertUnwindSafe(|| QueryRows::of(&sql, arguments));
    match timeout::with_timeout(LIMIT, || subtransaction::try_in_subxact(look)) {
        (Ok(answer), _) => Ok(answer),
        (Err(_), true) => {
            Err(HealthError::TookTooLong { report: "analyze_slow_queries", milliseconds: LIMIT }
                .into())
        }
        (Err(failure), false) => failure.raise(),
    }
}
