//! Erasures of persons: no trace is left, no row of others is touched, and a restored database
//! erases them again.

use harness::{Cluster, must_run, program, rows, run, sqlstate, value};
use postgres::Client;

/// 300 persons in 20 related tables, and trails of the extension.
const PERSONS: &str = include_str!("erasure.sql");
/// Requests and executes the erasure of each person of a query, and counts them.
const ERASE: &str = "SELECT count(crewsnow_ops.execute_erasure(
    crewsnow_ops.request_erasure(u.id::text, 'ticket'))) FROM auth.users AS u WHERE ";

fn dump(cluster: &Cluster, database: &str) -> String {
    must_run(cluster.client_program(program("pg_dump"), database).arg(database))
}

/// The number of rows of the persons up to `last`, and a digest of all other rows, by table.
fn content(client: &mut Client, last: u32) -> Vec<(String, String)> {
    let tables: Vec<String> = (1..=20).map(|i| format!("t{i}")).collect();
    let tables = tables.into_iter().chain(["auth.users".to_owned()]);
    let read = |table: String| {
        let gone = format!("SELECT count(*) FROM {table} WHERE who <= {last}");
        let others = format!(
            "SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {table} AS t \
             WHERE who > {last}"
        );
        (value(client, &gone), value(client, &others))
    };
    tables.map(read).collect()
}

#[test]
fn a_hundred_erased_persons_leave_no_trace() {
    let cluster = Cluster::start("erasure", "");
    let mut a = cluster.create_database("shop");
    run(&mut a, PERSONS);
    let before = content(&mut a, 100);
    let ids = rows(&mut a, "SELECT id, email, phone FROM auth.users WHERE who <= 100");
    let others = "SELECT count(*), count(user_id) FROM event_log";
    assert_eq!(rows(&mut a, others), ["250|150"]);
    assert_eq!(value(&mut a, &format!("{ERASE} who <= 100")), "100");
    let after = content(&mut a, 100);
    for (table, ((_, expected), (left, found))) in before.iter().zip(&after).enumerate() {
        assert_eq!(found, expected, "table {}: rows of others", table + 1);
        // Rows of t20 outlive the person, without the id.
        assert_eq!(left, if table == 19 { "200" } else { "0" }, "table {}", table + 1);
    }
    assert_eq!(value(&mut a, "SELECT count(*) FROM t20 WHERE seen_by IS NULL"), "200");
    // Events stay, without the person.
    assert_eq!(rows(&mut a, others), ["250|100"]);
    let dump = dump(&cluster, "shop");
    assert!(dump.contains("person101@example.org"), "others are in the dump");
    for identifier in ids.iter().flat_map(|row| row.split('|')) {
        assert!(!dump.contains(identifier), "{identifier} is in the dump");
    }
    assert!(dump.contains("erased-"), "trails keep a pseudonym");
    let proof = "SELECT p.verdict FROM crewsnow_ops.erasure_requests AS r \
                 CROSS JOIN LATERAL crewsnow_ops.prove_erasure(r.id) AS p ORDER BY r.id LIMIT 3";
    assert_eq!(rows(&mut a, proof), ["PROVED"; 3]);
    a_dump_of_the_ledger_blocks_the_launch_until_it_is_replayed(&cluster);
}

/// The restored database has no erased person, and nothing knows that yet.
fn a_dump_of_the_ledger_blocks_the_launch_until_it_is_replayed(cluster: &Cluster) {
    crate::dump_restore::dump_and_restore(cluster, "shop", "copy", &[], &[]);
    let mut copy = cluster.connect("copy");
    let objection = "SELECT erasures, objection FROM crewsnow_ops.erasure_objection()";
    assert_eq!(
        rows(&mut copy, objection),
        ["100|this database is a copy in which the ledger of erasures was not replayed"]
    );
    let reasons = "SELECT count(*) FROM make_launch_decision(), unnest(reasons) AS r \
                   WHERE r LIKE 'BLOCKER erasures-replayed: FAILED%'";
    assert_eq!(value(&mut copy, reasons), "1");
    let replay = "SELECT crewsnow_ops.replay_erasures()";
    assert!(value(&mut copy, replay).ends_with("Replay completed: 0 accounts erased again"));
    assert_eq!(rows(&mut copy, objection), ["100|NULL"]);
    assert_eq!(value(&mut copy, reasons), "0");
    // An account with the id of an erased person is one.
    run(&mut copy, "INSERT INTO auth.users VALUES (md5('person 7')::uuid, 'x@example.org')");
    assert_eq!(rows(&mut copy, objection), ["100|1 erased account exists again"]);
    assert_eq!(value(&mut copy, reasons), "1");
    assert!(value(&mut copy, replay).ends_with("Replay completed: 1 account erased again"));
    assert_eq!(rows(&mut copy, objection), ["101|NULL"]);
}

