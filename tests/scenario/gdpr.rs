//! run_gdpr_maintenance and its preview: which rows go, which stay, and what the report says.

use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

pub const RUN: &str = "SELECT run_gdpr_maintenance()";
pub const COMPLETED: &str = "GDPR maintenance completed";

/// The verdict, the numbers and the detail of a policy in the preview.
pub fn preview(a: &mut Client, policy: &str) -> String {
    let sql = format!(
        "SELECT verdict, expired, held, detail FROM crewsnow_ops.preview_retention('{policy}')"
    );
    rows(a, &sql).join("\n")
}

/// The verdict and the changed rows of the last step of a policy.
pub fn last_step(a: &mut Client, policy: &str) -> String {
    let sql = format!(
        "SELECT verdict, changed_rows FROM crewsnow_ops.retention_runs WHERE policy = '{policy}' \
         ORDER BY started_at DESC, step DESC LIMIT 1"
    );
    rows(a, &sql).join("\n")
}

/// Defines a policy that keeps rows for 30 days. `more` is further columns and their values.
pub fn define(a: &mut Client, name: &str, column: &str, action: &str, more: (&str, &str)) {
    let sql = format!(
        "INSERT INTO crewsnow_ops.retention_policies
            (name, target, time_column, keep, action, legal_basis{})
         VALUES ('{name}', 'public.{name}', '{column}', '30 days', '{action}', 'contract'{})",
        more.0, more.1
    );
    run(a, &sql);
}

#[test]
fn a_hold_is_kept_by_preview_and_run_alike() {
    let cluster = Cluster::start("gdpr_hold", "");
    let mut a = cluster.create_database("hold");
    run(
        &mut a,
        "CREATE TABLE orders (id int PRIMARY KEY, at timestamptz, disputed boolean);
         CREATE INDEX ON orders (at);
         INSERT INTO orders SELECT n, now() + interval '1 hour' - n * interval '1 day',
            CASE n % 4 WHEN 0 THEN true WHEN 1 THEN NULL ELSE false END
         FROM generate_series(1, 400) AS n;
         INSERT INTO orders VALUES (1001, 'infinity', false), (1002, '-infinity', false),
            (1003, NULL, false), (1004, now() + interval '1 year', false)",
    );
    define(&mut a, "orders", "at", "delete", (", hold, batch_rows", ", 'disputed', 50"));
    let before = preview(&mut a, "orders");
    assert!(before.starts_with("DUE|185|185|4 rows never expire"), "{before}");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert!(report.contains("185 rows deleted in 8 batches, 185 held"), "{report}");
    assert_eq!(last_step(&mut a, "orders"), "DONE|185");
    let held = "SELECT count(*) FILTER (WHERE disputed), count(*) FILTER (WHERE disputed IS NULL),
        count(*) FILTER (WHERE id > 1000) FROM orders";
    assert_eq!(rows(&mut a, held), ["100|100|4"]);
    assert!(preview(&mut a, "orders").starts_with("CLEAR|0|185|"));
    // A hold that is set before the run counts in the run.
    run(&mut a, "UPDATE orders SET disputed = false WHERE id <= 400");
    assert!(preview(&mut a, "orders").starts_with("DUE|185|0|"));
    run(&mut a, "UPDATE orders SET disputed = true WHERE id BETWEEN 101 AND 200");
    value(&mut a, RUN);
    assert_eq!(value(&mut a, "SELECT count(*) FROM orders WHERE id BETWEEN 101 AND 200"), "50");
    assert_eq!(value(&mut a, "SELECT count(*) FROM orders WHERE id BETWEEN 201 AND 400"), "0");
}

