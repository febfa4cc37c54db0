//! Decisions about the demo application: GO while it is healthy. Each fault gives the expected
//! verdict and reason.

use crate::replication::wait_until;
use harness::{Cluster, both, rows, run, sqlstate, value};
use postgres::Client;
use std::time::Duration;

const GO_NO_GO: &str = "SELECT decision, readiness_score, critical_blockers, warnings, \
    go_criteria_met FROM make_go_no_go_decision()";
const LAUNCH: &str = "SELECT decision, readiness_score, blockers_count, warnings_count, \
    launch_ready FROM make_launch_decision()";

/// Removes each fault of the demo, whose payments fail, and records evidence for all that the
/// database cannot measure.
fn make_healthy(client: &mut Client) {
    run(
        client,
        "TRUNCATE event_log; SELECT crewsnow_ops.rebuild_rollups();
         UPDATE processed_events SET status = 'processed', error_message = NULL WHERE status <> \
         'processed';
         SELECT crewsnow_ops.record_stripe_webhook('evt_now', 'invoice.paid', true);
         SELECT crewsnow_ops.record_evidence('monitoring', true, '{\"alerts\": \"elsewhere\"}');
         SELECT crewsnow_ops.record_evidence(name, true) FROM crewsnow_ops.criteria WHERE gate = \
         'launch' AND measures && '{evidence,open-incidents,recent-escalations}'",
    );
    run(
        client,
        "SELECT crewsnow_ops.record_edge_call('send-message', 40, 200) FROM generate_series(1, 20)",
    );
}

/// Runs `check` in a transaction that first runs `statements`, and rolls it back.
pub fn with<R>(client: &mut Client, statements: &str, check: impl FnOnce(&mut Client) -> R) -> R {
    run(client, &format!("BEGIN; {statements}"));
    let result = check(client);
    run(client, "ROLLBACK");
    result
}

/// Creates another admin, who can approve changed criteria.
pub const SECOND_ADMIN: &str =
    "CREATE ROLE second LOGIN; SELECT crewsnow_ops.grant_access('second', 'admin')";
/// Approves all changed criteria as that admin.
pub const APPROVE: &str = "SET SESSION AUTHORIZATION second; SELECT \
    crewsnow_ops.approve_criterion(name) FROM crewsnow_ops.criteria WHERE original IS NOT NULL; \
    RESET SESSION AUTHORIZATION";

#[test]
fn a_healthy_demo_is_go_and_each_fault_changes_the_decision() {
    let cluster = Cluster::start("readiness_demo", "");
    let mut a = cluster.create_demo("demo", false);
    // The demo data contain failed payments, and no evidence that alerts are delivered.
    assert_eq!(rows(&mut a, GO_NO_GO), ["NO_GO|55|1|2|f"]);
    make_healthy(&mut a);
    run(&mut a, SECOND_ADMIN);
    let left = "SELECT (SELECT count(*) FROM auth.users), (SELECT count(*) FROM likes), (SELECT \
        count(*) FROM stripe_events), (SELECT count(*) FROM crewsnow_ops.user_context)";
    let before = rows(&mut a, left);
    assert_eq!(rows(&mut a, GO_NO_GO), ["GO|100|0|0|t"]);
    assert_eq!(rows(&mut a, LAUNCH), ["🚀 READY FOR LAUNCH|100|0|0|t"]);
    assert_eq!(rows(&mut a, left), before, "the end-to-end tests were rolled back");
    each_fault_fails_its_criterion(&mut a);
    each_launch_fault_fails_its_criterion(&mut a);
    criteria_are_checked_and_protected(&mut a);
    releases_have_their_own_evidence(&mut a);
    decisions_explain_themselves(&mut a);
    require_go_stops_a_pipeline(&cluster, &mut a);
    concurrent_sessions_count(&cluster, &mut a);
    read_only_sessions_decide_without_a_record(&cluster, &mut a);
}

