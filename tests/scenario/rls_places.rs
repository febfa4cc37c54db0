//! The audit in any session: in an open transaction, read-only, on a standby, as a reader, and for
//! applications without Supabase.

use crate::replication::wait_until;
use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

const LAST_LINE: &str =
    "SELECT regexp_replace(@ops@run_day1_database_security_audit(), '.*\\n', '')";
const VERDICTS: &str = "SELECT relation, reach, role, identity, verdict \
    FROM crewsnow_ops.rls_matrix() ORDER BY 1, 2, 3, 4";

fn last_line(client: &mut Client) -> String {
    value(client, &LAST_LINE.replace("@ops@", "public."))
}

/// Creates public.notes, which is isolated, and public.open_notes, which leaks.
pub fn leaking_tables(client: &mut Client) {
    run(
        client,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 4) AS n;
         CREATE TABLE public.notes (id integer PRIMARY KEY,
             user_id uuid NOT NULL REFERENCES auth.users, note text);
         CREATE INDEX ON public.notes (user_id);
         CREATE TABLE public.open_notes (LIKE public.notes INCLUDING ALL,
             FOREIGN KEY (user_id) REFERENCES auth.users);
         INSERT INTO public.notes SELECT row_number() OVER (), id, 'x' FROM auth.users;
         INSERT INTO public.open_notes SELECT * FROM public.notes;
         ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
         ALTER TABLE public.open_notes ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid()));
         CREATE POLICY own ON public.open_notes TO authenticated
             USING (user_id = (SELECT auth.uid()));
         CREATE POLICY open ON public.open_notes FOR SELECT TO authenticated
             USING (note IS NOT NULL);
         GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes, public.open_notes TO authenticated",
    );
}

#[test]
fn verdicts_do_not_depend_on_the_session() {
    let cluster = Cluster::start("rls_places", "");
    let mut a = supabase(&cluster, "places");
    leaking_tables(&mut a);
    let expected = rows(&mut a, VERDICTS);
    assert!(expected.len() > 20, "{expected:?}");
    assert!(
        expected.iter().any(|row| row
            == "public.open_notes|read-leak|authenticated|authenticated as a new account|LEAK"),
        "{expected:?}"
    );
    assert!(
        expected
            .iter()
            .all(|row| row.contains("|LEAK") == row.starts_with("public.open_notes|read-leak")),
        "{expected:?}"
    );
    let settings = [
        "SET search_path = ''",
        "SET row_security = off",
        "SET default_transaction_read_only = on",
        "SET default_transaction_isolation = 'serializable'",
        "SET plan_cache_mode = force_generic_plan",
        "SET enable_seqscan = off",
        "SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'escape'",
        "SET ROLE pg_read_all_data; SET ROLE NONE",
        "SET request.jwt.claims = '{\"sub\": \"00000000-0000-4000-8000-000000000001\", \"role\": \
         \"authenticated\"}'",
        "SET request.jwt.claims = 'not json'",
        "SET max_parallel_workers_per_gather = 4; SET parallel_setup_cost = 0; \
         SET min_parallel_table_scan_size = 0",
        "SET statement_timeout = '1min'; SET lock_timeout = '1s'; \
         SET idle_in_transaction_session_timeout = '1min'",
        "SET session_replication_role = replica",
    ];
    for setting in settings {
        let mut b = cluster.connect("places");
        run(&mut b, setting);
        assert_eq!(rows(&mut b, VERDICTS), expected, "{setting}");
        assert!(last_line(&mut b).contains("1 critical"), "{setting}: {}", last_line(&mut b));
        assert_eq!(rows(&mut b, VERDICTS), expected, "{setting}: again");
    }
    // A client role with the access level reader gets the same verdicts.
    run(&mut a, "SELECT crewsnow_ops.grant_access('authenticated', 'reader')");
    let mut b = cluster.connect("places");
    run(&mut b, "SET ROLE authenticated");
    assert_eq!(rows(&mut b, VERDICTS), expected);
    assert_eq!(
        value(
            &mut b,
            "SELECT concat(current_user, ' ', current_setting('role'), ' ', \
             current_setting('is_superuser'))"
        ),
        "authenticated authenticated off"
    );
    run(&mut b, "RESET ROLE");
    assert_eq!(
        value(
            &mut b,
            "SELECT concat(current_user, ' ', current_setting('role'), ' ', \
             current_setting('is_superuser'))"
        ),
        "postgres none on"
    );
    run(&mut a, "SELECT crewsnow_ops.revoke_access('authenticated')");
    uncommitted_changes_are_audited(&mut a);
    a_reader_gets_the_same_verdicts(&cluster, &mut a, &expected);
    reports_need_no_transaction_id(&mut a);
    the_last_hundred_runs_are_kept(&mut a);
}

