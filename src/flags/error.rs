//! Errors of feature flags.

use super::model::InvalidKey;
use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::suggest::quoted_list;
use pgrx::PgSqlErrorCode;

/// A flag call that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// SQLSTATE 22023
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// SQLSTATE 22023
    #[error("rollout percentage {0} is out of range")]
    InvalidPercentage(i32),
    /// SQLSTATE 42704
    #[error("feature flag \"{key}\" does not exist")]
    LikelyTypo {
        /// The unknown key.
        key: String,
        /// Known keys, closest first.
        similar: Vec<String>,
    },
    /// SQLSTATE 22023
    #[error("restoring feature flags needs a reason")]
    EmptyReason,
    /// SQLSTATE 22023
    #[error("cannot restore feature flags as of {asked}: the time is in the future")]
    FutureInstant {
        /// The requested time.
        asked: String,
        /// The present time.
        now: String,
    },
    /// SQLSTATE 22023
    #[error("cannot restore feature flags as of {asked}: no flag existed yet")]
    BeforeFirstFlag {
        /// The requested time.
        asked: String,
        /// Creation time of the oldest flag.
        earliest: String,
    },
    /// SQLSTATE 0A000: a flag's id and rollout group never change
    #[error("column \"{column}\" of feature flag \"{key}\" cannot be changed")]
    FrozenColumn {
        /// `id` or `rollout_group`.
        column: &'static str,
        /// The flag.
        key: String,
    },
    /// SQLSTATE 42501
    #[error("crewsnow_ops.flag_history is append-only")]
    HistoryIsAppendOnly,
    /// SQLSTATE 55000
    #[error("feature flag \"{0}\" can be neither found nor created")]
    Unreachable(String),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for FlagError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::InvalidKey(_)
            | Self::InvalidPercentage(_)
            | Self::EmptyReason
            | Self::FutureInstant { .. }
            | Self::BeforeFirstFlag { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::LikelyTypo { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::FrozenColumn { .. } => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::HistoryIsAppendOnly => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::Unreachable(_) => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::InvalidKey(error) => error.detail(),
            Self::InvalidPercentage(_) => {
                "A rollout percentage is a whole number from 0 to 100.".into()
            }
            Self::LikelyTypo { similar, .. } => {
                format!("Nothing was changed. Similar flags: {}.", quoted_list(similar, "and"))
            }
            Self::EmptyReason => {
                "p_reason is empty. The flag history keeps it with each change.".into()
            }
            Self::FutureInstant { now, .. } => format!("The present time is {now}."),
            Self::BeforeFirstFlag { earliest, .. } => {
                format!("The oldest flag was created at {earliest}.")
            }
            Self::FrozenColumn { column: "rollout_group", .. } => {
                "The rollout group decides which users are in a partial rollout. \
                 A new group would move all of them."
                    .into()
            }
            Self::FrozenColumn { .. } => "The id ties the flag to its history.".into(),
            Self::HistoryIsAppendOnly => {
                "No role can change or remove rows, the owner included.".into()
            }
            Self::Unreachable(_) => {
                "A policy or a trigger on feature_flags hides the row or suppresses the insert. \
                 Nothing was changed."
                    .into()
            }
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::InvalidKey(_) => "SELECT flag_key FROM feature_flags ORDER BY flag_key;".into(),
            Self::InvalidPercentage(_) => {
                "SELECT update_feature_flag('tracker_pro', true, 25);".into()
            }
            Self::LikelyTypo { key, similar } => format!(
                "Did you mean {}? If the flag is new: \
                 INSERT INTO feature_flags (flag_key) VALUES ('{key}');",
                quoted_list(similar, "or")
            ),
            Self::EmptyReason | Self::FutureInstant { .. } | Self::BeforeFirstFlag { .. } => {
                "SELECT crewsnow_ops.restore_feature_flags\
                 (now() - interval '15 minutes', 'INC-42: undo');"
                    .into()
            }
            Self::FrozenColumn { .. } => {
                "Delete the flag and insert it again. The flag history keeps both changes.".into()
            }
            Self::HistoryIsAppendOnly => {
                "To undo a change, append one: SELECT crewsnow_ops.restore_feature_flags\
                 (now() - interval '15 minutes', 'why');"
                    .into()
            }
            Self::Unreachable(_) => "\\d feature_flags".into(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(FlagError);
from_server_failures!(FlagError);
