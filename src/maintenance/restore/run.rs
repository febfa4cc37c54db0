//! `test_backup_restore_procedure()`: one test from its lock to its report.

use super::backup::{Backup, Kind};
use super::candidates::{self, Candidate, Chosen};
use super::client::Connection;

use super::dump::{self, Archive};
use super::error::RestoreError;
use super::examination::{Expected, Restored};
use super::inventory::{self, Inventory};
use super::item::Scope;
use super::scratch::{self, Scratch};
use super::verdict::{Finding, Findings, Level};
use crate::access::as_owner;
use crate::maintenance::context::Context;
use crate::maintenance::records::Run;
use crate::maintenance::step::{Step, Verdict};
use crate::pg::builtins;
use crate::pg::catalog::partition;
use crate::pg::clock;
use crate::pg::fmgr::spi;
use crate::pg::worker::Worker;
use crate::pg::xact::run_lock::{Work, try_lock, wait_for};
use crate::pg::xact::session;
use crate::readiness;
use crate::settings;
use crate::time::instant::Instant;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
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
struct Test {
    source: Source,
    context: Context,
    findings: Findings,
    /// Sentences below the findings.
    notes: Vec<String>,
    started: i64,
    kind: &'static str,
    location: Option<String>,
    known: Option<Candidate>,
    backup_bytes: Option<u64>,
    restored_bytes: Option<i64>,
    rto: Option<f64>,
    rpo: Option<f64>,
}

