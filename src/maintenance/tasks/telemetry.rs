//! Counts events, makes the partitions of coming days and drops those that retention allows.

use super::{NO_TIME, fail, holder, run_here, skipped};
use crate::maintenance::answer::{ANSWER, answer, ask};
use crate::maintenance::context::Context;
use crate::maintenance::error::MaintenanceError;
use crate::maintenance::step::Verdict;
use crate::pg::catalog::partition;
use crate::pg::fmgr::spi;
use crate::pg::worker::{Outcome, Warning};
use crate::telemetry::rollup::{events, partitions, retention};
use pgrx::prelude::*;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Calls of one function, each of which makes progress.
const MAX_CALLS: usize = 1_000;
/// Calls without progress, before the rest is left to the next run.
const MAX_IDLE: usize = 5;
const PAUSE: Duration = Duration::from_millis(300);
const LOG: &str = "event_log";

/// The sums of the answers of calls, and why they ended.
#[derive(Default)]
struct Calls {
    sums: Map<String, Value>,
    is_complete: bool,
    /// The last warning of the last call.
    warning: Option<String>,
    failure: Option<Outcome>,
    /// Whether the worker was ended.
    is_lost: bool,
}

impl Calls {
    /// Adds an answer. Returns whether the call has made progress.
    fn add(&mut self, row: &Map<String, Value>) -> bool {
        let mut has_progress = false;
        for (name, value) in row {
            if let Some(number) = value.as_i64() {
                has_progress |= number > 0;
                let sum = self.sums.get(name).and_then(Value::as_i64).unwrap_or(0);
                self.sums.insert(name.clone(), json!(sum + number));
            }
        }
        self.is_complete = row.get("is_complete").and_then(Value::as_bool).unwrap_or(false);
        has_progress
    }
}

/// A row of a function as JSON. Without a worker the session calls it itself.
fn call(context: &mut Context, function: &str) -> Option<Outcome> {
    let query = format!("SELECT pg_catalog.row_to_json(r)::text FROM {function} AS r");
    if context.has_worker() {
        return ask(context, &query, Vec::new());
    }
    let read = || {
        spi::connect_mut(|client| client.update(&query, Some(1), &[])?.first().get_one::<String>())
    };
    Some(match run_here(context, read) {
        Ok(row) => {
            let row = row.ok().flatten().unwrap_or_default();
            let message = format!("{ANSWER}{row}");
            Outcome::Done(vec![Warning { sqlstate: "00000".into(), message }])
        }
        Err(outcome) => outcome,
    })
}

