//! The rows of the monitoring views.

use super::thresholds;
use super::thresholds::{
    ErrorStatus, Minute, Minutes, NO_STATUS_CODES, hundredths, latency_status, microseconds, share,
};
use crate::access::as_owner;
use crate::pg::access::datum::decimal;
use crate::pg::access::scan;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::snapshot;
use crate::telemetry::error::TelemetryError;
use crate::telemetry::rollup::events;
use crate::telemetry::rollup::events::{RollupRow, RollupState, Times, own_table};
use crate::telemetry::rollup::silence;
use crate::telemetry::rollup::tally::{ByFunction, Cell, Functions};
use crate::telemetry::rollup::webhooks;
use crate::telemetry::rollup::webhooks::{Alert, Count, Waiting};
use crate::telemetry::sketch::ddsketch::Head;
use crate::telemetry::sketch::encoding::InvalidSketch;
use crate::time::minute::{Window, minute_of};
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AnyNumeric, IntoDatum};
use std::collections::BTreeMap;

/// The function name of the row that a view returns without traffic.
const NO_FUNCTION: &str = "(none)";

/// Complete minutes in the hour window of the views.
pub const HOUR: i64 = 60;
/// Complete minutes in the ten-minute window of the views.
pub const TEN_MINUTES: i64 = 10;
/// Complete minutes in the window of the columns that end in `_5m`.
pub const FIVE_MINUTES: i64 = 5;
/// With more functions than this, error_rate_monitoring leaves out minutes without calls.
const MAX_FUNCTIONS_WITH_EMPTY_MINUTES: usize = 1_000;

fn time(microseconds: i64) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(microseconds).ok()
}

fn number(decimal: &str) -> Option<AnyNumeric> {
    AnyNumeric::try_from(decimal).ok()
}

fn name(function: &[u8]) -> String {
    String::from_utf8_lossy(function).into_owned()
}

/// The calls of a function in a window, and those in its last minutes.
#[derive(Default)]
pub struct Calls {
    /// All calls of the window.
    pub all: Cell,
    /// Those of its last minutes.
    pub recent: Cell,
}

impl Cell {
    fn add_rollup(&mut self, rolled: &RollupRow<'_>) -> Result<(), InvalidSketch> {
        self.calls += rolled.calls;
        self.errors += rolled.errors;
        self.without_status += rolled.without_status;
        self.timeouts += rolled.timeouts;
        self.last_call = self.last_call.max(rolled.last_call);
        self.latency.merge_bytes(rolled.latency)
    }
}

/// The functions with calls in a window; `recent` is a part of it.
pub fn functions(window: Window, recent: Window) -> Result<Functions<Calls>, TelemetryError> {
    let state = RollupState::read()?;
    let mut functions: ByFunction<Calls> = ByFunction::default();
    events::read_rollups(&state, window.first, |rolled| {
        if !window.holds(rolled.minute) {
            return Ok(());
        }
        let calls = functions.of(rolled.function, rolled.minute);
        if recent.holds(rolled.minute) {
            calls.recent.add_rollup(rolled)?;
        }
        calls.all.add_rollup(rolled)
    })?;
    events::read_tail(&state, window.first, Times::Wanted, |call| {
        let minute = minute_of(call.created_at);
        if window.holds(minute) {
            let calls = functions.of(call.function, minute);
            if recent.holds(minute) {
                calls.recent.add(call);
            }
            calls.all.add(call);
        }
    })?;
    Ok(functions.into_sorted())
}

