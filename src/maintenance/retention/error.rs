//! Errors of retention.

use crate::error::{SqlError, reportable};
use crate::maintenance::error::MaintenanceError;
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::xact::lock_holder::LockHolder;
use pgrx::PgSqlErrorCode;
use pgrx::spi::quote_literal;

/// A policy that is refused, or a run that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// SQLSTATE 55006
    #[error("retention of this database is being applied already{}", by(holder.as_ref()))]
    Running {
        /// The session that runs it; `None` if it is gone meanwhile.
        holder: Option<LockHolder>,
    },
    /// SQLSTATE 42704
    #[error("retention policy \"{}\" does not exist", .0.escape_debug())]
    UnknownPolicy(String),
    /// SQLSTATE 42P01
    #[error("table {} does not exist", .0.escape_debug())]
    UnknownTable(String),
    /// SQLSTATE 42809
    #[error("{table} {reason}")]
    UnfitTable {
        /// The table.
        table: String,
        /// The predicate of the sentence.
        reason: &'static str,
    },
    /// SQLSTATE 42703
    #[error("column {} of {table} does not exist", column.escape_debug())]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// SQLSTATE 42804
    #[error("column {column} of {table} is of type {found}, not a date or timestamp")]
    NoTime {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// SQLSTATE 22023
    #[error("{0} is not partitioned by ranges of that one column")]
    NotPartitioned(String),
    /// SQLSTATE 22023
    #[error("replacements must be an object with at least one column")]
    NoReplacements,
    /// SQLSTATE 22023
    #[error("column {} cannot be replaced: it {reason}", column.escape_debug())]
    UnfitColumn {
        /// The column.
        column: String,
        /// The predicate of the sentence.
        reason: String,
    },
    /// SQLSTATE 42804
    #[error("the replacement of column {} is no value of type {type_}", column.escape_debug())]
    UnfitValue {
        /// The column.
        column: String,
        /// Its type.
        type_: String,
    },
    /// SQLSTATE 42601, 42703, 42804 and others, as the server has it.
    #[error("the hold is not a boolean expression over a row of {table}")]
    InvalidHold {
        /// The table.
        table: String,
        /// The SQLSTATE of the server's error.
        code: PgSqlErrorCode,
        /// The server's message.
        message: String,
    },
    /// SQLSTATE 42501
    #[error("permission denied to define a policy as role \"{}\"", .0.escape_debug())]
    ForeignAuthor(String),
    /// The author is gone: the policy cannot be applied. SQLSTATE 42704
    #[error("its author \"{}\" does not exist", .0.escape_debug())]
    UnknownAuthor(String),
    /// SQLSTATE 22023
    #[error("{0} is not a step of a run that applies a policy to this table")]
    NotAStep(i32),
    /// An error of maintenance, with its own SQLSTATE.
    #[error(transparent)]
    Maintenance(#[from] MaintenanceError),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn by(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(String::new, |holder| format!(": process {} runs it", holder.pid))
}

impl SqlError for RetentionError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::Running { .. } => Code::ERRCODE_OBJECT_IN_USE,
            Self::UnknownPolicy(_) | Self::UnknownAuthor(_) => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::UnknownTable(_) => Code::ERRCODE_UNDEFINED_TABLE,
            Self::UnfitTable { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::UnknownColumn { .. } => Code::ERRCODE_UNDEFINED_COLUMN,
            Self::NoTime { .. } | Self::UnfitValue { .. } => Code::ERRCODE_DATATYPE_MISMATCH,
            Self::NotPartitioned(_)
            | Self::NoReplacements
            | Self::UnfitColumn { .. }
            | Self::NotAStep(_) => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::InvalidHold { code, .. } => *code,
            Self::ForeignAuthor(_) => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::Maintenance(error) => error.sqlstate(),
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        let text = match self {
            Self::Running { holder: None } => {
                "The other run has ended meanwhile. Nothing was done."
            }
            Self::Running { .. } => "One run at a time works on a database. Nothing was done.",
            Self::UnknownPolicy(_) => "Nothing was read.",
            Self::UnknownTable(_) => {
                "The name is read as in SQL, with its schema. Nothing was changed."
            }
            Self::UnfitTable { .. } => {
                "A policy treats an ordinary or partitioned table of the application. Nothing was \
                 changed."
            }
            Self::UnknownColumn { .. } => {
                "The name is read literally, without quotes. Nothing was changed."
            }
            Self::NoTime { .. } => {
                "The age of a row counts from a date, timestamp or timestamptz. Nothing was \
                 changed."
            }
            Self::NotPartitioned(_) => {
                "The range of a partition must prove that its rows have expired. Nothing was \
                 changed."
            }
            Self::NoReplacements => "Nothing was changed.",
            Self::UnfitColumn { .. } | Self::UnfitValue { .. } => {
                "Each row must accept its replacement. Nothing was changed."
            }
            Self::InvalidHold { message, .. } => {
                return Some(format!(
                    "{message}. Names are qualified, except those of pg_catalog and columns of \
                     the row. Nothing was changed."
                ));
            }
            Self::ForeignAuthor(_) => {
                "The SQL of a policy runs as its author, so only a member of that role can name \
                 it. Nothing was changed."
            }
            Self::UnknownAuthor(_) => "The policy stays, and is not applied.",
            Self::NotAStep(_) => "The step has ended, or its policy is gone. Nothing was changed.",
            Self::Maintenance(error) => return error.detail(),
            Self::Server(error) => return error.detail(),
        };
        Some(text.to_owned())
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Running { holder: None } => "SELECT run_gdpr_maintenance();",
            Self::Running { .. } => {
                "SELECT * FROM crewsnow_ops.retention_runs WHERE verdict = 'STARTED';"
            }
            Self::UnknownPolicy(_) => "SELECT name FROM crewsnow_ops.retention_policies;",
            Self::UnknownTable(_) | Self::UnfitTable { .. } => {
                "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'p');"
            }
            Self::UnknownColumn { table, .. } | Self::NoTime { table, .. } => {
                return Some(format!(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
                     WHERE attrelid = {}::regclass AND attnum > 0;",
                    quote_literal(table)
                ));
            }
            Self::NotPartitioned(_) => "Use the action delete.",
            Self::NoReplacements | Self::UnfitColumn { .. } | Self::UnfitValue { .. } => {
                "replacements = '{\"email\": null, \"name\": \"removed\"}'"
            }
            Self::InvalidHold { .. } => {
                "hold = 'EXISTS (SELECT FROM public.legal_hold AS h WHERE h.user_id = \
                 orders.user_id)'"
            }
            Self::ForeignAuthor(role) => {
                return Some(format!(
                    "GRANT {} TO CURRENT_USER; or leave out defined_by",
                    pgrx::spi::quote_identifier(role)
                ));
            }
            Self::UnknownAuthor(_) => {
                "UPDATE crewsnow_ops.retention_policies SET defined_by = current_user WHERE …;"
            }
            Self::NotAStep(_) => "SELECT run_gdpr_maintenance();",
            Self::Maintenance(error) => return error.hint(),
            Self::Server(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}

reportable!(RetentionError);
from_server_failures!(RetentionError);