fn each_fault_fails_its_criterion(a: &mut Client) {
    let cases = [
        // End-to-end tests.
        (
            "CREATE POLICY no ON likes AS RESTRICTIVE FOR INSERT WITH CHECK (false)",
            "NO_GO|75|1|0|f",
            "BLOCKER e2e-tests: FAILED: 1 of 1 test failed: 'first evening' at 'Ada likes Ben': \
             42501: new row violates row-level security policy 'no' for table 'likes'",
        ),
        (
            "UPDATE feature_flags SET is_enabled = false WHERE flag_key = 'messaging'",
            "NO_GO|75|1|0|f",
            "at 'Ada writes': 42501: ",
        ),
        (
            "DROP FUNCTION e2e.first_evening()",
            "NO_GO|75|1|0|f",
            "function e2e.first_evening() no longer exists",
        ),
        (
            "SELECT crewsnow_ops.remove_e2e_test('first evening')",
            "NO_GO|75|1|0|f",
            "NO_EVIDENCE: no test is registered",
        ),
        (
            "REVOKE service_role FROM postgres; ALTER FUNCTION e2e.first_evening() OWNER TO anon",
            "NO_GO|75|1|0|f",
            "'anon' is not a member of role 'service_role'",
        ),
        // Row-level security.
        (
            "CREATE POLICY oops ON messages FOR SELECT TO authenticated USING (true)",
            "NO_GO|45|2|0|f",
            "BLOCKER no-rls-leak: FAILED: leaks found: read-leak policy 'oops' on public.messages",
        ),
        (
            "CREATE TABLE left_open (id uuid PRIMARY KEY, user_id uuid REFERENCES auth.users); \
             GRANT SELECT ON left_open TO anon",
            "NO_GO|70|1|0|f",
            "rls-off table public.left_open",
        ),
        (
            "DELETE FROM messages",
            "NO_GO|70|1|0|f",
            "BLOCKER no-rls-leak: NO_EVIDENCE: the audit is INCONCLUSIVE: inconclusive table \
             public.messages",
        ),
        (
            "ALTER TABLE crewsnow_ops.rls_self_test_isolated DISABLE ROW LEVEL SECURITY",
            "NO_GO|70|1|0|f",
            "NO_EVIDENCE: the audit is INCONCLUSIVE: audit-self-test-failed",
        ),
        // An operator accepted the finding.
        (
            "CREATE POLICY oops ON messages FOR SELECT TO authenticated USING (true);
             SELECT crewsnow_ops.accept_finding('read-leak policy \"oops\" on public.messages', \
             'meant', now() + interval '1 day');
             DROP POLICY \"Members read the messages of their matches\" ON messages;
             SELECT crewsnow_ops.remove_e2e_test('first evening');
             UPDATE crewsnow_ops.criteria SET measures = '{webhooks}' WHERE name = 'e2e-tests';
             SET SESSION AUTHORIZATION second; SELECT crewsnow_ops.approve_criterion('e2e-tests');
             RESET SESSION AUTHORIZATION",
            "GO|100|0|1|t",
            "WARNING no-rls-leak: MET, but accepted leaks: read-leak policy 'oops' on \
             public.messages by postgres until ",
        ),
        // Payments.
        (
            "UPDATE processed_events SET status = 'failed', error_message = 'x', processed_at = \
             now() WHERE event_id = 'evt_now'",
            "GO_WITH_CAUTION|75|0|1|f",
            "WARNING payments: FAILED: webhooks failed in the last hour: 1",
        ),
        (
            "DROP FUNCTION e2e.subscriptions()",
            "GO_WITH_CAUTION|75|0|1|f",
            "WARNING payments: FAILED: 1 of 1 test failed: 'subscriptions'",
        ),
        (
            "TRUNCATE processed_events; SELECT crewsnow_ops.rebuild_rollups()",
            "GO_WITH_CAUTION|75|0|1|f",
            "NO_EVIDENCE: no webhook was processed in 24 hours",
        ),
        (
            "TRUNCATE processed_events; SELECT crewsnow_ops.rebuild_rollups(); INSERT INTO \
             processed_events (event_id, event_type, status, received_at) SELECT 'evt_' || n, \
             'invoice.paid', 'received', now() FROM generate_series(1, 3) AS n",
            "GO_WITH_CAUTION|75|0|1|f",
            "NO_EVIDENCE: no webhook was processed in 24 hours",
        ),
        (
            "TRUNCATE processed_events; SELECT crewsnow_ops.rebuild_rollups(); INSERT INTO \
             processed_events (event_id, event_type, status, processed_at) SELECT 'evt_' || n, \
             'invoice.paid', CASE n WHEN 1 THEN 'processed' ELSE 'failed' END, now() - interval '2 \
             hours' FROM generate_series(1, 30) AS n",
            "GO_WITH_CAUTION|75|0|1|f",
            "WARNING payments: FAILED: 29 of 30 webhooks failed in 24 hours",
        ),
        // Monitoring.
        (
            "TRUNCATE event_log; SELECT crewsnow_ops.rebuild_rollups()",
            "GO_WITH_CAUTION|80|0|1|f",
            "NO_EVIDENCE: no function call in ten minutes",
        ),
        (
            "DELETE FROM crewsnow_ops.evidence WHERE criterion = 'monitoring'",
            "GO_WITH_CAUTION|80|0|1|f",
            "NO_EVIDENCE: evaluation of alert rules: needs recorded evidence",
        ),
        (
            "UPDATE crewsnow_ops.evidence SET recorded_at = now() - interval '5 hours' WHERE \
             criterion = 'monitoring'",
            "GO_WITH_CAUTION|80|0|1|f",
            "WARNING monitoring: EXPIRED: evidence by postgres",
        ),
        (
            "SELECT crewsnow_ops.record_evidence('monitoring', false)",
            "GO_WITH_CAUTION|80|0|1|f",
            "WARNING monitoring: FAILED: postgres recorded a failure at",
        ),
        // Failing evidence outweighs a measurement.
        (
            "SELECT crewsnow_ops.record_evidence('no-rls-leak', false, '{\"pentest\": 7}')",
            "NO_GO|70|1|0|f",
            "BLOCKER no-rls-leak: FAILED: postgres recorded a failure at",
        ),
        // A criterion that the team added.
        (
            "UPDATE crewsnow_ops.criteria SET weight = 10 WHERE name = 'monitoring'; INSERT INTO \
             crewsnow_ops.criteria (name, category, weight) VALUES ('sign-off', 'people', 10)",
            "NO_GO|90|1|1|f",
            "BLOCKER sign-off: NO_EVIDENCE: needs recorded evidence",
        ),
        // The measurement itself fails.
        (
            "ALTER TABLE crewsnow_ops.webhook_rollups RENAME TO gone",
            "GO_WITH_CAUTION|75|0|1|f",
            "WARNING payments: NO_EVIDENCE: measurement failed: ",
        ),
        // Of two faults, neither hides the other.
        (
            "DROP FUNCTION e2e.first_evening(); CREATE POLICY oops ON consents TO authenticated \
             USING (true)",
            "NO_GO|45|2|0|f",
            "read-leak policy 'oops' on public.consents",
        ),
    ];
    for (fault, expected, reason) in cases {
        let (decision, reasons, commands) = with(a, fault, |a| {
            let decision = value(
                a,
                "SELECT concat_ws('|', decision, readiness_score, critical_blockers, warnings, \
                 go_criteria_met) FROM make_go_no_go_decision()",
            );
            let last = "FROM crewsnow_ops.decisions ORDER BY decided_at DESC LIMIT 1";
            (
                decision,
                value(a, &format!("SELECT array_to_string(reasons, E'\\n') {last}")),
                rows(
                    a,
                    &format!("SELECT unnest(next_actions) FROM (SELECT next_actions {last}) AS d"),
                ),
            )
        });
        assert_eq!(decision, expected, "{fault}: {reasons}");
        assert!(reasons.contains(reason), "{fault}: {reasons}");
        assert!(
            commands
                .iter()
                .all(|command| command.starts_with("SELECT ") && command.contains("; -- ")),
            "{commands:?}"
        );
    }
    assert_eq!(rows(a, GO_NO_GO), ["GO|100|0|0|t"], "each fault was rolled back");
}

