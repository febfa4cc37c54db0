//! The trail: every real change of a flag in `crewsnow_ops.flag_history`, in the transaction that makes it.

use crate::error::OpsError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::spi::{RowArgument, in_target_schema};
use crate::pg::{identity, trigger};
use crate::settings;
use pgrx::prelude::*;

/// On whose behalf and why flags are changed by the function that is running.
#[derive(Default, Clone)]
struct Attribution {
    updated_by: Option<String>,
    reason: Option<String>,
}

static ATTRIBUTION: BackendLocal<Option<Attribution>> = BackendLocal::new(None);

struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        ATTRIBUTION.with(Option::take);
    }
}

/// Runs `work`, whose changes of flags are attributed to `updated_by` and `reason`; without a reason the setting counts.
pub fn attributed<R>(updated_by: Option<&str>, reason: Option<&str>, work: impl FnOnce() -> R) -> R {
    let attribution = Attribution { updated_by: updated_by.map(str::to_owned), reason: reason.map(str::to_owned) };
    ATTRIBUTION.with(|state| state.replace(attribution));
    let _forget = Forget;
    work()
}

fn attribution() -> Attribution {
    let mut attribution = ATTRIBUTION.with(|state| state.clone()).flatten().unwrap_or_default();
    if attribution.reason.is_none() {
        attribution.reason = settings::change_reason();
    }
    attribution
}

/// Writes the row of one change. The actor needs no right on the trail: it is written as the owner of the flags.
pub fn record_change(
    owner: pg_sys::Oid,
    flag: pgrx::Uuid,
    before: &RowArgument,
    after: &RowArgument,
) -> Result<(), OpsError> {
    let actor = identity::current_user();
    let Attribution { updated_by, reason } = attribution();
    identity::as_role(owner, || {
        Spi::connect_mut(|client| {
            client.update(
                include_str!("../../sql/query/record_flag_change.sql"),
                None,
                &[flag.into(), before.bind(), after.bind(), actor.into(), updated_by.into(), reason.into()],
            )?;
            Ok(())
        })
    })
}

/// Writes a row for every flag that a TRUNCATE is about to remove.
pub fn record_truncate(trigger: &PgTrigger<'_>) -> Result<(), OpsError> {
    let actor = identity::current_user();
    let reason = attribution().reason;
    let sql = in_target_schema(include_str!("../../sql/query/record_flag_truncate.sql"))?;
    identity::as_role(trigger::table_owner(trigger), || {
        Spi::connect_mut(|client| {
            client.update(sql.as_str(), None, &[actor.into(), reason.into()])?;
            Ok(())
        })
    })
}
