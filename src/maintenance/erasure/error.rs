//! Errors of erasures.

use super::objection::Objection;
use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::xact::sec_context;
use pgrx::PgSqlErrorCode;
use pgrx::spi::{quote_identifier, quote_literal};

/// An erasure, its rule or its ledger that cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// SQLSTATE 42P01
    #[error("crewsnow_ops.users_table does not name a table with a primary key of one column")]
    NoUsersTable(String),
    /// SQLSTATE 22023
    #[error("p_user_id is not of type {0}")]
    InvalidId(String),
    /// SQLSTATE 22023
    #[error("cannot request an erasure without a reason")]
    NoReason,
    /// SQLSTATE 55000
    #[error("an erasure of this person is requested already")]
    RequestIsOpen(String),
    /// SQLSTATE 42704
    #[error("request of erasure \"{0}\" does not exist")]
    UnknownRequest(String),
    /// SQLSTATE 55000
    #[error("erasure {0} was executed already")]
    Executed(String),
    /// SQLSTATE 55000
    #[error("erasure {0} is not executed yet")]
    NotExecuted(String),
    /// SQLSTATE 22023
    #[error("p_user_id is not the person of this erasure")]
    OtherPerson,
    /// SQLSTATE 55000
    #[error("the person must not be erased: {detail}")]
    Held {
        /// The hold.
        hold: String,
        /// A sentence without a period.
        detail: String,
    },
    /// SQLSTATE 42501
    #[error("permission denied for table {table}")]
    MayNot {
        /// The missing privilege.
        privilege: &'static str,
        /// The table, quoted and qualified.
        table: String,
    },
    /// SQLSTATE 55000
    #[error("the erasure is incomplete at {}: {}", objection.object, objection.detail)]
    Refused {
        /// The first objection.
        objection: Objection,
        /// The number of further ones.
        others: usize,
    },
    /// SQLSTATE 55000
    #[error("{rows} rows of {table} are still there: a trigger keeps them")]
    Kept {
        /// The table.
        table: String,
        /// The number of rows.
        rows: i64,
    },
    /// SQLSTATE 55000
    #[error("{rows} rows of {child} still reference rows of {parent} that go")]
    StillReferenced {
        /// The referencing table.
        child: String,
        /// The referenced table.
        parent: String,
        /// The foreign key, quoted.
        foreign_key: String,
        /// The number of rows.
        rows: i64,
    },
    /// The SQLSTATE of the failed statement
    #[error("a statement on {table} failed: {message}")]
    Failed {
        /// The table.
        table: String,
        /// The SQLSTATE.
        code: PgSqlErrorCode,
        /// The message without values of rows.
        message: String,
    },
    /// SQLSTATE 42P01: dropped meanwhile
    #[error("the table with oid {0} does not exist any more")]
    TableIsGone(u32),
    /// SQLSTATE 22023
    #[error("p_ledger is not a list of exported erasures")]
    InvalidLedger(String),
    /// SQLSTATE 42501
    #[error("the ledger of erasures is append-only")]
    RecordsAreFinal,
    /// SQLSTATE 42P01
    #[error("table \"{0}\" does not exist")]
    UnknownTable(String),
    /// SQLSTATE 42703
    #[error("column \"{column}\" of {table} does not exist")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// SQLSTATE 22023
    #[error("replacements for {0} must be an object of texts and nulls")]
    InvalidReplacements(String),
    /// SQLSTATE 22023
    #[error("column \"{column}\" is the primary key of {table} and cannot be replaced")]
    KeyIsReplaced {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// SQLSTATE 42804
    #[error("the replacement of column \"{column}\" is not of type {type_name}")]
    InvalidValue {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type of the column.
        type_name: String,
    },
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// The current user, quoted.
fn own_name() -> String {
    quote_identifier(sec_context::current_user())
}

/// Calls that work, for HINTs.
pub(super) const EXAMPLE: &str = "SELECT crewsnow_ops.request_erasure('USER-ID', 'ticket 4711');";
pub(super) const PLAN_EXAMPLE: &str = "SELECT * FROM crewsnow_ops.plan_erasure('REQUEST');";

const NOTHING: &str = "Nothing was erased.";
const RULE: &str = "INSERT INTO crewsnow_ops.erasure_rules (target, owner_column, action, \
    replacements, legal_basis) VALUES ('public.invoices', 'user_id', 'anonymise', \
    '{\"user_id\": null}', 'tax law');";
const LEDGER: &str = "To make one: SELECT jsonb_agg(e) FROM crewsnow_ops.export_erasures() AS e;";
const REQUESTS: &str = "SELECT id, requested_at, executed_at FROM crewsnow_ops.erasure_requests;";

impl SqlError for ErasureError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::NoUsersTable(_) | Self::TableIsGone(_) | Self::UnknownTable(_) => {
                Code::ERRCODE_UNDEFINED_TABLE
            }
            Self::InvalidId(_)
            | Self::NoReason
            | Self::OtherPerson
            | Self::InvalidLedger(_)
            | Self::InvalidReplacements(_)
            | Self::KeyIsReplaced { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::RequestIsOpen(_)
            | Self::Executed(_)
            | Self::NotExecuted(_)
            | Self::Held { .. }
            | Self::Refused { .. }
            | Self::Kept { .. }
            | Self::StillReferenced { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::UnknownRequest(_) => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::MayNot { .. } | Self::RecordsAreFinal => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::Failed { code, .. } => *code,
            Self::UnknownColumn { .. } => Code::ERRCODE_UNDEFINED_COLUMN,
            Self::InvalidValue { .. } => Code::ERRCODE_DATATYPE_MISMATCH,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NoUsersTable(name) => {
                format!("The setting is \"{name}\". Foreign keys are followed from it. {NOTHING}")
            }
            Self::InvalidId(_) => "It is compared with the key of the accounts.".into(),
            Self::NoReason => "The ledger shows the reason for ever.".into(),
            Self::RequestIsOpen(request) => format!("The open request is {request}."),
            Self::UnknownRequest(_) | Self::TableIsGone(_) | Self::OtherPerson => NOTHING.into(),
            Self::Executed(_) => "The ledger holds only its hash.".into(),
            Self::NotExecuted(_) => "Its person is still there.".into(),
            Self::Held { .. } => NOTHING.into(),
            Self::MayNot { privilege, .. } => {
                format!("The erasure needs {privilege} on it. {NOTHING}")
            }
            Self::Refused { objection, others } => {
                let more = match others {
                    0 => String::new(),
                    others => format!(" The plan has {others} more objections."),
                };
                format!("Rows: {}.{more} {NOTHING}", objection.rows)
            }
            Self::Kept { .. } => {
                format!("The plan deletes or overwrites them. {NOTHING}")
            }
            Self::StillReferenced { foreign_key, .. } => {
                format!("Foreign key {foreign_key} would fail or cascade to them. {NOTHING}")
            }
            Self::Failed { .. } => NOTHING.into(),
            Self::InvalidLedger(reason) => format!("{reason}. {NOTHING}"),
            Self::RecordsAreFinal => {
                "No role can change or remove rows, the owner included.".into()
            }
            Self::UnknownTable(_) => {
                "It must be an ordinary or partitioned table of the application.".into()
            }
            Self::UnknownColumn { .. } | Self::InvalidReplacements(_) => {
                "Nothing was changed.".into()
            }
            Self::KeyIsReplaced { .. } => "Rows are found again by their key.".into(),
            Self::InvalidValue { .. } => {
                "Values are texts, cast to the type of their column.".into()
            }
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoUsersTable(_) => {
                "As superuser: ALTER DATABASE … SET crewsnow_ops.users_table = 'public.users';"
                    .into()
            }
            Self::InvalidId(_) | Self::NoReason => EXAMPLE.into(),
            Self::RequestIsOpen(request) => {
                format!("SELECT * FROM crewsnow_ops.plan_erasure({});", quote_literal(request))
            }
            Self::UnknownRequest(_) | Self::OtherPerson => REQUESTS.into(),
            Self::Executed(request) => {
                format!("SELECT * FROM crewsnow_ops.prove_erasure({});", quote_literal(request))
            }
            Self::NotExecuted(request) => {
                format!("SELECT crewsnow_ops.execute_erasure({});", quote_literal(request))
            }
            Self::Held { hold, .. } => format!(
                "UPDATE crewsnow_ops.legal_holds SET released_at = now() WHERE id = {};",
                quote_literal(hold)
            ),
            Self::MayNot { privilege, table } => {
                format!("GRANT {privilege} ON {table} TO {};", own_name())
            }
            Self::Refused { objection, .. } => objection.command.clone(),
            Self::Kept { table, .. } => format!(
                "SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE NOT tgisinternal AND \
                 tgrelid = {}::regclass;",
                quote_literal(table)
            ),
            Self::StillReferenced { .. } | Self::TableIsGone(_) => PLAN_EXAMPLE.into(),
            Self::Failed { .. } => return None,
            Self::InvalidLedger(_) => LEDGER.into(),
            Self::RecordsAreFinal => REQUESTS.into(),
            Self::UnknownTable(_)
            | Self::UnknownColumn { .. }
            | Self::InvalidReplacements(_)
            | Self::KeyIsReplaced { .. }
            | Self::InvalidValue { .. } => RULE.into(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(ErasureError);
from_server_failures!(ErasureError);
