//! Reads the blocks of an append-only heap that can hold wanted rows, without a plan.
//! A BRIN index and the LSNs of the pages exclude the others.

use super::brin;
use super::brin::Summary;
use crate::pg::access::scan::{ACCESS_SHARE, column_number, indexes_of};
use crate::pg::access::slot;
use crate::pg::access::slot::RowInPlace;
use crate::pg::memory;
use crate::settings;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Bounds on the table's two indexed columns, an int8 and a timestamptz. Rows outside them may
/// still be visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Minimum and maximum of the int8 column.
    pub number: (i64, i64),
    /// Minimum of the timestamptz column, in microseconds since 2000.
    pub since: i64,
}

impl Bounds {
    fn overlap(&self, summary: &Summary) -> bool {
        summary.number.1 >= self.number.0
            && summary.number.0 <= self.number.1
            && summary.time.1 >= self.since
    }
}

/// Number of blocks whose LSNs are collected before the changed ones among them are read.
const BATCH: usize = 32;
copied_for!("pg15" "pg16" "pg17" "pg18": "FirstNormalTransactionId of access/transam.h");

/// `FirstNormalTransactionId`: lower ids are reserved.
const FIRST_NORMAL: u32 = 3;

/// Knowledge about the rows that a reader wants, used to skip pages and rows unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The rows are on pages with a greater LSN; 0 if unknown.
    pub changed_since: u64,
    /// The rows were written by this transaction id or later ones; 0 if unknown.
    pub oldest: u64,
}

impl Wanted {
    /// The oldest transaction as the 32-bit id of tuple headers; `None` if it is too old for
    /// a comparison modulo 2^32.
    fn oldest(self) -> Option<u32> {
        // SAFETY: reads shared memory.
        let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
        (self.oldest >= u64::from(FIRST_NORMAL) && next.saturating_sub(self.oldest) < 1 << 30)
            .then_some(self.oldest as u32)
    }
}

/// Reason why a table cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReadable {
    /// Not a heap, or a column is missing or has another type.
    Shape,
    /// Unlogged, on a standby: no row of it is replicated.
    NotHere,
}

/// A table that stays open for reading until this value is dropped.
pub struct Blocks {
    relation: pg_sys::Relation,
    /// The BRIN index that excludes blocks; `None`: every block is read.
    index: Option<pg_sys::Oid>,
}

/// Consecutive blocks of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    first: u32,
    count: u32,
}

/// The runs in pieces of at most `size` blocks.
pub fn pieces(runs: &[Run], size: u32) -> Vec<Vec<Run>> {
    let mut pieces: Vec<Vec<Run>> = Vec::new();
    let mut left = 0;
    for run in runs {
        let (mut first, end) = (run.first, run.first + run.count);
        while first < end {
            if left == 0 {
                pieces.push(Vec::new());
                left = size.max(1);
            }
            let count = left.min(end - first);
            if let Some(piece) = pieces.last_mut() {
                piece.push(Run { first, count });
            }
            (first, left) = (first + count, left - count);
        }
    }
    pieces
}

impl Blocks {
    /// Opens a heap, and its BRIN index on the columns `number` and `time` if there is one; `None`
    /// if the table was dropped. The lock is held until the transaction ends, as for a query.
    pub fn open(
        table: pg_sys::Oid,
        number: &CStr,
        time: &CStr,
    ) -> Result<Option<Self>, NotReadable> {
        // SAFETY: try_relation_open returns NULL for a dropped relation; an open one has a valid
        // descriptor.
        unsafe {
            let relation = pg_sys::try_relation_open(table, ACCESS_SHARE);
            if relation.is_null() {
                return Ok(None);
            }
            let mut blocks = Self { relation, index: None };
            let class = &*(*relation).rd_rel;
            let is_heap = class.relkind as u8 == pg_sys::RELKIND_RELATION
                && class.relam == pg_sys::HEAP_TABLE_AM_OID;
            if !is_heap {
                return Err(NotReadable::Shape);
            }
            let is_unlogged = class.relpersistence as u8 == pg_sys::RELPERSISTENCE_UNLOGGED;
            if is_unlogged && pg_sys::RecoveryInProgress() {
                return Err(NotReadable::NotHere);
            }
            let column = |name, type_| blocks.column(name, type_).ok_or(NotReadable::Shape);
            let columns = [column(number, pg_sys::INT8OID)?, column(time, pg_sys::TIMESTAMPTZOID)?];
            if settings::brin_summaries() {
                blocks.index = brin_on(relation, columns);
            }
            Ok(Some(blocks))
        }
    }

