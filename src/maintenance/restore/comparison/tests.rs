//! Comparisons of planted differences, each with a healthy twin.

use super::*;
use proptest::prelude::*;
use serde_json::json;

pub fn object(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub fn item(kind: &str, name: &str, parent: &str, definition: &Value) -> Item {
    Item {
        kind: kind.into(),
        name: name.into(),
        parent: (!parent.is_empty()).then(|| parent.into()),
        definition: object(definition),
        ..Item::default()
    }
}

pub fn content(name: &str, rows: i64, hash: &str) -> Item {
    Item { rows: Some(rows), hash: Some(hash.into()), ..item(CONTENT, name, name, &Value::Null) }
}

fn sequence(name: &str, value: i64) -> [Item; 2] {
    let definition = json!({"increment": "1", "cycle": false});
    let state = json!({"value": value.to_string(), "is called": true});
    [item("sequence", name, "public", &definition), item(SEQUENCE_VALUE, name, name, &state)]
}

/// A database with something of each kind.
pub fn shop() -> Vec<Item> {
    let column = json!({"id": {"type": "bigint"}, "kind": {"type": "text", "default": "'a'"}});
    let mut items = vec![
        item("schema", "public", "", &json!({"owner": "shop"})),
        item("extension", "lo", "", &json!({"version": "1.1"})),
        item(
            "table",
            "public.t",
            "public",
            &json!({"owner": "shop", "row security": "enabled", "column": column}),
        ),
        item("policy", "own on public.t", "public.t", &json!({"USING": "(owner = CURRENT_USER)"})),
        item("index", "public.t_pkey", "public.t", &json!({"validity": "valid"})),
        item(
            "grants",
            "on relation public.t",
            "public.t",
            &json!({"to": {"anon": "SELECT", "shop": "SELECT, INSERT"}}),
        ),
        item(
            COLLATION_VERSION,
            "of database shop",
            "",
            &json!({"recorded": "2.36", "actual": "2.36"}),
        ),
        Item { extension: Some("lo".into()), ..item("type", "public.lo", "public", &json!({})) },
        content("public.t", 100, "-123"),
    ];
    items.extend(sequence("public.t_id_seq", 100));
    let mut fed = content("public.u", 5, "77");
    fed.extremes.insert("public.t_id_seq".into(), Some("100".into()));
    items.push(item("table", "public.u", "public", &json!({})));
    items.push(fed);
    items
}

/// The shop after a change of one item.
pub fn changed(kind: &str, name: &str, change: impl FnOnce(&mut Item)) -> Vec<Item> {
    let mut items = shop();
    let found = items.iter_mut().find(|item| item.kind == kind && item.name == name);
    change(found.expect("the item"));
    items
}

pub fn without(name: &str) -> Vec<Item> {
    shop().into_iter().filter(|item| item.name != name).collect()
}

/// The faults of a dump of the same snapshot, as lines.
pub fn faults(restored: &[Item]) -> Vec<String> {
    lines(&compare(&shop(), restored, Scope::Dump, Basis::Exact).faults)
}

pub fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|f| format!("{} {}: {}", f.kind, f.object, f.text)).collect()
}

#[test]
fn the_same_database_has_no_fault() {
    let result = compare(&shop(), &shop(), Scope::Dump, Basis::Exact);
    assert_eq!((lines(&result.faults), lines(&result.skipped)), (vec![], vec![]));
    assert_eq!((result.same_contents, result.same_rows), (3, 105));
}

#[test]
fn lost_and_extra_rows_are_counted() {
    let rows = |rows| {
        faults(&changed(CONTENT, "public.t", |item| {
            item.rows = Some(rows);
            item.hash = Some("5".into());
        }))
    };
    assert_eq!(rows(99), ["content public.t: 1 lost: 99 rows instead of 100"]);
    assert_eq!(rows(101), ["content public.t: 1 too many: 101 rows instead of 100"]);
    assert_eq!(rows(100), ["content public.t: the same number of rows (100), with other values"]);
}

#[test]
fn a_lost_policy_grant_and_row_security_are_named() {
    assert_eq!(faults(&without("own on public.t")), ["policy own on public.t: missing"]);
    let restored = changed("grants", "on relation public.t", |item| {
        item.definition = object(&json!({"to": {"shop": "SELECT, INSERT"}}));
    });
    assert_eq!(faults(&restored), ["grants on relation public.t: differs in to anon"]);
    let restored = changed("table", "public.t", |item| {
        item.definition.insert("row security".into(), "disabled".into());
    });
    assert_eq!(faults(&restored), ["table public.t: differs in row security"]);
}

