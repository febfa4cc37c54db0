//! Telemetry through a database's life: dumped and restored, cloned, set back, retained, and with others at work.

use crate::dump_restore;
use crate::replication::wait_until;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

const ROWS: &str = "SELECT id, event_type, user_id, payload, execution_time_ms, function_name,
        endpoint, ip_address, user_agent, created_at
    FROM event_log ORDER BY id";
const WEBHOOKS: &str = "SELECT * FROM processed_events ORDER BY event_id";
/// What the views answer, without the columns that move with the clock.
const ANSWERS: &str = "
    SELECT 'edge', function_name, total_calls, avg_execution_time, p95_latency, timeout_count,
        error_5xx_count FROM edge_functions_monitoring
    UNION ALL SELECT 'errors', function_name, sum(total_requests), sum(error_5xx_count), NULL,
        NULL, NULL FROM error_rate_monitoring GROUP BY 2
    UNION ALL SELECT 'webhooks', NULL, sum(total_events), sum(failed_events), NULL, NULL, NULL
        FROM stripe_webhook_monitoring
    ORDER BY 1, 2";
/// All that is counted, in minutes and days.
const COUNTED: &str = "SELECT function_name, minute, calls, errors_5xx, over_5s, latency \
    FROM crewsnow_ops.event_rollups ORDER BY 2, 1";

/// Events of five days and of now, some counted and some not, in partitions and in the default one.
const DAYS: &str = "
    INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, created_at,
        user_id, ip_address)
    SELECT 'edge_function_call', 'function-' || n % 3, abs(n) % 7000,
        jsonb_build_object('status_code', CASE WHEN n % 9 = 0 THEN 500 ELSE 200 END),
        now() - n * interval '7 minutes', gen_random_uuid(), '10.0.0.1'
    FROM generate_series(-600, 1200) AS n;
    SELECT * FROM crewsnow_ops.roll_up_events();
    INSERT INTO event_log (event_type, function_name, execution_time_ms, created_at)
    SELECT 'edge_function_call', 'late', 3000, now() - n * interval '20 minutes'
        FROM generate_series(0, 200) AS n;
    SELECT crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid', n % 4 <> 0, 'because')
        FROM generate_series(1, 40) AS n";

fn all(client: &mut Client) -> Vec<Vec<String>> {
    [ROWS, WEBHOOKS, ANSWERS].iter().map(|sql| rows(client, sql)).collect()
}

/// Everything in event_log is in the counts, once.
pub fn is_counted(client: &mut Client) {
    while value(client, "SELECT is_complete FROM crewsnow_ops.roll_up_events()") != "t" {}
    let floor = "coalesce((SELECT floor FROM crewsnow_ops.raw_event_floor), '-infinity')";
    let counted = format!(
        "SELECT function_name, sum(calls) FROM crewsnow_ops.event_rollups WHERE minute >= {floor} \
         GROUP BY 1 ORDER BY 1"
    );
    let raw = format!(
        "SELECT function_name COLLATE \"C\", count(*) FROM event_log \
         WHERE function_name IS NOT NULL AND created_at >= {floor} GROUP BY 1 ORDER BY 1"
    );
    assert_eq!(rows(client, &counted), rows(client, &raw));
}

fn dump_and_restore(
    cluster: &Cluster,
    from: &str,
    to: &str,
    dump: &[&str],
    restore: &[&str],
) -> Client {
    dump_restore::dump_and_restore(cluster, from, to, dump, restore);
    cluster.connect(to)
}

