//! Sources of the built-in rules: they run nobody's code, and no data is never taken for health.

use harness::{Cluster, explain, rows, run, value};
use postgres::Client;

const HOUR: i64 = 3_600;

/// The verdicts of a rule now, with their subjects.
fn verdicts(a: &mut Client, rule: &str) -> Vec<String> {
    rows(a, &format!("SELECT verdict, subject FROM crewsnow_ops.test_rule('{rule}')"))
}

/// Each rule whose verdict is not wanted, with the message.
fn unwanted(a: &mut Client) -> Vec<String> {
    rows(
        a,
        "SELECT t.verdict, r.name, t.subject, t.message FROM crewsnow_ops.alert_rules AS r,
            LATERAL crewsnow_ops.test_rule(r.name) AS t
         WHERE t.verdict NOT IN ('OK', 'NO DATA')",
    )
}

/// Calls of a function in the last complete minutes; `payload` is an expression of SQL.
fn calls(a: &mut Client, function: &str, payload: &str) {
    run(
        a,
        &format!(
            "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload,
                created_at)
             SELECT 'edge_function_call', '{function}', 80, {payload},
                date_trunc('minute', clock_timestamp()) - m * interval '1 minute'
             FROM generate_series(1, 5) AS m, generate_series(1, 50) AS n"
        ),
    );
}

/// The rule of pg_net runs as a superuser: a view of that name would be a way to its rights.
#[test]
fn the_rule_of_pg_net_runs_no_code_of_users() {
    let cluster = Cluster::start("sources_net", "");
    let mut a = cluster.create_database("net");
    run(
        &mut a,
        "CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE net TO mallory;
         CREATE TABLE trap (caller text)",
    );
    let mut mallory = cluster.connect_as("mallory", "net");
    run(
        &mut mallory,
        "CREATE SCHEMA net;
         CREATE FUNCTION net.probe() RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
            RAISE EXCEPTION 'ran as %', current_user;
         END $$;
         CREATE VIEW net._http_response AS
            SELECT 404 AS status_code, false AS timed_out, net.probe() AS error_msg,
                clock_timestamp() AS created",
    );
    let found = "SELECT count(*), sum(failed) FROM crewsnow_ops.http_not_landed()";
    assert_eq!(rows(&mut a, found), ["0|NULL"]);
    assert_eq!(verdicts(&mut a, "http-not-landed"), ["NO DATA|NULL"]);

    // A table of theirs can have a type whose cast is their code.
    run(
        &mut mallory,
        "DROP VIEW net._http_response;
         CREATE TYPE net.status AS (code int);
         CREATE FUNCTION net.code(net.status) RETURNS int LANGUAGE plpgsql AS $$
         BEGIN
            RAISE EXCEPTION 'ran as %', current_user;
         END $$;
         CREATE CAST (net.status AS int) WITH FUNCTION net.code(net.status) AS IMPLICIT;
         CREATE TABLE net._http_response (status_code net.status, timed_out boolean,
            error_msg text, created timestamptz);
         INSERT INTO net._http_response VALUES (ROW(404), false, NULL, clock_timestamp())",
    );
    assert_eq!(verdicts(&mut a, "http-not-landed"), ["NO DATA|NULL"]);
    // An index of that name is no table of pg_net, and no fault of the rule.
    run(
        &mut mallory,
        "DROP TABLE net._http_response; CREATE TABLE net.other (n int);
         CREATE INDEX _http_response ON net.other (n)",
    );
    assert!(unwanted(&mut a).is_empty(), "{:?}", unwanted(&mut a));

    run(
        &mut a,
        "DROP SCHEMA net CASCADE; CREATE SCHEMA net;
         CREATE TABLE net._http_response (status_code int, timed_out boolean, error_msg text,
            created timestamptz);
         INSERT INTO net._http_response VALUES (404, false, NULL, clock_timestamp())",
    );
    assert_eq!(verdicts(&mut a, "http-not-landed"), ["WARNING|pg_net"]);
}

#[test]
fn no_data_is_not_health() {
    let cluster = Cluster::start("sources_blind", "");
    let mut a = cluster.create_database("blind");
    calls(&mut a, "uncoded", "'{}'");
    calls(&mut a, "coded", "'{\"status_code\": 200}'");
    let mut seen = verdicts(&mut a, "error-rate");
    seen.sort();
    assert_eq!(seen, ["NO DATA|uncoded", "OK|coded"]);

    assert_eq!(verdicts(&mut a, "idle-in-transaction"), ["OK|Idle in Transaction"]);
    run(&mut a, "CREATE ROLE unseen LOGIN; ALTER ROLE unseen SET track_activities = off");
    let _unseen = cluster.connect_as("unseen", "blind");
    assert_eq!(verdicts(&mut a, "idle-in-transaction"), ["NO DATA|Idle in Transaction"]);

    let error = a
        .batch_execute("SELECT * FROM crewsnow_ops.check_level('Connectionz')")
        .expect_err("no such check");
    let told = explain(&error);
    assert!(told.contains("42704") && told.contains("Close names: Connections."), "{told}");
}

