//! Erasures of accounts whose ids are numbers, which any other value may equal.

use crate::erasure_faults::{execute, request};
use harness::{Cluster, rows, run, sqlstate, value};

#[test]
fn equal_numbers_of_others_are_neither_touched_nor_traces() {
    let cluster = Cluster::start("erasure_numbers", "crewsnow_ops.users_table = 'public.users'");
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "CREATE TABLE users (id integer PRIMARY KEY, email text);
         CREATE TABLE orders (id serial PRIMARY KEY, buyer integer REFERENCES users,
            quantity integer, meta jsonb);
         CREATE TABLE notes (user_id integer, t text);
         INSERT INTO users SELECT i, format('u%s@example.org', i) FROM generate_series(1, 60) AS i;
         INSERT INTO orders (buyer, quantity, meta)
            SELECT id, 5, '{\"n\": 5, \"s\": \"5\"}' FROM users;
         INSERT INTO notes SELECT id, '5' FROM users;
         SELECT update_feature_flag('messaging', false, p_updated_by => '5');
         SELECT update_feature_flag('messaging', true, p_updated_by => '55');
         UPDATE feature_flags SET description = '5' WHERE flag_key = 'messaging';
         SELECT crewsnow_ops.record_evidence('restore-test', true, '{\"n\": \"5\"}')",
    );
    assert_eq!(sqlstate(&mut a, "SELECT crewsnow_ops.request_erasure('5x', 'ticket')"), "22023");
    let five = request(&mut a, " 5");
    let plan = format!(
        "SELECT action, object, row_count FROM crewsnow_ops.plan_erasure('{five}') ORDER BY step"
    );
    let expected = [
        "undecided|public.notes|1",
        "delete|public.orders|1",
        "delete|public.users|1",
        "pseudonymise|crewsnow_ops.flag_history|1",
    ];
    assert_eq!(rows(&mut a, &plan), expected);
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.erasure_rules (target, owner_column, action, legal_basis) \
         VALUES ('public.notes', 'user_id', 'delete', 'erasure')",
    );
    run(&mut a, &execute(&five));
    let left = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM orders), \
                (SELECT count(*) FROM notes)";
    assert_eq!(rows(&mut a, left), ["59|59|59"]);
    let authors = "SELECT left(updated_by, 7) FROM crewsnow_ops.flag_history \
                   WHERE updated_by IS NOT NULL ORDER BY changed_at";
    assert_eq!(rows(&mut a, authors), ["erased-", "55"]);
    let kept = "SELECT f.description, e.details ->> 'n' FROM feature_flags AS f, \
                crewsnow_ops.evidence AS e WHERE f.flag_key = 'messaging'";
    assert_eq!(rows(&mut a, kept), ["5|5"]);
    for user in ["NULL", "'5'"] {
        let proof = format!(
            "SELECT verdict, object, column_name FROM crewsnow_ops.prove_erasure('{five}', {user})"
        );
        assert_eq!(rows(&mut a, &proof), ["PROVED|NULL|NULL"]);
        for (plant, trace) in [
            ("INSERT INTO notes VALUES (5, 'x')", "TRACES|public.notes|user_id"),
            ("INSERT INTO notes VALUES (1, 'to U5@example.org')", "TRACES|public.notes|t"),
        ] {
            run(&mut a, &format!("BEGIN; {plant}"));
            assert_eq!(rows(&mut a, &proof), [trace, "TRACES|NULL|NULL"]);
            run(&mut a, "ROLLBACK");
        }
    }
    // A new account with the number of an erased one is another person's, and an objection: ids
    // must not be used twice.
    run(&mut a, "INSERT INTO users VALUES (5, 'new@example.org')");
    let objection = "SELECT objection FROM crewsnow_ops.erasure_objection()";
    assert_eq!(value(&mut a, objection), "1 erased account exists again");
}
