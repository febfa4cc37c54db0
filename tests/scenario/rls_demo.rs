//! The audit of the demo application. The clean demo has no finding. The reports show each leak of
//! demo/leaks.sql, and each remediation is proved.

use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

/// Rule and object of the finding for each leak of demo/leaks.sql.
const LEAKS: &[(&str, &str)] = &[
    ("rls-off", "table public.crash_reports"),
    ("policy-name-lies", "policy \"Service role full access\" on public.stripe_events"),
    ("planted-rows", "policy \"Users can update own photos\" on public.profile_photos"),
    ("definer-view", "view public.member_directory"),
    ("definer-function", "function public.get_account(uuid)"),
    ("user-metadata", "policy \"Admins can view traffic\" on public.edge_function_calls"),
    ("read-leak", "policy \"Rides are private\" on public.ride_stats_daily"),
    ("partition-without-rls", "table public.ride_points_recent"),
];

const LAST_LINE: &str = "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')";

#[test]
fn the_clean_demo_passes_and_each_leak_is_found() {
    let cluster = Cluster::start("rls_demo", "");
    let mut clean = cluster.create_demo("clean", false);
    the_clean_demo_has_no_finding(&mut clean);
    let mut leaky = cluster.create_demo("leaky", true);
    each_leak_is_found(&mut leaky);
    remediations_are_proved(&mut leaky);
    traces_show_the_access_paths(&mut leaky);
    reports_contain_no_row_data(&mut leaky);
    drift_is_reported_and_acceptances_expire(&mut clean);
    the_remediated_demo_passes(&mut leaky);
}

fn the_clean_demo_has_no_finding(client: &mut Client) {
    let findings = rows(
        client,
        "SELECT severity, finding FROM crewsnow_ops.audit_rls() \
         WHERE severity <> 'INFO' AND accepted_until IS NULL",
    );
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(value(client, LAST_LINE), "ALL CHECKS PASSED");
    let exposed = rows(
        client,
        "SELECT relation, reach, identity, remark FROM crewsnow_ops.rls_matrix() \
         WHERE verdict IN ('LEAK', 'FAILING', 'EXEMPT')",
    );
    assert!(exposed.is_empty(), "{exposed:?}");
    let bad = rows(
        client,
        "SELECT * FROM audit_all_rls_policies() WHERE status NOT IN ('SECURE', 'PUBLIC_READ_OK')",
    );
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(
        rows(
            client,
            "SELECT table_name FROM audit_all_rls_policies() WHERE status = 'PUBLIC_READ_OK'"
        ),
        ["public.stations"]
    );
    let bad = rows(client, "SELECT * FROM generate_rls_checklist() WHERE status <> 'SECURE'");
    assert!(bad.is_empty(), "{bad:?}");
    // Two users of one match share its rows. Those rows are not a leak.
    let verdicts = rows(
        client,
        "SELECT DISTINCT verdict \
         FROM matches AS m, crewsnow_ops.trace_access(m.user1_id, m.user2_id) \
         WHERE m.id = (SELECT min(id::text)::uuid FROM matches WHERE unmatched_at IS NULL)",
    );
    assert_eq!(verdicts, ["SHARED"], "{verdicts:?}");
}

fn each_leak_is_found(client: &mut Client) {
    for (rule, object) in LEAKS {
        let sql = format!(
            "SELECT severity FROM crewsnow_ops.audit_rls() \
             WHERE rule = '{rule}' AND object = '{object}' AND finding = rule || ' ' || object"
        );
        let found = rows(client, &sql);
        assert!(found == ["CRITICAL"] || found == ["HIGH"], "{rule} {object}: {found:?}");
    }
    // Every finding concerns an object of leaks.sql.
    let findings = rows(
        client,
        "SELECT DISTINCT object FROM crewsnow_ops.audit_rls() \
         WHERE severity <> 'INFO' AND accepted_until IS NULL",
    );
    for object in &findings {
        let known = LEAKS.iter().any(|(_, leak)| leak == object)
            || object == "table public.ride_points_old";
        assert!(known, "a false alarm: {object} in {findings:?}");
    }
    assert!(value(client, LAST_LINE).contains("CHECKS FAILED"));
    let vulnerable = rows(
        client,
        "SELECT DISTINCT table_name FROM audit_all_rls_policies() WHERE status = 'VULNERABLE' \
         ORDER BY 1",
    );
    for table in [
        "crash_reports",
        "edge_function_calls",
        "profile_photos",
        "ride_points_recent",
        "ride_stats_daily",
        "stripe_events",
    ] {
        assert!(vulnerable.contains(&format!("public.{table}")), "{table}: {vulnerable:?}");
    }
    let open = rows(
        client,
        "SELECT DISTINCT identity, verdict FROM crewsnow_ops.rls_matrix('ride_stats_daily') \
         WHERE reach = 'read-leak' AND role = 'anon' ORDER BY 1",
    );
    assert_eq!(open, ["anon with the anonymous key|LEAK", "anon without claims|LEAK"]);
}

