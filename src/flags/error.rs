//! Errors of feature flags.

use super::model::InvalidKey;
use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::suggest::quoted_list;
use pgrx::PgSqlErrorCode;

/// A flag call or statement that cannot be served.
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
    /// SQLSTATE 42704
    #[error("feature flag \"{key}\" does not exist")]
    UnknownFlag {
        /// The key, which no flag has now or had at the time to restore.
        key: String,
        /// Known keys, closest first; none may be close.
        similar: Vec<String>,
    },
    /// SQLSTATE 42704
    #[error("no flag was changed by this transaction")]
    UnknownTransaction,
    /// SQLSTATE 23514
    #[error("{column} of feature flag \"{key}\" must not contain NULL")]
    NullMember {
        /// The list.
        column: &'static str,
        /// The flag.
        key: String,
    },
    /// SQLSTATE 23505
    #[error("feature flag \"{key}\" would differ from \"{twin}\" in case alone")]
    CaseTwin {
        /// The new key.
        key: String,
        /// The key of another flag.
        twin: String,
    },
    /// SQLSTATE 40001: the saved row was read before another session changed the flag
    #[error("feature flag \"{key}\" was changed since the saved row was read")]
    LostUpdate {
        /// The flag.
        key: String,
        /// The newer change.
        newer: String,
    },
    /// SQLSTATE 22023
    #[error("restoring feature flags needs a reason")]
    EmptyReason,
    /// SQLSTATE 22023
    #[error("erasing a user needs a reason")]
    NoErasureReason,
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
            | Self::NoErasureReason
            | Self::FutureInstant { .. }
            | Self::BeforeFirstFlag { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::LikelyTypo { .. } | Self::UnknownFlag { .. } | Self::UnknownTransaction => {
                Code::ERRCODE_UNDEFINED_OBJECT
            }
            Self::NullMember { .. } => Code::ERRCODE_CHECK_VIOLATION,
            Self::CaseTwin { .. } => Code::ERRCODE_UNIQUE_VIOLATION,
            Self::LostUpdate { .. } => Code::ERRCODE_T_R_SERIALIZATION_FAILURE,
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
            Self::UnknownFlag { similar, .. } if similar.is_empty() => {
                "No flag has this key now or had it at that time. Nothing was changed.".into()
            }
            Self::UnknownFlag { similar, .. } => {
                format!("Nothing was changed. Similar flags: {}.", quoted_list(similar, "and"))
            }
            Self::UnknownTransaction => {
                "The flag history has no change with this xid. Nothing was changed.".into()
            }
            Self::NullMember { column, .. } => format!(
                "A NULL in {column} matches no user; an empty list is no condition. \
                 Nothing was changed."
            ),
            Self::CaseTwin { .. } => {
                "A change could hit the wrong one of them. Nothing was changed.".into()
            }
            Self::LostUpdate { newer, .. } => newer.clone(),
            Self::EmptyReason => {
                "p_reason is empty. The flag history keeps it with each change.".into()
            }
            Self::NoErasureReason => "p_reason is empty. Nothing was changed.".into(),
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
            Self::UnknownFlag { similar, .. } if !similar.is_empty() => {
                format!("Did you mean {}?", quoted_list(similar, "or"))
            }
            Self::UnknownFlag { .. } => {
                "SELECT flag_key FROM feature_flags ORDER BY flag_key;".into()
            }
            Self::UnknownTransaction => {
                "SELECT DISTINCT xid, updated_by, reason FROM crewsnow_ops.flag_history;".into()
            }
            Self::NullMember { .. } => "Leave NULLs out, and check that a member is left: \
                 SELECT array_remove(ARRAY['FR', NULL], NULL);"
                .into(),
            Self::CaseTwin { twin, .. } => {
                format!("SELECT * FROM feature_flags WHERE flag_key = '{twin}';")
            }
            Self::LostUpdate { .. } => {
                "Read the flag again and repeat the change. To let such saves through: \
                 SET crewsnow_ops.lost_updates = 'warn';"
                    .into()
            }
            Self::EmptyReason | Self::FutureInstant { .. } | Self::BeforeFirstFlag { .. } => {
                "SELECT crewsnow_ops.restore_feature_flags\
                 (now() - interval '15 minutes', 'INC-42: undo');"
                    .into()
            }
            Self::NoErasureReason => {
                "SELECT crewsnow_ops.erase_user_from_flags('USER-ID', 'request 17');".into()
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
