//! `run_performance_maintenance()`: one run from its lock to its report.

use super::context::{Context, Missing};
use super::error::MaintenanceError;
use super::records::{Run, RunKind};
use super::report::Report;
use super::step::{Step, Verdict};
use super::windows::{Permission, permission};
use super::{tasks, vacuum};
use crate::pg::catalog::partition;
use crate::pg::clock;
use crate::pg::worker::Worker;
use crate::pg::xact::run_lock::{Work, try_lock};
use crate::pg::xact::session;
use crate::settings;
use crate::time::instant::Instant;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const ACTION: &str = "run maintenance";

/// Maintains this database. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (old snapshot), 25006 (read-only), 55006 (a run is going on).
#[pg_extern(requires = ["maintenance"])]
#[search_path(pg_catalog, pg_temp)]
pub fn run_performance_maintenance() -> Result<String, ErrorReport> {
    Ok(run()?)
}

fn run() -> Result<String, MaintenanceError> {
    session::require_writable(ACTION)?;
    session::require_latest_snapshot(ACTION)?;
    try_lock(Work::Maintenance).map_err(|holder| MaintenanceError::Running { holder })?;
    let started = clock::now();
    let mut deadline = started + settings::maintenance_budget() * 1_000_000;
    let mut notes = Vec::new();
    match permission()? {
        Permission::AnyTime => {}
        Permission::Until { end, window } => {
            notes.push(format!("Window {window} is open until {}.", Instant(end)));
            deadline = deadline.min(end);
        }
        Permission::Closed { next } => {
            return outside_windows(RunKind::Performance, started, next);
        }
    }
    let worker = start_worker();
    let run = identity(RunKind::Performance, worker.as_ref().ok().map(Worker::pid))?;
    let mut context = Context::new(run, worker, deadline);
    context.notes = notes;
    // A row counts as running while a worker that is older than it lives.
    let whole = whole_run(clock::now());
    context.write_run(&whole, true);
    if let Some(reason) = context.missing() {
        context.notes.push(format!(
            "No background worker: {reason}. Only work that a function may do was done."
        ));
    }
    tasks::telemetry::run(&mut context)?;
    vacuum::run(&mut context)?;
    tasks::matviews::run(&mut context)?;
    tasks::indexes::drop_leftovers(&mut context)?;
    tasks::indexes::start_rebuilds(&mut context)?;
    Ok(finish(context, whole))
}

/// The step of the run itself, at its start.
pub fn whole_run(started: i64) -> Step {
    Step { ended: None, ..Step::at(started, "run", String::new(), Verdict::Started) }
}

/// A new run of this session.
pub fn identity(kind: RunKind, worker: Option<i32>) -> Result<Run, MaintenanceError> {
    Ok(Run { kind, id: new_id()?, user: session::user(), leader: session::own_pid(), worker })
}

/// The statement that opens a window now, for an hour.
const OPEN_NOW: &str = "INSERT INTO crewsnow_ops.maintenance_windows \
    (name, on_date, local_start, duration, time_zone) SELECT concat('now ', t), t::date, t::time, \
    '1 hour', 'UTC' FROM date_trunc('minute', now() AT TIME ZONE 'UTC') AS t;";

/// The report of a run that no window allows: nothing was done.
pub fn outside_windows(
    kind: RunKind,
    started: i64,
    next: Option<(i64, String)>,
) -> Result<String, MaintenanceError> {
    let next = next.map_or_else(
        || "no window opens within 400 days".to_owned(),
        |(start, window)| format!("window {window} opens at {}", Instant(start)),
    );
    let mut step = Step::at(started, "window", "all tasks".to_owned(), Verdict::Skipped);
    step.detail = format!("no maintenance window is open; {next}");
    step.command = Some(OPEN_NOW.to_owned());
    let reason = Missing::NotStarted(step.detail.clone());
    let mut context = Context::new(identity(kind, None)?, Err(reason), started);
    context.add(step);
    Ok(finish(context, whole_run(started)))
}

/// The report. The row of the run ends with its last line.
pub fn finish(mut context: Context, mut whole: Step) -> String {
    whole.ended = Some(clock::now());
    let database = session::database();
    let (text, last, verdict) = {
        let kind = context.run().kind;
        let report = Report {
            title: kind.title(),
            table: kind.table(),
            nothing: match kind {
                RunKind::Performance => "Nothing needs maintenance now.",
                RunKind::Retention => "Nothing has expired.",
            },
            database: &database,
            steps: context.steps(),
            notes: &context.notes,
            seconds: whole.seconds().unwrap_or_default(),
        };
        let has = |verdict| context.steps().iter().any(|step| step.verdict == verdict);
        let worst = [Verdict::Failed, Verdict::Skipped].into_iter().find(|verdict| has(*verdict));
        (report.text(), report.last_line(), worst.unwrap_or(Verdict::Done))
    };
    whole.verdict = verdict;
    whole.detail = last;
    context.write_run(&whole, false);
    text
}

/// In a transaction block a worker would wait for the block's locks, and miss its changes.
pub fn start_worker() -> Result<Worker, Missing> {
    if partition::is_in_transaction_block() {
        let reason = "the call is in a transaction block (COMMIT, then call it alone)";
        return Err(Missing::NotStarted(reason.to_owned()));
    }
    match Worker::start("crewsnow_ops maintenance") {
        Ok(Some(worker)) => Ok(worker),
        Ok(None) => Err(Missing::NotStarted(
            "no slot was free within 10 s (max_worker_processes)".to_owned(),
        )),
        Err(error) => Err(Missing::NotStarted(error.to_string())),
    }
}

fn new_id() -> Result<String, MaintenanceError> {
    Spi::connect(|client| {
        let id = client.select("SELECT pg_catalog.gen_random_uuid()::text", Some(1), &[])?;
        Ok(id.first().get_one::<String>()?.unwrap_or_default())
    })
}
