//! The stored state of the alerts: read under the latest snapshot, written in few statements.

use super::error::AlertError;
use super::pure::board::{Board, Entry, Event, Key, OpenGroup};
use super::pure::machine::{Alert, State, Timers};
use super::pure::notice::Sent;
use super::pure::rule::Severity;
use crate::pg::fmgr::spi;
use crate::time::instant::Instant;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The latest evaluation of a rule.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// Its time, in microseconds since 2000.
    pub at: i64,
    /// Failed evaluations since the last that worked.
    pub failures: i32,
    /// Time of the first of these.
    pub failed_since: Option<i64>,
    /// Sessions in a row that ended during its query.
    pub sessions_ended: i32,
    /// Evaluations so far.
    pub count: i64,
}

/// A time of the board as a bound parameter.
pub fn time(microseconds: i64) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(microseconds).ok()
}

fn micros(time: Option<TimestampWithTimeZone>) -> Option<i64> {
    time.map(TimestampWithTimeZone::into_inner)
}

fn iso(time: i64) -> String {
    Instant(time).to_string()
}

/// JSON has no infinity: PostgreSQL reads the text.
fn number(value: Option<f64>) -> Option<String> {
    value.map(|value| match value {
        v if v == f64::INFINITY => "Infinity".to_owned(),
        v if v == f64::NEG_INFINITY => "-Infinity".to_owned(),
        v => v.to_string(),
    })
}

/// The board at the time of a tick.
pub fn read_board(now: i64) -> Result<Board, AlertError> {
    let mut board = Board::default();
    let sql = include_str!("../../sql/alerts/read_board.sql");
    spi::select_kept(sql, &[time(now).into()], |rows| {
        for row in rows {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let since = micros(row.get(10)?).unwrap_or(now);
            let timers = row.get::<pgrx::JsonB>(14)?.map(|json| json.0);
            let alert = Alert {
                state: State::parse(&text(4)?).unwrap_or(State::Ok),
                severity: row.get::<String>(5)?.as_deref().and_then(Severity::parse),
                has_data: text(6)? == "ok",
                since,
                fired_at: micros(row.get(11)?),
                is_flapping: row.get(12)?.unwrap_or(false),
                // Unreadable timers begin anew: the state stays.
                timers: timers
                    .and_then(|json| serde_json::from_value::<Timers>(json).ok())
                    .unwrap_or_else(|| Alert::new(now).timers),
            };
            let entry = Entry {
                alert,
                id: row.get(3)?,
                value: row.get(7)?,
                samples: row.get(8)?,
                message: row.get(9)?,
                is_simulated: row.get(13)?.unwrap_or(false),
                is_acknowledged: row.get(15)?.unwrap_or(false),
                announced_in: row.get(16)?,
            };
            board.entries.insert((text(1)?, text(2)?), entry);
        }
        Ok::<_, AlertError>(())
    })?;
    let sql = include_str!("../../sql/alerts/read_groups.sql");
    spi::select_kept(sql, &[], |rows| {
        for row in rows {
            let severity = |column| {
                row.get::<String>(column).map(|text| {
                    text.as_deref().and_then(Severity::parse).unwrap_or(Severity::Warning)
                })
            };
            let count = |column| {
                row.get::<i32>(column).map(|count| usize::try_from(count.unwrap_or(0)).unwrap_or(0))
            };
            let last_notice = match micros(row.get(6)?) {
                None => None,
                Some(at) => Some(Sent { at, severity: severity(7)?, members: count(8)? }),
            };
            let group = OpenGroup {
                id: row.get(2)?.unwrap_or(0),
                opened_at: micros(row.get(3)?).unwrap_or(now),
                severity: severity(4)?,
                members: count(5)?,
                last_notice,
            };
            board.groups.insert(row.get::<String>(1)?.unwrap_or_default(), group);
        }
        Ok::<_, AlertError>(board)
    })
}

/// The latest evaluation of each rule.
pub fn read_evaluations() -> Result<BTreeMap<String, Evaluation>, AlertError> {
    let sql = include_str!("../../sql/alerts/read_evaluations.sql");
    spi::select_kept(sql, &[], |rows| {
        let mut evaluations = BTreeMap::new();
        for row in rows {
            let evaluation = Evaluation {
                at: micros(row.get(2)?).unwrap_or(i64::MIN),
                failures: row.get(3)?.unwrap_or(0),
                failed_since: micros(row.get(4)?),
                sessions_ended: row.get(5)?.unwrap_or(0),
                count: row.get(6)?.unwrap_or(0),
            };
            evaluations.insert(row.get::<String>(1)?.unwrap_or_default(), evaluation);
        }
        Ok(evaluations)
    })
}

