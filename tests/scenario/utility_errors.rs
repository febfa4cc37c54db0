//! Errors of the application's own statements, functions and triggers.

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

/// A service tells its own conditions apart by their SQLSTATE.
#[test]
fn triggers_of_the_application_keep_their_sqlstates() {
    let cluster = Cluster::start("own_sqlstates", "");
    let mut a = cluster.create_database("own");
    run(
        &mut a,
        "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE 'closed' USING ERRCODE = 'SHOP1', DETAIL = 'after six'; END $$;
         CREATE TRIGGER closed BEFORE INSERT ON event_log
             FOR EACH ROW EXECUTE FUNCTION closed();
         CREATE TRIGGER closed BEFORE INSERT ON processed_events
             FOR EACH ROW EXECUTE FUNCTION closed();
         CREATE TRIGGER closed AFTER UPDATE ON feature_flags
             FOR EACH ROW EXECUTE FUNCTION closed()",
    );
    for call in [
        "SELECT log_system_event('visit')",
        "SELECT crewsnow_ops.record_edge_call('checkout', 12, 200)",
        "SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid')",
        "SELECT update_feature_flag('maintenance_mode', true)",
        "UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'maintenance_mode'",
    ] {
        assert_eq!(sqlstate(&mut a, call), "SHOP1", "{call}");
        let caught = format!(
            "DO $$ BEGIN PERFORM 1; {}; EXCEPTION WHEN SQLSTATE 'SHOP1' THEN NULL; END $$",
            call.replacen("SELECT", "PERFORM", 1)
        );
        run(&mut a, &caught);
    }
    // An internal error after an application's error is still one.
    let internal = "DO $$ BEGIN RAISE 'broken' USING ERRCODE = 'XX000'; END $$";
    assert_eq!(sqlstate(&mut a, internal), "XX000");
    run(&mut a, "DROP TRIGGER closed ON feature_flags");
    run(&mut a, "SELECT update_feature_flag('maintenance_mode', true)");
    assert_eq!(sqlstate(&mut a, "SELECT update_feature_flag('maintenance_mod', true)"), "42704");
}
