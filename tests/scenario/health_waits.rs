//! Sessions that block each other: the blocking tree, and the checks of sessions.

use crate::health::{in_background, let_time_pass, run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, program, rows, run, value};
use std::process::Stdio;
use std::time::{Duration, Instant};

const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted";
const SECRET: &str = "S3CRET";

/// An ALTER TABLE waits for a reader, and a second reader waits for the ALTER TABLE. A self-join of
/// pg_locks would show no edge, or false ones.
#[test]
fn the_tree_shows_a_queue_behind_an_alter_table() {
    let cluster = Cluster::start("waits_ddl", "");
    let mut a = cluster.create_database("health");
    run(&mut a, "CREATE TABLE queue (id int)");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.blocking_tree"), "0");
    let mut reader = cluster.connect("health");
    let pid_of = |session: &mut postgres::Client| value(session, "SELECT pg_backend_pid()");
    let r = pid_of(&mut reader);
    run_each(&mut reader, &format!("BEGIN; SELECT '{SECRET}', count(*) FROM queue"));
    let mut ddl = cluster.connect("health");
    let d = pid_of(&mut ddl);
    let ddl = in_background(ddl, "ALTER TABLE queue ADD COLUMN x int");
    wait_until("the ALTER TABLE waits", || value(&mut a, WAITING) == "1");
    let mut second = cluster.connect("health");
    let s = pid_of(&mut second);
    let second = in_background(second, &format!("SELECT '{SECRET}', count(*) FROM queue"));
    wait_until("the second reader waits", || value(&mut a, WAITING) == "2");
    let tree = "SELECT root, depth, path, victims, state, coalesce(lock_mode, '-'), \
        coalesce(relation, '-') FROM crewsnow_ops.blocking_tree ORDER BY depth";
    assert_eq!(
        rows(&mut a, tree),
        [
            format!("{r}|0|{r}|2|idle in transaction|-|-"),
            format!("{r}|1|{r} > {d}|1|active|AccessExclusiveLock|public.queue"),
            format!("{r}|2|{r} > {d} > {s}|0|active|AccessShareLock|public.queue"),
        ],
        "two edges, both below the first reader"
    );
    // A plain role sees the same edges.
    run(&mut a, "CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader')");
    let mut plain = cluster.connect_as("reader", "health");
    assert_eq!(
        value(
            &mut plain,
            "SELECT string_agg(path, ', ' ORDER BY depth) FROM crewsnow_ops.blocking_tree"
        ),
        format!("{r}, {r} > {d}, {r} > {d} > {s}")
    );
    assert_eq!(status(&mut a, "Blocked Sessions"), "OK", "a short wait is normal");
    let_time_pass(&mut a, "40 seconds");
    assert_eq!(status(&mut a, "Blocked Sessions"), "WARNING");
    assert_eq!(worst(&mut a, "Blocked Sessions", "object"), format!("pid {d}"), "the ALTER TABLE");
    assert!(
        worst(&mut a, "Blocked Sessions", "current_value")
            .starts_with("2 blocked, longest 00:00:4")
    );
    assert_eq!(
        worst(&mut plain, "Blocked Sessions", "next_command"),
        "GRANT pg_monitor TO reader;",
        "the session to end is hidden"
    );
    let shown = "SELECT query FROM crewsnow_ops.blocking_tree WHERE depth <> 1 ORDER BY depth";
    assert_eq!(rows(&mut a, shown), ["SELECT ?, count(*) FROM queue"; 2], "masked");
    assert!(
        worst(&mut a, "Blocked Sessions", "evidence")
            .ends_with("\nquery: ALTER TABLE queue ADD COLUMN x int")
    );
    for from in
        ["crewsnow_ops.blocking_tree", "performance_health_check()", "analyze_slow_queries()"]
    {
        let leaks =
            format!("SELECT count(*) FROM {from} AS r WHERE r::text LIKE '%' || 'S3' || 'CRET%'");
        assert_eq!(value(&mut a, &leaks), "0", "{from}");
    }
    let cancel = worst(&mut a, "Blocked Sessions", "next_command");
    run(&mut a, &cancel);
    assert_eq!(
        (ddl.join().expect("the ALTER TABLE"), second.join().expect("the reader")),
        (Some("57014".to_owned()), None),
        "the reader completes"
    );
    run(&mut reader, "SELECT 1");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.blocking_tree"), "0");
    assert_eq!(status(&mut a, "Blocked Sessions"), "OK");
}

