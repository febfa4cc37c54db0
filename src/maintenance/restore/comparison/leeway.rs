//! Differences between a sound dump's source and its restored database. Pure.

use super::Items;
use crate::maintenance::restore::item::Item;
use crate::maintenance::restore::toc;
use serde_json::Value;

/// Whether a restored dump may lack this item: pg_dump leaves out invalid indexes, and a second
/// database of a server cannot have some extensions.
pub fn may_be_missing(item: &Item) -> bool {
    match item.kind.as_str() {
        "index" => item.aspect("validity") == Some("invalid"),
        "extension" => toc::BOUND_EXTENSIONS.contains(&item.name.as_str()),
        _ => false,
    }
}

/// Whether the database that a dump is restored into has this item, even if the source dropped or
/// renamed it.
pub fn may_be_extra(item: &Item) -> bool {
    let names = [Some(item.name.as_str()), item.parent.as_deref()];
    let is_of_template = names.into_iter().flatten().any(|n| ["public", "plpgsql"].contains(&n));
    let kinds = ["schema", "extension", "grants", "comment", "language"];
    is_of_template && kinds.contains(&item.kind.as_str())
}

/// Whether a sound restore may leave materialized views without their rows: a refresh beside the
/// source may read a foreign server, and pg_dump leaves out views that read an empty one.
pub(super) fn may_views_be_empty(expected: &Items<'_>, restored: &Items<'_>) -> bool {
    let mut views = expected.iter().filter(|(key, _)| key.0 == "materialized view");
    restored.keys().any(|key| key.0 == "server") || views.any(|(_, view)| is_empty(view))
}

fn is_empty(view: &Item) -> bool {
    view.definition.get("populated") == Some(&Value::Bool(false))
}

/// Whether a dump does not carry this aspect of an item. `may_be_empty` is that of materialized
/// views.
pub fn is_left_out(item: &Item, restored: &Item, aspect: &str, may_be_empty: bool) -> bool {
    let value = restored.definition.get(aspect);
    match aspect {
        // Restoring makes the triggers of foreign keys anew, and enables them.
        "disabled foreign key triggers" => value.is_none_or(Value::is_null),
        "populated" => may_be_empty && is_empty(restored),
        // Members of extensions belong to the role that restores the dump.
        "owner" => item.kind == "extension" || item.extension.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, content, faults, item, lines, shop, without};
    use super::super::{Basis, compare};
    use crate::maintenance::restore::item::{Item, Scope};
    use serde_json::json;

    #[test]
    fn a_dump_may_lack_invalid_indexes_and_enable_foreign_keys() {
        let source = changed("index", "public.t_pkey", |item| {
            item.definition.insert("validity".into(), "invalid".into());
        });
        let restored = without("public.t_pkey");
        let result = |scope| compare(&source, &restored, scope, Basis::Exact).faults.len();
        assert_eq!((result(Scope::Dump), result(Scope::Cluster)), (0, 1));
        assert_eq!(faults(&source), ["index public.t_pkey: differs in validity"]);
        let disabled = changed("table", "public.t", |item| {
            item.definition.insert("disabled foreign key triggers".into(), 2.into());
        });
        assert!(compare(&disabled, &shop(), Scope::Dump, Basis::Exact).faults.is_empty());
        assert_eq!(faults(&disabled), ["table public.t: differs in disabled foreign key triggers"]);
    }

    #[test]
    fn an_extension_that_only_one_database_can_have_is_not_missed() {
        let mut source = shop();
        source.push(item("extension", "pg_cron", "", &json!({"version": "1.4"})));
        source.push(Item {
            extension: Some("pg_cron".into()),
            ..item("table", "cron.job", "cron", &json!({}))
        });
        source.push(content("cron.job", 5, "5"));
        assert!(compare(&source, &shop(), Scope::Dump, Basis::Exact).faults.is_empty());
        let base = compare(&source, &shop(), Scope::Cluster, Basis::Exact);
        let text = "extension pg_cron: missing, with 1 object that belongs to it";
        assert_eq!(lines(&base.faults), [text]);
    }

    #[test]
    fn a_materialized_view_without_its_rows_is_named_unless_it_may_read_a_foreign_server() {
        let view = |is_populated: bool, has_server: bool| {
            let mut items = shop();
            let definition = json!({"populated": is_populated});
            items.push(item("materialized view", "public.m", "", &definition));
            items.extend(has_server.then(|| item("server", "hotel", "", &json!({}))));
            items
        };
        let count = |source, restored, has_server, scope| {
            let (source, restored) = (view(source, has_server), view(restored, has_server));
            compare(&source, &restored, scope, Basis::Exact).faults.len()
        };
        assert_eq!(count(true, false, false, Scope::Dump), 1);
        assert_eq!(count(true, true, false, Scope::Dump), 0);
        assert_eq!(count(false, false, false, Scope::Dump), 0);
        assert_eq!(count(true, false, true, Scope::Dump), 0);
        assert_eq!(count(true, false, true, Scope::Cluster), 1);
        assert_eq!(count(false, true, true, Scope::Dump), 1);
        let definition = json!({"populated": false});
        let mut source = view(true, false);
        source.push(item("materialized view", "public.empty", "", &definition));
        let mut restored = view(false, false);
        restored.push(item("materialized view", "public.empty", "", &definition));
        let reads_it = compare(&source, &restored, Scope::Dump, Basis::Exact);
        assert!(reads_it.faults.is_empty(), "pg_dump leaves out views that read an empty one");
    }

    #[test]
    fn a_dump_may_bring_back_the_public_schema() {
        let source: Vec<Item> = shop().into_iter().filter(|i| i.kind != "schema").collect();
        assert!(compare(&source, &shop(), Scope::Dump, Basis::Exact).faults.is_empty());
        assert_eq!(compare(&source, &shop(), Scope::Cluster, Basis::Exact).faults.len(), 1);
    }

    #[test]
    fn a_renamed_public_schema_leaves_an_empty_public_behind() {
        let renamed = |name: &str| {
            let mut items: Vec<Item> = shop().into_iter().filter(|i| i.kind != "schema").collect();
            items.push(item("schema", name, "", &json!({"owner": "shop"})));
            items.push(item("table", "pub2.t", "pub2", &json!({})));
            items
        };
        let mut restored = renamed("pub2");
        restored.push(item("schema", "public", "", &json!({"owner": "pg_database_owner"})));
        restored.push(item("grants", "on schema public", "public", &json!({})));
        let judge = |restored: &[Item], scope| {
            lines(&compare(&renamed("pub2"), restored, scope, Basis::Exact).faults)
        };
        assert_eq!(judge(&restored, Scope::Dump), [""; 0]);
        assert_eq!(judge(&restored, Scope::Cluster).len(), 1);
        // The schema explains no table in it.
        restored.push(item("table", "public.other", "public", &json!({})));
        assert_eq!(judge(&restored, Scope::Dump), ["table public.other: not in the source"]);
        let lost = "schema pub2: missing, with 1 object that belongs to it";
        let without = |item: &Item| !item.name.starts_with("pub2");
        let restored: Vec<Item> = renamed("pub2").into_iter().filter(without).collect();
        assert_eq!(judge(&restored, Scope::Dump), [lost]);
    }
}
