//! States of an application in which GO would be false. Each test plants one fault in a healthy
//! application, and shows that a similar healthy state is GO.

use crate::readiness::with;
use crate::replication::wait_until;
use crate::rls_hostile::supabase;
use harness::{Cluster, must_run, rows, run, server_command, sqlstate, value};
use postgres::Client;

pub const DECIDE: &str = "SELECT decision FROM make_go_no_go_decision()";
pub const REASONS: &str = "SELECT array_to_string(reasons, E'\\n') FROM make_go_no_go_decision()";

/// The healthy application of false_go.sql, with two operators and two admins.
pub fn healthy(name: &str, settings: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(name, settings);
    let mut a = supabase(&cluster, "app");
    run(&mut a, include_str!("false_go.sql"));
    run(
        &mut a,
        "CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE ida LOGIN; CREATE ROLE jon \
         LOGIN; SELECT crewsnow_ops.grant_access(r, CASE WHEN r IN ('ann', 'bob') THEN 'operator' \
         ELSE 'admin' END) FROM unnest(ARRAY['ann', 'bob', 'ida', 'jon']) AS r",
    );
    assert_eq!(rows(&mut a, REASONS), [""]);
    assert_eq!(value(&mut a, DECIDE), "GO");
    (cluster, a)
}

/// Asserts that a fault makes a decision anything but GO, for this reason, and stops a pipeline.
pub fn is_refused(a: &mut Client, fault: &str, reason: &str) {
    with(a, fault, |a| refused(a, reason));
    assert_eq!(value(a, DECIDE), "GO", "healthy without: {fault}");
}

/// Asserts that the decision is not GO, for this reason.
pub fn refused(a: &mut Client, reason: &str) {
    let reasons = value(a, REASONS);
    assert!(reasons.contains(reason), "{reason}: {reasons}");
    assert_ne!(value(a, DECIDE), "GO", "{reason}");
    let state = sqlstate(a, "SAVEPOINT s; SELECT crewsnow_ops.require_go('v1')");
    assert!(state.starts_with("NG00"), "{state}");
    run(a, "ROLLBACK TO s");
}

/// Asserts that the decision is GO although it tells this.
pub fn told(a: &mut Client, state: &str, line: &str) {
    with(a, state, |a| {
        let reasons = value(a, REASONS);
        assert!(reasons.contains(line), "{line}: {reasons}");
        assert_eq!(value(a, DECIDE), "GO", "{reasons}");
    });
}

#[test]
fn a_freeze_stops_releases_and_launches() {
    let (_cluster, mut a) = healthy("false_go_freeze", "");
    is_refused(
        &mut a,
        "SELECT crewsnow_ops.freeze_releases('audit week', now() - interval '1 hour', now() + \
         interval '2 days')",
        "BLOCKER no-freeze: FAILED: frozen until ",
    );
    // A freeze that has ended, or that begins later, stops nothing now.
    let ended = "SELECT crewsnow_ops.end_freeze(crewsnow_ops.freeze_releases('x', now() - interval \
        '1 hour', now() + interval '2 days'))";
    assert_eq!(with(&mut a, ended, |a| value(a, DECIDE)), "GO");
    let later = "SELECT crewsnow_ops.freeze_releases('x', now() + interval '1 hour', now() + \
        interval '2 days')";
    assert_eq!(with(&mut a, later, |a| value(a, DECIDE)), "GO");
}

#[test]
fn a_definer_function_that_gives_rows_away_is_refused() {
    let (_cluster, mut a) = healthy("false_go_definer", "");
    let function = "CREATE FUNCTION every_parcel() RETURNS SETOF parcels LANGUAGE sql SECURITY \
        DEFINER SET search_path = public AS 'SELECT * FROM parcels'; GRANT EXECUTE ON FUNCTION \
        every_parcel() TO anon";
    is_refused(&mut a, function, "definer-function function public.every_parcel()");
    // Accepted, it is told.
    let accept = format!(
        "{function}; SELECT crewsnow_ops.accept_finding(finding, 'meant', now() + interval '1 \
         day') FROM crewsnow_ops.audit_rls() WHERE rule = 'definer-function'"
    );
    told(&mut a, &accept, "WARNING no-rls-leak: MET, but accepted leaks: definer-function");
    // A function that only the owner may call gives nothing away.
    let private =
        format!("{function}; REVOKE EXECUTE ON FUNCTION every_parcel() FROM anon, PUBLIC");
    assert_eq!(with(&mut a, &private, |a| value(a, DECIDE)), "GO");
}

