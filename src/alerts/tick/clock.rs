//! The clock of the ticks: missed ones, steps of the time, and a tick whose session ended.

use super::Tick;
use crate::alerts::error::AlertError;
use crate::alerts::pure::board::Event;
use crate::alerts::store::time;
use crate::pg::fmgr::spi;
use crate::pg::xact::snapshot;
use crate::time::instant::Instant;
use crate::time::minute::MINUTE;
use pgrx::prelude::*;
use serde_json::json;

/// Ticks further apart than this were missed, in microseconds.
const MISSED: i64 = 5 * MINUTE;
/// The clock has stepped back by more than this, in microseconds.
pub(super) const STEP: i64 = 5_000_000;

/// The latest tick, and facts of this one.
pub(super) struct Clock {
    pub(super) ticked_at: Option<i64>,
    pub(super) timeline: i64,
    pub(super) timeline_since: Option<i64>,
    /// The rule whose session ended; 0 if none.
    pub(super) interrupted: i64,
    pub(super) window: Option<String>,
    pub(super) is_muted: bool,
}

impl Clock {
    pub(super) fn read(now: i64) -> Result<Self, AlertError> {
        let (system, database) = snapshot::identity();
        let sql = include_str!("../../../sql/alerts/read_clock.sql");
        let arguments =
            [time(now).into(), system.to_string().into(), database.to_u32().to_string().into()];
        spi::select_kept(sql, &arguments, |rows| {
            let row = rows.first();
            let micros = |column| {
                row.get::<TimestampWithTimeZone>(column)
                    .map(|time| time.map(TimestampWithTimeZone::into_inner))
            };
            let ticked_at = micros(1)?;
            let is_same =
                row.get::<i64>(2)? == Some(system) && row.get::<pg_sys::Oid>(3)? == Some(database);
            let timeline = row.get::<i64>(8)?.unwrap_or(0);
            let earlier = row.get::<i64>(4)?.filter(|_| is_same);
            let has_changed = earlier.is_some_and(|earlier| earlier != timeline);
            Ok(Self {
                ticked_at,
                timeline,
                timeline_since: if has_changed {
                    Some(now)
                } else {
                    micros(5)?.filter(|_| is_same)
                },
                interrupted: row.get::<i64>(7)?.unwrap_or(0),
                window: row.get(9)?,
                is_muted: match (ticked_at, is_same) {
                    (None, _) => false,
                    (Some(_), true) => {
                        row.get::<bool>(6)?.unwrap_or(false)
                            && !row.get::<bool>(10)?.unwrap_or(false)
                    }
                    (Some(_), false) => !row.get::<bool>(10)?.unwrap_or(false),
                },
            })
        })
    }
}

impl Tick {
    /// Records missed ticks and steps of the clock.
    pub(super) fn look_at_clock(&mut self) {
        let Some(ticked_at) = self.clock.ticked_at else { return };
        let gap = self.now - ticked_at;
        if gap < 0 {
            self.board.step_back(-gap);
        }
        let (event, message) = if gap < -STEP {
            ("clock_stepped", format!("the clock went back by {} s", -gap / 1_000_000))
        } else if gap > MISSED {
            ("ticks_missed", format!("no tick for {} min", gap / MINUTE))
        } else {
            return;
        };
        let details = json!({ "previous_tick": Instant(ticked_at).to_string() });
        let (message, details) = (Some(message), Some(details));
        self.board.events.push(Event { event, message, details, ..Event::default() });
    }

    /// A rule whose query ended its session, and the tick with it, is counted now. Its name.
    pub(super) fn blame_interrupted(&mut self) -> Result<Option<String>, AlertError> {
        if self.clock.interrupted == 0 {
            return Ok(None);
        }
        mark(0)?;
        let guilty = self.rules.iter().find(|rule| number_of(&rule.name) == self.clock.interrupted);
        let Some(name) = guilty.map(|rule| rule.name.clone()) else { return Ok(None) };
        let evaluation = self.evaluations.entry(name.clone()).or_default();
        evaluation.sessions_ended += 1;
        evaluation.at = self.now;
        let error = "the session ended while its query ran".to_owned();
        self.fail(&name, error, 0.0);
        Ok(Some(name))
    }
}

/// Notes outside of the transaction which rule runs now; 0 for none. See tick_progress.
pub(super) fn mark(rule: i64) -> Result<(), AlertError> {
    let sql = "SELECT setval('crewsnow_ops.tick_progress', $1)";
    spi::select_kept(sql, &[rule.into()], |_| Ok::<_, AlertError>(()))
}

/// A positive number that stands for the name of a rule (FNV-1a).
pub(super) fn number_of(name: &str) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    i64::try_from(hash >> 1).unwrap_or(1).max(1)
}