#[test]
fn a_prepared_transaction_can_be_the_root_blocker() {
    let cluster = Cluster::start("waits_2pc", "max_prepared_transactions = 5");
    let mut a = cluster.create_database("health");
    run_each(
        &mut a,
        "CREATE TABLE queue (id int); BEGIN; LOCK TABLE queue; SELECT txid_current(); PREPARE \
         TRANSACTION 'odd ''gid'",
    );
    let mut waiter = cluster.connect("health");
    let pid = value(&mut waiter, "SELECT pg_backend_pid()");
    let waiter = in_background(waiter, "INSERT INTO queue VALUES (1)");
    wait_until("it waits", || value(&mut a, WAITING) == "1");
    assert_eq!(
        rows(
            &mut a,
            "SELECT root, depth, coalesce(pid, 0), victims, state, coalesce(gid, '-') \
             FROM crewsnow_ops.blocking_tree ORDER BY depth"
        ),
        [
            "prepared odd 'gid|0|0|1|prepared transaction|odd 'gid".to_owned(),
            format!("prepared odd 'gid|1|{pid}|0|active|-")
        ]
    );
    assert_eq!(status(&mut a, "Prepared Transactions"), "OK");
    let_time_pass(&mut a, "1 minute");
    for metric in ["Prepared Transactions", "Blocked Sessions"] {
        assert_eq!(status(&mut a, metric), "WARNING", "{metric}");
        assert_eq!(worst(&mut a, metric, "object"), "prepared transaction odd 'gid");
        assert_eq!(worst(&mut a, metric, "next_command"), "ROLLBACK PREPARED 'odd ''gid';");
    }
    let_time_pass(&mut a, "2 hours");
    assert_eq!(status(&mut a, "Prepared Transactions"), "CRITICAL");
    run(&mut a, "ROLLBACK PREPARED 'odd ''gid'");
    assert_eq!(waiter.join().expect("the waiter"), None);
    assert_eq!(status(&mut a, "Prepared Transactions"), "OK");
}

