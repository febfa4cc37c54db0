//! A row where it lies, its columns read all at once.

use pgrx::pg_sys;

/// A row where it lies, valid until the next one is read. Accessors answer `None` for NULL.
pub struct RowInPlace<'a> {
    slot: &'a pg_sys::TupleTableSlot,
}

impl<'a> RowInPlace<'a> {
    /// The row in a slot, of whose columns the first `tts_nvalid` have been read.
    pub(crate) fn new(slot: &'a pg_sys::TupleTableSlot) -> Self {
        Self { slot }
    }

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

    /// An integer column.
    pub fn integer(&self, column: i16) -> Option<i32> {
        self.datum(column).map(|datum| datum.value() as i32)
    }

    /// Works with the bytes of a column of variable length, in place where they lie uncompressed.
    pub fn with_bytes<R>(&self, column: i16, work: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // SAFETY: the caller names a column of variable length, whose value is valid as long as the row.
        self.datum(column).map(|datum| unsafe { super::datum::with_varlena(datum, work) })
    }
}

/// Reads the first `columns` columns of the row in a slot.
///
/// # Safety
/// The slot must hold a row of at least so many columns, and be used within pgrx's guard.
pub(crate) unsafe fn read_columns(slot: *mut pg_sys::TupleTableSlot, columns: i32) {
    // SAFETY: as the caller vouches.
    unsafe {
        if i32::from((*slot).tts_nvalid) < columns {
            unguarded::slot_getsomeattrs_int(slot, columns);
        }
    }
}

copied_for!("pg15" "pg16" "pg17" "pg18": "slot_getsomeattrs_int of executor/tuptable.h");

mod unguarded {
    use pgrx::pg_sys::*;

    unsafe extern "C-unwind" {
        pub fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, count: i32);
    }
}