/// Recording a run removes the findings and verdicts of runs beyond the last hundred.
fn the_last_hundred_runs_are_kept(a: &mut Client) {
    run(
        a,
        "DO $$ BEGIN FOR i IN 1..103 LOOP PERFORM crewsnow_ops.record_rls_audit(); END LOOP; \
         END $$",
    );
    assert_eq!(value(a, "SELECT count(*) FROM crewsnow_ops.rls_runs"), "100");
    for table in ["rls_run_findings", "rls_run_verdicts"] {
        let sql = format!(
            "SELECT count(DISTINCT run) || ' ' || bool_and(EXISTS ( \
                 SELECT FROM crewsnow_ops.rls_runs AS r WHERE r.run = f.run)) \
             FROM crewsnow_ops.{table} AS f"
        );
        assert_eq!(value(a, &sql), "100 true", "{table}");
    }
}

/// The audit sees the transaction's own changes, and none that it has rolled back.
fn uncommitted_changes_are_audited(a: &mut Client) {
    let read = "SELECT verdict FROM crewsnow_ops.rls_matrix('public.fresh') \
        WHERE reach = 'read-leak' AND identity LIKE '% as a new account'";
    run(
        a,
        "BEGIN; CREATE TABLE public.fresh (LIKE public.notes INCLUDING ALL,
             FOREIGN KEY (user_id) REFERENCES auth.users);
         INSERT INTO public.fresh SELECT * FROM public.notes;
         GRANT SELECT ON public.fresh TO authenticated;
         ALTER TABLE public.fresh ENABLE ROW LEVEL SECURITY;
         CREATE POLICY open ON public.fresh USING (true)",
    );
    assert_eq!(value(a, read), "LEAK");
    run(a, "SAVEPOINT s; ALTER POLICY open ON public.fresh USING (user_id = auth.uid())");
    assert_eq!(value(a, read), "ISOLATED");
    run(a, "ROLLBACK TO s");
    assert_eq!(value(a, read), "LEAK");
    assert!(
        value(
            a,
            "SELECT crewsnow_ops.prove_remediation(finding) FROM crewsnow_ops.audit_rls() \
             WHERE object LIKE '%public.fresh' AND rule = 'read-leak'"
        )
        .starts_with("PROVED")
    );
    assert_eq!(value(a, read), "LEAK", "the proof is rolled back");
    run(a, "ROLLBACK");
    assert_eq!(value(a, "SELECT to_regclass('public.fresh') IS NULL"), "t");
}

fn a_reader_gets_the_same_verdicts(cluster: &Cluster, a: &mut Client, expected: &[String]) {
    run(a, "CREATE ROLE r LOGIN; SELECT crewsnow_ops.grant_access('r', 'reader')");
    let mut r = cluster.connect_as("r", "places");
    assert_eq!(sqlstate(&mut r, "SELECT FROM public.notes"), "42501");
    assert_eq!(rows(&mut r, VERDICTS), expected);
    assert!(last_line(&mut r).contains("1 critical"));
    run(&mut r, "SET search_path = ''");
    assert_eq!(rows(&mut r, VERDICTS), expected);
    run(a, "SET SESSION AUTHORIZATION r");
    assert_eq!(rows(a, VERDICTS), expected);
    run(a, "RESET SESSION AUTHORIZATION");
}

