//! Errors of alerts.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::time::instant::Instant;
use pgrx::PgSqlErrorCode;
use pgrx::spi::quote_literal;

const RULES: &str = "SELECT name, description FROM crewsnow_ops.alert_rules;";
const ALERTS: &str = "SELECT * FROM crewsnow_ops.alerts;";

/// A rule or an act that is refused.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// SQLSTATE 42704
    #[error("alert rule \"{}\" does not exist", name.escape_debug())]
    UnknownRule {
        /// The name.
        name: String,
        /// Names that are close.
        similar: Vec<String>,
    },
    /// SQLSTATE 42710
    #[error("alert rule \"{}\" exists already", .0.escape_debug())]
    RuleExists(String),
    /// SQLSTATE 42704
    #[error("\"{}\" fits no alert rule and no group", matcher.escape_debug())]
    UnknownMatcher {
        /// The matcher.
        matcher: String,
        /// Names that are close.
        similar: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("the end must be in the future")]
    EndInPast {
        /// The server's time.
        now: Instant,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("the end must be at most {hours} hours away")]
    EndTooFar {
        /// The limit.
        hours: i64,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 22023
    #[error("a silence needs a reason")]
    EmptyReason,
    /// SQLSTATE 42704
    #[error("silence {0} does not exist")]
    UnknownSilence(i64),
    /// SQLSTATE 55000
    #[error("silence {0} has ended already")]
    SilenceEnded(i64),
    /// SQLSTATE 42704
    #[error("no such alert of rule \"{}\" fires", .0.escape_debug())]
    NothingFires(String),
    /// SQLSTATE 22023
    #[error("a simulation lasts at most 1 hour")]
    SimulationLength,
    /// SQLSTATE 55000
    #[error("alert rule \"{}\" is disabled", .0.escape_debug())]
    RuleDisabled(String),
    /// SQLSTATE 22023
    #[error("a window has 1 minute to 31 days")]
    WindowLength,
    /// SQLSTATE 42704
    #[error("health check \"{}\" does not exist", check.escape_debug())]
    UnknownCheck {
        /// The check.
        check: String,
        /// Names like it.
        similar: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("the end must be after the start, and at most {evaluations} evaluations away")]
    ReplayPeriod {
        /// The limit.
        evaluations: i64,
    },
    /// SQLSTATE 38000
    #[error("the query of alert rule \"{}\" failed: {reason}", rule.escape_debug())]
    ReplayFailed {
        /// The rule.
        rule: String,
        /// The reason.
        reason: String,
    },
    /// SQLSTATE 0A000
    #[error("alert rule \"{}\" reads the present and cannot be replayed", .0.escape_debug())]
    ReadsPresent(String),
    /// SQLSTATE 42601, 42703, 42P01 and others, as the server has it.
    #[error("the query cannot be used: {message}")]
    InvalidQuery {
        /// The SQLSTATE of the server's error.
        code: PgSqlErrorCode,
        /// The server's message.
        message: String,
        /// The place of the fault, a sentence; empty if it is not known.
        place: String,
    },
    /// SQLSTATE 42804
    #[error("the query must return subject, value and message{}, not {found}", wanted(*counts))]
    QueryShape {
        /// The columns of the query.
        found: String,
        /// Whether the rule has a minimum of samples.
        counts: bool,
    },
    /// SQLSTATE 42601
    #[error("the query must be one SELECT")]
    NotOneQuery,
    /// SQLSTATE 0A000
    #[error("the query reads temporary table {0}, which no other session has")]
    TemporaryTable(String),
    /// SQLSTATE 42501
    #[error("the query uses objects of several owners: {0}")]
    SeveralOwners(String),
    /// SQLSTATE 0A000
    #[error("the query cannot be used: it locks rows")]
    LocksRows,
    /// SQLSTATE 55000
    #[error("an object that the query uses was replaced meanwhile")]
    ObjectsChanged,
    /// SQLSTATE 0A000
    #[error("the query of a superuser calls {0}(), which runs other queries")]
    RunsQueries(String),
    /// SQLSTATE 42704
    #[error("role \"{0}\" of defined_by does not exist")]
    UnknownAuthor(String),
    /// SQLSTATE 42501
    #[error("the current role is not a member of role \"{0}\"")]
    ForeignAuthor(String),
    /// SQLSTATE 42501
    #[error("crewsnow_ops.alert_events is append-only")]
    AppendOnly,
    /// SQLSTATE 0A000
    #[error("{change} of built-in rule \"{rule}\" is not possible")]
    BuiltIn {
        /// The rule.
        rule: String,
        /// The refused change, a noun.
        change: &'static str,
    },
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn wanted(counts: bool) -> &'static str {
    if counts { " and samples, because min_samples is set" } else { "" }
}

