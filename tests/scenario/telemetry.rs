//! Telemetry after dump and restore, cloning, a reset of transaction ids, a crash and retention,
//! and beside concurrent sessions.

use crate::dump_restore;
use crate::replication::wait_until;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

const ROWS: &str = "SELECT id, event_type, user_id, payload, execution_time_ms, function_name,
        endpoint, ip_address, user_agent, created_at
    FROM event_log ORDER BY id";
const WEBHOOKS: &str = "SELECT * FROM processed_events ORDER BY event_id";
/// Columns of the views that do not depend on the clock.
const ANSWERS: &str = "
    SELECT 'edge', function_name, total_calls, avg_execution_time, p95_latency, timeout_count,
        error_5xx_count FROM edge_functions_monitoring
    UNION ALL SELECT 'errors', function_name, sum(total_requests), sum(error_5xx_count),
        NULL, NULL, NULL FROM error_rate_monitoring GROUP BY 2
    UNION ALL SELECT 'webhooks', NULL, sum(total_events), sum(failed_events), NULL, NULL, NULL
        FROM stripe_webhook_monitoring
    ORDER BY 1, 2";
/// All rollups, per function and minute.
const COUNTED: &str = "SELECT function_name, minute, calls, errors_5xx, over_5s, latency \
    FROM crewsnow_ops.event_rollups ORDER BY 2, 1";

/// Events of several days, in daily partitions and the default partition. The roll-up covers only
/// the first part of them.
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

/// Rolls up until coverage is complete. Asserts that the rollups count each event once.
pub fn is_counted(client: &mut Client) {
    while value(client, "SELECT is_complete FROM crewsnow_ops.roll_up_events()") != "t" {}
    let floor = "coalesce((SELECT floor FROM crewsnow_ops.raw_event_floor), '-infinity')";
    let counted = format!(
        "SELECT function_name, sum(calls) FROM crewsnow_ops.event_rollups \
         WHERE minute >= {floor} GROUP BY 1 ORDER BY 1"
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
    // A payload that is only small when compressed is refused by INSERT, not later by the restore.
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
        // The clock advances during the dump. The copy matches the source before or after it.
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
        // The copy counts new events, and has the triggers.
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
        // The copy can be dumped and restored again.
        let again = format!("{name}_again");
        let mut again = dump_and_restore(&cluster, name, &again, &[], &[]);
        assert_eq!(rows(&mut again, ROWS), rows(&mut restored, ROWS), "{name}");
    }
}