#[test]
fn a_restored_database_answers_and_counts_the_same() {
    let cluster = Cluster::start("telemetry_restore", "");
    let mut source = cluster.create_database("source");
    run(&mut source, "SELECT * FROM crewsnow_ops.roll_up_events()");
    run(&mut source, DAYS);
    assert!(
        value(&mut source, "SELECT count(*) FROM crewsnow_ops.event_log_default")
            .parse::<u32>()
            .expect("a number")
            > 0
    );
    // A payload that is small where it is stored and large in itself must be refused at once, not by the restore.
    run(
        &mut source,
        "CREATE TABLE large (p jsonb); \
         INSERT INTO large SELECT jsonb_build_object('x', repeat('a', 5000000))",
    );
    assert_eq!(
        sqlstate(
            &mut source,
            "INSERT INTO event_log (event_type, payload) SELECT 'x', p FROM large"
        ),
        "23514"
    );
    let partitions = value(
        &mut source,
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass",
    );
    let ways: [(&str, &[&str], &[&str]); 4] = [
        ("plain", &[], &[]),
        ("inserts", &["--inserts", "--rows-per-insert=100"], &[]),
        ("custom", &["-Fc"], &["--single-transaction"]),
        ("directory", &["-Fd"], &["-j4"]),
    ];
    for (name, dump, restore) in ways {
        // Before and after: the clock moves on while a dump is made.
        let before = all(&mut source);
        let mut restored = dump_and_restore(&cluster, "source", name, dump, restore);
        let found = all(&mut restored);
        let after = all(&mut source);
        assert!(
            found == before || found == after,
            "{name}: {:?}\n{:?}\n{:?}",
            before[2],
            found[2],
            after[2]
        );
        assert_eq!(
            value(
                &mut restored,
                "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass"
            ),
            partitions
        );
        // It keeps counting right, and its triggers came along.
        run(&mut restored, "SELECT crewsnow_ops.record_edge_call('after', 1, 200)");
        is_counted(&mut restored);
        assert_eq!(rows(&mut restored, ROWS).len(), before[0].len() + 1);
        assert_eq!(sqlstate(&mut restored, "DELETE FROM event_log"), "42501", "{name}");
        run(
            &mut restored,
            "INSERT INTO event_log (event_type, function_name, tx) SELECT 'x', 'spoof', 1 \
             FROM generate_series(1, 3)",
        );
        is_counted(&mut restored);
        let spoofs =
            "SELECT total_calls FROM edge_functions_monitoring WHERE function_name = 'spoof'";
        assert_eq!(value(&mut restored, spoofs), "3");
        // And it can be dumped again.
        let again = format!("{name}_again");
        let mut again = dump_and_restore(&cluster, name, &again, &[], &[]);
        assert_eq!(rows(&mut again, ROWS), rows(&mut restored, ROWS), "{name}");
    }
}

/// As on a day when none of the dump's partitions is of today: its days are moved into the past.
#[test]
fn restored_on_another_day() {
    let cluster = Cluster::start("another_day", "");
    let mut a = cluster.create_database("monday");
    // Partitions of days that are over, as they are when a dump is older than what it is restored for.
    run(
        &mut a,
        "CREATE TABLE crewsnow_ops.event_log_20200101 (LIKE event_log INCLUDING ALL);
         CREATE INDEX event_log_20200101_tx_created_at_idx ON crewsnow_ops.event_log_20200101
             USING brin (tx, created_at);
         ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.event_log_20200101 FOR VALUES
             FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00');
         INSERT INTO event_log (event_type, function_name, created_at)
             SELECT 'x', 'old', '2020-01-01 12:00+00' FROM generate_series(1, 9);
         INSERT INTO event_log (event_type, function_name, created_at)
             SELECT 'x', 'older', '2019-01-01 12:00+00' FROM generate_series(1, 4)",
    );
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    let mut b = dump_and_restore(&cluster, "monday", "friday", &[], &[]);
    run(&mut b, "SELECT crewsnow_ops.record_edge_call('new', 1, 200)");
    is_counted(&mut b);
    assert_eq!(
        rows(
            &mut b,
            "SELECT function_name, sum(calls) FROM crewsnow_ops.event_rollups GROUP BY 1 ORDER BY 1"
        ),
        ["new|1", "old|9", "older|4"]
    );
    assert_eq!(value(&mut b, "SELECT count(*) FROM crewsnow_ops.event_log_20200101"), "9");
}