#[test]
fn rows_are_anonymised_once_and_only_where_they_differ() {
    let cluster = Cluster::start("gdpr_anonymise", "");
    let mut a = cluster.create_database("anonymise");
    run(
        &mut a,
        "CREATE TABLE guest (id int PRIMARY KEY, left_on date, name varchar(20), mail text,
            age int, tags jsonb);
         INSERT INTO guest SELECT n, current_date - n, 'guest ' || n, 'g' || n || '@a.example', n,
            '{\"vip\": true}' FROM generate_series(1, 90) AS n",
    );
    let replacements = r#"{"name": "removed", "mail": null, "age": "0", "tags": {}}"#;
    define(
        &mut a,
        "guest",
        "left_on",
        "anonymise",
        (", replacements, batch_rows", &format!(", '{replacements}', 7")),
    );
    assert!(preview(&mut a, "guest").starts_with("DUE|60|0|"));
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(last_step(&mut a, "guest"), "DONE|60");
    let changed = "SELECT count(*) FROM guest WHERE name = 'removed' AND mail IS NULL AND age = 0
        AND tags = '{}' AND left_on < current_date - 30";
    assert_eq!(value(&mut a, changed), "60");
    assert_eq!(value(&mut a, "SELECT count(*) FROM guest WHERE mail IS NOT NULL"), "30");
    assert!(preview(&mut a, "guest").starts_with("CLEAR|0|0|60 expired rows are anonymised"));
    value(&mut a, RUN);
    assert_eq!(last_step(&mut a, "guest"), "DONE|0");
    run(&mut a, "UPDATE guest SET mail = 'again@a.example' WHERE id = 77");
    assert!(preview(&mut a, "guest").starts_with("DUE|1|0|"));
}

#[test]
fn only_partitions_go_of_which_every_row_has_expired_and_none_is_held() {
    let cluster = Cluster::start("gdpr_partitions", "");
    let mut a = cluster.create_database("partitions");
    run(
        &mut a,
        "CREATE TABLE visit (at timestamp NOT NULL, who text) PARTITION BY RANGE (at);
         DO $$ BEGIN FOR n IN 0..5 LOOP EXECUTE format(
            'CREATE TABLE visit_%s PARTITION OF visit FOR VALUES FROM (%L) TO (%L)', n,
            current_date - 20 * (n + 1), current_date - 20 * n); END LOOP; END $$;
         INSERT INTO visit SELECT current_date - n, 'v' || n FROM generate_series(1, 119) AS n",
    );
    define(&mut a, "visit", "at", "drop partition", (", hold", ", 'who = ''v90'''"));
    let before = preview(&mut a, "visit");
    assert!(before.starts_with("DUE|59|1|19 expired rows stay beside a held one"), "{before}");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "a hold is no fault: {report}");
    let left = "SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'visit'::regclass ORDER BY 1";
    let names = rows(&mut a, left);
    assert_eq!(names, ["visit_0", "visit_1", "visit_4"], "{report}");
    let steps = "SELECT sum(changed_rows), count(*) FILTER (WHERE verdict = 'DONE')
        FROM crewsnow_ops.retention_runs WHERE policy = 'visit'";
    assert_eq!(rows(&mut a, steps), ["59|3"]);
    // The last range stays even when it has expired, and the default partition is told.
    run(
        &mut a,
        "UPDATE crewsnow_ops.retention_policies SET hold = NULL, keep = '1 day';
         DROP TABLE visit_0; CREATE TABLE visit_other PARTITION OF visit DEFAULT;
         INSERT INTO visit VALUES ('2001-01-01', 'old')",
    );
    let report = value(&mut a, RUN);
    assert!(report.contains("1 expired rows are in the default partition"), "{report}");
    assert_eq!(rows(&mut a, left), ["visit_1", "visit_other"]);
}

#[test]
fn a_drop_that_readers_prevent_is_left_with_their_name() {
    let cluster = Cluster::start("gdpr_reader", "");
    let mut a = cluster.create_database("reader");
    run(
        &mut a,
        "CREATE TABLE visit (at date NOT NULL) PARTITION BY RANGE (at);
         CREATE TABLE visit_old PARTITION OF visit FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
         CREATE TABLE visit_new PARTITION OF visit FOR VALUES FROM ('2002-01-01') TO (MAXVALUE);
         INSERT INTO visit VALUES ('2001-05-05')",
    );
    define(&mut a, "visit", "at", "drop partition", ("", ""));
    let mut reader = cluster.connect("reader");
    let pid = value(&mut reader, "SELECT pg_backend_pid()");
    run(&mut reader, "BEGIN; SELECT FROM visit");
    let report = value(&mut a, RUN);
    assert!(report.contains(&format!("process {pid} (idle in transaction")), "{report}");
    assert!(report.ends_with("GDPR maintenance incomplete: 1 not done"), "{report}");
    run(&mut reader, "COMMIT");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
}

