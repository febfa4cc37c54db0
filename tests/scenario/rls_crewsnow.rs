//! The audit of CrewSnow's own schema, whose accounts are known by policy alone: each verdict
//! agrees with the rows that real sessions reach.

use crate::rls_hostile::supabase;
use crate::rls_truth::{Shape, compare, user};
use harness::{Cluster, rows, run, value};
use postgres::Client;

const SHAPES: &[Shape] = &[
    Shape {
        table: "public.users",
        own: "id = '@user@'",
        change: "display_name = 'x'",
        give: &["id = '@user@'"],
        insert: &["INSERT INTO public.users VALUES ('@user@', 'x')"],
    },
    Shape {
        table: "public.user_station_status",
        own: "user_id = '@user@'",
        change: "station_id = 2",
        give: &["user_id = '@user@'"],
        insert: &["INSERT INTO public.user_station_status VALUES (99, '@user@', 1)"],
    },
    Shape {
        table: "public.likes",
        own: "'@user@' IN (liker_id, liked_id)",
        change: "is_super = true",
        give: &["liker_id = '@user@'", "liked_id = '@user@'"],
        insert: &["INSERT INTO public.likes VALUES ('@user@', '@user@', true)"],
    },
    Shape {
        table: "public.matches",
        own: "'@user@' IN (user1_id, user2_id)",
        change: "ended_at = now()",
        give: &["user1_id = '@user@'", "user2_id = '@user@'"],
        insert: &["INSERT INTO public.matches VALUES (99, '@user@', '@user@')"],
    },
    Shape {
        table: "public.messages",
        own: "sender_id = '@user@'",
        change: "content = 'x'",
        give: &["sender_id = '@user@'"],
        insert: &[
            "INSERT INTO public.messages VALUES (99, 1, '@user@', 'x')",
            "INSERT INTO public.messages VALUES (99, 2, '@user@', 'x')",
        ],
    },
    Shape {
        table: "public.groups",
        own: "owner_id = '@user@'",
        change: "name = 'x'",
        give: &["owner_id = '@user@'"],
        insert: &["INSERT INTO public.groups VALUES (99, 'x', '@user@')"],
    },
    Shape {
        table: "public.group_members",
        own: "user_id = '@user@'",
        change: "role = 'x'",
        give: &["user_id = '@user@'"],
        insert: &["INSERT INTO public.group_members VALUES (4, '@user@', 'x')"],
    },
    Shape {
        table: "public.subscriptions",
        own: "user_id = '@user@'",
        change: "plan = 'x'",
        give: &["user_id = '@user@'"],
        insert: &["INSERT INTO public.subscriptions VALUES (99, '@user@', 'x')"],
    },
    Shape {
        table: "public.sensitive_data",
        own: "user_id = '@user@'",
        change: "iban = 'x'",
        give: &["user_id = '@user@'"],
        insert: &["INSERT INTO public.sensitive_data VALUES (99, '@user@', 'x')"],
    },
    Shape {
        table: "public.preferences",
        own: "user_id = '@user@'",
        change: "theme = 'x'",
        give: &["user_id = '@user@'"],
        insert: &["INSERT INTO public.preferences VALUES ('@user@', 'x')"],
    },
    Shape {
        table: "public.preference_items",
        own: "preference_id = '@user@'",
        change: "value = 'x'",
        give: &["preference_id = '@user@'"],
        insert: &["INSERT INTO public.preference_items VALUES (99, '@user@', 'x')"],
    },
    Shape {
        table: "public.notifications",
        own: "recipient_id = '@user@'",
        change: "is_read = true",
        give: &["recipient_id = '@user@'"],
        insert: &["INSERT INTO public.notifications VALUES (99, '@user@', true)"],
    },
    Shape {
        table: "public.consents",
        own: "user_id = '@user@'",
        change: "purpose = 'x'",
        give: &["user_id = '@user@'"],
        insert: &["INSERT INTO public.consents (id, user_id) VALUES (99, '@user@')"],
    },
];

#[test]
fn crewsnows_own_schema_is_understood_without_a_setting() {
    let cluster = Cluster::start("rls_crewsnow", "");
    let mut with_accounts = supabase(&cluster, "with_accounts");
    run(
        &mut with_accounts,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 4) AS n",
    );
    let mut without_accounts = supabase(&cluster, "without_accounts");
    run(&mut without_accounts, "DROP TABLE auth.users");
    for client in [&mut with_accounts, &mut without_accounts] {
        run(client, include_str!("rls_crewsnow.sql"));
        each_verdict_agrees_with_real_sessions(client);
        the_reports_tell_the_open_tables(client);
    }
}

fn each_verdict_agrees_with_real_sessions(client: &mut Client) {
    let accounts: Vec<String> = (1..=4).map(user).collect();
    let (open, wrong) = compare(client, SHAPES, &accounts);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(open.len() > 20, "{open:?}");
    for cell in [
        "public.messages tampering authenticated",
        "public.messages forged-rows authenticated",
        "public.sensitive_data read-leak anon",
        "public.notifications planted-rows authenticated",
        "public.preference_items read-leak anon",
    ] {
        assert!(open.contains(cell), "{cell} is open: {open:?}");
    }
    let unclear = rows(
        client,
        "SELECT relation, reach, remark FROM crewsnow_ops.rls_matrix() \
         WHERE verdict IN ('INCONCLUSIVE', 'FAILING')",
    );
    assert!(unclear.is_empty(), "{unclear:?}");
}

fn the_reports_tell_the_open_tables(client: &mut Client) {
    let open = rows(
        client,
        "SELECT table_name FROM generate_rls_checklist() \
         WHERE requirement = 'Foreign rows cannot be written' AND status <> 'SECURE' \
             AND table_name <> 'public.sensitive_data' ORDER BY 1",
    );
    assert_eq!(open, ["public.likes", "public.messages", "public.notifications"]);
    assert_eq!(
        rows(
            client,
            "SELECT severity, confidence, object FROM crewsnow_ops.audit_rls() \
             WHERE rule = 'shared-write'"
        ),
        ["MEDIUM|SUSPECTED|table public.messages"]
    );
    let traced = format!(
        "SELECT string_agg(DISTINCT object, ' ') FROM crewsnow_ops.trace_access('{}', '{}') \
         WHERE access_path IN ('grant', 'policy')",
        user(1),
        user(2)
    );
    let traced = value(client, &traced);
    for table in ["sensitive_data", "subscriptions", "preference_items", "likes", "notifications"] {
        assert!(traced.contains(&format!("table public.{table}")), "{table}: {traced}");
    }
    assert!(!traced.contains("table public.groups"), "{traced}");
    let unknown =
        rows(client, "SELECT finding FROM crewsnow_ops.audit_rls() WHERE rule = 'unknown-owner'");
    assert!(unknown.is_empty(), "{unknown:?}");
}
