//! Dumps: made of this database, and restored into the scratch database.

use super::client::{self, Connection};
use super::error::RestoreError;
use super::foreign_code;
use super::toc;
use super::verdict::{Finding, Findings, Level};
use crate::pg::process::Status;
use crate::pg::xact::session;
use crate::settings;
use pgrx::prelude::*;
use std::path::{Path, PathBuf};

/// Makes a dump of this database with the snapshot of the running statement. Returns its
/// directory.
pub fn make(
    connection: &Connection,
    directory: &Path,
    deadline: i64,
) -> Result<PathBuf, RestoreError> {
    let snapshot = Spi::connect(|client| {
        let row = client.select("SELECT pg_export_snapshot()", Some(1), &[])?.first();
        Ok::<_, RestoreError>(row.get_one::<String>()?.unwrap_or_default())
    })?;
    let dump = directory.join("dump");
    let arguments = [
        "--format=directory".to_owned(),
        "--compress=0".to_owned(),
        format!("--jobs={}", settings::restore_jobs()),
        "--no-sync".to_owned(),
        "--no-password".to_owned(),
        "--lock-wait-timeout=5s".to_owned(),
        format!("--snapshot={snapshot}"),
        format!("--file={}", dump.display()),
        format!("--dbname={}", connection.database(&session::database())),
    ];
    let exit = client::run("pg_dump", arguments, deadline, |_| ())?;
    if exit.status.is_success() {
        return Ok(dump);
    }
    Err(client::failed("pg_dump", &exit))
}

/// The entries of a list without those that reach beyond the scratch database.
fn wanted<'a>(list: &'a str, findings: &mut Findings) -> Vec<toc::Entry<'a>> {
    let reach = toc::Reach::of(list);
    let mut kept = Vec::new();
    for entry in toc::entries(list) {
        if let Some(reason) = toc::exclusion(&entry, reach) {
            let text = format!("not restored: {reason}");
            findings.skip(Finding::new(Level::Complete, text).of(entry.tag.trim_end()));
        } else {
            kept.push(entry);
        }
    }
    kept
}

/// An archive of pg_dump that is restored into the scratch database, step by step.
pub struct Archive<'a> {
    /// The file or directory.
    pub path: &'a Path,
    /// The connection to the server of the scratch database.
    pub connection: &'a Connection,
    /// The scratch database.
    pub database: &'a str,
    /// The directory for files of the test.
    pub directory: &'a Path,
    /// The end of the test's time, in microseconds since 2000.
    pub deadline: i64,
    /// Whether the archive can be read by several processes: not a tar file.
    pub is_parallel: bool,
}

impl Archive<'_> {
    /// Restores the archive. Returns whether all of it was tried; faults are among the findings.
    pub fn restore(&self, findings: &mut Findings) -> Result<bool, RestoreError> {
        let list = self.list()?;
        let entries = wanted(&list, findings);
        for pass in toc::passes(&entries) {
            if pass.runs_code {
                let (connection, directory) = (self.connection, self.directory);
                let (database, deadline) = (self.database, self.deadline);
                if foreign_code::is_restored(connection, database, directory, deadline, findings)? {
                    return Ok(false);
                }
            }
            self.restore_pass(&pass, findings)?;
        }
        Ok(true)
    }

    /// Restores SQL of pg_dump with psql. It cannot be restored in steps, so nothing looks at its
    /// functions before they run.
    pub fn restore_plain(&self, findings: &mut Findings) -> Result<bool, RestoreError> {
        if !settings::restore_trusts_owners() {
            let text = "a plain dump runs as a whole, functions of other roles included";
            findings.skip(Finding::new(Level::Restores, text).with_command(foreign_code::TRUST));
            return Ok(false);
        }
        let (database, deadline) = (self.database, self.deadline);
        let exit = client::run_script(self.connection, database, self.path, deadline, |_| ())?;
        let messages = String::from_utf8_lossy(&exit.errors);
        for (line, message) in toc::script_failures(&messages) {
            let fault = Finding::new(Level::Restores, message).of(format!("line {line}"));
            findings.fault(fault);
        }
        client::require_success("psql", &exit)?;
        Ok(true)
    }

    fn list(&self) -> Result<String, RestoreError> {
        let arguments = ["--list".to_owned(), self.path.display().to_string()];
        let mut list = String::new();
        let exit = client::run("pg_restore", arguments, self.deadline, |line| {
            list.push_str(line);
            list.push('\n');
        })?;
        client::require_success("pg_restore", &exit)?;
        Ok(list)
    }

    fn restore_pass(&self, pass: &toc::Pass, findings: &mut Findings) -> Result<(), RestoreError> {
        if pass.list.is_empty() {
            return Ok(());
        }
        let list = self.directory.join("list");
        std::fs::write(&list, &pass.list).map_err(|e| RestoreError::unwritable(&list, &e))?;
        let mut arguments = vec![
            format!("--section={}", pass.section),
            format!("--use-list={}", list.display()),
            format!("--dbname={}", self.connection.database(self.database)),
            "--no-password".to_owned(),
            "--no-tablespaces".to_owned(),
        ];
        if self.is_parallel && pass.is_parallel {
            arguments.push(format!("--jobs={}", settings::restore_jobs()));
        }
        arguments.push(self.path.display().to_string());
        let exit = client::run("pg_restore", arguments, self.deadline, |_| ())?;
        if exit.status.is_success() {
            return Ok(());
        }
        let failures = toc::failures(&String::from_utf8_lossy(&exit.errors));
        if exit.status == Status::Expired || failures.is_empty() {
            return Err(client::failed("pg_restore", &exit));
        }
        for failure in failures {
            let command = format!(
                "pg_restore --exit-on-error --dbname=scratch {}",
                super::error::quoted(self.path)
            );
            let fault = Finding::new(Level::Restores, failure.message).of(failure.entry);
            findings.fault(fault.with_command(command));
        }
        Ok(())
    }
}
