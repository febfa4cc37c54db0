//! Errors of telemetry.

use super::sketch::encoding::InvalidSketch;
use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use pgrx::PgSqlErrorCode;

/// A telemetry call that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// SQLSTATE 42501
    #[error("event_log is append-only")]
    EventsAreAppendOnly,
    /// SQLSTATE 22P03
    #[error("not a latency sketch: {0}")]
    InvalidSketch(#[from] InvalidSketch),
    /// SQLSTATE 22023
    #[error("quantile {0} is out of range")]
    InvalidQuantile(f64),
    /// SQLSTATE 22023
    #[error("execution time {0} ms is out of range")]
    InvalidDuration(String),
    /// SQLSTATE 22023
    #[error("{argument} must have 1 to {limit} bytes")]
    InvalidText {
        /// The SQL name of the argument.
        argument: &'static str,
        /// A call that works.
        example: &'static str,
        /// The greatest length, in bytes.
        limit: usize,
        /// The length of the value, in bytes.
        length: usize,
    },
    /// SQLSTATE 22023
    #[error("p_max_rows must be at least 1, not {0}")]
    InvalidMaxRows(i32),
    /// SQLSTATE 0A000
    #[error("partition {0} of event_log cannot be read")]
    UnreadablePartition(String),
    /// SQLSTATE 0A000
    #[error("partition {0} of event_log is unlogged and cannot be read on a standby")]
    UnloggedPartition(String),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for TelemetryError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::EventsAreAppendOnly => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::InvalidSketch(_) => Code::ERRCODE_INVALID_BINARY_REPRESENTATION,
            Self::InvalidQuantile(_)
            | Self::InvalidDuration(_)
            | Self::InvalidText { .. }
            | Self::InvalidMaxRows(_) => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::UnreadablePartition(_) | Self::UnloggedPartition(_) => {
                Code::ERRCODE_FEATURE_NOT_SUPPORTED
            }
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::EventsAreAppendOnly => {
                "Values can be erased and not overwritten: user_id, endpoint, ip_address and \
                 user_agent can become NULL, and payload can lose keys other than status_code."
                    .into()
            }
            Self::InvalidSketch(_) => {
                "Only crewsnow_ops.latency_sketch and crewsnow_ops.merge_sketches make sketches."
                    .into()
            }
            Self::InvalidQuantile(_) => "A quantile is a number from 0 to 1.".into(),
            Self::InvalidDuration(_) => {
                "An execution time is 0 to 86400000 milliseconds, 24 hours.".into()
            }
            Self::InvalidText { length, .. } => {
                format!("The value has {length} bytes. Nothing was written.")
            }
            Self::UnreadablePartition(_) => {
                "A partition must be a plain table with the columns and types of event_log. \
                 Counts without it would be wrong."
                    .into()
            }
            Self::UnloggedPartition(_) => {
                "Its rows exist on the primary only. Counts without them would be wrong.".into()
            }
            Self::InvalidMaxRows(_) => return None,
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::EventsAreAppendOnly => {
                "To erase a user: UPDATE event_log SET user_id = NULL, ip_address = NULL, \
                 user_agent = NULL \
                 WHERE user_id = '…'; \
                 to drop old events: SELECT * FROM crewsnow_ops.apply_event_retention();"
                    .into()
            }
            Self::InvalidSketch(_) | Self::InvalidQuantile(_) | Self::InvalidDuration(_) => {
                "SELECT crewsnow_ops.sketch_quantile(\
                 crewsnow_ops.latency_sketch(execution_time_ms), 0.95) FROM event_log;"
                    .into()
            }
            Self::InvalidText { example, .. } => (*example).into(),
            Self::InvalidMaxRows(_) => "SELECT * FROM crewsnow_ops.roll_up_events();".into(),
            Self::UnreadablePartition(name) => format!("\\d+ {name}"),
            Self::UnloggedPartition(name) => {
                format!("On the primary: ALTER TABLE {name} SET LOGGED;")
            }
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(TelemetryError);
from_server_failures!(TelemetryError);
