//! Judges the answers of amcheck about pages of tables and indexes. Pure.

use super::fault::Fault;
use super::item::Item;

/// Kind of an item with the answer about a table or TOAST table.
pub const HEAP_CHECK: &str = "heap check";
/// Kind of an item with the answer about an index.
pub const INDEX_CHECK: &str = "index check";

/// The result of checks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Damaged tables and indexes.
    pub faults: Vec<Fault>,
    /// Tables and indexes that were not checked.
    pub skipped: Vec<Fault>,
    /// Sound tables and indexes.
    pub sound: usize,
}

/// Judges the answers. Messages of amcheck tell of blocks and lengths, and hold no values of rows.
/// Those of its errors are withheld.
#[must_use]
pub fn judge(items: &[Item]) -> Checks {
    let mut checks = Checks::default();
    for item in items {
        let kind = match item.kind.as_str() {
            HEAP_CHECK => "table",
            INDEX_CHECK => "index",
            _ => continue,
        };
        let fault = |text: String| Fault {
            kind: kind.to_owned(),
            object: item.name.clone(),
            text,
            is_content: false,
        };
        match (item.sqlstate.as_deref(), item.rows) {
            (Some(state), _) if is_corruption(state) => {
                checks.faults.push(fault(format!("is damaged: SQLSTATE {state} of amcheck")));
            }
            (Some(state), _) => {
                checks.skipped.push(fault(format!("amcheck fails: SQLSTATE {state}")));
            }
            (None, Some(damages @ 1..)) => {
                let first = item.aspect("first").unwrap_or_default();
                let places = if damages == 1 { "1 place" } else { &format!("{damages} places") };
                checks.faults.push(fault(format!("is damaged in {places}; {first}")));
            }
            (None, _) => checks.sound += 1,
        }
    }
    checks.faults.sort_by(|one, other| one.order().cmp(&other.order()));
    checks.skipped.sort_by(|one, other| one.order().cmp(&other.order()));
    checks
}

/// Class XX, and an undefined file, which a lost segment is.
fn is_corruption(state: &str) -> bool {
    state.starts_with("XX") || state == "58P01"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(kind: &str, damages: i64) -> Item {
        let definition = json!({"first": "block 3: line pointer 1 is bad"});
        Item {
            kind: kind.into(),
            name: "public.t".into(),
            rows: Some(damages),
            definition: definition.as_object().cloned().unwrap_or_default(),
            ..Item::default()
        }
    }

    #[test]
    fn no_check_leaves_an_argument_to_its_default() {
        let sql = include_str!("../../../sql/maintenance/restore_checks.sql");
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let call = "verify_heapam(%s::pg_catalog.oid::pg_catalog.regclass, false, true, \
                    'none'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8)";
        assert!(sql.contains(call) && !sql.contains("=>"), "{sql}");
    }

    #[test]
    fn damaged_tables_and_indexes_are_named() {
        let items = [
            answer(HEAP_CHECK, 2),
            Item::unreadable(INDEX_CHECK, "public.i", "XX002"),
            answer(HEAP_CHECK, 0),
            answer(INDEX_CHECK, 0),
        ];
        let checks = judge(&items);
        let texts: Vec<_> = checks.faults.iter().map(|fault| fault.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "is damaged: SQLSTATE XX002 of amcheck",
                "is damaged in 2 places; block 3: line pointer 1 is bad"
            ]
        );
        assert_eq!((checks.skipped.len(), checks.sound), (0, 2));
    }

    #[test]
    fn a_check_that_may_not_run_is_no_fault() {
        let checks = judge(&[Item::unreadable(INDEX_CHECK, "public.i", "42501")]);
        assert_eq!((checks.faults.len(), checks.skipped.len(), checks.sound), (0, 1, 0));
    }

    #[test]
    fn other_items_are_no_checks() {
        assert_eq!(judge(&[answer("content", 5)]), Checks::default());
    }
}