#[test]
fn a_lost_table_is_one_fault() {
    let restored: Vec<Item> = shop()
        .into_iter()
        .filter(|item| item.name != "public.t" && item.parent.as_deref() != Some("public.t"))
        .collect();
    let text = "table public.t: missing, with 3 objects that belong to it";
    assert_eq!(faults(&restored), [text]);
    let result = compare(&restored, &shop(), Scope::Dump, Basis::Exact);
    let text = "table public.t: not in the source, with 3 objects that belong to it";
    assert_eq!(lines(&result.faults), [text]);
}

#[test]
fn a_sequence_that_lost_its_value_is_named_once() {
    let restored = |value: i64| {
        changed(SEQUENCE_VALUE, "public.t_id_seq", |item| {
            item.definition.insert("value".into(), value.to_string().into());
        })
    };
    let text = "sequence value public.t_id_seq: its next value is already used in public.u";
    assert_eq!(faults(&restored(1)), [text]);
    assert!(faults(&restored(133)).is_empty(), "WAL moves it on");
    let other = compare(&shop(), &restored(1), Scope::Cluster, Basis::Other(&[]));
    assert_eq!(lines(&other.faults), [text], "the restored database itself shows it");
    let was = restored(1);
    assert!(compare(&was, &was, Scope::Dump, Basis::Exact).faults.is_empty(), "as in the source");
}

#[test]
fn a_table_that_cannot_be_read_is_a_fault_of_the_side_that_has_it() {
    let unread = |state: &str| {
        changed(CONTENT, "public.t", |item| {
            *item = Item::unreadable(CONTENT, "public.t", state);
        })
    };
    assert_eq!(faults(&unread("XX001")), ["content public.t: cannot be read: SQLSTATE XX001"]);
    assert!(faults(&unread("42501")).is_empty(), "a privilege is none of the backup's");
    let result = compare(&unread("XX001"), &shop(), Scope::Dump, Basis::Exact);
    assert!(result.faults.is_empty());
    assert_eq!((result.skipped.len(), result.unread), (1, 1));
    let never: Vec<Item> =
        shop().into_iter().filter(|i| !(i.kind == CONTENT && i.name == "public.t")).collect();
    assert_eq!(faults(&never), ["content public.t: not read in the restored database"]);
    let count = |expected: &[Item], restored: &[Item]| {
        let result = compare(expected, restored, Scope::Dump, Basis::Near(&[]));
        result.unread + result.changed_contents + result.faults.len()
    };
    assert_eq!((count(&shop(), &unread("42501")), count(&shop(), &never)), (1, 1));
    assert_eq!((count(&never, &shop()), count(&unread("42501"), &unread("42501"))), (1, 1));
    assert_eq!(count(&shop(), &shop()), 0);
}

#[test]
fn another_collation_version_is_a_fault_on_any_basis() {
    let restored = changed(COLLATION_VERSION, "of database shop", |item| {
        item.definition.insert("recorded".into(), "2.28".into());
    });
    for basis in [Basis::Exact, Basis::Other(&[]), Basis::Near(&[])] {
        let result = compare(&shop(), &restored, Scope::Cluster, basis);
        assert_eq!(result.faults.len(), 1);
        assert!(result.faults[0].text.starts_with("version 2.28 is recorded"));
    }
    assert!(faults(&without("of database shop")).is_empty());
    let source = compare(&restored, &shop(), Scope::Cluster, Basis::Exact);
    assert!(source.faults.is_empty(), "a restored database has the version of its own system");
}

#[test]
fn a_later_change_of_the_source_is_no_fault() {
    let restored = changed(CONTENT, "public.t", |item| item.hash = Some("5".into()));
    assert_eq!(
        differing_contents(&shop(), &restored, Scope::Cluster).into_iter().collect::<Vec<_>>(),
        ["public.t"]
    );
    let now = changed(CONTENT, "public.t", |item| item.hash = Some("6".into()));
    let changed = compare(&shop(), &restored, Scope::Cluster, Basis::Near(&now));
    assert!(changed.faults.is_empty());
    assert!(changed.skipped[0].text.ends_with("the source may have changed since the backup"));
    assert_eq!((changed.changed_contents, changed.same_contents), (1, 2));
    let unchanged = compare(&shop(), &restored, Scope::Cluster, Basis::Near(&shop()));
    assert_eq!(unchanged.faults.len(), 1);
    let other = compare(&shop(), &restored, Scope::Cluster, Basis::Other(&[]));
    assert_eq!((other.faults.len(), other.skipped.len()), (0, 1));
}

