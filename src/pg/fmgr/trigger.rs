//! Additions to pgrx's trigger interface.

use super::spi::RowArgument;
use crate::error::raise;
use crate::pg::error::ServerError;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{AllocatedByRust, PgTrigger, PgTupleDesc, WhoAllocated, pg_sys};
use std::ffi::{CStr, c_int};

copied_for!("pg15" "pg16" "pg17" "pg18": "datum_image_eq of utils/datum.h");

unsafe extern "C-unwind" {
    /// Compares two values of any type byte by byte, after detoasting.
    fn datum_image_eq(a: pg_sys::Datum, b: pg_sys::Datum, by_value: bool, length: i16) -> bool;
}

/// Defines the C functions by which the server calls trigger functions: for each function the
/// symbol that CREATE FUNCTION names, and its `pg_finfo` symbol.
///
/// pgrx's own attribute panics if SQL calls such a function outside of a trigger.
macro_rules! trigger_functions {
    ($($function:ident: $symbol:ident, $info:ident;)+) => {$(
        #[allow(unsafe_code)]
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const V1: pgrx::pg_sys::Pg_finfo_record =
                pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[allow(unsafe_code)]
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        #[pgrx::pg_guard]
        pub extern "C-unwind" fn $symbol(
            call: pgrx::pg_sys::FunctionCallInfo,
        ) -> pgrx::pg_sys::Datum {
            // SAFETY: the server calls this function, with valid call information.
            unsafe { $crate::pg::fmgr::trigger::call(call, stringify!($function), $function) }
        }
    )+};
}
pub(crate) use trigger_functions;

/// The row that a trigger function returns; `None` where the server ignores it.
type Returned<'a> = Result<Option<PgHeapTuple<'a, AllocatedByRust>>, ErrorReport>;

/// Runs a trigger function for the server. 39P01 if a statement called it as a function.
///
/// # Safety
/// `call` must be the server's call information.
pub unsafe fn call(
    call: pg_sys::FunctionCallInfo,
    name: &'static str,
    work: impl for<'a> FnOnce(&'a PgTrigger<'a>) -> Returned<'a>,
) -> pg_sys::Datum {
    // SAFETY: as the caller vouches. The context is checked before it is read.
    let trigger = unsafe { call.as_ref().and_then(|call| PgTrigger::from_fcinfo(call).ok()) };
    let trigger = raise(trigger.ok_or(ServerError::NotATrigger(name)));
    let row = raise(work(&trigger)).and_then(PgHeapTuple::into_trigger_datum);
    // A trigger returns a null pointer without the flag for NULL.
    row.unwrap_or(pg_sys::Datum::null())
}

/// Whether the SET clause of an UPDATE names a column, or that of ON CONFLICT does.
pub fn assigns(trigger: &PgTrigger<'_>, column: &CStr) -> bool {
    let data = trigger.trigger_data();
    // SAFETY: the relation of a trigger is open while it runs. The set counts columns from the
    // first system column on.
    unsafe {
        let number = pg_sys::SPI_fnumber((*data.tg_relation).rd_att, column.as_ptr());
        let offset = pg_sys::FirstLowInvalidHeapAttributeNumber;
        number > 0 && pg_sys::bms_is_member(number - offset, data.tg_updatedcols)
    }
}

/// The columns that an UPDATE changes, by name.
pub fn changed_columns(trigger: &PgTrigger<'_>) -> Vec<String> {
    let mut changed = Vec::new();
    visit_changed(trigger, |name, _| {
        changed.push(name.to_owned());
        false
    });
    changed
}

/// Whether an UPDATE sets any of these columns to a value: another one, and not NULL.
pub fn update_overwrites(trigger: &PgTrigger<'_>, columns: &[&str]) -> bool {
    visit_changed(trigger, |name, is_null| !is_null && columns.contains(&name))
}