fn remediations_are_proved(client: &mut Client) {
    let before = rows(client, "SELECT * FROM crewsnow_ops.rls_matrix()");
    let proofs = rows(
        client,
        "SELECT finding, crewsnow_ops.prove_remediation(finding) FROM crewsnow_ops.audit_rls() \
         WHERE remediation IS NOT NULL AND severity <> 'INFO'",
    );
    assert!(proofs.len() >= LEAKS.len(), "{proofs:?}");
    let unproved: Vec<_> =
        proofs.iter().filter(|proof| !proof.contains("|PROVED: closes it")).collect();
    assert!(unproved.is_empty(), "{unproved:#?}");
    let mut after = rows(client, "SELECT * FROM crewsnow_ops.rls_matrix()");
    let mut before = before;
    before.sort();
    after.sort();
    assert_eq!(before.len(), after.len(), "proofs are rolled back");
}

fn traces_show_the_access_paths(client: &mut Client) {
    let victim = value(
        client,
        "SELECT user_id FROM crash_reports JOIN ride_points USING (user_id) GROUP BY 1 \
         ORDER BY 1 LIMIT 1",
    );
    let reader = value(
        client,
        &format!(
            "SELECT id FROM users WHERE id NOT IN (SELECT user_id FROM crash_reports) \
             AND NOT EXISTS (SELECT FROM matches \
                 WHERE id IN (user1_id, user2_id) AND '{victim}' IN (user1_id, user2_id)) \
             ORDER BY id DESC LIMIT 1"
        ),
    );
    let leaking = rows(
        client,
        &format!(
            "SELECT DISTINCT object FROM crewsnow_ops.trace_access('{reader}', '{victim}') \
             WHERE verdict = 'LEAK' ORDER BY 1"
        ),
    );
    for object in [
        "function public.get_account(uuid)",
        "table public.crash_reports",
        "table public.ride_points_recent",
        "view public.member_directory",
    ] {
        assert!(leaking.contains(&object.to_owned()), "{object}: {leaking:?}");
    }
    let proofs = rows(
        client,
        &format!(
            "SELECT object, reach, proof FROM crewsnow_ops.trace_access('{reader}', '{victim}') \
             WHERE verdict = 'LEAK' AND remediation IS NOT NULL AND proof NOT LIKE 'PROVED%'"
        ),
    );
    assert!(proofs.is_empty(), "{proofs:?}");
    let through = rows(
        client,
        "SELECT DISTINCT identity, reaches, through
         FROM crewsnow_ops.trace_row('public.ride_stats_daily',
            (SELECT jsonb_build_object('user_id', user_id, 'ride_date', ride_date)
             FROM ride_stats_daily ORDER BY user_id, ride_date LIMIT 1))
         WHERE reach = 'read-leak' AND role = 'anon' ORDER BY 1",
    );
    assert_eq!(
        through,
        [
            "anon with the anonymous key|YES|{\"Rides are private\"}",
            "anon without claims|YES|{\"Rides are private\"}"
        ]
    );
    // A session of the client role reads the rows.
    run(client, "BEGIN; SET LOCAL ROLE anon");
    assert_ne!(value(client, "SELECT count(*) FROM ride_stats_daily"), "0");
    run(client, "ROLLBACK");
}

/// Reports contain neither ids of users nor values of rows.
fn reports_contain_no_row_data(client: &mut Client) {
    let reports = [
        "SELECT * FROM crewsnow_ops.audit_rls()",
        "SELECT * FROM crewsnow_ops.rls_matrix()",
        "SELECT * FROM audit_all_rls_policies()",
        "SELECT * FROM generate_rls_checklist()",
        "SELECT run_day1_database_security_audit()",
        "SELECT * FROM crewsnow_ops.rls_drift()",
        "SELECT * FROM crewsnow_ops.effective_rls('messages')",
        "SELECT t.* FROM (SELECT id FROM messages ORDER BY id LIMIT 1) AS m, \
         crewsnow_ops.trace_row('messages', jsonb_build_object('id', m.id)) AS t",
    ];
    run(client, "SELECT crewsnow_ops.record_rls_audit()");
    for report in reports {
        let text = rows(client, report).join("\n");
        let ids = uuids(&text);
        assert!(ids.is_empty(), "{report} contains ids: {ids:?}");
        for secret in ["token eyJ", "@example.", "Fatal:"] {
            assert!(!text.contains(secret), "{report} contains {secret}");
        }
    }
    let stored = rows(client, "SELECT condition FROM crewsnow_ops.rls_run_verdicts").join("\n");
    assert!(uuids(&stored).is_empty(), "{:?}", uuids(&stored));
    // A trace contains no other ids than its two arguments.
    let pair = value(client, "SELECT min(id::text) || ' ' || max(id::text) FROM users");
    let (a, b) = pair.split_once(' ').expect("two users");
    let text =
        rows(client, &format!("SELECT * FROM crewsnow_ops.trace_access('{a}', '{b}')")).join("\n");
    let others: Vec<_> = uuids(&text).into_iter().filter(|id| id != a && id != b).collect();
    assert!(others.is_empty(), "{others:?}");
}

