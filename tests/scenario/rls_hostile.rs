//! The audit against databases that are made to trip it up: it ends, it writes nothing, it lends nobody its rights, and what it cannot tell it
//! says.

use crate::HOSTILE;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;
use std::time::{Duration, Instant};

/// A database with the roles and the schema auth of a Supabase project.
pub fn supabase(cluster: &Cluster, name: &str) -> Client {
    let mut client = cluster.create_database(name);
    run(&mut client, include_str!("../rls/base.sql"));
    client
}

const READ: &str = "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix(%) \
    WHERE reach = 'read-leak' AND identity = 'authenticated as a new account'";

/// What must be as it was, whatever the policies do.
fn traces(client: &mut Client) -> Vec<String> {
    rows(
        client,
        "SELECT (SELECT count(*) FROM private.written), (SELECT count(*) FROM private.stolen),
             (SELECT last_value || ' ' || is_called FROM private.counted),
            current_user, session_user, current_setting('role'),
                coalesce(current_setting('request.jwt.claims', true), ''),
            current_setting('crewsnow_ops.user_role'), to_regclass('pg_temp.left_behind') IS NULL",
    )
}

#[test]
fn policies_that_fight_back() {
    let cluster = Cluster::start("rls_hostile", "log_min_messages = log\nmax_stack_depth = 500kB");
    let mut a = supabase(&cluster, "hostile");
    run(&mut a, "SET client_min_messages = error");
    run(&mut a, HOSTILE);
    let before = traces(&mut a);
    run(&mut a, "SET crewsnow_ops.audit_time = '10min'");
    let tables = rows(
        &mut a,
        "SELECT relname, obj_description(oid, 'pg_class'), oid FROM pg_class
             WHERE relnamespace = 'public'::regnamespace
         AND obj_description(oid, 'pg_class') ~ '^(LEAK|ISOLATED|CLOSED|FAILING|INCONCLUSIVE)'
             ORDER BY 1",
    );
    assert!(tables.len() > 40, "{tables:?}");
    let mut wrong = Vec::new();
    for table in tables {
        let parts: Vec<&str> = table.rsplitn(3, '|').collect();
        let began = Instant::now();
        let verdicts = rows(&mut a, &READ.replace('%', parts[0]));
        assert!(began.elapsed() < Duration::from_secs(30), "{table}: {:?}", began.elapsed());
        if verdicts.len() != 1 || !parts[1].contains(verdicts[0].as_str()) {
            wrong.push(format!("{table}: {verdicts:?}"));
        }
        let after = traces(&mut a);
        if after != before {
            wrong.push(format!("{table} left traces: {after:?}, not {before:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A command that a rule makes something else of is not judged.
    let ruled = rows(
        &mut a,
        "SELECT DISTINCT reach, verdict FROM crewsnow_ops.rls_matrix('ruled') \
         WHERE role = 'authenticated' ORDER BY 1",
    );
    assert_eq!(
        ruled,
        [
            "destruction|INCONCLUSIVE",
            "forged-rows|INCONCLUSIVE",
            "planted-rows|INCONCLUSIVE",
            "read-leak|LEAK",
            "take-over|INCONCLUSIVE",
            "tampering|INCONCLUSIVE"
        ]
    );
    time_is_kept(&mut a);
    a_table_that_somebody_has_locked(&cluster, &mut a);
    a_reader_gains_nothing(&cluster, &mut a);
    assert_eq!(value(&mut a, "SELECT count(*) > 40 FROM crewsnow_ops.audit_rls()"), "t");
    // What takes its time has been waited for.
    run(
        &mut a,
        "DROP TABLE public.sleeping, public.sleeping_by_row, public.busy, public.stubborn, \
         public.immutable_sleep",
    );
    assert_eq!(
        value(
            &mut a,
            "SELECT count(*) > 100 FROM audit_all_rls_policies(), generate_rls_checklist()"
        ),
        "t"
    );
    names_stay_names(&mut a);
    assert_eq!(traces(&mut a), before);
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log"))
        .expect("the server's log");
    assert!(!log.contains("STOLEN"), "a policy ran as a superuser");
    assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "the server crashed");
}

/// Corrections of what has quotes in its name are about that, and nothing else.
fn names_stay_names(a: &mut Client) {
    let proofs = rows(
        a,
        "SELECT object, crewsnow_ops.prove_remediation(finding) FROM crewsnow_ops.audit_rls()
         WHERE rule = 'read-leak' AND (object LIKE '%students%' OR object LIKE '%Ünï%'
             OR object LIKE '%.\"select\"') ORDER BY 1",
    );
    assert_eq!(proofs.len(), 3, "{proofs:#?}");
    assert!(proofs.iter().all(|proof| proof.contains("|PROVED")), "{proofs:#?}");
    assert_eq!(
        value(a, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'Robert%'"),
        "1"
    );
    let shown = rows(
        a,
        "SELECT using_as_user FROM crewsnow_ops.effective_rls('columns', 'authenticated', \
         '00000000-0000-4000-8000-000000000001') WHERE command = 'SELECT'",
    );
    assert_eq!(shown, ["(\"user \"\"id\"\" '\" = '00000000-0000-4000-8000-000000000001'::uuid)"]);
}

/// What is not looked at when the time is up is said to be so.
fn time_is_kept(a: &mut Client) {
    run(a, "SET crewsnow_ops.audit_time = '300ms'");
    let began = Instant::now();
    let untold = value(
        a,
        "SELECT count(*) FROM crewsnow_ops.rls_matrix() \
         WHERE verdict = 'INCONCLUSIVE' AND remark LIKE '%audit_time is used up%'",
    );
    assert!(untold.parse::<i32>().expect("a count") > 20, "{untold}");
    // The last table that was begun is looked at to its end.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let last = value(a, "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')");
    assert!(!last.contains("ALL CHECKS PASSED"), "{last}");
    run(a, "RESET crewsnow_ops.audit_time");
}

fn a_table_that_somebody_has_locked(cluster: &Cluster, a: &mut Client) {
    let mut b = cluster.connect("hostile");
    run(&mut b, "BEGIN; LOCK TABLE public.sound IN ACCESS EXCLUSIVE MODE");
    let began = Instant::now();
    assert_eq!(
        rows(a, "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('sound')"),
        ["INCONCLUSIVE"]
    );
    let own = "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('users') \
        WHERE reach = 'read-leak' AND role = 'authenticated'";
    assert_eq!(rows(a, own), ["ISOLATED"], "the others are judged");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    run(&mut b, "ROLLBACK");
}

/// With the rights of a reader, who may see none of the tables, the verdicts are the same and nothing is lent.
fn a_reader_gains_nothing(cluster: &Cluster, a: &mut Client) {
    run(a, "CREATE ROLE r LOGIN; SELECT crewsnow_ops.grant_access('r', 'reader')");
    let mut r = cluster.connect_as("r", "hostile");
    for table in
        ["by_reset", "by_exception", "immutable_reset", "immutable_write", "sound", "raising"]
    {
        assert_eq!(sqlstate(&mut r, &format!("SELECT FROM public.{table}")), "42501", "{table}");
        let sql = READ.replace('%', &format!("'{table}'"));
        assert_eq!(rows(&mut r, &sql), rows(a, &sql), "{table}");
    }
    assert_eq!(
        value(
            &mut r,
            "SELECT concat(current_user, ' ', session_user, ' ', current_setting('is_superuser'))"
        ),
        "r r off"
    );
    assert_eq!(value(a, "SELECT count(*) FROM private.stolen"), "0");
}

/// Somebody who wants it to stop is heard, by whatever way.
#[test]
fn a_cancel_is_honoured() {
    let cluster = Cluster::start("rls_cancel", "");
    let mut a = supabase(&cluster, "cancel");
    run(&mut a, HOSTILE);
    run(&mut a, "SET crewsnow_ops.audit_time = '10min'; SET statement_timeout = '1200ms'");
    for sql in [
        "SELECT count(*) FROM crewsnow_ops.rls_matrix()",
        "SELECT run_day1_database_security_audit()",
    ] {
        let began = Instant::now();
        assert_eq!(sqlstate(&mut a, sql), "57014", "{sql}");
        assert!(began.elapsed() < Duration::from_secs(5), "{sql}: {:?}", began.elapsed());
    }
    run(&mut a, "RESET statement_timeout");
    let pid = value(&mut a, "SELECT pg_backend_pid()");
    let mut b = cluster.connect("cancel");
    let cancel = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_300));
        run(&mut b, &format!("SELECT pg_cancel_backend({pid})"));
    });
    let began = Instant::now();
    assert_eq!(sqlstate(&mut a, "SELECT count(*) FROM crewsnow_ops.audit_rls()"), "57014");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    cancel.join().expect("it was cancelled");
    assert_eq!(value(&mut a, "SELECT current_user"), "postgres");
    assert_eq!(rows(&mut a, &READ.replace('%', "'sound'")), ["ISOLATED"], "the session goes on");
}

