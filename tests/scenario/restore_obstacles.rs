//! Obstacles of a restore test: each gets one clear line or error, and nothing remains.

use crate::health_rare::FileSystem;
use crate::replication::wait_until;
use crate::restore::{REMAINS, backup_directory, report, shop};
use crate::restore_backups::{
    dump_to, expect_valid, recorded_base_backup, recorded_dump, restored,
};
use harness::{Cluster, explain, must_run, rows, run, value};
use postgres::Client;
use std::path::Path;
use std::process::Command;

const TEST: &str = "SELECT test_backup_restore_procedure()";

fn refusal(a: &mut Client, sql: &str) -> String {
    explain(&a.batch_execute(sql).expect_err("refused"))
}

/// Gives a file the owner of the server's files.
fn give(path: &Path, cluster: &Cluster) {
    let own = cluster.scratch().join("data/PG_VERSION");
    must_run(Command::new("chown").arg("-R").arg("--reference").arg(own).arg(path));
}

/// All faults of a report, which is that of a backup at fault.
fn faults(a: &mut Client, path: &Path) -> Vec<String> {
    let report = report(a, path);
    assert!(report.ends_with("\nBackup/restore procedure: ISSUES DETECTED"), "{report}");
    report.lines().filter(|line| line.starts_with("FAULT")).map(str::to_owned).collect()
}

#[test]
fn files_that_are_no_backups_get_one_line_each() {
    let cluster = Cluster::start("restore_no_backups", "autovacuum = off");
    let mut a = shop(&cluster, "shop");
    let path = recorded_dump(&mut a, &cluster, "shop", "c");
    let whole = std::fs::read(&path).expect("the dump");
    let major = value(&mut a, "SELECT current_setting('server_version_num')::int / 10000");
    let place = whole.windows(3).position(|part| part == format!("{major}.").as_bytes());
    let mut older = whole.clone();
    older[place.expect("the version of the server") + 1] = b'0';
    let mut newer = whole.clone();
    // The version of the archive's format follows the magic string.
    newer[6] = 99;
    let files: &[(&str, &[u8], &str)] = &[
        ("older", &older, "is of PostgreSQL 10."),
        ("newer", &newer, "is no backup: It is an archive of pg_dump in format 1.99"),
        ("age", b"age-encryption.org/v1\n-> X25519 abc\n", "is encrypted"),
        ("openssl", b"Salted__0123456789abcdef", "is encrypted"),
        ("gpg", b"-----BEGIN PGP MESSAGE-----\n\nabc\n", "is encrypted"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "is compressed"),
        ("empty", b"", "is no backup"),
        ("text", b"a letter\n", "is no backup"),
    ];
    for (name, content, expected) in files {
        let path = path.with_file_name(name);
        std::fs::write(&path, content).expect("a file");
        give(&path, &cluster);
        let faults = faults(&mut a, &path);
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
        let begin = "FAULT    1 readable  ";
        assert!(faults[0].starts_with(begin) && faults[0].contains(expected), "{faults:?}");
    }
    let folder = path.with_file_name("folder");
    std::fs::create_dir_all(folder.join("within")).expect("a folder");
    give(&folder, &cluster);
    let faults = faults(&mut a, &folder);
    assert!(faults.len() == 1 && faults[0].contains("is no backup"), "{faults:?}");
    assert_eq!(rows(&mut a, REMAINS), [""; 0]);
}

