//! A limit on how long something may take, within a statement that goes on.

use super::subtransaction::{Failure, try_in_subxact};
use crate::pg::backend_local::BackendLocal;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, Ordering};

/// `USER_TIMEOUT`, from which the server numbers the timeouts of extensions.
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
const USER_TIMEOUT: i32 = 12;
/// The same, after 17 got transaction_timeout.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const USER_TIMEOUT: i32 = 13;
const SIGINT: i32 = 2;

static EXPIRED: AtomicBool = AtomicBool::new(false);
static TIMEOUT: BackendLocal<Option<i32>> = BackendLocal::new(None);

// The server's utils/timeout.h, which pgrx leaves out, and the C library's.
unsafe extern "C-unwind" {
    fn RegisterTimeout(id: i32, handler: unsafe extern "C-unwind" fn()) -> i32;
    fn enable_timeout_every(id: i32, first: i64, milliseconds: i32);
    fn disable_timeout(id: i32, keep_indicator: bool);
    fn getpid() -> i32;
    fn kill(process: i32, signal: i32) -> i32;
}

/// As the server's own statement_timeout does it: a signal to itself, which cancels at the next safe point.
unsafe extern "C-unwind" fn expire() {
    EXPIRED.store(true, Ordering::Relaxed);
    // SAFETY: both may be called in a signal handler.
    unsafe { kill(getpid(), SIGINT) };
}

/// Whether a limit holds.
static IS_ARMED: AtomicBool = AtomicBool::new(false);

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        IS_ARMED.store(false, Ordering::Relaxed);
    }
}

struct Armed(i32);

impl Drop for Armed {
    fn drop(&mut self) {
        // SAFETY: switches off what `within` switched on.
        unsafe { disable_timeout(self.0, false) };
    }
}

/// Runs `work`, which is cancelled with 57014 once it has taken so long; and whether it came to that.
///
/// Within another limit it is that one that holds: there is one clock.
pub fn with_timeout<R>(milliseconds: i32, work: impl FnOnce() -> R) -> (R, bool) {
    if IS_ARMED.swap(true, Ordering::Relaxed) {
        return (work(), false);
    }
    let _running = Running;
    let registered = TIMEOUT.with(|timeout| {
        // SAFETY: a handler that may run at any time, registered once in the life of this process.
        *timeout.get_or_insert_with(|| unsafe { RegisterTimeout(USER_TIMEOUT, expire) })
    });
    let Some(timeout) = registered else { return (work(), false) };
    EXPIRED.store(false, Ordering::Relaxed);
    let milliseconds = milliseconds.max(1);
    // Again and again, as a function may catch the first.
    // SAFETY: registered above.
    unsafe {
        let first = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1_000;
        enable_timeout_every(timeout, first, milliseconds);
    }
    let armed = Armed(timeout);
    let result = work();
    drop(armed);
    let has_expired = EXPIRED.swap(false, Ordering::Relaxed);
    if has_expired {
        // It may have expired just when the work had ended: then nothing is left to cancel.
        // SAFETY: a flag of this process.
        unsafe { pg_sys::QueryCancelPending = 0 };
    }
    (result, has_expired)
}

/// The end of work that did not return.
#[derive(Debug)]
pub enum Stopped {
    /// The work was cancelled after so many milliseconds.
    TimedOut(i32),
    /// The work failed.
    Failed(Failure),
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut(ms) => write!(f, "canceled after {ms} ms"),
            Self::Failed(failure) => f.write_str(&failure.redacted_message()),
        }
    }
}

/// Runs `work` in a subtransaction for at most `milliseconds`. Interrupts are raised again.
pub fn isolated_within<R>(milliseconds: i32, work: impl FnOnce() -> R) -> Result<R, Stopped> {
    let (result, has_expired) = with_timeout(milliseconds, || try_in_subxact(std::panic::AssertUnwindSafe(work)));
    result.map_err(|failure| {
        if has_expired { Stopped::TimedOut(milliseconds) } else { Stopped::Failed(failure.rethrow_interrupt()) }
    })
}