fn each_launch_fault_fails_its_criterion(a: &mut Client) {
    for (fault, expected, reason) in [
        (
            "SELECT crewsnow_ops.freeze_releases('new year', now() - interval '1 hour', now() + \
             interval '1 day')",
            "🔴 NOT READY - 1 blocker",
            "BLOCKER no-freeze: FAILED: frozen until ",
        ),
        (
            "SELECT crewsnow_ops.freeze_releases('later', now() + interval '1 hour', now() + \
             interval '1 day')",
            "🚀 READY FOR LAUNCH",
            "",
        ),
        (
            "SELECT update_feature_flag('boost_station', true, 50)",
            "⚠️ LAUNCH WITH CAUTION - 1 warning",
            "WARNING flags-as-planned: FAILED: boost_station is at 50 %",
        ),
        (
            "SELECT update_feature_flag('tracker_pro', true, 30)",
            "⚠️ LAUNCH WITH CAUTION - 1 warning",
            "tracker_pro is at 30 %",
        ),
        ("SELECT update_feature_flag('tracker_pro', true, 25)", "🚀 READY FOR LAUNCH", ""),
        (
            "SELECT update_feature_flag('voice_messages', true)",
            "⚠️ LAUNCH WITH CAUTION - 1 warning",
            "voice_messages is enabled",
        ),
        (
            "DELETE FROM feature_flags WHERE flag_key = 'basic_matching'",
            "🔴 NOT READY - 1 blocker",
            "basic_matching does not exist",
        ),
        (
            "DELETE FROM crewsnow_ops.evidence WHERE criterion = 'restore-test'",
            "🔴 NOT READY - 1 blocker",
            "BLOCKER restore-test: NO_EVIDENCE",
        ),
        (
            "UPDATE crewsnow_ops.evidence SET recorded_at = now() - interval '31 days' WHERE \
             criterion = 'rollback-rehearsed'",
            "🔴 NOT READY - 1 blocker",
            "BLOCKER rollback-rehearsed: EXPIRED",
        ),
        (
            "SELECT crewsnow_ops.record_evidence('no-open-incident', false)",
            "🔴 NOT READY - 1 blocker",
            "BLOCKER no-open-incident: FAILED",
        ),
        (
            "DELETE FROM crewsnow_ops.evidence WHERE criterion = 'no-recent-escalation'",
            "🔴 NOT READY - 1 blocker",
            "BLOCKER no-recent-escalation: NO_EVIDENCE",
        ),
        (
            "UPDATE processed_events SET status = 'failed' WHERE event_id = 'evt_now'",
            "⚠️ LAUNCH WITH CAUTION - 1 warning",
            "WARNING payments: FAILED",
        ),
        (
            "DELETE FROM crewsnow_ops.evidence WHERE criterion = 'monitoring'; UPDATE \
             processed_events SET status = 'failed' WHERE event_id = 'evt_now'",
            "🟡 NEEDS WORK - 55 of 100 points",
            "WARNING monitoring",
        ),
    ] {
        let (decision, reasons) = with(a, fault, |a| {
            let sql = "SELECT decision || E'\\n' || array_to_string(reasons, E'\\n') FROM \
                make_launch_decision()";
            let lines = value(a, sql);
            let (decision, reasons) = lines.split_once('\n').unwrap_or((&lines, ""));
            (decision.to_owned(), reasons.to_owned())
        });
        assert_eq!(decision, expected, "{fault}: {reasons}");
        assert!(reasons.contains(reason), "{fault}: {reasons}");
        assert_eq!(reasons.is_empty(), reason.is_empty(), "{fault}: {reasons}");
    }
    // The suggested command restores the plan.
    run(a, "SELECT update_feature_flag('boost_station', true, 50)");
    let step = value(a, "SELECT next_steps[1] FROM make_launch_decision()");
    assert_eq!(
        step,
        "SELECT public.update_feature_flag('boost_station', true, 100); -- flags-as-planned"
    );
    run(a, &step);
    assert_eq!(rows(a, LAUNCH), ["🚀 READY FOR LAUNCH|100|0|0|t"]);
    // A decision ends when a scheduled freeze begins.
    let until = "SELECT valid_until < now() + interval '6 minutes' FROM make_launch_decision()";
    let soon = "SELECT crewsnow_ops.freeze_releases('x', now() + interval '5 minutes', now() + \
        interval '1 day')";
    assert_eq!(with(a, soon, |a| value(a, until)), "t");
    assert_eq!(value(a, until), "f");
}