/// Calls a function of telemetry until its answer is complete and `is_enough`.
fn call_until(
    context: &mut Context,
    function: &str,
    is_enough: impl Fn() -> Result<bool, MaintenanceError>,
) -> Result<Calls, MaintenanceError> {
    let mut calls = Calls::default();
    let mut idle = 0;
    for _ in 0..MAX_CALLS {
        pgrx::check_for_interrupts!();
        let warnings = match call(context, function) {
            Some(Outcome::Done(warnings)) => warnings,
            outcome => {
                calls.is_lost = outcome.is_none();
                calls.failure = outcome;
                break;
            }
        };
        let Some(row) = answer(&warnings) else { break };
        let is_warning = |warning: &&Warning| !warning.message.starts_with(ANSWER);
        calls.warning = warnings.iter().rfind(is_warning).map(|w| w.message.clone());
        let has_progress = calls.add(&row);
        if calls.is_complete && is_enough()? {
            break;
        }
        idle = if has_progress { 0 } else { idle + 1 };
        if idle >= MAX_IDLE || context.is_over() {
            break;
        }
        if !has_progress {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(calls)
}

/// Runs the tasks.
pub fn run(context: &mut Context) -> Result<(), MaintenanceError> {
    roll_up(context)?;
    retain(context)
}

fn log() -> Result<(pg_sys::Oid, pg_sys::LOCKMODE), MaintenanceError> {
    Ok((events::target_table(c"event_log")?, pg_sys::AccessExclusiveLock as i32))
}

/// The roll-up also makes the partitions of the coming days.
fn roll_up(context: &mut Context) -> Result<(), MaintenanceError> {
    const TASK: &str = "roll-up";
    const COMMAND: &str = "SELECT * FROM crewsnow_ops.roll_up_events();";
    let before = partitions::coming_days()?;
    if context.is_over() {
        context.add(skipped(TASK, LOG, NO_TIME, COMMAND));
        return Ok(());
    }
    let mut step = context.begin_short(TASK, LOG, None);
    // A roll-up makes no partition in a transaction block, nor beside a large default partition.
    let is_apart = partition::is_in_transaction_block() || partitions::is_default_large()?;
    let has_days = || Ok(is_apart || partitions::coming_days()? == partitions::DAYS_AHEAD);
    let calls = call_until(context, "crewsnow_ops.roll_up_events()", has_days)?;
    if calls.is_lost || calls.failure.is_some() {
        fail(context, step, calls.failure, log()?, COMMAND);
        return Ok(());
    }
    let counted = calls.sums.get("events_counted").and_then(Value::as_i64).unwrap_or(0);
    step.after = Some(json!({ "events_counted": counted }));
    if calls.is_complete {
        if counted > 0 {
            context.end(step, Verdict::Done, format!("{counted} events counted"));
        }
    } else {
        context.end(step, Verdict::Covered, "another session rolls up".to_owned());
    }
    let after = partitions::coming_days()?;
    if after == before && after == partitions::DAYS_AHEAD {
        return Ok(());
    }
    let mut step = skipped("partition", LOG, "", COMMAND);
    step.before = Some(json!({ "days": before }));
    step.after = Some(json!({ "days": after }));
    if after == partitions::DAYS_AHEAD {
        step.verdict = Verdict::Done;
        step.command = None;
        step.detail = format!("partitions for {after} days, today included");
    } else if partitions::is_default_large()? {
        // No run can change this; retention deletes the rows instead.
        step.verdict = Verdict::Covered;
        step.command = None;
        step.detail = "no new partitions beside a default partition above 64 MB".to_owned();
    } else {
        step.detail = context.missing().or(calls.warning).unwrap_or_else(|| {
            let days = partitions::DAYS_AHEAD;
            format!("partitions for {after} of {days} days: the default partition is in use")
        });
    }
    context.add(step);
    Ok(())
}

fn retain(context: &mut Context) -> Result<(), MaintenanceError> {
    const TASK: &str = "retention";
    const COMMAND: &str = "SELECT * FROM crewsnow_ops.apply_event_retention();";
    let expired = retention::expired_partitions()?;
    if context.is_over() {
        context.add(skipped(TASK, LOG, NO_TIME, COMMAND));
        return Ok(());
    }
    if let Some(reason) = context.missing() {
        // In the transaction of this run, writers would wait for its end.
        if expired > 0 {
            context.add(skipped(TASK, LOG, &reason, COMMAND));
        }
        return Ok(());
    }
    let before = json!({ "expired_partitions": expired });
    let mut step = context.begin_short(TASK, LOG, Some(before));
    let mut calls = call_until(context, "crewsnow_ops.apply_event_retention()", || Ok(true))?;
    if calls.is_lost || calls.failure.is_some() {
        fail(context, step, calls.failure, log()?, COMMAND);
        return Ok(());
    }
    let left = retention::expired_partitions()?;
    calls.sums.insert("expired_partitions".to_owned(), json!(left));
    let number = |name: &str| calls.sums.get(name).and_then(Value::as_i64).unwrap_or(0);
    let dropped = number("partitions_dropped");
    let deleted = number("events_deleted") + number("rollups_deleted");
    let done = format!("{dropped} partitions dropped, {deleted} rows deleted");
    if calls.is_complete {
        step.after = Some(Value::Object(calls.sums));
        if dropped + deleted > 0 {
            context.end(step, Verdict::Done, done);
        }
        return Ok(());
    }
    let (reason, command) = match (calls.warning, holder(log()?)) {
        (Some(warning), _) => (warning, None),
        (None, (reason, Some(command))) => (reason, Some(command)),
        (None, _) => {
            ("an event that old is not counted, or its partition is in use".to_owned(), None)
        }
    };
    step.after = Some(Value::Object(calls.sums));
    step.command = command.or(Some(COMMAND.to_owned()));
    context.end(step, Verdict::Skipped, format!("{done}, {left} left: {reason}"));
    Ok(())
}