#[test]
fn clones_and_clusters_that_were_set_back_are_noticed() {
    let mut cluster = Cluster::start("clones", "");
    let mut a = cluster.create_database("original");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    run(&mut a, DAYS);
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    drop(a);
    run(&mut cluster.connect("postgres"), "CREATE DATABASE clone TEMPLATE original");
    let (mut a, mut b) = (cluster.connect("original"), cluster.connect("clone"));
    let expected = rows(&mut a, ANSWERS);
    assert_eq!(rows(&mut b, ANSWERS), expected, "a clone, before it rolls up");
    is_counted(&mut b);
    assert_eq!(rows(&mut b, COUNTED), rows(&mut a, COUNTED), "bit by bit");
    drop((a, b));
    // The next transaction numbers are those that the counts claim to cover: what pg_resetwal does, and a careless pg_upgrade.
    let mut a = cluster.connect("original");
    run(&mut a, "UPDATE crewsnow_ops.rollup_state SET covered = '900000:900000:'");
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('new', 1, 200)");
    let count = "SELECT total_calls FROM edge_functions_monitoring WHERE function_name = 'new'";
    assert_eq!(value(&mut a, count), "1", "not believed");
    is_counted(&mut a);
    assert_eq!(value(&mut a, count), "1");
    // Another cluster's identifier.
    run(
        &mut a,
        "UPDATE crewsnow_ops.rollup_state SET system_identifier = 1; \
         UPDATE crewsnow_ops.event_rollups SET calls = 1000",
    );
    assert_eq!(value(&mut a, count), "1");
    is_counted(&mut a);
    drop(a);
    // A crash keeps what was counted with the snapshot that says so.
    let mut c = cluster.connect("original");
    run(
        &mut c,
        "BEGIN; SELECT crewsnow_ops.record_edge_call('lost', 1, 200); \
         SELECT * FROM crewsnow_ops.roll_up_events()",
    );
    cluster.stop("immediate");
    cluster.boot();
    is_counted(&mut cluster.connect("original"));
}