fn criteria_are_checked_and_protected(a: &mut Client) {
    for (fault, blockers, reason) in [
        (
            "UPDATE crewsnow_ops.criteria SET weight = 26 WHERE name = 'payments'",
            "1",
            "BLOCKER criteria: the weights of the criteria add up to 101, not to 100",
        ),
        (
            "UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = 'no-rls-leak'",
            "2",
            "BLOCKER criteria: the weights of the criteria add up to 70, not to 100",
        ),
        (
            "UPDATE crewsnow_ops.criteria SET is_enabled = false",
            "6",
            "BLOCKER criteria: no criterion is enabled",
        ),
        (
            "UPDATE crewsnow_ops.criteria SET is_blocker = false",
            "6",
            "BLOCKER criteria: no criterion is a blocker",
        ),
    ] {
        let sql = "SELECT decision, critical_blockers, reasons[1], next_actions[1] FROM \
            make_go_no_go_decision()";
        let decision = with(a, fault, |a| rows(a, sql));
        let (before, action) = decision[0].rsplit_once('|').expect("columns");
        assert_eq!(before, format!("NO_GO|{blockers}|{reason}"), "{fault}");
        assert!(action.starts_with("SELECT name, gate, weight"), "{action}");
    }
    for (sql, code) in [
        ("DELETE FROM crewsnow_ops.criteria WHERE name = 'no-rls-leak'", "0A000"),
        ("UPDATE crewsnow_ops.criteria SET name = 'x' WHERE name = 'no-rls-leak'", "0A000"),
        ("DELETE FROM crewsnow_ops.launch_plan", "0A000"),
        ("DELETE FROM crewsnow_ops.checklist_items", "0A000"),
        ("UPDATE crewsnow_ops.checklist_items SET task = 'x'", "0A000"),
        ("UPDATE crewsnow_ops.criteria SET weight = -1", "23514"),
        ("UPDATE crewsnow_ops.criteria SET measures = '{vibes}'", "23514"),
        ("UPDATE crewsnow_ops.criteria SET measures = '{}'", "23514"),
        ("UPDATE crewsnow_ops.criteria SET fresh_for = '0'", "23514"),
        ("INSERT INTO crewsnow_ops.criteria (name, category) VALUES ('', 'x')", "23514"),
        ("UPDATE crewsnow_ops.decisions SET decision = 'GO'", "42501"),
        ("DELETE FROM crewsnow_ops.decisions", "42501"),
        ("TRUNCATE crewsnow_ops.decisions", "42501"),
    ] {
        assert_eq!(sqlstate(a, sql), code, "{sql}");
    }
    // An upsert changes only the columns that it names.
    for upsert in [
        "INSERT INTO crewsnow_ops.criteria (name, category, weight) VALUES ('no-rls-leak', \
         'security', 30) ON CONFLICT (name) DO UPDATE SET weight = EXCLUDED.weight",
        "INSERT INTO crewsnow_ops.criteria (name, category) VALUES ('no-rls-leak', 'x') ON \
         CONFLICT DO NOTHING",
    ] {
        let kept = "SELECT measures, weight, seeded FROM crewsnow_ops.criteria WHERE name = \
            'no-rls-leak'";
        assert_eq!(with(a, upsert, |a| rows(a, kept)), ["{rls}|30|t"]);
    }
    for steps in ["{}", "{NULL,100}", "{500}", "{-1}"] {
        let sql = format!("UPDATE crewsnow_ops.launch_plan SET rollout_steps = '{steps}'");
        assert_eq!(sqlstate(a, &sql), "23514", "{steps}");
    }
    let changed = "SELECT changed_by, changed_at > now() - interval '1 minute', seeded FROM \
        crewsnow_ops.criteria WHERE name = 'payments'";
    let changed = with(
        a,
        "UPDATE crewsnow_ops.criteria SET weight = 26, seeded = false, changed_by = 'nobody' WHERE \
         name = 'payments'",
        |a| rows(a, changed),
    );
    assert_eq!(changed, ["postgres|t|t"]);
}

