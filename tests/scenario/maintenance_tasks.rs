//! The tasks of run_performance_maintenance beside VACUUM: views, events, leftovers and rebuilds.

use crate::health_rare::FileSystem;
use crate::replication::wait_until;
use harness::{Cluster, must_run, rows, run, sqlstate, value};
use postgres::Client;
use std::process::Command;
use std::time::{Duration, Instant};

const RUN: &str = "SELECT run_performance_maintenance()";
const INVALID: &str = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid ORDER BY 1";
const COMPLETED: &str = "Performance maintenance completed";

/// Waits until a query answers with true.
fn wait_for(a: &mut Client, sql: &str) {
    wait_until(sql, || value(a, sql) == "t");
}

/// The last verdict and detail of an object.
fn verdict(a: &mut Client, object: &str) -> String {
    let sql = format!(
        "SELECT verdict, detail FROM crewsnow_ops.maintenance_runs WHERE object = '{object}' \
         ORDER BY started_at DESC LIMIT 1"
    );
    rows(a, &sql).join("\n")
}

/// A table of bookings with a unique index that cannot become valid: two rows have the same seat.
fn with_invalid_index(a: &mut Client) {
    run(
        a,
        "CREATE TABLE booking (id int, seat text);
         INSERT INTO booking SELECT n, 'seat ' || n FROM generate_series(1, 500) AS n;
         INSERT INTO booking VALUES (501, 'seat 7')",
    );
    assert_eq!(
        sqlstate(a, "CREATE UNIQUE INDEX CONCURRENTLY booking_seat_key ON booking (seat)"),
        "23505"
    );
}

#[test]
fn views_are_refreshed_after_those_that_they_read() {
    let cluster = Cluster::start("tasks_views", "");
    let mut a = cluster.create_database("views");
    run(
        &mut a,
        "CREATE SCHEMA \"Sales\";
         CREATE TABLE sale (region text, cents bigint);
         INSERT INTO sale VALUES ('north', 5), ('south', 7);
         CREATE MATERIALIZED VIEW \"Sales\".\"z by region\" AS
             SELECT region, sum(cents) AS cents FROM sale GROUP BY region;
         CREATE UNIQUE INDEX ON \"Sales\".\"z by region\" (region);
         CREATE VIEW middle AS SELECT cents FROM \"Sales\".\"z by region\";
         CREATE MATERIALIZED VIEW a_total AS SELECT sum(cents) AS cents FROM middle;
         CREATE MATERIALIZED VIEW broken AS SELECT region::int FROM sale WHERE cents = 1;
         CREATE MATERIALIZED VIEW never_filled AS SELECT 1 WITH NO DATA;
         INSERT INTO sale VALUES ('secret region', 1)",
    );
    let report = value(&mut a, RUN);
    assert_eq!(value(&mut a, "TABLE a_total"), "13", "{report}");
    assert_eq!(verdict(&mut a, "\"Sales\".\"z by region\""), "DONE|NULL");
    assert!(verdict(&mut a, "public.a_total").starts_with("DONE|readers waited"), "{report}");
    assert!(verdict(&mut a, "public.broken").starts_with("FAILED|22P02"), "{report}");
    assert_eq!(verdict(&mut a, "public.never_filled"), "");
    assert!(!report.ends_with(COMPLETED), "{report}");
    let runs = rows(&mut a, "SELECT m::text FROM crewsnow_ops.maintenance_runs AS m").join("\n");
    assert!(!(report + &runs).contains("secret"), "rows stay with their owner");
    let failing = "SELECT status, object, current_value FROM performance_health_check()
        WHERE metric = 'Maintenance Failing'";
    assert_eq!(rows(&mut a, failing), ["WARNING|refresh public.broken|failed"]);
    run(&mut a, "DROP MATERIALIZED VIEW broken");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert!(rows(&mut a, failing)[0].starts_with("OK|NULL|last run"), "{report}");
}

