//! The roll-up: counts each event of a finished transaction exactly once, per minute and function.
//!
//! One transaction writes the counts and the snapshot that they cover. A statement that sees both
//! knows for every event whether it is counted, and reads the tail directly. Writers take no part.

use super::coverage::Coverage;
use super::events;
use super::events::{Columns, RollupState, Times, target_table};
use super::partitions;
use super::tally::{Cell, MAX_NAMES_PER_HOUR, OTHER, Tally};
use crate::access::as_owner;
use crate::pg::catalog::partition;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::memory;
use crate::pg::storage::block_scan;
use crate::pg::storage::block_scan::{Blocks, Bounds};
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::pg::xact::snapshot;
use crate::pg::xact::wal::WalMark;
use crate::telemetry::error::TelemetryError;
use crate::time::minute::{HOUR, MINUTE};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use std::collections::{BTreeMap, BTreeSet};

/// An upper bound of the rows per block, to convert p_max_rows into blocks.
const ROWS_PER_BLOCK: i64 = 64;
/// Blocks that are read before the counts are written, if they are many: memory stays bounded
/// however long the tail is.
const BLOCKS_AT_ONCE: u32 = 1_024;
/// Functions and minutes that are counted before they are written.
const CELLS_AT_ONCE: usize = 50_000;
/// Functions and minutes that one statement writes.
const CELLS_PER_STATEMENT: usize = 5_000;
/// Bounds that only unsummarized block ranges satisfy: no transaction id is negative.
const UNKNOWN: Bounds = Bounds { number: (-2, -1), since: i64::MIN };

/// Counts the tail. See the COMMENT on the SQL function.
///
/// SQLSTATE 22023 (p_max_rows), 25001 (old snapshot), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
fn roll_up_events(
    p_max_rows: default!(i32, 1000000),
) -> Result<
    TableIterator<'static, (name!(events_counted, i64), name!(is_complete, bool))>,
    ErrorReport,
> {
    const ACTION: &str = "roll up events";
    if p_max_rows < 1 {
        return Err(TelemetryError::InvalidMaxRows(p_max_rows).into());
    }
    require_writable(ACTION)?;
    require_latest_snapshot(ACTION)?;
    let counted = as_owner(|| {
        let counted = roll_up(i64::from(p_max_rows))?;
        // Last, so that the locks are held only until the commit.
        if !partition::is_in_transaction_block() {
            partitions::try_make_partitions()?;
        }
        Ok::<_, TelemetryError>(counted)
    })?;
    Ok(TableIterator::once((counted.events as i64, counted.is_complete)))
}

/// Discards all counts and counts again. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (old snapshot), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
fn rebuild_rollups() -> Result<i64, ErrorReport> {
    const ACTION: &str = "rebuild the rollups";
    require_writable(ACTION)?;
    require_latest_snapshot(ACTION)?;
    let counted = as_owner(|| {
        // Lock order: events, then state, as TRUNCATE takes them.
        partition::partitions(target_table(c"event_log")?);
        spi::connect_mut(|client| {
            client.update(
                include_str!("../../../sql/telemetry/await_rollup_state.sql"),
                None,
                &[],
            )?;
            client.update(
                include_str!("../../../sql/telemetry/forget_event_rollups.sql"),
                None,
                &[],
            )?;
            Ok::<_, TelemetryError>(())
        })?;
        let counted = roll_up(i64::MAX)?;
        let [lock, recount] = [
            include_str!("../../../sql/telemetry/lock_webhooks.sql"),
            include_str!("../../../sql/telemetry/recount_webhooks.sql"),
        ]
        .map(in_target_schema);
        spi::connect_mut(|client| {
            // Blocks writers of webhooks, whose journal would be counted twice. Last, as they wait.
            client.update(lock?.as_str(), None, &[])?;
            client.update(
                include_str!("../../../sql/telemetry/forget_webhook_rollups.sql"),
                None,
                &[],
            )?;
            client.update(recount?.as_str(), None, &[])?;
            Ok::<_, TelemetryError>(counted)
        })
    })?;
    Ok(counted.events as i64)
}

/// The result of a roll-up.
#[derive(Default)]
struct Counted {
    events: u64,
    is_complete: bool,
}