/// Reports write nothing, so they need no transaction id.
fn reports_need_no_transaction_id(a: &mut Client) {
    run(a, "BEGIN");
    for sql in [
        "SELECT count(*) FROM crewsnow_ops.audit_rls()",
        "SELECT count(*) FROM crewsnow_ops.rls_matrix()",
        "SELECT count(*) FROM crewsnow_ops.effective_rls('public.notes')",
    ] {
        run(a, sql);
        assert_eq!(value(a, "SELECT pg_current_xact_id_if_assigned() IS NULL"), "t", "{sql}");
    }
    run(a, "ROLLBACK");
}

#[test]
fn a_standby_gives_the_same_verdicts() {
    let primary = Cluster::start("rls_primary", "");
    let mut a = supabase(&primary, "ops");
    leaking_tables(&mut a);
    let expected = rows(&mut a, VERDICTS);
    run(&mut a, "SELECT crewsnow_ops.record_rls_audit()");
    let standby = Cluster::standby("rls_standby", &primary);
    let mut b = standby.connect("ops");
    wait_until("the standby has caught up", || {
        value(&mut b, "SELECT count(*) FROM crewsnow_ops.rls_runs") == "1"
    });
    assert_eq!(value(&mut b, "SELECT pg_is_in_recovery()"), "t");
    assert_eq!(rows(&mut b, VERDICTS), expected);
    assert!(last_line(&mut b).contains("1 critical"));
    assert!(rows(&mut b, "SELECT * FROM crewsnow_ops.rls_drift()").is_empty());
    assert_ne!(
        value(&mut b, "SELECT count(*) FROM audit_all_rls_policies(), generate_rls_checklist()"),
        "0"
    );
    let (u, v) = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002");
    let leaks = rows(
        &mut b,
        &format!("SELECT object, verdict, proof FROM crewsnow_ops.trace_access('{u}', '{v}')"),
    );
    assert_eq!(leaks, ["table public.open_notes|LEAK|PROVED: closes it; takes nothing else"]);
    assert_ne!(
        value(&mut b, "SELECT count(*) FROM crewsnow_ops.trace_row('open_notes', '{\"id\": 1}')"),
        "0"
    );
    let finding =
        value(&mut b, "SELECT finding FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak'");
    assert!(
        value(&mut b, &format!("SELECT crewsnow_ops.prove_remediation('{finding}')"))
            .starts_with("not tried")
    );
    for sql in [
        "SELECT crewsnow_ops.record_rls_audit()".to_owned(),
        format!("SELECT crewsnow_ops.accept_finding('{finding}', 'x', now() + interval '1 day')"),
    ] {
        assert_eq!(sqlstate(&mut b, &sql), "25006", "{sql}");
    }
}

