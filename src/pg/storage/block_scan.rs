//! Reading the part of an append-only heap that a BRIN index and the pages' positions in the WAL cannot exclude, without a plan.

use super::brin;
use super::brin::Summary;
use crate::pg::access::scan::{ACCESS_SHARE, column_number, indexes_of};
use crate::pg::access::slot;
use crate::pg::access::slot::RowInPlace;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Bounds on the table's two indexed columns, an int8 and a timestamptz. Rows outside them may still be visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Least and greatest value of the int8.
    pub number: (i64, i64),
    /// Least value of the timestamptz, in microseconds since 2000.
    pub since: i64,
}

impl Bounds {
    fn overlap(&self, summary: &Summary) -> bool {
        summary.number.1 >= self.number.0 && summary.number.0 <= self.number.1 && summary.time.1 >= self.since
    }
}

/// So many blocks are looked at before those among them that have changed are read.
const BATCH: usize = 32;
copied_for!("pg15" "pg16" "pg17" "pg18": "FirstNormalTransactionId of access/transam.h");

/// The first transaction id that is one.
const FIRST_NORMAL: u32 = 3;

/// What is known about the rows that a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// They are on pages that have changed since this position in the WAL; 0 if that is not known.
    pub changed_since: u64,
    /// Their transactions did not begin before this one; 0 if that is not known.
    pub oldest: u64,
}

impl Wanted {
    /// The oldest transaction by the id that rows have, if it is near enough to tell.
    fn oldest(self) -> Option<u32> {
        // SAFETY: reads shared memory.
        let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
        (self.oldest >= u64::from(FIRST_NORMAL) && next.saturating_sub(self.oldest) < 1 << 30)
            .then_some(self.oldest as u32)
    }
}

/// Why a table cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReadable {
    /// It is no heap, or has not the columns that it should have.
    Shape,
    /// It is unlogged, and this server a standby, which has none of its rows.
    NotHere,
}

/// A table that is open for reading until it is dropped.
pub struct Blocks {
    relation: pg_sys::Relation,
    index: Option<pg_sys::Oid>,
}

/// Consecutive blocks of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    first: u32,
    count: u32,
}

impl Blocks {
    /// Opens a heap with its BRIN index, if it has one, on the columns `number` and `time`; `None` if the table is gone, `Err` if it
    /// cannot be read. The lock stays until the transaction ends, as for a query.
    pub fn open(table: pg_sys::Oid, number: &CStr, time: &CStr) -> Result<Option<Self>, NotReadable> {
        // SAFETY: try_relation_open answers NULL for a relation that is gone; an open one has a valid descriptor.
        unsafe {
            let relation = pg_sys::try_relation_open(table, ACCESS_SHARE);
            if relation.is_null() {
                return Ok(None);
            }
            let mut blocks = Self { relation, index: None };
            let class = &*(*relation).rd_rel;
            if class.relkind as u8 != pg_sys::RELKIND_RELATION || class.relam != pg_sys::HEAP_TABLE_AM_OID {
                return Err(NotReadable::Shape);
            }
            if class.relpersistence as u8 == pg_sys::RELPERSISTENCE_UNLOGGED && pg_sys::RecoveryInProgress() {
                return Err(NotReadable::NotHere);
            }
            let column = |name, type_| blocks.column(name, type_).ok_or(NotReadable::Shape);
            let columns = [column(number, pg_sys::INT8OID)?, column(time, pg_sys::TIMESTAMPTZOID)?];
            blocks.index = brin_on(relation, columns);
            Ok(Some(blocks))
        }
    }

