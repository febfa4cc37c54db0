//! Limits as settings: each name is known, each check bears each value, and a lower limit turns a
//! healthy row into a WARNING.

use crate::health::{in_background, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, root, rows, run};

const SKIPPED: &str = "SELECT metric FROM performance_health_check() WHERE status = 'SKIPPED'
    UNION ALL
    SELECT metric FROM crewsnow_ops.full_health_check() WHERE status = 'SKIPPED'
    ORDER BY 1";

/// The names in the table of limits.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs/health.md")).expect("docs/health.md");
    let table = text.split_once("| limit | default | unit |").expect("a table of limits").1;
    let cells = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    cells.map(|line| line.split('`').nth(1).expect("a name").to_owned()).collect()
}

#[test]
fn every_check_bears_every_limit() {
    let cluster = Cluster::start("limits_bear", "max_prepared_transactions = 2");
    let mut a = cluster.create_database("limits");
    let names = documented();
    assert!(names.len() >= 67, "{names:?}");
    let before = rows(&mut a, SKIPPED);
    for value in ["0.001", "1e9"] {
        let all: Vec<String> = names.iter().map(|name| format!("{name} = {value}")).collect();
        run(&mut a, &format!("SET crewsnow_ops.health_limits = '{}'", all.join(", ")));
        assert_eq!(rows(&mut a, SKIPPED), before, "{value}");
    }
}

#[test]
fn a_lower_limit_warns_earlier() {
    let settings = "max_prepared_transactions = 2\nautovacuum = off";
    let cluster = Cluster::start("limits_lower", settings);
    let mut a = cluster.create_database("limits");
    run(
        &mut a,
        "CREATE TABLE parcel (id integer);
         INSERT INTO parcel SELECT generate_series(1, 5000);
         DELETE FROM parcel WHERE id > 1000;
         CREATE SEQUENCE parcel_number AS smallint;
         SELECT setval('parcel_number', 15000);
         SELECT pg_create_physical_replication_slot('depot', true);
         SELECT pg_logical_emit_message(false, 'filler', repeat('x', 4000000));
         SELECT pg_stat_force_next_flush()",
    );
    run(&mut a, "BEGIN; CREATE TABLE pallet (); PREPARE TRANSACTION 'pallets'");
    let mut holder = cluster.connect("limits");
    run(&mut holder, "BEGIN; UPDATE parcel SET id = 0 WHERE id = 1");
    let waiter = in_background(cluster.connect("limits"), "UPDATE parcel SET id = 2 WHERE id = 1");
    run(&mut a, "SELECT txid_current(), pg_sleep(4)");
    for (metric, limit) in [
        ("Prepared Transactions", "prepared_transactions.warning = 2"),
        ("Blocked Sessions", "blocked_sessions.warning = 2"),
        ("Xmin Horizon", "xmin_horizon.hours = 0.001"),
        ("Xmin Horizon", "xmin_horizon.warning = 1"),
        ("Replication Slots", "slots.warning = 0.002"),
        ("Sequences", "sequences.warning = 40"),
        ("Autovacuum Lag", "autovacuum_lag.warning = 1000"),
    ] {
        run(&mut a, "RESET crewsnow_ops.health_limits");
        assert_eq!(status(&mut a, metric), "OK", "{metric}");
        run(&mut a, &format!("SET crewsnow_ops.health_limits = '{limit}'"));
        assert_eq!(status(&mut a, metric), "WARNING", "{limit}");
    }
    let limits = "blocked_sessions.warning = 2, sequences.warning = 40";
    run(&mut a, &format!("SET crewsnow_ops.health_limits = '{limits}'"));
    assert_eq!(worst(&mut a, "Blocked Sessions", "threshold"), "< 2 s, <= 5 blocked");
    assert_eq!(worst(&mut a, "Sequences", "threshold"), "< 40 % of 32767");
    run(&mut holder, "ROLLBACK");
    run(&mut a, "ROLLBACK PREPARED 'pallets'");
    run(&mut a, "SELECT pg_drop_replication_slot('depot')");
    wait_until("the waiter", || waiter.is_finished());
}
