//! End-to-end tests that misbehave, or that exceed the privileges of their authors.

use crate::readiness::{APPROVE, SECOND_ADMIN, with};
use crate::rls_hostile::supabase;
use harness::{Cluster, explain, rows, run, sqlstate, value};
use postgres::Client;
use std::time::{Duration, Instant};

#[test]
fn misbehaving_tests_fail_clearly_and_leave_nothing_behind() {
    let cluster = Cluster::start("readiness_tests", "");
    let mut a = supabase(&cluster, "tests");
    run(&mut a, include_str!("readiness.sql"));
    let names = rows(
        &mut a,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'trial'::regnamespace ORDER BY 1",
    );
    for name in &names {
        let sql = format!(
            "SELECT crewsnow_ops.register_e2e_test('{name}', 'trial.{name}()', \
                p_time_limit => '300 ms')"
        );
        run(&mut a, &sql);
    }
    run(
        &mut a,
        "DROP FUNCTION trial.is_dropped(); ALTER FUNCTION trial.is_anothers() OWNER TO anon",
    );
    let expected = [
        ("asks_the_temporary_table", "42P01: relation \"receipts\" does not exist"),
        ("bails_out", "Bail out!  no database"),
        ("commits", "2D000: invalid transaction termination"),
        ("commits_by_plan", "2D000: a test cannot begin or end transactions"),
        (
            "defers",
            "23503: insert or update on table \"things\" violates foreign key constraint \
             \"things_parent_fkey\"",
        ),
        ("drops_itself", "P0001: dropped"),
        ("escapes", "42501: cannot set parameter \"role\" within security-definer function"),
        ("escapes_by_plan", "OK"),
        ("falls_short", "it planned 3 tests, but ran 2"),
        ("hangs", "it was stopped at its time limit of 300 ms"),
        ("hangs_on", "it was stopped at its time limit of 300 ms"),
        ("has_a_remark_alone", "it has no statement"),
        ("has_no_statement", "it has no statement"),
        ("has_two_statements", "it has 2 statements: each must be a step of its own"),
        ("is_anothers", "\"anon\" is not a member of role \"authenticated\""),
        ("is_dropped", "function trial.is_dropped() no longer exists"),
        ("no_lines", "it returned no line that says ok"),
        ("no_rows", "it returned no row instead of true"),
        ("no_steps", "its plan has no step"),
        ("passes", "OK"),
        ("prepares", "42501: cannot execute PREPARE within security-restricted operation"),
        ("raises", "CS001: no match was made"),
        ("raises_cancel", "57014: stopped"),
        ("says_no", "it returned false"),
        ("says_not_ok", "not ok 2 - b"),
        ("says_nothing", "it returned NULL instead of true"),
        ("shouts", "P0001: xx…"),
        ("stops_half_way", "it returned false"),
        ("taps", "OK"),
    ];
    assert_eq!(names.len(), expected.len());
    let began = Instant::now();
    let results = rows(
        &mut a,
        "SELECT test || ': ' || coalesce(error, 'OK') FROM crewsnow_ops.run_e2e_tests()",
    );
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let results: Vec<String> =
        results.into_iter().map(|result| result.replace(&"x".repeat(993), "xx")).collect();
    let expected_results: Vec<String> =
        expected.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    assert_eq!(results, expected_results);
    let steps = "SELECT failed_step, (SELECT string_agg(s ->> 'step', ',') FROM \
        jsonb_array_elements(steps) AS s) FROM crewsnow_ops.run_e2e_tests('stops_half_way')";
    assert_eq!(rows(&mut a, steps), ["see nothing|its plan,begin,see it,see nothing"]);
    assert_eq!(value(&mut a, "SELECT count(*) FROM trial.things"), "0");
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'left_behind'"),
        "0"
    );
    assert_eq!(value(&mut a, "SELECT to_regproc('trial.drops_itself') IS NOT NULL"), "t");
    assert_eq!(
        value(&mut a, "SELECT current_user || session_user || current_setting('role')"),
        "postgrespostgresnone"
    );
    // A decision survives each of them.
    run(&mut a, SECOND_ADMIN);
    for (name, error) in expected {
        let alone = "UPDATE crewsnow_ops.criteria SET is_enabled = name IN ('e2e-tests', \
            'monitoring'), weight = CASE name WHEN 'e2e-tests' THEN 80 ELSE 20 END WHERE gate = \
            'go_no_go'";
        let decision = with(
            &mut a,
            &format!(
                "{alone}; {APPROVE}; DELETE FROM crewsnow_ops.e2e_tests WHERE name <> '{name}'"
            ),
            |a| {
                value(
                    a,
                    "SELECT concat_ws(' ', decision, reasons[1]) FROM make_go_no_go_decision()",
                )
            },
        );
        match error {
            "OK" => assert!(
                decision.starts_with("GO_WITH_CAUTION WARNING monitoring"),
                "{name}: {decision}"
            ),
            "P0001: xx…" => assert!(decision.len() < 1_200, "{}", decision.len()),
            error => assert!(
                decision.starts_with("NO_GO BLOCKER e2e-tests: FAILED: 1 of 1 test failed: ")
                    && decision.ends_with(&error.replace('"', "'")),
                "{name}: {decision}"
            ),
        }
    }
    registration_grants_no_privileges(&cluster, &mut a);
    a_statement_timeout_stops_the_decision(&cluster);
}

