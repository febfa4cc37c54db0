//! Each fast check on a server with the problem that it looks for, and the effect of its next
//! command. Checks of sessions are in health_waits, of replication in health, of materialized views
//! in
//! health_records, of statements in health_statements.

use crate::health::{in_background, run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, rows, run, server_command, value};
use postgres::Client;
use std::io::Write;

/// Makes the samples a minute older than they are.
const A_MINUTE_LATER: &str =
    "UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '1 minute'";

/// Takes a sample and lets a minute pass.
fn sample(client: &mut Client) {
    run(client, "TRUNCATE crewsnow_ops.health_samples");
    // Otherwise what this session did before could be counted after the sample.
    run(client, "SELECT pg_stat_force_next_flush()");
    assert_eq!(value(client, "SELECT crewsnow_ops.sample_health()"), "t");
    run(client, A_MINUTE_LATER);
}

/// Runs the next command of the worst row of a check.
fn run_next_command(client: &mut Client, metric: &str) {
    for command in worst(client, metric, "next_command").split_inclusive("; ") {
        run(client, command);
    }
}

#[test]
fn catalog_problems_go_after_the_next_command() {
    let cluster = Cluster::start("sick_catalogs", "");
    let mut a = cluster.create_database("health");

    run(
        &mut a,
        "CREATE TABLE orders (id serial PRIMARY KEY); SELECT setval('orders_id_seq', 2126000000)",
    );
    run(
        &mut a,
        "CREATE TABLE events (id int GENERATED ALWAYS AS IDENTITY); SELECT \
         setval('events_id_seq', 1900000000)",
    );
    run(
        &mut a,
        "CREATE SEQUENCE big; CREATE TABLE clicks (id int \
         DEFAULT nextval('big')); SELECT setval('big', 2100000000)",
    );
    assert_eq!(
        rows(
            &mut a,
            "SELECT status, object, current_value FROM performance_health_check() \
             WHERE metric = 'Sequences' ORDER BY severity_rank"
        ),
        [
            "CRITICAL|sequence public.orders_id_seq|99.0 %",
            "CRITICAL|sequence public.big|97.8 %",
            "WARNING|sequence public.events_id_seq|88.5 %"
        ],
        "sequences of serial, of a default of an int column, and of identity"
    );
    for _ in 0..3 {
        run_next_command(&mut a, "Sequences");
    }
    assert_eq!(status(&mut a, "Sequences"), "OK", "the next command helped");

    run(&mut a, "CREATE TABLE users (email text); INSERT INTO users VALUES ('a'), ('a')");
    a.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)")
        .expect_err("a duplicate");
    assert_eq!(status(&mut a, "Invalid Indexes"), "WARNING");
    run(&mut a, "DELETE FROM users");
    run_next_command(&mut a, "Invalid Indexes");
    assert_eq!(status(&mut a, "Invalid Indexes"), "OK");

    run(
        &mut a,
        "CREATE TABLE dead (id int) WITH (autovacuum_enabled = false); INSERT INTO dead SELECT \
         generate_series(1, 60000);
         DELETE FROM dead WHERE id <= 30000",
    );
    wait_until("the statistics", || status(&mut a, "Autovacuum Lag") == "WARNING");
    assert_eq!(
        worst(&mut a, "Autovacuum Lag", "object || ' ' || current_value"),
        "table public.dead 30000 dead rows (50 %)"
    );
    run_next_command(&mut a, "Autovacuum Lag");
    wait_until("the vacuum", || status(&mut a, "Autovacuum Lag") == "OK");
}

