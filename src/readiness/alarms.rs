//! Measures that read the extension's own alarms: errors, latency, health, the lag of a standby
//! and steps of the clock.

use super::observation::{CLOCK_TOLERANCE, Environment, Observation, listed};
use super::pure::model::Outcome;
use super::pure::replica::Replica;
use crate::access::as_owner;
use crate::health::report::{ServerAlarms, server_alarms};
use crate::pg::fmgr::spi::in_target_schema;
use crate::readiness::error::ReadinessError;
use crate::settings;
use crate::telemetry::rollup::events::Times;
use crate::telemetry::views::monitoring::{HOUR, TEN_MINUTES, functions, minutes};
use crate::telemetry::views::thresholds::{ErrorStatus, Minute, latency_status, mean, share};
use crate::time::instant::Instant;
use crate::time::minute::Window;
use pgrx::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many calls or fewer are too few for an alarm about their share or percentile.
const FEW_CALLS: u64 = 5;
/// From this mean on, in milliseconds, the dashboard says SLOW.
const SLOW_MEAN: f64 = 2_000.0;
/// From this share of errors in a minute on, in hundredths of a percent, the dashboard says HIGH.
const HIGH_SHARE: u64 = 500;
/// How long a standby may take to replay the WAL that it has.
const REPLAY_WAIT: Duration = Duration::from_millis(500);

fn text(function: &[u8]) -> String {
    String::from_utf8_lossy(function).into_owned()
}

/// Errors of calls in the last ten minutes. Errors that are spread thinly over minutes or functions
/// alarm by their sum.
pub(super) fn error_rate(now: Instant) -> Result<Observation, ReadinessError> {
    let functions = minutes(Window::ending(now.0, TEN_MINUTES), Times::Unwanted)?;
    let sum = |minutes: &BTreeMap<i64, Minute>| {
        let mut total = Minute::default();
        minutes.values().for_each(|minute| total.add(*minute));
        total
    };
    let status = |of: &Minute| ErrorStatus::of(of.calls, of.errors, of.without_status);
    let is_alarming = |of: &Minute| status(of) == ErrorStatus::Alert;
    let (mut alarms, mut unknown) = (Vec::new(), Vec::new());
    let mut all = Minute::default();
    let mut worst: Option<Minute> = None;
    for (name, minutes) in &functions {
        let total = sum(minutes);
        all.add(total);
        let alarm = minutes.values().filter(|minute| is_alarming(minute)).max_by_key(|m| m.errors);
        if let Some(minute) = alarm {
            let (errors, calls) = (minute.errors, minute.calls);
            alarms.push(format!("{}: {errors} of {calls} calls failed in a minute", text(name)));
        } else if is_alarming(&total) {
            let (errors, calls) = (total.errors, total.calls);
            alarms.push(format!("{}: {errors} of {calls} calls failed", text(name)));
        } else if status(&total) == ErrorStatus::Unknown {
            let (without, calls) = (total.without_status, total.calls);
            unknown.push(format!("{}: {without} of {calls} calls", text(name)));
        }
        let share_of = |minute: &Minute| share(minute.errors, minute.calls);
        worst = minutes.values().copied().chain(worst).max_by_key(share_of);
    }
    if alarms.is_empty() && is_alarming(&all) {
        alarms.push(format!("all functions: {} of {} calls failed", all.errors, all.calls));
    }
    let action = in_target_schema(
        "SELECT * FROM @extschema@.error_rate_monitoring WHERE error_5xx_count > 0;",
    )?;
    if !alarms.is_empty() {
        let detail = format!("errors in ten minutes: {}", listed(&alarms));
        return Ok(Observation::new(Outcome::Failed, detail).with_action(action));
    }
    if !unknown.is_empty() {
        let detail = format!("errors are not seen without status_code: {}", listed(&unknown));
        let action = in_target_schema(
            "SELECT * FROM @extschema@.error_rate_monitoring WHERE error_status <> 'OK';",
        )?;
        return Ok(Observation::new(Outcome::NoData, detail).with_action(action));
    }
    let high = worst.filter(|minute| share(minute.errors, minute.calls) >= HIGH_SHARE);
    let caveat = high.map(|minute| {
        let (errors, calls) = (minute.errors, minute.calls);
        format!("{errors} of {calls} calls failed in a minute, too few for an alarm")
    });
    let detail = format!("errors in ten minutes: {} of {} calls", all.errors, all.calls);
    Ok(Observation::new(Outcome::Met, detail).with_caveat(caveat))
}

