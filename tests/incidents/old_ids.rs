//! Incidents of numbers that run out: transaction ids, members of multixacts, keys.

use crate::stage::{Session, Stage, holds_within};
use crate::verdict::{Expected, Verdict, check, report};
use harness::{Cluster, must_run, run, server_command, value};
use std::process::Command;

/// Autovacuum is slow to start, or it would cure the server before the engineer looks.
const SETTINGS: &str = "autovacuum_naptime = '1h'\nwal_level = logical";

/// The beginning of a segment of pg_xact: transaction 599,785,472.
const OLD_TRANSACTIONS: (&str, &str) = ("599785472", "pg_xact/023C");
/// The beginning of a segment of pg_multixact/members: member 3,402,880,000.
const MANY_MEMBERS: (&str, &str) = ("3402880000", "pg_multixact/members/FDE8");

/// A file of the server that holds zeros.
fn write_segment(cluster: &Cluster, file: &str) {
    let data = cluster.scratch().join("data");
    let path = data.join(file);
    std::fs::write(&path, vec![0_u8; 262_144]).expect("a segment");
    must_run(Command::new("chown").arg("--reference").arg(data.join("PG_VERSION")).arg(&path));
}

/// Moves a stopped server on.
fn reset_wal(cluster: &Cluster, arguments: &[&str]) {
    let data = cluster.scratch().join("data");
    must_run(server_command("pg_resetwal").args(arguments).arg("-D").arg(&data));
}

/// Two sessions share the lock of a row: a multixact with two members.
fn share_a_row(stage: &mut Stage) {
    let lock = ["BEGIN", "SELECT * FROM seats FOR SHARE"];
    let sessions: Vec<Session> =
        ["a", "b"].map(|name| stage.session(name).run(&lock)).into_iter().collect();
    drop(sessions);
}

/// Members of multixacts run out while their ids do not.
fn multixact_members(stage: Stage) -> (Stage, Verdict) {
    let mut stage = stage;
    stage.set("multixact_members", &["CREATE TABLE seats AS SELECT 1 AS id"]);
    share_a_row(&mut stage);
    let Stage { mut cluster, database, admin, oncall, .. } = stage;
    drop((admin, oncall));
    cluster.stop("fast");
    write_segment(&cluster, MANY_MEMBERS.1);
    reset_wal(&cluster, &["-O", MANY_MEMBERS.0]);
    cluster.boot();
    let mut stage = Stage::on(cluster, &database);
    let expected = Expected {
        incident: "multixact_members",
        guilty: "Members",
        command: &["VACUUM", "FREEZE"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            // The members are free once every database is frozen.
            freeze_all(&stage.cluster);
            let (rows, _) = stage.first_view();
            check(!rows.iter().any(|row| row.metric.contains("Multixact")), "they are still used")
        })
    });
    (stage, verdict)
}

fn freeze_all(cluster: &Cluster) {
    let mut admin = cluster.connect("postgres");
    run(&mut admin, "ALTER DATABASE template0 ALLOW_CONNECTIONS true");
    must_run(
        cluster.client_program(harness::program("vacuumdb"), "postgres").args(["-a", "-F", "-q"]),
    );
    run(&mut admin, "ALTER DATABASE template0 ALLOW_CONNECTIONS false; CHECKPOINT");
}

/// A pooled session never drops its temporary table, which no vacuum may touch. The age is real for
/// the server, but set in the catalog for the table.
fn temporary_table(stage: Stage) -> (Stage, Verdict) {
    let mut stage = stage;
    stage.set("temporary_table", &[]);
    let Stage { mut cluster, database, admin, oncall, .. } = stage;
    drop((admin, oncall));
    cluster.stop("fast");
    write_segment(&cluster, OLD_TRANSACTIONS.1);
    reset_wal(&cluster, &["-x", OLD_TRANSACTIONS.0]);
    cluster.boot();
    freeze_all(&cluster);
    let mut stage = Stage::on(cluster, &database);
    let owner = stage.session("pool").run(&["CREATE TEMPORARY TABLE basket AS SELECT 1 AS id"]);
    let mut web = stage.session("web").run(&["SELECT 1"]);
    run(
        &mut stage.admin,
        "UPDATE pg_class SET relfrozenxid = '49785472' WHERE relname = 'basket';
         UPDATE pg_database SET datfrozenxid = '49785472' WHERE datname = current_database()",
    );
    let expected = Expected {
        incident: "temporary_table",
        guilty: &owner.pid,
        command: &["terminate_session"],
        innocent: &[web.pid.clone()],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            check(web.is_alive(), "another session was ended")?;
            let left = "SELECT count(*) FROM pg_class WHERE relname = 'basket'";
            let is_gone = holds_within(5, || value(&mut stage.admin, left) == "0");
            check(is_gone, "the table is still there")?;
            run(&mut stage.admin, "VACUUM (FREEZE)");
            let age = "SELECT age(datfrozenxid) < 1000000 FROM pg_database
                WHERE datname = current_database()";
            check(value(&mut stage.admin, age) == "t", "the database is still old")
        })
    });
    (stage, verdict)
}

