//! What can be seen of the system by itself.

use super::e2e;
use super::evidence::keep;
use super::instant::Instant;
use super::model::{Measurement, Outcome};
use crate::access::as_owner;
use crate::error::OpsError;
use crate::pg::spi::in_target_schema;
use crate::pg::subtransaction;
use crate::rls::standing::{Standing, standing};
use crate::telemetry::events::Times;
use crate::telemetry::minute::Window;
use crate::telemetry::views::{HOUR, TEN_MINUTES, Webhooks, minutes};
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
}

/// Looks at the system for one criterion at a time.
pub struct Observer {
    /// The present moment.
    pub now: Instant,
    /// Whether something can be written: tests do.
    pub is_writable: bool,
}

/// An outcome, in words, and the command that helps.
type Seen = (Outcome, String, Option<String>);

impl Observer {
    /// What a measure says. One that fails is no evidence, and no reason for the others to fail.
    pub fn look(&self, measure: &str, criterion: &str, last_run: Option<LastRun>) -> Measurement {
        let looked = subtransaction::attempt(AssertUnwindSafe(|| self.see(measure, criterion, last_run)));
        let (outcome, detail, action) = match looked {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => (Outcome::Absent, format!("it could not be looked at: {error}"), None),
            Err(failure) if failure.is_from_outside() => failure.raise(),
            Err(failure) => (Outcome::Absent, format!("it could not be looked at: {}", failure.told()), None),
        };
        let action = action.filter(|_| outcome != Outcome::Met);
        Measurement { measure: measure.to_owned(), outcome, detail, action }
    }

    fn see(&self, measure: &str, criterion: &str, last_run: Option<LastRun>) -> Result<Seen, OpsError> {
        match measure {
            "tests" if self.is_writable => tests(criterion),
            "tests" => Ok(self.earlier_tests(last_run)),
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

    fn earlier_tests(&self, last_run: Option<LastRun>) -> Seen {
        let run = Some("SELECT * FROM crewsnow_ops.run_e2e_tests();".to_owned());
        match last_run {
            None => (Outcome::Absent, "tests write: they cannot run here, and have not run before".to_owned(), run),
            Some(last) if !last.passed => (Outcome::Failed, format!("tests failed at {}", last.at), run),
            Some(last) if last.fresh_until <= self.now => {
                let detail = format!("tests write: they cannot run here, and passed at {}, too long ago", last.at);
                (Outcome::Absent, detail, run)
            }
            Some(last) => (Outcome::Met, format!("tests passed at {}; they write, and cannot run here", last.at), None),
        }
    }

    fn webhooks(&self) -> Result<Seen, OpsError> {
        let webhooks = Webhooks::read(Window::ending(self.now.0, DAY), self.now.0)?;
        let look = "SELECT * FROM processed_events WHERE status <> 'processed' ORDER BY processed_at DESC LIMIT 20;";
        if let Some(alert) = &webhooks.alert {
            return Ok((Outcome::Failed, alert.to_string(), Some(look.to_owned())));
        }
        let sum = |window: Window| {
            webhooks
                .counts
                .iter()
                .filter(|(minute, _)| window.holds(**minute))
                .fold((0, 0), |(events, failed), (_, count)| (events + count.events, failed + count.failed))
        };
        let (events, failed) = sum(Window::ending(self.now.0, HOUR));
        if failed > 0 {
            let detail = format!("{failed} of {events} webhooks of the last hour failed");
            return Ok((Outcome::Failed, detail, Some(look.to_owned())));
        }
        let (events, failed) = sum(Window::ending(self.now.0, DAY));
        Ok(match events - failed {
            ..=0 => {
                let look = "SELECT event_type, max(processed_at) FROM processed_events GROUP BY 1 ORDER BY 2 DESC;";
                (Outcome::Absent, "no webhook was processed in 24 hours".to_owned(), Some(look.to_owned()))
            }
            processed => {
                (Outcome::Met, format!("{processed} webhooks processed in 24 hours, none failed in the last"), None)
            }
        })
    }

    fn telemetry(&self) -> Result<Seen, OpsError> {
        let functions = minutes(Window::ending(self.now.0, TEN_MINUTES), Times::Unwanted)?;
        let calls: u64 = functions.iter().flat_map(|(_, minutes)| minutes.values()).map(|minute| minute.calls).sum();
        let action = "SELECT max(created_at) FROM event_log WHERE created_at > now() - interval '1 day';".to_owned();
        Ok(match calls {
            0 => (Outcome::Absent, "no call of a function in ten minutes".to_owned(), Some(action)),
            calls => (Outcome::Met, format!("{calls} calls of {} functions in ten minutes", functions.len()), None),
        })
    }
}

fn recorded(criterion: &str) -> Seen {
    (Outcome::Elsewhere, "somebody has to record evidence".to_owned(), Some(record(criterion)))
}

/// What nothing in the database knows yet.
fn elsewhere(criterion: &str, what: &str) -> Seen {
    (Outcome::Elsewhere, format!("{what} is not known here"), Some(record(criterion)))
}

fn record(criterion: &str) -> String {
    format!("SELECT crewsnow_ops.record_evidence({}, true);", quote_literal(criterion))
}

/// Runs the tests of a criterion, and keeps how they went for where they cannot run.
fn tests(criterion: &str) -> Result<Seen, OpsError> {
    let runs = e2e::run(None, Some(criterion))?;
    if runs.is_empty() {
        let action = format!(
            "SELECT crewsnow_ops.register_e2e_test('…', 'schema.function()', p_criterion => {});",
            quote_literal(criterion)
        );
        return Ok((Outcome::Absent, "no test is registered".to_owned(), Some(action)));
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
            (Outcome::Met, format!("{} passed: {steps} steps in {milliseconds:.0} ms", tests_counted(runs.len())), None)
        }
        Some(first) => {
            let action = format!("SELECT * FROM crewsnow_ops.run_e2e_tests({});", quote_literal(&first.test));
            let detail = format!("{} of {} failed: {}", failed.len(), tests_counted(runs.len()), named(&failed));
            (Outcome::Failed, detail, Some(action))
        }
    })
}

