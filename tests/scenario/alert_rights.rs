//! The query of an alert rule has the rights of its author, and nobody gains more by it.

use harness::{Cluster, explain, rows, run, sqlstate, value};
use postgres::Client;

/// dev has tables and code of its own; ops is an admin of the extension, on_call an operator.
const ROLES: &str = "
    CREATE ROLE dev; CREATE ROLE ops; CREATE ROLE on_call; CREATE ROLE team; CREATE ROLE other;
    GRANT team TO ops;
    SELECT crewsnow_ops.grant_access('ops', 'admin');
    SELECT crewsnow_ops.grant_access('on_call', 'operator');
    CREATE SCHEMA dev AUTHORIZATION dev; CREATE SCHEMA ops AUTHORIZATION ops;
    GRANT USAGE ON SCHEMA dev TO PUBLIC; GRANT USAGE ON SCHEMA ops TO on_call;
    CREATE TABLE public.secret (t text); INSERT INTO public.secret VALUES ('hunter2');
    UPDATE crewsnow_ops.alert_rules SET is_enabled = false";

fn server(name: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(name, "");
    let mut a = cluster.create_database("alerts");
    run(&mut a, ROLES);
    (cluster, a)
}

/// Inserts a rule as the current user. `reading` is the query.
fn insert(name: &str, reading: &str) -> String {
    format!(
        "INSERT INTO crewsnow_ops.alert_rules (name, description, query, critical)
         VALUES ('{name}', 'x', $rule${reading}$rule$, 10)"
    )
}

fn tested(a: &mut Client, name: &str) -> String {
    rows(
        a,
        &format!("SELECT verdict, subject, value, message FROM crewsnow_ops.test_rule('{name}')"),
    )
    .join("\n")
}

/// The error of SQL that must fail.
fn refused(a: &mut Client, sql: &str) -> String {
    match a.batch_execute(sql) {
        Ok(()) => panic!("{sql}: should have failed"),
        Err(error) => explain(&error),
    }
}

/// A function that tries something and says how it ended. It does not raise.
fn attempt(name: &str, work: &str) -> String {
    format!(
        "CREATE FUNCTION {name}() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
            {work};
            RETURN 'done as ' || current_user;
         EXCEPTION WHEN OTHERS THEN RETURN sqlstate; END $f$"
    )
}

