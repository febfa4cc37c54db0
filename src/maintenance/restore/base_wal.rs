//! The WAL of a base backup must be there, and its replay must stay in the copy.

use super::backup::Backup;
use super::error::RestoreError;
use super::programs::Program;
use crate::pg::process::{Launch, Status};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Length of the name of a segment, of which the first eight digits are the timeline.
const SEGMENT_NAME: usize = 24;

/// The first and the last segment of a timeline, by name.
type Segments = (String, String);

/// The segments of each timeline, by the digits of the timeline.
fn segments(data: &Path) -> BTreeMap<String, Segments> {
    let mut found: BTreeMap<String, Segments> = BTreeMap::new();
    for entry in data.join("pg_wal").read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() != SEGMENT_NAME || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        let timeline = found.entry(name[..8].to_owned());
        let (first, last) = timeline.or_insert_with(|| (name.clone(), name.clone()));
        *first = name.clone().min(std::mem::take(first));
        *last = name.max(std::mem::take(last));
    }
    found
}

fn refused(backup: &Backup, reason: &str) -> RestoreError {
    RestoreError::NotRecovered { path: backup.path.clone(), reason: reason.into() }
}

/// Refuses a copy whose recovery would begin at the wrong place, or has no WAL to begin with.
pub fn require_start(backup: &Backup, data: &Path) -> Result<(), RestoreError> {
    if !data.join("backup_label").exists() {
        let reason = "File backup_label is missing, which tells where the recovery begins";
        return Err(refused(backup, reason));
    }
    if segments(data).is_empty() {
        let reason = "It holds no WAL, as of pg_basebackup --wal-method=none";
        return Err(refused(backup, reason));
    }
    Ok(())
}

/// Refuses WAL that creates a tablespace. Its replay links the copy to the path of the source's
/// tablespace, and then writes there.
pub fn refuse_tablespaces(
    backup: &Backup,
    data: &Path,
    deadline: Option<Instant>,
) -> Result<(), RestoreError> {
    let program = Program::find("pg_waldump")?;
    let label = std::fs::read_to_string(data.join("backup_label"))
        .map_err(|error| RestoreError::unreadable(&data.join("backup_label"), &error))?;
    let after = |key: &str| label.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    // 0/2000028 (file 000000010000000000000002)
    let start = after("START WAL LOCATION:").and_then(|text| text.split_once(" (file "));
    let Some((start, first)) = start.map(|(start, file)| (start, file.trim_end_matches(')')))
    else {
        return Err(refused(backup, "File backup_label is damaged"));
    };
    let mut creates = false;
    for (timeline, (earliest, last)) in segments(data) {
        // A recovery follows later timelines, too. It ends with the last segment: pg_waldump would
        // wait five seconds for one more.
        let launch = match first.get(..8).unwrap_or_default().cmp(&timeline) {
            Ordering::Equal => dump(&program, data).args(["--start", start, first, last.as_str()]),
            Ordering::Less => dump(&program, data).args([earliest, last]),
            Ordering::Greater => continue,
        };
        creates |= creates_tablespace(&program, launch, deadline)?;
    }
    if creates { Err(RestoreError::CreatesTablespace(backup.path.clone())) } else { Ok(()) }
}

fn dump(program: &Program, data: &Path) -> Launch {
    let launch = program.launch().args(["--rmgr=Tablespace", "--path"]);
    launch.args([data.join("pg_wal")]).read_lines()
}

fn creates_tablespace(
    program: &Program,
    launch: Launch,
    deadline: Option<Instant>,
) -> Result<bool, RestoreError> {
    let mut creates = false;
    // It ends with an error where the WAL ends, as it must.
    let exit = program.run(launch, deadline, |line| {
        creates |= String::from_utf8_lossy(line).contains("desc: CREATE");
        Ok(())
    })?;
    if exit.status == Status::Expired { Err(RestoreError::OutOfTime) } else { Ok(creates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_last_segment_of_each_timeline_are_found() {
        let data = std::env::temp_dir().join(format!("crewsnow_wal_{}", std::process::id()));
        std::fs::create_dir_all(data.join("pg_wal/archive_status")).expect("folders");
        for name in [
            "000000010000000000000003",
            "000000010000000000000002",
            "000000010000000000000004",
            "0000000A0000000000000009",
            "0000000A.history",
            "000000010000000000000002.00000028.backup",
        ] {
            std::fs::write(data.join("pg_wal").join(name), "").expect("a file");
        }
        let found = segments(&data);
        std::fs::remove_dir_all(&data).expect("removed");
        let found: Vec<_> = found.into_values().collect();
        let pair = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(
            found,
            [
                pair("000000010000000000000002", "000000010000000000000004"),
                pair("0000000A0000000000000009", "0000000A0000000000000009"),
            ]
        );
    }
}