fn tests_counted(count: usize) -> String {
    format!("{count} {}", if count == 1 { "test" } else { "tests" })
}

fn row_security() -> Result<Seen, OpsError> {
    let action = Some("SELECT finding, detail, remediation FROM crewsnow_ops.audit_rls();".to_owned());
    Ok(match standing()? {
        Standing::Leaking(leaks) => (Outcome::Failed, format!("it leaks: {}", named(&leaks)), action),
        Standing::Untold(why) => (Outcome::Absent, format!("it could not be told: {}", named(&why)), action),
        Standing::Sound { tables, weaknesses } => {
            let weaknesses = match weaknesses {
                0 => String::new(),
                n => format!("; weaknesses that are no leaks: {n}"),
            };
            (Outcome::Met, format!("no leak in {tables} tables, audited now{weaknesses}"), None)
        }
    })
}

fn freeze() -> Result<Seen, OpsError> {
    as_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(include_str!("../../sql/readiness/freeze.sql"), Some(1), &[])?;
            if rows.is_empty() {
                return Ok((Outcome::Met, "no freeze is on".to_owned(), None));
            }
            let row = rows.first();
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let detail = format!("frozen until {} by {}: {}", text(4)?, text(3)?, text(2)?);
            Ok((Outcome::Failed, detail, Some(format!("SELECT crewsnow_ops.end_freeze('{}');", text(1)?))))
        })
    })
}

fn flags() -> Result<Seen, OpsError> {
    let sql = in_target_schema(include_str!("../../sql/readiness/flags.sql"))?;
    as_owner(|| {
        Spi::connect(|client| {
            let (mut planned, mut wrong, mut action) = (0, Vec::new(), None);
            for row in client.select(sql.as_str(), None, &[])? {
                planned = row.get::<i64>(1)?.unwrap_or(0);
                let (Some(key), Some(why)) = (row.get::<String>(2)?, row.get::<String>(3)?) else { continue };
                wrong.push(format!("{key} {why}"));
                action = action.or(row.get::<String>(4)?);
            }
            Ok(match (planned, wrong.as_slice()) {
                (0, _) => (Outcome::Absent, "the launch plan has no flag".to_owned(), None),
                (_, []) => (Outcome::Met, format!("all {planned} flags of the launch plan"), None),
                _ => (Outcome::Failed, named(&wrong), action),
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
