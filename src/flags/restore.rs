//! Restoring flags to an earlier state.
//!
//! A restore locks the rows of its flags, not the table: flags outside it can be changed meanwhile.
//! While it waits for one row it holds no other, so it is never in the way of a flip.

use super::columns;
use super::history::restoring;
use super::message::{Setting, notify, warn};
use crate::flags::error::FlagError;
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Xid8;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::fmgr::srf::QueryRows;
use crate::pg::xact::lock_wait::{self, timed_out};
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::pg::xact::subtransaction::{catching, rolled_back};
use crate::suggest;
use pgrx::PgSqlErrorCode;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

const EXAMPLE: &str =
    "SELECT crewsnow_ops.restore_feature_flags(now() - interval '15 minutes', 'INC-42: undo');";
const TRANSACTION_EXAMPLE: &str = "SELECT crewsnow_ops.restore_flag_transaction(xid, 'INC-42') \
     FROM crewsnow_ops.flag_history ORDER BY changed_at DESC LIMIT 1;";

/// Restores flags to their state at an earlier time. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (empty reason, time in the future or before the first
/// flag), 25001 (old snapshot), 25006 (read-only), 42704 (unknown key), 55P03 (locked).
#[pg_extern(schema = "crewsnow_ops", requires = ["flags"])]
#[search_path(pg_catalog, pg_temp)]
fn restore_feature_flags(
    p_as_of: Option<TimestampWithTimeZone>,
    p_reason: Option<&str>,
    p_flag_keys: default!(Option<Vec<Option<String>>>, "NULL"),
    p_person: default!(Option<&str>, "NULL"),
) -> Result<i32, ErrorReport> {
    let as_of =
        p_as_of.ok_or(ServerError::NullArgument { argument: "p_as_of", example: EXAMPLE })?;
    let reason = required_reason(p_reason, EXAMPLE)?;
    let keys = match p_flag_keys {
        None => None,
        Some(keys) => Some(keys.into_iter().collect::<Option<Vec<String>>>().ok_or(
            ServerError::NullArgument { argument: "an element of p_flag_keys", example: EXAMPLE },
        )?),
    };
    let scope = Scope { as_of: Some(as_of), keys, person: p_person.map(str::to_owned), xid: None };
    Ok(run(&scope, reason)?)
}

/// Undoes the changes of one transaction. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (empty reason), 25001 (old snapshot), 25006 (read-only),
/// 42704 (no such transaction), 55P03 (locked).
#[pg_extern(schema = "crewsnow_ops", requires = ["flags"])]
#[search_path(pg_catalog, pg_temp)]
fn restore_flag_transaction(
    p_xid: Option<Xid8>,
    p_reason: Option<&str>,
) -> Result<i32, ErrorReport> {
    if p_xid.is_none() {
        let error = ServerError::NullArgument { argument: "p_xid", example: TRANSACTION_EXAMPLE };
        return Err(error.into());
    }
    let reason = required_reason(p_reason, TRANSACTION_EXAMPLE)?;
    let scope = Scope { as_of: None, keys: None, person: None, xid: p_xid };
    Ok(run(&scope, reason)?)
}

/// The flags that a restore would change. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (neither time nor transaction), 22023 (time in the future or before the first
/// flag).
#[pg_extern(sql = false)]
fn preview_restore(
    p_as_of: Option<TimestampWithTimeZone>,
    p_flag_keys: Option<Vec<Option<String>>>,
    p_person: Option<&str>,
    p_xid: Option<Xid8>,
) -> Result<QueryRows, ErrorReport> {
    const EXAMPLE: &str =
        "SELECT * FROM crewsnow_ops.preview_restore(now() - interval '15 minutes');";
    if p_as_of.is_none() && p_xid.is_none() {
        return Err(ServerError::NullArgument { argument: "p_as_of", example: EXAMPLE }.into());
    }
    let keys = p_flag_keys.map(|keys| keys.into_iter().flatten().collect::<Vec<String>>());
    let person = p_person.map(str::to_owned);
    let scope = Scope { as_of: p_as_of, keys, person, xid: p_xid };
    check_time(&scope)?;
    let sql = in_target_schema(include_str!("../../sql/flags/preview_restore.sql"))?;
    Ok(QueryRows::of(&sql, &scope.arguments()))
}

fn required_reason<'a>(
    reason: Option<&'a str>,
    example: &'static str,
) -> Result<&'a str, FlagError> {
    let reason = reason.ok_or(ServerError::NullArgument { argument: "p_reason", example })?.trim();
    if reason.is_empty() { Err(FlagError::EmptyReason) } else { Ok(reason) }
}