    /// Current number of blocks of the table.
    pub fn block_count(&self) -> u32 {
        // SAFETY: the relation is open.
        unsafe {
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            pg_sys::RelationGetNumberOfBlocksInFork(self.relation, main)
        }
    }

    /// Number of the column `name`; `None` if it is missing or has another type.
    pub fn column(&self, name: &CStr, type_: pg_sys::Oid) -> Option<i16> {
        // SAFETY: the relation is open, so its descriptor is valid.
        column_number(unsafe { &*(*self.relation).rd_att }, name, type_)
    }

    /// The blocks that may hold rows within any of the bounds, in block order.
    pub fn runs(&self, bounds: &[Bounds]) -> Vec<Run> {
        // Indexed by range; `None` for a range without a summary.
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

    /// Complete ranges without a summary: the number of blocks of a range, and the first block of
    /// each.
    pub fn unknown(&self) -> (u32, Vec<u32>) {
        let mut known = std::collections::HashSet::new();
        let read = |index| brin::read(index, |summary| known.extend([summary.range]));
        let Some(step) = self.index.and_then(read) else { return (0, Vec::new()) };
        let full = 0..self.block_count() / step;
        (step, full.filter(|range| !known.contains(range)).map(|range| range * step).collect())
    }

    /// Summarizes the range of a block, unless another session maintains the table. Returns whether
    /// the range has a summary now. Needs the owner's privileges.
    pub fn summarize(&self, block: u32) -> bool {
        let Some(index) = self.index else { return false };
        // SAFETY: the relation is open and locked; both functions take the index's oid and a block
        // number.
        unsafe {
            if !crate::pg::catalog::partition::try_lock_for_maintenance((*self.relation).rd_id) {
                return false;
            }
            let block = pg_sys::Datum::from(block as usize);
            let arguments = [Some(pg_sys::Datum::from(index)), Some(block)];
            let call = |function| pgrx::direct_function_call_as_datum(function, &arguments);
            let summarize =
                || call(pg_sys::brin_summarize_range).is_some_and(|count| count.value() as i32 > 0);
            // A killed summarization leaves a placeholder tuple. The maintenance lock is held, so
            // no other session works on the range: remove the placeholder and retry.
            let is_done = summarize() || {
                call(pg_sys::brin_desummarize_range);
                summarize()
            };
            // Released early, as VACUUM does: the transaction may last long.
            crate::pg::catalog::partition::unlock_after_maintenance((*self.relation).rd_id);
            is_done
        }
    }

    /// Visits the rows of some blocks that the active snapshot sees. Rows that `wanted` excludes by
    /// page LSN or xmin are skipped; other unwanted rows are visited.
    pub fn read(&self, runs: &[Run], wanted: Wanted, mut visit: impl FnMut(&RowInPlace<'_>)) {
        let wanted = if settings::wal_skip() { wanted } else { Wanted::default() };
        // As the server does: a scan of much of the cache uses a ring of buffers, a smaller one
        // stays cached for the next reader. SAFETY: reads a backend-local variable.
        let is_much = block_count(runs) > u64::from(unsafe { pg_sys::NBuffers }.unsigned_abs()) / 8;
        // Not SO_TYPE_SEQSCAN: the statistics would count each run as a sequential scan.
        let flags = pg_sys::ScanOptions::SO_TYPE_TIDRANGESCAN
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE
            | if is_much { pg_sys::ScanOptions::SO_ALLOW_STRAT } else { 0 };
        let oldest = wanted.oldest();
        // SAFETY: the relation is an open heap and a snapshot is active. The scan is limited before
        // the first row of each run; the slot is made for this relation and outlives the rows.
        unsafe {
            let none: *mut std::ffi::c_void = std::ptr::null_mut();
            // For a serializable transaction the skipped blocks count as read, too.
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
                    memory::check();
                }
            });
            pg_sys::heap_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
    }

