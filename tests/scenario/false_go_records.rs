//! States in which GO would be false because of records: altered criteria, answers to evidence
//! against, waivers, and a clock that ran backwards.

use crate::false_go::{DECIDE, REASONS, healthy, is_refused, told};
use crate::readiness::with;
use harness::{explain, rows, run, sqlstate, value};

#[test]
fn a_blocker_that_one_admin_weakened_blocks_until_another_approves() {
    let (cluster, mut a) = healthy("false_go_criteria", "");
    let (mut ida, mut jon) = (cluster.connect_as("ida", "app"), cluster.connect_as("jon", "app"));
    for (change, told) in [
        ("is_enabled = false", "is switched off"),
        ("is_blocker = false", "no longer blocks"),
        ("gate = 'launch'", "applies to launches only"),
        ("measures = '{evidence}'", "no longer measures rls"),
        ("fresh_for = '90 days'", "accepts evidence for 90 days instead of 4 h"),
    ] {
        let weaken = format!(
            "UPDATE crewsnow_ops.criteria SET {change} WHERE name = 'no-rls-leak'; UPDATE \
             crewsnow_ops.criteria SET weight = CASE name WHEN 'e2e-tests' THEN 55 ELSE weight END \
             WHERE {} AND name = 'e2e-tests'; SELECT crewsnow_ops.record_evidence('no-rls-leak', \
             true)",
            ["is_enabled = false", "gate = 'launch'"].contains(&change)
        );
        is_refused(&mut a, &weaken, &format!("BLOCKER no-rls-leak: ALTERED: {told}"));
    }
    // The admin who changed it cannot approve it; another one can, and it stays told.
    run(
        &mut ida,
        "UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = 'no-rls-leak'; UPDATE \
         crewsnow_ops.criteria SET weight = 55 WHERE name = 'e2e-tests'",
    );
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    let approve = "SELECT crewsnow_ops.approve_criterion('no-rls-leak')";
    let action = "SELECT next_actions[1] FROM make_go_no_go_decision()";
    assert_eq!(
        value(&mut a, action),
        format!("{approve}; -- no-rls-leak: by an admin other than ida")
    );
    assert_eq!(sqlstate(&mut ida, approve), "42501");
    let forged = "UPDATE crewsnow_ops.criteria SET approved_by = 'jon', original = NULL, \
        changed_by_users = '{}' WHERE name = 'no-rls-leak'";
    run(&mut ida, forged);
    assert_eq!(value(&mut a, DECIDE), "NO_GO", "an UPDATE sets no approval");
    run(&mut jon, approve);
    run(&mut jon, "SELECT crewsnow_ops.approve_criterion('e2e-tests')");
    let reasons = value(&mut a, REASONS);
    assert!(
        reasons.contains("NOTE no-rls-leak: ALTERED: is switched off: by ida at ")
            && reasons.contains("approved by jon")
            && reasons.contains("NOTE e2e-tests: ALTERED: weighs 55 instead of 25 points"),
        "{reasons}"
    );
    assert_eq!(value(&mut a, DECIDE), "GO");
    // A change after the approval needs another one, and the original state needs none.
    run(&mut ida, "UPDATE crewsnow_ops.criteria SET weight = 1 WHERE name = 'no-rls-leak'");
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    run(
        &mut ida,
        "UPDATE crewsnow_ops.criteria SET is_enabled = true, weight = 30 WHERE name = \
         'no-rls-leak'; UPDATE crewsnow_ops.criteria SET weight = 25 WHERE name = 'e2e-tests'",
    );
    assert_eq!(rows(&mut a, REASONS), [""]);
    assert_eq!(sqlstate(&mut jon, approve), "55000");
}

#[test]
fn other_weights_are_told_until_another_admin_approves() {
    let (cluster, mut a) = healthy("false_go_weights", "");
    let (mut ida, mut jon) = (cluster.connect_as("ida", "app"), cluster.connect_as("jon", "app"));
    run(
        &mut ida,
        "UPDATE crewsnow_ops.criteria SET weight = CASE name WHEN 'payments' THEN 0 ELSE 50 END \
         WHERE name IN ('payments', 'e2e-tests')",
    );
    let decision = "SELECT decision, warnings FROM make_go_no_go_decision()";
    assert_eq!(rows(&mut a, decision), ["GO|2"]);
    let reasons = value(&mut a, REASONS);
    assert!(
        reasons.contains("WARNING payments: ALTERED: weighs 0 instead of 25 points: by ida at "),
        "{reasons}"
    );
    run(&mut jon, "SELECT crewsnow_ops.approve_criterion('payments')");
    run(&mut jon, "SELECT crewsnow_ops.approve_criterion('e2e-tests')");
    assert_eq!(rows(&mut a, decision), ["GO|0"]);
    // A blocker of the team's own is not removed by one admin either.
    run(&mut ida, "INSERT INTO crewsnow_ops.criteria (name, category) VALUES ('pentest', 'x')");
    let delete = "DELETE FROM crewsnow_ops.criteria WHERE name = 'pentest'";
    assert_eq!(sqlstate(&mut ida, delete), "0A000");
    run(&mut ida, "UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = 'pentest'");
    assert_eq!(sqlstate(&mut ida, delete), "0A000");
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    run(&mut jon, "SELECT crewsnow_ops.approve_criterion('pentest')");
    assert_eq!(value(&mut a, DECIDE), "GO");
    run(&mut ida, delete);
    assert_eq!(rows(&mut a, decision), ["GO|0"]);
}

