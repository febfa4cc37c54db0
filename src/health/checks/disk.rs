//! Free space of the disks, which SQL cannot read.

use crate::health::context::CheckContext;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status, gigabytes};
use crate::health::limits::limit;
use crate::pg::xact::sec_context::current_user;
use pgrx::prelude::*;

/// The used share in percent, rounded down. Space reserved for the superuser counts as neither.
fn used_percent(free: u64, used: u64) -> u64 {
    (u128::from(used) * 100 / u128::from(used).saturating_add(u128::from(free)).max(1)) as u64
}

/// `limits` are those of WARNING and CRITICAL, in percent of bytes or inodes used (check_postgres:
/// 90 and 95).
fn status(percent: u64, limits: [f64; 2]) -> Status {
    match percent as f64 {
        percent if percent >= limits[1] => Status::Critical,
        percent if percent >= limits[0] => Status::Warning,
        _ => Status::Ok,
    }
}

/// The server's directories, each with its name and path. The path is NULL if this role may not
/// see it.
fn directories() -> Result<Vec<(String, Option<String>)>, HealthError> {
    Spi::connect(|client| {
        let mut directories = Vec::new();
        for row in client.select(include_str!("../../../sql/health/disk_paths.sql"), None, &[])? {
            if let Some(name) = row.get::<String>(1)? {
                directories.push((name, row.get::<String>(2)?));
            }
        }
        Ok(directories)
    })
}

/// One finding per file system that holds files of the server and whose path this role may see.
pub(super) fn disk_space(
    metric: &'static str,
    _: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    let directories = directories()?;
    let limits = ["disk_space.warning", "disk_space.critical"].map(limit);
    let mut seen_devices = Vec::new();
    let mut findings = Vec::new();
    if directories.iter().any(|(_, path)| path.is_none()) {
        findings.push(Finding {
            next_command: Some(format!(
                "GRANT pg_monitor TO {};",
                pgrx::spi::quote_identifier(current_user())
            )),
            recommendation: Some("Grant pg_monitor to this role.".to_owned()),
            ..Finding::skipped(
                metric,
                "the location of the server's files is hidden from this role".to_owned(),
            )
        });
    }
    for (name, path) in directories {
        let Some(path) = path else { continue };
        let (Ok(file_system), Ok(directory)) =
            (rustix::fs::statvfs(path.as_str()), rustix::fs::stat(path.as_str()))
        else {
            findings.push(Finding {
                object: Some(name),
                ..Finding::skipped(metric, format!("the file system of {path} cannot be read"))
            });
            continue;
        };
        if seen_devices.contains(&directory.st_dev) {
            continue;
        }
        seen_devices.push(directory.st_dev);
        let free = file_system.f_bavail * file_system.f_frsize;
        let used = (file_system.f_blocks - file_system.f_bfree) * file_system.f_frsize;
        // A disk without free inodes is as full as one without free bytes. Some file systems have
        // no such limit and report 0.
        let inode_percent = used_percent(
            file_system.f_favail,
            file_system.f_files.saturating_sub(file_system.f_ffree),
        );
        let percent = used_percent(free, used);
        let status = status(percent.max(inode_percent), limits);
        findings.push(Finding {
            status,
            object: Some(name),
            current_value: Some(format!("{percent} % used, {} free", gigabytes(free))),
            threshold: Some(format!("< {} %", limits[0])),
            evidence: Some(format!(
                "{path}, {} in all, {inode_percent} % of the inodes used",
                gigabytes(used + free)
            )),
            recommendation: Some(match status {
                Status::Ok => "Nothing to do.".to_owned(),
                _ => "A full disk stops the server: find the cause of retained WAL or temporary \
                      files, then free space."
                    .to_owned(),
            }),
            next_command: (status != Status::Ok).then(|| {
                "SELECT * FROM performance_health_check() WHERE metric IN \
                 ('Replication Slots', 'WAL Archiving', 'WAL Size', 'Temp Files');"
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
    fn the_used_share_decides_the_status() {
        assert_eq!(used_percent(0, 0), 0);
        assert_eq!(used_percent(u64::MAX, u64::MAX), 50);
        assert_eq!(used_percent(101, 899), 89);
        assert_eq!(
            [89, 90, 94, 95, 100].map(|percent| status(percent, [90.0, 95.0])),
            [Status::Ok, Status::Warning, Status::Warning, Status::Critical, Status::Critical]
        );
    }
}