/// The code of a rule cannot leave its role, whoever ticks or tests, and leaves nothing behind.
// passes before: the sandbox confines the code already; the test keeps it so.
#[test]
fn the_code_of_a_rule_stays_in_its_role() {
    let (_cluster, mut a) = server("alert_role");
    run(&mut a, "SET ROLE ops");
    let attempts = [
        ("reset_role", "RESET ROLE", "42501"),
        ("set_role", "SET ROLE postgres", "42501"),
        ("to_team", "SET ROLE team", "42501"),
        ("set_role_by_config", "PERFORM set_config('role', 'postgres', true)", "42501"),
        ("none", "PERFORM set_config('role', 'none', false)", "42501"),
        ("session", "SET SESSION AUTHORIZATION postgres", "42501"),
        ("session_default", "SET SESSION AUTHORIZATION DEFAULT", "42501"),
        ("reset_session", "RESET SESSION AUTHORIZATION", "42501"),
        ("reset_all", "RESET ALL; INSERT INTO ops.kept VALUES (1)", "25006"),
        ("read_secret", "PERFORM t FROM public.secret", "42501"),
        ("read_salts", "PERFORM 1 FROM crewsnow_ops.erasure_salts", "42501"),
        ("temporary", "CREATE TEMP TABLE left_behind (a int)", "25006"),
        ("prepared", "EXECUTE 'PREPARE left_behind AS SELECT 1'", "42501"),
        ("listen", "LISTEN left_behind", "42501"),
        ("discard", "DISCARD ALL", "42501"),
        ("write", "INSERT INTO ops.kept VALUES (1)", "25006"),
        ("writable", "SET transaction_read_only = off", "25001"),
        ("sequence", "PERFORM nextval('ops.kept_number')", "25006"),
        ("ddl", "DROP TABLE ops.kept", "25006"),
        ("policy", "SET row_security = on; PERFORM 1 FROM public.secret", "42501"),
        ("rule", "UPDATE crewsnow_ops.alert_rules SET query = ''", "25006"),
        ("commit", "COMMIT", "2D000"),
    ];
    run(&mut a, "CREATE TABLE ops.kept (a int); CREATE SEQUENCE ops.kept_number");
    for (name, work, _) in attempts {
        run(&mut a, &attempt(&format!("ops.{name}"), work));
        run(&mut a, &insert(name, &format!("SELECT '{name}', 1, ops.{name}()")));
    }
    for who in ["ops", "on_call", "postgres"] {
        run(&mut a, &format!("RESET ROLE; SET ROLE {who}"));
        for (name, _, state) in attempts {
            assert_eq!(tested(&mut a, name), format!("OK|{name}|1|{state}"), "tested by {who}");
        }
        assert_eq!(value(&mut a, "SELECT current_user"), who);
    }
    run(&mut a, "RESET ROLE");
    assert_eq!(value(&mut a, "SELECT count(*) FROM ops.kept"), "0");
    assert_eq!(
        value(&mut a, "SELECT last_value || ' ' || is_called FROM ops.kept_number"),
        "1 false"
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM pg_prepared_statements"), "0");
    assert_eq!(value(&mut a, "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'"), "0");
    assert_eq!(value(&mut a, "SELECT count(*) FROM pg_listening_channels()"), "0");
    // What no rollback undoes: a lock, a setting, a notification.
    run(
        &mut a,
        "SET ROLE ops;
         CREATE FUNCTION ops.lasting() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
            PERFORM pg_advisory_lock(19), pg_advisory_unlock_all();
            PERFORM pg_advisory_lock(20), pg_notify('left', 'x'), set_config('left.x', '1', false);
            RETURN current_user || ' ' || session_user; END $f$",
    );
    run(&mut a, &insert("lasting", "SELECT 'a', 1, ops.lasting()"));
    run(&mut a, "RESET ROLE; SELECT pg_advisory_lock(7); LISTEN \"left\"");
    assert_eq!(tested(&mut a, "lasting"), "OK|a|1|ops postgres");
    assert_eq!(
        value(
            &mut a,
            "SELECT string_agg(objid::text, ' ') FROM pg_locks
            WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        ),
        "7"
    );
    assert_eq!(value(&mut a, "SELECT coalesce(current_setting('left.x', true), '')"), "");
    assert_eq!(a.notifications().len(), 0);
}

/// Neither the definition nor an evaluation of a superuser's rule runs another role's code as the
/// superuser, by whatever object it comes in.
#[test]
fn a_superusers_rule_runs_no_code_of_others_as_superuser() {
    let (_cluster, mut a) = server("alert_superuser");
    run(
        &mut a,
        "SET ROLE dev;
         CREATE FUNCTION dev.who() RETURNS text LANGUAGE sql STABLE AS 'SELECT current_user::text';
         -- The planner calls an immutable function.
         CREATE FUNCTION dev.spy(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN
            IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
            THEN RAISE EXCEPTION 'a superuser runs it'; END IF;
            RETURN current_user; END $f$;
         CREATE FUNCTION dev.step(text, text) RETURNS text LANGUAGE plpgsql AS
            'BEGIN RETURN dev.spy(1); END';
         CREATE AGGREGATE dev.gather(text) (SFUNC = dev.step, STYPE = text, INITCOND = '');
         CREATE FUNCTION dev.joined(int, int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
            'BEGIN RETURN dev.spy(1); END';
         CREATE OPERATOR dev.### (FUNCTION = dev.joined, LEFTARG = int, RIGHTARG = int);
         CREATE FUNCTION dev.fits(text) RETURNS boolean LANGUAGE plpgsql AS
            'BEGIN PERFORM dev.spy(1); RETURN true; END';
         CREATE DOMAIN dev.word AS text CHECK (dev.fits(VALUE));
         CREATE TABLE dev.jobs (queue text, n int); INSERT INTO dev.jobs VALUES ('mail', 3);
         CREATE VIEW dev.live AS SELECT queue, n, dev.who() AS who FROM dev.jobs;
         CREATE VIEW dev.planned AS SELECT 'a' AS queue, 1 AS n, dev.spy(1) AS who;
         RESET ROLE;
         CREATE VIEW public.over AS SELECT * FROM dev.planned",
    );
    let rules = [
        ("table", "SELECT queue, n, dev.who() FROM dev.jobs", "OK|mail|3|dev"),
        ("view", "SELECT queue, n, who FROM dev.live", "OK|mail|3|dev"),
        ("planned", "SELECT queue, n, who FROM dev.planned", "OK|a|1|dev"),
        ("function", "SELECT 'a', 1, dev.spy(1)", "OK|a|1|dev"),
        (
            "aggregate",
            "SELECT 'a', 1, dev.gather(d.datname::text) FROM pg_database d",
            "OK|a|1|dev",
        ),
        ("operator", "SELECT 'a', 1, 1 OPERATOR(dev.###) 2", "OK|a|1|dev"),
        ("domain", "SELECT 'a', 1, 'b'::dev.word || current_user", "OK|a|1|bdev"),
        (
            "window",
            "SELECT DISTINCT 'a', 1, dev.gather('x') OVER () FROM pg_database",
            "OK|a|1|dev",
        ),
    ];
    for (name, query, told) in rules {
        run(&mut a, &insert(name, query));
        assert_eq!(tested(&mut a, name), told, "{name}");
    }
    // A superuser's view over a view of dev: as dev, who may not read it.
    let error = refused(&mut a, &insert("over", "SELECT queue, n, who FROM public.over"));
    assert!(error.starts_with("42501") && error.contains("over"), "{error}");
    run(&mut a, "GRANT SELECT ON public.over TO dev");
    run(&mut a, &insert("over", "SELECT queue, n, who FROM public.over"));
    assert_eq!(tested(&mut a, "over"), "OK|a|1|dev");
    // The text stays, the object behind it changes.
    run(
        &mut a,
        "CREATE TABLE dev.late (queue text, n int, who text);
         INSERT INTO dev.late VALUES ('a', 1, 'b')",
    );
    run(&mut a, &insert("late", "SELECT queue, n, who FROM dev.late"));
    assert_eq!(tested(&mut a, "late"), "OK|a|1|b");
    run(
        &mut a,
        "SET ROLE dev; DROP TABLE dev.late; CREATE VIEW dev.late AS TABLE dev.planned; RESET ROLE",
    );
    assert_eq!(tested(&mut a, "late"), "OK|a|1|dev");
    // Two owners need a decision.
    run(
        &mut a,
        "CREATE SCHEMA other AUTHORIZATION other; SET ROLE other;
         CREATE TABLE other.t (n int); RESET ROLE",
    );
    let both = "SELECT j.queue, j.n, 'x' FROM dev.jobs AS j, other.t";
    let error = refused(&mut a, &insert("both", both));
    assert!(error.starts_with("42501") && error.contains("dev, other"), "{error}");
}

/// Authors are the role that writes, or one that it may become.
// passes before: PostgreSQL 15 has no membership without SET; the rest keeps what is there.
#[test]
fn an_author_is_a_role_that_the_writer_may_become() {
    let (_cluster, mut a) = server("alert_author");
    let given = |author: &str| {
        format!(
            "INSERT INTO crewsnow_ops.alert_rules (name, description, query, critical, defined_by)
             VALUES ('by-{author}', 'x', 'SELECT ''a'', 1, current_user', 10, '{author}')"
        )
    };
    run(&mut a, "SET ROLE ops");
    for author in ["postgres", "dev", "other", "on_call"] {
        assert_eq!(sqlstate(&mut a, &given(author)), "42501", "{author}");
    }
    assert_eq!(sqlstate(&mut a, &given("nobody")), "42704");
    run(&mut a, &given("team"));
    assert_eq!(tested(&mut a, "by-team"), "OK|a|1|team");
    // A superuser's rule that ops changes is of ops, and ops cannot keep its author.
    run(&mut a, "RESET ROLE");
    run(&mut a, &insert("root", "SELECT 'a', 1, t FROM public.secret"));
    run(&mut a, "SET ROLE ops");
    for change in [
        "query = query, defined_by = defined_by",
        "query = 'SELECT ''a'', 1, rolpassword FROM pg_authid', defined_by = 'postgres'",
        "critical = 1",
        "description = 'y'",
    ] {
        let sql = format!("UPDATE crewsnow_ops.alert_rules SET {change} WHERE name = 'root'");
        assert_eq!(sqlstate(&mut a, &sql), "42501", "{change}");
    }
    let upsert = format!(
        "{} ON CONFLICT (name) DO UPDATE SET query = excluded.query",
        insert("root", "SELECT 'a', 1, current_user")
    );
    run(&mut a, &upsert);
    assert_eq!(tested(&mut a, "root"), "OK|a|1|ops");
    let built_in = "UPDATE crewsnow_ops.alert_rules SET is_built_in = true WHERE name = 'root'
        RETURNING is_built_in";
    assert_eq!(value(&mut a, built_in), "f");
    // A role whose author has gone runs as nobody else.
    run(&mut a, "RESET ROLE; CREATE ROLE brief; GRANT brief TO ops; SET ROLE ops");
    run(&mut a, &given("brief"));
    run(&mut a, "RESET ROLE; DROP ROLE brief");
    assert!(tested(&mut a, "by-brief").starts_with("ERROR|NULL|NULL|"));
    // Operators and readers write no rules.
    run(&mut a, "SET ROLE on_call");
    for call in [
        insert("mine", "SELECT 'a', 1, 'b'"),
        "UPDATE crewsnow_ops.alert_rules SET is_enabled = false".to_owned(),
        "DELETE FROM crewsnow_ops.alert_rules".to_owned(),
        "TRUNCATE crewsnow_ops.alert_rules".to_owned(),
        "SELECT crewsnow_ops.create_alert_rule('mine', 'SELECT 1', p_critical => 1)".to_owned(),
    ] {
        assert_eq!(sqlstate(&mut a, &call), "42501", "{call}");
    }
    run(&mut a, "RESET ROLE; CREATE ROLE nobody; SET ROLE nobody");
    assert_eq!(sqlstate(&mut a, "SELECT * FROM crewsnow_ops.test_rule('root')"), "42501");
    assert_eq!(sqlstate(&mut a, "SELECT crewsnow_ops.rule_time()"), "42501");
}

/// Errors of a rule quote no rows. Row-level security makes a rule fail instead of hiding rows.
// passes before: messages are withheld already; the test keeps it so.
#[test]
fn errors_of_a_rule_hold_no_rows() {
    let (_cluster, mut a) = server("alert_leaks");
    run(
        &mut a,
        "GRANT SELECT ON public.secret TO ops; SET ROLE ops;
         CREATE FUNCTION ops.fail() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
            RAISE EXCEPTION 'have %', (SELECT t FROM public.secret)
            USING DETAIL = (SELECT t FROM public.secret); END $f$;
         CREATE FUNCTION ops.warn() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
            RAISE WARNING 'have %', (SELECT t FROM public.secret); RETURN 'b'; END $f$",
    );
    run(&mut a, &insert("cast", "SELECT 'a', t::int, 'b' FROM public.secret"));
    run(&mut a, &insert("raise", "SELECT 'a', 1, ops.fail()"));
    run(
        &mut a,
        &insert("duplicate", "SELECT t, 1, 'b' FROM public.secret, (VALUES (1), (2)) AS v"),
    );
    run(&mut a, "SET ROLE on_call");
    for (name, state) in [("cast", "22P02"), ("raise", "P0001"), ("duplicate", "21000")] {
        let told = tested(&mut a, name);
        assert!(told.starts_with(&format!("ERROR|NULL|NULL|{state}")), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    run(&mut a, "RESET ROLE; SET ROLE ops");
    run(&mut a, &insert("policy", "SELECT t, 1, 'b' FROM public.secret"));
    run(&mut a, "RESET ROLE; ALTER TABLE public.secret ENABLE ROW LEVEL SECURITY");
    let told = tested(&mut a, "policy");
    assert!(told.starts_with("ERROR|NULL|NULL|42501"), "hidden rows are no healthy rule: {told}");
}

/// A function that catches every cancel ends its session, and an ordinary one only its rule.
// passes before: a time limit as short as this ended its session in time already.
#[test]
fn a_rule_holds_no_session_for_ever() {
    let (cluster, mut a) = server("alert_stuck");
    run(
        &mut a,
        "SET ROLE ops;
         CREATE FUNCTION ops.stubborn() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN LOOP
            BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
         END LOOP; END $f$",
    );
    let limited = |name: &str, message: &str| {
        format!(
            "INSERT INTO crewsnow_ops.alert_rules (name, description, query, critical, time_limit)
             VALUES ('{name}', 'x', 'SELECT ''a'', 1, {message}::text', 10, '200 ms')"
        )
    };
    run(&mut a, &limited("slow", "pg_sleep(60)"));
    run(&mut a, &limited("stubborn", "ops.stubborn()"));
    let start = std::time::Instant::now();
    assert!(tested(&mut a, "slow").starts_with("ERROR|NULL|NULL|57014: stopped after 200 ms"));
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    // A lock of another session is waited for at most a second.
    let mut b = cluster.connect("alerts");
    run(&mut b, "GRANT SELECT ON public.secret TO ops");
    run(&mut a, &insert("locked", "SELECT t, 1, 'b' FROM public.secret"));
    run(&mut b, "BEGIN; LOCK TABLE public.secret");
    assert!(tested(&mut a, "locked").starts_with("ERROR|NULL|NULL|55P03"));
    run(&mut b, "ROLLBACK");
    let start = std::time::Instant::now();
    let ended = a.batch_execute("SELECT * FROM crewsnow_ops.test_rule('stubborn')");
    let took = start.elapsed().as_secs();
    assert!((9..20).contains(&took), "{took} s");
    assert_eq!(ended.expect_err("ended").code().map(|code| code.code()), Some("57P01"));
    // The operator's cancel is no fault of the rule.
    let mut c = cluster.connect("alerts");
    run(&mut c, "SET statement_timeout = '100 ms'");
    assert_eq!(sqlstate(&mut c, "SELECT * FROM crewsnow_ops.test_rule('slow')"), "57014");
}