fn releases_have_their_own_evidence(a: &mut Client) {
    run(a, "SELECT crewsnow_ops.record_evidence('monitoring', true, '{}', '30 minutes', 'v2')");
    // Evidence of another release does not count.
    assert_eq!(
        rows(
            a,
            "SELECT gate, release, decision, is_go FROM crewsnow_ops.decide('go_no_go', ' v2 ')"
        ),
        ["go_no_go|v2|GO|t"]
    );
    let alone = "DELETE FROM crewsnow_ops.evidence WHERE criterion = 'monitoring' AND release IS \
        NULL";
    let soon = "SELECT decision, valid_until - now() < '31 minutes' FROM \
        crewsnow_ops.decide('go_no_go', 'v2')";
    assert_eq!(with(a, alone, |a| rows(a, soon)), ["GO|t"], "it ends with its evidence");
    let of_none = "SELECT decision FROM make_go_no_go_decision()";
    assert_eq!(
        with(a, alone, |a| value(a, of_none)),
        "GO_WITH_CAUTION",
        "evidence of a release counts for that release only"
    );
    // Only evidence of the same scope answers failing evidence.
    for (answer, decision) in
        [("NULL", "GO_WITH_CAUTION"), ("'v2'", "GO_WITH_CAUTION"), ("'v9'", "GO")]
    {
        let records = format!(
            "SELECT crewsnow_ops.record_evidence('monitoring', false, '{{}}', p_release => 'v9');
             SELECT crewsnow_ops.record_evidence('monitoring', true, '{{}}', p_release => {answer})"
        );
        let decided = with(a, &records, |a| {
            value(a, "SELECT decision FROM crewsnow_ops.decide('go_no_go', 'v9')")
        });
        assert_eq!(decided, decision, "{answer}");
    }
    run(a, "SELECT crewsnow_ops.record_evidence('monitoring', false, '{}', p_release => 'v3')");
    assert_eq!(value(a, "SELECT decision FROM crewsnow_ops.decide('go_no_go', 'v2')"), "GO");
    assert_eq!(
        value(a, "SELECT decision FROM crewsnow_ops.decide('go_no_go', 'v3')"),
        "GO_WITH_CAUTION"
    );
    assert_eq!(value(a, "SELECT decision FROM crewsnow_ops.decide('go_no_go')"), "GO");
}

