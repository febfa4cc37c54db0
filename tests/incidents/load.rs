//! Incidents of load: too many sessions, or sessions that do too much.

use crate::stage::{Stage, holds_within, wait_until};
use crate::verdict::{Cure, Expected, Verdict, check, report};
use harness::{preload_statements, run, value};
use std::process::Stdio;
use std::time::{Duration, Instant};

const SETTINGS: &str = "max_connections = 100";

fn count_running(stage: &mut Stage, application: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' \
         AND state = 'active' AND query_start < clock_timestamp() - interval '1 s'"
    );
    value(&mut stage.admin, &sql).parse().expect("a count")
}

/// One statement takes all processors.
fn one_slow_statement(stage: &mut Stage) -> Verdict {
    stage.set("one_slow_statement", &[]);
    let mut checkout = stage.session("checkout");
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000) AS n WHERE n % 7 = 1";
    let crowd = stage.crowd(24, "search", sql);
    wait_until("all run", || count_running(stage, "search") == 24);
    let expected = Expected {
        incident: "one_slow_statement",
        guilty: "search",
        command: &["cancel"],
        innocent: &[checkout.pid.clone()],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            let is_over = holds_within(10, || count_running(stage, "search") == 0);
            check(is_over, "the statements still run")?;
            check(checkout.is_alive(), "another session was ended")
        })
    });
    run(
        &mut stage.admin,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
        WHERE application_name = 'search'",
    );
    drop(crowd);
    verdict
}

/// The lookup of a cart, by an index on the expression.
const LOOKUP: &str = "SELECT count(*) FROM carts WHERE md5(repeat(items, 150)) = 'none'";

/// An index scan of a millisecond becomes a sequential scan of seconds, in every session. Settings
/// of the database flip the plan, because a flip by statistics would take a large table.
fn plan_that_flipped(stage: &mut Stage) -> Verdict {
    stage.set(
        "plan_that_flipped",
        &[
            "CREATE TABLE carts AS SELECT n AS customer, repeat(md5(n::text), 30) AS items \
                FROM generate_series(1, 20000) AS n",
            "CREATE INDEX carts_digest ON carts (md5(repeat(items, 150)))",
        ],
    );
    let admin = &mut stage.admin;
    run(admin, "VACUUM ANALYZE carts");
    let extension = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'";
    let has_statements = value(admin, extension) == "1";
    let mut web = stage.session("web");
    for _ in 0..50 {
        run(&mut web.client, LOOKUP);
    }
    let admin = &mut stage.admin;
    run(admin, "SELECT crewsnow_ops.sample_health()");
    run(
        admin,
        "UPDATE crewsnow_ops.statement_samples SET sampled_at = sampled_at - interval '20 seconds';
         UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '20 seconds';
         ALTER DATABASE plan_that_flipped SET enable_indexscan = off;
         ALTER DATABASE plan_that_flipped SET enable_bitmapscan = off",
    );
    let script = stage.cluster.scratch().join("lookup.sql");
    std::fs::write(&script, format!("{LOOKUP};\n")).expect("a script");
    let mut load = stage.load("web", &["-c", "20", "-T", "120"], &script);
    wait_until("all are slow", || count_running(stage, "web") > 12);
    // The report of slow statements judges from twenty calls on.
    if has_statements {
        // Its window begins at a sample of at least 30 seconds ago.
        let calls = "SELECT sum(calls) >= 75 AND (SELECT max(sampled_at) < clock_timestamp() \
            - interval '31 s' FROM crewsnow_ops.statement_samples) \
            FROM pg_stat_statements WHERE query LIKE '%carts%'";
        let admin = &mut stage.admin;
        assert!(holds_within(90, || value(admin, calls) == "t"), "calls are counted");
        wait_until("all are slow again", || count_running(stage, "web") > 12);
    }
    let mut checkout = stage.session("checkout");
    // All sessions began at once, so for a moment all are young.
    stage.looks = 3;
    let expected = Expected {
        incident: "plan_that_flipped",
        guilty: "web",
        command: &["cancel"],
        innocent: &[checkout.pid.clone()],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        let finding = "SELECT coalesce(string_agg(finding || ' ' || calls, '; '), '') \
            FROM analyze_slow_queries() WHERE query_snippet LIKE '%carts%'";
        let finding = value(&mut stage.admin, finding);
        let says = !has_statements || finding.contains("slower than before");
        stage.follow(row, |_| {
            check(row.page.contains("carts"), "the statement is not in the evidence")?;
            check(says, &format!("no report says that it was fast before: {finding}"))?;
            check(checkout.is_alive(), "another session was ended")
        })
    });
    load.stop();
    run(
        &mut stage.admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE application_name = 'web'",
    );
    verdict
}

