//! Errors of the application's own statements in a session that has run end-to-end tests.

use harness::{Cluster, run, sqlstate, value};

#[test]
fn a_session_that_has_run_tests_keeps_the_sqlstates_of_others() {
    let cluster = Cluster::start("utility_errors", "");
    let mut a = cluster.create_database("utility");
    let own = "DO $$ BEGIN RAISE 'refused' USING ERRCODE = 'AB123'; END $$";
    assert_eq!(sqlstate(&mut a, own), "AB123", "before");
    run(&mut a, "CREATE ROLE anon; CREATE ROLE authenticated");
    run(&mut a, "CREATE FUNCTION booked() RETURNS boolean LANGUAGE sql AS 'SELECT true'");
    run(&mut a, "SELECT crewsnow_ops.register_e2e_test('booking', 'public.booked()')");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.run_e2e_tests()"), "1");
    assert_eq!(sqlstate(&mut a, own), "AB123", "DO");
    run(
        &mut a,
        "CREATE PROCEDURE refuse() LANGUAGE plpgsql AS
         $$ BEGIN RAISE 'refused' USING ERRCODE = 'AB124', DETAIL = 'a fact'; END $$",
    );
    assert_eq!(sqlstate(&mut a, "CALL refuse()"), "AB124", "CALL");
    run(&mut a, "PREPARE gate AS SELECT crewsnow_ops.require_go('v9')");
    assert_eq!(sqlstate(&mut a, "EXECUTE gate"), "NG001", "EXECUTE");
}
