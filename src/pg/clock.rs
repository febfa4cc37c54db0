//! The server's clock.

use pgrx::pg_sys;

/// Clock time, not transaction start, in microseconds since 2000-01-01 00:00 UTC.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