#[test]
fn no_later_change_explains_fewer_rows_than_then_and_now() {
    let with = |rows: i64, hash: &str| {
        changed(CONTENT, "public.t", |item| *item = content("public.t", rows, hash))
    };
    let judged = |restored: i64, now: i64| {
        let now = with(now, "6");
        let basis = Basis::Near(&now);
        let result = compare(&shop(), &with(restored, "5"), Scope::Cluster, basis);
        assert_eq!(result.faults.len() + result.skipped.len(), 1);
        lines(&result.faults)
    };
    let text = "content public.t: 0 rows, fewer than the 100 of the manifest and the 101 of now";
    assert_eq!(judged(0, 101), [text]);
    let text = "content public.t: 1 row, fewer than the 100 of the manifest and the 100 of now";
    assert_eq!(judged(1, 100), [text], "other values");
    assert_eq!(judged(100, 101), [""; 0]);
    assert_eq!(judged(99, 98), [""; 0], "rows may have gone one after another");
    assert_eq!(judged(98, 98), [""; 0]);
    assert_eq!(judged(101, 102), [""; 0]);
}

#[test]
fn a_part_that_is_as_in_the_source_now_is_the_same() {
    let restored: Vec<Item> = changed(CONTENT, "public.t", |item| item.hash = Some("5".into()))
        .into_iter()
        .filter(|item| item.kind != "policy")
        .collect();
    for basis in [Basis::Near(&restored), Basis::Other(&restored)] {
        let result = compare(&shop(), &restored, Scope::Dump, basis);
        assert_eq!((lines(&result.faults), lines(&result.skipped)), (vec![], vec![]));
        assert_eq!((result.same_contents, result.changed_contents), (3, 0));
    }
    let without_evidence = compare(&shop(), &restored, Scope::Dump, Basis::Other(&[]));
    assert_eq!(without_evidence.changed_contents, 1);
    assert_eq!(without_evidence.changed_definitions, 1);
}

#[test]
fn the_rows_of_a_table_that_a_manifest_lacks_are_compared_with_the_source() {
    let with = |hash: &str| {
        let mut items = shop();
        items.push(item("table", "public.new", "public", &json!({})));
        items.push(content("public.new", 3, hash));
        items
    };
    let result = |restored: &str, now: &str| {
        compare(&shop(), &with(restored), Scope::Dump, Basis::Near(&with(now)))
    };
    let names = differing_contents(&shop(), &with("1"), Scope::Dump);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["public.new"]);
    let same = result("1", "1");
    assert_eq!((same.skipped.len(), same.same_contents, same.changed_contents), (0, 4, 0));
    let changed = result("1", "2");
    let text = "content public.new: is not in the manifest; the source may have changed since the \
                backup";
    assert_eq!((lines(&changed.faults), lines(&changed.skipped)), (vec![], vec![text.into()]));
    assert_eq!((changed.same_contents, changed.changed_contents), (3, 1));
}

#[test]
fn a_table_that_was_rewritten_after_the_snapshot_is_not_compared() {
    let emptied = changed(CONTENT, "public.t", |item| {
        *item = Item { is_rewritten: true, ..content("public.t", 0, "0") };
    });
    let result = compare(&emptied, &shop(), Scope::Dump, Basis::Exact);
    let text = "content public.t: the source was rewritten after the snapshot, as by TRUNCATE";
    assert_eq!((lines(&result.faults), lines(&result.skipped)), (vec![], vec![text.into()]));
    assert_eq!((result.unread, result.same_contents), (1, 2));
    // The rows of a table that VACUUM FULL has rewritten are all there.
    let moved = changed(CONTENT, "public.t", |item| item.is_rewritten = true);
    let result = compare(&moved, &shop(), Scope::Dump, Basis::Exact);
    assert_eq!((result.skipped.len(), result.same_contents), (0, 3));
    let near = compare(&without_rows(), &shop(), Scope::Dump, Basis::Near(&emptied));
    assert_eq!((near.faults.len(), near.changed_contents), (0, 1), "it was empty, too");
}

fn without_rows() -> Vec<Item> {
    changed(CONTENT, "public.t", |item| *item = content("public.t", 0, "0"))
}

