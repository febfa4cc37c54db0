//! For a minute, sessions write, roll back, prepare and roll up at random, and roll-ups are killed.
//! At each comparison the views agree with the raw rows of the same snapshot. At the end each event
//! is counted exactly once, on a standby too.

use crate::random::Random;
use harness::{Cluster, explain, rows, run, value};
use postgres::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DURATION: Duration = Duration::from_secs(60);
const WRITERS: u64 = 9;
const ROLL_UPS: u64 = 3;
const READERS: u64 = 3;

/// The counts of the views and those of the raw rows, in one statement and hence in one snapshot.
const BOTH_SIDES: &str = "
    SELECT
        (SELECT string_agg(concat_ws(' ', function_name, total_calls, error_5xx_count,
            timeout_count, extract(epoch FROM last_call),
            avg_execution_time, max_execution_time), E'\\n' ORDER BY function_name COLLATE \"C\")
         FROM edge_functions_monitoring WHERE data_state <> 'NO_DATA') AS edge_view,
        (SELECT string_agg(concat_ws(' ', function_name, calls, errors, slow, last, mean, longest),
            E'\\n' ORDER BY function_name COLLATE \"C\")
         FROM (
            SELECT function_name, count(*) AS calls,
                count(*) FILTER (WHERE payload ->> 'status_code' LIKE '5%') AS errors,
                count(*) FILTER (WHERE execution_time_ms > 5000) AS slow,
                extract(epoch FROM max(created_at)) AS last,
                round(avg(execution_time_ms), 3) AS mean,
                max(execution_time_ms)::numeric(12, 3) AS longest
            FROM event_log
            WHERE created_at >= date_trunc('minute', now()) - interval '60 minutes'
                AND created_at < date_trunc('minute', now()) + interval '1 minute'
                AND function_name IS NOT NULL
            GROUP BY 1) AS raw) AS edge_rows,
        (SELECT string_agg(concat_ws(' ', function_name, minute_bucket, total_requests,
            error_5xx_count), E'\\n' ORDER BY function_name COLLATE \"C\", minute_bucket)
         FROM error_rate_monitoring WHERE total_requests > 0) AS error_view,
        (SELECT string_agg(concat_ws(' ', function_name, minute, calls, errors), E'\\n'
            ORDER BY function_name COLLATE \"C\", minute)
         FROM (
            SELECT function_name, date_trunc('minute', created_at) AS minute, count(*) AS calls,
                count(*) FILTER (WHERE payload ->> 'status_code' LIKE '5%') AS errors
            FROM event_log
            WHERE created_at >= date_trunc('minute', now()) - interval '10 minutes'
                AND created_at < date_trunc('minute', now()) + interval '1 minute'
                AND function_name IS NOT NULL
            GROUP BY 1, 2) AS raw) AS error_rows,
        (SELECT string_agg(concat_ws(' ', minute_bucket, total_events, failed_events), E'\\n'
            ORDER BY minute_bucket)
         FROM stripe_webhook_monitoring WHERE total_events > 0) AS webhook_view,
        (SELECT string_agg(concat_ws(' ', minute, events, failed), E'\\n' ORDER BY minute)
         FROM (
            SELECT date_trunc('minute', processed_at) AS minute, count(*) AS events,
                count(*) FILTER (WHERE status = 'failed' OR failed_at IS NOT NULL) AS failed
            FROM processed_events
            WHERE processed_at >= date_trunc('minute', now()) - interval '10 minutes'
                AND processed_at < date_trunc('minute', now()) + interval '1 minute'
            GROUP BY 1) AS raw) AS webhook_rows";

fn compare(session: &mut Client, session_name: &str) {
    let row = session
        .query_one(BOTH_SIDES, &[])
        .unwrap_or_else(|e| panic!("{session_name}: {}", explain(&e)));
    for (view, raw) in [(0, 1), (2, 3), (4, 5)] {
        let (view, raw) = (row.get::<_, Option<String>>(view), row.get::<_, Option<String>>(raw));
        assert_eq!(view, raw, "{session_name}: the view and the raw rows of its snapshot");
    }
}

/// A statement that writes 1 to 40 events: some late, some without function or duration, of various
/// lengths.
fn events(random: &mut Random) -> String {
    let (count, late, function) = (1 + random.below(40), random.below(100), random.below(7));
    let seed = random.below(1_000_000);
    if random.below(3) == 0 {
        let length = random.below(200);
        return format!(
            "SELECT count(crewsnow_ops.record_edge_call('function-' || (n + {function}) % 7,
                (n * {seed}) % 9000 + 0.125, 200 + 303 * (n % 2),
                p_user_agent => repeat('x', {length})))
             FROM generate_series(1, {count}) AS n"
        );
    }
    format!(
        "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, created_at)
         SELECT 'edge_function_call',
            CASE WHEN n % 11 <> 0 THEN 'function-' || (n + {function}) % 7 END,
            CASE WHEN n % 13 <> 0
                THEN round((abs(hashint8(n + {seed})) % 9000000)::numeric / 1000, 3) END,
            jsonb_build_object('status_code',
                (ARRAY[200, 200, 404, 503])[1 + abs(hashint8(n + {seed} + 7)) % 4]),
            now() - CASE WHEN {late} < 15 THEN {late} * interval '5 minutes' ELSE interval '0' END
         FROM generate_series(1, {count}) AS n"
    )
}

fn webhook(random: &mut Random) -> String {
    let (id, outcome) =
        (random.below(3_000), ["true", "true", "false", "NULL"][random.below(4) as usize]);
    format!(
        "SELECT crewsnow_ops.record_stripe_webhook('evt_{id}',
            'invoice.paid', {outcome}, 'because')"
    )
}

fn write(
    mut session: Client,
    writer: u64,
    mut random: Random,
    until: Instant,
    written: &AtomicU64,
) {
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        run(&mut session, "BEGIN");
        for _ in 0..1 + random.below(4) {
            run(&mut session, &events(&mut random));
            match random.below(5) {
                0 => {
                    run(&mut session, "SAVEPOINT s");
                    run(&mut session, &events(&mut random));
                    run(
                        &mut session,
                        if random.below(2) == 0 { "ROLLBACK TO s" } else { "RELEASE s" },
                    );
                }
                1 => run(&mut session, &webhook(&mut random)),
                2 => {
                    // The roll-up runs in a transaction that writes before and after it.
                    run(&mut session, "SELECT * FROM crewsnow_ops.roll_up_events()");
                    run(&mut session, &events(&mut random));
                    compare(&mut session, "a writer in its transaction");
                }
                _ => {}
            }
        }
        let longest = if writer == 0 { 6_000 } else { 40 };
        std::thread::sleep(Duration::from_millis(random.below(longest)));
        match random.below(6) {
            0 => run(&mut session, "ROLLBACK"),
            1 => {
                let name = format!("w{writer}_{round}");
                run(&mut session, &format!("PREPARE TRANSACTION '{name}'"));
                std::thread::sleep(Duration::from_millis(random.below(300)));
                let end = if random.below(3) == 0 { "ROLLBACK" } else { "COMMIT" };
                run(&mut session, &format!("{end} PREPARED '{name}'"));
            }
            _ => run(&mut session, "COMMIT"),
        }
        written.fetch_add(1, Ordering::Relaxed);
    }
}

