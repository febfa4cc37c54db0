//! The flag history: every change of a flag is a row of `crewsnow_ops.flag_history`, written in the
//! transaction of the change.

use super::transaction;
use crate::flags::error::FlagError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::lookup;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::{RowArgument, in_target_schema};
use crate::pg::xact::{sec_context, session};
use crate::settings;
use pgrx::prelude::*;

/// Author and reason of the changes that the running function makes.
#[derive(Default, Clone)]
struct Attribution {
    updated_by: Option<String>,
    reason: Option<String>,
    is_restore: bool,
}

static ATTRIBUTION: BackendLocal<Option<Attribution>> = BackendLocal::new(None);

/// Restores the previous attribution: a trigger may change flags while a function does.
struct Attributed(Option<Attribution>);

impl Drop for Attributed {
    fn drop(&mut self) {
        let before = self.0.take();
        ATTRIBUTION.with(|state| *state = before);
    }
}

/// Attributes the changes that `work` makes to `updated_by` and `reason`. Without a reason,
/// crewsnow_ops.change_reason applies.
pub fn attributed<R>(
    updated_by: Option<&str>,
    reason: Option<&str>,
    work: impl FnOnce() -> R,
) -> R {
    with_attribution(
        Attribution {
            updated_by: updated_by.map(str::to_owned),
            reason: reason.map(str::to_owned),
            is_restore: false,
        },
        work,
    )
}

/// Attributes the changes of a restore.
pub fn restoring<R>(reason: &str, work: impl FnOnce() -> R) -> R {
    let reason = Some(reason.to_owned());
    with_attribution(Attribution { updated_by: None, reason, is_restore: true }, work)
}

fn with_attribution<R>(attribution: Attribution, work: impl FnOnce() -> R) -> R {
    let _attributed = Attributed(ATTRIBUTION.with(|state| state.replace(attribution)).flatten());
    work()
}

/// Whether the running function restores flags: it may bring back any earlier state.
pub fn is_restoring() -> bool {
    ATTRIBUTION
        .with(|state| state.as_ref().is_some_and(|attribution| attribution.is_restore))
        .unwrap_or(false)
}

fn attribution() -> Attribution {
    let mut attribution = ATTRIBUTION.with(|state| state.clone()).flatten().unwrap_or_default();
    if attribution.reason.is_none() {
        attribution.reason = transaction::take_change_reason();
    }
    attribution
}

/// The subject of the JWT that the request carries, by crewsnow_ops.claims. Stated by the session,
/// like p_updated_by.
fn jwt_subject() -> Option<String> {
    let subject = |(setting, claim): (String, String)| {
        let value = session::setting(&setting)?;
        match claim.as_str() {
            "*" => {
                let claims: serde_json::Value = serde_json::from_str(&value).ok()?;
                claims.get("sub")?.as_str().map(str::to_owned)
            }
            "sub" => Some(value),
            _ => None,
        }
    };
    settings::claims().into_iter().find_map(|pair| subject(pair).filter(|s| !s.is_empty()))
}

/// Writes the row of one change, as the owner of the history: the actor needs no privilege on it.
pub fn record_change(
    flag: pgrx::Uuid,
    before: &RowArgument,
    after: &RowArgument,
) -> Result<(), FlagError> {
    let actor = sec_context::current_user();
    let Attribution { updated_by, reason, .. } = attribution();
    let subject = jwt_subject();
    sec_context::as_role(owner()?, || {
        spi::connect_mut(|client| {
            client.update(
                include_str!("../../sql/flags/record_flag_change.sql"),
                None,
                &[
                    flag.into(),
                    before.bind(),
                    after.bind(),
                    actor.into(),
                    updated_by.into(),
                    reason.into(),
                    subject.into(),
                ],
            )?;
            Ok(())
        })
    })
}

fn owner() -> Result<pg_sys::Oid, FlagError> {
    lookup::owner_of_own_table(c"flag_history").ok_or(ServerError::NotInstalled.into())
}

/// Whether the history is being blanked. Nothing else may change a row of it.
static IS_ERASING: BackendLocal<bool> = BackendLocal::new(false);

struct Erasing;

impl Drop for Erasing {
    fn drop(&mut self) {
        IS_ERASING.with(|state| *state = false);
    }
}

/// Whether [`erase`] is running.
pub fn is_erasing() -> bool {
    IS_ERASING.with(|state| *state).unwrap_or(false)
}

/// Blanks a user in the history and records that, as the owner of the history. Returns the number
/// of blanked rows, and of rows that still hold the id in free text.
pub fn erase(user: pgrx::Uuid, reason: &str) -> Result<(i64, i64), FlagError> {
    let actor = sec_context::current_user();
    let sql = include_str!("../../sql/flags/erase_user_history.sql");
    sec_context::as_role(owner()?, || {
        IS_ERASING.with(|state| *state = true);
        let _erasing = Erasing;
        spi::connect_mut(|client| {
            let arguments = [user.into(), actor.into(), reason.into()];
            let row = client.update(sql, Some(1), &arguments)?.first();
            Ok((row.get(1)?.unwrap_or(0), row.get(2)?.unwrap_or(0)))
        })
    })
}

/// A sentence about the changes of a flag after the time at which a saved row was read; `None` if
/// the history has none.
pub fn newer_change(
    flag: pgrx::Uuid,
    since: TimestampWithTimeZone,
) -> Result<Option<String>, FlagError> {
    let sql = include_str!("../../sql/flags/changes_since.sql");
    sec_context::as_role(owner()?, || {
        // Not a read-only query: the change may have been committed after the statement began.
        spi::connect_mut(|client| {
            let row = client.update(sql, Some(1), &[flag.into(), since.into()])?.first();
            if row.is_empty() {
                return Ok(None);
            }
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let (time, person, columns) = (text(1)?, text(2)?, text(3)?);
            let count = row.get::<i64>(4)?.unwrap_or(0);
            let others =
                if count > 1 { format!(" {} more before it.", count - 1) } else { String::new() };
            Ok(Some(format!("Changed at {time} by {person}: {columns}.{others}")))
        })
    })
}

/// Writes a row for each flag that a TRUNCATE is about to remove.
pub fn record_truncate() -> Result<(), FlagError> {
    let actor = sec_context::current_user();
    let (reason, subject) = (attribution().reason, jwt_subject());
    let sql = in_target_schema(include_str!("../../sql/flags/record_flag_truncate.sql"))?;
    sec_context::as_role(owner()?, || {
        spi::connect_mut(|client| {
            client.update(sql.as_str(), None, &[actor.into(), reason.into(), subject.into()])?;
            Ok(())
        })
    })
}
