//! performance_health_check and full_health_check. Each check runs in a subtransaction of its own,
//! so that a failing one is one SKIPPED row.

use super::blindness::Blindness;
use super::checks::registry::{Check, FAST, HYGIENE, Source};
use super::command;
use super::context::{CheckContext, run_within};
use super::error::HealthError;
use super::finding::{Finding, NOT_APPLICABLE, Status};
use super::harm;
use super::harm::Harm;
use super::page;
use super::sample::Capabilities;
use super::triage;
use crate::pg::catalog::lookup;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::select_kept;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::session;
use crate::settings;
use crate::suggest::similar;
use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::time::{Duration, Instant};

/// Time limits. Checks that would start after the report's limit are skipped.
struct Limits {
    check: Duration,
    report: Duration,
    /// The time in which checks of later harm may begin on a busy server; `None` without a limit.
    budget: Option<Duration>,
}

/// Limits of a report that an engineer waits for.
fn fast_limits() -> Limits {
    Limits {
        check: Duration::from_secs(1),
        report: Duration::from_secs(5),
        budget: settings::health_budget().map(Duration::from_millis),
    }
}

const FULL_LIMITS: Limits =
    Limits { check: Duration::from_secs(10), report: Duration::from_secs(60), budget: None };
/// Limits of a decision, which takes its time: a check that is stopped has seen nothing.
const DECISION_LIMITS: Limits =
    Limits { check: Duration::from_secs(5), report: Duration::from_secs(30), budget: None };
/// A server is busy with so many other sessions that run statements (ours). The processors of a
/// server with fewer are likely to have time for all checks.
const BUSY_SESSIONS: i64 = 20;
/// Checks of harm to users now may begin within so many times the budget (ours).
const URGENT_BUDGETS: u32 = 10;
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

/// Qualifies the report functions in a command. The search path of the reader may not find them.
pub(super) fn typable(command: String, schema: &str) -> String {
    let schema = quote_identifier(schema);
    ["analyze_slow_queries", "performance_health_check"].iter().fold(command, |command, name| {
        command.replace(&format!("FROM {name}"), &format!("FROM {schema}.{name}"))
    })
}

