//! Checks of the server's counters: since an earlier sample, else over the lifetime of the
//! statistics.

use crate::health::context::CheckContext;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use crate::pg::xact::session;
use serde_json::{Map, Value};

/// The counters of one part of the server over a window or a lifetime.
struct Period<'a> {
    now: &'a Map<String, Value>,
    /// The counters at the start of the window; `None` for a lifetime.
    earlier: Option<&'a Map<String, Value>>,
    seconds: f64,
    /// The period as the column `since` shows it.
    since: String,
}

fn number(counters: &Map<String, Value>, key: &str) -> f64 {
    counters.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}

impl<'a> Period<'a> {
    /// `earlier` comes with its age in seconds. Returns `None` if this part has no counters.
    fn new(part: &str, now: &'a Value, earlier: Option<(&'a Value, f64)>) -> Option<Self> {
        let at = now.get("epoch").and_then(Value::as_f64).unwrap_or_default();
        let now = now.get(part)?.as_object()?;
        // After a reset or a crash the counters start anew. The sample then does not compare, and
        // the period is the lifetime since that event.
        let is_comparable = |earlier: &Map<String, Value>| {
            earlier.get("counting_since") == now.get("counting_since")
                && earlier.iter().all(|(key, value)| {
                    value.as_f64().is_none_or(|value| value <= number(now, key))
                })
        };
        let earlier =
            earlier.and_then(|(earlier, age)| Some((earlier.get(part)?.as_object()?, age)));
        if let Some((earlier, age)) = earlier.filter(|(earlier, _)| is_comparable(earlier)) {
            let seconds = age.max(0.001);
            let since = match seconds {
                ..120.0 => format!("last {seconds:.0} s"),
                _ => format!("last {:.0} min", seconds / 60.0),
            };
            return Some(Self { now, earlier: Some(earlier), seconds, since });
        }
        let began = now.get("counting_since").and_then(Value::as_f64);
        let since = now.get("since").and_then(Value::as_str).unwrap_or("unknown");
        let seconds = began.map_or(0.001, |began| (at - began).max(0.001));
        Some(Self { now, earlier: None, seconds, since: format!("lifetime since {since}") })
    }

    /// The increase of a counter in this period.
    fn count(&self, key: &str) -> f64 {
        number(self.now, key) - self.earlier.map_or(0.0, |earlier| number(earlier, key))
    }

    fn is_window(&self) -> bool {
        self.earlier.is_some()
    }
}

/// A check's result for one period.
struct Assessment {
    status: Status,
    value: String,
    threshold: &'static str,
    evidence: String,
    /// Recommendation and next command, shown unless the status is OK.
    advice: (&'static str, String),
}

/// A size with a unit, like pg_size_pretty.
fn size(bytes: f64) -> String {
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 10_240.0 && unit < 4 {
        (rest, unit) = (rest / 1024.0, unit + 1);
    }
    format!("{rest:.0} {}", ["bytes", "kB", "MB", "GB", "TB"][unit])
}

/// `None` if `whole` is 0.
fn percent(part: f64, whole: f64, decimals: usize) -> Option<String> {
    (whole > 0.0).then(|| format!("{:.decimals$} %", 100.0 * part / whole))
}

/// One finding for the first part, and one for each other part that is not OK.
fn findings_of_parts(
    metric: &'static str,
    context: &CheckContext,
    parts: &[&str],
    assess: fn(&Period<'_>, &CheckContext) -> Assessment,
) -> Result<Vec<Finding>, HealthError> {
    let now = match &context.counters {
        Ok(counters) => &counters.parsed,
        Err(reason) => return Ok(vec![Finding::skipped(metric, reason.clone())]),
    };
    let earlier =
        context.earlier.as_ref().map(|sample| (&sample.counters.parsed, sample.age_seconds));
    let mut findings = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let Some(period) = Period::new(part, now, earlier) else { continue };
        let assessment = assess(&period, context);
        if i > 0 && assessment.status == Status::Ok {
            continue;
        }
        let ok = Finding::ok(metric);
        let (recommendation, next_command) = match assessment.status {
            Status::Ok => (ok.recommendation, None),
            _ => (Some(assessment.advice.0.to_owned()), Some(assessment.advice.1)),
        };
        findings.push(Finding {
            metric,
            status: assessment.status,
            object: match *part {
                "here" => Some(format!("database {}", session::database())),
                "others" => Some("other databases".to_owned()),
                _ => None,
            },
            current_value: Some(assessment.value),
            threshold: Some(assessment.threshold.to_owned()),
            evidence: Some(assessment.evidence),
            recommendation,
            next_command,
            since: Some(period.since),
        });
    }
    Ok(findings)
}

const DATABASE_PARTS: [&str; 2] = ["here", "others"];

/// Limits: 10 % (awesome-prometheus-alerts), critical from 50 % in a window (ours). They apply from
/// 100 transactions on.
pub(super) fn rollbacks(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let (back, committed) = (period.count("xact_rollback"), period.count("xact_commit"));
        let all = back + committed;
        Assessment {
            status: match () {
                () if all < 100.0 => Status::Ok,
                () if period.is_window() && back >= 0.5 * all => Status::Critical,
                () if back > 0.1 * all => Status::Warning,
                () => Status::Ok,
            },
            value: percent(back, all, 1).unwrap_or_else(|| "no transactions".to_owned()),
            threshold: "<= 10 %",
            evidence: format!("{back} rolled back, {committed} committed"),
            advice: (
                "Many transactions fail: read the logs of the server and of the application.",
                "SELECT datname, xact_rollback, xact_commit, deadlocks, conflicts \
                 FROM pg_stat_database ORDER BY xact_rollback DESC LIMIT 5;"
                    .to_owned(),
            ),
        }
    })
}