#[test]
fn a_wrong_password_and_a_program_of_another_version_are_told() {
    let cluster = Cluster::start("restore_password", "autovacuum = off");
    let mut a = shop(&cluster, "shop");
    run(&mut a, "CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'right'");
    let hba = cluster.scratch().join("data/pg_hba.conf");
    let trust = std::fs::read_to_string(&hba).expect("pg_hba.conf");
    std::fs::write(&hba, format!("local all keeper scram-sha-256\n{trust}")).expect("written");
    run(&mut a, "SELECT pg_reload_conf()");
    let passfile = backup_directory(&cluster).join("passfile");
    let with = |password: &str| {
        let _ = std::fs::remove_file(&passfile);
        std::fs::write(&passfile, format!("*:*:*:keeper:{password}\n")).expect("a passfile");
        must_run(Command::new("chmod").arg("600").arg(&passfile));
        give(&passfile, &cluster);
    };
    let set = format!(
        "SET crewsnow_ops.restore_connection = 'user=keeper passfile={}'",
        passfile.display()
    );
    run(&mut a, &set);
    with("wrong");
    let refused = refusal(&mut a, TEST);
    assert!(refused.starts_with("58000 pg_dump failed"), "{refused}");
    assert!(refused.contains("password authentication failed"), "{refused}");
    with("right");
    let fresh = value(&mut a, TEST);
    assert!(fresh.ends_with("VALIDATED"), "{fresh}");
    run(&mut a, "RESET crewsnow_ops.restore_connection");
    let elsewhere = backup_directory(&cluster);
    let older = elsewhere.join("pg_dump");
    std::fs::write(&older, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").expect("a program");
    must_run(Command::new("chmod").arg("700").arg(&older));
    give(&older, &cluster);
    run(&mut a, &format!("SET crewsnow_ops.program_directory = '{}'", elsewhere.display()));
    let refused = refusal(&mut a, TEST);
    assert!(refused.starts_with("55000") && refused.contains("9.6.24"), "{refused}");
    wait_until("nothing remains", || rows(&mut a, REMAINS).is_empty());
}

#[test]
fn a_full_disk_is_told_with_the_room_that_is_needed() {
    let cluster = Cluster::start("restore_full", "autovacuum = off");
    let mut a = shop(&cluster, "shop");
    let directory = cluster.scratch().with_file_name("restore_full_disk");
    let Some(small) = FileSystem::mount(directory, "size=2m,mode=700") else { return };
    give(&small.0, &cluster);
    let dump = recorded_dump(&mut a, &cluster, "shop", "c");
    let base = recorded_base_backup(&mut a, &cluster, "base", &["--format=tar"]);
    run(&mut a, &format!("SET crewsnow_ops.restore_directory = '{}'", small.0.display()));
    for path in [&dump, &base] {
        let sql = format!("SELECT test_backup_restore_procedure('{}')", path.display());
        let refused = refusal(&mut a, &sql);
        assert!(refused.starts_with("53100"), "{refused}");
        assert!(refused.contains("It needs ") && refused.contains(" MB and has 2 MB"), "{refused}");
    }
    run(&mut a, "DELETE FROM backup_log");
    assert!(refusal(&mut a, TEST).starts_with("53100"));
    wait_until("nothing remains", || {
        std::fs::read_dir(&small.0).is_ok_and(|mut files| files.next().is_none())
    });
}

#[test]
fn leftovers_and_templates_with_objects_harm_no_test() {
    let cluster = Cluster::start("restore_leftovers", "autovacuum = off");
    let mut a = shop(&cluster, "shop");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    run(
        &mut cluster.connect("template1"),
        "CREATE TABLE line (id int); INSERT INTO line VALUES (1)",
    );
    let oid = value(&mut a, "SELECT oid FROM pg_database WHERE datname = 'shop'");
    let left = format!("crewsnow_restore_{oid}_0123456789abcdef");
    cluster.create_empty_database(&left);
    // Another database has its own tests.
    let foreign = "crewsnow_restore_1_0123456789abcdef";
    cluster.create_empty_database(foreign);
    let fresh = value(&mut a, TEST);
    assert!(fresh.ends_with("VALIDATED"), "{fresh}");
    assert!(fresh.contains("\nRemoved 1 leftovers of a test that was cut short."), "{fresh}");
    assert_eq!(rows(&mut a, REMAINS), [foreign]);
    // A restore of a restore.
    let path = recorded_dump(&mut a, &cluster, "shop", "c");
    for name in ["second", "third"] {
        let mut restored = restored(&cluster, &path, name);
        dump_to(&cluster, name, "c", &path);
        run(&mut restored, "DELETE FROM backup_log");
        let again = value(&mut restored, TEST);
        assert!(again.ends_with("VALIDATED"), "{name}: {again}");
    }
    expect_valid(&mut a, &path, "a dump of a dump of a dump");
}