#[test]
fn retention_drops_counted_days_and_nothing_else() {
    let cluster = Cluster::start("retention", "");
    let mut a = cluster.create_database("retention");
    run(
        &mut a,
        "DO $$ BEGIN FOR day IN 1..5 LOOP EXECUTE format(
            'CREATE TABLE crewsnow_ops.past_%s (LIKE event_log INCLUDING ALL);
             CREATE INDEX ON crewsnow_ops.past_%s USING brin (tx, created_at);
             ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.past_%s FOR VALUES FROM (%L) TO \
                 (%L)', day, day, day,
            date_trunc('day', now(), 'UTC') - day * interval '1 day',
                date_trunc('day', now(), 'UTC') - (day - 1) * interval '1 day');
         END LOOP; END $$;
         INSERT INTO event_log (event_type, function_name, created_at)
            SELECT 'x', 'f', now() - n * interval '1 hour' FROM generate_series(0, 200) AS n",
    );
    run(&mut a, "SET crewsnow_ops.event_retention = '2d'");
    let retain = "SELECT * FROM crewsnow_ops.apply_event_retention()";
    assert_eq!(rows(&mut a, retain), ["0|0|0|f"], "nothing is counted yet");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    let calls = "SELECT sum(calls) FROM crewsnow_ops.event_rollups";
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, created_at) \
         VALUES ('x', 'f', now() - interval '3 days')",
    );
    assert_eq!(rows(&mut a, retain), ["0|0|0|f"], "an old row is not counted yet");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.raw_event_floor"), "0");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    assert_eq!(value(&mut a, calls), "202");
    // A transaction that has written into an old day keeps it.
    let mut b = cluster.connect("retention");
    run(
        &mut b,
        "BEGIN; INSERT INTO event_log (event_type, function_name, created_at) \
         VALUES ('x', 'f', now() - interval '4 days')",
    );
    let partly = rows(&mut a, retain);
    assert!(partly[0].starts_with("0|") && partly[0].ends_with("|f"), "{partly:?}");
    assert_eq!(value(&mut a, "SELECT to_regclass('crewsnow_ops.past_4') IS NOT NULL"), "t");
    // What is gone in part can be counted no more: its counts outlive even this.
    run(&mut a, "SELECT crewsnow_ops.rebuild_rollups()");
    assert_eq!(value(&mut a, calls), "202");
    run(&mut b, "COMMIT");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    assert_eq!(value(&mut a, calls), "202", "a row that comes after its day was given up");
    // Traffic that is not counted yet is no obstacle.
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (mut session, is_over) =
                (cluster.connect("retention"), std::sync::Arc::clone(&is_over));
            std::thread::spawn(move || {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    run(&mut session, "INSERT INTO event_log (event_type) VALUES ('x')");
                }
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let done = rows(&mut a, retain);
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer ends"));
    assert!(done[0].starts_with("3|") && done[0].ends_with("|t"), "{done:?}");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    let kept = "SELECT min(created_at) >= date_trunc('day', now() - interval '2 days', 'UTC') \
        FROM event_log";
    assert_eq!(value(&mut a, kept), "t");
    assert_eq!(value(&mut a, calls), "203", "the counts stay");
    // A row that is later than that is kept, and not counted.
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, created_at) \
         VALUES ('x', 'f', now() - interval '9 days')",
    );
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    assert_eq!(value(&mut a, calls), "203");
    // Counts of days whose events are gone are in the dump, and outlive rebuilding.
    let mut b = dump_and_restore(&cluster, "retention", "restored", &[], &[]);
    is_counted(&mut b);
    assert_eq!(value(&mut b, calls), "203");
    run(&mut b, "SELECT crewsnow_ops.rebuild_rollups()");
    assert_eq!(value(&mut b, calls), "203");
    assert_eq!(
        sqlstate(&mut a, "BEGIN; SELECT * FROM crewsnow_ops.apply_event_retention()"),
        "25001"
    );
    run(&mut a, "ROLLBACK");
    run(&mut a, "SET crewsnow_ops.rollup_retention = '1d'");
    run(&mut a, retain);
    assert_eq!(
        value(
            &mut a,
            "SELECT min(minute) >= now() - interval '1 day 1 minute' \
             FROM crewsnow_ops.event_rollups"
        ),
        "t"
    );
    // An ordinary user cannot shorten it.
    run(&mut a, "CREATE ROLE somebody; SET ROLE somebody");
    assert_eq!(sqlstate(&mut a, "SET crewsnow_ops.event_retention = '1d'"), "42501");
    run(&mut a, "RESET ROLE; RESET crewsnow_ops.event_retention");
    // TRUNCATE takes the counts of what it removes along.
    run(&mut a, "TRUNCATE event_log; SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    assert_eq!(value(&mut a, "SELECT sum(total_calls) FROM edge_functions_monitoring"), "1");
    run(&mut a, "TRUNCATE processed_events");
    assert_eq!(value(&mut a, "SELECT sum(total_events) FROM stripe_webhook_monitoring"), "0");
}