/// A key of four bytes runs out, and the table is too large to be rewritten now.
fn sequence_at_its_end(stage: &mut Stage) -> Verdict {
    stage.set(
        "sequence_at_its_end",
        &[
            "CREATE TABLE update_log (id serial PRIMARY KEY, entry text)",
            "CREATE VIEW recent AS SELECT id FROM update_log",
            "SELECT setval('update_log_id_seq', 2147483647)",
        ],
    );
    // PostgreSQL shows a sequence's value only to roles that may read it.
    run(&mut stage.admin, "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO oncall");
    let mut web = stage.session("web");
    let insert = "INSERT INTO update_log (entry) VALUES ('x')";
    assert!(web.client.batch_execute(insert).is_err(), "inserts fail");
    let expected = Expected {
        incident: "sequence_at_its_end",
        guilty: "update_log_id_seq",
        command: &["ALTER SEQUENCE", "RESTART"],
        innocent: &[],
    };
    stage.judge(&expected, |stage, row| {
        let is_rewrite = row.command.contains("ALTER TABLE");
        stage.follow(row, |_| {
            check(!is_rewrite, "the command rewrites the table")?;
            check(web.client.batch_execute(insert).is_ok(), "inserts still fail")
        })
    })
}

/// The library of collations has changed below the indexes; `None` on a server whose collations
/// have no versions.
fn collation_version(stage: &mut Stage) -> Option<Verdict> {
    stage.set("collation_version", &["CREATE TABLE names AS SELECT 'a' AS name"]);
    let admin = &mut stage.admin;
    let providers = ["icu ICU_LOCALE 'en'", "builtin BUILTIN_LOCALE 'C.UTF-8'"];
    let is_created = providers.iter().any(|provider| {
        let create = "CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER";
        admin.batch_execute(&format!("{create} {provider}")).is_ok()
    });
    if !is_created {
        eprintln!("left out: this server has no versions of collations");
        return None;
    }
    let mut sorted = stage.cluster.connect("sorted");
    run(&mut sorted, "CREATE EXTENSION crewsnow_ops");
    run(&mut sorted, "CREATE TABLE names (name text PRIMARY KEY)");
    run(&mut sorted, "SELECT crewsnow_ops.grant_access('oncall', 'operator')");
    run(&mut sorted, "UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'sorted'");
    stage.database = "sorted".to_owned();
    stage.admin = sorted;
    stage.oncall = stage.cluster.connect_as("oncall", "sorted");
    let expected = Expected {
        incident: "collation_version",
        guilty: "sorted",
        command: &["REINDEX"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        let is_first = !row.command.contains("REFRESH")
            || row.command.find("REINDEX") < row.command.find("REFRESH");
        let says = row.page.contains("REFRESH COLLATION VERSION");
        stage.follow(row, |stage| {
            check(is_first && says, "REINDEX first, then REFRESH")?;
            run(&mut stage.admin, "ALTER DATABASE sorted REFRESH COLLATION VERSION");
            let (rows, _) = stage.first_view();
            check(!rows.iter().any(|row| row.object.contains("sorted")), "it is still told")
        })
    });
    stage.database = "postgres".to_owned();
    stage.admin = stage.cluster.connect("postgres");
    stage.oncall = stage.cluster.connect_as("oncall", "postgres");
    run(&mut stage.admin, "DROP DATABASE sorted WITH (FORCE)");
    Some(verdict)
}

fn healthy(stage: &mut Stage) {
    stage.set(
        "healthy_ids",
        &[
            "CREATE TABLE visits (id serial PRIMARY KEY, page text)",
            "INSERT INTO visits (page) SELECT 'home' FROM generate_series(1, 1000)",
        ],
    );
    let owner = stage.session("pool").run(&["CREATE TEMPORARY TABLE basket AS SELECT 1 AS id"]);
    stage.accuses_nobody();
    let (rows, _) = stage.first_view();
    let objects = ["visits", "members", "basket", "healthy_ids"];
    let accused: Vec<_> = rows
        .iter()
        .filter(|row| row.status != "SKIPPED")
        .filter(|row| objects.iter().any(|object| row.object.contains(object)))
        .collect();
    assert!(accused.is_empty(), "{accused:?}");
    drop(owner);
}

#[test]
fn numbers_and_versions_that_run_out_are_named() {
    let mut stage = Stage::start("incidents_ids", SETTINGS);
    healthy(&mut stage);
    let mut verdicts = vec![sequence_at_its_end(&mut stage)];
    verdicts.extend(collation_version(&mut stage));
    let (stage, members) = multixact_members(stage);
    let (_stage, temporary) = temporary_table(stage);
    verdicts.extend([members, temporary]);
    report("ids and versions", &verdicts, crate::WRONG);
}
