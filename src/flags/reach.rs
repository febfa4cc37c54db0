//! Warns of an enabled flag that its targeting keeps from every known user.

use super::message::warn;
use super::transaction;
use crate::access::as_owner;
use crate::flags::error::FlagError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::xact::timeout::{Stopped, isolated_within};

/// Counting takes at most so long, in milliseconds. A larger table of users is not counted.
const LIMIT_MS: i32 = 500;

/// Warns if the flag is enabled and no user in crewsnow_ops.user_context gets it. Users that the
/// flag lists get it in any case; the warning tells their number.
pub fn warn_if_unreached(flag: pgrx::Uuid) -> Result<(), FlagError> {
    let count = || isolated_within(LIMIT_MS, || as_owner(|| unreached(flag)));
    match transaction::within_counting_time(i64::from(LIMIT_MS) * 1_000, count) {
        Some(Ok(unreached)) => {
            if let Some((key, known, listed)) = unreached? {
                let others = if listed > 0 { ", those in target_user_ids" } else { "" };
                warn(
                    format!("{key} is enabled, but {listed} users get it{others}"),
                    Some(format!(
                        "None of {known} users in crewsnow_ops.user_context meets its targeting \
                         and percentage."
                    )),
                    format!("SELECT crewsnow_ops.explain_feature_flag('{key}', 'USER-ID');"),
                );
            }
            Ok(())
        }
        // A warning that cannot be computed, as over columns of other types, fails no change.
        None | Some(Err(Stopped::TimedOut(_) | Stopped::Failed(_))) => Ok(()),
    }
}

/// Key of the flag, number of known users, number of listed users.
fn unreached(flag: pgrx::Uuid) -> Result<Option<(String, i64, i64)>, FlagError> {
    let sql = in_target_schema(include_str!("../../sql/flags/count_reached.sql"))?;
    // Not a read-only query: it must see the change of the running statement.
    spi::connect_mut(|client| {
        let row = client.update(sql.as_str(), Some(1), &[flag.into()])?.first();
        if row.is_empty() {
            return Ok(None);
        }
        let count = |column| row.get::<i64>(column).map(Option::unwrap_or_default);
        Ok(Some((row.get(1)?.unwrap_or_default(), count(2)?, count(3)?)))
    })
}
