//! Rates: what the server's counters say of the time since an earlier sample where one compares, else of their whole life.

use crate::health::context::Known;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use crate::pg::xact::session;
use serde_json::{Map, Value};

/// What has been counted, of a part of the server, in some time.
struct Span<'a> {
    now: &'a Map<String, Value>,
    /// `None` for a lifetime.
    earlier: Option<&'a Map<String, Value>>,
    seconds: f64,
    since: String,
}

fn number(counters: &Map<String, Value>, key: &str) -> f64 {
    counters.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}

impl<'a> Span<'a> {
    /// `earlier` with its age in seconds. `None` if nothing is counted for this part.
    fn of(part: &str, now: &'a Value, earlier: Option<(&'a Value, f64)>) -> Option<Self> {
        let at = now.get("epoch").and_then(Value::as_f64).unwrap_or_default();
        let now = now.get(part)?.as_object()?;
        // Counters of different lives do not compare: after a reset or a crash the figure is of the life since then.
        let compares = |earlier: &Map<String, Value>| {
            earlier.get("counting_since") == now.get("counting_since")
                && earlier.iter().all(|(key, value)| {
                    value.as_f64().is_none_or(|value| value <= number(now, key))
                })
        };
        let earlier =
            earlier.and_then(|(earlier, age)| Some((earlier.get(part)?.as_object()?, age)));
        if let Some((earlier, age)) = earlier.filter(|(earlier, _)| compares(earlier)) {
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

    fn counted(&self, key: &str) -> f64 {
        number(self.now, key) - self.earlier.map_or(0.0, |earlier| number(earlier, key))
    }

    fn is_window(&self) -> bool {
        self.earlier.is_some()
    }
}

/// Where a figure stands.
struct Judged {
    status: Status,
    value: String,
    threshold: &'static str,
    evidence: String,
    /// What to do and to type, unless it is well.
    advice: (&'static str, String),
}

/// Bytes for people, as pg_size_pretty has them.
fn size(bytes: f64) -> String {
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 10_240.0 && unit < 4 {
        (rest, unit) = (rest / 1024.0, unit + 1);
    }
    format!("{rest:.0} {}", ["bytes", "kB", "MB", "GB", "TB"][unit])
}

fn percent(part: f64, of: f64, decimals: usize) -> Option<String> {
    (of > 0.0).then(|| format!("{:.decimals$} %", 100.0 * part / of))
}

/// The findings of a check: of each part, or of the first and those others that are not well.
fn findings(
    metric: &'static str,
    known: &Known,
    parts: &[&str],
    judge: fn(&Span<'_>, &Known) -> Judged,
) -> Result<Vec<Finding>, HealthError> {
    let now = match &known.now {
        Ok(now) => &now.parsed,
        Err(why) => return Ok(vec![Finding::skipped(metric, why.clone())]),
    };
    let earlier = known.earlier.as_ref().map(|earlier| (&earlier.counters.parsed, earlier.age));
    let mut found = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let Some(span) = Span::of(part, now, earlier) else { continue };
        let judged = judge(&span, known);
        if i > 0 && judged.status == Status::Ok {
            continue;
        }
        let ok = Finding::ok(metric);
        let (recommendation, next_command) = match judged.status {
            Status::Ok => (ok.recommendation, None),
            _ => (Some(judged.advice.0.to_owned()), Some(judged.advice.1)),
        };
        found.push(Finding {
            metric,
            status: judged.status,
            object: match *part {
                "here" => Some(format!("database {}", session::database())),
                "others" => Some("other databases".to_owned()),
                _ => None,
            },
            current_value: Some(judged.value),
            threshold: Some(judged.threshold.to_owned()),
            evidence: Some(judged.evidence),
            recommendation,
            next_command,
            since: Some(span.since),
        });
    }
    Ok(found)
}

const DATABASES: [&str; 2] = ["here", "others"];

/// 10 % (awesome-prometheus-alerts), critical from 50 % in a window (ours), from 100 transactions on.
pub fn rollbacks(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &DATABASES, |span, _| {
        let (back, committed) = (span.counted("xact_rollback"), span.counted("xact_commit"));
        let all = back + committed;
        Judged {
            status: match () {
                () if all < 100.0 => Status::Ok,
                () if span.is_window() && back >= 0.5 * all => Status::Critical,
                () if back > 0.1 * all => Status::Warning,
                () => Status::Ok,
            },
            value: percent(back, all, 1).unwrap_or_else(|| "no transactions".to_owned()),
            threshold: "<= 10 %",
            evidence: format!("{back} rolled back, {committed} committed"),
            advice: (
                "Much of what users do fails: the server's log and the application's have the errors.",
                "SELECT datname, xact_rollback, xact_commit, deadlocks, conflicts FROM pg_stat_database ORDER BY xact_rollback DESC LIMIT 5;".to_owned(),
            ),
        }
    })
}

/// More than 5 a minute are critical (awesome-prometheus-alerts); one in a window is a warning, over a lifetime one a day (ours).
pub fn deadlocks(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &DATABASES, |span, _| {
        let deadlocks = span.counted("deadlocks");
        Judged {
            status: match span.is_window() {
                true if deadlocks > 5.0 * (span.seconds / 60.0).max(1.0) => Status::Critical,
                true if deadlocks >= 1.0 => Status::Warning,
                false if deadlocks > (span.seconds / 86_400.0).max(0.99) => Status::Warning,
                _ => Status::Ok,
            },
            value: deadlocks.to_string(),
            threshold: "0; <= 5 a minute",
            evidence: format!("{deadlocks} deadlocks, each ended a transaction with an error"),
            advice: (
                "Users got errors: the server's log names the statements; let the program lock rows in one order, and retry on 40P01.",
                "SELECT datname, deadlocks, stats_reset FROM pg_stat_database ORDER BY deadlocks DESC LIMIT 5;"
                    .to_owned(),
            ),
        }
    })
}

