//! Makes the partitions of event_log for the coming days.

use super::events;
use super::events::target_table;
use crate::pg::catalog::{lookup, partition};
use crate::pg::clock;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::storage::block_scan::{Bounds, Wanted};
use crate::pg::xact::{snapshot, subtransaction};
use crate::telemetry::error::TelemetryError;
use crate::time::minute::{DAY, MINUTE, minute_of};
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

/// The statements that give a partition the privileges of event_log.
const PRIVILEGES: &str = include_str!("../../../sql/telemetry/partition_privileges.sql");
/// Days for which partitions are made ahead.
pub const DAYS_AHEAD: i64 = 3;
/// Errors of CREATE PARTITION that other partitions cause: an overlap, a name in use, a row outside
/// its bounds, a lock. The roll-up continues without the partition.
const NO_PARTITION: [PgSqlErrorCode; 4] = [
    PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
    PgSqlErrorCode::ERRCODE_DUPLICATE_TABLE,
    PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
    PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
];
/// The most partitions per day, around rows that arrived early.
const MAX_PARTITIONS_PER_DAY: usize = 8;
/// Each new partition scans the default partition once. Beside a larger one (8 MB), a transaction
/// makes one partition: writers of the default partition wait until it commits.
const MANY_DEFAULT_BLOCKS: u32 = 1_024;
/// A larger default partition (64 MB) is not scanned under the lock that a new partition takes.
const MAX_DEFAULT_BLOCKS: u32 = 8_192;

/// Makes the partitions. Another partition or a lock that prevents one is a warning: the roll-up
/// counts without it.
pub fn try_make_partitions() -> Result<(), TelemetryError> {
    match subtransaction::catching(&NO_PARTITION, AssertUnwindSafe(make_partitions)) {
        Ok(made) => made,
        Err(failure) => {
            pgrx::warning!(
                "cannot create partitions of event_log for the coming days: {}",
                failure.message
            );
            Ok(())
        }
    }
}

/// Makes the partitions of the coming days, unless that would block writers for long. The default
/// partition is scanned for rows of the new range under a lock; the lock waits 25 ms at most, and
/// the default partition must be small. It stays small as long as roll-ups run.
pub fn make_partitions() -> Result<(), TelemetryError> {
    let log = target_table(c"event_log")?;
    let now = clock::now();
    let today = now.div_euclid(DAY) * DAY;
    let partitions = partition::partitions(log);
    let Some(default) = partitions.iter().find(|partition| partition.is_default) else {
        return Ok(());
    };
    let end = partitions.iter().filter_map(|partition| partition.end).max();
    // The first partition begins with the next minute but one: the default partition already has
    // rows of the running minute.
    let mut start = end.filter(|end| *end > now).unwrap_or_else(|| minute_of(now) + 2 * MINUTE);
    if start >= today + DAYS_AHEAD * DAY {
        return Ok(());
    }
    let Some(size) = events::open(default.table)?.map(|(blocks, _)| blocks.block_count()) else {
        return Ok(());
    };
    if size > MAX_DEFAULT_BLOCKS
        || !partition::try_lock_for_maintenance(log)
        || !partition::lock_exclusively(default.table)
    {
        return Ok(());
    }
    // Another session may have made them meanwhile.
    if partition::partitions(log) != partitions {
        return Ok(());
    }
    while start < today + DAYS_AHEAD * DAY {
        let end = start.div_euclid(DAY) * DAY + DAY;
        let taken = snapshot::with_latest_snapshot(|| taken_minutes(default.table, start, end))?;
        for (start, end) in free_pieces(start, end, &taken) {
            make_partition(start, end)?;
            if size > MANY_DEFAULT_BLOCKS {
                return Ok(());
            }
        }
        start = end;
    }
    Ok(())
}

/// How many of the coming days, today included, have a partition up to their end. Keeps no lock.
pub fn coming_days() -> Result<i64, TelemetryError> {
    let now = clock::now();
    let ends = partition::partitions_now(target_table(c"event_log")?);
    let end = ends.iter().filter_map(|partition| partition.end).max().unwrap_or(now);
    Ok((end - now.div_euclid(DAY) * DAY).div_euclid(DAY).clamp(0, DAYS_AHEAD))
}

