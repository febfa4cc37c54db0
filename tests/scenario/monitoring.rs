//! Monitoring views: their status in each state of an application, and the accuracy of p95.

use harness::{Cluster, rows, run, value};
use postgres::Client;

fn statuses(a: &mut Client) -> Vec<String> {
    // The statements and the alert queries of the runbook.
    rows(
        a,
        "SELECT
            CASE WHEN (SELECT AVG(avg_execution_time) FROM edge_functions_monitoring) < 2000
                THEN 'OK' ELSE 'SLOW' END,
            CASE WHEN (SELECT MAX(error_rate_pct) FROM error_rate_monitoring) < 5
                THEN 'OK' ELSE 'HIGH' END,
            CASE WHEN (SELECT MAX(failure_rate_pct) FROM stripe_webhook_monitoring) < 5
                THEN 'OK' ELSE 'FAILING' END,
            (SELECT count(*) FROM edge_functions_monitoring WHERE latency_status != 'OK'),
            (SELECT count(*) > 0 FROM error_rate_monitoring WHERE error_status LIKE 'ALERT%'),
            (SELECT min(webhook_status) FROM stripe_webhook_monitoring
                WHERE webhook_status LIKE 'ALERT%')
         UNION ALL
         SELECT (array_agg(status))[1], (array_agg(status))[2], (array_agg(status))[3],
             NULL, NULL, NULL
         FROM (SELECT status FROM crewsnow_ops.dashboard LIMIT 3) AS d",
    )
}

// passes before: the dashboard had no signal `Alerts` to leave out.
#[test]
fn each_state_of_an_application_has_its_status() {
    let cluster = Cluster::start("states", "");
    let traffic = |ms: &str, status: &str| {
        format!(
            "INSERT INTO event_log
                 (event_type, function_name, execution_time_ms, payload, created_at)
             SELECT 'edge_function_call', 'f' || n % 2, {ms},
                 jsonb_build_object('status_code', {status}), now() - n * interval '1 second'
             FROM generate_series(1, 500) AS n;"
        )
    };
    let webhooks = |from: i32, to: i32, status: &str| {
        format!(
            "INSERT INTO processed_events (event_id, event_type, processed_at, received_at, status)
             SELECT 'evt_' || n, 'invoice.paid', now() - n * interval '20 seconds',
                 now() - n * interval '20 seconds', {status}
             FROM generate_series({from}, {to}) AS n;"
        )
    };
    let healthy = traffic("100 + n % 50", "200") + &webhooks(1, 500, "'processed'");
    for (name, events, expected) in [
        ("idle", String::new(), ["OK|OK|OK|0|f|NULL", "✅ OK|✅ OK|✅ OK|NULL|NULL|NULL"]),
        ("healthy", healthy.clone(), ["OK|OK|OK|0|f|NULL", "✅ OK|✅ OK|✅ OK|NULL|NULL|NULL"]),
        (
            "slow",
            traffic("2500 + n", "200") + &webhooks(1, 500, "'processed'"),
            ["SLOW|OK|OK|2|f|NULL", "❌ SLOW|✅ OK|✅ OK|NULL|NULL|NULL"],
        ),
        (
            "erroring",
            traffic("100", "CASE WHEN n % 4 = 0 THEN 503 ELSE 200 END")
                + &webhooks(1, 500, "'processed'"),
            ["OK|HIGH|OK|0|t|NULL", "✅ OK|🚨 HIGH|✅ OK|NULL|NULL|NULL"],
        ),
        (
            "silent",
            traffic("100", "200") + &webhooks(91, 800, "'processed'"),
            ["OK|OK|OK|0|f|ALERT: No webhook for", "✅ OK|✅ OK|🚨 SILENT|NULL|NULL|NULL"],
        ),
        (
            "failing",
            traffic("100", "200")
                + &webhooks(1, 500, "CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'processed' END"),
            [
                "OK|OK|FAILING|0|f|ALERT: Webhook failure > 5% sur 10min",
                "✅ OK|✅ OK|🚨 FAILING|NULL|NULL|NULL",
            ],
        ),
        (
            "backlog",
            traffic("100", "200")
                + &webhooks(
                    1,
                    500,
                    "CASE WHEN n BETWEEN 20 AND 30 THEN 'received' ELSE 'processed' END",
                ),
            [
                "OK|OK|OK|0|f|ALERT: 11 webhooks received but not processed",
                "✅ OK|✅ OK|🚨 BACKLOG|NULL|NULL|NULL",
            ],
        ),
    ] {
        let mut a = cluster.create_database(name);
        if !events.is_empty() {
            run(&mut a, &events);
        }
        for state in ["uncounted", "counted"] {
            let found = statuses(&mut a);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    found.starts_with(expected),
                    "{name}, {state}: {found}, expected {expected}"
                );
            }
            assert_eq!(found.len(), 2);
            run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
        }
        // Buckets are whole minutes. They cover the whole window, up to the current minute.
        let minutes = "SELECT count(*), count(DISTINCT minute_bucket),
                bool_and(minute_bucket = date_trunc('minute', minute_bucket)),
                max(minute_bucket) <= now(), min(minute_bucket) > now() - interval '12 minutes'
            FROM stripe_webhook_monitoring";
        assert_eq!(rows(&mut a, minutes), ["11|11|t|t|t"], "{name}");
        let lines = "SELECT DISTINCT length(last_60_minutes) FROM crewsnow_ops.dashboard \
            WHERE signal NOT IN ('Security', 'Alerts')";
        assert_eq!(rows(&mut a, lines), ["30"], "{name}");
    }
}

