//! The backup that a test restores.

use super::error::RestoreError;
use super::freshness::{self, Evidence};
use super::verdict::{Finding, Findings, Level};
use crate::access::as_owner;
use crate::pg::fmgr::spi::in_target_schema;
use crate::time::instant::Instant;
use pgrx::prelude::*;
use std::path::{Path, PathBuf};

/// The content of the source at the time of a backup.
#[derive(Debug)]
pub struct Manifest {
    /// Whether the backup has the same snapshot.
    pub is_exact: bool,
    /// Seconds since its snapshot.
    pub age: f64,
    /// The items, as JSON text.
    pub items: String,
}

/// A row of `backup_log`.
#[derive(Debug)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// Its location.
    pub location: String,
    /// Its age in seconds.
    pub age: f64,
    /// Its begin, in microseconds since 2000.
    pub created: i64,
    /// Its manifest; `None` without one.
    pub manifest: Option<Manifest>,
    is_completed: bool,
}

impl Candidate {
    /// The path, if the location is one of this machine.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        Some(Path::new(&self.location)).filter(|path| path.is_absolute())
    }
}

/// The backup to restore.
#[derive(Debug)]
pub enum Chosen {
    /// The path, and its row of `backup_log` if it has one.
    Backup(PathBuf, Option<Candidate>),
    /// A dump that the test makes.
    Fresh,
}

/// The latest rows of `backup_log`, newest first; of one location, if it is given.
fn candidates(location: Option<&str>) -> Result<Vec<Candidate>, RestoreError> {
    let sql = in_target_schema(include_str!("../../../sql/maintenance/restore_candidates.sql"))?;
    as_owner(|| {
        Spi::connect(|client| {
            let mut candidates = Vec::new();
            for row in client.select(sql.as_str(), None, &[location.into()])? {
                let text = |column| row.get::<String>(column);
                let items = text(8)?;
                let is_exact = row.get::<bool>(7)?.unwrap_or(false);
                let manifest_age = row.get::<f64>(6)?.unwrap_or(0.0);
                let created = row.get::<pgrx::datum::TimestampWithTimeZone>(4)?;
                candidates.push(Candidate {
                    id: text(1)?.unwrap_or_default(),
                    is_completed: text(2)?.as_deref() == Some("completed"),
                    location: text(3)?.unwrap_or_default(),
                    created: created.map_or(0, i64::from),
                    age: row.get::<f64>(5)?.unwrap_or(0.0),
                    manifest: items.map(|items| Manifest { is_exact, age: manifest_age, items }),
                });
            }
            Ok(candidates)
        })
    })
}

/// The backup that the caller names, else the newest one that this server can reach, else a fresh
/// dump. `max_age` is in seconds.
pub fn choose(
    named: Option<&str>,
    max_age: f64,
    findings: &mut Findings,
) -> Result<Chosen, RestoreError> {
    if let Some(location) = named {
        let path = PathBuf::from(location);
        if !path.is_absolute() {
            return Err(RestoreError::NotAPath(location.to_owned()));
        }
        let mut known = candidates(Some(location))?.into_iter();
        let known = known.find(|candidate| candidate.is_completed);
        judge_age(&path, known.as_ref(), max_age, findings);
        return Ok(Chosen::Backup(path, known));
    }
    let all = candidates(None)?;
    if let Some(newest) = all.first().filter(|newest| !newest.is_completed) {
        let text = format!("the newest backup, of {}, failed", Instant(newest.created));
        findings.fault(Finding::new(Level::Fresh, text).of(&newest.location));
    }
    for candidate in all.into_iter().filter(|candidate| candidate.is_completed) {
        let Some(path) = candidate.path().map(Path::to_owned) else {
            let text = "this server cannot reach the location of this backup";
            findings.skip(Finding::new(Level::Fresh, text).of(&candidate.location));
            continue;
        };
        if let Err(error) = std::fs::symlink_metadata(&path) {
            let text = format!("the backup of {} is gone: {error}", Instant(candidate.created));
            findings.fault(Finding::new(Level::Fresh, text).of(&candidate.location));
            continue;
        }
        judge_age(&path, Some(&candidate), max_age, findings);
        return Ok(Chosen::Backup(path, Some(candidate)));
    }
    let text = "backup_log has no backup that this server can reach: a fresh dump is tested";
    findings.skip(Finding::new(Level::Fresh, text).with_command(RECORD));
    Ok(Chosen::Fresh)
}

/// The statement that records a backup, for one that pg_dump made.
const RECORD: &str = "SELECT crewsnow_ops.record_backup('/var/backups/shop.dump', 'daily');";

/// Judges the age of a backup by all that is known before it is opened.
fn judge_age(path: &Path, known: Option<&Candidate>, max_age: f64, findings: &mut Findings) {
    let file = freshness::file_age(path).map(|age| (Evidence::File, age));
    let log = known.map(|known| (Evidence::Log, known.age));
    let manifest = known.and_then(|known| known.manifest.as_ref());
    let manifest = manifest.map(|manifest| (Evidence::Manifest, manifest.age));
    let ages: Vec<_> = [log, manifest, file].into_iter().flatten().collect();
    freshness::judge(&ages, &path.to_string_lossy(), max_age, findings);
}
