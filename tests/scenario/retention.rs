//! Retention beside readers, VACUUM, views on a day, and writers that must not wait.

use harness::{Cluster, rows, run, value};
use postgres::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const RETAIN: &str = "SELECT partitions_dropped, is_complete \
    FROM crewsnow_ops.apply_event_retention()";
const DAYS_LEFT: &str = "SELECT count(*) FROM pg_inherits AS i JOIN pg_class AS c \
    ON c.oid = i.inhrelid WHERE i.inhparent = 'event_log'::regclass AND c.relname LIKE 'past%'";

/// A database with the partitions past_1 to past_8, all counted. Two days are kept.
fn old_days(cluster: &Cluster, name: &str) -> Client {
    let mut a = cluster.create_database(name);
    run(
        &mut a,
        "SELECT crewsnow_ops.roll_up_events();
         DO $$ BEGIN FOR day IN 1..8 LOOP EXECUTE format(
            'CREATE TABLE crewsnow_ops.past_%1$s (LIKE event_log INCLUDING ALL);
             CREATE INDEX ON crewsnow_ops.past_%1$s USING brin (tx, created_at);
             ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.past_%1$s
                FOR VALUES FROM (%2$L) TO (%3$L)',
            day, date_trunc('day', now(), 'UTC') - day * interval '1 day',
            date_trunc('day', now(), 'UTC') - (day - 1) * interval '1 day');
         END LOOP; END $$;
         INSERT INTO event_log (event_type, function_name, created_at)
            SELECT 'seat_booked', 'book', now() - n * interval '1 hour'
            FROM generate_series(0, 170) AS n",
    );
    run(&mut a, "SELECT crewsnow_ops.roll_up_events()");
    run(&mut a, "SET crewsnow_ops.event_retention = '2d'");
    a
}

fn days_left(a: &mut Client) -> String {
    value(a, DAYS_LEFT)
}

/// A session that writes events until a flag ends it, and returns its longest wait.
fn writer(cluster: &Cluster, name: &str, is_over: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let (mut session, is_over) = (cluster.connect(name), Arc::clone(is_over));
    std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !is_over.load(Relaxed) {
            let began = Instant::now();
            run(&mut session, "SELECT log_system_event('seat_booked')");
            longest = longest.max(began.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
        longest
    })
}

/// Calls retention while another session writes. Returns its answer and the writer's longest wait.
fn retain_beside_writer(cluster: &Cluster, a: &mut Client, name: &str) -> (String, Duration) {
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = writer(cluster, name, &is_over);
    std::thread::sleep(Duration::from_millis(100));
    let answer = rows(a, RETAIN).join("\n");
    std::thread::sleep(Duration::from_millis(50));
    is_over.store(true, Relaxed);
    (answer, writer.join().expect("the writer ends"))
}

#[test]
fn a_report_that_reads_for_a_second_delays_a_drop_and_no_writer() {
    let cluster = Cluster::start("retention_report", "");
    let mut a = old_days(&cluster, "report");
    let mut report = cluster.connect("report");
    run(&mut report, "BEGIN; SELECT FROM event_log LIMIT 1");
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        run(&mut report, "COMMIT");
    });
    let (answer, wait) = retain_beside_writer(&cluster, &mut a, "report");
    reading.join().expect("the report ends");
    assert!(!answer.starts_with("0|"), "a later attempt succeeds: {answer}");
    assert!(wait < Duration::from_millis(150), "a writer waited {wait:?}");
}

#[test]
fn a_report_that_reads_on_keeps_the_days_and_delays_no_writer() {
    let cluster = Cluster::start("retention_reports", "");
    let mut a = old_days(&cluster, "reports");
    let mut report = cluster.connect("reports");
    run(&mut report, "BEGIN; LOCK TABLE ONLY event_log IN ACCESS SHARE MODE");
    let (answer, wait) = retain_beside_writer(&cluster, &mut a, "reports");
    assert_eq!((answer.as_str(), days_left(&mut a).as_str()), ("0|f", "8"));
    assert!(wait < Duration::from_millis(150), "a writer waited {wait:?}");
    run(&mut report, "COMMIT");
    for _ in 0..9 {
        if rows(&mut a, RETAIN)[0].ends_with("|t") {
            break;
        }
    }
    assert_eq!(days_left(&mut a), "2");
}

