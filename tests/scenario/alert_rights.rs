//! A rule's query has the rights of its author, and no code gains more by a rule.

use crate::alerts::tick;
use harness::{Cluster, explain, rows, run, sqlstate, value};
use postgres::Client;

/// Roles of each level. mallory may write rules and has a schema of her own.
const ROLES: &str = "
    CREATE ROLE mallory LOGIN; CREATE ROLE on_call LOGIN; CREATE ROLE looker LOGIN;
    SELECT crewsnow_ops.grant_access('mallory', 'admin');
    SELECT crewsnow_ops.grant_access('on_call', 'operator');
    SELECT crewsnow_ops.grant_access('looker', 'reader');
    CREATE SCHEMA hers AUTHORIZATION mallory;
    CREATE TABLE secret (id int, word text); INSERT INTO secret VALUES (1, 'hunter2');
    UPDATE crewsnow_ops.alert_rules SET is_enabled = false";

fn server(name: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(name, "");
    let mut a = cluster.create_database("rights");
    run(&mut a, ROLES);
    (cluster, a)
}

/// A rule that fires for each row, as the current role of the session.
fn define(a: &mut Client, name: &str, query: &str) {
    run(
        a,
        &format!(
            "INSERT INTO crewsnow_ops.alert_rules (name, description, query, warning)
             VALUES ('{name}', 'A test.', $rule$ {query} $rule$, 0)"
        ),
    );
}

fn as_mallory(a: &mut Client, work: impl FnOnce(&mut Client)) {
    run(a, "SET ROLE mallory");
    work(a);
    run(a, "RESET ROLE");
}

/// The role that a session of a client has now, as the server sees and shows it.
fn identity(a: &mut Client) -> String {
    rows(a, "SELECT session_user, current_user, current_setting('role')").join("")
}

/// Each statement with which code in a rule might leave its role or leave a trace, and its end.
const ATTEMPTS: [(&str, &str, &str); 22] = [
    ("reset role", "RESET ROLE", "42501"),
    ("set role", "SET ROLE postgres", "42501"),
    ("session", "SET SESSION AUTHORIZATION DEFAULT", "42501"),
    ("set_config role", "SELECT set_config('role', 'postgres', false)", "42501"),
    ("set_config session", "SELECT set_config('session_authorization', 'postgres', true)", "42501"),
    ("read-write", "SELECT set_config('transaction_read_only', 'off', true)", "25001"),
    ("set read-write", "SET TRANSACTION READ WRITE", "25001"),
    ("superuser", "ALTER ROLE mallory SUPERUSER", "25006"),
    ("insert", "INSERT INTO hers.attempts VALUES ('x', 'y')", "25006"),
    ("insert event", "INSERT INTO crewsnow_ops.alert_events VALUES (1)", "25006"),
    ("nextval", "SELECT nextval('hers.numbers')", "25006"),
    ("setval", "SELECT setval('hers.numbers', 77)", "25006"),
    ("program", "COPY (SELECT 1) TO PROGRAM 'true'", "42501"),
    ("file", "SELECT pg_read_file('postgresql.conf')", "42501"),
    ("temporary", "CREATE TEMPORARY TABLE left_behind (i int)", "25006"),
    ("drop", "DROP TABLE hers.attempts", "25006"),
    ("drop own rule", "DELETE FROM crewsnow_ops.alert_rules", "25006"),
    ("secret", "SELECT word FROM public.secret", "42501"),
    ("tick", "SELECT crewsnow_ops.tick()", "25006"),
    ("listen", "LISTEN left_behind", "42501"),
    ("notify", "NOTIFY rights, 'from a rule'", "done"),
    ("advisory", "SELECT pg_advisory_lock(4711)", "done"),
];

