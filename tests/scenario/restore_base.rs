//! Restore tests of base backups on a private server.

use crate::replication::wait_until;
use crate::restore::{REMAINS, backup_directory, report, shop};
use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::Client;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A base backup that the server's OS user makes, on record with its manifest.
fn back_up(a: &mut Client, cluster: &Cluster, name: &str, arguments: &str) -> PathBuf {
    let path = backup_directory(cluster).join(name);
    // The server is its own shell here, so that its user owns the files.
    let sql = format!(
        "COPY (SELECT 1) TO PROGRAM $p$cat >/dev/null; {} -h {} -U postgres -D {} -c fast \
            --no-sync {arguments}$p$",
        harness::program("pg_basebackup").display(),
        cluster.socket().display(),
        path.display()
    );
    run(a, &sql);
    run(a, &format!("SELECT crewsnow_ops.record_backup('{}')", path.display()));
    path
}

/// Processes of private servers on backups of this cluster.
fn private_servers(cluster: &Cluster) -> Vec<String> {
    let data = format!("{}/data/", cluster.scratch().display());
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains("/base_server/") && line.contains(&data) {
            found.push(line);
        }
    }
    found
}

fn wait_until_gone(a: &mut Client, cluster: &Cluster) {
    wait_until("no private server", || private_servers(cluster).is_empty());
    wait_until("nothing remains", || rows(a, REMAINS).is_empty());
}

