//! Every error that a user can cause: what happened, what was seen, and the command that helps.

use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{PgSqlErrorCode, function_name};

/// An error with its own SQLSTATE, DETAIL and HINT.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// SQLSTATE 22004
    #[error("{argument} must not be NULL")]
    NullArgument {
        /// The SQL name of the argument.
        argument: &'static str,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("{0}")]
    InvalidKey(#[from] crate::flags::model::InvalidKey),
    /// SQLSTATE 22023
    #[error("rollout percentage {0} is out of range")]
    InvalidPercentage(i32),
    /// SQLSTATE 42704
    #[error("feature flag \"{key}\" does not exist")]
    LikelyTypo {
        /// The unknown key.
        key: String,
        /// Known keys, the closest first.
        near: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("a reason is needed to restore feature flags")]
    EmptyReason,
    /// SQLSTATE 22023
    #[error("cannot restore feature flags as of {asked}: it lies in the future")]
    FutureInstant {
        /// The instant that was asked for.
        asked: String,
        /// The present instant.
        now: String,
    },
    /// SQLSTATE 22023
    #[error("cannot restore feature flags as of {asked}: there were none yet")]
    BeforeFirstFlag {
        /// The instant that was asked for.
        asked: String,
        /// The earliest instant with a flag.
        earliest: String,
    },
    /// SQLSTATE 0A000: a flag's identity and its rollout group are fixed for its life
    #[error("column \"{column}\" of feature flag \"{key}\" cannot be changed")]
    FrozenColumn {
        /// `id` or `rollout_group`.
        column: &'static str,
        /// The flag.
        key: String,
    },
    /// SQLSTATE 55000
    #[error("table {table} cannot be looked at: {why}")]
    Unreadable {
        /// The table.
        table: String,
        /// The server's message.
        why: String,
    },
    /// SQLSTATE 42501
    #[error("event_log is append-only")]
    EventsAreAppendOnly,
    /// SQLSTATE 22P03
    #[error("not a latency sketch: {0}")]
    InvalidSketch(#[from] crate::telemetry::sketch::ddsketch::InvalidSketch),
    /// SQLSTATE 22023
    #[error("quantile {0} is out of range")]
    InvalidQuantile(f64),
    /// SQLSTATE 22023
    #[error("execution time {0} ms is out of range")]
    InvalidDuration(String),
    /// SQLSTATE 22023
    #[error("{argument} must have 1 to {limit} bytes")]
    InvalidText {
        /// The SQL name of the argument.
        argument: &'static str,
        /// A call that works.
        example: &'static str,
        /// How many bytes it may have.
        limit: usize,
        /// How many it has.
        length: usize,
    },
    /// SQLSTATE 22023
    #[error("the payload must be a JSON object of at most 256 kB")]
    InvalidPayload {
        /// What it is instead.
        seen: String,
    },
    /// SQLSTATE 22023
    #[error("HTTP status code {0} is out of range")]
    InvalidStatusCode(i32),
    /// SQLSTATE 22023
    #[error("p_max_rows must be at least 1, not {0}")]
    InvalidMaxRows(i32),
    /// SQLSTATE 0A000
    #[error("partition {0} of event_log cannot be read")]
    UnreadablePartition(String),
    /// SQLSTATE 0A000
    #[error("partition {0} of event_log is unlogged and cannot be read on a standby")]
    UnloggedPartition(String),
    /// SQLSTATE 25001
    #[error("cannot {what} in a transaction block")]
    InTransactionBlock {
        /// What was attempted.
        what: &'static str,
    },
    /// SQLSTATE 42501
    #[error("crewsnow_ops.flag_history is append-only")]
    HistoryIsAppendOnly,
    /// SQLSTATE 25006
    #[error("cannot {what} on a standby")]
    OnStandby {
        /// What was attempted.
        what: &'static str,
    },
    /// SQLSTATE 25006
    #[error("cannot {what} in a read-only transaction")]
    ReadOnlyTransaction {
        /// What was attempted.
        what: &'static str,
    },
    /// SQLSTATE 25001
    #[error("cannot {what} in a REPEATABLE READ or SERIALIZABLE transaction")]
    OldSnapshot {
        /// What was attempted.
        what: &'static str,
    },
    /// SQLSTATE 55000
    #[error("feature flag \"{0}\" can be neither found nor created")]
    Unreachable(String),
    /// SQLSTATE 42704
    #[error("role \"{0}\" does not exist")]
    UnknownRole(String),
    /// SQLSTATE 22023
    #[error("role \"{0}\" owns the extension and needs no access level")]
    OwnerNeedsNoAccess(String),
    /// SQLSTATE 22023
    #[error("access level \"{0}\" does not exist")]
    UnknownAccessLevel(String),
    /// SQLSTATE 0A000: the schema cannot be found while the extension is not installed
    #[error("extension crewsnow_ops is not installed in this database")]
    NotInstalled,
    /// SQLSTATE 22023
    #[error("this is your own session")]
    OwnSession,
    /// SQLSTATE 22023
    #[error("process {pid} is no client's session but: {kind}")]
    NotAClientSession {
        /// The process.
        pid: i32,
        /// What pg_stat_activity calls it.
        kind: String,
    },
    /// SQLSTATE 42501
    #[error("session {pid} is of superuser \"{role}\"")]
    SuperusersSession {
        /// The process.
        pid: i32,
        /// The superuser.
        role: String,
    },
    /// SQLSTATE 42501
    #[error("only a superuser may disconnect superusers")]
    SuperusersSessions,
    /// SQLSTATE 55000
    #[error("session {pid} is not the one that was meant")]
    OtherSession {
        /// The process.
        pid: i32,
        /// When it began.
        began: String,
        /// When the one began that was meant.
        meant: String,
    },
    /// SQLSTATE 22023
    #[error("say whose sessions: by role, application, database or age")]
    NoSessionsNamed,
    /// SQLSTATE 22023
    #[error("p_older_than must be a positive interval")]
    InvalidAge,
    /// SQLSTATE 22023
    #[error("a reason is needed to accept a finding")]
    NoReasonToAccept {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_expires_at must lie within a year from now")]
    InvalidExpiry {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 42704
    #[error("the audit finds no \"{finding}\"")]
    UnknownFinding {
        /// What was asked for.
        finding: String,
        /// Findings like it, the closest first.
        near: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("the reader and the victim are the same user")]
    SameUser {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 42704
    #[error("\"{role}\" is not a role that requests run as")]
    NotAClientRole {
        /// The role.
        role: String,
    },
    /// SQLSTATE 22P02
    #[error("p_user \"{user}\" is no user's id")]
    NotAUserId {
        /// What was given.
        user: String,
        /// What ids are, by the server's name of the type.
        type_: String,
        /// A call that works.
        example: String,
    },
    /// SQLSTATE 42809
    #[error("p_relation is not a table with columns")]
    NotATable {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_key names no row: {why}")]
    InvalidRowKey {
        /// What is wrong with it.
        why: String,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 57014
    #[error("{what} took longer than {milliseconds} ms and was stopped")]
    TookTooLong {
        /// What was done.
        what: &'static str,
        /// How long it may take.
        milliseconds: i32,
    },
    /// What is wrong with what a decision is to rest on. Its own SQLSTATEs.
    #[error("{0}")]
    Readiness(#[from] crate::readiness::error::ReadinessError),
    /// SQLSTATE 39P01
    #[error("{0} can only be called by its trigger")]
    NotATrigger(&'static str),
    /// A failure of the server's own interface, passed on.
    #[error("{0}")]
    Spi(#[from] pgrx::spi::Error),
    /// A failure of the trigger interface, passed on. SQLSTATE 39P01
    #[error("{0}")]
    Trigger(#[from] pgrx::PgTriggerError),
    /// A row that does not have the expected shape. SQLSTATE 42804
    #[error("{0}")]
    RowShape(#[from] pgrx::heap_tuple::PgHeapTupleError),
    /// A value that does not have the expected type. SQLSTATE 42804
    #[error("{0}")]
    ValueType(#[from] pgrx::datum::TryFromDatumError),
}

impl OpsError {
    /// The SQLSTATE.
    pub fn code(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::NullArgument { .. } => Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Self::Readiness(error) => error.code(),
            Self::InvalidKey(_)
            | Self::InvalidPercentage(_)
            | Self::EmptyReason
            | Self::FutureInstant { .. }
            | Self::BeforeFirstFlag { .. }
            | Self::OwnerNeedsNoAccess(_)
            | Self::InvalidQuantile(_)
            | Self::InvalidDuration(_)
            | Self::InvalidText { .. }
            | Self::InvalidPayload { .. }
            | Self::InvalidStatusCode(_)
            | Self::InvalidMaxRows(_)
            | Self::OwnSession
            | Self::NotAClientSession { .. }
            | Self::NoSessionsNamed
            | Self::InvalidAge
            | Self::NoReasonToAccept { .. }
            | Self::SameUser { .. }
            | Self::InvalidRowKey { .. }
            | Self::InvalidExpiry { .. }
            | Self::UnknownAccessLevel(_) => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::InvalidSketch(_) => Code::ERRCODE_INVALID_BINARY_REPRESENTATION,
            Self::NotAUserId { .. } => Code::ERRCODE_INVALID_TEXT_REPRESENTATION,
            Self::LikelyTypo { .. }
            | Self::UnknownRole(_)
            | Self::UnknownFinding { .. }
            | Self::NotAClientRole { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::FrozenColumn { .. }
            | Self::NotInstalled
            | Self::UnreadablePartition(_)
            | Self::UnloggedPartition(_) => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::HistoryIsAppendOnly
            | Self::EventsAreAppendOnly
            | Self::SuperusersSession { .. }
            | Self::SuperusersSessions => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::OnStandby { .. } | Self::ReadOnlyTransaction { .. } => Code::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            Self::OldSnapshot { .. } | Self::InTransactionBlock { .. } => Code::ERRCODE_ACTIVE_SQL_TRANSACTION,
            Self::Unreachable(_) | Self::OtherSession { .. } | Self::Unreadable { .. } => {
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            Self::NotATable { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::NotATrigger(_) | Self::Trigger(_) => Code::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            Self::TookTooLong { .. } => Code::ERRCODE_QUERY_CANCELED,
            Self::RowShape(_) | Self::ValueType(_) => Code::ERRCODE_DATATYPE_MISMATCH,
            Self::Spi(_) => Code::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::InvalidKey(e) => e.detail(),
            Self::Readiness(error) => return error.detail(),
            Self::InvalidPercentage(_) => "A rollout percentage is a whole number from 0 to 100.".into(),
            Self::LikelyTypo { near, .. } => {
                format!("Nothing was changed: {} is very much like it.", quoted_list(near, "and"))
            }
            Self::EmptyReason => "p_reason was empty; it is kept in crewsnow_ops.flag_history.".into(),
            Self::FutureInstant { now, .. } => format!("It is now {now}."),
            Self::BeforeFirstFlag { earliest, .. } => format!("The first flag dates from {earliest}."),
            Self::FrozenColumn { column: "rollout_group", .. } => {
                "The group decides which users are in a partial rollout: changing it would move all of them.".into()
            }
            Self::FrozenColumn { .. } => "It ties the flag to its history.".into(),
            Self::HistoryIsAppendOnly => "Rows are neither changed nor removed, whoever asks.".into(),
            Self::OnStandby { .. } => "The server is in recovery and accepts no writes.".into(),
            Self::ReadOnlyTransaction { .. } => "transaction_read_only is on. Nothing was changed.".into(),
            Self::OldSnapshot { .. } => "It would not see what others have changed since it began.".into(),
            Self::InTransactionBlock { .. } => "The locks would be held until it ends. Nothing was changed.".into(),
            Self::EventsAreAppendOnly => {
                "What has been counted stays as it is: only user_id, endpoint, ip_address, user_agent and what in the payload is not the \
                 status may be erased."
                    .into()
            }
            Self::InvalidSketch(_) => "Only crewsnow_ops.latency_sketch and crewsnow_ops.merge_sketches make sketches.".into(),
            Self::InvalidQuantile(_) => "A quantile is a number from 0 to 1.".into(),
            Self::InvalidDuration(_) => "An execution time is 0 to 86400000 milliseconds, 24 hours.".into(),
            Self::InvalidText { length, .. } => format!("It has {length}. Nothing was written."),
            Self::InvalidPayload { seen } => format!("It is {seen}. Nothing was written."),
            Self::UnreadablePartition(_) => {
                "It must be a plain table with the columns of event_log in their types; counting without it would be wrong.".into()
            }
            Self::UnloggedPartition(_) => "Its rows are on the primary only; counting without them would be wrong.".into(),
            Self::InvalidStatusCode(_) => "An HTTP status code is 100 to 599. Nothing was written.".into(),
            Self::Unreachable(_) => {
                "A policy or a trigger on feature_flags hides the row or swallows the insert. Nothing was changed."
                    .into()
            }
            Self::OwnerNeedsNoAccess(_) => "The owner may do everything. Nothing was changed.".into(),
            Self::OwnSession => "Nobody ends the session that they work in by this. Nothing was done.".into(),
            Self::NotAClientSession { .. } => "Replication and the server's own processes are not for this. Nothing was done.".into(),
            Self::SuperusersSession { .. } => "Only a superuser may end it. Nothing was done.".into(),
            Self::SuperusersSessions => "You are none. Nothing was done.".into(),
            Self::OtherSession { began, meant, .. } => {
                format!("The one that was meant began {meant}, this one began {began}: the process id was used again. Nothing was done.")
            }
            Self::TookTooLong { .. } => "Who looks during an incident must not make it worse.".into(),
            Self::InvalidAge => "Everybody is older than that. Nothing was done.".into(),
            Self::SameUser { .. } => "Everybody reaches what is their own.".into(),
            Self::InvalidRowKey { .. } => "A key is an object of columns and values that one row has.".into(),
            Self::NotAUserId { type_, .. } => format!("The ids of users are of type {type_}."),
            Self::NotATable { .. } => "Only tables have rows of their own; views are traced by crewsnow_ops.trace_access.".into(),
            Self::NotAClientRole { .. } => "They are named by crewsnow_ops.anonymous_role and crewsnow_ops.user_role.".into(),
            Self::NoReasonToAccept { .. } => "It is shown wherever the finding would be. Nothing was accepted.".into(),
            Self::InvalidExpiry { .. } => "Nothing is accepted for ever. Nothing was accepted.".into(),
            Self::UnknownFinding { near, .. } if near.is_empty() => "Nothing was accepted.".into(),
            Self::UnknownFinding { near, .. } => format!("Nothing was accepted. It finds {}.", quoted_list(near, "and")),
            Self::NoSessionsNamed => "Without any of them it would be everybody. Nothing was done.".into(),
            Self::UnknownAccessLevel(_) => "The levels are reader, writer, operator and admin.".into(),
            _ => return None,
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NullArgument { example, .. } => (*example).into(),
            Self::Readiness(error) => return error.hint(),
            Self::InvalidKey(_) => "SELECT flag_key FROM feature_flags ORDER BY flag_key;".into(),
            Self::InvalidPercentage(_) => "SELECT update_feature_flag('tracker_pro', true, 25);".into(),
            Self::LikelyTypo { key, near } => format!(
                "Did you mean {}? If the flag really is new: INSERT INTO feature_flags (flag_key) VALUES ('{key}');",
                quoted_list(near, "or")
            ),
            Self::EmptyReason | Self::FutureInstant { .. } | Self::BeforeFirstFlag { .. } => {
                "SELECT crewsnow_ops.restore_feature_flags(now() - interval '15 minutes', 'INC-42: undo');".into()
            }
            Self::FrozenColumn { .. } => {
                "Delete the flag and insert it again: DELETE and INSERT are both kept in crewsnow_ops.flag_history.".into()
            }
            Self::HistoryIsAppendOnly => {
                "To undo a change, append one: SELECT crewsnow_ops.restore_feature_flags(now() - interval '15 minutes', 'why');"
                    .into()
            }
            Self::OnStandby { .. } => "Connect to the primary, where SELECT pg_is_in_recovery() answers f.".into(),
            Self::ReadOnlyTransaction { .. } => "ROLLBACK; SET default_transaction_read_only = off;".into(),
            Self::EventsAreAppendOnly => {
                "UPDATE event_log SET user_id = NULL, ip_address = NULL, user_agent = NULL WHERE user_id = '…'; old events go by SELECT * FROM crewsnow_ops.apply_event_retention();"
                    .into()
            }
            Self::InvalidSketch(_) | Self::InvalidQuantile(_) => {
                "SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(execution_time_ms), 0.95) FROM event_log;".into()
            }
            Self::InvalidText { example, .. }
            | Self::NoReasonToAccept { example }
            | Self::InvalidExpiry { example }
            | Self::SameUser { example }
            | Self::NotATable { example }
            | Self::InvalidRowKey { example, .. } => (*example).into(),
            Self::NotAClientRole { .. } => "SHOW crewsnow_ops.user_role;".into(),
            Self::NotAUserId { example, .. } => example.clone(),
            Self::UnknownFinding { .. } => "SELECT finding, severity FROM crewsnow_ops.audit_rls();".into(),
            Self::Unreadable { table, .. } => format!("\\d+ {table}"),
            Self::InvalidDuration(_) | Self::InvalidPayload { .. } => {
                "SELECT log_system_event('sync_failed', NULL, '{\"tries\": 3}', 41.5);".into()
            }
            Self::InvalidStatusCode(_) => "SELECT crewsnow_ops.record_edge_call('send-message', 41.5, 200);".into(),
            Self::InvalidMaxRows(_) => "SELECT * FROM crewsnow_ops.roll_up_events();".into(),
            Self::UnreadablePartition(name) => format!("\\d+ {name}"),
            Self::UnloggedPartition(name) => format!("On the primary: ALTER TABLE {name} SET LOGGED;"),
            Self::InTransactionBlock { .. } => "COMMIT; and call it again.".into(),
            Self::OldSnapshot { .. } => "ROLLBACK; BEGIN ISOLATION LEVEL READ COMMITTED;".into(),
            Self::Unreachable(_) => "\\d feature_flags".into(),
            Self::UnknownRole(_) => "CREATE ROLE oncall LOGIN; or look them up with \\du".into(),
            Self::OwnerNeedsNoAccess(_) | Self::UnknownAccessLevel(_) => "SELECT crewsnow_ops.grant_access('oncall', 'operator');".into(),
            Self::TookTooLong { .. } => {
                "SELECT pid, query_start, left(query, 60) FROM pg_stat_activity WHERE state = 'active' ORDER BY query_start;".into()
            }
            Self::OwnSession => "\\q".into(),
            Self::NotAClientSession { pid, .. } => format!("SELECT * FROM pg_stat_activity WHERE pid = {pid};"),
            Self::OtherSession { pid, .. } => {
                format!("SELECT pid, backend_start, usename, state FROM pg_stat_activity WHERE pid = {pid};")
            }
            Self::SuperusersSession { .. } | Self::SuperusersSessions | Self::NoSessionsNamed | Self::InvalidAge => {
                "SELECT * FROM crewsnow_ops.disconnect_sessions(p_application => 'worker', p_older_than => '10 minutes');".into()
            }
            Self::NotInstalled => "CREATE EXTENSION crewsnow_ops;".into(),
            _ => return None,
        })
    }
}

impl From<OpsError> for ErrorReport {
    fn from(error: OpsError) -> Self {
        let mut report = ErrorReport::new(error.code(), error.to_string(), function_name!());
        if let Some(detail) = error.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = error.hint() {
            report = report.set_hint(hint);
        }
        report
    }
}

/// Raises an error in a trigger function, where pgrx would turn an `Err` into an internal error.
pub fn raise<T>(result: Result<T, OpsError>) -> T {
    result.map_err(ErrorReport::from).unwrap_or_report()
}

fn quoted_list(keys: &[String], last: &str) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    match quoted.split_last() {
        Some((one, [])) => one.clone(),
        Some((tail, head)) => format!("{} {last} {tail}", head.join(", ")),
        None => String::new(),
    }
}
