//! `crewsnow_ops.tick()`: evaluates the rules that are due, and writes the changes in one
//! transaction. One session at a time does it; the others say so and go.

use self::clock::{Clock, STEP, mark, number_of};
use super::error::AlertError;
use super::evaluation;
use super::pure::board::{Board, Event, Key, Row};
use super::pure::reading::Reading;
use super::pure::rule::NoData;
use super::pure::silence::Matcher;
use super::rule::{self, Rule};
use super::store::{self, Evaluation, time};
use crate::access::as_owner;
use crate::messages::outbox;
use crate::pg::fmgr::spi;
use crate::pg::xact::notify::notify;
use crate::pg::xact::run_lock::{Work, try_lock};
use crate::pg::xact::{session, snapshot, subtransaction};
use crate::settings;
use crate::time::instant::Instant;
use crate::time::minute::MINUTE;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;

mod clock;

/// Listeners hear of each notice when the tick commits.
const CHANNEL: &std::ffi::CStr = c"crewsnow_ops_alerts";
/// A rule is due this much early, so that a tick of the clock's minute finds it due each time.
/// The tenth part of its interval, at most so many microseconds.
const EARLY: i64 = 5_000_000;
/// A rule that ended its session this often in a row is left alone until it is changed.
const MAX_SESSIONS: i32 = 3;
/// A rule that ended its session waits so much longer, in microseconds.
const SUSPECT_PAUSE: i64 = 5 * MINUTE;
const ACTOR: &str = "tick";

/// The row of tick().
struct Summary {
    verdict: &'static str,
    evaluated: i32,
    failed: i32,
    waiting: i32,
    active: i32,
    notices: i32,
    note: Option<String>,
}

impl Summary {
    fn without_work(verdict: &'static str, note: String) -> Self {
        let note = Some(note);
        Self { verdict, evaluated: 0, failed: 0, waiting: 0, active: 0, notices: 0, note }
    }
}