/// The findings of one check: at least one.
fn findings_of(check: &Check, context: &CheckContext, limit: Duration) -> Vec<Finding> {
    let metric = check.metric;
    let query = match &check.source {
        Source::Query(query) => Some(query),
        Source::Native(_) => None,
    };
    context.prepare(metric, query, limit);
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

/// Number of other sessions that run a statement, as far as this role sees them.
fn busy_sessions() -> Result<i64, HealthError> {
    select_kept(include_str!("../../sql/health/busy_sessions.sql"), &[], |rows| {
        Ok(rows.first().get(1)?.unwrap_or(0))
    })
}

/// The row of a check that a busy server is spared.
fn left_out(metric: &'static str, budget: Duration, sessions: i64) -> Finding {
    let milliseconds = budget.as_millis();
    Finding {
        recommendation: Some(
            "Run it when the server is less busy, or without a budget.".to_owned(),
        ),
        next_command: Some(
            "SET crewsnow_ops.health_budget = 0; SELECT * FROM performance_health_check();"
                .to_owned(),
        ),
        ..Finding::skipped(
            metric,
            format!(
                "left out: budget of {milliseconds} ms, because {sessions} sessions are active"
            ),
        )
    }
}

/// The findings of all checks, worst first.
fn run(checks: &[&Check], limits: &Limits) -> Vec<Finding> {
    let begin = Instant::now();
    let end = begin + limits.report;
    session::forget_statistics();
    let capabilities = run_within(limits.check, Capabilities::read).unwrap_or_default();
    let context = CheckContext::new(capabilities);
    // The checks keep most of the report's time, however slow the view of the sessions is.
    let blindness = run_within(limits.check / 5, Blindness::read);
    let sessions = run_within(limits.check / 5, busy_sessions).unwrap_or(0);
    let budget = limits.budget.filter(|_| sessions >= BUSY_SESSIONS);
    let mut in_order: Vec<(usize, &&Check)> = checks.iter().enumerate().collect();
    if budget.is_some() {
        in_order.sort_by_key(|(_, check)| harm::place(check.metric));
    }
    let mut findings = Vec::new();
    for (place, check) in in_order {
        let limit = end.saturating_duration_since(Instant::now()).min(limits.check);
        let budget = budget.map(|budget| match harm::of_check(check.metric) {
            Harm::Now => budget * URGENT_BUDGETS,
            Harm::Soon | Harm::Later => budget,
        });
        let found = match budget {
            _ if limit.is_zero() => {
                let milliseconds = limits.report.as_millis();
                let reason = format!("earlier checks took all of the report's {milliseconds} ms");
                vec![Finding::skipped(check.metric, reason)]
            }
            Some(budget) if begin.elapsed() >= budget => {
                vec![left_out(check.metric, budget, sessions)]
            }
            _ => {
                let found = findings_of(check, &context, limit);
                Blindness::applied(&blindness, check.metric, found)
            }
        };
        findings.extend(found.into_iter().map(|finding| (place, finding)));
    }
    findings.sort_by_key(|(place, _)| *place);
    let mut findings: Vec<Finding> = findings.into_iter().map(|(_, finding)| finding).collect();
    harm::sort(&mut findings);
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
        .filter(|finding| URGENT.contains(&finding.metric) && !finding.is_inapplicable())
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

/// The findings of one fast check now, worst first. For alert rules: without commands and their
/// roles. Without a check of this name, `Err` has similar names.
pub fn check_now(metric: &str) -> Result<Vec<Finding>, Vec<String>> {
    let Some(check) = FAST.iter().find(|check| check.metric == metric) else {
        let is_short = metric.len() <= 100;
        let known = FAST.iter().map(|check| check.metric);
        return Err(if is_short { similar(metric, known) } else { Vec::new() });
    };
    let limit = fast_limits().check;
    session::forget_statistics();
    let capabilities = run_within(limit, Capabilities::read).unwrap_or_default();
    let blindness = run_within(limit / 5, Blindness::read);
    let findings = findings_of(check, &CheckContext::new(capabilities), limit);
    let mut findings = Blindness::applied(&blindness, check.metric, findings);
    findings.sort_by_key(|finding| finding.status);
    Ok(findings)
}

/// See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn performance_health_check() -> MaterializedRows<10> {
    rows(run(&FAST.iter().collect::<Vec<_>>(), &fast_limits()))
}

/// The findings of performance_health_check, and the lines of triage about them.
fn triage_lines() -> (Vec<Finding>, Vec<triage::Line>) {
    let findings = run(&FAST.iter().collect::<Vec<_>>(), &fast_limits());
    let schema = lookup::target_schema_name().unwrap_or_default();
    let lines = triage::lines(&findings, |command| typable(command, &schema));
    (findings, lines)
}

/// See the COMMENT on the view crewsnow_ops.triage.
#[pg_extern(sql = false)]
fn triage_now() -> MaterializedRows<4> {
    let row = |line: triage::Line| -> [Option<Datum>; 4] {
        [
            line.status.into_datum(),
            line.metric.into_datum(),
            line.object.into_datum(),
            line.command.into_datum(),
        ]
    };
    MaterializedRows(triage_lines().1.into_iter().map(row).collect())
}

/// The findings of one check, or those of a line of triage. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42704 (no such finding).
#[pg_extern(sql = false)]
fn health_finding(p_finding: Option<&str>) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    const EXAMPLE: &str = "SELECT crewsnow_ops.health_finding('Blocked Sessions');";
    let name =
        p_finding.ok_or(ServerError::NullArgument { argument: "p_finding", example: EXAMPLE })?;
    let name = match name.trim().parse::<usize>() {
        Err(_) => name.trim().to_owned(),
        Ok(place) => {
            let (_, lines) = triage_lines();
            let line = place.checked_sub(1).and_then(|place| lines.into_iter().nth(place));
            line.map_or_else(|| name.to_owned(), |line| line.check)
        }
    };
    let named = |check: &&Check| check.metric.eq_ignore_ascii_case(&name);
    let checks: Vec<&Check> = FAST.iter().chain(HYGIENE).filter(named).collect();
    if checks.is_empty() {
        let known = FAST.iter().chain(HYGIENE).map(|check| check.metric);
        let similar = if name.len() <= 100 { similar(&name, known) } else { Vec::new() };
        let finding = name.chars().take(100).collect();
        return Err(HealthError::UnknownFinding { finding, similar }.into());
    }
    let findings = run(&checks, &FULL_LIMITS);
    let lines: Vec<String> = findings.iter().flat_map(page::lines).collect();
    Ok(SetOfIterator::new(lines))
}

/// See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn full_health_check() -> MaterializedRows<10> {
    rows(run(&FAST.iter().chain(HYGIENE).collect::<Vec<_>>(), &FULL_LIMITS))
}
