//! performance_health_check and full_health_check: each check by itself, so that one that fails is one row that says so.

use super::checks::registry::{Check, FAST, Look, SLOW};
use super::checks::tables::Tables;
use super::context::Known;
use super::finding;
use super::finding::Finding;
use super::sample;
use super::sample::{Counters, Surroundings};
use crate::health::error::HealthError;
use crate::pg::catalog::lookup;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::{session, subtransaction, timeout};
use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// How long one check, and the report as a whole, may take, in milliseconds. What comes after is skipped.
const FAST_LIMITS: (u64, u64) = (1_000, 5_000);
/// The same for the report with hygiene.
const FULL_LIMITS: (u64, u64) = (10_000, 60_000);

/// Runs `work` by itself and within a limit. `Err` is why it failed, unless the caller wants to stop, or has to: that ends the call.
fn alone<R>(limit: Duration, work: impl FnOnce() -> Result<R, HealthError>) -> Result<R, String> {
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let (result, has_expired) = timeout::with_timeout(milliseconds, || {
        subtransaction::try_in_subxact(AssertUnwindSafe(work))
    });
    match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) if has_expired => {
            Err(format!("it took longer than {milliseconds} ms and was stopped"))
        }
        Err(failure) if failure.is_interrupt() => failure.raise(),
        Err(failure) => Err(failure.message),
    }
}

/// What the runbook names is found without its schema only where that is everybody's.
pub(super) fn typable(command: String, schema: &str) -> String {
    let qualified = |name: &str| format!("FROM {}.{name}", quote_identifier(schema));
    match schema {
        "public" => command,
        _ => ["analyze_slow_queries", "performance_health_check"]
            .iter()
            .fold(command, |command, name| {
                command.replace(&format!("FROM {name}"), &qualified(name))
            }),
    }
}

/// All that the checks find, the worst first.
fn run(checks: &[&Check], (each, all): (u64, u64)) -> Vec<Finding> {
    let (end, each) = (Instant::now() + Duration::from_millis(all), Duration::from_millis(each));
    session::forget_statistics();
    // Without one of these the others go on: on plain queries, of lifetimes.
    let surroundings = alone(each, Surroundings::read).unwrap_or_default();
    let statements = alone(each, || sample::statements(&surroundings)).unwrap_or_default();
    let of_statements = alone(each, || sample::statement_totals(&surroundings, &statements));
    let known = Known {
        now: alone(each, || sample::counters(&surroundings))
            .map(|now| Counters::new(sample::joined(&now, of_statements))),
        earlier: alone(each, || sample::earlier(&surroundings)).unwrap_or_default(),
        tables: alone(each, Tables::read),
        surroundings,
    };
    let mut found = Vec::new();
    let mut take = |metric: &'static str, work: &dyn Fn() -> Result<Vec<Finding>, HealthError>| {
        let left = end.saturating_duration_since(Instant::now()).min(each);
        if left.is_zero() {
            found.push(Finding::skipped(
                metric,
                format!("the checks before it took the {all} ms that all may take"),
            ));
            return;
        }
        match alone(left, work) {
            Ok(findings) if findings.is_empty() => {
                found.push(Finding::skipped(metric, "it does not apply to this server".to_owned()));
            }
            Ok(findings) => found.extend(findings),
            Err(why) => found.push(Finding::skipped(metric, why)),
        }
    };
    for check in checks {
        take(check.metric, &|| match &check.look {
            Look::Query(query) => known.ask(check.metric, query),
            Look::Itself(look) => look(check.metric, &known),
        });
    }
    finding::sort(&mut found);
    let schema = lookup::target_schema_name().unwrap_or_default();
    for finding in &mut found {
        finding.next_command = finding.next_command.take().map(|command| typable(command, &schema));
    }
    found
}

fn rows(found: Vec<Finding>) -> MaterializedRows<10> {
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
    MaterializedRows(found.into_iter().enumerate().map(row).collect())
}

/// The fast checks. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn performance_health_check() -> MaterializedRows<10> {
    rows(run(&FAST.iter().collect::<Vec<_>>(), FAST_LIMITS))
}

/// These and hygiene. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn full_health_check() -> MaterializedRows<10> {
    rows(run(&FAST.iter().chain(SLOW).collect::<Vec<_>>(), FULL_LIMITS))
}