// passes before: CREATE EXTENSION needs more locks now, which the report never did
#[test]
fn settings_and_used_up_limits_are_reported() {
    let cluster =
        Cluster::start("sick_settings", "max_connections = 20\nmax_locks_per_transaction = 20");
    let mut a = cluster.create_database("health");
    assert_eq!(status(&mut a, "Restart"), "OK", "no crash precedes its start");

    run_each(
        &mut a,
        "ALTER SYSTEM SET autovacuum = off; ALTER SYSTEM \
         SET max_connections = 30; SELECT pg_reload_conf()",
    );
    wait_until("the settings", || status(&mut a, "Autovacuum Workers") == "CRITICAL");
    run_next_command(&mut a, "Autovacuum Workers");
    wait_until("the setting", || status(&mut a, "Autovacuum Workers") == "OK");
    assert_eq!(
        worst(&mut a, "Pending Settings", "status || ' ' || evidence"),
        "WARNING max_connections"
    );
    run(&mut a, "ALTER SYSTEM RESET max_connections");
    let file = cluster.scratch().join("data/postgresql.conf");
    let write = || std::fs::OpenOptions::new().append(true).open(&file).expect("postgresql.conf");
    assert_eq!(status(&mut a, "Configuration Errors"), "OK");
    writeln!(write(), "work_mem = 'nonsense'").expect("a bad line");
    assert_eq!(
        worst(&mut a, "Configuration Errors", "status || ' ' || object"),
        "WARNING work_mem"
    );
    writeln!(write(), "work_mem = '4MB'").expect("a better one");

    assert_eq!(status(&mut a, "Lock Table"), "OK");
    run(&mut a, "SELECT pg_advisory_lock(n) FROM generate_series(1, 120) AS n");
    assert_eq!(status(&mut a, "Lock Table"), "WARNING");
    run(&mut a, "SELECT pg_advisory_lock(n) FROM generate_series(1, 240) AS n");
    assert_eq!(status(&mut a, "Lock Table"), "CRITICAL");
    run(&mut a, "SELECT pg_advisory_unlock_all()");

    // Of 17 slots 80 % are 14 and 95 % are 17.
    assert_eq!(status(&mut a, "Connections"), "OK");
    let mut sessions: Vec<_> = (0..13).map(|_| cluster.connect("health")).collect();
    assert_eq!(status(&mut a, "Connections"), "WARNING");
    sessions.extend((0..3).map(|_| cluster.connect("health")));
    assert_eq!(status(&mut a, "Connections"), "CRITICAL");
    drop(sessions);
    run(&mut a, "CREATE ROLE worker LOGIN CONNECTION LIMIT 1");
    let worker = cluster.connect_as("worker", "health");
    wait_until("the others are gone", || status(&mut a, "Connections") == "CRITICAL OK");
    assert_eq!(
        worst(&mut a, "Connections", "object"),
        "role worker",
        "the limit of a role counts, too"
    );
    drop(worker);
}

