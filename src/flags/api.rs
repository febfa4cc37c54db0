//! The SQL surface of the flags.

use super::history::attributed;
use super::model::{Decision, validate_key};
use super::{cache, columns};
use crate::flags::error::FlagError;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::suggest;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, PgSqlErrorCode, function_name};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Changes a flag, or creates it. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL key), 22023 (malformed key, percentage outside 0 to 100),
/// 42704 (likely typo), 25006 (read-only), 55000 (row hidden or insert suppressed).
#[pg_extern(requires = ["flags"])]
#[search_path(pg_catalog, pg_temp)]
fn update_feature_flag(
    p_flag_key: Option<&str>,
    p_is_enabled: default!(Option<bool>, "NULL"),
    p_rollout_percentage: default!(Option<i32>, "NULL"),
    p_updated_by: default!(Option<&str>, "NULL"),
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
    attributed(p_updated_by, None, || {
        Spi::connect_mut(|client| {
            update(client, key, p_is_enabled, p_rollout_percentage, p_updated_by)
        })
    })?;
    Ok(true)
}

/// Restores all flags to their state at an earlier time. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (empty reason, time in the future or before the first
/// flag), 25001 (old snapshot), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["flags"])]
#[search_path(pg_catalog, pg_temp)]
fn restore_feature_flags(
    p_as_of: Option<TimestampWithTimeZone>,
    p_reason: Option<&str>,
) -> Result<i32, ErrorReport> {
    const EXAMPLE: &str =
        "SELECT crewsnow_ops.restore_feature_flags(now() - interval '15 minutes', 'INC-42: undo');";
    let as_of =
        p_as_of.ok_or(ServerError::NullArgument { argument: "p_as_of", example: EXAMPLE })?;
    let reason = p_reason
        .ok_or(ServerError::NullArgument { argument: "p_reason", example: EXAMPLE })?
        .trim();
    if reason.is_empty() {
        return Err(FlagError::EmptyReason.into());
    }
    require_writable("restore feature flags")?;
    require_latest_snapshot("restore feature flags")?;
    let changed =
        attributed(None, Some(reason), || Spi::connect_mut(|client| restore(client, as_of)))?;
    Ok(changed)
}

/// Explains an evaluation. See the COMMENT on the SQL function. Raises no errors of its own.
#[pg_extern(schema = "crewsnow_ops", stable, parallel_safe, requires = ["flags"])]
fn explain_feature_flag(
    p_flag_key: Option<&str>,
    p_user_id: default!(Option<pgrx::Uuid>, "NULL"),
) -> Option<JsonB> {
    let user = p_user_id.map(|user| *user.as_bytes());
    let decision = p_flag_key
        .map_or(Decision::FlagNotFound, |key| cache::decide(key.as_bytes(), user.as_ref()));
    let (reason, detail) = decision.reason();
    let explanation = Explanation {
        flag_key: p_flag_key,
        user_id: p_user_id.map(|user| user.to_string()),
        value: decision.is_on(),
        reason,
        detail,
        bucket: decision.bucket(),
    };
    serde_json::to_value(explanation).ok().map(JsonB)
}

#[derive(Serialize)]
struct Explanation<'a> {
    flag_key: Option<&'a str>,
    user_id: Option<String>,
    value: bool,
    reason: &'static str,
    detail: &'static str,
    bucket: Option<u8>,
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

/// The columns that update_feature_flag changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Setting {
    enabled: bool,
    percentage: i32,
}

impl Setting {
    fn with(self, enabled: Option<bool>, percentage: Option<i32>) -> Self {
        Self {
            enabled: enabled.unwrap_or(self.enabled),
            percentage: percentage.unwrap_or(self.percentage),
        }
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} %", if self.enabled { "enabled" } else { "disabled" }, self.percentage)
    }
}

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
        notify(PgLogLevel::NOTICE, format!("{key}: already {was}, nothing to change"), None);
    } else {
        let sql = in_target_schema(include_str!("../../sql/flags/update_flag.sql"))?;
        client.update(
            sql.as_str(),
            None,
            &[key.into(), asked.enabled.into(), asked.percentage.into()],
        )?;
        notify(PgLogLevel::NOTICE, format!("{key}: was {was}, is now {asked}"), None);
    }
    if asked.enabled && asked.percentage == 0 && keeps_percentage {
        warn_enabled_at_zero(key);
    }
    Ok(())
}

