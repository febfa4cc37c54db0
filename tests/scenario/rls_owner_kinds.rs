//! Owners that are named by a text, a JSON value, an array, a folder or another key: each verdict
//! agrees with the rows that real sessions reach.

use crate::rls_hostile::supabase;
use crate::rls_truth::{Shape, compare, user};
use harness::{Cluster, rows, run, value};
use postgres::Client;

macro_rules! shape {
    ($table:literal, $own:literal, $give:literal, $insert:literal) => {
        Shape {
            table: concat!("public.", $table),
            own: $own,
            change: "note = 'x'",
            give: &[$give],
            insert: &[concat!("INSERT INTO public.", $table, " ", $insert)],
        }
    };
}

const SHAPES: &[Shape] = &[
    shape!("texts", "who = '@user@'", "who = '@user@'", "(id, who) VALUES (99, '@user@')"),
    shape!("texts_open", "who = '@user@'", "who = '@user@'", "(id, who) VALUES (99, '@user@')"),
    shape!(
        "events",
        "data ->> 'user_id' = '@user@'",
        r#"data = '{"user_id": "@user@", "kind": "a"}'"#,
        r#"(id, data) VALUES (99, '{"user_id": "@user@", "kind": "a"}')"#
    ),
    shape!(
        "events_open",
        "data ->> 'user_id' = '@user@'",
        r#"data = '{"user_id": "@user@"}'"#,
        r#"(id, data) VALUES (99, '{"user_id": "@user@"}')"#
    ),
    shape!(
        "nested",
        "meta #>> '{owner,id}' = '@user@'",
        r#"meta = '{"owner": {"id": "@user@"}}'"#,
        r#"(id, meta) VALUES (99, '{"owner": {"id": "@user@"}}')"#
    ),
    shape!(
        "partly",
        "data ->> 'user_id' = '@user@'",
        r#"data = '{"user_id": "@user@", "kind": "b"}'"#,
        r#"(id, data) VALUES (99, '{"user_id": "@user@", "kind": "b"}')"#
    ),
    shape!(
        "chats",
        "'@user@' = ANY (member_ids)",
        "member_ids = '{@user@}'",
        "(id, member_ids) VALUES (99, '{@user@}')"
    ),
    shape!(
        "chats_open",
        "'@user@' = ANY (member_ids)",
        "member_ids = '{@user@}'",
        "(id, member_ids) VALUES (99, '{@user@}')"
    ),
    shape!(
        "handles",
        "'@user@' = ANY (people)",
        "people = '{@user@}'",
        "(id, people) VALUES (99, '{@user@}')"
    ),
    shape!(
        "albums",
        "owner_id = '@user@' OR '@user@' = ANY (viewers)",
        "owner_id = '@user@'",
        "(id, owner_id) VALUES (99, '@user@')"
    ),
    shape!(
        "files",
        "name LIKE '@user@/%'",
        "name = '@user@/g.zip'",
        "(id, name, owner) VALUES (99, '@user@/g.zip', '@user@')"
    ),
    shape!(
        "files_open",
        "name LIKE '@user@/%'",
        "name = '@user@/g.zip'",
        "(id, name) VALUES (99, '@user@/g.zip')"
    ),
    shape!(
        "persons",
        "auth_id = '@user@'",
        "auth_id = '@user@'",
        "(id, auth_id) VALUES (99, '@user@')"
    ),
    shape!(
        "orders",
        "person_id = ('x' || right('@user@', 1))::bit(4)::integer",
        "person_id = ('x' || right('@user@', 1))::bit(4)::integer",
        "(id, person_id) VALUES (99, ('x' || right('@user@', 1))::bit(4)::integer)"
    ),
    shape!(
        "orders_open",
        "person_id = ('x' || right('@user@', 1))::bit(4)::integer",
        "person_id = ('x' || right('@user@', 1))::bit(4)::integer",
        "(id, person_id) VALUES (99, ('x' || right('@user@', 1))::bit(4)::integer)"
    ),
    shape!(
        "visits_open",
        "seen_by_person = '@user@'",
        "seen_by_person = '@user@'",
        "(id, seen_by_person) VALUES (99, '@user@')"
    ),
    shape!(
        "todos_open",
        "user_id = '@user@'",
        "user_id = '@user@'",
        "(id, user_id) VALUES (auth.uid(), '@user@')"
    ),
    shape!(
        "folders",
        "name LIKE '@user@/%'",
        "name = '@user@/g.zip'",
        "(id, name) VALUES (99, '@user@/g.zip')"
    ),
    shape!(
        "drafts_open",
        "'@user@' IN (user_id, editor_id)",
        "user_id = '@user@'",
        "(id, user_id) VALUES (99, '@user@')"
    ),
    shape!(
        "tickets",
        "user_id = '@user@'",
        "user_id = '@user@'",
        "(id, user_id) VALUES (99, '@user@')"
    ),
    shape!(
        "alerts_open",
        "recipient_id = '@user@'",
        "recipient_id = '@user@'",
        "(id, recipient_id) VALUES (99, '@user@')"
    ),
    shape!(
        "badges_open",
        "student_id = '@user@'",
        "student_id = '@user@'",
        "(id, student_id) VALUES (99, '@user@')"
    ),
];

#[test]
fn owners_of_every_kind_are_found_and_probed() {
    let cluster = Cluster::start("rls_owner_kinds", "");
    let mut a = supabase(&cluster, "kinds");
    run(&mut a, include_str!("rls_owner_kinds.sql"));
    each_verdict_agrees_with_real_sessions(&mut a);
    healthy_twins_have_no_alarm(&mut a);
    names_count_only_for_accounts(&mut a);
    a_trace_finds_owners_of_every_kind(&mut a);
    an_unknown_owner_is_not_secure(&mut a);
}

