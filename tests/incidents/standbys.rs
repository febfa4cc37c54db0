//! Incidents of a standby and of its primary.

use crate::stage::{Running, Stage, all_complete, pids, wait_until};
use crate::verdict::{Cure, Expected, Verdict, check, report};
use harness::{Cluster, run, value};

const SETTINGS: &str = "hot_standby_feedback = off\nmax_standby_streaming_delay = -1";

/// Waits until the standby has replayed all that the primary has written.
fn catch_up(primary: &mut Stage, standby: &mut Stage) {
    let lsn = value(&mut primary.admin, "SELECT pg_current_wal_insert_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
    wait_until("the standby catches up", || value(&mut standby.admin, &replayed) == "t");
}

/// Changes settings of a server that runs.
fn configure(stage: &mut Stage, settings: &[&str]) {
    for setting in settings {
        run(&mut stage.admin, &format!("ALTER SYSTEM SET {setting}"));
    }
    run(&mut stage.admin, "SELECT pg_reload_conf()");
}

/// An idle reader of the standby holds a table that replay wants, and other readers queue behind
/// replay.
fn replay_behind_idle_reader(primary: &mut Stage, standby: &mut Stage) -> Verdict {
    run(&mut primary.admin, "SET ROLE shop; CREATE TABLE rates (id int); RESET ROLE");
    catch_up(primary, standby);
    let holder = standby.session("bi").run(&["BEGIN", "SELECT count(*) FROM rates"]);
    run(&mut primary.admin, "ALTER TABLE rates ADD COLUMN day date");
    standby.wait_for_waiters(1);
    let readers = standby.crowd(6, "web", "SELECT count(*) FROM rates");
    standby.wait_for_waiters(7);
    let startup = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let replay = value(&mut standby.admin, startup);
    let mut innocent = pids(&readers);
    innocent.push(replay.clone());
    let expected = Expected {
        incident: "replay_behind_idle_reader",
        guilty: &holder.pid,
        command: &["pg_terminate_backend"],
        innocent: &innocent,
    };
    standby.judge(&expected, |standby, row| {
        standby.follow(row, |standby| {
            check(all_complete(readers), "the readers still wait")?;
            check(value(&mut standby.admin, startup) == replay, "replay was ended")
        })
    })
}

/// Queries on the standby fail, because replay removes rows that they read.
fn cancelled_queries(primary: &mut Stage, standby: &mut Stage) -> Verdict {
    run(
        &mut primary.admin,
        "SET ROLE shop; CREATE TABLE trips AS SELECT generate_series(1, 1000) AS id; RESET ROLE",
    );
    configure(standby, &["max_standby_streaming_delay = 0"]);
    for _ in 0..4 {
        catch_up(primary, standby);
        let reader = standby
            .session("dashboard")
            .run(&["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM trips"]);
        let reader: Running = reader.start("SELECT pg_sleep(20)");
        run(&mut primary.admin, "UPDATE trips SET id = id");
        run(&mut primary.admin, "VACUUM trips");
        wait_until("a conflict", || !reader.is_running());
        assert!(reader.join().is_err(), "replay cancels the query");
    }
    let expected = Expected {
        incident: "cancelled_queries",
        guilty: "Conflicts",
        command: &["pg_stat_database_conflicts"],
        innocent: &[],
    };
    standby.judge(&expected, |standby, row| {
        // Feedback and delay both have a price, so the row must name both.
        let says = row.page.contains("hot_standby_feedback") && row.page.contains("delay");
        match standby.follow(row, |_| check(says, "the row names no remedy")) {
            Cure::Over => Cure::Looks,
            other => other,
        }
    })
}

/// Sessions that compete for the subtransactions on disk.
fn overflowed(stage: &mut Stage) -> u32 {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
        WHERE wait_event ~* '^subtrans' AND state = 'active'";
    value(&mut stage.admin, waiting).parse().expect("a count")
}

/// A transaction of the primary has many savepoints, so that snapshots overflow. Readers of the
/// standby then look up each recent transaction on disk.
fn savepoints_of_primary(primary: &mut Stage, standby: &mut Stage) -> Verdict {
    run(&mut primary.admin, "SET ROLE shop; CREATE TABLE steps (n int); RESET ROLE");
    let mut importer = primary.session("importer").run(&["BEGIN"]);
    for n in 0..100 {
        run(&mut importer.client, &format!("SAVEPOINT s{n}; INSERT INTO steps VALUES ({n})"));
    }
    for sql in [
        "CREATE TABLE orders (id int PRIMARY KEY); GRANT SELECT ON orders TO shop",
        "SET synchronous_commit = off",
        "DO $$ BEGIN FOR n IN 1 .. 120000 LOOP INSERT INTO orders VALUES (n); COMMIT; END LOOP; \
            END $$",
    ] {
        run(&mut primary.admin, sql);
    }
    catch_up(primary, standby);
    let script = standby.cluster.scratch().join("orders.sql");
    let read = "SELECT count(*) FROM orders WHERE id = ANY (ARRAY( \
        SELECT (random() * 120000)::int FROM generate_series(1, 100)));\n";
    std::fs::write(&script, read).expect("a script");
    let mut load = standby.load("web", &["-c", "36", "-T", "120", "-M", "prepared"], &script);
    wait_until("snapshots overflow", || overflowed(standby) >= 25);
    standby.looks = 3;
    let expected = Expected {
        incident: "savepoints_of_primary",
        guilty: "LWLock",
        command: &["SELECT"],
        innocent: &[],
    };
    let verdict = standby.judge(&expected, |standby, row| {
        let says = row.page.contains("on the primary");
        match standby.follow(row, |standby| {
            check(says, "the row does not name the primary")?;
            drop(importer);
            std::thread::sleep(std::time::Duration::from_secs(2));
            check(overflowed(standby) < 5, "the standby still waits")
        }) {
            Cure::Over => Cure::Looks,
            other => other,
        }
    });
    load.stop();
    verdict
}

/// A walsender streams for hours: it is no long query, and a reader of a minute no fault.
fn healthy(primary: &mut Stage, standby: &mut Stage) {
    primary.accuses_nobody();
    let reader = standby.session("bi").run(&["BEGIN", "SELECT 1"]);
    standby.accuses_nobody();
    drop(reader);
}

#[test]
fn standbys_are_judged_by_their_own_sessions() {
    let primary = Stage::start("incidents_primary", SETTINGS);
    let Stage { cluster, admin, oncall, .. } = primary;
    drop((admin, oncall));
    let copy = Cluster::standby("incidents_standby", &cluster);
    let mut primary = Stage::on(cluster, "model");
    let mut standby = Stage::on(copy, "model");
    // The harness starts each standby with its own defaults.
    configure(&mut standby, &["fsync = on", "hot_standby_feedback = off"]);
    healthy(&mut primary, &mut standby);
    let verdicts = [
        replay_behind_idle_reader(&mut primary, &mut standby),
        savepoints_of_primary(&mut primary, &mut standby),
        cancelled_queries(&mut primary, &mut standby),
    ];
    report("standbys", &verdicts, crate::WRONG);
}
