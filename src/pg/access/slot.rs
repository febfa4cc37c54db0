//! Rows in a tuple slot, with all columns decoded at once.

use pgrx::pg_sys;

/// The row in a slot, valid until the next one is read. Accessors return `None` for NULL.
pub struct RowInPlace<'a> {
    slot: &'a pg_sys::TupleTableSlot,
}

impl<'a> RowInPlace<'a> {
    /// The row in a slot; columns beyond the first `tts_nvalid` read as NULL.
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

    /// Value of an int8 or timestamptz column.
    pub fn int8(&self, column: i16) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    /// Value of an int4 column.
    pub fn integer(&self, column: i16) -> Option<i32> {
        self.datum(column).map(|datum| datum.value() as i32)
    }

    /// Calls `work` with the bytes of a column of variable length; only a compressed or external
    /// value is copied.
    pub fn with_bytes<R>(&self, column: i16, work: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // SAFETY: the caller names a column of variable length; the value is valid as long as the
        // row.
        self.datum(column).map(|datum| unsafe { super::datum::with_varlena(datum, work) })
    }
}

/// Decodes the first `columns` columns of the row in a slot.
///
/// # Safety
/// The slot must hold a row of at least that many columns. The caller must be inside of pgrx's
/// guard.
pub(crate) unsafe fn read_columns(slot: *mut pg_sys::TupleTableSlot, columns: i32) {
    // SAFETY: as the caller vouches.
    unsafe {
        if i32::from((*slot).tts_nvalid) < columns {
            unguarded::slot_getsomeattrs_int(slot, columns);
        }
    }
}

copied_for!("pg15" "pg16" "pg17" "pg18": "slot_getsomeattrs_int of executor/tuptable.h");

/// Server functions without pgrx's guard, for calls inside of one guard.
mod unguarded {
    use pgrx::pg_sys::*;

    unsafe extern "C-unwind" {
        pub fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, count: i32);
    }
}
