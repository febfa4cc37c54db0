//! Backups of databases, recorded with their manifests, and what other programs say of them.

use crate::restore::{backup_directory, report};
use harness::{Cluster, both, must_run, run, server_command, value};
use postgres::Client;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A client program of the server's OS user, connected to the server.
pub(crate) fn client(cluster: &Cluster, name: &str) -> Command {
    let mut command = server_command(name);
    command
        .env("PGHOST", cluster.socket())
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres");
    command
}

/// Dumps a database to this path, in place of what is there.
pub(crate) fn dump_to(cluster: &Cluster, database: &str, format: &str, path: &Path) {
    remove(path);
    must_run(client(cluster, "pg_dump").args(["-F", format, "-d", database, "-f"]).arg(path));
}

pub(crate) fn remove(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
    let _ = std::fs::remove_file(path);
}

/// A dump that shares its snapshot with its manifest in `backup_log`.
pub(crate) fn recorded_dump(
    a: &mut Client,
    cluster: &Cluster,
    database: &str,
    format: &str,
) -> PathBuf {
    let path = backup_directory(cluster).join(format!("{database}.{format}"));
    remove(&path);
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    let snapshot = value(a, "SELECT pg_export_snapshot()");
    must_run(
        client(cluster, "pg_dump")
            .args(["-F", format, "-d", database, "--snapshot", &snapshot, "-f"])
            .arg(&path),
    );
    record(a, &path);
    run(a, "COMMIT");
    path
}

/// Records a backup at this path, with the content that the session sees.
pub(crate) fn record(a: &mut Client, path: &Path) {
    let path = path.display().to_string().replace('\'', "''");
    value(a, &format!("SELECT crewsnow_ops.record_backup('{path}', 'daily')"));
}

/// A base backup. `arguments` are those of pg_basebackup.
pub(crate) fn base_backup(cluster: &Cluster, name: &str, arguments: &[&str]) -> PathBuf {
    let path = backup_directory(cluster).join(name);
    remove(&path);
    must_run(
        client(cluster, "pg_basebackup")
            .args(["-c", "fast", "--no-sync", "-D"])
            .arg(&path)
            .args(arguments),
    );
    path
}

/// A base backup of which the manifest is that of its own time, if nothing else changes.
pub(crate) fn recorded_base_backup(
    a: &mut Client,
    cluster: &Cluster,
    name: &str,
    arguments: &[&str],
) -> PathBuf {
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    let path = base_backup(cluster, name, arguments);
    record(a, &path);
    run(a, "COMMIT");
    path
}

/// An empty database without anything of template1.
pub(crate) fn empty_database(cluster: &Cluster, name: &str) {
    let mut a = cluster.connect("postgres");
    run(&mut a, &format!("DROP DATABASE IF EXISTS {name}"));
    run(&mut a, &format!("CREATE DATABASE {name} TEMPLATE template0"));
}

/// A database with the content of the dump, and a session in it.
pub(crate) fn restored(cluster: &Cluster, dump: &Path, name: &str) -> Client {
    empty_database(cluster, name);
    must_run(client(cluster, "pg_restore").args(["-d", name]).arg(dump));
    cluster.connect(name)
}

/// Inverts a bit of the only occurrence of `marker` in a file. A second call restores it.
pub(crate) fn flip(path: &Path, marker: &str) {
    let bytes = std::fs::read(path).expect("a file of a table");
    let mut places = bytes.windows(marker.len()).enumerate().filter(|(_, part)| {
        part[1..] == marker.as_bytes()[1..] && part[0] | 1 == marker.as_bytes()[0] | 1
    });
    let (place, part) = places.next().expect("the marker");
    assert!(places.next().is_none(), "{marker} twice in {}", path.display());
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("a file to write");
    file.seek(SeekFrom::Start(place as u64)).expect("its place");
    file.write_all(&[part[0] ^ 1]).expect("written");
}

/// What other programs say of a backup: pg_verifybackup, pg_restore and pg_amcheck.
pub(crate) type Rivals = [String; 3];

/// Exit code and first message of a program.
fn answer(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let code = output.status.code().unwrap_or(-1);
    let text = both(&output);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let message = line.rsplit_once("error: ").map_or(line, |(_, message)| message);
    let message = message.replace('|', "/");
    if code == 0 { "0".to_owned() } else { format!("{code}: {message}") }
}

fn amcheck(cluster: &Cluster, database: &str) -> String {
    answer(client(cluster, "pg_amcheck").args(["--heapallindexed", "-d", database]))
}

/// The rivals' answers about a dump. It is restored into the database `rival`.
pub(crate) fn rivals_of_dump(cluster: &Cluster, dump: &Path) -> Rivals {
    empty_database(cluster, "rival");
    let restore = answer(client(cluster, "pg_restore").args(["-d", "rival"]).arg(dump));
    let pages = amcheck(cluster, "rival");
    ["cannot read dumps".to_owned(), restore, pages]
}

/// The rivals' answers about a base backup. A server of its own recovers a copy.
pub(crate) fn rivals_of_base(cluster: &Cluster, backup: &Path, database: &str) -> Rivals {
    let files = answer(server_command("pg_verifybackup").arg(backup));
    let own = cluster.scratch();
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    let server = Cluster::recover(&format!("{name}_rival"), backup, "autovacuum = off");
    let pages = amcheck(&server, database);
    let directory = server.scratch();
    drop(server);
    remove(&directory);
    [files, "cannot read base backups".to_owned(), pages]
}

/// A planted fault, the line that names it, and the rivals' answers.
pub(crate) struct Planted {
    /// The fault.
    pub(crate) fault: &'static str,
    /// The first FAULT line of the report.
    pub(crate) line: String,
    /// What the others say.
    pub(crate) rivals: Rivals,
}

/// Tests a damaged backup. The report must name the fault in a line that begins so.
pub(crate) fn expect_fault(
    a: &mut Client,
    path: &Path,
    fault: &'static str,
    expected: &str,
    rivals: Rivals,
) -> Planted {
    let report = report(a, path);
    assert!(report.ends_with("\nBackup/restore procedure: ISSUES DETECTED"), "{fault}\n{report}");
    let line = report.lines().find(|line| line.starts_with(expected));
    let line = line.unwrap_or_else(|| panic!("{fault}: no line {expected}\n{report}"));
    Planted { fault, line: line.to_owned(), rivals }
}

/// Tests a sound backup.
pub(crate) fn expect_valid(a: &mut Client, path: &Path, of: &str) {
    let report = report(a, path);
    assert!(report.ends_with("\nBackup/restore procedure: VALIDATED"), "{of}\n{report}");
    assert!(!report.contains("\nFAULT"), "{of}\n{report}");
}

/// Prints the faults as rows of a table in docs/restore.md.
pub(crate) fn print(planted: &[Planted]) {
    for Planted { fault, line, rivals: [files, restore, pages] } in planted {
        let line = line.trim_start_matches("FAULT").trim();
        println!("| {fault} | {line} | {files} | {restore} | {pages} |");
    }
}
