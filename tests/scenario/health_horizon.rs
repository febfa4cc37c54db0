//! Checks that name who holds back vacuum or keeps WAL, and the command that frees it.

use crate::health::{run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, program, rows, run, value};
use postgres::Client;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LAG: &str = "Autovacuum Lag";

/// Updates each row of the table several times.
fn rot(a: &mut Client) {
    for _ in 0..3 {
        run(a, "UPDATE jobs SET state = state + 1");
    }
    // Counts that arrive after a vacuum would outlive it.
    run(a, "SELECT pg_stat_force_next_flush()");
}

#[test]
fn a_table_that_rots_names_the_oldest_snapshot() {
    let cluster =
        Cluster::start("horizon_table", "autovacuum = off\nmax_prepared_transactions = 2");
    let mut a = cluster.create_database("horizon");
    run(
        &mut a,
        "CREATE TABLE jobs (id int, state int); INSERT INTO jobs SELECT i, 0 FROM \
         generate_series(1, 20000) AS i",
    );
    run(&mut a, "VACUUM jobs");
    // Snapshots of other databases hold back nothing here.
    let mut elsewhere = cluster.connect("postgres");
    run_each(&mut elsewhere, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    std::thread::sleep(Duration::from_secs(4));
    rot(&mut a);
    wait_until("the statistics", || status(&mut a, LAG) == "WARNING");
    let vacuum = "VACUUM (ANALYZE, VERBOSE) public.jobs;";
    assert_eq!(worst(&mut a, LAG, "next_command"), vacuum, "no snapshot of this database is old");
    run(&mut a, vacuum);
    wait_until("the vacuum", || status(&mut a, LAG) == "OK");

    let mut report = cluster.connect("horizon");
    run(&mut report, "SET application_name = 'monthly'");
    let mut writer = cluster.connect("horizon");
    let pid_of = |session: &mut Client| value(session, "SELECT pg_backend_pid()");
    let (r, w) = (pid_of(&mut report), pid_of(&mut writer));
    run_each(&mut report, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    // A writer without a snapshot holds the horizon by its transaction id.
    run_each(&mut writer, "BEGIN; SELECT txid_current()");
    std::thread::sleep(Duration::from_secs(4));
    rot(&mut a);
    wait_until("the statistics", || status(&mut a, LAG) == "WARNING");
    for (pid, application) in [(&r, "monthly"), (&w, "suite")] {
        let command = worst(&mut a, LAG, "next_command");
        let expected = format!("SELECT crewsnow_ops.terminate_session({pid}, ");
        assert!(command.starts_with(&expected), "{command}");
        let evidence = worst(&mut a, LAG, "evidence");
        assert!(evidence.contains(&format!("application {application}, ")), "{evidence}");
        run(&mut a, "VACUUM jobs");
        assert_eq!(status(&mut a, LAG), "WARNING", "it frees nothing");
        assert_eq!(value(&mut a, &command), "t");
    }
    assert_eq!(worst(&mut a, LAG, "next_command"), vacuum);
    run(&mut a, vacuum);
    wait_until("the vacuum", || status(&mut a, LAG) == "OK");

    // A prepared transaction, in the words of its owner.
    run_each(&mut a, "BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'trip-7'");
    std::thread::sleep(Duration::from_secs(4));
    rot(&mut a);
    wait_until("the statistics", || status(&mut a, LAG) == "WARNING");
    assert_eq!(worst(&mut a, LAG, "next_command"), "ROLLBACK PREPARED 'trip-7';");
    let advice = worst(&mut a, LAG, "recommendation");
    assert!(advice.contains("of postgres") && advice.contains("COMMIT PREPARED 'trip-7'"));
    run(&mut a, "ROLLBACK PREPARED 'trip-7'");
}

/// A consumer of a logical slot. Dropped, it ends.
struct Consumer(Child);

impl Consumer {
    fn start(cluster: &Cluster, slot: &str) -> Self {
        let file = cluster.scratch().join(slot);
        Self(
            cluster
                .client_program(program("pg_recvlogical"), "horizon")
                .args(["--start", "--no-loop", "-s", "1", "-F", "1", "-S", slot, "-f"])
                .arg(file)
                .args(["-o", "proto_version=1", "-o", "publication_names=changes"])
                .args(["-d", "horizon"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("pg_recvlogical"),
        )
    }

    fn signal(&self, name: &str) {
        harness::must_run(Command::new("kill").args([name, &self.0.id().to_string()]));
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_slot_that_keeps_wal_names_the_cause() {
    let cluster = Cluster::start(
        "horizon_slot",
        "max_wal_size = '32MB'\nmin_wal_size = '32MB'\nwal_keep_size = 0\nautovacuum = off",
    );
    let mut a = cluster.create_database("horizon");
    run(&mut a, "CREATE TABLE jobs (id int); CREATE PUBLICATION changes FOR TABLE jobs");
    run(&mut a, "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')");
    let metric = "Replication Slots";
    let consumer = Consumer::start(&cluster, "feed");
    let is_active = "SELECT active FROM pg_replication_slots";
    wait_until("it streams", || value(&mut a, is_active) == "t");
    // The consumer confirms, but an open transaction keeps the slot.
    let mut open = cluster.connect("horizon");
    let pid = value(&mut open, "SELECT pg_backend_pid()");
    run_each(&mut open, "BEGIN; INSERT INTO jobs VALUES (1)");
    let write = |a: &mut Client| {
        for _ in 0..5 {
            run(a, "SELECT txid_current(); SELECT pg_switch_wal()");
        }
        run(a, "CHECKPOINT");
    };
    write(&mut a);
    let confirmed = "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 1000000
        FROM pg_replication_slots";
    wait_until("it confirms", || value(&mut a, confirmed) == "t");
    assert_eq!(status(&mut a, metric), "WARNING");
    let command = worst(&mut a, metric, "next_command");
    assert!(
        command.starts_with(&format!("SELECT crewsnow_ops.terminate_session({pid}, ")),
        "{command}"
    );
    let evidence = worst(&mut a, metric, "evidence");
    assert!(evidence.contains("restart_lsn ") && evidence.contains("confirmed_flush_lsn "));
    assert!(evidence.contains(&format!("kept by session pid {pid} ")), "{evidence}");
    assert_eq!(value(&mut a, &command), "t");
    wait_until("the slot moves on", || {
        run(&mut a, "CHECKPOINT");
        status(&mut a, metric) == "OK"
    });
    // The consumer receives WAL and confirms none.
    consumer.signal("-STOP");
    write(&mut a);
    wait_until("the slot keeps WAL", || status(&mut a, metric) == "WARNING");
    let advice = worst(&mut a, metric, "recommendation");
    assert!(advice.contains("does not confirm it"), "{advice}");
    assert!(worst(&mut a, metric, "next_command").starts_with("SELECT * FROM pg_stat_replication"));
    consumer.signal("-CONT");
    wait_until("it confirms", || {
        run(&mut a, "CHECKPOINT");
        status(&mut a, metric) == "OK"
    });
    // The consumer is gone: a look first, since dropping the slot loses its position.
    drop(consumer);
    wait_until("it is inactive", || value(&mut a, is_active) == "f");
    write(&mut a);
    assert_eq!(status(&mut a, metric), "WARNING");
    assert!(worst(&mut a, metric, "recommendation").contains("loses its position for good"));
    assert_eq!(
        worst(&mut a, metric, "next_command"),
        "SELECT * FROM pg_replication_slots WHERE slot_name = 'feed';"
    );
}

#[test]
fn an_old_temporary_table_names_the_session_that_owns_it() {
    let cluster = Cluster::start("horizon_temporary", "autovacuum = off");
    let mut a = cluster.create_database("horizon");
    let mut owner = cluster.connect("horizon");
    run(&mut owner, "SET application_name = 'pool'; CREATE TEMPORARY TABLE cart (id int, t text)");
    let pid = value(&mut owner, "SELECT pg_backend_pid()");
    assert_eq!(status(&mut a, "Wraparound"), "OK");
    // 600 million transactions ago. PostgreSQL computes ages modulo 2^32.
    let old = "((txid_current() + 4294967296 - 600000000) % 4294967296)::text::xid";
    run(
        &mut a,
        &format!(
            "UPDATE pg_class SET relfrozenxid = {old} WHERE relname = 'cart'
            OR oid = (SELECT reltoastrelid FROM pg_class WHERE relname = 'cart')"
        ),
    );
    run(&mut a, &format!("UPDATE pg_database SET datfrozenxid = {old} WHERE datname = 'horizon'"));
    let found = "SELECT object, next_command LIKE 'SELECT crewsnow_ops.terminate_session(%'
            AND strpos(next_command, $$ID$$) > 0, evidence LIKE '%application pool%'
        FROM performance_health_check() WHERE metric = 'Wraparound' ORDER BY severity_rank";
    let found = rows(&mut a, &found.replace("ID", &pid));
    assert_eq!(found[0], "database horizon|t|t");
    assert!(found[1..].iter().all(|row| row.starts_with("table ") && row.ends_with("|t|t")));
    assert_eq!(found.len(), 3, "the database, the table and its TOAST table: {found:?}");
    let command = worst(&mut a, "Wraparound", "next_command");
    assert!(worst(&mut a, "Wraparound", "recommendation").contains("are lost"));
    assert_eq!(value(&mut a, &command), "t");
    wait_until("the table is gone", || {
        value(&mut a, "SELECT count(*) FROM pg_class WHERE relname = 'cart'") == "0"
    });
    assert_eq!(worst(&mut a, "Wraparound", "next_command"), "VACUUM (FREEZE, VERBOSE);");
}
