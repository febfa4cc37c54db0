//! Maintenance does its work, says what it did not do, and gains no privilege.

use crate::replication::wait_until;
use harness::{Cluster, explain, rows, run, value};
use postgres::Client;
use std::time::{Duration, Instant};

pub const RUN: &str = "SELECT run_performance_maintenance()";
pub const COMPLETED: &str = "Performance maintenance completed";

/// Leaves nothing to do. A session counts its changes late, and VACUUM ANALYZE leaves dead
/// statistics of columns.
pub fn settle(client: &mut Client) {
    for command in ["VACUUM ANALYZE", "VACUUM pg_statistic"] {
        run(client, "SELECT pg_stat_force_next_flush()");
        run(client, command);
    }
}

/// Makes 2,000 of 5,000 rows of a new table dead, and leaves nothing else to do.
pub fn rot(client: &mut Client, table: &str) {
    run(client, &format!("CREATE TABLE {table} (id int, note text)"));
    run(client, &format!("INSERT INTO {table} SELECT i, 'n' FROM generate_series(1, 5000) AS i"));
    run(client, &format!("VACUUM ANALYZE {table}"));
    run(client, &format!("DELETE FROM {table} WHERE id <= 2000"));
    run(client, "SELECT pg_stat_force_next_flush()");
}

/// A figure of a table that the server itself keeps.
fn figure(client: &mut Client, expression: &str, table: &str) -> i64 {
    run(client, "SELECT pg_stat_clear_snapshot()");
    value(client, &format!("SELECT {expression} FROM pg_class WHERE oid = '{table}'::regclass"))
        .parse()
        .expect("a number")
}

pub fn dead(client: &mut Client, table: &str) -> i64 {
    figure(client, "pg_stat_get_dead_tuples(oid)", table)
}

/// The line of a report about an object, and the lines that continue it.
pub fn lines_of(report: &str, object: &str) -> String {
    let mut lines = report.lines().skip_while(|line| !line.contains(object));
    let first = lines.next().unwrap_or_else(|| panic!("no line about {object}:\n{report}"));
    let rest = lines.take_while(|line| line.starts_with(' '));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}

/// The server refuses the statement: SQLSTATE, message, DETAIL and HINT.
fn refused(client: &mut Client, sql: &str) -> String {
    explain(&client.batch_execute(sql).expect_err(sql))
}

fn no_worker_is_left(client: &mut Client) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'";
    wait_until("no worker", || value(client, sql) == "0");
}

