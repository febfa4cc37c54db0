//! Windows of planned maintenance: whether one is open, and their announcements.

mod calendar;
pub mod error;
mod openings;
mod triggers;
pub mod zone;

pub use openings::Permission;

use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::error::ServerError;
use calendar::Event;
use error::WindowError;
use openings::Opening;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The longest calendar, in weeks.
const MAX_WEEKS: i32 = 520;

/// Whether maintenance may run now, and until when. Reads the windows as the owner: the caller
/// needs no privilege on them.
pub fn permission() -> Result<Permission, ServerError> {
    as_owner(|| {
        Spi::connect(|client| {
            let mut is_defined = false;
            let mut openings = Vec::new();
            for row in
                client.select(include_str!("../../../sql/maintenance/openings.sql"), None, &[])?
            {
                is_defined = row.get(1)?.unwrap_or(false);
                if let (Some(window), Some(start), Some(end)) =
                    (row.get(2)?, moment(row.get(3)?), moment(row.get(4)?))
                {
                    openings.push(Opening { window, start, end });
                }
            }
            Ok(openings::permission(clock::now(), is_defined, &openings))
        })
    })
}

/// Microseconds since 2000-01-01 00:00 UTC.
fn moment(time: Option<TimestampWithTimeZone>) -> Option<i64> {
    time.map(TimestampWithTimeZone::into_inner)
}

/// The windows as iCalendar. See the COMMENT on the SQL function.
///
/// SQLSTATE 22023 (p_weeks).
#[pg_extern(sql = false)]
fn maintenance_calendar(p_weeks: i32) -> Result<String, ErrorReport> {
    if !(1..=MAX_WEEKS).contains(&p_weeks) {
        return Err(WindowError::InvalidWeeks(p_weeks).into());
    }
    let events = Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/calendar_events.sql");
        let mut events = Vec::new();
        for row in client.select(sql, None, &[p_weeks.into()])? {
            events.push(Event {
                uid: row.get(1)?.unwrap_or_default(),
                start: moment(row.get(2)?).unwrap_or_default(),
                end: moment(row.get(3)?).unwrap_or_default(),
                changed_at: moment(row.get(4)?).unwrap_or_default(),
                revision: row.get(5)?.unwrap_or_default(),
                is_cancelled: row.get(6)?.unwrap_or_default(),
                summary: row.get(7)?.unwrap_or_default(),
                description: row.get(8)?.unwrap_or_default(),
            });
        }
        Ok::<_, WindowError>(events)
    })?;
    Ok(calendar::calendar(&events))
}