    /// Visits the runs of blocks whose LSN is greater than `since`. An LSN of 0 tells nothing and
    /// is visited: pages of an unlogged table, or of one filled by the transaction that created it,
    /// were never logged.
    fn changed(&self, runs: &[Run], since: u64, is_much: bool, mut visit: impl FnMut(Run)) {
        if since == 0 {
            runs.iter().copied().for_each(visit);
            return;
        }
        let is_changed = |position: u64| position == 0 || position > since;
        // SAFETY: the relation is open and has these blocks. A batch fits into the strategy's ring
        // until it is read.
        unsafe {
            let strategy = match is_much {
                true => pg_sys::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_BULKREAD),
                false => std::ptr::null_mut(),
            };
            for run in runs {
                let end = run.first + run.count;
                for first in (run.first..end).step_by(BATCH) {
                    pgrx::check_for_interrupts!();
                    let positions =
                        self.positions(first, (end - first).min(BATCH as u32), strategy);
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

    /// The LSNs of some consecutive blocks, at most a batch.
    ///
    /// # Safety
    /// The relation must have these blocks.
    unsafe fn positions(
        &self,
        first: u32,
        count: u32,
        strategy: pg_sys::BufferAccessStrategy,
    ) -> [u64; BATCH] {
        let mut positions = [0; BATCH];
        // SAFETY: as the caller vouches; each block is pinned while its header is read. One guard
        // for the batch, because a guard for each call costs as much as the call. No value in here
        // needs to be dropped.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                for (position, block) in positions.iter_mut().zip(first..first + count) {
                    let fork = pg_sys::ForkNumber::MAIN_FORKNUM;
                    let mode = pg_sys::ReadBufferMode::RBM_NORMAL;
                    let relation = self.relation;
                    let buffer =
                        unguarded::ReadBufferExtended(relation, fork, block, mode, strategy);
                    // Share-locked, because a writer stores the LSN in two halves.
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

/// Server functions without pgrx's guard, for calls inside of one guard.
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
        pub fn heap_getnextslot(
            scan: TableScanDesc,
            direction: ScanDirection::Type,
            slot: *mut TupleTableSlot,
        ) -> bool;
    }
}

/// Stores the next row that `oldest` or a later transaction wrote into the slot, with all columns
/// decoded; false at the end.
///
/// # Safety
/// The scan must be of a heap, the slot must be made for its rows, and `columns` must be their
/// number of columns.
unsafe fn next_row(
    scan: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    oldest: Option<u32>,
    columns: i32,
) -> bool {
    let forward = pg_sys::ScanDirection::ForwardScanDirection;
    // SAFETY: as the caller vouches. One guard for the whole loop; no value in here needs to be
    // dropped.
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

/// Whether a row's inserting transaction is certainly older than `oldest`, which must be less than
/// 2^31 ids back. The xmin of a frozen row may be from before a wraparound and is not compared.
fn was_written_before(row: &pg_sys::HeapTupleHeaderData, oldest: u32) -> bool {
    // SAFETY: every row on disk has this member of the union.
    let xmin = unsafe { row.t_choice.t_heap.t_xmin }.into_inner();
    let frozen = pg_sys::HEAP_XMIN_FROZEN;
    let is_frozen = u32::from(row.t_infomask) & frozen == frozen;
    !is_frozen && xmin >= FIRST_NORMAL && (xmin.wrapping_sub(oldest) as i32) < 0
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // While an error unwinds, the server closes the relation.
        if !std::thread::panicking() {
            // SAFETY: opened by `open`, closed only here; the lock is kept.
            unsafe {
                pg_sys::relation_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE);
            }
        }
    }
}

/// The valid BRIN index on these two columns.
///
/// # Safety
/// The relation must be open.
unsafe fn brin_on(relation: pg_sys::Relation, columns: [i16; 2]) -> Option<pg_sys::Oid> {
    // SAFETY: the table is locked, so its indexes exist; is_minmax() makes sure of two columns.
    unsafe {
        indexes_of(relation).into_iter().find(|index| {
            let index = pg_sys::index_open(*index, ACCESS_SHARE);
            let definition = &*(*index).rd_index;
            let is_it = brin::is_minmax(index)
                && definition.indisvalid
                && definition.indkey.values.as_slice(2) == columns;
            pg_sys::index_close(index, ACCESS_SHARE);
            is_it
        })
    }
}

/// Number of blocks in some runs.
pub fn block_count(runs: &[Run]) -> u64 {
    runs.iter().map(|run| u64::from(run.count)).sum()
}