#[test]
fn rates_of_the_window_are_reported() {
    let cluster = Cluster::start(
        "sick_rates",
        "deadlock_timeout = '50ms'\nshared_buffers = '16MB'\n\
         checkpoint_timeout = '1h'\nautovacuum = off",
    );
    let mut a = cluster.create_database("health");
    run(
        &mut a,
        "CREATE TABLE pair (id int PRIMARY KEY, v int); INSERT INTO pair VALUES (1, 0), (2, 0)",
    );
    run(
        &mut a,
        "CREATE TABLE large (t text) WITH (fillfactor = 10); INSERT INTO large SELECT repeat('x', \
         700) FROM generate_series(1, 12000)",
    );
    // The first report reads catalogs from disk.
    run(&mut a, "SELECT FROM performance_health_check()");
    let metrics = [
        // First: the reports of this test are the only statements, and slow ones here.
        "Avg Query Time",
        "Rollbacks",
        "Deadlocks",
        "Temp Files",
        "Cache Hit",
        "WAL Rate",
        "Session Deaths",
    ];
    sample(&mut a);
    for metric in metrics {
        assert_eq!(status(&mut a, metric), "OK", "{metric}");
        assert!(
            worst(&mut a, metric, "since").contains(if metric == "Avg Query Time" {
                "since"
            } else {
                "last"
            }),
            "{metric}"
        );
    }

    // Each cause runs in a session of its own, because a session writes its counters when it ends.
    let session = |sql: &str| run(&mut cluster.connect("health"), sql);
    for _ in 0..200 {
        session("BEGIN; SELECT 1; ROLLBACK");
    }
    wait_until("rollbacks", || status(&mut a, "Rollbacks") != "OK");

    sample(&mut a);
    let deadlock = |first: i32, second: i32| {
        let sql = format!(
            "BEGIN; UPDATE pair SET v = 1 WHERE id = {first}; SELECT pg_sleep(0.5); UPDATE pair \
             SET v = 1 WHERE id = {second}; COMMIT"
        );
        in_background(cluster.connect("health"), &sql)
    };
    let both = [deadlock(1, 2), deadlock(2, 1)].map(|session| session.join().expect("a session"));
    assert!(both.contains(&Some("40P01".to_owned())), "{both:?}");
    wait_until("a deadlock", || status(&mut a, "Deadlocks") == "WARNING");

    sample(&mut a);
    session(
        "SET work_mem = '64kB'; SELECT count(*) FROM (SELECT repeat(md5(i::text), 20) AS t \
         FROM generate_series(1, 200000) AS i ORDER BY 1) AS x",
    );
    wait_until("temporary files", || status(&mut a, "Temp Files") == "WARNING");
    session("SELECT count(*) FROM large; SELECT count(*) FROM large");
    wait_until("cache misses", || status(&mut a, "Cache Hit") == "WARNING");

    sample(&mut a);
    let mut victims: Vec<_> = (0..12).map(|_| cluster.connect("health")).collect();
    run(
        &mut a,
        "SET application_name = 'killer'; SELECT * FROM \
         crewsnow_ops.disconnect_sessions(p_application => 'suite', p_include_superusers => true,
             p_dry_run => false)",
    );
    assert!(victims.iter_mut().all(|victim| victim.simple_query("SELECT 1").is_err()));
    wait_until("their end is counted", || {
        worst(&mut a, "Session Deaths", "evidence").contains("12 terminated")
    });
    assert_eq!(status(&mut a, "Session Deaths"), "OK", "they were ended on purpose");

    // Without pg_stat_statements the mean is per transaction: ten of five seconds, and those of
    // logins.
    sample(&mut a);
    let sleepers: Vec<_> =
        (0..10).map(|_| in_background(cluster.connect("health"), "SELECT pg_sleep(5)")).collect();
    assert!(sleepers.into_iter().all(|sleeper| sleeper.join().expect("a sleeper").is_none()));
    wait_until("slow transactions", || status(&mut a, "Avg Query Time") == "CRITICAL");
    assert!(worst(&mut a, "Avg Query Time", "current_value").ends_with("ms per transaction"));

    // 4 GB in a minute: the sample is moved to that WAL position.
    sample(&mut a);
    run(
        &mut a,
        "UPDATE crewsnow_ops.health_samples SET counters = jsonb_set(counters, '{lsn,position}', \
         to_jsonb((counters -> 'lsn' ->> 'position')::numeric - 4e9))",
    );
    assert_eq!(status(&mut a, "WAL Rate"), "WARNING");
}

#[test]
fn retained_wal_is_reported() {
    let cluster = Cluster::start(
        "sick_wal",
        "archive_mode = on\narchive_command = 'false'\nmax_wal_size = '32MB'\n\
         min_wal_size = '32MB'\nwal_keep_size = 0",
    );
    let mut a = cluster.create_database("health");
    run(&mut a, "SELECT pg_create_physical_replication_slot('forgotten', true)");
    let metrics = ["WAL Archiving", "Archive Queue", "WAL Size", "Replication Slots"];
    let switch = "SELECT txid_current(); SELECT pg_switch_wal()";
    run(&mut a, switch);
    wait_until("archiving fails", || status(&mut a, "WAL Archiving") == "CRITICAL");
    for _ in 0..10 {
        run(&mut a, switch);
    }
    wait_until("files wait", || status(&mut a, "Archive Queue") == "WARNING");
    assert_eq!(status(&mut a, "WAL Size"), "WARNING");
    assert_eq!(status(&mut a, "Replication Slots"), "WARNING", "it keeps more than max_wal_size");
    for _ in 0..10 {
        run(&mut a, switch);
    }
    wait_until("more files wait", || status(&mut a, "Archive Queue") == "CRITICAL");
    assert_eq!(status(&mut a, "WAL Size"), "CRITICAL");
    // With this limit the server invalidates the slot.
    run_each(&mut a, "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'; SELECT pg_reload_conf()");
    wait_until("the slot is lost", || {
        run(&mut a, "CHECKPOINT");
        status(&mut a, "Replication Slots") == "CRITICAL"
    });
    run_next_command(&mut a, "Replication Slots");
    run_each(&mut a, "ALTER SYSTEM SET archive_command = 'true'; SELECT pg_reload_conf()");
    wait_until("archiving works again", || status(&mut a, "Archive Queue") == "OK");
    assert_eq!(status(&mut a, "WAL Archiving"), "WARNING", "it failed within the hour");
    wait_until("WAL is removed", || {
        run(&mut a, "CHECKPOINT");
        status(&mut a, "WAL Size") == "OK"
    });
    assert_eq!(metrics.map(|metric| status(&mut a, metric)), ["WARNING", "OK", "OK", "OK"]);

    // Commits wait for a standby that is not connected. The session of the test must not commit.
    run_each(
        &mut a,
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()",
    );
    wait_until("the setting", || status(&mut a, "Replication") == "CRITICAL");
    // A plain role sees, too, that no standby is connected.
    run(
        &mut a,
        "SET synchronous_commit = local; CREATE ROLE reader LOGIN; SELECT \
         crewsnow_ops.grant_access('reader', 'reader')",
    );
    assert_eq!(status(&mut cluster.connect_as("reader", "health"), "Replication"), "CRITICAL");
    run(&mut a, "RESET synchronous_commit");
    run_next_command(&mut a, "Replication");
    wait_until("the setting", || status(&mut a, "Replication") == "OK");
}

