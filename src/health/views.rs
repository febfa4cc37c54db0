//! What the views show: rows of queries as they are, run with the caller's own rights.

use super::checks::STATEMENTS;
use super::mask;
use super::sample::{Counters, Surroundings};
use crate::pg::rows::Answer;
use crate::pg::{session, time_limit};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// How long looking for slow queries may take, in milliseconds.
const LIMIT: i32 = 10_000;

/// The statement on one line without comments, each literal a `?`. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", immutable, strict, parallel_safe)]
fn mask_literals(p_statement: &str) -> String {
    mask::mask(p_statement, mask::SHOWN)
}

/// The rows of crewsnow_ops.blocking_tree.
#[pg_extern(sql = false)]
fn blocking_tree_now() -> Result<Answer, ErrorReport> {
    session::forget_statistics();
    Ok(Answer::of(include_str!("../../sql/health/blocking_tree.sql"), &[]))
}

/// The rows of crewsnow_ops.connections.
#[pg_extern(sql = false)]
fn connections_now() -> Result<Answer, ErrorReport> {
    session::forget_statistics();
    Ok(Answer::of(include_str!("../../sql/health/connections.sql"), &[]))
}

/// The rows of connection_monitoring.
#[pg_extern(sql = false)]
fn connection_states_now() -> Result<Answer, ErrorReport> {
    session::forget_statistics();
    Ok(Answer::of(include_str!("../../sql/health/connection_monitoring.sql"), &[]))
}

/// The statements that take the time. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn analyze_slow_queries() -> Result<Answer, ErrorReport> {
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
    let arguments = Counters::of_statements(&surroundings)?.arguments(&sql);
    Ok(time_limit::within(LIMIT, || Answer::of(&sql, &arguments)).0)
}
