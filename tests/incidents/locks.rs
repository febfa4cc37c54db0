//! Incidents of locks. The guilty is often the second in the queue, not the root.

use crate::stage::{Session, Stage, all_complete, pids, wait_until};
use crate::verdict::{Cure, Expected, Verdict, check, report};
use harness::{run, value};

const SETTINGS: &str = "max_connections = 60\nmax_prepared_transactions = 5\n\
    autovacuum_max_workers = 1\nautovacuum_naptime = '1s'";

const PROFILES: &str = "CREATE TABLE profiles AS \
    SELECT n AS id, repeat(md5(n::text), 20) AS bio FROM generate_series(1, 20000) AS n";

/// A backup reads, a migration waits for it, and every reader waits for the migration.
fn migration_behind_backup(stage: &mut Stage) -> Verdict {
    stage.set("migration_behind_backup", &[PROFILES]);
    let backup = stage.backup();
    let standing = "SELECT count(*) FROM pg_stat_activity \
        WHERE application_name = 'pg_dump' AND wait_event = 'ClientWrite'";
    wait_until("the backup writes", || value(&mut stage.admin, standing) == "1");
    let dump = value(
        &mut stage.admin,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_dump'",
    );
    let migration = stage.session("migrate").start("ALTER TABLE profiles ADD COLUMN nickname text");
    stage.wait_for_waiters(1);
    let readers = stage.crowd(7, "web", "SELECT count(*) FROM profiles");
    stage.wait_for_waiters(8);
    let mut innocent = pids(&readers);
    innocent.push(dump);
    let expected = Expected {
        incident: "migration_behind_backup",
        guilty: &migration.pid.clone(),
        command: &["cancel"],
        innocent: &innocent,
    };
    stage.judge(&expected, |stage, row| {
        stage.follow(row, |_| {
            check(all_complete(readers), "the readers still wait")?;
            check(migration.join().is_err(), "the migration ran")?;
            check(backup.finish(), "the backup failed")
        })
    })
}

/// A batch has written to a table, ADD FOREIGN KEY waits for it, and other writers queue behind.
fn foreign_key_behind_batch(stage: &mut Stage) -> Verdict {
    stage.set(
        "foreign_key_behind_batch",
        &[
            "CREATE TABLE accounts (id int PRIMARY KEY, balance int)",
            "INSERT INTO accounts SELECT n, 0 FROM generate_series(1, 100) AS n",
            "CREATE TABLE payments (id int, account int)",
        ],
    );
    let batch =
        stage.session("billing").run(&["BEGIN", "UPDATE accounts SET balance = 1 WHERE id = 100"]);
    let batch = batch.start("SELECT pg_sleep(120)");
    let migration = stage
        .session("migrate")
        .start("ALTER TABLE payments ADD FOREIGN KEY (account) REFERENCES accounts");
    stage.wait_for_waiters(1);
    let writers: Vec<_> = (1..9)
        .map(|id| {
            let sql = format!("UPDATE accounts SET balance = 2 WHERE id = {id}");
            stage.session("api").start(&sql)
        })
        .collect();
    stage.wait_for_waiters(9);
    let mut innocent = pids(&writers);
    innocent.push(batch.pid.clone());
    let expected = Expected {
        incident: "foreign_key_behind_batch",
        guilty: &migration.pid.clone(),
        command: &["cancel"],
        innocent: &innocent,
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |_| {
            check(all_complete(writers), "the writers still wait")?;
            check(batch.is_running(), "the batch was stopped")
        })
    });
    run(
        &mut stage.admin,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
        WHERE application_name IN ('billing', 'migrate') AND state = 'active'",
    );
    verdict
}

/// A migration waits on a hot table until the connections run out.
fn migration_fills_connections(stage: &mut Stage) -> Verdict {
    stage.set("migration_fills_connections", &["CREATE TABLE flags (id int)"]);
    let export = stage.session("export").run(&["BEGIN", "SELECT count(*) FROM flags"]);
    let export = export.start("SELECT pg_sleep(120)");
    let migration = stage.session("deploy").start("ALTER TABLE flags ADD COLUMN note text");
    stage.wait_for_waiters(1);
    let used = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let free: usize = 56 - value(&mut stage.admin, used).parse::<usize>().expect("a count");
    let readers = stage.crowd(free, "web", "SELECT count(*) FROM flags");
    stage.wait_for_waiters(free + 1);
    let mut innocent = pids(&readers);
    innocent.push(export.pid.clone());
    let expected = Expected {
        incident: "migration_fills_connections",
        guilty: &migration.pid.clone(),
        command: &["cancel"],
        innocent: &innocent,
    };
    let verdict = stage.judge(&expected, |stage, row| {
        stage.follow(row, |_| {
            check(all_complete(readers), "the readers still wait")?;
            check(export.is_running(), "the export was stopped")
        })
    });
    run(
        &mut stage.admin,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
        WHERE application_name IN ('export', 'deploy') AND state = 'active'",
    );
    verdict
}