/// Transaction ids that run out, and a damaged block on disk.
#[test]
fn wraparound_and_damaged_blocks_are_reported() {
    let mut cluster =
        Cluster::start("sick_damage", "autovacuum = off\nautovacuum_freeze_max_age = 2000000000");
    let mut a = cluster.create_database("health");
    assert_eq!(status(&mut a, "Wraparound"), "OK");
    run(&mut a, "SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')");
    assert_eq!(status(&mut a, "Xmin Horizon"), "OK");
    run(
        &mut a,
        "CREATE TABLE precious (id int); INSERT INTO precious SELECT generate_series(1, 1000); \
         CHECKPOINT",
    );
    let path = value(&mut a, "SELECT pg_relation_filepath('precious')");
    drop(a);
    cluster.stop("fast");
    let data = cluster.scratch().join("data");
    // It fails where checksums are on already.
    let _ = server_command("pg_checksums")
        .args(["--enable", "--no-sync", "-D"])
        .arg(&data)
        .output()
        .expect("pg_checksums");
    // 1,450 million transactions later.
    let pages = data.join("pg_xact/0566");
    std::fs::write(&pages, vec![0_u8; 262_144]).expect("their states");
    harness::must_run(server_command("pg_resetwal").args(["-x", "1450000000", "-D"]).arg(&data));
    let mut file = std::fs::read(data.join(&path)).expect("the table");
    file[4000..4100].fill(0xff);
    std::fs::write(data.join(&path), file).expect("the damage");
    harness::must_run(
        std::process::Command::new("chown")
            .arg("--reference")
            .arg(data.join("PG_VERSION"))
            .arg(&pages),
    );
    cluster.boot();
    let mut a = cluster.connect("health");
    assert_eq!(worst(&mut a, "Wraparound", "status"), "CRITICAL");
    let freeze = "SELECT next_command FROM performance_health_check() WHERE metric = 'Wraparound' \
        AND object = 'database health'";
    let drop_slot = "SELECT pg_drop_replication_slot('forgotten');";
    assert_eq!(value(&mut a, freeze), drop_slot, "VACUUM cannot freeze what the slot still sees");
    assert_eq!(
        worst(&mut a, "Xmin Horizon", "status || ' ' || object"),
        "CRITICAL replication slot forgotten"
    );
    assert_eq!(worst(&mut a, "Xmin Horizon", "next_command"), drop_slot);
    run_next_command(&mut a, "Xmin Horizon");
    assert_eq!(status(&mut a, "Xmin Horizon"), "OK");
    assert_eq!(value(&mut a, freeze), "VACUUM (FREEZE, VERBOSE);");

    assert_eq!(status(&mut a, "Checksum Failures"), "OK");
    a.batch_execute("SELECT count(*) FROM precious").expect_err("the block is damaged");
    wait_until("it is counted", || status(&mut a, "Checksum Failures") == "CRITICAL");
    assert_eq!(worst(&mut a, "Checksum Failures", "object"), "database health");
}
