//! Errors of maintenance windows.

use crate::error::{SqlError, reportable};
use crate::maintenance::windows::zone::RefusedZone;
use crate::pg::error::{ServerError, from_server_failures};
use pgrx::PgSqlErrorCode;

const WINDOW_EXAMPLE: &str = "INSERT INTO crewsnow_ops.maintenance_windows \
    (name, weekday, local_start, duration, time_zone) \
    VALUES ('weekly', 'sunday', '02:00', '2 hours', 'Europe/Paris');";

/// A window that is refused, or a calendar that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// SQLSTATE 22023
    #[error("a window needs a weekday or a date{}", if *has_both { ", not both" } else { "" })]
    NoDay {
        /// Whether both are given.
        has_both: bool,
    },
    /// SQLSTATE 22023
    #[error("weekday \"{}\" does not exist", .0.escape_debug())]
    UnknownWeekday(String),
    /// SQLSTATE 22023
    #[error("time zone \"{}\" is not accepted for a window", zone.escape_debug())]
    RefusedZone {
        /// The given name.
        zone: String,
        /// The reason.
        refused: RefusedZone,
        /// The statement with the zone to use instead; `None` if no zone is close.
        correction: Option<String>,
    },
    /// SQLSTATE 22023
    #[error("p_weeks must be from 1 to 520, not {0}")]
    InvalidWeeks(i32),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for WindowError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        match self {
            Self::NoDay { .. }
            | Self::UnknownWeekday(_)
            | Self::RefusedZone { .. }
            | Self::InvalidWeeks(_) => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NoDay { .. } => "A weekly window has a weekday, a one-off window has on_date. \
                Nothing was changed."
                .into(),
            Self::UnknownWeekday(_) => {
                "The weekdays are monday, tuesday, wednesday, thursday, friday, saturday and \
                 sunday. Nothing was changed."
                    .into()
            }
            Self::RefusedZone { refused, .. } => match &refused.instead {
                Some(zone) => {
                    format!("{} Use {zone} instead. Nothing was changed.", refused.reason)
                }
                None => format!("{} Nothing was changed.", refused.reason),
            },
            Self::InvalidWeeks(_) => "A calendar lists each opening of a window.".into(),
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoDay { .. } | Self::UnknownWeekday(_) => WINDOW_EXAMPLE.into(),
            Self::RefusedZone { correction: Some(correction), .. } => correction.clone(),
            Self::RefusedZone { .. } => {
                "SELECT name, utc_offset FROM pg_timezone_names WHERE name LIKE 'Europe/%';".into()
            }
            Self::InvalidWeeks(_) => "SELECT crewsnow_ops.maintenance_calendar(26);".into(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(WindowError);
from_server_failures!(WindowError);
