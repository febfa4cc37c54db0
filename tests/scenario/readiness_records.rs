//! Waivers, dump and restore of all records, and refused arguments.

use crate::readiness::{APPROVE, SECOND_ADMIN};
use crate::rls_hostile::supabase;
use harness::{Cluster, must_run, program, rows, run, sqlstate, value};
use postgres::Client;

#[test]
fn a_waiver_of_a_blocker_needs_two_users_and_expires() {
    let cluster = Cluster::start("readiness_waivers", "");
    let mut a = supabase(&cluster, "waivers");
    run(
        &mut a,
        "CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; SELECT crewsnow_ops.grant_access(r, \
         'operator') FROM unnest(ARRAY['ann', 'bob']) AS r",
    );
    // For a SECURITY DEFINER function that would approve in another user's name.
    run(
        &mut a,
        "CREATE SCHEMA ann AUTHORIZATION ann; GRANT USAGE ON SCHEMA ann TO PUBLIC; CREATE \
        ROLE somebody LOGIN",
    );
    let (mut ann, mut bob) =
        (cluster.connect_as("ann", "waivers"), cluster.connect_as("bob", "waivers"));
    let blockers = "SELECT critical_blockers, warnings FROM make_go_no_go_decision()";
    assert_eq!(rows(&mut ann, blockers), ["2|2"]);
    let waive = "SELECT crewsnow_ops.waive_criterion('e2e-tests', 'staging is down', now() + \
        interval '2 hours')";
    let id = value(&mut ann, waive);
    let reason = "SELECT reasons[array_position(ARRAY(SELECT r LIKE '%e2e-tests%' FROM \
        unnest(reasons) AS r), true)] FROM make_go_no_go_decision()";
    assert_eq!(rows(&mut ann, blockers), ["2|2"], "an unapproved waiver does not count");
    assert!(value(&mut ann, reason).contains(
        "BLOCKER e2e-tests: NO_EVIDENCE: no test is registered (waiver not approved, requested by \
         ann: staging is down)"
    ));
    let approve = format!("SELECT crewsnow_ops.approve_waiver('{id}')");
    let actions = "SELECT array_to_string(next_actions, E'\\n') FROM make_go_no_go_decision()";
    assert!(
        value(&mut ann, actions)
            .contains(&format!("{approve}; -- e2e-tests: by a user other than ann"))
    );
    assert_eq!(sqlstate(&mut ann, &approve), "42501");
    run(
        &mut ann,
        &format!(
            "CREATE FUNCTION ann.harmless() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ \
            {approve} $$"
        ),
    );
    assert_eq!(
        sqlstate(&mut cluster.connect_as("somebody", "waivers"), "SELECT ann.harmless()"),
        "42501"
    );
    assert_eq!(sqlstate(&mut bob, "SELECT ann.harmless()"), "42501");
    run(&mut bob, &approve);
    assert_eq!(sqlstate(&mut bob, &approve), "42704", "a waiver is approved once");
    assert_eq!(rows(&mut ann, blockers), ["1|3"]);
    assert!(
        value(&mut ann, reason)
            .starts_with("WAIVED e2e-tests: NO_EVIDENCE: no test is registered (waiver until 20")
    );
    assert!(
        value(&mut ann, reason).ends_with("Z, requested by ann, approved by bob: staging is down)")
    );
    let shown = "SELECT waiver FROM crewsnow_ops.explain_decision() WHERE criterion = 'e2e-tests'";
    assert!(value(&mut bob, shown).contains("approved by bob"));
    let until = "SELECT valid_until < now() + interval '2 hours' FROM crewsnow_ops.decisions ORDER \
        BY decided_at DESC LIMIT 1";
    assert_eq!(value(&mut ann, until), "t", "the decision ends with the waiver");
    // A waived blocker rules out GO, even at 100 points.
    run(
        &mut a,
        "UPDATE crewsnow_ops.criteria SET weight = CASE name WHEN 'e2e-tests' THEN 0 ELSE 100 END, \
         is_enabled = name IN ('e2e-tests', 'monitoring'), measures = CASE name WHEN 'monitoring' \
         THEN '{evidence}' ELSE measures END WHERE gate = 'go_no_go'",
    );
    run(&mut a, SECOND_ADMIN);
    run(&mut a, APPROVE);
    run(&mut a, "SELECT crewsnow_ops.record_evidence('monitoring', true)");
    assert_eq!(
        rows(&mut ann, "SELECT decision, readiness_score FROM make_go_no_go_decision()"),
        ["GO_WITH_CAUTION|100"]
    );
    run(&mut a, "UPDATE crewsnow_ops.waivers SET expires_at = now()");
    assert_eq!(
        rows(&mut ann, "SELECT decision, critical_blockers FROM make_go_no_go_decision()"),
        ["NO_GO|1"],
        "the waiver has expired"
    );
    assert!(value(&mut ann, reason).contains("(waiver expired at 20"));
    // A criterion that does not block needs no approval. Any operator may revoke the waiver.
    run(
        &mut a,
        "UPDATE crewsnow_ops.criteria SET is_blocker = false, weight = CASE name WHEN 'e2e-tests' \
         THEN 100 ELSE 0 END WHERE gate = 'go_no_go'; UPDATE crewsnow_ops.criteria SET is_blocker \
         = true WHERE name = 'monitoring'",
    );
    run(&mut a, APPROVE);
    let id = value(&mut ann, waive);
    assert!(value(&mut ann, reason).starts_with("WAIVED e2e-tests"));
    run(&mut bob, &format!("SELECT crewsnow_ops.revoke_waiver('{id}')"));
    assert!(
        value(&mut ann, reason)
            .starts_with("WARNING e2e-tests: NO_EVIDENCE: no test is registered")
    );
    assert_eq!(
        rows(&mut a, &format!("SELECT revoked_by FROM crewsnow_ops.waivers WHERE id = '{id}'")),
        ["bob"]
    );
    // A waiver of a release counts for that release only.
    run(
        &mut ann,
        "SELECT crewsnow_ops.waive_criterion('e2e-tests', 'only this one', now() + \
        interval '1 day', 'v1')",
    );
    let reasons_of = |release: &str| {
        format!(
            "SELECT array_to_string(reasons, ' ') FROM crewsnow_ops.decide('go_no_go', '{release}')"
        )
    };
    assert!(
        value(&mut ann, &reasons_of("v1")).contains("WAIVED e2e-tests")
            && !value(&mut ann, &reasons_of("v2")).contains("WAIVED")
    );
}