/// Compares the sketch's p95 with the exact one, for distributions with long tails.
#[test]
fn p95_is_within_one_percent() {
    let cluster = Cluster::start("p95", "");
    let mut a = cluster.create_database("p95");
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, execution_time_ms, created_at)
         SELECT 'x', d.name, least(86400000, greatest(0.000001, d.ms::numeric)),
             now() - n % 60 * interval '1 minute'
         FROM (SELECT n, setseed(0.42), random() AS u,
                sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS z
            FROM generate_series(1, 60000) AS n) AS r,
            LATERAL (VALUES ('log-normal', 40 * exp(0.8 * z)),
                ('pareto', 5 / power(1 - u, 1 / 1.2)),
                ('bimodal', CASE WHEN u < 0.1 THEN 5000 + 100 * z ELSE 20 + z END),
                ('microseconds', 0.002 * exp(z))) AS d (name, ms)",
    );
    for state in ["uncounted", "counted"] {
        let worst = value(
            &mut a,
            "SELECT max(abs(v.p95_latency - r.p95::float8) / r.p95::float8)
             FROM edge_functions_monitoring AS v
             JOIN (SELECT function_name,
                    percentile_disc(0.95) WITHIN GROUP (ORDER BY execution_time_ms) AS p95
                FROM event_log GROUP BY 1) AS r
                USING (function_name)",
        );
        assert!(worst.parse::<f64>().expect("a number") <= 0.01, "{state}: {worst}");
        run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    }
    // Parallel, partial and reordered aggregation give the same bytes.
    run(
        &mut a,
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET min_parallel_table_scan_size = 0;
         CREATE TABLE durations AS SELECT execution_time_ms AS ms, function_name, created_at
             FROM event_log; ANALYZE durations",
    );
    let plan =
        rows(&mut a, "EXPLAIN SELECT crewsnow_ops.latency_sketch(ms) FROM durations").join("\n");
    assert!(plan.contains("Partial Aggregate") && plan.contains("Workers Planned"), "{plan}");
    assert_eq!(
        value(
            &mut a,
            "SELECT count(DISTINCT s) FROM (
                SELECT crewsnow_ops.latency_sketch(ms) FROM durations
                UNION ALL SELECT crewsnow_ops.latency_sketch(ms ORDER BY ms DESC) FROM durations
                UNION ALL SELECT crewsnow_ops.merge_sketches(s)
                    FROM (SELECT crewsnow_ops.latency_sketch(ms) AS s FROM durations
                    GROUP BY function_name, created_at) AS p
                UNION ALL SELECT crewsnow_ops.merge_sketches(latency)
                    FROM crewsnow_ops.event_rollups) AS all_ways (s)"
        ),
        "1"
    );
}