/// Limits: one in a window, or more than one a day over a lifetime (ours). Critical: more than 5 a
/// minute (awesome-prometheus-alerts).
pub(super) fn deadlocks(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let deadlocks = period.count("deadlocks");
        Assessment {
            status: match period.is_window() {
                true if deadlocks > 5.0 * (period.seconds / 60.0).max(1.0) => Status::Critical,
                true if deadlocks >= 1.0 => Status::Warning,
                false if deadlocks > (period.seconds / 86_400.0).max(0.99) => Status::Warning,
                _ => Status::Ok,
            },
            value: deadlocks.to_string(),
            threshold: "0; <= 5 a minute",
            evidence: format!("{deadlocks} deadlocks, each aborted one transaction"),
            advice: (
                "Users got errors: find the statements in the server's log, lock rows in one \
                 order, and retry on 40P01.",
                "SELECT datname, deadlocks, stats_reset FROM pg_stat_database \
                 ORDER BY deadlocks DESC LIMIT 5;"
                    .to_owned(),
            ),
        }
    })
}

/// Limit: 1 GB an hour (pgdoctor). Its second limit, 5 GB, is a warning here, too: temporary files
/// slow queries down but refuse none.
pub(super) fn temp_files(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let (files, bytes) = (period.count("temp_files"), period.count("temp_bytes"));
        let hours = period.seconds.max(60.0) / 3600.0;
        Assessment {
            status: if bytes >= 1_073_741_824.0 * hours { Status::Warning } else { Status::Ok },
            value: format!("{} an hour", size(bytes / hours)),
            threshold: "< 1 GB an hour",
            evidence: format!("{files} temporary files, {}", size(bytes)),
            advice: (
                "Sorts and hashes exceed work_mem and spill to disk, which is slow and may fill \
                 it: find the statements, then raise work_mem for their role.",
                "SELECT * FROM analyze_slow_queries() ORDER BY temp_mb_per_call DESC NULLS LAST;"
                    .to_owned(),
            ),
        }
    })
}

/// Limit: 95 % (pgdoctor; others 98 to 99 %), from 10,000 blocks on (ours). Never critical, because
/// a nightly dump also reads from disk.
pub(super) fn cache_hit(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let (hit, read) = (period.count("blks_hit"), period.count("blks_read"));
        let all = hit + read;
        Assessment {
            status: if all >= 10_000.0 && hit < 0.95 * all { Status::Warning } else { Status::Ok },
            value: percent(hit, all, 2).unwrap_or_else(|| "no blocks read".to_owned()),
            threshold: ">= 95 %",
            evidence: format!(
                "{read} blocks read from disk or OS cache, {hit} found in shared buffers"
            ),
            advice: (
                "Queries wait for the disk: index those that read most, or raise shared_buffers.",
                "SELECT * FROM analyze_slow_queries() ORDER BY cache_hit_pct;".to_owned(),
            ),
        }
    })
}

/// Limits: 1 % and 5 % of the sessions (pgdoctor), from 10 deaths on. Critical only in a window.
pub(super) fn session_deaths(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let [sessions, abandoned, fatal, killed] =
            ["sessions", "sessions_abandoned", "sessions_fatal", "sessions_killed"]
                .map(|key| period.count(key));
        let deaths = abandoned + fatal + killed;
        Assessment {
            status: match () {
                () if deaths < 10.0 => Status::Ok,
                () if period.is_window() && deaths > 0.05 * sessions => Status::Critical,
                () if deaths > 0.01 * sessions => Status::Warning,
                () => Status::Ok,
            },
            value: format!("{deaths} of {sessions} sessions"),
            threshold: "<= 1 %",
            evidence: format!(
                "{abandoned} lost their client, {fatal} ended by a fatal error, {killed} terminated"
            ),
            advice: (
                if abandoned > fatal + killed {
                    "Clients vanish without closing their sessions: look for crashes, network \
                     failures and timeouts on their side."
                } else {
                    "Sessions are terminated: read the reasons in the server's log."
                },
                "SELECT datname, sessions, sessions_abandoned, sessions_fatal, sessions_killed \
                 FROM pg_stat_database ORDER BY sessions DESC LIMIT 5;"
                    .to_owned(),
            ),
        }
    })
}

