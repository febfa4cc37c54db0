//! The triggers on flags and flag history. They fire for every kind of change: function, SQL, COPY,
//! replication.

use super::{columns, history};
use crate::error::raise;
use crate::flags::error::FlagError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::invalidation;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::fmgr::trigger as glue;
use crate::pg::xact::{sec_context, session};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation, PgTriggerWhen};

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

/// BEFORE TRUNCATE: the same for all flags.
fn feature_flags_before_truncate<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(trigger.relid().map_err(FlagError::from).and_then(|table| {
        session::require_latest_snapshot("TRUNCATE feature_flags")?;
        invalidation::announce(table);
        history::record_truncate()
    }));
    Ok(None)
}

/// BEFORE UPDATE OR DELETE OR TRUNCATE on the history.
fn flag_history_is_append_only<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
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
        return replace_launch_flag(trigger, row);
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
    let has_replaced = Spi::connect_mut(|client| {
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

fn after_write(trigger: &PgTrigger<'_>) -> Result<(), FlagError> {
    if !matches!(trigger.when()?, PgTriggerWhen::After) {
        return Err(ServerError::NotATrigger("feature_flags_after_write").into());
    }
    invalidation::announce(trigger.relid()?);
    let (old, new) = (trigger.old(), trigger.new());
    if old.is_some() && new.is_some() && !glue::update_changes_row(trigger, &BOOKKEEPING) {
        return Ok(());
    }
    let row = new
        .as_ref()
        .or(old.as_ref())
        .ok_or(ServerError::NotATrigger("feature_flags_after_write"))?;
    let Some(id) = row.get_by_name::<pgrx::Uuid>("id")? else { return Ok(()) };
    let (before, after) = (glue::row_argument(trigger, old), glue::row_argument(trigger, new));
    history::record_change(id, &before, &after)
}

fn after_restore(trigger: &PgTrigger<'_>) -> Result<(), FlagError> {
    let Some(row) = trigger.new() else { return Ok(()) };
    let id: Option<pgrx::Uuid> = row.get_by_name("flag_id")?;
    let changed_at: Option<TimestampWithTimeZone> = row.get_by_name("changed_at")?;
    if !glue::is_owner(trigger) || !is_from_a_dump(changed_at)? {
        return Ok(());
    }
    let sql = in_target_schema(include_str!("../../sql/flags/remove_launch_flag.sql"))?;
    Spi::connect_mut(|client| {
        client.update(include_str!("../../sql/flags/lock_launch_flags.sql"), None, &[])?;
        client.update(sql.as_str(), None, &[id.into(), changed_at.into()])?;
        Ok(())
    })
}