/// 1 GB an hour (pgdoctor; its 5 GB is a failure there, here a warning, too: slow, but nobody is refused).
pub fn temp_files(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &DATABASES, |span, _| {
        let (files, bytes) = (span.counted("temp_files"), span.counted("temp_bytes"));
        let hours = span.seconds.max(60.0) / 3600.0;
        Judged {
            status: if bytes >= 1_073_741_824.0 * hours { Status::Warning } else { Status::Ok },
            value: format!("{} an hour", size(bytes / hours)),
            threshold: "< 1 GB an hour",
            evidence: format!("{files} temporary files, {}", size(bytes)),
            advice: (
                "Sorts and hashes do not fit work_mem and go to disk, which is slow and may fill it: find the statements, raise work_mem for their role.",
                "SELECT * FROM analyze_slow_queries() ORDER BY temp_mb_per_call DESC NULLS LAST;"
                    .to_owned(),
            ),
        }
    })
}

/// Below 95 % (pgdoctor; others 98 to 99 %), from 10,000 blocks on (ours). Never critical: a nightly dump reads as badly.
pub fn cache_hit(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &DATABASES, |span, _| {
        let (hit, read) = (span.counted("blks_hit"), span.counted("blks_read"));
        let all = hit + read;
        Judged {
            status: if all >= 10_000.0 && hit < 0.95 * all { Status::Warning } else { Status::Ok },
            value: percent(hit, all, 2).unwrap_or_else(|| "no blocks read".to_owned()),
            threshold: ">= 95 %",
            evidence: format!("{read} blocks read from outside, {hit} found in shared buffers"),
            advice: (
                "Queries wait for the disk: find those that read much, index them; else more shared_buffers.",
                "SELECT * FROM analyze_slow_queries() ORDER BY cache_hit_pct;".to_owned(),
            ),
        }
    })
}

/// 1 %, 5 % of the sessions begun (pgdoctor), from 10 deaths on; critical in a window only.
pub fn session_deaths(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &DATABASES, |span, _| {
        let [sessions, abandoned, fatal, killed] =
            ["sessions", "sessions_abandoned", "sessions_fatal", "sessions_killed"]
                .map(|key| span.counted(key));
        let deaths = abandoned + fatal + killed;
        Judged {
            status: match () {
                () if deaths < 10.0 => Status::Ok,
                () if span.is_window() && deaths > 0.05 * sessions => Status::Critical,
                () if deaths > 0.01 * sessions => Status::Warning,
                () => Status::Ok,
            },
            value: format!("{deaths} of {sessions} sessions"),
            threshold: "<= 1 %",
            evidence: format!("{abandoned} lost their client, {fatal} ended by a fatal error, {killed} by an operator"),
            advice: (
                if abandoned > fatal + killed {
                    "Clients vanish without goodbye: look for crashes, network breaks and time-outs on their side."
                } else {
                    "Sessions are cut off: the server's log has the reasons."
                },
                "SELECT datname, sessions, sessions_abandoned, sessions_fatal, sessions_killed FROM pg_stat_database ORDER BY sessions DESC LIMIT 5;".to_owned(),
            ),
        }
    })
}