/// A vacuum against wraparound does not yield to DROP TRIGGER, and the whole table waits for that.
fn trigger_behind_wraparound_vacuum(stage: &mut Stage) -> Verdict {
    stage.set(
        "trigger_behind_wraparound_vacuum",
        &[
            "CREATE TABLE objects (id int) WITH (autovacuum_vacuum_cost_delay = 100, \
                autovacuum_vacuum_cost_limit = 1, autovacuum_freeze_max_age = 100000)",
            "INSERT INTO objects SELECT generate_series(1, 300000)",
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER audit BEFORE UPDATE ON objects FOR EACH ROW EXECUTE FUNCTION audit()",
            "SET synchronous_commit = off",
            "DO $$ BEGIN FOR i IN 1 .. 100100 LOOP PERFORM txid_current(); COMMIT; END LOOP; \
                END $$",
        ],
    );
    let worker = "SELECT coalesce(max(pid)::text, '') FROM pg_stat_activity \
        WHERE query LIKE 'autovacuum: VACUUM%objects (to prevent wraparound)'";
    wait_until("the vacuum", || !value(&mut stage.admin, worker).is_empty());
    let vacuum = value(&mut stage.admin, worker);
    let migration = stage.session("migrate").start("DROP TRIGGER audit ON objects");
    stage.wait_for_waiters(1);
    let readers = stage.crowd(7, "api", "SELECT max(id) FROM objects");
    stage.wait_for_waiters(8);
    let mut innocent = pids(&readers);
    innocent.push(vacuum.clone());
    let expected = Expected {
        incident: "trigger_behind_wraparound_vacuum",
        guilty: &migration.pid.clone(),
        command: &["cancel"],
        innocent: &innocent,
    };
    stage.judge(&expected, |stage, row| {
        stage.follow(row, |stage| {
            check(all_complete(readers), "the readers still wait")?;
            check(value(&mut stage.admin, worker) == vacuum, "the vacuum was stopped")
        })
    })
}

/// Every job waits for one row, whose writer calls another service. A report of each month is old.
fn jobs_behind_hot_row(stage: &mut Stage) -> Verdict {
    stage.set(
        "jobs_behind_hot_row",
        &[
            "CREATE TABLE queues (name text PRIMARY KEY, jobs int)",
            "INSERT INTO queues VALUES ('mail', 0), ('pdf', 0)",
        ],
    );
    run(&mut stage.admin, "CREATE MATERIALIZED VIEW monthly AS SELECT 1 AS revenue");
    run(
        &mut stage.admin,
        "UPDATE crewsnow_ops.matview_refreshes SET refreshed_at = now() - interval '10 days'",
    );
    let count = "UPDATE queues SET jobs = jobs + 1 WHERE name = 'mail'";
    let holder = stage.session("worker").run(&["BEGIN", count]);
    let mut other =
        stage.session("worker").run(&["BEGIN", "UPDATE queues SET jobs = 1 WHERE name = 'pdf'"]);
    let jobs = stage.crowd(8, "web", count);
    stage.wait_for_waiters(8);
    let mut innocent = pids(&jobs);
    innocent.push(other.pid.clone());
    let expected = Expected {
        incident: "jobs_behind_hot_row",
        guilty: &holder.pid,
        command: &["terminate_session"],
        innocent: &innocent,
    };
    stage.judge(&expected, |stage, row| {
        stage.follow(row, |_| {
            check(all_complete(jobs), "the jobs still wait")?;
            check(other.is_alive(), "the other worker was ended")
        })
    })
}