#[test]
fn an_older_dump_is_erased_again_by_the_exported_ledger() {
    let cluster = Cluster::start("erasure_replay", "");
    let mut a = cluster.create_database("shop");
    run(&mut a, PERSONS);
    // A request that is open in the dump is executed afterwards.
    let open = "SELECT crewsnow_ops.request_erasure(md5('person 1')::uuid::text, 'ticket')";
    let open = value(&mut a, open);
    let before = content(&mut a, 3);
    crate::dump_restore::dump_and_restore(&cluster, "shop", "older", &[], &[]);
    run(&mut a, &format!("SELECT crewsnow_ops.execute_erasure('{open}')"));
    assert_eq!(value(&mut a, &format!("{ERASE} who IN (2, 3)")), "2");
    let ledger = value(&mut a, "SELECT jsonb_agg(e) FROM crewsnow_ops.export_erasures() AS e");
    let mut older = cluster.connect("older");
    assert_eq!(value(&mut older, "SELECT count(*) FROM auth.users WHERE who <= 3"), "3");
    let replay = format!("SELECT crewsnow_ops.replay_erasures('{ledger}')");
    let report = value(&mut older, &replay);
    assert!(report.ends_with("Replay completed: 3 accounts erased again"), "{report}");
    let after = content(&mut older, 3);
    assert!(before.iter().zip(&after).all(|((_, before), (_, after))| before == after));
    assert!(after.iter().enumerate().all(|(i, (left, _))| left == "0" || i == 19));
    let dump = dump(&cluster, "older");
    for i in 1..=3 {
        assert!(!dump.contains(&format!("person{i}@example.org")), "person {i}");
    }
    // The imported ledger knows its persons, and a second replay finds none.
    let proof = format!(
        "SELECT verdict FROM crewsnow_ops.prove_erasure('{open}', md5('person 1')::uuid::text)"
    );
    assert_eq!(rows(&mut older, &proof), ["PROVED"]);
    assert!(value(&mut older, &replay).ends_with("Replay completed: 0 accounts erased again"));
    // Nothing but a ledger is one.
    for other in ["{}", "[1]", "[{\"id\": \"x\"}]", "[{}]", "[1e400]"] {
        let replay = format!("SELECT crewsnow_ops.replay_erasures('{other}')");
        assert_eq!(sqlstate(&mut older, &replay), "22023", "{other}");
    }
}

#[test]
fn the_demo_is_erased_to_the_end() {
    let cluster = Cluster::start("erasure_demo", "");
    let mut demo = cluster.create_demo("crewsnow", false);
    let person = value(
        &mut demo,
        "SELECT m.user1_id FROM matches AS m JOIN messages AS e ON e.match_id = m.id \
         JOIN subscriptions AS s ON s.user_id = m.user1_id GROUP BY 1 \
         ORDER BY count(*) DESC LIMIT 1",
    );
    let email = value(&mut demo, &format!("SELECT email FROM auth.users WHERE id = '{person}'"));
    let people = "SELECT count(*) FROM auth.users";
    assert_eq!(value(&mut demo, people), "5000");
    // Statistics that hold each value of the e-mail addresses.
    run(&mut demo, "ALTER TABLE auth.users ALTER email SET STATISTICS 10000; ANALYZE auth.users");
    let request =
        value(&mut demo, &format!("SELECT crewsnow_ops.request_erasure('{person}', 'INC-9')"));
    let plan = format!(
        "SELECT action || ' ' || object FROM crewsnow_ops.plan_erasure('{request}') ORDER BY step"
    );
    let plan = rows(&mut demo, &plan);
    let place = |step: &str| plan.iter().position(|found| found == step);
    assert!(place("delete public.messages") < place("delete public.matches"), "{plan:?}");
    assert!(place("delete public.matches") < place("delete public.users"), "{plan:?}");
    assert!(place("delete public.users") < place("delete auth.users"), "{plan:?}");
    assert!(plan.iter().all(|step| !step.starts_with("undecided")), "{plan:?}");
    let report = value(&mut demo, &format!("SELECT crewsnow_ops.execute_erasure('{request}')"));
    assert!(report.ends_with("\nErasure completed"), "{report}");
    assert_eq!(value(&mut demo, people), "4999");
    let proof =
        format!("SELECT verdict, object FROM crewsnow_ops.prove_erasure('{request}', '{person}')");
    assert_eq!(rows(&mut demo, &proof), ["PROVED|NULL"]);
    let dump = dump(&cluster, "crewsnow");
    assert!(!dump.contains(&person) && !dump.contains(&email));
    let decided = "SELECT count(*) FROM make_launch_decision(), unnest(reasons) AS r \
                   WHERE r LIKE '%erasures-replayed%'";
    assert_eq!(value(&mut demo, decided), "0");
}
