//! Reading the part of an append-only heap that a BRIN index cannot exclude: the server's own access methods, without a plan.

use super::scan::{ACCESS_SHARE, column_number, indexes_of};
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

/// A table that is no heap, or has not the columns that it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotReadable;

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
    /// Opens a heap with its BRIN index, if it has one, on the columns `number` and `time`; `None` if the table is gone, `Err` if it is
    /// no heap or lacks a column. The lock stays until the transaction ends, as for a query.
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
                return Err(NotReadable);
            }
            let column = |name, type_| blocks.column(name, type_).ok_or(NotReadable);
            let columns = [column(number, pg_sys::INT8OID)?, column(time, pg_sys::TIMESTAMPTZOID)?];
            blocks.index = brin_on(relation, columns);
            Ok(Some(blocks))
        }
    }

    /// The oid of the BRIN index, if there is one.
    pub fn index(&self) -> Option<pg_sys::Oid> {
        self.index
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
        let Some(index) = self.index else {
            return vec![Run { first: 0, count: self.block_count() }];
        };
        // SAFETY: index and table are open and locked, a snapshot is active; the keys live as long as the scans that use them, the
        // bitmap until its last block is read.
        unsafe {
            let index = pg_sys::index_open(index, ACCESS_SHARE);
            let bitmap = pg_sys::tbm_create((4 << 20) as _, std::ptr::null_mut());
            for bound in bounds {
                let mut keys = [
                    key(1, pg_sys::INT8OID, pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_INT8GE, bound.number.0),
                    key(1, pg_sys::INT8OID, pg_sys::BTLessEqualStrategyNumber, pg_sys::F_INT8LE, bound.number.1),
                    key(
                        2,
                        pg_sys::TIMESTAMPTZOID,
                        pg_sys::BTGreaterEqualStrategyNumber,
                        pg_sys::F_TIMESTAMPTZ_GE,
                        bound.since,
                    ),
                ];
                let scan = pg_sys::index_beginscan_bitmap(index, pg_sys::GetActiveSnapshot(), keys.len() as i32);
                pg_sys::index_rescan(scan, keys.as_mut_ptr(), keys.len() as i32, std::ptr::null_mut(), 0);
                pg_sys::index_getbitmap(scan, bitmap);
                pg_sys::index_endscan(scan);
            }
            let runs = runs_of(bitmap);
            pg_sys::tbm_free(bitmap);
            pg_sys::index_close(index, ACCESS_SHARE);
            runs
        }
    }

    /// Has the server summarize the range that a block is in, unless somebody else is maintaining the table. Needs the owner's rights.
    pub fn summarize(&self, index: pg_sys::Oid, block: u64) -> bool {
        // SAFETY: the relation is open; the function takes the index's oid and a block number, and the lock is held already.
        unsafe {
            if !super::partition::try_lock_for_maintenance((*self.relation).rd_id) {
                return false;
            }
            let arguments = [Some(pg_sys::Datum::from(index)), Some(pg_sys::Datum::from(block as usize))];
            pgrx::direct_function_call_as_datum(pg_sys::brin_summarize_range, &arguments).is_some()
        }
    }

    /// Reads the rows of some blocks that the active snapshot sees.
    pub fn read(&self, runs: &[Run], mut visit: impl FnMut(&RowInPlace<'_>)) {
        if runs.is_empty() {
            return;
        }
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE
            | pg_sys::ScanOptions::SO_ALLOW_STRAT;
        // SAFETY: the relation is an open heap and a snapshot is active. The scan is limited before its first row, each time; the slot
        // is made for this relation and outlives the rows.
        unsafe {
            let none: *mut std::ffi::c_void = std::ptr::null_mut();
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
            for (i, run) in runs.iter().enumerate() {
                if i > 0 {
                    pg_sys::heap_rescan(scan, none.cast(), false, false, false, false);
                }
                pg_sys::heap_setscanlimits(scan, run.first, run.count);
                while pg_sys::heap_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
                    if i32::from((*slot).tts_nvalid) < columns {
                        pg_sys::slot_getsomeattrs_int(slot, columns);
                    }
                    visit(&RowInPlace { slot: &*slot });
                }
            }
            pg_sys::heap_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
    }
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

/// # Safety
/// A scan key is only memory; the function must be one of the operator class's.
unsafe fn key(column: i16, type_: pg_sys::Oid, strategy: u32, function: u32, value: i64) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: the function exists, by its oid in the server's own catalog.
    unsafe {
        pg_sys::ScanKeyInit(
            &mut key,
            column,
            strategy as u16,
            pg_sys::Oid::from(function),
            pg_sys::Datum::from(value as usize),
        );
    }
    // BRIN looks its operators up by the type that a key has.
    key.sk_subtype = type_;
    key
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
            let is_it = (*(*index).rd_rel).relam == pg_sys::BRIN_AM_OID
                && definition.indisvalid
                && definition.indnkeyatts >= 2
                && definition.indkey.values.as_slice(2) == columns
                && pg_sys::RelationGetIndexPredicate(index).is_null();
            pg_sys::index_close(index, ACCESS_SHARE);
            is_it
        })
    }
}

