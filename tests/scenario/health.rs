//! performance_health_check for all roles and servers: a failing check never fails the
//! report, and a check that cannot see its subject never reports OK.

use crate::replication::wait_until;
pub use harness::past::let_time_pass;
use harness::{Cluster, explain, must_run, root, rows, run, server_command, sqlstate, value};
use postgres::Client;
use std::time::{Duration, Instant};

/// Checks of other users' sessions and of the server's files: a plain role sees neither.
const HIDDEN: [&str; 13] = [
    "Active Connections",
    "Archive Queue",
    "Autovacuum Workers",
    "Commit Waits",
    "Configuration Errors",
    "Disk Space",
    "Idle in Transaction",
    "Long Queries",
    "Long Transactions",
    "Slow Queries",
    "Statement Pile-up",
    "WAL Size",
    "Wait Profile",
];

/// The distinct statuses of a check, worst first.
pub fn status(client: &mut Client, metric: &str) -> String {
    let sql = format!(
        "SELECT string_agg(status, ' ' ORDER BY rank)
         FROM (SELECT status, min(severity_rank) AS rank FROM performance_health_check()
             WHERE metric = '{metric}' GROUP BY status) AS s"
    );
    value(client, &sql)
}

/// A column of a check's worst row.
pub fn worst(client: &mut Client, metric: &str, column: &str) -> String {
    let sql = format!(
        "SELECT {column} FROM performance_health_check() WHERE metric = '{metric}' \
         ORDER BY severity_rank LIMIT 1"
    );
    value(client, &sql)
}