#[test]
fn code_in_a_rule_cannot_leave_its_role_nor_leave_a_trace() {
    let (cluster, mut a) = server("alert_attempts");
    let mut listener = cluster.connect("rights");
    run(&mut listener, "LISTEN rights");
    as_mallory(&mut a, |a| {
        run(
            a,
            "CREATE TABLE hers.attempts (name text, sql text); CREATE SEQUENCE hers.numbers;
             CREATE FUNCTION hers.attempt(sql text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
                EXECUTE sql; RETURN 'done';
             EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;
             GRANT USAGE ON SCHEMA hers TO PUBLIC; GRANT SELECT ON hers.attempts TO PUBLIC",
        );
        for (name, sql, _) in ATTEMPTS {
            let row = [name.to_owned(), sql.to_owned()];
            a.execute("INSERT INTO hers.attempts VALUES ($1, $2)", &[&row[0], &row[1]])
                .expect("an attempt");
        }
        define(a, "climb", "SELECT name, 1, hers.attempt(sql) FROM hers.attempts");
    });
    let expected: Vec<String> =
        ATTEMPTS.iter().map(|(name, _, end)| format!("{name}|{end}")).collect();
    // By an operator who logged in, and by a superuser who has set the role.
    let mut on_call = cluster.connect_as("on_call", "rights");
    let tested = "SELECT t.subject, t.message FROM hers.attempts AS a
        JOIN crewsnow_ops.test_rule('climb') AS t ON t.subject = a.name ORDER BY a.ctid";
    assert_eq!(rows(&mut on_call, tested), expected);
    let before = identity(&mut on_call);
    assert_eq!(tick(&mut on_call), "DONE|1|0|0|22|1|NULL");
    assert_eq!(identity(&mut on_call), before);
    let told = "SELECT s.subject, s.message FROM hers.attempts AS a
        JOIN crewsnow_ops.alert_states AS s ON s.subject = a.name ORDER BY a.ctid";
    assert_eq!(rows(&mut a, told), expected);
    run(&mut a, "SET ROLE on_call");
    let before = identity(&mut a);
    assert_eq!(rows(&mut a, tested), expected);
    assert_eq!(identity(&mut a), before);
    // As the session's superuser: the rule still has its author's rights.
    run(&mut a, "RESET ROLE");
    assert_eq!(rows(&mut a, tested), expected);
    assert_eq!(identity(&mut a), "postgres|postgres|none");
    let traces = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
        (SELECT count(*) FROM pg_class WHERE relname = 'left_behind'),
        (SELECT is_called FROM hers.numbers), (SELECT count(*) FROM hers.attempts),
        (SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory')";
    assert_eq!(rows(&mut a, traces), ["0|0|f|22|f"]);
    run(&mut a, "NOTIFY rights, 'the last'");
    use postgres::fallible_iterator::FallibleIterator;
    let timeout = std::time::Duration::from_secs(5);
    let heard = listener.notifications().timeout_iter(timeout).next().expect("a notification");
    assert_eq!(heard.expect("one comes").payload(), "the last");
}

/// Rules of a superuser over objects of mallory, whose code looks for a superuser's rights.
const BAITS: [(&str, &str); 9] = [
    ("function", "SELECT 'x', 1, hers.climb('x')"),
    ("folded", "SELECT 'x', 1, hers.folded('x')"),
    ("view", "SELECT 'x', 1, who FROM hers.seen"),
    ("aggregate", "SELECT 'x', 1, hers.gather(id) FROM (VALUES (1)) AS v (id)"),
    ("window", "SELECT 'x', 1, hers.gather(id) OVER () FROM (VALUES (1)) AS v (id)"),
    ("operator", "SELECT 'x', 1, 'x'::text OPERATOR(hers.@@@) 'y'::text"),
    ("any", "SELECT 'x', 1, 'm' WHERE 'x'::text OPERATOR(hers.<<<) ANY (ARRAY['y'])"),
    ("index", "SELECT 'x', 1, 'm' FROM public.over_hers"),
    ("domain", "SELECT 'x', v.id::hers.bait, 'm' FROM (VALUES (1)) AS v (id)"),
];

#[test]
fn a_superusers_rule_runs_no_code_of_another_owner_as_superuser() {
    let (cluster, mut a) = server("alert_baits");
    let flag = cluster.scratch().join("climbed");
    as_mallory(&mut a, |a| {
        run(
            a,
            &format!(
                "CREATE FUNCTION hers.climb(what text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
                    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                        COPY (SELECT 1) TO PROGRAM 'touch {flag}';
                    END IF; RETURN current_user; END $$;
                 CREATE FUNCTION hers.folded(what text) RETURNS text IMMUTABLE LANGUAGE plpgsql
                    AS 'BEGIN RETURN hers.climb(what); END';
                 CREATE FUNCTION hers.step(state text, id int) RETURNS text LANGUAGE plpgsql
                    AS 'BEGIN RETURN hers.climb(state); END';
                 CREATE AGGREGATE hers.gather(int) (SFUNC = hers.step, STYPE = text);
                 CREATE FUNCTION hers.both(a text, b text) RETURNS text LANGUAGE plpgsql
                    AS 'BEGIN RETURN hers.climb(a); END';
                 CREATE OPERATOR hers.@@@ (FUNCTION = hers.both, LEFTARG = text, RIGHTARG = text);
                 CREATE FUNCTION hers.less(a text, b text) RETURNS boolean LANGUAGE plpgsql
                    AS 'BEGIN RETURN hers.climb(a) IS NOT NULL; END';
                 CREATE OPERATOR hers.<<< (FUNCTION = hers.less, LEFTARG = text, RIGHTARG = text);
                 CREATE DOMAIN hers.bait AS int CHECK (hers.climb(VALUE::text) IS NOT NULL);
                 CREATE VIEW hers.seen AS SELECT hers.climb('x') AS who;
                 CREATE TABLE hers.things (id int, t text); INSERT INTO hers.things VALUES (1, 'x');
                 CREATE INDEX ON hers.things ((t || hers.folded('x')))",
                flag = flag.display()
            ),
        );
    });
    run(
        &mut a,
        "CREATE VIEW over_hers AS SELECT id FROM hers.things;
         GRANT SELECT ON over_hers TO mallory; GRANT USAGE ON SCHEMA public TO mallory",
    );
    for (name, query) in BAITS {
        let made = a.query_one(
            "SELECT crewsnow_ops.create_alert_rule($1, $2, p_warning => 0)",
            &[&name, &query],
        );
        let made: String = made.unwrap_or_else(|e| panic!("{name}: {}", explain(&e))).get(0);
        assert!(made.contains("created: 1 subjects now"), "{name}: {made}");
        assert!(!flag.exists(), "{name}: code of mallory ran as a superuser");
    }
    let mut on_call = cluster.connect_as("on_call", "rights");
    assert!(tick(&mut on_call).starts_with("DONE|9|0|0|9|"));
    assert!(!flag.exists(), "code of mallory ran as a superuser in a tick");
    let ran = "SELECT rule FROM crewsnow_ops.alert_states WHERE message = 'mallory' ORDER BY rule";
    assert_eq!(
        rows(&mut a, ran),
        ["aggregate", "folded", "function", "operator", "view", "window"],
        "they ran, as mallory"
    );
    // A text that runs as a query names its tables only then.
    let dynamic = "SELECT crewsnow_ops.create_alert_rule('dynamic', $$
        SELECT 'x', 1, query_to_xml('SELECT 1', true, true, '')::text $$, p_warning => 0)";
    assert_eq!(sqlstate(&mut a, dynamic), "0A000");
    // Objects of two owners: neither may run with the other's rights.
    run(
        &mut a,
        "CREATE ROLE other; CREATE TABLE others (id int); ALTER TABLE others OWNER TO other",
    );
    let two = "SELECT crewsnow_ops.create_alert_rule('two', $$ SELECT 'x', o.id, t.t
        FROM public.others AS o, hers.things AS t $$, p_warning => 0)";
    let refused = explain(&a.batch_execute(two).expect_err("two owners"));
    assert!(refused.starts_with("42501") && refused.contains("mallory, other"), "{refused}");
}

