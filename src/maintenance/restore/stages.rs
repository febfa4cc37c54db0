//! The stages of a restore test: the dump, the restore or recovery, and the examination.

use super::backup::{Backup, Kind};
use super::base_backup;
use super::base_copy::{self, Verification};
use super::client::{self, Connection};
use super::deadline;
use super::dump::{self, Archive};
use super::error::RestoreError;
use super::examination::{Expected, Facts, Restored};
use super::foreign_code;
use super::freshness;
use super::inventory::{self, Inventory};
use super::item::Scope;
use super::lock::limited;
use super::run::Test;
use super::scratch::Scratch;
use super::usability;
use super::verdict::{Finding, Level};
use crate::maintenance::step::Verdict;
use crate::pg::clock;
use crate::pg::xact::session;
use crate::settings;
use std::path::Path;

/// Seconds from 1970 to 2000.
const UNIX_TO_2000: f64 = 946_684_800.0;

impl Test {
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

    /// Dumps this database, and restores the dump.
    pub(super) fn test_fresh_dump(&mut self) -> Result<(), RestoreError> {
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
    pub(super) fn test_backup(&mut self, path: &Path, is_named: bool) -> Result<(), RestoreError> {
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
        if let Some(local) = backup.made_at {
            let max_age = settings::backup_max_age();
            freshness::judge_own_time(local, &location, max_age, &mut self.findings);
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
        // pg_dump writes settings of the database into archives only.
        let carries_settings = scope == Scope::Dump && self.kind != Kind::Plain.word();
        let findings = &mut self.findings;
        let result = restored.examine(expected, findings, &mut facts).and_then(|is_examined| {
            match is_examined {
                true => usability::test(&restored, carries_settings, findings),
                false => Ok(()),
            }
        });
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
