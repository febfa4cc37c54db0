//! The triggers on events and webhooks. They fire for every kind of write: function, SQL, COPY, a
//! dump, replication.

use crate::access::as_owner;
use crate::error::raise;
use crate::pg::backend_local::BackendLocal;
use crate::pg::builtins;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::PreparedOnce;
use crate::pg::fmgr::trigger as glue;
use crate::pg::trail_erasure;
use crate::pg::xact::{sec_context, session, snapshot};
use crate::telemetry::error::TelemetryError;
use crate::telemetry::ingest::ondisk_jsonb;
use crate::telemetry::rollup::attempt::{Assigned, Attempt, Status};
use crate::time::minute::minute_of;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

/// Columns that may be erased: no count depends on them.
const ERASABLE: [&str; 5] = ["user_id", "payload", "endpoint", "ip_address", "user_agent"];
/// Those among them that are erased as a whole. Keys can be removed from the payload.
const BLANKED: [&str; 4] = ["user_id", "endpoint", "ip_address", "user_agent"];

glue::trigger_functions! {
    event_log_before_insert:
        event_log_before_insert_wrapper, pg_finfo_event_log_before_insert_wrapper;
    event_log_before_change:
        event_log_before_change_wrapper, pg_finfo_event_log_before_change_wrapper;
    event_log_before_truncate:
        event_log_before_truncate_wrapper, pg_finfo_event_log_before_truncate_wrapper;
    processed_events_before_write:
        processed_events_before_write_wrapper, pg_finfo_processed_events_before_write_wrapper;
    processed_events_before_truncate:
        processed_events_before_truncate_wrapper, pg_finfo_processed_events_before_truncate_wrapper;
    processed_events_after_change:
        processed_events_after_change_wrapper, pg_finfo_processed_events_after_change_wrapper;
}

static ERASURE: PreparedOnce = PreparedOnce::new(
    include_str!("../../../sql/telemetry/record_erasure.sql"),
    &[pg_sys::UUIDOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
);

static JOURNAL: PreparedOnce = PreparedOnce::new(
    include_str!("../../../sql/telemetry/journal_webhook.sql"),
    &[pg_sys::TIMESTAMPTZOID, pg_sys::INT4OID, pg_sys::INT4OID],
);

/// Set while retention deletes counted events.
static RETENTION: BackendLocal<bool> = BackendLocal::new(false);

struct Retiring;

impl Drop for Retiring {
    fn drop(&mut self) {
        RETENTION.with(|is_running| *is_running = false);
    }
}

/// Allows `work` to delete events.
pub fn retiring<R>(work: impl FnOnce() -> R) -> R {
    RETENTION.with(|is_running| *is_running = true);
    let _retiring = Retiring;
    work()
}

/// BEFORE INSERT on event_log, each row whose tx is not the inserting transaction or whose id is
/// NULL, as some object-relational mappers write it.
fn event_log_before_insert<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(Some(raise((|| {
        let mut row =
            trigger.new().ok_or(ServerError::NotATrigger("event_log_before_insert"))?.into_owned();
        row.set_by_name("tx", snapshot::assign_transaction() as i64)?;
        if row.get_by_name::<pgrx::Uuid>("id")?.is_none() {
            row.set_by_name("id", builtins::new_uuid())?;
        }
        Ok::<_, TelemetryError>(row)
    })())))
}

/// BEFORE UPDATE OR DELETE on event_log, each row.
fn event_log_before_change<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(raise(before_change(trigger)))
}

fn before_change<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, TelemetryError> {
    let old = trigger.old().ok_or(ServerError::NotATrigger("event_log_before_change"))?;
    if matches!(trigger.op()?, PgTriggerOperation::Delete) {
        return match RETENTION.with(|is_running| *is_running) {
            Some(true) => Ok(Some(old.into_owned())),
            _ => Err(TelemetryError::EventsAreAppendOnly),
        };
    }
    let new = trigger.new().ok_or(ServerError::NotATrigger("event_log_before_change"))?;
    let moves_status = [ondisk_jsonb::is_5xx, ondisk_jsonb::has_status]
        .iter()
        .any(|holds| glue::update_changes_json(trigger, c"payload", *holds));
    let overwrites = || glue::update_overwrites(trigger, &BLANKED) || overwrites_payload(trigger);
    if moves_status
        || glue::update_changes_row(trigger, &ERASABLE)
        // An erasure puts a pseudonym in the place of a person.
        || !trail_erasure::is_running() && overwrites()
    {
        return Err(TelemetryError::EventsAreAppendOnly);
    }
    let erased = glue::changed_columns(trigger);
    if !erased.is_empty() {
        let id: Option<pgrx::Uuid> = old.get_by_name("id")?;
        let acting_as = sec_context::current_user();
        as_owner(|| ERASURE.run(&[id.into(), erased.into(), acting_as.into()]))?;
    }
    Ok(Some(new.into_owned()))
}

/// Whether an UPDATE does more to the payload than to remove keys from it.
fn overwrites_payload(trigger: &PgTrigger<'_>) -> bool {
    match glue::json_values(trigger, c"payload") {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => !old.contains(new),
    }
}

/// BEFORE TRUNCATE on event_log.
fn event_log_before_truncate<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(session::require_latest_snapshot("TRUNCATE event_log"));
    raise(as_owner(|| {
        spi::connect_mut(|client| {
            client.update(
                include_str!("../../../sql/telemetry/forget_event_rollups.sql"),
                None,
                &[],
            )?;
            Ok::<_, TelemetryError>(())
        })
    }));
    Ok(None)
}

