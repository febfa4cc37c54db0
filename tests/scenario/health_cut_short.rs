//! Session actions under a timeout or a lock: all are told at once, and the records survive.

use crate::health_actions::{connect_named, is_alive};
use crate::replication::wait_until;
use harness::{Cluster, must_run, rows, run, sqlstate, value};
use postgres::Client;
use std::process::Command;
use std::time::{Duration, Instant};

const DISCONNECT: &str = "SELECT action, count(*) FROM crewsnow_ops.disconnect_sessions(\
    p_application => 'storm', p_dry_run => false) GROUP BY 1";

fn storm(cluster: &Cluster, number: usize) -> Vec<(Client, String)> {
    (0..number)
        .map(|_| {
            let mut session = connect_named(cluster, "app", "storm");
            let pid = value(&mut session, "SELECT pg_backend_pid()");
            (session, pid)
        })
        .collect()
}

fn signal(sessions: &[(Client, String)], name: &str) {
    for (_, pid) in sessions {
        must_run(Command::new("kill").args([name, pid]));
    }
}

fn recorded(a: &mut Client) -> Vec<String> {
    rows(a, "SELECT outcome, count(*) FROM crewsnow_ops.session_actions GROUP BY 1 ORDER BY 1")
}

#[test]
fn all_sessions_are_told_before_one_is_awaited() {
    let cluster = Cluster::start("cut_short", "");
    let mut a = cluster.create_database("actions");
    run(
        &mut a,
        "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator');
         CREATE ROLE app LOGIN",
    );
    let mut op = cluster.connect_as("op", "actions");
    let mut sessions = storm(&cluster, 40);
    let started = Instant::now();
    assert_eq!(rows(&mut op, DISCONNECT), ["disconnected|40"]);
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    assert!(sessions.iter_mut().all(|(session, _)| !is_alive(session)));
    assert_eq!(recorded(&mut a), ["ended|40"]);
    run(&mut a, "DELETE FROM crewsnow_ops.session_actions");

    // Sessions that do not end, and a timeout long before the end of the waiting.
    let mut sessions = storm(&cluster, 20);
    signal(&sessions, "-STOP");
    run(&mut op, "SET statement_timeout = '300ms'");
    let started = Instant::now();
    assert_eq!(rows(&mut op, DISCONNECT), ["told to end, outcome unknown|20"]);
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    signal(&sessions, "-CONT");
    assert!(sessions.iter_mut().all(|(session, _)| !is_alive(session)), "all were told");
    assert_eq!(recorded(&mut a), ["unknown|20"]);
    assert_eq!(sqlstate(&mut op, "SELECT pg_sleep(1)"), "57014", "the timeout counts again");
    run(&mut op, "RESET statement_timeout");
    run(&mut a, "DELETE FROM crewsnow_ops.session_actions");

    // The user cancels the call.
    let sessions = storm(&cluster, 3);
    signal(&sessions, "-STOP");
    let mut other = cluster.connect_as("op", "actions");
    let pid = value(&mut other, "SELECT pg_backend_pid()");
    let call = std::thread::spawn(move || rows(&mut other, DISCONNECT));
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'
            AND query_start < clock_timestamp() - interval '300 ms'"
    );
    wait_until("it waits", || value(&mut a, &waits) == "1");
    run(&mut a, &format!("SELECT pg_cancel_backend({pid})"));
    assert_eq!(call.join().expect("the call"), ["told to end, outcome unknown|3"]);
    signal(&sessions, "-CONT");
    assert_eq!(recorded(&mut a), ["unknown|3"]);
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log")).expect("the log");
    assert!(log.contains("op asked to terminate sessions: ["), "a rollback leaves this line");
    run(&mut a, "DELETE FROM crewsnow_ops.session_actions");

    // Without its record no session is ended.
    let mut sessions = storm(&cluster, 1);
    run(&mut a, "BEGIN; LOCK TABLE crewsnow_ops.session_actions");
    let started = Instant::now();
    let error = op.query(DISCONNECT, &[]).expect_err("the records are locked");
    let error = error.as_db_error().expect("an error of the server");
    assert_eq!(error.code().code(), "55P03");
    assert!(error.detail().is_some_and(|detail| detail.contains("holds the lock")), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    run(&mut a, "ROLLBACK");
    assert!(is_alive(&mut sessions[0].0));
    assert_eq!(recorded(&mut a), Vec::<String>::new());
}

/// A role that may not run the next command reads which role may.
#[test]
fn the_role_that_may_run_a_command_is_named() {
    let cluster = Cluster::start("cut_roles", "max_prepared_transactions = 2");
    let mut a = cluster.create_database("actions");
    run(
        &mut a,
        "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator');
         GRANT pg_monitor TO op;
         CREATE ROLE guest LOGIN; SELECT crewsnow_ops.grant_access('guest', 'reader');
         GRANT pg_monitor TO guest;
         CREATE ROLE app LOGIN; CREATE TABLE parcels (id serial, n int);
         INSERT INTO parcels (n) VALUES (1); GRANT ALL ON parcels TO app;
         GRANT pg_read_all_data TO op;
         SELECT setval('parcels_id_seq', 2140000000)",
    );
    crate::health::let_time_pass(&mut a, "40 seconds");
    let mut op = cluster.connect_as("op", "actions");
    let mut guest = cluster.connect_as("guest", "actions");
    let advice = |session: &mut Client, metric: &str| {
        crate::health::worst(session, metric, "recommendation")
    };
    let blocked = "Blocked Sessions";
    for user in ["postgres", "app"] {
        let mut holder = connect_named(&cluster, user, "job");
        run(&mut holder, "BEGIN; UPDATE parcels SET n = 2");
        let waiter = crate::health::in_background(
            cluster.connect_as("app", "actions"),
            "UPDATE parcels SET n = 3",
        );
        wait_until("it waits", || {
            value(&mut a, "SELECT count(*) FROM pg_locks WHERE NOT granted") == "1"
        });
        let as_guest = advice(&mut guest, blocked);
        let as_op = advice(&mut op, blocked);
        let command = crate::health::worst(&mut op, blocked, "next_command");
        if user == "postgres" {
            assert!(as_op.starts_with("As a superuser: It holds the lock"), "{as_op}");
            let error = op.batch_execute(&command).expect_err("a superuser's session");
            let error = error.as_db_error().expect("an error of the server");
            assert_eq!(error.code().code(), "42501");
            let hint = error.hint().unwrap_or_default();
            assert!(hint.starts_with("As a superuser: SELECT crewsnow_ops.terminate_session("));
            run(&mut a, hint.trim_start_matches("As a superuser: "));
        } else {
            assert!(as_op.starts_with("It holds the lock"), "{as_op}");
            let expected = "As a role with the access level operator: ";
            assert!(as_guest.starts_with(expected), "{as_guest}");
            assert_eq!(value(&mut op, &command), "t");
        }
        assert_eq!(waiter.join().expect("the waiter"), None);
    }
    let expected = "As postgres or a superuser: ";
    assert!(advice(&mut op, "Sequences").starts_with(expected));
    assert!(!advice(&mut a, "Sequences").starts_with("As "), "a superuser may");
    run(&mut a, "BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'p'");
    wait_until("it is old", || crate::health::status(&mut op, "Prepared Transactions") != "OK");
    assert!(advice(&mut op, "Prepared Transactions").starts_with(expected));
    run(&mut a, "ROLLBACK PREPARED 'p'");
}
