//! Copies and recovers a base backup, and says what is wrong with it.

use super::backup::Backup;
use super::base_copy::{BaseCopy, Verification};
use super::client::{self, Connection};
use super::deadline;
use super::error::{RestoreError, quoted};
use super::server::PrivateServer;
use super::verdict::{Finding, Findings, Level};
use crate::pg::process::Status;
use crate::pg::xact::session;
use pgrx::prelude::*;
use std::path::Path;

/// `None` instead of an error that tells a fault of the backup, which becomes a finding.
fn found<R>(
    result: Result<R, RestoreError>,
    level: Level,
    findings: &mut Findings,
) -> Result<Option<R>, RestoreError> {
    match result {
        Ok(result) => Ok(Some(result)),
        Err(error) if error.is_of_backup() => {
            findings.fault(error.finding(level));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Copies a base backup into a private directory and has pg_verifybackup judge the copy. `None` if
/// it cannot be read to its end. The deadline is in microseconds since 2000.
pub fn copy(
    backup: &Backup,
    directory: &Path,
    deadline: i64,
    findings: &mut Findings,
) -> Result<Option<BaseCopy>, RestoreError> {
    let end = Some(client::instant(deadline));
    let copy = BaseCopy::make(backup, directory, end, &mut || deadline::react(end));
    let Some(copy) = found(copy, Level::Readable, findings)? else { return Ok(None) };
    match copy.verification() {
        Verification::Passed => {
            findings.prove(Level::Readable, "pg_verifybackup finds every file unchanged");
        }
        Verification::SizesOnly => {
            findings.prove(Level::Readable, "pg_verifybackup finds every file in its size");
        }
        Verification::NoManifest => {
            let text = "the backup has no backup_manifest, so pg_verifybackup cannot judge it";
            findings.skip(Finding::new(Level::Readable, text));
        }
        Verification::Failed(faults) => {
            for fault in faults {
                let command = format!("pg_verifybackup {}", quoted(&backup.path));
                let fault = Finding::new(Level::Readable, format!("pg_verifybackup: {fault}"));
                findings.fault(fault.with_command(command));
            }
        }
    }
    Ok(Some(copy))
}

/// Recovers the copy on a private server. `None` if that fails, or if the server does not have this
/// database. The deadline is in microseconds since 2000.
pub fn recover(
    backup: &Backup,
    copy: BaseCopy,
    deadline: i64,
    findings: &mut Findings,
) -> Result<Option<PrivateServer>, RestoreError> {
    let server = PrivateServer::start(backup, copy, Some(client::instant(deadline)));
    let Some(server) = found(server, Level::Restores, findings)? else { return Ok(None) };
    let own = system_identifier()?.unwrap_or_default();
    if own != server.system_identifier() {
        let text = format!("the backup is of cluster {}, not {own}", server.system_identifier());
        findings.skip(Finding::new(Level::Complete, text).of(backup.path.to_string_lossy()));
    }
    let database = session::database();
    if !accepts(&server, &database, deadline)? {
        let text = format!(
            "the restored server has no such database, or no superuser named {}",
            server.user()
        );
        findings.fault(Finding::new(Level::Restores, text).of(database));
        return Ok(None);
    }
    Ok(Some(server))
}

/// The connection to a private server.
pub fn connection(server: &PrivateServer) -> Connection {
    Connection::of_socket(server.socket(), server.port(), server.user())
}

/// The number that initdb gave to this server's cluster.
fn system_identifier() -> Result<Option<String>, RestoreError> {
    Spi::connect(|client| {
        let sql = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
        Ok(client.select(sql, None, &[])?.first().get_one::<String>()?)
    })
}

/// Whether the server lets its superuser into a database.
fn accepts(server: &PrivateServer, database: &str, deadline: i64) -> Result<bool, RestoreError> {
    let arguments = [
        "-XAtq".to_owned(),
        "--no-password".to_owned(),
        format!("--dbname={}", connection(server).database(database)),
        "--command=SELECT 1".to_owned(),
    ];
    match client::run("psql", arguments, deadline, |_| ())?.status {
        Status::Expired => Err(RestoreError::OutOfTime),
        status => Ok(status.is_success()),
    }
}
