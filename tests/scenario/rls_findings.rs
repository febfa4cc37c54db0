//! Findings as an operator works with them: by root cause, sorted, accepted, on one screen.

use super::rls_starters::starter;
use harness::{Cluster, must_run, root, rows, run, sqlstate, value};
use postgres::Client;

const LAST_LINE: &str = "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')";

#[test]
fn findings_are_grouped_sorted_and_accepted() {
    let cluster = Cluster::start("rls_findings", "");
    let mut chat = starter(&cluster, "chat");
    stock_grants_are_one_finding_with_one_statement(&mut chat);
    severity_sorts_worst_first(&mut chat);
    one_habit_is_one_finding(&mut chat);
    a_client_role_that_logs_in_is_urgent(&mut chat);
    the_first_screen_fits_120_columns(&cluster, &mut chat);
    keys_of_supabases_linter_are_complete(&mut chat);
    a_table_is_accepted_only_if_it_is_readable(&mut chat);
    every_finding_links_to_its_documentation(&mut chat);
}

/// Findings of verdicts have no section of their own; the table of findings describes them.
fn every_finding_links_to_its_documentation(client: &mut Client) {
    run(
        client,
        "CREATE TABLE public.notices (id integer, body text);
        ALTER TABLE public.notices ENABLE ROW LEVEL SECURITY;
        CREATE POLICY shown ON public.notices USING (true);
        GRANT SELECT ON public.notices TO anon;
        GRANT DELETE, INSERT, UPDATE ON public.notices TO authenticated;
        CREATE TABLE public.broken (id integer, user_id uuid);
        ALTER TABLE public.broken ENABLE ROW LEVEL SECURITY;
        CREATE POLICY divides ON public.broken USING (1 / (id - id) = 1);
        GRANT SELECT ON public.broken TO authenticated;
        INSERT INTO public.broken SELECT 1, id FROM auth.users LIMIT 1;
        CREATE TABLE public.later (id integer, user_id uuid);
        ALTER TABLE public.later ENABLE ROW LEVEL SECURITY;
        CREATE POLICY opens ON public.later USING (true);
        REVOKE ALL ON public.later FROM PUBLIC, anon, authenticated;",
    );
    let found = rows(client, "SELECT rule, doc FROM crewsnow_ops.audit_rls()");
    let rules: Vec<&str> = found.iter().filter_map(|row| row.split('|').next()).collect();
    for rule in ["read-leak", "public-read", "open-insert", "failing-policies", "latent-leak"] {
        assert!(rules.contains(&rule), "{rule} in {rules:?}");
    }
    for row in &found {
        let (rule, link) = row.split_once('|').expect("two columns");
        let (page, section) = link.split_once('#').expect("a page and a section");
        let text = std::fs::read_to_string(root().join(page)).expect("the page exists");
        let has_heading = text.lines().any(|line| {
            let heading = line.trim_start_matches('#');
            heading.len() < line.len() && heading.trim().to_lowercase().replace(' ', "-") == section
        });
        assert!(has_heading, "{rule}: no section {section} in {page}");
        let is_reach = text.contains("the six reaches") && text.contains(&format!("`{rule}`"));
        assert!(section == rule || is_reach, "{rule}: {page} does not describe it");
    }
}

fn stock_grants_are_one_finding_with_one_statement(client: &mut Client) {
    let grants = "SELECT severity, finding, cardinality(objects), remediation \
        FROM crewsnow_ops.audit_rls() WHERE rule = 'privileges-beyond-rls'";
    assert_eq!(
        rows(client, grants),
        ["LOW|privileges-beyond-rls tables|4|REVOKE TRUNCATE, REFERENCES, TRIGGER ON ALL TABLES \
          IN SCHEMA public FROM PUBLIC, anon, authenticated;"]
    );
    assert_eq!(
        value(
            client,
            "SELECT left(crewsnow_ops.prove_remediation('privileges-beyond-rls tables'), 20)"
        ),
        "CLOSES IT, and takes"
    );
    assert_eq!(
        rows(
            client,
            "SELECT severity FROM crewsnow_ops.audit_rls() WHERE rule = 'default-privileges'"
        ),
        ["LOW"]
    );
}

