//! The scratch database, the files of a test, and their removal.
//!
//! A worker without a leader waits for the end of the test, however it ends, and removes both.
//! After a crash the server removes the files, as it does with temporary files, and the next test
//! the database.

use super::error::RestoreError;
use super::ownership;
use crate::pg::worker::{DetachedStep, Outcome, Statement, Worker};
use crate::pg::xact::session;
use crate::settings;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory of temporary files in the data directory. The server empties it when it starts,
/// base backups leave it out, and the server's user owns it.
const TEMPORARY: &str = "base/pgsql_tmp";
/// The prefix by which the server knows its temporary files.
const PREFIX: &str = "pgsql_tmp_crewsnow_restore_";

/// The scratch database and directory of one test.
pub struct Scratch {
    /// The name of the database, without quotes.
    pub database: String,
    /// The directory for files of the test.
    pub directory: PathBuf,
}

fn text(sql: &str, argument: &str) -> Result<String, RestoreError> {
    Spi::connect(|client| {
        let row = client.select(sql, Some(1), &[argument.into()])?.first();
        Ok(row.get_one::<String>()?.unwrap_or_default())
    })
}

fn statement(sql: String) -> Statement {
    // The removal waits as long as the test runs.
    let settings = vec![("lock_timeout".to_owned(), "0".to_owned())];
    Statement { sql, settings, deadline: None, is_own: true }
}

fn drop_statement(database: &str) -> Statement {
    let mut drop =
        statement(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(database)));
    drop.settings.clear();
    drop
}

/// The directory in which each test makes one of its own.
pub fn parent() -> PathBuf {
    let directory = settings::restore_directory();
    if directory.is_empty() {
        let data = session::setting("data_directory").unwrap_or_default();
        return Path::new(&data).join(TEMPORARY);
    }
    PathBuf::from(directory)
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> RestoreError {
    move |error| RestoreError::unwritable(path, &error)
}

fn make_private(directory: &Path) -> Result<(), RestoreError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(unwritable(directory))
}

impl Scratch {
    /// Names for a test, and the worker that removes whatever gets these names. No database is
    /// made yet.
    pub fn reserve(database_oid: &str) -> Result<Self, RestoreError> {
        let number =
            text("SELECT substr(md5(gen_random_uuid()::text || $1), 1, 16)", database_oid)?;
        let database = format!("crewsnow_restore_{database_oid}_{number}");
        let directory = parent().join(format!("{PREFIX}{database_oid}_{number}"));
        let Ok(Some(worker)) = Worker::start("crewsnow_ops restore test") else {
            return Err(RestoreError::NoWorker);
        };
        let files = quote_literal(directory.to_string_lossy());
        let wait = format!("SELECT crewsnow_ops.await_restore_test({files})");
        let steps = [statement(wait), drop_statement(&database)]
            .map(|statement| DetachedStep { statement, ..DetachedStep::default() });
        worker.detach(steps.into()).map_err(|_| RestoreError::NoWorker)?;
        make_private(&directory)?;
        // In the data directory no other user can replace the files.
        if !settings::restore_directory().is_empty() {
            ownership::require_safe_directory(&directory)?;
        }
        Ok(Self { database, directory })
    }

    /// Makes the database. No role but its owner and superusers ever connects to it: rows are there
    /// before the policies that protect them.
    pub fn create(&self, worker: &Worker) -> Result<(), RestoreError> {
        let sql =
            text(include_str!("../../../sql/maintenance/scratch_definition.sql"), &self.database)?;
        let name = quote_identifier(&self.database);
        run(worker, &statement(sql))?;
        run(worker, &statement(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")))?;
        run(worker, &statement(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")))
    }

    /// Drops the database and removes the directory.
    pub fn remove(&self, worker: &Worker) -> Result<(), RestoreError> {
        let files = remove_directory(&self.directory);
        run(worker, &drop_statement(&self.database))?;
        files
    }
}

fn run(worker: &Worker, statement: &Statement) -> Result<(), RestoreError> {
    match worker.run(statement) {
        Ok(Outcome::Done(_)) => Ok(()),
        Ok(Outcome::Failed { sqlstate, message }) => {
            Err(RestoreError::Scratch { sqlstate, message })
        }
        Ok(Outcome::TimedOut) | Err(_) => Err(RestoreError::NoWorker),
    }
}

/// Removes a directory of a test; no error if it is gone.
pub fn remove_directory(directory: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RestoreError::unwritable(directory, &error))
        }
        _ => Ok(()),
    }
}

/// Whether a path is named as the directory of a test. No other path is ever removed. The setting
/// of the session that tests is unknown to the worker that cleans up.
pub fn is_of_a_test(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(rest) = name.as_deref().and_then(|name| name.strip_prefix(PREFIX)) else {
        return false;
    };
    path.is_absolute() && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_')
}

/// Removes databases and directories that a crash left behind. Returns their number. The caller
/// holds the lock of restore tests of this database.
pub fn remove_leftovers(worker: &Worker, database_oid: &str) -> Result<usize, RestoreError> {
    let databases: Vec<String> = Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/scratch_leftovers.sql");
        let mut databases = Vec::new();
        for row in client.select(sql, None, &[])? {
            databases.extend(row.get::<String>(1)?);
        }
        Ok::<_, RestoreError>(databases)
    })?;
    for database in &databases {
        run(worker, &drop_statement(database))?;
    }
    let own = format!("{PREFIX}{database_oid}_");
    let mut removed = databases.len();
    for entry in std::fs::read_dir(parent()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&own) && is_of_a_test(&entry.path()) {
            remove_directory(&entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}