/// The flags to restore, and the state that they go back to.
struct Scope {
    /// The time; `None` if a transaction is undone.
    as_of: Option<TimestampWithTimeZone>,
    /// Only flags that have one of these keys, now or then; `None` for all.
    keys: Option<Vec<String>>,
    /// Only changes of this person.
    person: Option<String>,
    /// Only changes of this transaction.
    xid: Option<Xid8>,
}

impl Scope {
    fn is_partial(&self) -> bool {
        self.keys.is_some() || self.person.is_some() || self.xid.is_some()
    }

    fn arguments(&self) -> [DatumWithOid<'_>; 4] {
        [
            self.as_of.into(),
            self.keys.clone().into(),
            self.person.clone().into(),
            Xid8::bind(self.xid),
        ]
    }

    /// The people with changes that a restore of all flags undoes; none for a partial restore.
    fn people(&self) -> Result<Vec<String>, FlagError> {
        let Some(as_of) = self.as_of.filter(|_| !self.is_partial()) else { return Ok(Vec::new()) };
        let sql = include_str!("../../sql/flags/people_since.sql");
        spi::connect_mut(|client| {
            let row = client.update(sql, Some(1), &[as_of.into()])?.first();
            Ok(row.get(1)?.unwrap_or_default())
        })
    }

    fn targets(&self) -> Result<Targets, FlagError> {
        let sql = include_str!("../../sql/flags/restore_targets.sql");
        // Not a read-only query: changes that were waited for must be seen.
        spi::connect_mut(|client| {
            let row = client.update(sql, Some(1), &self.arguments())?.first();
            Ok(Targets {
                rows: row.get(1)?.unwrap_or_default(),
                ids: row.get(2)?.unwrap_or_default(),
                found_keys: row.get(3)?.unwrap_or_default(),
                left_alone: row.get(4)?.unwrap_or_default(),
            })
        })
    }
}

/// The flags of a scope.
struct Targets {
    /// A JSON array of objects: `flag_id`, and the row to restore as `image`.
    rows: String,
    /// The ids of the flags in `rows`, sorted.
    ids: Vec<pgrx::Uuid>,
    /// The keys that these flags have now or had then.
    found_keys: Vec<String>,
    /// Sentences about flags that are left alone, because others have changed them since.
    left_alone: Vec<String>,
}

fn run(scope: &Scope, reason: &str) -> Result<i32, FlagError> {
    require_writable("restore feature flags")?;
    require_latest_snapshot("restore feature flags")?;
    let work = || {
        check_time(scope)?;
        let targets = locked_targets(scope)?;
        check_found(scope, &targets)?;
        let people = scope.people()?;
        let changed = apply(&targets)?;
        if changed > 0 && people.len() > 1 {
            notify(format!(
                "changes of {} were undone; p_person, p_flag_keys or restore_flag_transaction \
                 undo less",
                suggest::quoted_list(&people, "and")
            ));
        }
        Ok(changed)
    };
    restoring(reason, || lock_wait::limited(work))
        .map_err(|timeout| ServerError::locked("the flags to restore", timeout))?
}

/// 22023 for a time in the future, and for all flags before the first one.
fn check_time(scope: &Scope) -> Result<(), FlagError> {
    let Some(as_of) = scope.as_of else { return Ok(()) };
    let check = in_target_schema(include_str!("../../sql/flags/restore_check.sql"))?;
    Spi::connect(|client| {
        for row in client.select(check.as_str(), None, &[as_of.into()])? {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            if row.get(1)?.unwrap_or(false) {
                return Err(FlagError::FutureInstant { asked: text(3)?, now: text(4)? });
            }
            if row.get(2)?.unwrap_or(false) && scope.person.is_none() {
                return Err(FlagError::BeforeFirstFlag { asked: text(3)?, earliest: text(5)? });
            }
        }
        Ok(())
    })
}

/// More rounds than other sessions rename or recreate flags in.
const MAX_ROUNDS: u32 = 1_000;

/// The targets, with the rows of their flags locked.
fn locked_targets(scope: &Scope) -> Result<Targets, FlagError> {
    let mut targets = scope.targets()?;
    for _ in 0..MAX_ROUNDS {
        let ids = scope.is_partial().then(|| targets.ids.clone());
        if !lock_at_once(ids.clone())? {
            wait_for_one(ids)?;
            targets = scope.targets()?;
            continue;
        }
        // Read again: the rows may have changed before they were locked.
        let again = scope.targets()?;
        let is_locked = !scope.is_partial() || again.ids == targets.ids;
        targets = again;
        if is_locked {
            return Ok(targets);
        }
    }
    Err(FlagError::Unreachable(scope.keys.clone().unwrap_or_default().join(", ")))
}

