//! Rules that fail, and the others that go on.

use crate::alerts::tick;
use harness::{Cluster, explain, rows, run, value};
use postgres::Client;
use std::time::{Duration, Instant};

/// A server, a database, and only the rule `good`, of which one subject fires. The clock is the
/// real one: time limits need it.
fn server(name: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(name, "");
    let mut a = cluster.create_database("faults");
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET is_enabled = false");
    run(&mut a, "CREATE TABLE readings (id int, t text); INSERT INTO readings VALUES (1, 'x')");
    define(&mut a, "good", "SELECT 'g', 1, 'm'");
    (cluster, a)
}

/// Lets a minute pass: all that the tick compares with the clock becomes older.
fn pass_minute(a: &mut Client) {
    run(
        a,
        "ALTER TABLE crewsnow_ops.alert_rules DISABLE TRIGGER alert_rule_is_valid;
         UPDATE crewsnow_ops.alert_rules SET updated_at = updated_at - interval '1 minute';
         ALTER TABLE crewsnow_ops.alert_rules ENABLE ALWAYS TRIGGER alert_rule_is_valid;
         UPDATE crewsnow_ops.alert_evaluations
            SET evaluated_at = evaluated_at - interval '1 minute';
         UPDATE crewsnow_ops.alert_clock SET ticked_at = ticked_at - interval '1 minute'",
    );
}

/// A rule that fires above 0 and may run for 300 ms.
fn define(a: &mut Client, name: &str, query: &str) {
    run(
        a,
        &format!(
            "INSERT INTO crewsnow_ops.alert_rules
                (name, description, query, warning, time_limit)
             VALUES ('{name}', 'A test.', $rule$ {query} $rule$, 0, '300 ms')"
        ),
    );
}

const ENDS: &str =
    "SELECT e.rule, e.data_state, e.last_error FROM crewsnow_ops.alert_evaluations AS e
    WHERE e.rule <> 'good' ORDER BY e.rule";
const GOOD: &str = "SELECT e.evaluations FROM crewsnow_ops.alert_evaluations AS e
    WHERE e.rule = 'good' AND e.data_state = 'ok'";

/// A rule, its query, and the end of its evaluation.
const FAULTS: [(&str, &str, &str); 17] = [
    (
        "01 division",
        "SELECT 'x', 1 / (id - id), 'm' FROM public.readings",
        "error|22012 division_by_zero",
    ),
    ("02 subject", "SELECT NULL, 1, 'm'", "error|22004: a subject is NULL"),
    ("03 value", "SELECT 'x', NULL::int, 'm'", "no_data|NULL"),
    ("04 nan", "SELECT 'x', 'NaN'::float8, 'm'", "no_data|NULL"),
    ("05 infinity", "SELECT 'x', 'Infinity'::float8, NULL::text", "ok|NULL"),
    (
        "06 twice",
        "SELECT 'x', 1, 'm' FROM generate_series(1, 2)",
        "error|21000: two rows for one subject",
    ),
    (
        "07 million",
        "SELECT n::text, n, 'm' FROM generate_series(1, 1000000) AS n",
        "error|54000: more than 1000 subjects",
    ),
    (
        "08 sleep",
        "SELECT 'x', 1, 'm' FROM pg_sleep(60)",
        "error|57014: stopped after 300 ms, its time limit",
    ),
    (
        "09 catch",
        "SELECT 'x', 1, public.stubborn()",
        "error|57014: stopped after 300 ms, its time limit",
    ),
    (
        "10 write",
        "SELECT 'x', 1, public.act('INSERT INTO public.readings VALUES (2)')",
        "error|25006: cannot execute INSERT in a read-only transaction",
    ),
    (
        "11 rule",
        "SELECT 'x', 1, public.act('DELETE FROM crewsnow_ops.alert_rules')",
        "error|25006: cannot execute DELETE in a read-only transaction",
    ),
    (
        "12 table",
        "SELECT t, 1, public.act('DROP TABLE public.readings') FROM public.readings",
        "error|25006: cannot execute DROP TABLE in a read-only transaction",
    ),
    (
        "13 canceled",
        "SELECT 'x', 1, public.act('DO $$ BEGIN RAISE query_canceled; END $$')",
        "error|57014 query_canceled",
    ),
    (
        "14 itself",
        "SELECT 'x', 1, public.act($$ SELECT crewsnow_ops.test_rule('14 itself') $$)",
        "ok|NULL",
    ),
    ("15 number", "SELECT 'x', 1e400::numeric, 'm'", "error|22003 numeric_value_out_of_range"),
    (
        "16 long",
        "SELECT repeat('x', 1001), 1, 'm'",
        "error|22001: a subject has more than 1000 characters",
    ),
    ("17 nothing", "SELECT t, 1, 'm' FROM public.readings WHERE false", "no_data|NULL"),
];

