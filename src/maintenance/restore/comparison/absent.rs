//! Objects that one side of a comparison lacks. Pure.

use super::Items;
use crate::maintenance::restore::item::Item;
use std::collections::BTreeMap;

/// Names of objects that one side lacks, each with the number of objects that go with it.
pub(super) struct Absent<'a> {
    followers: BTreeMap<&'a str, usize>,
}

impl<'a> Absent<'a> {
    /// Objects of `items` that `others` lacks. Grants, comments and contents are no objects of
    /// their own, and those that the database of the restore has anyway explain nothing.
    pub(super) fn of(
        items: &Items<'a>,
        others: &Items<'_>,
        has_anyway: impl Fn(&Item) -> bool,
    ) -> Self {
        let is_object = |item: &Item| {
            let is_own = item.parent.as_deref() != Some(item.name.as_str());
            !item.is_content() && is_own && !has_anyway(item)
        };
        let names = items
            .iter()
            .filter(|(key, item)| is_object(item) && !others.contains_key(*key))
            .map(|(_, item)| (item.name.as_str(), 0));
        Self { followers: names.collect() }
    }

    /// Whether an absent object explains the absence of this one. Counts it there.
    pub(super) fn explains(&mut self, item: &Item) -> bool {
        let owners = [item.parent.as_deref(), item.extension.as_deref()];
        for owner in owners.into_iter().flatten().filter(|owner| *owner != item.name) {
            if let Some(count) = self.followers.get_mut(owner) {
                *count += 1;
                return true;
            }
        }
        if item.is_content() {
            return self.followers.contains_key(item.name.as_str());
        }
        false
    }

    /// The number of objects that go with this absent one.
    pub(super) fn followers(&self, item: &Item) -> usize {
        self.followers.get(item.name.as_str()).copied().unwrap_or(0)
    }
}