/// # Safety
/// `bitmap` must be a valid bitmap that nothing else iterates over.
unsafe fn runs_of(bitmap: *mut pg_sys::TIDBitmap) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut take = |block: u32| match runs.last_mut() {
        Some(run) if run.first + run.count == block => run.count += 1,
        _ => runs.push(Run { first: block, count: 1 }),
    };
    // SAFETY: as the caller vouches; the iterator ends before the bitmap does.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            let iterator = pg_sys::tbm_begin_iterate(bitmap);
            while let Some(found) = pg_sys::tbm_iterate(iterator).as_ref() {
                take(found.blockno);
            }
            pg_sys::tbm_end_iterate(iterator);
        }
        #[cfg(feature = "pg18")]
        {
            let iterator = pg_sys::tbm_begin_private_iterate(bitmap);
            let mut found = pg_sys::TBMIterateResult::default();
            while pg_sys::tbm_private_iterate(iterator, &mut found) {
                take(found.blockno);
            }
            pg_sys::tbm_end_private_iterate(iterator);
        }
    }
    runs
}

/// How many blocks there are in some runs.
pub fn block_count(runs: &[Run]) -> u64 {
    runs.iter().map(|run| u64::from(run.count)).sum()
}

/// The first blocks of the ranges, each of so many blocks, that some runs touch.
pub fn ranges(runs: &[Run], blocks_per_range: u64) -> Vec<u64> {
    let mut ranges: Vec<u64> = runs
        .iter()
        .flat_map(|run| {
            let (first, end) = (u64::from(run.first), u64::from(run.first) + u64::from(run.count));
            (first / blocks_per_range..end.div_ceil(blocks_per_range)).map(|range| range * blocks_per_range)
        })
        .collect();
    ranges.dedup();
    ranges
}

/// A row where it lies, valid until the next one is read. Accessors answer `None` for NULL.
pub struct RowInPlace<'a> {
    slot: &'a pg_sys::TupleTableSlot,
}

impl RowInPlace<'_> {
    fn datum(&self, column: i16) -> Option<pg_sys::Datum> {
        let index = usize::try_from(column).ok()?.checked_sub(1)?;
        if index >= self.slot.tts_nvalid as usize {
            return None;
        }
        // SAFETY: the first `tts_nvalid` values are set.
        unsafe { (!*self.slot.tts_isnull.add(index)).then(|| *self.slot.tts_values.add(index)) }
    }

    /// An int8 or timestamptz column.
    pub fn int8(&self, column: i16) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    /// Works with the bytes of a column of variable length, in place where they lie uncompressed.
    pub fn with_bytes<R>(&self, column: i16, work: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // SAFETY: the caller names a column of variable length, whose value is valid as long as the row.
        self.datum(column).map(|datum| unsafe { super::datum::with_varlena(datum, work) })
    }
}