#[test]
fn a_rotten_table_is_really_vacuumed() {
    let cluster = Cluster::start("maintenance_work", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    rot(&mut a, "orders");
    let pages = figure(&mut a, "relallvisible", "orders");
    run(&mut a, "ALTER TABLE orders SET (autovacuum_freeze_max_age = 100000)");
    assert_eq!(dead(&mut a, "orders"), 2_000);
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(dead(&mut a, "orders"), 0, "{report}");
    assert!(figure(&mut a, "relallvisible", "orders") >= pages, "{report}");
    let lines = lines_of(&report, "public.orders");
    assert!(lines.contains("dead rows 2000 -> 0, visible pages "), "{report}");
    let row = "SELECT verdict, before ->> 'dead_rows', after ->> 'dead_rows', seconds > 0,
            command IS NULL FROM crewsnow_ops.maintenance_runs WHERE object = 'public.orders'";
    assert_eq!(rows(&mut a, row), ["DONE|2000|0|t|t"]);
    let whole = "SELECT verdict, detail, ended_at > started_at, worker_pid <> leader_pid
        FROM crewsnow_ops.maintenance_runs WHERE object IS NULL";
    assert_eq!(rows(&mut a, whole), [format!("DONE|{COMPLETED}|t|t")]);
    // A second run has nothing to do, and says so.
    let report = value(&mut a, RUN);
    assert!(report.contains("Nothing needs maintenance now."), "{report}");
    no_worker_is_left(&mut a);
}

#[test]
fn an_old_table_is_frozen_even_if_autovacuum_is_off_for_it() {
    let cluster = Cluster::start("maintenance_freeze", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(&mut a, "CREATE TABLE archive (id int) WITH (autovacuum_enabled = off)");
    run(&mut a, "INSERT INTO archive SELECT generate_series(1, 2000)");
    run(
        &mut a,
        "CREATE TABLE burnt (id int);
         DO $$ BEGIN FOR i IN 1 .. 110000 LOOP
             BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END;
         END LOOP; END $$",
    );
    run(&mut a, RUN);
    let age = |a: &mut Client| figure(a, "age(relfrozenxid)", "archive");
    assert!(age(&mut a) > 110_000, "without a limit of its own it is not old");
    run(&mut a, "ALTER TABLE archive SET (autovacuum_freeze_max_age = 100000)");
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert!(age(&mut a) < 100_000, "{report}");
    // The visibility map marks the frozen pages.
    assert!(figure(&mut a, "relallvisible", "archive") > 0, "{report}");
    let first = "SELECT object FROM crewsnow_ops.maintenance_runs
        WHERE step = 1 AND before ->> 'frozen_age' > '1' ORDER BY started_at DESC LIMIT 1";
    assert_eq!(value(&mut a, first), "public.archive", "the oldest comes first");
}

#[test]
fn a_held_snapshot_is_named_and_not_passed_over() {
    let cluster = Cluster::start("maintenance_horizon", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    let mut reader = cluster.connect("shop");
    run(&mut reader, "SET application_name = 'ledger'");
    let pid = value(&mut reader, "SELECT pg_backend_pid()");
    run(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    run(&mut reader, "SELECT count(*) FROM pg_class");
    rot(&mut a, "carts");
    // The first VACUUM shows it, and the second is known to be useless.
    for words in ["dead rows 2000 -> 2000", "would free nothing"] {
        run(&mut a, "SELECT pg_stat_clear_snapshot()");
        let report = value(&mut a, RUN);
        let lines = lines_of(&report, "public.carts");
        assert!(lines.contains(words) && lines.contains(&pid), "{report}");
        // Readers of the rows may not see the applications of others.
        assert!(!report.contains("ledger"), "{report}");
        assert!(report.contains(&format!("crewsnow_ops.terminate_session({pid}, ")), "{report}");
        assert!(report.ends_with("incomplete: 1 failed") || report.ends_with("1 not done"));
        assert!(!report.contains(COMPLETED), "{report}");
    }
    let command = value(
        &mut a,
        "SELECT command FROM crewsnow_ops.maintenance_runs WHERE object = 'public.carts'
         ORDER BY started_at DESC LIMIT 1",
    );
    run(&mut a, &format!("SET search_path = ''; {command}; RESET search_path"));
    let report = value(&mut a, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(dead(&mut a, "carts"), 0);
}

#[test]
fn a_locked_table_is_left_out_with_its_holder() {
    let cluster = Cluster::start("maintenance_locks", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    rot(&mut a, "free");
    rot(&mut a, "taken");
    let mut holder = cluster.connect("shop");
    let pid = value(&mut holder, "SELECT pg_backend_pid()");
    run(&mut holder, "BEGIN; LOCK TABLE taken IN ACCESS EXCLUSIVE MODE");
    let started = Instant::now();
    let report = value(&mut a, RUN);
    assert!(started.elapsed() < Duration::from_secs(5), "{report}");
    assert!(
        lines_of(&report, "public.taken").contains(&format!("locked by pid {pid}")),
        "{report}"
    );
    assert!(report.ends_with("Performance maintenance incomplete: 1 not done"), "{report}");
    assert_eq!((dead(&mut a, "free"), dead(&mut a, "taken")), (0, 2_000));
    run(&mut holder, "ROLLBACK");
    assert!(value(&mut a, RUN).ends_with(COMPLETED));
}

#[test]
fn one_run_at_a_time_and_the_second_names_the_first() {
    let cluster = Cluster::start("maintenance_two", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "CREATE TABLE big AS SELECT i, repeat('x', 200) AS pad
        FROM generate_series(1, 200000) AS i",
    );
    run(&mut a, "ALTER TABLE big SET (autovacuum_vacuum_cost_delay = 20)");
    run(&mut a, "DELETE FROM big WHERE i % 2 = 0; SELECT pg_stat_force_next_flush()");
    let pid = value(&mut a, "SELECT pg_backend_pid()");
    let mut b = cluster.connect("shop");
    let cancel = a.cancel_token();
    let first = std::thread::spawn(move || {
        let error = a.batch_execute(RUN).expect_err("a cancelled run");
        (a, explain(&error))
    });
    let progress = "SELECT object, phase IS NOT NULL, running IS NOT NULL, leader_pid
        FROM crewsnow_ops.maintenance_progress WHERE object IS NOT NULL";
    wait_until("progress", || rows(&mut b, progress) == [format!("public.big|t|t|{pid}")]);
    let whole = "SELECT task, leader_pid FROM crewsnow_ops.maintenance_progress
        WHERE object IS NULL";
    assert_eq!(rows(&mut b, whole), [format!("run|{pid}")]);
    let failing = "SELECT status FROM performance_health_check()
        WHERE metric = 'Maintenance Failing'";
    assert_eq!(rows(&mut b, failing), ["OK"], "a run that goes on was not cut short");
    let activity = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM (%public.big'
        AND state = 'active' AND backend_type = 'crewsnow_ops worker'";
    assert_eq!(value(&mut b, activity), "1");
    let error = refused(&mut b, RUN);
    for part in ["55006", &format!("process {pid} runs it"), "maintenance_progress"] {
        assert!(error.contains(part), "{error}");
    }
    cancel.cancel_query(postgres::NoTls).expect("a cancel");
    let (mut a, error) = first.join().expect("the first run");
    assert!(error.starts_with("57014"), "{error}");
    no_worker_is_left(&mut b);
    assert!(rows(&mut b, progress).is_empty());
    // The next run closes the rows of the cancelled one.
    run(&mut a, "ALTER TABLE big RESET (autovacuum_vacuum_cost_delay)");
    assert!(value(&mut a, RUN).ends_with(COMPLETED));
    let open = "SELECT count(*) FROM crewsnow_ops.maintenance_runs WHERE verdict = 'STARTED'";
    assert_eq!(value(&mut b, open), "0");
    let closed = "SELECT verdict, detail FROM crewsnow_ops.maintenance_runs
        WHERE object = 'public.big' ORDER BY started_at LIMIT 1";
    assert_eq!(rows(&mut b, closed), ["FAILED|the run ended before this step did"]);
}

#[test]
fn the_end_of_the_budget_is_told() {
    let cluster = Cluster::start("maintenance_budget", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "CREATE TABLE big AS SELECT i, repeat('x', 200) AS pad
        FROM generate_series(1, 200000) AS i",
    );
    run(&mut a, "ALTER TABLE big SET (autovacuum_vacuum_cost_delay = 50)");
    run(&mut a, "DELETE FROM big WHERE i % 2 = 0; SELECT pg_stat_force_next_flush()");
    rot(&mut a, "later");
    run(&mut a, "SET crewsnow_ops.maintenance_budget = '2s'");
    let started = Instant::now();
    let report = value(&mut a, RUN);
    assert!(started.elapsed() < Duration::from_secs(4), "{report}");
    assert!(lines_of(&report, "public.big").contains("cancelled, because the time"), "{report}");
    assert!(report.contains("the time of the run was over"), "{report}");
    assert!(report.lines().last().is_some_and(|line| line.contains("not done")), "{report}");
    no_worker_is_left(&mut a);
}

#[test]
fn without_a_worker_slot_the_commands_are_returned() {
    let settings = "autovacuum = off\nmax_worker_processes = 0";
    let cluster = Cluster::start("maintenance_slots", settings);
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    rot(&mut a, "orders");
    run(&mut a, "CREATE TABLE fresh AS SELECT i FROM generate_series(1, 500) AS i");
    run(&mut a, "SELECT pg_stat_force_next_flush()");
    let report = value(&mut a, RUN);
    assert!(report.contains("No background worker: no slot was free"), "{report}");
    assert!(report.ends_with("not done") && !report.contains(COMPLETED), "{report}");
    assert!(lines_of(&report, "public.fresh").starts_with("DONE     analyze"), "{report}");
    let commands = report.lines().map(str::trim).filter(|line| line.starts_with("VACUUM"));
    let commands: Vec<String> = commands.map(str::to_owned).collect();
    assert!(commands.iter().any(|command| command.ends_with("public.orders;")), "{report}");
    run(&mut a, "SET search_path = ''");
    commands.iter().for_each(|command| run(&mut a, command));
    run(&mut a, "RESET search_path");
    assert_eq!(dead(&mut a, "orders"), 0);
}

#[test]
fn a_transaction_block_gets_the_commands_for_what_it_cannot_do() {
    let cluster = Cluster::start("maintenance_block", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(&mut a, "CREATE TABLE basket AS SELECT generate_series(1, 1000) AS id");
    run(&mut a, "DELETE FROM basket; SELECT pg_stat_force_next_flush()");
    run(&mut a, "BEGIN; INSERT INTO basket VALUES (1)");
    let report = value(&mut a, RUN);
    assert!(
        report.contains("No background worker: the call is in a transaction block"),
        "{report}"
    );
    assert!(report.contains("public.basket;") && !report.contains(COMPLETED), "{report}");
    assert!(report.lines().last().is_some_and(|line| line.contains("incomplete")), "{report}");
    run(&mut a, "COMMIT");
    assert_eq!(value(&mut a, "SELECT count(*) FROM basket"), "1");
    no_worker_is_left(&mut a);
}

#[test]
fn a_run_is_refused_where_it_could_not_work() {
    let cluster = Cluster::start("maintenance_refused", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    let error = refused(&mut a, RUN);
    assert!(error.starts_with("25001"), "{error}");
    run(&mut a, "ROLLBACK; SET default_transaction_read_only = on");
    let error = refused(&mut a, RUN);
    assert!(error.starts_with("25006") && error.contains("read-only transaction"), "{error}");
    run(&mut a, "RESET default_transaction_read_only");
    let standby = Cluster::standby("maintenance_standby", &cluster);
    let mut b = standby.connect("shop");
    let error = refused(&mut b, RUN);
    assert!(error.starts_with("25006") && error.contains("on a standby"), "{error}");
    no_worker_is_left(&mut b);
}

#[test]
fn strange_names_and_dropped_tables_do_no_harm() {
    let cluster = Cluster::start("maintenance_names", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    let odd = "\"Été; DROP TABLE x--\".\"a'b\"\"c\"";
    run(&mut a, "CREATE SCHEMA \"Été; DROP TABLE x--\"");
    rot(&mut a, odd);
    let report = value(&mut a, RUN);
    assert!(report.contains(odd) && report.ends_with(COMPLETED), "{report}");
    assert_eq!(dead(&mut a, &odd.replace('\'', "''")), 0);
    // A table that cannot be analyzed is FAILED, and the others are done all the same.
    rot(&mut a, "broken");
    rot(&mut a, "whole");
    run(
        &mut a,
        "CREATE FUNCTION fails(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN IF i > 4500 AND current_setting('application_name') LIKE 'crewsnow%' THEN
                 RAISE 'secret %', i; END IF; RETURN i; END $$;
         CREATE INDEX ON broken (fails(id))",
    );
    let report = value(&mut a, RUN);
    assert!(lines_of(&report, "public.broken").starts_with("FAILED"), "{report}");
    assert!(!report.contains("secret"), "a message may quote rows: {report}");
    assert!(report.ends_with("Performance maintenance incomplete: 1 failed"), "{report}");
    assert_eq!(dead(&mut a, "whole"), 0);
}

#[test]
fn a_table_under_vacuum_is_left_to_it() {
    let cluster = Cluster::start("maintenance_vacuumed", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    run(
        &mut a,
        "CREATE TABLE big AS SELECT i, repeat('x', 200) AS pad
        FROM generate_series(1, 200000) AS i",
    );
    run(&mut a, "DELETE FROM big WHERE i % 2 = 0; SELECT pg_stat_force_next_flush()");
    let mut other = cluster.connect("shop");
    let pid = value(&mut other, "SELECT pg_backend_pid()");
    let cancel = other.cancel_token();
    let vacuum = std::thread::spawn(move || {
        run(&mut other, "SET vacuum_cost_delay = 50");
        let _ = other.batch_execute("VACUUM big");
    });
    let running = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE heap_blks_scanned > 0";
    wait_until("the other VACUUM", || value(&mut a, running) == "1");
    let report = value(&mut a, RUN);
    let lines = lines_of(&report, "public.big");
    assert!(lines.contains(&format!("pid {pid} ")) && lines.contains("vacuums it"), "{report}");
    assert!(report.ends_with(COMPLETED), "{report}");
    cancel.cancel_query(postgres::NoTls).expect("a cancel");
    vacuum.join().expect("the other VACUUM");
}

#[test]
fn a_locked_record_table_costs_seconds_and_is_told() {
    let cluster = Cluster::start("maintenance_records", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    for table in ["a1", "a2", "a3", "a4", "a5"] {
        rot(&mut a, table);
    }
    let mut holder = cluster.connect("shop");
    run(&mut holder, "BEGIN; LOCK TABLE crewsnow_ops.maintenance_runs");
    let started = Instant::now();
    let report = value(&mut a, RUN);
    assert!(started.elapsed() < Duration::from_secs(8), "{report}");
    assert!(report.contains("Rows of maintenance_runs are missing"), "{report}");
    assert_eq!(dead(&mut a, "a5"), 0, "{report}");
}

#[test]
fn a_run_keeps_to_its_window() {
    let cluster = Cluster::start("maintenance_window", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    rot(&mut a, "orders");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.maintenance_windows (name, on_date, local_start, duration,
             time_zone)
         VALUES ('later', current_date + 7, '02:00', '2 hours', 'Europe/Paris')",
    );
    let report = value(&mut a, RUN);
    assert!(report.contains("no maintenance window is open; window later opens at"), "{report}");
    assert!(report.ends_with("Performance maintenance incomplete: 1 not done"), "{report}");
    assert_eq!(dead(&mut a, "orders"), 2_000);
    let row = "SELECT verdict FROM crewsnow_ops.maintenance_runs WHERE object IS NULL";
    assert_eq!(value(&mut a, row), "SKIPPED");
    // The command of the report opens a window now.
    let command = report.lines().map(str::trim).find(|line| line.starts_with("INSERT"));
    run(
        &mut a,
        &format!("SET search_path = ''; {}; RESET search_path", command.expect("a command")),
    );
    let report = value(&mut a, RUN);
    assert!(report.contains("Window now "), "{report}");
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(dead(&mut a, "orders"), 0);
}
