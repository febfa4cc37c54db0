//! Level 5: the application's end-to-end tests pass on the restored database, or are named.

use crate::restore::{report, shop};
use crate::restore_backups::{dump_to, recorded_base_backup, recorded_dump, restored};
use harness::{Cluster, run, value};
use postgres::Client;

const TEST: &str = "SELECT test_backup_restore_procedure()";
const LEVEL: &str = "SELECT concat_ws(' ', verdict, level) FROM crewsnow_ops.restore_tests
    ORDER BY started_at DESC LIMIT 1";
const PASSED: &str = "\nOK       5 usable    1 of 1 end-to-end tests pass";
const FAILED: &str = "\nFAULT    5 usable    first booking: the end-to-end test fails in Ada pays \
    on the restored database";

/// The shop with a registered test, which finds its table by the search_path of the database, and
/// reads the currency from another of its settings.
fn tested_shop(cluster: &Cluster) -> Client {
    let mut a = shop(cluster, "shop");
    run(
        &mut a,
        "CREATE ROLE authenticated; CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO authenticated;
         CREATE TABLE app.booking (id int PRIMARY KEY, guest text, cents int);
         GRANT SELECT, INSERT ON app.booking TO authenticated;
         CREATE TABLE app.tariff AS SELECT generate_series(1, 100) AS cents; ANALYZE app.tariff;
         GRANT SELECT ON app.tariff TO authenticated;
         CREATE FUNCTION app.price(cents int) RETURNS text LANGUAGE sql STABLE AS
            $$ SELECT cents / 100 || ' ' || current_setting('shop.currency') $$;
         CREATE FUNCTION first_booking() RETURNS TABLE (step text, claims jsonb, statement text)
            LANGUAGE sql AS $$ VALUES
            ('Ada books', '{\"sub\": \"ada\"}'::jsonb,
                'INSERT INTO booking VALUES (1, ''ada'', 900)'),
            ('Ada pays', '{\"sub\": \"ada\"}', 'SELECT price(cents) = ''9 EUR'' FROM booking'),
            ('tariffs have statistics', '{}', 'SELECT count(*) = 1 FROM pg_stats
                WHERE tablename = ''tariff''') $$;
         ALTER DATABASE shop SET search_path = app, public;
         ALTER DATABASE shop SET shop.currency = 'EUR'",
    );
    // The settings are those of new sessions.
    a = cluster.connect("shop");
    run(&mut a, "SELECT crewsnow_ops.register_e2e_test('first booking', 'first_booking()')");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    assert_eq!(value(&mut a, "SELECT passed FROM crewsnow_ops.run_e2e_tests()"), "t");
    a
}

#[test]
fn a_backup_on_which_the_application_works_reaches_the_highest_level() {
    let cluster = Cluster::start("restore_usable", "fsync = off");
    let mut a = tested_shop(&cluster);
    let fresh = value(&mut a, TEST);
    assert!(fresh.contains(PASSED) && fresh.ends_with("VALIDATED"), "{fresh}");
    assert_eq!(value(&mut a, LEVEL), "VALIDATED 5");
    for format in ["c", "d", "t"] {
        let path = recorded_dump(&mut a, &cluster, "shop", format);
        let told = report(&mut a, &path);
        assert!(told.contains(PASSED) && told.ends_with("VALIDATED"), "{format}: {told}");
        assert_eq!(value(&mut a, LEVEL), "VALIDATED 5");
    }
    let base = recorded_base_backup(&mut a, &cluster, "base", &[]);
    let told = report(&mut a, &base);
    assert!(told.contains(PASSED) && told.ends_with("VALIDATED"), "{told}");
    assert_eq!(value(&mut a, "SELECT count(*) FROM app.booking"), "0", "the source is only read");
}

#[test]
fn an_end_to_end_test_that_fails_on_the_restored_database_is_named() {
    let cluster = Cluster::start("restore_unusable", "fsync = off");
    let mut a = tested_shop(&cluster);
    let path = recorded_dump(&mut a, &cluster, "shop", "c");
    // A restored function misbehaves.
    let whole = path.with_extension("whole");
    std::fs::rename(&path, &whole).expect("renamed");
    run(
        &mut restored(&cluster, &whole, "copy"),
        "CREATE OR REPLACE FUNCTION app.price(cents int) RETURNS text LANGUAGE sql STABLE AS
            $$ SELECT cents || ' ' || current_setting('shop.currency') $$",
    );
    dump_to(&cluster, "copy", "c", &path);
    let told = report(&mut a, &path);
    assert!(told.contains(FAILED), "{told}");
    assert!(told.contains("FAULT    3 complete  function app.price"), "{told}");
    assert!(told.ends_with("ISSUES DETECTED"), "{told}");
    assert_eq!(value(&mut a, LEVEL), "ISSUES DETECTED 2");
    // A plain dump loses the settings of the database, and nothing but the application sees it.
    run(&mut a, "SET crewsnow_ops.restore_trusts_owners = on");
    let plain = recorded_dump(&mut a, &cluster, "shop", "p");
    let told = report(&mut a, &plain);
    assert!(told.contains("\nOK       4 content"), "{told}");
    let failed = "\nFAULT    5 usable    first booking: the end-to-end test fails in Ada books";
    assert!(told.contains(failed), "{told}");
    assert_eq!(told.matches("FAULT").count(), 1, "{told}");
    assert!(told.ends_with("ISSUES DETECTED"), "{told}");
    assert_eq!(value(&mut a, LEVEL), "ISSUES DETECTED 4");
}

#[test]
fn tests_that_cannot_run_are_not_taken_for_none() {
    let cluster = Cluster::start("restore_untestable", "fsync = off");
    let mut a = tested_shop(&cluster);
    run(&mut a, "ALTER TABLE crewsnow_ops.e2e_tests RENAME TO gone");
    let base = recorded_base_backup(&mut a, &cluster, "base", &[]);
    run(&mut a, "ALTER TABLE crewsnow_ops.gone RENAME TO e2e_tests");
    let told = report(&mut a, &base);
    let failed = "\nFAULT    5 usable    the end-to-end tests cannot run: SQLSTATE 42P01";
    assert!(told.contains(failed), "{told}");
    assert!(!told.contains("no end-to-end test is registered"), "{told}");
    // Settings of sessions do not keep the tests from running.
    run(
        &mut a,
        "DELETE FROM backup_log;
         ALTER DATABASE shop SET default_transaction_isolation = 'serializable';
         ALTER DATABASE shop SET default_transaction_read_only = on;
         ALTER DATABASE shop SET statement_timeout = 1",
    );
    let mut b = cluster.connect("shop");
    run(&mut b, "SET statement_timeout = 0; SET default_transaction_read_only = off");
    run(&mut b, "SET default_transaction_isolation = 'read committed'");
    let told = value(&mut b, TEST);
    assert!(told.contains(PASSED) && told.ends_with("VALIDATED"), "{told}");
}
