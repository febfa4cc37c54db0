//! The tasks of a run beside VACUUM: telemetry, materialized views, invalid indexes.
//!
//! The leader reads catalogs only and keeps no lock on a table that its worker needs. Each
//! statement of the worker has transactions of its own.

pub mod indexes;
pub mod matviews;
pub mod telemetry;

use super::context::Context;
use super::error::MaintenanceError;
use super::step::{Step, Verdict};
use crate::pg::clock;
use crate::pg::worker::Outcome;
use crate::pg::xact::lock_holder::LockHolder;
use crate::pg::xact::timeout::{Stopped, isolated_within};
use crate::pg::xact::{lock_holder, lock_wait, subtransaction};
use pgrx::prelude::*;

/// The reason of a step that the end of the run has cut short or prevented.
const NO_TIME: &str =
    "the time of the run was over (its window, or crewsnow_ops.maintenance_budget)";
/// SQLSTATE of a lock that was not free.
pub const LOCKED: &str = "55P03";
/// SQLSTATEs of objects that are gone.
pub const GONE: [&str; 2] = ["42P01", "42704"];

/// A lock that a statement needs: the table, and the mode as in the server's lockdefs.h.
pub type Need = (pg_sys::Oid, pg_sys::LOCKMODE);

/// A step that was not begun.
fn skipped(task: &'static str, object: &str, reason: &str, command: &str) -> Step {
    Step {
        detail: reason.to_owned(),
        command: Some(command.to_owned()),
        ..Step::at(clock::now(), task, object.to_owned(), Verdict::Skipped)
    }
}

/// The session in the way of a lock, and the command that ends it.
pub fn holder((table, mode): Need) -> (String, Option<String>) {
    let holder = lock_holder::of_table(table, mode);
    let command = holder.as_ref().map(|holder| lock_holder::hint(Some(holder)));
    (words(holder.as_ref()), command)
}

/// The session in the way of a lock, in words; `None` if it is gone.
pub fn words(holder: Option<&LockHolder>) -> String {
    let Some(holder) = holder else { return "another session had it locked".into() };
    match (holder.pid, holder.age) {
        (0, _) => "a prepared transaction has it locked".to_owned(),
        (pid, Some(age)) => {
            format!("process {pid} ({}, transaction of {age} s) has it locked", holder.state)
        }
        (pid, None) => format!("process {pid} ({}) has it locked", holder.state),
    }
}

/// Ends a step whose statement did not succeed.
fn fail(context: &mut Context, mut step: Step, outcome: Option<Outcome>, need: Need, again: &str) {
    let (verdict, detail, command) = match outcome {
        Some(Outcome::Failed { sqlstate, .. }) if sqlstate == LOCKED => {
            let (detail, command) = holder(need);
            (Verdict::Skipped, detail, command.or(Some(again.to_owned())))
        }
        Some(Outcome::Failed { sqlstate, .. }) if GONE.contains(&sqlstate.as_str()) => {
            (Verdict::Covered, "dropped meanwhile".to_owned(), None)
        }
        Some(Outcome::Failed { message, .. }) => (Verdict::Failed, message, Some(again.to_owned())),
        Some(Outcome::TimedOut) => (Verdict::Skipped, NO_TIME.to_owned(), Some(again.to_owned())),
        Some(Outcome::Done(_)) | None => {
            (Verdict::Failed, "the worker was ended".to_owned(), Some(again.to_owned()))
        }
    };
    step.command = command;
    context.end(step, verdict, detail);
}

/// Runs a statement in this session, for want of a worker, with its limit on waits for locks. Its
/// locks last until the run ends.
fn run_here<R>(context: &Context, work: impl FnOnce() -> R) -> Result<R, Outcome> {
    let rest = (context.deadline - clock::now()) / 1_000;
    let milliseconds = i32::try_from(rest).unwrap_or(i32::MAX);
    isolated_within(milliseconds, || lock_wait::in_scope(|_| work())).map_err(|stopped| {
        match stopped {
            Stopped::TimedOut(_) => Outcome::TimedOut,
            Stopped::Failed(failure) => {
                Outcome::Failed { sqlstate: failure.state(), message: failure.redacted_message() }
            }
        }
    })
}

/// Reads a table for a task; a failure is a step, so that other tasks go on.
fn read<R>(
    context: &mut Context,
    task: &'static str,
    table: &str,
    work: impl FnOnce() -> Result<Vec<R>, MaintenanceError>,
) -> Result<Vec<R>, MaintenanceError> {
    match subtransaction::isolated(work) {
        Ok(rows) => rows,
        Err(failure) => {
            context.add(Step {
                detail: failure.redacted_message(),
                ..Step::at(clock::now(), task, table.to_owned(), Verdict::Failed)
            });
            Ok(Vec::new())
        }
    }
}