/// Runs a statement that locks the flags with these ids, all if `None`. Returns the ids.
fn lock(ids: Option<Vec<pgrx::Uuid>>, wait: &str) -> Result<Vec<pgrx::Uuid>, FlagError> {
    let sql = in_target_schema(include_str!("../../sql/flags/restore_lock.sql"))?;
    let sql = sql.replace("@wait@", wait);
    spi::connect_mut(|client| {
        client
            .update(sql.as_str(), None, &[ids.into()])?
            .map(|row| Ok(row.get::<pgrx::Uuid>(1)?.ok_or(ServerError::NotInstalled)?))
            .collect()
    })
}

/// Locks the rows without waiting. False, and no row is locked, if another session has one.
fn lock_at_once(ids: Option<Vec<pgrx::Uuid>>) -> Result<bool, FlagError> {
    let codes = [PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE];
    match catching(&codes, AssertUnwindSafe(|| lock(ids, "FOR UPDATE NOWAIT"))) {
        Ok(locked) => locked.map(|_| true),
        Err(failure) if failure.is_lock_timeout() => failure.raise(),
        Err(_) => Ok(false),
    }
}

/// Waits for one row that another session has locked, and keeps no lock.
fn wait_for_one(ids: Option<Vec<pgrx::Uuid>>) -> Result<(), FlagError> {
    let all = lock(ids.clone(), "")?;
    let free = rolled_back(AssertUnwindSafe(|| lock(ids, "FOR UPDATE SKIP LOCKED")))
        .unwrap_or_else(|failure| failure.raise())?;
    let Some(taken) = all.into_iter().find(|id| !free.contains(id)) else { return Ok(()) };
    lock_wait::in_scope(|limit| {
        let wait = AssertUnwindSafe(|| lock(Some(vec![taken]), "FOR UPDATE"));
        match rolled_back(wait) {
            Ok(result) => result.map(|_| ()),
            Err(failure) => {
                let timeout = timed_out(failure, limit);
                Err(ServerError::locked("the flags to restore", timeout).into())
            }
        }
    })
}

/// 42704 for a key that no flag has now or had then, and for a transaction that changed none.
fn check_found(scope: &Scope, targets: &Targets) -> Result<(), FlagError> {
    let is_unknown = |key: &&String| !targets.found_keys.contains(key);
    if let Some(key) = scope.keys.iter().flatten().find(is_unknown) {
        let known = known_keys()?;
        let similar = suggest::similar_or_part(key, known.iter().map(String::as_str));
        return Err(FlagError::UnknownFlag { key: key.clone(), similar });
    }
    if scope.xid.is_some() && targets.found_keys.is_empty() {
        return Err(FlagError::UnknownTransaction);
    }
    Ok(())
}

/// The keys of all present flags.
fn known_keys() -> Result<Vec<String>, FlagError> {
    let sql = in_target_schema(include_str!("../../sql/flags/known_keys.sql"))?;
    Spi::connect(|client| {
        client
            .select(sql.as_str(), None, &[])?
            .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
            .collect()
    })
}

fn apply(targets: &Targets) -> Result<i32, FlagError> {
    let steps = [
        include_str!("../../sql/flags/restore_remove.sql"),
        include_str!("../../sql/flags/restore_free_keys.sql"),
        include_str!("../../sql/flags/restore_add.sql"),
    ]
    .map(in_target_schema);
    let [remove, free_keys, add] = steps;
    let rows = || [targets.rows.as_str().into()];
    let mut changed = BTreeSet::new();
    let mut removed = BTreeMap::new();
    spi::connect_mut(|client| {
        for row in client.update(remove?.as_str(), None, &rows())? {
            if let (Some(id), Some(key)) = (row.get::<pgrx::Uuid>(1)?, row.get::<String>(2)?) {
                removed.insert(*id.as_bytes(), key);
            }
        }
        client.update(free_keys?.as_str(), None, &rows())?;
        for sql in [columns::restore_change(), add.map_err(FlagError::from)] {
            for row in client.update(sql?.as_str(), None, &rows())? {
                let (Some(id), Some(key)) = (row.get::<pgrx::Uuid>(1)?, row.get::<String>(2)?)
                else {
                    continue;
                };
                let is = Setting {
                    enabled: row.get(3)?.unwrap_or(false),
                    percentage: row.get(4)?.unwrap_or(0),
                };
                notify(format!("{key}: restored, is now {is}"));
                removed.remove(id.as_bytes());
                changed.insert(*id.as_bytes());
            }
        }
        Ok::<_, FlagError>(())
    })?;
    for key in removed.values() {
        notify(format!("{key}: removed"));
    }
    for sentence in &targets.left_alone {
        let hint = "SELECT * FROM crewsnow_ops.flag_history ORDER BY changed_at DESC LIMIT 20;";
        warn(sentence.clone(), None, hint.into());
    }
    Ok(i32::try_from(changed.len() + removed.len()).unwrap_or(i32::MAX))
}
