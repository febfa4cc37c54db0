//! Errors of messages.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use pgrx::PgSqlErrorCode;

const CHANNELS: &str = "SELECT name, kind FROM crewsnow_ops.channels;";

/// A message or an answer that is refused.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// SQLSTATE 42704
    #[error("channel \"{}\" does not exist", name.escape_debug())]
    UnknownChannel {
        /// The name.
        name: String,
        /// Names that are close.
        similar: Vec<String>,
    },
    /// SQLSTATE 55000
    #[error("channel \"{0}\" is disabled")]
    ChannelDisabled(String),
    /// SQLSTATE 22023
    #[error("the message cannot be sent to channel \"{channel}\": {reason}")]
    Unsendable {
        /// The channel.
        channel: String,
        /// The reason.
        reason: String,
    },
    /// SQLSTATE 22023
    #[error("{argument} must be between {least} and {most}")]
    OutOfRange {
        /// The SQL name of the argument.
        argument: &'static str,
        /// The smallest value.
        least: &'static str,
        /// The largest value.
        most: &'static str,
        /// A call that works.
        example: &'static str,
    },
    /// SQLSTATE 55000
    #[error("this database is a copy: it delivers no message")]
    Copy,
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for MessageError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::UnknownChannel { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Self::ChannelDisabled(_) | Self::Copy => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Unsendable { .. } | Self::OutOfRange { .. } => {
                Code::ERRCODE_INVALID_PARAMETER_VALUE
            }
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        let text = match self {
            Self::UnknownChannel { similar, .. } if similar.is_empty() => {
                "Nothing was changed.".to_owned()
            }
            Self::UnknownChannel { similar, .. } => {
                format!("Close names: {}. Nothing was changed.", similar.join(", "))
            }
            Self::ChannelDisabled(_) | Self::Unsendable { .. } | Self::OutOfRange { .. } => {
                "Nothing was changed.".to_owned()
            }
            Self::Copy => "The messages are those of the database that was copied, which delivers \
                 them itself."
                .to_owned(),
            Self::Server(error) => return error.detail(),
        };
        Some(text)
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UnknownChannel { .. } => CHANNELS.to_owned(),
            Self::ChannelDisabled(name) => {
                format!(
                    "UPDATE crewsnow_ops.channels SET is_enabled = true WHERE name = {};",
                    pgrx::spi::quote_literal(name)
                )
            }
            Self::Unsendable { .. } => {
                "SELECT crewsnow_ops.send('ops', '{\"text\": \"The export is done.\"}');".to_owned()
            }
            Self::OutOfRange { example, .. } => (*example).to_owned(),
            Self::Copy => "SELECT crewsnow_ops.adopt_alerts();".to_owned(),
            Self::Server(error) => return error.hint(),
        };
        Some(text)
    }
}

reportable!(MessageError);
from_server_failures!(MessageError);