/// Functions and their minutes in a window, without latency sketches; execution times only if
/// `times` asks for them.
pub fn minutes(
    window: Window,
    times: Times,
) -> Result<Functions<BTreeMap<i64, Minute>>, TelemetryError> {
    let state = RollupState::read()?;
    let mut minutes = Minutes::default();
    events::read_rollups(&state, window.first, |rolled| {
        if window.holds(rolled.minute) {
            let (timed, sum) = match times {
                Times::Wanted => Head::decode(rolled.latency).map(|head| (head.count, head.sum))?,
                Times::Unwanted => (0, 0),
            };
            let minute = Minute {
                calls: rolled.calls,
                errors: rolled.errors,
                without_status: rolled.without_status,
                timed,
                sum,
            };
            minutes
                .of(rolled.function, rolled.minute)
                .entry(rolled.minute)
                .or_default()
                .add(minute);
        }
        Ok::<_, InvalidSketch>(())
    })?;
    events::read_tail(&state, window.first, times, |call| {
        let at = minute_of(call.created_at);
        if window.holds(at) {
            minutes.of(call.function, at).entry(at).or_default().add(Minute {
                calls: 1,
                errors: u64::from(call.is_5xx),
                without_status: u64::from(!call.has_status),
                timed: u64::from(call.nanoseconds.is_some()),
                sum: call.nanoseconds.unwrap_or(0).into(),
            });
        }
    })?;
    Ok(minutes.into_sorted())
}

/// The rows of edge_functions_monitoring.
#[pg_extern(sql = false)]
fn edge_functions_now() -> Result<MaterializedRows<18>, ErrorReport> {
    let now = snapshot::transaction_start();
    let window = Window::ending(now, HOUR);
    let mut functions: Vec<_> = functions(window, Window::ending(now, FIVE_MINUTES))?
        .into_iter()
        .map(|(function, calls)| (name(&function), calls.all.latency.quantile(0.95), calls))
        .collect();
    functions.sort_by(|a, b| b.1.unwrap_or(-1.0).total_cmp(&a.1.unwrap_or(-1.0)));
    if functions.is_empty() {
        functions.push((NO_FUNCTION.to_owned(), None, Calls::default()));
    }
    let milliseconds = |nanoseconds| decimal(microseconds(nanoseconds), 3);
    let row = |(function, p95, calls): (String, Option<f64>, Calls)| {
        let Calls { all: cell, recent } = calls;
        let recent_p95 = recent.latency.quantile(0.95);
        let recent_latency = recent.latency.head();
        let latency = cell.latency.head();
        let state = match (cell.calls, latency.count) {
            (0, _) => "NO_DATA",
            (_, 0) => "NO_TIMINGS",
            _ => "DATA",
        };
        [
            function.into_datum(),
            Some(cell.calls.into()),
            Some(milliseconds(thresholds::mean(latency.sum, latency.count))),
            p95.and_then(|nanoseconds| (nanoseconds / 1e6).into_datum()),
            Some(cell.timeouts.into()),
            (cell.calls > 0).then(|| cell.last_call.into()),
            latency_status(p95).into_datum(),
            state.into_datum(),
            Some(window.first.into()),
            Some(cell.errors.into()),
            (latency.count > 0).then(|| milliseconds(latency.max.into())),
            Some(cell.without_status.into()),
            Some(recent.calls.into()),
            Some(milliseconds(thresholds::mean(recent_latency.sum, recent_latency.count))),
            recent_p95.and_then(|nanoseconds| (nanoseconds / 1e6).into_datum()),
            Some(recent.timeouts.into()),
            Some(recent.errors.into()),
            latency_status(recent_p95).into_datum(),
        ]
    };
    Ok(MaterializedRows(functions.into_iter().map(row).collect()))
}

/// COMPLETE, PARTIAL or NO_DATA.
fn minute_state(window: Window, minute: i64, has_data: bool) -> &'static str {
    match (has_data, minute == window.current) {
        (false, _) => "NO_DATA",
        (true, true) => "PARTIAL",
        (true, false) => "COMPLETE",
    }
}