#[test]
fn a_manifest_serves_backups_of_both_scopes() {
    let scoped = |hash: &str, scope| Item { scope: Some(scope), ..content("public.e", 1, hash) };
    let mut manifest = shop();
    manifest.extend([scoped("1", Scope::Dump), scoped("2", Scope::Cluster)]);
    for (scope, hash, faults) in
        [(Scope::Dump, "1", 0), (Scope::Cluster, "2", 0), (Scope::Dump, "2", 1)]
    {
        let mut restored = shop();
        restored.push(content("public.e", 1, hash));
        let result = compare(&manifest, &restored, scope, Basis::Exact);
        assert_eq!(result.faults.len(), faults, "{scope:?} {hash}");
    }
}

#[test]
fn the_heartbeat_shows_whether_a_dump_has_the_snapshot() {
    let beat = |rows, hash: &str| vec![content(HEARTBEAT, rows, hash)];
    assert!(has_snapshot(&beat(1, "5"), &beat(1, "5")));
    assert!(!has_snapshot(&beat(1, "5"), &beat(1, "6")));
    assert!(!has_snapshot(&beat(0, "0"), &beat(0, "0")), "nothing has moved it");
    assert!(!has_snapshot(&shop(), &shop()));
}

#[test]
fn the_record_of_a_backup_is_no_change_of_its_content() {
    let manifest = vec![content(HEARTBEAT, 0, "0"), content("public.backup_log", 1, "1")];
    let restored = vec![content(HEARTBEAT, 1, "5"), content("public.backup_log", 2, "2")];
    for now in [&restored, &vec![content(HEARTBEAT, 1, "6")]] {
        let near = compare(&manifest, &restored, Scope::Cluster, Basis::Near(now));
        assert_eq!((near.faults.len(), near.skipped.len(), near.changed_contents), (0, 0, 0));
    }
    let lost = compare(&manifest, &restored, Scope::Cluster, Basis::Near(&manifest));
    assert_eq!(lost.faults.len(), 2, "they did not change in the source");
}

#[test]
fn many_aspects_are_counted() {
    let restored = changed("table", "public.t", |item| {
        item.definition =
            object(&json!({"column": {"new": {"type": "int"}}, "a": 1, "b": 1, "c": 1}));
    });
    let text = "table public.t: differs in a, b, c, column id, column kind and 3 more";
    assert_eq!(faults(&restored), [text]);
}

fn any_item() -> impl Strategy<Value = Item> {
    let kinds = ["table", "policy", "schema", "extension", CONTENT, SEQUENCE_VALUE];
    (
        proptest::sample::select(kinds.to_vec()),
        proptest::sample::select(vec!["a", "b", "a.b", "x on a.b"]),
        proptest::option::of(proptest::sample::select(vec!["a", "a.b"])),
        0..3_i64,
    )
        .prop_map(|(kind, name, parent, value)| Item {
            parent: parent.map(str::to_owned),
            rows: (kind == CONTENT).then_some(value),
            hash: (kind == CONTENT).then(|| value.to_string()),
            ..item(kind, name, "", &json!({"aspect": value.to_string()}))
        })
}

proptest! {
    #[test]
    fn a_comparison_ignores_the_order_of_items(
        one in proptest::collection::vec(any_item(), 0..12),
        other in proptest::collection::vec(any_item(), 0..12),
    ) {
        // Items that agree in kind and name have an order of their own.
        let distinct = |mut items: Vec<Item>| {
            items.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
            items.dedup_by(|a, b| (&a.kind, &a.name) == (&b.kind, &b.name));
            items
        };
        let (one, other) = (distinct(one), distinct(other));
        let reversed = |items: &[Item]| items.iter().rev().cloned().collect::<Vec<_>>();
        for scope in [Scope::Dump, Scope::Cluster] {
            prop_assert_eq!(
                compare(&one, &other, scope, Basis::Exact),
                compare(&reversed(&one), &reversed(&other), scope, Basis::Exact)
            );
        }
    }

    #[test]
    fn a_database_equals_itself_and_no_other(
        items in proptest::collection::vec(any_item(), 1..12),
        at in any::<proptest::sample::Index>(),
    ) {
        let exact =
            |one: &[Item], other: &[Item]| compare(one, other, Scope::Cluster, Basis::Exact);
        prop_assert_eq!(exact(&items, &items).faults, vec![]);
        // The loss of any object or content is found, in both directions.
        let mut fewer = items.clone();
        fewer.remove(at.index(items.len()));
        prop_assert!(!exact(&items, &fewer).faults.is_empty());
        prop_assert!(!exact(&fewer, &items).faults.is_empty());
    }
}
