//! The installed library on the server of `CREWSNOW_PG_BIN`. `dev/test.sh` runs this suite on older
//! minors, too: a library built against the newest headers must load and answer on each of them.

use harness::{Cluster, explain, is_on, rows, run, sqlstate, value};
use postgres::Client;

/// Two accounts, and a table whose policy lets every account read every row.
const APPLICATION: &str = "
    CREATE ROLE anon; CREATE ROLE authenticated;
    CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth, public TO anon, authenticated;
    CREATE TABLE auth.users (id uuid PRIMARY KEY);
    INSERT INTO auth.users VALUES ('0a000000-0000-4000-8000-000000000001'),
        ('0b000000-0000-4000-8000-000000000002');
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
    CREATE TABLE passes (id integer PRIMARY KEY, resort text,
        user_id uuid NOT NULL REFERENCES auth.users);
    CREATE INDEX ON passes (user_id);
    INSERT INTO passes SELECT row_number() OVER (ORDER BY id), 'Verbier', id FROM auth.users;
    ALTER TABLE passes ENABLE ROW LEVEL SECURITY; GRANT SELECT ON passes TO authenticated;
    CREATE POLICY anyone ON passes FOR SELECT TO authenticated USING (auth.uid() IS NOT NULL);";

/// Asserts the only value of a query.
fn is(client: &mut Client, sql: &str, expected: &str) {
    assert_eq!(value(client, sql), expected, "{sql}");
}

// passes before: the library has run on every minor of 15 all along
#[test]
fn every_part_answers_on_this_minor() {
    let cluster = Cluster::start("minor", "");
    let mut a = cluster.create_database("minor");
    let version = value(&mut a, "SELECT current_setting('server_version')");
    if let Ok(expected) = std::env::var("CREWSNOW_MINOR") {
        assert_eq!(version.split(' ').next(), Some(expected.as_str()));
    }
    flags_are_switched_and_restored(&mut a);
    events_are_counted(&mut a);
    maintenance_runs(&mut a);
    run(&mut a, APPLICATION);
    leaks_are_found_and_closed(&mut a);
    health_is_reported(&mut a, &cluster);
    decisions_are_made(&mut a);
    errors_have_their_sqlstate(&mut a);
    println!("every part answers on {version}");
}

fn flags_are_switched_and_restored(a: &mut Client) {
    let user = "0a000000-0000-4000-8000-000000000001";
    assert!(is_on(a, "messaging"));
    run(a, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(a, "messaging"), "the session's cache is invalidated");
    run(
        a,
        &format!(
            "UPDATE feature_flags SET is_enabled = true, rollout_percentage = 100,
                target_premium_only = true WHERE flag_key = 'advanced_filters';
             INSERT INTO crewsnow_ops.user_context (user_id, is_premium) VALUES ('{user}', true)"
        ),
    );
    is(a, &format!("SELECT is_feature_enabled_for_user('advanced_filters', '{user}')"), "t");
    let explained = "SELECT crewsnow_ops.explain_feature_flag('messaging') ->> 'reason'";
    is(a, explained, "DISABLED");
    is(a, "SELECT string_agg(operation, ' ') FROM crewsnow_ops.flag_history", "UPDATE UPDATE");
    is(
        a,
        "SELECT crewsnow_ops.restore_feature_flags(min(created_at), 'x') FROM feature_flags",
        "2",
    );
    assert!(is_on(a, "messaging"));
    is(a, "SELECT count(*) FROM crewsnow_ops.flag_state_at(now()) WHERE is_enabled IS NULL", "0");
}

fn events_are_counted(a: &mut Client) {
    let calls = "SELECT total_calls, error_5xx_count FROM edge_functions_monitoring \
        WHERE function_name = 'checkout'";
    run(
        a,
        "SELECT crewsnow_ops.record_edge_call('checkout', 40.5 * n, CASE WHEN n > 90 THEN 503 \
         ELSE 200 END, p_payload => '{\"a\": [1, 1.5, null]}') FROM generate_series(1, 100) AS n",
    );
    assert_eq!(rows(a, calls), ["100|10"], "from the tail");
    is(a, "SELECT count(log_system_event('login', p_payload => '{\"n\": 1e30}'))", "1");
    is(a, "SELECT is_complete FROM crewsnow_ops.roll_up_events()", "t");
    assert_eq!(rows(a, calls), ["100|10"], "from the rollups");
    run(a, "SELECT crewsnow_ops.record_edge_call('checkout', 1, 500)");
    assert_eq!(rows(a, calls), ["101|11"], "from both");
    is(a, "SELECT crewsnow_ops.record_stripe_webhook('evt_a', 'invoice.paid')", "1");
    is(a, "SELECT crewsnow_ops.record_stripe_webhook('evt_a', 'invoice.paid', false, 'x')", "2");
    is(a, "SELECT sum(total_events) FROM stripe_webhook_monitoring", "1");
    is(a, "SELECT error_status LIKE 'ALERT%' FROM error_rate_monitoring LIMIT 1", "t");
    is(a, "SELECT count(*) FROM crewsnow_ops.dashboard WHERE signal = 'Performance'", "1");
    let median = "SELECT round(crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(n), 0.5)) \
        BETWEEN 490 AND 510 FROM generate_series(1.0, 1000.0) AS n";
    is(a, median, "t");
    run(a, "SELECT crewsnow_ops.apply_event_retention()");
    let digits = "WITH numbers AS (SELECT round(1234.1234567, places)::float8 AS ms
            FROM generate_series(0, 7) AS places),
        written AS (SELECT ms, log_system_event('digits', NULL, '{}'::jsonb, ms) AS id FROM numbers)
        SELECT count(*) FILTER (WHERE id IS NOT NULL) FROM written";
    is(a, digits, "8");
    let wrong = "SELECT count(*) FROM event_log WHERE event_type = 'digits' AND \
        execution_time_ms::text <> execution_time_ms::float8::numeric::text";
    is(a, wrong, "0");
}