/// The rows of error_rate_monitoring.
#[pg_extern(sql = false)]
fn error_rates_now() -> Result<MaterializedRows<11>, ErrorReport> {
    let now = snapshot::transaction_start();
    let window = Window::ending(now, TEN_MINUTES);
    let recent = Window::ending(now, FIVE_MINUTES);
    let functions = minutes(window, Times::Unwanted)?;
    // Without any status code there is no rate.
    let rate = |of: Minute| {
        (of.calls == 0 || of.without_status < of.calls)
            .then(|| decimal(share(of.errors, of.calls) as i64, 2))
    };
    let row = |function: Option<Datum>, minute: i64, of: Minute, last: Minute| {
        let status = ErrorStatus::of(of.calls, of.errors, of.without_status);
        let state = match status {
            ErrorStatus::Unknown => NO_STATUS_CODES,
            _ => minute_state(window, minute, of.calls > 0),
        };
        [
            function,
            Some(minute.into()),
            Some(of.calls.into()),
            Some(of.errors.into()),
            rate(of),
            status.as_str().into_datum(),
            state.into_datum(),
            Some(of.without_status.into()),
            Some(last.calls.into()),
            Some(last.errors.into()),
            rate(last),
        ]
    };
    let last_minutes: Vec<Minute> = functions
        .iter()
        .map(|(_, minutes)| {
            let mut sum = Minute::default();
            minutes.range(recent.first..).for_each(|(_, minute)| sum.add(*minute));
            sum
        })
        .collect();
    let names: Vec<_> = functions.iter().map(|(function, _)| name(function).into_datum()).collect();
    let mut rows = Vec::new();
    for minute in window.minutes().rev() {
        for (((_, minutes), name), last) in functions.iter().zip(&names).zip(&last_minutes) {
            if functions.len() > MAX_FUNCTIONS_WITH_EMPTY_MINUTES && !minutes.contains_key(&minute)
            {
                continue;
            }
            let of = minutes.get(&minute).copied().unwrap_or_default();
            rows.push(row(*name, minute, of, *last));
        }
    }
    if rows.is_empty() {
        let none = Minute::default();
        rows.push(row(NO_FUNCTION.into_datum(), window.current, none, none));
    }
    Ok(MaterializedRows(rows))
}

/// Webhooks per minute since a time.
fn webhook_counts(since: i64) -> Result<BTreeMap<i64, Count>, TelemetryError> {
    let mut counts: BTreeMap<i64, Count> = BTreeMap::new();
    for (table, type_) in
        [(c"webhook_rollups", pg_sys::INT8OID), (c"webhook_journal", pg_sys::INT4OID)]
    {
        let mut rows = scan::open_since(own_table(table)?, c"minute", since)
            .ok_or(ServerError::NotInstalled)?;
        let column = |name, type_| rows.column(name, type_).unwrap_or(0);
        let (minute, events) =
            (column(c"minute", pg_sys::TIMESTAMPTZOID), column(c"events", type_));
        let failed = column(c"failed", type_);
        while let Some(row) = rows.next_in_place() {
            let number = |column| match type_ {
                pg_sys::INT4OID => row.integer(column).map(i64::from),
                _ => row.int8(column),
            };
            let Some(minute) = row.int8(minute) else { continue };
            let count = counts.entry(minute).or_default();
            count.events += number(events).unwrap_or(0);
            count.failed += number(failed).unwrap_or(0);
        }
    }
    Ok(counts)
}

/// The unprocessed webhooks, counted up to [`webhooks::MOST_WAITING`].
fn waiting(now: i64) -> Result<Waiting, TelemetryError> {
    let sql = in_target_schema(include_str!("../../../sql/telemetry/waiting_webhooks.sql"))?;
    as_owner(|| {
        Spi::connect(|client| {
            let most = i64::try_from(webhooks::MOST_WAITING).unwrap_or(i64::MAX);
            let row = client
                .select(sql.as_str(), Some(1), &[time(now - webhooks::LATE).into(), most.into()])?
                .first();
            let since: Option<TimestampWithTimeZone> = row.get(2)?;
            let late = row.get::<i64>(1)?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
            Ok(Waiting { late, since: since.map(|since| since.into_inner()) })
        })
    })
}

fn sum(counts: &BTreeMap<i64, Count>, window: Window) -> Count {
    counts.range(window.first..=window.current).fold(Count::default(), |sum, (_, count)| Count {
        events: sum.events + count.events,
        failed: sum.failed + count.failed,
    })
}

/// Number of webhooks whose status was set back in a window.
fn reversals(window: Window) -> Result<i64, TelemetryError> {
    let table = own_table(c"webhook_reversals")?;
    let mut rows =
        scan::open_since(table, c"changed_at", window.first).ok_or(ServerError::NotInstalled)?;
    let mut number = 0;
    while rows.next_in_place().is_some() {
        number += 1;
    }
    Ok(number)
}