fn roll_up(max_rows: i64) -> Result<Counted, TelemetryError> {
    // Before the first write, so that the mark covers this transaction, too.
    let mark = WalMark::now();
    // Lock order: events, then state, as TRUNCATE takes them.
    let partitions = partition::partitions(target_table(c"event_log")?);
    spi::connect_mut(|client| {
        if !lock_state(client)? {
            return Ok(Counted::default());
        }
        let state = snapshot::with_latest_snapshot(RollupState::read)?;
        if !state.is_trusted {
            client.update(
                include_str!("../../../sql/telemetry/forget_event_rollups.sql"),
                None,
                &[],
            )?;
        }
        let mut open: Vec<(Blocks, Columns)> = Vec::new();
        for partition in &partitions {
            open.extend(events::open(partition.table)?);
        }
        let counted = snapshot::with_latest_snapshot(|| count(&open, max_rows))?;
        let Some((covered, counted, has_strays)) = counted else { return Ok(Counted::default()) };
        let (system_identifier, database) = snapshot::identity();
        let [older, newer] = WalMark::advance(state.marks, mark, covered.oldest_outside());
        let number = |number: u64| (number as i64).into();
        let arguments = [
            covered.to_string().into(),
            system_identifier.into(),
            database.into(),
            number(older.transaction),
            number(older.position),
            number(newer.transaction),
            number(newer.position),
            has_strays.into(),
        ];
        client.update(
            include_str!("../../../sql/telemetry/write_rollup_state.sql"),
            None,
            &arguments,
        )?;
        let limit = max_rows.into();
        let moved = client.update(
            include_str!("../../../sql/telemetry/roll_up_webhooks.sql"),
            None,
            &[limit],
        )?;
        let moved = moved.first().get_one::<i64>()?.unwrap_or(0);
        client.update(include_str!("../../../sql/telemetry/sample_connections.sql"), None, &[])?;
        Ok(Counted { is_complete: counted.is_complete && moved < max_rows, ..counted })
    })
}

/// Locks the state until the end of the transaction; false if another transaction holds it.
pub fn lock_state(client: &mut SpiClient<'_>) -> Result<bool, TelemetryError> {
    Ok(!client
        .update(include_str!("../../../sql/telemetry/lock_rollup_state.sql"), None, &[])?
        .is_empty())
}

/// Counts the finished part of the tail. Returns the new coverage, the counts, and whether stray
/// rows exist; `None` if the call only summarized block ranges for the next one.
fn count(
    open: &[(Blocks, Columns)],
    max_rows: i64,
) -> Result<Option<(Coverage, Counted, bool)>, TelemetryError> {
    let state = RollupState::read()?;
    let most = (max_rows / ROWS_PER_BLOCK).max(1) as u64;
    let size = |last: u64| -> u64 {
        let mut bounds = state.uncovered_bounds(state.floor, last);
        bounds.push(UNKNOWN);
        open.iter().map(|(blocks, _)| block_scan::block_count(&blocks.runs(&bounds))).sum()
    };
    let mut last = None;
    if size(u64::MAX) > most {
        let unknown = summarize(open, 0);
        let left = summarize(open, most);
        if left > most && left < unknown {
            return Ok(None);
        }
        // Another session maintains the table, so nothing was summarized. Count everything at once.
        if left <= most {
            last = last_transaction(&state, most, size);
        }
    }
    let own = snapshot::own_transaction();
    let next = Coverage::next(&state.now, own, last);
    let bounds = state.uncovered_bounds(state.floor, last.unwrap_or(u64::MAX));
    let mut tally = Tally::default();
    let mut events = 0;
    let mut has_strays = state.has_strays;
    let pieces = |blocks: &Blocks| block_scan::pieces(&blocks.runs(&bounds), BLOCKS_AT_ONCE);
    for (blocks, columns, piece) in open
        .iter()
        .flat_map(|(blocks, columns)| pieces(blocks).into_iter().map(move |p| (blocks, columns, p)))
    {
        blocks.read(&piece, state.uncounted, |row| {
            if let Some((transaction, created_at)) = columns.transaction_and_time(row)
                && created_at >= state.floor
                && !state.covered.holds(transaction)
            {
                if next.holds(transaction) {
                    events += 1;
                    columns.with_call(row, created_at, Times::Wanted, |call| tally.add(call));
                } else {
                    // Written while the trigger was disabled. The views read the row as part of the
                    // tail, so the block must stay in the part that they read.
                    has_strays |= transaction >= state.now.xmax && Some(transaction) != own;
                }
            }
        });
        if tally.cells() >= CELLS_AT_ONCE {
            write(std::mem::take(&mut tally))?;
        }
    }
    if last.is_none() {
        summarize(open, most);
    }
    write(tally)?;
    Ok(Some((next, Counted { events, is_complete: last.is_none() }, has_strays)))
}

/// The last transaction for which at most `most` blocks beyond the necessary ones are read; at
/// least the first transaction that has any.
fn last_transaction(state: &RollupState, most: u64, size: impl Fn(u64) -> u64) -> Option<u64> {
    let end = state.now.xmax;
    let (mut low, mut high) = (state.covered.xmax.saturating_sub(1), end);
    let least = size(low);
    // Binary search: up to `low` few enough blocks, up to `high` too many, or all.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if size(middle) <= least + most { low = middle } else { high = middle }
    }
    let last = if size(low) > least { low } else { high };
    (last < end).then_some(last)
}