/// BEFORE TRUNCATE on processed_events.
fn processed_events_before_truncate<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(session::require_latest_snapshot("TRUNCATE processed_events"));
    raise(as_owner(|| {
        spi::connect_mut(|client| {
            // Wait for a running roll-up first: the next statement must see its rows.
            client.update(
                include_str!("../../../sql/telemetry/await_rollup_state.sql"),
                None,
                &[],
            )?;
            client.update(
                include_str!("../../../sql/telemetry/forget_webhook_rollups.sql"),
                None,
                &[],
            )?;
            Ok::<_, TelemetryError>(())
        })
    }));
    Ok(None)
}

/// BEFORE INSERT OR UPDATE on processed_events, each row: see [`keep_books`].
fn processed_events_before_write<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(Some(raise(keep_books(trigger))))
}

static REVERSAL: PreparedOnce = PreparedOnce::new(
    include_str!("../../../sql/telemetry/record_reversal.sql"),
    &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
);

/// Keeps processed_at and failed_at in step with a status that plain SQL sets, and records a status
/// that goes backwards. An INSERT may give NULL for a column with a default.
fn keep_books<'a>(trigger: &'a PgTrigger<'a>) -> Result<Row<'a>, TelemetryError> {
    const NAME: &str = "processed_events_before_write";
    let mut row = trigger.new().ok_or(ServerError::NotATrigger(NAME))?.into_owned();
    let is_insert = matches!(trigger.op()?, PgTriggerOperation::Insert);
    if is_insert {
        fill_defaults(&mut row)?;
    }
    let new = Attempt::read(&row)?;
    let (Some(new), old) =
        (new, trigger.old().map(|old| Attempt::read(&old)).transpose()?.flatten())
    else {
        return Ok(row);
    };
    let assigned = Assigned {
        status: !is_insert && glue::assigns(trigger, c"status"),
        processed_at: is_insert || glue::assigns(trigger, c"processed_at"),
    };
    let times = new.times(old.as_ref(), assigned, clock::now(), snapshot::transaction_start());
    for (column, before, after) in [
        ("processed_at", Some(new.processed_at), Some(times.processed_at)),
        ("failed_at", new.failed_at, times.failed_at),
    ] {
        if before != after {
            let after = after.and_then(|time| TimestampWithTimeZone::try_from(time).ok());
            row.set_by_name(column, after)?;
        }
    }
    if old.is_some_and(|old| old.status == Status::Processed) && new.status != Status::Processed {
        let id: Option<String> = row.get_by_name("event_id")?;
        let statuses = [Status::Processed, new.status].map(Status::as_str);
        as_owner(|| REVERSAL.run(&[id.into(), statuses[0].into(), statuses[1].into()]))?;
    }
    Ok(row)
}

fn fill_defaults(row: &mut Row<'_>) -> Result<(), TelemetryError> {
    if row.get_by_name::<TimestampWithTimeZone>("processed_at")?.is_none() {
        let now = TimestampWithTimeZone::try_from(snapshot::transaction_start()).ok();
        row.set_by_name("processed_at", now)?;
    }
    if row.get_by_name::<String>("status")?.is_none() {
        row.set_by_name("status", Status::Processed.as_str().to_owned())?;
    }
    if row.get_by_name::<i32>("attempts")?.is_none() {
        row.set_by_name("attempts", 1_i32)?;
    }
    Ok(())
}

impl Attempt {
    /// `None` if the row violates a constraint, which the server reports then.
    fn read<A: pgrx::WhoAllocated>(
        row: &PgHeapTuple<'_, A>,
    ) -> Result<Option<Self>, TelemetryError> {
        let time = |column| {
            let time: Option<TimestampWithTimeZone> = row.get_by_name(column)?;
            Ok::<_, TelemetryError>(time.map(TimestampWithTimeZone::into_inner))
        };
        let status: Option<String> = row.get_by_name("status")?;
        let status = status.as_deref().and_then(Status::parse);
        let (processed_at, failed_at) = (time("processed_at")?, time("failed_at")?);
        Ok(status.zip(processed_at).map(|(status, processed_at)| Self {
            status,
            processed_at,
            failed_at,
        }))
    }
}

/// AFTER INSERT OR UPDATE OR DELETE on processed_events, each row.
fn processed_events_after_change<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise((|| {
        let before = minute_and_failure(trigger.old())?;
        let after = minute_and_failure(trigger.new())?;
        if before == after {
            return Ok::<_, TelemetryError>(());
        }
        for (row, sign) in [(before, -1), (after, 1)] {
            let Some((minute, is_failed)) = row else { continue };
            let minute = TimestampWithTimeZone::try_from(minute).ok();
            as_owner(|| {
                JOURNAL.run(&[minute.into(), sign.into(), (sign * i32::from(is_failed)).into()])
            })?;
        }
        Ok(())
    })());
    Ok(None)
}

fn minute_and_failure<A: pgrx::WhoAllocated>(
    row: Option<PgHeapTuple<'_, A>>,
) -> Result<Option<(i64, bool)>, TelemetryError> {
    let attempt = row.map(|row| Attempt::read(&row)).transpose()?.flatten();
    Ok(attempt.map(|attempt| (minute_of(attempt.processed_at), attempt.is_failed())))
}