fn severity_sorts_worst_first(client: &mut Client) {
    run(client, "ALTER POLICY \"Members see messages\" ON public.messages USING (true)");
    let sorted =
        rows(client, "SELECT DISTINCT severity FROM crewsnow_ops.audit_rls() ORDER BY severity");
    assert_eq!(sorted, ["CRITICAL", "LOW", "INFO"]);
    assert_eq!(value(client, "SELECT min(severity) FROM crewsnow_ops.audit_rls()"), "CRITICAL");
    assert_eq!(
        rows(client, "SELECT rule FROM crewsnow_ops.audit_rls() WHERE severity <= 'MEDIUM'"),
        ["read-leak"]
    );
    // Texts of other clients still compare, and a word that is no severity fails.
    assert_eq!(
        value(
            client,
            "SELECT count(*) FROM crewsnow_ops.audit_rls() WHERE severity IN ('CRITICAL', 'HIGH')"
        ),
        "1"
    );
    assert_eq!(
        sqlstate(client, "SELECT FROM crewsnow_ops.audit_rls() WHERE severity < 'L'"),
        "22P02"
    );
    run(
        client,
        "ALTER POLICY \"Members see messages\" ON public.messages
             USING (chat_id IN (SELECT private.my_chats()))",
    );
}

/// Twelve policies with one habit. An acceptance covers those that existed then.
fn one_habit_is_one_finding(client: &mut Client) {
    let table = |n: usize| {
        format!(
            "CREATE TABLE public.list_{n} (id integer PRIMARY KEY,
                 user_id uuid NOT NULL REFERENCES auth.users);
             CREATE INDEX ON public.list_{n} (user_id);
             ALTER TABLE public.list_{n} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON public.list_{n} TO authenticated USING (auth.uid() = user_id);"
        )
    };
    run(client, &(1..=12).map(table).collect::<String>());
    let habit = "SELECT finding, accepted_until IS NOT NULL, cardinality(objects),
            cardinality(cache_keys), object LIKE 'policy \"own\" on public.list_1, %',
            object LIKE '% and % more'
        FROM crewsnow_ops.audit_rls() WHERE rule = 'per-row-identity' ORDER BY 2, 1";
    assert_eq!(rows(client, habit), ["per-row-identity policies|f|12|12|t|t"]);
    assert_eq!(
        rows(
            client,
            "SELECT lint, cache_key FROM crewsnow_ops.audit_rls() WHERE rule = 'per-row-identity'"
        ),
        ["0003_auth_rls_initplan|auth_rls_init_plan_public_list_1_own"]
    );
    assert_eq!(
        value(
            client,
            "SELECT count(*) FROM audit_all_rls_policies() WHERE issues::text ~ 'per-row-identity'"
        ),
        "12",
        "each policy has its own row"
    );
    assert_eq!(
        value(
            client,
            "SELECT left(crewsnow_ops.prove_remediation('per-row-identity policies'), 17)"
        ),
        "PROVED: closes it"
    );
    run(
        client,
        "SELECT crewsnow_ops.accept_finding('per-row-identity policies', 'small tables',
             now() + interval '9 days')",
    );
    assert_eq!(rows(client, habit), ["per-row-identity policies|t|12|12|t|t"]);
    assert_eq!(value(client, "SELECT count(*) FROM crewsnow_ops.rls_acceptances"), "12");
    run(client, &table(13));
    assert_eq!(
        rows(client, habit),
        [
            "per-row-identity policy \"own\" on public.list_13|f|1|1|f|f",
            "per-row-identity policies|t|12|12|t|t"
        ],
        "a new policy is open, the others stay accepted"
    );
}

