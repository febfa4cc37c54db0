//! performance_health_check and full_health_check: each check by itself, so that one that fails is one row that says so.

use super::checks::{Check, FAST, SLOW};
use super::disk;
use super::finding::{self, Finding, Status};
use super::mask::mask_evidence;
use super::sample::{Counters, Surroundings};
use crate::error::OpsError;
use crate::pg::rows::Rows;
use crate::pg::{catalog, session, subtransaction, time_limit};
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use pgrx::{IntoDatum, PgSqlErrorCode};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// How long one check, and the report as a whole, may take, in milliseconds. What comes after is skipped.
const FAST_LIMITS: (u64, u64) = (1_000, 5_000);
/// The same for the report with hygiene.
const FULL_LIMITS: (u64, u64) = (10_000, 60_000);

/// How work on behalf of one check went wrong.
enum Trouble {
    /// It was the check's own.
    Failed(String),
    /// The caller wants to stop, or has to.
    Stop(ErrorReport),
}

/// Runs `work` by itself and within a limit.
fn alone<R>(limit: Duration, work: impl FnOnce() -> Result<R, OpsError>) -> Result<R, Trouble> {
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let (result, has_expired) = time_limit::within(milliseconds, || subtransaction::attempt(AssertUnwindSafe(work)));
    match result {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(Trouble::Failed(error.to_string())),
        Err(_) if has_expired => Err(Trouble::Failed(format!("it took longer than {milliseconds} ms and was stopped"))),
        Err(failure) => {
            let is_ours = !matches!(
                failure.code,
                PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                    | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
            );
            if is_ours {
                Err(Trouble::Failed(failure.message))
            } else {
                Err(Trouble::Stop(ErrorReport::new(failure.code, failure.message, pgrx::function_name!())))
            }
        }
    }
}

fn findings(check: &Check, surroundings: &Surroundings, counters: &Counters) -> Result<Vec<Finding>, OpsError> {
    let sql = surroundings.choose(check.sql, check.better);
    let arguments = counters.arguments(&sql);
    Spi::connect(|client| {
        let mut findings = Vec::new();
        for row in client.select(sql.as_str(), None, &arguments)? {
            let text = |column| row.get::<String>(column);
            findings.push(Finding {
                metric: check.metric,
                status: Status::parse(&text(1)?.unwrap_or_default()),
                object: text(2)?,
                current_value: text(3)?,
                threshold: text(4)?,
                evidence: text(5)?.map(|evidence| mask_evidence(&evidence)),
                recommendation: text(6)?,
                next_command: text(7)?,
                since: text(8)?,
            });
        }
        Ok(findings)
    })
}

/// What the runbook names is found without its schema only where that is everybody's.
pub(super) fn typable(command: String, schema: &str) -> String {
    let qualified = |name: &str| format!("FROM {}.{name}", quote_identifier(schema));
    match schema {
        "public" => command,
        _ => ["analyze_slow_queries", "performance_health_check"]
            .iter()
            .fold(command, |command, name| command.replace(&format!("FROM {name}"), &qualified(name))),
    }
}

/// All that the checks find, the worst first.
fn run(checks: &[&Check], (each, all): (u64, u64)) -> Result<Vec<Finding>, ErrorReport> {
    let end = Instant::now() + Duration::from_millis(all);
    session::forget_statistics();
    let mut found = Vec::new();
    let ready = alone(Duration::from_millis(each), || {
        let surroundings = Surroundings::read()?;
        let counters = Counters::read(&surroundings)?;
        Ok((surroundings, counters))
    });
    let ready = match ready {
        Ok(ready) => Ok(ready),
        Err(Trouble::Stop(error)) => return Err(error),
        Err(Trouble::Failed(why)) => Err(why),
    };
    let mut take = |metric: &'static str, work: &dyn Fn() -> Result<Vec<Finding>, OpsError>| {
        let left = end.saturating_duration_since(Instant::now()).min(Duration::from_millis(each));
        if left.is_zero() {
            found.push(Finding::skipped(metric, format!("the checks before it took the {all} ms that all may take")));
            return Ok(());
        }
        match alone(left, work) {
            Ok(findings) if findings.is_empty() => {
                found.push(Finding::skipped(metric, "it does not apply to this server".to_owned()));
            }
            Ok(findings) => found.extend(findings),
            Err(Trouble::Failed(why)) => found.push(Finding::skipped(metric, why)),
            Err(Trouble::Stop(error)) => return Err(error),
        }
        Ok(())
    };
    for check in checks {
        match &ready {
            Ok((surroundings, counters)) => take(check.metric, &|| findings(check, surroundings, counters))?,
            Err(why) => take(check.metric, &|| Ok(vec![Finding::skipped(check.metric, why.clone())]))?,
        }
    }
    take(disk::METRIC, &disk::findings)?;
    finding::sort(&mut found);
    let schema = catalog::target_schema_name().unwrap_or_default();
    for finding in &mut found {
        finding.next_command = finding.next_command.take().map(|command| typable(command, &schema));
    }
    Ok(found)
}

fn rows(found: Vec<Finding>) -> Rows<10> {
    let row = |(rank, finding): (usize, Finding)| -> [Option<Datum>; 10] {
        [
            finding.metric.into_datum(),
            finding.current_value.into_datum(),
            finding.threshold.into_datum(),
            finding.status.as_str().into_datum(),
            finding.recommendation.into_datum(),
            (rank as i32 + 1).into_datum(),
            finding.object.into_datum(),
            finding.evidence.into_datum(),
            finding.since.into_datum(),
            finding.next_command.into_datum(),
        ]
    };
    Rows(found.into_iter().enumerate().map(row).collect())
}

/// The fast checks. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn performance_health_check() -> Result<Rows<10>, ErrorReport> {
    Ok(rows(run(&FAST.iter().collect::<Vec<_>>(), FAST_LIMITS)?))
}

/// These and hygiene. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn full_health_check() -> Result<Rows<10>, ErrorReport> {
    Ok(rows(run(&FAST.iter().chain(SLOW).collect::<Vec<_>>(), FULL_LIMITS)?))
}
