//! Errors of health checks and session actions.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::xact::lock_holder;
use crate::pg::xact::lock_holder::LockHolder;
use pgrx::PgSqlErrorCode;

/// A health check or session action that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// SQLSTATE 22023
    #[error("process {0} is your own session")]
    OwnSession(i32),
    /// SQLSTATE 22023
    #[error("process {pid} is not a client backend (backend_type: {backend_type})")]
    NotAClientBackend {
        /// The process.
        pid: i32,
        /// `backend_type` of pg_stat_activity.
        backend_type: String,
    },
    /// SQLSTATE 42501
    #[error("session {pid} belongs to superuser \"{role}\"")]
    SuperuserSession {
        /// The process.
        pid: i32,
        /// The superuser.
        role: String,
        /// The function that the caller called.
        function: &'static str,
        /// `backend_start` of the session.
        backend_start: String,
    },
    /// SQLSTATE 42501
    #[error("only a superuser may disconnect superusers")]
    SuperuserSessions,
    /// SQLSTATE 55000
    #[error("session {pid} did not start at the given backend_start")]
    OtherSession {
        /// The process.
        pid: i32,
        /// `backend_start` of the running session.
        actual: String,
        /// The `backend_start` that the caller gave.
        given: String,
    },
    /// SQLSTATE 22023
    #[error("no filter given: name a role, an application, a database or an age")]
    NoFilter,
    /// SQLSTATE 22023
    #[error("p_older_than must be a positive interval")]
    InvalidAge,
    /// SQLSTATE 55P03
    #[error("crewsnow_ops.session_actions stayed locked for {milliseconds} ms")]
    RecordsLocked {
        /// The limit of the wait.
        milliseconds: i32,
        /// The session in the way; `None` if it is gone meanwhile.
        holder: Option<LockHolder>,
    },
    /// SQLSTATE 57014
    #[error("{report} took longer than {milliseconds} ms and was stopped")]
    TookTooLong {
        /// The report that was running.
        report: &'static str,
        /// Its time limit.
        milliseconds: i32,
    },
    /// SQLSTATE 42704
    #[error("no finding and no check is called \"{}\"", finding.escape_debug())]
    UnknownFinding {
        /// The given name.
        finding: String,
        /// Names of checks that are spelt alike.
        similar: Vec<String>,
    },
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for HealthError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::OwnSession(_)
            | Self::NotAClientBackend { .. }
            | Self::NoFilter
            | Self::InvalidAge => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::SuperuserSession { .. } | Self::SuperuserSessions => {
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE
            }
            Self::OtherSession { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::RecordsLocked { .. } => Code::ERRCODE_LOCK_NOT_AVAILABLE,
            Self::TookTooLong { .. } => Code::ERRCODE_QUERY_CANCELED,
            Self::UnknownFinding { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::OwnSession(_) => {
                "The function ends other sessions only. Nothing was done.".into()
            }
            Self::NotAClientBackend { .. } => {
                "The function ends neither replication nor the server's own processes. \
                 Nothing was done."
                    .into()
            }
            Self::SuperuserSession { .. } => {
                "Only a superuser may end the session. Nothing was done.".into()
            }
            Self::SuperuserSessions => {
                "The current role is not a superuser. Nothing was done.".into()
            }
            Self::OtherSession { actual, given, .. } => format!(
                "The given backend_start is {given}; the running session started at {actual}. \
                 The process id was reused. Nothing was done."
            ),
            Self::NoFilter => {
                "Without a filter the call would end every session. Nothing was done.".into()
            }
            Self::InvalidAge => "Every session is older than that. Nothing was done.".into(),
            Self::RecordsLocked { holder, .. } => lock_holder::detail(holder.as_ref()),
            Self::UnknownFinding { similar, .. } => match similar.as_slice() {
                [] => "A finding is called by its metric, or by its place in triage.".into(),
                similar => format!("Checks that are spelt alike: {}.", similar.join(", ")),
            },
            Self::TookTooLong { .. } => {
                "Monitoring stops early so that it does not make an incident worse.".into()
            }
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OwnSession(_) => "\\q".into(),
            Self::NotAClientBackend { pid, .. } => {
                format!("SELECT * FROM pg_stat_activity WHERE pid = {pid};")
            }
            Self::OtherSession { pid, .. } => {
                format!(
                    "SELECT pid, backend_start, usename, state FROM pg_stat_activity \
                     WHERE pid = {pid};"
                )
            }
            Self::SuperuserSession { pid, function, backend_start, .. } => {
                format!("As a superuser: SELECT crewsnow_ops.{function}({pid}, '{backend_start}');")
            }
            Self::RecordsLocked { holder, .. } => lock_holder::hint(holder.as_ref()),
            Self::SuperuserSessions | Self::NoFilter | Self::InvalidAge => {
                "SELECT * FROM crewsnow_ops.disconnect_sessions(\
                                   p_application => 'worker', p_older_than => '10 minutes');"
                    .into()
            }
            Self::UnknownFinding { .. } => "SELECT * FROM crewsnow_ops.triage;".into(),
            Self::TookTooLong { .. } => {
                "SELECT pid, query_start, left(query, 60) FROM pg_stat_activity \
                 WHERE state = 'active' ORDER BY query_start;"
                    .into()
            }
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(HealthError);
from_server_failures!(HealthError);
