//! What can be seen of the system by itself.

use super::e2e;
use super::evidence::keep;
use super::pure::model::{Measurement, Outcome};
use crate::access::as_owner;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::xact::{session, subtransaction};
use crate::readiness::error::ReadinessError;
use crate::rls::report::summary::{AuditSummary, summarize};
use crate::telemetry::rollup::events::Times;
use crate::telemetry::rollup::webhooks::Count;
use crate::telemetry::views::monitoring::{HOUR, TEN_MINUTES, Webhooks, minutes};
use crate::time::instant::Instant;
use crate::time::minute::{MINUTE, Window};
use pgrx::JsonB;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use std::panic::AssertUnwindSafe;

/// So many findings, or flags, are named; how many more there are is said.
const NAMED: usize = 5;
/// The last day, in minutes: at night there may be no payment for hours.
const DAY: i64 = 24 * HOUR;

/// A run of tests that an earlier decision has kept.
#[derive(Debug, Clone, Copy)]
pub struct LastRun {
    /// Whether they passed.
    pub passed: bool,
    /// When.
    pub at: Instant,
    /// Until when that counts.
    pub fresh_until: Instant,
    /// Whether it was of the tests that are registered now.
    pub is_of_these: bool,
}

/// Where a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where tests can run.
    Writable,
    /// In a read-only transaction.
    ReadOnly,
    /// On a standby.
    Standby,
}

impl Place {
    /// This one.
    pub fn here() -> Self {
        match (session::is_writable(), session::is_standby()) {
            (true, _) => Self::Writable,
            (false, true) => Self::Standby,
            (false, false) => Self::ReadOnly,
        }
    }
}

/// Looks at the system for one criterion at a time.
pub struct Observer {
    /// The present moment.
    pub now: Instant,
    /// Where it is: tests write.
    pub place: Place,
}

/// What was seen.
struct Seen {
    outcome: Outcome,
    detail: String,
    action: Option<String>,
    fresh_until: Option<Instant>,
    caveat: Option<String>,
}

impl Seen {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into(), action: None, fresh_until: None, caveat: None }
    }

    /// With the command that helps.
    fn then(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }

    fn until(self, fresh_until: Option<Instant>) -> Self {
        Self { fresh_until, ..self }
    }
}

impl Observer {
    /// What a measure says. One that fails is no evidence, and no reason for the others to fail.
    pub fn look(&self, measure: &str, criterion: &str, last_run: Option<LastRun>) -> Measurement {
        let looked = subtransaction::try_in_subxact(AssertUnwindSafe(|| self.see(measure, criterion, last_run)));
        let seen = match looked {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => Seen::new(Outcome::Absent, format!("it could not be looked at: {error}")),
            Err(failure) if failure.is_interrupt() => failure.raise(),
            Err(failure) => {
                Seen::new(Outcome::Absent, format!("it could not be looked at: {}", failure.redacted_message()))
            }
        };
        Measurement {
            measure: measure.to_owned(),
            outcome: seen.outcome,
            detail: seen.detail,
            action: seen.action.filter(|_| seen.outcome != Outcome::Met),
            fresh_until: seen.fresh_until,
            caveat: seen.caveat,
        }
    }

    fn see(&self, measure: &str, criterion: &str, last_run: Option<LastRun>) -> Result<Seen, ReadinessError> {
        match measure {
            "tests" => match self.place {
                Place::Writable => tests(criterion),
                Place::Standby => Ok(self.earlier_tests(last_run)),
                Place::ReadOnly => {
                    let detail = "tests write, and this transaction is read-only";
                    Ok(Seen::new(Outcome::Absent, detail).then("SHOW transaction_read_only;"))
                }
            },
            "rls" => row_security(),
            "webhooks" => self.webhooks(),
            "telemetry" => self.telemetry(),
            "freeze" => freeze(),
            "flags" => flags(),
            "alert-rules" => Ok(elsewhere(criterion, "whether alert rules are evaluated")),
            "delivery-queue" => Ok(elsewhere(criterion, "whether what they say is delivered")),
            "open-incidents" => Ok(elsewhere(criterion, "whether a critical incident is open")),
            "recent-escalations" => Ok(elsewhere(criterion, "what was escalated to level 3")),
            _ => Ok(recorded(criterion)),
        }
    }

