//! End-to-end tests that are written with pgTAP itself.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, value};

/// pgTAP's own SQL, of the package postgresql-15-pgtap. It runs on each major version.
const PGTAP: &str = "/usr/share/postgresql/15/extension/pgtap--1.2.0.sql";

const TESTS: &str = include_str!("readiness_tap.sql");

#[test]
fn pgtap_runs_and_its_directives_count_as_tap_defines_them() {
    let cluster = Cluster::start("readiness_pgtap", "");
    let mut a = supabase(&cluster, "pgtap");
    let pgtap = std::fs::read_to_string(PGTAP)
        .unwrap_or_else(|e| panic!("{PGTAP}: {e}: dev/setup.sh installs postgresql-15-pgtap"));
    let pgtap: String = pgtap
        .lines()
        .filter(|line| !line.starts_with('\\'))
        .flat_map(|line| [line, "\n"])
        .collect();
    run(&mut a, &pgtap);
    run(&mut a, TESTS);
    let expected = [
        ("bails_out", "Bail out!  no database"),
        ("fails", "not ok 2 - two"),
        ("falls_short", "it planned 3 tests, but ran 1"),
        ("nested", "OK"),
        ("passes", "OK"),
        ("prepares", "42501: cannot execute PREPARE within security-restricted operation"),
        ("skips", "OK"),
        ("skips_all", "it proves nothing: skipped 2 tests, 0 are to do"),
        ("throws", "OK"),
        ("todo", "OK"),
    ];
    for (name, _) in expected {
        run(&mut a, &format!("SELECT crewsnow_ops.register_e2e_test('{name}', 'tap.{name}()')"));
    }
    let results = rows(
        &mut a,
        "SELECT test || ': ' || coalesce(error, 'OK') FROM crewsnow_ops.run_e2e_tests()",
    );
    let expected = expected.map(|(name, result)| format!("{name}: {result}"));
    assert_eq!(results, expected);
    // Nothing is left to the session, and its own temporary tables stay.
    let left = "SELECT count(*) FROM pg_class WHERE relpersistence = 't'";
    assert_eq!(value(&mut a, left), "0");
    run(&mut a, "CREATE TEMPORARY TABLE mine AS SELECT 1 AS n");
    assert_eq!(value(&mut a, "SELECT passed FROM crewsnow_ops.run_e2e_tests('passes')"), "t");
    assert_eq!(value(&mut a, "SELECT n FROM mine"), "1");
    // A decision tells results that prove nothing.
    run(&mut a, "DELETE FROM crewsnow_ops.e2e_tests WHERE name NOT IN ('passes', 'skips', 'todo')");
    let reasons = "SELECT array_to_string(reasons, ' ') FROM make_go_no_go_decision()";
    let told = "WARNING e2e-tests: MET, but tests skipped: 1; tests to do: 1";
    assert!(value(&mut a, reasons).contains(told), "{}", value(&mut a, reasons));
    run(&mut a, "DELETE FROM crewsnow_ops.e2e_tests WHERE name <> 'passes'");
    assert!(!value(&mut a, reasons).contains("e2e-tests"), "{}", value(&mut a, reasons));
}
