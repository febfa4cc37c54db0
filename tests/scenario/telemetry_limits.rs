//! Telemetry within limits: of memory, of function names, and of the privileges on partitions.

use harness::{Cluster, rows, run, value};
use postgres::Client;

const ROLL_UP: &str = "SELECT * FROM crewsnow_ops.roll_up_events()";

/// Sets the address space of a session's process to its present size and some kB. The stack has
/// grown to its limit before: a stack that cannot grow is a segmentation fault in any process.
fn limit_memory(superuser: &mut Client, session: &mut Client, more: u64) {
    run(
        session,
        "LOAD 'crewsnow_ops'; SELECT log_system_event('warm_up');
         DO $$ BEGIN PERFORM repeat('[', 100000)::json;
         EXCEPTION WHEN statement_too_complex THEN NULL; END $$",
    );
    let pid = value(session, "SELECT pg_backend_pid()");
    let size = format!(
        "SELECT substring(pg_read_file('/proc/{pid}/status') FROM 'VmSize:\\s+(\\d+)')::bigint"
    );
    let size: u64 = value(superuser, &size).parse().expect("a number");
    let bytes = (size + more) * 1024;
    // The program reads its input: the server reports a pipe that closes before the last write.
    let limit = format!("cat >/dev/null && prlimit --pid {pid} --as={bytes}");
    run(superuser, &format!("COPY (SELECT) TO PROGRAM '{limit}'"));
}

/// Where the system refuses memory, a statement fails with 53200, or its session ends. No other
/// session notices: a crash would end them all.
#[test]
fn a_session_out_of_memory_does_not_end_the_others() {
    let cluster = Cluster::start("memory", "");
    let mut superuser = cluster.create_database("memory");
    run(
        &mut superuser,
        "INSERT INTO event_log (event_type, function_name, execution_time_ms)
         SELECT 'edge_function_call', md5(n::text), n % 9000 FROM generate_series(1, 40000) AS n",
    );
    let mut bystander = cluster.connect("memory");
    run(&mut bystander, "SELECT 1");
    let (mut refused, mut ended) = (0, 0);
    for statement in [
        "SELECT crewsnow_ops.rebuild_rollups()",
        "SELECT count(*) FROM edge_functions_monitoring",
        "SELECT count(*) FROM error_rate_monitoring",
        "SELECT count(*) FROM crewsnow_ops.dashboard",
        "SELECT count(*) FROM performance_health_check()",
        "SELECT count(*) FROM crewsnow_ops.audit_rls()",
        "SELECT log_system_event('x', NULL, '{\"a\": \"\\u0000' || repeat('x', 4000000) || '\"}')",
        "SELECT decision FROM make_go_no_go_decision()",
    ] {
        for more in (0..8_000).step_by(250) {
            let mut session = cluster.connect("memory");
            limit_memory(&mut superuser, &mut session, more);
            if let Err(error) = session.batch_execute(statement) {
                let code = error.code().map(|code| code.code().to_owned());
                // A session that ends may have no memory to say why. The server's log does.
                if error.is_closed() {
                    ended += 1;
                    let log = cluster.scratch().join("data/server.log");
                    let log = std::fs::read_to_string(log).expect("the server's log");
                    let told = log.matches("FATAL:  out of memory").count();
                    assert!(told >= ended, "{statement}, {more} kB: {error}, {told} of {ended}");
                } else {
                    assert_eq!(code.as_deref(), Some("53200"), "{statement}, {more} kB: {error}");
                }
                refused += 1;
            }
            run(&mut bystander, "SELECT 1");
        }
    }
    assert!(refused > 8, "memory was short only {refused} times");
    let mut session = cluster.connect("memory");
    run(&mut session, "SELECT crewsnow_ops.rebuild_rollups()");
    assert_eq!(value(&mut session, "SELECT sum(calls) FROM crewsnow_ops.event_rollups"), "40000");
}