#[test]
fn foreign_keys_reach_no_further_than_the_policy_says() {
    let cluster = Cluster::start("gdpr_keys", "");
    let mut a = cluster.create_database("keys");
    run(
        &mut a,
        "CREATE TABLE customer (id int PRIMARY KEY, seen date);
         CREATE TABLE invoice (id int PRIMARY KEY, customer int REFERENCES customer, at date);
         CREATE TABLE line (invoice int REFERENCES invoice ON DELETE CASCADE);
         CREATE TABLE scan (line int, invoice int REFERENCES invoice ON DELETE SET NULL);
         INSERT INTO customer SELECT n, current_date - n FROM generate_series(1, 100) AS n;
         INSERT INTO invoice SELECT n, n, current_date - n FROM generate_series(20, 70) AS n;
         INSERT INTO line SELECT n FROM generate_series(20, 70) AS n;
         INSERT INTO scan SELECT n, n FROM generate_series(20, 70) AS n",
    );
    define(&mut a, "customer", "seen", "delete", ("", ""));
    define(&mut a, "invoice", "at", "delete", ("", ""));
    let told = "SELECT detail, command FROM crewsnow_ops.preview_retention('invoice')";
    let told = rows(&mut a, told).join("\n");
    assert!(told.starts_with("foreign keys would also change rows of public.line, public.scan|"));
    let report = value(&mut a, RUN);
    assert!(report.ends_with("GDPR maintenance incomplete: 1 not done"), "{report}");
    // Customers with invoices stay.
    assert_eq!(value(&mut a, "SELECT count(*) FROM customer"), "70");
    assert_eq!(value(&mut a, "SELECT count(*) FROM line"), "51");
    let command = told.split_once('|').expect("a command").1;
    run(&mut a, command);
    // Invoices go first, and then the customers that they referred to.
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM customer"), "30");
    assert_eq!(value(&mut a, "SELECT count(*) FROM line"), "11");
    assert_eq!(value(&mut a, "SELECT count(*) FROM scan WHERE invoice IS NULL"), "40");
    // A row that a cascade reaches may be held by its own policy.
    run(&mut a, "ALTER TABLE line ADD at date; INSERT INTO customer VALUES (500, '2001-01-01')");
    define(&mut a, "line", "at", "delete", (", hold", ", 'true'"));
    let held = preview(&mut a, "invoice");
    assert!(held.starts_with("SKIPPED|NULL|NULL|foreign keys would change rows of public.line"));
}