#[test]
fn forged_rows_behind_a_trigger_are_refused() {
    let (_cluster, mut a) = healthy("false_go_forged", "");
    let trigger = "ALTER TABLE parcels ADD changed_at timestamptz; CREATE FUNCTION touch() RETURNS \
        trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed_at = now(); RETURN NEW; END $$; CREATE \
        TRIGGER touch BEFORE INSERT OR UPDATE ON parcels FOR EACH ROW EXECUTE FUNCTION touch()";
    let fault = format!("ALTER POLICY senders ON parcels WITH CHECK (true); {trigger}");
    is_refused(&mut a, &fault, "forged-rows policy 'senders' on public.parcels");
    assert_eq!(with(&mut a, trigger, |a| value(a, DECIDE)), "GO", "the trigger alone is harmless");
}

#[test]
fn a_policy_of_a_role_that_no_setting_names_is_asked() {
    let (_cluster, mut a) = healthy("false_go_role", "");
    run(&mut a, "CREATE ROLE courier LOGIN; GRANT SELECT ON parcels TO courier");
    let policy = "CREATE POLICY couriers ON parcels TO courier USING (true)";
    is_refused(&mut a, policy, "login-role-policy policy 'couriers' on public.parcels");
    with(&mut a, policy, |a| {
        let status = "SELECT status FROM audit_all_rls_policies() WHERE policy_name = 'couriers'";
        assert_eq!(value(a, status), "NEEDS_REVIEW");
        let report = value(a, "SELECT run_day1_database_security_audit()");
        assert!(!report.contains("ALL CHECKS PASSED"), "{report}");
    });
    let accepted = format!(
        "{policy}; SELECT crewsnow_ops.accept_finding(finding, 'a service', now() + interval '1 \
         day') FROM crewsnow_ops.audit_rls() WHERE rule = 'login-role-policy'"
    );
    told(&mut a, &accepted, "WARNING no-rls-leak: MET, but accepted leaks: login-role-policy");
    let narrow = "CREATE POLICY couriers ON parcels TO courier USING (label = 'parcel 1' AND \
        sender = (SELECT auth.uid()))";
    assert_eq!(with(&mut a, narrow, |a| value(a, DECIDE)), "GO");
    // Beyond the number of roles that an audit asks, the others are told.
    run(
        &mut a,
        "DO $$ BEGIN FOR n IN 10..30 LOOP EXECUTE format('CREATE ROLE courier_%s LOGIN; GRANT \
         SELECT ON parcels TO courier_%s', n, n); END LOOP; END $$",
    );
    is_refused(
        &mut a,
        "DO $$ BEGIN FOR n IN 10..29 LOOP EXECUTE format('CREATE POLICY p_%s ON parcels TO \
         courier_%s USING (sender = (SELECT auth.uid()))', n, n); END LOOP; END $$; CREATE POLICY \
         last ON parcels TO courier_30 USING (sender = (SELECT auth.uid()) OR length(label) > 0)",
        "the audit is INCONCLUSIVE: inconclusive other roles",
    );
}

#[test]
fn failing_calls_are_refused_however_thinly_they_are_spread() {
    let (_cluster, mut a) = healthy("false_go_errors", "");
    let calls = |name: &str, count: i64, status: i64, minutes: &str| {
        format!(
            "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, \
             created_at) SELECT 'edge_function_call', {name}, 40, '{{\"status_code\":{status}}}', \
             now() - {minutes} * interval '1 minute' FROM generate_series(1, {count}) AS n"
        )
    };
    is_refused(
        &mut a,
        &calls("'charge'", 500, 503, "1"),
        "BLOCKER no-alarm: FAILED: errors in ten minutes: charge: 500 of 500 calls failed in a \
         minute",
    );
    is_refused(
        &mut a,
        &calls("'charge'", 36, 500, "(n % 9)"),
        "errors in ten minutes: charge: 36 of 36 calls failed",
    );
    is_refused(
        &mut a,
        &calls("'job-' || n", 12, 500, "1"),
        "errors in ten minutes: all functions: 12 of 52 calls failed",
    );
    let uncoded = "INSERT INTO event_log (event_type, function_name, execution_time_ms) SELECT \
        'edge_function_call', 'charge', 40 FROM generate_series(1, 20)";
    is_refused(
        &mut a,
        uncoded,
        "BLOCKER no-alarm: NO_EVIDENCE: errors are not seen without status_code: charge: 20 of 20 \
         calls",
    );
    // A single failure is told. Errors of an hour ago are over.
    told(&mut a, &calls("'charge'", 1, 500, "1"), "1 of 1 calls failed in a minute, too few");
    let old = calls("'charge'", 500, 503, "60");
    assert_eq!(with(&mut a, &old, |a| value(a, DECIDE)), "GO");
    let client_errors = calls("'charge'", 500, 404, "1");
    assert_eq!(with(&mut a, &client_errors, |a| value(a, DECIDE)), "GO");
}

