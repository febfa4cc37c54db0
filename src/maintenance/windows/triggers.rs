//! The trigger on crewsnow_ops.maintenance_windows.

use super::error::WindowError;
use super::zone::accepted;
use crate::error::raise;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::trigger as glue;
use crate::pg::xact::session;
use pgrx::datum::{Date, Interval, Time};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    maintenance_window_is_valid:
        maintenance_window_is_valid_wrapper, pg_finfo_maintenance_window_is_valid_wrapper;
}

const NOT_A_TRIGGER: WindowError =
    WindowError::Server(ServerError::NotATrigger("maintenance_window_is_valid"));

/// Columns that the trigger sets. A change of these alone is not a change of the window.
const BOOKKEEPING: [&str; 3] = ["revision", "changed_at", "changed_by"];

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// BEFORE INSERT OR UPDATE on crewsnow_ops.maintenance_windows.
fn maintenance_window_is_valid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(raise(validate(trigger)))
}

fn validate<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, WindowError> {
    let mut row = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let is_update = matches!(trigger.op()?, PgTriggerOperation::Update);
    let weekday: Option<String> = row.get_by_name("weekday")?;
    if weekday.is_some() == row.get_by_name::<Date>("on_date")?.is_some() {
        return Err(WindowError::NoDay { has_both: weekday.is_some() });
    }
    if let Some(weekday) = weekday {
        let day = known_weekday(&weekday).ok_or(WindowError::UnknownWeekday(weekday))?;
        row.set_by_name("weekday", day)?;
    }
    let is_new_zone = !is_update || glue::update_changes_columns(trigger, &["time_zone"]);
    if let Some(zone) = row.get_by_name::<String>("time_zone")?.filter(|_| is_new_zone) {
        match accepted(&zone, &zones()?) {
            Ok(zone) => row.set_by_name("time_zone", zone)?,
            Err(refused) => {
                let correction = match &refused.instead {
                    Some(instead) => corrected(&row, is_update, instead)?,
                    None => None,
                };
                return Err(WindowError::RefusedZone { zone, refused, correction });
            }
        }
    }
    stamp(trigger, &mut row, is_update)?;
    Ok(Some(row))
}

/// Counts a change. A restore, which the owner runs, keeps the counts of the dump.
fn stamp(trigger: &PgTrigger<'_>, row: &mut Row<'_>, is_update: bool) -> Result<(), WindowError> {
    if is_update {
        let old = trigger.old().ok_or(NOT_A_TRIGGER)?;
        let revision: i32 = old.get_by_name("revision")?.unwrap_or_default();
        row.set_by_name("window_id", old.get_by_name::<pgrx::Uuid>("window_id")?)?;
        if !glue::update_changes_row(trigger, &BOOKKEEPING) {
            return Ok(());
        }
        row.set_by_name("revision", revision.saturating_add(1))?;
    } else if glue::is_owner(trigger) {
        return Ok(());
    } else {
        row.set_by_name("revision", 0)?;
    }
    row.set_by_name("changed_at", TimestampWithTimeZone::try_from(clock::now()).ok())?;
    row.set_by_name("changed_by", session::user())?;
    Ok(())
}

fn known_weekday(text: &str) -> Option<&'static str> {
    let text = text.trim().to_lowercase();
    WEEKDAYS.into_iter().find(|day| *day == text || day[..3] == text)
}

fn zones() -> Result<Vec<String>, WindowError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/time_zones.sql");
        let rows = client.select(sql, None, &[])?;
        Ok(rows.filter_map(|row| row.get::<String>(1).ok().flatten()).collect())
    })
}

/// The statement with the zone that is accepted.
fn corrected(row: &Row<'_>, is_update: bool, zone: &str) -> Result<Option<String>, WindowError> {
    let arguments = [
        is_update.into(),
        zone.into(),
        row.get_by_name::<String>("name")?.into(),
        row.get_by_name::<String>("weekday")?.into(),
        row.get_by_name::<Date>("on_date")?.into(),
        row.get_by_name::<Time>("local_start")?.into(),
        row.get_by_name::<Interval>("duration")?.into(),
    ];
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/corrected_window.sql");
        Ok(client.select(sql, None, &arguments)?.first().get_one()?)
    })
}