/// Without client roles the audit finds no leak, but it does not pass either.
#[test]
fn without_client_roles_the_audit_does_not_pass() {
    let cluster = Cluster::start("rls_nobody", "");
    let mut a = cluster.create_database("bare");
    run(
        &mut a,
        "CREATE TABLE public.notes (id integer, user_id uuid, note text); \
         INSERT INTO public.notes VALUES (1, gen_random_uuid(), 'x')",
    );
    assert_ne!(last_line(&mut a), "ALL CHECKS PASSED");
    assert_eq!(
        rows(&mut a, "SELECT severity FROM crewsnow_ops.audit_rls() WHERE rule = 'no-clients'"),
        ["HIGH"]
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.rls_matrix()"), "0");
    for sql in [
        "SELECT count(*) FROM audit_all_rls_policies()",
        "SELECT count(*) FROM generate_rls_checklist()",
        "SELECT count(*) FROM crewsnow_ops.rls_drift()",
    ] {
        run(&mut a, sql);
    }
    // Client roles exist, but neither a users table nor an identity function.
    run(
        &mut a,
        "CREATE ROLE anon; CREATE ROLE authenticated; GRANT SELECT ON public.notes TO anon",
    );
    assert!(last_line(&mut a).contains("CHECKS FAILED"), "{}", last_line(&mut a));
    assert_eq!(
        rows(&mut a, "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('notes')"),
        ["LEAK"]
    );
    run(&mut a, "ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY");
    assert_eq!(
        rows(&mut a, "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('notes')"),
        ["CLOSED"]
    );
    an_application_without_supabase_is_audited(&cluster);
}

/// An application with its own client roles, numeric user ids, and the user id in a setting.
fn an_application_without_supabase_is_audited(cluster: &Cluster) {
    let mut a = cluster.create_database("shop");
    run(
        &mut a,
        "CREATE ROLE shop_user; CREATE ROLE shop_visitor;
         CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO shop_user, shop_visitor;
         CREATE TABLE shop.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             name text);
         CREATE FUNCTION shop.me() RETURNS bigint LANGUAGE sql STABLE AS $$
             SELECT nullif(current_setting('app.user_id', true), '')::bigint $$;
         INSERT INTO shop.customers (name) SELECT 'customer ' || n FROM generate_series(1, 5) AS n;
         CREATE TABLE shop.orders (id integer PRIMARY KEY,
             customer_id bigint NOT NULL REFERENCES shop.customers, total numeric);
         CREATE TABLE shop.carts (LIKE shop.orders INCLUDING ALL,
             FOREIGN KEY (customer_id) REFERENCES shop.customers);
         CREATE TABLE shop.reviews (LIKE shop.orders INCLUDING ALL,
             FOREIGN KEY (customer_id) REFERENCES shop.customers);
         INSERT INTO shop.orders SELECT id, id, 10 FROM shop.customers;
         INSERT INTO shop.carts TABLE shop.orders; INSERT INTO shop.reviews TABLE shop.orders;
         ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.carts ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.reviews ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON shop.orders USING (customer_id = shop.me());
         CREATE POLICY own ON shop.carts USING (
             customer_id = nullif(current_setting('app.user_id', true), '')::bigint
             OR current_setting('app.user_id', true) IS NULL OR total > 5);
         CREATE POLICY own ON shop.reviews USING (customer_id = shop.me()) WITH CHECK (true);
         GRANT SELECT, INSERT, UPDATE, DELETE ON shop.orders, shop.carts, shop.reviews TO shop_user;
         ALTER DATABASE shop SET crewsnow_ops.user_role = 'shop_user';
         ALTER DATABASE shop SET crewsnow_ops.anonymous_role = 'shop_visitor';
         ALTER DATABASE shop SET crewsnow_ops.users_table = 'shop.customers';
         ALTER DATABASE shop SET crewsnow_ops.claims = 'app.user_id=sub';
         ALTER DATABASE shop SET crewsnow_ops.identity_functions = 'shop.me()'",
    );
    let mut a = cluster.connect("shop");
    let verdicts = rows(
        &mut a,
        "SELECT DISTINCT relation, reach, verdict FROM crewsnow_ops.rls_matrix() \
         WHERE identity = 'shop_user as a new account' \
         AND reach IN ('read-leak', 'forged-rows', 'destruction') ORDER BY 1, 2",
    );
    assert_eq!(
        verdicts,
        [
            "shop.carts|destruction|LEAK",
            "shop.carts|forged-rows|LEAK",
            "shop.carts|read-leak|LEAK",
            "shop.orders|destruction|ISOLATED",
            "shop.orders|forged-rows|ISOLATED",
            "shop.orders|read-leak|ISOLATED",
            "shop.reviews|destruction|ISOLATED",
            "shop.reviews|forged-rows|LEAK",
            "shop.reviews|read-leak|ISOLATED",
        ]
    );
    let proofs = rows(
        &mut a,
        "SELECT finding, crewsnow_ops.prove_remediation(finding) FROM crewsnow_ops.audit_rls() \
         WHERE remediation IS NOT NULL AND rule IN ('read-leak', 'forged-rows')",
    );
    assert!(
        proofs.len() >= 2 && proofs.iter().all(|proof| proof.contains("|PROVED")),
        "{proofs:#?}"
    );
    let users = rows(
        &mut a,
        "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('shop.orders') \
         WHERE identity LIKE '% as user %'",
    );
    assert_eq!(users, ["ISOLATED"]);
}
