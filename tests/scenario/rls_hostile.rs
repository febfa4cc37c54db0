//! The audit of hostile databases. It ends, writes nothing, lends its privileges to no policy, and
//! reports INCONCLUSIVE where it finds no answer.

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

/// State that no policy may change during an audit.
fn side_effects(client: &mut Client) -> Vec<String> {
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
fn hostile_policies_change_nothing_and_get_their_verdict() {
    let cluster = Cluster::start("rls_hostile", "log_min_messages = log\nmax_stack_depth = 500kB");
    let mut a = supabase(&cluster, "hostile");
    run(&mut a, "SET client_min_messages = error");
    run(&mut a, HOSTILE);
    let before = side_effects(&mut a);
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
        let after = side_effects(&mut a);
        if after != before {
            wrong.push(format!("{table} changed {before:?} to {after:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A command that a rule rewrites is INCONCLUSIVE.
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
    audit_time_limits_the_audit(&mut a);
    a_locked_table_is_inconclusive(&cluster, &mut a);
    a_reader_gains_no_privileges(&cluster, &mut a);
    assert_eq!(value(&mut a, "SELECT count(*) > 40 FROM crewsnow_ops.audit_rls()"), "t");
    // Further reports need not wait for the slow policies again.
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
    names_with_quotes_are_quoted(&mut a);
    assert_eq!(side_effects(&mut a), before);
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log"))
        .expect("the server's log");
    assert!(!log.contains("STOLEN"), "a policy ran as a superuser");
    assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "the server crashed");
}

/// Names with quotes are quoted in remediations. A remediation changes no other object.
fn names_with_quotes_are_quoted(a: &mut Client) {
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

/// Relations that the audit does not reach within audit_time are INCONCLUSIVE.
fn audit_time_limits_the_audit(a: &mut Client) {
    run(a, "SET crewsnow_ops.audit_time = '300ms'");
    let began = Instant::now();
    let count = value(
        a,
        "SELECT count(*) FROM crewsnow_ops.rls_matrix() \
         WHERE verdict = 'INCONCLUSIVE' AND remark LIKE '%audit_time is used up%'",
    );
    assert!(count.parse::<i32>().expect("a count") > 20, "{count}");
    // The audit completes the table that it has begun.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let last = value(a, "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')");
    assert!(!last.contains("ALL CHECKS PASSED"), "{last}");
    run(a, "RESET crewsnow_ops.audit_time");
}

fn a_locked_table_is_inconclusive(cluster: &Cluster, a: &mut Client) {
    let mut b = cluster.connect("hostile");
    run(&mut b, "BEGIN; LOCK TABLE public.sound IN ACCESS EXCLUSIVE MODE");
    let began = Instant::now();
    assert_eq!(
        rows(a, "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('sound')"),
        ["INCONCLUSIVE"]
    );
    let own = "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('users') \
        WHERE reach = 'read-leak' AND identity LIKE 'authenticated as %'";
    assert_eq!(rows(a, own), ["ISOLATED"], "other tables have a verdict");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    run(&mut b, "ROLLBACK");
}

/// A reader without privileges on the tables gets the same verdicts and no privileges.
fn a_reader_gains_no_privileges(cluster: &Cluster, a: &mut Client) {
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

/// statement_timeout and pg_cancel_backend both stop a running audit.
#[test]
fn a_cancel_stops_the_audit() {
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
    cancel.join().expect("the cancel was sent");
    assert_eq!(value(&mut a, "SELECT current_user"), "postgres");
    assert_eq!(
        rows(&mut a, &READ.replace('%', "'sound'")),
        ["ISOLATED"],
        "the session remains usable"
    );
}

/// A table of two million rows. A proof does not scan it, and a probe ends at its time limit.
#[test]
fn a_large_table_is_audited_in_time() {
    let cluster = Cluster::start("rls_large", "shared_buffers = 512MB");
    let mut a = supabase(&cluster, "large");
    run(
        &mut a,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 4) AS n;
         CREATE FUNCTION private.opaque(p_owner uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
         BEGIN RETURN p_owner = auth.uid(); END $$;
         CREATE TABLE public.proved (user_id uuid NOT NULL REFERENCES auth.users,
             n integer NOT NULL);
         INSERT INTO public.proved
             SELECT ('00000000-0000-4000-8000-00000000000' || (1 + n % 4))::uuid, n
             FROM generate_series(1, 2000000) AS n;
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
    // A separate session, because a session reports its statistics when it ends.
    let mut b = cluster.connect("large");
    let verdicts = rows(
        &mut b,
        "SELECT DISTINCT reach, verdict, confidence FROM crewsnow_ops.rls_matrix('proved') \
         WHERE reach <> 'planted-rows' AND identity LIKE '% as %' ORDER BY 1",
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
    // The audit looks for owners in a thousand rows. It begins one scan and completes none.
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
    println!("without a proof: {verdicts:?} in {:?}", began.elapsed());
    assert_eq!(verdicts, ["INCONCLUSIVE"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// The planner and casts of column types call functions of the table's owner. No such function runs
/// with more privileges than a client role. Reports contain no values of rows or claims.
#[test]
fn table_owners_gain_no_privileges_and_no_data() {
    let cluster = Cluster::start("rls_owners", "");
    let mut a = supabase(&cluster, "owners");
    run(&mut a, include_str!("rls_owners.sql"));
    // A new session, without statements planned on the tables.
    let mut a = cluster.connect("owners");
    let first = "00000000-0000-4000-8000-000000000001";
    let second = "00000000-0000-4000-8000-000000000002";
    let calls = [
        "SELECT m.* FROM crewsnow_ops.rls_matrix() AS m".to_owned(),
        "SELECT f.* FROM crewsnow_ops.audit_rls() AS f".to_owned(),
        format!("SELECT t.* FROM crewsnow_ops.trace_access('{first}', '{second}') AS t"),
        format!(
            "SELECT t.* \
             FROM crewsnow_ops.trace_row('public.docs', '{{\"user_id\": \"{first}\"}}') AS t"
        ),
        format!(
            "SELECT e.* \
             FROM crewsnow_ops.effective_rls('public.mails', 'authenticated', '{first}') AS e"
        ),
    ];
    for call in calls {
        let report = rows(&mut a, &format!("SELECT to_jsonb(s) FROM ({call}) AS s"));
        assert!(!report.is_empty(), "{call}");
        assert!(!report.join("\n").contains("secret"), "{call}: {report:#?}");
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
    let by_setting = "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('public.flagged') \
        WHERE reach = 'read-leak' AND identity ~ 'with setting'";
    assert_eq!(value(&mut a, by_setting), "SHARED", "the setting opens foreign rows");
    assert_eq!(
        verdict(&mut a, "clocked", "read-leak"),
        "INCONCLUSIVE",
        "the policy depends on the time"
    );
    assert_eq!(
        verdict(&mut a, "whole", "take-over"),
        "INCONCLUSIVE",
        "the policy reads the whole row"
    );
    assert_eq!(
        verdict(&mut a, "garbage", "read-leak"),
        "LEAK",
        "a value that is not an id belongs to no user"
    );
}