/// A superuser's session holds the row: the engineer may not end it, and the row says who may.
fn row_of_superuser(stage: &mut Stage) -> Verdict {
    stage.set("row_of_superuser", &["CREATE TABLE totals AS SELECT 0 AS n"]);
    let holder = stage.session_as("postgres", "console").run(&["BEGIN", "UPDATE totals SET n = 1"]);
    let waiting = stage.crowd(8, "web", "UPDATE totals SET n = 2");
    stage.wait_for_waiters(8);
    let innocent = pids(&waiting);
    let expected = Expected {
        incident: "row_of_superuser",
        guilty: &holder.pid,
        command: &["terminate_session"],
        innocent: &innocent,
    };
    stage.judge(&expected, |stage, row| {
        match stage.follow(row, |_| check(all_complete(waiting), "they still wait")) {
            Cure::Over => Cure::Failed("the engineer ended a superuser's session".to_owned()),
            other => other,
        }
    })
}

/// A prepared transaction without a session holds a table.
fn forgotten_prepared_transaction(stage: &mut Stage) -> Verdict {
    stage.set("forgotten_prepared_transaction", &["CREATE TABLE ledger (id int)"]);
    let coordinator = stage.session("coordinator").run(&[
        "BEGIN",
        "LOCK TABLE ledger",
        "INSERT INTO ledger VALUES (1)",
        "PREPARE TRANSACTION 'transfer-17'",
    ]);
    drop(coordinator);
    let writers = stage.crowd(8, "api", "INSERT INTO ledger VALUES (2)");
    stage.wait_for_waiters(8);
    let innocent = pids(&writers);
    let expected = Expected {
        incident: "forgotten_prepared_transaction",
        guilty: "transfer-17",
        command: &["ROLLBACK PREPARED"],
        innocent: &innocent,
    };
    stage.judge(&expected, |stage, row| {
        // The command destroys work, so the row must say so and name the other outcome.
        let says = row.page.contains("COMMIT PREPARED");
        stage.follow(row, |_| {
            check(says, "the row names no other outcome")?;
            check(all_complete(writers), "the writers still wait")
        })
    })
}

/// Forty sessions in five layers: each holds its layer's table and wants the one below.
fn layers_of_locks(stage: &mut Stage) -> Verdict {
    let tables: Vec<String> = (0..6).map(|n| format!("CREATE TABLE layer{n} (id int)")).collect();
    stage.set("layers_of_locks", &tables.iter().map(String::as_str).collect::<Vec<_>>());
    let root = stage.session("console").run(&["BEGIN", "SELECT count(*) FROM layer0"]);
    let mut waiting = Vec::new();
    for layer in 1..6 {
        let holders: Vec<Session> = (0..8)
            .map(|_| {
                let read = format!("SELECT count(*) FROM layer{layer}");
                stage.session("report").run(&["BEGIN", &read])
            })
            .collect();
        let wanted = format!("LOCK TABLE layer{}; COMMIT", layer - 1);
        waiting.extend(holders.into_iter().map(|session| session.start(&wanted)));
        stage.wait_for_waiters(8 * layer);
    }
    let innocent = pids(&waiting);
    let expected = Expected {
        incident: "layers_of_locks",
        guilty: &root.pid,
        command: &["terminate_session"],
        innocent: &innocent,
    };
    stage.judge(&expected, |stage, row| {
        stage.follow(row, |_| check(all_complete(waiting), "the layers still wait"))
    })
}

/// A backup, a batch and short waits: no row accuses a session.
fn healthy(stage: &mut Stage) {
    stage.set("healthy_locks", &[PROFILES, "CREATE TABLE visits AS SELECT 1 AS id, 0 AS n"]);
    let backup = stage.backup();
    let batch = stage.session("billing").run(&["BEGIN", "UPDATE visits SET n = 1"]);
    let waiting = stage.crowd(3, "web", "UPDATE visits SET n = n + 1");
    let readers = stage.crowd(7, "web", "SELECT count(*) FROM profiles");
    assert!(all_complete(readers), "readers pass a backup");
    stage.accuses_nobody();
    drop(batch.run(&["COMMIT"]));
    assert!(all_complete(waiting) && backup.finish());
}

#[test]
fn the_cheapest_cut_ends_each_jam() {
    let mut stage = Stage::start("incidents_locks", SETTINGS);
    healthy(&mut stage);
    let verdicts = [
        migration_behind_backup(&mut stage),
        foreign_key_behind_batch(&mut stage),
        migration_fills_connections(&mut stage),
        jobs_behind_hot_row(&mut stage),
        row_of_superuser(&mut stage),
        forgotten_prepared_transaction(&mut stage),
        layers_of_locks(&mut stage),
        trigger_behind_wraparound_vacuum(&mut stage),
    ];
    report("locks", &verdicts, crate::WRONG);
}