/// More than half of them requested (awesome-prometheus-alerts), at least 2 in a window, 10 in a lifetime (ours).
pub fn checkpoints(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &["checkpoints"], |span, _| {
        let (timed, requested) = (span.counted("timed"), span.counted("requested"));
        let least = if span.is_window() { 2.0 } else { 10.0 };
        let max_wal_size = session::max_wal_size();
        Judged {
            status: if requested > timed && requested >= least {
                Status::Warning
            } else {
                Status::Ok
            },
            value: format!("{requested} requested, {timed} timed"),
            threshold: "<= 50 % requested",
            evidence: format!(
                "max_wal_size {max_wal_size} MB, checkpoint_timeout {} s, {:.0} ms in fsync",
                session::checkpoint_timeout(),
                span.counted("sync_ms")
            ),
            advice: (
                "Writing forces checkpoints, and each makes more writing (full pages), in waves that users feel: raise max_wal_size.",
                format!(
                    "ALTER SYSTEM SET max_wal_size = '{}MB';\nSELECT pg_reload_conf();",
                    2 * max_wal_size
                ),
            ),
        }
    })
}

/// 50 MB/s (ours; the tools only show it). On a standby the rate of replay.
pub fn wal_rate(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    findings(metric, known, &["wal"], |span, known| {
        let position = |counters: &Value| counters.pointer("/lsn/position").and_then(Value::as_f64);
        let moved = || {
            let (now, earlier) =
                (&known.now.as_ref().ok()?.parsed, &known.earlier.as_ref()?.counters.parsed);
            (now.get("in_recovery") == earlier.get("in_recovery"))
                .then_some(position(now)? - position(earlier)?)
        };
        let bytes = span.earlier.and_then(|_| moved()).unwrap_or_else(|| span.counted("bytes"));
        Judged {
            status: if span.is_window() && bytes >= 50e6 * span.seconds {
                Status::Warning
            } else {
                Status::Ok
            },
            value: format!("{}/s", size(bytes / span.seconds)),
            threshold: "< 50 MB/s",
            evidence: format!(
                "{} written, {} full pages, {} times the buffers were full",
                size(bytes),
                span.counted("full_pages"),
                span.counted("buffers_full")
            ),
            advice: (
                "Standbys, archive and disk must keep up with it: find the statements that write.",
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
    fn spans() {
        let now = json!({ "epoch": 1000.0, "here": { "a": 10, "since": "1970", "counting_since": 100.5 } });
        let of = |earlier: Value, age: f64| {
            let span = Span::of("here", &now, Some((&json!({ "here": earlier }), age)))
                .map(|s| (s.is_window(), s.counted("a"), s.seconds, s.since));
            span.expect("a part that is counted")
        };
        assert_eq!(
            of(json!({ "a": 4, "counting_since": 100.5 }), 60.2),
            (true, 6.0, 60.2, "last 60 s".to_owned())
        );
        assert_eq!(of(json!({ "a": 4, "counting_since": 100.5 }), 290.0).3, "last 5 min");
        let lifetime = (false, 10.0, 899.5, "lifetime since 1970".to_owned());
        assert_eq!(of(json!({ "a": 4, "counting_since": 100.0 }), 60.0), lifetime, "reset since");
        assert_eq!(
            of(json!({ "a": 11, "counting_since": 100.5 }), 60.0),
            lifetime,
            "counters do not run backwards"
        );
        assert!(Span::of("others", &now, None).is_none());
    }

    #[test]
    fn sizes() {
        assert_eq!(
            [0.0, 10_239.0, 10_240.0, 3.5e9].map(size),
            ["0 bytes", "10239 bytes", "10 kB", "3338 MB"]
        );
        assert_eq!(percent(1.0, 3.0, 1).as_deref(), Some("33.3 %"));
        assert_eq!(percent(0.0, 0.0, 1), None);
    }
}