/// A service that puts ids into names of functions fills neither memory nor the views.
#[test]
fn names_beyond_ten_thousand_an_hour_are_counted_together() {
    let cluster = Cluster::start("names", "");
    let mut a = cluster.create_database("names");
    // One moment for all calls, so that they are in the same hour.
    run(&mut a, "CREATE TABLE moment AS SELECT now() - interval '5 minutes' AS at");
    let call = |names: &str, count: u32| {
        format!(
            "INSERT INTO event_log (event_type, function_name, execution_time_ms, created_at)
             SELECT 'x', '{names}' || n, 5, at FROM moment, generate_series(1, {count}) AS n"
        )
    };
    run(&mut a, &call("first", 6_000));
    run(&mut a, ROLL_UP);
    run(&mut a, &call("second", 6_000));
    let found = "SELECT count(*) <= 10001, sum(total_calls),
            sum(total_calls) FILTER (WHERE function_name = '(other)') > 0
        FROM edge_functions_monitoring";
    for state in ["uncounted", "counted"] {
        assert_eq!(rows(&mut a, found), ["t|12000|t"], "{state}");
        run(&mut a, ROLL_UP);
    }
    // Known names stay known, and the others have one row a minute.
    run(&mut a, &call("first", 6_000));
    run(&mut a, ROLL_UP);
    let first = "SELECT count(*), min(calls) FROM (SELECT function_name, sum(calls) AS calls
        FROM crewsnow_ops.event_rollups WHERE function_name LIKE 'first%' GROUP BY 1) AS f";
    assert_eq!(rows(&mut a, first), ["6000|2"]);
    let total = "SELECT sum(calls), count(DISTINCT function_name) FROM crewsnow_ops.event_rollups";
    assert_eq!(rows(&mut a, total), ["18000|10001"]);
    run(&mut a, "SELECT crewsnow_ops.rebuild_rollups()");
    assert_eq!(rows(&mut a, total), ["18000|10001"], "rebuilt");
}

/// Default privileges, as Supabase sets them, give each new table to client roles.
#[test]
fn a_partition_has_the_privileges_of_its_parent() {
    let cluster = Cluster::start("partition_privileges", "");
    let mut a = cluster.create_database("privileges");
    run(
        &mut a,
        "CREATE ROLE passer_by; CREATE ROLE service; CREATE ROLE analyst; CREATE ROLE oncall;
         SELECT crewsnow_ops.grant_access('service', 'writer');
         SELECT crewsnow_ops.grant_access('oncall', 'operator');
         GRANT SELECT (event_type) ON event_log TO analyst WITH GRANT OPTION;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO passer_by, PUBLIC;
         ALTER DEFAULT PRIVILEGES IN SCHEMA crewsnow_ops GRANT ALL ON TABLES TO passer_by, service",
    );
    run(&mut a, ROLL_UP);
    let privileges = |table: &str| {
        format!(
            "SELECT a.grantee::regrole || ' ' || a.privilege_type || a.is_grantable || c.name
             FROM (SELECT relacl AS acl, '' AS name FROM pg_class WHERE oid = {table}
                 UNION ALL SELECT attacl, attname FROM pg_attribute WHERE attrelid = {table})
                 AS c, aclexplode(c.acl) AS a
             WHERE a.grantee <> 'postgres'::regrole ORDER BY 1"
        )
    };
    let expected = rows(&mut a, &privileges("'event_log'::regclass"));
    assert!(expected.len() > 5, "{expected:?}");
    let days = "SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event_log'::regclass
        AND inhrelid <> 'crewsnow_ops.event_log_default'::regclass";
    let days = rows(&mut a, days);
    assert_eq!(days.len(), 3);
    for day in days {
        assert_eq!(rows(&mut a, &privileges(&day)), expected, "partition {day}");
    }
    run(&mut a, "GRANT USAGE ON SCHEMA crewsnow_ops TO passer_by");
    let reads = "SELECT bool_or(has_table_privilege('passer_by', inhrelid, 'SELECT'))
        FROM pg_inherits WHERE inhparent = 'event_log'::regclass";
    assert_eq!(value(&mut a, reads), "f");
}