#[test]
fn slow_calls_are_refused() {
    let (_cluster, mut a) = healthy("false_go_latency", "");
    let calls = |count: i64, milliseconds: i64, minutes: i64| {
        format!(
            "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, \
             created_at) SELECT 'edge_function_call', 'search', {milliseconds}, \
             '{{\"status_code\":200}}', now() - interval '{minutes} minutes' FROM \
             generate_series(1, {count}) AS n"
        )
    };
    is_refused(
        &mut a,
        &calls(200, 30_000, 1),
        "BLOCKER no-alarm: FAILED: slow calls: search: p95 30.",
    );
    // Few slow calls among many of the hour are many of the last minutes.
    let outage = format!("{}; {}", calls(2_000, 20, 30), calls(50, 30_000, 1));
    is_refused(&mut a, &outage, "s in ten minutes");
    told(&mut a, &calls(200, 3_000, 1), "WARNING no-alarm: MET, but slow calls: search: p95 3.");
    told(&mut a, &calls(2, 30_000, 1), "WARNING no-alarm: MET, but slow calls: search: p95 ");
    assert_eq!(with(&mut a, &calls(200, 900, 1), |a| value(a, DECIDE)), "GO");
}

#[test]
fn silent_and_failing_webhooks_are_refused() {
    let (_cluster, mut a) = healthy("false_go_webhooks", "");
    let daily = "TRUNCATE processed_events; SELECT crewsnow_ops.rebuild_rollups(); INSERT INTO \
        processed_events (event_id, event_type, status, processed_at) SELECT 'evt_' || n, \
        'invoice.paid', 'processed', now() - n * interval '1 minute' FROM generate_series(%, 600) \
        AS n";
    is_refused(
        &mut a,
        &daily.replace('%', "90"),
        "WARNING payments: FAILED: ALERT: No webhook for ",
    );
    assert_eq!(with(&mut a, &daily.replace('%', "1"), |a| value(a, DECIDE)), "GO");
    is_refused(
        &mut a,
        "UPDATE processed_events SET status = 'failed', processed_at = now()",
        "WARNING payments: FAILED: ",
    );
    // A function that was called every day at this time is silent.
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, created_at) \
         SELECT 'edge_function_call', 'deliver', 40, '{\"status_code\":200}', now() - n * interval \
         '10 minutes' FROM generate_series(12, 2160) AS n",
    );
    while value(&mut a, "SELECT is_complete FROM crewsnow_ops.roll_up_events()") != "t" {}
    let reasons = value(&mut a, REASONS);
    assert!(
        reasons.contains("WARNING monitoring: FAILED: silent functions: deliver: ALERT: No call"),
        "{reasons}"
    );
    assert_eq!(value(&mut a, DECIDE), "GO_WITH_CAUTION");
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('deliver', 40, 200)");
    assert_eq!(value(&mut a, DECIDE), "GO");
}

#[test]
fn a_critical_server_is_refused() {
    let (_cluster, mut a) = healthy("false_go_health", "");
    // Outside a transaction, whose own lock would hide the sequence.
    run(&mut a, "CREATE TABLE tickets (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY)");
    for (last, decision) in [(1_000, "GO"), (2_147_000_000, "NO_GO"), (2_000, "GO")] {
        run(&mut a, &format!("SELECT setval('tickets_id_seq', {last})"));
        let reasons = value(&mut a, REASONS);
        assert_eq!(value(&mut a, DECIDE), decision, "{last}: {reasons}");
        let told = reasons.contains("BLOCKER no-alarm: FAILED: health is CRITICAL: Sequences");
        assert_eq!(told, decision == "NO_GO", "{last}: {reasons}");
    }
    // A setting that harms nobody today is told.
    run(&mut a, "ALTER SYSTEM SET autovacuum = off");
    run(&mut a, "SELECT pg_reload_conf()");
    wait_until("the setting", || value(&mut a, "SHOW autovacuum") == "off");
    let reasons = value(&mut a, REASONS);
    let told = "WARNING no-alarm: MET, but health is CRITICAL: Autovacuum Workers: off";
    assert!(reasons.starts_with(told), "{reasons}");
    assert_eq!(value(&mut a, DECIDE), "GO");
}

