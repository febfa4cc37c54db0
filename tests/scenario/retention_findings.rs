//! Tables with personal data and no policy are found, and sound applications are left in peace.

use harness::{Cluster, rows, run, value};
use postgres::Client;

/// The findings, a line each.
fn findings(client: &mut Client) -> Vec<String> {
    rows(
        client,
        "SELECT concat_ws('|', finding, object, columns)
         FROM crewsnow_ops.retention_findings()",
    )
}

/// A shop whose accounts are in auth.users, and a catalogue without persons.
const SHOP: &str = "
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, email_confirmed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE profile (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, bio text);
    CREATE TABLE review (id int PRIMARY KEY, author uuid REFERENCES profile ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE product (id int PRIMARY KEY, name text, latitude numeric, added_at date);
    CREATE TABLE product_price (product int REFERENCES product, price numeric, valid_from date);";

#[test]
fn columns_with_persons_need_a_policy() {
    let cluster = Cluster::start("retention_findings", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(&mut a, SHOP);
    run(
        &mut a,
        "CREATE TABLE subscriber (created_at timestamptz, contact text);
         INSERT INTO subscriber SELECT now(), 'reader' || n || '@example.org'
             FROM generate_series(1, 300) AS n;
         CREATE TABLE visit (seen_at timestamptz, source inet);
         CREATE TABLE supplier (added date, first_name text);
         CREATE TABLE tag (created_at timestamptz, label text);
         INSERT INTO tag SELECT now(), 'at@' || n FROM generate_series(1, 300) AS n;
         ANALYZE",
    );
    assert_eq!(
        findings(&mut a),
        [
            "personal data without a policy|auth.users|email",
            "personal data without a policy|public.profile|id",
            "personal data without a policy|public.review|author",
            "personal data without a policy|public.subscriber|contact",
            "personal data without a policy|public.supplier|first_name",
            "personal data without a policy|public.visit|source",
        ]
    );
    let shown = rows(&mut a, "SELECT f::text FROM crewsnow_ops.retention_findings() AS f");
    assert!(!shown.concat().contains("example.org"), "values are shown: {shown:?}");
    // Each command can be pasted, and adds a policy that deletes nothing.
    let commands = "SELECT command FROM crewsnow_ops.retention_findings() \
        WHERE command IS NOT NULL ORDER BY object";
    for command in rows(&mut a, commands) {
        run(&mut a, &command);
    }
    let off = "policy that is off|public.review|created_at";
    assert!(findings(&mut a).contains(&off.to_owned()), "{:?}", findings(&mut a));
    assert_eq!(
        value(&mut a, "SELECT bool_or(is_enabled) FROM crewsnow_ops.retention_policies"),
        "f"
    );
    run(&mut a, "DELETE FROM crewsnow_ops.retention_policies");
    run(
        &mut a,
        "DROP TABLE subscriber, visit, supplier;
         INSERT INTO crewsnow_ops.retention_policies
             (name, target, time_column, keep, action, cascades_to, legal_basis)
         VALUES ('accounts', 'auth.users', 'created_at', '3 years', 'delete',
             '{public.profile,public.review}', 'storage limitation')",
    );
    assert_eq!(findings(&mut a), [""; 0]);
}

#[test]
fn a_table_that_only_grows_is_named() {
    let cluster = Cluster::start("retention_growth", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    let fill = |client: &mut Client, name: &str| {
        run(
            client,
            &format!(
                "CREATE TABLE {name} (created_at timestamptz NOT NULL, amount int, note text);
                 INSERT INTO {name} SELECT now() - n * interval '10 minutes', n,
                     repeat('n', 600) FROM generate_series(1, 150000) AS n"
            ),
        );
    };
    fill(&mut a, "ledger");
    fill(&mut a, "pruned");
    run(&mut a, "DELETE FROM pruned WHERE amount % 10 = 0");
    run(&mut a, "CREATE TABLE young AS SELECT now() AS created_at FROM generate_series(1, 150000)");
    run(&mut a, "SELECT pg_stat_force_next_flush()");
    run(&mut a, "ANALYZE");
    let grows = "only grows|public.ledger|created_at";
    assert_eq!(findings(&mut a), [grows]);
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.retention_policies
             (name, target, time_column, keep, action, legal_basis)
         VALUES ('ledger', 'public.ledger', 'created_at', '10 years', 'delete', 'tax law')",
    );
    // The policy would read 64 MB in each run.
    assert_eq!(findings(&mut a), ["policy without an index|public.ledger|created_at"]);
    let command = "SELECT command FROM crewsnow_ops.retention_findings()";
    let command = value(&mut a, command);
    run(&mut a, &command);
    assert_eq!(findings(&mut a), [""; 0]);
}

#[test]
fn the_demo_application_has_a_policy_for_each_person() {
    let cluster = Cluster::start("retention_demo", "");
    let mut a = cluster.create_demo("crewsnow", false);
    run(&mut a, "ANALYZE");
    assert_eq!(findings(&mut a), [""; 0]);
    run(&mut a, "DELETE FROM crewsnow_ops.retention_policies WHERE name = 'inactive accounts'");
    let found = findings(&mut a);
    assert!(found.iter().any(|line| line.contains("|public.boosts|")), "{found:?}");
    assert!(!found.iter().any(|line| line.contains("|public.stations|")), "{found:?}");
}
