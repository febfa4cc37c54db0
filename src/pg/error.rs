//! Errors of the server's interface, common to all domains.

use crate::error::{SqlError, reportable};
use crate::pg::xact::lock_holder::{self, LockHolder};
use crate::pg::xact::lock_wait::LockTimeout;
use pgrx::PgSqlErrorCode;

/// A call that fails in this transaction or on this server, or for arguments that no domain owns.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// SQLSTATE 22004
    #[error("{argument} must not be NULL")]
    NullArgument {
        /// The SQL name of the argument.
        argument: &'static str,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 25006
    #[error("cannot {action} on a standby")]
    OnStandby {
        /// The refused action, a verb with its object.
        action: &'static str,
    },
    /// SQLSTATE 25006
    #[error("cannot {action} in a read-only transaction")]
    ReadOnlyTransaction {
        /// The refused action.
        action: &'static str,
    },
    /// SQLSTATE 25001
    #[error("cannot {action} in a REPEATABLE READ or SERIALIZABLE transaction")]
    OldSnapshot {
        /// The refused action.
        action: &'static str,
    },
    /// SQLSTATE 25001
    #[error("cannot {action} in a transaction block")]
    InTransactionBlock {
        /// The refused action.
        action: &'static str,
    },
    /// SQLSTATE 0A000: without the extension the target schema is unknown
    #[error("extension crewsnow_ops is not installed in this database")]
    NotInstalled,
    /// SQLSTATE 55000: the server hands out a snapshot only while it runs a statement
    #[error("no snapshot is active")]
    NoSnapshot,
    /// SQLSTATE 53200
    #[error("out of memory")]
    OutOfMemory,
    /// SQLSTATE 22023: jsonb holds numbers and depths that the parser does not
    #[error("{0} cannot be read")]
    UnreadableJson(&'static str),
    /// SQLSTATE 22023
    #[error("{argument} must have at most {limit} bytes")]
    TooLong {
        /// The SQL name of the argument.
        argument: &'static str,
        /// The limit.
        limit: usize,
        /// The length of the value, in bytes.
        length: usize,
    },
    /// SQLSTATE 55P03: another session held a lock for longer than an operator should wait
    #[error("could not lock {what} within {} s{}", seconds(*limit), by(holder.as_ref()))]
    LockTimeout {
        /// The locked thing, such as `feature flag "messaging"`.
        what: String,
        /// The limit, in milliseconds.
        limit: i32,
        /// The session in the way; `None` if it is gone meanwhile.
        holder: Option<LockHolder>,
    },
    /// SQLSTATE 42704
    #[error("role \"{0}\" does not exist")]
    UnknownRole(String),
    /// SQLSTATE 42501: the server itself checks only the function that SQL calls
    #[error("permission denied for function {0}")]
    MayNotExecute(&'static str),
    /// SQLSTATE 0A000: a superuser would run the code while the statement is only analysed
    #[error(
        "a literal of a domain whose constraint runs code is not accepted: \
         cast a text instead, such as '{{a}}'::text::words[]"
    )]
    CodeInLiteral,
    /// SQLSTATE 42804: a query does not fit the declaration of its function
    #[error("query returns other column types than its function declares")]
    ColumnTypes {
        /// Type oids of the declaration.
        declared: Vec<pgrx::pg_sys::Oid>,
        /// Type oids of the query.
        returned: Vec<pgrx::pg_sys::Oid>,
    },
    /// SQLSTATE 39P01
    #[error("{0} can only be called by its trigger")]
    NotATrigger(&'static str),
    /// SQLSTATE 38000: SPI failed without raising an error of its own
    #[error(transparent)]
    Spi(#[from] pgrx::spi::Error),
    /// SQLSTATE 39P01: the trigger data lack a part that the trigger needs
    #[error(transparent)]
    Trigger(#[from] pgrx::PgTriggerError),
    /// SQLSTATE 42804: a row lacks an expected column
    #[error(transparent)]
    RowShape(#[from] pgrx::heap_tuple::PgHeapTupleError),
    /// SQLSTATE 42804: a value is of another type than expected
    #[error(transparent)]
    ValueType(#[from] pgrx::datum::TryFromDatumError),
}

/// Milliseconds as seconds: 2, or 0.1.
fn seconds(milliseconds: i32) -> f64 {
    f64::from(milliseconds) / 1_000.0
}

fn by(holder: Option<&LockHolder>) -> String {
    match holder {
        None => String::new(),
        Some(LockHolder { pid: 0, .. }) => ": a prepared transaction holds it".into(),
        Some(holder) => format!(": process {} holds it", holder.pid),
    }
}

impl ServerError {
    /// The error of a wait for `what` that took too long.
    pub fn locked(what: impl Into<String>, timeout: LockTimeout) -> Self {
        Self::LockTimeout { what: what.into(), limit: timeout.limit, holder: timeout.holder }
    }
}

impl SqlError for ServerError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::NullArgument { .. } => Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Self::OnStandby { .. } | Self::ReadOnlyTransaction { .. } => {
                Code::ERRCODE_READ_ONLY_SQL_TRANSACTION
            }
            Self::OldSnapshot { .. } | Self::InTransactionBlock { .. } => {
                Code::ERRCODE_ACTIVE_SQL_TRANSACTION
            }
            Self::NotInstalled | Self::CodeInLiteral => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::NoSnapshot => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::OutOfMemory => Code::ERRCODE_OUT_OF_MEMORY,
            Self::UnreadableJson(_) | Self::TooLong { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::LockTimeout { .. } => Code::ERRCODE_LOCK_NOT_AVAILABLE,
            Self::UnknownRole(_) => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::NotATrigger(_) | Self::Trigger(_) => {
                Code::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED
            }
            Self::Spi(_) => Code::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
            Self::MayNotExecute(_) => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::RowShape(_) | Self::ValueType(_) | Self::ColumnTypes { .. } => {
                Code::ERRCODE_DATATYPE_MISMATCH
            }
        }
    }

    fn detail(&self) -> Option<String> {
        let text = match self {
            Self::OnStandby { .. } => "The server is in recovery and accepts no writes.",
            Self::ReadOnlyTransaction { .. } => "transaction_read_only is on. Nothing was changed.",
            Self::OldSnapshot { .. } => {
                "The transaction does not see changes that were committed after it began. \
                 Nothing was changed."
            }
            Self::InTransactionBlock { .. } => {
                "The transaction would hold the locks until it ends. Nothing was changed."
            }
            Self::OutOfMemory => "The system refuses more memory. Nothing was changed.",
            Self::UnreadableJson(_) => {
                "It has a number beyond 1e308 or more than 127 levels. Nothing was changed."
            }
            Self::TooLong { length, .. } => {
                return Some(format!("The value has {length} bytes. Nothing was changed."));
            }
            Self::LockTimeout { holder, .. } => return Some(lock_holder::detail(holder.as_ref())),
            Self::ColumnTypes { declared, returned } => {
                let names = |types: &[pgrx::pg_sys::Oid]| {
                    types.iter().map(|oid| oid.to_u32().to_string()).collect::<Vec<_>>().join(", ")
                };
                return Some(format!(
                    "Declared type oids: {}. Returned type oids: {}.",
                    names(declared),
                    names(returned)
                ));
            }
            Self::CodeInLiteral => {
                "The server checks such a literal before the statement runs, and so not as the \
                 role that runs it. Nothing was changed."
            }
            Self::NotATrigger(_) => "Only a trigger passes the rows that the function works on.",
            Self::NullArgument { .. }
            | Self::NotInstalled
            | Self::NoSnapshot
            | Self::UnknownRole(_)
            | Self::MayNotExecute(_)
            | Self::Spi(_)
            | Self::Trigger(_)
            | Self::RowShape(_)
            | Self::ValueType(_) => return None,
        };
        Some(text.into())
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NullArgument { example, .. } => example,
            Self::OnStandby { .. } => {
                "Connect to the primary, where SELECT pg_is_in_recovery() returns f."
            }
            Self::ReadOnlyTransaction { .. } => {
                "ROLLBACK; SET default_transaction_read_only = off;"
            }
            Self::OldSnapshot { .. } => "ROLLBACK; BEGIN ISOLATION LEVEL READ COMMITTED;",
            Self::InTransactionBlock { .. } => "COMMIT; then call the function again.",
            Self::LockTimeout { holder, .. } => return Some(lock_holder::hint(holder.as_ref())),
            Self::NotInstalled => "CREATE EXTENSION crewsnow_ops;",
            Self::UnknownRole(_) => "CREATE ROLE oncall LOGIN; or list the roles with \\du",
            Self::MayNotExecute(_) => "SELECT crewsnow_ops.grant_access('oncall', 'operator');",
            Self::UnreadableJson(_) => {
                "Write the number as a string: SELECT '{\"rows\": \"1e400\"}'::jsonb;"
            }
            Self::CodeInLiteral => "SELECT '{a}'::text::words[];",
            Self::TooLong { limit, .. } => {
                return Some(format!("Shorten it: SELECT left('…', {limit});"));
            }
            Self::NotATrigger(name) => {
                return Some(format!(
                    "SELECT tgrelid::regclass, tgname FROM pg_trigger \
                     WHERE tgfoid = 'crewsnow_ops.{name}'::regproc;"
                ));
            }
            Self::NoSnapshot
            | Self::OutOfMemory
            | Self::ColumnTypes { .. }
            | Self::Spi(_)
            | Self::Trigger(_)
            | Self::RowShape(_)
            | Self::ValueType(_) => return None,
        };
        Some(text.into())
    }
}

reportable!(ServerError);

/// Lets `?` turn failures of pgrx into a domain's error, by way of its variant `Server`.
macro_rules! from_server_failures {
    ($error:ty) => {
        $crate::pg::error::from_server_failures!(
            $error:
            pgrx::spi::Error,
            pgrx::PgTriggerError,
            pgrx::heap_tuple::PgHeapTupleError,
            pgrx::datum::TryFromDatumError
        );
    };
    ($error:ty: $($failure:ty),*) => {
        $(impl From<$failure> for $error {
            fn from(failure: $failure) -> Self {
                Self::Server(failure.into())
            }
        })*
    };
}
pub(crate) use from_server_failures;
