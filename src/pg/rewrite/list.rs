//! The server's `List` of pointers.

use pgrx::pg_sys;

/// The elements of a list of pointers.
///
/// # Safety
/// The list must be NIL or one of pointers to `T`.
pub(crate) unsafe fn elements<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list that is not NIL has `length` cells.
    unsafe {
        (0..(*list).length as usize).map(|i| (*(*list).elements.add(i)).ptr_value.cast()).collect()
    }
}
