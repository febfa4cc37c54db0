//! The triggers on flags and flag history. They fire for every kind of change: function, SQL, COPY,
//! replication.

use super::{columns, history, message, model, reach, transaction};
use crate::error::raise;
use crate::flags::error::FlagError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::invalidation;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::fmgr::trigger as glue;
use crate::pg::trail_erasure;
use crate::pg::xact::{lock_wait, sec_context, session, snapshot};
use crate::settings::{self, LostUpdates};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, AllocatedByRust, PgTriggerOperation, PgTriggerWhen};

/// Columns that an evaluation reads. A change of others invalidates no cache.
const EVALUATED: [&str; 8] = [
    "flag_key",
    "is_enabled",
    "rollout_percentage",
    "target_user_ids",
    "target_premium_only",
    "target_regions",
    "target_segments",
    "rollout_group",
];

/// Columns that the trigger or reviewers maintain: a change of these alone is no change of the
/// flag.
const BOOKKEEPING: [&str; 2] = ["updated_at", "last_checked_at"];

/// The launch flag that a row from a dump is replacing: its `updated_at` is kept.
static REPLACING: BackendLocal<Option<pgrx::Uuid>> = BackendLocal::new(None);

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    feature_flags_before_write:
        feature_flags_before_write_wrapper, pg_finfo_feature_flags_before_write_wrapper;
    feature_flags_after_write:
        feature_flags_after_write_wrapper, pg_finfo_feature_flags_after_write_wrapper;
    feature_flags_before_truncate:
        feature_flags_before_truncate_wrapper, pg_finfo_feature_flags_before_truncate_wrapper;
    flag_history_is_append_only:
        flag_history_is_append_only_wrapper, pg_finfo_flag_history_is_append_only_wrapper;
    flag_history_after_restore:
        flag_history_after_restore_wrapper, pg_finfo_flag_history_after_restore_wrapper;
}

/// BEFORE INSERT OR UPDATE, each row: defaults that depend on other columns, `updated_at`, frozen
/// columns, rows restored from a dump.
fn feature_flags_before_write<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    let row = match trigger.op().map_err(FlagError::from) {
        Ok(PgTriggerOperation::Insert) => before_insert(trigger),
        Ok(PgTriggerOperation::Update) => before_update(trigger).map(Some),
        Ok(_) => Err(ServerError::NotATrigger("feature_flags_before_write").into()),
        Err(error) => Err(error),
    };
    Ok(raise(row))
}

/// AFTER INSERT OR UPDATE OR DELETE, each row: invalidates the caches and writes the history.
fn feature_flags_after_write<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(after_write(trigger));
    Ok(None)
}

/// BEFORE INSERT OR UPDATE OR DELETE, each statement: waits for locks end after seconds, with an
/// error that names the holder.
#[pg_trigger(sql = false)]
fn feature_flags_begin_statement<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    lock_wait::begin_statement();
    Ok(None)
}

/// AFTER INSERT OR UPDATE OR DELETE, each statement.
#[pg_trigger(sql = false)]
fn feature_flags_end_statement<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    lock_wait::end_statement();
    Ok(None)
}

/// BEFORE TRUNCATE: the same for all flags.
fn feature_flags_before_truncate<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(trigger.relid().map_err(FlagError::from).and_then(|table| {
        session::require_latest_snapshot("TRUNCATE feature_flags")?;
        invalidation::announce(table);
        transaction::note_change("");
        history::record_truncate()
    }));
    Ok(None)
}

/// BEFORE UPDATE OR DELETE OR TRUNCATE on the history.
fn flag_history_is_append_only<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    let is_update = trigger.op().is_ok_and(|op| matches!(op, PgTriggerOperation::Update));
    if history::is_erasing() || trail_erasure::is_running() && is_update {
        return Ok(None);
    }
    raise(Err(FlagError::HistoryIsAppendOnly))
}

/// AFTER INSERT on the history, each row that removes a flag. If the row comes from a dump, the
/// launch flag is removed, too.
fn flag_history_after_restore<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(after_restore(trigger));
    Ok(None)
}