#[test]
fn a_server_that_hides_its_activity_is_not_healthy() {
    let (cluster, mut a) = healthy("false_go_blind", "");
    let mut hidden = cluster.connect("app");
    for setting in ["track_activities", "track_counts"] {
        run(&mut a, &format!("ALTER SYSTEM SET {setting} = off"));
        run(&mut a, "SELECT pg_reload_conf()");
        let now = format!("SHOW {setting}");
        wait_until("the setting", || {
            value(&mut hidden, &now) == "off" && value(&mut a, &now) == "off"
        });
        run(&mut a, "BEGIN");
        refused(&mut a, "BLOCKER no-alarm: ");
        refused(&mut a, "health is not seen: ");
        refused(&mut a, &format!("{setting} is off"));
        run(&mut a, "ROLLBACK");
        run(&mut a, &format!("ALTER SYSTEM RESET {setting}"));
        run(&mut a, "SELECT pg_reload_conf()");
        wait_until("the setting", || {
            value(&mut hidden, &now) == "on" && value(&mut a, &now) == "on"
        });
        wait_until("the activity is shown again", || value(&mut a, DECIDE) == "GO");
    }
}

#[test]
fn a_stale_standby_says_how_far_behind_it_is_and_refuses() {
    let (cluster, mut a) = healthy("false_go_primary", "");
    let standby = Cluster::standby("false_go_standby", &cluster);
    let mut b = standby.connect("app");
    let replayed = |a: &mut Client, b: &mut Client| {
        let last = value(a, "SELECT pg_current_wal_lsn()");
        wait_until("the standby has replayed", || {
            value(b, &format!("SELECT pg_last_wal_replay_lsn() >= '{last}'")) == "t"
        });
    };
    replayed(&mut a, &mut b);
    let reasons = value(&mut b, REASONS);
    assert!(
        reasons.starts_with("NOTE current-data: decided on a standby, 0.0 s behind its primary"),
        "{reasons}"
    );
    assert_eq!(value(&mut b, DECIDE), "GO");
    run(&mut b, "SELECT pg_wal_replay_pause()");
    wait_until("replay is paused", || value(&mut b, "SELECT pg_is_wal_replay_paused()") == "t");
    run(&mut a, "SELECT crewsnow_ops.record_evidence('no-rls-leak', false)");
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    let stale = |b: &mut Client, why: &str| {
        let reasons = value(b, REASONS);
        assert!(
            reasons.contains("BLOCKER current-data: NO_EVIDENCE: decided on a standby, ")
                && reasons.contains(why),
            "{reasons}"
        );
        assert_eq!(sqlstate(b, "SELECT crewsnow_ops.require_go('v1')"), "NG001");
    };
    stale(&mut b, "kB of WAL are not replayed, replay is paused (limit 5.0 s)");
    run(&mut b, "SELECT pg_wal_replay_resume()");
    run(&mut a, "SELECT crewsnow_ops.record_evidence('no-rls-leak', true)");
    assert_eq!(value(&mut a, DECIDE), "GO");
    replayed(&mut a, &mut b);
    assert_eq!(value(&mut b, DECIDE), "GO");
    // Without its primary, a standby cannot know what it misses.
    drop(a);
    drop(cluster);
    wait_until("the receiver is gone", || {
        value(&mut b, "SELECT count(*) FROM pg_stat_wal_receiver") == "0"
    });
    stale(&mut b, "not connected to it");
    must_run(
        server_command("pg_ctl")
            .arg("-D")
            .arg(standby.scratch().join("data"))
            .args(["-w", "promote"]),
    );
    assert_eq!(value(&mut b, DECIDE), "GO", "the promoted server is a primary");
}

