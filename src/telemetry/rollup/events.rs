//! Reads rollups and tail under the snapshot of the running statement.

use super::coverage::Coverage;
use super::tally::Call;
use crate::pg::access::scan;
use crate::pg::access::scan::TableScan;
use crate::pg::access::slot::RowInPlace;
use crate::pg::catalog::{lookup, partition};
use crate::pg::error::ServerError;
use crate::pg::storage::block_scan::{Blocks, Bounds, NotReadable, Wanted};
use crate::pg::xact::snapshot;
use crate::pg::xact::wal;
use crate::pg::xact::wal::WalMark;
use crate::telemetry::error::TelemetryError;
use crate::telemetry::ingest::{ondisk_jsonb, ondisk_numeric};
use crate::telemetry::sketch::ddsketch::MAX_NANOSECONDS;
use pgrx::pg_sys;
use std::ffi::CStr;

/// A table of the schema crewsnow_ops.
pub fn own_table(name: &CStr) -> Result<pg_sys::Oid, TelemetryError> {
    lookup::schema(c"crewsnow_ops")
        .and_then(|schema| lookup::table_in(schema, name))
        .ok_or(ServerError::NotInstalled.into())
}

/// A table of the extension's target schema.
pub fn target_table(name: &CStr) -> Result<pg_sys::Oid, TelemetryError> {
    lookup::target_schema()
        .and_then(|schema| lookup::table_in(schema, name))
        .ok_or(ServerError::NotInstalled.into())
}

/// The row of rollup_state, as the running statement sees it.
#[derive(Debug)]
pub struct RollupState {
    /// The snapshot of the statement.
    pub now: Coverage,
    /// The transactions whose events are counted.
    pub covered: Coverage,
    /// Whether this database made the counts. Otherwise only counts before the floor are used.
    pub is_trusted: bool,
    /// The blocks that can hold events of the tail.
    pub uncounted: Wanted,
    /// Whether rows of transactions that never happened exist: they can be in any block.
    pub has_strays: bool,
    /// WAL marks of the last roll-up: see [`WalMark::advance`].
    pub marks: [WalMark; 2],
    /// Retention dropped the events before this time (microseconds since 2000); counts remain.
    pub floor: i64,
}

impl RollupState {
    /// Reads the row.
    pub fn read() -> Result<Self, TelemetryError> {
        let binary = snapshot::active_snapshot().ok_or(ServerError::NoSnapshot)?;
        let now = Coverage::from_binary(&binary).unwrap_or_default();
        let mut floors = TableScan::open_for_statement(own_table(c"raw_event_floor")?)
            .ok_or(ServerError::NotInstalled)?;
        let column = floors.column(c"floor", pg_sys::TIMESTAMPTZOID);
        let floor = floors
            .next()
            .zip(column)
            .and_then(|(row, column)| row.int8(column))
            .unwrap_or(i64::MIN);
        let mut states = TableScan::open_for_statement(own_table(c"rollup_state")?)
            .ok_or(ServerError::NotInstalled)?;
        let columns = (
            states.column(c"covered", pg_sys::PG_SNAPSHOTOID),
            states.column(c"system_identifier", pg_sys::INT8OID),
            states.column(c"database", pg_sys::OIDOID),
        );
        let rolled_up_at = states.column(c"rolled_up_at", pg_sys::TIMESTAMPTZOID);
        let has_strays = states.column(c"has_strays", pg_sys::BOOLOID);
        let marks = [(c"mark_tx", c"mark_lsn"), (c"newer_mark_tx", c"newer_mark_lsn")].map(
            |(transaction, position)| {
                states
                    .column(transaction, pg_sys::INT8OID)
                    .zip(states.column(position, pg_sys::PG_LSNOID))
            },
        );
        let state = states.next().zip(columns.0.zip(columns.1).zip(columns.2)).and_then(
            |(row, columns)| {
                let ((covered, identifier), database) = columns;
                let identity = (row.int8(identifier)?, row.oid(database)?);
                let marks = marks.map(|columns| {
                    let mark = columns.and_then(|(transaction, position)| {
                        Some((row.int8(transaction)?, row.int8(position)?))
                    });
                    mark.map_or_else(WalMark::default, |(transaction, position)| WalMark {
                        transaction: transaction as u64,
                        position: position as u64,
                    })
                });
                let holds =
                    rolled_up_at.and_then(|column| row.int8(column)).is_some_and(wal::holds_since);
                let marks = if holds { marks } else { Default::default() };
                let has_strays = has_strays.and_then(|column| row.boolean(column)).unwrap_or(true);
                Some((
                    row.with_bytes(covered, Coverage::from_binary)??,
                    identity,
                    marks,
                    has_strays,
                ))
            },
        );
        Ok(match state {
            // A covered transaction or WAL position in the future means that the server was
            // restored to an earlier state.
            Some((covered, identity, marks, has_strays))
                if identity == snapshot::identity()
                    && covered.xmax <= now.xmax
                    && marks.iter().all(|mark| mark.position <= wal::position()) =>
            {
                let changed_since = if marks[0].transaction <= covered.oldest_outside() {
                    marks[0].position
                } else {
                    0
                };
                let uncounted = match has_strays {
                    true => Wanted::default(),
                    false => Wanted { changed_since, oldest: covered.oldest_outside() },
                };
                Self { now, covered, is_trusted: true, uncounted, has_strays, marks, floor }
            }
            _ => Self {
                now,
                covered: Coverage::default(),
                is_trusted: false,
                uncounted: Wanted::default(),
                has_strays: false,
                marks: Default::default(),
                floor,
            },
        })
    }

