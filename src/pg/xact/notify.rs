//! NOTIFY.

use crate::pg::cstring::c_string;
use std::ffi::{CStr, c_char};

copied_for!("pg15" "pg16" "pg17" "pg18": "Async_Notify of commands/async.h");

unsafe extern "C-unwind" {
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// The longest payload, in bytes, that the server accepts.
pub const MAX_PAYLOAD: usize = 7_999;

/// Notifies the listeners of `channel` when this transaction commits. A transaction that notifies
/// cannot be prepared.
pub fn notify(channel: &CStr, payload: &str) {
    let payload = c_string(payload.get(..MAX_PAYLOAD).unwrap_or(payload));
    // SAFETY: NUL-terminated texts, which the server copies. Errors are PostgreSQL errors, caught
    // by the guard.
    unsafe {
        pgrx::pg_sys::ffi::pg_guard_ffi_boundary(|| {
            Async_Notify(channel.as_ptr(), payload.as_ptr());
        });
    }
}
