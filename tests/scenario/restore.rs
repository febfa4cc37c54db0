//! Restore tests of sound and of damaged dumps, by roles with and without privileges.

use crate::replication::wait_until;
use harness::{Cluster, explain, must_run, rows, run, sqlstate, value};
use postgres::Client;
use postgres::error::SqlState;
use std::path::{Path, PathBuf};
use std::process::Command;

const TEST: &str = "SELECT test_backup_restore_procedure()";
pub(crate) const REMAINS: &str =
    "SELECT datname FROM pg_database WHERE datname LIKE 'crewsnow_restore%'
    UNION ALL SELECT name FROM pg_ls_dir('base/pgsql_tmp', true, false) AS f (name)
    WHERE name ~ 'crewsnow'";

/// The report of a test of this backup.
pub(crate) fn report(client: &mut Client, path: &Path) -> String {
    let path = path.display().to_string().replace('\'', "''");
    value(client, &format!("SELECT test_backup_restore_procedure('{path}')"))
}

/// A backup directory of the server's OS user.
pub(crate) fn backup_directory(cluster: &Cluster) -> PathBuf {
    let directory = cluster.scratch().join("backups");
    let user = std::env::var("CREWSNOW_SERVER_USER").unwrap_or_default();
    must_run(Command::new("install").args(["-d", "-m", "0700"]).arg(&directory));
    if !user.is_empty() {
        must_run(Command::new("chown").arg(user).arg(&directory));
    }
    directory
}

/// A dump that the server's OS user makes.
pub(crate) fn dump(a: &mut Client, cluster: &Cluster, database: &str, format: &str) -> PathBuf {
    let path = backup_directory(cluster).join(format!("{database}.{format}"));
    let program = harness::program("pg_dump");
    // The server is its own shell here, so that its user owns the file.
    let sql = format!(
        "COPY (SELECT 1) TO PROGRAM $p$cat >/dev/null; \
            {} -h {} -U postgres -F {format} -f {} {database}$p$",
        program.display(),
        cluster.socket().display(),
        path.display()
    );
    run(a, &sql);
    path
}

/// A shop with keys, a sequence, policies, large objects and names that need quotes.
pub(crate) fn shop(cluster: &Cluster, name: &str) -> Client {
    let mut a = cluster.create_database(name);
    run(
        &mut a,
        "CREATE SCHEMA \"Ski Shop\";
         CREATE TABLE \"Ski Shop\".\"Order's\" (id bigserial PRIMARY KEY, mail text NOT NULL,
            note text, total int GENERATED ALWAYS AS (length(mail)) STORED);
         INSERT INTO \"Ski Shop\".\"Order's\" (mail, note)
            SELECT 'guest' || n, repeat(md5(n::text), n % 200) FROM generate_series(1, 2000) AS n;
         CREATE TABLE line (id int PRIMARY KEY, of_order bigint REFERENCES \"Ski Shop\".\"Order's\",
            price numeric CHECK (price >= 0));
         INSERT INTO line SELECT n, n % 2000 + 1, n / 7.0 FROM generate_series(1, 5000) AS n;
         CREATE INDEX line_order ON line (of_order);
         ALTER TABLE line ENABLE ROW LEVEL SECURITY;
         CREATE POLICY seen ON line USING (of_order < 1000);
         CREATE VIEW cheap AS SELECT * FROM line WHERE price < 10;
         CREATE MATERIALIZED VIEW sums AS SELECT of_order, sum(price) FROM line GROUP BY 1;
         CREATE SEQUENCE ticket START 5000; SELECT nextval('ticket');
         SELECT lo_from_bytea(0, 'a photo');",
    );
    a
}

