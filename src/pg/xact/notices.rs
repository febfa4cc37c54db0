//! Notices and warnings, kept from the client.

use pgrx::pg_sys;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

copied_for!("pg15" "pg16" "pg17" "pg18": "PQcommMethods of libpq/libpq.h");

/// `PQcommMethods`: how a session talks to its client.
#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::pg) struct Methods {
    pub(in crate::pg) comm_reset: unsafe extern "C-unwind" fn(),
    pub(in crate::pg) flush: unsafe extern "C-unwind" fn() -> c_int,
    pub(in crate::pg) flush_if_writable: unsafe extern "C-unwind" fn() -> c_int,
    pub(in crate::pg) is_send_pending: unsafe extern "C-unwind" fn() -> bool,
    pub(in crate::pg) putmessage:
        unsafe extern "C-unwind" fn(c_char, *const c_char, usize) -> c_int,
    pub(in crate::pg) putmessage_noblock: unsafe extern "C-unwind" fn(c_char, *const c_char, usize),
}

unsafe extern "C" {
    #[link_name = "PqCommMethods"]
    pub(in crate::pg) static mut METHODS: *const Methods;
}

/// The type of a NoticeResponse: every message below ERROR.
pub(in crate::pg) const NOTICE: c_char = b'N' as c_char;

/// The session's own methods, while notices are withheld.
static ORIGINAL: AtomicPtr<Methods> = AtomicPtr::new(std::ptr::null_mut());
/// Whether notices are withheld.
static IS_WITHHELD: AtomicBool = AtomicBool::new(false);

fn original() -> Methods {
    // SAFETY: set before the functions below are installed; the server's methods are constants.
    unsafe { *ORIGINAL.load(Ordering::Relaxed) }
}

// The methods own no value, so an error may jump over their frames.

unsafe extern "C-unwind" fn comm_reset() {
    // SAFETY: passes on the call.
    unsafe { (original().comm_reset)() }
}

unsafe extern "C-unwind" fn flush() -> c_int {
    // SAFETY: passes on the call.
    unsafe { (original().flush)() }
}

unsafe extern "C-unwind" fn flush_if_writable() -> c_int {
    // SAFETY: passes on the call.
    unsafe { (original().flush_if_writable)() }
}

unsafe extern "C-unwind" fn is_send_pending() -> bool {
    // SAFETY: passes on the call.
    unsafe { (original().is_send_pending)() }
}

unsafe extern "C-unwind" fn putmessage(kind: c_char, text: *const c_char, length: usize) -> c_int {
    match kind {
        NOTICE => 0,
        // SAFETY: passes on the call.
        _ => unsafe { (original().putmessage)(kind, text, length) },
    }
}

unsafe extern "C-unwind" fn putmessage_noblock(kind: c_char, text: *const c_char, length: usize) {
    if kind != NOTICE {
        // SAFETY: passes on the call.
        unsafe { (original().putmessage_noblock)(kind, text, length) }
    }
}

static WITHOUT_NOTICES: Methods = Methods {
    comm_reset,
    flush,
    flush_if_writable,
    is_send_pending,
    putmessage,
    putmessage_noblock,
};

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: restores the methods that `withheld` has replaced.
        unsafe { METHODS = ORIGINAL.load(Ordering::Relaxed) };
        IS_WITHHELD.store(false, Ordering::Relaxed);
    }
}

/// Runs `work` and sends the client none of its notices, warnings and INFO messages.
///
/// `client_min_messages` cannot do this: RAISE INFO ignores it, and a function can have a SET
/// clause of its own. All else is sent: the end of the session by FATAL, for example.
pub fn withheld<R>(work: impl FnOnce() -> R) -> R {
    // A process without a client, such as a parallel worker, talks to another process.
    // SAFETY: reads and sets backend-local variables.
    unsafe {
        if pg_sys::whereToSendOutput != pg_sys::CommandDest::DestRemote
            || IS_WITHHELD.swap(true, Ordering::Relaxed)
        {
            return work();
        }
        ORIGINAL.store(METHODS.cast_mut(), Ordering::Relaxed);
        METHODS = &raw const WITHOUT_NOTICES;
    }
    let _restore = Restore;
    work()
}