/// Limit: more than half of them requested (awesome-prometheus-alerts). It applies from 2 requested
/// in a window or 10 in a lifetime on (ours).
pub(super) fn checkpoints(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &["checkpoints"], |period, _| {
        let (timed, requested) = (period.count("timed"), period.count("requested"));
        let min_requested = if period.is_window() { 2.0 } else { 10.0 };
        let max_wal_size = session::max_wal_size();
        Assessment {
            status: if requested > timed && requested >= min_requested {
                Status::Warning
            } else {
                Status::Ok
            },
            value: format!("{requested} requested, {timed} timed"),
            threshold: "<= 50 % requested",
            evidence: format!(
                "max_wal_size {max_wal_size} MB, checkpoint_timeout {} s, {:.0} ms in fsync",
                session::checkpoint_timeout(),
                period.count("sync_ms")
            ),
            advice: (
                "WAL volume forces checkpoints, and each writes full pages again, in waves that \
                 users notice: raise max_wal_size.",
                format!(
                    "ALTER SYSTEM SET max_wal_size = '{}MB';\nSELECT pg_reload_conf();",
                    2 * max_wal_size
                ),
            ),
        }
    })
}

/// Limit: 50 MB/s (ours; other tools only show it). On a standby it is the rate of replay.
pub(super) fn wal_rate(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &["wal"], |period, context| {
        let position = |counters: &Value| counters.pointer("/lsn/position").and_then(Value::as_f64);
        // pg_stat_wal counts only WAL that this server wrote: replay moves the position alone.
        let moved = || {
            let (now, earlier) = (
                &context.counters.as_ref().ok()?.parsed,
                &context.earlier.as_ref()?.counters.parsed,
            );
            (now.get("in_recovery") == earlier.get("in_recovery"))
                .then_some(position(now)? - position(earlier)?)
        };
        let bytes = period.earlier.and_then(|_| moved()).unwrap_or_else(|| period.count("bytes"));
        Assessment {
            status: if period.is_window() && bytes >= 50e6 * period.seconds {
                Status::Warning
            } else {
                Status::Ok
            },
            value: format!("{}/s", size(bytes / period.seconds)),
            threshold: "< 50 MB/s",
            evidence: format!(
                "{} written, {} full pages, WAL buffers full {} times",
                size(bytes),
                period.count("full_pages"),
                period.count("buffers_full")
            ),
            advice: (
                "Standbys, archive and disk must keep up: find the statements that write most.",
                "SELECT * FROM analyze_slow_queries() ORDER BY wal_bytes_per_call DESC NULLS LAST;"
                    .to_owned(),
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_window_needs_counters_of_the_same_lifetime() {
        let here = json!({ "a": 10, "since": "1970", "counting_since": 100.5 });
        let now = json!({ "epoch": 1000.0, "here": here });
        let period = |earlier: Value, age: f64| {
            Period::new("here", &now, Some((&json!({ "here": earlier }), age)))
                .map(|p| (p.is_window(), p.count("a"), p.seconds, p.since))
                .expect("a part with counters")
        };
        assert_eq!(
            period(json!({ "a": 4, "counting_since": 100.5 }), 60.2),
            (true, 6.0, 60.2, "last 60 s".to_owned())
        );
        assert_eq!(period(json!({ "a": 4, "counting_since": 100.5 }), 290.0).3, "last 5 min");
        let lifetime = (false, 10.0, 899.5, "lifetime since 1970".to_owned());
        assert_eq!(
            period(json!({ "a": 4, "counting_since": 100.0 }), 60.0),
            lifetime,
            "the counters were reset"
        );
        assert_eq!(
            period(json!({ "a": 11, "counting_since": 100.5 }), 60.0),
            lifetime,
            "counters do not run backwards"
        );
        assert!(Period::new("others", &now, None).is_none());
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(
            [0.0, 10_239.0, 10_240.0, 3.5e9].map(size),
            ["0 bytes", "10239 bytes", "10 kB", "3338 MB"]
        );
        assert_eq!(percent(1.0, 3.0, 1).as_deref(), Some("33.3 %"));
        assert_eq!(percent(0.0, 0.0, 1), None);
    }
}
