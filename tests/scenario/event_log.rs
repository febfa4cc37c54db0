//! Events stay visible and are counted once, however their partitions are stored and whatever other
//! sessions do to them.

use crate::replication::wait_until;
use crate::telemetry::is_counted;
use harness::{Cluster, run, sqlstate, value};
use postgres::Client;

const WRITE: &str = "INSERT INTO event_log (event_type, function_name) SELECT 'x', 'f' \
    FROM generate_series(1, 5000);";
const CALLS: &str = "SELECT total_calls FROM edge_functions_monitoring";
const ROLL_UP: &str = "SELECT * FROM crewsnow_ops.roll_up_events()";
/// A partition for the current time, with a BRIN index of four blocks a range.
const TODAY: &str =
    "CREATE TABLE today PARTITION OF event_log FOR VALUES FROM ('yesterday') TO ('tomorrow');
    CREATE INDEX today_idx ON today USING brin (tx, created_at) WITH (pages_per_range = 4);";

fn calls(client: &mut Client) -> String {
    value(client, CALLS)
}

/// Pages that were not WAL-logged have no usable LSN. Their age is unknown, so they are read.
#[test]
fn events_that_were_not_wal_logged_are_counted() {
    let mut cluster =
        Cluster::start("unlogged", "allow_in_place_tablespaces = on\nmax_wal_senders = 0");
    let mut a = cluster.create_database("unlogged");
    run(&mut a, TODAY);
    run(&mut a, WRITE);
    // Two roll-ups, so that an LSN is stored as a starting point.
    run(&mut a, ROLL_UP);
    run(&mut a, ROLL_UP);
    assert_ne!(value(&mut a, "SELECT mark_lsn FROM crewsnow_ops.rollup_state"), "0/0");
    for sql in [
        "CREATE TABLESPACE elsewhere LOCATION ''",
        "ALTER SYSTEM SET wal_level = 'minimal'",
        "ALTER SYSTEM SET wal_skip_threshold = '64kB'",
    ] {
        run(&mut a, sql);
    }
    drop(a);
    cluster.stop("fast");
    cluster.boot();
    // Pages that move without WAL keep their old LSN, although a row is added to them.
    let mut a = cluster.connect("unlogged");
    run(
        &mut a,
        "BEGIN; ALTER TABLE today SET TABLESPACE elsewhere; \
         SELECT log_system_event('x', p_function_name => 'f'); COMMIT",
    );
    assert_eq!(calls(&mut a), "5001", "moved");
    run(&mut a, "ALTER SYSTEM RESET wal_level");
    drop(a);
    cluster.stop("fast");
    cluster.boot();
    let mut a = cluster.connect("unlogged");
    assert_eq!(calls(&mut a), "5001", "and logged again");
    run(&mut a, ROLL_UP);
    run(&mut a, "ALTER TABLE today SET UNLOGGED");
    assert_eq!(calls(&mut a), "5001", "rewritten");
    run(&mut a, ROLL_UP);
    run(&mut a, ROLL_UP);
    run(&mut a, WRITE);
    assert_eq!(calls(&mut a), "10001", "unlogged");
    run(&mut a, "VACUUM FREEZE event_log");
    assert_eq!(calls(&mut a), "10001", "frozen");
    is_counted(&mut a);
}