/// The worker vacuums a table with dead rows.
fn maintenance_runs(a: &mut Client) {
    run(
        a,
        "CREATE TABLE public.lifts AS SELECT 1 AS id FROM generate_series(1, 5000);
         DELETE FROM public.lifts",
    );
    run(a, "SELECT pg_stat_force_next_flush()");
    run(a, "SELECT run_performance_maintenance()");
    let vacuumed = "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'lifts' AND \
        vacuum_count = 1 AND n_dead_tup = 0";
    is(a, vacuumed, "1");
    is(a, "SELECT run_performance_maintenance() LIKE '%Performance maintenance completed'", "t");
    run(a, "SELECT crewsnow_ops.schedule_maintenance()");
    run(
        a,
        "INSERT INTO crewsnow_ops.maintenance_windows
            (name, weekday, local_start, duration, time_zone)
         VALUES ('weekly', 'sunday', '02:00', '2 hours', 'Europe/Paris')",
    );
    let spring = "SELECT crewsnow_ops.in_maintenance_window('2027-03-28 01:00Z')";
    is(a, spring, "t");
}

fn leaks_are_found_and_closed(a: &mut Client) {
    let leaks = "SELECT count(*) FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak'";
    is(a, leaks, "1");
    let trace = "SELECT object, reach FROM crewsnow_ops.trace_access(
        '0a000000-0000-4000-8000-000000000001', '0b000000-0000-4000-8000-000000000002')
        WHERE verdict = 'LEAK'";
    assert_eq!(rows(a, trace), ["table public.passes|read-leak"]);
    let proof = "SELECT crewsnow_ops.prove_remediation(finding) LIKE 'PROVED%' \
        FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak'";
    is(a, proof, "t");
    is(a, "SELECT run_day1_database_security_audit() LIKE '%public.passes%'", "t");
    run(a, "ALTER POLICY anyone ON passes USING (user_id = auth.uid())");
    is(a, leaks, "0");
    is(a, "SELECT count(*) > 0 FROM generate_rls_checklist()", "t");
}

fn health_is_reported(a: &mut Client, cluster: &Cluster) {
    run(a, "SELECT crewsnow_ops.sample_health()");
    is(a, "SELECT count(*) > 30 FROM performance_health_check()", "t");
    is(a, "SELECT count(*) FROM crewsnow_ops.full_health_check() WHERE status IS NULL", "0");
    is(a, "SELECT count(*) FROM crewsnow_ops.blocking_tree", "0");
    let mut blocker = cluster.connect("minor");
    run(&mut blocker, "BEGIN; LOCK TABLE passes");
    let mut waiter = cluster.connect("minor");
    let waiting = std::thread::spawn(move || waiter.batch_execute("SELECT 1 FROM passes"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while value(a, "SELECT count(*) FROM crewsnow_ops.blocking_tree") != "2" {
        assert!(std::time::Instant::now() < deadline, "the blocking tree shows both sessions");
    }
    run(&mut blocker, "COMMIT");
    let answer = waiting.join().expect("the waiting session ends");
    answer.unwrap_or_else(|e| panic!("it has its answer: {}", explain(&e)));
}

fn decisions_are_made(a: &mut Client) {
    is(a, "SELECT decision FROM make_go_no_go_decision()", "NO_GO");
    is(a, "SELECT count(*) FROM make_launch_decision()", "1");
    is(a, "SELECT count(*) > 0 FROM crewsnow_ops.explain_decision()", "t");
    assert_eq!(sqlstate(a, "SELECT crewsnow_ops.require_go('v1')"), "NG001");
}

fn errors_have_their_sqlstate(a: &mut Client) {
    assert_eq!(sqlstate(a, "SELECT update_feature_flag('mesaging', false)"), "42704");
    assert_eq!(sqlstate(a, "DELETE FROM event_log"), "42501");
    assert_eq!(sqlstate(a, "TRUNCATE crewsnow_ops.flag_history"), "42501");
}
