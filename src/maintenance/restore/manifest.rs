//! Backups that other programs made, each with the content that it must have.

use super::inventory;
use crate::access::as_owner;
use crate::error::{SqlError, reportable};
use crate::health::heartbeat;
use crate::pg::clock;
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use pgrx::datum::{TimestampWithTimeZone, Uuid};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const EXAMPLE: &str = "SELECT crewsnow_ops.record_backup('/var/backups/shop.dump', 'daily');";

/// Types of backups in `backup_log`.
const TYPES: [&str; 4] = ["daily", "weekly", "pre_deployment", "manual"];

/// A backup that cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// SQLSTATE 22023
    #[error("{argument} is not valid for a backup")]
    InvalidBackup {
        /// The SQL name of the argument.
        argument: &'static str,
        /// The rule, a sentence.
        rule: &'static str,
    },
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for ManifestError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        match self {
            Self::InvalidBackup { .. } => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::InvalidBackup { rule, .. } => Some(format!("{rule} Nothing was recorded.")),
            Self::Server(error) => error.detail(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InvalidBackup { .. } => Some(EXAMPLE.into()),
            Self::Server(error) => error.hint(),
        }
    }
}

reportable!(ManifestError);
from_server_failures!(ManifestError);

/// Records a backup and the content that it must have. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL location or type), 22023 (other type, a negative size, a begin in the
/// future), 25006 (standby, read-only).
#[pg_extern(schema = "crewsnow_ops", volatile, requires = ["backups"])]
#[search_path(pg_catalog, pg_temp)]
fn record_backup(
    p_location: Option<&str>,
    p_type: default!(Option<&str>, "'manual'"),
    p_size_bytes: default!(Option<i64>, "NULL"),
    p_started_at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    let id = record(p_location, p_type, p_size_bytes, p_started_at)?;
    Ok(id)
}

fn record(
    location: Option<&str>,
    kind: Option<&str>,
    bytes: Option<i64>,
    started_at: Option<TimestampWithTimeZone>,
) -> Result<Uuid, ManifestError> {
    session::require_writable("record a backup")?;
    let missing = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let location = location.ok_or_else(|| missing("p_location"))?;
    let kind = kind.ok_or_else(|| missing("p_type"))?;
    let invalid = |argument, rule| ManifestError::InvalidBackup { argument, rule };
    if !TYPES.contains(&kind) {
        return Err(invalid("p_type", "The types are daily, weekly, pre_deployment and manual."));
    }
    if bytes.is_some_and(|bytes| bytes < 0) {
        return Err(invalid("p_size_bytes", "A size is not negative."));
    }
    if started_at.is_some_and(|begin| i64::from(begin) > clock::now()) {
        return Err(invalid("p_started_at", "A backup begins before it is recorded."));
    }
    let is_exact = session::require_latest_snapshot("record a backup").is_err();
    let items = serde_json::to_string(&inventory::manifest()?)
        .map_err(|_| ServerError::UnreadableJson("the manifest"))?;
    // The row that the backup carries is older, and stays in the manifest.
    heartbeat::beat()?;
    let sql = spi::in_target_schema(include_str!("../../../sql/maintenance/record_backup.sql"))?;
    as_owner(|| {
        spi::connect_mut(|client| {
            let arguments = [
                location.into(),
                kind.into(),
                bytes.into(),
                started_at.into(),
                is_exact.into(),
                items.into(),
            ];
            let id = client.update(sql.as_str(), None, &arguments)?.first().get_one::<Uuid>()?;
            id.ok_or(ManifestError::Server(ServerError::NotInstalled))
        })
    })
}
