//! Settings `crewsnow_ops.*`. The statics are private: the rest of the crate reads them through the accessors.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::ffi::CString;

const DAY: i32 = 24 * 60;

static EVENT_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(30 * DAY);
static ROLLUP_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(400 * DAY);
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
    // For superusers, and whom they let: whoever could shorten it could have the evidence dropped.
    GucRegistry::define_int_guc(
        c"crewsnow_ops.event_retention",
        c"How long events are kept.",
        c"crewsnow_ops.apply_event_retention drops whole days of event_log that are older and have been counted.",
        &EVENT_RETENTION,
        DAY,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.rollup_retention",
        c"How long the counts of events and webhooks are kept.",
        c"crewsnow_ops.apply_event_retention removes older ones.",
        &ROLLUP_RETENTION,
        DAY,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MIN,
    );
    // SAFETY: the argument is a static C string; the server copies it.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"crewsnow_ops".as_ptr()) };
}

/// The reason given in `crewsnow_ops.change_reason`, if there is one.
pub fn change_reason() -> Option<String> {
    let reason = CHANGE_REASON.get()?.to_string_lossy().trim().to_owned();
    (!reason.is_empty()).then_some(reason)
}

/// How long events are kept, in minutes.
pub fn event_retention() -> i64 {
    EVENT_RETENTION.get().into()
}

/// How long counts are kept, in minutes.
pub fn rollup_retention() -> i64 {
    ROLLUP_RETENTION.get().into()
}