/// A backlog is more urgent in the dashboard. The silence is told beside it.
#[test]
fn a_backlog_does_not_hide_that_webhooks_have_stopped() {
    let cluster = Cluster::start_with_clock("sources_silence", "");
    let mut a = cluster.create_database("silence");
    run(
        &mut a,
        "INSERT INTO processed_events (event_id, event_type, received_at, processed_at)
         SELECT 'usual-' || n, 'invoice.paid', t.at, t.at
         FROM generate_series(1, 60 * 24 * 9) AS n,
            LATERAL (SELECT clock_timestamp() - n * interval '1 minute') AS t (at);
         INSERT INTO processed_events (event_id, event_type, status, received_at, processed_at)
         SELECT 'stuck-' || n, 'invoice.paid', 'received', t.at, t.at
         FROM generate_series(1, 6) AS n,
            LATERAL (SELECT clock_timestamp() - interval '1 minute') AS t (at)",
    );
    assert_eq!(verdicts(&mut a, "webhook-silence"), ["OK|webhooks"]);
    assert_eq!(verdicts(&mut a, "webhook-backlog"), ["OK|webhooks"]);
    cluster.set_clock(2 * HOUR);
    assert_eq!(verdicts(&mut a, "webhook-backlog"), ["WARNING|webhooks"]);
    assert_eq!(verdicts(&mut a, "webhook-silence"), ["WARNING|webhooks"]);
    // The present backlog is not that of the past.
    let replay = "SELECT * FROM crewsnow_ops.replay_events('webhook-backlog',
        now() - interval '1 hour', now())";
    assert_eq!(harness::sqlstate(&mut a, replay), "0A000");
}

/// Rules that read a history give the same answer for the past as they gave in it.
#[test]
fn rules_of_backups_and_maintenance_can_be_replayed() {
    let cluster = Cluster::start_with_clock("sources_past", "");
    let mut a = cluster.create_database("past");
    let start = value(&mut a, "SELECT clock_timestamp()");
    run(
        &mut a,
        "INSERT INTO backup_log (backup_type, backup_status, created_at, completed_at)
         VALUES ('daily', 'completed', clock_timestamp(), clock_timestamp())",
    );
    run(&mut a, "SELECT run_performance_maintenance()");
    run(&mut a, "SELECT crewsnow_ops.record_evidence('restore-test', true, '{\"by\": \"test\"}')");
    cluster.set_clock(31 * 24 * HOUR);
    run(
        &mut a,
        "INSERT INTO backup_log (backup_type, backup_status, created_at, completed_at)
         VALUES ('daily', 'completed', clock_timestamp(), clock_timestamp())",
    );
    run(&mut a, "SELECT run_performance_maintenance()");
    run(&mut a, "SELECT crewsnow_ops.record_evidence('restore-test', true, '{\"by\": \"test\"}')");
    for (rule, hours) in
        [("backup-overdue", 26), ("maintenance-overdue", 192), ("restore-test-overdue", 192)]
    {
        let sql = format!(
            "SELECT event, severity,
                round(extract(epoch FROM at - timestamptz '{start}') / 3600 - {hours})
             FROM crewsnow_ops.replay_events('{rule}', timestamptz '{start}' + interval '1 minute',
                timestamptz '{start}' + interval '30 days')
             WHERE event = 'firing' ORDER BY at LIMIT 1"
        );
        assert_eq!(rows(&mut a, &sql), ["firing|warning|0"], "{rule}");
        assert_eq!(verdicts(&mut a, rule).len(), 1, "{rule}");
        assert!(verdicts(&mut a, rule)[0].starts_with("OK|"), "{rule}");
    }
    // An end that is typed wrong does not hold back the rule until it has come.
    cluster.set_clock(33 * 24 * HOUR);
    run(
        &mut a,
        "INSERT INTO backup_log (backup_type, backup_status, created_at, completed_at)
         VALUES ('daily', 'completed', clock_timestamp(), clock_timestamp() + interval '1 year')",
    );
    assert_eq!(verdicts(&mut a, "backup-overdue"), ["WARNING|backup_log"]);
}

