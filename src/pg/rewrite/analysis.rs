//! Parse analysis that runs no code of users.
//!
//! Analysis turns a literal into a value, and so checks the constraints of a domain inside an array
//! or a composite type, as the current user. A superuser who has a statement analysed would run the
//! expressions of the domain's owner.

use crate::error::report;
use crate::pg::backend_local::BackendLocal;
use crate::pg::error::ServerError;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::{pg_guard, pg_sys};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

static PREVIOUS: BackendLocal<pg_sys::object_access_hook_type> = BackendLocal::new(None);
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether a statement is analysed now.
static IS_ANALYSING: AtomicBool = AtomicBool::new(false);

/// The server calls this before it runs a function in an expression.
#[pg_guard]
unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: c_int,
    argument: *mut c_void,
) {
    let is_run = access == pg_sys::ObjectAccessType::OAT_FUNCTION_EXECUTE;
    if is_run && IS_ANALYSING.load(Ordering::Relaxed) && !is_harmless(object) {
        Err::<(), _>(report(&ServerError::CodeInLiteral)).unwrap_or_report();
    }
    if let Some(previous) = PREVIOUS.with(|previous| *previous).flatten() {
        // SAFETY: passes the arguments on to the hook that was there before.
        unsafe { previous(access, class, object, part, argument) };
    }
}

/// A built-in function that neither reads nor changes anything. SQL functions are inlined, so the
/// built-in functions that they call appear here, too.
fn is_harmless(function: pg_sys::Oid) -> bool {
    function.to_u32() < pg_sys::FirstNormalObjectId
        // SAFETY: a syscache look-up of a function that the server is about to run.
        && unsafe { pg_sys::func_volatile(function) } as u8 == pg_sys::PROVOLATILE_IMMUTABLE
}

struct Ended(bool);

impl Drop for Ended {
    fn drop(&mut self) {
        IS_ANALYSING.store(self.0, Ordering::Relaxed);
    }
}

/// Runs `work`, the analysis of a statement, in which expressions may run immutable functions of
/// the server only. Any other is an error, SQLSTATE 0A000.
///
/// The hook stays installed: another library may have installed one that calls it.
pub(crate) fn without_code<R>(work: impl FnOnce() -> R) -> R {
    let _ended = Ended(IS_ANALYSING.swap(true, Ordering::Relaxed));
    if !IS_INSTALLED.swap(true, Ordering::Relaxed) {
        // SAFETY: reads and sets a backend-local variable.
        unsafe {
            PREVIOUS.with(|previous| *previous = pg_sys::object_access_hook);
            pg_sys::object_access_hook = Some(object_access);
        }
    }
    work()
}
