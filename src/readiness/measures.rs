//! Evaluates the measures of a criterion against the running system.

use super::alarms;
use super::catalog;
use super::e2e;
use super::evidence::NewEvidence;
use super::observation::{Environment, Observation, listed};
use super::pure::measure::Measure;
use super::pure::model::{Measurement, Outcome};
use crate::access::as_owner;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::xact::subtransaction;
use crate::readiness::error::ReadinessError;
use crate::telemetry::rollup::events::Times;
use crate::telemetry::rollup::webhooks::Count;
use crate::telemetry::views::monitoring::{HOUR, TEN_MINUTES, Webhooks, minutes};
use crate::time::instant::Instant;
use crate::time::minute::{MINUTE, Window};
use pgrx::JsonB;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;

/// In minutes. Payments may pause for hours at night, so a shorter window would prove nothing.
const DAY: i64 = 24 * HOUR;

/// The latest run of the criterion's tests in crewsnow_ops.evidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastRun {
    /// Whether each test passed.
    pub passed: bool,
    /// Clock time of the run.
    pub at: Instant,
    /// End of validity.
    pub fresh_until: Instant,
    /// Whether it ran exactly the tests that are registered now.
    pub is_current: bool,
}

/// Evaluates measures for one decision.
pub(super) struct Observer {
    /// Clock time at the start of the decision.
    pub now: Instant,
    /// Where the decision is made.
    pub environment: Environment,
}

impl Observer {
    /// Evaluates one measure in a subtransaction. A failure counts as no data and does not stop
    /// the other measures.
    pub(super) fn evaluate(
        &self,
        measure: &str,
        criterion: &str,
        last_run: Option<LastRun>,
    ) -> Measurement {
        let failed =
            |why: String| Observation::new(Outcome::NoData, format!("measurement failed: {why}"));
        let observation =
            match subtransaction::isolated(|| self.observe(measure, criterion, last_run)) {
                Ok(Ok(observation)) => observation,
                Ok(Err(error)) => failed(error.to_string()),
                Err(failure) => failed(failure.redacted_message()),
            };
        Measurement {
            measure: measure.to_owned(),
            outcome: observation.outcome,
            detail: observation.detail,
            action: observation.action.filter(|_| observation.outcome != Outcome::Met),
            fresh_until: observation.fresh_until,
            caveat: observation.caveat,
            note: observation.note,
        }
    }

    fn observe(
        &self,
        measure: &str,
        criterion: &str,
        last_run: Option<LastRun>,
    ) -> Result<Observation, ReadinessError> {
        // The CHECK constraint on criteria.measures admits no unknown name. If one appears all the
        // same, recorded evidence decides: an unknown measure must not pass by itself.
        let Some(measure) = Measure::parse(measure) else {
            return Ok(needs_evidence(criterion, None));
        };
        match measure {
            Measure::Tests => self.tests(criterion, last_run),
            Measure::Rls => catalog::row_security(),
            Measure::Webhooks => self.webhooks(),
            Measure::Telemetry => self.telemetry(),
            Measure::Freeze => catalog::freeze(),
            Measure::Flags => catalog::flags(),
            Measure::ErrorRate => alarms::error_rate(self.now),
            Measure::Latency => alarms::latency(self.now),
            Measure::Health => alarms::health(),
            Measure::Replica => alarms::replica(self.environment),
            Measure::Clock => alarms::clock(self.now),
            Measure::Erasures => catalog::erasures(),
            Measure::AlertRules => Ok(catalog::alert_rules()?
                .unwrap_or_else(|| needs_evidence(criterion, Some("evaluation of alert rules")))),
            Measure::DeliveryQueue => Ok(needs_evidence(criterion, Some("delivery of alerts"))),
            Measure::OpenIncidents => {
                Ok(needs_evidence(criterion, Some("open critical incidents")))
            }
            Measure::RecentEscalations => {
                Ok(needs_evidence(criterion, Some("escalations to level 3")))
            }
            Measure::Evidence => Ok(needs_evidence(criterion, None)),
        }
    }

    fn tests(
        &self,
        criterion: &str,
        last_run: Option<LastRun>,
    ) -> Result<Observation, ReadinessError> {
        match self.environment {
            Environment::Writable => run_tests(criterion),
            Environment::Standby => Ok(self.last_run_on_primary(last_run)),
            Environment::ReadOnly => {
                let detail = "end-to-end tests cannot run in a read-only transaction";
                Ok(Observation::new(Outcome::NoData, detail)
                    .with_action("SHOW transaction_read_only;"))
            }
        }
    }

