//! Settings `crewsnow_ops.*`. The statics are private; the rest of the crate uses the accessors.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::CString;

/// The treatment of a saved row that is older than the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum LostUpdates {
    /// The statement fails.
    #[name = c"error"]
    Error,
    /// The row is saved, with a warning.
    #[name = c"warn"]
    Warn,
    /// The row is saved.
    #[name = c"off"]
    Off,
}

const DAY: i32 = 24 * 60;

static EVENT_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(30 * DAY);
static ROLLUP_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(400 * DAY);
static CHANGE_REASON: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static LOST_UPDATES: GucSetting<LostUpdates> = GucSetting::<LostUpdates>::new(LostUpdates::Error);
static NOTIFY_CHANGES: GucSetting<bool> = GucSetting::<bool>::new(true);
static ANONYMOUS_ROLE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"anon"));
static USER_ROLE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"authenticated"));
static USERS_TABLE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"auth.users"));
static IDENTITY_FUNCTIONS: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"auth.uid(), auth.jwt(), auth.role(), auth.email()"));
static CLAIMS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(
    c"request.jwt.claims=*, request.jwt.claim.sub=sub, request.jwt.claim.role=role",
));
static SELF_TEST_USER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static HEALTH_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(100);
static MAINTENANCE_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(2 * 60 * 60);
static RETENTION_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(60 * 60);
static TICK_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(30_000);
static PROGRAM_DIRECTORY: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));
static RESTORE_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(60 * 60);
static RESTORE_CONNECTION: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));
static RESTORE_DIRECTORY: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));
static RESTORE_JOBS: GucSetting<i32> = GucSetting::<i32>::new(2);
static RESTORE_MAX_SIZE: GucSetting<i32> = GucSetting::<i32>::new(20 * 1024);
static RESTORE_TRUSTS_OWNERS: GucSetting<bool> = GucSetting::<bool>::new(false);
static BACKUP_MAX_AGE: GucSetting<i32> = GucSetting::<i32>::new(26 * 60);
static AUDIT_TIME: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static POLICY_OVERLAY: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_REPLICA_LAG: GucSetting<i32> = GucSetting::<i32>::new(5_000);
static DIRECT_INSERT: GucSetting<bool> = GucSetting::<bool>::new(true);
static BRIN_SUMMARIES: GucSetting<bool> = GucSetting::<bool>::new(true);
static WAL_SKIP: GucSetting<bool> = GucSetting::<bool>::new(true);
static DIRECT_CATALOG_SCANS: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Defines the settings and reserves their prefix, so that the server refuses a misspelt name once
/// the library is loaded.
pub fn register() {
    GucRegistry::define_string_guc(
        c"crewsnow_ops.change_reason",
        c"Reason for changes of feature flags, kept with each change.",
        c"Each row of crewsnow_ops.flag_history written while this is set carries it, for example \
          the number of the incident: SET LOCAL crewsnow_ops.change_reason = 'INC-42'. An empty \
          value is no reason. Each transaction ends with it cleared.",
        &CHANGE_REASON,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"crewsnow_ops.lost_updates",
        c"Treatment of a saved row of feature_flags that is older than the flag.",
        c"A statement that sets updated_at to an older time than the flag's, beside other columns, \
          was made from a row read before the last change. error refuses it with 40001, warn \
          lets it through with a warning, off lets it through.",
        &LOST_UPDATES,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"crewsnow_ops.notify_flag_changes",
        c"Notifies the channel crewsnow_ops_flags of changed flags.",
        c"The payload is the flag's key; empty if any flag may have changed.",
        &NOTIFY_CHANGES,
        GucContext::Userset,
        GucFlags::default(),
    );
    // Superusers only: a shorter retention would let other roles have evidence dropped.
    GucRegistry::define_int_guc(
        c"crewsnow_ops.event_retention",
        c"How long events are kept.",
        c"crewsnow_ops.apply_event_retention drops whole days of event_log that are older and are \
          in the rollups.",
        &EVENT_RETENTION,
        DAY,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.rollup_retention",
        c"How long the rollups of events and webhooks are kept.",
        c"crewsnow_ops.apply_event_retention removes older ones.",
        &ROLLUP_RETENTION,
        DAY,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.health_budget",
        c"How long performance_health_check and triage may load a busy server.",
        c"While many sessions run statements, checks begin only within this time, and those of \
          harm to users now within ten times this. The others are SKIPPED and say so. 0 is no \
          limit.",
        &HEALTH_BUDGET,
        0,
        60_000,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.maintenance_budget",
        c"How long run_performance_maintenance may take.",
        c"At its end the running statement is cancelled, and the report names the tables that were \
          not reached.",
        &MAINTENANCE_BUDGET,
        1,
        i32::MAX / 1_000,
        GucContext::Userset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.retention_budget",
        c"How long run_gdpr_maintenance may take.",
        c"At its end the running batch is undone. The next run goes on.",
        &RETENTION_BUDGET,
        1,
        i32::MAX / 1_000,
        GucContext::Userset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"crewsnow_ops.tick_budget",
        c"How long tick() may evaluate alert rules.",
        c"At its end no further rule is begun. The next tick goes on with those that wait.",
        &TICK_BUDGET,
        100,
        600_000,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    // Superusers only: a longer lag would let other roles pass decisions on old data.
    GucRegistry::define_int_guc(
        c"crewsnow_ops.max_replica_lag",
        c"How far a standby may be behind its primary when it decides.",
        c"A decision on a standby that is further behind, paused or cut off is never GO.",
        &MAX_REPLICA_LAG,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    register_restore_tests();
    register_row_security();
    register_shortcuts();
}

/// Superusers only: a test runs programs as the server's OS user, and its verdict is evidence.
fn register_restore_tests() {
    let text = |name, short, long, setting| {
        let (context, flags) = (GucContext::Suset, GucFlags::SUPERUSER_ONLY);
        GucRegistry::define_string_guc(name, short, long, setting, context, flags);
    };
    let number = |name, short, long, setting, min, max, flags| {
        GucRegistry::define_int_guc(name, short, long, setting, min, max, GucContext::Suset, flags);
    };
    number(
        c"crewsnow_ops.backup_max_age",
        c"Age from which a backup is a fault of a restore test.",
        c"Counted by the oldest of backup_log, the manifest, the file, and the backup itself.",
        &BACKUP_MAX_AGE,
        1,
        i32::MAX,
        GucFlags::UNIT_MIN,
    );
    text(
        c"crewsnow_ops.program_directory",
        c"Directory of pg_dump, pg_restore and the other programs of the server's version.",
        c"Empty for the directory of the server's own program.",
        &PROGRAM_DIRECTORY,
    );
    number(
        c"crewsnow_ops.restore_budget",
        c"How long a restore test may take.",
        c"At its end the running program is ended, and the report says how far the test came.",
        &RESTORE_BUDGET,
        1,
        i32::MAX / 1_000,
        GucFlags::UNIT_S,
    );
    text(
        c"crewsnow_ops.restore_connection",
        c"Connection of pg_dump, pg_restore and psql to this server, as keywords and values.",
        c"Without a password: name a passfile. Empty for the socket of this server and the role \
          that runs the test.",
        &RESTORE_CONNECTION,
    );
    text(
        c"crewsnow_ops.restore_directory",
        c"Directory for the files of restore tests.",
        c"Empty for the directory of temporary files, which the server empties after a crash.",
        &RESTORE_DIRECTORY,
    );
    number(
        c"crewsnow_ops.restore_jobs",
        c"Processes that dump and restore at the same time.",
        c"Each takes a connection.",
        &RESTORE_JOBS,
        1,
        64,
        GucFlags::default(),
    );
    number(
        c"crewsnow_ops.restore_max_size",
        c"Size from which a database is not restored beside its source.",
        c"A restore test of a larger database or base backup fails, and names another command.",
        &RESTORE_MAX_SIZE,
        1,
        i32::MAX,
        GucFlags::UNIT_MB,
    );
    GucRegistry::define_bool_guc(
        c"crewsnow_ops.restore_trusts_owners",
        c"Restores tables whose constraints call functions of other roles.",
        c"These functions then run with the privileges of the role that runs the test.",
        &RESTORE_TRUSTS_OWNERS,
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// Describes the audited application. Superusers only: an audit runs policies as these roles.
fn register_row_security() {
    let text = |name, short, long, setting| {
        GucRegistry::define_string_guc(
            name,
            short,
            long,
            setting,
            GucContext::Suset,
            GucFlags::default(),
        );
    };
    text(
        c"crewsnow_ops.anonymous_role",
        c"Client role of requests without a signed-in user.",
        c"Audits of row-level security run with its privileges, if it exists. Empty for none.",
        &ANONYMOUS_ROLE,
    );
    text(
        c"crewsnow_ops.user_role",
        c"Client role of requests by signed-in users.",
        c"Audits of row-level security run with its privileges, if it exists. Empty for none.",
        &USER_ROLE,
    );
    text(
        c"crewsnow_ops.users_table",
        c"Table of accounts.",
        c"Its primary key identifies a user. A column that references it is an owner column. Its \
          columns email, phone, raw_app_meta_data, raw_user_meta_data and is_anonymous, if it has \
          them, go into the claims, as in Supabase Auth.",
        &USERS_TABLE,
    );
    text(
        c"crewsnow_ops.identity_functions",
        c"Functions that return the identity of a request, separated by commas.",
        c"The first returns the user's id; remediations of policies use it.",
        &IDENTITY_FUNCTIONS,
    );
    text(
        c"crewsnow_ops.claims",
        c"Settings that carry a request's claims, as setting=claim, separated by commas.",
        c"The claim * is all claims as JSON, sub is the user's id: 'app.user_id=sub' for an \
          application that sets only that.",
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
        c"Verdicts that it has not reached by then are INCONCLUSIVE.",
        &AUDIT_TIME,
        100,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_bool_guc(
        c"crewsnow_ops.policy_overlay",
        c"Proves remediations with changed policies that only the session of the audit applies.",
        c"Off, the audit prints no remediation that changes a policy because of a reach.",
        &POLICY_OVERLAY,
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// Off switches of the code that bypasses the server's own interface for speed. For superusers:
/// they are for incidents and measurements, and no answer depends on them.
fn register_shortcuts() {
    let switch = |name, short, long, setting| {
        let (context, flags) = (GucContext::Suset, GucFlags::default());
        GucRegistry::define_bool_guc(name, short, long, setting, context, flags);
    };
    switch(
        c"crewsnow_ops.direct_insert",
        c"Writes events without the executor.",
        c"Off, log_system_event and record_edge_call run a prepared INSERT.",
        &DIRECT_INSERT,
    );
    switch(
        c"crewsnow_ops.brin_summaries",
        c"Reads BRIN index pages to exclude blocks of event_log.",
        c"Off, readers consider every block, and roll_up_events counts all events in one call.",
        &BRIN_SUMMARIES,
    );
    switch(
        c"crewsnow_ops.wal_skip",
        c"Skips pages and rows of event_log that are older than the last roll-up.",
        c"Off, readers decode every row of each block that the BRIN index does not exclude.",
        &WAL_SKIP,
    );
    switch(
        c"crewsnow_ops.direct_catalog_scans",
        c"Reads pg_class and pg_index without the executor.",
        c"Off, health checks run queries instead.",
        &DIRECT_CATALOG_SCANS,
    );
}

/// How long the fast checks may load a busy server, in milliseconds; `None` without a limit.
pub fn health_budget() -> Option<u64> {
    u64::try_from(HEALTH_BUDGET.get()).ok().filter(|budget| *budget > 0)
}

/// Whether events are written without the executor.
pub fn direct_insert() -> bool {
    DIRECT_INSERT.get()
}

/// Whether BRIN index pages exclude blocks of event_log.
pub fn brin_summaries() -> bool {
    BRIN_SUMMARIES.get()
}

/// Whether pages and rows older than the last roll-up are skipped.
pub fn wal_skip() -> bool {
    WAL_SKIP.get()
}

/// Whether whole catalogs are read without the executor.
pub fn direct_catalog_scans() -> bool {
    DIRECT_CATALOG_SCANS.get()
}

fn text_of(setting: &GucSetting<Option<CString>>) -> String {
    setting.get().map(|text| text.to_string_lossy().trim().to_owned()).unwrap_or_default()
}

/// The client role of requests without a signed-in user; empty for none.
pub fn anonymous_role() -> String {
    text_of(&ANONYMOUS_ROLE)
}

/// The client role of requests by signed-in users; empty for none.
pub fn user_role() -> String {
    text_of(&USER_ROLE)
}

/// The table of accounts, as SQL names it; empty for none.
pub fn users_table() -> String {
    text_of(&USERS_TABLE)
}

/// Functions that return the identity of a request, as SQL names them.
pub fn identity_functions() -> Vec<String> {
    text_of(&IDENTITY_FUNCTIONS)
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Pairs of a setting and the claim that it carries; `*` stands for all claims.
pub fn claims() -> Vec<(String, String)> {
    let text = text_of(&CLAIMS);
    let pair = |pair: &str| {
        pair.split_once('=').map(|(setting, claim)| (setting.trim().into(), claim.trim().into()))
    };
    text.split(',').filter_map(pair).collect()
}

/// The time limit of an audit, in milliseconds.
pub fn audit_time() -> u64 {
    AUDIT_TIME.get().unsigned_abs().into()
}

/// Whether audits prove remediations by policies that only their session applies.
pub fn policy_overlay() -> bool {
    POLICY_OVERLAY.get()
}

/// `crewsnow_ops.change_reason`; `None` if it is empty.
pub fn change_reason() -> Option<String> {
    let reason = CHANGE_REASON.get()?.to_string_lossy().trim().to_owned();
    (!reason.is_empty()).then_some(reason)
}

/// The treatment of a saved row that is older than the flag.
pub fn lost_updates() -> LostUpdates {
    LOST_UPDATES.get()
}

/// Whether changes of flags are notified.
pub fn notify_flag_changes() -> bool {
    NOTIFY_CHANGES.get()
}

/// The directory of PostgreSQL's programs; `None` for that of the server.
pub fn program_directory() -> Option<String> {
    Some(text_of(&PROGRAM_DIRECTORY)).filter(|directory| !directory.is_empty())
}

/// Age from which a backup is too old, in seconds.
pub fn backup_max_age() -> f64 {
    f64::from(BACKUP_MAX_AGE.get()) * 60.0
}

/// The time limit of a restore test, in seconds.
pub fn restore_budget() -> i64 {
    RESTORE_BUDGET.get().into()
}

/// Keywords and values of the connection of client programs; empty for the defaults.
pub fn restore_connection() -> String {
    text_of(&RESTORE_CONNECTION)
}

/// The directory for files of restore tests; empty for that of temporary files.
pub fn restore_directory() -> String {
    text_of(&RESTORE_DIRECTORY)
}

/// How many processes dump and restore at the same time.
pub fn restore_jobs() -> i32 {
    RESTORE_JOBS.get()
}

/// Size of the largest database that is restored, in bytes.
pub fn restore_max_size() -> u64 {
    u64::from(RESTORE_MAX_SIZE.get().unsigned_abs()) << 20
}

/// Whether a restore may run functions of other roles.
pub fn restore_trusts_owners() -> bool {
    RESTORE_TRUSTS_OWNERS.get()
}

/// How far a standby may be behind when it decides, in milliseconds.
pub fn max_replica_lag() -> i64 {
    MAX_REPLICA_LAG.get().into()
}

/// How long a run of maintenance may take, in seconds.
pub fn maintenance_budget() -> i64 {
    MAINTENANCE_BUDGET.get().into()
}

/// How long a run of retention may take, in seconds.
pub fn retention_budget() -> i64 {
    RETENTION_BUDGET.get().into()
}

/// How long a tick may evaluate rules.
pub fn tick_budget() -> std::time::Duration {
    std::time::Duration::from_millis(TICK_BUDGET.get().unsigned_abs().into())
}

/// The retention of events, in minutes.
pub fn event_retention() -> i64 {
    EVENT_RETENTION.get().into()
}

/// The retention of rollups, in minutes.
pub fn rollup_retention() -> i64 {
    ROLLUP_RETENTION.get().into()
}