/// The row to insert; `None` if it replaced the launch flag with the same id.
fn before_insert<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, FlagError> {
    let mut row =
        trigger.new().ok_or(ServerError::NotATrigger("feature_flags_before_write"))?.into_owned();
    if let Some(key) = row.get_by_name::<String>("flag_key")? {
        for column in ["flag_name", "rollout_group"] {
            if row.get_by_name::<String>(column)?.is_none() {
                row.set_by_name(column, key.clone())?;
            }
        }
    }
    if row.get_by_name::<String>("created_by")?.is_none() {
        row.set_by_name("created_by", sec_context::current_user())?;
    }
    if glue::is_owner(trigger) && is_from_a_dump(row.get_by_name("created_at")?)? {
        // The history, restored by another session, may hold the lock for long.
        return lock_wait::unlimited(|| replace_launch_flag(trigger, row));
    }
    if !history::is_restoring() {
        refuse_null_members(&row)?;
        refuse_case_twin(&row)?;
    }
    // After a time in the future, the next change could not move updated_at.
    let now = TimestampWithTimeZone::try_from(clock::now()).ok();
    if row.get_by_name("updated_at")? > now {
        row.set_by_name("updated_at", now)?;
    }
    Ok(Some(row))
}

fn is_from_a_dump(time: Option<TimestampWithTimeZone>) -> Result<bool, FlagError> {
    Spi::connect(|client| {
        let rows = client.select(
            include_str!("../../sql/flags/is_from_a_dump.sql"),
            None,
            &[time.into()],
        )?;
        Ok(!rows.is_empty())
    })
}

/// Lets a row from a dump replace the launch flag that CREATE EXTENSION made, unless that flag was
/// changed since. The flag with the same id takes the values of the row; another flag with the same
/// key is removed. Only the owner gets here, and the owner may do all of this directly.
fn replace_launch_flag<'a>(
    trigger: &'a PgTrigger<'a>,
    row: Row<'a>,
) -> Result<Option<Row<'a>>, FlagError> {
    let id: Option<pgrx::Uuid> = row.get_by_name("id")?;
    let key: Option<String> = row.get_by_name("flag_key")?;
    let created_at: Option<TimestampWithTimeZone> = row.get_by_name("created_at")?;
    let replace = columns::replace_launch_flag()?;
    let displace = in_target_schema(include_str!("../../sql/flags/displace_launch_flag.sql"))?;
    let (argument, row) = glue::row_copy(trigger, row);
    let has_replaced = spi::connect_mut(|client| {
        client.update(include_str!("../../sql/flags/lock_launch_flags.sql"), None, &[])?;
        client.update(displace.as_str(), None, &[id.into(), key.into(), created_at.into()])?;
        let _replacing = Replacing::start(id);
        Ok::<_, FlagError>(
            !client.update(replace.as_str(), None, &[id.into(), argument.bind()])?.is_empty(),
        )
    })?;
    Ok((!has_replaced).then_some(row))
}

struct Replacing(Option<pgrx::Uuid>);

impl Replacing {
    fn start(id: Option<pgrx::Uuid>) -> Self {
        Self(REPLACING.with(|state| std::mem::replace(state, id)).flatten())
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        REPLACING.with(|state| *state = self.0);
    }
}

