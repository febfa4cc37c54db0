//! Functions that used to be called and are not called now.

use crate::access::as_owner;
use crate::pg::xact::snapshot;
use crate::telemetry::error::TelemetryError;
use crate::telemetry::rollup::events;
use crate::telemetry::rollup::events::{RollupState, Times};
use crate::telemetry::rollup::silence::{LEAST_SILENCE, is_too_long, lower_quartile};
use crate::telemetry::rollup::tally::{ByFunction, OTHER};
use crate::time::minute::{DAY, HOUR, MINUTE};
use pgrx::AnyNumeric;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// Compared days.
const DAYS: usize = 14;
/// With fewer days of calls nothing is usual.
const LEAST_DAYS: usize = 5;
/// The longest part of a day that is compared: the cost must not grow with the silence.
const LONGEST: i64 = 4 * HOUR;

/// The calls of a function on the compared days, the latest day first.
#[derive(Default)]
struct Days {
    calls: [u64; DAYS],
    last_call: Option<i64>,
}

impl Days {
    /// The days since the first one with a call; `None` if they are too few to judge.
    fn known(&self) -> Option<Vec<u64>> {
        let days = self.calls.iter().rposition(|calls| *calls > 0)? + 1;
        (days >= LEAST_DAYS).then(|| self.calls[..days].to_vec())
    }
}

/// The latest call of each function that was called lately, rolled up or not.
fn latest_calls(state: &RollupState, since: i64, now: i64) -> Result<Latest, TelemetryError> {
    let mut latest: ByFunction<Option<i64>> = ByFunction::default();
    let mut note = |function: &[u8], time: i64| {
        if time <= now {
            let last = latest.of(function, time);
            *last = (*last).max(Some(time));
        }
    };
    events::read_rollups(state, since, |rolled| {
        note(rolled.function, rolled.last_call);
        Ok::<_, TelemetryError>(())
    })?;
    events::read_tail(state, since, Times::Unwanted, |call| note(call.function, call.created_at))?;
    Ok(latest.into_sorted().into_iter().filter_map(|(name, time)| Some((name, time?))).collect())
}

type Latest = Vec<(Box<[u8]>, i64)>;

/// The calls of earlier days at the same time, since the latest call of each function.
fn earlier_calls(now: i64, latest: &Latest) -> Result<BTreeMap<String, Days>, TelemetryError> {
    let time = |time: i64| TimestampWithTimeZone::try_from(time).ok();
    let names: Vec<String> =
        latest.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    let times: Vec<_> = latest.iter().map(|(_, last)| time(*last)).collect();
    let arguments = [
        time(now).into(),
        names.into(),
        times.into(),
        time(now - LEAST_SILENCE).into(),
        time(now - LONGEST).into(),
        (DAYS as i32).into(),
    ];
    let mut functions: BTreeMap<String, Days> = BTreeMap::new();
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/telemetry/earlier_calls.sql");
            for row in client.select(sql, None, &arguments)? {
                let (Some(name), Some(day)) = (row.get::<String>(1)?, row.get::<i32>(2)?) else {
                    continue;
                };
                let days = functions.entry(name).or_default();
                if let Some(calls) = days.calls.get_mut(day as usize - 1) {
                    *calls = row.get::<i64>(3)?.unwrap_or(0).unsigned_abs();
                }
                let last: Option<TimestampWithTimeZone> = row.get(4)?;
                days.last_call = days.last_call.max(last.map(TimestampWithTimeZone::into_inner));
            }
            Ok(functions)
        })
    })
}

/// Whether any function was called long enough ago to be judged.
fn has_history(now: i64) -> Result<bool, TelemetryError> {
    let before = TimestampWithTimeZone::try_from(now - LEAST_DAYS as i64 * DAY).ok();
    let sql = include_str!("../../../sql/telemetry/has_earlier_calls.sql");
    as_owner(|| {
        Spi::connect(|client| {
            let found = client.select(sql, Some(1), &[before.into()])?.first().get_one::<bool>()?;
            Ok(found.unwrap_or(false))
        })
    })
}

/// The function behind the view crewsnow_ops.silent_functions.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn silent_functions_now() -> Result<
    TableIterator<
        'static,
        (
            name!(function_name, String),
            name!(last_call, Option<TimestampWithTimeZone>),
            name!(silent_minutes, Option<i64>),
            name!(usual_calls, Option<AnyNumeric>),
            name!(status, String),
        ),
    >,
    ErrorReport,
> {
    let now = snapshot::transaction_start();
    let state = RollupState::read()?;
    let latest = latest_calls(&state, now - LONGEST, now)?;
    let mut silent = Vec::new();
    for (name, days) in earlier_calls(now, &latest)? {
        let Some(mut known) = days.known() else { continue };
        let recent = latest.iter().find(|(function, _)| **function == *name.as_bytes());
        let last = recent.map(|(_, last)| *last).or(days.last_call);
        let lasted = now - last.unwrap_or(now - LONGEST);
        if name.as_bytes() != OTHER && is_too_long(lasted, &mut known) {
            silent.push((name, last, lasted, lower_quartile(&mut known)));
        }
    }
    silent.sort_by_key(|(_, _, lasted, _)| std::cmp::Reverse(*lasted));
    let mut rows: Vec<_> = silent
        .into_iter()
        .map(|(name, last, lasted, usual)| {
            let minutes = lasted / MINUTE;
            let status = format!("ALERT: No call for {minutes} min, usual are {usual:.0}");
            let last = last.and_then(|last| TimestampWithTimeZone::try_from(last).ok());
            (name, last, Some(minutes), AnyNumeric::try_from(usual).ok(), status)
        })
        .collect();
    if rows.is_empty() {
        let status = if has_history(now)? { "OK" } else { "NO_DATA" };
        rows.push(("(none)".to_owned(), None, None, None, status.to_owned()));
    }
    Ok(TableIterator::new(rows))
}