/// Queries whose literals the server checks while it analyses them.
const LITERALS: [&str; 5] = [
    "SELECT 'x', 1, ('{1}'::hers.bait[])::text",
    "SELECT 'x', 1, ('(1)'::hers.pair)::text",
    "SELECT 'x', 1, ('(1)'::public.around)::text",
    "SELECT 'x', 1, ('{a}'::hers.reader[])::text",
    "SELECT 'x', 1, hers.first('(1)')",
];

/// Queries that make values of such types when they run.
const MADE: [(&str, &str); 5] = [
    ("cast", "SELECT 'x', 1, (('{1}'::text)::hers.bait[])::text"),
    ("columns", "SELECT 'x', 1, c.a::text FROM json_to_record('{\"a\": 1}') AS c (a hers.bait)"),
    ("composite", "SELECT 'x', 1, (('(1)'::text)::public.around)::text"),
    ("json", "SELECT 'x', 1, (json_populate_record(NULL::hers.pair, '{\"a\": 1}')).a::text"),
    (
        "table",
        "SELECT 'x', 1, t.a::text FROM XMLTABLE('/r' PASSING XMLPARSE(DOCUMENT '<r>1</r>')
         COLUMNS a hers.bait PATH '.') AS t",
    ),
];

#[test]
fn a_superusers_rule_checks_no_domain_of_another_owner_as_superuser() {
    let (cluster, mut a) = server("alert_domains");
    let flag = cluster.scratch().join("climbed");
    as_mallory(&mut a, |a| {
        run(
            a,
            &format!(
                "CREATE FUNCTION hers.climb(what int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                        COPY (SELECT 1) TO PROGRAM 'touch {}';
                    END IF; RETURN true; END $$;
                 CREATE FUNCTION hers.reads(what text) RETURNS boolean LANGUAGE sql AS
                    $$ SELECT pg_read_file('PG_VERSION') <> '' $$;
                 CREATE DOMAIN hers.bait AS int CHECK (hers.climb(VALUE));
                 CREATE DOMAIN hers.reader AS text CHECK (hers.reads(VALUE));
                 CREATE TYPE hers.pair AS (a hers.bait);
                 CREATE FUNCTION hers.first(p hers.pair) RETURNS text LANGUAGE sql
                    AS 'SELECT p.a::text'",
                flag.display()
            ),
        );
    });
    run(
        &mut a,
        "CREATE TYPE around AS (a hers.bait);
         CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100)",
    );
    let create = "SELECT crewsnow_ops.create_alert_rule($1, $2, p_warning => 0)";
    for query in LITERALS {
        let error = a.query_one(create, &[&"literal", &query]).expect_err(query);
        let shown = explain(&error);
        let is_refused = shown.starts_with("0A000") && shown.contains("a literal of a domain");
        assert!(is_refused, "{query}: {shown}");
        assert!(!flag.exists(), "{query}: code of mallory ran as a superuser");
    }
    for (name, query) in MADE {
        let made = a.query_one(create, &[&name, &query]);
        let made: String = made.unwrap_or_else(|e| panic!("{name}: {}", explain(&e))).get(0);
        assert!(made.contains("created: 1 subjects now"), "{name}: {made}");
        assert!(!flag.exists(), "{name}: code of mallory ran as a superuser");
    }
    assert!(tick(&mut a).starts_with("DONE|5|0|0|5|"));
    assert!(!flag.exists(), "code of mallory ran as a superuser in a tick");
    // A constraint of built-in functions alone runs nothing that could gain.
    define(&mut a, "plain", "SELECT 'x', 1, ('{50}'::public.percent[])::text");
}