fn before_update<'a>(trigger: &'a PgTrigger<'a>) -> Result<Row<'a>, FlagError> {
    const CALLED: FlagError =
        FlagError::Server(ServerError::NotATrigger("feature_flags_before_write"));
    let old = trigger.old().ok_or(CALLED)?;
    let mut new = trigger.new().ok_or(CALLED)?.into_owned();
    let frozen = |column| FlagError::FrozenColumn {
        column,
        key: old.get_by_name::<String>("flag_key").ok().flatten().unwrap_or_default(),
    };
    let id: Option<pgrx::Uuid> = old.get_by_name("id")?;
    if id != new.get_by_name("id")? {
        return Err(frozen("id"));
    }
    if old.get_by_name::<String>("rollout_group")? != new.get_by_name("rollout_group")? {
        return Err(frozen("rollout_group"));
    }
    if id.is_some() && REPLACING.with(|state| *state).flatten() == id {
        return Ok(new);
    }
    let mut updated_at: Option<TimestampWithTimeZone> = old.get_by_name("updated_at")?;
    if glue::update_changes_row(trigger, &BOOKKEEPING) {
        if !history::is_restoring() {
            refuse_null_members(&new)?;
            if old.get_by_name::<String>("flag_key")? != new.get_by_name("flag_key")? {
                refuse_case_twin(&new)?;
            }
            refuse_lost_update(&old, &new)?;
        }
        // Strictly later than before: the history stays in order even if the clock stands still.
        let earliest = updated_at.map_or(i64::MIN, |old| old.into_inner().saturating_add(1));
        updated_at =
            TimestampWithTimeZone::try_from(clock::now().max(earliest)).ok().or(updated_at);
    }
    if let Some(updated_at) = updated_at {
        new.set_by_name("updated_at", updated_at)?;
    }
    Ok(new)
}

/// 23514 for a NULL in a list of users, regions or segments: it matches no user, but whoever wrote
/// it may have meant all of them.
fn refuse_null_members(row: &Row<'_>) -> Result<(), FlagError> {
    let users: Option<pgrx::Array<'_, pgrx::Uuid>> = row.get_by_name("target_user_ids")?;
    let texts = |column| {
        let list: Option<pgrx::Array<'_, &str>> = row.get_by_name(column)?;
        Ok::<_, FlagError>(list.is_some_and(|list| list.contains_nulls()))
    };
    let column = if users.is_some_and(|users| users.contains_nulls()) {
        "target_user_ids"
    } else if texts("target_regions")? {
        "target_regions"
    } else if texts("target_segments")? {
        "target_segments"
    } else {
        return Ok(());
    };
    let key = row.get_by_name::<String>("flag_key")?.unwrap_or_default();
    Err(FlagError::NullMember { column, key })
}

/// 23505 for a key that differs from another flag's in case alone: one would be changed for the
/// other.
fn refuse_case_twin(row: &Row<'_>) -> Result<(), FlagError> {
    let Some(key) = row.get_by_name::<String>("flag_key")? else { return Ok(()) };
    let Some(id) = row.get_by_name::<pgrx::Uuid>("id")? else { return Ok(()) };
    let sql = in_target_schema(include_str!("../../sql/flags/case_twin.sql"))?;
    // Not a read-only query: another session may have inserted the twin since the statement began.
    let twin = spi::connect_mut(|client| {
        let row = client.update(sql.as_str(), Some(1), &[key.as_str().into(), id.into()])?.first();
        if row.is_empty() { Ok(None) } else { row.get::<String>(1) }
    })?;
    twin.map_or(Ok(()), |twin| Err(FlagError::CaseTwin { key, twin }))
}

/// 40001 for a whole row that was read before the last change of the flag, as its updated_at tells.
/// Depending on the setting a warning, or nothing.
fn refuse_lost_update(
    old: &PgHeapTuple<'_, impl pgrx::WhoAllocated>,
    new: &Row<'_>,
) -> Result<(), FlagError> {
    let mode = settings::lost_updates();
    let time = |row: Option<TimestampWithTimeZone>| row.map(TimestampWithTimeZone::into_inner);
    let saved: Option<TimestampWithTimeZone> = new.get_by_name("updated_at")?;
    let (Some(saved_at), Some(present)) = (time(saved), time(old.get_by_name("updated_at")?))
    else {
        return Ok(());
    };
    // now() is the start of the transaction: not a time that was read with the row.
    if mode == LostUpdates::Off
        || !model::is_stale(saved_at, present)
        || saved_at == snapshot::transaction_start()
        || saved_at == clock::statement_start()
    {
        return Ok(());
    }
    let id: Option<pgrx::Uuid> = old.get_by_name("id")?;
    let key = old.get_by_name::<String>("flag_key")?.unwrap_or_default();
    let newer = match (id, saved) {
        (Some(id), Some(saved)) => history::newer_change(id, saved)?,
        _ => None,
    };
    let Some(newer) = newer else { return Ok(()) };
    if mode == LostUpdates::Warn {
        let hint = format!(
            "SELECT * FROM crewsnow_ops.flag_history WHERE flag_key = '{key}' \
             ORDER BY changed_at DESC LIMIT 5;"
        );
        let message = format!("feature flag \"{key}\" was changed since the saved row was read");
        message::warn(message, Some(newer), hint);
        return Ok(());
    }
    Err(FlagError::LostUpdate { key, newer: format!("{newer} Nothing was changed.") })
}