fn registration_grants_no_privileges(cluster: &Cluster, a: &mut Client) {
    run(
        a,
        "CREATE ROLE lead LOGIN; SELECT crewsnow_ops.grant_access('lead', 'admin'); GRANT \
         authenticated TO lead;
         CREATE SCHEMA lead AUTHORIZATION lead; GRANT USAGE ON SCHEMA lead TO authenticated, \
         service_role; DELETE FROM crewsnow_ops.e2e_tests",
    );
    let mut lead = cluster.connect_as("lead", "tests");
    run(
        &mut lead,
        "CREATE FUNCTION lead.plan() RETURNS TABLE (step text, role text, statement text) LANGUAGE \
         sql AS $$ VALUES ('x', 'postgres', 'CREATE TABLE public.taken ()') $$",
    );
    assert_eq!(
        sqlstate(
            &mut lead,
            "SELECT crewsnow_ops.register_e2e_test('x', 'lead.plan()', 'postgres')"
        ),
        "42501"
    );
    assert_eq!(
        sqlstate(
            &mut lead,
            "SELECT crewsnow_ops.register_e2e_test('x', 'lead.plan()', 'service_role')"
        ),
        "42501"
    );
    run(&mut lead, "SELECT crewsnow_ops.register_e2e_test('x', 'lead.plan()')");
    let error = "SELECT error FROM crewsnow_ops.run_e2e_tests()";
    assert_eq!(value(a, error), "\"lead\" is not a member of role \"postgres\"");
    // The owner of a function gains nothing when another user registers it.
    run(a, "SELECT crewsnow_ops.remove_e2e_test('x')");
    let registered = a
        .batch_execute("SELECT crewsnow_ops.register_e2e_test('x', 'lead.plan()', 'service_role')");
    assert!(
        explain(&registered.expect_err("the owner is not a member"))
            .contains("\"lead\" is not a member of role \"service_role\"")
    );
    run(a, "SELECT crewsnow_ops.register_e2e_test('x', 'lead.plan()')");
    assert_eq!(value(a, error), "\"lead\" is not a member of role \"postgres\"");
    run(a, "REVOKE authenticated FROM lead");
    assert_eq!(value(a, error), "\"lead\" is not a member of role \"authenticated\"");
}

fn a_statement_timeout_stops_the_decision(cluster: &Cluster) {
    let mut a = cluster.connect("tests");
    run(
        &mut a,
        "DELETE FROM crewsnow_ops.e2e_tests; SELECT crewsnow_ops.register_e2e_test('hangs', \
         'trial.hangs()', p_time_limit => '10 minutes')",
    );
    run(&mut a, "SET statement_timeout = '500ms'");
    let began = Instant::now();
    assert_eq!(sqlstate(&mut a, "SELECT * FROM make_go_no_go_decision()"), "57014");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
