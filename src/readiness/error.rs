//! Errors of decisions.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::rls::error::RlsError;
use crate::telemetry::error::TelemetryError;
use pgrx::PgSqlErrorCode;
use pgrx::spi::{quote_identifier, quote_literal};

// Calls that work, for HINTs.
pub(super) const WAIVER_EXAMPLE: &str = "SELECT crewsnow_ops.waive_criterion('payments', \
    'Stripe is down, our side is healthy: INC-42', now() + interval '4 hours');";
pub(super) const FREEZE_EXAMPLE: &str = "SELECT crewsnow_ops.freeze_releases('new year', \
    '2026-12-30 00:00+00', '2027-01-02 00:00+00');";
pub(super) const APPROVE_EXAMPLE: &str =
    "SELECT crewsnow_ops.approve_waiver('7ad0e310-c2be-4807-be7c-3ae492be0185');";
pub(super) const CRITERION_EXAMPLE: &str = "SELECT crewsnow_ops.approve_criterion('payments');";
pub(super) const TEST_EXAMPLE: &str = "SELECT crewsnow_ops.register_e2e_test('first evening', \
    'e2e.first_evening()', 'service_role');";
pub(super) const EVIDENCE_EXAMPLE: &str = "SELECT crewsnow_ops.record_evidence('restore-test', \
    true, '{\"backup\": \"2026-11-22\"}', '7 days');";

/// An error of the functions and triggers of decisions.
#[derive(Debug, thiserror::Error)]
pub enum ReadinessError {
    /// SQLSTATE 42704
    #[error("{kind} \"{name}\" does not exist")]
    Unknown {
        /// The kind of object.
        kind: Kind,
        /// The requested name or id.
        name: String,
        /// Similar names, closest first.
        similar: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("gate \"{0}\" does not exist")]
    UnknownGate(String),
    /// SQLSTATE 22023
    #[error("a release name must have 1 to 200 characters, not {0}")]
    InvalidRelease(usize),
    /// SQLSTATE 22023
    #[error("{argument} must be a JSON object of at most 256 kB")]
    InvalidObject {
        /// The SQL name of the argument.
        argument: &'static str,
        /// The kind of value, or its size.
        seen: String,
    },
    /// SQLSTATE 22023
    #[error("p_valid_for must be positive and at most {fresh_for}")]
    InvalidValidity {
        /// The longest validity of evidence for this criterion.
        fresh_for: String,
    },
    /// SQLSTATE 22023
    #[error("cannot {action} without a reason")]
    NoReason {
        /// The refused action, a verb with its object.
        action: &'static str,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_expires_at must be in the future, at most 30 days from now")]
    InvalidEnd,
    /// SQLSTATE 22023
    #[error("a freeze must end in the future and after it starts")]
    InvalidFreeze,
    /// SQLSTATE 42501
    #[error("a waiver must be approved by another user than its author")]
    OwnWaiver(String),
    /// SQLSTATE 42501
    #[error("the present state of criterion \"{name}\" must be approved by another user")]
    OwnChange {
        /// The criterion.
        name: String,
        /// The users who changed it.
        authors: String,
    },
    /// SQLSTATE 42501
    #[error("cannot {action}: the call is not a statement that \"{user}\" typed")]
    NotTyped {
        /// The refused action, a verb with its object.
        action: &'static str,
        /// The session user.
        user: String,
        /// The statement to type.
        example: String,
    },
    /// SQLSTATE 55000
    #[error("criterion \"{0}\" is in its original state")]
    NotAltered(String),
    /// SQLSTATE 0A000
    #[error("criterion \"{0}\" is a blocker and cannot be removed by one user alone")]
    StillNeeded(String),
    /// SQLSTATE 22023
    #[error("criterion \"{0}\" does not run end-to-end tests")]
    RunsNoTests(String),
    /// SQLSTATE 42501
    #[error("\"{who}\" is not a member of role \"{role}\"")]
    NotAMember {
        /// The registering user or the function's owner.
        who: String,
        /// The role that the test runs as.
        role: String,
    },
    /// SQLSTATE 42809
    #[error("{function} cannot be an end-to-end test: {reason}")]
    NotATest {
        /// The function.
        function: String,
        /// The defect.
        reason: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_time_limit must be 1 millisecond to 10 minutes")]
    InvalidTimeLimit,
    /// SQLSTATE 0A000
    #[error("\"{key}\" in {table} belongs to the extension and cannot be removed")]
    BuiltIn {
        /// The table.
        table: String,
        /// The row.
        key: String,
    },
    /// SQLSTATE 42501
    #[error("crewsnow_ops.decisions is append-only")]
    DecisionsAreFinal,
    /// SQLSTATE XX001: a row that this extension did not write
    #[error("the inputs of decision {id} cannot be read: {reason}")]
    UnreadableInputs {
        /// The decision.
        id: String,
        /// The defect.
        reason: String,
    },
    /// An error of telemetry, with its own SQLSTATE.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An error of the row-level security audit, with its own SQLSTATE.
    #[error(transparent)]
    Rls(#[from] RlsError),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Objects that have a name or an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A row of crewsnow_ops.criteria.
    Criterion,
    /// A row of crewsnow_ops.e2e_tests.
    Test,
    /// A list of crewsnow_ops.checklist_items.
    Checklist,
    /// An open row of crewsnow_ops.waivers.
    Waiver,
    /// A row of crewsnow_ops.freezes that has not ended.
    Freeze,
    /// A row of crewsnow_ops.decisions.
    Decision,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Criterion => "criterion",
            Self::Test => "end-to-end test",
            Self::Checklist => "checklist",
            Self::Waiver => "open waiver",
            Self::Freeze => "freeze",
            Self::Decision => "decision",
        })
    }
}