#[test]
fn one_user_does_not_answer_the_objection_of_another() {
    let (cluster, mut a) = healthy("false_go_objection", "");
    let (mut ann, mut bob) = (cluster.connect_as("ann", "app"), cluster.connect_as("bob", "app"));
    let passed = "SELECT crewsnow_ops.record_evidence('no-rls-leak', true)";
    let objection = "SELECT crewsnow_ops.record_evidence('no-rls-leak', false, \
        '{\"found\": \"parcels of others\"}')";
    run(&mut bob, objection);
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    run(&mut ann, passed);
    run(&mut ann, passed);
    let reasons = value(&mut a, REASONS);
    assert!(
        reasons.contains("bob recorded a failure at ")
            && reasons.contains("ann alone says passed: an answer takes its author or two users"),
        "{reasons}"
    );
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    // A function of ann's does not answer in the name of bob, who runs it.
    run(&mut a, "CREATE SCHEMA of_ann AUTHORIZATION ann; GRANT USAGE ON SCHEMA of_ann TO bob");
    run(
        &mut ann,
        &format!("CREATE FUNCTION of_ann.greet() RETURNS uuid LANGUAGE sql AS $$ {passed} $$"),
    );
    run(&mut bob, "SELECT of_ann.greet()");
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    run(&mut bob, passed);
    assert_eq!(value(&mut a, DECIDE), "GO", "its author answers it");
    // Two users answer it without its author.
    run(&mut bob, objection);
    run(&mut ann, passed);
    assert_eq!(value(&mut a, DECIDE), "NO_GO");
    run(&mut a, passed);
    assert_eq!(value(&mut a, DECIDE), "GO");
}

#[test]
fn a_waiver_is_requested_and_approved_by_typed_statements_only() {
    let (cluster, mut a) = healthy("false_go_four_eyes", "");
    let (mut ann, mut bob) = (cluster.connect_as("ann", "app"), cluster.connect_as("bob", "app"));
    run(&mut a, "CREATE SCHEMA of_ann AUTHORIZATION ann; GRANT USAGE ON SCHEMA of_ann TO bob");
    let waive = "SELECT crewsnow_ops.waive_criterion('no-rls-leak', 'trust me', now() + interval \
        '20 days')";
    let id = value(&mut ann, waive);
    let approve = format!("crewsnow_ops.approve_waiver('{id}')");
    run(
        &mut ann,
        &format!(
            "CREATE FUNCTION of_ann.in_sql() RETURNS void LANGUAGE sql AS $$ SELECT {approve} $$;
             CREATE FUNCTION of_ann.in_plpgsql() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM
                 {approve}; RETURN 1; END $$;
             CREATE FUNCTION of_ann.in_a_cursor() RETURNS int LANGUAGE plpgsql AS $$ DECLARE r
                 record; BEGIN FOR r IN SELECT {approve} LOOP NULL; END LOOP; RETURN 1; END $$;
             CREATE FUNCTION of_ann.in_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM {approve}; RETURN NEW; END $$;
             CREATE FUNCTION of_ann.as_requester() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM crewsnow_ops.waive_criterion('e2e-tests', 'x', now() + interval '1 day');
                 RETURN NEW; END $$;
             CREATE VIEW of_ann.in_view AS SELECT {approve} IS NULL AS x;
             CREATE TABLE of_ann.notes (note text);
             CREATE TRIGGER t AFTER INSERT ON of_ann.notes FOR EACH ROW EXECUTE FUNCTION
                 of_ann.in_trigger();
             CREATE TABLE of_ann.wishes (note text);
             CREATE TRIGGER t AFTER INSERT ON of_ann.wishes FOR EACH ROW EXECUTE FUNCTION
                 of_ann.as_requester();
             CREATE TABLE of_ann.ruled (note text);
             CREATE RULE r AS ON INSERT TO of_ann.ruled DO ALSO SELECT {approve};
             CREATE TABLE of_ann.defaulted (note text, x boolean DEFAULT ({approve} IS NULL));
             GRANT ALL ON ALL TABLES IN SCHEMA of_ann TO bob"
        ),
    );
    for statement in [
        "SELECT of_ann.in_sql()".to_owned(),
        "SELECT of_ann.in_plpgsql()".to_owned(),
        "SELECT of_ann.in_a_cursor()".to_owned(),
        "SELECT * FROM of_ann.in_view".to_owned(),
        "SELECT x IS NULL AS done FROM of_ann.in_view".to_owned(),
        "INSERT INTO of_ann.notes VALUES ('shift over')".to_owned(),
        "INSERT INTO of_ann.wishes VALUES ('shift over')".to_owned(),
        "INSERT INTO of_ann.ruled VALUES ('shift over')".to_owned(),
        "INSERT INTO of_ann.defaulted VALUES ('shift over')".to_owned(),
        "DO $$ BEGIN PERFORM of_ann.in_sql(); END $$".to_owned(),
        format!("PREPARE handover AS SELECT {approve}; EXECUTE handover"),
        format!("SELECT * FROM (SELECT {approve}) AS x"),
        format!("SELECT {approve}, of_ann.in_sql()"),
        format!("EXPLAIN ANALYZE SELECT {approve}"),
    ] {
        let refusal = bob.batch_execute(&statement).expect_err(&statement);
        if !statement.contains("of_ann.wishes") {
            let hint = refusal.as_db_error().and_then(|error| error.hint());
            assert_eq!(hint, Some(&*format!("SELECT {approve};")), "{statement}");
        }
        let refusal = explain(&refusal);
        assert!(refusal.starts_with("42501 cannot "), "{statement}: {refusal}");
        assert!(refusal.contains("typed"), "{statement}: {refusal}");
    }
    let waivers = "SELECT count(*), count(approved_by) FROM crewsnow_ops.waivers";
    assert_eq!(rows(&mut a, waivers), ["1|0"]);
    let fault = "CREATE POLICY open ON parcels TO authenticated USING (true)";
    assert_eq!(with(&mut a, fault, |a| value(a, DECIDE)), "NO_GO");
    // Each way to type it works: as text, with a parameter, in FROM, among other statements.
    for typed in [
        format!("SELECT {approve}"),
        format!("/* x */ SELECT {approve} IS NULL AS done"),
        format!("SELECT * FROM {approve}"),
        format!("SELECT 1; SELECT {approve}; SELECT 2"),
        "SELECT crewsnow_ops.approve_waiver(id) FROM crewsnow_ops.waivers ORDER BY id LIMIT 1"
            .to_owned(),
    ] {
        run(&mut bob, &format!("BEGIN; {typed}; ROLLBACK"));
    }
    let prepared = bob
        .prepare("SELECT crewsnow_ops.approve_waiver($1::text::uuid)")
        .expect("a statement of the protocol");
    bob.execute(&prepared, &[&id]).expect("bob approves");
    assert_eq!(rows(&mut a, waivers), ["1|1"]);
    assert_eq!(with(&mut a, fault, |a| value(a, DECIDE)), "GO_WITH_CAUTION");
    run(&mut ann, &format!("CREATE TABLE of_ann.mine AS {waive} AS id"));
    assert_eq!(rows(&mut a, waivers), ["2|1"], "a table of one's own keeps the id");
}