/// Invalidates the caches of all sessions, and notifies those that listen.
fn announce(
    trigger: &PgTrigger<'_>,
    rows: [Option<&PgHeapTuple<'_, AllocatedByPostgres>>; 2],
) -> Result<(), FlagError> {
    invalidation::announce(trigger.relid()?);
    for row in rows.into_iter().flatten() {
        if let Some(key) = row.get_by_name::<String>("flag_key")? {
            transaction::note_change(&key);
        }
    }
    Ok(())
}

fn after_write(trigger: &PgTrigger<'_>) -> Result<(), FlagError> {
    if !matches!(trigger.when()?, PgTriggerWhen::After) {
        return Err(ServerError::NotATrigger("feature_flags_after_write").into());
    }
    let (old, new) = (trigger.old(), trigger.new());
    let is_update = old.is_some() && new.is_some();
    let is_evaluated = !is_update || glue::update_changes_columns(trigger, &EVALUATED);
    if is_evaluated {
        announce(trigger, [old.as_ref(), new.as_ref()])?;
    }
    if is_update && !glue::update_changes_row(trigger, &BOOKKEEPING) {
        return Ok(());
    }
    let is_enabled = match &new {
        Some(row) => row.get_by_name::<bool>("is_enabled")?.unwrap_or(false),
        None => false,
    };
    let row = new
        .as_ref()
        .or(old.as_ref())
        .ok_or(ServerError::NotATrigger("feature_flags_after_write"))?;
    let Some(id) = row.get_by_name::<pgrx::Uuid>("id")? else { return Ok(()) };
    let (before, after) =
        (glue::row_argument(trigger, trigger.old()), glue::row_argument(trigger, trigger.new()));
    history::record_change(id, &before, &after)?;
    // Not for rows from a publisher or a dump: their users may not have arrived yet.
    let is_loaded = || {
        let is_replacing = REPLACING.with(|state| state.is_some()).unwrap_or(false);
        Ok::<_, FlagError>(
            is_replacing
                || !is_update
                    && glue::is_owner(trigger)
                    && is_from_a_dump(row.get_by_name("created_at")?)?,
        )
    };
    if is_enabled && is_evaluated && lock_wait::is_in_statement() && !is_loaded()? {
        reach::warn_if_unreached(id)?;
    }
    Ok(())
}

fn after_restore(trigger: &PgTrigger<'_>) -> Result<(), FlagError> {
    let Some(row) = trigger.new() else { return Ok(()) };
    let id: Option<pgrx::Uuid> = row.get_by_name("flag_id")?;
    let changed_at: Option<TimestampWithTimeZone> = row.get_by_name("changed_at")?;
    if !glue::is_owner(trigger) || !is_from_a_dump(changed_at)? {
        return Ok(());
    }
    let sql = in_target_schema(include_str!("../../sql/flags/remove_launch_flag.sql"))?;
    spi::connect_mut(|client| {
        client.update(include_str!("../../sql/flags/lock_launch_flags.sql"), None, &[])?;
        client.update(sql.as_str(), None, &[id.into(), changed_at.into()])?;
        Ok(())
    })
}
