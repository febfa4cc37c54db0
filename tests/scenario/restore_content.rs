//! Contents of restored databases: of every kind of object, beside a manifest, and beside a source
//! that changed meanwhile.

use crate::maintenance_schedule::with_cron;
use crate::restore::{backup_directory, report, shop};
use crate::restore_backups::base_backup;
use harness::{Cluster, has_extension, must_run, root, rows, run, sqlstate, value};
use postgres::Client;
use std::path::PathBuf;

const TEST: &str = "SELECT test_backup_restore_procedure()";

/// Dumps a database with the server's programs and user. `options` are of pg_dump.
fn dump(a: &mut Client, cluster: &Cluster, database: &str, options: &str) -> PathBuf {
    let path = backup_directory(cluster).join(format!("{database}.dump"));
    let sql = format!(
        "COPY (SELECT 1) TO PROGRAM $p$cat >/dev/null; \
            {} -h {} -U postgres -Fc {options} -f {} {database}$p$",
        harness::program("pg_dump").display(),
        cluster.socket().display(),
        path.display()
    );
    run(a, &sql);
    path
}

fn record(a: &mut Client, path: &std::path::Path) {
    value(a, &format!("SELECT crewsnow_ops.record_backup('{}', 'daily')", path.display()));
}

/// The lines of a report that name faults.
fn faults(report: &str) -> Vec<&str> {
    report.lines().filter(|line| line.starts_with("FAULT")).collect()
}

#[test]
fn a_database_with_an_object_of_every_kind_restores_without_a_fault() {
    let cluster = Cluster::start("restore_content_rich", "fsync = off");
    let mut a = cluster.create_database("rich");
    let needed = ["pg_trgm", "btree_gist", "hstore", "citext", "postgres_fdw", "lo", "amcheck"];
    if !needed.iter().all(|name| has_extension(&mut a, name)) {
        return;
    }
    let script = root().join("tests/scenario/restore_content.sql");
    must_run(
        cluster
            .psql("rich")
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f"])
            .arg(script),
    );
    run(&mut a, "SELECT crewsnow_ops.sample_health(); CREATE EXTENSION amcheck");
    for round in ["first", "second"] {
        let report = value(&mut a, TEST);
        assert_eq!(faults(&report), [""; 0], "{round}: {report}");
        assert!(report.ends_with("\nBackup/restore procedure: VALIDATED"), "{report}");
        assert!(report.contains("tables and indexes sound"), "{report}");
    }
}

#[test]
fn a_source_in_use_is_compared_by_one_snapshot() {
    let cluster = Cluster::start("restore_content_busy", "fsync = off");
    let mut a = shop(&cluster, "busy");
    let mut writer = cluster.connect("busy");
    let worker = std::thread::spawn(move || {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(8);
        while std::time::Instant::now() < until {
            run(
                &mut writer,
                "SELECT nextval('ticket'), crewsnow_ops.sample_health();
                UPDATE line SET price = price + 1 WHERE id = 1;
                INSERT INTO \"Ski Shop\".\"Order's\" (mail) VALUES ('new')",
            );
        }
    });
    let report = value(&mut a, TEST);
    worker.join().expect("a writer");
    assert_eq!(faults(&report), [""; 0], "{report}");
}

