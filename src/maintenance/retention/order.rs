//! The order of policies: a table that refers to another comes before it.

use super::error::RetentionError;
use super::policy::Policy;
use pgrx::prelude::*;
use std::collections::BTreeSet;

/// Sorts policies so that rows that refer to others go first.
pub fn children_first(policies: Vec<Policy>) -> Result<Vec<Policy>, RetentionError> {
    let references = references()?;
    let tables: BTreeSet<&str> = policies.iter().map(|policy| policy.target.as_str()).collect();
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for table in tables {
        visit(table, &references, &mut seen, &mut order);
    }
    let place = |policy: &Policy| order.iter().position(|table| *table == policy.target);
    let mut sorted = policies.clone();
    sorted.sort_by_key(place);
    Ok(sorted)
}

/// Adds a table after those that refer to it. Circles are cut where they were entered.
fn visit<'a>(
    table: &'a str,
    references: &'a [(String, String)],
    seen: &mut BTreeSet<&'a str>,
    order: &mut Vec<&'a str>,
) {
    if !seen.insert(table) {
        return;
    }
    for (child, _) in references.iter().filter(|(_, parent)| parent == table) {
        visit(child, references, seen, order);
    }
    order.push(table);
}

fn references() -> Result<Vec<(String, String)>, RetentionError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/retention_references.sql");
        let mut references = Vec::new();
        for row in client.select(sql, None, &[])? {
            references.push((row.get(1)?.unwrap_or_default(), row.get(2)?.unwrap_or_default()));
        }
        Ok(references)
    })
}

#[cfg(test)]
mod tests {
    use super::visit;
    use std::collections::BTreeSet;

    #[test]
    fn children_come_before_their_parents_even_in_circles() {
        let reference = |child: &str, parent: &str| (child.to_owned(), parent.to_owned());
        let references =
            [reference("b", "a"), reference("c", "b"), reference("d", "e"), reference("e", "d")];
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        for table in ["a", "b", "c", "d", "e"] {
            visit(table, &references, &mut seen, &mut order);
        }
        let place = |table| order.iter().position(|other| *other == table);
        assert!(place("c") < place("b") && place("b") < place("a"), "{order:?}");
        assert_eq!(order.len(), 5);
    }
}
