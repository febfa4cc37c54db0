//! Maintenance has the rights of its caller, no more and no less.

use crate::maintenance::{COMPLETED, RUN, dead, lines_of, rot, settle};
use harness::{Cluster, rows, run, sqlstate, value};

#[test]
fn a_role_gains_no_privilege_through_the_worker() {
    let cluster = Cluster::start("maintenance_roles", "autovacuum = off");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    run(&mut a, "CREATE ROLE keeper NOLOGIN; CREATE ROLE clerk LOGIN IN ROLE keeper");
    run(&mut a, "SELECT crewsnow_ops.grant_access('keeper', 'admin')");
    rot(&mut a, "secrets");
    rot(&mut a, "ledger");
    run(&mut a, "ALTER TABLE ledger OWNER TO keeper");
    // An index expression that looks for the rights of a superuser, as VACUUM ANALYZE calls it.
    run(
        &mut a,
        "GRANT CREATE, USAGE ON SCHEMA public TO keeper; SET ROLE keeper;
         CREATE TABLE attempts (who text);
         CREATE FUNCTION attempt() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
             BEGIN EXECUTE 'SET SESSION AUTHORIZATION DEFAULT';
             EXCEPTION WHEN OTHERS THEN NULL; END;
             EXECUTE 'INSERT INTO public.attempts VALUES (current_user || (SELECT rolsuper
                 FROM pg_catalog.pg_roles WHERE rolname = current_user))';
         END $$;
         CREATE FUNCTION probe(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN PERFORM public.attempt(); RETURN i; END $$;
         CREATE INDEX ON ledger (probe(id)); DELETE FROM attempts; RESET ROLE;
         DELETE FROM ledger WHERE id < 4000; SELECT pg_stat_force_next_flush()",
    );
    // As a superuser who has set a role that may not log in, and as a member.
    let mut clerk = cluster.connect_as("clerk", "shop");
    run(&mut a, "SET ROLE keeper");
    for client in [&mut a, &mut clerk] {
        let report = value(client, RUN);
        let lines = lines_of(&report, "public.secrets");
        assert!(lines.contains("only its owner postgres may"), "{report}");
        assert!(report.contains("incomplete"), "{report}");
    }
    run(&mut a, "RESET ROLE");
    assert_eq!((dead(&mut a, "ledger"), dead(&mut a, "secrets")), (0, 2_000));
    let seen = rows(&mut a, "SELECT DISTINCT who FROM attempts");
    assert_eq!(seen, ["keeperfalse"], "the function ran, and as its owner");
    // A role without the privilege cannot call it at all.
    run(&mut a, "CREATE ROLE nobody LOGIN");
    let mut nobody = cluster.connect_as("nobody", "shop");
    assert_eq!(sqlstate(&mut nobody, RUN), "42501");
}

#[test]
fn the_owner_of_the_database_maintains_tables_of_others() {
    let cluster = Cluster::start("maintenance_owner", "autovacuum = on\nautovacuum_naptime = 1h");
    let mut a = cluster.create_database("shop");
    settle(&mut a);
    run(&mut a, "CREATE ROLE chief LOGIN; ALTER DATABASE shop OWNER TO chief");
    run(&mut a, "SELECT crewsnow_ops.grant_access('chief', 'admin')");
    rot(&mut a, "orders");
    // Rows that die only in the TOAST table, whose schema is closed to this role.
    run(
        &mut a,
        "CREATE TABLE letters (id int, body text);
         ALTER TABLE letters ALTER body SET STORAGE EXTERNAL;
         ALTER TABLE letters SET (autovacuum_vacuum_threshold = 1000000);
         INSERT INTO letters SELECT i, repeat('x', 3000) FROM generate_series(1, 900) AS i",
    );
    run(&mut a, "VACUUM ANALYZE letters");
    run(&mut a, "ALTER TABLE letters SET (toast.autovacuum_vacuum_threshold = 10)");
    run(&mut a, "DELETE FROM letters WHERE id < 600; SELECT pg_stat_force_next_flush()");
    let mut chief = cluster.connect_as("chief", "shop");
    let report = value(&mut chief, RUN);
    assert!(report.ends_with(COMPLETED), "{report}");
    assert_eq!(dead(&mut a, "orders"), 0);
    let toast = "SELECT pg_stat_get_dead_tuples(reltoastrelid) FROM pg_class
        WHERE oid = 'letters'::regclass";
    assert_eq!(value(&mut a, toast), "0", "{report}");
}
