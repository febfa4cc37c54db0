//! `run_performance_maintenance()`: one run from its lock to its report.

use super::context::{Context, Missing};
use super::error::MaintenanceError;
use super::records::Run;
use super::report::Report;
use super::step::{Step, Verdict};
use super::{tasks, vacuum};
use crate::pg::catalog::partition;
use crate::pg::clock;
use crate::pg::worker::Worker;
use crate::pg::xact::run_lock::{Work, try_lock};
use crate::pg::xact::session;
use crate::settings;
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
    let deadline = started + settings::maintenance_budget() * 1_000_000;
    let worker = start_worker();
    let run = Run {
        id: new_id()?,
        user: session::user(),
        leader: session::own_pid(),
        worker: worker.as_ref().ok().map(Worker::pid),
    };
    let mut context = Context::new(run, worker, deadline);
    let mut whole = Step::at(started, "run", String::new(), Verdict::Started);
    whole.ended = None;
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

/// The report. The row of the run ends with its last line.
fn finish(mut context: Context, mut whole: Step) -> String {
    whole.ended = Some(clock::now());
    let database = session::database();
    let (text, last, verdict) = {
        let report = Report {
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
fn start_worker() -> Result<Worker, Missing> {
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
