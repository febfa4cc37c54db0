//! Lock jams: the cheapest safe cut is named first, and its command frees the victims.

use crate::health::{in_background, let_time_pass, run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, rows, run, value};
use postgres::Client;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const METRIC: &str = "Blocked Sessions";

fn waiting(a: &mut Client, number: usize) {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    wait_until("sessions wait", || value(a, sql) == number.to_string());
}

/// A session of an application.
fn named(cluster: &Cluster, application: &str) -> (Client, String) {
    let mut session = cluster.connect("jam");
    run(&mut session, &format!("SET application_name = '{application}'"));
    let pid = value(&mut session, "SELECT pg_backend_pid()");
    (session, pid)
}

type Statement = JoinHandle<Option<String>>;

/// A statement of an application that will wait, and its process.
fn waiter(cluster: &Cluster, application: &str, sql: &str) -> (Statement, String) {
    let (session, pid) = named(cluster, application);
    (in_background(session, sql), pid)
}

fn readers(cluster: &Cluster, table: &str, number: usize) -> Vec<Statement> {
    let sql = format!("SELECT count(*) FROM {table}");
    (0..number).map(|_| waiter(cluster, "web", &sql).0).collect()
}

fn outcomes(statements: Vec<Statement>) -> Vec<Option<String>> {
    statements.into_iter().map(|statement| statement.join().expect("a thread")).collect()
}

/// Object and next command of the worst row.
fn cut(a: &mut Client) -> (String, String) {
    (worst(a, METRIC, "object"), worst(a, METRIC, "next_command"))
}

fn paste(a: &mut Client, command: &str) {
    assert!(!command.contains('\n'), "one line: {command}");
    run(a, "SET search_path = ''");
    run(a, command);
    run(a, "RESET search_path");
}

#[test]
fn a_backup_is_never_the_session_to_end() {
    let cluster = Cluster::start("cuts_backup", "");
    let mut a = cluster.create_database("jam");
    run(&mut a, "CREATE TABLE parcels (id int); CREATE TABLE depots (id int)");
    let (mut backup, b) = named(&cluster, "pg_dump");
    run_each(&mut backup, "BEGIN; SELECT count(*) FROM parcels; SELECT count(*) FROM depots");
    // A statement that waits for the backup alone.
    let (lone, l) = waiter(&cluster, "migrate", "TRUNCATE depots");
    waiting(&mut a, 1);
    assert_eq!(status(&mut a, METRIC), "OK", "a short wait is normal");
    let_time_pass(&mut a, "40 seconds");
    let (object, command) = cut(&mut a);
    assert_eq!(object, format!("pid {l}"));
    assert!(worst(&mut a, METRIC, "recommendation").starts_with("The backup (pid "));
    paste(&mut a, &command);
    assert_eq!(outcomes(vec![lone]), [Some("57014".to_owned())]);
    // A queue behind an ALTER TABLE.
    let (ddl, d) = waiter(&cluster, "migrate", "ALTER TABLE parcels ADD COLUMN x int");
    waiting(&mut a, 1);
    let web = readers(&cluster, "parcels", 6);
    waiting(&mut a, 7);
    let (object, command) = cut(&mut a);
    assert_eq!(object, format!("pid {d}"));
    assert!(command.starts_with(&format!("SELECT crewsnow_ops.cancel_session({d}, ")), "{command}");
    let evidence = worst(&mut a, METRIC, "evidence");
    assert!(
        evidence.starts_with(
            "waits for AccessExclusiveLock on public.parcels, user postgres, application migrate; \
             behind pid "
        ),
        "{evidence}"
    );
    assert!(evidence.contains(&format!("behind pid {b} (backup)")), "{evidence}");
    paste(&mut a, &command);
    assert_eq!(outcomes(vec![ddl]), [Some("57014".to_owned())]);
    assert_eq!(outcomes(web), vec![None; 6]);
    run(&mut backup, "SELECT count(*) FROM depots");
    assert_eq!(status(&mut a, METRIC), "OK");
    assert_eq!(
        rows(
            &mut a,
            "SELECT pid, action, was_there, outcome FROM crewsnow_ops.session_actions
             ORDER BY acted_at"
        ),
        [format!("{l}|cancel|t|told"), format!("{d}|cancel|t|told")]
    );
}