fn a_client_role_that_logs_in_is_urgent(client: &mut Client) {
    run(client, "ALTER ROLE anon LOGIN");
    assert_eq!(
        rows(
            client,
            "SELECT severity, cardinality(objects) FROM crewsnow_ops.audit_rls() \
             WHERE rule = 'privileges-beyond-rls'"
        ),
        ["HIGH|17"]
    );
    run(client, "ALTER ROLE anon NOLOGIN");
}

fn the_first_screen_fits_120_columns(cluster: &Cluster, client: &mut Client) {
    run(
        client,
        "CREATE TABLE public.\"A table with a very long name, as generators write them, \
             and more\" (id integer PRIMARY KEY, user_id uuid REFERENCES auth.users);
         INSERT INTO public.\"A table with a very long name, as generators write them, and more\"
             SELECT 1, id FROM auth.users LIMIT 1;
         ALTER POLICY \"Members see messages\" ON public.messages USING (true);
         ALTER POLICY \"Senders edit messages\" ON public.messages USING (true) WITH CHECK (true)",
    );
    let screen =
        must_run(cluster.psql("chat").args(["-c", "SELECT * FROM crewsnow_ops.rls_worst()"]));
    let widest = screen.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(120), "{widest:?}\n{screen}");
    let first = rows(client, "SELECT * FROM crewsnow_ops.rls_worst(3)");
    assert_eq!(first.len(), 3);
    assert!(first[0].starts_with("1|CRITICAL|"), "{first:?}");
    let causes = rows(client, "SELECT rule, object FROM crewsnow_ops.rls_worst() WHERE count = 1");
    assert!(
        causes.contains(&"planted-rows +2|public.messages".to_owned()),
        "verdicts on one policy are one line: {causes:?}"
    );
    // Each place has a page, and so has each name.
    let pages = "SELECT string_agg(left(crewsnow_ops.rls_finding(place::text), 8), ',')
        FROM crewsnow_ops.rls_worst(2)";
    assert_eq!(value(client, pages), "CRITICAL,CRITICAL");
    let page = value(
        client,
        "SELECT crewsnow_ops.rls_finding('read-leak policy \"Members see messages\" on \
             public.messages')",
    );
    for part in [
        "\nEvidence\n",
        "\nRemediation\n",
        "would take rows from team members",
        "\n  SELECT crewsnow_ops.accept_finding('public.messages', 'why', now() + ",
        "docs/rls.md#findings-that-follow-from-verdicts",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert_eq!(sqlstate(client, "SELECT crewsnow_ops.rls_finding('99')"), "42704");
    let report = value(client, "SELECT run_day1_database_security_audit()");
    let top: Vec<&str> = report.lines().skip(3).take_while(|line| !line.starts_with('[')).collect();
    assert!(top[1].starts_with("  1 CRITICAL "), "{top:?}");
    assert!(top.iter().all(|line| line.chars().count() <= 120), "{top:?}");
}

fn keys_of_supabases_linter_are_complete(client: &mut Client) {
    assert_eq!(
        rows(
            client,
            "SELECT DISTINCT lint, cache_key FROM crewsnow_ops.audit_rls() WHERE rule = 'tampering'"
        ),
        ["0024_rls_policy_always_true|\
          rls_policy_always_true_public_messages_Senders edit messages"]
    );
    run(
        client,
        "CREATE FUNCTION public.all_messages() RETURNS SETOF public.messages LANGUAGE sql STABLE
             SECURITY DEFINER SET search_path = '' AS 'SELECT * FROM public.messages'",
    );
    assert_eq!(
        rows(
            client,
            "SELECT unnest(cache_keys) FROM crewsnow_ops.audit_rls() \
             WHERE rule = 'definer-function' AND object ~ 'all_messages' ORDER BY 1"
        ),
        [
            "anon_security_definer_function_executable_public_all_messages_",
            "authenticated_security_definer_function_executable_public_all_messages_"
        ]
    );
    // Each key of a finding belongs to a lint.
    assert_eq!(
        rows(
            client,
            "SELECT finding FROM crewsnow_ops.audit_rls() \
             WHERE (cache_key IS NULL) <> (lint IS NULL)"
        ),
        [""; 0]
    );
    run(client, "DROP FUNCTION public.all_messages()");
}