impl SqlError for ReadinessError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::Unknown { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::OwnWaiver(_)
            | Self::OwnChange { .. }
            | Self::NotTyped { .. }
            | Self::NotAMember { .. }
            | Self::DecisionsAreFinal => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::NotATest { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::NotAltered(_) => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::BuiltIn { .. } | Self::StillNeeded(_) => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::UnreadableInputs { .. } => Code::ERRCODE_DATA_CORRUPTED,
            Self::UnknownGate(_)
            | Self::InvalidRelease(_)
            | Self::InvalidObject { .. }
            | Self::InvalidValidity { .. }
            | Self::NoReason { .. }
            | Self::InvalidEnd
            | Self::InvalidFreeze
            | Self::RunsNoTests(_)
            | Self::InvalidTimeLimit => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::Telemetry(error) => error.sqlstate(),
            Self::Rls(error) => error.sqlstate(),
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { similar, .. } => match similar.first() {
                None => "Nothing was changed.".into(),
                Some(first) => format!("Nothing was changed. The closest name is \"{first}\"."),
            },
            Self::UnknownGate(_) => "The gates are go_no_go and launch.".into(),
            Self::InvalidObject { seen, .. } => {
                format!("The value is {seen}. Nothing was changed.")
            }
            Self::InvalidValidity { .. } => "The limit is fresh_for of the criterion in \
                                             crewsnow_ops.criteria. Nothing was recorded."
                .into(),
            Self::NoReason { .. } => {
                "Every affected decision shows the reason. Nothing was changed.".into()
            }
            Self::InvalidEnd => "A waiver must expire. Nothing was changed.".into(),
            Self::InvalidFreeze => "Nothing was changed.".into(),
            Self::OwnWaiver(author) => {
                format!("The author is \"{author}\". Nothing was changed.")
            }
            Self::OwnChange { authors, .. } => {
                format!("Changed by: {authors}. Nothing was changed.")
            }
            Self::NotTyped { .. } => {
                "A function, view, rule, trigger or prepared statement could act in the name of a \
                 user who does not know. Nothing was changed."
                    .into()
            }
            Self::NotAltered(_) => "There is nothing to approve.".into(),
            Self::StillNeeded(_) => {
                "Switch it off, and let another admin approve that first. Nothing was changed."
                    .into()
            }
            Self::RunsNoTests(_) => {
                "Its measures do not contain \"tests\". Nothing was changed.".into()
            }
            Self::NotAMember { .. } => {
                "A test may run only as roles that the registering user and the function's owner \
                 are members of."
                    .into()
            }
            Self::NotATest { .. } => {
                "A test is a function without arguments. It returns void, boolean, text, \
                 or rows with columns step and statement."
                    .into()
            }
            Self::BuiltIn { .. } => {
                "A restored dump would bring the row back. Nothing was changed.".into()
            }
            Self::DecisionsAreFinal => {
                "No role can change or remove rows, the owner included.".into()
            }
            Self::InvalidRelease(_) | Self::InvalidTimeLimit | Self::UnreadableInputs { .. } => {
                return None;
            }
            Self::Telemetry(error) => return error.detail(),
            Self::Rls(error) => return error.detail(),
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { kind, .. } => match kind {
                Kind::Criterion => "SELECT name, description FROM crewsnow_ops.criteria;",
                Kind::Test => "SELECT name, function FROM crewsnow_ops.e2e_tests;",
                Kind::Checklist => "SELECT DISTINCT checklist FROM crewsnow_ops.checklist_items;",
                Kind::Waiver => {
                    "SELECT id, criterion, reason, expires_at FROM crewsnow_ops.waivers \
                     WHERE revoked_at IS NULL;"
                }
                Kind::Freeze => {
                    "SELECT id, starts_at, ends_at, reason FROM crewsnow_ops.freezes \
                     WHERE ends_at > now();"
                }
                Kind::Decision => {
                    "SELECT id, decided_at, decision FROM crewsnow_ops.decisions \
                     ORDER BY decided_at DESC LIMIT 10;"
                }
            }
            .into(),
            Self::UnknownGate(_) | Self::InvalidRelease(_) => {
                "SELECT * FROM crewsnow_ops.decide('go_no_go', 'v1.4.0');".into()
            }
            Self::InvalidObject { argument: "p_claims", .. }
            | Self::InvalidTimeLimit
            | Self::NotATest { .. } => TEST_EXAMPLE.into(),
            Self::InvalidObject { .. } | Self::InvalidValidity { .. } => EVIDENCE_EXAMPLE.into(),
            Self::NoReason { example, .. } => (*example).into(),
            Self::InvalidEnd => WAIVER_EXAMPLE.into(),
            Self::NotTyped { example, .. } => example.clone(),
            Self::OwnChange { name, .. } => format!(
                "Ask another admin: SELECT crewsnow_ops.approve_criterion({});",
                quote_literal(name)
            ),
            Self::NotAltered(_) => {
                "SELECT name, original, changed_by_users, approved_by FROM crewsnow_ops.criteria \
                 WHERE original IS NOT NULL;"
                    .into()
            }
            Self::StillNeeded(name) => format!(
                "UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = {};",
                quote_literal(name)
            ),
            Self::InvalidFreeze => FREEZE_EXAMPLE.into(),
            Self::OwnWaiver(_) => "Ask another user to list the waivers and approve this one: \
                 SELECT id, criterion, reason FROM crewsnow_ops.waivers WHERE approved_at IS NULL;"
                .into(),
            Self::RunsNoTests(name) => format!(
                "UPDATE crewsnow_ops.criteria SET measures = measures || '{{tests}}' \
                 WHERE name = {};",
                quote_literal(name)
            ),
            Self::NotAMember { who, role } => {
                format!("GRANT {} TO {};", quote_identifier(role), quote_identifier(who))
            }
            Self::BuiltIn { table, key } => match table.as_str() {
                "criteria" => {
                    format!(
                        "UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = {};",
                        quote_literal(key)
                    )
                }
                "launch_plan" => format!(
                    "UPDATE crewsnow_ops.launch_plan SET is_enabled = NULL, rollout_steps = NULL \
                     WHERE flag_key = {};",
                    quote_literal(key)
                ),
                _ => "INSERT INTO crewsnow_ops.checklist_items (checklist, item, position, task) \
                      VALUES ('post-incident', 'invoices', 13, 'Check the invoices of the time.');"
                    .into(),
            },
            Self::DecisionsAreFinal => {
                "To decide again: SELECT * FROM make_go_no_go_decision();".into()
            }
            Self::UnreadableInputs { .. } => return None,
            Self::Telemetry(error) => return error.hint(),
            Self::Rls(error) => return error.hint(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(ReadinessError);
from_server_failures!(ReadinessError);