#[test]
fn sound_base_backups_are_recovered_compared_and_removed() {
    let cluster = Cluster::start("restore_base", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    for (name, arguments, kind) in [
        ("folder", "-R", "base backup"),
        ("tars", "-Ft", "base backup in tar files"),
        ("gzip", "-Ft -z", "base backup in tar files"),
    ] {
        let path = back_up(&mut a, &cluster, name, arguments);
        let report = report(&mut a, &path);
        let heading = format!("Restore test of database shop: {kind} /");
        assert!(report.starts_with(&heading), "{report}");
        assert!(report.contains("pg_verifybackup finds every file unchanged"), "{report}");
        assert!(report.ends_with("\nBackup/restore procedure: VALIDATED"), "{name}: {report}");
        assert_eq!(private_servers(&cluster), [""; 0]);
        assert_eq!(rows(&mut a, REMAINS), [""; 0]);
    }
    let row = "SELECT DISTINCT verdict, level, faults, rto_seconds > 0, rpo_seconds >= 0,
        restored_bytes > 0 FROM crewsnow_ops.restore_tests";
    assert_eq!(rows(&mut a, row), ["VALIDATED|4|[]|t|t|t"]);
}

#[test]
fn damaged_base_backups_are_named() {
    let cluster = Cluster::start("restore_base_damaged", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let file = value(&mut a, "SELECT pg_relation_filepath('line')");
    let path = back_up(&mut a, &cluster, "flipped", "");
    let flip = "printf '\\245' | dd bs=1 seek=9000 conv=notrunc status=none of=";
    must_change(&path.join(&file), flip);
    let told = report(&mut a, &path);
    let fault =
        format!("\nFAULT    1 readable  pg_verifybackup: checksum mismatch for file \"{file}\"");
    assert!(told.contains(&fault), "{told}");
    assert!(told.ends_with("ISSUES DETECTED"), "{told}");

    let path = back_up(&mut a, &cluster, "short", "");
    must_change(&path.join("backup_label"), "rm ");
    let told = report(&mut a, &path);
    assert!(told.contains("backup_label is missing"), "{told}");

    let mut late = cluster.create_database("late");
    let told = report(&mut late, &backup_directory(&cluster).join("flipped"));
    assert!(told.contains("FAULT    2 restores  late: the restored server has no such"), "{told}");

    let path = back_up(&mut a, &cluster, "without_wal", "-X none");
    let told = report(&mut a, &path);
    assert!(told.contains("It holds no WAL"), "{told}");

    let path = back_up(&mut a, &cluster, "cut", "-Ft");
    must_change(&path.join("base.tar"), "truncate --size=-2000000 ");
    let told = report(&mut a, &path);
    assert!(told.contains("truncated or damaged"), "{told}");
    assert_eq!(rows(&mut a, REMAINS), [""; 0]);
}

/// Runs a shell command on a file, as root or as the developer.
fn must_change(path: &Path, command: &str) {
    let script = format!("{command}{}", path.display());
    harness::must_run(Command::new("sh").args(["-c", &script]));
}

#[test]
fn a_subscription_of_the_copy_takes_nothing_from_its_publisher() {
    let cluster = Cluster::start("restore_base_subscriber", "fsync = off");
    let mut publisher = cluster.create_database("publisher");
    run(
        &mut publisher,
        "CREATE TABLE parcel (id int PRIMARY KEY); CREATE PUBLICATION parcels
        FOR TABLE parcel",
    );
    run(&mut publisher, "SELECT pg_create_logical_replication_slot('parcels', 'pgoutput')");
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        &format!(
            "CREATE TABLE parcel (id int PRIMARY KEY);
             CREATE SUBSCRIPTION parcels CONNECTION 'host={} user=postgres dbname=publisher'
                PUBLICATION parcels WITH (create_slot = false)",
            cluster.socket().display()
        ),
    );
    run(&mut publisher, "INSERT INTO parcel SELECT generate_series(1, 1000)");
    wait_until("the rows arrive", || value(&mut a, "SELECT count(*) FROM parcel") == "1000");
    // Commits of a subscription carry an origin, which the recovery needs room for.
    let path = back_up(&mut a, &cluster, "subscriber", "");
    run(&mut publisher, "INSERT INTO parcel SELECT generate_series(1001, 1100)");
    let told = report(&mut a, &path);
    assert!(told.contains("OK       2 restores  restored in"), "{told}");
    wait_until("the rows arrive", || value(&mut a, "SELECT count(*) FROM parcel") == "1100");
    let attempts = "SELECT pg_read_file('server.log') ~ 'is active for PID'";
    assert_eq!(value(&mut a, attempts), "f", "a second subscriber has asked for the slot");
}

#[test]
fn a_test_of_a_base_backup_that_is_cut_short_leaves_nothing_behind() {
    let cluster = Cluster::start("restore_base_cuts", "fsync = off\nautovacuum = off");
    let mut a = shop(&cluster, "shop");
    let path = back_up(&mut a, &cluster, "base", "");
    let started = Instant::now();
    report(&mut a, &path);
    let whole = started.elapsed().as_millis().max(100) as usize;
    let sql = format!("SELECT test_backup_restore_procedure('{}')", path.display());
    let count = "SELECT count(*) FROM line";
    let mut random = Random(4);
    for number in 0..16 {
        let mut session = cluster.connect("shop");
        let pid = value(&mut session, "SELECT pg_backend_pid()");
        let test = sql.clone();
        let session = std::thread::spawn(move || session.batch_execute(&test).is_err());
        std::thread::sleep(Duration::from_millis(random.below(whole) as u64));
        match number % 4 {
            0 => run(&mut a, &format!("SELECT pg_cancel_backend({pid})")),
            1 | 2 => run(&mut a, &format!("SELECT pg_terminate_backend({pid})")),
            _ => {
                // The process may have ended by itself.
                let _ = Command::new("kill").args(["-9", &pid]).output();
            }
        }
        let _ = session.join().expect("the end of the session");
        if number % 4 == 3 {
            std::thread::sleep(Duration::from_millis(200));
            let mut recovered = None;
            wait_until("the recovery", || {
                recovered = cluster.try_connect("shop");
                recovered.is_some()
            });
            a = recovered.expect("a session");
        }
        wait_until_gone(&mut a, &cluster);
        assert_eq!(value(&mut a, count), "5000", "cut {number}");
    }
    let told = report(&mut a, &path);
    assert!(told.contains("OK       2 restores  restored in"), "{told}");
    wait_until_gone(&mut a, &cluster);
}
