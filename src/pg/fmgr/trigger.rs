//! What pgrx's trigger interface does not offer.

use super::spi::RowArgument;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::{AllocatedByRust, PgTrigger, PgTupleDesc, WhoAllocated, pg_sys};
use std::ffi::{CStr, c_int};

unsafe extern "C-unwind" {
    /// Compares two values of any type byte by byte, after detoasting. Exported by the server, absent from pgrx's bindings.
    fn datum_image_eq(a: pg_sys::Datum, b: pg_sys::Datum, by_value: bool, length: i16) -> bool;
}

/// Whether an UPDATE changes the row in any column but those in `except`.
pub fn update_changes_row(trigger: &PgTrigger<'_>, except: &[&str]) -> bool {
    let (Some(old), Some(new), Ok(relation)) = (trigger.old(), trigger.new(), trigger.relation()) else {
        return false;
    };
    let descriptor = relation.tuple_desc();
    let (old, new) = (old.into_pg(), new.into_pg());
    (0..descriptor.len()).any(|i| {
        let Some(attribute) = descriptor.get(i).filter(|a| !a.attisdropped && !except.contains(&a.name())) else {
            return false;
        };
        let column = i as c_int + 1;
        let (mut old_is_null, mut new_is_null) = (false, false);
        // SAFETY: both tuples are the trigger's, of the relation whose descriptor this is, and the column exists in it.
        unsafe {
            let old = pg_sys::heap_getattr(old, column, descriptor.as_ptr(), &mut old_is_null);
            let new = pg_sys::heap_getattr(new, column, descriptor.as_ptr(), &mut new_is_null);
            let (by_value, length) = (attribute.attbyval, attribute.attlen);
            old_is_null != new_is_null
                || (!old_is_null && !pg_sys::ffi::pg_guard_ffi_boundary(|| datum_image_eq(old, new, by_value, length)))
        }
    })
}

/// Whether an UPDATE changes what `holds` says of the bytes of the jsonb `column`.
pub fn update_changes_json(trigger: &PgTrigger<'_>, column: &CStr, holds: fn(&[u8]) -> bool) -> bool {
    let (Some(old), Some(new), Ok(relation)) = (trigger.old(), trigger.new(), trigger.relation()) else {
        return false;
    };
    let descriptor = relation.tuple_desc();
    let of = |tuple: pg_sys::HeapTuple| {
        // SAFETY: the tuple is the trigger's, of the relation whose descriptor this is; the column is looked at only as jsonb.
        unsafe {
            let number = pg_sys::SPI_fnumber(descriptor.as_ptr(), column.as_ptr());
            if number <= 0 || pg_sys::SPI_gettypeid(descriptor.as_ptr(), number) != pg_sys::JSONBOID {
                return false;
            }
            let mut is_null = false;
            let object = pg_sys::heap_getattr(tuple, number, descriptor.as_ptr(), &mut is_null);
            !is_null && crate::pg::access::datum::with_varlena(object, holds)
        }
    };
    of(old.into_pg()) != of(new.into_pg())
}

/// A row of the trigger's table as a bound parameter.
pub fn row_argument<A: WhoAllocated>(trigger: &PgTrigger<'_>, row: Option<PgHeapTuple<'_, A>>) -> RowArgument {
    // SAFETY: a trigger's relation is open while the trigger runs.
    let row_type = trigger.relation().map_or(pg_sys::RECORDOID, |r| unsafe { (*(*r.as_ptr()).rd_rel).reltype });
    RowArgument { value: row.and_then(PgHeapTuple::into_composite_datum), row_type }
}

/// A copy of a row as a bound parameter, and the row.
pub fn row_copy<'a>(
    trigger: &PgTrigger<'_>,
    row: PgHeapTuple<'a, AllocatedByRust>,
) -> (RowArgument, PgHeapTuple<'a, AllocatedByRust>) {
    let tuple = row.into_pg();
    // SAFETY: the tuple is of the trigger's relation, which is open while the trigger runs and whose descriptor outlives it.
    unsafe {
        let descriptor = trigger.relation().map_or(std::ptr::null_mut(), |r| (*r.as_ptr()).rd_att);
        let view = || PgHeapTuple::from_heap_tuple(PgTupleDesc::from_pg_unchecked(descriptor), tuple);
        (row_argument(trigger, Some(view())), view().into_owned())
    }
}

/// Whether the current user has the rights of the owner of the trigger's table.
pub fn is_owner(trigger: &PgTrigger<'_>) -> bool {
    trigger.relation().is_ok_and(|relation| {
        // SAFETY: a trigger's relation is open while the trigger runs.
        unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), (*(*relation.as_ptr()).rd_rel).relowner) }
    })
}