/// Two million rows: what a policy decides needs none of them, and what it does not ends in time.
#[test]
fn a_large_table() {
    let cluster = Cluster::start("rls_large", "shared_buffers = 512MB");
    let mut a = supabase(&cluster, "large");
    run(
        &mut a,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 4) AS n;
         CREATE FUNCTION private.opaque(p_owner uuid) RETURNS boolean
             LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN p_owner = auth.uid(); END $$;
         CREATE TABLE public.proved (user_id uuid NOT NULL REFERENCES auth.users,
             n integer NOT NULL);
         INSERT INTO public.proved SELECT ('00000000-0000-4000-8000-00000000000' || (1 + n %
             4))::uuid, n FROM generate_series(1, 2000000) AS n;
         CREATE TABLE public.opaque (LIKE public.proved);
         INSERT INTO public.opaque SELECT * FROM public.proved;
         ALTER TABLE public.proved ENABLE ROW LEVEL SECURITY;
         ALTER TABLE public.opaque ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON public.proved USING (user_id = (SELECT auth.uid()));
         CREATE POLICY p ON public.opaque USING (private.opaque(user_id));
         GRANT ALL ON public.proved, public.opaque TO authenticated",
    );
    for table in ["proved", "opaque"] {
        run(&mut a, &format!("VACUUM ANALYZE public.{table}"));
    }
    let read = "SELECT seq_scan || ' ' || coalesce(idx_scan, 0) || ' ' || seq_tup_read \
        FROM pg_stat_user_tables WHERE relname = 'proved'";
    let blocks =
        "SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables WHERE relname = 'proved'";
    run(&mut a, "SELECT pg_stat_force_next_flush(); SELECT 1");
    let (before, before_blocks) = (value(&mut a, read), value(&mut a, blocks));
    let began = Instant::now();
    // In a session of its own: its statistics are reported when it ends.
    let mut b = cluster.connect("large");
    let verdicts = rows(
        &mut b,
        "SELECT DISTINCT reach, verdict, confidence FROM crewsnow_ops.rls_matrix('proved') \
         WHERE reach <> 'planted-rows' ORDER BY 1",
    );
    let took = began.elapsed();
    drop(b);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(
        verdicts,
        [
            "destruction|ISOLATED|PROVED",
            "forged-rows|ISOLATED|PROVED",
            "read-leak|ISOLATED|PROVED",
            "take-over|ISOLATED|PROVED",
            "tampering|ISOLATED|PROVED"
        ]
    );
    // A thousand rows are looked at for users whose they are; that is one begun scan, and none to its end.
    let (after, after_blocks) = (value(&mut a, read), value(&mut a, blocks));
    println!(
        "proved in {took:?}: scans, index scans and rows {before} -> {after}, \
         blocks {before_blocks} -> {after_blocks}"
    );
    let number =
        |text: &str| text.rsplit(' ').next().and_then(|n| n.parse::<i64>().ok()).expect("a number");
    assert!(
        number(&after_blocks) - number(&before_blocks) < 200,
        "{before_blocks} -> {after_blocks}"
    );
    assert!(number(&after) - number(&before) <= 12_000, "{before} -> {after}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let began = Instant::now();
    let verdicts = rows(
        &mut a,
        "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('opaque') WHERE reach = 'read-leak'",
    );
    println!("not to be proved: {verdicts:?} in {:?}", began.elapsed());
    assert_eq!(verdicts, ["INCONCLUSIVE"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Whoever owns a table has functions called when a statement on it is planned, and by casts of its types. None is called with more rights
/// than a client has; and what stands in rows and claims does not stand in reports.
#[test]
fn owners_of_tables_gain_and_see_nothing() {
    let cluster = Cluster::start("rls_owners", "");
    let mut a = supabase(&cluster, "owners");
    run(&mut a, include_str!("rls_owners.sql"));
    // Not the session that has planned statements on the tables.
    let mut a = cluster.connect("owners");
    let first = "00000000-0000-4000-8000-000000000001";
    let second = "00000000-0000-4000-8000-000000000002";
    let calls = [
        "SELECT m.* FROM crewsnow_ops.rls_matrix() AS m".to_owned(),
        "SELECT f.* FROM crewsnow_ops.audit_rls() AS f".to_owned(),
        format!("SELECT t.* FROM crewsnow_ops.trace_access('{first}', '{second}') AS t"),
        format!(
            "SELECT t.* FROM crewsnow_ops.trace_row('public.docs', '{{\"user_id\": \"{first}\"}}') \
             AS t"
        ),
        format!(
            "SELECT e.* FROM crewsnow_ops.effective_rls('public.mails', 'authenticated', \
             '{first}') AS e"
        ),
    ];
    for call in calls {
        let told = rows(&mut a, &format!("SELECT to_jsonb(s) FROM ({call}) AS s"));
        assert!(!told.is_empty(), "{call}");
        assert!(!told.join("\n").contains("secret"), "{call}: {told:#?}");
        assert_eq!(
            value(&mut a, "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'"),
            "f",
            "{call}"
        );
    }
    let verdict = |a: &mut Client, table: &str, reach: &str| {
        let sql = format!(
            "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('public.{table}') \
             WHERE reach = '{reach}' AND identity ~ 'as a new account'"
        );
        value(a, &sql)
    };
    assert_eq!(
        verdict(&mut a, "flagged", "read-leak"),
        "INCONCLUSIVE",
        "a setting that clients make"
    );
    assert_eq!(verdict(&mut a, "clocked", "read-leak"), "INCONCLUSIVE", "a matter of time");
    assert_eq!(verdict(&mut a, "whole", "take-over"), "INCONCLUSIVE", "rows as a whole");
    assert_eq!(verdict(&mut a, "garbage", "read-leak"), "LEAK", "what is no id is nobody's");
}
