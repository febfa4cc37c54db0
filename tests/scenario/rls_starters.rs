//! Typical Supabase applications, built correctly: the audit leaves nothing to wake a person for.
//! One fault planted in each is found.

use harness::{Cluster, root, rows, run, value};
use postgres::Client;
use std::fs;

const LAST_LINE: &str = "SELECT regexp_replace(run_day1_database_security_audit(), '.*\\n', '')";
const OPEN: &str = "SELECT concat_ws(' ', severity, finding) FROM crewsnow_ops.audit_rls() \
    WHERE severity <= 'MEDIUM' AND accepted_until IS NULL ORDER BY severity, finding";

/// A database with one application of rls_starters.sql.
pub fn starter(cluster: &Cluster, name: &str) -> Client {
    let source = include_str!("rls_starters.sql");
    let (stock, starters) = source.split_once("\n-- starter: ").expect("a starter");
    let mut starters = starters.split("\n-- starter: ");
    let tables = starters.find_map(|starter| starter.strip_prefix(name)).expect("the starter");
    let base = fs::read_to_string(root().join("tests/rls/base.sql")).expect("the base");
    let mut client = cluster.create_database(name);
    for sql in [&base, stock, tables] {
        run(&mut client, sql);
    }
    client
}

/// Pastes the statements that the list of public content suggests.
fn accept_public_content(client: &mut Client) -> Vec<String> {
    let list = "SELECT severity || ' ' || table_name FROM crewsnow_ops.rls_public_content()";
    let listed = rows(client, list);
    let statements = "SELECT replace(statement, '''why''', '''public by design''') \
        FROM crewsnow_ops.rls_public_content()";
    for statement in rows(client, statements) {
        run(client, &statement);
    }
    assert!(rows(client, list).is_empty(), "an accepted table is not suggested again");
    listed
}

#[test]
fn a_correct_starter_application_passes() {
    let cluster = Cluster::start("rls_starters", "");
    let mut blog = starter(&cluster, "blog");
    the_blog_needs_one_decision_per_public_table(&mut blog);
    public_content_stays_accepted_until_a_write_opens(&mut blog);
    let mut chat = starter(&cluster, "chat");
    the_chat_passes_and_an_open_policy_is_found(&mut chat);
    let mut teams = starter(&cluster, "teams");
    the_teams_pass_and_an_open_policy_is_found(&mut teams);
}

fn the_blog_needs_one_decision_per_public_table(client: &mut Client) {
    let name = |table: &str, policy: &str| {
        format!("CRITICAL read-leak policy \"{policy} viewable by everyone\" on public.{table}")
    };
    let leaks = [
        name("comments", "Comments are"),
        name("posts", "Posts are"),
        "CRITICAL read-leak policy \"Public profiles are viewable by everyone.\" on \
         public.profiles"
            .to_owned(),
    ];
    assert_eq!(rows(client, OPEN), leaks);
    assert_eq!(
        accept_public_content(client),
        [
            "CRITICAL public.comments",
            "CRITICAL public.posts",
            "CRITICAL public.profiles",
            "INFO public.categories"
        ]
    );
    assert_eq!(rows(client, OPEN), [""; 0]);
    assert_eq!(value(client, LAST_LINE), "ALL CHECKS PASSED");
    assert_eq!(
        rows(client, "SELECT table_name FROM generate_rls_checklist() WHERE status <> 'SECURE'"),
        [""; 0]
    );
    assert_eq!(
        rows(
            client,
            "SELECT table_name FROM audit_all_rls_policies() WHERE status = 'PUBLIC_READ_OK' \
             ORDER BY 1"
        ),
        ["public.categories", "public.comments", "public.posts", "public.profiles"]
    );
    run(client, "ALTER POLICY \"Users manage their todos\" ON public.todos USING (true)");
    let open = rows(client, OPEN);
    assert!(
        open.contains(
            &"CRITICAL read-leak policy \"Users manage their todos\" on public.todos".to_owned()
        ),
        "{open:?}"
    );
    run(
        client,
        "ALTER POLICY \"Users manage their todos\" ON public.todos
             USING ((SELECT auth.uid()) = user_id)",
    );
}

