//! The triggers on events and webhooks. They fire for every kind of write: function, SQL, COPY, a
//! dump, replication.

use crate::access::as_owner;
use crate::error::raise;
use crate::pg::backend_local::BackendLocal;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::PreparedOnce;
use crate::pg::fmgr::trigger as glue;
use crate::pg::xact::{session, snapshot};
use crate::telemetry::error::TelemetryError;
use crate::telemetry::ingest::ondisk_jsonb;
use crate::time::minute::minute_of;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

/// Columns that may be erased: no count depends on them.
const ERASABLE: [&str; 5] = ["user_id", "payload", "endpoint", "ip_address", "user_agent"];

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

/// BEFORE INSERT on event_log, each row whose tx is not the inserting transaction.
#[pg_trigger(sql = false)]
fn event_log_before_insert<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(Some(raise((|| {
        let mut row =
            trigger.new().ok_or(ServerError::NotATrigger("event_log_before_insert"))?.into_owned();
        row.set_by_name("tx", snapshot::assign_transaction() as i64)?;
        Ok::<_, TelemetryError>(row)
    })())))
}

/// BEFORE UPDATE OR DELETE on event_log, each row.
#[pg_trigger(sql = false)]
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
    let moves_status = glue::update_changes_json(trigger, c"payload", ondisk_jsonb::is_5xx);
    if moves_status || glue::update_changes_row(trigger, &ERASABLE) {
        return Err(TelemetryError::EventsAreAppendOnly);
    }
    Ok(Some(new.into_owned()))
}

/// BEFORE TRUNCATE on event_log.
#[pg_trigger(sql = false)]
fn event_log_before_truncate<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(session::require_latest_snapshot("TRUNCATE event_log"));
    raise(as_owner(|| {
        Spi::connect_mut(|client| {
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
#[pg_trigger(sql = false)]
fn processed_events_before_truncate<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(session::require_latest_snapshot("TRUNCATE processed_events"));
    raise(as_owner(|| {
        Spi::connect_mut(|client| {
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

/// AFTER INSERT OR UPDATE OR DELETE on processed_events, each row.
#[pg_trigger(sql = false)]
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
    let Some(row) = row else { return Ok(None) };
    let time: Option<TimestampWithTimeZone> = row.get_by_name("processed_at")?;
    let status: Option<String> = row.get_by_name("status")?;
    Ok(time.map(|time| (minute_of(time.into_inner()), status.as_deref() == Some("failed"))))
}
