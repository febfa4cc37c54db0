//! Locks of a restore test on the source: few at a time, and none in the way of other sessions.

use crate::replication::wait_until;
use crate::restore::{REMAINS, shop};
use harness::{Cluster, explain, rows, run, value};

const TEST: &str = "SELECT test_backup_restore_procedure()";

/// The lock table has room for the 2,000 tables that pg_dump locks, and not for their indexes.
const FEW_LOCKS: &str = "fsync = off\nautovacuum = off\nmax_connections = 240\n\
    max_locks_per_transaction = 10";

#[test]
fn thousands_of_tables_do_not_fill_the_table_of_locks() {
    let cluster = Cluster::start("restore_many_tables", FEW_LOCKS);
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "DO $$ BEGIN
            FOR n IN 1..2000 LOOP
                EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', n);
                EXECUTE format('INSERT INTO t%s VALUES (%s)', n, n);
                COMMIT;
            END LOOP;
        END $$",
    );
    let report = value(&mut a, TEST);
    assert!(report.ends_with("VALIDATED"), "{report}");
    // A manifest reads the same tables, and leaves their locks, too.
    run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    run(&mut a, "SELECT crewsnow_ops.record_backup('/var/backups/shop.dump')");
    let locks = "SELECT count(*) < 50 FROM pg_locks WHERE pid = pg_backend_pid()";
    assert_eq!(value(&mut a, locks), "t");
    run(&mut a, "COMMIT");
}

#[test]
fn a_dump_that_needs_more_locks_names_the_setting() {
    let config = "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 10";
    let cluster = Cluster::start("restore_too_many_tables", config);
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "DO $$ BEGIN
            FOR n IN 1..3000 LOOP EXECUTE format('CREATE TABLE t%s (id int)', n); COMMIT; END LOOP;
        END $$",
    );
    let refused = explain(&a.batch_execute(TEST).expect_err("too many tables"));
    assert!(refused.starts_with("58000 pg_dump failed: out of shared memory"), "{refused}");
    assert!(refused.contains("ALTER SYSTEM SET max_locks_per_transaction"), "{refused}");
    wait_until("nothing remains", || rows(&mut a, REMAINS).is_empty());
}

#[test]
fn a_table_that_is_emptied_during_a_test_is_no_fault() {
    let cluster = Cluster::start("restore_rewritten", "fsync = off");
    let mut a = shop(&cluster, "shop");
    run(
        &mut a,
        "CREATE TABLE emptied AS SELECT generate_series(1, 100) AS n;
         CREATE TABLE moved AS SELECT generate_series(1, 100) AS n",
    );
    let mut session = cluster.connect("shop");
    let session = std::thread::spawn(move || value(&mut session, TEST));
    let dumped = "SELECT count(*) FROM crewsnow_ops.maintenance_runs
        WHERE task = 'dump' AND verdict = 'DONE'";
    wait_until("the dump", || value(&mut a, dumped) == "1");
    run(&mut a, "TRUNCATE emptied");
    run(&mut a, "VACUUM FULL moved");
    let compared = "SELECT count(*) FROM crewsnow_ops.maintenance_runs WHERE task = 'compare'";
    assert_eq!(value(&mut a, compared), "0", "the test was faster than this session");
    let report = session.join().expect("the test");
    let line = "SKIPPED  4 content   content public.emptied: the source was rewritten";
    assert!(report.contains(line), "{report}");
    assert!(!report.contains("FAULT") && !report.contains("public.moved"), "{report}");
    assert!(report.contains("\nNot compared: 1 of "), "{report}");
    assert!(report.ends_with("ISSUES DETECTED"), "{report}");
    assert_eq!(rows(&mut a, "SELECT n FROM emptied"), [""; 0]);
}
