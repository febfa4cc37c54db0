//! Calls at the end of each transaction and of each aborted subtransaction.

use super::lock_wait;
use crate::pg::backend_local::BackendLocal;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The end of a transaction or subtransaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The transaction is about to commit; statements may still fail.
    BeforeCommit,
    /// The transaction is about to be prepared for a commit in two phases.
    BeforePrepare,
    /// The transaction has ended.
    Ended,
    /// A subtransaction is undone. Its id; those of its own subtransactions are greater.
    Undone(u32),
}

static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
/// Called at the end of transactions.
pub type Handler = fn(End);

/// As many places as there are callers of [`add`].
static HANDLERS: BackendLocal<[Option<Handler>; 2]> = BackendLocal::new([None; 2]);

/// Makes the server call the handlers from now on.
fn register() {
    if !IS_REGISTERED.swap(true, Relaxed) {
        // SAFETY: registered once in a backend; the library is never unloaded.
        unsafe {
            pg_sys::RegisterXactCallback(Some(at_end), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(at_sub_end), std::ptr::null_mut());
        }
    }
}

/// Calls `handler` at each [`End`] from now on.
pub fn add(handler: Handler) {
    register();
    HANDLERS.with(|handlers| {
        if let Some(free) = handlers.iter_mut().find(|place| place.is_none()) {
            *free = Some(handler);
        }
    });
}

fn call(end: End) {
    let handlers = HANDLERS.with(|handlers| *handlers).unwrap_or_default();
    for handler in handlers.into_iter().flatten() {
        handler(end);
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_end(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => call(End::BeforeCommit),
        pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => call(End::BeforePrepare),
        pg_sys::XactEvent::XACT_EVENT_COMMIT
        | pg_sys::XactEvent::XACT_EVENT_ABORT
        | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            lock_wait::forget();
            call(End::Ended);
        }
        _ => {}
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_sub_end(
    event: pg_sys::SubXactEvent::Type,
    own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        // SAFETY: reads a backend-local variable.
        lock_wait::forget_from(unsafe { pg_sys::GetCurrentTransactionNestLevel() });
        call(End::Undone(own));
    }
}