#[test]
fn a_rule_reads_what_its_author_may_read() {
    let (_cluster, mut a) = server("alert_authors");
    let query = "SELECT word, id, 'm' FROM public.secret";
    let create =
        format!("SELECT crewsnow_ops.create_alert_rule('peek', $$ {query} $$, p_warning => 0)");
    run(&mut a, "SET ROLE mallory");
    assert_eq!(sqlstate(&mut a, &create), "42501");
    for author in ["postgres", "on_call"] {
        let insert = format!(
            "INSERT INTO crewsnow_ops.alert_rules (name, description, query, warning, defined_by)
             VALUES ('peek', 'x', $$ {query} $$, 0, '{author}')"
        );
        assert_eq!(sqlstate(&mut a, &insert), "42501", "{author}");
    }
    define(&mut a, "honest", "SELECT 'x', 1, 'm'");
    for change in ["'postgres'", "'on_call'"] {
        let change = format!("UPDATE crewsnow_ops.alert_rules SET defined_by = {change}");
        assert_eq!(sqlstate(&mut a, &change), "42501");
    }
    let gone = "UPDATE crewsnow_ops.alert_rules SET defined_by = 'nobody' WHERE name = 'honest'";
    assert_eq!(sqlstate(&mut a, gone), "42704");
    // A privilege that she had when she wrote the rule, and lost.
    run(&mut a, "RESET ROLE; GRANT SELECT ON secret TO mallory; SET ROLE mallory");
    assert!(value(&mut a, &create).contains("1 subjects now"));
    run(&mut a, "RESET ROLE; REVOKE SELECT ON secret FROM mallory");
    assert!(tick(&mut a).starts_with("DONE|2|1|0|1|"));
    let error = "SELECT last_error FROM crewsnow_ops.alert_evaluations WHERE rule = 'peek'";
    assert_eq!(value(&mut a, error), "42501: permission denied for table secret");
    let states = "SELECT rule, subject FROM crewsnow_ops.alert_states";
    assert_eq!(rows(&mut a, states), ["honest|x"]);
}