fn warn_enabled_at_zero(key: &str) {
    notify(
        PgLogLevel::WARNING,
        format!("{key} is enabled at 0 %: no user will see it"),
        Some(format!("SELECT update_feature_flag('{key}', true, 25);")),
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
    let similar = suggest::similar(key, known.iter().map(String::as_str));
    if !similar.is_empty() {
        return Err(FlagError::LikelyTypo { key: key.to_owned(), similar });
    }
    let setting = Setting { enabled: false, percentage: 100 }.with(enabled, percentage);
    let sql = in_target_schema(include_str!("../../sql/flags/insert_flag.sql"))?;
    let arguments =
        [key.into(), setting.enabled.into(), setting.percentage.into(), updated_by.into()];
    let created = !client.update(sql.as_str(), None, &arguments)?.is_empty();
    if created {
        notify(
            PgLogLevel::WARNING,
            format!("{key} is new: created, {setting}"),
            Some(format!("To undo: DELETE FROM feature_flags WHERE flag_key = '{key}';")),
        );
    }
    Ok(created)
}

fn restore(client: &mut SpiClient<'_>, as_of: TimestampWithTimeZone) -> Result<i32, FlagError> {
    let steps = [
        include_str!("../../sql/flags/restore_lock.sql"),
        include_str!("../../sql/flags/restore_check.sql"),
        include_str!("../../sql/flags/restore_remove.sql"),
        include_str!("../../sql/flags/restore_free_keys.sql"),
        include_str!("../../sql/flags/restore_add.sql"),
    ]
    .map(in_target_schema);
    let [lock, check, remove, free_keys, add] = steps;
    client.update(lock?.as_str(), None, &[])?;
    for row in client.update(check?.as_str(), None, &[as_of.into()])? {
        let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
        if row.get(1)?.unwrap_or(false) {
            return Err(FlagError::FutureInstant { asked: text(3)?, now: text(4)? });
        }
        if row.get(2)?.unwrap_or(false) {
            return Err(FlagError::BeforeFirstFlag { asked: text(3)?, earliest: text(5)? });
        }
    }
    let mut changed = BTreeSet::new();
    let mut removed = BTreeMap::new();
    for row in client.update(remove?.as_str(), None, &[as_of.into()])? {
        if let (Some(id), Some(key)) = (row.get::<pgrx::Uuid>(1)?, row.get::<String>(2)?) {
            removed.insert(*id.as_bytes(), key);
        }
    }
    client.update(free_keys?.as_str(), None, &[as_of.into()])?;
    for sql in [columns::restore_change(), add.map_err(FlagError::from)] {
        for row in client.update(sql?.as_str(), None, &[as_of.into()])? {
            let (Some(id), Some(key)) = (row.get::<pgrx::Uuid>(1)?, row.get::<String>(2)?) else {
                continue;
            };
            let is = Setting {
                enabled: row.get(3)?.unwrap_or(false),
                percentage: row.get(4)?.unwrap_or(0),
            };
            notify(PgLogLevel::NOTICE, format!("{key}: restored, is now {is}"), None);
            removed.remove(id.as_bytes());
            changed.insert(*id.as_bytes());
        }
    }
    for key in removed.values() {
        notify(PgLogLevel::NOTICE, format!("{key}: removed"), None);
    }
    Ok(i32::try_from(changed.len() + removed.len()).unwrap_or(i32::MAX))
}

fn notify(level: PgLogLevel, message: String, hint: Option<String>) {
    let code = match level {
        PgLogLevel::WARNING => PgSqlErrorCode::ERRCODE_WARNING,
        _ => PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
    };
    let mut report = ErrorReport::new(code, message, function_name!());
    if let Some(hint) = hint {
        report = report.set_hint(hint);
    }
    report.report(level);
}