/// A screen that is left open does not hang behind somebody's DDL, nor DDL behind it.
#[test]
fn looking_waits_for_nobody() {
    let cluster = Cluster::start("waiting", "");
    let mut a = cluster.create_database("waiting");
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    let mut b = cluster.connect("waiting");
    run(&mut b, "BEGIN; LOCK TABLE event_log");
    for sql in [
        "SELECT * FROM edge_functions_monitoring",
        "SELECT * FROM error_rate_monitoring",
        "SELECT * FROM crewsnow_ops.dashboard",
        "SELECT * FROM crewsnow_ops.roll_up_events()",
    ] {
        let began = std::time::Instant::now();
        assert_eq!(sqlstate(&mut a, sql), "55P03", "{sql}");
        assert!(began.elapsed() < std::time::Duration::from_secs(4), "{sql}");
    }
    run(&mut b, "ROLLBACK");
    assert_eq!(value(&mut a, "SHOW lock_timeout"), "0");
    // While a transaction has rolled up and stays open, others write, read, and roll up in vain.
    run(&mut b, "BEGIN; SELECT * FROM crewsnow_ops.roll_up_events()");
    run(&mut a, "SET lock_timeout = '100ms'; SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    assert_eq!(value(&mut a, "SELECT total_calls FROM edge_functions_monitoring"), "2");
    assert_eq!(rows(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["0|f"]);
    // Partitions are made only while nobody uses the default one.
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass";
    assert_eq!(value(&mut a, partitions), "1");
    run(&mut b, "COMMIT");
    assert_eq!(rows(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["1|t"]);
    assert_eq!(value(&mut a, partitions), "4");
}

/// Events that a publisher sends count on the subscriber as its own.
#[test]
fn a_subscriber_counts_what_it_receives() {
    let publisher_cluster = Cluster::start("telemetry_publisher", "");
    let mut publisher = publisher_cluster.create_database("publisher");
    let cluster = Cluster::start("telemetry_subscriber", "");
    let mut subscriber = cluster.create_database("subscriber");
    run(
        &mut publisher,
        "CREATE PUBLICATION events FOR TABLE event_log, processed_events \
         WITH (publish_via_partition_root)",
    );
    run(
        &mut publisher,
        "INSERT INTO event_log (event_type, function_name) SELECT 'x', 'f' \
         FROM generate_series(1, 10)",
    );
    let connection =
        format!("host={} user=postgres dbname=publisher", publisher_cluster.socket().display());
    run(
        &mut subscriber,
        &format!("CREATE SUBSCRIPTION events CONNECTION '{connection}' PUBLICATION events"),
    );
    let calls = "SELECT sum(total_calls) FROM edge_functions_monitoring";
    let webhooks =
        "SELECT sum(total_events) || ' ' || sum(failed_events) FROM stripe_webhook_monitoring";
    let mut wait =
        |sql: &str, expected: &str| wait_until(sql, || value(&mut subscriber, sql) == expected);
    wait(calls, "10");
    wait("SELECT is_complete FROM crewsnow_ops.roll_up_events()", "t");
    run(&mut publisher, "SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    run(&mut publisher, "SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', NULL)");
    run(
        &mut publisher,
        "SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', false)",
    );
    wait(calls, "11");
    wait(webhooks, "1 1");
    run(&mut subscriber, "SELECT * FROM crewsnow_ops.roll_up_events()");
    is_counted(&mut subscriber);
    assert_eq!(value(&mut subscriber, webhooks), "1 1");
    run(&mut subscriber, "DROP SUBSCRIPTION events");
}

/// What others do to the partitions, and what sessions are set to, does not stop the counting.
#[test]
fn odd_surroundings() {
    let cluster = Cluster::start("odd", "");
    let mut a = cluster.create_database("odd");
    run(&mut a, "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'");
    assert_eq!(rows(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["0|t"]);
    run(&mut a, "SET DateStyle = 'ISO'; SET TimeZone = 'UTC'");
    let bounds = "SELECT count(*) FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits
            WHERE inhparent = 'event_log'::regclass)
        AND pg_get_expr(relpartbound, oid) LIKE '%TO (''%00:00:00+00'')'";
    assert_eq!(value(&mut a, bounds), "3");
    // Somebody's own partition, without an end.
    let mut b = cluster.create_database("endless");
    run(
        &mut b,
        "DO $$ BEGIN EXECUTE format('CREATE TABLE late PARTITION OF event_log FOR VALUES FROM (%L) \
             TO (MAXVALUE)', current_date + 1); END $$;
         SELECT crewsnow_ops.record_edge_call('f', 1, 200)",
    );
    assert_eq!(rows(&mut b, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["1|t"]);
    // Webhooks that are removed while somebody rolls up.
    run(
        &mut b,
        "INSERT INTO processed_events (event_id, event_type, status) \
         SELECT 'e' || n, 'x', 'failed' FROM generate_series(1, 10) AS n",
    );
    let mut c = cluster.connect("endless");
    run(&mut c, "BEGIN; SELECT * FROM crewsnow_ops.roll_up_events()");
    let truncating = std::thread::spawn(move || {
        run(&mut b, "TRUNCATE processed_events");
        b
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    run(&mut c, "COMMIT");
    let mut b = truncating.join().expect("TRUNCATE ends");
    assert_eq!(value(&mut b, "SELECT sum(failed_events) FROM stripe_webhook_monitoring"), "0");
    // A schema that is renamed under a session that has prepared its statements.
    run(&mut b, "SELECT log_system_event('x'); ALTER SCHEMA public RENAME TO renamed");
    run(&mut b, "SELECT renamed.log_system_event('x')");
    // A delivery after a failure is no old backlog.
    run(
        &mut b,
        "ALTER SCHEMA renamed RENAME TO public; \
         SELECT crewsnow_ops.record_stripe_webhook('r', 'x', false)",
    );
    run(
        &mut b,
        "UPDATE processed_events SET received_at = now() - interval '2 hours', \
         processed_at = now() - interval '2 hours'",
    );
    run(&mut b, "SELECT crewsnow_ops.record_stripe_webhook('r', 'x', NULL)");
    assert_eq!(
        value(&mut b, "SELECT DISTINCT webhook_status FROM stripe_webhook_monitoring"),
        "OK"
    );
}

/// Bounded roll-ups: many calls that do a part each end where one that does all ends.
#[test]
fn a_bounded_roll_up_is_resumed() {
    let cluster = Cluster::start("bounded", "");
    let mut a = cluster.create_database("bounded");
    run(
        &mut a,
        "DO $$ BEGIN FOR i IN 1..150 LOOP
            INSERT INTO event_log (event_type, function_name, execution_time_ms)
                SELECT 'x', 'f' || n % 5, n FROM generate_series(1, 600) AS n;
            COMMIT;
         END LOOP; END $$",
    );
    let mut calls = 0;
    loop {
        let answer = rows(
            &mut a,
            "SELECT events_counted, is_complete FROM crewsnow_ops.roll_up_events(20000)",
        );
        let (counted, is_complete) = answer[0].split_once('|').expect("two columns");
        assert!(counted.parse::<u32>().expect("a number") < 40_000, "{answer:?}");
        assert_eq!(
            value(&mut a, "SELECT sum(total_calls) FROM edge_functions_monitoring"),
            "90000"
        );
        calls += 1;
        assert!(calls < 50, "it does not end");
        if is_complete == "t" {
            break;
        }
    }
    assert!(calls > 3, "{calls} calls were not bounded");
    is_counted(&mut a);
    // A transaction is counted whole, however large.
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name) SELECT 'x', 'one'
             FROM generate_series(1, 60000);
         INSERT INTO event_log (event_type, function_name) SELECT 'x', 'two'
             FROM generate_series(1, 60000)",
    );
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name) SELECT 'x', 'three' \
         FROM generate_series(1, 60000)",
    );
    for call in 0.. {
        assert!(call < 500, "it does not end");
        if value(&mut a, "SELECT is_complete FROM crewsnow_ops.roll_up_events(1000)") == "t" {
            break;
        }
    }
    is_counted(&mut a);
    // In the steady state a view reads the blocks of the last range, not the table.
    let read = "SELECT sum(heap_blks_read + heap_blks_hit) FROM pg_statio_user_tables \
        WHERE relname = 'event_log_default'";
    run(&mut a, "SELECT pg_stat_force_next_flush()");
    let before: i64 = value(&mut a, read).parse().expect("a number");
    run(&mut a, "SELECT * FROM edge_functions_monitoring; SELECT pg_stat_force_next_flush()");
    let after: i64 = value(&mut a, read).parse().expect("a number");
    assert!(after - before <= 130, "{} blocks", after - before);
}
