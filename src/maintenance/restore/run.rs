//! `test_backup_restore_procedure()`: one test from its lock to its report.

use super::candidates::{self, Candidate, Chosen};
use super::error::RestoreError;
use super::scratch::{self, Scratch};
use super::verdict::Findings;
use crate::maintenance::context::Context;
use crate::maintenance::records::{Run, RunKind};
use crate::maintenance::step::{Step, Verdict};
use crate::pg::builtins;
use crate::pg::catalog::partition;
use crate::pg::clock;
use crate::pg::worker::Worker;
use crate::pg::xact::run_lock::{Work, try_lock, wait_for};
use crate::pg::xact::session;
use crate::readiness;
use crate::settings;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::path::Path;

const ACTION: &str = "test a backup";

/// Restores a backup and says what is wrong with it. See the COMMENT on the SQL function.
///
/// SQLSTATE 22023 (no absolute path), 25001 (transaction block), 25006 (read-only), 42501 (no
/// privileges of pg_execute_server_program), 53000 (no worker), 53100 (no room), 54000 (too
/// large), 55006 (a test is running), 58P01 (a file is missing).
#[pg_extern(requires = ["backups"])]
#[search_path(pg_catalog, pg_temp)]
pub fn test_backup_restore_procedure(
    p_backup: default!(Option<&str>, "NULL"),
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<String, ErrorReport> {
    let is_typed = readiness::in_person::is_typed(fcinfo);
    Ok(test(p_backup, is_typed)?)
}

/// Waits for the end of the restore test of this database, and then removes its directory. For the
/// worker that cleans up behind a test.
///
/// SQLSTATE 42501 (no privileges of pg_execute_server_program).
#[pg_extern(schema = "crewsnow_ops", requires = ["backups"])]
#[search_path(pg_catalog, pg_temp)]
pub fn await_restore_test(p_directory: Option<&str>) -> Result<(), ErrorReport> {
    Source::read()?;
    wait_for(Work::RestoreTest);
    let directory = p_directory.map(Path::new);
    if let Some(directory) = directory.filter(|directory| scratch::is_of_a_test(directory)) {
        scratch::remove_directory(directory)?;
    }
    Ok(())
}

/// This database.
pub(super) struct Source {
    /// Its size.
    pub(super) bytes: u64,
    oid: String,
}

impl Source {
    /// Reads the database; 42501 if the caller may not run programs of the server.
    fn read() -> Result<Self, RestoreError> {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/restore_privileges.sql");
            let row = client.select(sql, None, &[])?.first();
            if row.get::<bool>(1)? != Some(true) {
                return Err(RestoreError::MayNotRunPrograms);
            }
            let bytes = row.get::<i64>(2)?.unwrap_or(0).unsigned_abs();
            Ok(Self { bytes, oid: row.get::<String>(3)?.unwrap_or_default() })
        })
    }
}

/// A test while it runs.
pub struct Test {
    pub(super) source: Source,
    /// Its worker and its steps.
    pub(super) context: Context,
    /// Everything that it has found.
    pub(super) findings: Findings,
    /// Sentences below the findings.
    pub(super) notes: Vec<String>,
    /// Its begin, in microseconds since 2000.
    pub(super) started: i64,
    /// The kind of the backup.
    pub(super) kind: &'static str,
    /// Whether pg_verifybackup found each file of the backup as the source wrote it.
    pub(super) is_vouched: bool,
    /// The path of the backup; `None` for a fresh dump.
    pub(super) location: Option<String>,
    /// The row of `backup_log`; `None` without one.
    pub(super) known: Option<Candidate>,
    /// The size of the backup in bytes.
    pub(super) backup_bytes: Option<u64>,
    /// The size of the restored database in bytes.
    pub(super) restored_bytes: Option<i64>,
    /// Seconds until the restored database could be used.
    pub(super) rto: Option<f64>,
    /// Seconds between its heartbeat and the begin of the test.
    pub(super) rpo: Option<f64>,
}

fn test(named: Option<&str>, is_typed: bool) -> Result<String, RestoreError> {
    session::require_writable(ACTION)?;
    if partition::is_in_transaction_block() {
        return Err(RestoreError::InTransactionBlock);
    }
    let source = Source::read()?;
    lock()?;
    let started = clock::now();
    let worker = start_worker()?;
    let removed = scratch::remove_leftovers(&worker, &source.oid)?;
    let run = Run {
        kind: RunKind::Performance,
        id: builtins::new_uuid().to_string(),
        user: session::user(),
        leader: session::own_pid(),
        worker: Some(worker.pid()),
    };
    let deadline = started + settings::restore_budget() * 1_000_000;
    let mut test = Test {
        source,
        context: Context::new(run, Ok(worker), deadline),
        findings: Findings::default(),
        notes: Vec::new(),
        started,
        kind: "unknown",
        is_vouched: false,
        location: None,
        known: None,
        backup_bytes: None,
        restored_bytes: None,
        rto: None,
        rpo: None,
    };
    if removed > 0 {
        test.notes.push(format!("Removed {removed} leftovers of a test that was cut short."));
    }
    test.run(named)?;
    test.finish(is_typed)
}

/// The worker that cleans up behind an earlier test has the lock for a moment.
fn lock() -> Result<(), RestoreError> {
    const PATIENCE: i64 = 1_000_000;
    let began = clock::now();
    while let Err(holder) = try_lock(Work::RestoreTest) {
        if clock::now() - began > PATIENCE {
            return Err(RestoreError::Running { holder });
        }
        pgrx::check_for_interrupts!();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

fn start_worker() -> Result<Worker, RestoreError> {
    match Worker::start("crewsnow_ops restore test") {
        Ok(Some(worker)) => Ok(worker),
        Ok(None) => Err(RestoreError::NoWorker),
        Err(error) => Err(RestoreError::WorkerFailed(error.to_string())),
    }
}

impl Test {
    fn run(&mut self, named: Option<&str>) -> Result<(), RestoreError> {
        // A row counts as running while a worker that is older than it lives.
        self.started = clock::now();
        let whole = self.whole();
        self.context.write_run(&whole, true);
        self.within_budget(|test| {
            match candidates::choose(named, settings::backup_max_age(), &mut test.findings)? {
                Chosen::Fresh => test.test_fresh_dump(),
                Chosen::Backup(path, known) => {
                    test.location = Some(path.to_string_lossy().into_owned());
                    test.known = known;
                    test.test_backup(&path, named.is_some())
                }
            }
        })
    }

    /// Runs a part of the test. The end of its time is a finding.
    fn within_budget(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        match work(self) {
            Err(RestoreError::OutOfTime) => {
                self.findings.cut_short();
                Ok(())
            }
            result => result,
        }
    }

    /// Runs a part of the test with a scratch database and directory, and removes both. Any error
    /// but the end of the time leaves that to the worker behind the test.
    pub(super) fn with_scratch(
        &mut self,
        work: impl FnOnce(&mut Self, &Scratch) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let scratch = Scratch::reserve(&self.source.oid)?;
        self.within_budget(|test| work(test, &scratch))?;
        let worker = self.context.worker().ok_or(RestoreError::NoWorker)?;
        scratch.remove(worker)
    }

    /// The step of the whole test, which goes on.
    pub(super) fn whole(&self) -> Step {
        let step = Step::at(self.started, "restore-test", String::new(), Verdict::Started);
        Step { ended: None, ..step }
    }
}
