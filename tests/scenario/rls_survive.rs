//! The audit survives its policies: an error of one is its table's alone, no effect of one outlives
//! the audit, and no report shows values that a policy sees.

use crate::rls_hostile::supabase;
use harness::{Cluster, both, rows, run, sqlstate, value};
use postgres::Client;

const FIRST: &str = "00000000-0000-4000-8000-000000000001";
const SECOND: &str = "00000000-0000-4000-8000-000000000002";

/// Every report of the audit. `%` stands for a table.
fn reports() -> Vec<String> {
    [
        "crewsnow_ops.rls_matrix()",
        "crewsnow_ops.audit_rls()",
        "audit_all_rls_policies()",
        "generate_rls_checklist()",
        "run_day1_database_security_audit()",
        "crewsnow_ops.rls_policy_facts()",
        "crewsnow_ops.rls_drift()",
        "crewsnow_ops.record_rls_audit()",
        "crewsnow_ops.prove_remediation('read-leak policy \"p\" on public.open')",
        "pg_class AS c, crewsnow_ops.effective_rls(c.oid, 'authenticated', 'FIRST') AS r
            WHERE c.relrowsecurity AND c.relnamespace = 'public'::regnamespace",
        "crewsnow_ops.trace_access('FIRST', 'SECOND')",
    ]
    .map(|call| call.replace("FIRST", FIRST).replace("SECOND", SECOND))
    .map(|call| format!("SELECT to_jsonb(r) FROM {call}"))
    .map(|sql| if sql.contains(" AS r") { sql } else { format!("{sql} AS r") })
    .to_vec()
}

/// Tables with a comment, and the verdicts that it names.
fn expected(client: &mut Client) -> Vec<(String, String)> {
    let sql = "SELECT oid::regclass, obj_description(oid, 'pg_class') FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            AND obj_description(oid, 'pg_class') ~ '^(ISOLATED|FAILING|LEAK)' ORDER BY 1";
    let split = |row: String| {
        let (table, verdicts) = row.split_once('|').expect("two columns");
        (table.to_owned(), verdicts.to_owned())
    };
    rows(client, sql).into_iter().map(split).collect()
}