#[test]
fn each_fault_is_recorded_and_the_other_rules_go_on() {
    let (_cluster, mut a) = server("alert_faults");
    run(
        &mut a,
        "CREATE FUNCTION act(what text) RETURNS text LANGUAGE plpgsql AS
            'BEGIN EXECUTE what; RETURN 1; END';
         CREATE FUNCTION stubborn() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_sleep(60); RETURN 'x';
            EXCEPTION WHEN query_canceled THEN RETURN 'survived'; END $$",
    );
    for (name, query, _) in FAULTS {
        define(&mut a, name, query);
    }
    for round in 0..3 {
        let begin = Instant::now();
        let told = tick(&mut a);
        assert!(told.starts_with("DONE|18|12|0|3|"), "{told}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        assert_eq!(value(&mut a, GOOD), (round + 1).to_string());
        pass_minute(&mut a);
    }
    for (told, (name, _, end)) in rows(&mut a, ENDS).iter().zip(FAULTS) {
        assert!(told.starts_with(&format!("{name}|{end}")), "{told}");
    }
    let states = "SELECT rule, value, message FROM crewsnow_ops.alert_states WHERE state = 'firing'
        ORDER BY rule";
    assert_eq!(rows(&mut a, states), ["05 infinity|Infinity|NULL", "14 itself|1|1", "good|1|m"]);
    let errors = "SELECT count(*), count(DISTINCT rule) FROM crewsnow_ops.alert_events
        WHERE event = 'error'";
    assert_eq!(rows(&mut a, errors), ["12|12"], "each fault is told once");
    assert_eq!(rows(&mut a, "SELECT * FROM readings"), ["1|x"]);
    let failing = "SELECT count(*) FROM crewsnow_ops.alerts WHERE status = 'ERROR'";
    assert_eq!(value(&mut a, failing), "12");
    // The stubborn function does not leave a cancel for the statements after it.
    assert_eq!(value(&mut a, "SELECT 1 FROM pg_sleep(1)"), "1");
}

/// The tables of a rule change after it was written; it fails, and works again by itself.
#[test]
fn a_query_that_was_broken_later_fails_and_recovers() {
    let (_cluster, mut a) = server("alert_broken");
    define(&mut a, "dropped", "SELECT t, id, 'm' FROM public.readings");
    run(&mut a, "CREATE TABLE widths (id int)");
    define(&mut a, "retyped", "SELECT 'x', id, 'm' FROM public.widths");
    assert!(tick(&mut a).starts_with("DONE|3|0|0|2|"));
    run(
        &mut a,
        "DROP TABLE readings; ALTER TABLE widths ALTER id TYPE text;
         INSERT INTO widths VALUES ('wide')",
    );
    pass_minute(&mut a);
    assert!(tick(&mut a).starts_with("DONE|3|2|0|2|"), "an alert stays while its rule fails");
    let told = rows(&mut a, ENDS);
    assert!(told[0].starts_with("dropped|error|42P01: relation"), "{told:?}");
    assert!(told[1].starts_with("retyped|error|22P02 invalid_text_representation"), "{told:?}");
    assert_eq!(value(&mut a, GOOD), "2");
    // It can be disabled, and its threshold changed, while its query is broken.
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET critical = 5 WHERE name = 'dropped'");
    run(
        &mut a,
        "CREATE TABLE readings (id int, t text); INSERT INTO readings VALUES (7, 'x');
         TRUNCATE widths",
    );
    pass_minute(&mut a);
    assert!(tick(&mut a).starts_with("DONE|3|0|0|2|"));
    let cleared = "SELECT rule FROM crewsnow_ops.alert_events WHERE event = 'error_cleared'
        ORDER BY rule";
    assert_eq!(rows(&mut a, cleared), ["dropped", "retyped"]);
    let severity = "SELECT severity FROM crewsnow_ops.alert_states WHERE rule = 'dropped'";
    assert_eq!(value(&mut a, severity), "critical");
    run(&mut a, "DROP TABLE readings");
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET is_enabled = false WHERE name = 'dropped'");
    run(&mut a, "DELETE FROM crewsnow_ops.alert_rules WHERE name = 'dropped'");
}

#[test]
fn a_locked_table_holds_up_its_own_rules_only() {
    let (cluster, mut a) = server("alert_locked");
    define(&mut a, "locked", "SELECT t, id, 'm' FROM public.readings");
    run(&mut a, "CREATE ROLE app; CREATE TABLE apps (id int); ALTER TABLE apps OWNER TO app");
    define(&mut a, "locked too", "SELECT 'x', count(*), 'm' FROM public.apps");
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET time_limit = '5 s'");
    let mut b = cluster.connect("faults");
    run(&mut b, "BEGIN; LOCK TABLE readings, apps");
    let begin = Instant::now();
    assert!(tick(&mut a).starts_with("DONE|3|2|0|1|"));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    let error = "55P03: canceling statement due to lock timeout";
    assert_eq!(
        rows(&mut a, ENDS),
        [format!("locked|error|{error}"), format!("locked too|error|{error}")]
    );
    assert_eq!(value(&mut a, GOOD), "1");
    run(&mut b, "COMMIT");
    pass_minute(&mut a);
    assert!(tick(&mut a).starts_with("DONE|3|0|0|"));
}

/// Two functions that catch each cancel. Each ends its session three times and is spared then; the
/// other rules miss some ticks and no more.
#[test]
fn rules_that_end_their_session_are_spared_in_the_end() {
    let (cluster, mut a) = server("alert_deaf");
    run(
        &mut a,
        "CREATE FUNCTION deaf() RETURNS text LANGUAGE plpgsql AS $$ BEGIN LOOP
            BEGIN PERFORM pg_sleep(60);
            EXCEPTION WHEN query_canceled THEN NULL; END;
         END LOOP; END $$",
    );
    define(&mut a, "deaf 1", "SELECT 'x', 1, public.deaf()");
    define(&mut a, "deaf 2", "SELECT 'x', 1, public.deaf()");
    let (mut died, mut missed, mut longest) = (0, 0, 0);
    let mut good = 0;
    for _ in 0..50 {
        pass_minute(&mut a);
        let mut client = cluster.connect("faults");
        let begin = Instant::now();
        if let Err(error) = client.batch_execute("SELECT crewsnow_ops.tick()") {
            let told = explain(&error);
            let is_ended = told.starts_with("57P01") || told == "connection closed";
            assert!(is_ended, "only the end of the session stops a tick: {told}");
            died += 1;
        }
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        let now: i64 = rows(&mut a, GOOD).first().map_or(0, |count| count.parse().expect("it"));
        missed = if now > good { 0 } else { missed + 1 };
        longest = longest.max(missed);
        good = now;
    }
    assert_eq!(died, 6);
    assert!(longest <= 4, "no evaluation of the good rule in {longest} ticks");
    let ended = "SELECT rule, sessions_ended, last_error FROM crewsnow_ops.alert_evaluations
        WHERE sessions_ended > 0 ORDER BY rule";
    let error = "the session ended while its query ran";
    assert_eq!(rows(&mut a, ended), [format!("deaf 1|3|{error}"), format!("deaf 2|3|{error}")]);
    // A change of the rule revives it.
    let mended = "UPDATE crewsnow_ops.alert_rules SET query = $$ SELECT 'x', 1, 'm' $$
        WHERE name = 'deaf 1'";
    run(&mut a, mended);
    pass_minute(&mut a);
    assert!(tick(&mut a).starts_with("DONE|2|0|0|"));
    assert_eq!(rows(&mut a, ended), [format!("deaf 2|3|{error}")]);
}

/// A refused query, its SQLSTATE, and a part of the message and the detail.
const REFUSED: [(&str, &str, &str); 24] = [
    ("", "42601", "one SELECT"),
    ("  -- nothing", "42601", "one SELECT"),
    ("SELECT 'x', 1, 'm'; SELECT 2", "42601", "one SELECT"),
    ("SELECT 'x', 1,\n  FROM public.readings", "42601", "Line 2, column 3: FROM public.readings"),
    ("SELECT 'x', 1 'm' 'n'", "42601", "Line 1, column 15"),
    ("SELECT t, wait, 'm'\nFROM public.readings", "42703", "Line 1, column 11: SELECT t, wait"),
    ("\n\nSELECT 'é', r.waits, 'm'\nFROM public.readings AS r", "42703", "Line 3, column 13"),
    ("SELECT 'x', 1, 'm'\nFROM readings", "42P01", "Line 2, column 6: FROM readings"),
    ("SELECT 'x', 1, 'm'\nFROM\n  public.missing", "42P01", "Line 3, column 3: public.missing"),
    ("SELECT 'x', missing(1), 'm'", "42883", "Line 1, column 13"),
    ("SELECT 'x', $1::int, 'm'", "42P02", "Line 1, column 13"),
    ("SELECT 'x', id, 'm' FROM public.readings GROUP BY t", "42803", "Line 1, column 13"),
    ("SELECT 'x', 1", "42804", "not ?column? (text), ?column? (integer)"),
    ("SELECT 'x', 1, 'm', 2", "42804", "not ?column? (text)"),
    ("SELECT 'x', 'high', 'm'", "42804", "value is a number"),
    ("SELECT 'x', true, 'm'", "42804", "(boolean)"),
    ("SELECT", "42804", "no column"),
    ("DELETE FROM public.readings RETURNING t, id, t", "42601", ""),
    ("TRUNCATE public.readings", "42601", ""),
    ("SHOW role", "42601", ""),
    ("EXPLAIN SELECT 1", "42601", ""),
    ("COPY public.readings TO PROGRAM 'true'", "42601", ""),
    ("WITH d AS (DELETE FROM public.readings RETURNING t) SELECT t, 1, 'm' FROM d", "0A000", ""),
    ("SELECT 'x', 1, 'm') AS r; DROP TABLE public.readings; --", "42601", "Line 1, column 19"),
];

#[test]
fn a_query_that_cannot_work_is_refused_with_the_place() {
    let (_cluster, mut a) = server("alert_refused");
    run(&mut a, "CREATE ROLE clerk; SELECT crewsnow_ops.grant_access('clerk', 'admin')");
    run(&mut a, "GRANT SELECT ON readings TO clerk");
    for role in ["clerk", "postgres"] {
        run(&mut a, &format!("SET ROLE {role}"));
        for (query, code, part) in REFUSED {
            let call = "SELECT crewsnow_ops.create_alert_rule('bad', $1, p_warning => 0)";
            let error =
                explain(&a.query(call, &[&query]).err().unwrap_or_else(|| panic!("{query}")));
            let error = error.replace("\\n", "\n");
            assert!(error.starts_with(code) && error.contains(part), "{role}: {query}\n{error}");
        }
    }
    run(&mut a, "RESET ROLE");
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM crewsnow_ops.alert_rules WHERE name = 'bad'"),
        "0"
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM readings"), "1");
}

/// Sound queries in forms that the wrapping must not break.
const SOUND: [&str; 11] = [
    "SELECT 'x', 1, 'm';",
    "SELECT 'x', 1, 'm' -- a comment",
    "SELECT 'x', 1, 'm'; -- a comment",
    "/* one */ SELECT 'x', 1, 'm' /* two */ ;\n\n",
    "-- first\nSELECT 'x', 1, 'm'",
    "VALUES ('x', 1, 'm')",
    "WITH w AS (SELECT 1 AS n) SELECT 'x', n, 'm' FROM w",
    "SELECT t, id, 'm' FROM public.readings ORDER BY id DESC LIMIT 5",
    "SELECT t, id, 'm' FROM public.readings OFFSET 0 ROWS FETCH FIRST 5 ROWS ONLY",
    "SELECT t::varchar(9), id::numeric(9, 2), t::name FROM public.readings",
    "SELECT 'a', 1, 'm' UNION ALL SELECT 'b', 2, 'm' ORDER BY 1 LIMIT 1",
];

#[test]
fn sound_queries_of_each_form_work() {
    let (_cluster, mut a) = server("alert_sound");
    for (i, query) in SOUND.iter().enumerate() {
        let call = "SELECT crewsnow_ops.create_alert_rule($1, $2, p_warning => 0)";
        let told = a.query_one(call, &[&format!("sound {i}"), query]);
        let told: String = told.unwrap_or_else(|e| panic!("{query}: {}", explain(&e))).get(0);
        assert!(
            told.ends_with("created: 1 subjects now, 0 critical, 1 warning, 0 without data"),
            "{told}"
        );
    }
    assert!(tick(&mut a).starts_with("DONE|12|0|0|12|"));
}

#[test]
fn ten_thousand_subjects_take_less_than_ten_seconds() {
    let (_cluster, mut a) = server("alert_many");
    define(&mut a, "many", "SELECT 'subject ' || n, n, 'm' FROM generate_series(1, 10000) AS n");
    run(&mut a, "INSERT INTO crewsnow_ops.channels (name, kind) VALUES ('ops', 'slack')");
    run(
        &mut a,
        "UPDATE crewsnow_ops.alert_rules SET max_subjects = 10000, time_limit = '10 s'
         WHERE name = 'many'",
    );
    for _ in 0..3 {
        pass_minute(&mut a);
        let begin = Instant::now();
        assert!(tick(&mut a).starts_with("DONE|2|0|0|10001|"));
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET warning = 1000000 WHERE name = 'many'");
    pass_minute(&mut a);
    let begin = Instant::now();
    assert!(tick(&mut a).starts_with("DONE|2|0|0|1|"));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
