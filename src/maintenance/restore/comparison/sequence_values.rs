//! Values of sequences in a comparison. Pure.

use super::other_version::OtherVersions;
use super::{Comparison, Items, Judge, is_read};
use crate::maintenance::restore::fault::Fault;
use crate::maintenance::restore::item::{CONTENT, SEQUENCE_VALUE};
use crate::maintenance::restore::sequence::{self, Standing};
use std::collections::BTreeSet;

/// Judges the values of the sequences. A fault of a column is one on any basis: the restored
/// database itself shows it.
pub(super) fn judge(judge: &Judge<'_>, others: &OtherVersions<'_>, result: &mut Comparison) {
    let mut used = BTreeSet::new();
    for item in judge.restored.values() {
        for (name, extreme) in &item.extremes {
            let expected = judge.expected.get(&(CONTENT, item.name.as_str(), 0));
            let expected = expected.and_then(|expected| expected.extremes.get(name));
            let was_used = expected.is_some_and(|e| is_used(&judge.expected, name, e));
            if is_used(&judge.restored, name, extreme) && !was_used {
                used.insert(name.as_str());
                result.faults.push(Fault {
                    kind: SEQUENCE_VALUE.to_owned(),
                    object: name.clone(),
                    text: format!("its next value is already used in {}", item.name),
                    is_content: true,
                });
            }
        }
    }
    for (key, item) in judge.expected.iter().filter(|(key, _)| key.0 == SEQUENCE_VALUE) {
        let Some(restored) = judge.restored.get(key) else { continue };
        let is_unread = !is_read(item, restored);
        let definition = judge.expected.get(&("sequence", item.name.as_str(), 0));
        if is_unread || used.contains(item.name.as_str()) || others.has(item) {
            continue;
        }
        match definition.map(|definition| sequence::standing(definition, item, restored)) {
            Some(Standing::Behind) => {
                let text = "is behind the source: values would come again".to_owned();
                judge.add(*key, Fault::of(item, text), result);
            }
            Some(Standing::Cycled) => {
                let text = "its value differs, but it cycles".to_owned();
                result.skipped.push(Fault::of(item, text));
            }
            Some(Standing::SameOrAhead) | None => result.add_same(Some(restored)),
        }
    }
}

fn is_used(items: &Items<'_>, name: &str, extreme: &Option<String>) -> bool {
    let definition = items.get(&("sequence", name, 0));
    let value = items.get(&(SEQUENCE_VALUE, name, 0));
    definition
        .zip(value)
        .is_some_and(|(definition, value)| sequence::is_used(definition, value, extreme.as_deref()))
}