#[test]
fn an_error_of_one_policy_is_its_tables_alone() {
    let cluster = Cluster::start("rls_survive", "max_stack_depth = 2MB");
    let mut a = supabase(&cluster, "survive");
    run(&mut a, "SET client_min_messages = error; SET crewsnow_ops.audit_time = '10min'");
    run(&mut a, include_str!("rls_survive.sql"));
    let verdicts = "SELECT relation, string_agg(DISTINCT verdict, ' ')
        FROM crewsnow_ops.rls_matrix()
        WHERE reach = 'read-leak' AND identity = 'authenticated as a new account' GROUP BY 1";
    let found: Vec<String> = rows(&mut a, verdicts);
    let mut wrong = Vec::new();
    for (table, expected) in expected(&mut a) {
        let verdict = found.iter().find_map(|row| {
            let (relation, verdict) = row.split_once('|')?;
            (relation.trim_start_matches("public.") == table).then(|| verdict.to_owned())
        });
        if !verdict.as_ref().is_some_and(|verdict| expected.contains(verdict.as_str())) {
            wrong.push(format!("{table}: {verdict:?} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    a_failed_analysis_is_one_finding(&mut a);
    the_session_remains_usable(&mut a);
}

/// An expression that is too deep for the audit: INCONCLUSIVE by its SQLSTATE everywhere.
fn a_failed_analysis_is_one_finding(a: &mut Client) {
    let of_table = "rule || ' ' || (evidence ~ '54001')";
    assert_eq!(
        rows(
            a,
            &format!(
                "SELECT {of_table} FROM crewsnow_ops.audit_rls()
                 WHERE object = 'table public.deep_4000'"
            )
        ),
        ["inconclusive true"]
    );
    assert_eq!(
        rows(a, "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('deep_4000')"),
        ["INCONCLUSIVE"]
    );
    assert_eq!(
        rows(
            a,
            "SELECT DISTINCT status FROM generate_rls_checklist()
             WHERE table_name = 'public.deep_4000' AND requirement LIKE 'Foreign rows%'"
        ),
        ["NEEDS_REVIEW"]
    );
    let unsafe_rows = "SELECT count(*) FROM audit_all_rls_policies()
        WHERE table_name ~ 'deep_4000|missing' AND status = 'SECURE'";
    assert_eq!(value(a, unsafe_rows), "0");
    // A rule does not see a clause without facts as one that has none.
    assert_eq!(
        value(
            a,
            "SELECT count(*) FROM crewsnow_ops.rls_policy_facts() AS f
             JOIN pg_policy AS p ON p.oid = f.policy WHERE p.polrelid = 'missing'::regclass"
        ),
        "0"
    );
}

/// Each report ends without an error, in a transaction block and outside, and the session then
/// begins and ends transactions as before.
fn the_session_remains_usable(a: &mut Client) {
    for report in reports() {
        rows(a, &report);
        run(a, "ROLLBACK");
        run(a, "BEGIN");
        rows(a, &report);
        assert_eq!(value(a, "SELECT 'alive'"), "alive", "{report}");
        run(a, "ROLLBACK");
        assert_eq!(value(a, "SELECT current_user || session_user"), "postgrespostgres");
    }
    for table in ["deep_4000", "deep_800", "missing", "broken", "raises_54001"] {
        let trace =
            format!("SELECT reaches FROM crewsnow_ops.trace_row('{table}', '{{\"id\": 1}}')");
        let reaches = rows(a, &trace);
        // The server itself tells whether a row meets a deep expression.
        let is_deep = table.starts_with("deep");
        assert!(is_deep || reaches.contains(&"INCONCLUSIVE".to_owned()), "{table}: {reaches:?}");
        assert!(!reaches.contains(&"YES".to_owned()), "{table}: {reaches:?}");
        run(a, "ROLLBACK");
    }
    run(a, "SELECT FROM make_go_no_go_decision()");
    run(a, "ROLLBACK");
    // So little stack that the audit itself ends with 54001.
    run(a, "SET max_stack_depth = '100kB'");
    let _ = a.simple_query("SELECT count(*) FROM crewsnow_ops.audit_rls()");
    run(a, "RESET max_stack_depth");
    run(a, "ROLLBACK");
    assert_eq!(value(a, "SELECT count(*) > 30 FROM crewsnow_ops.audit_rls()"), "t");
}

/// Reports for every access level contain no value of a row or claim, and neither do messages.
#[test]
fn reports_show_no_value_that_a_policy_sees() {
    let cluster = Cluster::start("rls_values", "");
    let mut a = supabase(&cluster, "values");
    run(&mut a, "SET client_min_messages = error");
    run(&mut a, include_str!("rls_survive.sql"));
    run(&mut a, "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator')");
    let mut o = cluster.connect_as("op", "values");
    for report in reports() {
        for client in [&mut a, &mut o] {
            let report_rows = rows(client, &report);
            let shown: Vec<&String> =
                report_rows.iter().filter(|row| row.contains("rowvalue")).collect();
            assert!(shown.is_empty(), "{report}: {shown:#?}");
        }
    }
    let using = "SELECT using_as_user FROM crewsnow_ops.effective_rls('by_fixed', 'authenticated')
        WHERE command = 'SELECT'";
    assert_eq!(rows(&mut o, using), ["(note = 'hidden')"]);
    let state = "SELECT evidence FROM crewsnow_ops.audit_rls()
        WHERE object = 'table public.composes' AND rule = 'failing-policies'";
    assert_eq!(
        rows(&mut o, state),
        ["42P01 undefined_table (message withheld: it may contain row data)"]
    );
}

/// An operator asks for rows of a table that it may not read, or not all of.
#[test]
fn trace_row_tells_no_more_than_select() {
    let cluster = Cluster::start("rls_trace_row", "");
    let mut a = supabase(&cluster, "trace_row");
    run(
        &mut a,
        &format!(
            "INSERT INTO auth.users (id) VALUES ('{FIRST}'), ('{SECOND}');
            CREATE TABLE public.docs (id integer PRIMARY KEY, user_id uuid REFERENCES auth.users,
                pin text);
            INSERT INTO public.docs VALUES (1, '{FIRST}', '1234'), (2, '{SECOND}', '1234');
            ALTER TABLE public.docs ENABLE ROW LEVEL SECURITY;
            GRANT SELECT ON public.docs TO authenticated;
            CREATE POLICY own ON public.docs TO authenticated USING (user_id = auth.uid());
            CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator')"
        ),
    );
    let mut o = cluster.connect_as("op", "trace_row");
    let trace = |key: &str| format!("SELECT * FROM crewsnow_ops.trace_row('docs', '{key}')");
    let (there, missing) = (r#"{"id": 1}"#, r#"{"id": 99}"#);
    let answer = |client: &mut Client, sql: &str| match client.simple_query(sql) {
        Ok(_) => "an answer".to_owned(),
        Err(error) => harness::explain(&error),
    };
    for key in [there, missing, r#"{"pin": "1234"}"#, r#"{"pin": "0000"}"#] {
        assert_eq!(sqlstate(&mut o, &trace(key)), "42501", "{key}");
    }
    assert_eq!(answer(&mut o, &trace(there)), answer(&mut o, &trace(missing)));
    // SELECT on the key alone: the owner would be told.
    run(&mut a, "GRANT SELECT (id) ON public.docs TO op");
    assert!(answer(&mut o, &trace(there)).contains("GRANT SELECT (user_id) ON public.docs TO op;"));
    run(&mut a, "GRANT SELECT (user_id) ON public.docs TO op");
    assert_eq!(sqlstate(&mut o, &trace(r#"{"id": 1, "pin": "1234"}"#)), "42501");
    // No policy lets the operator see a row.
    assert_eq!(sqlstate(&mut o, &trace(there)), "22023");
    assert_eq!(answer(&mut o, &trace(there)), answer(&mut o, &trace(missing)));
    run(&mut a, "CREATE POLICY op ON public.docs TO op USING (id = 1)");
    assert_eq!(answer(&mut o, &trace(there)), "an answer");
    assert_eq!(answer(&mut o, &trace(r#"{"id": 2}"#)), answer(&mut o, &trace(missing)));
    // A policy that fails on rows that exist tells them no more.
    run(&mut a, "ALTER POLICY op ON public.docs USING (1 / (id - id) = 1)");
    assert_eq!(answer(&mut o, &trace(there)), answer(&mut o, &trace(missing)));
    run(&mut a, "DROP POLICY op ON public.docs; ALTER ROLE op BYPASSRLS");
    assert_eq!(answer(&mut o, &trace(there)), "an answer");
    run(&mut a, "REVOKE SELECT (id, user_id) ON public.docs FROM op");
    assert_eq!(sqlstate(&mut o, &trace(there)), "42501");
    run(&mut a, "GRANT pg_read_all_data TO op");
    assert_eq!(answer(&mut o, &trace(there)), "an answer");
}

/// Locks, cursors, listens, settings and notices of policies end with the audit. The caller's own
/// remain.
#[test]
fn no_effect_of_a_policy_outlives_the_audit() {
    let cluster = Cluster::start("rls_traces", "");
    let mut a = supabase(&cluster, "traces");
    run(&mut a, "SET client_min_messages = error");
    run(&mut a, include_str!("rls_survive.sql"));
    let reports: String = reports().iter().map(|report| format!("{report};\n")).collect();
    let script = format!(
        "SELECT pg_advisory_lock(7), pg_advisory_lock(7), pg_advisory_lock_shared(8);
        LISTEN heard;
        BEGIN;
        DECLARE mine CURSOR FOR SELECT 1;
        PREPARE mine AS SELECT 1;
        \\o /dev/null
        {reports}
        SELECT * FROM crewsnow_ops.trace_row('talks', '{{\"id\": 1}}');
        \\o
        COMMIT;
        SELECT 'locks', string_agg(objid || ' ' || mode, ', ' ORDER BY objid) FROM pg_locks
            WHERE locktype = 'advisory' AND pid = pg_backend_pid();
        SELECT 'unlocked', pg_advisory_unlock(7), pg_advisory_unlock(7),
            pg_advisory_unlock_shared(8);
        SELECT 'left', (SELECT count(*) FROM pg_cursors WHERE name <> ''),
            (SELECT string_agg(name, ' ') FROM pg_prepared_statements),
            (SELECT string_agg(c, ' ') FROM pg_listening_channels() AS c),
            coalesce(current_setting('app.left_behind', true), ''), current_setting('work_mem'),
            current_setting('client_min_messages');
        SELECT count(*) > 0 FROM crewsnow_ops.rls_matrix('locks');
        SELECT 'locks', count(*) FROM pg_locks
            WHERE locktype = 'advisory' AND pid = pg_backend_pid();
        DO $$ BEGIN RAISE NOTICE 'notices of the session still arrive'; END $$;"
    );
    let output = cluster
        .psql("traces")
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1", "-f", "-"])
        .stdin(stdin_of(&cluster, &script))
        .output()
        .expect("psql runs");
    let shown = both(&output);
    assert!(!shown.contains("rowvalue") && !shown.contains("left_behind"), "{shown}");
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    let expected = [
        "locks|7 ExclusiveLock, 8 ShareLock",
        "unlocked|t|t|t",
        "left|0|mine|heard||4MB|notice",
        "locks|0",
    ];
    for line in expected {
        assert!(lines.contains(&line), "{line} is missing in\n{shown}");
    }
    let spoken: Vec<&&str> =
        lines.iter().filter(|line| line.contains("NOTICE") || line.contains("WARNING")).collect();
    assert_eq!(spoken.len(), 1, "{spoken:#?}");
    assert!(spoken[0].contains("notices of the session still arrive"), "{spoken:?}");
}

/// A file with the script, as the standard input of a program.
fn stdin_of(cluster: &Cluster, script: &str) -> std::fs::File {
    let path = cluster.scratch().join("script.sql");
    std::fs::write(&path, script).expect("a writable directory");
    std::fs::File::open(path).expect("the script")
}
