//! Temporary files: those that statements have closed, and those that running statements write.
//! The server books a file only when it is closed, so a sort that fills the disk is not counted.

use super::rates;
use crate::health::context::{CheckContext, run_query};
use crate::health::error::HealthError;
use crate::health::finding::Finding;
use pgrx::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Files beyond that number are not looked at: the check is bounded.
const MAX_FILES: usize = 100_000;

/// The process in the name of a temporary file, such as `pgsql_tmp4711.3`, or of a directory that
/// the workers of a parallel statement share, such as `pgsql_tmp4711.0.sharedfileset`.
fn process_of(name: &str) -> Option<i32> {
    name.strip_prefix("pgsql_tmp")?.split('.').next()?.parse().ok()
}

/// Temporary files as the directories show them.
#[derive(Default)]
struct TempFiles {
    /// Bytes by process.
    sizes: BTreeMap<i32, i64>,
    /// The least free space of the disks that hold such files, in bytes; `None` without files.
    free: Option<i64>,
    seen: usize,
}

impl TempFiles {
    /// Reads the directories of all tablespaces. A backend's working directory is the data
    /// directory.
    fn read() -> Self {
        let mut files = Self::default();
        files.add(Path::new("base/pgsql_tmp"));
        for tablespace in fs::read_dir("pg_tblspc").into_iter().flatten().flatten() {
            for version in fs::read_dir(tablespace.path()).into_iter().flatten().flatten() {
                files.add(&version.path().join("pgsql_tmp"));
            }
        }
        files
    }

    fn add(&mut self, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            self.seen += 1;
            if self.seen > MAX_FILES {
                return;
            }
            let Some(process) = entry.file_name().to_str().and_then(process_of) else { continue };
            // A file may be gone by now.
            let Ok(metadata) = entry.metadata() else { continue };
            let size = match metadata.is_dir() {
                false => metadata.len(),
                true => self.size_of_shared(&entry.path()),
            };
            *self.sizes.entry(process).or_default() += i64::try_from(size).unwrap_or(i64::MAX);
        }
        if let Ok(disk) = rustix::fs::statvfs(directory) {
            let free = i64::try_from(disk.f_bavail * disk.f_frsize).unwrap_or(i64::MAX);
            self.free = Some(self.free.map_or(free, |least| least.min(free)));
        }
    }

    fn size_of_shared(&mut self, directory: &Path) -> u64 {
        let files = fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_FILES);
        let sizes = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len());
        sizes.inspect(|_| self.seen += 1).sum()
    }
}

/// Whether this role may list temporary files: the right to call pg_ls_tmpdir().
fn may_look() -> Result<bool, HealthError> {
    Spi::connect(|client| {
        let sql = "SELECT has_function_privilege('pg_ls_tmpdir()', 'EXECUTE')";
        Ok(client.select(sql, Some(1), &[])?.first().get::<bool>(1)?.unwrap_or(false))
    })
}

/// The rate of closed files, and each process with large open ones.
pub(super) fn temp_files(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    let closed = rates::temp_files(metric, context)?;
    let files = if may_look()? { TempFiles::read() } else { TempFiles::default() };
    let (processes, bytes): (Vec<i32>, Vec<i64>) = files.sizes.into_iter().unzip();
    let sql = include_str!("../../../sql/health/fast/running_temp_files.sql");
    let running = run_query(metric, sql, &[processes.into(), bytes.into(), files.free.into()])?;
    Ok(running.into_iter().chain(closed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_temporary_file_has_its_process() {
        assert_eq!(process_of("pgsql_tmp4711.3"), Some(4711));
        assert_eq!(process_of("pgsql_tmp4711.0.sharedfileset"), Some(4711));
        assert_eq!(process_of("pgsql_tmp"), None);
        assert_eq!(process_of("t3_16384"), None);
    }
}