#[test]
fn triggers_that_keep_rows_are_told_and_stop_no_other_policy() {
    let cluster = Cluster::start("gdpr_triggers", "");
    let mut a = cluster.create_database("triggers");
    run(
        &mut a,
        "CREATE FUNCTION keep_even() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RETURN CASE WHEN old.id % 2 = 0 THEN NULL ELSE old END; END';
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE ''the secret of %'', old.id; END';
         CREATE FUNCTION restore_name() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN new.name := old.name; RETURN new; END';
         CREATE TABLE kept (id int, at timestamptz);
         CREATE INDEX ON kept (at);
         CREATE TABLE refused (id int, at timestamptz);
         CREATE TABLE named (id int, at timestamptz, name text);
         CREATE TABLE healthy (id int, at timestamptz);
         INSERT INTO kept SELECT n, now() + interval '1 hour' - n * interval '1 day'
            FROM generate_series(1, 130) AS n;
         INSERT INTO refused TABLE kept; INSERT INTO healthy TABLE kept;
         INSERT INTO named SELECT id, at, 'Ann' FROM kept;
         CREATE TRIGGER t BEFORE DELETE ON kept FOR EACH ROW EXECUTE FUNCTION keep_even();
         CREATE TRIGGER t BEFORE DELETE ON refused FOR EACH ROW EXECUTE FUNCTION refuse();
         CREATE TRIGGER t BEFORE UPDATE ON named FOR EACH ROW EXECUTE FUNCTION restore_name()",
    );
    define(&mut a, "kept", "at", "delete", (", batch_rows", ", 8"));
    define(&mut a, "refused", "at", "delete", ("", ""));
    define(&mut a, "named", "at", "anonymise", (", replacements", ", '{\"name\": \"gone\"}'"));
    define(&mut a, "healthy", "at", "delete", ("", ""));
    let report = value(&mut a, RUN);
    assert!(report.ends_with("GDPR maintenance incomplete: 3 failed"), "{report}");
    assert!(
        report.contains("public.kept: a trigger keeps expired rows, 50 rows deleted"),
        "{report}"
    );
    assert!(!report.contains("secret"), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM kept"), "80");
    assert_eq!(value(&mut a, "SELECT count(*) FROM refused"), "130");
    assert_eq!(value(&mut a, "SELECT count(*) FROM healthy"), "30");
    assert_eq!(last_step(&mut a, "named"), "FAILED|0");
    let detail = "SELECT detail FROM crewsnow_ops.retention_runs WHERE policy = 'kept'";
    assert!(value(&mut a, detail).contains("50 expired rows left"));
    run(&mut a, "DROP TRIGGER t ON kept; DROP TRIGGER t ON refused; DROP TRIGGER t ON named");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM refused"), "30");
}

#[test]
fn locked_rows_and_tables_are_left_to_the_next_run() {
    let cluster = Cluster::start("gdpr_locks", "");
    let mut a = cluster.create_database("locks");
    run(
        &mut a,
        "CREATE TABLE letter (id int PRIMARY KEY, at timestamptz);
         CREATE INDEX ON letter (at);
         INSERT INTO letter SELECT n, now() + interval '1 hour' - n * interval '1 day'
            FROM generate_series(1, 130) AS n;
         CREATE TABLE locked (id int, at timestamptz); INSERT INTO locked TABLE letter;
         CREATE TABLE heap (id int, at timestamptz); INSERT INTO heap TABLE letter",
    );
    for table in ["letter", "locked", "heap"] {
        define(&mut a, table, "at", "delete", (", batch_rows", ", 30"));
    }
    let mut other = cluster.connect("locks");
    let pid = value(&mut other, "SELECT pg_backend_pid()");
    run(
        &mut other,
        "BEGIN; SELECT FROM letter WHERE id IN (60, 90) FOR UPDATE;
         SELECT FROM heap WHERE id IN (61, 91, 92) FOR UPDATE;
         LOCK TABLE locked IN ACCESS EXCLUSIVE MODE",
    );
    let report = value(&mut a, RUN);
    assert!(report.ends_with("GDPR maintenance incomplete: 3 not done"), "{report}");
    assert!(report.contains(&format!("public.locked: process {pid} (idle in transaction")));
    assert!(report.contains("rows are locked by other sessions, 98 rows deleted"), "{report}");
    assert!(report.contains("rows are locked by other sessions, 97 rows deleted"), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM letter"), "32");
    run(&mut other, "ROLLBACK");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM letter"), "30");
    assert_eq!(value(&mut a, "SELECT count(*) FROM locked"), "30");
}

#[test]
fn a_cap_and_the_time_of_a_run_are_kept_and_the_next_run_goes_on() {
    let cluster = Cluster::start("gdpr_limits", "");
    let mut a = cluster.create_database("limits");
    run(
        &mut a,
        "CREATE TABLE letter (id int PRIMARY KEY, at timestamptz);
         INSERT INTO letter SELECT n, now() - interval '90 days' FROM generate_series(1, 100) AS n;
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(0.1); RETURN old; END'",
    );
    define(&mut a, "letter", "at", "delete", (", batch_rows, max_rows", ", 8, 20"));
    let detail = preview(&mut a, "letter");
    assert!(detail.starts_with("DUE|100|0|one run changes 20 rows"), "{detail}");
    let report = value(&mut a, RUN);
    assert!(
        report.contains("20 rows deleted in 3 batches, as many as max_rows allows"),
        "{report}"
    );
    assert!(report.ends_with(COMPLETED), "{report}");
    run(
        &mut a,
        "UPDATE crewsnow_ops.retention_policies SET max_rows = NULL;
         CREATE TRIGGER t BEFORE DELETE ON letter FOR EACH ROW EXECUTE FUNCTION wait();
         SET crewsnow_ops.retention_budget = '3s'",
    );
    let report = value(&mut a, RUN);
    assert!(report.contains("the time of the run was over"), "{report}");
    let left: i64 = value(&mut a, "SELECT count(*) FROM letter").parse().expect("a number");
    assert!((40..80).contains(&left) && left % 8 == 0, "whole batches: {left}");
    run(&mut a, "DROP TRIGGER t ON letter");
    assert!(value(&mut a, RUN).ends_with(COMPLETED));
    assert_eq!(value(&mut a, "SELECT count(*) FROM letter"), "0");
    let sum = "SELECT sum(changed_rows) FROM crewsnow_ops.retention_runs WHERE policy = 'letter'";
    assert_eq!(value(&mut a, sum), "100");
}

#[test]
fn nothing_is_done_where_batches_cannot_be_committed() {
    let cluster = Cluster::start("gdpr_alone", "max_worker_processes = 0");
    let mut a = cluster.create_database("alone");
    run(
        &mut a,
        "CREATE TABLE letter (id int, at timestamptz);
         INSERT INTO letter VALUES (1, '2001-01-01')",
    );
    define(&mut a, "letter", "at", "delete", ("", ""));
    let report = value(&mut a, RUN);
    assert!(report.ends_with("GDPR maintenance incomplete: 2 not done"), "{report}");
    assert!(report.contains("no slot was free"), "{report}");
    run(&mut a, "BEGIN");
    let report = value(&mut a, RUN);
    assert!(report.contains("the call is in a transaction block"), "{report}");
    run(&mut a, "COMMIT");
    assert_eq!(value(&mut a, "SELECT count(*) FROM letter"), "1");
    run(&mut a, "SET default_transaction_read_only = on");
    assert_eq!(sqlstate(&mut a, RUN), "25006");
    assert!(preview(&mut a, "letter").starts_with("DUE|1|0"), "a preview is read-only");
}

#[test]
fn partitions_and_children_are_swept_one_by_one() {
    let cluster = Cluster::start("gdpr_leaves", "");
    let mut a = cluster.create_database("leaves");
    run(
        &mut a,
        "CREATE TABLE tree (id int, at date, kind text) PARTITION BY LIST (kind);
         CREATE TABLE tree_a PARTITION OF tree FOR VALUES IN ('a');
         CREATE TABLE tree_b (extra int, kind text, at date, id int);
         ALTER TABLE tree_b DROP COLUMN extra; ALTER TABLE tree ATTACH PARTITION tree_b DEFAULT;
         CREATE INDEX ON tree_b (at);
         CREATE TABLE root (id int, at date); CREATE TABLE branch (more text) INHERITS (root);
         INSERT INTO tree SELECT n, current_date - n, CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END
            FROM generate_series(1, 130) AS n;
         INSERT INTO root SELECT n, current_date - n FROM generate_series(1, 130) AS n;
         INSERT INTO branch SELECT n, current_date - n, 'x' FROM generate_series(1, 130) AS n",
    );
    define(&mut a, "tree", "at", "delete", (", batch_rows, hold", ", 9, 'tree.id = 77'"));
    define(&mut a, "root", "at", "delete", ("", ""));
    assert!(preview(&mut a, "tree").starts_with("DUE|99|1|"));
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(rows(&mut a, "SELECT count(*), max(id) FROM tree"), ["31|77"]);
    assert_eq!(value(&mut a, "SELECT count(*) FROM ONLY root"), "30");
    assert_eq!(value(&mut a, "SELECT count(*) FROM branch"), "30");
}