/// Nothing that works is lost by cancelling statements that only wait, however the root works.
#[test]
fn waiting_ddl_is_cut_before_the_session_ahead_of_it() {
    let cluster = Cluster::start("cuts_ddl", "");
    let mut a = cluster.create_database("jam");
    run(
        &mut a,
        "CREATE TABLE parcels (id int PRIMARY KEY); CREATE TABLE stops (id int, parcel int);
         INSERT INTO parcels VALUES (1)",
    );
    let_time_pass(&mut a, "40 seconds");
    let add_key = "ALTER TABLE stops ADD FOREIGN KEY (parcel) REFERENCES parcels";
    for (root, ddl) in [
        ("BEGIN; SELECT count(*) FROM parcels", "ALTER TABLE parcels ADD COLUMN x int"),
        ("BEGIN; UPDATE parcels SET id = 1", "CREATE INDEX ON parcels (id)"),
        ("BEGIN; UPDATE parcels SET id = 1", add_key),
        ("BEGIN; SELECT count(*) FROM parcels", "VACUUM FULL parcels"),
        ("BEGIN; SELECT count(*) FROM parcels", "LOCK TABLE parcels"),
    ] {
        let (mut holder, _) = named(&cluster, "report");
        run_each(&mut holder, root);
        let ddl = if ddl.starts_with("LOCK") { format!("BEGIN; {ddl}") } else { ddl.to_owned() };
        let (statement, d) = waiter(&cluster, "migrate", &ddl);
        waiting(&mut a, 1);
        let writer = waiter(&cluster, "web", "INSERT INTO parcels VALUES (2)").0;
        waiting(&mut a, 2);
        let (object, command) = cut(&mut a);
        assert_eq!(object, format!("pid {d}"), "{ddl}");
        paste(&mut a, &command);
        assert_eq!(outcomes(vec![statement, writer]), [Some("57014".to_owned()), None], "{ddl}");
        run_each(&mut holder, "SELECT 1; ROLLBACK");
        run(&mut a, "DELETE FROM parcels WHERE id = 2");
    }
    // Two statements wait: either alone still blocks the others.
    let (mut holder, _) = named(&cluster, "report");
    run_each(&mut holder, "BEGIN; SELECT count(*) FROM parcels");
    let first = waiter(&cluster, "migrate", "ALTER TABLE parcels ADD COLUMN x int").0;
    waiting(&mut a, 1);
    let second = waiter(&cluster, "migrate", "ALTER TABLE parcels ADD COLUMN y int").0;
    waiting(&mut a, 2);
    let web = readers(&cluster, "parcels", 3);
    waiting(&mut a, 5);
    let (_, command) = cut(&mut a);
    assert_eq!(command.matches("crewsnow_ops.cancel_session(").count(), 2, "{command}");
    paste(&mut a, &command);
    assert_eq!(outcomes(vec![first, second]), vec![Some("57014".to_owned()); 2]);
    assert_eq!(outcomes(web), vec![None; 3]);
}