fn each_verdict_agrees_with_real_sessions(client: &mut Client) {
    let accounts: Vec<String> = (1..=4).map(user).collect();
    let (open, wrong) = compare(client, SHAPES, &accounts);
    assert!(wrong.is_empty(), "{wrong:#?}");
    for cell in [
        "public.texts_open forged-rows authenticated",
        "public.events_open planted-rows authenticated",
        "public.events_open read-leak authenticated",
        "public.chats_open forged-rows authenticated",
        "public.files_open planted-rows authenticated",
        "public.orders_open read-leak authenticated",
        "public.orders_open forged-rows authenticated",
        "public.partly forged-rows authenticated",
        "public.drafts_open read-leak authenticated",
    ] {
        assert!(open.contains(cell), "{cell} is open: {open:?}");
    }
    // A column that policies read in two ways decides nothing.
    let unclear = rows(
        client,
        "SELECT DISTINCT relation, reach FROM crewsnow_ops.rls_matrix() \
         WHERE verdict = 'INCONCLUSIVE' AND relation NOT IN ('public.paths', 'public.tagged', \
             'public.order_lines') \
         ORDER BY 1, 2",
    );
    assert_eq!(
        unclear,
        ["public.folders|planted-rows", "public.partly|forged-rows", "public.partly|planted-rows"]
    );
}

fn healthy_twins_have_no_alarm(client: &mut Client) {
    let alarms = rows(
        client,
        "SELECT severity, finding FROM crewsnow_ops.audit_rls()
         WHERE severity IN ('CRITICAL', 'HIGH', 'MEDIUM') AND object !~ '_open' \
             AND object ~ 'public' AND rule IN ('read-leak', 'tampering', 'take-over', \
                'planted-rows', 'forged-rows', 'destruction', 'shared-write', 'public-read')",
    );
    assert_eq!(alarms, ["MEDIUM|public-read policy \"seen\" on public.invoices"]);
    let child = "SELECT severity, confidence, detail LIKE '%public.orders, which %' \
        FROM crewsnow_ops.audit_rls() WHERE rule = 'public-read' AND object ~ 'order_lines_open'";
    assert_eq!(rows(client, child), ["MEDIUM|SUSPECTED|t"]);
    let team = "SELECT severity, rule FROM crewsnow_ops.audit_rls() \
        WHERE object ~ 'public.documents' AND rule IN ('shared-write', 'unknown-owner')";
    assert_eq!(rows(client, team), ["LOW|shared-write"]);
}

fn names_count_only_for_accounts(client: &mut Client) {
    let owners = rows(
        client,
        "SELECT format('%s.%s %s', o.relation::regclass, a.attname, o.basis)
         FROM crewsnow_ops.rls_owner_columns() AS o
         JOIN pg_attribute AS a ON a.attrelid = o.relation AND a.attnum = o.attnum
         WHERE o.relation::regclass::text IN ('apps', 'devices', 'invoices', 'alerts_open',
             'badges_open', 'tickets', 'files', 'albums', 'todos_open') ORDER BY 1",
    );
    assert_eq!(
        owners,
        [
            "albums.owner_id foreign key",
            "alerts_open.recipient_id name",
            "badges_open.student_id name",
            "files.name policy",
            "tickets.user_id foreign key",
            "todos_open.user_id name",
        ]
    );
}

fn a_trace_finds_owners_of_every_kind(client: &mut Client) {
    let sql = format!(
        "SELECT DISTINCT format('%s %s', split_part(object, '.', 2), reach) \
         FROM crewsnow_ops.trace_access('{}', '{}') WHERE verdict = 'LEAK' ORDER BY 1",
        user(1),
        user(2)
    );
    let found = rows(client, &sql);
    for path in [
        "texts_open forged-rows",
        "events_open read-leak",
        "chats_open planted-rows",
        "files_open forged-rows",
        "orders_open read-leak",
        "badges_open read-leak",
    ] {
        assert!(found.iter().any(|known| known == path), "{path}: {found:?}");
    }
    let row = "SELECT reaches FROM crewsnow_ops.trace_row('public.orders_open', '{\"id\": 2}')
        WHERE reach = 'read-leak' AND identity LIKE 'authenticated as user%' ORDER BY 1";
    assert_eq!(rows(client, row)[..2], ["OWN", "YES"]);
}

fn an_unknown_owner_is_not_secure(client: &mut Client) {
    let found = rows(
        client,
        "SELECT severity, object FROM crewsnow_ops.audit_rls() WHERE rule = 'unknown-owner' \
         ORDER BY 2",
    );
    assert_eq!(found, ["INFO|table public.paths", "INFO|table public.tagged"]);
    let status = "SELECT DISTINCT status FROM generate_rls_checklist() \
        WHERE table_name = 'public.tagged' AND requirement = 'Foreign rows cannot be read'";
    assert_eq!(value(client, status), "NEEDS_REVIEW");
    let policy = "SELECT status FROM audit_all_rls_policies() WHERE table_name = 'public.tagged'";
    assert_eq!(value(client, policy), "NEEDS_REVIEW");
    run(
        client,
        "SELECT crewsnow_ops.accept_finding('unknown-owner table public.tagged', 'reviewed', \
         now() + interval '9 days')",
    );
    assert_eq!(value(client, status), "SECURE");
}