/// Failures that carry no status_code are no success, whatever the others say.
#[test]
fn calls_without_a_status_code_are_not_ok() {
    let cluster = Cluster::start("status_codes", "");
    let mut a = cluster.create_database("codes");
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload)
         SELECT 'x', f, 40, p::jsonb
         FROM generate_series(1, 100) AS n, LATERAL (VALUES
             ('status', '{\"status\": 503}'), ('camel', '{\"statusCode\": 503}'),
             ('word', '{\"status_code\": \"error\"}'), ('empty', '{}'), ('null', NULL),
             ('half', CASE WHEN n > 90 THEN '{\"status\": 503}' ELSE '{\"status_code\": 200}' END),
             ('few', CASE WHEN n > 95 THEN '{}' ELSE '{\"status_code\": 200}' END),
             ('good', '{\"status_code\": 200}'), ('text', '{\"status_code\": \"204\"}'),
             ('bad', CASE WHEN n > 90 THEN '{\"status_code\": 503}' ELSE '{}' END)) AS v (f, p)",
    );
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('aborted', 40, 0)");
    let found = "SELECT function_name, error_status, data_state LIKE 'NO_STATUS%', error_rate_pct,
            requests_without_status
        FROM error_rate_monitoring WHERE total_requests > 0 ORDER BY 1";
    for state in ["uncounted", "counted"] {
        assert_eq!(
            rows(&mut a, found),
            [
                "aborted|NO_STATUS_CODES|t|NULL|1",
                "bad|ALERT: Error rate > 5%|f|10.00|90",
                "camel|NO_STATUS_CODES|t|NULL|100",
                "empty|NO_STATUS_CODES|t|NULL|100",
                "few|OK|f|0.00|5",
                "good|OK|f|0.00|0",
                "half|NO_STATUS_CODES|t|0.00|10",
                "null|NO_STATUS_CODES|t|NULL|100",
                "status|NO_STATUS_CODES|t|NULL|100",
                "text|OK|f|0.00|0",
                "word|NO_STATUS_CODES|t|NULL|100",
            ],
            "{state}"
        );
        run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    }
    let signal = "SELECT status FROM crewsnow_ops.dashboard WHERE signal = 'Error Rate'";
    assert_eq!(value(&mut a, signal), "🚨 HIGH");
    run(&mut a, "TRUNCATE event_log");
    run(&mut a, "SELECT log_system_event('x', NULL, '{\"status\": 503}', 40, 'checkout')");
    assert_eq!(value(&mut a, signal), "⚪ NO CODES");
}

/// The hour hides a change of the last minutes; columns beside it do not.
#[test]
fn the_last_five_minutes_stand_beside_the_hour() {
    let cluster = Cluster::start("recent", "");
    let mut a = cluster.create_database("recent");
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, created_at)
         SELECT 'x', 'pay', CASE WHEN n <= 4 THEN 6000 ELSE 40 END,
             jsonb_build_object('status_code', CASE WHEN n <= 4 THEN 503 ELSE 200 END),
             now() - n * interval '1 minute'
         FROM generate_series(0, 59) AS n, generate_series(1, 10);
         INSERT INTO processed_events (event_id, event_type, status, processed_at)
         SELECT 'evt_' || n, 'x', CASE WHEN n <= 4 THEN 'failed' ELSE 'processed' END,
             now() - n * interval '1 minute' FROM generate_series(1, 59) AS n",
    );
    let edge = "SELECT latency_status, total_calls, calls_5m, error_5xx_count_5m,
            timeout_count_5m, latency_status_5m, p95_latency_5m BETWEEN 5940 AND 6060,
            round(avg_execution_time_5m)
        FROM edge_functions_monitoring";
    let errors = "SELECT DISTINCT requests_5m, error_5xx_count_5m, error_rate_5m_pct
        FROM error_rate_monitoring";
    let webhooks = "SELECT DISTINCT events_5m, failed_events_5m FROM stripe_webhook_monitoring";
    for state in ["uncounted", "counted"] {
        assert_eq!(
            rows(&mut a, edge),
            ["CRITICAL: p95 > 5s|600|60|50|50|CRITICAL: p95 > 5s|t|5007"],
            "{state}"
        );
        assert_eq!(rows(&mut a, errors), ["60|50|83.33"], "{state}");
        assert_eq!(rows(&mut a, webhooks), ["5|4"], "{state}");
        run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    }
}

/// The dashboard fits a terminal of 120 columns, whatever its functions are called.
#[test]
fn the_dashboard_fits_120_columns() {
    let cluster = Cluster::start("width", "");
    let mut a = cluster.create_database("width");
    run(
        &mut a,
        "SELECT crewsnow_ops.record_edge_call(f, 86400000, 503)
         FROM unnest(ARRAY[repeat('create-checkout-session-', 8), repeat('支払い', 20),
             E'two\\nlines\\x1b[2J']) AS f, generate_series(1, 20);
         SELECT crewsnow_ops.record_stripe_webhook('evt_' || n, 'x', false)
         FROM generate_series(1, 20) AS n",
    );
    let output = cluster
        .psql("width")
        .args(["-X", "-c", "SELECT * FROM crewsnow_ops.dashboard"])
        .output()
        .expect("psql runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_wide = |c: char| matches!(c as u32, 0x2705 | 0x2e80..=0xffff | 0x1f300..=0x1faff);
    let width = |line: &str| line.chars().map(|c| 1 + usize::from(is_wide(c))).sum::<usize>();
    assert!(shown.contains("Performance") && shown.contains("HIGH"), "{shown}");
    for line in shown.lines() {
        assert!(width(line.trim_end()) <= 120, "{} columns: {line}", width(line));
    }
}
