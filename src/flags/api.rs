//! The SQL surface of the flags.

use super::history::attributed;
use super::message::{Setting, notify, warn};
use super::model::validate_key;
use crate::flags::error::FlagError;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::xact::lock_wait;
use crate::pg::xact::session::require_writable;
use crate::suggest;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

/// Changes a flag, or creates it. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL key), 22023 (malformed key, percentage outside 0 to 100),
/// 42704 (likely typo), 25006 (read-only), 55000 (row hidden or insert suppressed), 55P03 (locked).
#[pg_extern(requires = ["flags"])]
#[search_path(pg_catalog, pg_temp)]
fn update_feature_flag(
    p_flag_key: Option<&str>,
    p_is_enabled: default!(Option<bool>, "NULL"),
    p_rollout_percentage: default!(Option<i32>, "NULL"),
    p_updated_by: default!(Option<&str>, "NULL"),
    p_reason: default!(Option<&str>, "NULL"),
) -> Result<bool, ErrorReport> {
    let key = p_flag_key.ok_or(ServerError::NullArgument {
        argument: "p_flag_key",
        example: "SELECT update_feature_flag('maintenance_mode', true);",
    })?;
    validate_key(key).map_err(FlagError::from)?;
    if let Some(percentage) = p_rollout_percentage
        && !(0..=100).contains(&percentage)
    {
        return Err(FlagError::InvalidPercentage(percentage).into());
    }
    require_writable("change feature flags")?;
    let reason = p_reason.map(str::trim).filter(|reason| !reason.is_empty());
    let work = || {
        spi::connect_mut(|client| {
            update(client, key, p_is_enabled, p_rollout_percentage, p_updated_by)
        })
    };
    attributed(p_updated_by, reason, || lock_wait::limited(work))
        .map_err(|timeout| ServerError::locked(format!("feature flag \"{key}\""), timeout))??;
    Ok(true)
}

fn update(
    client: &mut SpiClient<'_>,
    key: &str,
    enabled: Option<bool>,
    percentage: Option<i32>,
    updated_by: Option<&str>,
) -> Result<(), FlagError> {
    client.update(
        in_target_schema(include_str!("../../sql/flags/lock_flags.sql"))?.as_str(),
        None,
        &[],
    )?;
    // Another session may create the flag between the look-up and the insert, or remove it again:
    // then retry. The rounds are limited because a policy may show a row that cannot be locked, and
    // a trigger may suppress the insert.
    for _ in 0..MAX_ROUNDS {
        if let Some(was) = lock(client, key)? {
            return change(client, key, was, was.with(enabled, percentage), percentage.is_none());
        }
        if create(client, key, enabled, percentage, updated_by)? {
            return Ok(());
        }
    }
    Err(FlagError::Unreachable(key.to_owned()))
}

/// More rounds than other sessions create and remove a flag in.
const MAX_ROUNDS: u32 = 100;

fn lock(client: &mut SpiClient<'_>, key: &str) -> Result<Option<Setting>, FlagError> {
    let sql = in_target_schema(include_str!("../../sql/flags/lock_flag.sql"))?;
    let row = client.update(sql.as_str(), None, &[key.into()])?.next();
    row.map(|row| {
        Ok(Setting { enabled: row.get(1)?.unwrap_or(false), percentage: row.get(2)?.unwrap_or(0) })
    })
    .transpose()
}

fn change(
    client: &mut SpiClient<'_>,
    key: &str,
    was: Setting,
    asked: Setting,
    keeps_percentage: bool,
) -> Result<(), FlagError> {
    if asked == was {
        notify(format!("{key}: already {was}, nothing to change"));
    } else {
        let sql = in_target_schema(include_str!("../../sql/flags/update_flag.sql"))?;
        client.update(
            sql.as_str(),
            None,
            &[key.into(), asked.enabled.into(), asked.percentage.into()],
        )?;
        notify(format!("{key}: was {was}, is now {asked}"));
    }
    if asked.enabled && asked.percentage == 0 && keeps_percentage {
        warn_enabled_at_zero(key);
    }
    Ok(())
}

fn warn_enabled_at_zero(key: &str) {
    warn(
        format!("{key} is enabled at 0 %: no user will see it"),
        None,
        format!("SELECT update_feature_flag('{key}', true, 25);"),
    );
}

/// Creates an unknown flag, unless the key is likely a typo of a known one. False if another
/// session created the flag meanwhile.
fn create(
    client: &mut SpiClient<'_>,
    key: &str,
    enabled: Option<bool>,
    percentage: Option<i32>,
    updated_by: Option<&str>,
) -> Result<bool, FlagError> {
    let sql = in_target_schema(include_str!("../../sql/flags/known_keys.sql"))?;
    let known = client
        .update(sql.as_str(), None, &[])?
        .map(|row| row.get::<String>(1).map(Option::unwrap_or_default))
        .collect::<Result<Vec<_>, _>>()?;
    if known.iter().any(|known| known == key) {
        return Ok(false);
    }
    let similar = suggest::similar_or_part(key, known.iter().map(String::as_str));
    if !similar.is_empty() {
        return Err(FlagError::LikelyTypo { key: key.to_owned(), similar });
    }
    let setting = Setting { enabled: false, percentage: 100 }.with(enabled, percentage);
    let sql = in_target_schema(include_str!("../../sql/flags/insert_flag.sql"))?;
    let arguments =
        [key.into(), setting.enabled.into(), setting.percentage.into(), updated_by.into()];
    let created = !client.update(sql.as_str(), None, &arguments)?.is_empty();
    if created {
        warn(
            format!("{key} is new: created, {setting}"),
            None,
            format!("To undo: DELETE FROM feature_flags WHERE flag_key = '{key}';"),
        );
    }
    Ok(created)
}
