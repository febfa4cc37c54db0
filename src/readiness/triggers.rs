//! Trigger functions on the tables of decisions.

use crate::error::raise;
use crate::pg::backend_local::BackendLocal;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::trigger as glue;
use crate::pg::xact::session;
use crate::readiness::error::ReadinessError;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    decisions_are_final:
        decisions_are_final_wrapper, pg_finfo_decisions_are_final_wrapper;
    seeded_rows_stay:
        seeded_rows_stay_wrapper, pg_finfo_seeded_rows_stay_wrapper;
}

const NOT_A_TRIGGER: ReadinessError =
    ReadinessError::Server(ServerError::NotATrigger("seeded_rows_stay"));
/// Columns that the trigger sets. A change of these alone is not a change of the row.
const BOOKKEEPING: [&str; 3] = ["seeded", "changed_at", "changed_by"];

/// Set while a restored row replaces a seeded one, so that the DELETE of the seeded row passes.
static DISPLACING: BackendLocal<bool> = BackendLocal::new(false);

/// Clears [`DISPLACING`], even if the DELETE fails.
struct DisplacingGuard;

impl Drop for DisplacingGuard {
    fn drop(&mut self) {
        DISPLACING.with(|is_running| *is_running = false);
    }
}

/// BEFORE UPDATE OR DELETE OR TRUNCATE on crewsnow_ops.decisions.
fn decisions_are_final<'a>(_trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(Err(ReadinessError::DecisionsAreFinal))
}

/// BEFORE INSERT OR UPDATE OR DELETE on each table with seeded rows.
fn seeded_rows_stay<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(raise(protect_seeded_rows(trigger)))
}

fn protect_seeded_rows<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ReadinessError> {
    let table = trigger.table_name()?;
    let (key, displace) = match table.as_str() {
        "criteria" => ("name", Some(include_str!("../../sql/readiness/displace_criterion.sql"))),
        "launch_plan" => ("flag_key", Some(include_str!("../../sql/readiness/displace_plan.sql"))),
        "checklist_items" => ("item", None),
        _ => return Err(NOT_A_TRIGGER),
    };
    match trigger.op()? {
        PgTriggerOperation::Insert => insert(trigger, key, displace),
        PgTriggerOperation::Update => update(trigger, &table, key, displace.is_some()),
        PgTriggerOperation::Delete => {
            let old = trigger.old().ok_or(NOT_A_TRIGGER)?.into_owned();
            let is_displaced = DISPLACING.with(|is_running| *is_running).unwrap_or(false);
            if old.get_by_name::<bool>("seeded")? == Some(true) && !is_displaced {
                return Err(built_in(&table, &old, key));
            }
            Ok(Some(old))
        }
        PgTriggerOperation::Truncate => Err(NOT_A_TRIGGER),
    }
}

fn built_in(table: &str, row: &Row<'_>, key: &str) -> ReadinessError {
    let key = row.get_by_name::<String>(key).ok().flatten().unwrap_or_default();
    ReadinessError::BuiltIn { table: table.to_owned(), key }
}

/// Restores a dump: a restored row replaces the seeded row of its key, if that is unchanged.
fn insert<'a>(
    trigger: &'a PgTrigger<'a>,
    key: &str,
    displace: Option<&'static str>,
) -> Result<Option<Row<'a>>, ReadinessError> {
    let mut row = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let Some(sql) = displace else {
        row.set_by_name("seeded", false)?;
        return Ok(Some(row));
    };
    // Only the owner restores, and a dump holds only changed rows. The INSERT … ON CONFLICT of
    // another role must not replace columns that it does not name.
    let is_restored = glue::is_owner(trigger)
        && row.get_by_name::<TimestampWithTimeZone>("changed_at")?.is_some();
    if !is_restored {
        row.set_by_name("seeded", false)?;
        stamp(&mut row)?;
        return Ok(Some(row));
    }
    let key: Option<String> = row.get_by_name(key)?;
    DISPLACING.with(|is_running| *is_running = true);
    let _guard = DisplacingGuard;
    let displace = |client: &mut pgrx::spi::SpiClient<'_>| {
        Ok::<_, ReadinessError>(!client.update(sql, None, &[key.into()])?.is_empty())
    };
    let has_displaced = Spi::connect_mut(displace)?;
    row.set_by_name("seeded", has_displaced)?;
    Ok(Some(row))
}

/// Stamps a changed row. Errors: 0A000 for a seeded row that would change its key or is fixed.
fn update<'a>(
    trigger: &'a PgTrigger<'a>,
    table: &str,
    key: &str,
    can_be_changed: bool,
) -> Result<Option<Row<'a>>, ReadinessError> {
    let old = trigger.old().ok_or(NOT_A_TRIGGER)?.into_owned();
    let mut new = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let seeded = old.get_by_name::<bool>("seeded")?.unwrap_or(false);
    let is_renamed = old.get_by_name::<String>(key)? != new.get_by_name::<String>(key)?;
    if seeded && (is_renamed || !can_be_changed) {
        return Err(built_in(table, &old, key));
    }
    new.set_by_name("seeded", seeded)?;
    if can_be_changed && glue::update_changes_row(trigger, &BOOKKEEPING) {
        stamp(&mut new)?;
    }
    Ok(Some(new))
}

fn stamp(row: &mut Row<'_>) -> Result<(), ReadinessError> {
    if let Ok(now) = TimestampWithTimeZone::try_from(clock::now()) {
        row.set_by_name("changed_at", now)?;
    }
    row.set_by_name("changed_by", session::user())?;
    Ok(())
}
