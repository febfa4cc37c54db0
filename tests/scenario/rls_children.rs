//! Tables without owner columns whose rows belong to a parent row: each verdict agrees with the
//! rows that real sessions reach.

use crate::rls_hostile::supabase;
use crate::rls_truth::{Shape, compare, user};
use harness::{Cluster, rows, run};

const fn items(table: &'static str) -> Shape {
    Shape {
        table,
        own: "order_id IN (SELECT id FROM public.orders WHERE buyer = '@user@')",
        change: "note = 'x'",
        give: &["order_id = 'b-@user@'"],
        insert: &[],
    }
}

const fn notes(table: &'static str) -> Shape {
    Shape {
        table,
        own: "item_id IN (SELECT i.id FROM public.bound_items AS i JOIN public.orders AS o \
            ON o.id = i.order_id WHERE o.buyer = '@user@')",
        change: "note = 'x'",
        give: &[],
        insert: &[],
    }
}

#[test]
fn rows_below_hidden_parent_rows_are_foreign() {
    let cluster = Cluster::start("rls_children", "");
    let mut a = supabase(&cluster, "children");
    run(
        &mut a,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 4) AS n",
    );
    run(&mut a, include_str!("rls_children.sql"));
    let with_insert = |table, insert| Shape { insert, ..items(table) };
    let shapes = [
        with_insert(
            "public.shared_items",
            &["INSERT INTO public.shared_items VALUES (99, 'a-@user@')"],
        ),
        with_insert(
            "public.bound_items",
            &["INSERT INTO public.bound_items VALUES (99, 'a-@user@')"],
        ),
        notes("public.item_notes"),
        notes("public.item_tags"),
        items("public.moved_items"),
        items("public.taken_items"),
        with_insert(
            "public.added_items",
            &["INSERT INTO public.added_items VALUES (99, 'a-@user@')"],
        ),
    ];
    let accounts: Vec<String> = (1..=4).map(user).collect();
    let (open, wrong) = compare(&mut a, &shapes, &accounts);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected = [
        "public.added_items forged-rows authenticated",
        "public.item_notes read-leak authenticated",
        "public.moved_items planted-rows authenticated",
        "public.shared_items destruction authenticated",
        "public.shared_items forged-rows authenticated",
        "public.shared_items planted-rows authenticated",
        "public.shared_items read-leak authenticated",
        "public.shared_items take-over authenticated",
        "public.shared_items tampering authenticated",
        "public.taken_items take-over authenticated",
    ];
    assert_eq!(open.iter().collect::<Vec<_>>(), expected);
    let told = "SELECT DISTINCT relation FROM crewsnow_ops.rls_matrix() WHERE verdict = 'LEAK' \
        AND relation <> 'public.shops' ORDER BY 1";
    let leaking = [
        "public.added_items",
        "public.item_notes",
        "public.moved_items",
        "public.shared_items",
        "public.taken_items",
    ];
    assert_eq!(rows(&mut a, told), leaking, "public parents make no leak");
    // One table is audited as all are.
    for table in leaking.iter().chain(&["public.bound_items", "public.item_tags", "public.payouts"])
    {
        let of = |call: &str| {
            format!(
                "SELECT reach, identity, verdict FROM crewsnow_ops.rls_matrix({call}) \
                 WHERE relation = '{table}' ORDER BY 1, 2, 3"
            )
        };
        assert_eq!(rows(&mut a, &of(&format!("'{table}'"))), rows(&mut a, &of("")), "{table}");
    }
    let unknown = "SELECT object FROM crewsnow_ops.audit_rls() WHERE rule = 'unknown-owner'";
    assert_eq!(rows(&mut a, unknown), ["table public.pictures"]);
    let by_policy = "SELECT object FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak' \
        AND object LIKE '%items'";
    assert_eq!(rows(&mut a, by_policy), ["policy \"buyers\" on public.shared_items"]);
}
