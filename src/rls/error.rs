//! Errors of the row-level security audit.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::suggest::quoted_list;
use pgrx::PgSqlErrorCode;

/// An audit call that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RlsError {
    /// SQLSTATE 55000
    #[error("the audit cannot read table {table}: {reason}")]
    Unreadable {
        /// The table.
        table: String,
        /// The server's message.
        reason: String,
    },
    /// SQLSTATE 22023
    #[error("accepting a finding needs a reason")]
    NoReason {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_expires_at must be in the future, at most one year from now")]
    InvalidExpiry {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 42704
    #[error("the audit has no finding \"{finding}\"")]
    UnknownFinding {
        /// The requested finding.
        finding: String,
        /// Similar findings, closest first.
        similar: Vec<String>,
    },
    /// SQLSTATE 42704
    #[error("no finding says that every user reads table {table}")]
    NotReadable {
        /// The table.
        table: String,
        /// Its findings, if it has some.
        findings: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("p_reader and p_victim are the same user")]
    SameUser {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 42704
    #[error("\"{role}\" is not a client role")]
    NotAClientRole {
        /// The role.
        role: String,
    },
    /// SQLSTATE 22P02
    #[error("p_user \"{user}\" is not a user id")]
    NotAUserId {
        /// The given text.
        user: String,
        /// The type of user ids, by the server's name.
        type_: String,
        /// A call that works.
        example: String,
    },
    /// SQLSTATE 42809
    #[error("p_relation is not a table")]
    NotATable {
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_key does not identify a row: {reason}")]
    InvalidRowKey {
        /// The defect.
        reason: String,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 42501
    #[error("permission denied for table {table}")]
    MayNotSelect {
        /// The table.
        table: String,
        /// The columns that the caller lacks SELECT on, quoted.
        columns: Vec<String>,
        /// The caller's role, quoted.
        role: String,
    },
    /// SQLSTATE 22023
    #[error("p_key_or_row does not fit: {reason}")]
    InvalidKeyOrRow {
        /// The defect.
        reason: String,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("\"{command}\" is not a command on rows")]
    UnknownCommand {
        /// The given text.
        command: String,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 42809
    #[error("p_relation is not a table or view")]
    NotARelation {
        /// A call that works.
        example: &'static str,
    },
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for RlsError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::Unreadable { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::NoReason { .. }
            | Self::InvalidExpiry { .. }
            | Self::SameUser { .. }
            | Self::InvalidRowKey { .. }
            | Self::InvalidKeyOrRow { .. }
            | Self::UnknownCommand { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::UnknownFinding { .. }
            | Self::NotReadable { .. }
            | Self::NotAClientRole { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::NotAUserId { .. } => Code::ERRCODE_INVALID_TEXT_REPRESENTATION,
            Self::NotATable { .. } | Self::NotARelation { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::MayNotSelect { .. } => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NoReason { .. } => {
                "Reports show the reason in place of the finding. Nothing was accepted.".into()
            }
            Self::InvalidExpiry { .. } => "An acceptance must expire. Nothing was accepted.".into(),
            Self::UnknownFinding { similar, .. } if similar.is_empty() => {
                "Nothing was accepted.".into()
            }
            Self::UnknownFinding { similar, .. } => {
                format!("Nothing was accepted. Similar findings: {}.", quoted_list(similar, "and"))
            }
            Self::NotReadable { findings, .. } if findings.is_empty() => {
                "There is nothing to accept.".into()
            }
            Self::NotReadable { findings, .. } => format!(
                "A table is accepted as public content, which covers reading only. Its findings \
                 are accepted one by one: {}.",
                quoted_list(findings, "and")
            ),
            Self::SameUser { .. } => "A user always reaches their own rows.".into(),
            Self::NotAClientRole { .. } => {
                "The settings crewsnow_ops.anonymous_role and crewsnow_ops.user_role \
                 name the client roles."
                    .into()
            }
            Self::NotAUserId { type_, .. } => format!("User ids are of type {type_}."),
            Self::NotATable { .. } => {
                "Only tables store rows. crewsnow_ops.trace_access traces views.".into()
            }
            Self::InvalidRowKey { .. } => {
                "A key is a JSON object of column names and values that match exactly one row."
                    .into()
            }
            Self::MayNotSelect { columns, .. } => format!(
                "The answer tells whether the row exists and who owns it. So it takes SELECT on \
                 {}. crewsnow_ops.trace_access takes no privilege on tables.",
                columns.join(", ")
            ),
            Self::InvalidKeyOrRow { .. } => {
                "SELECT, UPDATE and DELETE need a key that matches one row; INSERT needs the new \
                 row. In UPDATE, members outside of the primary key are new values."
                    .into()
            }
            Self::UnknownCommand { .. } => {
                "The commands are SELECT, INSERT, UPDATE and DELETE.".into()
            }
            Self::NotARelation { .. } => "Only tables and views have rows.".into(),
            Self::Unreadable { .. } => return None,
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { table, .. } => format!("\\d+ {table}"),
            Self::NoReason { example }
            | Self::InvalidExpiry { example }
            | Self::SameUser { example }
            | Self::NotATable { example }
            | Self::InvalidRowKey { example, .. }
            | Self::InvalidKeyOrRow { example, .. }
            | Self::UnknownCommand { example, .. }
            | Self::NotARelation { example } => (*example).into(),
            Self::UnknownFinding { .. } | Self::NotReadable { .. } => {
                "SELECT finding, severity FROM crewsnow_ops.audit_rls();".into()
            }
            Self::NotAClientRole { .. } => "SHOW crewsnow_ops.user_role;".into(),
            Self::NotAUserId { example, .. } => example.clone(),
            Self::MayNotSelect { table, columns, role } => {
                format!("GRANT SELECT ({}) ON {table} TO {role};", columns.join(", "))
            }
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(RlsError);
from_server_failures!(RlsError);