/// Who only changes a threshold does not lend the query his own rights.
#[test]
fn a_change_of_a_threshold_keeps_the_author() {
    let (_cluster, mut a) = server("alert_keeps");
    let peek =
        "SELECT query_to_xml('SELECT word FROM public.secret', false, true, '')::text, 1, 'm'";
    as_mallory(&mut a, |a| define(a, "peek", peek));
    assert!(tick(&mut a).starts_with("DONE|1|1|"));
    let author = "SELECT defined_by FROM crewsnow_ops.alert_rules WHERE name = 'peek'";
    for change in ["critical = 9", "is_enabled = false", "is_enabled = true", "query = query"] {
        run(&mut a, &format!("UPDATE crewsnow_ops.alert_rules SET {change} WHERE name = 'peek'"));
        assert_eq!(value(&mut a, author), "mallory", "{change}");
    }
    let told = rows(&mut a, "SELECT verdict, message FROM crewsnow_ops.test_rule('peek')");
    assert!(told[0].starts_with("ERROR|42501"), "{told:?}");
    // Who writes the query is its author.
    run(
        &mut a,
        "CREATE ROLE bert; SELECT crewsnow_ops.grant_access('bert', 'admin'); SET ROLE bert",
    );
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET query = query || ' ' WHERE name = 'peek'");
    assert_eq!(value(&mut a, author), "bert");
}

#[test]
fn row_level_security_hides_no_row_silently() {
    let (_cluster, mut a) = server("alert_rls");
    run(
        &mut a,
        "CREATE ROLE app; CREATE TABLE letters (id int, owner text);
         INSERT INTO letters SELECT n, CASE n WHEN 1 THEN 'mallory' ELSE 'x' END
            FROM generate_series(1, 10) AS n;
         GRANT SELECT ON letters TO mallory; ALTER TABLE letters OWNER TO app",
    );
    let query = "SELECT 'letters', count(*), 'm' FROM public.letters";
    as_mallory(&mut a, |a| define(a, "hers", query));
    run(
        &mut a,
        "ALTER TABLE letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON letters USING (owner = current_user)",
    );
    let create =
        format!("SELECT crewsnow_ops.create_alert_rule('new', $$ {query} $$, p_warning => 0)");
    as_mallory(&mut a, |a| assert_eq!(sqlstate(a, &create), "42501"));
    define(&mut a, "all", query);
    assert!(tick(&mut a).starts_with("DONE|2|1|0|1|"));
    let values = "SELECT rule, value FROM crewsnow_ops.alert_states";
    assert_eq!(rows(&mut a, values), ["all|10"], "a superuser's rule sees each row");
    let error = "SELECT last_error FROM crewsnow_ops.alert_evaluations WHERE rule = 'hers'";
    assert_eq!(
        value(&mut a, error),
        "42501: query would be affected by row-level security policy for table \"letters\""
    );
}

