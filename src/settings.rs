//! Settings `crewsnow_ops.*`. The statics are private: the rest of the crate reads them through the accessors.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::ffi::CString;

const DAY: i32 = 24 * 60;

static EVENT_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(30 * DAY);
static ROLLUP_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(400 * DAY);
static CHANGE_REASON: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ANONYMOUS_ROLE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"anon"));
static USER_ROLE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"authenticated"));
static USERS_TABLE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"auth.users"));
static IDENTITY_FUNCTIONS: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"auth.uid(), auth.jwt(), auth.role(), auth.email()"));
static CLAIMS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(
    c"request.jwt.claims=*, request.jwt.claim.sub=sub, request.jwt.claim.role=role",
));
static SELF_TEST_USER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static AUDIT_TIME: GucSetting<i32> = GucSetting::<i32>::new(60_000);

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
    register_row_security();
    // SAFETY: the argument is a static C string; the server copies it.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"crewsnow_ops".as_ptr()) };
}

/// Who asks an application's questions. For superusers, and whom they let: an audit runs policies as these roles.
fn register_row_security() {
    let text = |name, short, long, setting| {
        GucRegistry::define_string_guc(name, short, long, setting, GucContext::Suset, GucFlags::default());
    };
    text(
        c"crewsnow_ops.anonymous_role",
        c"The role of requests that nobody has signed in for.",
        c"Audits of row-level security look with its rights, if it exists. Empty for none.",
        &ANONYMOUS_ROLE,
    );
    text(
        c"crewsnow_ops.user_role",
        c"The role of signed-in users' requests.",
        c"Audits of row-level security look with its rights, if it exists. Empty for none.",
        &USER_ROLE,
    );
    text(
        c"crewsnow_ops.users_table",
        c"The table of accounts.",
        c"Its primary key is who a user is; what references it belongs to users. Where it has them, its columns email, raw_app_meta_data, \
          raw_user_meta_data and is_anonymous go into claims, as Supabase Auth puts them.",
        &USERS_TABLE,
    );
    text(
        c"crewsnow_ops.identity_functions",
        c"Functions that tell who asks, separated by commas.",
        c"The first returns the user's id; corrections of policies are written with it.",
        &IDENTITY_FUNCTIONS,
    );
    text(
        c"crewsnow_ops.claims",
        c"The settings that a request's claims are put into, as setting=claim, separated by commas.",
        c"The claim * is all of them as JSON, sub is the user's id: 'app.user_id=sub' for an application that sets only that.",
        &CLAIMS,
    );
    GucRegistry::define_string_guc(
        c"crewsnow_ops.self_test_user",
        c"User id with which the audit queries its self-test tables.",
        c"The audit sets it for the duration of its self-test. It has no other effect.",
        &SELF_TEST_USER,
        GucContext::Userset,
        GucFlags::NO_SHOW_ALL,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.audit_time",
        c"How long an audit of row-level security may take.",
        c"What it has not looked at by then is INCONCLUSIVE.",
        &AUDIT_TIME,
        100,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
}

fn text_of(setting: &GucSetting<Option<CString>>) -> String {
    setting.get().map(|text| text.to_string_lossy().trim().to_owned()).unwrap_or_default()
}

/// The role of requests that nobody has signed in for; empty for none.
pub fn anonymous_role() -> String {
    text_of(&ANONYMOUS_ROLE)
}

/// The role of signed-in users' requests; empty for none.
pub fn user_role() -> String {
    text_of(&USER_ROLE)
}

/// The table of accounts, as SQL names it; empty for none.
pub fn users_table() -> String {
    text_of(&USERS_TABLE)
}

/// Functions that tell who asks, as SQL names them.
pub fn identity_functions() -> Vec<String> {
    text_of(&IDENTITY_FUNCTIONS).split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Settings and the claim that each carries; `*` for all of them.
pub fn claims() -> Vec<(String, String)> {
    let text = text_of(&CLAIMS);
    let pair = |pair: &str| pair.split_once('=').map(|(setting, claim)| (setting.trim().into(), claim.trim().into()));
    text.split(',').filter_map(pair).collect()
}

/// How long an audit may take, in milliseconds.
pub fn audit_time() -> u64 {
    AUDIT_TIME.get().unsigned_abs().into()
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
