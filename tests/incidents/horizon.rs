//! Incidents of old rows and old transaction ids: sessions, slots and prepared transactions that
//! hold them.

use crate::stage::{Program, Stage, holds_within, wait_until};
use crate::verdict::{Cure, Expected, Verdict, check, report};
use harness::{must_run, run, value};
use std::process::{Command, Stdio};

const SETTINGS: &str = "max_prepared_transactions = 5\nautovacuum_naptime = '1s'\n\
    wal_init_zero = off\nmax_wal_size = '8GB'\nwal_sender_timeout = 0";

const JOBS: [&str; 2] = [
    "CREATE TABLE jobs (id int PRIMARY KEY, state text)",
    "INSERT INTO jobs SELECT n, 'new' FROM generate_series(1, 20000) AS n",
];

/// Updates the queue until dead rows pile up, as jobs do.
fn rot(stage: &mut Stage) {
    for round in 0..8 {
        run(&mut stage.admin, &format!("UPDATE jobs SET state = 'round {round}'"));
    }
    let dead = "SELECT n_dead_tup > 100000 FROM pg_stat_user_tables WHERE relname = 'jobs'";
    run(&mut stage.admin, "SELECT pg_stat_force_next_flush()");
    let admin = &mut stage.admin;
    wait_until("dead rows", || value(admin, dead) == "t");
    std::thread::sleep(std::time::Duration::from_secs(3));
}

/// Whether a vacuum now removes the dead rows.
fn is_vacuumed(stage: &mut Stage) -> Result<(), String> {
    run(&mut stage.admin, "VACUUM jobs");
    let dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'jobs'";
    let left = value(&mut stage.admin, dead);
    check(left == "0", &format!("{left} dead rows are left"))
}

/// A report keeps a snapshot in another table, and a queue rots.
fn queue_behind_snapshot(stage: &mut Stage) -> Verdict {
    stage.set("queue_behind_snapshot", &JOBS);
    run(&mut stage.admin, "VACUUM ANALYZE jobs");
    let report =
        stage.session("bi-report").run(&["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"]);
    let mut worker = stage.session("worker").run(&["BEGIN", "SELECT 1"]);
    rot(stage);
    let expected = Expected {
        incident: "queue_behind_snapshot",
        guilty: &report.pid,
        command: &["terminate_session"],
        innocent: &[worker.pid.clone()],
    };
    stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            check(worker.is_alive(), "the worker was ended")?;
            is_vacuumed(stage)
        })
    })
}

/// A prepared transaction holds the horizon, and no session is to be seen.
fn queue_behind_prepared_transaction(stage: &mut Stage) -> Verdict {
    stage.set("queue_behind_prepared_transaction", &JOBS);
    run(&mut stage.admin, "VACUUM ANALYZE jobs");
    drop(stage.session("coordinator").run(&[
        "BEGIN",
        "CREATE TABLE steps (id int)",
        "PREPARE TRANSACTION 'saga-9'",
    ]));
    rot(stage);
    let expected = Expected {
        incident: "queue_behind_prepared_transaction",
        guilty: "saga-9",
        command: &["ROLLBACK PREPARED"],
        innocent: &[],
    };
    stage.judge(&expected, |stage, row| {
        let says = row.page.contains("COMMIT PREPARED");
        stage.follow(row, |stage| {
            check(says, "the row names no other outcome")?;
            is_vacuumed(stage)
        })
    })
}

/// Moves the WAL position on by so many segments of 16 MB, which stay empty.
fn advance_wal(stage: &mut Stage, segments: usize) {
    for _ in 0..segments {
        run(&mut stage.admin, "SELECT pg_logical_emit_message(false, 'x', 'x')");
        run(&mut stage.admin, "SELECT pg_switch_wal()");
    }
}

