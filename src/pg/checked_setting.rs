//! A text setting whose values are checked when they are set.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// Refuses a value with a DETAIL and a HINT.
pub type Check = fn(&str) -> Result<(), (String, String)>;

/// The check of the one setting of this kind. The server calls hooks without an argument of ours.
static CHECK: OnceLock<Check> = OnceLock::new();

/// Defines the setting for superusers. SET fails with 22023 and the DETAIL and HINT of `check`;
/// a bad value that was set before the library was loaded is dropped with a WARNING.
pub fn define(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
    check: Check,
) {
    let _ = CHECK.set(check);
    // SAFETY: the hook is guarded by pgrx, and the setting is static.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            short,
            long,
            setting,
            GucContext::Suset,
            GucFlags::default(),
            Some(check_value),
            None,
            None,
        );
    }
}

/// The server's check hook.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check_value(
    value: *mut *mut std::ffi::c_char,
    _extra: *mut *mut std::ffi::c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let Some(check) = CHECK.get() else { return true };
    // SAFETY: the server passes a pointer to the new value, which may be NULL.
    let text = unsafe {
        match (*value).is_null() {
            true => String::new(),
            false => CStr::from_ptr(*value).to_string_lossy().into_owned(),
        }
    };
    let Err((detail, hint)) = check(&text) else { return true };
    let keep = |text: String| {
        let text = crate::pg::cstring::c_string(&text);
        // SAFETY: the server reports the text soon after, and resets that context afterwards.
        unsafe { pg_sys::MemoryContextStrdup(pg_sys::ErrorContext, text.as_ptr()) }
    };
    // SAFETY: backend-local variables of the server, meant for check hooks.
    unsafe {
        pg_sys::GUC_check_errdetail_string = keep(detail);
        pg_sys::GUC_check_errhint_string = keep(hint);
    }
    false
}
