//! Policies that are refused, the role as which a policy runs, and policies whose table changes.

use crate::gdpr::{COMPLETED, RUN, define, last_step, preview};
use harness::{Cluster, rows, run, sqlstate, value};

/// An INSERT of a policy on public.orders, with other values for some columns.
fn insert(changes: &[(&str, &str)]) -> String {
    let mut columns = vec![
        ("name", "'p'"),
        ("target", "'public.orders'"),
        ("time_column", "'at'"),
        ("keep", "'30 days'"),
        ("action", "'delete'"),
        ("legal_basis", "'contract'"),
    ];
    for (column, value) in changes {
        match columns.iter_mut().find(|(known, _)| known == column) {
            Some(known) => known.1 = value,
            None => columns.push((column, value)),
        }
    }
    let list =
        |part: fn(&(&str, &str)) -> String| columns.iter().map(part).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO crewsnow_ops.retention_policies ({}) VALUES ({})",
        list(|column| column.0.to_owned()),
        list(|column| column.1.to_owned())
    )
}

#[test]
fn a_policy_that_cannot_work_is_refused_with_the_reason() {
    let cluster = Cluster::start("gdpr_bad", "");
    let mut a = cluster.create_database("bad");
    run(
        &mut a,
        "CREATE TABLE orders (id int PRIMARY KEY, at timestamptz, mail text UNIQUE, note text,
            total int NOT NULL, day text GENERATED ALWAYS AS (mail || 'x') STORED);
         CREATE VIEW orders_view AS SELECT * FROM orders;
         CREATE MATERIALIZED VIEW orders_matview AS SELECT * FROM orders;
         CREATE TEMPORARY TABLE fleeting (at timestamptz);
         CREATE TABLE parts (at date) PARTITION BY RANGE (at)",
    );
    let anonymise = ("action", "'anonymise'");
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("42P01", &[("target", "'public.missing'")]),
        ("42P01", &[("target", "'orders'")]),
        ("42P01", &[("target", "'a.b.c'")]),
        ("42P01", &[("target", "'public.orders; DROP TABLE orders'")]),
        ("42P01", &[("target", "''")]),
        ("42809", &[("target", "'public.orders_view'")]),
        ("42809", &[("target", "'public.orders_matview'")]),
        ("42809", &[("target", "'public.orders_pkey'")]),
        ("42809", &[("target", "'pg_catalog.pg_class'")]),
        ("42809", &[("target", "'public.event_log'"), ("time_column", "'created_at'")]),
        ("42809", &[("target", "'crewsnow_ops.decisions'")]),
        ("42703", &[("time_column", "'missing'")]),
        ("42703", &[("time_column", "'ctid'")]),
        ("42804", &[("time_column", "'note'")]),
        ("22023", &[("action", "'drop partition'")]),
        ("23514", &[("action", "'shred'")]),
        ("23514", &[("keep", "'1 hour'")]),
        ("23514", &[("keep", "'-30 days'")]),
        ("23514", &[("keep", "'5000 years'")]),
        ("23514", &[("legal_basis", "'  '")]),
        ("23502", &[("legal_basis", "NULL")]),
        ("23502", &[("target", "NULL")]),
        ("23514", &[("batch_rows", "0")]),
        ("23514", &[("max_rows", "0")]),
        ("23514", &[("name", "E'a\\nb'")]),
        ("23514", &[("replacements", "'{\"mail\": null}'")]),
        ("22023", &[anonymise]),
        ("22023", &[anonymise, ("replacements", "'{}'")]),
        ("22023", &[anonymise, ("replacements", "'[1]'")]),
        ("22023", &[anonymise, ("replacements", "'{\"id\": \"1\"}'")]),
        ("22023", &[anonymise, ("replacements", "'{\"mail\": 1e400}'")]),
        ("22023", &[anonymise, ("replacements", "'{\"at\": null}'")]),
        ("22023", &[anonymise, ("replacements", "'{\"mail\": \"gone\"}'")]),
        ("22023", &[anonymise, ("replacements", "'{\"total\": null}'")]),
        ("22023", &[anonymise, ("replacements", "'{\"day\": null}'")]),
        ("42703", &[anonymise, ("replacements", "'{\"missing\": null}'")]),
        ("42804", &[anonymise, ("replacements", "'{\"total\": \"many\"}'")]),
        ("42601", &[("hold", "'true) OR (true'")]),
        ("42601", &[("hold", "'true; DROP TABLE orders'")]),
        ("42601", &[("hold", "'id ='")]),
        ("42601", &[("hold", "''")]),
        ("42601", &[("hold", "'true FROM orders'")]),
        ("42703", &[("hold", "'missing = 1'")]),
        ("42P01", &[("hold", "'EXISTS (SELECT FROM missing)'")]),
        ("42804", &[("hold", "'note'")]),
        ("42803", &[("hold", "'count(*) > 1'")]),
        ("42P02", &[("hold", "'$1 IS NULL'")]),
        ("42P01", &[("cascades_to", "'{public.missing}'")]),
        ("42704", &[("defined_by", "'nobody_here'")]),
    ];
    run(&mut a, "CREATE ROLE clerk; SELECT crewsnow_ops.grant_access('clerk', 'admin')");
    run(&mut a, "GRANT USAGE ON SCHEMA crewsnow_ops TO clerk; SET ROLE clerk");
    for (state, changes) in cases {
        assert_eq!(sqlstate(&mut a, &insert(changes)), *state, "{changes:?}");
    }
    run(&mut a, "RESET ROLE");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.retention_policies"), "0");
    // The same shapes, sound.
    let sound: &[&[(&str, &str)]] = &[
        &[("name", "'1'"), ("target", "'\"public\".Orders'")],
        &[("name", "'2'"), ("hold", "'note = ''x'' -- until the trial'")],
        &[("name", "'3'"), anonymise, ("replacements", "'{\"mail\": null, \"note\": \"x\"}'")],
        &[("name", "'4'"), ("target", "'public.parts'"), ("action", "'drop partition'")],
    ];
    for changes in sound {
        run(&mut a, &insert(changes));
    }
    let target = "SELECT DISTINCT target FROM crewsnow_ops.retention_policies WHERE name < '4'";
    assert_eq!(value(&mut a, target), "public.orders");
    assert_eq!(
        sqlstate(&mut a, "SELECT * FROM crewsnow_ops.preview_retention('missing')"),
        "42704"
    );
}

