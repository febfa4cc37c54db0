//! Retention: drops whole days of counted events, then old counts.

use super::events;
use super::events::{RollupState, target_table};
use super::roll_up::lock_state;
use super::triggers::retiring;
use crate::access::as_owner;
use crate::pg::catalog::partition;
use crate::pg::catalog::partition::Partition;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::storage::block_scan::{Bounds, Wanted};
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::pg::xact::{snapshot, subtransaction};
use crate::settings;
use crate::telemetry::error::TelemetryError;
use crate::time::minute::{DAY, MINUTE};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use std::time::{Duration, Instant};

/// Rows that one call deletes at most, per table.
const BATCH: i64 = 100_000;
/// Pauses before each attempt to lock what a drop needs, in milliseconds.
const RETRIES_MS: [u64; 8] = [0, 20, 50, 100, 200, 300, 400, 500];
/// Once writers have waited so long, further partitions are left to the next call.
const MAX_HOLD: Duration = Duration::from_millis(10);

/// Applies retention. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (transaction block, old snapshot), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn apply_event_retention() -> Result<
    TableIterator<
        'static,
        (
            name!(partitions_dropped, i32),
            name!(events_deleted, i64),
            name!(rollups_deleted, i64),
            name!(is_complete, bool),
        ),
    >,
    ErrorReport,
> {
    const ACTION: &str = "apply retention";
    require_writable(ACTION)?;
    require_latest_snapshot(ACTION)?;
    if partition::is_in_transaction_block() {
        return Err(ServerError::InTransactionBlock { action: ACTION }.into());
    }
    let done = as_owner(apply)?;
    Ok(TableIterator::once((done.partitions, done.events, done.rollups, done.is_complete)))
}

#[derive(Default)]
struct Done {
    partitions: i32,
    events: i64,
    rollups: i64,
    is_complete: bool,
}

/// The time, in microseconds since 2000, before which events are dropped.
fn cutoff() -> i64 {
    (clock::now() - settings::event_retention() * MINUTE).div_euclid(DAY) * DAY
}

/// How many partitions hold only events that retention drops. Keeps no lock.
pub fn expired_partitions() -> Result<usize, TelemetryError> {
    let cutoff = cutoff();
    let partitions = partition::partitions_now(target_table(c"event_log")?);
    Ok(partitions.iter().filter(|partition| partition.end.is_some_and(|end| end <= cutoff)).count())
}

fn apply() -> Result<Done, TelemetryError> {
    let (now, cutoff) = (clock::now(), cutoff());
    let log = target_table(c"event_log")?;
    let partitions = partition::partitions(log);
    spi::connect_mut(|client| {
        if !lock_state(client)? {
            return Ok(Done::default());
        }
        let is_old = |partition: &&Partition| partition.end.is_some_and(|end| end <= cutoff);
        for partition in
            partitions.iter().filter(|partition| partition.is_default || is_old(partition))
        {
            if !snapshot::with_latest_snapshot(|| is_counted(partition.table, cutoff))? {
                return Ok(Done::default());
            }
        }
        // From here on only counts answer for older events, even if this call deletes a part.
        let floor = TimestampWithTimeZone::try_from(cutoff).ok();
        client.update(
            include_str!("../../../sql/telemetry/raise_event_floor.sql"),
            None,
            &[floor.into()],
        )?;
        let events =
            delete(client, include_str!("../../../sql/telemetry/delete_old_events.sql"), cutoff)?;
        let mut done = Done { events, is_complete: events < BATCH, ..Done::default() };
        let oldest = now - settings::rollup_retention() * MINUTE;
        for sql in [
            include_str!("../../../sql/telemetry/delete_old_event_rollups.sql"),
            include_str!("../../../sql/telemetry/delete_old_webhook_rollups.sql"),
        ] {
            let deleted = delete(client, sql, oldest)?;
            done.rollups += deleted;
            done.is_complete &= deleted < BATCH;
        }
        let reversals = include_str!("../../../sql/telemetry/delete_old_reversals.sql");
        done.is_complete &= delete(client, reversals, oldest)? < BATCH;
        // Last, so that the locks are held only until the commit.
        let default = partitions.iter().find(|partition| partition.is_default);
        let old: Vec<_> = partitions.iter().filter(is_old).map(|old| old.table).collect();
        let (dropped, is_complete) =
            drop_partitions(client, log, default.map(|default| default.table), old)?;
        done.partitions = dropped;
        done.is_complete &= is_complete;
        Ok(done)
    })
}