#[test]
fn a_vacuum_of_one_day_keeps_that_day_only() {
    let cluster = Cluster::start("retention_vacuum", "");
    let mut a = old_days(&cluster, "vacuum");
    let mut vacuum = cluster.connect("vacuum");
    // The lock that VACUUM takes.
    run(&mut vacuum, "BEGIN; LOCK TABLE crewsnow_ops.past_8 IN SHARE UPDATE EXCLUSIVE MODE");
    for _ in 0..9 {
        let (answer, wait) = retain_beside_writer(&cluster, &mut a, "vacuum");
        assert!(answer.ends_with("|f"), "{answer}");
        assert!(wait < Duration::from_millis(150), "a writer waited {wait:?}");
        if days_left(&mut a) == "3" {
            break;
        }
    }
    assert_eq!(days_left(&mut a), "3");
    assert_eq!(value(&mut a, "SELECT to_regclass('crewsnow_ops.past_8') IS NULL"), "f");
    run(&mut vacuum, "COMMIT");
    assert_eq!(rows(&mut a, RETAIN), ["1|t"]);
}

#[test]
fn a_vacuum_of_the_default_partition_fails_no_retention() {
    let cluster = Cluster::start("retention_default", "");
    let mut a = old_days(&cluster, "other");
    // Dropping any day locks the default partition, too.
    let mut vacuum = cluster.connect("other");
    run(
        &mut vacuum,
        "BEGIN; LOCK TABLE crewsnow_ops.event_log_default IN SHARE UPDATE EXCLUSIVE MODE",
    );
    run(
        &mut a,
        "SET crewsnow_ops.rollup_retention = '1d';
         INSERT INTO crewsnow_ops.event_rollups SELECT minute - interval '9 days', function_name,
            calls, errors_5xx, over_5s, last_call, latency, without_status
         FROM crewsnow_ops.event_rollups LIMIT 1",
    );
    let (answer, wait) = retain_beside_writer(&cluster, &mut a, "other");
    assert_eq!((answer.as_str(), days_left(&mut a).as_str()), ("0|f", "8"));
    assert!(wait < Duration::from_millis(150), "a writer waited {wait:?}");
    let old = "SELECT count(*) FROM crewsnow_ops.event_rollups \
        WHERE minute < now() - interval '2 days'";
    assert_eq!(value(&mut a, old), "0", "old counts go all the same");
}

#[test]
fn a_view_on_a_day_keeps_that_day_only() {
    let cluster = Cluster::start("retention_view", "");
    let mut a = old_days(&cluster, "view");
    run(&mut a, "CREATE VIEW tuesday AS SELECT id FROM crewsnow_ops.past_7");
    for _ in 0..9 {
        assert!(rows(&mut a, RETAIN)[0].ends_with("|f"));
        if days_left(&mut a) == "3" {
            break;
        }
    }
    assert_eq!(days_left(&mut a), "3");
    assert_eq!(value(&mut a, "SELECT to_regclass('crewsnow_ops.past_7') IS NULL"), "f");
    run(&mut a, "DROP VIEW tuesday");
    assert_eq!(rows(&mut a, RETAIN), ["1|t"]);
}

#[test]
fn a_large_default_partition_gets_one_day_a_call() {
    let cluster = Cluster::start("retention_first_day", "");
    let mut a = cluster.create_database("first");
    run(
        &mut a,
        "INSERT INTO event_log (event_type, endpoint) SELECT 'seat_booked', repeat('/', 400) \
         FROM generate_series(1, 30000)",
    );
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass";
    for expected in ["2", "3", "4", "4"] {
        run(&mut a, "SELECT crewsnow_ops.roll_up_events()");
        assert_eq!(value(&mut a, partitions), expected);
    }
}

#[test]
fn a_default_partition_that_is_too_large_leaves_no_run_incomplete() {
    let cluster = Cluster::start("retention_too_large", "fsync = off");
    let mut a = cluster.create_database("large");
    run(
        &mut a,
        "INSERT INTO event_log (event_type, endpoint) SELECT 'seat_booked', repeat('/', 1600) \
         FROM generate_series(1, 36000)",
    );
    let report = value(&mut a, "SELECT run_performance_maintenance()");
    assert!(report.contains("default partition above 64 MB"), "{report}");
    assert!(report.ends_with("Performance maintenance completed"), "{report}");
}