#[test]
fn a_root_blocker_is_cut_as_gently_as_it_can_be() {
    let cluster = Cluster::start("cuts_roots", "");
    let mut a = cluster.create_database("jam");
    run(&mut a, "CREATE TABLE parcels (id int, n int); INSERT INTO parcels VALUES (1, 0)");
    let_time_pass(&mut a, "40 seconds");
    // An idle session holds the row that the others want.
    let (mut idle, i) = named(&cluster, "worker");
    run_each(&mut idle, "BEGIN; UPDATE parcels SET n = 1");
    let web: Vec<_> =
        (0..6).map(|_| waiter(&cluster, "web", "UPDATE parcels SET n = n + 1").0).collect();
    waiting(&mut a, 6);
    let (object, command) = cut(&mut a);
    assert_eq!(object, format!("pid {i}"));
    assert!(command.starts_with(&format!("SELECT crewsnow_ops.terminate_session({i}, ")));
    assert!(worst(&mut a, METRIC, "evidence").contains("queue for a row of public.parcels"));
    paste(&mut a, &command);
    assert_eq!(outcomes(web), vec![None; 6]);
    // A statement that works is cancelled, and its session stays.
    let (works, w) = waiter(&cluster, "batch", "BEGIN; LOCK TABLE parcels; SELECT pg_sleep(600)");
    wait_until("it works", || {
        value(&mut a, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
    });
    let web = readers(&cluster, "parcels", 2);
    waiting(&mut a, 2);
    let (object, command) = cut(&mut a);
    assert_eq!(object, format!("pid {w}"));
    assert!(command.starts_with(&format!("SELECT crewsnow_ops.cancel_session({w}, ")));
    paste(&mut a, &command);
    assert_eq!(outcomes(vec![works]), [Some("57014".to_owned())]);
    assert_eq!(outcomes(web), vec![None; 2]);
    // An advisory lock outlives its transaction. No statement is left to cancel.
    let (mut keeper, k) = named(&cluster, "scheduler");
    run(&mut keeper, "SELECT pg_advisory_lock(7)");
    let other = waiter(&cluster, "scheduler", "SELECT pg_advisory_lock(7)").0;
    waiting(&mut a, 1);
    let cancel = value(
        &mut a,
        &format!(
            "SELECT crewsnow_ops.cancel_session(pid, backend_start) FROM pg_stat_activity
             WHERE pid = {k}"
        ),
    );
    assert_eq!(cancel, "f", "it is idle");
    let (_, command) = cut(&mut a);
    assert!(command.starts_with(&format!("SELECT crewsnow_ops.terminate_session({k}, ")));
    paste(&mut a, &command);
    assert_eq!(outcomes(vec![other]), [None]);
    // The transaction of the caller.
    run(&mut a, "BEGIN; LOCK TABLE parcels");
    let web = readers(&cluster, "parcels", 1);
    waiting(&mut a, 1);
    let own = value(&mut a, "SELECT pg_backend_pid()");
    assert_eq!(cut(&mut a), (format!("pid {own}"), String::new()));
    assert!(worst(&mut a, METRIC, "recommendation").starts_with("Your own transaction"));
    run(&mut a, "COMMIT");
    assert_eq!(outcomes(web), [None]);
    assert_eq!(status(&mut a, METRIC), "OK");
}

/// 40 sessions in 5 layers: 37,448 paths, and 40 rows.
#[test]
fn a_dense_jam_has_one_row_a_session() {
    let cluster = Cluster::start("cuts_dense", "deadlock_timeout = '60s'");
    let mut a = cluster.create_database("jam");
    run_each(
        &mut a,
        "CREATE TABLE layer1 (id int); CREATE TABLE layer2 (id int); CREATE TABLE layer3 (id int); \
         CREATE TABLE layer4 (id int); CREATE TABLE layer5 (id int)",
    );
    let mut roots = Vec::new();
    let mut others = Vec::new();
    for layer in 1..=5 {
        let mut sessions: Vec<Client> = (0..8).map(|_| cluster.connect("jam")).collect();
        for session in &mut sessions {
            run_each(session, &format!("BEGIN; SELECT count(*) FROM layer{layer}"));
        }
        if layer == 1 {
            roots = sessions;
            continue;
        }
        let lock = format!("LOCK TABLE layer{}", layer - 1);
        others.extend(sessions.into_iter().map(|session| in_background(session, &lock)));
        waiting(&mut a, others.len());
    }
    std::thread::sleep(Duration::from_millis(1100));
    let started = Instant::now();
    assert_eq!(
        rows(
            &mut a,
            "SELECT depth, count(*), count(DISTINCT pid), min(victims), max(victims)
             FROM crewsnow_ops.blocking_tree GROUP BY depth ORDER BY depth"
        ),
        ["0|8|8|32|32", "1|8|8|24|24", "2|8|8|16|16", "3|8|8|8|8", "4|8|8|0|0"]
    );
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(status(&mut a, METRIC), "WARNING");
    assert!(worst(&mut a, METRIC, "current_value").starts_with("32 blocked, longest"));
    assert!(worst(&mut a, METRIC, "evidence").contains("for 7 other root blockers too"));
    drop(roots);
    run(
        &mut a,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    );
    outcomes(others);
}

/// Replay waits for an idle reader, and others wait for replay. Ending the startup process would
/// end the standby.
#[test]
fn on_a_standby_the_reader_that_stops_replay_is_named() {
    let primary = Cluster::start("cuts_primary", "");
    let mut p = primary.create_database("jam");
    run(&mut p, "CREATE TABLE parcels (id int)");
    let standby = Cluster::standby("cuts_standby", &primary);
    let mut a = standby.connect("jam");
    run_each(&mut a, "ALTER SYSTEM SET max_standby_streaming_delay = -1; SELECT pg_reload_conf()");
    let (mut reader, r) = named(&standby, "report");
    run_each(&mut reader, "BEGIN; SELECT count(*) FROM parcels");
    run(&mut p, "ALTER TABLE parcels ADD COLUMN x int");
    waiting(&mut a, 1);
    let web = readers(&standby, "parcels", 6);
    waiting(&mut a, 7);
    std::thread::sleep(Duration::from_millis(1100));
    let startup = value(&mut a, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'");
    assert_eq!(
        rows(
            &mut a,
            "SELECT depth, session_kind, min(victims), count(*) FROM crewsnow_ops.blocking_tree
             GROUP BY 1, 2 ORDER BY 1"
        ),
        ["0|client|7|1", "1|startup|6|1", "2|client|0|6"]
    );
    let (object, command) = cut(&mut a);
    assert_eq!(object, format!("pid {r}"));
    assert!(!command.contains(&startup), "{command}");
    // The check of replay names the same session.
    run(&mut a, "SELECT pg_stat_clear_snapshot()");
    let late = "SELECT count(*) FROM performance_health_check() WHERE metric = 'Replay'
        AND status = 'WARNING' AND evidence LIKE '%; replay waits for pid %'";
    wait_until("replay is late", || value(&mut a, late) == "1");
    assert_eq!(worst(&mut a, "Replay", "next_command"), command);
    paste(&mut a, &command);
    assert_eq!(outcomes(web), vec![None; 6]);
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'parcels'::regclass
        AND attname = 'x'";
    wait_until("replay goes on", || value(&mut a, columns) == "1");
    assert_eq!(status(&mut a, METRIC), "OK");
}