/// The forecast says nothing of a full disk where it knows of none.
#[test]
fn a_forecast_without_growth_names_no_hour() {
    let cluster = Cluster::start("sources_slots", "");
    let mut a = cluster.create_database("slots");
    run(&mut a, "SELECT pg_create_physical_replication_slot('idle', true)");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.health_samples
         SELECT clock_timestamp() - interval '30 minutes', jsonb_build_object('lsn',
            jsonb_build_object('position',
                pg_current_wal_insert_lsn() - '0/0'::pg_lsn + 1000000000))",
    );
    let told = "SELECT hours_left, message LIKE '%disk full%', message LIKE
        'slot idle without a consumer retains %, WAL grows by 0 bytes per hour'
        FROM crewsnow_ops.slot_forecast()";
    assert_eq!(rows(&mut a, told), ["NULL|f|t"]);
}

/// Thresholds that a healthy server reaches would page every user.
#[test]
// passes before: it guards the thresholds and what each rule takes for no data.
fn unused_and_healthy_servers_reach_no_threshold() {
    let cluster = Cluster::start("sources_quiet", "");
    let mut a = cluster.create_database("quiet");
    assert!(unwanted(&mut a).is_empty(), "unused: {:?}", unwanted(&mut a));
    let rules = value(&mut a, "SELECT count(*) >= 27 FROM crewsnow_ops.alert_rules");
    assert_eq!(rules, "t");
    // All rules have been evaluated, none by way of an error.
    let told = rows(&mut a, "SELECT verdict, failed FROM crewsnow_ops.tick()");
    assert_eq!(told, ["DONE|0"]);

    for function in ["checkout", "search"] {
        calls(&mut a, function, "'{\"status_code\": 200}'");
    }
    run(
        &mut a,
        "INSERT INTO processed_events (event_id, event_type, received_at, processed_at)
         SELECT 'usual-' || n, 'invoice.paid', t.at, t.at
         FROM generate_series(1, 60 * 24 * 9) AS n,
            LATERAL (SELECT clock_timestamp() - n * interval '1 minute') AS t (at);
         INSERT INTO backup_log (backup_type, backup_status, created_at, completed_at)
         VALUES ('daily', 'completed', clock_timestamp(), clock_timestamp());
         CREATE TABLE orders (id int PRIMARY KEY);
         INSERT INTO orders SELECT generate_series(1, 1000)",
    );
    for statement in [
        "SELECT run_performance_maintenance()",
        "SELECT run_gdpr_maintenance()",
        "SELECT crewsnow_ops.record_evidence('restore-test', true, '{\"by\": \"test\"}')",
        "SELECT crewsnow_ops.record_rls_audit()",
        "SELECT crewsnow_ops.record_rls_audit()",
        "SELECT crewsnow_ops.sample_health()",
    ] {
        run(&mut a, statement);
    }
    let mut open: Vec<Client> = (0..10).map(|_| cluster.connect("quiet")).collect();
    for session in &mut open {
        run(session, "BEGIN; SELECT count(*) FROM orders");
    }
    assert!(unwanted(&mut a).is_empty(), "busy: {:?}", unwanted(&mut a));
    let seen = "SELECT count(DISTINCT r.name) FROM crewsnow_ops.alert_rules AS r,
        LATERAL crewsnow_ops.test_rule(r.name) AS t WHERE t.verdict = 'OK'";
    let seen: i64 = value(&mut a, seen).parse().expect("a number");
    assert!(seen >= 20, "only {seen} rules have data");
}

/// The cheaper reader of the burn rates counts what the other one counts.
#[test]
fn burn_rates_count_the_calls_of_calls_in() {
    let cluster = Cluster::start("sources_burn", "");
    let mut a = cluster.create_database("burn");
    calls(&mut a, "coded", "'{\"status_code\": 200}'");
    calls(&mut a, "failing", "jsonb_build_object('status_code', 500 - n % 2)");
    let same = "SELECT (SELECT (e.long_calls, e.long_errors, e.short_calls, e.short_errors)
            FROM crewsnow_ops.errors_in('5 minutes', '2 minutes') AS e)
        = (SELECT (l.calls, l.errors, s.calls, s.errors)
            FROM (SELECT sum(c.calls)::bigint, sum(c.errors)::bigint
                FROM crewsnow_ops.calls_in('5 minutes') AS c) AS l (calls, errors),
            (SELECT sum(c.calls)::bigint, sum(c.errors)::bigint
                FROM crewsnow_ops.calls_in('2 minutes') AS c) AS s (calls, errors)
            WHERE s.errors > 0 AND l.errors > s.errors)";
    assert_eq!(value(&mut a, same), "t", "calls of five minutes, before and after a roll-up");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    assert_eq!(value(&mut a, same), "t");
}
