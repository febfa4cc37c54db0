//! Settings of the session that hold for a piece of work.

use pgrx::pg_sys;
use std::ffi::CStr;

/// Runs `work` with these settings, which any user may change. 22023 for a value that the server
/// does not know. They end with the work, also by an error.
pub fn with_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    // SAFETY: opens a level of settings, which `AtEOXact_GUC` below or the abort closes.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    for (name, value) in settings {
        // SAFETY: NUL-terminated texts, which the server copies.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }
    let result = work();
    // SAFETY: closes the level that was opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}