/// The state of webhook processing.
pub struct Webhooks {
    /// Counts per minute: of the window, or of several days if the webhooks may have stopped.
    pub counts: BTreeMap<i64, Count>,
    /// The unprocessed webhooks.
    pub waiting: Waiting,
    /// The most urgent alert.
    pub alert: Option<Alert>,
    /// The silence, also if another alert is more urgent.
    pub silence: Option<Alert>,
    /// The last minute with a webhook.
    pub last_event: Option<i64>,
}

impl Webhooks {
    /// Reads the state. `window` is displayed; its last ten minutes decide the alert.
    pub fn read(window: Window, now: i64) -> Result<Self, TelemetryError> {
        let judged = Window::ending(now, TEN_MINUTES);
        let mut counts = webhook_counts(window.first)?;
        let last = |counts: &BTreeMap<i64, Count>| {
            counts
                .iter()
                .rev()
                .find(|(minute, count)| **minute <= judged.current && count.events > 0)
                .map(|(m, _)| *m)
        };
        let mut told = None;
        let is_recent = |minute: i64| now - minute <= silence::LEAST_SILENCE;
        if !last(&counts).is_some_and(is_recent) {
            counts = webhook_counts(now - silence::HISTORY)?;
            let active: Vec<(i64, u64)> = counts
                .range(..=judged.current)
                .filter_map(|(minute, count)| Some((*minute, u64::try_from(count.events).ok()?)))
                .filter(|(_, events)| *events > 0)
                .collect();
            told = silence::silence(&active, now).map(Alert::from);
        }
        let sum = sum(&counts, judged);
        let waiting = waiting(now)?;
        let last_event = last(&counts);
        let alert = webhooks::alert(sum, waiting, told.clone(), now);
        Ok(Self { alert, silence: told, counts, waiting, last_event })
    }

    /// The webhooks of a window.
    pub fn sum(&self, window: Window) -> Count {
        sum(&self.counts, window)
    }

    /// The share of failed webhooks in a minute, in hundredths of a percent.
    pub fn failure_share(&self, minute: i64) -> Option<u64> {
        let count = self.counts.get(&minute).filter(|count| count.events > 0)?;
        Some(share(count.failed.max(0) as u64, count.events.max(0) as u64))
    }
}

/// The rows of stripe_webhook_monitoring.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn webhooks_now() -> Result<
    TableIterator<
        'static,
        (
            name!(minute_bucket, Option<TimestampWithTimeZone>),
            name!(total_events, i64),
            name!(failed_events, i64),
            name!(failure_rate_pct, Option<AnyNumeric>),
            name!(webhook_status, String),
            name!(data_state, &'static str),
            name!(waiting_events, i64),
            name!(oldest_waiting_since, Option<TimestampWithTimeZone>),
            name!(last_event, Option<TimestampWithTimeZone>),
            name!(events_5m, i64),
            name!(failed_events_5m, i64),
            name!(reversed_events, i64),
        ),
    >,
    ErrorReport,
> {
    let now = snapshot::transaction_start();
    let window = Window::ending(now, TEN_MINUTES);
    let webhooks = Webhooks::read(window, now)?;
    let recent = webhooks.sum(Window::ending(now, FIVE_MINUTES));
    let reversed = reversals(window)?;
    let status = webhooks.alert.as_ref().map_or_else(|| "OK".to_owned(), ToString::to_string);
    let rows: Vec<_> = window
        .minutes()
        .rev()
        .map(|minute| {
            let count = webhooks.counts.get(&minute).copied().unwrap_or_default();
            (
                time(minute),
                count.events,
                count.failed,
                number(&hundredths(webhooks.failure_share(minute).unwrap_or(0))),
                status.clone(),
                minute_state(window, minute, count.events > 0),
                webhooks.waiting.late as i64,
                webhooks.waiting.since.and_then(time),
                webhooks.last_event.and_then(time),
                recent.events,
                recent.failed,
                reversed,
            )
        })
        .collect();
    Ok(TableIterator::new(rows))
}
