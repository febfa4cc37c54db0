//! `crewsnow_ops.preview_retention()`: the effect that a run would have now.

use super::counts::{Counts, Uncounted, count};
use super::error::RetentionError;
use super::examination::examine;
use super::policy::{Policy, policies};
use crate::maintenance::report::plain;
use crate::pg::clock;
use crate::pg::xact::timeout::Stopped;
use crate::telemetry::rollup::retention;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// How long the rows of one policy may be counted, in milliseconds.
const LIMIT_MS: i32 = 10_000;
const RUN: &str = "SELECT run_gdpr_maintenance();";

/// A row of the preview.
#[derive(Debug, Default)]
struct Line {
    verdict: &'static str,
    policy: String,
    object: String,
    action: String,
    expired: Option<i64>,
    held: Option<i64>,
    oldest: Option<i64>,
    cutoff: Option<i64>,
    detail: String,
    command: Option<String>,
}

fn rank(verdict: &str) -> usize {
    let order = ["FAILED", "SKIPPED", "DUE", "CLEAR", "OFF", "KEPT"];
    order.iter().position(|known| *known == verdict).unwrap_or(order.len())
}

fn time(microseconds: Option<i64>) -> Option<TimestampWithTimeZone> {
    microseconds.and_then(|time| TimestampWithTimeZone::try_from(time).ok())
}

/// Shows the effect of a run. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (unknown policy).
#[pg_extern(schema = "crewsnow_ops", requires = ["maintenance"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn preview_retention(
    p_policy: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(verdict, String),
            name!(policy, String),
            name!(object, String),
            name!(action, String),
            name!(expired, Option<i64>),
            name!(held, Option<i64>),
            name!(oldest, Option<TimestampWithTimeZone>),
            name!(cutoff, Option<TimestampWithTimeZone>),
            name!(detail, Option<String>),
            name!(command, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let lines = lines(p_policy)?;
    Ok(TableIterator::new(lines.into_iter().map(|line| {
        (
            line.verdict.to_owned(),
            line.policy,
            line.object,
            line.action,
            line.expired,
            line.held,
            time(line.oldest),
            time(line.cutoff),
            (!line.detail.is_empty()).then_some(line.detail),
            line.command,
        )
    })))
}

fn lines(name: Option<&str>) -> Result<Vec<Line>, RetentionError> {
    let policies = policies(name, clock::statement_start())?;
    if let Some(name) = name.filter(|_| policies.is_empty()) {
        return Err(RetentionError::UnknownPolicy(name.to_owned()));
    }
    let mut lines: Vec<Line> = policies.iter().map(line).collect();
    if name.is_none() {
        lines.push(events()?);
        lines.extend(built_in()?);
    }
    lines.sort_by(|a, b| rank(a.verdict).cmp(&rank(b.verdict)).then(b.expired.cmp(&a.expired)));
    Ok(lines)
}

fn line(policy: &Policy) -> Line {
    pgrx::check_for_interrupts!();
    let mut line = Line {
        verdict: "FAILED",
        policy: policy.name.clone(),
        object: policy.target.clone(),
        action: policy.action.as_str().to_owned(),
        cutoff: Some(policy.cutoff),
        ..Line::default()
    };
    if !policy.is_enabled {
        line.verdict = "OFF";
        line.detail = "is_enabled is false".to_owned();
        return line;
    }
    let target = match examine(policy) {
        Ok((target, _)) => target,
        Err(obstacle) => {
            line.verdict = if obstacle.is_fault { "FAILED" } else { "SKIPPED" };
            line.detail = plain(&obstacle.detail);
            line.command = obstacle.command;
            return line;
        }
    };
    match count(policy, &target, LIMIT_MS) {
        Ok(counts) => {
            line.verdict = if counts.expired > 0 { "DUE" } else { "CLEAR" };
            line.command = (counts.expired > 0).then(|| RUN.to_owned());
            line.expired = Some(counts.expired);
            line.held = Some(counts.held);
            line.oldest = counts.oldest;
            line.detail = details(policy, &counts).join(", ");
        }
        Err(Uncounted::Unfit(error)) => line.detail = plain(&error.to_string()),
        Err(Uncounted::Stopped(Stopped::TimedOut(_))) => {
            line.verdict = "SKIPPED";
            line.detail = format!("not counted within {} s", LIMIT_MS / 1_000);
        }
        Err(Uncounted::Stopped(Stopped::Failed(failure))) => {
            if failure.is_lock_timeout() {
                line.verdict = "SKIPPED";
            }
            line.detail = plain(&failure.redacted_message());
        }
    }
    line
}

/// Facts beside the numbers.
fn details(policy: &Policy, counts: &Counts) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(cap) = policy.max_rows.filter(|cap| *cap < counts.expired) {
        details.push(format!("one run changes {cap} rows (max_rows)"));
    }
    let mut add = |number: i64, text: &str| {
        if number > 0 {
            details.push(format!("{number} {text}"));
        }
    };
    match policy.action {
        super::policy::Action::Delete => {
            add(counts.closed, "expired rows stay: others refer to them")
        }
        super::policy::Action::Anonymise => {
            add(counts.closed, "expired rows are anonymised already")
        }
        super::policy::Action::Drop => {
            add(counts.closed, "expired rows stay beside a held one");
            add(counts.in_default, "expired rows are in the default partition, which stays");
        }
    }
    add(counts.undated, "rows never expire: their time is NULL, infinite or more than a day ahead");
    details
}

/// The built-in policy of events and their counts.
fn events() -> Result<Line, RetentionError> {
    let days = retention::expired_partitions()
        .map_err(crate::maintenance::error::MaintenanceError::from)?;
    Ok(Line {
        verdict: if days > 0 { "DUE" } else { "CLEAR" },
        policy: "built-in: event_log".to_owned(),
        object: "event_log".to_owned(),
        action: "drop partition".to_owned(),
        detail: format!(
            "{days} days have expired: crewsnow_ops.event_retention, counts by rollup_retention"
        ),
        command: (days > 0).then(|| RUN.to_owned()),
        ..Line::default()
    })
}

/// Own tables with a retention of their own, and those that are kept.
fn built_in() -> Result<Vec<Line>, RetentionError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/retention_built_in.sql");
        let mut lines = Vec::new();
        for row in client.select(sql, None, &[])? {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let object = text(2)?;
            lines.push(Line {
                verdict: if text(1)? == "KEPT" { "KEPT" } else { "CLEAR" },
                policy: format!("built-in: {object}"),
                object,
                action: text(3)?,
                detail: text(4)?,
                ..Line::default()
            });
        }
        Ok(lines)
    })
}