fn test(named: Option<&str>, is_typed: bool) -> Result<String, RestoreError> {
    session::require_writable(ACTION)?;
    if partition::is_in_transaction_block() {
        return Err(RestoreError::InTransactionBlock);
    }
    let source = Source::read()?;
    try_lock(Work::RestoreTest).map_err(|holder| RestoreError::Running { holder })?;
    let started = clock::now();
    let worker = start_worker()?;
    let removed = scratch::remove_leftovers(&worker, &source.oid)?;
    let run = Run {
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

fn start_worker() -> Result<Worker, RestoreError> {
    match Worker::start("crewsnow_ops restore test") {
        Ok(Some(worker)) => Ok(worker),
        Ok(None) => Err(RestoreError::NoWorker),
        Err(error) => Err(RestoreError::WorkerFailed(error.to_string())),
    }
}

impl Test {
    fn run(&mut self, named: Option<&str>) -> Result<(), RestoreError> {
        let whole = self.whole();
        self.context.write_run(&whole, true);
        match candidates::choose(named, settings::backup_max_age(), &mut self.findings)? {
            Chosen::Fresh => self.test_fresh_dump(),
            Chosen::Backup(path, known) => {
                self.location = Some(path.to_string_lossy().into_owned());
                self.known = known;
                self.test_backup(&path, named.is_some())
            }
        }
    }

    fn whole(&self) -> Step {
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
        let scratch = Scratch::reserve(&self.source.oid)?;
        // The dump without compression, and the scratch database.
        self.require_room(&scratch.directory, 2 * self.source.bytes)?;
        let connection = Connection::of_this_server()?;
        let deadline = self.context.deadline;
        let database = session::database();
        let mut own = inventory::source_definitions(Scope::Dump)?;
        inventory::source_sequences(&mut own)?;
        let dump = self
            .step("dump", &database, |_| dump::make(&connection, &scratch.directory, deadline))?;
        let bytes = size_of(&dump);
        self.backup_bytes = Some(bytes);
        self.findings.prove(Level::Fresh, "made now");
        self.findings.prove(Level::Readable, format!("pg_dump wrote {bytes} bytes"));
        self.restore(&connection, &scratch, &dump, Kind::Directory, Some(own))?;
        self.remove(scratch)
    }

    /// A fault of the backup itself is a finding, unless the caller named the backup wrongly.
    fn test_backup(&mut self, path: &Path, is_named: bool) -> Result<(), RestoreError> {
        let location = path.to_string_lossy().into_owned();
        let mut react = || {
            pgrx::check_for_interrupts!();
        };
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
            let text = "restores of base backups are not tested yet";
            self.findings.skip(Finding::new(Level::Restores, text).of(&location));
            return Ok(());
        }
        self.require_size(backup.bytes)?;
        let scratch = Scratch::reserve(&self.source.oid)?;
        // A compressed dump may need more than the source has now.
        self.require_room(&scratch.directory, self.source.bytes.max(backup.bytes))?;
        let connection = Connection::of_this_server()?;
        self.restore(&connection, &scratch, path, backup.kind, None)?;
        self.remove(scratch)
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
        let seconds = (clock::now() - began) as f64 / 1e6;
        self.rto = Some(seconds);
        self.findings.prove(Level::Restores, format!("restored in {seconds:.1} s"));
        let known = self.known.as_ref();
        let expected = match own {
            Some(own) => Expected::Source(own),
            None => Expected::Manifest(known.and_then(|known| known.manifest.as_ref())),
        };
        let restored = Restored {
            connection,
            database: &scratch.database,
            scope: Scope::Dump,
            directory: &scratch.directory,
            deadline,
            started: UNIX_TO_2000 + self.started as f64 / 1e6,
        };
        let step = self.context.begin("compare", &scratch.database, None);
        let result = restored.examine(expected, &mut self.findings);
        let verdict = if result.is_ok() { Verdict::Done } else { Verdict::Failed };
        self.context.end(step, verdict, String::new());
        let facts = result?;
        self.restored_bytes = facts.bytes;
        self.rpo = facts.rpo;
        Ok(())
    }

    fn remove(&mut self, scratch: Scratch) -> Result<(), RestoreError> {
        let worker = self.context.worker().ok_or(RestoreError::NoWorker)?;
        scratch.remove(worker)
    }

    /// Writes the row of the test and its evidence. The report is its text.
    fn finish(mut self, is_typed: bool) -> Result<String, RestoreError> {
        let ended = clock::now();
        let verdict = self.findings.last_line().rsplit(": ").next().unwrap_or_default();
        let id = builtins::new_uuid().to_string();
        let mut backup_id = self.known.as_ref().map(|known| known.id.clone());
        if self.kind == "fresh dump" {
            backup_id = Some(self.log_fresh_dump()?);
        }
        let row = json!({
            "id": id, "backup_id": backup_id, "location": self.location, "kind": self.kind,
            "verdict": verdict, "level": self.findings.level(),
            "faults": self.findings.faults(), "skipped": self.findings.skipped(),
            "backup_bytes": self.backup_bytes, "restored_bytes": self.restored_bytes,
            "rto_seconds": self.rto, "rpo_seconds": self.rpo,
            "started_at": Instant(self.started).to_string(),
            "ended_at": Instant(ended).to_string(), "run_by": session::user(),
        });
        as_owner(|| {
            spi::connect_mut(|client| {
                let sql = include_str!("../../../sql/maintenance/write_restore_test.sql");
                client.update(sql, None, &[pgrx::JsonB(row).into()])?;
                Ok::<_, RestoreError>(())
            })
        })?;
        let details = json!({
            "restore_test": id, "kind": self.kind, "level": self.findings.level(),
            "faults": self.findings.faults().len(),
        });
        let is_valid = self.findings.is_valid();
        readiness::evidence::record_restore_test(is_valid, pgrx::JsonB(details), is_typed)?;
        let mut whole = self.whole();
        whole.ended = Some(ended);
        whole.verdict = if is_valid { Verdict::Done } else { Verdict::Failed };
        whole.detail = self.findings.last_line().to_owned();
        self.context.write_run(&whole, false);
        Ok(self.report(ended))
    }

    fn log_fresh_dump(&self) -> Result<String, RestoreError> {
        let sql = include_str!("../../../sql/maintenance/write_fresh_dump.sql");
        let sql = spi::in_target_schema(sql)?;
        let bytes = self.backup_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        as_owner(|| {
            spi::connect_mut(|client| {
                let begin = Instant(self.started).to_string();
                let row = client.update(sql.as_str(), None, &[bytes.into(), begin.into()])?;
                Ok(row.first().get_one::<String>()?.unwrap_or_default())
            })
        })
    }

    fn report(mut self, ended: i64) -> String {
        let mut heading =
            format!("Restore test of database {}: {}", session::database(), self.kind);
        if let Some(location) = &self.location {
            heading += &format!(" {location}");
        }
        let seconds = (ended - self.started) as f64 / 1e6;
        let rto = self.rto.map_or("unknown".to_owned(), |rto| format!("{rto:.1} s"));
        let rpo = self.rpo.map_or("unknown".to_owned(), |rpo| format!("{rpo:.0} s"));
        self.notes
            .insert(0, format!("Recovery time {rto}, data lost {rpo}; tested {seconds:.1} s."));
        let mut lines = vec![crate::maintenance::report::plain(&heading)];
        lines.extend(self.findings.lines(&self.notes));
        lines.join("\n")
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
