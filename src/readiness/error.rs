//! What users of decisions can get wrong.

use pgrx::PgSqlErrorCode;
use pgrx::spi::{quote_identifier, quote_literal};

/// An error with its own SQLSTATE, DETAIL and HINT.
#[derive(Debug, thiserror::Error)]
pub enum ReadinessError {
    /// SQLSTATE 42704
    #[error("{kind} \"{name}\" does not exist")]
    Unknown {
        /// What was looked for.
        kind: Kind,
        /// Under which name.
        name: String,
        /// Names like it, the closest first.
        near: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("decision \"{0}\" does not exist")]
    UnknownGate(String),
    /// SQLSTATE 22023
    #[error("a release has 1 to 200 characters, this one has {0}")]
    InvalidRelease(usize),
    /// SQLSTATE 22023
    #[error("{argument} must be a JSON object of at most 256 kB")]
    InvalidObject {
        /// The SQL name of the argument.
        argument: &'static str,
        /// What it is instead.
        seen: String,
    },
    /// SQLSTATE 22023
    #[error("p_valid_for must be positive and no longer than {fresh_for}")]
    InvalidValidity {
        /// How long evidence for this criterion counts.
        fresh_for: String,
    },
    /// SQLSTATE 22023
    #[error("a reason is needed to {what}")]
    NoReason {
        /// What was attempted.
        what: &'static str,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_expires_at must lie within 30 days from now")]
    InvalidEnd,
    /// SQLSTATE 22023
    #[error("a freeze must end in the future, and after it begins")]
    InvalidFreeze,
    /// SQLSTATE 42501
    #[error("a waiver is approved by somebody else than who asked for it")]
    OwnWaiver(String),
    /// SQLSTATE 42501
    #[error("waivers are asked for and approved in person")]
    NotInPerson(String),
    /// SQLSTATE 22023
    #[error("criterion \"{0}\" does not run tests")]
    RunsNoTests(String),
    /// SQLSTATE 42501
    #[error("\"{who}\" is not a member of role \"{role}\"")]
    NotAMember {
        /// Who would act as it.
        who: String,
        /// The role.
        role: String,
    },
    /// SQLSTATE 42809
    #[error("{function} cannot be a test: {why}")]
    NotATest {
        /// The function.
        function: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// SQLSTATE 22023
    #[error("p_time_limit must be 1 millisecond to 10 minutes")]
    InvalidTimeLimit,
    /// SQLSTATE 0A000
    #[error("\"{key}\" in {table} came with the extension and stays")]
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
    #[error("the inputs of decision {id} cannot be read: {why}")]
    UnreadableInputs {
        /// The decision.
        id: String,
        /// What is wrong with them.
        why: String,
    },
}

/// What has names or ids.
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
            Self::Test => "test",
            Self::Checklist => "checklist",
            Self::Waiver => "open waiver",
            Self::Freeze => "freeze",
            Self::Decision => "decision",
        })
    }
}