fn a_table_is_accepted_only_if_it_is_readable(client: &mut Client) {
    let accept = |table: &str| {
        format!("SELECT crewsnow_ops.accept_finding('{table}', 'x', now() + interval '1 day')")
    };
    assert_eq!(sqlstate(client, &accept("public.chats")), "42704", "members alone read it");
    assert_eq!(sqlstate(client, &accept("public.no_such_table")), "42704");
    let error = client.batch_execute(&accept("public.mesages")).expect_err("a typo");
    let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default();
    assert!(detail.contains("\"public.messages\""), "{detail}");
    assert_ne!(value(client, LAST_LINE), "ALL CHECKS PASSED");
}

/// An empty database is no issue, and no proof of safety either.
#[test]
fn an_empty_database_has_no_data() {
    let cluster = Cluster::start("rls_empty", "");
    for roles in ["", "CREATE ROLE anon; CREATE ROLE authenticated"] {
        let name = if roles.is_empty() { "without_roles" } else { "with_roles" };
        let mut client = cluster.create_database(name);
        run(&mut client, roles);
        let unmet = "SELECT count(*) FROM generate_rls_checklist() WHERE status <> 'SECURE'";
        assert_eq!(value(&mut client, unmet), "0", "{name}");
        assert!(
            value(&mut client, "SELECT recommendation FROM generate_rls_checklist()")
                .starts_with("NO_DATA"),
            "{name}"
        );
        assert_eq!(
            value(&mut client, LAST_LINE),
            "NO_DATA: the database has no table, nothing was checked",
            "{name}"
        );
        run(&mut client, "SELECT crewsnow_ops.record_rls_audit()");
        assert_eq!(
            value(
                &mut client,
                "SELECT status FROM crewsnow_ops.dashboard WHERE signal = 'Security'"
            ),
            "⚪ NO DATA",
            "{name}"
        );
        run(
            &mut client,
            "CREATE TABLE public.notes (id integer, user_id uuid);
             GRANT SELECT ON public.notes TO PUBLIC",
        );
        assert_ne!(value(&mut client, unmet), "0", "{name}: a table needs an audit");
        assert!(!value(&mut client, LAST_LINE).contains("PASSED"), "{name}");
    }
}

/// The extension causes no finding of Supabase's linter, with the conditions of its lints about
/// tables, policies, views and functions. In the schema public, the lint about extensions there
/// names it: the runbook needs it in public.
#[test]
fn the_extension_adds_no_finding_of_supabases_linter() {
    let cluster = Cluster::start("rls_lints", "");
    cluster.create_empty_database("lints");
    let mut client = cluster.connect("lints");
    run(
        &mut client,
        "CREATE ROLE anon; CREATE ROLE authenticated;
         GRANT USAGE ON SCHEMA public TO anon, authenticated;
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated;
         CREATE SCHEMA ops;
         CREATE EXTENSION crewsnow_ops SCHEMA ops",
    );
    let lints = rows(&mut client, include_str!("rls_lints.sql"));
    assert_eq!(lints, [""; 0]);
    run(
        &mut client,
        "CREATE TABLE public.bad (id integer);
         CREATE TABLE public.policed (id integer);
         ALTER TABLE public.policed ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON public.policed FOR ALL USING (true);
         CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    );
    let lints = rows(&mut client, include_str!("rls_lints.sql"));
    assert_eq!(lints.len(), 4, "the conditions find planted faults: {lints:?}");
}