/// A hundred sessions wait for the same lock: 4,950 edges, of which one matters for each session.
#[test]
fn a_queue_of_a_hundred_is_one_level_deep() {
    let cluster = Cluster::start("waits_storm", "max_connections = 130\ndeadlock_timeout = '60s'");
    let mut a = cluster.create_database("health");
    run(&mut a, "CREATE TABLE queue (id int)");
    let mut holder = cluster.connect("health");
    run(&mut holder, "BEGIN; LOCK TABLE queue");
    let script = cluster.scratch().join("queue.sql");
    std::fs::write(&script, "BEGIN;\nLOCK TABLE queue;\nEND;\n").expect("a script");
    let mut clients = cluster
        .client_program(program("pgbench"), "health")
        .args(["-n", "-c", "100", "-j", "2", "-t", "1", "-f"])
        .arg(&script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pgbench");
    wait_until("all wait", || value(&mut a, WAITING) == "100");
    std::thread::sleep(Duration::from_millis(1200));
    // Five readers of the view at once, as in an incident.
    let readers: Vec<_> = (0..5)
        .map(|_| {
            let mut session = cluster.connect("health");
            std::thread::spawn(move || {
                let started = Instant::now();
                let found = rows(
                    &mut session,
                    "SELECT max(victims), count(*), max(depth) FROM crewsnow_ops.blocking_tree",
                );
                (found, started.elapsed())
            })
        })
        .collect();
    for reader in readers {
        let (found, took) = reader.join().expect("a reader");
        assert_eq!(found, ["100|101|1"]);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    for (metric, expected) in [
        ("Active Connections", "CRITICAL"),
        ("Blocked Sessions", "WARNING"),
        ("Slow Queries", "CRITICAL"),
        ("Wait Profile", "WARNING"),
        // 102 of 127 slots
        ("Connections", "WARNING"),
    ] {
        assert_eq!(status(&mut a, metric), expected, "{metric}");
    }
    assert_eq!(
        worst(&mut a, "Wait Profile", "next_command"),
        "SELECT * FROM crewsnow_ops.blocking_tree;"
    );
    let_time_pass(&mut a, "10 minutes");
    assert_eq!(status(&mut a, "Blocked Sessions"), "CRITICAL");
    let terminate = worst(&mut a, "Blocked Sessions", "next_command");
    run(&mut a, &terminate);
    assert!(clients.wait().expect("pgbench ends").success(), "each of them gets the lock");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.blocking_tree"), "0");
}

/// Sessions that stay open for hours. Literals of their statements appear in no report.
#[test]
fn old_sessions_are_reported_without_their_data() {
    let cluster = Cluster::start("waits_old", "");
    let mut a = cluster.create_database("health");
    run(&mut a, &format!("CREATE TABLE {SECRET}_is_no_literal (t text)"));
    let literals = format!(
        "'{SECRET}' AS a, E'{SECRET}\\'s' AS b, $x${SECRET}$x$ AS c /* {SECRET} */, \
         \"current_user\"() -- {SECRET}\n"
    );
    let mut idle = cluster.connect("health");
    run(&mut idle, &format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT {literals}"));
    let mut failed = cluster.connect("health");
    failed
        .batch_execute(&format!("BEGIN; SELECT {literals}, 1 / 0"))
        .expect_err("a failed transaction");
    let active =
        in_background(cluster.connect("health"), &format!("SELECT {literals}, pg_sleep(600)"));
    wait_until("it runs", || {
        value(&mut a, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
    });
    let metrics = ["Idle in Transaction", "Long Queries", "Long Transactions", "Xmin Horizon"];
    assert_eq!(metrics.map(|metric| status(&mut a, metric)), ["OK"; 4]);
    let_time_pass(&mut a, "400 seconds");
    assert_eq!(metrics.map(|metric| status(&mut a, metric)), ["WARNING", "OK", "OK", "OK"]);
    let_time_pass(&mut a, "2000 seconds");
    assert_eq!(metrics.map(|metric| status(&mut a, metric)), ["WARNING", "WARNING", "OK", "OK"]);
    let_time_pass(&mut a, "25 hours");
    assert_eq!(
        metrics.map(|metric| status(&mut a, metric)),
        ["CRITICAL", "CRITICAL", "OK", "WARNING"]
    );
    assert_eq!(
        value(
            &mut a,
            "SELECT count(*) FROM performance_health_check() WHERE metric = 'Idle in Transaction'"
        ),
        "2"
    );
    // A session that began its transaction long ago but has just run a statement.
    let busy = "SELECT pg_get_viewdef('pg_catalog.pg_stat_activity'::regclass) ~ 'state_change - '";
    assert_eq!(value(&mut a, busy), "t");
    let definition = value(
        &mut a,
        "SELECT replace(pg_get_viewdef('pg_catalog.pg_stat_activity'::regclass), \
         's.state_change - ', 's.state_change - 0 * ')",
    );
    run(&mut a, &format!("CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity AS {definition}"));
    assert_eq!(status(&mut a, "Idle in Transaction"), "OK");
    assert_eq!(status(&mut a, "Long Transactions"), "CRITICAL");
    let_time_pass(&mut a, "25 hours");

    // No column of any report has the literals.
    for from in [
        "performance_health_check()",
        "crewsnow_ops.full_health_check()",
        "analyze_slow_queries()",
        "crewsnow_ops.blocking_tree",
        "crewsnow_ops.connections",
        "connection_monitoring",
    ] {
        let leaks = rows(
            &mut a,
            &format!("SELECT r::text FROM {from} AS r WHERE r::text LIKE '%' || 'S3' || 'CRET%'"),
        );
        assert!(leaks.is_empty(), "{from}: {leaks:?}");
    }
    let shown = "SELECT count(*) FROM performance_health_check() \
        WHERE evidence LIKE '%query: %SELECT ? AS a, ? AS b, ? AS c%'";
    assert_eq!(value(&mut a, shown), "3", "the statements are shown, masked");
    let shown = "SELECT count(*) FROM analyze_slow_queries() \
        WHERE query_snippet LIKE 'SELECT ? AS a, %' AND finding LIKE 'running%'";
    assert_eq!(value(&mut a, shown), "1");
    assert_eq!(
        value(&mut a, "SELECT crewsnow_ops.mask_literals($$SELECT 'a', 1 FROM t$$)"),
        "SELECT ?, ? FROM t"
    );

    // The next commands end these sessions and no other.
    for metric in ["Long Queries", "Idle in Transaction", "Idle in Transaction"] {
        let terminate = worst(&mut a, metric, "next_command");
        assert_eq!(value(&mut a, &terminate), "t", "{metric}");
    }
    assert!(active.join().expect("the sleeper").is_some(), "its connection is closed");
    assert!(idle.simple_query("SELECT 1").is_err() && failed.simple_query("SELECT 1").is_err());
    assert_eq!(metrics.map(|metric| status(&mut a, metric)), ["OK"; 4]);
}
