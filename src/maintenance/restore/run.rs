//! `test_backup_restore_procedure()`: one test from its lock to its report.

use super::backup::{Backup, Kind};
use super::base_backup;
use super::base_copy::{self, Verification};
use super::candidates::{self, Candidate, Chosen};
use super::client::{self, Connection};
use super::deadline;
use super::dump::{self, Archive};
use super::error::RestoreError;
use super::examination::{Expected, Facts, Restored};
use super::foreign_code;
use super::inventory::{self, Inventory};
use super::item::Scope;
use super::lock::limited;
use super::scratch::{self, Scratch};
use super::verdict::{Finding, Findings, Level};
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

/// Seconds from 1970 to 2000.
const UNIX_TO_2000: f64 = 946_684_800.0;

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
struct Source {
    bytes: u64,
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
    source: Source,
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
    is_vouched: bool,
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
    fn with_scratch(
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

    /// Runs a part of the test as a step that other sessions see.
    fn step<R>(
        &mut self,
        task: &'static str,
        object: &str,
        work: impl FnOnce(&mut Self) -> Result<R, RestoreError>,
    ) -> Result<R, RestoreError> {
        let step = self.context.begin(task, object, None);
        let result = work(self);
        let verdict = if result.is_ok() { Verdict::Done } else { Verdict::Failed };
        self.context.end(step, verdict, String::new());
        result
    }

    fn require_size(&self, bytes: u64) -> Result<(), RestoreError> {
        let limit = settings::restore_max_size();
        if bytes > limit {
            return Err(RestoreError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    fn require_room(&self, directory: &Path, needed: u64) -> Result<(), RestoreError> {
        let disk = rustix::fs::statvfs(directory)
            .map_err(|error| RestoreError::unwritable(directory, &error.into()))?;
        let free = disk.f_bavail * disk.f_frsize;
        if free < needed {
            return Err(RestoreError::NoRoom { directory: directory.to_owned(), needed, free });
        }
        Ok(())
    }

    fn test_fresh_dump(&mut self) -> Result<(), RestoreError> {
        self.kind = "fresh dump";
        self.require_size(self.source.bytes)?;
        self.with_scratch(|test, scratch| test.dump_and_restore(scratch))
    }

    fn dump_and_restore(&mut self, scratch: &Scratch) -> Result<(), RestoreError> {
        // The dump without compression, and the scratch database.
        self.require_room(&scratch.directory, 2 * self.source.bytes)?;
        let connection = Connection::of_this_server()?;
        let deadline = self.context.deadline;
        let database = session::database();
        let findings = &mut self.findings;
        if limited(deadline, || foreign_code::is_in_source(findings))? {
            return Ok(());
        }
        let own = limited(deadline, || Ok(inventory::source_before_dump(Scope::Dump)?))?;
        let dump = self
            .step("dump", &database, |_| dump::make(&connection, &scratch.directory, deadline))?;
        let bytes = size_of(&dump);
        self.backup_bytes = Some(bytes);
        self.findings.prove(Level::Fresh, "made now");
        self.findings.prove(Level::Readable, format!("pg_dump wrote {bytes} bytes"));
        self.restore(&connection, scratch, &dump, Kind::Directory, Some(own))
    }

    /// A fault of the backup itself is a finding, unless the caller named the backup wrongly.
    fn test_backup(&mut self, path: &Path, is_named: bool) -> Result<(), RestoreError> {
        let location = path.to_string_lossy().into_owned();
        let end = Some(client::instant(self.context.deadline));
        let mut react = || deadline::react(end);
        let opened = Backup::open(&location, &mut react).and_then(|backup| {
            backup.require_major()?;
            backup.require_whole(&mut react)?;
            Ok(backup)
        });
        let backup = match opened {
            Ok(backup) => backup,
            Err(error) if error.is_of_backup() && !(is_named && error.is_of_location()) => {
                self.findings.fault(error.finding(Level::Readable));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // A row of backup_log may name any file, and another database has other owners.
        let other = backup.database.as_deref().filter(|name| *name != session::database());
        if let Some(other) = other.filter(|_| !is_named) {
            let text = format!("the backup is one of database {other}, not of this one");
            self.findings.fault(Finding::new(Level::Readable, text));
            return Ok(());
        }
        self.kind = backup.kind.word();
        self.backup_bytes = Some(backup.bytes);
        self.findings.prove(
            Level::Readable,
            format!(
                "{} of {} bytes, from PostgreSQL {}",
                backup.kind.word(),
                backup.bytes,
                backup.server_version.as_deref().unwrap_or("of unknown version")
            ),
        );
        if backup.kind.is_base() {
            return self.test_base_backup(&backup);
        }
        self.require_size(backup.bytes)?;
        self.with_scratch(|test, scratch| {
            // A compressed dump may need more than the source has now.
            test.require_room(&scratch.directory, test.source.bytes.max(backup.bytes))?;
            let connection = Connection::of_this_server()?;
            test.restore(&connection, scratch, path, backup.kind, None)
        })
    }

    /// Restores a dump into the scratch database, and compares it. `own` is the inventory of the
    /// source, for a fresh dump.
    fn restore(
        &mut self,
        connection: &Connection,
        scratch: &Scratch,
        path: &Path,
        kind: Kind,
        own: Option<Inventory>,
    ) -> Result<(), RestoreError> {
        let began = clock::now();
        let worker = self.context.worker().ok_or(RestoreError::NoWorker)?;
        scratch.create(worker)?;
        let deadline = self.context.deadline;
        let archive = Archive {
            path,
            connection,
            database: &scratch.database,
            directory: &scratch.directory,
            deadline,
            is_parallel: kind != Kind::TarDump,
        };
        let is_restored = self.step("restore", &path.to_string_lossy(), |test| match kind {
            Kind::Plain => archive.restore_plain(&mut test.findings),
            _ => archive.restore(&mut test.findings),
        })?;
        if !is_restored {
            return Ok(());
        }
        self.mark_restored(began);
        self.examine(own, connection, &scratch.database, Scope::Dump, scratch)
    }

    /// Recovers a base backup on a private server, and compares it.
    fn test_base_backup(&mut self, backup: &Backup) -> Result<(), RestoreError> {
        self.require_size(base_copy::needed_bytes(backup)?)?;
        self.with_scratch(|test, scratch| test.recover_base_backup(backup, scratch))
    }

    fn recover_base_backup(
        &mut self,
        backup: &Backup,
        scratch: &Scratch,
    ) -> Result<(), RestoreError> {
        let deadline = self.context.deadline;
        let began = clock::now();
        let location = backup.path.to_string_lossy();
        let directory = &scratch.directory;
        let copied = self.step("copy", &location, |test| {
            base_backup::copy(backup, directory, deadline, &mut test.findings)
        })?;
        let Some(copy) = copied else { return Ok(()) };
        self.is_vouched = copy.verification() == &Verification::Passed;
        let recovered = self.step("recover", &location, |test| {
            base_backup::recover(backup, copy, deadline, &mut test.findings)
        })?;
        let Some(server) = recovered else { return Ok(()) };
        self.mark_restored(began);
        let connection = base_backup::connection(&server);
        let database = session::database();
        self.examine(None, &connection, &database, Scope::Cluster, scratch)
    }

    fn mark_restored(&mut self, began: i64) {
        let seconds = (clock::now() - began) as f64 / 1e6;
        self.rto = Some(seconds);
        self.findings.prove(Level::Restores, format!("restored in {seconds:.1} s"));
    }

    /// Examines the restored database. `own` is the inventory of the source, for a fresh dump.
    fn examine(
        &mut self,
        own: Option<Inventory>,
        connection: &Connection,
        database: &str,
        scope: Scope,
        scratch: &Scratch,
    ) -> Result<(), RestoreError> {
        let known = self.known.as_ref();
        let expected = match own {
            Some(own) => Expected::Source(own),
            None => Expected::Manifest(known.and_then(|known| known.manifest.as_ref())),
        };
        let restored = Restored {
            connection,
            database,
            scope,
            is_vouched: self.is_vouched,
            directory: &scratch.directory,
            deadline: self.context.deadline,
            started: UNIX_TO_2000 + self.started as f64 / 1e6,
        };
        let step = self.context.begin("compare", database, None);
        let mut facts = Facts::default();
        let result = restored.examine(expected, &mut self.findings, &mut facts);
        let verdict = if result.is_ok() { Verdict::Done } else { Verdict::Failed };
        self.context.end(step, verdict, String::new());
        self.restored_bytes = facts.bytes;
        self.rpo = facts.rpo;
        result
    }
}

/// The size of a file or a directory of files, in bytes.
fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| size_of(&e.path())).sum()
}
