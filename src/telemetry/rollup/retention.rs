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
use crate::pg::xact::snapshot;
use crate::settings;
use crate::telemetry::error::TelemetryError;
use crate::time::minute::{DAY, MINUTE};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

/// Rows that one call deletes at most, per table.
const BATCH: i64 = 100_000;

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

fn apply() -> Result<Done, TelemetryError> {
    let now = clock::now();
    let cutoff = (now - settings::event_retention() * MINUTE).div_euclid(DAY) * DAY;
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
        for old in partitions.iter().filter(is_old) {
            // DROP also locks the parent, which writers hold for short moments.
            let is_free =
                partition::try_lock_exclusively(old.table) && partition::lock_exclusively(log);
            if is_free && drop_partition(client, old.table)? {
                done.partitions += 1;
            } else {
                // Writers waited once already; do not let them wait for each day.
                done.is_complete = false;
                break;
            }
        }
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