    /// A standby has what the primary has kept. What has failed there in a transaction that was rolled back, as a failing require_go is, it has not.
    fn earlier_tests(&self, last_run: Option<LastRun>) -> Seen {
        let absent = |why: &str| {
            let detail = format!("tests write, and cannot run on a standby; {why}");
            Seen::new(Outcome::Absent, detail).then("SELECT decision FROM make_go_no_go_decision(); -- on the primary")
        };
        match last_run {
            None => absent("no run was kept on the primary"),
            Some(last) if !last.is_of_these => absent("those that are registered now have not run on the primary"),
            Some(last) if !last.passed => {
                Seen::new(Outcome::Failed, format!("tests failed on the primary at {}", last.at))
                    .then("SELECT * FROM crewsnow_ops.run_e2e_tests(); -- on the primary")
            }
            Some(last) if last.fresh_until <= self.now => {
                absent(&format!("they passed on the primary at {}, too long ago", last.at))
            }
            Some(last) => Seen::new(Outcome::Met, format!("tests passed on the primary at {}", last.at))
                .until(Some(last.fresh_until)),
        }
    }

    fn webhooks(&self) -> Result<Seen, ReadinessError> {
        let look = in_target_schema(
            "SELECT status, count(*), max(processed_at) FROM @extschema@.processed_events WHERE processed_at > now() - interval '1 day' GROUP BY 1;",
        )?;
        let webhooks = Webhooks::read(Window::ending(self.now.0, DAY), self.now.0)?;
        if let Some(alert) = &webhooks.alert {
            return Ok(Seen::new(Outcome::Failed, alert.to_string()).then(look));
        }
        let within = |minutes| {
            let window = Window::ending(self.now.0, minutes);
            let counts = webhooks.counts.iter().filter(move |(minute, _)| window.holds(**minute));
            counts.fold((0, 0), |(events, failed), (_, count)| (events + count.events, failed + count.failed))
        };
        let ((_, lately), (events, failed)) = (within(HOUR), within(DAY));
        let last =
            |which: fn(&Count) -> bool| webhooks.counts.iter().rev().find(|(_, count)| which(count)).map(|(m, _)| *m);
        let last_failed = last(|count| count.failed > 0);
        let last_good = last(|count| count.events > count.failed);
        let processed = events - failed - received(self.now.0 - DAY * MINUTE)?;
        let seen = if lately > 0 {
            Seen::new(Outcome::Failed, format!("{lately} webhooks of the last hour failed"))
        } else if failed * 20 > events {
            Seen::new(Outcome::Failed, format!("{failed} of {events} webhooks of 24 hours failed"))
        } else if last_failed.is_some() && last_failed > last_good {
            Seen::new(Outcome::Failed, "the last webhook failed, and none was processed since")
        } else if processed <= 0 {
            Seen::new(Outcome::Absent, "no webhook was processed in 24 hours")
        } else {
            Seen::new(
                Outcome::Met,
                format!("webhooks processed in 24 hours: {processed}; none failed in the last hour"),
            )
        };
        Ok(seen.then(look))
    }

    fn telemetry(&self) -> Result<Seen, ReadinessError> {
        let functions = minutes(Window::ending(self.now.0, TEN_MINUTES), Times::Unwanted)?;
        let calls: u64 = functions.iter().flat_map(|(_, minutes)| minutes.values()).map(|minute| minute.calls).sum();
        Ok(match calls {
            0 => Seen::new(Outcome::Absent, "no call of a function in ten minutes").then(in_target_schema(
                "SELECT max(created_at) FROM @extschema@.event_log WHERE created_at > now() - interval '1 day';",
            )?),
            calls => Seen::new(Outcome::Met, format!("{calls} calls of {} functions in ten minutes", functions.len())),
        })
    }
}

/// How many webhooks of the time since wait to be processed.
fn received(since: i64) -> Result<i64, ReadinessError> {
    let sql = in_target_schema(include_str!("../../sql/readiness/received_webhooks.sql"))?;
    let since = TimestampWithTimeZone::try_from(since).ok();
    as_owner(|| {
        Spi::connect(|client| {
            Ok(client.select(sql.as_str(), Some(1), &[since.into()])?.first().get_one::<i64>()?.unwrap_or(0))
        })
    })
}

fn recorded(criterion: &str) -> Seen {
    Seen::new(Outcome::Elsewhere, "somebody has to record evidence").then(evidence(criterion))
}

/// What nothing in the database knows yet.
fn elsewhere(criterion: &str, what: &str) -> Seen {
    Seen::new(Outcome::Elsewhere, format!("{what} is not known here")).then(evidence(criterion))
}

/// Shows what was recorded. What is so has to be looked at, and not only said: a command that says it would be typed as it stands.
fn evidence(criterion: &str) -> String {
    let name = quote_literal(criterion);
    format!(
        "SELECT passed, details, recorded_at, recorded_by FROM crewsnow_ops.evidence WHERE criterion = {name} ORDER BY recorded_at DESC LIMIT 5; -- {criterion}: look, then say what is so with crewsnow_ops.record_evidence"
    )
}