    /// A standby relies on the run that the primary recorded. It cannot see a run whose transaction
    /// rolled back, such as that of a failing require_go.
    fn last_run_on_primary(&self, last_run: Option<LastRun>) -> Observation {
        let no_data = |why: &str| {
            let detail = format!("end-to-end tests cannot run on a standby; {why}");
            Observation::new(Outcome::NoData, detail)
                .with_action("SELECT decision FROM make_go_no_go_decision(); -- on the primary")
        };
        match last_run {
            None => no_data("the primary has recorded no run"),
            Some(last) if !last.is_current => {
                no_data("the primary has not run the tests that are registered now")
            }
            Some(last) if !last.passed => Observation::new(
                Outcome::Failed,
                format!("tests failed on the primary at {}", last.at),
            )
            .with_action("SELECT * FROM crewsnow_ops.run_e2e_tests(); -- on the primary"),
            Some(last) if last.fresh_until <= self.now => {
                no_data(&format!("they passed on the primary at {}, too long ago", last.at))
            }
            Some(last) => Observation::new(
                Outcome::Met,
                format!("tests passed on the primary at {}", last.at),
            )
            .valid_until(Some(last.fresh_until)),
        }
    }

    fn webhooks(&self) -> Result<Observation, ReadinessError> {
        let action = in_target_schema(
            "SELECT status, count(*), max(processed_at) FROM @extschema@.processed_events \
             WHERE processed_at > now() - interval '1 day' GROUP BY 1;",
        )?;
        let webhooks = Webhooks::read(Window::ending(self.now.0, DAY), self.now.0)?;
        if let Some(alert) = &webhooks.alert {
            return Ok(Observation::new(Outcome::Failed, alert.to_string()).with_action(action));
        }
        let totals_of_last = |minutes| {
            let window = Window::ending(self.now.0, minutes);
            let counts = webhooks.counts.iter().filter(move |(minute, _)| window.holds(**minute));
            counts.fold((0, 0), |(events, failed), (_, count)| {
                (events + count.events, failed + count.failed)
            })
        };
        let (_, failed_last_hour) = totals_of_last(HOUR);
        let (events, failed) = totals_of_last(DAY);
        // Minutes of the future hide nothing: they come from a clock that was ahead.
        let day = Window::ending(self.now.0, DAY);
        let last_minute_with = |matches: fn(&Count) -> bool| {
            let mut latest = webhooks.counts.iter().rev();
            let (minute, _) =
                latest.find(|(minute, count)| day.holds(**minute) && matches(count))?;
            Some(*minute)
        };
        let last_failed = last_minute_with(|count| count.failed > 0);
        let last_processed = last_minute_with(|count| count.events > count.failed);
        let processed = events - failed - received_webhooks(self.now.0 - DAY * MINUTE)?;
        let observation = if failed_last_hour > 0 {
            let detail = format!("webhooks failed in the last hour: {failed_last_hour}");
            Observation::new(Outcome::Failed, detail)
        } else if failed * 20 > events {
            Observation::new(
                Outcome::Failed,
                format!("{failed} of {events} webhooks failed in 24 hours"),
            )
        } else if last_failed.is_some() && last_failed > last_processed {
            Observation::new(
                Outcome::Failed,
                "the last webhook failed, and none was processed since",
            )
        } else if processed <= 0 {
            Observation::new(Outcome::NoData, "no webhook was processed in 24 hours")
        } else {
            let detail = format!(
                "webhooks processed in 24 hours: {processed}; none failed in the last hour"
            );
            Observation::new(Outcome::Met, detail)
        };
        Ok(observation.with_action(action))
    }

    fn telemetry(&self) -> Result<Observation, ReadinessError> {
        let functions = minutes(Window::ending(self.now.0, TEN_MINUTES), Times::Unwanted)?;
        let calls: u64 = functions
            .iter()
            .flat_map(|(_, minutes)| minutes.values())
            .map(|minute| minute.calls)
            .sum();
        if calls == 0 {
            let action = in_target_schema(
                "SELECT max(created_at) FROM @extschema@.event_log \
                 WHERE created_at > now() - interval '1 day';",
            )?;
            return Ok(Observation::new(Outcome::NoData, "no function call in ten minutes")
                .with_action(action));
        }
        let silent = silent_functions()?;
        if !silent.is_empty() {
            let detail = format!("silent functions: {}", listed(&silent));
            return Ok(Observation::new(Outcome::Failed, detail)
                .with_action("SELECT * FROM crewsnow_ops.silent_functions;"));
        }
        let detail =
            format!("function calls in ten minutes: {calls}, of {} functions", functions.len());
        Ok(Observation::new(Outcome::Met, detail))
    }
}