impl ReadinessError {
    /// The SQLSTATE.
    pub fn code(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::Unknown { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::OwnWaiver(_) | Self::NotInPerson(_) | Self::NotAMember { .. } | Self::DecisionsAreFinal => {
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE
            }
            Self::NotATest { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::BuiltIn { .. } => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::UnreadableInputs { .. } => Code::ERRCODE_DATA_CORRUPTED,
            _ => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        }
    }

    /// What was seen.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { near, .. } => match near.split_first() {
                None => "Nothing was changed.".into(),
                Some((first, _)) => format!("Nothing was changed. There is \"{first}\"."),
            },
            Self::UnknownGate(_) => "There are go_no_go and launch.".into(),
            Self::InvalidObject { seen, .. } => format!("It is {seen}. Nothing was changed."),
            Self::InvalidValidity { .. } => {
                "That is fresh_for of the criterion in crewsnow_ops.criteria. Nothing was recorded.".into()
            }
            Self::NoReason { .. } => "It is shown in every decision that it touches. Nothing was changed.".into(),
            Self::InvalidEnd => "Nothing is waived for ever. Nothing was changed.".into(),
            Self::InvalidFreeze => "Nothing was changed.".into(),
            Self::OwnWaiver(by) => format!("\"{by}\" asked for it. Nothing was changed."),
            Self::NotInPerson(who) => {
                format!("\"{who}\" has logged in, and a SECURITY DEFINER function does it for them. Nothing was changed.")
            }
            Self::RunsNoTests(_) => "Its measures lack \"tests\". Nothing was changed.".into(),
            Self::NotAMember { .. } => {
                "A test runs as roles that whoever registers it, and the function's owner, could act as by themselves."
                    .into()
            }
            Self::NotATest { .. } => {
                "A test is a function without arguments that returns void, boolean, text, or rows with columns step and statement."
                    .into()
            }
            Self::BuiltIn { .. } => "Otherwise a restored dump would bring it back. Nothing was changed.".into(),
            Self::DecisionsAreFinal => "Rows are neither changed nor removed, whoever asks.".into(),
            _ => return None,
        })
    }

    /// What to type.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { kind, .. } => match kind {
                Kind::Criterion => "SELECT name, description FROM crewsnow_ops.criteria;",
                Kind::Test => "SELECT name, function FROM crewsnow_ops.e2e_tests;",
                Kind::Checklist => "SELECT DISTINCT checklist FROM crewsnow_ops.checklist_items;",
                Kind::Waiver => {
                    "SELECT id, criterion, reason, expires_at FROM crewsnow_ops.waivers WHERE revoked_at IS NULL;"
                }
                Kind::Freeze => "SELECT id, starts_at, ends_at, reason FROM crewsnow_ops.freezes WHERE ends_at > now();",
                Kind::Decision => {
                    "SELECT id, decided_at, decision FROM crewsnow_ops.decisions ORDER BY decided_at DESC LIMIT 10;"
                }
            }
            .into(),
            Self::UnknownGate(_) | Self::InvalidRelease(_) => {
                "SELECT * FROM crewsnow_ops.decide('go_no_go', 'v1.4.0');".into()
            }
            Self::InvalidObject { argument: "p_claims", .. } | Self::InvalidTimeLimit | Self::NotATest { .. } => {
                super::e2e_registry::EXAMPLE.into()
            }
            Self::InvalidObject { .. } | Self::InvalidValidity { .. } => super::evidence::EXAMPLE.into(),
            Self::NoReason { example, .. } => (*example).into(),
            Self::InvalidEnd => super::waivers::EXAMPLE.into(),
            Self::InvalidFreeze => super::waivers::FREEZE_EXAMPLE.into(),
            Self::OwnWaiver(_) => "Somebody else: SELECT id, criterion, reason FROM crewsnow_ops.waivers WHERE approved_at IS NULL;".into(),
            Self::NotInPerson(_) => super::waivers::EXAMPLE.into(),
            Self::RunsNoTests(name) => format!(
                "UPDATE crewsnow_ops.criteria SET measures = measures || '{{tests}}' WHERE name = {};",
                quote_literal(name)
            ),
            Self::NotAMember { who, role } => {
                format!("GRANT {} TO {};", quote_identifier(role), quote_identifier(who))
            }
            Self::BuiltIn { table, key } => match table.as_str() {
                "criteria" => format!("UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = {};", quote_literal(key)),
                "launch_plan" => format!(
                    "UPDATE crewsnow_ops.launch_plan SET is_enabled = NULL, rollout_steps = NULL WHERE flag_key = {};",
                    quote_literal(key)
                ),
                _ => "INSERT INTO crewsnow_ops.checklist_items (checklist, item, position, task) VALUES ('post-incident', 'invoices', 13, 'Invoices of the time were checked.');".into(),
            },
            Self::DecisionsAreFinal => "Decide again: SELECT * FROM make_go_no_go_decision();".into(),
            _ => return None,
        })
    }
}
