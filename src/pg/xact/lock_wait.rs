//! A limit on the time that a statement waits for locks, and the session that it waited for.
//!
//! `lock_timeout` raises 55P03 without naming the holder, and by then the session has left the
//! queue. So a timer of this backend notes the awaited lock while the session waits. The timer
//! also lowers `lock_timeout` by the time waited: the limit holds for all waits of a statement
//! together, not for each.

use super::lock_holder::{self, Awaited, LockHolder, Tag};
use super::subtransaction::{Failure, catching};
use super::timeout::RepeatingTimer;
use crate::pg::cstring::c_string;
use pgrx::PgSqlErrorCode;
use pgrx::pg_sys;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};

/// The longest wait for locks, in milliseconds. A smaller `lock_timeout` of the session counts.
pub const LIMIT_MS: i32 = 2_000;

/// How often the timer looks at the awaited lock, unless the limit is shorter than some of these.
const TICK_MS: i32 = 100;

copied_for!("pg15" "pg16" "pg17" "pg18": "errhint of utils/elog.h");

// pgrx leaves it out, for the sake of its own errors.
unsafe extern "C-unwind" {
    fn errhint(format: *const std::ffi::c_char, ...) -> std::ffi::c_int;
}

static TIMER: RepeatingTimer = RepeatingTimer::new(note_awaited_lock);
/// Milliseconds between two looks.
static TICK: AtomicI32 = AtomicI32::new(TICK_MS);
/// The limit of the running scope, in milliseconds.
static LIMIT: AtomicI32 = AtomicI32::new(LIMIT_MS);
/// Milliseconds that the running scope has waited.
static WAITED: AtomicI32 = AtomicI32::new(0);
/// The awaited mode; 0 if no wait was seen.
static MODE: AtomicI32 = AtomicI32::new(0);
static TAG: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
/// Scopes that are open, one inside another.
static DEPTH: AtomicU32 = AtomicU32::new(0);
/// The nesting level of the transaction in which the outermost scope was opened.
static LEVEL: AtomicI32 = AtomicI32::new(0);
/// The session's own `lock_timeout`, which the end of a statement restores, in milliseconds.
static OWN_LIMIT: AtomicI32 = AtomicI32::new(0);

/// The timer's handler. Runs in a signal handler, so it only reads and stores.
///
/// A statement trigger has no frame around its statement that could catch the timeout. So the
/// handler puts a callback on the server's stack of error contexts while the session waits, and the
/// callback adds the holder to the server's own error. The end of the wait takes it off again: the
/// server restores the stack as it was before.
unsafe extern "C-unwind" fn note_awaited_lock() {
    // SAFETY: MyProc is this process's own entry. While it waits, its lock stays allocated.
    unsafe {
        let Some(process) = pg_sys::MyProc.as_ref() else { return };
        let Some(lock) = process.waitLock.as_ref() else { return };
        let tag = &lock.tag;
        TAG[0].store(tag.locktag_field1, Relaxed);
        TAG[1].store(tag.locktag_field2, Relaxed);
        TAG[2].store(tag.locktag_field3, Relaxed);
        let rest = u32::from(tag.locktag_field4) << 16
            | u32::from(tag.locktag_type) << 8
            | u32::from(tag.locktag_lockmethodid);
        TAG[3].store(rest, Relaxed);
        MODE.store(process.waitLockMode, Relaxed);
        if EXPLAINS.load(Relaxed) && !is_explaining() {
            EXPLAIN.previous = pg_sys::error_context_stack;
            pg_sys::error_context_stack = &raw mut EXPLAIN;
        }
        let waited = WAITED.fetch_add(TICK.load(Relaxed), Relaxed) + TICK.load(Relaxed);
        let limit = LIMIT.load(Relaxed);
        if limit <= LIMIT_MS {
            // The next wait of the scope has only the rest. The setting's own stack restores it.
            pg_sys::LockTimeout = (limit - waited).max(1);
        }
    }
}

/// The lock that the timer saw this session wait for last; `None` if it saw no wait.
fn awaited() -> Option<Awaited> {
    let mode = MODE.load(Relaxed);
    let tag: Tag = [0, 1, 2, 3].map(|i| TAG[i].load(Relaxed));
    (mode != 0).then_some(Awaited { tag, mode })
}

/// The session or prepared transaction that the last wait was for; `None` if it is gone.
pub fn last_holder() -> Option<LockHolder> {
    awaited().and_then(lock_holder::find)
}

fn session_limit() -> i32 {
    // SAFETY: reads a setting.
    match unsafe { pg_sys::LockTimeout } {
        0 => LIMIT_MS,
        own => own.min(LIMIT_MS),
    }
}

/// Starts the timer for the outermost scope.
fn arm(limit: i32) {
    let tick = (limit / 4).clamp(1, TICK_MS);
    TICK.store(tick, Relaxed);
    LIMIT.store(limit, Relaxed);
    WAITED.store(0, Relaxed);
    MODE.store(0, Relaxed);
    // SAFETY: reads a backend-local variable.
    LEVEL.store(unsafe { pg_sys::GetCurrentTransactionNestLevel() }, Relaxed);
    TIMER.start(tick);
}

