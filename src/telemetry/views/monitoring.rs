//! The rows of the monitoring views.

use super::thresholds;
use super::thresholds::{
    Minute, Minutes, error_status, hundredths, latency_status, microseconds, share,
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
use crate::telemetry::rollup::events::{RollupState, Times, own_table};
use crate::telemetry::rollup::tally::{ByFunction, Cell, Functions};
use crate::telemetry::rollup::webhooks;
use crate::telemetry::rollup::webhooks::{Alert, Count, Waiting};
use crate::telemetry::sketch::ddsketch::Head;
use crate::time::minute::{DAY, Window, minute_of};
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

/// The functions with calls in a window.
fn functions(window: Window) -> Result<Functions<Cell>, TelemetryError> {
    let state = RollupState::read()?;
    let mut functions: ByFunction<Cell> = ByFunction::default();
    events::read_rollups(&state, window.first, |rolled| {
        if !window.holds(rolled.minute) {
            return Ok(());
        }
        let cell = functions.of(rolled.function);
        cell.calls += rolled.calls;
        cell.errors += rolled.errors;
        cell.timeouts += rolled.timeouts;
        cell.last_call = cell.last_call.max(rolled.last_call);
        cell.latency.merge_bytes(rolled.latency)
    })?;
    events::read_tail(&state, window.first, Times::Wanted, |call| {
        if window.holds(minute_of(call.created_at)) {
            functions.of(call.function).add(call);
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
            let minute = Minute { calls: rolled.calls, errors: rolled.errors, timed, sum };
            minutes.of(rolled.function).entry(rolled.minute).or_default().add(minute);
        }
        Ok::<_, crate::telemetry::sketch::encoding::InvalidSketch>(())
    })?;
    events::read_tail(&state, window.first, times, |call| {
        let at = minute_of(call.created_at);
        if window.holds(at) {
            minutes.of(call.function).entry(at).or_default().add(Minute {
                calls: 1,
                errors: u64::from(call.is_5xx),
                timed: u64::from(call.nanoseconds.is_some()),
                sum: call.nanoseconds.unwrap_or(0).into(),
            });
        }
    })?;
    Ok(minutes.into_sorted())
}

/// The rows of edge_functions_monitoring.
#[pg_extern(sql = false)]
fn edge_functions_now() -> Result<MaterializedRows<11>, ErrorReport> {
    let window = Window::ending(snapshot::transaction_start(), HOUR);
    let mut functions: Vec<_> = functions(window)?
        .into_iter()
        .map(|(function, cell)| (name(&function), cell.latency.quantile(0.95), cell))
        .collect();
    functions.sort_by(|a, b| b.1.unwrap_or(-1.0).total_cmp(&a.1.unwrap_or(-1.0)));
    if functions.is_empty() {
        functions.push((NO_FUNCTION.to_owned(), None, Cell::default()));
    }
    let milliseconds = |nanoseconds| decimal(microseconds(nanoseconds), 3);
    let row = |(function, p95, cell): (String, Option<f64>, Cell)| {
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
fn error_rates_now() -> Result<MaterializedRows<7>, ErrorReport> {
    let window = Window::ending(snapshot::transaction_start(), TEN_MINUTES);
    let functions = minutes(window, Times::Unwanted)?;
    let row = |function: Option<Datum>, minute: i64, of: Minute| {
        [
            function,
            Some(minute.into()),
            Some(of.calls.into()),
            Some(of.errors.into()),
            Some(decimal(share(of.errors, of.calls) as i64, 2)),
            error_status(of.calls, of.errors).into_datum(),
            minute_state(window, minute, of.calls > 0).into_datum(),
        ]
    };
    let names: Vec<_> = functions.iter().map(|(function, _)| name(function).into_datum()).collect();
    let mut rows = Vec::new();
    for minute in window.minutes().rev() {
        for ((_, minutes), name) in functions.iter().zip(&names) {
            if functions.len() > MAX_FUNCTIONS_WITH_EMPTY_MINUTES && !minutes.contains_key(&minute)
            {
                continue;
            }
            rows.push(row(*name, minute, minutes.get(&minute).copied().unwrap_or_default()));
        }
    }
    if rows.is_empty() {
        rows.push(row(NO_FUNCTION.into_datum(), window.current, Minute::default()));
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

/// The state of webhook processing.
pub struct Webhooks {
    /// Counts per minute: of the window, or of several days if the webhooks may have stopped.
    pub counts: BTreeMap<i64, Count>,
    /// The unprocessed webhooks.
    pub waiting: Waiting,
    /// The most urgent alert.
    pub alert: Option<Alert>,
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
        let mut silence = None;
        let is_recent = |minute: i64| now - minute <= webhooks::LEAST_SILENCE;
        if !last(&counts).is_some_and(is_recent) {
            let days = webhooks::DAYS_BACK * DAY + webhooks::TRAILING;
            counts = webhook_counts(now - days)?;
            let active: Vec<i64> = counts
                .iter()
                .filter(|(minute, count)| **minute <= judged.current && count.events > 0)
                .map(|(minute, _)| *minute)
                .collect();
            silence = webhooks::silence(&active, now);
        }
        let sum = counts.iter().filter(|(minute, _)| judged.holds(**minute)).fold(
            Count::default(),
            |sum, (_, count)| Count {
                events: sum.events + count.events,
                failed: sum.failed + count.failed,
            },
        );
        let waiting = waiting(now)?;
        let last_event = last(&counts);
        Ok(Self { alert: webhooks::alert(sum, waiting, silence, now), counts, waiting, last_event })
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
        ),
    >,
    ErrorReport,
> {
    let now = snapshot::transaction_start();
    let window = Window::ending(now, TEN_MINUTES);
    let webhooks = Webhooks::read(window, now)?;
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
            )
        })
        .collect();
    Ok(TableIterator::new(rows))
}