#[test]
fn a_view_in_use_is_left_alone_and_its_reader_named() {
    let cluster = Cluster::start("tasks_locks", "");
    let mut a = cluster.create_database("locks");
    run(
        &mut a,
        "CREATE MATERIALIZED VIEW busy AS SELECT 1 AS n;
         CREATE MATERIALIZED VIEW going AS SELECT 2 AS n",
    );
    let mut reader = cluster.connect("locks");
    let pid = value(&mut reader, "SELECT pg_backend_pid()");
    run(&mut reader, "BEGIN; SELECT FROM busy");
    let mut dropper = cluster.connect("locks");
    run(&mut dropper, "BEGIN; DROP MATERIALIZED VIEW going");
    let dropping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(2_700));
        run(&mut dropper, "COMMIT");
    });
    let began = Instant::now();
    let report = value(&mut a, RUN);
    dropping.join().expect("the view is dropped");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let busy = verdict(&mut a, "public.busy");
    assert!(busy.starts_with(&format!("SKIPPED|process {pid} (idle in transaction")), "{busy}");
    assert_eq!(verdict(&mut a, "public.going"), "SKIPPED|dropped meanwhile");
    assert!(report.ends_with("incomplete: 1 not done"), "{report}");
    let command = value(
        &mut a,
        "SELECT command FROM crewsnow_ops.maintenance_runs WHERE object = 'public.busy'",
    );
    run(&mut a, &command);
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
}

#[test]
fn leftovers_go_and_running_builds_stay() {
    let cluster = Cluster::start("tasks_leftovers", "");
    let mut a = cluster.create_database("leftovers");
    with_invalid_index(&mut a);
    assert_eq!(sqlstate(&mut a, "REINDEX INDEX CONCURRENTLY booking_seat_key"), "23505");
    run(
        &mut a,
        "CREATE ROLE clerk LOGIN; SELECT crewsnow_ops.grant_access('clerk', 'admin');
         GRANT CREATE ON SCHEMA public TO clerk; GRANT CREATE, USAGE ON SCHEMA public TO clerk;
         CREATE TABLE flight (id int, gate text); ALTER TABLE flight OWNER TO clerk;
         CREATE INDEX flight_gate_idx ON flight (gate); CREATE INDEX flight_id_idx ON flight (id)",
    );
    // A build that waits for a reader of its table. It has made its second index already, which no
    // progress view shows.
    let mut reader = cluster.connect("leftovers");
    run(&mut reader, "BEGIN; LOCK TABLE flight IN ROW EXCLUSIVE MODE");
    let mut builder = cluster.connect("leftovers");
    let building =
        std::thread::spawn(move || run(&mut builder, "REINDEX TABLE CONCURRENTLY flight"));
    wait_for(
        &mut a,
        "SELECT count(*) = 4 FROM pg_index WHERE NOT indisvalid \
        AND indexrelid::regclass::text ~ '_ccnew$'",
    );
    // A role that may not see the statements of others.
    let mut clerk = cluster.connect_as("clerk", "leftovers");
    let report = value(&mut clerk, RUN);
    assert!(!report.contains("flight"), "{report}");
    let foreign = verdict(&mut a, "public.booking_seat_key_ccnew");
    assert_eq!(foreign, "SKIPPED|only the owner postgres of its table may");
    let report = value(&mut a, RUN);
    assert!(!report.contains("flight"), "{report}");
    assert!(verdict(&mut a, "public.booking_seat_key_ccnew").starts_with("DONE|"), "{report}");
    run(&mut reader, "COMMIT");
    building.join().expect("the build succeeds");
    wait_for(&mut a, "SELECT count(*) = 1 FROM pg_index WHERE NOT indisvalid");
    assert_eq!(rows(&mut a, INVALID), ["booking_seat_key"], "a failed rebuild leaves nothing");
    // The same build, cut short: it leaves an index of the TOAST table, too.
    run(&mut reader, "BEGIN; LOCK TABLE flight IN ROW EXCLUSIVE MODE");
    run(&mut a, "DROP INDEX booking_seat_key; SET lock_timeout = '100ms'");
    assert_eq!(sqlstate(&mut a, "REINDEX TABLE CONCURRENTLY flight"), "55P03");
    run(&mut reader, "COMMIT; RESET lock_timeout");
    assert_eq!(rows(&mut a, INVALID).len(), 3);
    let report = value(&mut a, RUN);
    assert_eq!(rows(&mut a, INVALID), Vec::<String>::new(), "{report}");
    assert!(report.ends_with(COMPLETED) && report.contains("index of public.flight"), "{report}");
}