/// The slot of a replica that was deleted keeps WAL.
fn slot_of_deleted_replica(stage: &mut Stage) -> Verdict {
    stage.set("slot_of_deleted_replica", &[]);
    run(&mut stage.admin, "SELECT pg_create_physical_replication_slot('replica_2', true)");
    advance_wal(stage, 4);
    // Since 17 the server tells how long a slot has been inactive. The limit is ten minutes; here
    // it is 60 ms.
    run(
        &mut stage.admin,
        "ALTER DATABASE slot_of_deleted_replica SET crewsnow_ops.health_limits = \
         'slots.inactive = 0.001'",
    );
    stage.oncall = stage.cluster.connect_as("oncall", &stage.database);
    run(&mut stage.admin, "SELECT pg_sleep(0.1)");
    let expected = Expected {
        incident: "slot_of_deleted_replica",
        guilty: "replica_2",
        command: &["replica_2"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        // Dropping a slot cannot be undone: the row must say what is lost.
        let says = row.page.contains("rebuilt");
        let drops = row.command.contains("pg_drop_replication_slot");
        match stage.follow(row, |_| check(says, "the row does not say what is lost")) {
            Cure::Over if !drops => Cure::Looks,
            other => other,
        }
    });
    run(&mut stage.admin, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    verdict
}

/// A consumer of the slot `cdc`, as change data capture uses it.
fn consumer(stage: &mut Stage, arguments: &[&str]) -> Program {
    run(&mut stage.admin, "CREATE PUBLICATION cdc FOR ALL TABLES");
    run(&mut stage.admin, "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')");
    let mut command = stage.program_as("pg_recvlogical", "postgres");
    command.args(["--slot", "cdc", "--start", "--no-loop", "-f", "/dev/null"]);
    command.args(["-o", "proto_version=1", "-o", "publication_names=cdc"]).args(arguments);
    command.env("PGAPPNAME", "connector").args(["-d", &stage.database]);
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("pg_recvlogical");
    let active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'cdc'";
    let admin = &mut stage.admin;
    wait_until("it streams", || value(admin, active) == "t");
    Program(child)
}

fn stop_consumer(stage: &mut Stage, mut consumer: Program) {
    consumer.stop();
    let active = "SELECT count(*) FROM pg_replication_slots WHERE active";
    let admin = &mut stage.admin;
    wait_until("it has ended", || value(admin, active) == "0");
    run(admin, "SELECT pg_drop_replication_slot('cdc')");
}

/// A consumer is connected and never confirms: its tables are idle.
fn consumer_never_confirms(stage: &mut Stage) -> Verdict {
    stage.set("consumer_never_confirms", &[]);
    let connector = consumer(stage, &[]);
    must_run(Command::new("kill").args(["-STOP", &connector.0.id().to_string()]));
    advance_wal(stage, 68);
    run(&mut stage.admin, "CHECKPOINT");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let expected = Expected {
        incident: "consumer_never_confirms",
        guilty: "cdc",
        command: &["SELECT"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        let says = row.page.contains("confirm");
        match stage.follow(row, |_| check(says, "the row does not name the cause")) {
            Cure::Over => Cure::Looks,
            other => other,
        }
    });
    stop_consumer(stage, connector);
    verdict
}

/// The consumer confirms everything, and an open transaction keeps the slot back.
fn slot_behind_transaction(stage: &mut Stage) -> Verdict {
    stage.set("slot_behind_transaction", &["CREATE TABLE notes (id int)"]);
    let connector = consumer(stage, &["-F", "1", "-s", "1"]);
    let editor = stage.session("editor").run(&["BEGIN", "INSERT INTO notes VALUES (1)"]);
    run(&mut stage.admin, "CHECKPOINT");
    advance_wal(stage, 68);
    run(&mut stage.admin, "CHECKPOINT");
    let confirmed = "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 50000000
        FROM pg_replication_slots WHERE slot_name = 'cdc'";
    let admin = &mut stage.admin;
    wait_until("it confirms", || value(admin, confirmed) == "t");
    let expected = Expected {
        incident: "slot_behind_transaction",
        guilty: &editor.pid,
        command: &["terminate_session"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            let kept = "SELECT pg_current_wal_lsn() - restart_lsn < 200000000
                FROM pg_replication_slots WHERE slot_name = 'cdc'";
            for _ in 0..40 {
                run(&mut stage.admin, "CHECKPOINT");
                if value(&mut stage.admin, kept) == "t" {
                    return Ok(());
                }
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
            Err("the slot still keeps the WAL".to_owned())
        })
    });
    stop_consumer(stage, connector);
    verdict
}

