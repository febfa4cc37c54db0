//! Installation, removal, a crash, and the errors that users see.

use harness::{Cluster, is_on, rows, run, sqlstate, value};

#[test]
fn a_prepared_schema_makes_the_installation_fail() {
    let cluster = Cluster::start("squatted", "");
    cluster.create_empty_database("squatted");
    let mut a = cluster.connect("squatted");
    run(&mut a, "CREATE ROLE mallory; CREATE SCHEMA crewsnow_ops AUTHORIZATION mallory");
    assert_eq!(sqlstate(&mut a, "CREATE EXTENSION crewsnow_ops"), "42P06");
    run(&mut a, "DROP SCHEMA crewsnow_ops; CREATE TABLE feature_flags (id int)");
    assert_eq!(sqlstate(&mut a, "CREATE EXTENSION crewsnow_ops"), "42P07");
    run(&mut a, "DROP TABLE feature_flags; CREATE EXTENSION crewsnow_ops");
    run(
        &mut a,
        "CREATE ROLE builder LOGIN; GRANT CREATE ON DATABASE squatted TO builder; \
         DROP EXTENSION crewsnow_ops",
    );
    assert_eq!(
        sqlstate(&mut cluster.connect_as("builder", "squatted"), "CREATE EXTENSION crewsnow_ops"),
        "42501"
    );
}

