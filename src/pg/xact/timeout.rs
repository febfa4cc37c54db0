//! A time limit for a part of a statement.

use super::subtransaction::{Failure, try_in_subxact};
use crate::pg::backend_local::BackendLocal;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

copied_for!("pg15" "pg16" "pg17" "pg18": "USER_TIMEOUT and the functions of utils/timeout.h");

/// The first id that the server leaves to extensions. A smaller number would silently replace one
/// of the server's own handlers.
#[cfg(any(feature = "pg15", feature = "pg16"))]
const USER_TIMEOUT: i32 = 12;
/// 17 has added TRANSACTION_TIMEOUT.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const USER_TIMEOUT: i32 = 13;
/// The same number on each system that PostgreSQL runs on.
const SIGINT: i32 = 2;

/// Whether the running time limit has expired.
static EXPIRED: AtomicBool = AtomicBool::new(false);
/// The id that the server gave this backend's timeout; `None` until the first use.
static TIMEOUT: BackendLocal<Option<i32>> = BackendLocal::new(None);

// utils/timeout.h, which pgrx leaves out, and the C library.
unsafe extern "C-unwind" {
    fn RegisterTimeout(id: i32, handler: unsafe extern "C-unwind" fn()) -> i32;
    fn enable_timeout_every(id: i32, first: i64, milliseconds: i32);
    fn disable_timeout(id: i32, keep_indicator: bool);
    fn getpid() -> i32;
    fn kill(process: i32, signal: i32) -> i32;
    fn GetCurrentTimestamp() -> i64;
}

/// The same number on each system that PostgreSQL runs on.
const SIGTERM: i32 = 15;
/// When work that catches its cancels ends the session, in microseconds since 2000.
static ENDS_AT: AtomicI64 = AtomicI64::new(i64::MAX);

/// Sends this process the signal that cancels a query, as the server's statement_timeout does.
/// After the end of [`or_end`] it is the signal that ends the session.
unsafe extern "C-unwind" fn expire() {
    EXPIRED.store(true, Ordering::Relaxed);
    // SAFETY: these may be called in a signal handler.
    unsafe {
        let is_late = GetCurrentTimestamp() >= ENDS_AT.load(Ordering::Relaxed);
        kill(getpid(), if is_late { SIGTERM } else { SIGINT });
    }
}

/// Takes back the end of the session.
struct EndTakenBack;

impl Drop for EndTakenBack {
    fn drop(&mut self) {
        ENDS_AT.store(i64::MAX, Ordering::Relaxed);
    }
}

/// Runs `work`, and ends the session if a time limit inside of it is ignored for so long, in
/// milliseconds from now: a function may catch each cancel.
pub fn or_end<R>(milliseconds: i64, work: impl FnOnce() -> R) -> R {
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    ENDS_AT.store(now.saturating_add(milliseconds.saturating_mul(1_000)), Ordering::Relaxed);
    let _taken_back = EndTakenBack;
    work()
}

/// A timer that calls a handler again and again, in a signal handler.
pub(in crate::pg) struct RepeatingTimer {
    handler: unsafe extern "C-unwind" fn(),
    /// The id that the server gave it; `None` until the first use.
    id: BackendLocal<Option<i32>>,
}

impl RepeatingTimer {
    /// A timer that is off. The handler may only do what a signal handler may.
    pub(in crate::pg) const fn new(handler: unsafe extern "C-unwind" fn()) -> Self {
        Self { handler, id: BackendLocal::new(None) }
    }

    /// Calls the handler every so many milliseconds from now on.
    pub(in crate::pg) fn start(&self, milliseconds: i32) {
        let id = self.id.with(|id| {
            // SAFETY: the handler may run at any time. It is registered once in a process's life.
            *id.get_or_insert_with(|| unsafe { RegisterTimeout(USER_TIMEOUT, self.handler) })
        });
        let Some(id) = id else { return };
        // SAFETY: registered above.
        unsafe {
            let first = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1_000;
            enable_timeout_every(id, first, milliseconds);
        }
    }

    /// Stops the calls.
    pub(in crate::pg) fn stop(&self) {
        if let Some(id) = self.id.with(|id| *id).flatten() {
            // SAFETY: registered by `start`.
            unsafe { disable_timeout(id, false) };
        }
    }
}

/// The longest time between two cancels of the same work, in milliseconds.
const MAX_REPEAT: i32 = 10_000;

/// Whether a time limit is running in this backend.
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
        // SAFETY: switches off what `with_timeout` switched on.
        unsafe { disable_timeout(self.0, false) };
    }
}

/// Runs `work` and cancels it with 57014 after `milliseconds`. Also returns whether the time limit
/// expired.
///
/// Inside another time limit only the outer one counts, because a backend has one clock for both.
pub fn with_timeout<R>(milliseconds: i32, work: impl FnOnce() -> R) -> (R, bool) {
    if IS_ARMED.swap(true, Ordering::Relaxed) {
        return (work(), false);
    }
    let _running = Running;
    let registered = TIMEOUT.with(|timeout| {
        // SAFETY: the handler may run at any time. It is registered once in a process's life.
        *timeout.get_or_insert_with(|| unsafe { RegisterTimeout(USER_TIMEOUT, expire) })
    });
    let Some(timeout) = registered else { return (work(), false) };
    EXPIRED.store(false, Ordering::Relaxed);
    let milliseconds = milliseconds.max(1);
    // Repeated, because a function may catch the first cancel. Not later than `or_end` ends it.
    // SAFETY: registered above.
    unsafe {
        let first = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds) * 1_000;
        enable_timeout_every(timeout, first, milliseconds.min(MAX_REPEAT));
    }
    let armed = Armed(timeout);
    let result = work();
    drop(armed);
    let has_expired = EXPIRED.swap(false, Ordering::Relaxed);
    if has_expired {
        // The limit may have expired just as the work ended. Its cancel must not hit later work.
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
    /// The work failed, and not by an interrupt.
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
    let (result, has_expired) =
        with_timeout(milliseconds, || try_in_subxact(std::panic::AssertUnwindSafe(work)));
    result.map_err(|failure| {
        if has_expired {
            Stopped::TimedOut(milliseconds)
        } else {
            Stopped::Failed(failure.rethrow_interrupt())
        }
    })
}