fn decisions_explain_themselves(a: &mut Client) {
    // The explanation comes from the stored inputs, without new measurements.
    let explained = "SELECT criterion, weight, is_blocker, status, if_otherwise FROM \
        crewsnow_ops.explain_decision((SELECT id FROM crewsnow_ops.decisions WHERE release = \
        'v3'))";
    run(a, "BEGIN; DROP FUNCTION e2e.first_evening()");
    assert_eq!(
        rows(a, explained),
        [
            "no-rls-leak|30|t|MET|not met: NO_GO, 50 points",
            "e2e-tests|25|t|MET|not met: NO_GO, 55 points",
            "payments|25|f|MET|not met: NO_GO, 55 points",
            "monitoring|20|f|FAILED|met: GO, 100 points",
            "current-data|0|t|MET|not met: NO_GO, 80 points",
            "no-alarm|0|t|MET|not met: NO_GO, 80 points",
            "no-freeze|0|t|MET|not met: NO_GO, 80 points",
        ]
    );
    run(a, "ROLLBACK");
    let evidence = "SELECT evidence FROM crewsnow_ops.explain_decision((SELECT id FROM \
        crewsnow_ops.decisions WHERE release = 'v3')) WHERE criterion = 'monitoring'";
    assert!(value(a, evidence).starts_with("failed: recorded by postgres at 20"));
}