#[test]
fn a_fresh_dump_is_restored_compared_and_removed() {
    let cluster = Cluster::start("restore_fresh", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    let report = value(&mut a, TEST);
    assert!(report.ends_with("\nBackup/restore procedure: VALIDATED"), "{report}");
    assert!(report.contains("fresh dump"), "{report}");
    let row = "SELECT kind, verdict, level, faults, rto_seconds > 0, rpo_seconds >= 0,
        restored_bytes > 0 FROM crewsnow_ops.restore_tests";
    assert_eq!(rows(&mut a, row), ["fresh dump|VALIDATED|4|[]|t|t|t"]);
    assert_eq!(rows(&mut a, REMAINS), [""; 0]);
    let evidence = "SELECT passed FROM crewsnow_ops.evidence WHERE criterion = 'restore-test'";
    assert_eq!(rows(&mut a, evidence), ["t"]);
    let progress = "SELECT task, verdict FROM crewsnow_ops.maintenance_runs
        WHERE step > 0 ORDER BY step";
    assert_eq!(rows(&mut a, progress), ["dump|DONE", "restore|DONE", "compare|DONE"]);
    let again = value(&mut a, TEST);
    assert!(again.ends_with("VALIDATED"), "a test of a tested database: {again}");
}

#[test]
fn dumps_of_every_format_restore_and_damaged_ones_are_named() {
    let cluster = Cluster::start("restore_formats", "fsync = off");
    let mut a = shop(&cluster, "shop");
    for (format, kind) in
        [("c", "custom dump"), ("d", "directory dump"), ("t", "tar dump"), ("p", "plain dump")]
    {
        // A plain dump cannot be restored in steps, so nothing looks at its functions.
        let trusts = if format == "p" { "on" } else { "off" };
        run(&mut a, &format!("SET crewsnow_ops.restore_trusts_owners = {trusts}"));
        let path = dump(&mut a, &cluster, "shop", format);
        let report = report(&mut a, &path);
        assert!(
            report.starts_with(&format!("Restore test of database shop: {kind} /")),
            "{report}"
        );
        assert!(!report.contains("FAULT") && report.contains("OK       2 restores"), "{report}");
        // Without a manifest nothing says that the content is that of the source.
        assert!(report.ends_with("ISSUES DETECTED"), "{report}");
    }
    let whole = backup_directory(&cluster).join("shop.c");
    let cut = backup_directory(&cluster).join("cut.c");
    let copy = format!(
        "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; head -c 30000 {} >{}'",
        whole.display(),
        cut.display()
    );
    run(&mut a, &copy);
    let report = report(&mut a, &cut);
    assert!(report.contains("\nFAULT    1 readable"), "{report}");
    assert!(report.contains("truncated"), "{report}");
    let failed = "SELECT passed FROM crewsnow_ops.evidence WHERE criterion = 'restore-test'
        ORDER BY sequence_number DESC LIMIT 1";
    assert_eq!(value(&mut a, failed), "f");
    assert_eq!(rows(&mut a, REMAINS), [""; 0]);
}

#[test]
fn the_newest_backup_on_record_is_taken_and_a_lost_or_old_one_is_told() {
    let cluster = Cluster::start("restore_record", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let path = dump(&mut a, &cluster, "shop", "c");
    run(
        &mut a,
        &format!(
            "INSERT INTO backup_log (backup_type, backup_status, backup_location, created_at)
             VALUES ('daily', 'completed', '{}', now() - interval '3 days'),
                ('daily', 'completed', 's3://elsewhere/shop', now() - interval '2 days'),
                ('daily', 'completed', '/var/lost.dump', now() - interval '1 day'),
                ('daily', 'failed', '/var/failed.dump', now() - interval '1 hour')",
            path.display()
        ),
    );
    let report = value(&mut a, TEST);
    for line in [
        "FAULT    0 fresh     /var/failed.dump: the newest backup",
        "FAULT    0 fresh     /var/lost.dump: the backup of ",
        "SKIPPED  0 fresh     s3://elsewhere/shop: this server cannot reach",
        "OK       2 restores",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert!(report.contains("the backup is 72 h old"), "{report}");
    assert!(report.ends_with("ISSUES DETECTED"), "{report}");
}

#[test]
fn bad_calls_are_refused_with_their_cure() {
    let cluster = Cluster::start("restore_bad", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(
        &mut a,
        "CREATE ROLE keeper LOGIN; SELECT crewsnow_ops.grant_access('keeper', 'admin');
         CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'operator')",
    );
    let mut keeper = cluster.connect_as("keeper", "shop");
    let refused = explain(&keeper.batch_execute(TEST).expect_err("no privilege"));
    assert!(refused.starts_with("42501"), "{refused}");
    assert!(refused.contains("GRANT pg_execute_server_program TO keeper;"), "{refused}");
    let mut reader = cluster.connect_as("reader", "shop");
    assert_eq!(sqlstate(&mut reader, TEST), "42501");
    run(&mut a, "GRANT pg_execute_server_program TO keeper");
    let refused = explain(&keeper.batch_execute(TEST).expect_err("no superuser"));
    assert!(refused.starts_with("42501") && refused.contains("restore_connection"), "{refused}");
    run(&mut a, "REVOKE pg_execute_server_program FROM keeper");
    let wait = "SELECT crewsnow_ops.await_restore_test('/')";
    assert_eq!(sqlstate(&mut keeper, wait), "42501");
    let named = |path: &str| format!("SELECT test_backup_restore_procedure('{path}')");
    assert_eq!(sqlstate(&mut a, &named("shop.dump")), "22023");
    assert_eq!(sqlstate(&mut a, &named("/absent/shop.dump")), "58P01");
    assert_eq!(sqlstate(&mut a, &format!("BEGIN; {TEST}")), "25001");
    run(&mut a, "ROLLBACK; SET default_transaction_read_only = on");
    assert_eq!(sqlstate(&mut a, TEST), "25006");
    run(&mut a, "RESET default_transaction_read_only; SET crewsnow_ops.restore_max_size = '1MB'");
    assert_eq!(sqlstate(&mut a, TEST), "54000");
    run(&mut a, "RESET crewsnow_ops.restore_max_size");
    run(&mut a, "SET crewsnow_ops.restore_connection = 'password=x'");
    assert_eq!(sqlstate(&mut a, TEST), "22023");
    run(&mut a, "RESET crewsnow_ops.restore_connection");
    run(&mut a, "SET crewsnow_ops.restore_connection = 'port=1'");
    let refused = explain(&a.batch_execute(TEST).expect_err("no server"));
    assert!(refused.starts_with("58000 pg_dump failed"), "{refused}");
    run(&mut a, "RESET crewsnow_ops.restore_connection");
    wait_until("nothing remains", || rows(&mut a, REMAINS).is_empty());
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.restore_tests"), "0");
}

#[test]
fn a_second_test_of_a_database_says_who_runs_the_first() {
    let cluster = Cluster::start("restore_twice", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let mut b = cluster.connect("shop");
    run(&mut b, "BEGIN; LOCK TABLE line IN SHARE UPDATE EXCLUSIVE MODE");
    let mut first = cluster.connect("shop");
    let pid = value(&mut first, "SELECT pg_backend_pid()");
    // pg_dump waits for this lock.
    run(&mut b, "LOCK TABLE line");
    let first = std::thread::spawn(move || first.batch_execute(TEST).map_err(|e| explain(&e)));
    let progress = "SELECT count(*) FROM crewsnow_ops.maintenance_progress";
    wait_until("the first test", || value(&mut a, progress) != "0");
    let refused = explain(&a.batch_execute(TEST).expect_err("two at once"));
    assert!(refused.starts_with("55006") && refused.contains(&pid), "{refused}");
    let refused = first.join().expect("the first test").expect_err("a locked table");
    let blocker = value(&mut b, "SELECT pg_backend_pid()");
    assert!(refused.starts_with("55P03") && refused.contains(&blocker), "{refused}");
    run(&mut b, "ROLLBACK");
    wait_until("nothing remains", || rows(&mut a, REMAINS).is_empty());
}

#[test]
fn a_restore_runs_no_function_of_another_role() {
    let cluster = Cluster::start("restore_code", "fsync = off");
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "CREATE ROLE guest LOGIN; CREATE SCHEMA guest AUTHORIZATION guest;
         SET ROLE guest;
         CREATE FUNCTION guest.take_over(text) RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN
                IF current_setting('is_superuser') = 'on' THEN
                    EXECUTE 'ALTER ROLE guest SUPERUSER';
                END IF;
                RETURN true;
            END $$;
         CREATE TABLE guest.note (text text CHECK (guest.take_over(text)));
         INSERT INTO guest.note VALUES ('a note');
         RESET ROLE",
    );
    let report = value(&mut a, TEST);
    let line = "SKIPPED  2 restores  note_text_check on guest.note: constraint calls \
        guest.take_over(text) of role guest";
    assert!(report.contains(line), "{report}");
    let path = dump(&mut a, &cluster, "shop", "c");
    let archived = self::report(&mut a, &path);
    assert!(archived.contains(line), "{archived}");
    let path = dump(&mut a, &cluster, "shop", "p");
    let plain = self::report(&mut a, &path);
    assert!(plain.contains("SKIPPED  2 restores  a plain dump runs as a whole"), "{plain}");
    assert!(report.ends_with("ISSUES DETECTED"), "{report}");
    assert_eq!(value(&mut a, "SELECT rolsuper FROM pg_roles WHERE rolname = 'guest'"), "f");
    run(&mut a, "SET crewsnow_ops.restore_trusts_owners = on");
    let report = value(&mut a, TEST);
    assert!(report.ends_with("VALIDATED"), "{report}");
    // The setting means that.
    assert_eq!(value(&mut a, "SELECT rolsuper FROM pg_roles WHERE rolname = 'guest'"), "t");
}

#[test]
fn no_client_role_connects_to_the_restored_rows() {
    let cluster = Cluster::start("restore_private", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(&mut a, "CREATE ROLE visitor LOGIN; GRANT SELECT ON line TO PUBLIC");
    run(&mut a, "INSERT INTO line SELECT n, 1, 1 FROM generate_series(10000, 300000) AS n");
    let mut runner = cluster.connect("shop");
    let runner = std::thread::spawn(move || value(&mut runner, TEST));
    let (mut tries, mut refused) = (0, 0);
    while !runner.is_finished() {
        for name in rows(&mut a, "SELECT datname FROM pg_database WHERE datname ~ '^crewsnow_r'") {
            tries += 1;
            let mut config = postgres::Config::new();
            config.host_path(cluster.socket()).port(cluster.port()).user("visitor").dbname(&name);
            refused += usize::from(config.connect(postgres::NoTls).is_err());
        }
    }
    let report = runner.join().expect("the test");
    assert!(report.ends_with("VALIDATED"), "{report}");
    assert!(tries > 0 && tries == refused, "{refused} of {tries} refused");
}

/// Ways in which a table owner could have a test run code: an index whose constant the planner
/// evaluates, a built-in that runs SQL text, the bound of a partition, and a cast of a foreign key.
const TRAPS: [(&str, &str); 4] = [
    ("index", "CREATE TABLE trap (id int); CREATE INDEX ON trap (guest.run(1));"),
    (
        "text",
        "CREATE TABLE trap (id int CHECK (query_to_xml('SELECT guest.run(2)', true, true, '')
            IS NOT NULL)); INSERT INTO trap VALUES (1);",
    ),
    (
        "bound",
        "CREATE DOMAIN number AS int CHECK (guest.run(3) IS NOT NULL);
         CREATE TABLE trap (id number) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF trap FOR VALUES FROM (1) TO (10);",
    ),
    (
        "cast",
        "CREATE TYPE size AS ENUM ('s', 'm');
         CREATE FUNCTION guest.number_of(size) RETURNS int IMMUTABLE LANGUAGE sql
            RETURN guest.run(4) + 1;
         CREATE CAST (size AS int) WITH FUNCTION guest.number_of(size) AS IMPLICIT;
         CREATE TABLE whole (id int PRIMARY KEY); INSERT INTO whole VALUES (1);
         CREATE TABLE trap (id size REFERENCES whole); INSERT INTO trap VALUES ('s');",
    ),
];

#[test]
fn no_expression_of_a_table_owner_runs_as_the_role_that_tests() {
    let cluster = Cluster::start("restore_traps", "fsync = off");
    for (name, trap) in TRAPS {
        let database = format!("trap_{name}");
        let mut a = cluster.create_database(&database);
        run(
            &mut a,
            &format!(
                "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN;
                 CREATE SCHEMA guest AUTHORIZATION guest; SET search_path = guest, public;
                 SET ROLE guest;
                 CREATE FUNCTION guest.leap() RETURNS int LANGUAGE plpgsql AS $$
                    BEGIN
                        IF current_setting('is_superuser') = 'on' AND current_user <> 'guest' THEN
                            EXECUTE 'ALTER ROLE guest SUPERUSER';
                        END IF;
                        RETURN 0;
                    END $$;
                 CREATE FUNCTION guest.run(int) RETURNS int IMMUTABLE LANGUAGE sql
                    AS 'SELECT guest.leap()';
                 {trap}
                 RESET ROLE; RESET search_path"
            ),
        );
        let path = dump(&mut a, &cluster, &database, "c");
        let fresh = value(&mut a, TEST);
        let archived = report(&mut a, &path);
        run(&mut a, "SELECT crewsnow_ops.record_backup('/var/backups/none', 'daily')");
        let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'guest'";
        assert_eq!(value(&mut a, superuser), "f", "{name}\n{fresh}\n{archived}");
        for report in [fresh, archived] {
            assert!(report.ends_with("ISSUES DETECTED"), "{name}: {report}");
            assert!(report.contains("restore_trusts_owners"), "{name}: {report}");
        }
        run(&mut a, "DROP OWNED BY guest CASCADE");
    }
}

#[test]
fn a_session_s_own_directory_is_emptied_after_a_cancel() {
    let cluster = Cluster::start("restore_directory", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let own = backup_directory(&cluster);
    let mut random = harness::random::Random(3);
    for _ in 0..6 {
        let mut session = cluster.connect("shop");
        let cancel = session.cancel_token();
        run(&mut session, &format!("SET crewsnow_ops.restore_directory = '{}'", own.display()));
        let session = std::thread::spawn(move || session.batch_execute(TEST));
        std::thread::sleep(std::time::Duration::from_millis(150 + random.below(500) as u64));
        cancel.cancel_query(postgres::NoTls).expect("a cancel");
        // A test that was quick enough ends well.
        if let Err(error) = session.join().expect("the end of the session") {
            assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
        }
        let files = format!("SELECT name FROM pg_ls_dir('{}') AS f (name)", own.display());
        wait_until("nothing remains", || {
            rows(&mut a, REMAINS).is_empty() && rows(&mut a, &files).is_empty()
        });
    }
}

#[test]
fn a_backup_on_record_is_one_of_this_database() {
    let cluster = Cluster::start("restore_other", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let mut other = cluster.create_database("hotel");
    let path = dump(&mut other, &cluster, "hotel", "c");
    let record = format!("SELECT crewsnow_ops.record_backup('{}', 'daily')", path.display());
    run(&mut a, &record);
    let report = value(&mut a, TEST);
    let line = "FAULT    1 readable  the backup is one of database hotel, not of this one";
    assert!(report.contains(line), "{report}");
    // Records and manifests restore in any order.
    run(&mut a, "UPDATE backup_log SET backup_location = NULL");
    let report = value(&mut a, TEST);
    assert!(report.ends_with("VALIDATED"), "{report}");
}
