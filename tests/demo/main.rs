//! The demo application has the size, the policies, the incident and the leaks that its README
//! describes.

use harness::{Cluster, rows, run, sqlstate, value};
use std::time::{Duration, Instant};

#[test]
fn the_demo_is_as_its_readme_describes() {
    let cluster = Cluster::start("demo", "");
    let began = Instant::now();
    let mut a = cluster.create_demo("crewsnow", false);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "the demo loads in under a minute: {:?}",
        began.elapsed()
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM auth.users"), "5000");
    assert_eq!(value(&mut a, "SELECT count(*) FROM users"), "5000");
    assert_eq!(value(&mut a, "SELECT count(*) FROM messages"), "200000");
    // Flags and backups are the operator's to enter.
    let empty = rows(
        &mut a,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
         AND relname NOT IN ('feature_flags', 'backup_log') AND reltuples <= 0",
    );
    assert!(empty.is_empty(), "tables without rows: {empty:?}");
    policies_isolate_users(&cluster);
    the_last_hour_has_an_incident_of_payments(&cluster);
    the_monitoring_shows_the_incident(&cluster);
    user_context_follows_users_and_subscriptions(&cluster);
    let mut b = cluster.create_demo("again", true);
    two_loads_have_the_same_content(&mut a, &mut b);
    the_leaks_are_open_to_anon(&mut b);
}

fn policies_isolate_users(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    let open = rows(
        &mut a,
        "SELECT relname FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace
         AND relkind IN ('r', 'p') AND NOT relrowsecurity
         AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
             AND objid = c.oid AND deptype = 'e')",
    );
    assert!(open.is_empty(), "tables without row-level security: {open:?}");
    let (user, other) = (
        "SELECT sender_id FROM messages GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
        "OFFSET 500",
    );
    let (user, other) = (value(&mut a, user), value(&mut a, &format!("{user} {other}")));
    let own_messages = format!(
        "SELECT count(*) FROM messages JOIN matches ON matches.id = match_id
         WHERE '{user}' IN (user1_id, user2_id)"
    );
    let own_messages = value(&mut a, &own_messages);
    run(
        &mut a,
        &format!(
            "SET ROLE authenticated;
             SET request.jwt.claims = '{{\"sub\": \"{user}\", \"role\": \"authenticated\"}}'"
        ),
    );
    assert_eq!(value(&mut a, "SELECT auth.uid()"), user);
    assert_eq!(value(&mut a, "SELECT auth.role()"), "authenticated");
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM messages"),
        own_messages,
        "a user reads the messages of their own matches"
    );
    assert_ne!(own_messages, "0");
    assert_eq!(
        value(&mut a, &format!("SELECT count(*) FROM consents WHERE user_id = '{other}'")),
        "0"
    );
    assert_eq!(
        sqlstate(
            &mut a,
            &format!(
                "INSERT INTO messages (match_id, sender_id, content)
                 SELECT id, '{other}', 'x' FROM matches LIMIT 1"
            )
        ),
        "42501"
    );
    run(&mut a, "RESET ROLE; SET ROLE anon; SET request.jwt.claims = '{\"role\": \"anon\"}'");
    assert_ne!(value(&mut a, "SELECT count(*) FROM stations"), "0");
    for table in ["users", "messages", "stripe_events", "edge_function_calls", "feature_flags"] {
        assert_eq!(sqlstate(&mut a, &format!("SELECT count(*) FROM {table}")), "42501", "{table}");
    }
}

fn the_last_hour_has_an_incident_of_payments(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    let failing = "SELECT function_name FROM edge_function_calls
        WHERE created_at > now() - interval '20 minutes'
        GROUP BY 1 HAVING avg((status_code >= 500)::int) > 0.05 ORDER BY 1";
    assert_eq!(rows(&mut a, failing), ["create-checkout", "stripe-webhook"]);
    let slow = "SELECT bool_and(p95 > 5000) FROM (
        SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY execution_time_ms) AS p95
        FROM edge_function_calls
        WHERE function_name IN ('create-checkout', 'stripe-webhook')
            AND created_at BETWEEN now() - interval '22 minutes' AND now() - interval '12 minutes'
        GROUP BY function_name) AS f";
    assert_eq!(value(&mut a, slow), "t");
    let failed = "SELECT avg((status = 'failed')::int) > 0.05 FROM stripe_events
        WHERE received_at > now() - interval '10 minutes'";
    assert_eq!(value(&mut a, failed), "t");
    let calm = "SELECT avg((status_code >= 500)::int) < 0.02 FROM edge_function_calls
        WHERE created_at < now() - interval '30 minutes'";
    assert_eq!(value(&mut a, calm), "t", "few calls failed before the incident");
    let hour = "SELECT max(created_at) <= now() AND max(created_at) > now() - interval '10 minutes'
        AND min(created_at) > now() - interval '70 minutes' FROM edge_function_calls";
    assert_eq!(value(&mut a, hour), "t", "the traffic covers the last hour");
}