/// Rolls up until `until`, in sessions that are killed at any moment.
fn roll_up(cluster: &Cluster, mut random: Random, until: Instant) -> u64 {
    let mut done = 0;
    while Instant::now() < until {
        let mut session = cluster.connect("exact");
        loop {
            let max_events = [1, 40, 100_000][random.below(3) as usize];
            if session
                .batch_execute(&format!("SELECT * FROM crewsnow_ops.roll_up_events({max_events})"))
                .is_err()
            {
                break;
            }
            done += 1;
            std::thread::sleep(Duration::from_millis(random.below(30)));
            if Instant::now() >= until {
                return done;
            }
        }
    }
    done
}

fn kill_roll_ups(mut session: Client, mut random: Random, until: Instant) -> u64 {
    let mut killed = 0;
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(random.below(200)));
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
            WHERE query ~ 'roll_up_events[(][0-9]' AND pid <> pg_backend_pid()
                AND state = 'active' LIMIT 1) AS one";
        killed += value(&mut session, sql).parse::<u64>().expect("a number");
    }
    killed
}

/// VACUUM records free space, so later rows fill gaps all over the table.
fn vacuum_every_two_seconds(mut session: Client, until: Instant) {
    while Instant::now() < until {
        run(&mut session, "VACUUM event_log");
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn compare_at_random(
    mut session: Client,
    session_name: &str,
    mut random: Random,
    until: Instant,
) -> u64 {
    let mut comparisons = 0;
    while Instant::now() < until {
        let levels = if session_name.contains("standby") { 2 } else { 3 };
        let isolation = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE READ ONLY"]
            [random.below(levels) as usize];
        run(&mut session, &format!("BEGIN ISOLATION LEVEL {isolation}"));
        for _ in 0..1 + random.below(4) {
            compare(&mut session, session_name);
            comparisons += 1;
            std::thread::sleep(Duration::from_millis(random.below(60)));
        }
        run(&mut session, "COMMIT");
    }
    comparisons
}

#[test]
fn the_views_agree_with_the_raw_rows_at_every_instant() {
    let cluster = Arc::new(Cluster::start(
        "exact",
        "max_prepared_transactions = 20\nautovacuum_naptime = 1s",
    ));
    let mut a = cluster.create_database("exact");
    // A partition of today with index ranges of two blocks, so that ranges of every kind occur.
    let day = "CREATE TABLE today PARTITION OF event_log FOR VALUES FROM ('today') TO ('tomorrow');
        CREATE INDEX ON today USING brin (tx, created_at) WITH (pages_per_range = 2)";
    run(&mut a, day);
    let standby = Cluster::standby("exact_standby", &cluster);
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos() as u64;
    println!("seed {seed}");
    let until = Instant::now() + DURATION;
    let written = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (session, written) = (cluster.connect("exact"), Arc::clone(&written));
            std::thread::spawn(move || {
                write(session, writer, Random(seed ^ writer), until, &written)
            })
        })
        .collect();
    let rolling: Vec<_> = (0..ROLL_UPS)
        .map(|i| {
            let cluster = Arc::clone(&cluster);
            std::thread::spawn(move || roll_up(&cluster, Random(seed ^ (100 + i)), until))
        })
        .collect();
    let vacuum = cluster.connect("exact");
    let vacuum = std::thread::spawn(move || vacuum_every_two_seconds(vacuum, until));
    let killer = cluster.connect("exact");
    let killer = std::thread::spawn(move || kill_roll_ups(killer, Random(seed ^ 200), until));
    let comparing: Vec<_> = (0..READERS)
        .map(|i| {
            let (session, session_name) = if i == 0 {
                (standby.connect("exact"), "a session on the standby")
            } else {
                (cluster.connect("exact"), "a session on the primary")
            };
            std::thread::spawn(move || {
                compare_at_random(session, session_name, Random(seed ^ (300 + i)), until)
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap_or_else(|_| panic!("a writer failed, seed {seed}"));
    }
    let done: u64 =
        rolling.into_iter().map(|thread| thread.join().expect("a rolling-up session ends")).sum();
    let killed = killer.join().expect("the killer ends");
    vacuum.join().expect("VACUUM ends");
    let comparisons: u64 = comparing
        .into_iter()
        .map(|thread| thread.join().unwrap_or_else(|_| panic!("a comparison failed, seed {seed}")))
        .sum();
    compare(&mut a, "before the last roll-up");
    while value(&mut a, "SELECT is_complete FROM crewsnow_ops.roll_up_events()") != "t" {}
    compare(&mut a, "after the last roll-up");
    // The tail is empty now, so the rollups alone must equal the raw counts.
    let counted =
        "SELECT sum(calls), sum(errors_5xx), sum(over_5s) FROM crewsnow_ops.event_rollups";
    let raw = "SELECT count(*), count(*) FILTER (WHERE payload ->> 'status_code' LIKE '5%'),
        count(*) FILTER (WHERE execution_time_ms > 5000)
        FROM event_log WHERE function_name IS NOT NULL";
    assert_eq!(rows(&mut a, counted), rows(&mut a, raw), "seed {seed}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.webhook_journal"), "0");
    let end = value(&mut a, "SELECT pg_current_wal_flush_lsn()");
    let mut b = standby.connect("exact");
    while value(&mut b, &format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")) != "t" {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(rows(&mut b, counted), rows(&mut a, raw), "the standby, seed {seed}");
    compare(&mut b, "the standby at the end");
    let transactions = written.load(Ordering::Relaxed);
    println!(
        "{transactions} transactions, {done} roll-ups, {killed} killed, {comparisons} comparisons"
    );
    assert!(
        transactions > 500 && done > 100 && killed > 5 && comparisons > 50,
        "too little happened"
    );
}

/// With the trigger disabled, a row can carry a transaction id that the rollups already cover. No
/// view then counts it.
#[test]
fn the_comparison_finds_a_row_that_is_not_counted() {
    let cluster = Cluster::start("comparison", "");
    let mut a = cluster.create_database("comparison");
    run(
        &mut a,
        "SELECT crewsnow_ops.record_edge_call('f', 1, 200);
         SELECT * FROM crewsnow_ops.roll_up_events()",
    );
    compare(&mut a, "with the trigger");
    run(&mut a, "INSERT INTO event_log (event_type, function_name, tx) VALUES ('x', 'f', 1)");
    compare(&mut a, "the trigger replaces the transaction id");
    run(&mut a, "ALTER TABLE event_log DISABLE TRIGGER event_log_before_insert");
    run(&mut a, "INSERT INTO event_log (event_type, function_name, tx) VALUES ('x', 'f', 1)");
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        compare(&mut a, "without the trigger")
    }));
    assert!(found.is_err(), "the comparison missed a row that the view lacks");
    run(&mut a, "SELECT crewsnow_ops.rebuild_rollups()");
    compare(&mut a, "after rebuilding");
}
