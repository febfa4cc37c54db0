//! The rows of crewsnow_ops.dashboard: six signals, for a screen that stays open in an incident.

use crate::access::as_owner;
use crate::pg::error::ServerError;
use crate::pg::xact::snapshot;
use crate::rls::store;
use crate::telemetry::rollup::events::Times;
use crate::telemetry::rollup::webhooks::Alert;
use crate::telemetry::views::monitoring::{HOUR, TEN_MINUTES, Webhooks, minutes};
use crate::telemetry::views::thresholds::{
    ErrorStatus, Minute, by_minute, hundredths, mean_of_means, share,
};
use crate::telemetry::views::{sparkline, wrap::wrapped};
use crate::time::minute::Window;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// Columns of a line of the note: the dashboard fits a terminal of 120 columns.
const NOTE_COLUMNS: usize = 32;

type Functions = crate::telemetry::rollup::tally::Functions<BTreeMap<i64, Minute>>;

struct Signal {
    name: &'static str,
    status: &'static str,
    value: String,
    threshold: String,
    /// A sparkline of the last 60 minutes, two in a character, or empty.
    history: String,
    note: String,
}

/// The function behind the view crewsnow_ops.dashboard.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn dashboard_now() -> Result<
    TableIterator<
        'static,
        (
            name!(signal, &'static str),
            name!(status, &'static str),
            name!(value, String),
            name!(threshold, String),
            name!(last_60_minutes, String),
            name!(note, String),
        ),
    >,
    ErrorReport,
> {
    let now = snapshot::transaction_start();
    let hour = Window::ending(now, HOUR);
    // Sixty characters: the running minute and the 59 before it.
    let shown = Window::ending(now, HOUR - 1);
    let ten_minutes = Window::ending(now, TEN_MINUTES);
    let functions = minutes(hour, Times::Wanted)?;
    let signals = [
        performance(&functions, hour, shown),
        error_rate(&functions, ten_minutes, shown),
        webhooks(&Webhooks::read(hour, now)?, ten_minutes, shown),
        security()?,
        connections(shown)?,
        alerts()?,
    ];
    Ok(TableIterator::new(signals.map(|row| {
        let note = wrapped(&row.note, NOTE_COLUMNS);
        (row.name, row.status, row.value, row.threshold, row.history, note)
    })))
}

/// Milliseconds in at most seven columns.
fn duration(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 9_999.5 => format!("{short:.0} ms"),
        long => format!("{:.0} s", long / 1_000.0),
    }
}

/// Hundredths of a percent in at most seven columns.
fn percent(hundredths_of_percent: u64) -> String {
    match hundredths_of_percent {
        10_000 => "100 %".to_owned(),
        other => format!("{} %", hundredths(other)),
    }
}

fn total(minutes: &BTreeMap<i64, Minute>, window: Window) -> Minute {
    let mut total = Minute::default();
    minutes.range(window.first..=window.current).for_each(|(_, minute)| total.add(*minute));
    total
}

/// Defined by the runbook: the mean of the functions' mean execution times must be below 2 s.
fn performance(functions: &Functions, hour: Window, shown: Window) -> Signal {
    const THRESHOLD: f64 = 2_000.0;
    let value = mean_of_means(functions.iter().map(|(_, minutes)| total(minutes, hour)));
    let slowest = functions
        .iter()
        .map(|(name, minutes)| {
            (name, mean_of_means(std::iter::once(total(minutes, hour))).unwrap_or(0.0))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let note = match slowest {
        Some((name, milliseconds)) => {
            format!("slowest: {}, {}", String::from_utf8_lossy(name), duration(milliseconds))
        }
        None => "no calls in the last hour".to_owned(),
    };
    Signal {
        name: "Performance",
        status: if value.unwrap_or(0.0) < THRESHOLD { "✅ OK" } else { "❌ SLOW" },
        value: value.map_or_else(String::new, duration),
        threshold: "2000 ms".to_owned(),
        history: sparkline::draw_pairs(
            &by_minute(functions, shown, |minute| mean_of_means(minute)),
            THRESHOLD,
        ),
        note,
    }
}

/// Defined by the runbook: the highest error rate of a function in a minute must be below 5 %.
fn error_rate(functions: &Functions, ten_minutes: Window, shown: Window) -> Signal {
    let rate = |minute: Minute| share(minute.errors, minute.calls) as f64 / 100.0;
    let status =
        |minute: Minute| ErrorStatus::of(minute.calls, minute.errors, minute.without_status);
    let worst = functions
        .iter()
        .flat_map(|(name, minutes)| {
            minutes
                .range(ten_minutes.first..=ten_minutes.current)
                .map(move |(_, minute)| (name, *minute))
        })
        .max_by_key(|(_, minute)| share(minute.errors, minute.calls));
    let alerts = |minutes: &BTreeMap<i64, Minute>| {
        minutes
            .range(ten_minutes.first..=ten_minutes.current)
            .any(|(_, minute)| status(*minute) == ErrorStatus::Alert)
    };
    let alerting = functions.iter().filter(|(_, minutes)| alerts(minutes)).count();
    let uncoded = functions.iter().find(|(_, minutes)| {
        let mut window = minutes.range(ten_minutes.first..=ten_minutes.current);
        window.any(|(_, minute)| status(*minute) == ErrorStatus::Unknown)
    });
    let is_high = worst.is_some_and(|(_, worst)| rate(worst) >= 5.0);
    let note = match worst {
        Some((name, worst)) if worst.errors > 0 => format!(
            "worst: {}, {} of {} in a minute; functions with an alert: {alerting}",
            String::from_utf8_lossy(name),
            worst.errors,
            worst.calls
        ),
        Some(_) if let Some((name, _)) = uncoded => {
            format!("calls without status_code: {}", String::from_utf8_lossy(name))
        }
        Some(_) => "no error in the last ten minutes".to_owned(),
        None => "no calls in the last ten minutes".to_owned(),
    };
    let highest = |minutes: &mut dyn Iterator<Item = Minute>| minutes.map(rate).reduce(f64::max);
    Signal {
        name: "Error Rate",
        status: match (is_high, uncoded) {
            (true, _) => "🚨 HIGH",
            (false, Some(_)) => "⚪ NO CODES",
            (false, None) => "✅ OK",
        },
        value: worst
            .filter(|_| is_high || uncoded.is_none())
            .map_or_else(String::new, |(_, worst)| percent(share(worst.errors, worst.calls))),
        threshold: "5 %".to_owned(),
        history: sparkline::draw_pairs(&by_minute(functions, shown, highest), 5.0),
        note,
    }
}

/// Defined by the runbook: the highest failure rate of a minute must be below 5 %. The alerts of
/// stripe_webhook_monitoring count too.
fn webhooks(webhooks: &Webhooks, ten_minutes: Window, shown: Window) -> Signal {
    let worst = ten_minutes.minutes().filter_map(|minute| webhooks.failure_share(minute)).max();
    let status = match (&webhooks.alert, worst) {
        (Some(Alert::Failing), _) => "🚨 FAILING",
        (_, Some(worst)) if worst >= 500 => "🚨 FAILING",
        (Some(Alert::Backlog { .. }), _) => "🚨 BACKLOG",
        (Some(Alert::Silence { .. }), _) => "🚨 SILENT",
        (None, _) => "✅ OK",
    };
    let note = match (&webhooks.alert, worst) {
        (Some(alert), _) => alert.to_string(),
        (None, Some(worst)) if worst >= 500 => {
            "a single minute; at most 5 % over ten minutes".to_owned()
        }
        (None, Some(_)) => String::new(),
        (None, None) => "no webhook in the last ten minutes".to_owned(),
    };
    let line: Vec<_> = shown
        .minutes()
        .map(|minute| webhooks.failure_share(minute).map(|share| share as f64 / 100.0))
        .collect();
    Signal {
        name: "Webhooks",
        status,
        value: worst.map_or_else(String::new, percent),
        threshold: "5 %".to_owned(),
        history: sparkline::draw_pairs(&line, 5.0),
        note,
    }
}

/// Shows the latest stored audit, or that of a later decision. An audit at each refresh of the
/// dashboard would load a server that is already in trouble.
fn security() -> Result<Signal, ErrorReport> {
    const MAX_AGE_SECONDS: i64 = 24 * 3600;
    let audit_command = "SELECT crewsnow_ops.record_rls_audit();";
    let latest = store::latest()?;
    let is_newer = |audit: &DecidedAudit| {
        audit.age <= MAX_AGE_SECONDS && latest.as_ref().is_none_or(|latest| audit.age < latest.age)
    };
    if let Some(audit) = decided_audit()?.filter(is_newer) {
        return Ok(audit.signal());
    }
    let (status, value, note) = match &latest {
        None => ("⚪ NOT CHECKED", String::new(), format!("no audit is stored: {audit_command}")),
        Some(latest) if latest.age > MAX_AGE_SECONDS => (
            "⚪ NOT CHECKED",
            latest.unmet.to_string(),
            format!("the latest audit is {} h old: {audit_command}", latest.age / 3600),
        ),
        Some(latest) => {
            let age = format!("audited {} min ago", latest.age / 60);
            let note = latest.worst.iter().fold(age, |note, worst| format!("{note}; {worst}"));
            let status = match latest.unmet {
                0 if !latest.has_verdicts => "⚪ NO DATA",
                0 => "✅ OK",
                _ => "🔒 ISSUES",
            };
            let note = match latest.has_verdicts {
                true => note,
                false => format!("{note}; client roles reach no table"),
            };
            (status, latest.unmet.to_string(), note)
        }
    };
    let threshold = "0".to_owned();
    Ok(Signal { name: "Security", status, value, threshold, history: String::new(), note })
}

/// The audit of row-level security that the latest decision made.
struct DecidedAudit {
    /// Age in seconds.
    age: i64,
    /// The outcome of the measurement: `met`, `failed` or another word.
    outcome: String,
    /// The outcome in words.
    detail: String,
    /// Exceptions of a met outcome.
    caveat: Option<String>,
}

impl DecidedAudit {
    fn signal(self) -> Signal {
        let is_open = self.caveat.as_ref().is_some_and(|caveat| caveat.contains("to be reviewed"));
        let status = match (self.outcome.as_str(), is_open) {
            ("met", false) => "✅ OK",
            ("met", true) | ("failed", _) => "🔒 ISSUES",
            _ => "⚪ NOT CHECKED",
        };
        let told = self.caveat.into_iter().fold(self.detail, |told, caveat| told + "; " + &caveat);
        Signal {
            name: "Security",
            status,
            value: String::new(),
            threshold: "0".to_owned(),
            history: String::new(),
            note: format!("decided {} min ago; {told}", self.age / 60),
        }
    }
}

fn decided_audit() -> Result<Option<DecidedAudit>, ServerError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../sql/dashboard/decided_audit.sql");
            let rows = client.select(sql, Some(1), &[])?;
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            Ok(Some(DecidedAudit {
                age: row.get(1)?.unwrap_or(i64::MAX),
                outcome: row.get(2)?.unwrap_or_default(),
                detail: row.get(3)?.unwrap_or_default(),
                caveat: row.get(4)?,
            }))
        })
    })
}