/// Whether all rows of a partition before a time are counted, under the latest snapshot.
fn is_counted(table: pg_sys::Oid, before: i64) -> Result<bool, TelemetryError> {
    let state = RollupState::read()?;
    if !state.is_trusted {
        return Ok(false);
    }
    let Some((blocks, columns)) = events::open(table)? else { return Ok(false) };
    let bounds: Vec<Bounds> = state.uncovered_bounds(i64::MIN, u64::MAX);
    let mut is_counted = true;
    blocks.read(&blocks.runs(&bounds), Wanted::default(), |row| {
        is_counted &= columns.transaction_and_time(row).is_some_and(|(transaction, time)| {
            state.covered.holds(transaction) || time < state.floor || time >= before
        });
    });
    Ok(is_counted)
}

/// Drops days that others do not use. Returns the number of dropped partitions, and whether none is
/// left.
///
/// DROP locks the parent, which writers hold for short moments, and the default partition. A few
/// short waits stop writers for less time than a long one.
fn drop_partitions(
    client: &mut SpiClient<'_>,
    log: pg_sys::Oid,
    default: Option<pg_sys::Oid>,
    mut old: Vec<pg_sys::Oid>,
) -> Result<(i32, bool), TelemetryError> {
    let (mut dropped, mut kept) = (0, false);
    for pause in RETRIES_MS {
        if old.is_empty() {
            break;
        }
        pgrx::check_for_interrupts!();
        std::thread::sleep(Duration::from_millis(pause));
        let with_default = |table| Vec::from_iter(default.into_iter().chain([table]));
        // Writers are not to wait for a drop that a VACUUM of the partition prevents.
        let Some(first) = old.iter().position(|table| partition::are_free(&with_default(*table)))
        else {
            continue;
        };
        if !partition::lock_for_drop(log, &with_default(old[first])) {
            continue;
        }
        // Writers wait from here on, until the commit.
        let began = Instant::now();
        for table in old.split_off(first) {
            if dropped > 0 && began.elapsed() > MAX_HOLD || !partition::try_lock_exclusively(table)
            {
                kept = true;
                continue;
            }
            match subtransaction::isolated(|| drop_partition(client, table)) {
                Ok(done) => dropped += i32::from(done?),
                Err(failure) => {
                    kept = true;
                    pgrx::warning!(
                        "a partition of event_log stays, though it is older than \
                         crewsnow_ops.event_retention: {}",
                        failure.message
                    );
                }
            }
        }
        break;
    }
    Ok((dropped, !kept && old.is_empty()))
}

fn drop_partition(client: &mut SpiClient<'_>, table: pg_sys::Oid) -> Result<bool, TelemetryError> {
    let command = client
        .select(
            include_str!("../../../sql/telemetry/drop_event_partition.sql"),
            Some(1),
            &[table.into()],
        )?
        .first()
        .get_one::<String>()?;
    let Some(command) = command else { return Ok(false) };
    client.update(command.as_str(), None, &[])?;
    Ok(true)
}

fn delete(client: &mut SpiClient<'_>, sql: &str, before: i64) -> Result<i64, TelemetryError> {
    let before = TimestampWithTimeZone::try_from(before).ok();
    let deleted = retiring(|| {
        client.update(sql, None, &[before.into(), BATCH.into()]).map(|rows| rows.len())
    })?;
    Ok(deleted as i64)
}
