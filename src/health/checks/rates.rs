//! Checks of the server's counters: since an earlier sample, else over the lifetime of the
//! statistics.

use super::periods::{Assessment, DATABASE_PARTS, findings_of_parts, percent, size};
use crate::health::context::CheckContext;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use crate::health::limits::limit;
use crate::pg::xact::session;
use serde_json::Value;

/// WAL written in a window, in bytes; `None` without comparable samples. pg_stat_wal counts only
/// WAL that this server wrote: replay moves the position alone.
fn wal_moved(context: &CheckContext) -> Option<f64> {
    let position = |counters: &Value| counters.pointer("/lsn/position").and_then(Value::as_f64);
    let (now, earlier) =
        (&context.counters.as_ref().ok()?.parsed, &context.earlier.as_ref()?.counters.parsed);
    (now.get("in_recovery") == earlier.get("in_recovery"))
        .then_some(position(now)? - position(earlier)?)
}

/// Limits: 10 % (awesome-prometheus-alerts), critical from 50 % in a window (ours). They apply from
/// 100 transactions on.
pub(super) fn rollbacks(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let (back, committed) = (period.count("xact_rollback"), period.count("xact_commit"));
        let all = back + committed;
        let [warning, critical] =
            ["rollbacks.warning", "rollbacks.critical"].map(|name| limit(name) / 100.0);
        Assessment {
            status: match () {
                () if all < 100.0 || !period.is_recent() => Status::Ok,
                () if period.is_window() && back >= critical * all => Status::Critical,
                () if back > warning * all => Status::Warning,
                () => Status::Ok,
            },
            value: percent(back, all, 1).unwrap_or_else(|| "no transactions".to_owned()),
            threshold: format!("<= {} %", limit("rollbacks.warning")),
            evidence: format!("{back} rolled back, {committed} committed{}", period.remark()),
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
        let critical = limit("deadlocks.critical");
        Assessment {
            status: match period.is_window() {
                true if deadlocks > critical * (period.seconds / 60.0).max(1.0) => Status::Critical,
                true if deadlocks >= 1.0 => Status::Warning,
                false if deadlocks > (period.seconds / 86_400.0).max(0.99) => Status::Warning,
                _ => Status::Ok,
            },
            value: deadlocks.to_string(),
            threshold: format!("0; <= {critical} a minute"),
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
/// slow queries down but refuse none. Files count here when they are closed.
pub(super) fn temp_files(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let (files, bytes) = (period.count("temp_files"), period.count("temp_bytes"));
        let hours = period.seconds.max(60.0) / 3600.0;
        let megabytes = limit("temp_files.warning");
        // A single small file makes a large rate of a short period.
        let is_over = bytes >= megabytes * 1_048_576.0 * hours.max(0.1);
        Assessment {
            status: if period.is_recent() && is_over { Status::Warning } else { Status::Ok },
            value: format!("{} an hour", size(bytes / hours)),
            threshold: format!("< {} an hour", size(megabytes * 1_048_576.0)),
            evidence: format!("{files} temporary files, {}{}", size(bytes), period.remark()),
            advice: (
                "Sorts and hashes exceed work_mem and spill to disk, which is slow and may fill \
                 it: find the statements, then raise work_mem for their role.",
                "SELECT * FROM analyze_slow_queries() ORDER BY temp_mb_per_call DESC NULLS LAST;"
                    .to_owned(),
            ),
        }
    })
}

/// Limit: 90 % in a window (pgdoctor: critical; others 94 to 99 %), from 10,000 blocks on (ours).
/// Never critical, because a nightly dump also reads from disk. After a start the cache is cold, so
/// a lifetime is never a fault.
pub(super) fn cache_hit(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, _| {
        let (hit, read) = (period.count("blks_hit"), period.count("blks_read"));
        let all = hit + read;
        let share = limit("cache_hit.warning");
        let is_low = all >= 10_000.0 && hit < share / 100.0 * all;
        Assessment {
            status: if period.is_window() && is_low { Status::Warning } else { Status::Ok },
            value: percent(hit, all, 2).unwrap_or_else(|| "no blocks read".to_owned()),
            threshold: format!(">= {share} %"),
            evidence: format!(
                "{read} blocks read from disk or OS cache, {hit} found in shared buffers{}",
                period.remark()
            ),
            advice: (
                "Queries wait for the disk: index those that read most, or raise shared_buffers.",
                "SELECT * FROM analyze_slow_queries() ORDER BY cache_hit_pct;".to_owned(),
            ),
        }
    })
}