/// Evaluates the alert rules that are due. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 in a REPEATABLE READ or SERIALIZABLE transaction, 25006 in a read-only
/// transaction.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn tick() -> Result<
    TableIterator<
        'static,
        (
            name!(verdict, &'static str),
            name!(evaluated, i32),
            name!(failed, i32),
            name!(waiting, i32),
            name!(active, i32),
            name!(notices, i32),
            name!(took_ms, f64),
            name!(note, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let start = std::time::Instant::now();
    let summary = run(start)?;
    let took = start.elapsed().as_secs_f64() * 1_000.0;
    Ok(TableIterator::once((
        summary.verdict,
        summary.evaluated,
        summary.failed,
        summary.waiting,
        summary.active,
        summary.notices,
        (took * 10.0).round() / 10.0,
        summary.note,
    )))
}

fn run(start: std::time::Instant) -> Result<Summary, AlertError> {
    if session::is_standby() {
        let note = "Alerts are evaluated on the primary.".to_owned();
        return Ok(Summary::without_work("STANDBY", note));
    }
    session::require_writable("evaluate alert rules")?;
    session::require_latest_snapshot("evaluate alert rules")?;
    if let Err(holder) = try_lock(Work::Alerts) {
        let note = holder.map_or_else(
            || "Another session evaluates the rules.".to_owned(),
            |holder| format!("Process {} evaluates the rules.", holder.pid),
        );
        return Ok(Summary::without_work("BUSY", note));
    }
    as_owner(|| snapshot::with_latest_snapshot(|| Tick::begin(start)?.run()))
}

struct Tick {
    start: std::time::Instant,
    now: i64,
    clock: Clock,
    rules: Vec<Rule>,
    evaluations: BTreeMap<String, Evaluation>,
    simulations: HashMap<String, Vec<Row>>,
    before: Board,
    board: Board,
    /// Rows for alert_evaluations.
    written: Vec<Value>,
    failed: i32,
    /// The rule whose query ended an earlier session.
    interrupted: Option<String>,
}

impl Tick {
    fn begin(start: std::time::Instant) -> Result<Self, AlertError> {
        let now = crate::pg::clock::now();
        let clock = Clock::read(now)?;
        let rules: Vec<Rule> =
            rule::read(None)?.into_iter().filter(|rule| rule.is_enabled).collect();
        let before = store::read_board(now)?;
        Ok(Self {
            start,
            now,
            clock,
            rules,
            evaluations: store::read_evaluations()?,
            simulations: simulations(now)?,
            board: before.clone(),
            before,
            written: Vec::new(),
            failed: 0,
            interrupted: None,
        })
    }

    fn run(mut self) -> Result<Summary, AlertError> {
        self.look_at_clock();
        self.interrupted = self.blame_interrupted()?;
        let mut due = self.due();
        let all = due.len();
        if self.interrupted.is_some() {
            // Another rule may end this session, too, and the blame with it.
            due.retain(|index| self.rules.get(*index).is_some_and(|rule| rule.is_built_in));
        }
        let budget = settings::tick_budget();
        let mut evaluated = 0;
        for index in &due {
            pgrx::check_for_interrupts!();
            if evaluated > 0 && self.start.elapsed() >= budget {
                break;
            }
            self.evaluate(*index)?;
            evaluated += 1;
        }
        if evaluated > 0 {
            mark(0)?;
        }
        self.settle()?;
        let waiting = all - evaluated;
        let notices = self.write()?;
        let active = self.board.entries.values().filter(|entry| entry.is_active()).count();
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        Ok(Summary {
            verdict: if waiting > 0 { "LATE" } else { "DONE" },
            evaluated: count(evaluated),
            failed: self.failed,
            waiting: count(waiting),
            active: count(active),
            notices: count(notices),
            note: self.note(waiting),
        })
    }

    fn note(&self, waiting: usize) -> Option<String> {
        if self.clock.is_muted {
            let command = "SELECT crewsnow_ops.adopt_alerts();";
            return Some(format!("This database is a copy: no notice is sent. {command}"));
        }
        if let Some(rule) = &self.interrupted {
            return Some(format!(
                "An earlier session ended in rule {rule}. The next tick goes on with the others."
            ));
        }
        if waiting > 0 {
            return Some("The next tick goes on with the rules that wait.".to_owned());
        }
        self.clock.window.as_ref().map(|window| format!("Maintenance window {window} is open."))
    }

    /// Indexes of the rules that are due, the longest overdue first, suspects last.
    fn due(&self) -> Vec<usize> {
        let mut due: Vec<(bool, i64, usize)> = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let evaluation = self.evaluations.get(&rule.name);
            let suspect = evaluation.map_or(0, |evaluation| evaluation.sessions_ended);
            let Some(last) = evaluation.map(|evaluation| evaluation.at) else {
                due.push((false, i64::MIN, index));
                continue;
            };
            let is_changed = rule.updated_at > last;
            let is_spared = suspect >= MAX_SESSIONS && !is_changed;
            // The tick that a suspect ends is lost for the other rules, too.
            let pause = if suspect > 0 && !is_changed { SUSPECT_PAUSE } else { 0 };
            let next = last.saturating_add(rule.every - (rule.every / 10).min(EARLY) + pause);
            // After a step back of the clock each rule is due.
            if !is_spared && (self.now >= next || self.now < last - STEP) {
                due.push((suspect > 0, next, index));
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, _, index)| index).collect()
    }

    fn evaluate(&mut self, index: usize) -> Result<(), AlertError> {
        let Some(rule) = self.rules.get(index).cloned() else { return Ok(()) };
        mark(number_of(&rule.name))?;
        let begin = std::time::Instant::now();
        let outcome = subtransaction::try_in_subxact(AssertUnwindSafe(|| {
            evaluation::evaluate(&rule, self.now)
        }));
        let took = begin.elapsed().as_secs_f64() * 1_000.0;
        let rows = match outcome {
            Ok(Ok(rows)) => rows,
            Ok(Err(failed)) => {
                self.fail(&rule.name, failed.to_string(), took);
                return Ok(());
            }
            // A cancel by the operator is no fault of the rule.
            Err(failure) => {
                mark(0)?;
                failure.raise()
            }
        };
        let conditions = rule.conditions();
        let mut board_rows: Vec<Row> = rows
            .into_iter()
            .map(|row| Row {
                reading: Reading::of(row.value, row.samples, conditions.min_samples),
                subject: row.subject,
                message: row.message,
                is_simulated: false,
            })
            .collect();
        for simulated in self.simulations.remove(&rule.name).unwrap_or_default() {
            board_rows.retain(|row| row.subject != simulated.subject);
            board_rows.push(simulated);
        }
        let has_data = conditions.no_data == NoData::Ok
            || board_rows.iter().any(|row| matches!(row.reading, Reading::Value { .. }));
        let subjects = board_rows.len();
        self.board.apply(&rule.board_rule(), self.now, &board_rows, &mut store::next_id)?;
        self.succeed(&rule.name, has_data, subjects, took);
        Ok(())
    }

    fn succeed(&mut self, name: &str, has_data: bool, subjects: usize, took: f64) {
        let last = self.evaluations.entry(name.to_owned()).or_default();
        if last.failures > 0 {
            self.board.events.push(Event {
                event: "error_cleared",
                rule: Some(name.to_owned()),
                details: Some(json!({ "failures": last.failures })),
                ..Event::default()
            });
        }
        self.written.push(json!({
            "rule": name,
            "data_state": if has_data { "ok" } else { "no_data" },
            "evaluated_at": Instant(self.now).to_string(),
            "took_ms": (took * 1_000.0).round() / 1_000.0,
            "subjects": subjects,
            "evaluations": last.count + 1,
            "failures_in_a_row": 0,
            "sessions_ended": 0,
        }));
    }

    fn fail(&mut self, name: &str, error: String, took: f64) {
        self.failed += 1;
        let last = self.evaluations.entry(name.to_owned()).or_default();
        if last.failures == 0 {
            self.board.events.push(Event {
                event: "error",
                rule: Some(name.to_owned()),
                message: Some(error.clone()),
                ..Event::default()
            });
        }
        self.written.push(json!({
            "rule": name,
            "data_state": "error",
            "evaluated_at": Instant(self.now).to_string(),
            "took_ms": (took * 1_000.0).round() / 1_000.0,
            "subjects": 0,
            "evaluations": last.count + 1,
            "failures_in_a_row": last.failures.saturating_add(1),
            "failed_since": Instant(last.failed_since.unwrap_or(self.now)).to_string(),
            "last_error": error,
            "sessions_ended": last.sessions_ended,
        }));
    }

    /// Ends what has ended, and decides on notices.
    fn settle(&mut self) -> Result<(), AlertError> {
        let groups: HashMap<&str, &str> =
            self.rules.iter().map(|rule| (rule.name.as_str(), rule.alert_group.as_str())).collect();
        let group = |rule: &str| groups.get(rule).map(|group| (*group).to_owned());
        self.board.end_orphans(group);
        if let Some(previous) = self.clock.ticked_at {
            self.board.expire_acknowledgements(&expired(previous, self.now)?, group);
        }
        let silences = silences(self.now)?;
        let whole = if self.clock.is_muted {
            Some("restored copy".to_owned())
        } else {
            self.clock.window.as_ref().map(|window| format!("maintenance window {window}"))
        };
        let suppressed = |key: &Key| {
            whole.clone().or_else(|| {
                let group = groups.get(key.0.as_str()).copied().unwrap_or_default();
                silences
                    .iter()
                    .find(|(_, matcher)| matcher.matches(&key.0, group, &key.1))
                    .map(|(id, _)| format!("silence {id}"))
            })
        };
        self.board.settle(self.now, group, suppressed, &mut store::next_id)
    }

    /// Writes the changes. Returns the number of notices.
    fn write(&mut self) -> Result<usize, AlertError> {
        store::write_board(&self.before, &self.board, self.now)?;
        if !self.written.is_empty() {
            let rows = pgrx::JsonB(Value::Array(std::mem::take(&mut self.written)));
            store::write(include_str!("../../sql/alerts/write_evaluations.sql"), &[rows.into()])?;
        }
        if self.evaluations.len() > self.rules.len() {
            store::write(include_str!("../../sql/alerts/delete_evaluations.sql"), &[])?;
        }
        let notices = store::write_events(&self.board.events, self.now, ACTOR)?;
        let events: Vec<i64> = notices.iter().map(|notice| notice.event_id).collect();
        outbox::enqueue_notices(&events, self.now)?;
        outbox::tidy(self.now)?;
        let notices: Vec<_> = notices.into_iter().filter(|notice| !notice.is_suppressed).collect();
        for notice in &notices {
            let payload = json!({
                "event_id": notice.event_id, "group": notice.group, "severity": notice.severity,
                "reason": notice.reason,
            });
            notify(CHANNEL, &payload.to_string());
        }
        let (system, database) = snapshot::identity();
        let by = match session::setting("application_name") {
            Some(name) if !name.is_empty() => format!("{} ({name})", session::user()),
            _ => session::user(),
        };
        let took = self.start.elapsed().as_secs_f64() * 1_000.0;
        let arguments = [
            time(self.now).into(),
            system.into(),
            database.into(),
            self.clock.timeline.into(),
            self.clock.timeline_since.and_then(time).into(),
            took.into(),
            by.into(),
            self.clock.is_muted.into(),
        ];
        store::write(include_str!("../../sql/alerts/write_clock.sql"), &arguments)?;
        Ok(notices.len())
    }
}

fn simulations(now: i64) -> Result<HashMap<String, Vec<Row>>, AlertError> {
    let sql = include_str!("../../sql/alerts/read_simulations.sql");
    spi::select_kept(sql, &[time(now).into()], |rows| {
        let mut simulations: HashMap<String, Vec<Row>> = HashMap::new();
        for row in rows {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let value = row.get::<f64>(3)?.unwrap_or(0.0);
            simulations.entry(text(1)?).or_default().push(Row {
                subject: text(2)?,
                reading: Reading::Value { value, samples: None },
                message: row.get(4)?,
                is_simulated: true,
            });
        }
        Ok::<_, AlertError>(simulations)
    })
}

fn silences(now: i64) -> Result<Vec<(i64, Matcher)>, AlertError> {
    let sql = include_str!("../../sql/alerts/read_silences.sql");
    spi::select_kept(sql, &[time(now).into()], |rows| {
        let mut silences = Vec::new();
        for row in rows {
            let id = row.get::<i64>(1)?.unwrap_or(0);
            silences.push((id, Matcher::parse(&row.get::<String>(2)?.unwrap_or_default())));
        }
        Ok::<_, AlertError>(silences)
    })
}

fn expired(previous: i64, now: i64) -> Result<Vec<(i64, String)>, AlertError> {
    let sql = include_str!("../../sql/alerts/read_expired_acknowledgements.sql");
    spi::select_kept(sql, &[time(previous).into(), time(now).into()], |rows| {
        let mut expired = Vec::new();
        for row in rows {
            expired
                .push((row.get::<i64>(1)?.unwrap_or(0), row.get::<String>(2)?.unwrap_or_default()));
        }
        Ok::<_, AlertError>(expired)
    })
}