/// The dump has a partition of a past day, as if it were restored on a later day.
#[test]
fn a_dump_of_an_earlier_day_is_restored_and_counted() {
    let cluster = Cluster::start("another_day", "");
    let mut a = cluster.create_database("monday");
    run(
        &mut a,
        "CREATE TABLE crewsnow_ops.event_log_20200101 (LIKE event_log INCLUDING ALL);
         CREATE INDEX event_log_20200101_tx_created_at_idx ON crewsnow_ops.event_log_20200101
             USING brin (tx, created_at);
         ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.event_log_20200101
             FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00');
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
fn clones_and_reset_transaction_ids_are_noticed() {
    let mut cluster = Cluster::start("clones", "");
    let mut a = cluster.create_database("original");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    run(&mut a, DAYS);
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    drop(a);
    run(&mut cluster.connect("postgres"), "CREATE DATABASE clone TEMPLATE original");
    let (mut a, mut b) = (cluster.connect("original"), cluster.connect("clone"));
    let expected = rows(&mut a, ANSWERS);
    assert_eq!(
        rows(&mut b, ANSWERS),
        expected,
        "a clone answers the same before its first roll-up"
    );
    is_counted(&mut b);
    assert_eq!(rows(&mut b, COUNTED), rows(&mut a, COUNTED), "the same rollups, bit by bit");
    drop((a, b));
    // The coverage includes the next transaction ids, as after pg_resetwal or an
    // incorrect pg_upgrade.
    let mut a = cluster.connect("original");
    run(&mut a, "UPDATE crewsnow_ops.rollup_state SET covered = '900000:900000:'");
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('new', 1, 200)");
    let count = "SELECT total_calls FROM edge_functions_monitoring WHERE function_name = 'new'";
    assert_eq!(value(&mut a, count), "1", "the views do not trust the coverage");
    is_counted(&mut a);
    assert_eq!(value(&mut a, count), "1");
    // The system identifier of another cluster.
    run(
        &mut a,
        "UPDATE crewsnow_ops.rollup_state SET system_identifier = 1; \
         UPDATE crewsnow_ops.event_rollups SET calls = 1000",
    );
    assert_eq!(value(&mut a, count), "1");
    is_counted(&mut a);
    drop(a);
    // A crash loses an uncommitted event, its rollup and its coverage together.
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

// passes before: one call dropped all days, and now several may be needed
#[test]
fn retention_drops_only_counted_days() {
    let cluster = Cluster::start("retention", "");
    let mut a = cluster.create_database("retention");
    run(
        &mut a,
        "DO $$ BEGIN FOR day IN 1..5 LOOP EXECUTE format(
            'CREATE TABLE crewsnow_ops.past_%s (LIKE event_log INCLUDING ALL);
             CREATE INDEX ON crewsnow_ops.past_%s USING brin (tx, created_at);
             ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.past_%s
                FOR VALUES FROM (%L) TO (%L)',
            day, day, day, date_trunc('day', now(), 'UTC') - day * interval '1 day',
            date_trunc('day', now(), 'UTC') - (day - 1) * interval '1 day');
         END LOOP; END $$;
         INSERT INTO event_log (event_type, function_name, created_at)
            SELECT 'x', 'f', now() - n * interval '1 hour' FROM generate_series(0, 200) AS n",
    );
    run(&mut a, "SET crewsnow_ops.event_retention = '2d'");
    let retain = "SELECT * FROM crewsnow_ops.apply_event_retention()";
    assert_eq!(rows(&mut a, retain), ["0|0|0|f"], "no event is counted yet");
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
    // A running transaction that has written to an old partition keeps that partition.
    let mut b = cluster.connect("retention");
    run(
        &mut b,
        "BEGIN; INSERT INTO event_log (event_type, function_name, created_at) \
         VALUES ('x', 'f', now() - interval '4 days')",
    );
    let partly = rows(&mut a, retain);
    assert!(partly[0].starts_with("0|") && partly[0].ends_with("|f"), "{partly:?}");
    assert_eq!(value(&mut a, "SELECT to_regclass('crewsnow_ops.past_4') IS NOT NULL"), "t");
    // Days with dropped events cannot be counted again. Rebuilding keeps their rollups.
    run(&mut a, "SELECT crewsnow_ops.rebuild_rollups()");
    assert_eq!(value(&mut a, calls), "202");
    run(&mut b, "COMMIT");
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    assert_eq!(
        value(&mut a, calls),
        "202",
        "an event that arrives after retention of its day is not counted"
    );
    // Retention drops old days although new events are not counted yet.
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
    // Each call makes writers wait for some days only.
    let mut dropped = 0;
    for _ in 0..9 {
        let done = rows(&mut a, retain);
        dropped += done[0].split('|').next().map_or(0, |n| n.parse::<u32>().expect("a number"));
        if done[0].ends_with("|t") {
            break;
        }
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer ends"));
    assert_eq!(dropped, 3);
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    let kept = "SELECT min(created_at) >= date_trunc('day', now() - interval '2 days', 'UTC') \
        FROM event_log";
    assert_eq!(value(&mut a, kept), "t");
    assert_eq!(value(&mut a, calls), "203", "rollups of dropped days are kept");
    // A later event of a dropped day is stored but not counted.
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, created_at) \
         VALUES ('x', 'f', now() - interval '9 days')",
    );
    run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    assert_eq!(value(&mut a, calls), "203");
    // A dump contains rollups of days without events. Rebuilding keeps them.
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
    // An ordinary role cannot shorten the retention.
    run(&mut a, "CREATE ROLE somebody; SET ROLE somebody");
    assert_eq!(sqlstate(&mut a, "SET crewsnow_ops.event_retention = '1d'"), "42501");
    run(&mut a, "RESET ROLE; RESET crewsnow_ops.event_retention");
    // TRUNCATE also removes the rollups of the removed events.
    run(&mut a, "TRUNCATE event_log; SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    assert_eq!(value(&mut a, "SELECT sum(total_calls) FROM edge_functions_monitoring"), "1");
    run(&mut a, "TRUNCATE processed_events");
    assert_eq!(value(&mut a, "SELECT sum(total_events) FROM stripe_webhook_monitoring"), "0");
}

/// Views and roll-ups fail after a short lock timeout instead of waiting behind DDL.
#[test]
fn views_and_roll_ups_do_not_wait_for_long_locks() {
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
    // During an open roll-up, other sessions write and read. Their roll-ups count nothing.
    run(&mut b, "BEGIN; SELECT * FROM crewsnow_ops.roll_up_events()");
    run(&mut a, "SET lock_timeout = '100ms'; SELECT crewsnow_ops.record_edge_call('f', 1, 200)");
    assert_eq!(value(&mut a, "SELECT total_calls FROM edge_functions_monitoring"), "2");
    assert_eq!(rows(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["0|f"]);
    // Partitions are created only while no other session uses the default partition.
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass";
    assert_eq!(value(&mut a, partitions), "1");
    run(&mut b, "COMMIT");
    assert_eq!(rows(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["1|t"]);
    assert_eq!(value(&mut a, partitions), "4");
}

/// Replicated events count on the subscriber like its own.
#[test]
fn a_subscriber_counts_replicated_events() {
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
        "INSERT INTO event_log (event_type, function_name) \
         SELECT 'x', 'f' FROM generate_series(1, 10)",
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
    // The rows of the publisher may be erased. Those of the subscriber have transactions of their
    // own, so the change does not find them.
    run(&mut publisher, "SELECT log_system_event('x', gen_random_uuid(), '{}')");
    let users = "SELECT count(user_id) FROM event_log";
    wait_until("the event", || value(&mut subscriber, users) == "1");
    let erase = "UPDATE event_log SET user_id = NULL WHERE user_id IS NOT NULL";
    run(&mut publisher, erase);
    run(&mut subscriber, erase);
    assert_eq!(value(&mut subscriber, users), "0");
    run(&mut subscriber, "DROP SUBSCRIPTION events");
}

/// A publication that includes our tables refuses changes of tables without a replica identity.
#[test]
fn a_publication_of_all_tables_stops_no_work() {
    let cluster = Cluster::start("telemetry_published", "");
    let mut a = cluster.create_database("shop");
    run(&mut a, "SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES");
    run(&mut a, "SELECT log_system_event('x', gen_random_uuid(), '{}')");
    run(&mut a, "SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', true)");
    run(&mut a, "UPDATE processed_events SET status = 'failed', error_message = 'late'");
    // The first roll-up makes the partitions, the others count and empty the journal.
    for _ in 0..3 {
        run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
        run(&mut a, "SELECT log_system_event('x', gen_random_uuid(), '{}')");
        run(&mut a, "UPDATE event_log SET user_id = NULL WHERE user_id IS NOT NULL");
    }
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.webhook_journal"), "0");
    run(&mut a, "SELECT * FROM crewsnow_ops.apply_event_retention()");
    let deletes = "SELECT format('DELETE FROM %s', c.oid::regclass) FROM pg_class AS c
        JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
        WHERE d.deptype = 'e' AND c.relkind IN ('r', 'p')
            AND c.relname <> 'event_erasures'";
    for delete in rows(&mut a, deletes) {
        // Many tables are append-only, and refuse with errors of their own.
        let error = a.batch_execute(&format!("BEGIN; {delete}")).err();
        let state = error.as_ref().and_then(|error| error.code()).map(|code| code.code());
        assert_ne!(state, Some("55000"), "{delete}");
        run(&mut a, "ROLLBACK");
    }
}

/// Session settings, the application's own partition, a concurrent TRUNCATE and a renamed schema.
#[test]
fn counting_survives_odd_settings_partitions_and_renames() {
    let cluster = Cluster::start("odd", "");
    let mut a = cluster.create_database("odd");
    run(&mut a, "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'");
    assert_eq!(rows(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["0|t"]);
    run(&mut a, "SET DateStyle = 'ISO'; SET TimeZone = 'UTC'");
    let bounds = "SELECT count(*) FROM pg_class
        WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event_log'::regclass)
        AND pg_get_expr(relpartbound, oid) LIKE '%TO (''%00:00:00+00'')'";
    assert_eq!(value(&mut a, bounds), "3");
    // The application's own partition, without an upper bound.
    let mut b = cluster.create_database("endless");
    run(
        &mut b,
        "DO $$ BEGIN EXECUTE format(
            'CREATE TABLE late PARTITION OF event_log FOR VALUES FROM (%L) TO (MAXVALUE)',
            current_date + 1); END $$;
         SELECT crewsnow_ops.record_edge_call('f', 1, 200)",
    );
    assert_eq!(rows(&mut b, "SELECT * FROM crewsnow_ops.roll_up_events()"), ["1|t"]);
    // TRUNCATE removes webhooks during a roll-up.
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
    // The schema is renamed after the session has prepared its statements.
    run(&mut b, "SELECT log_system_event('x'); ALTER SCHEMA public RENAME TO renamed");
    run(&mut b, "SELECT renamed.log_system_event('x')");
    // A new delivery of an old failed webhook is not a backlog.
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

/// Several bounded roll-ups give the same rollups as one unbounded roll-up.
#[test]
fn a_bounded_roll_up_is_resumed() {
    let cluster = Cluster::start("bounded", "");
    let mut a = cluster.create_database("bounded");
    // Without summaries one call counts everything.
    run(&mut a, "SET crewsnow_ops.brin_summaries = on");
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
        assert!(calls < 50, "the roll-ups do not end");
        if is_complete == "t" {
            break;
        }
    }
    assert!(calls > 3, "{calls} calls were not bounded");
    is_counted(&mut a);
    // A transaction is counted as a whole, even beyond the bound.
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name)
             SELECT 'x', 'one' FROM generate_series(1, 60000);
         INSERT INTO event_log (event_type, function_name)
             SELECT 'x', 'two' FROM generate_series(1, 60000)",
    );
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name) \
         SELECT 'x', 'three' FROM generate_series(1, 60000)",
    );
    for call in 0.. {
        assert!(call < 500, "the roll-ups do not end");
        if value(&mut a, "SELECT is_complete FROM crewsnow_ops.roll_up_events(1000)") == "t" {
            break;
        }
    }
    is_counted(&mut a);
    // After a roll-up, a view reads only the blocks of the last BRIN range.
    let read = "SELECT sum(heap_blks_read + heap_blks_hit) FROM pg_statio_user_tables \
        WHERE relname = 'event_log_default'";
    run(&mut a, "SELECT pg_stat_force_next_flush()");
    let before: i64 = value(&mut a, read).parse().expect("a number");
    run(&mut a, "SELECT * FROM edge_functions_monitoring; SELECT pg_stat_force_next_flush()");
    let after: i64 = value(&mut a, read).parse().expect("a number");
    assert!(after - before <= 130, "{} blocks", after - before);
}