fn uuids(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    let words = text.split(|c: char| !is_part(c));
    words
        .filter(|word| word.len() == 36 && word.matches('-').count() == 4)
        .map(str::to_owned)
        .collect()
}

fn drift_is_reported_and_acceptances_expire(client: &mut Client) {
    run(client, "SELECT crewsnow_ops.record_rls_audit()");
    assert!(
        rows(client, "SELECT * FROM crewsnow_ops.rls_drift()").is_empty(),
        "drift without a change"
    );
    run(client, "CREATE POLICY open ON users FOR SELECT TO authenticated USING (true)");
    let drift = rows(client, "SELECT change, object FROM crewsnow_ops.rls_drift()");
    for change in [
        "WIDENED|read-leak on public.users by authenticated",
        "OPENED|read-leak policy \"open\" on public.users",
    ] {
        assert!(drift.contains(&change.to_owned()), "{change}: {drift:?}");
    }
    // An accepted finding does not fail the audit until the acceptance expires.
    assert_ne!(value(client, LAST_LINE), "ALL CHECKS PASSED");
    let accept = "SELECT crewsnow_ops.accept_finding('read-leak policy \"open\" on public.users', \
        'for the test', clock_timestamp() + interval '20 seconds')";
    run(client, accept);
    assert_eq!(value(client, LAST_LINE), "ALL CHECKS PASSED");
    let row = value(
        client,
        "SELECT status || array_to_string(issues, ' ') FROM audit_all_rls_policies() \
         WHERE policy_name = 'open'",
    );
    assert!(row.starts_with("SECURE") && row.contains("accepted until"), "{row}");
    run(client, "SELECT pg_sleep(20.1)");
    assert_ne!(value(client, LAST_LINE), "ALL CHECKS PASSED", "an acceptance expires");
    assert_eq!(
        value(client, "SELECT status FROM audit_all_rls_policies() WHERE policy_name = 'open'"),
        "VULNERABLE"
    );
    run(client, "DROP POLICY open ON users");
    assert!(
        rows(client, "SELECT * FROM crewsnow_ops.rls_drift()").is_empty(),
        "drift after the change was undone"
    );
    assert_eq!(sqlstate(client, accept), "42704", "only a present finding can be accepted");
    // An acceptance covers one finding, not its table.
    run(
        client,
        "CREATE POLICY open ON users FOR SELECT TO authenticated USING (true); \
         CREATE POLICY also ON users FOR SELECT TO authenticated USING (id IS NOT NULL)",
    );
    let accept = "SELECT crewsnow_ops.accept_finding(finding, 'for the test', \
        now() + interval '1 day') FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak'";
    run(client, accept);
    assert_eq!(value(client, LAST_LINE), "ALL CHECKS PASSED");
    run(client, "ALTER POLICY also ON users TO anon; GRANT SELECT ON users TO anon");
    assert_ne!(value(client, LAST_LINE), "ALL CHECKS PASSED", "a changed finding is not accepted");
    run(
        client,
        "DROP POLICY open ON users; DROP POLICY also ON users; REVOKE SELECT ON users FROM anon",
    );
}

/// The proposed remediations leave no finding above LOW, save the one that has none. Users still
/// read their own rows.
fn the_remediated_demo_passes(client: &mut Client) {
    for _ in 0..3 {
        let scripts = rows(
            client,
            "SELECT replace(remediation, E'\\n', ' ') FROM crewsnow_ops.audit_rls() \
             WHERE remediation IS NOT NULL AND severity IN ('CRITICAL', 'HIGH', 'MEDIUM')",
        );
        for script in scripts {
            // Findings may share a remediation, and its second run may fail.
            let _ = client.batch_execute(&script);
        }
    }
    let left = rows(
        client,
        "SELECT finding, detail FROM crewsnow_ops.audit_rls() \
         WHERE severity IN ('CRITICAL', 'HIGH', 'MEDIUM') AND accepted_until IS NULL \
             AND rule <> 'user-metadata'",
    );
    assert!(left.is_empty(), "{left:#?}");
    let user = value(
        client,
        "SELECT user_id FROM crash_reports JOIN ride_points USING (user_id) GROUP BY 1 \
         ORDER BY 1 LIMIT 1",
    );
    run(
        client,
        &format!(
            "SET request.jwt.claims = '{{\"sub\": \"{user}\", \"role\": \"authenticated\"}}'; \
             SET ROLE authenticated"
        ),
    );
    for table in ["crash_reports", "ride_points", "profile_photos"] {
        assert_ne!(
            value(client, &format!("SELECT count(*) FROM {table} WHERE user_id = '{user}'")),
            "0",
            "{table}"
        );
        assert_eq!(
            value(
                client,
                &format!(
                    "SELECT count(*) FROM {table} WHERE user_id <> '{user}' \
                     AND '{table}' <> 'profile_photos'"
                )
            ),
            "0",
            "{table}"
        );
    }
    run(client, "RESET ROLE; RESET request.jwt.claims");
}
