//! A run that is cut short at any point leaves no worker, no lock and no open row behind.

use crate::replication::wait_until;
use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::{Client, NoTls};
use std::process::Command;
use std::time::{Duration, Instant};

const RUN: &str = "SELECT run_performance_maintenance()";
const WORKERS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'";
/// Locks of other sessions than this one.
const LOCKS: &str = "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS s USING (pid)
    WHERE s.pid <> pg_backend_pid() AND s.backend_type IN ('client backend', 'crewsnow_ops worker')
        AND s.datname = 'shop' AND l.locktype IN ('relation', 'object')";

/// The ways in which a session or its worker ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Ctrl-C.
    Cancel,
    /// statement_timeout.
    Timeout,
    /// pg_terminate_backend of the session.
    Terminate,
    /// The client's connection breaks.
    Disconnect,
    /// pg_terminate_backend of the worker.
    TerminateWorker,
    /// pg_cancel_backend of the worker.
    CancelWorker,
}

const ENDS: [End; 6] = [
    End::Cancel,
    End::Timeout,
    End::Terminate,
    End::Disconnect,
    End::TerminateWorker,
    End::CancelWorker,
];

/// Tables with work of different lengths. Their statistics are reset each time.
fn rot(client: &mut Client) {
    for table in 0..6 {
        run(client, &format!("UPDATE t{table} SET v = v + 1"));
    }
    run(client, "SELECT pg_stat_force_next_flush()");
}

fn make_tables(client: &mut Client) {
    for table in 0..6 {
        let sql = format!(
            "CREATE TABLE t{table} (id int PRIMARY KEY, v int, pad text)
                WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
             INSERT INTO t{table} SELECT i, 0, repeat('x', 100)
                FROM generate_series(1, {}) AS i",
            2_000 * (table + 1)
        );
        run(client, &sql);
    }
}

/// Lets a session run maintenance and ends it in this way after some milliseconds.
fn cut_short(cluster: &Cluster, admin: &mut Client, end: End, milliseconds: u64) {
    if let End::Disconnect = end {
        // libpq is killed as a client machine that disappears; the server notices when it writes.
        let mut psql = cluster.psql("shop");
        psql.args(["-qAtc", "SET client_connection_check_interval = '50ms'", "-c", RUN]);
        psql.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut psql = psql.spawn().expect("psql");
        std::thread::sleep(Duration::from_millis(milliseconds));
        psql.kill().expect("a kill");
        psql.wait().expect("its end");
        return;
    }
    let mut session = cluster.connect("shop");
    let pid = value(&mut session, "SELECT pg_backend_pid()");
    let cancel = session.cancel_token();
    if let End::Timeout = end {
        run(&mut session, &format!("SET statement_timeout = {}", milliseconds.max(1)));
    }
    let session = std::thread::spawn(move || {
        // Some runs end in time.
        let _ = session.batch_execute(RUN);
    });
    std::thread::sleep(Duration::from_millis(milliseconds));
    let worker = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'";
    match end {
        End::Cancel => cancel.cancel_query(NoTls).expect("a cancel"),
        End::Terminate => run(admin, &format!("SELECT pg_terminate_backend({pid})")),
        End::TerminateWorker => {
            run(admin, &format!("SELECT pg_terminate_backend(pid) FROM ({worker}) AS w"));
        }
        End::CancelWorker => {
            run(admin, &format!("SELECT pg_cancel_backend(pid) FROM ({worker}) AS w"));
        }
        End::Timeout | End::Disconnect => {}
    }
    session.join().expect("the end of the session");
}

#[test]
fn a_run_that_is_cut_short_leaves_nothing_behind() {
    let cluster = Cluster::start("maintenance_ends", "autovacuum = off\nfsync = off");
    let mut a = cluster.create_database("shop");
    make_tables(&mut a);
    rot(&mut a);
    let started = Instant::now();
    run(&mut a, RUN);
    let whole = started.elapsed().as_millis().max(50) as usize;
    let mut random = Random(2);
    let mut slowest = Duration::ZERO;
    for number in 0..100 {
        let end = ENDS[number % ENDS.len()];
        if number % 5 == 0 {
            rot(&mut a);
        }
        cut_short(&cluster, &mut a, end, random.below(whole) as u64);
        let ended = Instant::now();
        wait_until("no worker", || value(&mut a, WORKERS) == "0");
        wait_until("no lock", || value(&mut a, LOCKS) == "0");
        slowest = slowest.max(ended.elapsed());
    }
    println!("the slowest worker ended {slowest:?} after its leader");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid";
    assert!(rows(&mut a, invalid).is_empty());
    run(&mut a, "DROP TABLE IF EXISTS absent");
    let report = value(&mut a, RUN);
    assert!(report.ends_with("Performance maintenance completed"), "{report}");
    let open = "SELECT task, object FROM crewsnow_ops.maintenance_runs WHERE verdict = 'STARTED'";
    assert!(rows(&mut a, open).is_empty());
}

#[test]
fn a_killed_process_leaves_nothing_behind_after_the_recovery() {
    let cluster = Cluster::start("maintenance_kills", "autovacuum = off\nfsync = off");
    let mut a = cluster.create_database("shop");
    make_tables(&mut a);
    let mut random = Random(9);
    for number in 0..8 {
        rot(&mut a);
        let mut session = cluster.connect("shop");
        let leader = value(&mut session, "SELECT pg_backend_pid()");
        let session = std::thread::spawn(move || {
            let _ = session.batch_execute(RUN);
        });
        std::thread::sleep(Duration::from_millis(random.below(120) as u64));
        let worker = rows(
            &mut a,
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'",
        );
        let pid = if number % 2 == 0 { worker.first().cloned().unwrap_or(leader) } else { leader };
        // The process may have ended by itself.
        let _ = Command::new("kill").args(["-9", &pid]).output();
        session.join().expect("the end of the session");
        // The server needs a moment to notice.
        std::thread::sleep(Duration::from_millis(200));
        let mut recovered = None;
        wait_until("the recovery", || {
            recovered = cluster.try_connect("shop");
            recovered.is_some()
        });
        a = recovered.expect("a session");
        wait_until("no worker", || value(&mut a, WORKERS) == "0");
        assert_eq!(value(&mut a, LOCKS), "0");
    }
    rot(&mut a);
    let report = value(&mut a, RUN);
    assert!(report.ends_with("Performance maintenance completed"), "{report}");
    let open = "SELECT task, object FROM crewsnow_ops.maintenance_runs WHERE verdict = 'STARTED'";
    assert!(rows(&mut a, open).is_empty());
}