#[test]
fn errors_of_a_rule_show_no_data() {
    let (_cluster, mut a) = server("alert_leaks");
    run(&mut a, "GRANT SELECT ON secret TO mallory; CREATE TABLE ids (id text)");
    run(
        &mut a,
        "CREATE FUNCTION tell(word text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'the word is %', word USING DETAIL = word, HINT = word,
                ERRCODE = '42P01'; END $$;
         CREATE FUNCTION run(word text) RETURNS text LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE word; END $$",
    );
    as_mallory(&mut a, |a| {
        define(a, "cast", "SELECT 'x', word::int, 'm' FROM public.secret");
        define(a, "raise", "SELECT 'x', 1, public.tell(word) FROM public.secret");
        define(a, "execute", "SELECT 'x', 1, public.run(word) FROM public.secret");
        define(a, "date", "SELECT word::date::text, 1, 'm' FROM public.secret");
        define(a, "regclass", "SELECT word::regclass::text, 1, 'm' FROM public.secret");
        define(a, "double", "SELECT word, 1, 'm' FROM public.secret, generate_series(1, 2)");
    });
    define(&mut a, "superuser", "SELECT 'x', 1, public.tell(word) FROM public.secret");
    assert_eq!(tick(&mut a), "DONE|7|7|0|0|0|NULL");
    let errors = "SELECT rule, split_part(last_error, ' (message withheld', 1)
        FROM crewsnow_ops.alert_evaluations ORDER BY rule";
    assert_eq!(
        rows(&mut a, errors),
        [
            "cast|22P02 invalid_text_representation",
            "date|22007 invalid_datetime_format",
            "double|21000: two rows for one subject",
            "execute|42601 syntax_error",
            "raise|42P01 undefined_table",
            "regclass|42P01 undefined_table",
            "superuser|42P01 undefined_table",
        ]
    );
    for table in ["alert_events", "alert_evaluations", "alert_states", "alert_groups"] {
        let all = rows(&mut a, &format!("SELECT t::text FROM crewsnow_ops.{table} AS t"));
        assert!(!all.iter().any(|row| row.contains("hunter2")), "{table}: {all:?}");
    }
}

#[test]
fn each_level_has_its_acts_and_nobody_changes_the_history() {
    let (cluster, mut a) = server("alert_levels");
    define(&mut a, "fires", "SELECT 'x', 1, 'm'");
    assert!(tick(&mut a).starts_with("DONE|1|0|0|1|1|"));
    let operate = [
        "SELECT crewsnow_ops.tick()",
        "SELECT crewsnow_ops.silence('fires', 'x', now() + interval '1 hour')",
        "SELECT crewsnow_ops.end_silence(1)",
        "SELECT crewsnow_ops.acknowledge_alert('fires')",
        "SELECT crewsnow_ops.simulate_alert('fires')",
        "SELECT * FROM crewsnow_ops.test_rule('fires')",
        "SELECT * FROM crewsnow_ops.replay_rule('fires', now() - interval '1 hour', now())",
    ];
    let administer = [
        "SELECT crewsnow_ops.create_alert_rule('x', $$ SELECT 'x', 1, 'm' $$, p_warning => 0)",
        "SELECT crewsnow_ops.adopt_alerts()",
        "UPDATE crewsnow_ops.alert_rules SET is_enabled = false",
        "DELETE FROM crewsnow_ops.alert_rules",
    ];
    let mut looker = cluster.connect_as("looker", "rights");
    let mut on_call = cluster.connect_as("on_call", "rights");
    let mut mallory = cluster.connect_as("mallory", "rights");
    for call in operate.iter().chain(&administer) {
        assert_eq!(sqlstate(&mut looker, call), "42501", "{call}");
    }
    for call in administer {
        assert_eq!(sqlstate(&mut on_call, call), "42501", "{call}");
    }
    // Replay is refused for another reason: the rule reads the present.
    for call in &operate[..6] {
        run(&mut on_call, call);
    }
    assert_eq!(value(&mut looker, "SELECT count(*) FROM crewsnow_ops.alerts"), "1");
    let written = [
        "alert_events",
        "alert_states",
        "alert_groups",
        "alert_evaluations",
        "alert_clock",
        "silences",
        "alert_acknowledgements",
        "alert_simulations",
    ];
    for table in written {
        for change in ["DELETE FROM", "TRUNCATE", "INSERT INTO"] {
            let end = if change == "INSERT INTO" { " DEFAULT VALUES" } else { "" };
            let sql = format!("{change} crewsnow_ops.{table}{end}");
            for client in [&mut looker, &mut on_call, &mut mallory] {
                assert_eq!(sqlstate(client, &sql), "42501", "{sql}");
            }
        }
    }
    for change in [
        "UPDATE crewsnow_ops.alert_events SET message = 'x'",
        "UPDATE crewsnow_ops.alert_events SET message = 'x' WHERE false",
        "DELETE FROM crewsnow_ops.alert_events",
        "TRUNCATE crewsnow_ops.alert_events",
        "MERGE INTO crewsnow_ops.alert_events AS e USING (SELECT 1) AS s ON true
            WHEN MATCHED THEN DELETE",
        "SET session_replication_role = replica; DELETE FROM crewsnow_ops.alert_events",
    ] {
        assert_eq!(sqlstate(&mut a, change), "42501", "{change}");
    }
}
