//! Keys that run out: first a breather without a lock on the table, then the plan.

use crate::health::{status, worst};
use harness::{Cluster, rows, run, value};

const METRIC: &str = "Sequences";

#[test]
fn a_sequence_that_runs_out_gets_a_breather_first() {
    let cluster = Cluster::start("keys", "");
    let mut a = cluster.create_database("keys");
    run(
        &mut a,
        "CREATE TABLE scans (id serial PRIMARY KEY, place text);
         CREATE VIEW recent_scans AS SELECT id FROM scans;
         CREATE TABLE photos (scan int REFERENCES scans);
         INSERT INTO scans (place) SELECT 'x' FROM generate_series(1, 1000)",
    );
    assert_eq!(status(&mut a, METRIC), "OK");
    run(&mut a, "SELECT setval('scans_id_seq', 2147483000)");
    assert_eq!(status(&mut a, METRIC), "CRITICAL");
    let evidence = worst(&mut a, METRIC, "evidence");
    assert!(evidence.contains("; table of ") && evidence.contains(" kB with its indexes"));
    assert!(
        evidence.ends_with(", views: public.recent_scans, foreign keys of: public.photos"),
        "{evidence}"
    );
    let command = worst(&mut a, METRIC, "next_command");
    assert!(!command.contains('\n') && !command.contains("ALTER TABLE"), "{command}");
    // A reader of the table blocks ALTER TABLE, and not this.
    let mut reader = cluster.connect("keys");
    run(&mut reader, "BEGIN; SELECT count(*) FROM scans");
    run(&mut a, "SET lock_timeout = '1s'; SET search_path = ''");
    run(&mut a, &command);
    run(&mut a, "RESET search_path");
    assert_eq!(status(&mut a, METRIC), "OK");
    assert_eq!(
        value(&mut a, "INSERT INTO scans (place) VALUES ('y') RETURNING id"),
        "-2147483648",
        "inserts go on"
    );
    assert_eq!(status(&mut a, METRIC), "OK");
    // The negative half ends where the sequence once began.
    run(&mut a, "SELECT setval('scans_id_seq', -1000)");
    assert_eq!(
        rows(
            &mut a,
            "SELECT status, threshold, next_command FROM performance_health_check()
             WHERE metric = 'Sequences'"
        ),
        ["CRITICAL|< 85 % of 0|SELECT pg_size_pretty(pg_total_relation_size('public.scans'));"]
    );
    // A sequence smaller than its column needs no rewrite at all.
    run(
        &mut a,
        "SELECT setval('scans_id_seq', 1); CREATE SEQUENCE ticket AS smallint;
         CREATE TABLE tickets (id bigint DEFAULT nextval('ticket'));
         SELECT setval('ticket', 32000)",
    );
    let command = worst(&mut a, METRIC, "next_command");
    assert_eq!(command, "ALTER SEQUENCE public.ticket AS bigint NO MAXVALUE;");
    run(&mut a, &command);
    assert_eq!(status(&mut a, METRIC), "OK");
}