/// The functions that used to be called at this time, each with its alert.
fn silent_functions() -> Result<Vec<String>, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/silent_functions.sql");
            let rows = client.select(sql, None, &[])?;
            rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default())).collect()
        })
    })
}

/// Number of webhooks since `since` that are received but not processed, counted up to 10,000.
fn received_webhooks(since: i64) -> Result<i64, ReadinessError> {
    let sql = in_target_schema(include_str!("../../sql/readiness/received_webhooks.sql"))?;
    let since = TimestampWithTimeZone::try_from(since).ok();
    as_owner(|| {
        Spi::connect(|client| {
            Ok(client
                .select(sql.as_str(), Some(1), &[since.into()])?
                .first()
                .get_one::<i64>()?
                .unwrap_or(0))
        })
    })
}

/// The database cannot measure `subject`; `None` stands for the criterion as a whole.
///
/// The action lists recorded evidence. It is deliberately not a call of record_evidence that is
/// ready to paste: users would record a pass without verifying it.
fn needs_evidence(criterion: &str, subject: Option<&str>) -> Observation {
    let detail = match subject {
        Some(subject) => format!("{subject}: needs recorded evidence"),
        None => "needs recorded evidence".to_owned(),
    };
    let action = format!(
        "SELECT passed, details, recorded_at, recorded_by FROM crewsnow_ops.evidence \
         WHERE criterion = {} ORDER BY recorded_at DESC LIMIT 5; \
         -- {criterion}: verify, then call crewsnow_ops.record_evidence",
        quote_literal(criterion)
    );
    Observation::new(Outcome::NeedsEvidence, detail).with_action(action)
}

/// Runs the tests of a criterion and records the run, on which decisions on a standby rely.
fn run_tests(criterion: &str) -> Result<Observation, ReadinessError> {
    let runs = e2e::run_tests(None, Some(criterion))?;
    if runs.is_empty() {
        let action = format!(
            "SELECT name, function FROM crewsnow_ops.e2e_tests WHERE criterion = {}; \
             -- {criterion}: an admin registers one with crewsnow_ops.register_e2e_test",
            quote_literal(criterion)
        );
        return Ok(Observation::new(Outcome::NoData, "no test is registered").with_action(action));
    }
    let failed: Vec<&e2e::TestRun> = runs.iter().filter(|run| !run.passed).collect();
    let details = serde_json::json!({ "tests": runs });
    NewEvidence {
        criterion,
        passed: failed.is_empty(),
        source: "tests",
        release: None,
        details: JsonB(details),
        valid_for: None,
        is_typed: false,
    }
    .insert()?;
    let count = match runs.len() {
        1 => "1 test".to_owned(),
        count => format!("{count} tests"),
    };
    let Some(first) = failed.first() else {
        let steps: usize = runs.iter().map(|run| run.steps.len()).sum();
        let milliseconds: f64 = runs.iter().map(|run| run.milliseconds).sum();
        let detail = format!("{count} passed: {steps} steps in {milliseconds:.0} ms");
        return Ok(Observation::new(Outcome::Met, detail).with_caveat(unproven(&runs)));
    };
    let failures: Vec<String> = failed
        .iter()
        .map(|run| {
            let step =
                run.failed_step.as_ref().map(|step| format!(" at \"{step}\"")).unwrap_or_default();
            format!("\"{}\"{step}: {}", run.test, run.error.as_deref().unwrap_or_default())
        })
        .collect();
    let detail = format!("{} of {count} failed: {}", failed.len(), listed(&failures));
    let action =
        format!("SELECT * FROM crewsnow_ops.run_e2e_tests({});", quote_literal(&first.test));
    Ok(Observation::new(Outcome::Failed, detail).with_action(action))
}

/// The test points of passed tests that prove nothing, if there are any.
fn unproven(runs: &[e2e::TestRun]) -> Option<String> {
    let sum = |count: fn(&e2e::TestRun) -> usize| runs.iter().map(count).sum::<usize>();
    match (sum(|run| run.skipped), sum(|run| run.todo)) {
        (0, 0) => None,
        (skipped, todo) => Some(format!("tests skipped: {skipped}; tests to do: {todo}")),
    }
}