/// The acceptance of a table covers every reader, and no write.
fn public_content_stays_accepted_until_a_write_opens(client: &mut Client) {
    run(
        client,
        "CREATE POLICY \"Also by name\" ON public.posts FOR SELECT TO authenticated
             USING (id IS NOT NULL)",
    );
    assert_eq!(rows(client, OPEN), [""; 0], "another reading policy opens nothing");
    run(client, "DROP POLICY \"Also by name\" ON public.posts");
    run(client, "SELECT crewsnow_ops.record_rls_audit()");
    let security = "SELECT status FROM crewsnow_ops.dashboard WHERE signal = 'Security'";
    assert_eq!(value(client, security), "✅ OK");
    run(client, "ALTER POLICY \"Users delete their posts\" ON public.posts USING (true)");
    let open = rows(client, OPEN);
    assert_eq!(
        open,
        [
            "CRITICAL destruction policy \"Users delete their posts\" on public.posts",
            "CRITICAL read-leak policy \"Posts are viewable by everyone\" on public.posts"
        ]
    );
    assert_eq!(
        value(
            client,
            "SELECT substring(detail, 'accepted the table.*? open\\.') \
             FROM crewsnow_ops.audit_rls() \
             WHERE rule = 'read-leak' AND object LIKE '%public.posts'"
        )
        .replace(|c: char| c.is_ascii_digit(), "9"),
        "accepted the table's content as public until 9999-99-99. That is void while \
         destruction policy \"Users delete their posts\" on public.posts is open."
    );
    run(
        client,
        "ALTER POLICY \"Users delete their posts\" ON public.posts
             USING ((SELECT auth.uid()) = user_id)",
    );
    assert_eq!(rows(client, OPEN), [""; 0]);
    // New private columns make other content of it.
    run(
        client,
        "ALTER TABLE public.categories ADD user_id uuid REFERENCES auth.users;
         UPDATE public.categories SET user_id = (SELECT id FROM auth.users LIMIT 1)",
    );
    assert_eq!(
        rows(client, OPEN),
        ["CRITICAL read-leak policy \"Categories are viewable by everyone\" on public.categories"]
    );
}

fn the_chat_passes_and_an_open_policy_is_found(client: &mut Client) {
    assert_eq!(rows(client, OPEN), [""; 0]);
    // The checklist asks for a review of the table whose owners no column names.
    assert_eq!(value(client, LAST_LINE), "NO CHECK FAILED, 1 TO REVIEW");
    run(
        client,
        "SELECT crewsnow_ops.accept_finding(finding, 'its members own it', now() + interval '90 \
         days') FROM crewsnow_ops.audit_rls() WHERE rule = 'unknown-owner'",
    );
    assert_eq!(value(client, LAST_LINE), "ALL CHECKS PASSED");
    assert_eq!(accept_public_content(client), [""; 0]);
    run(
        client,
        "ALTER POLICY \"Members see messages\" ON public.messages
             USING ((SELECT auth.uid()) IS NOT NULL)",
    );
    assert_eq!(
        rows(client, OPEN),
        ["CRITICAL read-leak policy \"Members see messages\" on public.messages"]
    );
}

fn the_teams_pass_and_an_open_policy_is_found(client: &mut Client) {
    // Whether administrators alone write the memberships is a suspicion of one rule.
    let others = |client: &mut Client| {
        let mut open = rows(client, OPEN);
        open.retain(|finding| !finding.starts_with("HIGH policy-trusts-open-table policies"));
        open
    };
    assert!(rows(client, OPEN).len() <= 1, "{:?}", rows(client, OPEN));
    assert_eq!(others(client), [""; 0]);
    run(
        client,
        "ALTER POLICY \"Members manage projects\" ON public.projects
             USING ((SELECT auth.uid()) IS NOT NULL) WITH CHECK ((SELECT auth.uid()) IS NOT NULL)",
    );
    let open = others(client);
    assert!(
        open.iter()
            .any(|finding| finding.ends_with("\"Members manage projects\" on public.projects")),
        "{open:?}"
    );
}
