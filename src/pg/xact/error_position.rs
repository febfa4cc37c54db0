//! The place of an error in the statement that the server could not analyse. pgrx's copy of an
//! error leaves it out.

use pgrx::pg_sys;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

copied_for!("pg15" "pg16" "pg17" "pg18": "geterrposition, getinternalerrposition of utils/elog.h");

unsafe extern "C-unwind" {
    fn geterrposition() -> c_int;
    fn getinternalerrposition() -> c_int;
}

/// The place of the latest error, in characters from 1; 0 for none.
static POSITION: AtomicI32 = AtomicI32::new(0);

/// Takes its callback off the server's stack of error contexts.
struct Listener(pg_sys::ErrorContextCallback);

impl Drop for Listener {
    fn drop(&mut self) {
        // SAFETY: puts back the contexts that `with_position` has found.
        unsafe { pg_sys::error_context_stack = self.0.previous };
    }
}

/// The server calls it while it makes an error report.
unsafe extern "C-unwind" fn note(_: *mut c_void) {
    // SAFETY: an error report is being made. SPI moves the position to the internal one.
    let position = unsafe {
        match getinternalerrposition() {
            0 => geterrposition(),
            internal => internal,
        }
    };
    POSITION.store(position, Relaxed);
}

/// Runs `work`, which catches its errors. Also returns the place of the latest error, in characters
/// from 1; `None` if the error has none.
pub fn with_position<R>(work: impl FnOnce() -> R) -> (R, Option<usize>) {
    POSITION.store(0, Relaxed);
    let mut listener = Listener(pg_sys::ErrorContextCallback::default());
    // SAFETY: the listener stays in place until its drop takes the callback off again.
    unsafe {
        listener.0.previous = pg_sys::error_context_stack;
        listener.0.callback = Some(note);
        pg_sys::error_context_stack = &mut listener.0;
    }
    let result = work();
    drop(listener);
    (result, usize::try_from(POSITION.load(Relaxed)).ok().filter(|position| *position > 0))
}
