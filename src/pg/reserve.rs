//! Room for the copy of an error where memory is short.

use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{PgSqlErrorCode, function_name, pg_sys};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_int;
use std::sync::atomic::{AtomicPtr, Ordering};

copied_for!("pg15" "pg16" "pg17" "pg18": "geterrcode of utils/elog.h");

unsafe extern "C-unwind" {
    fn geterrcode() -> c_int;
}

/// Address space that is set aside for the copy of an error, in bytes. A memory context asks for
/// blocks of up to 8 MB, and where the system refuses, for 1 MB at least. No page of it is touched,
/// so it takes no memory.
const RESERVED: usize = 5 << 18;
const RESERVED_LAYOUT: Layout = match Layout::from_size_align(RESERVED, 16) {
    Ok(layout) => layout,
    Err(_) => Layout::new::<u8>(),
};
/// The address space; NULL if it was given back to the system, or refused.
static RESERVE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// While it exists, an error of SQLSTATE 53200 gives the reserved address space back to the system.
///
/// pgrx copies each error of the server. Where that copy itself fails for want of memory, the
/// server raises one error inside another until it ends with PANIC, and all sessions with it.
pub(in crate::pg) struct Reserve {
    callback: pg_sys::ErrorContextCallback,
}

impl Reserve {
    /// A reserve that is not yet held.
    pub(in crate::pg) fn new() -> Self {
        Self { callback: pg_sys::ErrorContextCallback::default() }
    }

    /// Sets the address space aside, and listens to errors until the drop. Raises 53200 if the
    /// system refuses the space.
    ///
    /// # Safety
    /// The value must be dropped in the reverse order of the server's own error contexts.
    pub(in crate::pg) unsafe fn hold(&mut self) {
        if RESERVE.load(Ordering::Relaxed).is_null() {
            // SAFETY: the layout is not empty. Only `release` takes the pointer out again.
            let reserved = unsafe { System.alloc(RESERVED_LAYOUT) };
            if reserved.is_null() {
                out_of_memory();
            }
            RESERVE.store(reserved, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the value in place until its drop takes it off the stack.
        unsafe {
            self.callback.previous = pg_sys::error_context_stack;
            self.callback.callback = Some(release);
            pg_sys::error_context_stack = &mut self.callback;
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if self.callback.callback.is_some() {
            // SAFETY: puts back the contexts that `hold` has found.
            unsafe { pg_sys::error_context_stack = self.callback.previous };
        }
    }
}

/// The server calls it while it makes an error report, before it leaves the failing code.
unsafe extern "C-unwind" fn release(_: *mut std::ffi::c_void) {
    // SAFETY: an error report is being made.
    let code = unsafe { geterrcode() };
    if code != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int {
        return;
    }
    let reserved = RESERVE.swap(std::ptr::null_mut(), Ordering::Relaxed);
    if !reserved.is_null() {
        // SAFETY: allocated with this layout.
        unsafe { System.dealloc(reserved, RESERVED_LAYOUT) };
    }
}

/// The error of the same name in `pg/error.rs`, which imports the module that needs the reserve.
fn out_of_memory() -> ! {
    let report =
        ErrorReport::new(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY, "out of memory", function_name!())
            .set_detail("The system refuses more memory. Nothing was changed.");
    match Err::<std::convert::Infallible, _>(report).unwrap_or_report() {}
}