/// A statement in another session, to be joined: its SQLSTATE if it failed.
pub fn in_background(mut session: Client, sql: &str) -> std::thread::JoinHandle<Option<String>> {
    let sql = sql.to_owned();
    std::thread::spawn(move || match session.batch_execute(&sql) {
        Ok(()) => None,
        Err(error) => {
            Some(error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
        }
    })
}

/// Runs statements one by one, each in a transaction of its own.
pub fn run_each(client: &mut Client, statements: &str) {
    for sql in statements.split("; ") {
        run(client, sql);
    }
}

#[test]
fn a_plain_reader_never_gets_a_false_ok() {
    let cluster = Cluster::start("health_reader", "");
    let mut a = cluster.create_database("health");
    run(
        &mut a,
        "CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader'); CREATE \
         TABLE t (id serial)",
    );
    let mut idle = cluster.connect("health");
    run(&mut idle, "BEGIN; SELECT txid_current()");
    let mut b = cluster.connect_as("reader", "health");
    let metric_in = |names: &[&str]| format!("metric IN ('{}')", names.join("', '"));
    let hidden = metric_in(&HIDDEN);
    let found = rows(
        &mut b,
        &format!(
            "SELECT metric, status FROM performance_health_check() WHERE {hidden} \
             ORDER BY metric COLLATE \"C\""
        ),
    );
    assert_eq!(
        found,
        HIDDEN.map(|name| format!("{name}|SKIPPED")),
        "a hidden check is SKIPPED and has no other row"
    );
    // A plain role sees slots and prepared transactions but not sessions: OK would cover only
    // these.
    for metric in ["Xmin Horizon", "Sequences", "Statement Statistics"] {
        let status = status(&mut b, metric);
        assert!(!status.contains("OK"), "{metric}: {status}");
    }
    let reasons = "SELECT count(*) FROM performance_health_check() WHERE status = 'SKIPPED' \
        AND (evidence IS NULL OR recommendation IS NULL)";
    assert_eq!(value(&mut b, reasons), "0", "a SKIPPED row has its reason");
    assert_eq!(
        value(
            &mut b,
            "SELECT state FROM connection_monitoring ORDER BY connection_count DESC LIMIT 1"
        ),
        "(hidden)"
    );
    assert_eq!(
        value(
            &mut b,
            "SELECT sum(hidden) > 0 AND sum(idle_in_transaction) = 0 FROM crewsnow_ops.connections"
        ),
        "t"
    );
    assert_eq!(
        value(&mut b, "SELECT count(*) FROM analyze_slow_queries() WHERE query_hash = '(hidden)'"),
        "1"
    );
    // The next commands of SKIPPED rows help.
    let commands = rows(
        &mut b,
        "SELECT DISTINCT next_command FROM performance_health_check() WHERE status = 'SKIPPED' \
         AND next_command LIKE 'GRANT %'",
    );
    assert!(commands.len() >= 3, "{commands:?}");
    run(&mut a, &commands.join(";"));
    let still = format!(
        "SELECT metric, evidence FROM performance_health_check() WHERE status = 'SKIPPED' \
         AND ({hidden} OR {})",
        metric_in(&["Sequences", "Xmin Horizon"])
    );
    assert_eq!(rows(&mut b, &still), Vec::<String>::new());
    // A role without privileges gets an error, not an empty report.
    run(&mut a, "CREATE ROLE nobody LOGIN");
    let mut c = cluster.connect_as("nobody", "health");
    for sql in [
        "SELECT * FROM performance_health_check()",
        "SELECT * FROM analyze_slow_queries()",
        "SELECT * FROM connection_monitoring",
        "SELECT * FROM crewsnow_ops.blocking_tree",
        "SELECT crewsnow_ops.sample_health()",
        "SELECT crewsnow_ops.terminate_session(1, now())",
        "SELECT * FROM crewsnow_ops.disconnect_sessions('nobody')",
    ] {
        assert_eq!(sqlstate(&mut c, sql), "42501", "{sql}");
    }
    run(&mut idle, "ROLLBACK");
}

/// Runs all reports in a read-only transaction with an empty search_path.
fn assert_reports_are_read_only(client: &mut Client, name: &str) {
    run(client, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''");
    for sql in [
        "SELECT count(*) FROM public.performance_health_check()",
        "SELECT count(*) FROM crewsnow_ops.full_health_check()",
        "SELECT count(*) FROM public.analyze_slow_queries()",
        "SELECT count(*) FROM public.connection_monitoring",
        "SELECT count(*) FROM crewsnow_ops.connections",
        "SELECT count(*) FROM crewsnow_ops.blocking_tree",
        "SELECT count(*) FROM crewsnow_ops.disconnect_sessions('nobody')",
    ] {
        value(client, sql);
    }
    // Only disabled checksums, missing samples and statistics younger than a week may be skipped.
    let skipped = rows(
        client,
        "SELECT metric, evidence FROM crewsnow_ops.full_health_check()
         WHERE status = 'SKIPPED' AND metric NOT IN ('Checksum Failures', 'Health Samples')
             AND evidence !~ '7 days|days are needed|statistics are'",
    );
    assert_eq!(skipped, Vec::<String>::new(), "{name}");
    run(client, "ROLLBACK");
    for sql in
        ["SELECT crewsnow_ops.sample_health()", "SELECT crewsnow_ops.terminate_session(1, now())"]
    {
        assert_eq!(sqlstate(client, &format!("BEGIN READ ONLY; {sql}")), "25006", "{name}: {sql}");
        run(client, "ROLLBACK");
    }
}

#[test]
fn health_reports_write_nothing() {
    let cluster = Cluster::start("health_reads", "");
    let mut a = cluster.create_database("health");
    assert_reports_are_read_only(&mut a, "primary");
    // No transaction id is assigned, though each check runs in a subtransaction.
    run(
        &mut a,
        "BEGIN; SELECT * FROM performance_health_check(); SELECT * \
         FROM crewsnow_ops.full_health_check()",
    );
    assert_eq!(value(&mut a, "SELECT txid_current_if_assigned() IS NULL"), "t");
    // The settings of the caller are restored.
    assert_eq!(
        value(&mut a, "SELECT current_setting('lock_timeout') || current_setting('jit')"),
        "0on"
    );
    run(&mut a, "ROLLBACK");
    // Rows come in the order of urgency, and ranks have no gaps.
    let order = "SELECT bool_and(severity_rank = n) AND array_agg(status \
        ORDER BY n) = array_agg(status
            ORDER BY array_position(ARRAY['CRITICAL', 'WARNING', 'SKIPPED', 'OK'], status))
        FROM performance_health_check()
            WITH ORDINALITY AS h (m, v, t, status, r, severity_rank, o, e, s, c, n)";
    assert_eq!(value(&mut a, order), "t");
    let contract = "SELECT count(DISTINCT metric) FROM performance_health_check()
        WHERE metric IN ('Active Connections', 'Avg Query Time', 'Slow Queries', 'KPI Freshness')
            AND threshold ~ '^< (50|200 ms|10|2 hours)$'";
    assert_eq!(value(&mut a, contract), "4", "the contract's metrics and limits");
}

#[test]
fn health_reports_work_on_a_standby() {
    let mut primary = Cluster::start("health_primary", "");
    let mut a = primary.create_database("health");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    let standby = Cluster::standby("health_standby", &primary);
    let mut b = standby.connect("health");
    assert_reports_are_read_only(&mut b, "standby");
    assert_eq!((status(&mut a, "Replay"), status(&mut b, "Replay")), ("OK".into(), "OK".into()));
    assert_eq!(
        status(&mut a, "Replication"),
        "OK",
        "the standby is connected and has replayed all"
    );

    run(&mut b, "SELECT pg_wal_replay_pause()");
    wait_until("the pause", || status(&mut b, "Replay") == "WARNING");
    assert!(worst(&mut b, "Replay", "current_value").starts_with("paused"));
    let resume = worst(&mut b, "Replay", "next_command");
    run(&mut b, &resume);
    wait_until("the next command helped", || status(&mut b, "Replay") == "OK");

    // Commits wait for two standbys, and one is connected.
    run_each(
        &mut a,
        "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 2 (nobody, \"*\")'; SELECT \
         pg_reload_conf()",
    );
    wait_until("the setting", || status(&mut a, "Replication") == "CRITICAL");
    assert_eq!(
        worst(&mut a, "Replication", "current_value || ' ' || threshold"),
        "1 synchronous standbys >= 2"
    );
    run_each(&mut a, "ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf()");
    wait_until("one is enough", || status(&mut a, "Replication") == "OK");
    run_each(&mut a, "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()");

    // A standby that replays six seconds late: the primary reports the lag in time.
    run_each(&mut b, "ALTER SYSTEM SET recovery_min_apply_delay = '6s'; SELECT pg_reload_conf()");
    // The standby applies the delay after some transactions.
    wait_until("the lag", || {
        run(&mut a, "SELECT txid_current()");
        status(&mut a, "Replication") == "WARNING"
    });
    run_each(&mut b, "ALTER SYSTEM RESET recovery_min_apply_delay; SELECT pg_reload_conf()");

    // A standby cannot record the action: the next command is the server's own function.
    let mut idle = standby.connect("health");
    run(&mut idle, "BEGIN; SELECT 1");
    let pid = value(&mut idle, "SELECT pg_backend_pid()");
    let_time_pass(&mut a, "400 seconds");
    wait_until("time passes on the standby, too", || {
        status(&mut b, "Idle in Transaction") == "WARNING"
    });
    let terminate = worst(&mut b, "Idle in Transaction", "next_command");
    assert_eq!(terminate, format!("SELECT pg_terminate_backend({pid});"));
    run(&mut b, &terminate);
    wait_until("the next command helped", || status(&mut b, "Idle in Transaction") == "OK");
    primary.stop("immediate");
    wait_until("the receiver is gone", || {
        worst(&mut b, "Replay", "current_value").starts_with("not connected")
    });
    assert_eq!(status(&mut b, "Replay"), "WARNING");
    // Promoted: the samples are of the other role.
    must_run(
        server_command("pg_ctl")
            .arg("-D")
            .arg(standby.scratch().join("data"))
            .args(["-w", "promote"]),
    );
    run(
        &mut b,
        "UPDATE crewsnow_ops.health_samples SET sampled_at = clock_timestamp() - interval '1 \
         minute'",
    );
    assert_eq!(status(&mut b, "Replay"), "OK");
    assert!(
        worst(&mut b, "Rollbacks", "since").starts_with("lifetime"),
        "the counters of another server do not compare"
    );
}

/// After a crash all counters start at 0, so a much used index looks unused.
#[test]
fn a_crash_makes_no_index_look_unused() {
    let mut cluster = Cluster::start("health_crash", "");
    let mut a = cluster.create_database("health");
    run(
        &mut a,
        "CREATE TABLE used (id int) WITH (fillfactor = 10); INSERT INTO used SELECT \
         generate_series(1, 600000);
         CREATE INDEX used_id ON used (id); SET enable_seqscan = off;
         SELECT count(*) FROM used WHERE id < 10",
    );
    run(&mut a, "VACUUM ANALYZE used");
    let unused = "SELECT status || coalesce(' ' || evidence, '') \
        FROM crewsnow_ops.full_health_check() WHERE metric = 'Unused Indexes'";
    // The query of the check, satisfied with statistics of five seconds instead of seven days.
    let sql = std::fs::read_to_string(root().join("sql/health/full/unused_indexes.sql"))
        .expect("the check");
    assert!(sql.contains("interval '7 days'"));
    let sql = format!(
        "SELECT c.status FROM ({}\n) AS c",
        sql.replace("interval '7 days'", "interval '5 seconds'")
    );
    run(
        &mut a,
        "SELECT crewsnow_ops.sample_health(); UPDATE crewsnow_ops.health_samples \
         SET sampled_at = sampled_at - interval '1 minute'",
    );
    assert!(worst(&mut a, "Rollbacks", "since").starts_with("last"), "a rate of the window");
    wait_until("five seconds of statistics", || value(&mut a, &sql) == "OK");
    cluster.stop("immediate");
    cluster.boot();
    let mut a = cluster.connect("health");
    assert_eq!(
        value(&mut a, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'used_id'"),
        "0",
        "the precondition of this test"
    );
    assert_eq!(value(&mut a, &sql), "SKIPPED", "the statistics are seconds old");
    assert!(
        value(&mut a, unused).starts_with("SKIPPED the statistics are 00:00:00 old"),
        "{}",
        value(&mut a, unused)
    );
    assert!(
        worst(&mut a, "Rollbacks", "since").starts_with("lifetime"),
        "a sample from before the crash does not compare"
    );
    assert_eq!(status(&mut a, "Restart"), "WARNING");
}

/// The server caches statistics per transaction; the reports must not use that cache.
#[test]
fn each_call_reads_current_statistics() {
    let cluster = Cluster::start("health_cache", "");
    let mut a = cluster.create_database("health");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'newcomer'";
    let seen = [
        "SELECT coalesce(sum(connections), 0) FROM crewsnow_ops.connections \
         WHERE application_name = 'newcomer'",
        "SELECT coalesce(sum(connection_count), 0) FROM connection_monitoring \
         WHERE state = 'idle in transaction'",
        "SELECT split_part(evidence, ', ', 3) FROM performance_health_check() \
         WHERE metric = 'Connections'",
    ];
    for (i, sql) in seen.iter().enumerate() {
        run(&mut a, "BEGIN");
        assert_eq!(value(&mut a, sessions), "0");
        let before = value(&mut a, sql);
        assert_eq!(value(&mut a, sessions), "0");
        let mut newcomer = cluster.connect("health");
        run(&mut newcomer, "SET application_name = 'newcomer'; BEGIN; SELECT 1");
        assert_eq!(value(&mut a, sessions), "0", "the precondition of this test");
        let after = value(&mut a, sql);
        assert_ne!(before, after, "{i}: {sql}");
        run(&mut a, "COMMIT");
        drop(newcomer);
        wait_until("it is gone", || value(&mut a, sessions) == "0");
    }
}

/// A check that fails or takes too long is one SKIPPED row. The statement_timeout of the caller
/// and a cancellation end the call.
#[test]
fn a_failing_check_is_one_skipped_row() {
    let cluster = Cluster::start("health_bad", "");
    let mut a = cluster.create_database("health");
    let count = "SELECT count(DISTINCT metric) FROM performance_health_check()";
    let all = value(&mut a, count);
    let skipped = "SELECT metric, evidence FROM performance_health_check() \
        WHERE status = 'SKIPPED' AND metric NOT IN ('Checksum Failures', 'Health Samples')";
    assert_eq!(rows(&mut a, skipped), Vec::<String>::new());
    let columns =
        value(&mut a, "SELECT pg_get_function_result('crewsnow_ops.blocking_tree_now'::regproc)");
    // The check reads this function, which a superuser can replace.
    let tree = |body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION crewsnow_ops.blocking_tree_now() RETURNS {columns} \
             LANGUAGE plpgsql AS $$ BEGIN {body}; END $$"
        )
    };
    run(&mut a, &tree("RAISE EXCEPTION 'out of order' USING ERRCODE = 'XX001'"));
    assert_eq!(rows(&mut a, skipped), ["Blocked Sessions|out of order"]);
    assert_eq!(value(&mut a, count), all, "the other checks go on");

    run(&mut a, &tree("PERFORM pg_sleep(20)"));
    let started = Instant::now();
    assert_eq!(
        rows(&mut a, skipped),
        ["Blocked Sessions|it took longer than 1000 ms and was stopped"]
    );
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // The same inside a transaction, which continues.
    run(&mut a, "BEGIN; CREATE TABLE kept (id int)");
    assert_eq!(rows(&mut a, skipped).len(), 1);
    run(&mut a, "COMMIT; SELECT * FROM kept");

    // The statement_timeout of the caller ends the call, and the session stays usable.
    run(&mut a, "SET statement_timeout = '300ms'");
    assert_eq!(sqlstate(&mut a, count), "57014");
    run(&mut a, "SET statement_timeout = 0");
    // A cancellation from another session does the same while a check runs.
    let pid = value(&mut a, "SELECT pg_backend_pid()");
    let mut b = cluster.connect("health");
    let running = std::thread::spawn(move || {
        let error = a
            .simple_query("SELECT count(*) FROM performance_health_check()")
            .expect_err("it is cancelled");
        assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{}", explain(&error));
        (rows(&mut a, "SELECT 'usable'"), a)
    });
    let sleeps = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
    );
    wait_until("the slow check", || value(&mut b, &sleeps) == "1");
    assert_eq!(value(&mut b, &format!("SELECT pg_cancel_backend({pid})")), "t");
    let (usable, mut a) = running.join().expect("cancelled");
    assert_eq!(usable, ["usable"]);
    run(&mut a, &tree("RETURN"));
    assert_eq!(rows(&mut a, skipped), Vec::<String>::new());

    // A check that waits for a lock is one SKIPPED row, too, after 0.2 s.
    let mut lock = cluster.connect("health");
    run(&mut lock, "BEGIN; LOCK TABLE crewsnow_ops.matview_refreshes IN ACCESS EXCLUSIVE MODE");
    assert_eq!(rows(&mut a, skipped), ["KPI Freshness|canceling statement due to lock timeout"]);
    run(&mut lock, "ROLLBACK");
    // Without earlier samples, rates cover the lifetime; no check is SKIPPED for that.
    run(
        &mut lock,
        "BEGIN; LOCK TABLE crewsnow_ops.health_samples, crewsnow_ops.statement_samples IN ACCESS \
         EXCLUSIVE MODE",
    );
    assert_eq!(value(&mut a, count), all);
    assert_eq!(rows(&mut a, skipped), Vec::<String>::new());
    run(&mut lock, "ROLLBACK");
    // Without current counters only the checks that need them are SKIPPED.
    run(
        &mut a,
        "SET allow_system_table_mods = on; ALTER VIEW pg_catalog.pg_stat_wal RENAME TO gone",
    );
    let unknown = rows(
        &mut a,
        "SELECT metric FROM performance_health_check() WHERE evidence LIKE '%pg_stat_wal%' \
         AND status = 'SKIPPED' ORDER BY 1",
    );
    assert_eq!(
        unknown,
        [
            "Avg Query Time",
            "Cache Hit",
            "Checkpoints",
            "Deadlocks",
            "Recovery Conflicts",
            "Restart",
            "Rollbacks",
            "Session Deaths",
            "Statement Statistics",
            "Subscriptions",
            "Temp Files",
            "WAL Rate"
        ]
    );
    assert_eq!(
        value(&mut a, &format!("SELECT count(*) FROM ({skipped}) AS s")),
        "12",
        "the other checks go on"
    );
    run(&mut a, "ALTER VIEW pg_catalog.gone RENAME TO pg_stat_wal");
    assert_eq!(rows(&mut a, skipped), Vec::<String>::new());
}
