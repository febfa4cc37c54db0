//! Settings `crewsnow_ops.*`. The statics are private: the rest of the crate reads them through the accessors.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::ffi::CString;

static CHANGE_REASON: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Defines the settings and reserves their prefix, so that a misspelt one is refused once the library is loaded.
pub fn register() {
    GucRegistry::define_string_guc(
        c"crewsnow_ops.change_reason",
        c"Why feature flags are being changed; kept with each change.",
        c"Every row of crewsnow_ops.flag_history written while this is set carries it, for example the number of the \
          incident: SET LOCAL crewsnow_ops.change_reason = 'INC-42'. An empty value is no reason.",
        &CHANGE_REASON,
        GucContext::Userset,
        GucFlags::default(),
    );
    // SAFETY: the argument is a static C string; the server copies it.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"crewsnow_ops".as_ptr()) };
}

/// The reason given in `crewsnow_ops.change_reason`, if there is one.
pub fn change_reason() -> Option<String> {
    let reason = CHANGE_REASON.get()?.to_string_lossy().trim().to_owned();
    (!reason.is_empty()).then_some(reason)
}
