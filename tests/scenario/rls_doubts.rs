//! What the audit cannot know it does not say: rows that a client could write are made and tried, what triggers or sessions may change is suspected
//! only, and what was accepted or not looked at is told from what is.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

const LAST_LINE: &str = "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')";

/// What the tables of rls_doubts.sql say that they must be.
#[test]
fn verdicts_on_writing() {
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
        let (name, told) = table.split_once('|').expect("a name and what is to be told");
        let cells = rows(
            &mut a,
            &format!(
                "SELECT concat_ws(' ', reach, CASE WHEN identity LIKE '% as a new account'
                     THEN 'new' WHEN identity LIKE '% as an anonymous sign-in' THEN 'guest'
                    WHEN role = 'anon' THEN 'anon' ELSE 'user' END, verdict,
                        coalesce(confidence, '')), coalesce(remark, '')
                 FROM crewsnow_ops.rls_matrix('public.{name}')"
            ),
        );
        for told in told.split("; ") {
            if !cells.iter().any(|cell| cell.split('|').next() == Some(told)) {
                wrong.push(format!("{name}: {told:?} is not among {cells:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    made_rows_are_rows(&mut a);
    let suspected = rows(
        &mut a,
        "SELECT severity, confidence, evidence LIKE
             '%the BEFORE trigger \"sets it\" may correct or reject%' FROM crewsnow_ops.audit_rls()
         WHERE rule = 'forged-rows' AND object LIKE '% on public.helped'",
    );
    assert_eq!(suspected, ["CRITICAL|SUSPECTED|t"]);
    let untold = value(
        &mut a,
        "SELECT remark FROM crewsnow_ops.rls_matrix('public.pattern') \
         WHERE reach = 'forged-rows' AND identity LIKE '% as a new account'",
    );
    assert!(untold.contains("the writer chooses code"), "{untold}");
}

/// A real session writes what the audit says that one can, and not what it says that one cannot.
fn made_rows_are_rows(a: &mut Client) {
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

/// Text keys of an extension's type, numbers without accounts, and ids that are none.
#[test]
fn keys_of_other_types() {
    let cluster = Cluster::start("rls_keys", "");
    numbers_without_accounts(&cluster);
    let mut a = supabase(&cluster, "keys");
    // Some servers for tests come without contrib.
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
         CREATE POLICY p ON public.named USING (user_id OPERATOR(ext.=)
             auth.uid()::text::ext.citext OR note IS NULL);
         CREATE POLICY p ON public.own USING (user_id OPERATOR(ext.=) (SELECT
             auth.uid())::text::ext.citext)",
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
        .expect_err("it is no id");
    let error = error.as_db_error().expect("the server's");
    assert_eq!(
        (error.code().code(), error.detail()),
        ("22P02", Some("The ids of users are of type uuid."))
    );
    run(&mut a, error.hint().expect("a statement that can be typed"));
}

/// Neither accounts nor a function that tells who asks: ids are numbers all the same.
fn numbers_without_accounts(cluster: &Cluster) {
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
    let told = rows(
        &mut a,
        "SELECT relation, verdict FROM crewsnow_ops.rls_matrix() \
         WHERE reach = 'read-leak' AND identity = 'clerk as a new account' ORDER BY 1",
    );
    assert_eq!(told, ["shop.open|LEAK", "shop.orders|ISOLATED"]);
    assert_eq!(
        sqlstate(&mut a, "SELECT * FROM crewsnow_ops.effective_rls('shop.orders', 'clerk', 'x')"),
        "22P02"
    );
}

/// What was accepted is not what it has become, what is not listed is counted, and what was not looked at has not been closed.
#[test]
fn what_is_shown_is_all() {
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
            detail LIKE '%accepted it until%when it was HIGH: it is worse now.'
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
    assert_eq!(value(&mut a, kept), "1", "the dashboard speaks of it again");
    run(&mut a, accept);
    assert_eq!(rows(&mut a, finding), ["CRITICAL|t|f"], "accepted as it is now");
    run(&mut a, &format!("ALTER POLICY p ON public.docs {narrow}"));
    assert_eq!(rows(&mut a, finding), ["HIGH|t|f"], "and so is what is less");
    more_than_are_listed(&mut a);
    what_was_not_looked_at(&mut a);
    constraints_are_tried_as_the_owner(&cluster, &mut a);
}

fn more_than_are_listed(a: &mut Client) {
    run(
        a,
        "DO $$ BEGIN FOR n IN 1 .. 205 LOOP EXECUTE \
         format('CREATE TABLE public.open_%s (id integer); GRANT SELECT ON public.open_%1$s TO \
         anon', n); END LOOP; END $$",
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

fn what_was_not_looked_at(a: &mut Client) {
    run(
        a,
        "CREATE FUNCTION private.slow() RETURNS boolean
             LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN true; END $$;
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

/// A new foreign key has all rows looked at, by functions of the table's owner: never as the superuser who tries it.
fn constraints_are_tried_as_the_owner(cluster: &Cluster, a: &mut Client) {
    run(
        a,
        "CREATE ROLE app_owner; CREATE SCHEMA app AUTHORIZATION app_owner;
         GRANT USAGE ON SCHEMA auth TO app_owner; GRANT USAGE ON SCHEMA app TO authenticated;
         SET ROLE app_owner;
         CREATE FUNCTION app.look(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
             THEN RAISE WARNING 'ran with a superuser''s rights'; END IF; RETURN 1; END $$;
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
        "a function of the table's owner"
    );
}
