//! The age of a backup, by everything that tells it. `backup_log` alone does not: those who may
//! change it could make an old backup look fresh.

use super::verdict::{Finding, Findings, Level};
use std::path::Path;
use std::time::SystemTime;

/// Seconds that local times are behind UTC at most.
const MOST_WESTERN: i64 = 12 * 3_600;

/// A source of the age of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Its row of `backup_log`.
    Log,
    /// Its manifest, of which the time cannot be changed.
    Manifest,
    /// The last change of its file.
    File,
    /// A local time that the backup itself holds.
    Backup,
}

impl Evidence {
    fn words(self) -> &'static str {
        match self {
            Self::Log => "",
            Self::Manifest => " by its manifest",
            Self::File => " by the time of its file",
            Self::Backup => " by the time that it holds",
        }
    }
}

/// Judges the age by the evidence that makes the backup oldest. Ages and `max_age` are in seconds.
pub fn judge(ages: &[(Evidence, f64)], location: &str, max_age: f64, findings: &mut Findings) {
    let oldest = ages.iter().copied().max_by(|(_, one), (_, other)| one.total_cmp(other));
    let Some((evidence, age)) = oldest else { return };
    if age <= max_age {
        return findings.prove(Level::Fresh, format!("made {} ago", hours(age)));
    }
    let log = ages.iter().find(|(other, _)| *other == Evidence::Log && evidence != *other);
    let log = log.map_or_else(String::new, |(_, age)| format!(", {} by backup_log", hours(*age)));
    let text = format!(
        "the backup is {} old{}{log}, and crewsnow_ops.backup_max_age allows {}",
        hours(age),
        evidence.words(),
        hours(max_age)
    );
    findings.fault(Finding::new(Level::Fresh, text).of(location));
}

fn hours(seconds: f64) -> String {
    if seconds < 7_200.0 {
        format!("{:.0} min", (seconds / 60.0).floor())
    } else {
        format!("{:.0} h", (seconds / 3_600.0).floor())
    }
}

/// Seconds since the last change of a file, or of the files that a backup writes last into its
/// folder. A copy may keep the times of the folder itself. `None` if the system does not tell.
pub fn file_age(path: &Path) -> Option<f64> {
    const LAST: [&str; 4] = ["toc.dat", "backup_label", "backup_manifest", "base.tar"];
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let times = std::iter::once(path.to_owned()).chain(LAST.map(|name| path.join(name)));
    let newest = times.filter_map(|path| changed(&path)).max()?;
    // A time of the future is that of a clock which goes before this one.
    Some(newest.elapsed().unwrap_or_default().as_secs_f64())
}

/// Adds a fault if the local time that a backup holds shows that it is too old in any time zone.
/// `local` is that of [`seconds_of`].
pub fn judge_own_time(local: i64, location: &str, max_age: f64, findings: &mut Findings) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = now.as_secs_f64() - (local + MOST_WESTERN) as f64;
    let is_told = findings.faults().iter().any(|fault| fault.level == Level::Fresh);
    if age > max_age && !is_told {
        judge(&[(Evidence::Backup, age)], location, max_age, findings);
    }
}

/// Seconds from 1970 to a local time as if it were UTC. `month` counts from 1.
#[must_use]
pub fn seconds_of([year, month, day, hour, minute, second]: [i64; 6]) -> i64 {
    // Years begin in March, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

/// The local time in a text such as `START TIME: 2026-11-28 03:00:00 UTC`, as [`seconds_of`] counts
/// it.
#[must_use]
pub fn time_in(text: &str) -> Option<i64> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || numbers.next()?.parse::<i64>().ok().filter(|number| *number < 10_000);
    Some(seconds_of([next()?, next()?, next()?, next()?, next()?, next()?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_through_leap_years() {
        assert_eq!(seconds_of([1970, 1, 1, 0, 0, 0]), 0);
        assert_eq!(seconds_of([2000, 3, 1, 0, 0, 0]), 951_868_800);
        assert_eq!(seconds_of([2024, 2, 29, 23, 59, 59]), 1_709_251_199);
        assert_eq!(seconds_of([2026, 11, 28, 4, 30, 5]), 1_795_840_205);
        assert_eq!(time_in("START TIME: 2026-11-28 04:30:05 CET"), Some(1_795_840_205));
        assert_eq!(time_in("START TIME: soon"), None);
    }

    #[test]
    fn the_evidence_that_makes_a_backup_oldest_counts() {
        let told = |ages: &[(Evidence, f64)]| {
            let mut findings = Findings::default();
            judge(ages, "/b", 7_200.0, &mut findings);
            findings.lines(&[])[0].clone()
        };
        let log = (Evidence::Log, 60.0);
        assert_eq!(
            told(&[log, (Evidence::File, 7_000.0)]),
            "OK       0 fresh     made 116 min ago"
        );
        let fault = "FAULT    0 fresh     /b: the backup is 3 h old";
        let allowed = "and crewsnow_ops.backup_max_age allows 2 h";
        assert_eq!(told(&[(Evidence::Log, 10_800.0)]), format!("{fault}, {allowed}"));
        assert_eq!(
            told(&[log, (Evidence::Manifest, 10_800.0), (Evidence::File, -5.0)]),
            format!("{fault} by its manifest, 1 min by backup_log, {allowed}")
        );
        assert_eq!(
            told(&[(Evidence::File, 10_800.0)]),
            format!("{fault} by the time of its file, {allowed}")
        );
    }
}
