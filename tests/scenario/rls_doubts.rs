//! The audit overstates nothing. Candidate rows prove write leaks. A trigger or a session that may
//! change the answer lowers the confidence to SUSPECTED. An accepted finding that becomes worse, a
//! finding beyond the listed ones and a relation without a verdict stay visible.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

const LAST_LINE: &str = "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')";

/// The comments of the tables in rls_doubts.sql list the expected cells of the matrix.
#[test]
fn write_verdicts_match_the_comments_of_the_tables() {
    let cluster = Cluster::start("rls_doubts", "");
    let mut a = supabase(&cluster, "doubts");
    run(&mut a, include_str!("rls_doubts.sql"));
    run(&mut a, "ALTER DATABASE doubts SET search_path = public, pg_catalog; ANALYZE");
    let mut a = cluster.connect("doubts");
    let tables = rows(
        &mut a,
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
         WHERE relnamespace = 'public'::regnamespace
         AND obj_description(oid, 'pg_class') ~ '^[a-z-]+ (new|guest|user|anon) ' ORDER BY 1",
    );
    assert!(tables.len() > 30, "{tables:?}");
    let mut wrong = Vec::new();
    for table in tables {
        let (name, expected) = table.split_once('|').expect("a name and the expected cells");
        let cells = rows(
            &mut a,
            &format!(
                "SELECT
                    concat_ws(' ', reach,
                        CASE WHEN identity LIKE '% as a new account' THEN 'new'
                            WHEN identity LIKE '% as an anonymous sign-in' THEN 'guest'
                            WHEN role = 'anon' THEN 'anon' ELSE 'user' END,
                        verdict, coalesce(confidence, '')),
                    coalesce(remark, '')
                 FROM crewsnow_ops.rls_matrix('public.{name}')"
            ),
        );
        for expected in expected.split("; ") {
            if !cells.iter().any(|cell| cell.split('|').next() == Some(expected)) {
                wrong.push(format!("{name}: {expected:?} is not among {cells:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    a_session_confirms_the_write_verdicts(&mut a);
    let suspected = rows(
        &mut a,
        "SELECT severity, confidence,
            evidence LIKE '%the BEFORE trigger \"sets it\" may correct or reject%'
         FROM crewsnow_ops.audit_rls()
         WHERE rule = 'forged-rows' AND object LIKE '% on public.helped'",
    );
    assert_eq!(suspected, ["CRITICAL|SUSPECTED|t"]);
    let remark = value(
        &mut a,
        "SELECT remark FROM crewsnow_ops.rls_matrix('public.pattern') \
         WHERE reach = 'forged-rows' AND identity LIKE '% as a new account'",
    );
    assert!(remark.contains("the writer chooses code"), "{remark}");
}

/// A session of the client role confirms verdicts on writing, both LEAK and ISOLATED.
fn a_session_confirms_the_write_verdicts(a: &mut Client) {
    let (user, other) =
        ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002");
    for (statement, state) in [
        (format!("INSERT INTO in_crew VALUES ('{other}', 1)"), ""),
        (format!("INSERT INTO in_crew VALUES ('{other}', 3)"), "42501"),
        (format!("INSERT INTO narrow VALUES ('{other}', NULL, NULL, NULL, NULL, 101)"), ""),
        ("UPDATE changed SET price = 101".to_owned(), ""),
        (format!("UPDATE sent SET user_id = '{other}', kind = 'sent'"), ""),
        (format!("UPDATE taken SET receiver = '{user}'"), ""),
        (format!("UPDATE letters SET receiver = '{other}'"), ""),
        (format!("INSERT INTO helped VALUES ('{other}')"), ""),
    ] {
        run(
            a,
            &format!(
                "BEGIN; SET LOCAL request.jwt.claims = '{{\"sub\": \"{user}\"}}'; \
                 SET LOCAL ROLE authenticated"
            ),
        );
        match state {
            "" => run(a, &statement),
            state => assert_eq!(sqlstate(a, &statement), state, "{statement}"),
        }
        run(a, "ROLLBACK");
    }
}

/// Owner columns of type citext, numbers without a users table, and invalid ids.
#[test]
fn owner_ids_may_have_any_type() {
    let cluster = Cluster::start("rls_keys", "");
    numeric_ids_need_no_users_table(&cluster);
    let mut a = supabase(&cluster, "keys");
    // Some test servers lack contrib.
    if value(&mut a, "SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'") == "0" {
        return;
    }
    run(
        &mut a,
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
         GRANT USAGE ON SCHEMA ext TO authenticated;
         INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 4) AS n;
         CREATE TABLE public.named (user_id ext.citext, note text);
         INSERT INTO public.named SELECT id::text FROM auth.users;
         CREATE TABLE public.own (LIKE public.named); INSERT INTO public.own TABLE public.named;
         ALTER TABLE public.named ENABLE ROW LEVEL SECURITY;
         ALTER TABLE public.own ENABLE ROW LEVEL SECURITY;
         GRANT SELECT ON public.named, public.own TO authenticated;
         CREATE POLICY p ON public.named
             USING (user_id OPERATOR(ext.=) auth.uid()::text::ext.citext OR note IS NULL);
         CREATE POLICY p ON public.own
             USING (user_id OPERATOR(ext.=) (SELECT auth.uid())::text::ext.citext)",
    );
    let verdict = |a: &mut Client, table: &str| {
        let sql = "SELECT DISTINCT verdict FROM crewsnow_ops.rls_matrix('@') \
            WHERE reach = 'read-leak' AND identity LIKE '% as a new account'";
        value(a, &sql.replace('@', table))
    };
    assert_eq!(verdict(&mut a, "public.named"), "LEAK");
    assert_eq!(verdict(&mut a, "public.own"), "ISOLATED");
    let error = a
        .batch_execute(
            "SELECT * FROM crewsnow_ops.effective_rls('public.own', 'authenticated', 'not a uuid')",
        )
        .expect_err("the id is invalid");
    let error = error.as_db_error().expect("the server's");
    assert_eq!(
        (error.code().code(), error.detail()),
        ("22P02", Some("User ids are of type uuid."))
    );
    run(&mut a, error.hint().expect("a statement that can be typed"));
}

/// Neither a users table nor an identity function is set. The ids are numbers nevertheless.
fn numeric_ids_need_no_users_table(cluster: &Cluster) {
    let mut a = cluster.create_database("numbers");
    run(
        &mut a,
        "CREATE ROLE clerk; CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO clerk;
         CREATE TABLE shop.orders (id integer PRIMARY KEY, customer bigint NOT NULL);
         INSERT INTO shop.orders SELECT n, n FROM generate_series(1, 5) AS n;
         CREATE TABLE shop.open (id integer PRIMARY KEY, customer bigint NOT NULL);
         INSERT INTO shop.open TABLE shop.orders;
         ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.open ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON shop.orders USING (customer = current_setting('app.user_id')::bigint);
         CREATE POLICY own ON shop.open USING (customer = current_setting('app.user_id')::bigint
             OR customer > 2);
         GRANT SELECT ON shop.orders, shop.open TO clerk;
         ALTER DATABASE numbers SET crewsnow_ops.user_role = 'clerk';
         ALTER DATABASE numbers SET crewsnow_ops.anonymous_role = '';
         ALTER DATABASE numbers SET crewsnow_ops.users_table = '';
         ALTER DATABASE numbers SET crewsnow_ops.claims = 'app.user_id=sub';
         ALTER DATABASE numbers SET crewsnow_ops.identity_functions = ''",
    );
    let mut a = cluster.connect("numbers");
    let verdicts = rows(
        &mut a,
        "SELECT relation, verdict FROM crewsnow_ops.rls_matrix() \
         WHERE reach = 'read-leak' AND identity = 'clerk as a new account' ORDER BY 1",
    );
    assert_eq!(verdicts, ["shop.open|LEAK", "shop.orders|ISOLATED"]);
    assert_eq!(
        sqlstate(&mut a, "SELECT * FROM crewsnow_ops.effective_rls('shop.orders', 'clerk', 'x')"),
        "22P02"
    );
}

/// An acceptance does not cover a finding that becomes worse. Findings beyond the list are counted.
/// A relation without a verdict is not reported as closed.
#[test]
fn acceptances_lists_and_drift_hide_no_finding() {
    let cluster = Cluster::start("rls_shown", "");
    let mut a = supabase(&cluster, "shown");
    let narrow =
        "USING (EXISTS (SELECT FROM private.people AS p WHERE p.user_id = (SELECT auth.uid())))";
    run(
        &mut a,
        &format!(
            "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
                 FROM generate_series(1, 4) AS n;
             CREATE TABLE private.people (user_id uuid);
             INSERT INTO private.people SELECT id FROM auth.users;
             GRANT SELECT ON private.people TO authenticated;
             CREATE TABLE public.docs (user_id uuid REFERENCES auth.users);
             INSERT INTO public.docs SELECT id FROM auth.users;
             ALTER TABLE public.docs ENABLE ROW LEVEL SECURITY;
             GRANT SELECT ON public.docs TO authenticated;
             CREATE POLICY p ON public.docs FOR SELECT TO authenticated {narrow}"
        ),
    );
    let finding = "SELECT severity, accepted_until IS NOT NULL,
        detail LIKE '%accepted it until%when it was HIGH. It is worse now.'
        FROM crewsnow_ops.audit_rls() WHERE finding = 'read-leak policy \"p\" on public.docs'";
    let accept = "SELECT crewsnow_ops.accept_finding('read-leak policy \"p\" on public.docs', \
        'staff only', now() + interval '1 day')";
    let kept =
        "SELECT count(*) FROM crewsnow_ops.dashboard AS d WHERE d::text LIKE '%read-leak policy%'";
    assert_eq!(rows(&mut a, finding), ["HIGH|f|f"]);
    run(&mut a, accept);
    assert_eq!(rows(&mut a, finding), ["HIGH|t|f"]);
    run(&mut a, "SELECT crewsnow_ops.record_rls_audit()");
    assert_eq!(value(&mut a, kept), "0");
    run(&mut a, "ALTER POLICY p ON public.docs USING (true)");
    assert_eq!(rows(&mut a, finding), ["CRITICAL|f|t"]);
    assert!(value(&mut a, LAST_LINE).contains("1 critical"), "{}", value(&mut a, LAST_LINE));
    run(&mut a, "SELECT crewsnow_ops.record_rls_audit()");
    assert_eq!(value(&mut a, kept), "1", "the dashboard shows the finding again");
    run(&mut a, accept);
    assert_eq!(
        rows(&mut a, finding),
        ["CRITICAL|t|f"],
        "the new acceptance covers the worse finding"
    );
    run(&mut a, &format!("ALTER POLICY p ON public.docs {narrow}"));
    assert_eq!(
        rows(&mut a, finding),
        ["HIGH|t|f"],
        "the acceptance also covers the lesser finding"
    );
    findings_beyond_the_list_are_counted(&mut a);
    relations_without_a_verdict_are_not_closed(&mut a);
    constraints_are_proved_as_the_table_owner(&cluster, &mut a);
}

fn findings_beyond_the_list_are_counted(a: &mut Client) {
    run(
        a,
        "DO $$ BEGIN FOR n IN 1 .. 205 LOOP
            EXECUTE format(
                'CREATE TABLE public.open_%s (id integer);
                GRANT SELECT ON public.open_%1$s TO anon', n);
         END LOOP; END $$",
    );
    let listed = rows(
        a,
        "SELECT count(*), max(detail) FILTER (WHERE object = 'rule rls-off') \
         FROM crewsnow_ops.audit_rls() WHERE rule = 'rls-off'",
    );
    assert_eq!(listed, ["201|5 more findings beside the 200 listed."]);
    run(
        a,
        "DO $$ BEGIN FOR n IN 1 .. 205 LOOP EXECUTE format('DROP TABLE public.open_%s', n); \
         END LOOP; END $$",
    );
}

fn relations_without_a_verdict_are_not_closed(a: &mut Client) {
    run(
        a,
        "CREATE FUNCTION private.slow() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
         BEGIN PERFORM pg_sleep(0.2); RETURN true; END $$;
         CREATE TABLE public.aaa (user_id uuid REFERENCES auth.users);
         INSERT INTO public.aaa SELECT id FROM auth.users;
         ALTER TABLE public.aaa ENABLE ROW LEVEL SECURITY;
         GRANT SELECT ON public.aaa TO authenticated;
         CREATE POLICY p ON public.aaa USING (private.slow());
         GRANT UPDATE, DELETE ON public.docs TO authenticated;
         CREATE POLICY q ON public.docs FOR UPDATE USING (true);
         CREATE POLICY r ON public.docs FOR DELETE USING (true);
         SELECT crewsnow_ops.record_rls_audit(); SET crewsnow_ops.audit_time = '100ms'",
    );
    let drift = rows(
        a,
        "SELECT change, object, after FROM crewsnow_ops.rls_drift() \
         WHERE object LIKE '%public.docs%' AND object !~ '^(per-row|unindexed)' ORDER BY 1, 2",
    );
    assert!(drift.len() >= 8, "{drift:#?}");
    assert!(
        drift.iter().all(|d| d.starts_with("CHANGED|") && d.contains("|INCONCLUSIVE")),
        "{drift:#?}"
    );
    run(a, "RESET crewsnow_ops.audit_time; DROP TABLE public.aaa");
}

/// A new foreign key checks all rows, which may call functions of the table's owner. They run as
/// that owner, never as the superuser who runs the proof.
fn constraints_are_proved_as_the_table_owner(cluster: &Cluster, a: &mut Client) {
    run(
        a,
        "CREATE ROLE app_owner; CREATE SCHEMA app AUTHORIZATION app_owner;
         GRANT USAGE ON SCHEMA auth TO app_owner; GRANT USAGE ON SCHEMA app TO authenticated;
         SET ROLE app_owner;
         CREATE FUNCTION app.look(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
             THEN RAISE WARNING 'ran with a superuser''s rights'; END IF;
             RETURN 1;
         END $$;
         CREATE TABLE app.orders (id integer PRIMARY KEY, user_id uuid);
         CREATE TABLE app.lines (order_id integer REFERENCES app.orders ON DELETE CASCADE,
             user_id uuid);
         INSERT INTO app.orders VALUES (1); INSERT INTO app.lines VALUES (1);
         CREATE INDEX ON app.lines (order_id) WHERE app.look(1) = 1;
         ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
         ALTER TABLE app.lines ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON app.orders FOR DELETE USING (true);
         CREATE POLICY p ON app.lines FOR SELECT USING (user_id = auth.uid());
         GRANT DELETE ON app.orders TO authenticated; GRANT SELECT ON app.lines TO authenticated;
         RESET ROLE",
    );
    let proofs = rows(
        &mut cluster.connect("shown"),
        "SELECT rule, crewsnow_ops.prove_remediation(finding) FROM crewsnow_ops.audit_rls() \
         WHERE remediation LIKE '%ADD CONSTRAINT%'",
    );
    assert!(proofs.len() == 1 && proofs[0].contains("|PROVED"), "{proofs:?}");
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log"))
        .expect("the server's log");
    assert!(
        !log.contains("WARNING:  ran with a superuser's rights"),
        "a function of the table's owner ran as a superuser"
    );
}
