//! `explain_denial` names the cause of a denial. Real sessions confirm each: the statement is
//! refused or touches no row, and works once the named cause is removed.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, value};
use postgres::Client;

/// The statement as the user of a case runs it, then rolled back: `refused`, or how many rows.
fn outcome(client: &mut Client, who: &str, statement: &str) -> String {
    let (role, claims) = match who {
        "" => ("anon", r#"{"role": "anon"}"#.to_owned()),
        who => (
            "authenticated",
            format!(
                r#"{{"sub": "{who}", "role": "authenticated", "aal": "aal1",
                "app_metadata": {{}}, "user_metadata": {{}}}}"#
            ),
        ),
    };
    run(client, &format!("SET LOCAL request.jwt.claims = '{claims}'; SET LOCAL ROLE {role}"));
    match client.execute(statement, &[]) {
        Ok(0) => "no row".to_owned(),
        Ok(_) => "works".to_owned(),
        Err(error) => match error.as_db_error() {
            Some(error) => format!("refused with {}", error.code().code()),
            None => panic!("{statement}: {error}"),
        },
    }
}

const EXPLAIN: &str = "SELECT e.status, e.cause, e.object, e.explanation
    FROM private.denials AS d, crewsnow_ops.explain_denial(
        d.who, d.relation::regclass, d.key_or_row, d.command) AS e
    WHERE d.name = $1 ORDER BY e.step";