impl SqlError for AlertError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::UnknownRule { .. }
            | Self::UnknownMatcher { .. }
            | Self::UnknownSilence(_)
            | Self::NothingFires(_)
            | Self::UnknownCheck { .. }
            | Self::UnknownAuthor(_) => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::RuleExists(_) => Code::ERRCODE_DUPLICATE_OBJECT,
            Self::EndInPast { .. }
            | Self::EndTooFar { .. }
            | Self::EmptyReason
            | Self::SimulationLength
            | Self::WindowLength
            | Self::ReplayPeriod { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::SilenceEnded(_) | Self::RuleDisabled(_) => {
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            Self::ReplayFailed { .. } => Code::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
            Self::ReadsPresent(_) | Self::BuiltIn { .. } => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::InvalidQuery { code, .. } => *code,
            Self::QueryShape { .. } => Code::ERRCODE_DATATYPE_MISMATCH,
            Self::NotOneQuery => Code::ERRCODE_SYNTAX_ERROR,
            Self::TemporaryTable(_) | Self::RunsQueries(_) | Self::LocksRows => {
                Code::ERRCODE_FEATURE_NOT_SUPPORTED
            }
            Self::ObjectsChanged => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::SeveralOwners(_) | Self::AppendOnly | Self::ForeignAuthor(_) => {
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE
            }
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        let text = match self {
            Self::UnknownRule { similar, .. }
            | Self::UnknownMatcher { similar, .. }
            | Self::UnknownCheck { similar, .. } => {
                return (!similar.is_empty())
                    .then(|| format!("Close names: {}.", similar.join(", ")));
            }
            Self::EndInPast { now, .. } => return Some(format!("The server's time is {now}.")),
            Self::InvalidQuery { place, .. } => {
                return Some(format!("{place}Names outside of pg_catalog must be qualified."));
            }
            Self::QueryShape { .. } => {
                "subject and message are text, value is a number, samples is an integer."
            }
            Self::NotOneQuery => "It is not one statement that returns rows.",
            Self::LocksRows => "It has FOR UPDATE or FOR SHARE. Nothing was changed.",
            Self::ObjectsChanged => "The next tick evaluates the rule again.",
            Self::RunsQueries(_) => {
                "Their tables are not known before it runs, and so not the role that may run it."
            }
            Self::TemporaryTable(_) => "Any session may evaluate the rule. Nothing was changed.",
            Self::SeveralOwners(_) => {
                "A superuser's query runs as the owner of the objects that it uses, so that their \
                 code gains nothing."
            }
            Self::BuiltIn { .. } => {
                "Thresholds, times, group and is_enabled can be changed. Nothing was changed."
            }
            Self::AppendOnly => "The history of alerts is evidence. Nothing was changed.",
            Self::ReadsPresent(_) => "Its query does not call crewsnow_ops.rule_time().",
            Self::RuleExists(_) | Self::ForeignAuthor(_) => "Nothing was changed.",
            Self::EndTooFar { .. }
            | Self::EmptyReason
            | Self::UnknownSilence(_)
            | Self::SilenceEnded(_)
            | Self::NothingFires(_)
            | Self::SimulationLength
            | Self::WindowLength
            | Self::RuleDisabled(_)
            | Self::ReplayPeriod { .. }
            | Self::ReplayFailed { .. }
            | Self::UnknownAuthor(_) => return None,
            Self::Server(error) => return error.detail(),
        };
        Some(text.to_owned())
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UnknownRule { .. } | Self::UnknownMatcher { .. } => RULES,
            Self::EndInPast { example, .. } | Self::EndTooFar { example, .. } => example,
            Self::EmptyReason => {
                "SELECT crewsnow_ops.silence('webhook-failures', 'Stripe maintenance', \
                 now() + interval '2 hours');"
            }
            Self::UnknownSilence(_) | Self::SilenceEnded(_) => {
                "SELECT * FROM crewsnow_ops.silences WHERE ends_at > now();"
            }
            Self::NothingFires(_) => ALERTS,
            Self::SimulationLength => {
                "SELECT crewsnow_ops.simulate_alert('p95-latency', p_for => '5 minutes');"
            }
            Self::RuleDisabled(name) => {
                return Some(format!(
                    "UPDATE crewsnow_ops.alert_rules SET is_enabled = true WHERE name = {};",
                    quote_literal(name)
                ));
            }
            Self::RuleExists(name) => {
                return Some(format!(
                    "UPDATE crewsnow_ops.alert_rules SET critical = 10 WHERE name = {};",
                    quote_literal(name)
                ));
            }
            Self::BuiltIn { rule, .. } => {
                return Some(format!(
                    "UPDATE crewsnow_ops.alert_rules SET is_enabled = false WHERE name = {};",
                    quote_literal(rule)
                ));
            }
            Self::AppendOnly => {
                "SELECT * FROM crewsnow_ops.alert_events ORDER BY event_id DESC LIMIT 20;"
            }
            Self::WindowLength => "SELECT * FROM crewsnow_ops.calls_in('5 minutes');",
            Self::UnknownCheck { .. } => "SELECT metric FROM performance_health_check();",
            Self::ReplayPeriod { .. } | Self::ReadsPresent(_) => {
                "SELECT * FROM crewsnow_ops.replay_rule('error-rate', \
                 now() - interval '1 day', now());"
            }
            Self::ReplayFailed { rule, .. } => {
                return Some(format!(
                    "SELECT * FROM crewsnow_ops.test_rule({});",
                    quote_literal(rule)
                ));
            }
            Self::InvalidQuery { .. }
            | Self::QueryShape { .. }
            | Self::NotOneQuery
            | Self::LocksRows
            | Self::TemporaryTable(_) => {
                "SELECT crewsnow_ops.create_alert_rule('jobs-waiting', $$ SELECT queue, \
                 count(*), 'jobs wait' FROM public.job GROUP BY queue $$, p_critical => 100);"
            }
            Self::ObjectsChanged => "SELECT * FROM crewsnow_ops.tick();",
            Self::SeveralOwners(_)
            | Self::RunsQueries(_)
            | Self::UnknownAuthor(_)
            | Self::ForeignAuthor(_) => {
                "UPDATE crewsnow_ops.alert_rules SET defined_by = 'app_owner' \
                 WHERE name = 'jobs-waiting';"
            }
            Self::Server(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}

reportable!(AlertError);
from_server_failures!(AlertError);