#[test]
fn a_dump_restores_changes_records_and_decisions() {
    let cluster = Cluster::start("readiness_dump", "");
    let mut a = supabase(&cluster, "original");
    run(
        &mut a,
        "CREATE FUNCTION public.passes() RETURNS void LANGUAGE sql AS 'SELECT 1';
         CREATE ROLE keeper LOGIN; SELECT crewsnow_ops.grant_access('keeper', 'admin');
         UPDATE crewsnow_ops.criteria SET weight = 15 WHERE name = 'monitoring';
         UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = 'flags-as-planned';
         INSERT INTO crewsnow_ops.criteria (name, category, weight, is_blocker) VALUES ('it''s \
         \"signed\" \\ off', 'people', 5, false);
         UPDATE crewsnow_ops.launch_plan SET rollout_steps = '{10,20}' WHERE flag_key = \
         'tracker_pro';
         INSERT INTO crewsnow_ops.launch_plan VALUES ('our_flag', true, NULL);
         INSERT INTO crewsnow_ops.checklist_items (checklist, item, position, task) VALUES \
         ('post-incident', 'invoices', 13, 'x'), ('ours', 'a', 1, 'y');
         SELECT crewsnow_ops.register_e2e_test('t', 'public.passes()', p_claims => '{\"sub\": \
         \"x\"}');
         SELECT crewsnow_ops.record_evidence('restore-test', true, '{\"a\": [1]}', '1 day', 'v1');
         SELECT crewsnow_ops.waive_criterion('payments', 'why', now() + interval '1 day');
         SELECT crewsnow_ops.freeze_releases('why', now(), now() + interval '1 day');
         SELECT decision FROM make_launch_decision()",
    );
    let tables = [
        "criteria",
        "launch_plan",
        "checklist_items",
        "e2e_tests",
        "evidence",
        "waivers",
        "freezes",
        "decisions",
    ];
    let all = |client: &mut Client| -> Vec<Vec<String>> {
        tables
            .iter()
            .map(|table| {
                rows(client, &format!("SELECT t::text FROM crewsnow_ops.{table} AS t ORDER BY 1"))
            })
            .collect()
    };
    let mut expected = all(&mut a);
    assert!(expected.iter().all(|rows| !rows.is_empty()), "{expected:?}");
    let decide = "SELECT decision, reasons FROM make_launch_decision()";
    let decided = rows(&mut a, "SELECT decision, reasons FROM crewsnow_ops.decisions");
    let mut from = "original".to_owned();
    // The copy is dumped and restored again.
    for copy in ["copy", "copy_of_copy"] {
        let file = cluster.scratch().join(format!("{copy}.dump"));
        must_run(cluster.client_program(program("pg_dump"), &from).args(["-Fc", "-f"]).arg(&file));
        cluster.create_empty_database(copy);
        let mut restore = cluster.client_program(program("pg_restore"), copy);
        must_run(restore.args(["--exit-on-error", "-j", "2", "-d", copy]).arg(&file));
        let mut restored = cluster.connect(copy);
        assert_eq!(all(&mut restored), expected, "{copy}");
        assert_eq!(rows(&mut restored, decide), decided, "{copy} decides the same");
        let delete = "DELETE FROM crewsnow_ops.criteria WHERE name = 'monitoring'";
        assert_eq!(sqlstate(&mut restored, delete), "0A000");
        run(&mut restored, "DELETE FROM crewsnow_ops.launch_plan WHERE flag_key = 'our_flag'");
        expected = all(&mut restored);
        from = copy.to_owned();
    }
}

