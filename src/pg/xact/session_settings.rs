//! Settings of the session that hold for a piece of work.

use super::session;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Runs `work` with these settings, which any user may change. 22023 for a value that the server
/// does not know. They end with the work, also by an error.
pub fn with_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    // SAFETY: opens a level of settings, which `AtEOXact_GUC` below or the abort closes.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    for (name, value) in settings {
        session::set(name, value, pg_sys::GucAction::GUC_ACTION_SAVE);
    }
    let result = work();
    // SAFETY: closes the level that was opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}
