//! Functions that built-in rules query. Those about traffic answer as of the instant of the rule,
//! in complete minutes, so that a replay sees what the tick saw.

use super::error::AlertError;
use super::evaluation;
use crate::health::finding::Status;
use crate::health::report::check_now;
use crate::pg::error::ServerError;
use crate::telemetry::rollup::events::Times;
use crate::telemetry::views::monitoring::{Webhooks, functions, minutes};
use crate::time::minute::{DAY, MINUTE, Window, minute_of};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The longest window, in microseconds.
const MAX_WINDOW: i64 = 31 * DAY;
const MILLION: f64 = 1e6;

/// The complete minutes of a window before the instant of the rule.
fn window(length: Option<Interval>) -> Result<Window, AlertError> {
    let example = "SELECT * FROM crewsnow_ops.calls_in('5 minutes');";
    let length = length.ok_or(ServerError::NullArgument { argument: "p_window", example })?;
    let length = length.as_micros() as i64;
    if !(MINUTE..=MAX_WINDOW).contains(&length) {
        return Err(AlertError::WindowLength);
    }
    let end = minute_of(evaluation::instant());
    Ok(Window { first: end - length / MINUTE * MINUTE, current: end - MINUTE })
}

/// The calls of each function in a window. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn calls_in(
    p_window: Option<Interval>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(function_name, String),
            name!(calls, i64),
            name!(errors, i64),
            name!(without_status, i64),
            name!(timeouts, i64),
            name!(p95_ms, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    let window = window(p_window)?;
    let functions = functions(window, window)?;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows: Vec<_> = functions
        .iter()
        .map(|(name, calls)| {
            let all = &calls.all;
            (
                String::from_utf8_lossy(name).into_owned(),
                count(all.calls),
                count(all.errors),
                count(all.without_status),
                count(all.timeouts),
                // Sketches hold nanoseconds.
                all.latency.quantile(0.95).map(|nanoseconds| nanoseconds / MILLION),
            )
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// Calls and errors of two windows. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn errors_in(
    p_long: Option<Interval>,
    p_short: Option<Interval>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(long_calls, i64),
            name!(long_errors, i64),
            name!(short_calls, i64),
            name!(short_errors, i64),
        ),
    >,
    ErrorReport,
> {
    let (long, short) = (window(p_long)?, window(p_short)?);
    let whole = Window { first: long.first.min(short.first), ..long };
    let (mut in_long, mut in_short) = ((0_u64, 0_u64), (0_u64, 0_u64));
    // Sketches of latencies are most of the work of calls_in.
    for (_, minutes) in minutes(whole, Times::Unwanted)? {
        for (at, minute) in minutes {
            for (window, (calls, errors)) in [(long, &mut in_long), (short, &mut in_short)] {
                if window.holds(at) {
                    *calls += minute.calls;
                    *errors += minute.errors;
                }
            }
        }
    }
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(TableIterator::once((
        count(in_long.0),
        count(in_long.1),
        count(in_short.0),
        count(in_short.1),
    )))
}

/// The webhooks of a window. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn webhooks_in(
    p_window: Option<Interval>,
) -> Result<
    TableIterator<'static, (name!(total, i64), name!(failed, i64), name!(silence, Option<String>))>,
    ErrorReport,
> {
    let window = window(p_window)?;
    let webhooks = Webhooks::read(window, evaluation::instant())?;
    let sum = webhooks.sum(window);
    let silence = webhooks.silence.map(|silence| silence.to_string());
    Ok(TableIterator::once((sum.events, sum.failed, silence)))
}

/// The worst finding of a health check. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 42704.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
#[rustfmt::skip]
fn check_level(
    p_metric: Option<&str>,
) -> Result<
    TableIterator<'static, (name!(level, Option<f64>), name!(message, String))>,
    ErrorReport,
> {
    let example = "SELECT * FROM crewsnow_ops.check_level('Connections');";
    let metric = p_metric.ok_or(ServerError::NullArgument { argument: "p_metric", example })?;
    let findings = check_now(metric).map_err(|similar| {
        let check = metric.chars().take(100).collect();
        AlertError::UnknownCheck { check, similar }
    })?;
    let bad = findings.iter().filter(|finding| finding.status < Status::Skipped).count();
    // Findings that are known count more than one that could not be made.
    let worst = findings
        .iter()
        .min_by_key(|finding| (finding.status == Status::Skipped, finding.status))
        .map(|worst| {
            let level = match worst.status {
                Status::Critical => Some(2.0),
                Status::Warning => Some(1.0),
                Status::Ok => Some(0.0),
                Status::Skipped => None,
            };
            let parts = [&worst.object, &worst.current_value, &worst.evidence];
            let told: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
            let more = if bad > 1 { format!(" (and {} more)", bad - 1) } else { String::new() };
            (level, format!("{}{more}", told.join(", ").replace('\n', "; ")))
        });
    // A check that can be skipped in part is blind in part: it is not healthy.
    let is_blind = findings.iter().any(|finding| finding.status == Status::Skipped);
    Ok(TableIterator::once(match worst {
        Some((Some(0.0), message)) if is_blind => (None, message),
        Some(worst) => worst,
        None => (None, "the check has no finding".to_owned()),
    }))
}

/// Free bytes of the disk of the WAL. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", volatile, requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn wal_disk_free() -> Option<i64> {
    let directory = crate::pg::installation::data_directory()?.join("pg_wal");
    let file_system = rustix::fs::statvfs(&directory).ok()?;
    i64::try_from(file_system.f_bavail.saturating_mul(file_system.f_frsize)).ok()
}