#[test]
fn launch_flags_that_target_nobody_are_not_as_planned() {
    let (_cluster, mut a) = healthy("false_go_flags", "");
    run(
        &mut a,
        "SELECT crewsnow_ops.record_evidence(name, true) FROM crewsnow_ops.criteria WHERE gate = \
         'launch' AND measures && '{evidence,open-incidents,recent-escalations}'",
    );
    let launch = "SELECT decision || ' ' || array_to_string(reasons, ' ') FROM \
        make_launch_decision()";
    assert_eq!(value(&mut a, launch), "🚀 READY FOR LAUNCH ");
    for (target, is_planned) in [
        ("target_regions = '{nowhere}'", false),
        ("target_segments = '{nobody}'", false),
        ("target_premium_only = true", false),
        ("target_regions = '{coast}'", true),
        ("target_regions = '{coast}', target_segments = '{sailors}'", true),
        ("target_regions = '{coast}', target_premium_only = true", false),
    ] {
        let state = format!(
            "INSERT INTO crewsnow_ops.user_context (user_id, region, segments) VALUES \
             (gen_random_uuid(), 'coast', '{{sailors}}'); UPDATE feature_flags SET {target} WHERE \
             flag_key = 'messaging'"
        );
        let decision = with(&mut a, &state, |a| value(a, launch));
        assert_eq!(decision == "🚀 READY FOR LAUNCH ", is_planned, "{target}: {decision}");
        let told = "WARNING flags-as-planned: FAILED: messaging targets nobody";
        assert_eq!(decision.contains(told), !is_planned, "{target}: {decision}");
    }
    // A plan that ignores the flag is told.
    let ignored = "UPDATE crewsnow_ops.launch_plan SET is_enabled = NULL, rollout_steps = NULL \
        WHERE flag_key = 'messaging'; UPDATE feature_flags SET target_regions = '{nowhere}' WHERE \
        flag_key = 'messaging'";
    assert_eq!(
        with(&mut a, ignored, |a| value(a, launch)),
        "🚀 READY FOR LAUNCH NOTE flags-as-planned: the launch plan was changed: messaging by \
         postgres"
    );
    // A flag that is off targets nobody, and need not.
    let off = "UPDATE feature_flags SET target_regions = '{nowhere}' WHERE flag_key = \
        'voice_messages'";
    assert_eq!(with(&mut a, off, |a| value(a, launch)), "🚀 READY FOR LAUNCH ");
}

#[test]
fn the_dashboard_and_the_decision_tell_one_verdict() {
    let (_cluster, mut a) = healthy("false_go_dashboard", "");
    let security = "SELECT status FROM crewsnow_ops.dashboard WHERE signal = 'Security'";
    let note = "SELECT replace(note, E'\\n', ' ') FROM crewsnow_ops.dashboard WHERE signal = \
        'Security'";
    run(&mut a, "SELECT crewsnow_ops.record_rls_audit()");
    assert_eq!(value(&mut a, security), "✅ OK");
    // The stored audit is older than the decision.
    run(&mut a, "UPDATE crewsnow_ops.rls_runs SET ran_at = ran_at - interval '1 hour'");
    run(&mut a, "CREATE POLICY open ON parcels TO authenticated USING (true)");
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    assert_eq!(value(&mut a, security), "🔒 ISSUES");
    assert!(value(&mut a, note).starts_with("decided 0 min ago; leaks found: "));
    let report = "SELECT run_day1_database_security_audit() LIKE '%ALL CHECKS PASSED%'";
    assert_eq!(value(&mut a, report), "f");
    let checklist = "SELECT count(*) > 0 FROM generate_rls_checklist() WHERE status <> 'SECURE'";
    assert_eq!(value(&mut a, checklist), "t");
    run(&mut a, "DROP POLICY open ON parcels");
    assert_eq!(value(&mut a, DECIDE), "GO");
    assert_eq!(value(&mut a, security), "✅ OK");
    assert_eq!(value(&mut a, report), "t");
    assert_eq!(value(&mut a, checklist), "f");
    // An audit of the future does not count, and no age is negative.
    run(&mut a, "UPDATE crewsnow_ops.rls_runs SET ran_at = now() + interval '9 days', unmet = 7");
    assert_eq!(value(&mut a, security), "✅ OK");
    assert!(!value(&mut a, note).contains('-'), "{}", value(&mut a, note));
}
