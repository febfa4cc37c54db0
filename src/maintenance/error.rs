//! Errors of maintenance.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::xact::lock_holder::LockHolder;
use crate::telemetry::error::TelemetryError;
use pgrx::PgSqlErrorCode;

/// A run of maintenance that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// SQLSTATE 55006
    #[error("maintenance of this database is running already{}", by(holder.as_ref()))]
    Running {
        /// The session that runs it; `None` if it is gone meanwhile.
        holder: Option<LockHolder>,
    },
    /// An error of telemetry, with its own SQLSTATE.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn by(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(String::new, |holder| format!(": process {} runs it", holder.pid))
}

impl SqlError for MaintenanceError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        match self {
            Self::Running { .. } => PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
            Self::Telemetry(error) => error.sqlstate(),
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::Running { holder: None } => {
                "The other run has ended meanwhile. Nothing was done.".into()
            }
            Self::Running { holder: Some(holder) } => {
                let age =
                    holder.age.map_or_else(String::new, |age| format!(" It began {age} s ago."));
                format!("One run at a time works on a database.{age} Nothing was done.")
            }
            Self::Telemetry(error) => return error.detail(),
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Running { holder: None } => "SELECT run_performance_maintenance();".into(),
            Self::Running { .. } => "SELECT * FROM crewsnow_ops.maintenance_progress;".into(),
            Self::Telemetry(error) => return error.hint(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(MaintenanceError);
from_server_failures!(MaintenanceError);
