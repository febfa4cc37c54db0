//! performance_health_check and full_health_check. Each check runs in a subtransaction of its own,
//! so that a failing one is one SKIPPED row.

use super::blindness::Blindness;
use super::checks::registry::{Check, FAST, HYGIENE, Source};
use super::command;
use super::context::CheckContext;
use super::error::HealthError;
use super::finding;
use super::finding::{Finding, Status};
use super::sample;
use super::sample::{Capabilities, Counters};
use super::table_summary::TableSummary;
use crate::pg::catalog::lookup;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::session;
use crate::pg::xact::timeout::{Stopped, isolated_within};
use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::time::{Duration, Instant};

/// Time limits. Checks that would start after the report's limit are skipped.
struct Limits {
    check: Duration,
    report: Duration,
}

const FAST_LIMITS: Limits =
    Limits { check: Duration::from_secs(1), report: Duration::from_secs(5) };
const FULL_LIMITS: Limits =
    Limits { check: Duration::from_secs(10), report: Duration::from_secs(60) };
/// Limits of a decision, which takes its time: a check that is stopped has seen nothing.
const DECISION_LIMITS: Limits =
    Limits { check: Duration::from_secs(5), report: Duration::from_secs(30) };
/// The reason of a SKIPPED row for a check that has no object on this server.
const NOT_APPLICABLE: &str = "it does not apply to this server";
/// Checks of what harms users now. A decision relies on each of them to look; the others warn of
/// what comes later.
const URGENT: [&str; 14] = [
    "Connections",
    "Blocked Sessions",
    "Active Connections",
    "Slow Queries",
    "Idle in Transaction",
    "Long Queries",
    "Long Transactions",
    "Wait Profile",
    "Lock Table",
    "Replication Slots",
    "Wraparound",
    "Session Deaths",
    "Deadlocks",
    "Rollbacks",
];

/// Runs `work` in a subtransaction for at most `limit`. `Err` is the reason for a SKIPPED row.
/// Interrupts are raised again.
fn run_within<R>(
    limit: Duration,
    work: impl FnOnce() -> Result<R, HealthError>,
) -> Result<R, String> {
    match isolated_within(i32::try_from(limit.as_millis()).unwrap_or(i32::MAX), work) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(Stopped::TimedOut(milliseconds)) => {
            Err(format!("it took longer than {milliseconds} ms and was stopped"))
        }
        Err(Stopped::Failed(failure)) => Err(failure.message),
    }
}

/// Qualifies the report functions in a command, unless they are in `public`. Elsewhere the search
/// path of the reader may not find them.
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

/// Reads the facts that the checks share. Without one of them the checks still run: with plain
/// queries, or over lifetimes.
fn read_context(limit: Duration) -> CheckContext {
    let capabilities = run_within(limit, Capabilities::read).unwrap_or_default();
    let statements =
        run_within(limit, || sample::read_earlier_statements(&capabilities)).unwrap_or_default();
    let totals = run_within(limit, || sample::statement_totals(&capabilities, &statements));
    CheckContext {
        counters: run_within(limit, || sample::read_counters(&capabilities))
            .map(|counters| Counters::new(sample::merge_counters(&counters, totals))),
        earlier: run_within(limit, || sample::read_earlier_counters(&capabilities))
            .unwrap_or_default(),
        tables: run_within(limit, TableSummary::read),
        capabilities,
    }
}

/// The findings of one check: at least one.
fn findings_of(check: &Check, context: &CheckContext, limit: Duration) -> Vec<Finding> {
    let metric = check.metric;
    let result = run_within(limit, || match &check.source {
        Source::Query(query) => context.run(metric, query),
        Source::Native(findings) => findings(metric, context),
    });
    match result {
        Ok(findings) if findings.is_empty() => {
            vec![Finding::skipped(metric, NOT_APPLICABLE.to_owned())]
        }
        Ok(findings) => findings,
        Err(reason) => vec![Finding::skipped(metric, reason)],
    }
}

/// The findings of all checks, worst first.
fn run(checks: &[&Check], limits: &Limits) -> Vec<Finding> {
    let end = Instant::now() + limits.report;
    session::forget_statistics();
    let context = read_context(limits.check);
    // The checks keep most of the report's time, however slow the view of the sessions is.
    let blindness = run_within(limits.check / 5, Blindness::read);
    let mut findings = Vec::new();
    for check in checks {
        let limit = end.saturating_duration_since(Instant::now()).min(limits.check);
        if limit.is_zero() {
            let milliseconds = limits.report.as_millis();
            findings.push(Finding::skipped(
                check.metric,
                format!("earlier checks took all of the report's {milliseconds} ms"),
            ));
        } else {
            let found = findings_of(check, &context, limit);
            findings.extend(Blindness::applied(&blindness, check.metric, found));
        }
    }
    finding::sort(&mut findings);
    let schema = lookup::target_schema_name().unwrap_or_default();
    for finding in &mut findings {
        finding.next_command = finding.next_command.take().map(|command| typable(command, &schema));
    }
    command::join_lines(&mut findings);
    // Without the roles the findings are still true.
    let _ = run_within(limits.check, || command::name_roles(&mut findings));
    findings
}

/// Checks whose CRITICAL findings harm nobody today: a decision warns of them.
const LASTING: [&str; 3] = ["Autovacuum Workers", "KPI Freshness", "Durability"];

/// The findings of performance_health_check that concern a decision.
pub(crate) struct ServerAlarms {
    /// CRITICAL findings: metric, object and value, without evidence.
    pub(crate) critical: Vec<String>,
    /// CRITICAL findings that harm nobody today.
    pub(crate) lasting: Vec<String>,
    /// Urgent checks that could not look, with the reason.
    pub(crate) unseen: Vec<String>,
    /// Number of checks.
    pub(crate) checks: usize,
}

/// Runs the fast checks as the current user.
pub(crate) fn server_alarms() -> ServerAlarms {
    let findings = run(&FAST.iter().collect::<Vec<_>>(), &DECISION_LIMITS);
    let of = |status: Status| findings.iter().filter(move |finding| finding.status == status);
    let told = |finding: &Finding| -> String {
        let object = finding.object.iter().map(|object| format!(" {object}"));
        let value = finding.current_value.iter().map(|value| format!(": {value}"));
        [finding.metric.to_owned()].into_iter().chain(object).chain(value).collect()
    };
    let (lasting, critical): (Vec<&Finding>, Vec<&Finding>) =
        of(Status::Critical).partition(|finding| LASTING.contains(&finding.metric));
    let [lasting, critical] =
        [lasting, critical].map(|findings| findings.into_iter().map(told).collect());
    let reason = |finding: &Finding| finding.evidence.clone().unwrap_or_default();
    let unseen = of(Status::Skipped)
        .filter(|finding| URGENT.contains(&finding.metric) && reason(finding) != NOT_APPLICABLE)
        .map(|finding| format!("{}: {}", finding.metric, reason(finding)));
    ServerAlarms { critical, lasting, unseen: unseen.collect(), checks: FAST.len() }
}

fn rows(findings: Vec<Finding>) -> MaterializedRows<10> {
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
    MaterializedRows(findings.into_iter().enumerate().map(row).collect())
}

/// See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn performance_health_check() -> MaterializedRows<10> {
    rows(run(&FAST.iter().collect::<Vec<_>>(), &FAST_LIMITS))
}

/// See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn full_health_check() -> MaterializedRows<10> {
    rows(run(&FAST.iter().chain(HYGIENE).collect::<Vec<_>>(), &FULL_LIMITS))
}