    /// Bounds that contain every tail event since `since`, up to the transaction `last`.
    pub fn uncovered_bounds(&self, since: i64, last: u64) -> Vec<Bounds> {
        let number = |transaction: u64| i64::try_from(transaction).unwrap_or(i64::MAX);
        self.covered
            .uncovered(&self.now)
            .into_iter()
            .filter(|(first, _)| *first <= last)
            .map(|(first, end)| Bounds { number: (number(first), number(end.min(last))), since })
            .collect()
    }
}

/// The column numbers of a partition.
pub struct Columns {
    tx: i16,
    created_at: i16,
    function_name: i16,
    execution_time_ms: i16,
    payload: i16,
}

impl Columns {
    /// `None` if a column is missing or of another type.
    pub fn of(blocks: &Blocks) -> Option<Self> {
        Some(Self {
            tx: blocks.column(c"tx", pg_sys::INT8OID)?,
            created_at: blocks.column(c"created_at", pg_sys::TIMESTAMPTZOID)?,
            function_name: blocks.column(c"function_name", pg_sys::TEXTOID)?,
            execution_time_ms: blocks.column(c"execution_time_ms", pg_sys::NUMERICOID)?,
            payload: blocks.column(c"payload", pg_sys::JSONBOID)?,
        })
    }

    /// The transaction and the time of a row.
    pub fn transaction_and_time(&self, row: &RowInPlace<'_>) -> Option<(u64, i64)> {
        Some((u64::try_from(row.int8(self.tx)?).ok()?, row.int8(self.created_at)?))
    }

    /// Calls `work` with the call of a row, if the row has a function name.
    pub fn with_call(
        &self,
        row: &RowInPlace<'_>,
        created_at: i64,
        times: Times,
        work: impl FnOnce(&Call<'_>),
    ) {
        row.with_bytes(self.function_name, |function| {
            let read = |number: &[u8]| {
                ondisk_numeric::milliseconds_as_nanoseconds(number, MAX_NANOSECONDS)
            };
            let nanoseconds = match times {
                Times::Wanted => row.with_bytes(self.execution_time_ms, read).flatten(),
                Times::Unwanted => None,
            };
            let status = row.with_bytes(self.payload, |payload| {
                (ondisk_jsonb::is_5xx(payload), ondisk_jsonb::has_status(payload))
            });
            let (is_5xx, has_status) = status.unwrap_or((false, false));
            work(&Call { function, created_at, nanoseconds, is_5xx, has_status });
        });
    }
}

/// Opens a partition of event_log; `None` if it was dropped. A partition that cannot be read is an
/// error: counts without it would be wrong.
pub fn open(partition: pg_sys::Oid) -> Result<Option<(Blocks, Columns)>, TelemetryError> {
    let unreadable = |why| {
        let name = lookup::table_name(partition).unwrap_or_default();
        match why {
            NotReadable::Shape => TelemetryError::UnreadablePartition(name),
            NotReadable::NotHere => TelemetryError::UnloggedPartition(name),
        }
    };
    let Some(blocks) = Blocks::open(partition, c"tx", c"created_at").map_err(unreadable)? else {
        return Ok(None);
    };
    let columns = Columns::of(&blocks).ok_or_else(|| unreadable(NotReadable::Shape))?;
    Ok(Some((blocks, columns)))
}

/// Whether a reader needs execution times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Decode execution times.
    Wanted,
    /// Skip them; `nanoseconds` is `None`.
    Unwanted,
}

