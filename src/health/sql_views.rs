//! Functions behind the health views. Their queries run with the caller's own privileges.

use super::mask;
use super::parts;
use super::sample;
use super::sample::{Capabilities, PG_STAT_STATEMENTS, StatementSample};
use crate::health::error::HealthError;
use crate::pg::fmgr::srf::QueryRows;
use crate::pg::xact::timeout::{Stopped, isolated_within};
use crate::pg::xact::{session, subtransaction};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

const SLOW_QUERIES_TIMEOUT_MS: i32 = 10_000;

/// The statement on one line without comments, each literal a `?`. See the COMMENT on the SQL
/// function.
#[pg_extern(schema = "crewsnow_ops", immutable, strict, parallel_safe)]
fn mask_literals(p_statement: &str) -> String {
    mask::mask(p_statement, mask::MAX_CHARACTERS)
}

/// The rows of crewsnow_ops.blocking_tree.
#[pg_extern(sql = false)]
fn blocking_tree_now() -> Result<QueryRows, ErrorReport> {
    session::forget_statistics();
    // Usually no session waits. This query then saves the costly planning of the tree.
    if !QueryRows::of("SELECT FROM pg_catalog.pg_locks AS l WHERE NOT l.granted LIMIT 1", &[])
        .has_rows()
    {
        return Ok(QueryRows::none());
    }
    let sql = parts::expanded(include_str!("../../sql/health/blocking_tree.sql"));
    Ok(QueryRows::of(&sql, &[]))
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

/// The statements that take the most time. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn analyze_slow_queries() -> Result<QueryRows, ErrorReport> {
    session::forget_statistics();
    let capabilities = Capabilities::read()?;
    if !capabilities.has(PG_STAT_STATEMENTS) {
        // A row of the report says it, too, but a WHERE clause may filter that row out.
        pgrx::notice!("pg_stat_statements cannot be read: only running statements are listed");
    }
    let sql = capabilities.choose(
        include_str!("../../sql/health/slow_queries.sql"),
        Some((
            PG_STAT_STATEMENTS,
            include_str!("../../sql/health/slow_queries.pg_stat_statements.sql"),
        )),
    );
    // A locked sample table must not block the report. It then covers the whole lifetime.
    let earlier = subtransaction::catching(
        &[PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE],
        AssertUnwindSafe(|| sample::read_earlier_statements(&capabilities)),
    );
    let arguments = earlier.unwrap_or_else(|_| Ok(StatementSample::default()))?.arguments();
    let arguments = if capabilities.has(PG_STAT_STATEMENTS) { &arguments[..] } else { &[] };
    match isolated_within(SLOW_QUERIES_TIMEOUT_MS, || QueryRows::of(&sql, arguments)) {
        Ok(rows) => Ok(rows),
        Err(Stopped::TimedOut(milliseconds)) => {
            Err(HealthError::TookTooLong { report: "analyze_slow_queries", milliseconds }.into())
        }
        Err(Stopped::Failed(failure)) => failure.raise(),
    }
}
