//! Additions to pgrx's trigger interface.

use super::spi::RowArgument;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::{AllocatedByRust, PgTrigger, PgTupleDesc, WhoAllocated, pg_sys};
use std::ffi::{CStr, c_int};

copied_for!("pg15" "pg16" "pg17" "pg18": "datum_image_eq of utils/datum.h");

unsafe extern "C-unwind" {
    /// Compares two values of any type byte by byte, after detoasting.
    fn datum_image_eq(a: pg_sys::Datum, b: pg_sys::Datum, by_value: bool, length: i16) -> bool;
}

/// Whether an UPDATE changes any column other than those in `except`.
pub fn update_changes_row(trigger: &PgTrigger<'_>, except: &[&str]) -> bool {
    let (Some(old), Some(new), Ok(relation)) = (trigger.old(), trigger.new(), trigger.relation())
    else {
        return false;
    };
    let descriptor = relation.tuple_desc();
    let (old, new) = (old.into_pg(), new.into_pg());
    (0..descriptor.len()).any(|i| {
        let Some(attribute) =
            descriptor.get(i).filter(|a| !a.attisdropped && !except.contains(&a.name()))
        else {
            return false;
        };
        let column = i as c_int + 1;
        let (mut old_is_null, mut new_is_null) = (false, false);
        // SAFETY: the trigger's tuples and the descriptor belong to the same relation, which has
        // this column.
        unsafe {
            let old = pg_sys::heap_getattr(old, column, descriptor.as_ptr(), &mut old_is_null);
            let new = pg_sys::heap_getattr(new, column, descriptor.as_ptr(), &mut new_is_null);
            let (by_value, length) = (attribute.attbyval, attribute.attlen);
            old_is_null != new_is_null
                || (!old_is_null
                    && !pg_sys::ffi::pg_guard_ffi_boundary(|| {
                        datum_image_eq(old, new, by_value, length)
                    }))
        }
    })
}

/// Whether an UPDATE changes the result of `holds` for the bytes of the jsonb `column`. NULL and a
/// missing column count as `false`.
pub fn update_changes_json(
    trigger: &PgTrigger<'_>,
    column: &CStr,
    holds: fn(&[u8]) -> bool,
) -> bool {
    let (Some(old), Some(new), Ok(relation)) = (trigger.old(), trigger.new(), trigger.relation())
    else {
        return false;
    };
    let descriptor = relation.tuple_desc();
    let value_holds = |tuple: pg_sys::HeapTuple| {
        // SAFETY: the trigger's tuple and the descriptor belong to the same relation. The column is
        // read only if it is a jsonb.
        unsafe {
            let number = pg_sys::SPI_fnumber(descriptor.as_ptr(), column.as_ptr());
            if number <= 0 || pg_sys::SPI_gettypeid(descriptor.as_ptr(), number) != pg_sys::JSONBOID
            {
                return false;
            }
            let mut is_null = false;
            let object = pg_sys::heap_getattr(tuple, number, descriptor.as_ptr(), &mut is_null);
            !is_null && crate::pg::access::datum::with_varlena(object, holds)
        }
    };
    value_holds(old.into_pg()) != value_holds(new.into_pg())
}

/// A row of the trigger's table as a bound parameter; `None` is NULL.
pub fn row_argument<A: WhoAllocated>(
    trigger: &PgTrigger<'_>,
    row: Option<PgHeapTuple<'_, A>>,
) -> RowArgument {
    // SAFETY: a trigger's relation is open while the trigger runs.
    let row_type = trigger
        .relation()
        .map_or(pg_sys::RECORDOID, |r| unsafe { (*(*r.as_ptr()).rd_rel).reltype });
    RowArgument { value: row.and_then(PgHeapTuple::into_composite_datum), row_type }
}

/// A row of the trigger's table as a bound parameter, and the row itself to return.
pub fn row_copy<'a>(
    trigger: &PgTrigger<'_>,
    row: PgHeapTuple<'a, AllocatedByRust>,
) -> (RowArgument, PgHeapTuple<'a, AllocatedByRust>) {
    let tuple = row.into_pg();
    // SAFETY: the tuple belongs to the trigger's relation, which is open while the trigger runs.
    unsafe {
        let descriptor = trigger.relation().map_or(std::ptr::null_mut(), |r| (*r.as_ptr()).rd_att);
        let view =
            || PgHeapTuple::from_heap_tuple(PgTupleDesc::from_pg_unchecked(descriptor), tuple);
        (row_argument(trigger, Some(view())), view().into_owned())
    }
}

/// Whether the current user has the privileges of the owner of the trigger's table.
pub fn is_owner(trigger: &PgTrigger<'_>) -> bool {
    trigger.relation().is_ok_and(|relation| {
        // SAFETY: a trigger's relation is open while the trigger runs.
        unsafe {
            pg_sys::has_privs_of_role(pg_sys::GetUserId(), (*(*relation.as_ptr()).rd_rel).relowner)
        }
    })
}