fn explained(client: &mut Client, name: &str) -> Vec<[String; 4]> {
    let found = client.query(EXPLAIN, &[&name]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    found.iter().map(|row| [0, 1, 2, 3].map(|column| row.get(column))).collect()
}

#[test]
fn each_planted_denial_gets_its_cause() {
    let cluster = Cluster::start("rls_denial", "");
    let mut a = supabase(&cluster, "denial");
    run(&mut a, include_str!("rls_denial.sql"));
    let cases = a
        .query(
            "SELECT name, coalesce(who::text, ''), statement, cure, cause, object, explanation
             FROM private.denials ORDER BY name",
            &[],
        )
        .expect("the cases");
    assert!(cases.len() >= 45, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let [name, who, statement, cure, cause, object, pattern] =
            [0, 1, 2, 3, 4, 5, 6].map(|column| case.get::<_, String>(column));
        run(&mut a, "BEGIN");
        let before = outcome(&mut a, &who, &statement);
        run(&mut a, "ROLLBACK");
        if before == "works" {
            wrong.push(format!("{name}: the statement is not denied"));
        }
        let steps = explained(&mut a, &name);
        let first = steps.iter().find(|step| step[0] == "DENIED");
        let is_named = first.is_some_and(|step| step[1] == cause && step[2] == object);
        let is_explained = first.is_some_and(|step| {
            let fits = a.query_one("SELECT $1::text LIKE $2", &[&step[3], &pattern]);
            fits.expect("a comparison").get(0)
        });
        if !is_named || !is_explained {
            wrong.push(format!("{name}: expected {cause} {object} {pattern}, got {steps:#?}"));
        }
        run(&mut a, &format!("BEGIN; {cure}"));
        let steps = explained(&mut a, &name);
        if steps[0][0] != "ALLOWED" || steps.iter().skip(1).any(|step| step[0] == "DENIED") {
            wrong.push(format!("{name}: after the cure {steps:#?}"));
        }
        let after = outcome(&mut a, &who, &statement);
        run(&mut a, "ROLLBACK");
        if after != "works" {
            wrong.push(format!("{name}: after the cure {after}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    remediations_are_grants_that_cure(&mut a);
    allowed_commands_get_one_row(&mut a);
    triggers_leave_an_explanation_undecided(&mut a);
    values_are_shown_only_to_callers_who_may_read_them(&cluster, &mut a);
    arguments_that_do_not_fit_are_refused(&mut a);
    nothing_is_written(&mut a);
    a_standby_explains_alike(&cluster, &mut a);
}

/// A remediation is a GRANT that cures the denial; where it would open rows there is none.
fn remediations_are_grants_that_cure(a: &mut Client) {
    let printed = rows(
        a,
        "SELECT d.name, e.remediation FROM private.denials AS d, crewsnow_ops.explain_denial(
            d.who, d.relation::regclass, d.key_or_row, d.command) AS e
         WHERE e.remediation IS NOT NULL ORDER BY 1",
    );
    assert!(printed.len() >= 5, "{printed:#?}");
    for line in printed {
        let (name, grant) = line.split_once('|').expect("two columns");
        assert!(grant.starts_with("GRANT "), "{line}");
        run(a, &format!("BEGIN; {grant}"));
        assert_eq!(explained(a, name)[0][0], "ALLOWED", "{line}");
        run(a, "ROLLBACK");
    }
    run(a, "CREATE TABLE app.open (id integer PRIMARY KEY); INSERT INTO app.open VALUES (1)");
    let open = "SELECT cause, remediation IS NULL, explanation LIKE '%would open every row%'
        FROM crewsnow_ops.explain_denial('00000000-0000-4000-8000-000000000001', 'app.open',
            '{\"id\": 1}') WHERE status = 'DENIED'";
    assert_eq!(rows(a, open), ["table-grant|t|t"]);
    run(
        a,
        "ALTER TABLE app.open ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON app.open USING (true)",
    );
    assert_eq!(rows(a, open), ["table-grant|t|f"], "the policy would open every row");
}

fn allowed_commands_get_one_row(a: &mut Client) {
    let user = "00000000-0000-4000-8000-000000000001";
    for (relation, command, argument) in [
        ("app.messages", "SELECT", "{\"id\": 1}".to_owned()),
        ("app.messages", "update", "{\"id\": 1, \"body\": \"x\"}".to_owned()),
        ("app.messages", "UPDATE", "{\"key\": {\"id\": 1}, \"row\": {\"id\": 5}}".to_owned()),
        ("app.messages", "Insert", format!("{{\"id\": 9, \"user_id\": \"{user}\"}}")),
        ("app.own_messages", "SELECT", "{\"message\": 1}".to_owned()),
        ("app.profiles", "UPDATE", "{\"id\": 1, \"name\": \"x\"}".to_owned()),
    ] {
        let found = rows(
            a,
            &format!(
                "SELECT status, cause FROM crewsnow_ops.explain_denial(
                    '{user}', '{relation}', '{argument}', '{command}')"
            ),
        );
        assert_eq!(found, ["ALLOWED|none"], "{command} {argument} of {relation}");
    }
}

/// A trigger that may change or refuse the row is named; one that only sets a time stamp is not.
fn triggers_leave_an_explanation_undecided(a: &mut Client) {
    for (table, owner, expected) in [
        ("stamped", 1, "ALLOWED|none|table app.stamped"),
        ("stamped", 2, "DENIED|with-check|policy \"own\" on app.stamped"),
        ("assigned", 2, "UNKNOWN|with-check|policy \"own\" on app.assigned"),
        ("checked", 1, "UNKNOWN|trigger|trigger check_it on app.checked"),
    ] {
        let found = rows(
            a,
            &format!(
                "SELECT status, cause, object FROM crewsnow_ops.explain_denial(
                    '00000000-0000-4000-8000-000000000001', 'app.{table}', '{{\"id\": 9,
                    \"user_id\": \"00000000-0000-4000-8000-00000000000{owner}\"}}', 'INSERT')
                 WHERE status <> 'OK'"
            ),
        );
        assert_eq!(found.first().map(String::as_str), Some(expected), "{table}: {found:#?}");
    }
}

/// An operator without SELECT learns of grants and policies, but of no row and of no value.
fn values_are_shown_only_to_callers_who_may_read_them(cluster: &Cluster, a: &mut Client) {
    run(
        a,
        "CREATE ROLE denial_operator LOGIN; GRANT USAGE ON SCHEMA app TO denial_operator;
         SELECT crewsnow_ops.grant_access('denial_operator', 'operator')",
    );
    let mut operator = cluster.connect_as("denial_operator", "denial");
    let steps = |client: &mut Client, user: u8, relation: &str, key: &str| {
        rows(
            client,
            &format!(
                "SELECT concat_ws(' ', status, cause, explanation)
                 FROM crewsnow_ops.explain_denial(
                     '00000000-0000-4000-8000-00000000000{user}', '{relation}', '{key}')
                 WHERE status <> 'OK'"
            ),
        )
    };
    for user in [1, 2] {
        for key in ["{\"id\": 2}", "{\"id\": 77}", "{\"body\": \"x\"}"] {
            let found = steps(&mut operator, user, "app.messages", key);
            assert!(found.len() == 1 && found[0].contains("You have no SELECT"), "{found:?}");
            assert!(found[0].starts_with("UNKNOWN row"), "{found:?}");
        }
    }
    let grants = steps(&mut operator, 1, "app.invoices", "{\"id\": 1}");
    assert!(grants[0].starts_with("DENIED table-grant"), "{grants:?}");
    let policies = steps(&mut operator, 1, "app.audits", "{\"id\": 1}");
    assert!(policies[0].starts_with("DENIED rls-no-policy"), "{policies:?}");
    // With SELECT on the key, conditions on other columns stay closed, and hidden rows as well.
    run(a, "GRANT SELECT (id) ON app.messages TO denial_operator");
    let hidden = steps(&mut operator, 1, "app.messages", "{\"id\": 2}");
    assert!(hidden[0].contains("row-level security hides it from you"), "{hidden:?}");
    run(a, "ALTER ROLE denial_operator BYPASSRLS");
    let mut operator = cluster.connect_as("denial_operator", "denial");
    for user in [1, 2] {
        let closed = steps(&mut operator, user, "app.messages", "{\"id\": 2}");
        assert_eq!(closed.len(), 1, "{closed:?}");
        assert!(closed[0].starts_with("UNKNOWN using"), "{closed:?}");
        assert!(closed[0].contains("you have no SELECT on user_id"), "{closed:?}");
    }
    let missing = steps(&mut operator, 1, "app.messages", "{\"id\": 77}");
    assert!(missing[0].starts_with("DENIED no-row"), "{missing:?}");
    run(a, "GRANT SELECT ON app.messages TO denial_operator");
    let shown = steps(&mut operator, 1, "app.messages", "{\"id\": 2}");
    assert!(shown[0].starts_with("DENIED using"), "{shown:?}");
    assert!(shown[0].contains("00000000-0000-4000-8000-000000000002"), "{shown:?}");
    // A policy that shows the row to the operator is enough, too.
    run(
        a,
        "ALTER ROLE denial_operator NOBYPASSRLS;
         CREATE POLICY operators ON app.messages FOR SELECT TO denial_operator USING (id = 2)",
    );
    let mut operator = cluster.connect_as("denial_operator", "denial");
    let shown = steps(&mut operator, 1, "app.messages", "{\"id\": 2}");
    assert!(shown[0].starts_with("DENIED using"), "{shown:?}");
}

fn arguments_that_do_not_fit_are_refused(a: &mut Client) {
    for (arguments, state, part) in [
        ("NULL, NULL, '{}', 'SELECT'", "22004", "p_relation must not be NULL"),
        ("NULL, 'app.messages', NULL, 'SELECT'", "22004", "p_key_or_row must not be NULL"),
        ("NULL, 'app.messages', '{\"id\": 1}', NULL", "22004", "p_command must not be NULL"),
        ("NULL, 'app.messages', '{\"id\": 1}', 'TRUNCATE'", "22023", "not a command on rows"),
        ("NULL, 'app.messages', '{}', 'SELECT'", "22023", "names no column"),
        ("NULL, 'app.messages', '[1]', 'SELECT'", "22023", "not a JSON object"),
        ("NULL, 'app.messages', '{\"user_idd\": 1}', 'SELECT'", "22023", "did you mean"),
        ("NULL, 'app.messages', '{\"id\": null}', 'SELECT'", "22023", "equals no value"),
        ("NULL, 'app.messages', '{\"id\": \"x\"}', 'SELECT'", "22023", "invalid input syntax"),
        ("NULL, 'app.messages', '{\"id\": \"x\"}', 'INSERT'", "22023", "invalid input syntax"),
        ("NULL, 'app.notes', '{\"is_public\": false}', 'SELECT'", "22023", "several rows"),
        ("NULL, 'app.members', '{\"team\": 7}', 'UPDATE'", "22023", "UPDATE needs the primary key"),
        ("NULL, 'app.tickets_id_seq', '{\"id\": 1}', 'SELECT'", "42809", "not a table or view"),
    ] {
        let error = a
            .batch_execute(&format!("SELECT * FROM crewsnow_ops.explain_denial({arguments})"))
            .expect_err(arguments);
        let error = error.as_db_error().expect("the server's");
        assert_eq!(error.code().code(), state, "{arguments}: {error:?}");
        assert!(error.message().contains(part), "{arguments}: {error:?}");
        assert!(error.hint().is_some_and(|hint| hint.starts_with("SELECT ")), "{error:?}");
    }
}

/// Explaining writes nothing, also in a read-only transaction, and advances no sequence.
fn nothing_is_written(a: &mut Client) {
    let sequence = "SELECT last_value, is_called FROM app.tickets_id_seq";
    let before = rows(a, sequence);
    run(a, "GRANT USAGE ON SEQUENCE app.tickets_id_seq TO authenticated");
    run(a, "BEGIN READ ONLY");
    let found = rows(
        a,
        "SELECT status FROM crewsnow_ops.explain_denial(
            '00000000-0000-4000-8000-000000000001', 'app.tickets', '{}', 'INSERT')",
    );
    assert_eq!(found, ["ALLOWED"]);
    assert_eq!(rows(a, sequence), before);
    assert_eq!(value(a, "SELECT pg_current_xact_id_if_assigned() IS NULL"), "t");
    run(a, "ROLLBACK");
}

fn a_standby_explains_alike(primary: &Cluster, a: &mut Client) {
    let standby = Cluster::standby("rls_denial_standby", primary);
    let mut b = standby.connect("denial");
    let steps = "SELECT d.name, e.* FROM private.denials AS d, crewsnow_ops.explain_denial(
        d.who, d.relation::regclass, d.key_or_row, d.command) AS e ORDER BY d.name, e.step";
    assert_eq!(rows(a, steps), rows(&mut b, steps));
}
