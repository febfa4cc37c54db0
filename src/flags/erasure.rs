//! Erasing a user from flags and their history.

use super::history;
use super::message::warn;
use crate::flags::error::FlagError;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::xact::lock_wait;
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Erases a user. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (empty reason), 25001 (old snapshot), 25006 (read-only),
/// 55P03 (locked).
#[pg_extern(schema = "crewsnow_ops", requires = ["flags"])]
#[search_path(pg_catalog, pg_temp)]
fn erase_user_from_flags(
    p_user_id: Option<pgrx::Uuid>,
    p_reason: Option<&str>,
) -> Result<i64, ErrorReport> {
    const EXAMPLE: &str = "SELECT crewsnow_ops.erase_user_from_flags('USER-ID', 'request 17');";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let user = p_user_id.ok_or_else(|| null("p_user_id"))?;
    let reason = p_reason.ok_or_else(|| null("p_reason"))?.trim();
    if reason.is_empty() {
        return Err(FlagError::NoErasureReason.into());
    }
    require_writable("erase a user")?;
    require_latest_snapshot("erase a user")?;
    let (rows, left) = history::attributed(None, Some(reason), || {
        lock_wait::limited(|| {
            let targets = in_target_schema(include_str!("../../sql/flags/erase_user_targets.sql"))?;
            let context = include_str!("../../sql/flags/erase_user_context.sql");
            spi::connect_mut(|client| {
                client.update(targets.as_str(), None, &[user.into()])?;
                client.update(context, None, &[user.into()])?;
                Ok::<_, FlagError>(())
            })?;
            history::erase(user, reason)
        })
    })
    .map_err(|timeout| ServerError::locked("the flags of the user", timeout))??;
    if left > 0 {
        warn(
            format!("{left} history rows still hold the id in free text"),
            Some("Only lists of users, p_updated_by and the JWT subject are blanked.".into()),
            "SELECT flag_key, changed_at, reason FROM crewsnow_ops.flag_history;".into(),
        );
    }
    Ok(rows)
}
