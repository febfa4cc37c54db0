//! An erasure runs with the rights of its caller, and no code gains more by it.

use crate::erasure_faults::{ADA, BOB, TABLES, execute, request};
use harness::{Cluster, run, sqlstate, value};

#[test]
fn an_erasure_gives_no_role_more_rights() {
    let cluster = Cluster::start("erasure_rights", "");
    let mut a = cluster.create_database("shop");
    run(&mut a, TABLES);
    run(
        &mut a,
        "CREATE ROLE dev; CREATE ROLE privacy; CREATE ROLE on_call;
         GRANT CREATE ON SCHEMA public TO dev;
         GRANT USAGE ON SCHEMA auth TO dev, privacy; GRANT REFERENCES ON auth.users TO dev;
         SELECT crewsnow_ops.grant_access('privacy', 'admin');
         SELECT crewsnow_ops.grant_access('on_call', 'operator');
         SET ROLE dev;
         CREATE TABLE mine (id serial PRIMARY KEY, owner uuid REFERENCES auth.users, t text);
         ALTER TABLE mine ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
            THEN RAISE EXCEPTION 'a superuser runs it'; END IF; RETURN OLD; END $$;
         CREATE TRIGGER spy BEFORE DELETE ON mine FOR EACH ROW EXECUTE FUNCTION spy();
         CREATE CONSTRAINT TRIGGER late AFTER DELETE ON mine DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION spy();
         RESET ROLE;
         INSERT INTO mine (owner) SELECT id FROM auth.users",
    );
    let (ada, bob) = (request(&mut a, ADA), request(&mut a, BOB));
    // A superuser runs no code of a table's owner as superuser, also at the end of the transaction.
    run(&mut a, &format!("BEGIN; {}; COMMIT", execute(&ada)));
    assert_eq!(value(&mut a, "SELECT count(*) FROM mine"), "1");
    // An admin of the extension needs the privileges on each table, and every row.
    run(&mut a, "SET ROLE privacy");
    assert_eq!(sqlstate(&mut a, &execute(&bob)), "42501");
    for (grant, missing) in [
        ("GRANT SELECT ON auth.users, posts, comments, invoices, mine TO privacy", "mine"),
        ("ALTER TABLE mine DISABLE ROW LEVEL SECURITY", "DELETE"),
        ("GRANT DELETE ON posts, comments, invoices, mine TO privacy", "auth.users"),
    ] {
        run(&mut a, &format!("RESET ROLE; {grant}; SET ROLE privacy"));
        let error = harness::explain(&a.batch_execute(&execute(&bob)).expect_err("refused"));
        assert!(error.starts_with("42501") && error.contains(missing), "{grant}: {error}");
    }
    run(&mut a, "RESET ROLE; GRANT DELETE ON auth.users TO privacy; SET ROLE privacy");
    assert!(value(&mut a, &execute(&bob)).ends_with("\nErasure completed"));
    let salts = "SELECT * FROM crewsnow_ops.erasure_salts";
    assert_eq!(sqlstate(&mut a, salts), "42501");
    // The ledger is final for its owner, too.
    run(&mut a, "RESET ROLE");
    for change in [
        "UPDATE crewsnow_ops.erasure_requests SET reason = 'x'",
        "DELETE FROM crewsnow_ops.erasure_requests",
        "TRUNCATE crewsnow_ops.erasure_requests",
        "DELETE FROM crewsnow_ops.erasure_replays",
        "UPDATE crewsnow_ops.trail_erasures SET changed_rows = 0",
        "UPDATE crewsnow_ops.flag_history SET reason = NULL",
        "UPDATE crewsnow_ops.decisions SET reasons = '{}'",
        "UPDATE event_log SET endpoint = 'x'",
    ] {
        run(&mut a, "SELECT log_system_event('x', NULL, '{}')");
        assert_eq!(sqlstate(&mut a, change), "42501", "{change}");
    }
    // Operators have no part in it.
    run(&mut a, "SET ROLE on_call");
    for call in [
        "SELECT crewsnow_ops.request_erasure('x', 'y')".to_owned(),
        execute(&bob),
        format!("SELECT * FROM crewsnow_ops.prove_erasure('{bob}')"),
        "SELECT crewsnow_ops.export_erasures()".into(),
        "SELECT crewsnow_ops.replay_erasures()".into(),
        "SELECT * FROM crewsnow_ops.erasure_requests".into(),
        "SELECT * FROM crewsnow_ops.legal_holds".into(),
    ] {
        assert_eq!(sqlstate(&mut a, &call), "42501", "{call}");
    }
    run(&mut a, "RESET ROLE; DROP OWNED BY dev, privacy, on_call; DROP ROLE dev, privacy, on_call");
}
