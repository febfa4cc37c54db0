//! Work that must reach its end once it has begun, because its effects outlive the transaction.

use pgrx::pg_sys;

struct Held(u32);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: a backend-local counter. An error of the server has set it to 0 already.
        unsafe { pg_sys::InterruptHoldoffCount = pg_sys::InterruptHoldoffCount.min(self.0) };
    }
}

/// Whether a cancel, a statement_timeout or the end of this session is pending.
pub fn is_pending() -> bool {
    // SAFETY: flags of this process, set by signal handlers.
    unsafe {
        std::ptr::read_volatile(&raw const pg_sys::QueryCancelPending) != 0
            || std::ptr::read_volatile(&raw const pg_sys::ProcDiePending) != 0
    }
}

/// Runs `work` without reacting to interrupts, which stay pending. For short work that must not
/// raise, such as a drop.
pub fn postponed<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: a backend-local counter, which the drop restores.
    let _held = unsafe {
        let held = Held(pg_sys::InterruptHoldoffCount);
        pg_sys::InterruptHoldoffCount += 1;
        held
    };
    work()
}

/// Runs `work` without reacting to interrupts; `work` keeps itself short with [`is_pending`]. Also
/// returns whether the statement was cancelled meanwhile, by its user or by statement_timeout. The
/// cancel then counts as done, and the statement goes on.
pub fn held<R>(work: impl FnOnce() -> R) -> (R, bool) {
    // SAFETY: a backend-local counter, which the drop restores.
    let held = unsafe {
        let held = Held(pg_sys::InterruptHoldoffCount);
        pg_sys::InterruptHoldoffCount += 1;
        held
    };
    let result = work();
    drop(held);
    // SAFETY: a flag of this process. The end of the session has a flag of its own.
    let is_cancelled = unsafe {
        let is_cancelled = std::ptr::read_volatile(&raw const pg_sys::QueryCancelPending) != 0;
        pg_sys::QueryCancelPending = 0;
        is_cancelled
    };
    (result, is_cancelled)
}
