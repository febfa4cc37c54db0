//! Maintenance beside functions and names of its users that mean no good.

use crate::maintenance::{COMPLETED, RUN, rot, settle};
use crate::replication::wait_until;
use harness::{Cluster, rows, run, value};
use std::time::{Duration, Instant};

#[test]
fn a_function_that_catches_cancels_ends_with_its_worker() {
    let cluster = Cluster::start("hostile_cancel", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    rot(&mut a, "orders");
    run(
        &mut a,
        "CREATE FUNCTION stubborn(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
         BEGIN
             WHILE EXISTS (SELECT FROM pg_stat_activity
                 WHERE pid = pg_backend_pid() AND backend_type LIKE 'crewsnow%')
             LOOP
                 BEGIN PERFORM pg_sleep(60);
                 EXCEPTION WHEN query_canceled THEN NULL;
                 END;
             END LOOP;
             RETURN $1;
         END $$;
         CREATE INDEX ON orders (stubborn(note))",
    );
    run(&mut a, "SET crewsnow_ops.maintenance_budget = '2s'");
    let began = Instant::now();
    let report = value(&mut a, RUN);
    assert!(began.elapsed() < Duration::from_secs(40), "{report}");
    assert!(report.contains("public.orders") && !report.ends_with(COMPLETED), "{report}");
    let worker = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'crewsnow%'";
    wait_until("no worker", || value(&mut a, worker) == "0");
}

#[test]
fn a_name_with_line_breaks_forges_no_line_of_a_report() {
    let cluster = Cluster::start("hostile_names", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    let name = format!("\"x\n         DROP OWNED BY app;\n{COMPLETED}\"");
    rot(&mut a, &name);
    let mut holder = cluster.connect("shop");
    run(&mut holder, &format!("BEGIN; LOCK TABLE {name} IN SHARE MODE"));
    let report = value(&mut a, RUN);
    assert!(!report.lines().any(|line| line.trim() == "DROP OWNED BY app;"), "{report}");
    assert!(!report.lines().any(|line| line.trim_start().starts_with(COMPLETED)), "{report}");
    let broken = "SELECT count(*) FROM crewsnow_ops.maintenance_runs WHERE command ~ E'[\\n\\r]'";
    assert_eq!(value(&mut a, broken), "0");
}

#[test]
fn a_warning_of_an_index_function_is_withheld() {
    let cluster = Cluster::start("hostile_warnings", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    rot(&mut a, "orders");
    run(
        &mut a,
        "CREATE FUNCTION chatty(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN RAISE WARNING 'secret of %', $1; RAISE INFO 'secret'; RETURN $1; END $$;
         SET client_min_messages = error;
         CREATE INDEX ON orders (chatty(note))",
    );
    let report = value(&mut a, RUN);
    assert!(report.contains("public.orders"), "{report}");
    assert!(!report.contains("secret"), "{report}");
    let told = "SELECT count(*) FROM crewsnow_ops.maintenance_runs WHERE detail LIKE '%secret%'";
    assert_eq!(value(&mut a, told), "0");
}

/// The report ends before its rebuilds. Until they end, their rows are those of their worker.
#[test]
fn a_rebuild_goes_on_beside_the_next_run() {
    let cluster = Cluster::start("hostile_rebuild", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(&mut a, "CREATE TABLE seat (id int); INSERT INTO seat VALUES (1), (1)");
    assert!(a.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY seat_id ON seat (id)").is_err());
    run(&mut a, "DELETE FROM seat WHERE ctid = '(0,1)'");
    let mut holder = cluster.connect("shop");
    run(&mut holder, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    assert!(value(&mut a, RUN).contains("STARTED  rebuild"));
    let present = "SELECT object FROM crewsnow_ops.maintenance_progress WHERE task = 'rebuild'";
    assert_eq!(rows(&mut a, present), ["public.seat_id"]);
    value(&mut a, RUN);
    let verdict = "SELECT verdict FROM crewsnow_ops.maintenance_runs WHERE task = 'rebuild'
        ORDER BY started_at LIMIT 1";
    assert_eq!(value(&mut a, verdict), "STARTED", "another run leaves it alone");
    run(&mut holder, "COMMIT");
    wait_until("the rebuild", || value(&mut a, verdict) == "DONE");
}