/// The 95th percentiles of the last hour, which edge_functions_monitoring shows, and of the last
/// ten minutes, in which an outage shows earlier.
pub(super) fn latency(now: Instant) -> Result<Observation, ReadinessError> {
    let (mut alarms, mut slow) = (Vec::new(), Vec::new());
    let mut means = Vec::new();
    let [hour, recent] = [HOUR, TEN_MINUTES].map(|minutes| Window::ending(now.0, minutes));
    for (function, calls) in functions(hour, recent)? {
        let function = text(&function);
        let head = calls.all.latency.head();
        means.push(mean(head.sum, head.count) as f64 / 1e6);
        for (cell, name) in [(&calls.recent, "ten minutes"), (&calls.all, "an hour")] {
            let head = cell.latency.head();
            let p95 = cell.latency.quantile(0.95);
            let status = latency_status(p95);
            if status == "OK" {
                continue;
            }
            let seconds = p95.unwrap_or(0.0) / 1e9;
            let told = format!("{function}: p95 {seconds:.1} s in {name}");
            match status.starts_with("CRITICAL") && head.count > FEW_CALLS {
                true => alarms.push(told),
                false => slow.push(told),
            }
            break;
        }
    }
    let action = in_target_schema(
        "SELECT * FROM @extschema@.edge_functions_monitoring ORDER BY p95_latency DESC LIMIT 10;",
    )?;
    if !alarms.is_empty() {
        let detail = format!("slow calls: {}", listed(&alarms));
        return Ok(Observation::new(Outcome::Failed, detail).with_action(action));
    }
    let mean = means.iter().sum::<f64>() / (means.len().max(1) as f64);
    if slow.is_empty() && mean >= SLOW_MEAN {
        slow.push(format!("all functions: mean {:.1} s in an hour", mean / 1e3));
    }
    let caveat = (!slow.is_empty()).then(|| format!("slow calls: {}", listed(&slow)));
    Ok(Observation::new(Outcome::Met, "no function is slow").with_caveat(caveat))
}

/// CRITICAL findings of the health checks. A check that could not look is no evidence of health.
///
/// The checks see what the extension's owner may see, so that the verdict depends on the server
/// and not on the caller. Their metrics and values are told, but no statement or user.
pub(super) fn health() -> Result<Observation, ReadinessError> {
    let ServerAlarms { critical, lasting, unseen, checks } =
        as_owner(|| Ok::<_, ReadinessError>(server_alarms()))?;
    let action = in_target_schema(
        "SELECT metric, object, current_value, next_command \
         FROM @extschema@.performance_health_check() WHERE status IN ('CRITICAL', 'SKIPPED');",
    )?;
    let told = [("health is CRITICAL", &critical), ("health is not seen", &unseen)]
        .into_iter()
        .filter(|(_, findings)| !findings.is_empty())
        .map(|(what, findings)| format!("{what}: {}", listed(findings)))
        .collect::<Vec<_>>()
        .join("; ");
    let observation = match (critical.is_empty(), unseen.is_empty()) {
        (false, _) => Observation::new(Outcome::Failed, told),
        (true, false) => Observation::new(Outcome::NoData, told),
        (true, true) => {
            Observation::new(Outcome::Met, format!("no health check of {checks} is CRITICAL"))
        }
    };
    let caveat = (!lasting.is_empty()).then(|| format!("health is CRITICAL: {}", listed(&lasting)));
    Ok(observation.with_action(action).with_caveat(caveat))
}

/// The lag of a standby. WAL that has arrived is replayed first, for half a second at most.
pub(super) fn replica(environment: Environment) -> Result<Observation, ReadinessError> {
    if environment != Environment::Standby {
        return Ok(Observation::new(Outcome::Met, "the server is a primary"));
    }
    let limit = settings::max_replica_lag().saturating_mul(1_000);
    let began = std::time::Instant::now();
    let replica = loop {
        let replica = read_replica()?;
        if replica.is_caught_up || replica.is_paused || began.elapsed() > REPLAY_WAIT {
            break replica;
        }
        pgrx::check_for_interrupts!();
        std::thread::sleep(Duration::from_millis(20));
    };
    let (outcome, detail) = replica.judge(limit);
    let observation = Observation::new(outcome, detail.clone()).with_action(
        "SELECT pg_is_wal_replay_paused(), pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), \
         pg_last_xact_replay_timestamp();",
    );
    Ok(match outcome {
        Outcome::Met => observation.with_note(detail),
        _ => observation,
    })
}

fn read_replica() -> Result<Replica, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/replica.sql");
            let row = client.select(sql, Some(1), &[])?.first();
            Ok(Replica {
                is_paused: row.get(1)?.unwrap_or(true),
                is_connected: row.get(2)?.unwrap_or(false),
                should_stream: row.get(3)?.unwrap_or(true),
                is_caught_up: row.get(4)?.unwrap_or(false),
                since_last_commit: row.get(5)?,
                missing_bytes: row.get(6)?,
            })
        })
    })
}

/// Whether the latest record is newer than the clock.
pub(super) fn clock(now: Instant) -> Result<Observation, ReadinessError> {
    let limit = TimestampWithTimeZone::try_from(now.plus(CLOCK_TOLERANCE).0).ok();
    let ahead = as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/clock.sql");
            let rows = client.select(sql, Some(1), &[limit.into()])?;
            if rows.is_empty() {
                return Ok::<_, ReadinessError>(None);
            }
            let row = rows.first();
            Ok(Some((row.get::<String>(1)?.unwrap_or_default(), row.get::<i64>(2)?.unwrap_or(0))))
        })
    })?;
    let caveat = ahead.map(|(kind, microseconds)| {
        format!(
            "the clock stepped back: the latest record ({kind}) is {} in the future, and what was \
             recorded in the future does not count",
            duration(microseconds)
        )
    });
    Ok(Observation::new(Outcome::Met, "the clock is not behind the records").with_caveat(caveat))
}

/// A time in its largest unit, cut.
fn duration(microseconds: i64) -> String {
    match microseconds / 1_000_000 {
        seconds if seconds >= 172_800 => format!("{} days", seconds / 86_400),
        seconds if seconds >= 7_200 => format!("{} h", seconds / 3_600),
        seconds if seconds >= 120 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