/// Runs the tests of a criterion, and keeps how they went for where they cannot run.
fn tests(criterion: &str) -> Result<Seen, ReadinessError> {
    let runs = e2e::run(None, Some(criterion))?;
    if runs.is_empty() {
        let name = quote_literal(criterion);
        let action = format!(
            "SELECT name, function FROM crewsnow_ops.e2e_tests WHERE criterion = {name}; -- {criterion}: an admin registers one with crewsnow_ops.register_e2e_test"
        );
        return Ok(Seen::new(Outcome::Absent, "no test is registered").then(action));
    }
    let passed = runs.iter().all(|run| run.passed);
    let details = serde_json::json!({ "tests": runs });
    keep(criterion, passed, "tests", None, JsonB(details), None)?;
    let failed: Vec<String> = runs
        .iter()
        .filter(|run| !run.passed)
        .map(|run| {
            let step = run.failed_step.as_ref().map(|step| format!(" at \"{step}\"")).unwrap_or_default();
            format!("\"{}\"{step}: {}", run.test, run.error.as_deref().unwrap_or_default())
        })
        .collect();
    let first = runs.iter().find(|run| !run.passed);
    Ok(match first {
        None => {
            let steps: usize = runs.iter().map(|run| run.steps.len()).sum();
            let milliseconds: f64 = runs.iter().map(|run| run.milliseconds).sum();
            let detail = format!("{} passed: {steps} steps in {milliseconds:.0} ms", tests_counted(runs.len()));
            Seen::new(Outcome::Met, detail)
        }
        Some(first) => {
            let detail = format!("{} of {} failed: {}", failed.len(), tests_counted(runs.len()), named(&failed));
            let action = format!("SELECT * FROM crewsnow_ops.run_e2e_tests({});", quote_literal(&first.test));
            Seen::new(Outcome::Failed, detail).then(action)
        }
    })
}

fn tests_counted(count: usize) -> String {
    format!("{count} {}", if count == 1 { "test" } else { "tests" })
}

fn row_security() -> Result<Seen, ReadinessError> {
    let (seen, accepted) = match summarize()? {
        AuditSummary::Leaking(leaks) => {
            (Seen::new(Outcome::Failed, format!("it leaks: {}", named(&leaks))), Vec::new())
        }
        AuditSummary::Inconclusive(why) => {
            (Seen::new(Outcome::Absent, format!("it could not be told: {}", named(&why))), Vec::new())
        }
        AuditSummary::Sound { tables, weaknesses, accepted } => {
            let weaknesses = match weaknesses {
                0 => String::new(),
                n => format!("; weaknesses that are no leaks: {n}"),
            };
            (Seen::new(Outcome::Met, format!("no leak in {tables} tables, audited now{weaknesses}")), accepted)
        }
    };
    let caveat = (!accepted.is_empty()).then(|| format!("what leaks was accepted: {}", named(&accepted)));
    Ok(Seen { caveat, ..seen.then("SELECT finding, detail, remediation FROM crewsnow_ops.audit_rls();") })
}

fn freeze() -> Result<Seen, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let row = client.select(include_str!("../../sql/readiness/freeze.sql"), Some(1), &[])?.first();
            let next = row.get::<TimestampWithTimeZone>(2)?.map(|next| Instant(next.into_inner()));
            Ok(match row.get::<String>(1)? {
                None => Seen::new(Outcome::Met, "no freeze is on").until(next),
                Some(freezes) => Seen::new(Outcome::Failed, freezes)
                    .then("SELECT * FROM crewsnow_ops.freezes WHERE now() >= starts_at AND now() < ends_at;"),
            })
        })
    })
}

fn flags() -> Result<Seen, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let (mut planned, mut wrong, mut action) = (0, Vec::new(), None);
            for row in client.select(include_str!("../../sql/readiness/flags.sql"), None, &[])? {
                planned = row.get::<i64>(1)?.unwrap_or(0);
                let (Some(key), Some(why)) = (row.get::<String>(2)?, row.get::<String>(3)?) else { continue };
                wrong.push(format!("{key} {why}"));
                action = action.or(row.get::<String>(4)?);
            }
            Ok(match (planned, wrong.as_slice()) {
                (0, _) => Seen::new(Outcome::Absent, "the launch plan has no flag"),
                (_, []) => Seen::new(Outcome::Met, format!("all {planned} flags of the launch plan")),
                _ => Seen { action, ..Seen::new(Outcome::Failed, named(&wrong)) },
            })
        })
    })
}

/// The first ones, and how many more.
fn named(all: &[String]) -> String {
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}", all[..all.len().min(NAMED)].join("; "))
}