/// The monitoring also agrees with the tables of the application.
fn the_monitoring_shows_the_incident(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    for (replayed, own) in
        [("event_log", "edge_function_calls"), ("processed_events", "stripe_events")]
    {
        assert_eq!(
            value(&mut a, &format!("SELECT count(*) FROM {replayed}")),
            value(&mut a, &format!("SELECT count(*) FROM {own}")),
            "{replayed}"
        );
    }
    assert_eq!(
        value(&mut a, "SELECT sum(calls) FROM crewsnow_ops.event_rollups"),
        "20000",
        "all calls are rolled up"
    );
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM crewsnow_ops.webhook_journal"),
        "0",
        "all webhooks are rolled up"
    );
    // One statement, because the window moves with the clock.
    let differing = "SELECT function_name FROM edge_functions_monitoring AS v FULL JOIN (
            SELECT function_name, count(*) AS calls,
                count(*) FILTER (WHERE status_code >= 500) AS errors,
                count(*) FILTER (WHERE execution_time_ms > 5000) AS timeouts,
                round(avg(execution_time_ms), 3) AS mean,
                max(created_at) AS last_call,
                percentile_disc(0.95) WITHIN GROUP (ORDER BY execution_time_ms) AS p95
            FROM edge_function_calls
            WHERE created_at >= date_trunc('minute', now()) - interval '60 minutes' GROUP BY 1
        ) AS r USING (function_name)
        WHERE (v.total_calls, v.error_5xx_count, v.timeout_count, v.avg_execution_time, v.last_call)
            IS DISTINCT FROM (r.calls, r.errors, r.timeouts, r.mean, r.last_call)
                OR abs(v.p95_latency - r.p95) > 0.01 * r.p95";
    assert!(rows(&mut a, differing).is_empty());
    assert_eq!(value(&mut a, "SELECT count(*) FROM edge_functions_monitoring"), "8");
    let slow = rows(
        &mut a,
        "SELECT function_name, latency_status FROM edge_functions_monitoring
         WHERE latency_status <> 'OK'",
    );
    assert_eq!(slow, ["create-checkout|CRITICAL: p95 > 5s", "stripe-webhook|CRITICAL: p95 > 5s"]);
    let differing =
        "SELECT minute_bucket, function_name FROM error_rate_monitoring AS v LEFT JOIN (
            SELECT date_trunc('minute', created_at) AS minute_bucket, function_name,
                count(*) AS calls,
                count(*) FILTER (WHERE status_code >= 500) AS errors
            FROM edge_function_calls GROUP BY 1, 2
        ) AS r USING (minute_bucket, function_name)
        WHERE (v.total_requests, v.error_5xx_count)
            IS DISTINCT FROM (coalesce(r.calls, 0), coalesce(r.errors, 0))
            OR v.error_rate_pct IS DISTINCT FROM coalesce(round(100.0 * r.errors / r.calls, 2), 0)";
    assert!(rows(&mut a, differing).is_empty());
    let failing = "SELECT DISTINCT function_name FROM error_rate_monitoring
        WHERE error_status LIKE 'ALERT%' ORDER BY 1";
    assert_eq!(rows(&mut a, failing), ["create-checkout", "stripe-webhook"]);
    let webhooks = "SELECT DISTINCT webhook_status FROM stripe_webhook_monitoring";
    assert_eq!(rows(&mut a, webhooks), ["ALERT: Webhook failure > 5% sur 10min"]);
    let waiting = "SELECT max(waiting_events) = (SELECT count(*) FROM stripe_events
        WHERE status = 'received' AND received_at < now() - interval '5 minutes')
        FROM stripe_webhook_monitoring";
    assert_eq!(value(&mut a, waiting), "t");
    let dashboard = rows(
        &mut a,
        "SELECT signal, status FROM crewsnow_ops.dashboard WHERE signal <> 'Connections'",
    );
    assert_eq!(
        dashboard,
        [
            "Performance|✅ OK",
            "Error Rate|🚨 HIGH",
            "Webhooks|🚨 FAILING",
            "Security|✅ OK",
            "Alerts|⚪ NO TICK"
        ]
    );
}

fn user_context_follows_users_and_subscriptions(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    let drift = "SELECT count(*) FROM users AS u
        FULL JOIN crewsnow_ops.user_context AS c ON c.user_id = u.id
        WHERE u.id IS NULL OR c.user_id IS NULL OR c.is_premium IS DISTINCT FROM
            EXISTS (SELECT FROM subscriptions AS s
                WHERE s.user_id = u.id AND s.status IN ('active', 'trialing'))";
    assert_eq!(value(&mut a, drift), "0");
    run(&mut a, "BEGIN; UPDATE subscriptions SET status = 'canceled'");
    assert_eq!(value(&mut a, drift), "0");
    assert_eq!(value(&mut a, "SELECT bool_or(is_premium) FROM crewsnow_ops.user_context"), "f");
    run(&mut a, "ROLLBACK");
}

fn two_loads_have_the_same_content(a: &mut postgres::Client, b: &mut postgres::Client) {
    let content = "SELECT md5(string_agg(concat_ws('|', id, sender_id, content), ',' ORDER BY id))
        FROM messages";
    assert_eq!(value(a, content), value(b, content));
    let users = "SELECT md5(string_agg(concat_ws('|', id, display_name, region), ',' ORDER BY id))
        FROM users";
    assert_eq!(value(a, users), value(b, users));
}

fn the_leaks_are_open_to_anon(b: &mut postgres::Client) {
    run(b, "SET ROLE anon; SET request.jwt.claims = '{\"role\": \"anon\"}'");
    for table in ["crash_reports", "stripe_events", "ride_stats_daily"] {
        assert_ne!(value(b, &format!("SELECT count(*) FROM {table}")), "0", "anon reads {table}");
    }
    run(b, "RESET ROLE");
}
