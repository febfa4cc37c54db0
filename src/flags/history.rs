//! The flag history: every change of a flag is a row of `crewsnow_ops.flag_history`, written in the
//! transaction of the change.

use crate::flags::error::FlagError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::lookup;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::{RowArgument, in_target_schema};
use crate::pg::xact::sec_context;
use crate::settings;
use pgrx::prelude::*;

/// Author and reason of the changes that the running function makes.
#[derive(Default, Clone)]
struct Attribution {
    updated_by: Option<String>,
    reason: Option<String>,
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
    let attribution = Attribution {
        updated_by: updated_by.map(str::to_owned),
        reason: reason.map(str::to_owned),
    };
    let _attributed = Attributed(ATTRIBUTION.with(|state| state.replace(attribution)).flatten());
    work()
}

fn attribution() -> Attribution {
    let mut attribution = ATTRIBUTION.with(|state| state.clone()).flatten().unwrap_or_default();
    if attribution.reason.is_none() {
        attribution.reason = settings::change_reason();
    }
    attribution
}

/// Writes the row of one change, as the owner of the history: the actor needs no privilege on it.
pub fn record_change(
    flag: pgrx::Uuid,
    before: &RowArgument,
    after: &RowArgument,
) -> Result<(), FlagError> {
    let actor = sec_context::current_user();
    let Attribution { updated_by, reason } = attribution();
    sec_context::as_role(owner()?, || {
        Spi::connect_mut(|client| {
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
                ],
            )?;
            Ok(())
        })
    })
}

fn owner() -> Result<pg_sys::Oid, FlagError> {
    lookup::owner_of_own_table(c"flag_history").ok_or(ServerError::NotInstalled.into())
}

/// Writes a row for each flag that a TRUNCATE is about to remove.
pub fn record_truncate() -> Result<(), FlagError> {
    let actor = sec_context::current_user();
    let reason = attribution().reason;
    let sql = in_target_schema(include_str!("../../sql/flags/record_flag_truncate.sql"))?;
    sec_context::as_role(owner()?, || {
        Spi::connect_mut(|client| {
            client.update(sql.as_str(), None, &[actor.into(), reason.into()])?;
            Ok(())
        })
    })
}