fn connections(shown: Window) -> Result<Signal, ErrorReport> {
    let (connections, limit, samples) = as_owner(|| {
        Spi::connect(|client| {
            let first = TimestampWithTimeZone::try_from(shown.first).ok();
            let mut samples = BTreeMap::new();
            let (mut connections, mut limit) = (0, 0);
            for row in client.select(
                include_str!("../sql/dashboard/connection_history.sql"),
                None,
                &[first.into()],
            )? {
                connections = row.get::<i64>(1)?.unwrap_or(0);
                limit = row.get::<i64>(2)?.unwrap_or(0);
                if let Some(minute) = row.get::<TimestampWithTimeZone>(3)? {
                    samples.insert(minute.into_inner(), f64::from(row.get::<i32>(4)?.unwrap_or(0)));
                }
            }
            samples.insert(
                shown.current,
                samples.get(&shown.current).copied().unwrap_or(0.0).max(connections as f64),
            );
            Ok::<_, ServerError>((connections, limit, samples))
        })
    })?;
    let line: Vec<_> = shown.minutes().map(|minute| samples.get(&minute).copied()).collect();
    let status = match connections * 100 {
        used if used >= limit * 95 => "🚨 FULL",
        used if used >= limit * 80 => "⚠️ BUSY",
        _ => "✅ OK",
    };
    Ok(Signal {
        name: "Connections",
        status,
        value: connections.to_string(),
        threshold: format!("{}/{limit}", limit * 80 / 100),
        history: sparkline::draw_pairs(&line, limit as f64),
        note: if samples.len() > 1 {
            String::new()
        } else {
            "roll_up_events samples earlier minutes".to_owned()
        },
    })
}

