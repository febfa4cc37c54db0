//! Runs that are cut short: each commit is one whole batch, and the next run goes on.

use crate::gdpr::{COMPLETED, RUN, define, last_step};
use crate::replication::wait_until;
use harness::random::Random;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;
use std::process::Command;
use std::time::Duration;

const ROWS: i64 = 60_000;
const RECENT: i64 = 600;
const BATCH: i64 = 10;
const COUNTED: &str = "SELECT coalesce(sum(changed_rows), 0) FROM crewsnow_ops.retention_runs";
const UNEVEN: &str = "SELECT policy, changed_rows, batches FROM crewsnow_ops.retention_runs \
    WHERE changed_rows <> batches * 10";

fn make(a: &mut Client) {
    run(
        a,
        "CREATE TABLE letter (id int PRIMARY KEY, at timestamptz, note text);
         CREATE INDEX ON letter (at);
         INSERT INTO letter SELECT n, now() - interval '90 days' - n * interval '1 second', 'old'
            FROM generate_series(1, 59400) AS n;
         INSERT INTO letter SELECT n, now(), 'new' FROM generate_series(59401, 60000) AS n",
    );
    define(a, "letter", "at", "delete", (", batch_rows", ", 10"));
}

fn left(a: &mut Client) -> i64 {
    value(a, "SELECT count(*) FROM letter").parse().expect("a number")
}

fn counted(a: &mut Client) -> i64 {
    value(a, COUNTED).parse().expect("a number")
}

#[test]
fn a_run_killed_at_fifty_points_loses_and_repeats_no_batch() {
    let cluster = Cluster::start("gdpr_kills", "autovacuum = off\nshared_buffers = 16MB");
    let mut a = cluster.create_database("shop");
    make(&mut a);
    let mut random = Random(50);
    let mut cut = 0;
    for number in 0..50 {
        let mut session = cluster.connect("shop");
        let leader = value(&mut session, "SELECT pg_backend_pid()");
        let session = std::thread::spawn(move || session.batch_execute(RUN).is_ok());
        std::thread::sleep(Duration::from_millis(40 + random.below(120) as u64));
        let worker = rows(
            &mut a,
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'",
        );
        let pid = if number % 3 == 0 { leader } else { worker.first().cloned().unwrap_or(leader) };
        let _ = Command::new("kill").args(["-9", &pid]).output();
        cut += usize::from(!session.join().expect("the end of the session"));
        std::thread::sleep(Duration::from_millis(100));
        let mut recovered = None;
        wait_until("the recovery", || {
            recovered = cluster.try_connect("shop");
            recovered.is_some()
        });
        a = recovered.expect("a session");
        assert_eq!(counted(&mut a), ROWS - left(&mut a), "kill {number}");
        assert_eq!(rows(&mut a, UNEVEN), Vec::<String>::new(), "half a batch after kill {number}");
    }
    assert!(cut >= 40, "{cut} of 50 runs were cut short");
    let before = left(&mut a);
    assert!(before > RECENT, "the kills left work");
    run(&mut a, "UPDATE crewsnow_ops.retention_policies SET batch_rows = 5000");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(left(&mut a), RECENT);
    assert_eq!(counted(&mut a), ROWS - RECENT);
    assert_eq!((ROWS - RECENT) % BATCH, 0);
    let open = "SELECT count(*) FROM crewsnow_ops.retention_runs WHERE verdict = 'STARTED'";
    assert_eq!(value(&mut a, open), "0");
}

#[test]
fn a_cancelled_run_leaves_whole_batches_and_no_lock() {
    let cluster = Cluster::start("gdpr_cancel", "");
    let mut a = cluster.create_database("shop");
    make(&mut a);
    let mut random = Random(7);
    for _ in 0..10 {
        let timeout = 30 + random.below(150);
        run(&mut a, &format!("SET statement_timeout = {timeout}"));
        assert_eq!(sqlstate(&mut a, RUN), "57014");
        run(&mut a, "RESET statement_timeout");
        wait_until("no worker", || {
            value(
                &mut a,
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'",
            ) == "0"
        });
        assert_eq!(counted(&mut a), ROWS - left(&mut a));
        assert_eq!(rows(&mut a, UNEVEN), Vec::<String>::new());
    }
    run(&mut a, "UPDATE crewsnow_ops.retention_policies SET batch_rows = 5000");
    assert!(value(&mut a, RUN).ends_with(COMPLETED));
    assert_eq!(left(&mut a), RECENT);
    assert_eq!(counted(&mut a), ROWS - RECENT);
}

#[test]
fn one_run_at_a_time_works_and_a_policy_that_goes_away_ends_its_step() {
    let cluster = Cluster::start("gdpr_one", "");
    let mut a = cluster.create_database("shop");
    make(&mut a);
    let mut session = cluster.connect("shop");
    let pid = value(&mut session, "SELECT pg_backend_pid()");
    let running = std::thread::spawn(move || value(&mut session, RUN));
    let started = "SELECT count(*) FROM crewsnow_ops.retention_runs WHERE verdict = 'STARTED' \
        AND changed_rows > 0";
    wait_until("a batch", || value(&mut a, started) == "1");
    let error = a.batch_execute(RUN).expect_err("a second run");
    let error = error.as_db_error().expect("an error of the server");
    assert_eq!(error.code().code(), "55006");
    assert!(error.message().ends_with(&format!("process {pid} runs it")), "{error:?}");
    run(&mut a, "UPDATE crewsnow_ops.retention_policies SET is_enabled = false");
    let report = running.join().expect("the run ends");
    assert!(last_step(&mut a, "letter").starts_with("SKIPPED|"), "{report}");
    assert_eq!(counted(&mut a), ROWS - left(&mut a));
    assert!(left(&mut a) > RECENT);
}
