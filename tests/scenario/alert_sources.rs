//! Sources of the built-in rules: they run nobody's code.

use harness::{Cluster, rows, run};
use postgres::Client;

/// The verdicts of a rule now, with their subjects.
fn verdicts(a: &mut Client, rule: &str) -> Vec<String> {
    rows(a, &format!("SELECT verdict, subject FROM crewsnow_ops.test_rule('{rule}')"))
}

/// Each rule whose verdict is not wanted, with the message.
fn unwanted(a: &mut Client) -> Vec<String> {
    rows(
        a,
        "SELECT t.verdict, r.name, t.subject, t.message FROM crewsnow_ops.alert_rules AS r,
            LATERAL crewsnow_ops.test_rule(r.name) AS t
         WHERE t.verdict NOT IN ('OK', 'NO DATA')",
    )
}

/// The rule of pg_net runs as a superuser: a view of that name would be a way to its rights.
#[test]
fn the_rule_of_pg_net_runs_no_code_of_users() {
    let cluster = Cluster::start("sources_net", "");
    let mut a = cluster.create_database("net");
    run(
        &mut a,
        "CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE net TO mallory;
         CREATE TABLE trap (caller text)",
    );
    let mut mallory = cluster.connect_as("mallory", "net");
    run(
        &mut mallory,
        "CREATE SCHEMA net;
         CREATE FUNCTION net.probe() RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
            RAISE EXCEPTION 'ran as %', current_user;
         END $$;
         CREATE VIEW net._http_response AS
            SELECT 404 AS status_code, false AS timed_out, net.probe() AS error_msg,
                clock_timestamp() AS created",
    );
    let found = "SELECT count(*), sum(failed) FROM crewsnow_ops.http_not_landed()";
    assert_eq!(rows(&mut a, found), ["0|NULL"]);
    assert_eq!(verdicts(&mut a, "http-not-landed"), ["NO DATA|NULL"]);

    // A table of theirs can have a type whose cast is their code.
    run(
        &mut mallory,
        "DROP VIEW net._http_response;
         CREATE TYPE net.status AS (code int);
         CREATE FUNCTION net.code(net.status) RETURNS int LANGUAGE plpgsql AS $$
         BEGIN
            RAISE EXCEPTION 'ran as %', current_user;
         END $$;
         CREATE CAST (net.status AS int) WITH FUNCTION net.code(net.status) AS IMPLICIT;
         CREATE TABLE net._http_response (status_code net.status, timed_out boolean,
            error_msg text, created timestamptz);
         INSERT INTO net._http_response VALUES (ROW(404), false, NULL, clock_timestamp())",
    );
    assert_eq!(verdicts(&mut a, "http-not-landed"), ["NO DATA|NULL"]);
    // An index of that name is no table of pg_net, and no fault of the rule.
    run(
        &mut mallory,
        "DROP TABLE net._http_response; CREATE TABLE net.other (n int);
         CREATE INDEX _http_response ON net.other (n)",
    );
    assert!(unwanted(&mut a).is_empty(), "{:?}", unwanted(&mut a));

    run(
        &mut a,
        "DROP SCHEMA net CASCADE; CREATE SCHEMA net;
         CREATE TABLE net._http_response (status_code int, timed_out boolean, error_msg text,
            created timestamptz);
         INSERT INTO net._http_response VALUES (404, false, NULL, clock_timestamp())",
    );
    assert_eq!(verdicts(&mut a, "http-not-landed"), ["WARNING|pg_net"]);
}