#[test]
fn without_a_worker_a_run_does_what_a_function_may() {
    let cluster = Cluster::start("tasks_alone", "max_worker_processes = 0");
    let mut a = cluster.create_database("alone");
    with_invalid_index(&mut a);
    run(
        &mut a,
        "CREATE MATERIALIZED VIEW seats AS SELECT count(*) AS n FROM booking;
         CREATE MATERIALIZED VIEW busy AS SELECT 1 AS n;
         INSERT INTO booking VALUES (502, 'seat 502')",
    );
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('check_in', 1, 200)");
    let mut reader = cluster.connect("alone");
    run(&mut reader, "BEGIN; SELECT FROM busy");
    let report = value(&mut a, RUN);
    assert_eq!(value(&mut a, "TABLE seats"), "502", "{report}");
    assert!(verdict(&mut a, "public.busy").starts_with("SKIPPED|process"), "{report}");
    assert_eq!(value(&mut a, "SELECT sum(calls) FROM crewsnow_ops.event_rollups"), "1");
    assert!(verdict(&mut a, "public.booking_seat_key").starts_with("SKIPPED|"), "{report}");
    assert!(report.contains("REINDEX INDEX CONCURRENTLY public.booking_seat_key;"), "{report}");
}

#[test]
fn an_invalid_index_is_rebuilt_after_the_run() {
    let cluster = Cluster::start("tasks_rebuild", "");
    let mut a = cluster.create_database("rebuild");
    with_invalid_index(&mut a);
    let report = value(&mut a, RUN);
    assert!(report.contains("STARTED  rebuild"), "{report}");
    let is_over = "SELECT verdict <> 'STARTED' FROM crewsnow_ops.maintenance_runs \
        WHERE task = 'rebuild' ORDER BY started_at DESC LIMIT 1";
    wait_for(&mut a, is_over);
    assert!(verdict(&mut a, "public.booking_seat_key").starts_with("FAILED|23505"));
    assert_eq!(rows(&mut a, INVALID), ["booking_seat_key"]);
    run(&mut a, "DELETE FROM booking WHERE id = 501");
    value(&mut a, RUN);
    wait_for(&mut a, is_over);
    assert_eq!(verdict(&mut a, "public.booking_seat_key"), "DONE|NULL");
    assert_eq!(rows(&mut a, INVALID), Vec::<String>::new());
    wait_for(
        &mut a,
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'crewsnow%')",
    );
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
}

#[test]
fn a_full_disk_during_a_rebuild_leaves_nothing_behind() {
    let cluster = Cluster::start("tasks_disk", "");
    let mut a = cluster.create_database("disk");
    let path = cluster.scratch().with_file_name("tasks_disk_space");
    let Some(space) = FileSystem::mount(path, "size=6m,mode=755") else { return };
    let directory = space.0.join("tablespace");
    std::fs::create_dir(&directory).expect("a directory");
    let like = cluster.scratch().join("data/PG_VERSION");
    must_run(Command::new("chown").arg("--reference").arg(like).arg(&directory));
    run(&mut a, &format!("CREATE TABLESPACE small LOCATION '{}'", directory.display()));
    run(
        &mut a,
        "CREATE TABLE crew (name text);
         INSERT INTO crew SELECT md5(n::text) FROM generate_series(1, 80000) AS n",
    );
    run(&mut a, "CREATE INDEX crew_name_idx ON crew (name) TABLESPACE small");
    // As a build that was cut short leaves it.
    run(
        &mut a,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'crew_name_idx'::regclass",
    );
    value(&mut a, RUN);
    wait_for(
        &mut a,
        "SELECT verdict <> 'STARTED' FROM crewsnow_ops.maintenance_runs WHERE task = 'rebuild'",
    );
    let rebuild = verdict(&mut a, "public.crew_name_idx");
    assert!(rebuild.starts_with("FAILED|53100"), "{rebuild}");
    assert_eq!(rows(&mut a, INVALID), ["crew_name_idx"]);
    run(&mut a, "DROP TABLE crew");
    run(&mut a, "DROP TABLESPACE small");
}

