//! Memberships that users write themselves, and rows that they put into teams of others. The truth
//! is a session that really does it and is rolled back.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run};
use postgres::Client;

/// A request of a user within a transaction.
fn act_as(a: &mut Client, user: u32) {
    let claims = format!(
        "{{\"sub\": \"00000000-0000-4000-8000-00000000000{user}\", \
         \"email\": \"{user}@example.org\"}}"
    );
    run(a, &format!("SET LOCAL request.jwt.claims = '{claims}'; SET LOCAL ROLE authenticated"));
}

/// How many more rows `reader` reads after a statement of user 1, which is rolled back; `None` if
/// the statement fails.
fn gained(a: &mut Client, statement: &str, reader: u32, look: &str) -> Option<i64> {
    let count = |a: &mut Client| a.query_one(look, &[]).expect("a count").get::<_, i64>(0);
    run(a, "BEGIN");
    act_as(a, reader);
    let before = count(a);
    act_as(a, 1);
    let is_done = a.batch_execute(statement).is_ok();
    let after = is_done.then(|| {
        act_as(a, reader);
        count(a)
    });
    run(a, "ROLLBACK");
    after.map(|after| after - before)
}

/// The rows whose expected finding is not the found one: name, expected, found.
fn surprises(found: Vec<String>) -> Vec<String> {
    let is_expected = |row: &String| {
        let parts: Vec<_> = row.split('|').collect();
        parts[1] == parts[2]
    };
    found.into_iter().filter(|row| !is_expected(row)).collect()
}

#[test]
fn memberships_that_users_write_themselves_are_found_by_trying() {
    let cluster = Cluster::start("rls_members", "");
    let mut a = supabase(&cluster, "members");
    run(&mut a, include_str!("rls_members.sql"));
    run(&mut a, "CREATE TABLE private.found AS SELECT * FROM crewsnow_ops.audit_rls()");
    let found = rows(
        &mut a,
        "SELECT s.name, s.finding, coalesce(f.severity || ' ' || f.confidence, '')
         FROM private.shapes AS s
         LEFT JOIN private.found AS f ON f.rule = 'self-written-membership'
             AND f.object = 'table public.' || s.name || '_members'
         ORDER BY 1",
    );
    assert_eq!(surprises(found), [""; 0]);
    let shapes = rows(
        &mut a,
        "SELECT name, works, private.named('SELECT count(*) FROM T WHERE team_id <> 1', name),
             private.named(attempt, name) FROM private.shapes ORDER BY 1",
    );
    for shape in shapes {
        let parts: Vec<_> = shape.splitn(4, '|').collect();
        let gained = gained(&mut a, parts[3], 1, parts[2]);
        assert_eq!(gained > Some(0), parts[1] == "t", "{shape}: {gained:?}");
    }
    rows_in_teams_of_others(&mut a);
    roles_in_profiles(&mut a);
    a_trusted_table_is_not_secure_in_the_checklist(&mut a);
}

/// Rows that a user puts into a team are seen by its members.
fn rows_in_teams_of_others(a: &mut Client) {
    let found = rows(
        a,
        "SELECT c.name, c.finding, coalesce(f.severity || ' ' || f.confidence, '')
         FROM private.crossings AS c
         LEFT JOIN private.found AS f ON f.rule = 'foreign-team-rows'
             AND f.object = 'table public.' || c.name
         ORDER BY 1",
    );
    assert_eq!(surprises(found), [""; 0]);
    for crossing in rows(
        a,
        "SELECT name, works, replace(attempt, ' T ', ' public.' || name || ' ') \
         FROM private.crossings",
    ) {
        let parts: Vec<_> = crossing.splitn(3, '|').collect();
        let look = format!("SELECT count(*) FROM public.{}", parts[0]);
        let gained = gained(a, parts[2], 2, &look);
        assert_eq!(gained > Some(0), parts[1] == "t", "{crossing}: {gained:?}");
    }
}

/// A profile's role is no privilege if its user writes it.
fn roles_in_profiles(a: &mut Client) {
    let found = rows(
        a,
        "SELECT object, severity, confidence FROM private.found
         WHERE rule = 'self-written-membership'
             AND object !~ '_members$' ORDER BY 1",
    );
    assert_eq!(
        found,
        [
            "table public.homes|CRITICAL|OBSERVED",
            "table public.profiles|CRITICAL|OBSERVED",
            "table public.self_invitations|CRITICAL|OBSERVED"
        ]
    );
    for (table, works) in [("profiles", true), ("modest", false), ("careful", false)] {
        let statement = format!("UPDATE public.{table} SET role = 'admin'");
        let look = format!("SELECT count(*) FROM public.{table}_log");
        assert_eq!(gained(a, &statement, 1, &look) > Some(0), works, "{table}");
    }
    for (statement, look) in [
        (
            "INSERT INTO public.self_invitations VALUES (9, 2, auth.email(), auth.uid()); \
             INSERT INTO public.guest_crew VALUES (2, auth.uid())",
            "SELECT count(*) FROM public.guest_notes WHERE team_id = 2",
        ),
        (
            "UPDATE public.homes SET team_id = 2",
            "SELECT count(*) FROM public.home_notes WHERE team_id = 2",
        ),
    ] {
        assert_eq!(gained(a, statement, 1, look), Some(1), "{statement}");
    }
    // No other rule claims that clients share the chats of others.
    let trusting = "SELECT object FROM private.found \
        WHERE rule = 'policy-trusts-open-table' AND severity <= 'MEDIUM'";
    assert_eq!(rows(a, trusting), [""; 0]);
}

/// Neither the table that users write nor the table whose rows it opens is SECURE.
fn a_trusted_table_is_not_secure_in_the_checklist(a: &mut Client) {
    let statuses = rows(
        a,
        "SELECT table_name, requirement, status FROM generate_rls_checklist()
         WHERE table_name IN ('public.first_arm_members', 'public.first_arm_notes')
             AND requirement LIKE 'Foreign rows cannot be %' AND status <> 'SECURE' ORDER BY 1",
    );
    assert_eq!(
        statuses,
        [
            "public.first_arm_members|Foreign rows cannot be written|VULNERABLE",
            "public.first_arm_notes|Foreign rows cannot be read|VULNERABLE"
        ]
    );
}