fn set_limit(limit: i32, action: pg_sys::GucAction::Type) {
    let value = c_string(&format!("{limit}ms"));
    // SAFETY: NUL-terminated texts, which the server copies.
    unsafe {
        pg_sys::set_config_option(
            c"lock_timeout".as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// The end of a wait that took longer than the limit.
#[derive(Debug)]
pub struct LockTimeout {
    /// The limit, in milliseconds.
    pub limit: i32,
    /// The session in the way; `None` if it is gone meanwhile.
    pub holder: Option<LockHolder>,
}

/// Runs `work` in a subtransaction, in which all waits for locks together take at most
/// [`LIMIT_MS`]. Other errors are passed on.
pub fn limited<R>(work: impl FnOnce() -> R) -> Result<R, LockTimeout> {
    let codes = [PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE];
    in_scope(|limit| match catching(&codes, AssertUnwindSafe(work)) {
        Ok(result) => Ok(result),
        Err(failure) => Err(timed_out(failure, limit)),
    })
}

/// Runs `work`, in which all waits for locks together take at most [`LIMIT_MS`]. `work` gets the
/// limit in milliseconds.
pub fn in_scope<R>(work: impl FnOnce(i32) -> R) -> R {
    if DEPTH.load(Relaxed) != 0 {
        return work(LIMIT.load(Relaxed));
    }
    let limit = session_limit();
    // SAFETY: reads a setting.
    OWN_LIMIT.store(unsafe { pg_sys::LockTimeout }, Relaxed);
    // SAFETY: opens a level of settings, which `AtEOXact_GUC` below or the abort closes.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    set_limit(limit, pg_sys::GucAction::GUC_ACTION_SAVE);
    arm(limit);
    DEPTH.store(1, Relaxed);
    let open = Open;
    let result = work(limit);
    drop(open);
    // SAFETY: closes the level that was opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}

/// Runs `work` inside a scope with the session's own `lock_timeout`. For a restore, which may wait
/// for another part of itself.
pub fn unlimited<R>(work: impl FnOnce() -> R) -> R {
    if DEPTH.load(Relaxed) == 0 {
        return work();
    }
    let limit = LIMIT.swap(i32::MAX, Relaxed);
    // SAFETY: opens a level of settings, which `AtEOXact_GUC` below or the abort closes.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    set_limit(OWN_LIMIT.load(Relaxed), pg_sys::GucAction::GUC_ACTION_SAVE);
    let result = work();
    // SAFETY: closes the level that was opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    LIMIT.store(limit, Relaxed);
    result
}

/// An open scope. Dropped when its work ends, also by an error.
struct Open;

impl Drop for Open {
    fn drop(&mut self) {
        forget();
    }
}

/// The lock timeout behind a failure. Any other failure is raised again.
pub fn timed_out(failure: Failure, limit: i32) -> LockTimeout {
    if failure.is_lock_timeout() {
        LockTimeout { limit, holder: last_holder() }
    } else {
        failure.raise()
    }
}

/// Whether the server's own error is to name the holder.
static EXPLAINS: AtomicBool = AtomicBool::new(false);

/// The callback. It is static: an error that leaves it on the stack does no harm.
static mut EXPLAIN: pg_sys::ErrorContextCallback = pg_sys::ErrorContextCallback {
    previous: std::ptr::null_mut(),
    callback: Some(explain_timeout),
    arg: std::ptr::null_mut(),
};

/// Adds the holder to the server's own error.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn explain_timeout(_arg: *mut std::ffi::c_void) {
    // SAFETY: the server calls this while it builds an error. The texts are copied into it.
    unsafe {
        if pg_sys::geterrcode() != PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE as i32
            || MODE.load(Relaxed) == 0
        {
            return;
        }
        let holder = last_holder();
        let detail = c_string(&lock_holder::detail(holder.as_ref()));
        pg_sys::errdetail_internal(c"%s".as_ptr(), detail.as_ptr());
        let hint = c_string(&lock_holder::hint(holder.as_ref()));
        errhint(c"%s".as_ptr(), hint.as_ptr());
    }
}

/// Whether the callback is on the stack of error contexts.
fn is_explaining() -> bool {
    // SAFETY: each entry of the stack belongs to a frame that is still running, or is EXPLAIN.
    unsafe {
        let mut entry = pg_sys::error_context_stack;
        while let Some(context) = entry.as_ref() {
            if entry == &raw mut EXPLAIN {
                return true;
            }
            entry = context.previous;
        }
    }
    false
}

/// Begins a scope that ends with [`end_statement`], or with the transaction. For a statement
/// trigger.
pub fn begin_statement() {
    if DEPTH.fetch_add(1, Relaxed) == 0 {
        let limit = session_limit();
        // SAFETY: reads a setting.
        OWN_LIMIT.store(unsafe { pg_sys::LockTimeout }, Relaxed);
        set_limit(limit, pg_sys::GucAction::GUC_ACTION_LOCAL);
        EXPLAINS.store(true, Relaxed);
        arm(limit);
    }
}

/// Ends a scope of [`begin_statement`].
pub fn end_statement() {
    let depth = DEPTH.load(Relaxed);
    if depth == 0 {
        return;
    }
    DEPTH.store(depth - 1, Relaxed);
    if depth > 1 {
        return;
    }
    TIMER.stop();
    EXPLAINS.store(false, Relaxed);
    set_limit(OWN_LIMIT.load(Relaxed), pg_sys::GucAction::GUC_ACTION_LOCAL);
}

/// Whether a scope is open.
pub fn is_in_statement() -> bool {
    DEPTH.load(Relaxed) != 0
}

/// Forgets scopes that an error has left open. For the end of a transaction.
pub fn forget() {
    if DEPTH.swap(0, Relaxed) != 0 {
        EXPLAINS.store(false, Relaxed);
        TIMER.stop();
    }
}

/// Forgets scopes that were opened in an aborted subtransaction of this level, or below it.
pub fn forget_from(level: i32) {
    if LEVEL.load(Relaxed) >= level {
        forget();
    }
}