    /// How many blocks the table has now.
    pub fn block_count(&self) -> u32 {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// The column called `name`, if the table has it with this type.
    pub fn column(&self, name: &CStr, type_: pg_sys::Oid) -> Option<i16> {
        // SAFETY: the relation is open, so its descriptor is valid.
        column_number(unsafe { &*(*self.relation).rd_att }, name, type_)
    }

    /// The blocks that may hold rows within any of the bounds, in their order.
    pub fn runs(&self, bounds: &[Bounds]) -> Vec<Run> {
        // By the range; without a summary nothing is known.
        let mut may_hold: Vec<Option<bool>> = Vec::new();
        let blocks_per_range = self.index.and_then(|index| {
            brin::read(index, |summary| {
                let range = summary.range as usize;
                if range >= may_hold.len() {
                    may_hold.resize(range + 1, None);
                }
                let held = bounds.iter().any(|bound| bound.overlap(&summary));
                may_hold[range] = Some(may_hold[range].unwrap_or(false) || held);
            })
        });
        let (mut runs, end): (Vec<Run>, u32) = (Vec::new(), self.block_count());
        let step = blocks_per_range.unwrap_or(u32::MAX);
        for (range, first) in (0..end).step_by(step as usize).enumerate() {
            if may_hold.get(range).copied().flatten() == Some(false) {
                continue;
            }
            let count = step.min(end - first);
            match runs.last_mut() {
                Some(run) if run.first + run.count == first => run.count += count,
                _ => runs.push(Run { first, count }),
            }
        }
        runs
    }

    /// The ranges that are full and that the index does not know yet: how many blocks each has, and their first ones.
    pub fn unknown(&self) -> (u32, Vec<u32>) {
        let mut known = std::collections::HashSet::new();
        let read = |index| brin::read(index, |summary| known.extend([summary.range]));
        let Some(step) = self.index.and_then(read) else { return (0, Vec::new()) };
        let full = 0..self.block_count() / step;
        (step, full.filter(|range| !known.contains(range)).map(|range| range * step).collect())
    }

    /// Has the server summarize the range that a block is in, unless somebody else is maintaining the table. Needs the owner's rights.
    pub fn summarize(&self, block: u32) -> bool {
        let Some(index) = self.index else { return false };
        // SAFETY: the relation is open; the function takes the index's oid and a block number, and the lock is held already.
        unsafe {
            if !crate::pg::catalog::partition::try_lock_for_maintenance((*self.relation).rd_id) {
                return false;
            }
            let arguments = [Some(pg_sys::Datum::from(index)), Some(pg_sys::Datum::from(block as usize))];
            let summarize = || {
                let done = pgrx::direct_function_call_as_datum(pg_sys::brin_summarize_range, &arguments);
                done.is_some_and(|count| count.value() as i32 > 0)
            };
            // What somebody who was killed has begun is in the way, and nobody else is at it now.
            let is_done = summarize() || {
                pgrx::direct_function_call_as_datum(pg_sys::brin_desummarize_range, &arguments);
                summarize()
            };
            // As the server releases its own; the transaction may go on for long.
            crate::pg::catalog::partition::unlock_after_maintenance((*self.relation).rd_id);
            is_done
        }
    }

    /// Reads the rows of some blocks that the active snapshot sees, but for those that are not wanted as far as that can be told without
    /// looking at their columns.
    pub fn read(&self, runs: &[Run], wanted: Wanted, mut visit: impl FnMut(&RowInPlace<'_>)) {
        // As the server does it: what fills much of the cache goes around it, what does not is worth keeping there for the next look.
        // SAFETY: reads a backend-local variable.
        let is_much = block_count(runs) > u64::from(unsafe { pg_sys::NBuffers }.unsigned_abs()) / 8;
        // Not a sequential scan, as which each run would count in the statistics.
        let flags = pg_sys::ScanOptions::SO_TYPE_TIDRANGESCAN
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE
            | if is_much { pg_sys::ScanOptions::SO_ALLOW_STRAT } else { 0 };
        let oldest = wanted.oldest();
        // SAFETY: the relation is an open heap and a snapshot is active. The scan is limited before its first row, each time; the slot
        // is made for this relation and outlives the rows.
        unsafe {
            let none: *mut std::ffi::c_void = std::ptr::null_mut();
            // A serializable transaction has read the whole table, also where there was nothing to read.
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                unguarded::PredicateLockRelation(self.relation, pg_sys::GetActiveSnapshot());
            });
            let slot = pg_sys::table_slot_create(self.relation, none.cast());
            let scan = pg_sys::heap_beginscan(
                self.relation,
                pg_sys::GetActiveSnapshot(),
                0,
                none.cast(),
                none.cast(),
                flags as _,
            );
            let columns = (*(*slot).tts_tupleDescriptor).natts;
            let mut has_started = false;
            self.changed(runs, wanted.changed_since, is_much, |run| {
                if std::mem::replace(&mut has_started, true) {
                    pg_sys::heap_rescan(scan, none.cast(), false, false, false, false);
                }
                pg_sys::heap_setscanlimits(scan, run.first, run.count);
                while next_row(scan, slot, oldest, columns) {
                    visit(&RowInPlace::new(&*slot));
                }
            });
            pg_sys::heap_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
    }

    /// Those of some blocks that have changed since a position. Pages that were never logged, of an unlogged table or one filled in the
    /// transaction that made it, have position 0: nothing is known of them.
    fn changed(&self, runs: &[Run], since: u64, is_much: bool, mut visit: impl FnMut(Run)) {
        if since == 0 {
            runs.iter().copied().for_each(visit);
            return;
        }
        let is_changed = |position: u64| position == 0 || position > since;
        // SAFETY: the relation is open and has these blocks. A batch of blocks fits into the strategy's ring until it is read.
        unsafe {
            let strategy = match is_much {
                true => pg_sys::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_BULKREAD),
                false => std::ptr::null_mut(),
            };
            for run in runs {
                let end = run.first + run.count;
                for first in (run.first..end).step_by(BATCH) {
                    pgrx::check_for_interrupts!();
                    let positions = self.positions(first, (end - first).min(BATCH as u32), strategy);
                    let mut changed: Option<Run> = None;
                    for (block, position) in (first..end).zip(positions) {
                        if is_changed(position) {
                            changed.get_or_insert(Run { first: block, count: 0 }).count += 1;
                        } else {
                            changed.take().into_iter().for_each(&mut visit);
                        }
                    }
                    changed.into_iter().for_each(&mut visit);
                }
            }
            if is_much {
                pg_sys::FreeAccessStrategy(strategy);
            }
        }
    }

