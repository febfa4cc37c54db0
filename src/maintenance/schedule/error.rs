//! Errors of the schedule of maintenance.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use pgrx::PgSqlErrorCode;
use pgrx::spi::quote_identifier;

/// A schedule that cannot be set or removed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// SQLSTATE 42501
    #[error("role \"{0}\" may not use pg_cron")]
    MayNotUseCron(String),
    /// SQLSTATE 42710
    #[error("role \"{0}\" has scheduled maintenance of this database")]
    ScheduledByOther(String),
    /// SQLSTATE 55006; the process id, if it still runs.
    #[error("another session changes the schedule of this database{}", by(*.0))]
    ChangesNow(Option<i32>),
    /// SQLSTATE 22023
    #[error("a line of cron cannot hold the name of this role or database")]
    UnprintableName,
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn by(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(": process {pid}"))
}

impl SqlError for ScheduleError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        match self {
            Self::MayNotUseCron(_) => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::ScheduledByOther(_) => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            Self::ChangesNow(_) => PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
            Self::UnprintableName => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::MayNotUseCron(_) => {
                "Jobs run with the privileges of the role that schedules them. \
                 Nothing was scheduled."
                    .into()
            }
            Self::ScheduledByOther(_) => {
                "Two schedules would run each job twice. Nothing was scheduled.".into()
            }
            Self::ChangesNow(_) => {
                "Its transaction has not ended. Nothing was scheduled or removed.".into()
            }
            Self::UnprintableName => "It contains control characters.".into(),
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::MayNotUseCron(role) => {
                format!("GRANT USAGE ON SCHEMA cron TO {};", quote_identifier(role))
            }
            Self::ScheduledByOther(role) => format!(
                "SET ROLE {}; SELECT * FROM crewsnow_ops.unschedule_maintenance(); RESET ROLE;",
                quote_identifier(role)
            ),
            Self::ChangesNow(_) => "TABLE crewsnow_ops.scheduled_jobs;".into(),
            Self::UnprintableName => "SELECT current_database(), current_user;".into(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(ScheduleError);
from_server_failures!(ScheduleError);