#[test]
fn a_backup_is_compared_with_its_manifest_and_not_with_the_present() {
    let cluster = Cluster::start("restore_content_manifest", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let mut other = cluster.connect("shop");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    let snapshot = value(&mut a, "SELECT pg_export_snapshot()");
    run(&mut other, "UPDATE line SET price = 0; SELECT crewsnow_ops.sample_health()");
    let path = dump(&mut other, &cluster, "shop", &format!("--snapshot={snapshot}"));
    record(&mut a, &path);
    run(&mut a, "COMMIT");
    run(&mut a, "DROP POLICY seen ON line; DELETE FROM line WHERE id > 10; DROP VIEW cheap");
    let sound = value(&mut a, TEST);
    assert_eq!(faults(&sound), [""; 0], "{sound}");
    assert!(sound.ends_with("VALIDATED"), "{sound}");
    // Another dump in the place of the recorded one is of another moment: that of the source now.
    dump(&mut a, &cluster, "shop", "");
    let as_now = report(&mut a, &path);
    assert!(as_now.ends_with("VALIDATED"), "{as_now}");
    run(&mut a, "UPDATE line SET price = 1");
    let other = report(&mut a, &path);
    assert!(other.contains("the source may have changed since the backup"), "{other}");
    assert!(other.ends_with("ISSUES DETECTED"), "{other}");
}

#[test]
fn without_a_shared_snapshot_only_unchanged_tables_are_compared() {
    let cluster = Cluster::start("restore_content_near", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let path = backup_directory(&cluster).join("shop.dump");
    run(&mut a, "CREATE TABLE visit AS SELECT generate_series(1, 1000) AS n");
    record(&mut a, &path);
    // The dump lacks a row and a policy that the source has before and after it.
    run(
        &mut a,
        "CREATE TABLE kept AS SELECT * FROM line WHERE id = 7; DELETE FROM line WHERE id = 7;
         DELETE FROM visit; DROP POLICY seen ON line;
         UPDATE \"Ski Shop\".\"Order's\" SET note = 'x' WHERE id = 1",
    );
    dump(&mut a, &cluster, "shop", "");
    run(
        &mut a,
        "INSERT INTO line SELECT * FROM kept; DROP TABLE kept;
         CREATE POLICY seen ON line USING (of_order < 1000);
         INSERT INTO visit SELECT generate_series(1, 1001);
         UPDATE \"Ski Shop\".\"Order's\" SET note = 'y' WHERE id = 1",
    );
    let report = value(&mut a, TEST);
    let found = faults(&report);
    assert!(found.iter().any(|line| line.contains("content public.line: 1 lost")), "{report}");
    assert!(found.iter().any(|l| l.contains("policy seen on public.line: missing")), "{report}");
    assert!(!found.iter().any(|line| line.contains("Ski Shop")), "{report}");
    let lost = "public.visit: 0 rows, fewer than the 1000 of the manifest and the 1001 of now";
    assert!(found.iter().any(|line| line.contains(lost)), "{report}");
    let changed = "content \"Ski Shop\".\"Order's\": the same number of rows";
    assert!(report.contains(changed), "{report}");
}

#[test]
fn a_database_with_jobs_of_pg_cron_restores_without_a_fault() {
    let Some((_cluster, mut a)) = with_cron("restore_content_cron", "fsync = off") else { return };
    run(&mut a, "SELECT cron.schedule('nightly', '0 3 * * *', 'SELECT 1')");
    let report = value(&mut a, TEST);
    assert_eq!(faults(&report), [""; 0], "{report}");
    assert!(report.contains("an extension that only one database"), "{report}");
}

#[test]
fn an_extension_older_than_its_default_version_is_no_fault() {
    let cluster = Cluster::start("restore_content_version", "fsync = off");
    let mut a = shop(&cluster, "shop");
    if !["hstore", "pg_trgm"].iter().all(|name| has_extension(&mut a, name)) {
        return;
    }
    run(
        &mut a,
        "CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION pg_trgm VERSION '1.3';
         CREATE TABLE guest (name text, tags hstore);
         INSERT INTO guest VALUES ('Ada', 'room=>7');
         CREATE INDEX guest_name ON guest USING gin (name gin_trgm_ops)",
    );
    let older = value(&mut a, TEST);
    assert_eq!(faults(&older), [""; 0], "{older}");
    assert!(older.contains("extension hstore: version 1.4 restores as "), "{older}");
    assert!(older.ends_with("VALIDATED"), "{older}");
    run(&mut a, "ALTER EXTENSION hstore UPDATE; ALTER EXTENSION pg_trgm UPDATE");
    let same = value(&mut a, TEST);
    assert!(same.ends_with("VALIDATED") && !same.contains("restores as"), "{same}");
}

#[test]
fn changes_between_a_backup_and_its_manifest_are_no_faults() {
    let cluster = Cluster::start("restore_content_late", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    let path = dump(&mut a, &cluster, "shop", "");
    run(&mut a, "UPDATE line SET price = 1 WHERE id = 5; SELECT nextval('ticket')");
    record(&mut a, &path);
    let late = value(&mut a, TEST);
    assert_eq!(faults(&late), [""; 0], "{late}");
    assert!(late.contains("the source may have changed since the backup"), "{late}");
    // Parts that nobody compared are no evidence.
    assert!(!late.contains("OK       4 content"), "{late}");
    let last = late.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last[0], "Backup/restore procedure: ISSUES DETECTED");
    assert!(last[1].starts_with("Not compared: 2 of "), "{late}");
    assert!(last[1].ends_with("let pg_dump share the snapshot of record_backup."), "{late}");
    // The snapshot of a manifest is older than the end of a base backup.
    let mut other = cluster.connect("shop");
    run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    run(&mut a, "SELECT 1");
    run(&mut other, "UPDATE line SET price = 2 WHERE id = 5; DROP POLICY seen ON line");
    let path = base_backup(&cluster, "base", &[]);
    record(&mut a, &path);
    run(&mut a, "COMMIT");
    // The backup has what the source has now.
    let base = report(&mut a, &path);
    assert!(base.contains("OK       4 content") && base.ends_with("VALIDATED"), "{base}");
    assert!(!base.contains("SKIPPED  4") && !base.contains("Not compared"), "{base}");
    // Later changes leave the checksums of the files as evidence, but not of level 4.
    run(&mut a, "UPDATE line SET price = 3 WHERE id = 5; CREATE POLICY seen ON line USING (true)");
    let base = report(&mut a, &path);
    assert_eq!(faults(&base), [""; 0], "{base}");
    assert!(base.contains("SKIPPED  4 content   content public.line"), "{base}");
    assert!(base.contains("SKIPPED  3 complete  policy seen on public.line: missing"), "{base}");
    let last = base.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last[0], "Backup/restore procedure: VALIDATED");
    assert!(last[1].starts_with("Not compared: 1 of "), "{base}");
    assert!(last[1].ends_with("pg_verifybackup vouches for their files."), "{base}");
    let level = "SELECT level FROM crewsnow_ops.restore_tests ORDER BY started_at DESC LIMIT 1";
    assert_eq!(value(&mut a, level), "2");
    // Sizes of files vouch for nothing.
    let path = base_backup(&cluster, "base", &["--manifest-checksums=NONE"]);
    run(&mut a, "UPDATE line SET price = 4 WHERE id = 5");
    let sizes = report(&mut a, &path);
    assert!(sizes.contains("pg_verifybackup finds every file in its size"), "{sizes}");
    assert!(sizes.ends_with("ISSUES DETECTED"), "{sizes}");
}

#[test]
fn an_index_of_the_source_whose_order_changed_is_named() {
    let cluster = Cluster::start("restore_content_source", "fsync = off");
    let mut a = shop(&cluster, "shop");
    if !has_extension(&mut a, "amcheck") {
        return;
    }
    run(
        &mut a,
        "CREATE EXTENSION amcheck;
         CREATE FUNCTION own_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE
            AS 'SELECT btint4cmp($1, $2)';
         CREATE OPERATOR CLASS own_order FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=,
            OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 own_cmp(int, int);
         CREATE INDEX line_own ON line (id own_order);
         CREATE FUNCTION verify_heapam(relation regclass, check_toast bool) RETURNS
            TABLE (blkno bigint, msg text) LANGUAGE sql AS 'VALUES (1::bigint, ''other'')'",
    );
    let sound = value(&mut a, TEST);
    assert!(sound.ends_with("VALIDATED"), "{sound}");
    run(
        &mut a,
        "CREATE OR REPLACE FUNCTION own_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE
            AS 'SELECT btint4cmp($2, $1)'",
    );
    let mut b = cluster.connect("shop");
    let report = value(&mut b, TEST);
    let line = "index public.line_own: is damaged: SQLSTATE XX002 of amcheck, in the source";
    assert!(report.contains(line), "{report}");
    assert!(report.ends_with("ISSUES DETECTED"), "{report}");
}

#[test]
fn a_recorded_backup_moves_the_heartbeat_and_keeps_a_manifest() {
    let cluster = Cluster::start("restore_content_record", "fsync = off");
    let mut a = shop(&cluster, "shop");
    assert_eq!(rows(&mut a, "SELECT FROM crewsnow_ops.heartbeat"), [""; 0]);
    value(&mut a, "SELECT crewsnow_ops.record_backup('s3://away/shop', p_size_bytes => 7)");
    let row = "SELECT backup_type, backup_status, backup_size_bytes, backup_location,
            completed_at >= created_at, is_exact, jsonb_array_length(items) > 500,
            taken_at = created_at
        FROM backup_log JOIN crewsnow_ops.backup_manifests ON backup_id = id";
    assert_eq!(rows(&mut a, row), ["manual|completed|7|s3://away/shop|t|f|t|t"]);
    let age = "SELECT now() - beat_at < interval '1 minute' FROM crewsnow_ops.heartbeat";
    assert_eq!(value(&mut a, age), "t");
    let values = "SELECT count(*) FROM crewsnow_ops.backup_manifests WHERE items::text ~ 'guest1'";
    assert_eq!(value(&mut a, values), "0", "no values of rows");
    // The heartbeat of another session does not fail an older snapshot.
    let mut b = cluster.connect("shop");
    run(&mut b, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    run(&mut b, "SELECT 1");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    value(&mut b, "SELECT crewsnow_ops.record_backup('/var/b', 'weekly')");
    run(&mut b, "COMMIT");
    let exact = "SELECT is_exact FROM crewsnow_ops.backup_manifests JOIN backup_log
        ON id = backup_id WHERE backup_location = '/var/b'";
    assert_eq!(value(&mut a, exact), "t");
}

/// Changes that keep the number of rows, and most of them all values.
const QUIET_CHANGES: [&str; 7] = [
    "UPDATE pair SET a = 'x' WHERE id = 1; UPDATE pair SET a = 'w' WHERE id = 2",
    "UPDATE pair SET a = b, b = a WHERE id = 1",
    "UPDATE pair SET a = '' WHERE id = 3",
    "UPDATE pair SET a = NULL WHERE id = 4",
    "UPDATE pair SET b = NULL, a = 'y' WHERE id = 3",
    "UPDATE pair SET m = 'bad' WHERE id = 1",
    "UPDATE pair SET tags = '{a,\"NULL\"}' WHERE id = 1",
];

#[test]
fn values_that_change_their_places_change_the_hash_of_a_table() {
    let cluster = Cluster::start("restore_content_hash", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(
        &mut a,
        "CREATE TYPE mood AS ENUM ('ok', 'bad');
         CREATE TABLE pair (id int, a text, b text, m mood, tags text[]);
         INSERT INTO pair VALUES (1, 'w', 'y', 'ok', '{a,NULL}'), (2, 'x', 'y', NULL, '{}'),
            (3, NULL, 'y', NULL, NULL), (4, '', 'y', NULL, NULL)",
    );
    let columns = (1..=200).map(|n| format!("c{n} int")).collect::<Vec<_>>().join(", ");
    run(&mut a, &format!("CREATE TABLE wide ({columns}); INSERT INTO wide (c7) VALUES (1)"));
    let mut hashes = |change: &str| {
        run(&mut a, &format!("BEGIN; {change}"));
        let id = value(&mut a, "SELECT crewsnow_ops.record_backup('/b')");
        let sql = format!(
            "SELECT string_agg(i ->> 'hash', ' ' ORDER BY i ->> 'name')
            FROM crewsnow_ops.backup_manifests, jsonb_array_elements(items) AS i
            WHERE backup_id = '{id}' AND i ->> 'kind' = 'content'
                AND i ->> 'name' IN ('public.pair', 'public.wide')"
        );
        let hashes = value(&mut a, &sql);
        run(&mut a, "ROLLBACK");
        hashes
    };
    let before = hashes("SELECT 1");
    assert_eq!(before.split(' ').count(), 2, "{before}");
    for change in QUIET_CHANGES {
        assert_ne!(hashes(change), before, "{change}");
    }
    assert_ne!(hashes("UPDATE wide SET c7 = NULL, c8 = 1"), before);
    let moved = "CREATE TABLE kept AS TABLE pair; DELETE FROM pair;
        INSERT INTO pair SELECT * FROM kept ORDER BY id DESC; DROP TABLE kept";
    assert_eq!(hashes(moved), before, "the order of rows does not count");
}

#[test]
fn a_backup_that_cannot_be_recorded_is_refused() {
    let cluster = Cluster::start("restore_content_refused", "fsync = off");
    let mut a = shop(&cluster, "shop");
    for (call, state) in [
        ("record_backup(NULL)", "22004"),
        ("record_backup('/b', NULL)", "22004"),
        ("record_backup('/b', 'hourly')", "22023"),
        ("record_backup('/b', 'daily', -1)", "22023"),
        ("record_backup('/b', 'daily', 1, now() + interval '1 day')", "22023"),
    ] {
        assert_eq!(sqlstate(&mut a, &format!("SELECT crewsnow_ops.{call}")), state, "{call}");
    }
    assert_eq!(value(&mut a, "SELECT count(*) FROM backup_log"), "0");
    let call = "SELECT crewsnow_ops.record_backup('/b')";
    run(&mut a, "CREATE ROLE keeper LOGIN");
    run(&mut a, "BEGIN READ ONLY");
    assert_eq!(sqlstate(&mut a, call), "25006");
    run(&mut a, "ROLLBACK");
    let mut keeper = cluster.connect_as("keeper", "shop");
    assert_eq!(sqlstate(&mut keeper, call), "42501");
    // An admin records the backup. Tables that the role may not read are in the manifest as such.
    run(&mut a, "SELECT crewsnow_ops.grant_access('keeper', 'admin')");
    value(&mut keeper, call);
    let unread = "SELECT count(*) > 0 FROM crewsnow_ops.backup_manifests,
        jsonb_array_elements(items) AS i WHERE i ->> 'sqlstate' = '42501'";
    assert_eq!(value(&mut a, unread), "t");
}