/// Transactions stay open while the application calls another service.
fn idle_transactions(stage: &mut Stage) -> Verdict {
    stage.set("idle_transactions", &["CREATE TABLE calls (id int)"]);
    let idle: Vec<_> = (0..31)
        .map(|_| stage.session("sync-svc").run(&["BEGIN", "INSERT INTO calls VALUES (1)"]))
        .collect();
    let mut others: Vec<_> = (0..5).map(|_| stage.session("web")).collect();
    let working = stage.session("billing").run(&["BEGIN"]).start("SELECT pg_sleep(120)");
    std::thread::sleep(Duration::from_secs(6));
    let mut innocent: Vec<_> = others.iter().map(|session| session.pid.clone()).collect();
    innocent.push(working.pid.clone());
    let expected = Expected {
        incident: "idle_transactions",
        guilty: "sync-svc",
        command: &["terminate"],
        innocent: &innocent,
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sync-svc'";
            check(value(&mut stage.admin, left) == "0", "they are still there")?;
            check(others.iter_mut().all(|s| s.is_alive()), "other sessions were ended")?;
            check(working.is_running(), "a working transaction was ended")
        })
    });
    drop(idle);
    run(
        &mut stage.admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE application_name = 'billing'",
    );
    verdict
}

/// A sort fills the disk, and no counter has it before its end.
fn temporary_files(stage: &mut Stage) -> Verdict {
    stage.set("temporary_files", &[]);
    let sort = |rows: u32| {
        format!(
            "SET work_mem = '1MB'; SET max_parallel_workers_per_gather = 0; \
             SELECT pg_sleep(120), m, pad FROM (SELECT md5(n::text) AS m, repeat('y', 800) AS pad \
             FROM generate_series(1, {rows}) AS n ORDER BY m OFFSET 0) AS sorted"
        )
    };
    let small = stage.session("web").start(&sort(20_000));
    let report = stage.session("report").start(&sort(300_000));
    let used = format!(
        "SELECT coalesce(sum(size), 0) > 90000000 FROM pg_ls_tmpdir() \
         WHERE name LIKE 'pgsql\\_tmp{}.%'",
        report.pid
    );
    let admin = &mut stage.admin;
    wait_until("the disk fills", || value(admin, &used) == "t");
    let expected = Expected {
        incident: "temporary_files",
        guilty: &report.pid.clone(),
        command: &["cancel"],
        innocent: std::slice::from_ref(&small.pid),
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            check(report.join().is_err(), "it still sorts")?;
            check(value(&mut stage.admin, &used) == "f", "its files are left")?;
            check(small.is_running(), "another statement was cancelled")
        })
    });
    run(
        &mut stage.admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE application_name IN ('web', 'report')",
    );
    verdict
}