/// The alerts that fire, and the age of the latest tick: a dead alerting system must look dead.
fn alerts() -> Result<Signal, ErrorReport> {
    const COMMAND: &str = "SELECT * FROM crewsnow_ops.alerts;";
    let (age, critical, warnings, errors, first) = as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../sql/dashboard/alerts.sql");
            let row = client.select(sql, Some(1), &[])?.first();
            let count = |column| row.get::<i64>(column).map(|count| count.unwrap_or(0));
            Ok::<_, ServerError>((
                row.get::<i64>(1)?,
                count(2)?,
                count(3)?,
                count(4)?,
                row.get::<String>(5)?,
            ))
        })
    })?;
    const LATE: i64 = 300;
    let tick = age.map_or_else(|| "no tick yet".to_owned(), |age| format!("last tick {age} s ago"));
    let status = match (age, critical, warnings, errors) {
        (None, ..) => "⚪ NO TICK",
        (Some(age), ..) if age > LATE => "🚨 NO TICK",
        (_, 1.., ..) => "🚨 FIRING",
        (_, _, 1.., _) => "⚠️ FIRING",
        (_, _, _, 1..) => "⚪ BROKEN",
        _ => "✅ OK",
    };
    let note = match first {
        Some(first) => format!("{tick}; {first}; {COMMAND}"),
        None if errors > 0 => format!("{tick}; queries of {errors} rules fail; {COMMAND}"),
        None if age.is_none_or(|age| age > LATE) => {
            format!("{tick}: SELECT * FROM crewsnow_ops.tick();")
        }
        None => tick,
    };
    Ok(Signal {
        name: "Alerts",
        status,
        value: (critical + warnings).to_string(),
        threshold: "0".to_owned(),
        history: String::new(),
        note,
    })
}