#[test]
fn another_encoding_is_refused_at_once() {
    let cluster = Cluster::start("encoding", "");
    let mut a = cluster.connect("postgres");
    run(&mut a, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let mut latin = cluster.connect("latin");
    assert_eq!(sqlstate(&mut latin, "CREATE EXTENSION crewsnow_ops"), "0A000");
    assert_eq!(
        value(&mut latin, "SELECT count(*) FROM pg_namespace WHERE nspname = 'crewsnow_ops'"),
        "0"
    );
}

/// Supabase grants all privileges on new objects to its API roles by default. The extension's
/// objects must not keep those grants.
#[test]
fn default_privileges_grant_no_access() {
    let cluster = Cluster::start("defaults", "");
    cluster.create_empty_database("defaults");
    let mut a = cluster.connect("defaults");
    run(
        &mut a,
        "CREATE ROLE anon LOGIN; CREATE ROLE \"Odd \"\"role\" LOGIN;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, \"Odd \"\"role\", PUBLIC;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, \"Odd \"\"role\";
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon, \"Odd \"\"role\";
         CREATE EXTENSION crewsnow_ops",
    );
    for user in ["anon", "Odd \"role"] {
        let mut b = cluster.connect_as(user, "defaults");
        assert!(is_on(&mut b, "messaging"), "{user} may evaluate");
        for sql in [
            "SELECT * FROM feature_flags",
            "UPDATE feature_flags SET is_enabled = false",
            "TRUNCATE feature_flags",
            "SELECT update_feature_flag('messaging', false)",
            "SELECT * FROM crewsnow_ops.flag_history",
            "SELECT * FROM crewsnow_ops.user_context",
        ] {
            assert_eq!(sqlstate(&mut b, sql), "42501", "{user}: {sql}");
        }
    }
}

#[test]
fn removal_leaves_no_object_behind() {
    let cluster = Cluster::start("removal", "");
    cluster.create_empty_database("removal");
    let mut a = cluster.connect("removal");
    let everything = "SELECT 'class ' || oid::regclass FROM pg_class
        UNION ALL SELECT 'proc ' || oid::regprocedure FROM pg_proc
        UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
            WHERE nspname !~ '^pg_(toast_)?temp'
        UNION ALL SELECT 'type ' || oid::regtype FROM pg_type
        UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger ORDER BY 1";
    let before = rows(&mut a, everything);
    run(&mut a, "CREATE EXTENSION crewsnow_ops; SELECT update_feature_flag('messaging', false)");
    assert!(rows(&mut a, everything).len() > before.len());
    run(&mut a, "SELECT log_system_event('x'); DROP EXTENSION crewsnow_ops");
    assert_eq!(rows(&mut a, everything), before);
    // The session's cache of the removed installation does not serve the next one.
    run(
        &mut a,
        "CREATE SCHEMA ops; CREATE EXTENSION crewsnow_ops SCHEMA ops; \
         SELECT ops.log_system_event('y')",
    );
    assert_eq!(value(&mut a, "SELECT event_type FROM ops.event_log"), "y");
    run(
        &mut a,
        "BEGIN; DROP EXTENSION crewsnow_ops; CREATE EXTENSION crewsnow_ops; \
         SELECT log_system_event('z'); ROLLBACK",
    );
    run(&mut a, "SELECT ops.log_system_event('y')");
    assert_eq!(value(&mut a, "SELECT count(*) FROM ops.event_log WHERE event_type = 'y'"), "2");
}

#[test]
fn a_crash_keeps_committed_flips_only() {
    let mut cluster = Cluster::start("crash", "");
    let mut a = cluster.create_database("crash");
    run(&mut a, "CHECKPOINT; SELECT update_feature_flag('messaging', false)");
    let mut b = cluster.connect("crash");
    run(&mut b, "BEGIN; SELECT update_feature_flag('boost_station', false)");
    cluster.stop("immediate");
    cluster.boot();
    let mut a = cluster.connect("crash");
    assert!(!is_on(&mut a, "messaging") && is_on(&mut a, "boost_station"));
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history"), "1");
}

/// shared_preload_libraries is optional.
#[test]
fn preloading_changes_nothing() {
    let cluster = Cluster::start("preloaded", "shared_preload_libraries = 'crewsnow_ops'");
    let mut a = cluster.create_database("preloaded");
    let mut b = cluster.connect("preloaded");
    for is_enabled in [false, true] {
        run(&mut a, &format!("SELECT update_feature_flag('messaging', {is_enabled})"));
        assert_eq!(
            (is_on(&mut a, "messaging"), is_on(&mut b, "messaging")),
            (is_enabled, is_enabled)
        );
    }
}

/// The servers of this suite run with RUST_BACKTRACE=1, as a production server might.
#[test]
fn errors_are_sql_errors_without_rust_internals() {
    let cluster = Cluster::start("errors", "");
    let mut a = cluster.create_database("errors");
    run(&mut a, "CREATE ROLE caller; GRANT EXECUTE ON FUNCTION update_feature_flag TO caller");
    for (sql, code) in [
        ("SELECT update_feature_flag('mesaging', true)", "42704"),
        ("SELECT update_feature_flag('messaging', true, 101)", "22023"),
        ("UPDATE feature_flags SET rollout_percentage = 101", "23514"),
        ("UPDATE feature_flags SET rollout_group = 'x'", "0A000"),
        ("UPDATE feature_flags SET id = gen_random_uuid()", "0A000"),
        ("DELETE FROM crewsnow_ops.flag_history", "42501"),
        ("SELECT crewsnow_ops.grant_access('nobody', 'reader')", "42704"),
        ("BEGIN READ ONLY; SELECT update_feature_flag('messaging', true)", "25006"),
        ("ROLLBACK; SET ROLE caller; SELECT update_feature_flag('messaging', true)", "42501"),
        (
            "RESET ROLE; SET statement_timeout = '100ms'; SET lock_timeout = 0; \
             SELECT update_feature_flag('messaging', true), pg_sleep(5)",
            "57014",
        ),
    ] {
        let error = a.batch_execute(sql).expect_err(sql);
        let error = error.as_db_error().expect("an error of the server");
        assert_eq!(error.code().code(), code, "{sql}: {error:?}");
        let texts = format!("{} {:?} {:?}", error.message(), error.detail(), error.hint());
        for rust in ["backtrace", "panick", ".rs", "unwrap", "0x"] {
            assert!(!texts.contains(rust), "{sql}: {texts}");
        }
    }
}