#[test]
fn invalid_arguments_fail_and_change_nothing() {
    let cluster = Cluster::start("readiness_input", "");
    let mut a = supabase(&cluster, "input");
    run(
        &mut a,
        "CREATE FUNCTION public.with_argument(integer) RETURNS void LANGUAGE sql AS 'SELECT 1'; \
         CREATE FUNCTION public.number() RETURNS integer LANGUAGE sql AS 'SELECT 1'; CREATE \
         PROCEDURE public.procedure() LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION public.fine() \
         RETURNS void LANGUAGE sql AS 'SELECT 1'",
    );
    let id = "gen_random_uuid()";
    let before = "SELECT (SELECT count(*) FROM crewsnow_ops.evidence), (SELECT count(*) FROM \
        crewsnow_ops.waivers), (SELECT count(*) FROM crewsnow_ops.freezes), (SELECT count(*) FROM \
        crewsnow_ops.e2e_tests)";
    for (call, code) in [
        ("record_evidence(NULL, true)", "22004"),
        ("record_evidence('monitoring', NULL)", "22004"),
        ("record_evidence('monitoring', true, NULL)", "22004"),
        ("record_evidence('monitorin', true)", "42704"),
        ("record_evidence('monitoring', true, '[]')", "22023"),
        ("record_evidence('monitoring', true, '1')", "22023"),
        (
            "record_evidence('monitoring', true, jsonb_build_object('a', repeat('x', 300000)))",
            "22023",
        ),
        ("record_evidence('monitoring', true, '{}', '5 hours')", "22023"),
        ("record_evidence('monitoring', true, '{}', '0')", "22023"),
        ("record_evidence('monitoring', true, '{}', '-1 hour')", "22023"),
        ("record_evidence('monitoring', true, '{}', NULL, '')", "22023"),
        ("record_evidence('monitoring', true, '{}', NULL, repeat('v', 201))", "22023"),
        ("waive_criterion('monitoring', NULL, now() + interval '1 day')", "22004"),
        ("waive_criterion('monitoring', ' ', now() + interval '1 day')", "22023"),
        ("waive_criterion('monitoring', 'x', now())", "22023"),
        ("waive_criterion('monitoring', 'x', now() + interval '31 days')", "22023"),
        ("waive_criterion('monitoring', 'x', 'infinity')", "22023"),
        ("waive_criterion('nothing of the kind', 'x', now() + interval '1 day')", "42704"),
        ("freeze_releases('x', now() + interval '2 days', now() + interval '1 day')", "22023"),
        ("freeze_releases('x', '-infinity', now() + interval '1 day')", "22023"),
        ("freeze_releases('x', now(), 'infinity')", "22023"),
        ("freeze_releases('x', now() - interval '2 days', now() - interval '1 day')", "22023"),
        ("freeze_releases('', now(), now() + interval '1 day')", "22023"),
        ("register_e2e_test(NULL, 'public.fine()')", "22004"),
        ("register_e2e_test(' ', 'public.fine()')", "22004"),
        ("register_e2e_test('x', NULL)", "22004"),
        ("register_e2e_test('x', 'public.no_such()')", "42883"),
        ("register_e2e_test('x', 0)", "42809"),
        ("register_e2e_test('x', 'public.with_argument(integer)')", "42809"),
        ("register_e2e_test('x', 'public.number()')", "42809"),
        ("register_e2e_test('x', 'public.procedure()')", "42809"),
        ("register_e2e_test('x', 'public.fine()', 'nobody')", "42704"),
        ("register_e2e_test('x', 'public.fine()', p_claims => '[]')", "22023"),
        ("register_e2e_test('x', 'public.fine()', p_criterion => 'e2e')", "42704"),
        ("register_e2e_test('x', 'public.fine()', p_criterion => 'monitoring')", "22023"),
        ("register_e2e_test('x', 'public.fine()', p_time_limit => '0')", "22023"),
        ("register_e2e_test('x', 'public.fine()', p_time_limit => '11 minutes')", "22023"),
        ("remove_e2e_test('x')", "42704"),
        ("run_e2e_tests('x')", "42704"),
        ("decide(NULL)", "22004"),
        ("decide('deploy')", "22023"),
        ("decide('go_no_go', '')", "22023"),
        ("require_go('', 'go_no_go')", "22023"),
        ("require_go(NULL, NULL)", "22004"),
        ("explain_decision()", "42704"),
        ("checklist('post-incidents')", "42704"),
        ("checklist('')", "42704"),
    ] {
        let error = a.batch_execute(&format!("SELECT crewsnow_ops.{call}")).expect_err(call);
        let error = error.as_db_error().expect("an error of the server");
        assert_eq!(error.code().code(), code, "{call}: {error:?}");
        if code != "42883" {
            assert!(error.hint().is_some(), "{call}: {error:?}");
        }
    }
    for function in ["approve_waiver", "revoke_waiver", "end_freeze", "explain_decision"] {
        assert_eq!(
            sqlstate(&mut a, &format!("SELECT crewsnow_ops.{function}({id})")),
            "42704",
            "{function}"
        );
    }
    assert_eq!(rows(&mut a, before), ["0|0|0|0"], "nothing was changed");
    // Without any setup, a decision still answers.
    let decision = rows(
        &mut a,
        "SELECT decision, critical_blockers, warnings, readiness_score FROM \
            make_go_no_go_decision()",
    );
    assert_eq!(decision, ["NO_GO|2|2|0"]);
    let lists = "SELECT checklist, count(*), count(DISTINCT phase) FROM crewsnow_ops.checklist() \
        GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&mut a, lists), ["feature-flag-review|5|1", "post-incident|12|3"]);
    for command in
        rows(&mut a, "SELECT command FROM crewsnow_ops.checklist() WHERE command IS NOT NULL")
    {
        run(&mut a, &command);
    }
}