#[test]
fn a_policy_has_the_rights_of_its_author_and_no_others() {
    let cluster = Cluster::start("gdpr_author", "");
    let mut a = cluster.create_database("author");
    run(
        &mut a,
        "CREATE ROLE anna; CREATE ROLE bert; CREATE ROLE owner_of_it;
         SELECT crewsnow_ops.grant_access('anna', 'admin');
         SELECT crewsnow_ops.grant_access('bert', 'admin');
         GRANT CREATE ON SCHEMA public TO anna, owner_of_it;
         CREATE TABLE secret (id int, at timestamptz);
         INSERT INTO secret VALUES (1, '2001-01-01');
         SET ROLE anna;
         CREATE TABLE hers (id int, at timestamptz);
         INSERT INTO hers VALUES (1, '2001-01-01');
         CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS
            'BEGIN RETURN EXISTS (SELECT FROM public.secret); END';
         RESET ROLE",
    );
    // The author lacks a privilege: nothing is counted and nothing done.
    run(&mut a, "SET ROLE anna");
    define(&mut a, "secret", "at", "delete", ("", ""));
    define(&mut a, "hers", "at", "delete", (", hold", ", 'public.spy()'"));
    run(&mut a, "RESET ROLE");
    assert!(preview(&mut a, "secret").starts_with("FAILED|NULL|NULL|42501: permission denied"));
    assert!(preview(&mut a, "hers").starts_with("FAILED|NULL|NULL|42501"));
    let report = value(&mut a, RUN);
    assert!(report.ends_with("GDPR maintenance incomplete: 2 failed"), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM secret"), "1");
    // Another admin cannot write SQL that runs as her.
    run(&mut a, "SET ROLE bert");
    let as_anna = "UPDATE crewsnow_ops.retention_policies SET hold = NULL, defined_by = 'anna'";
    assert_eq!(sqlstate(&mut a, as_anna), "42501");
    run(&mut a, "UPDATE crewsnow_ops.retention_policies SET hold = NULL WHERE name = 'hers'");
    run(&mut a, "RESET ROLE");
    let author = "SELECT defined_by FROM crewsnow_ops.retention_policies WHERE name = 'hers'";
    assert_eq!(value(&mut a, author), "bert");
    assert!(preview(&mut a, "hers").starts_with("FAILED|NULL|NULL|42501"), "bert may not");
    // An author that is gone fails alone.
    run(
        &mut a,
        "UPDATE crewsnow_ops.retention_policies SET defined_by = 'gone' WHERE name = 'hers'",
    );
    assert!(preview(&mut a, "hers").contains("its author \"gone\" does not exist"));
    // For a superuser the SQL runs as the owner of the table, with its triggers.
    run(
        &mut a,
        "UPDATE crewsnow_ops.retention_policies SET defined_by = 'postgres';
         SET ROLE anna;
         CREATE FUNCTION climb() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN ALTER ROLE anna SUPERUSER; RETURN old; END';
         CREATE TRIGGER climb BEFORE DELETE ON hers FOR EACH ROW EXECUTE FUNCTION climb();
         RESET ROLE",
    );
    let report = value(&mut a, RUN);
    assert!(last_step(&mut a, "hers").starts_with("FAILED|0"), "{report}");
    assert_eq!(value(&mut a, "SELECT rolsuper FROM pg_roles WHERE rolname = 'anna'"), "f");
    assert_eq!(last_step(&mut a, "secret"), "DONE|1");
    run(&mut a, "DROP TRIGGER climb ON hers");
    assert!(value(&mut a, RUN).ends_with(COMPLETED));
}

#[test]
fn a_caller_needs_no_rights_on_the_tables_of_policies() {
    let cluster = Cluster::start("gdpr_caller", "");
    let mut a = cluster.create_database("caller");
    run(
        &mut a,
        "CREATE ROLE clerk LOGIN; SELECT crewsnow_ops.grant_access('clerk', 'admin');
         CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader');
         CREATE SCHEMA hidden; CREATE TABLE hidden.holds (id int);
         CREATE TABLE hidden.letter (id int, at timestamptz);
         INSERT INTO hidden.letter VALUES (1, '2001-01-01'), (2, '2001-01-01');
         INSERT INTO hidden.holds VALUES (1)",
    );
    let hold = "'EXISTS (SELECT FROM hidden.holds AS h WHERE h.id = letter.id)'";
    run(&mut a, &insert(&[("target", "'hidden.letter'"), ("hold", hold)]));
    let mut clerk = cluster.connect_as("clerk", "caller");
    assert_eq!(sqlstate(&mut clerk, "SELECT FROM hidden.letter"), "42501");
    assert!(preview(&mut clerk, "p").starts_with("DUE|1|1|"));
    let report = value(&mut clerk, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(rows(&mut a, "SELECT id FROM hidden.letter"), ["1"]);
    // A batch on its own does no more than the policy allows, and nothing without a step.
    let batch = "SELECT count(*) FROM crewsnow_ops.apply_retention_batch(gen_random_uuid(), 1,
        1, NULL, NULL, NULL, false)";
    assert_eq!(value(&mut clerk, batch), "0");
    assert_eq!(sqlstate(&mut clerk, &format!("BEGIN; {batch}")), "25001");
    run(&mut clerk, "ROLLBACK");
    let mut reader = cluster.connect_as("reader", "caller");
    for sql in [RUN, batch, "TABLE crewsnow_ops.retention_policies"] {
        assert_eq!(sqlstate(&mut reader, sql), "42501", "{sql}");
    }
    assert_eq!(
        value(&mut reader, "SELECT sum(changed_rows) FROM crewsnow_ops.retention_runs"),
        "1"
    );
}

#[test]
fn row_level_security_hides_no_row_silently() {
    let cluster = Cluster::start("gdpr_rls", "");
    let mut a = cluster.create_database("rls");
    run(
        &mut a,
        "CREATE ROLE clerk; SELECT crewsnow_ops.grant_access('clerk', 'admin');
         CREATE TABLE letter (id int, at timestamptz, owner text);
         INSERT INTO letter SELECT n, '2001-01-01', CASE n WHEN 1 THEN 'clerk' ELSE 'x' END
            FROM generate_series(1, 10) AS n;
         ALTER TABLE letter ENABLE ROW LEVEL SECURITY;
         ALTER TABLE letter FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON letter USING (owner = current_user);
         GRANT SELECT, DELETE ON letter TO clerk; SET ROLE clerk",
    );
    define(&mut a, "letter", "at", "delete", ("", ""));
    run(&mut a, "RESET ROLE");
    let told = preview(&mut a, "letter");
    assert!(told.contains("row-level security of public.letter applies to its author"), "{told}");
    value(&mut a, RUN);
    assert_eq!(value(&mut a, "SELECT count(*) FROM letter"), "10");
    run(&mut a, "UPDATE crewsnow_ops.retention_policies SET batch_rows = 3");
    assert!(preview(&mut a, "letter").starts_with("DUE|10|0"), "the owner sees all rows");
    assert!(value(&mut a, RUN).ends_with(COMPLETED));
    assert_eq!(value(&mut a, "SELECT count(*) FROM letter"), "0");
}

#[test]
fn a_table_that_changed_after_its_policy_fails_alone() {
    let cluster = Cluster::start("gdpr_changed", "");
    let mut a = cluster.create_database("changed");
    run(
        &mut a,
        "CREATE TABLE gone (id int, at timestamptz); CREATE TABLE renamed (id int, at timestamptz);
         CREATE TABLE errs (id int, at timestamptz); CREATE TABLE fine (id int, at timestamptz);
         INSERT INTO errs VALUES (0, '2001-01-01'); INSERT INTO fine VALUES (0, '2001-01-01')",
    );
    define(&mut a, "gone", "at", "delete", ("", ""));
    define(&mut a, "renamed", "at", "delete", (", hold", ", 'id = 1'"));
    define(&mut a, "errs", "at", "delete", (", hold", ", '1 / id = 1'"));
    define(&mut a, "fine", "at", "delete", ("", ""));
    run(&mut a, "DROP TABLE gone; ALTER TABLE renamed RENAME id TO number");
    let verdicts = "SELECT policy, verdict, detail FROM crewsnow_ops.preview_retention()
        WHERE policy !~ 'built-in' ORDER BY policy";
    let told = rows(&mut a, verdicts);
    assert!(told[0].starts_with("errs|FAILED|22012 division_by_zero"), "{told:?}");
    assert!(told[1].starts_with("fine|DUE|"), "{told:?}");
    assert_eq!(told[2], "gone|FAILED|table public.gone does not exist");
    assert!(told[3].starts_with("renamed|FAILED|the hold is not a boolean expression"), "{told:?}");
    let report = value(&mut a, RUN);
    assert!(report.ends_with("GDPR maintenance incomplete: 3 failed"), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM fine"), "0");
    assert_eq!(value(&mut a, "SELECT count(*) FROM errs"), "1");
}

#[test]
fn policies_and_their_authors_survive_a_dump() {
    let cluster = Cluster::start("gdpr_dump", "");
    let mut a = cluster.create_database("source");
    run(
        &mut a,
        "CREATE ROLE clerk; SELECT crewsnow_ops.grant_access('clerk', 'admin');
         CREATE TABLE letter (id int PRIMARY KEY, at timestamptz, mail text);
         CREATE TABLE page (letter int REFERENCES letter ON DELETE CASCADE);
         INSERT INTO letter VALUES (1, '2001-01-01', 'a'), (2, now(), 'b'); SET ROLE clerk",
    );
    define(
        &mut a,
        "letter",
        "at",
        "delete",
        (", hold, cascades_to", ", 'letter.mail = ''b''', '{public.page}'"),
    );
    run(&mut a, "RESET ROLE");
    value(&mut a, RUN);
    cluster.create_empty_database("target");
    let dump = harness::must_run(
        harness::server_command("pg_dump")
            .arg("-h")
            .arg(cluster.socket())
            .args(["-U", "postgres"])
            .arg("source"),
    );
    let file = cluster.scratch().join("source.sql");
    std::fs::write(&file, dump).expect("the dump is written");
    harness::must_run(cluster.psql("target").args(["-v", "ON_ERROR_STOP=1", "-f"]).arg(&file));
    let mut b = cluster.connect("target");
    let policies = "SELECT p::text FROM crewsnow_ops.retention_policies AS p";
    assert_eq!(rows(&mut b, policies), rows(&mut a, policies));
    let runs = "SELECT r::text FROM crewsnow_ops.retention_runs AS r ORDER BY 1";
    assert_eq!(rows(&mut b, runs), rows(&mut a, runs));
    assert!(value(&mut b, policies).contains("clerk"));
}