#[test]
fn records_of_the_future_support_nothing_and_a_step_of_the_clock_is_told() {
    let (_cluster, mut a) = healthy("false_go_clock", "");
    let ahead = "UPDATE crewsnow_ops.evidence SET recorded_at = recorded_at + interval '40 days', \
        valid_until = valid_until + interval '40 days' WHERE criterion = 'monitoring'";
    is_refused(
        &mut a,
        ahead,
        "WARNING monitoring: NO_EVIDENCE: evaluation of alert rules: needs recorded evidence",
    );
    // Evidence against, recorded after a pass of the future, is newer all the same.
    is_refused(
        &mut a,
        &format!("{ahead}; SELECT crewsnow_ops.record_evidence('monitoring', false)"),
        "WARNING monitoring: FAILED: postgres recorded a failure at ",
    );
    // Evidence against of the future counts, until its author answers it.
    let objection = "SELECT crewsnow_ops.record_evidence('monitoring', false); UPDATE \
        crewsnow_ops.evidence SET recorded_at = recorded_at + interval '40 days' WHERE NOT passed";
    is_refused(&mut a, objection, "WARNING monitoring: FAILED: postgres recorded a failure at ");
    let answered = format!("{objection}; SELECT crewsnow_ops.record_evidence('monitoring', true)");
    assert_eq!(with(&mut a, &answered, |a| value(a, DECIDE)), "GO");
    // The first record after the step ends the warning about it.
    let step = "INSERT INTO crewsnow_ops.decisions (id, gate, decision, is_go, readiness_score, \
        blockers, warnings, reasons, next_actions, inputs, decided_at, decided_by, valid_until) \
        SELECT gen_random_uuid(), gate, decision, is_go, readiness_score, blockers, warnings, \
        reasons, next_actions, inputs, decided_at + interval '41 days', decided_by, valid_until \
        FROM crewsnow_ops.decisions LIMIT 1";
    told(
        &mut a,
        step,
        "WARNING current-data: MET, but the clock stepped back: the latest record (decision) is \
         40 days in the future",
    );
    with(&mut a, step, |a| {
        value(a, DECIDE);
        assert_eq!(rows(a, REASONS), [""]);
        let latest = "SELECT count(*) FROM crewsnow_ops.explain_decision() WHERE status = 'MET'";
        assert_eq!(value(a, latest), "7", "the latest decision is the last one made");
    });
}
