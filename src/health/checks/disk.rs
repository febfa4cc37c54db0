//! How full the disks are, which no SQL can say.

use crate::health::context::Known;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use pgrx::prelude::*;

/// Hundredths that are too many: check_postgres's 90 and 95.
const WARNING: u64 = 90;
/// See [`WARNING`].
const CRITICAL: u64 = 95;

/// Of the bytes that the server may use the share that is used, in percent.
fn used_percent(free: u64, used: u64) -> u64 {
    (u128::from(used) * 100 / u128::from(used).saturating_add(u128::from(free)).max(1)) as u64
}

fn status(percent: u64) -> Status {
    match percent {
        CRITICAL.. => Status::Critical,
        WARNING.. => Status::Warning,
        _ => Status::Ok,
    }
}

/// A size for people.
pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000)
}

/// A row a file system that the server's files are on, as far as the caller may know where they are.
pub fn findings(metric: &'static str, _: &Known) -> Result<Vec<Finding>, HealthError> {
    let places: Vec<(String, Option<String>)> = Spi::connect(|client| {
        let mut places = Vec::new();
        for row in client.select(include_str!("../../../sql/health/disk_paths.sql"), None, &[])? {
            places.extend(
                row.get::<String>(1)?
                    .map(|what| Ok::<_, HealthError>((what, row.get::<String>(2)?)))
                    .transpose()?,
            );
        }
        Ok::<_, HealthError>(places)
    })?;
    let mut seen = Vec::new();
    let mut findings = Vec::new();
    if places.iter().any(|(_, path)| path.is_none()) {
        findings.push(Finding {
            next_command: Some(format!(
                "GRANT pg_monitor TO {};",
                pgrx::spi::quote_identifier(crate::pg::xact::sec_context::current_user())
            )),
            recommendation: Some("Let this role see where the server's files are.".to_owned()),
            ..Finding::skipped(
                metric,
                "where the server's files are is hidden from this role".to_owned(),
            )
        });
    }
    for (what, path) in places {
        let Some(path) = path else { continue };
        let (Ok(system), Ok(directory)) =
            (rustix::fs::statvfs(path.as_str()), rustix::fs::stat(path.as_str()))
        else {
            findings.push(Finding {
                object: Some(what),
                ..Finding::skipped(metric, format!("{path} could not be looked at"))
            });
            continue;
        };
        if seen.contains(&directory.st_dev) {
            continue;
        }
        seen.push(directory.st_dev);
        let free = system.f_bavail * system.f_frsize;
        let used = (system.f_blocks - system.f_bfree) * system.f_frsize;
        // Without a place for another file it is as full. Some file systems have no such limit, and say 0.
        let files = used_percent(system.f_favail, system.f_files.saturating_sub(system.f_ffree));
        let percent = used_percent(free, used);
        let status = status(percent.max(files));
        findings.push(Finding {
            status,
            object: Some(what),
            current_value: Some(format!("{percent} % used, {} free", gigabytes(free))),
            threshold: Some(format!("< {WARNING} %")),
            evidence: Some(format!("{path}, {} in all, {files} % of the files it can hold", gigabytes(used + free))),
            recommendation: Some(match status {
                Status::Ok => "Nothing to do.".to_owned(),
                _ => "When it is full nothing can be written any more and the server stops: see what keeps WAL or \
                      temporary files, then make room."
                    .to_owned(),
            }),
            next_command: (status != Status::Ok).then(|| {
                "SELECT * FROM performance_health_check() WHERE metric IN ('Replication Slots', 'WAL Archiving', 'WAL Size', 'Temp Files');"
                    .to_owned()
            }),
            ..Finding::ok(metric)
        });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(used_percent(0, 0), 0);
        assert_eq!(used_percent(u64::MAX, u64::MAX), 50);
        assert_eq!(used_percent(101, 899), 89);
        assert_eq!(
            [89, 90, 94, 95, 100].map(status),
            [Status::Ok, Status::Warning, Status::Warning, Status::Critical, Status::Critical]
        );
        assert_eq!(gigabytes(12_345_678_901), "12.3 GB");
    }
}