#[test]
fn a_run_counts_events_and_keeps_their_days() {
    let cluster = Cluster::start("tasks_events", "");
    let mut a = cluster.create_database("events");
    run(
        &mut a,
        "CREATE TABLE crewsnow_ops.past (LIKE event_log INCLUDING ALL);
         CREATE INDEX ON crewsnow_ops.past USING brin (tx, created_at);
         DO $$ BEGIN EXECUTE format('ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.past '
             'FOR VALUES FROM (%L) TO (%L)', date_trunc('day', now(), 'UTC') - interval '40 days',
             date_trunc('day', now(), 'UTC') - interval '39 days'); END $$;
         INSERT INTO event_log (event_type, function_name, created_at)
             SELECT 'x', 'check_in',
                 date_trunc('day', now(), 'UTC') - interval '950 hours' + n * interval '1 minute'
             FROM generate_series(1, 9) AS n",
    );
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(value(&mut a, "SELECT to_regclass('crewsnow_ops.past') IS NULL"), "t", "{report}");
    assert_eq!(value(&mut a, "SELECT sum(calls) FROM crewsnow_ops.event_rollups"), "9");
    assert_eq!(
        value(
            &mut a,
            "SELECT count(*) >= 3 FROM pg_inherits WHERE inhparent = 'event_log'::regclass"
        ),
        "t"
    );
    let steps = "SELECT task, verdict, before, after FROM crewsnow_ops.maintenance_runs \
        WHERE object = 'event_log' AND task = 'retention'";
    let step = rows(&mut a, steps).join("\n");
    assert!(step.contains("\"expired_partitions\": 1") && step.contains("DONE"), "{step}");
    // Nothing to do is no step.
    let report = value(&mut a, RUN);
    assert!(!report.contains("event_log:"), "{report}");
}

#[test]
fn a_role_repairs_its_own_objects_and_names_the_owner_of_others() {
    let cluster = Cluster::start("tasks_roles", "");
    let mut a = cluster.create_database("roles");
    run(
        &mut a,
        "CREATE ROLE clerk LOGIN; SELECT crewsnow_ops.grant_access('clerk', 'admin');
         GRANT CREATE ON SCHEMA public TO clerk;
         CREATE MATERIALIZED VIEW other AS SELECT 1 AS n;
         CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA crewsnow_ops TO guest;
         GRANT EXECUTE ON FUNCTION run_performance_maintenance() TO guest",
    );
    let mut clerk = cluster.connect_as("clerk", "roles");
    with_invalid_index(&mut clerk);
    run(
        &mut clerk,
        "CREATE MATERIALIZED VIEW own AS SELECT count(*) AS n FROM booking;
         DELETE FROM booking WHERE id = 501",
    );
    let report = value(&mut clerk, RUN);
    assert_eq!(value(&mut clerk, "TABLE own"), "500", "{report}");
    assert_eq!(verdict(&mut a, "public.other"), "SKIPPED|only its owner postgres may");
    wait_for(&mut a, "SELECT count(*) = 0 FROM pg_index WHERE NOT indisvalid");
    // A role that may call the function and nothing else.
    let mut guest = cluster.connect_as("guest", "roles");
    let report = value(&mut guest, RUN);
    assert!(report.contains("permission denied for function roll_up_events"), "{report}");
    assert!(report.contains("FAILED   refresh"), "{report}");
}

#[test]
fn in_a_transaction_block_the_partitions_are_left_to_a_call_alone() {
    let cluster = Cluster::start("tasks_block", "");
    let mut a = cluster.create_database("block");
    let began = Instant::now();
    run(&mut a, "BEGIN");
    let report = value(&mut a, RUN);
    run(&mut a, "COMMIT");
    assert!(report.contains("event_log: the call is in a transaction block"), "{report}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let report = value(&mut a, RUN);
    assert!(report.contains("event_log: partitions for 3 days"), "{report}");
}
