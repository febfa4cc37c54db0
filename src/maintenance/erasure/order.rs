//! The order in which tables lose rows: those that reference others first.

use std::collections::{BTreeMap, BTreeSet};

/// The tables in groups, children before their parents. The tables of a group reference each other
/// in a circle, so they lose their rows in one statement. `edges` are pairs of child and parent;
/// those of other tables are left out.
#[must_use]
pub fn children_first(tables: &BTreeSet<u32>, edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut search = Search { children: BTreeMap::new(), ..Search::default() };
    for (child, parent) in edges {
        if tables.contains(child) && tables.contains(parent) {
            search.children.entry(*parent).or_default().push(*child);
        }
    }
    for table in tables {
        if !search.visited.contains_key(table) {
            search.visit(*table);
        }
    }
    search.groups
}

/// Tarjan's search for strongly connected components.
#[derive(Default)]
struct Search {
    children: BTreeMap<u32, Vec<u32>>,
    /// Each visited table with its number.
    visited: BTreeMap<u32, usize>,
    /// The smallest number that each table reaches.
    lowest: BTreeMap<u32, usize>,
    stack: Vec<u32>,
    groups: Vec<Vec<u32>>,
}

impl Search {
    fn visit(&mut self, table: u32) {
        let number = self.visited.len();
        self.visited.insert(table, number);
        let mut lowest = number;
        self.stack.push(table);
        for child in self.children.get(&table).cloned().unwrap_or_default() {
            if !self.visited.contains_key(&child) {
                self.visit(child);
                lowest = lowest.min(self.lowest.get(&child).copied().unwrap_or(number));
            } else if self.stack.contains(&child) {
                lowest = lowest.min(self.visited.get(&child).copied().unwrap_or(number));
            }
        }
        self.lowest.insert(table, lowest);
        if lowest == number {
            let start = self.stack.iter().position(|other| *other == table).unwrap_or(0);
            let mut group = self.stack.split_off(start);
            group.sort_unstable();
            self.groups.push(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let tables = edges.iter().flat_map(|(child, parent)| [*child, *parent]).collect();
        children_first(&tables, edges)
    }

    #[test]
    fn children_come_before_their_parents() {
        assert_eq!(ordered(&[(2, 1), (3, 2), (3, 1)]), [[3], [2], [1]]);
        assert_eq!(ordered(&[(1, 2), (1, 3)]), [[1], [2], [3]]);
    }

    #[test]
    fn circles_are_one_group() {
        assert_eq!(ordered(&[(1, 2), (2, 1), (3, 1)]), [vec![3], vec![1, 2]]);
        assert_eq!(ordered(&[(1, 1)]), [[1]], "a table that references itself");
    }

    #[test]
    fn tables_outside_do_not_count() {
        assert_eq!(children_first(&BTreeSet::from([1]), &[(2, 1), (1, 3)]), [[1]]);
    }

    #[test]
    fn every_parent_follows_all_of_its_children() {
        // A fixed sequence of pairs from high to low numbers has no circle.
        let edges: Vec<(u32, u32)> =
            (1..60).flat_map(|n| [(n, n / 2), (n, n / 3)]).filter(|(a, b)| a != b).collect();
        let groups = ordered(&edges);
        let place = |table| groups.iter().position(|group| group.contains(&table));
        assert!(edges.iter().all(|(child, parent)| place(*child) < place(*parent)));
        assert!(groups.iter().all(|group| group.len() == 1));
    }
}
