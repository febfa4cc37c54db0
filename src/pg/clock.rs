//! The server's clock.

use pgrx::pg_sys;

/// Clock time, not transaction start, in microseconds since 2000-01-01 00:00 UTC.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The start of the client's statement, in the same unit.
pub fn statement_start() -> i64 {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}