/// A row that exists already stops a subscription, whose worker starts again and again.
fn subscription_in_a_loop(stage: &mut Stage) -> Verdict {
    let table = "CREATE TABLE prices (id int PRIMARY KEY)";
    stage.set("publisher", &[table]);
    run(&mut stage.admin, "CREATE PUBLICATION prices FOR TABLE prices");
    run(&mut stage.admin, "SELECT pg_create_logical_replication_slot('prices', 'pgoutput')");
    let mut publisher = stage.cluster.connect("publisher");
    stage.set("subscription_in_a_loop", &[table, "INSERT INTO prices VALUES (1)"]);
    let connection =
        format!("host={} user=postgres dbname=publisher", stage.cluster.socket().display());
    run(
        &mut stage.admin,
        &format!(
            "CREATE SUBSCRIPTION prices CONNECTION '{connection}' PUBLICATION prices
             WITH (create_slot = false, copy_data = false)"
        ),
    );
    run(&mut publisher, "INSERT INTO prices VALUES (1)");
    let errors = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats";
    let admin = &mut stage.admin;
    wait_until("the worker fails", || value(admin, errors) == "t");
    // In the first minute of a server its workers are young for another reason.
    let is_old = "SELECT pg_postmaster_start_time() < now() - interval '61 s'";
    assert!(holds_within(70, || value(admin, is_old) == "t"));
    // The worker starts every five seconds, and for a moment each time nothing is wrong.
    stage.looks = 7;
    let expected = Expected {
        incident: "subscription_in_a_loop",
        guilty: "prices",
        command: &["SELECT"],
        innocent: &[],
    };
    let verdict = stage.judge(&expected, |stage, row| {
        match stage.follow(row, |_| check(row.page.contains("SKIP"), "no remedy is named")) {
            Cure::Over => Cure::Looks,
            other => other,
        }
    });
    // The row in the way is deleted: the subscription continues.
    run(&mut stage.admin, "DELETE FROM prices");
    let arrived = "SELECT count(*) FROM prices";
    let admin = &mut stage.admin;
    wait_until("the row arrives", || value(admin, arrived) == "1");
    run(admin, "DROP SUBSCRIPTION prices");
    verdict
}

/// A consumer that confirms, a short snapshot and a busy queue.
fn healthy(stage: &mut Stage) {
    stage.set("healthy_horizon", &JOBS);
    let connector = consumer(stage, &["-F", "1", "-s", "1"]);
    let reader = stage.session("bi-report").run(&["BEGIN", "SELECT count(*) FROM jobs"]);
    run(&mut stage.admin, "UPDATE jobs SET state = 'done'");
    stage.let_time_pass("20 seconds");
    stage.accuses_nobody();
    drop(reader);
    stop_consumer(stage, connector);
}

#[test]
fn holders_of_old_rows_and_wal_are_named() {
    let mut stage = Stage::start("incidents_horizon", SETTINGS);
    healthy(&mut stage);
    let verdicts = [
        queue_behind_snapshot(&mut stage),
        queue_behind_prepared_transaction(&mut stage),
        slot_of_deleted_replica(&mut stage),
        consumer_never_confirms(&mut stage),
        slot_behind_transaction(&mut stage),
        subscription_in_a_loop(&mut stage),
    ];
    report("horizon", &verdicts, crate::WRONG);
}