/// The values of a jsonb column before and after an UPDATE.
pub fn json_values(
    trigger: &PgTrigger<'_>,
    column: &CStr,
) -> (Option<super::raw_arg::Jsonb>, Option<super::raw_arg::Jsonb>) {
    let (Some(old), Some(new), Ok(relation)) = (trigger.old(), trigger.new(), trigger.relation())
    else {
        return (None, None);
    };
    let descriptor = relation.tuple_desc();
    // SAFETY: the trigger's tuples and the descriptor belong to the same relation.
    let value = |tuple| unsafe { json_value(&descriptor, tuple, column) };
    (value(old.into_pg()), value(new.into_pg()))
}

/// The value of a jsonb column in the new row.
pub fn new_json_value(trigger: &PgTrigger<'_>, column: &CStr) -> Option<super::raw_arg::Jsonb> {
    let (new, relation) = (trigger.new()?, trigger.relation().ok()?);
    let descriptor = relation.tuple_desc();
    // SAFETY: the trigger's tuple and the descriptor belong to the same relation.
    unsafe { json_value(&descriptor, new.into_pg(), column) }
}

/// The value of a column that is read only if it is a jsonb.
///
/// # Safety
/// The tuple must be one of the descriptor's relation.
unsafe fn json_value(
    descriptor: &PgTupleDesc<'_>,
    tuple: pg_sys::HeapTuple,
    column: &CStr,
) -> Option<super::raw_arg::Jsonb> {
    // SAFETY: as the caller vouches.
    unsafe {
        let number = pg_sys::SPI_fnumber(descriptor.as_ptr(), column.as_ptr());
        if number <= 0 || pg_sys::SPI_gettypeid(descriptor.as_ptr(), number) != pg_sys::JSONBOID {
            return None;
        }
        let mut is_null = false;
        let value = pg_sys::heap_getattr(tuple, number, descriptor.as_ptr(), &mut is_null);
        pgrx::FromDatum::from_datum(value, is_null)
    }
}

/// Whether an UPDATE changes any column other than those in `except`.
pub fn update_changes_row(trigger: &PgTrigger<'_>, except: &[&str]) -> bool {
    visit_changed(trigger, |name, _| !except.contains(&name))
}

/// Whether an UPDATE changes any of these columns.
pub fn update_changes_columns(trigger: &PgTrigger<'_>, columns: &[&str]) -> bool {
    visit_changed(trigger, |name, _| columns.contains(&name))
}

/// Visits the columns that an UPDATE changes, with whether the new value is NULL, until `found`
/// returns true. Returns whether it did.
fn visit_changed(trigger: &PgTrigger<'_>, mut found: impl FnMut(&str, bool) -> bool) -> bool {
    let (Some(old), Some(new), Ok(relation)) = (trigger.old(), trigger.new(), trigger.relation())
    else {
        return false;
    };
    let descriptor = relation.tuple_desc();
    let (old, new) = (old.into_pg(), new.into_pg());
    (0..descriptor.len()).any(|i| {
        let Some(attribute) = descriptor.get(i).filter(|a| !a.attisdropped) else {
            return false;
        };
        let column = i as c_int + 1;
        let (mut old_is_null, mut new_is_null) = (false, false);
        // SAFETY: the trigger's tuples and the descriptor belong to the same relation, which has
        // this column.
        let is_changed = unsafe {
            let old = pg_sys::heap_getattr(old, column, descriptor.as_ptr(), &mut old_is_null);
            let new = pg_sys::heap_getattr(new, column, descriptor.as_ptr(), &mut new_is_null);
            let (by_value, length) = (attribute.attbyval, attribute.attlen);
            old_is_null != new_is_null
                || (!old_is_null
                    && !pg_sys::ffi::pg_guard_ffi_boundary(|| {
                        datum_image_eq(old, new, by_value, length)
                    }))
        };
        is_changed && found(attribute.name(), new_is_null)
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