/// The next number of an alert or a group.
pub fn next_id() -> Result<i64, AlertError> {
    spi::select_kept("SELECT nextval('crewsnow_ops.alert_ids')", &[], |rows| {
        Ok::<_, AlertError>(rows.first().get(1)?.unwrap_or(0))
    })
}

/// Runs a statement that writes.
pub fn write(sql: &str, arguments: &[DatumWithOid<'_>]) -> Result<(), AlertError> {
    spi::connect_mut(|client| client.update(sql, None, arguments).map(drop))?;
    Ok(())
}

fn state_row(key: &Key, entry: &Entry, now: i64) -> Value {
    json!({
        "rule": key.0,
        "subject": key.1,
        "alert_id": entry.id,
        "state": entry.alert.state.as_str(),
        "severity": entry.alert.severity.map(Severity::as_str),
        "data_state": if entry.alert.has_data { "ok" } else { "no_data" },
        "value": number(entry.value),
        "samples": entry.samples,
        "message": entry.message,
        "since": iso(entry.alert.since),
        "fired_at": entry.alert.fired_at.map(iso),
        "evaluated_at": iso(now),
        "is_flapping": entry.alert.is_flapping,
        "is_simulated": entry.is_simulated,
        "timers": entry.alert.timers,
        "announced_in": entry.announced_in,
    })
}

/// Writes the alerts that differ from `before`, and the groups.
pub fn write_board(before: &Board, after: &Board, now: i64) -> Result<(), AlertError> {
    let changed: Vec<Value> = after
        .entries
        .iter()
        .filter(|(key, entry)| before.entries.get(*key) != Some(*entry))
        .map(|(key, entry)| state_row(key, entry, now))
        .collect();
    if !changed.is_empty() {
        let rows = pgrx::JsonB(Value::Array(changed));
        write(include_str!("../../sql/alerts/write_states.sql"), &[rows.into()])?;
    }
    let gone: Vec<&Key> =
        before.entries.keys().filter(|key| !after.entries.contains_key(*key)).collect();
    if !gone.is_empty() {
        let rules: Vec<String> = gone.iter().map(|key| key.0.clone()).collect();
        let subjects: Vec<String> = gone.iter().map(|key| key.1.clone()).collect();
        let sql = include_str!("../../sql/alerts/delete_states.sql");
        write(sql, &[rules.into(), subjects.into()])?;
    }
    if before.groups != after.groups {
        let groups = after.groups.iter().map(|(name, group)| {
            let sent = group.last_notice.as_ref();
            json!({
                "alert_group": name,
                "group_id": group.id,
                "opened_at": iso(group.opened_at),
                "severity": group.severity.as_str(),
                "members": group.members,
                "last_notice_at": sent.map(|sent| iso(sent.at)),
                "last_notice_severity": sent.map(|sent| sent.severity.as_str()),
                "last_notice_members": sent.map(|sent| sent.members),
            })
        });
        let rows = pgrx::JsonB(Value::Array(groups.collect()));
        write(include_str!("../../sql/alerts/write_groups.sql"), &[rows.into()])?;
    }
    Ok(())
}

/// A notice that was written.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Number of its event.
    pub event_id: i64,
    /// The group.
    pub group: String,
    /// The severity.
    pub severity: String,
    /// The reason.
    pub reason: String,
    /// Whether a silence or a window holds it back.
    pub is_suppressed: bool,
}

/// Appends events to the history. Returns the notices among them, suppressed ones
/// only of an end.
pub fn write_events(events: &[Event], now: i64, actor: &str) -> Result<Vec<Notice>, AlertError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let rows = events.iter().map(|event| {
        json!({
            "event": event.event,
            "alert_group": event.group,
            "group_id": event.group_id,
            "rule": event.rule,
            "subject": event.subject,
            "alert_id": event.alert_id,
            "severity": event.severity.map(Severity::as_str),
            "value": number(event.value),
            "message": event.message,
            "suppressed_by": event.suppressed_by,
            "details": event.details,
        })
    });
    let rows = pgrx::JsonB(Value::Array(rows.collect()));
    let sql = include_str!("../../sql/alerts/write_events.sql");
    spi::connect_mut(|client| {
        let mut notices = Vec::new();
        for row in client.update(sql, None, &[rows.into(), time(now).into(), actor.into()])? {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            notices.push(Notice {
                event_id: row.get(1)?.unwrap_or(0),
                group: text(2)?,
                severity: text(3)?,
                reason: text(4)?,
                is_suppressed: row.get(5)?.unwrap_or(false),
            });
        }
        Ok(notices)
    })
}