/// Visits the tail: calls since a time that no rollup holds.
pub fn read_tail(
    state: &RollupState,
    since: i64,
    times: Times,
    mut visit: impl FnMut(&Call<'_>),
) -> Result<(), TelemetryError> {
    let since = since.max(state.floor);
    let bounds = state.uncovered_bounds(since, u64::MAX);
    for partition in partition::partitions(target_table(c"event_log")?) {
        if partition.end.is_some_and(|end| end <= since) {
            continue;
        }
        let Some((blocks, columns)) = open(partition.table)? else { continue };
        blocks.read(&blocks.runs(&bounds), state.uncounted, |row| {
            if let Some((transaction, created_at)) = columns.transaction_and_time(row)
                && created_at >= since
                && !state.covered.holds(transaction)
            {
                columns.with_call(row, created_at, times, &mut visit);
            }
        });
    }
    Ok(())
}

/// A row of event_rollups.
pub struct RollupRow<'a> {
    /// The minute.
    pub minute: i64,
    /// The function name.
    pub function: &'a [u8],
    /// Calls.
    pub calls: u64,
    /// Calls with a 5xx status.
    pub errors: u64,
    /// Calls without a usable status code.
    pub without_status: u64,
    /// Calls longer than 5 s.
    pub timeouts: u64,
    /// Time of the latest call.
    pub last_call: i64,
    /// The encoded sketch of their execution times.
    pub latency: &'a [u8],
}

/// Visits the rollups since a minute.
pub fn read_rollups<E>(
    state: &RollupState,
    since: i64,
    mut visit: impl FnMut(&RollupRow<'_>) -> Result<(), E>,
) -> Result<(), TelemetryError>
where
    TelemetryError: From<E>,
{
    let mut rows = scan::open_since(own_table(c"event_rollups")?, c"minute", since)
        .ok_or(ServerError::NotInstalled)?;
    let column = |name, type_| rows.column(name, type_).unwrap_or(0);
    let (minute, function) =
        (column(c"minute", pg_sys::TIMESTAMPTZOID), column(c"function_name", pg_sys::TEXTOID));
    let [calls, errors, without_status, timeouts] =
        [c"calls", c"errors_5xx", c"without_status", c"over_5s"]
            .map(|name| column(name, pg_sys::INT8OID));
    let (last_call, latency) =
        (column(c"last_call", pg_sys::TIMESTAMPTZOID), column(c"latency", pg_sys::BYTEAOID));
    while let Some(row) = rows.next_in_place() {
        let Some(minute) =
            row.int8(minute).filter(|minute| state.is_trusted || *minute < state.floor)
        else {
            continue;
        };
        let count =
            |column| row.int8(column).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        let (calls, errors, timeouts) = (count(calls), count(errors), count(timeouts));
        let without_status = count(without_status);
        let last_call = row.int8(last_call).unwrap_or(minute);
        let visited = row.with_bytes(function, |function| {
            row.with_bytes(latency, |latency| {
                visit(&RollupRow {
                    minute,
                    function,
                    calls,
                    errors,
                    without_status,
                    timeouts,
                    last_call,
                    latency,
                })
            })
        });
        visited.flatten().unwrap_or(Ok(()))?;
    }
    Ok(())
}