/// A new release opens a pool in each process: idle sessions take the slots.
fn connections_after_deploy(stage: &mut Stage) -> Verdict {
    stage.set("connections_after_deploy", &[]);
    let storm: Vec<_> = (0..80).map(|_| stage.session("api-v2")).collect();
    let mut others: Vec<_> = (0..6).map(|_| stage.session("worker")).collect();
    let innocent: Vec<_> = others.iter().map(|session| session.pid.clone()).collect();
    let expected = Expected {
        incident: "connections_after_deploy",
        guilty: "api-v2",
        command: &["api-v2"],
        innocent: &innocent,
    };
    let verdict = stage.judge(&expected, |stage, row| {
        let started = Instant::now();
        stage.follow(row, |stage| {
            // The command lists the sessions first.
            let list = "p_application => 'api-v2'";
            let end = row.command.replace(list, &format!("{list}, p_dry_run => false"));
            stage.paste("oncall", &end)?;
            // Eighty sessions end at once, not one after the other.
            check(started.elapsed() < Duration::from_secs(5), "it took too long")?;
            check(others.iter_mut().all(|s| s.is_alive()), "other sessions were ended")?;
            let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'api-v2'";
            check(value(&mut stage.admin, left) != "80", "all of them are still there")
        })
    });
    drop(storm);
    verdict
}

/// A query that no partition key prunes takes a lock on every partition and index.
fn locks_of_partitions(stage: &mut Stage) -> Verdict {
    let partitions: String = (0..200)
        .map(|n| format!("CREATE TABLE events{n} PARTITION OF events FOR VALUES IN ({n});"))
        .collect();
    stage.set(
        "locks_of_partitions",
        &[
            "CREATE TABLE events (day int, account int, kind int) PARTITION BY LIST (day)",
            "CREATE INDEX ON events (account)",
            "CREATE INDEX ON events (kind)",
            &partitions,
        ],
    );
    let script = stage.cluster.scratch().join("feed.sql");
    std::fs::write(&script, "SELECT count(*) FROM events WHERE account = 1;\n").expect("a script");
    let mut load = stage.load("feed", &["-c", "60", "-T", "120", "-M", "prepared"], &script);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event ~* '^lock_?manager'";
    let admin = &mut stage.admin;
    wait_until("they compete", || value(admin, waiting).parse::<u32>().expect("a count") > 30);
    stage.looks = 5;
    let expected = Expected {
        incident: "locks_of_partitions",
        guilty: "LockManager",
        command: &["SELECT"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        let names = row.page.contains("events") && row.page.contains("partition");
        match stage.follow(row, |_| check(names, "the partitioned table is not named")) {
            Cure::Over => Cure::Looks,
            other => other,
        }
    });
    load.stop();
    verdict
}

/// pgbench with short transactions, and a few that are open for a moment.
fn healthy(stage: &mut Stage) {
    stage.set("healthy_load", &[]);
    let pgbench = |stage: &Stage, arguments: &[&str]| {
        let mut command = stage.program_as("pgbench", "shop");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("pgbench")
    };
    assert!(pgbench(stage, &["-i", "-q", "-s", "2"]).wait().expect("pgbench").success());
    let mut load = pgbench(stage, &["-n", "-c", "10", "-j", "2", "-T", "6"]);
    let open: Vec<_> = (0..4).map(|_| stage.session("web").run(&["BEGIN", "SELECT 1"])).collect();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_secs(1));
        stage.accuses_nobody();
    }
    drop(open);
    assert!(load.wait().expect("pgbench").success());
}

#[test]
fn the_application_that_overloads_is_named() {
    let preload = preload_statements().unwrap_or_default();
    let mut stage = Stage::start("incidents_load", &format!("{SETTINGS}\n{preload}"));
    if !preload.is_empty() {
        let mut model = stage.cluster.connect("model");
        run(&mut model, "CREATE EXTENSION pg_stat_statements");
    }
    healthy(&mut stage);
    let verdicts = [
        idle_transactions(&mut stage),
        connections_after_deploy(&mut stage),
        locks_of_partitions(&mut stage),
        temporary_files(&mut stage),
        one_slow_statement(&mut stage),
        plan_that_flipped(&mut stage),
    ];
    // The sessions that the engineer ended are no incident of their own.
    stage.is_silent_about("Session Deaths");
    report("load", &verdicts, crate::WRONG);
}