fn require_go_stops_a_pipeline(cluster: &Cluster, a: &mut Client) {
    // psql exits with an error, and shows the reasons.
    let gate = |release: &str| {
        let sql = format!("SELECT crewsnow_ops.require_go('{release}')");
        let output = cluster
            .psql("demo")
            .args(["-X", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"])
            .arg("-c")
            .arg(sql)
            .args(["-c", "SELECT 'deployed'"])
            .output()
            .expect("psql");
        (output.status.code(), both(&output))
    };
    let (code, output) = gate("v2");
    assert!(code == Some(0) && output.contains("deployed"), "{output}");
    let (code, output) = gate("v3");
    assert!(code == Some(3) || code == Some(1), "{code:?} {output}");
    assert!(
        output.contains("NG002: GO_WITH_CAUTION of v3, 80 of 100 points")
            && !output.contains("deployed"),
        "{output}"
    );
    assert!(
        output.contains("DETAIL:  WARNING monitoring: FAILED")
            && output.contains("HINT:  SELECT * FROM crewsnow_ops.evidence WHERE id = '"),
        "{output}"
    );
    run(a, "SELECT crewsnow_ops.record_evidence('no-rls-leak', false, '{}', p_release => 'v4')");
    assert_eq!(sqlstate(a, "SELECT crewsnow_ops.require_go('v4')"), "NG001");
    assert_eq!(sqlstate(a, "SELECT crewsnow_ops.require_go('v4', 'launch')"), "NG001");
    assert_eq!(
        value(a, "SELECT crewsnow_ops.require_go(NULL, 'launch') IS NOT NULL"),
        "t",
        "the session survives the error"
    );
    // PL/pgSQL can catch the error.
    run(
        a,
        "DO $$ BEGIN PERFORM crewsnow_ops.require_go('v4'); RAISE 'went on'; EXCEPTION WHEN \
         SQLSTATE 'NG001' THEN NULL; END $$",
    );
}

fn concurrent_sessions_count(cluster: &Cluster, a: &mut Client) {
    // Evidence that is recorded during a decision counts.
    run(
        a,
        "CREATE FUNCTION public.takes_its_time() RETURNS void LANGUAGE sql AS 'SELECT \
         pg_sleep(2)'; SELECT crewsnow_ops.register_e2e_test('slow', 'public.takes_its_time()')",
    );
    let mut session = cluster.connect("demo");
    let decider = std::thread::spawn(move || {
        value(&mut session, "SELECT reasons[1] FROM crewsnow_ops.decide('go_no_go', 'v5')")
    });
    std::thread::sleep(Duration::from_millis(700));
    run(a, "SELECT crewsnow_ops.record_evidence('no-rls-leak', false, '{}', p_release => 'v5')");
    let reason = decider.join().expect("a decider");
    assert!(
        reason.starts_with("BLOCKER no-rls-leak: FAILED: postgres recorded a failure at "),
        "{reason}"
    );
    run(a, "SELECT crewsnow_ops.remove_e2e_test('slow')");
    // Two concurrent decisions store a row each.
    let count = "SELECT count(*) FROM crewsnow_ops.decisions";
    let before: i64 = value(a, count).parse().expect("a number");
    let deciders: Vec<_> = (0..2)
        .map(|_| {
            let mut session = cluster.connect("demo");
            std::thread::spawn(move || {
                value(
                    &mut session,
                    "SELECT concat_ws('|', decision, decision_id) FROM make_go_no_go_decision()",
                )
            })
        })
        .collect();
    let decisions: Vec<String> =
        deciders.into_iter().map(|decider| decider.join().expect("a decider")).collect();
    assert!(
        decisions.iter().all(|decision| decision.starts_with("GO|"))
            && decisions[0] != decisions[1],
        "{decisions:?}"
    );
    assert_eq!(value(a, count), (before + 2).to_string());
}

fn read_only_sessions_decide_without_a_record(cluster: &Cluster, a: &mut Client) {
    let count = "SELECT count(*) FROM crewsnow_ops.decisions";
    let before = value(a, count);
    let decide = "BEGIN READ ONLY; SELECT decision, decision_id IS NULL FROM \
        make_go_no_go_decision(); COMMIT";
    let decide_on = |cluster: &Cluster| {
        both(&cluster.psql("demo").args(["-X", "-At", "-c", decide]).output().expect("psql"))
    };
    let output = decide_on(cluster);
    assert!(
        output.contains("NO_GO|t")
            && output
                .contains("NOTICE:  the decision is not recorded: the transaction is read-only"),
        "{output}"
    );
    assert_eq!(value(a, count), before);
    let standby = Cluster::standby("readiness_standby", cluster);
    let mut b = standby.connect("demo");
    let last = value(a, "SELECT pg_current_wal_lsn()");
    wait_until("the standby has replayed", || {
        value(&mut b, &format!("SELECT pg_last_wal_replay_lsn() >= '{last}'")) == "t"
    });
    let output = decide_on(&standby);
    assert!(output.contains("GO|t") && output.contains("NOTICE"), "{output}");
    let seen = "SELECT measurements FROM crewsnow_ops.explain_decision() WHERE criterion = \
        'e2e-tests'";
    assert!(
        value(&mut b, seen).starts_with("1 test passed: "),
        "the standby explains a decision of the primary"
    );
    assert_eq!(
        sqlstate(&mut b, "SELECT crewsnow_ops.record_evidence('monitoring', true)"),
        "25006"
    );
    assert_eq!(sqlstate(&mut b, "SELECT * FROM crewsnow_ops.run_e2e_tests()"), "25006");
    // An expired run of the primary does not count.
    run(
        a,
        "UPDATE crewsnow_ops.evidence SET recorded_at = recorded_at - interval '5 hours' WHERE \
        source = 'tests'",
    );
    let reasons = "SELECT array_to_string(reasons, ' ') FROM make_go_no_go_decision()";
    wait_until("the standby sees the expired runs", || {
        value(&mut b, reasons).contains(
            "BLOCKER e2e-tests: NO_EVIDENCE: end-to-end tests cannot run on a standby; they passed \
             on the primary at",
        )
    });
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        run(a, &format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1"));
        assert_eq!(sqlstate(a, "SELECT * FROM make_go_no_go_decision()"), "25001");
        run(a, "ROLLBACK");
    }
}