/// Whether the default partition is so large that no partition is made beside it. Keeps no lock.
pub fn is_default_large() -> Result<bool, TelemetryError> {
    let partitions = partition::partitions_now(target_table(c"event_log")?);
    let Some(default) = partitions.iter().find(|partition| partition.is_default) else {
        return Ok(false);
    };
    Ok(partition::blocks_now(default.table).is_some_and(|blocks| blocks > MAX_DEFAULT_BLOCKS))
}

/// The minutes of a period with rows in the default partition, which keeps them.
fn taken_minutes(
    default: pg_sys::Oid,
    start: i64,
    end: i64,
) -> Result<BTreeSet<i64>, TelemetryError> {
    let mut taken = BTreeSet::new();
    if let Some((blocks, columns)) = events::open(default)? {
        blocks.read(
            &blocks.runs(&[Bounds { number: (i64::MIN, i64::MAX), since: start }]),
            Wanted::default(),
            |row| {
                if let Some((_, time)) = columns
                    .transaction_and_time(row)
                    .filter(|(_, time)| (start..end).contains(time))
                {
                    taken.insert(minute_of(time));
                }
            },
        );
    }
    Ok(taken)
}

/// A period without the taken minutes, in at most [`MAX_PARTITIONS_PER_DAY`] pieces, longest first
/// kept: a row from a clock that runs ahead must not cost the whole day its partition.
fn free_pieces(start: i64, end: i64, taken: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let mut pieces = Vec::new();
    let mut from = start;
    for minute in taken {
        pieces.push((from, *minute));
        from = minute + MINUTE;
    }
    pieces.push((from, end));
    pieces.retain(|(from, to)| from < to);
    pieces.sort_by_key(|(from, to)| from - to);
    pieces.truncate(MAX_PARTITIONS_PER_DAY);
    pieces.sort_unstable();
    pieces
}

fn make_partition(start: i64, end: i64) -> Result<(), TelemetryError> {
    let name = lookup::schema(c"crewsnow_ops").zip(TimestampWithTimeZone::try_from(start).ok());
    let (Some((_, from)), Ok(to)) = (name, TimestampWithTimeZone::try_from(end)) else {
        return Ok(());
    };
    let sql = in_target_schema(include_str!("../../../sql/telemetry/create_event_partition.sql"))?;
    spi::connect_mut(|client| {
        let mut commands = Vec::new();
        for row in client.select(sql.as_str(), Some(1), &[from.into(), to.into()])? {
            commands.extend(row.get::<String>(1)?);
        }
        for commands in commands {
            client.update(commands.as_str(), None, &[])?;
        }
        // Default privileges, as Supabase sets them, may have granted the new table to others.
        let privileges = in_target_schema(PRIVILEGES)?;
        let mut commands = Vec::new();
        for row in client.select(privileges.as_str(), None, &[from.into()])? {
            commands.extend(row.get::<String>(1)?);
        }
        for command in commands {
            client.update(command.as_str(), None, &[])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_rows_leave_the_rest_of_the_day_free() {
        let minutes =
            |taken: &[i64]| taken.iter().map(|minute| minute * MINUTE).collect::<BTreeSet<_>>();
        let pieces = |taken: &[i64]| {
            let pieces = free_pieces(0, DAY, &minutes(taken));
            pieces.into_iter().map(|(from, to)| (from / MINUTE, to / MINUTE)).collect::<Vec<_>>()
        };
        assert_eq!(pieces(&[]), [(0, 1440)]);
        assert_eq!(pieces(&[0, 1, 700]), [(2, 700), (701, 1440)]);
        assert_eq!(pieces(&[1439]), [(0, 1439)]);
        let many: Vec<i64> = (0..1440).step_by(10).collect();
        assert_eq!(pieces(&many).len(), MAX_PARTITIONS_PER_DAY);
        assert_eq!(pieces(&(0..1440).collect::<Vec<_>>()), []);
    }
}