/// Summarizes about `most` blocks of unsummarized ranges in the BRIN index, so that they can be
/// skipped. The range that is being filled is left out: a summary that changes with each row would
/// slow every writer. Returns the number of blocks of complete ranges that are left.
fn summarize(open: &[(Blocks, Columns)], most: u64) -> u64 {
    let (mut done, mut left) = (0, 0);
    for (blocks, _) in open {
        let (blocks_per_range, unknown) = blocks.unknown();
        for first in unknown {
            if done < most && blocks.summarize(first) {
                done += u64::from(blocks_per_range);
            } else {
                left += u64::from(blocks_per_range);
            }
        }
    }
    left
}

/// Adds the new counts to the stored ones. The lock on the state excludes other writers.
fn write(tally: Tally) -> Result<(), TelemetryError> {
    let mut cells: Cells = tally
        .into_cells()
        .map(|(function, minute, cell)| {
            ((minute, String::from_utf8_lossy(&function).into_owned()), cell)
        })
        .collect();
    limit_names(&mut cells)?;
    while !cells.is_empty() {
        let rest = match cells.keys().nth(CELLS_PER_STATEMENT).cloned() {
            Some(next) => cells.split_off(&next),
            None => Cells::new(),
        };
        memory::in_temporary_context(|| spi::connect_mut(|client| write_cells(client, cells)))?;
        cells = rest;
    }
    Ok(())
}

type Cells = BTreeMap<(i64, String), Cell>;

/// Counts as [`OTHER`] the functions that are beyond the limit of names of their hour, together
/// with the stored ones.
fn limit_names(cells: &mut Cells) -> Result<(), TelemetryError> {
    let mut names: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for (minute, function) in cells.keys() {
        names.entry(minute.div_euclid(HOUR)).or_default().insert(function.clone());
    }
    for (hour, mut new) in names {
        let start = TimestampWithTimeZone::try_from(hour * HOUR).ok();
        let stored: BTreeSet<String> = Spi::connect(|client| {
            let room = MAX_NAMES_PER_HOUR.saturating_sub(new.len()) as i64;
            let arguments = [start.into(), room.into(), (MAX_NAMES_PER_HOUR as i64).into()];
            client
                .select(include_str!("../../../sql/telemetry/names_of_hour.sql"), None, &arguments)?
                .filter_map(|row| row.get::<String>(1).transpose())
                .collect::<Result<_, _>>()
                .map_err(TelemetryError::from)
        })?;
        new.retain(|name| !stored.contains(name) && name.as_bytes() != OTHER);
        let room = MAX_NAMES_PER_HOUR.saturating_sub(stored.len());
        for name in new.iter().skip(room) {
            let own = (hour * HOUR..(hour + 1) * HOUR).step_by(MINUTE as usize);
            for minute in own {
                let Some(cell) = cells.remove(&(minute, name.clone())) else { continue };
                let other = (minute, String::from_utf8_lossy(OTHER).into_owned());
                cells.entry(other).or_default().merge(&cell)?;
            }
        }
    }
    Ok(())
}

fn write_cells(client: &mut SpiClient<'_>, mut cells: Cells) -> Result<(), TelemetryError> {
    let time = |time: i64| TimestampWithTimeZone::try_from(time).ok();
    let minutes: Vec<_> = cells.keys().map(|(minute, _)| time(*minute)).collect();
    let functions: Vec<_> = cells.keys().map(|(_, function)| function.clone()).collect();
    let keys = [minutes.clone().into(), functions.clone().into()];
    for row in
        client.select(include_str!("../../../sql/telemetry/known_rollups.sql"), None, &keys)?
    {
        let (Some(minute), Some(function)) =
            (row.get::<TimestampWithTimeZone>(1)?, row.get::<String>(2)?)
        else {
            continue;
        };
        let Some(cell) = cells.get_mut(&(minute.into_inner(), function)) else { continue };
        let count = |column| row.get::<i64>(column).map(|count| count.unwrap_or(0) as u64);
        cell.calls += count(3)?;
        cell.errors += count(4)?;
        cell.timeouts += count(5)?;
        cell.without_status += count(8)?;
        cell.last_call = cell
            .last_call
            .max(row.get::<TimestampWithTimeZone>(6)?.map_or(i64::MIN, |t| t.into_inner()));
        cell.latency.merge_bytes(row.get::<&[u8]>(7)?.unwrap_or_default())?;
    }
    let counts =
        |of: fn(&Cell) -> u64| cells.values().map(|cell| of(cell) as i64).collect::<Vec<_>>();
    let arguments = [
        minutes.into(),
        functions.into(),
        counts(|cell| cell.calls).into(),
        counts(|cell| cell.errors).into(),
        counts(|cell| cell.timeouts).into(),
        cells.values().map(|cell| time(cell.last_call)).collect::<Vec<_>>().into(),
        cells.values().map(|cell| cell.latency.encode()).collect::<Vec<_>>().into(),
        counts(|cell| cell.without_status).into(),
    ];
    client.update(include_str!("../../../sql/telemetry/write_rollups.sql"), None, &arguments)?;
    Ok(())
}