/// Limits: 1 % and 5 % of the sessions (pgdoctor), from 10 deaths on. Critical only in a window.
/// A terminated session is the act of an operator, of `disconnect_sessions` or of a shutdown: it is
/// told, and no death. With idle_session_timeout a fatal error may be its act.
pub(super) fn session_deaths(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &DATABASE_PARTS, |period, context| {
        let ends_idle_sessions = context.counters.as_ref().is_ok_and(|counters| {
            counters.parsed.get("ends_idle_sessions").and_then(Value::as_bool) == Some(true)
        });
        let [sessions, abandoned, fatal, killed] =
            ["sessions", "sessions_abandoned", "sessions_fatal", "sessions_killed"]
                .map(|key| period.count(key));
        let deaths = abandoned + if ends_idle_sessions { 0.0 } else { fatal };
        let [warning, critical] =
            ["session_deaths.warning", "session_deaths.critical"].map(|name| limit(name) / 100.0);
        Assessment {
            status: match () {
                () if deaths < 10.0 || !period.is_recent() => Status::Ok,
                () if period.is_window() && deaths > critical * sessions => Status::Critical,
                () if deaths > warning * sessions => Status::Warning,
                () => Status::Ok,
            },
            value: format!("{deaths} of {sessions} sessions"),
            threshold: format!("<= {} %", limit("session_deaths.warning")),
            evidence: format!(
                "{abandoned} lost their client, {fatal} ended by a fatal error; {killed} \
                 terminated on purpose{}{}",
                if ends_idle_sessions { "; idle_session_timeout ends sessions" } else { "" },
                period.remark()
            ),
            advice: (
                if abandoned > fatal {
                    "Clients vanish without closing their sessions: look for crashes, network \
                     failures and timeouts on their side."
                } else {
                    "Sessions end by fatal errors, such as an idle timeout: read the reasons in \
                     the server's log."
                },
                "SELECT datname, sessions, sessions_abandoned, sessions_fatal, sessions_killed \
                 FROM pg_stat_database ORDER BY sessions DESC LIMIT 5;"
                    .to_owned(),
            ),
        }
    })
}

/// Limits: more than half of them forced by WAL (awesome-prometheus-alerts), and one a minute or
/// more (ours; the server's own checkpoint_warning is 30 s). It applies from 2 forced in a window
/// or 10 in a lifetime on (ours). DROP DATABASE, backups and CHECKPOINT request checkpoints, too:
/// only as many as the written WAL explains are forced by it.
pub(super) fn checkpoints(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    findings_of_parts(metric, context, &["checkpoints"], |period, context| {
        let (timed, requested) = (period.count("timed"), period.count("requested"));
        let max_wal_size = session::max_wal_size();
        let written = || context.counters.as_ref().ok()?.parsed.pointer("/wal/bytes")?.as_f64();
        let bytes = if period.is_window() { wal_moved(context) } else { written() };
        // The server starts a checkpoint so early that it ends before max_wal_size is reached.
        let target: f64 = session::setting("checkpoint_completion_target")
            .and_then(|target| target.parse().ok())
            .unwrap_or(0.9);
        let distance = max_wal_size as f64 * 1_048_576.0 / (1.0 + target);
        let forced = requested.min((bytes.unwrap_or(0.0) / distance).floor());
        let min_forced = if period.is_window() { 2.0 } else { 10.0 };
        let seconds = limit("checkpoints.warning");
        let is_frequent =
            forced > timed && forced >= min_forced && period.seconds <= seconds * forced;
        Assessment {
            status: if period.is_recent() && is_frequent { Status::Warning } else { Status::Ok },
            value: format!("{forced} forced by WAL, {timed} timed"),
            threshold: format!("<= 50 % forced, {seconds} s apart"),
            evidence: format!(
                "{requested} requested in all, {} of WAL; max_wal_size {max_wal_size} MB, \
                 checkpoint_timeout {} s, {:.0} ms in fsync{}",
                size(bytes.unwrap_or(0.0)),
                session::checkpoint_timeout(),
                period.count("sync_ms"),
                period.remark()
            ),
            advice: (
                "WAL volume forces checkpoints, and each writes full pages again, in waves that \
                 users notice: raise max_wal_size.",
                format!(
                    "ALTER SYSTEM SET max_wal_size = '{}MB'; SELECT pg_catalog.pg_reload_conf();",
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
        let moved = period.is_window().then(|| wal_moved(context)).flatten();
        let bytes = moved.unwrap_or_else(|| period.count("bytes"));
        let megabytes = limit("wal_rate.warning");
        let is_over = bytes >= megabytes * 1e6 * period.seconds;
        Assessment {
            status: if period.is_window() && is_over { Status::Warning } else { Status::Ok },
            value: format!("{}/s", size(bytes / period.seconds)),
            threshold: format!("< {megabytes} MB/s"),
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