/// An unlogged partition does not reach a standby. The standby raises an error instead of counting
/// without it.
#[test]
fn a_standby_names_the_partition_that_it_lacks() {
    let primary = Cluster::start("unlogging", "");
    let mut a = primary.create_database("ops");
    run(&mut a, TODAY);
    run(&mut a, WRITE);
    let standby = Cluster::standby("lacking", &primary);
    let mut b = standby.connect("ops");
    assert_eq!(calls(&mut b), "5000");
    let follow = |a: &mut Client, b: &mut Client, sql: &str, persistence: &str| {
        run(a, sql);
        let known = "SELECT relpersistence FROM pg_class WHERE relname = 'today'";
        wait_until("the standby has followed", || value(b, known) == persistence);
    };
    follow(&mut a, &mut b, "ALTER TABLE today SET UNLOGGED", "u");
    let error = b.batch_execute(CALLS).expect_err("a standby lacks the partition");
    let error = error.as_db_error().expect("an error of the server");
    assert_eq!(error.code().code(), "0A000");
    assert_eq!(error.hint(), Some("On the primary: ALTER TABLE public.today SET LOGGED;"));
    assert_eq!(calls(&mut a), "5000");
    follow(&mut a, &mut b, "ALTER TABLE today SET LOGGED", "p");
    assert_eq!(calls(&mut b), "5000");
}

/// Strays are rows with a future transaction id, written while the trigger was disabled. Views read
/// them until they are removed.
#[test]
fn rows_with_future_transaction_ids_stay_visible() {
    let cluster = Cluster::start("strays", "");
    let mut a = cluster.create_database("strays");
    run(&mut a, TODAY);
    run(&mut a, "ALTER TABLE event_log DISABLE TRIGGER event_log_before_insert");
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, tx) VALUES ('x', 'f', 1000000000000000)",
    );
    run(&mut a, "ALTER TABLE event_log ENABLE ALWAYS TRIGGER event_log_before_insert");
    for round in 0..4 {
        assert_eq!(calls(&mut a), "1", "round {round}");
        run(&mut a, ROLL_UP);
    }
    assert_eq!(value(&mut a, "SELECT has_strays FROM crewsnow_ops.rollup_state"), "t");
    run(&mut a, "SELECT crewsnow_ops.rebuild_rollups()");
    run(&mut a, ROLL_UP);
    assert_eq!(calls(&mut a), "1");
    run(&mut a, "TRUNCATE event_log");
    run(&mut a, ROLL_UP);
    assert_eq!(value(&mut a, "SELECT has_strays FROM crewsnow_ops.rollup_state"), "f");
}

/// REINDEX CONCURRENTLY builds an index that is not ready yet. Inserts continue without it.
#[test]
fn events_are_written_while_their_index_is_rebuilt() {
    let cluster = Cluster::start("reindex", "");
    let mut a = cluster.create_database("reindex");
    run(&mut a, TODAY);
    run(&mut a, WRITE);
    let mut old = cluster.connect("reindex");
    run(&mut old, "BEGIN; SELECT log_system_event('x', p_function_name => 'f')");
    let mut b = cluster.connect("reindex");
    let rebuilding =
        std::thread::spawn(move || run(&mut b, "REINDEX INDEX CONCURRENTLY today_idx"));
    while value(
        &mut a,
        "SELECT count(*) FROM pg_index WHERE indrelid = 'today'::regclass AND NOT indisvalid",
    ) == "0"
    {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    run(&mut a, "SELECT log_system_event('x', p_function_name => 'f') FROM generate_series(1, 3)");
    run(&mut old, "COMMIT");
    rebuilding.join().expect("the index is rebuilt");
    run(&mut a, "SELECT log_system_event('x', p_function_name => 'f')");
    assert_eq!(calls(&mut a), "5005");
    is_counted(&mut a);
}

/// A view takes predicate locks in a serializable transaction, even if it finds no event.
#[test]
fn views_take_predicate_locks() {
    let cluster = Cluster::start("serializable", "");
    let mut a = cluster.create_database("serializable");
    run(&mut a, TODAY);
    run(&mut a, "CREATE TABLE other (n int)");
    let mut b = cluster.connect("serializable");
    run(&mut a, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM edge_functions_monitoring");
    run(&mut b, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM other");
    run(&mut a, "INSERT INTO other VALUES (1)");
    run(&mut b, "SELECT log_system_event('x', p_function_name => 'f')");
    run(&mut a, "COMMIT");
    assert_eq!(
        sqlstate(&mut b, "COMMIT"),
        "40001",
        "each transaction missed the write of the other"
    );
}