    /// The positions in the WAL at which some blocks, at most a batch, changed last.
    ///
    /// # Safety
    /// The relation must have these blocks.
    unsafe fn positions(&self, first: u32, count: u32, strategy: pg_sys::BufferAccessStrategy) -> [u64; BATCH] {
        let mut positions = [0; BATCH];
        // SAFETY: as the caller vouches; each block is pinned while it is looked at. One guard for all of it: what is called by itself is
        // guarded by itself, which takes as long as the call. Nothing in here needs to be dropped.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                for (position, block) in positions.iter_mut().zip(first..first + count) {
                    let (fork, mode) = (pg_sys::ForkNumber::MAIN_FORKNUM, pg_sys::ReadBufferMode::RBM_NORMAL);
                    let buffer = unguarded::ReadBufferExtended(self.relation, fork, block, mode, strategy);
                    // Locked: who changes the page writes its position in two halves.
                    unguarded::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
                    *position = unguarded::BufferGetLSNAtomic(buffer);
                    unguarded::UnlockReleaseBuffer(buffer);
                }
            });
        }
        positions
    }
}

copied_for!("pg15" "pg16" "pg17" "pg18": "functions of storage/bufmgr.h and storage/predicate.h");

/// The server's functions without pgrx's guard, for use within one.
mod unguarded {
    use pgrx::pg_sys::*;

    unsafe extern "C-unwind" {
        pub fn ReadBufferExtended(
            relation: Relation,
            fork: ForkNumber::Type,
            block: BlockNumber,
            mode: ReadBufferMode::Type,
            strategy: BufferAccessStrategy,
        ) -> Buffer;
        pub fn BufferGetLSNAtomic(buffer: Buffer) -> XLogRecPtr;
        pub fn LockBuffer(buffer: Buffer, mode: i32);
        pub fn UnlockReleaseBuffer(buffer: Buffer);
        pub fn PredicateLockRelation(relation: Relation, snapshot: Snapshot);
        pub fn heap_getnextslot(scan: TableScanDesc, direction: ScanDirection::Type, slot: *mut TupleTableSlot)
        -> bool;
    }
}

/// Puts the next row into the slot that was not written before the transaction `oldest`, with all its columns; false at the end.
///
/// # Safety
/// The scan must be of a heap, the slot one for its rows, `columns` as many as they have.
unsafe fn next_row(
    scan: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    oldest: Option<u32>,
    columns: i32,
) -> bool {
    let forward = pg_sys::ScanDirection::ForwardScanDirection;
    // SAFETY: as the caller vouches. One guard for all of it, as nothing in here needs to be dropped.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            while unguarded::heap_getnextslot(scan, forward, slot) {
                let tuple = (*slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple;
                if oldest.is_some_and(|oldest| was_written_before(&*(*tuple).t_data, oldest)) {
                    continue;
                }
                slot::read_columns(slot, columns);
                return true;
            }
            false
        })
    }
}

/// Whether a row's inserting transaction certainly began before another one, which is no further back than half the ids. A frozen row may
/// be older than its id tells.
fn was_written_before(row: &pg_sys::HeapTupleHeaderData, oldest: u32) -> bool {
    // SAFETY: every row on disk has this member of the union.
    let xmin = unsafe { row.t_choice.t_heap.t_xmin }.into_inner();
    let is_frozen = u32::from(row.t_infomask) & pg_sys::HEAP_XMIN_FROZEN == pg_sys::HEAP_XMIN_FROZEN;
    !is_frozen && xmin >= FIRST_NORMAL && (xmin.wrapping_sub(oldest) as i32) < 0
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // While an error unwinds, the server closes the relation itself.
        if !std::thread::panicking() {
            // SAFETY: opened by `open`, closed only here; the lock is kept.
            unsafe { pg_sys::relation_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE) };
        }
    }
}

/// The valid BRIN index whose first columns are these.
///
/// # Safety
/// The relation must be open.
unsafe fn brin_on(relation: pg_sys::Relation, columns: [i16; 2]) -> Option<pg_sys::Oid> {
    // SAFETY: the table is locked, so its indexes exist; every index has as many columns as it says.
    unsafe {
        indexes_of(relation).into_iter().find(|index| {
            let index = pg_sys::index_open(*index, ACCESS_SHARE);
            let definition = &*(*index).rd_index;
            let is_it =
                brin::is_minmax(index) && definition.indisvalid && definition.indkey.values.as_slice(2) == columns;
            pg_sys::index_close(index, ACCESS_SHARE);
            is_it
        })
    }
}

/// How many blocks there are in some runs.
pub fn block_count(runs: &[Run]) -> u64 {
    runs.iter().map(|run| u64::from(run.count)).sum()
}
