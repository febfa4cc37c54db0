//! Extensions that a restore brings back in another version. Pure.

use super::{Comparison, Items, is_same_content};
use crate::maintenance::restore::fault::{Fault, content_text};
use crate::maintenance::restore::item::{CONTENT, Item};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Kinds of members that other objects belong to by their name.
const RELATIONS: [&str; 6] =
    ["table", "partitioned table", "view", "materialized view", "foreign table", "sequence"];

/// Extensions whose versions differ, with their members. Members of two versions may differ.
pub struct OtherVersions<'a> {
    extensions: BTreeSet<&'a str>,
    relations: BTreeSet<&'a str>,
}

impl<'a> OtherVersions<'a> {
    /// The extensions that both sides have in different versions.
    pub fn of(expected: &Items<'a>, restored: &Items<'a>) -> Self {
        let is_other = |(key, item): &(&super::Key<'a>, &&'a Item)| {
            let other = restored.get(*key);
            item.kind == "extension"
                && other.is_some_and(|other| other.aspect("version") != item.aspect("version"))
        };
        let names = expected.iter().filter(is_other).map(|(_, item)| item.name.as_str());
        let extensions: BTreeSet<&str> = names.collect();
        // Objects of users may be in a schema that an extension made.
        let is_member = |item: &&&'a Item| {
            RELATIONS.contains(&item.kind.as_str())
                && item.extension.as_deref().is_some_and(|name| extensions.contains(name))
        };
        let items = expected.values().chain(restored.values());
        let relations = items.filter(is_member).map(|item| item.name.as_str()).collect();
        Self { extensions, relations }
    }

    /// Whether the item is a member of one of them, or belongs to a member.
    pub fn has(&self, item: &Item) -> bool {
        let is_member = |name: &str| self.relations.contains(name);
        item.extension.as_deref().is_some_and(|name| self.extensions.contains(name))
            || item.parent.as_deref().is_some_and(is_member)
            || item.is_content() && is_member(&item.name)
    }

    /// Compares the rows of a member. Another version may have other columns and rows.
    pub fn judge_content(&self, item: &Item, restored: &Item, result: &mut Comparison) {
        if item.kind != CONTENT {
            return;
        }
        if is_same_content(item, restored) {
            result.add_same(Some(restored));
        } else {
            result.unread += 1;
            let text = content_text(item, restored);
            let text = format!("{text}; its extension has another version");
            result.skipped.push(Fault::of(item, text));
        }
    }
}

/// The reason why the members of an extension are not compared: a dump names no version, so an
/// older one comes back as the default one. `None` for any other extension.
pub fn default_text(source: &Item, restored: &Item) -> Option<String> {
    if source.kind != "extension" {
        return None;
    }
    let (own, default) = (source.aspect("version")?, restored.aspect("version")?);
    (order(own, default) == Ordering::Less).then(|| {
        format!("version {own} restores as {default}, the default: its members were not compared")
    })
}

/// Compares versions by their numbers: 1.9 is older than 1.10.
fn order(one: &str, other: &str) -> Ordering {
    let parts = |version: &str| -> Vec<(u64, String)> {
        let part = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            let (number, rest) = part.split_at(end);
            (number.parse().unwrap_or(0), rest.to_owned())
        };
        version.split(['.', '-', '_']).map(part).collect()
    };
    parts(one).cmp(&parts(other))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, content, faults, item, lines};
    use super::super::{Basis, compare};
    use super::*;
    use crate::maintenance::restore::item::Scope;
    use serde_json::json;

    #[test]
    fn an_extension_of_an_older_version_is_one_fault() {
        let mut restored = changed("extension", "lo", |item| {
            item.definition.insert("version".into(), "1.0".into());
        });
        restored.retain(|item| item.name != "public.lo");
        assert_eq!(faults(&restored), ["extension lo: differs in version"]);
        let gone: Vec<Item> = restored.into_iter().filter(|item| item.name != "lo").collect();
        assert_eq!(faults(&gone), ["extension lo: missing, with 1 object that belongs to it"]);
    }

    /// A shop with an extension that has a table, whose rows a dump carries.
    fn with_version(version: &str, table: &str, rows: i64) -> Vec<Item> {
        let mut items = changed("extension", "lo", |item| {
            item.definition.insert("version".into(), version.into());
        });
        items.push(Item {
            extension: Some("lo".into()),
            ..item("table", "lo.m", "lo", &json!({"columns": table}))
        });
        items.push(item("comment", "on column lo.m.n", "lo.m", &json!({"text": table})));
        items.push(content("lo.m", rows, "1"));
        items
    }

    #[test]
    fn an_older_extension_restores_as_the_default_one() {
        let (source, restored) = (with_version("1.9", "a", 5), with_version("1.10", "b", 5));
        let result = compare(&source, &restored, Scope::Dump, Basis::Exact);
        let skipped = "extension lo: version 1.9 restores as 1.10, the default: its members were \
                       not compared";
        assert_eq!((lines(&result.faults), lines(&result.skipped)), (vec![], vec![skipped.into()]));
        assert_eq!(result.same_contents, 4, "its rows are the same");
        let other = with_version("1.10", "b", 4);
        let result = compare(&source, &other, Scope::Dump, Basis::Exact);
        assert_eq!((result.faults.len(), result.skipped.len()), (0, 2));
        let base = compare(&source, &restored, Scope::Cluster, Basis::Exact);
        assert_eq!(lines(&base.faults), ["extension lo: differs in version"]);
        let newer = compare(&restored, &source, Scope::Dump, Basis::Exact);
        assert_eq!(lines(&newer.faults), ["extension lo: differs in version"]);
        let same = compare(&source, &with_version("1.9", "b", 4), Scope::Dump, Basis::Exact);
        assert_eq!(same.faults.len(), 3, "the table, its comment and its rows");
    }

    #[test]
    fn objects_of_users_in_a_schema_of_the_extension_are_compared() {
        let with = |version: &str, rows: i64| {
            let mut items = with_version(version, "a", 5);
            items.push(Item {
                extension: Some("lo".into()),
                ..item("schema", "lo", "", &json!({}))
            });
            items.push(item("table", "lo.own", "lo", &json!({})));
            items.push(content("lo.own", rows, "1"));
            items
        };
        let result = compare(&with("1.9", 5), &with("1.10", 4), Scope::Dump, Basis::Exact);
        assert_eq!(lines(&result.faults), ["content lo.own: 1 lost: 4 rows instead of 5"]);
    }

    #[test]
    fn a_table_of_a_user_may_have_the_name_of_a_member() {
        let with = |version: &str, rows: i64| {
            let mut items = with_version(version, "a", 5);
            items.push(Item {
                extension: Some("lo".into()),
                ..item("text search configuration", "lo.own", "lo", &json!({}))
            });
            items.push(item("table", "lo.own", "lo", &json!({})));
            items.push(content("lo.own", rows, "1"));
            items
        };
        let result = compare(&with("1.9", 5), &with("1.10", 4), Scope::Dump, Basis::Exact);
        assert_eq!(lines(&result.faults), ["content lo.own: 1 lost: 4 rows instead of 5"]);
    }

    #[test]
    fn versions_have_the_order_of_their_numbers() {
        for (one, other) in [("1.9", "1.10"), ("1", "1.1"), ("2.0-beta1", "2.1"), ("1.2a", "1.2b")]
        {
            assert_eq!(order(one, other), Ordering::Less, "{one} {other}");
            assert_eq!(order(other, one), Ordering::Greater, "{other} {one}");
        }
        assert_eq!(order("1.2", "1.2"), Ordering::Equal);
    }
}
