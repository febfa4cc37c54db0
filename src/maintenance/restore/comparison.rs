//! Compares a restored database with the one that was backed up. Pure.

use super::expression;
use super::fault::{Fault, absence_text, aspects_text, content_text, fewer_text};
use super::item::{CONTENT, Item, SEQUENCE_VALUE, Scope};
use absent::Absent;
use other_version::OtherVersions;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How the expected items relate to the backup.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// They are of the backup's own snapshot. Any difference is a fault.
    Exact,
    /// They are of about the time of the backup. A difference is a fault if the source, whose
    /// present items these are, still has what was expected, or if fewer rows came back than it
    /// had then and has now; else it may be a later change.
    Near(&'a [Item]),
    /// They are of another time, and these are the present items of the source. No difference is a
    /// fault.
    Other(&'a [Item]),
}

/// The result of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Faults of the backup or of the restored database, in the order of kind and name.
    pub faults: Vec<Fault>,
    /// Parts that were not compared, each with the reason.
    pub skipped: Vec<Fault>,
    /// Definitions that are the same.
    pub same_definitions: usize,
    /// Contents of tables and values of sequences that are the same.
    pub same_contents: usize,
    /// Rows in those tables.
    pub same_rows: i64,
    /// Contents that were not read, or not compared, for another reason than a later change.
    pub unread: usize,
    /// Contents that differ, and may have changed in the source since.
    pub changed_contents: usize,
    /// Definitions that differ, and may have changed in the source since.
    pub changed_definitions: usize,
}

impl Comparison {
    /// Adds an item that is the same, or that both sides lack.
    fn add_same(&mut self, item: Option<&Item>) {
        match item {
            Some(item) if item.is_content() => {
                self.same_contents += 1;
                self.same_rows += item.rows.unwrap_or(0);
            }
            _ => self.same_definitions += 1,
        }
    }
}

/// The kind of an item that [`collation_fault`] judges.
const COLLATION_VERSION: &str = "collation version";

/// The table of the heartbeat.
const HEARTBEAT: &str = "crewsnow_ops.heartbeat";

/// Compares what was expected with what was restored.
#[must_use]
pub fn compare(expected: &[Item], restored: &[Item], scope: Scope, basis: Basis<'_>) -> Comparison {
    let (expected, restored) = (by_key(expected, scope), by_key(restored, scope));
    let judge = Judge {
        may_views_be_empty: leeway::may_views_be_empty(&expected, &restored),
        expected,
        restored,
        now: match basis {
            Basis::Near(now) | Basis::Other(now) => by_key(now, scope),
            Basis::Exact => BTreeMap::new(),
        },
        scope,
        basis,
    };
    judge.judge()
}

/// The tables and sequences whose content differs, by name. Unless the basis is exact, the caller
/// reads these from the source again.
#[must_use]
pub fn differing_contents(expected: &[Item], restored: &[Item], scope: Scope) -> BTreeSet<String> {
    let (expected, restored) = (by_key(expected, scope), by_key(restored, scope));
    let differs = |(key, item): (&Key<'_>, &&Item)| {
        let is_same = expected.get(key).is_some_and(|other| is_same_content(item, other));
        (item.is_content() && !is_same).then(|| item.name.clone())
    };
    restored.iter().filter_map(differs).collect()
}

/// Whether the heartbeat shows that a backup has the snapshot of its manifest. A dump of another
/// moment has another heartbeat, so far as something moves it.
#[must_use]
pub fn has_snapshot(manifest: &[Item], restored: &[Item]) -> bool {
    let is_heartbeat =
        |item: &&Item| item.kind == CONTENT && item.name == HEARTBEAT && item.rows == Some(1);
    let heartbeat = |items: &[Item]| items.iter().find(is_heartbeat).map(|item| item.hash.clone());
    heartbeat(manifest).is_some_and(|beat| heartbeat(restored) == Some(beat))
}

/// Kind, name, and a number for items that agree in both.
type Key<'a> = (&'a str, &'a str, usize);
type Items<'a> = BTreeMap<Key<'a>, &'a Item>;

/// The items that a backup of this scope carries.
fn by_key(items: &[Item], scope: Scope) -> Items<'_> {
    let mut keyed = Items::new();
    for item in items.iter().filter(|item| item.scope.is_none_or(|own| own == scope)) {
        let mut key = (item.kind.as_str(), item.name.as_str(), 0);
        while keyed.contains_key(&key) {
            key.2 += 1;
        }
        keyed.insert(key, item);
    }
    keyed
}

struct Judge<'a> {
    expected: Items<'a>,
    restored: Items<'a>,
    now: Items<'a>,
    scope: Scope,
    basis: Basis<'a>,
    /// Whether a sound restore may leave materialized views without their rows.
    may_views_be_empty: bool,
}

impl<'a> Judge<'a> {
    fn judge(&self) -> Comparison {
        let mut result = Comparison::default();
        let others = OtherVersions::of(&self.expected, &self.restored);
        let is_dump = self.scope == Scope::Dump;
        let may_be_missing = |item: &Item| is_dump && leeway::may_be_missing(item);
        let may_be_extra = |item: &Item| is_dump && leeway::may_be_extra(item);
        let mut missing = Absent::of(&self.expected, &self.restored, |_| false);
        let mut extra = Absent::of(&self.restored, &self.expected, may_be_extra);
        let mut unmatched = Vec::new();
        for (key, item) in &self.expected {
            if item.kind == COLLATION_VERSION || others.has(item) && !item.is_content() {
                continue;
            }
            match self.restored.get(key) {
                Some(restored) if others.has(item) && is_read(item, restored) => {
                    others.judge_content(item, restored, &mut result);
                }
                Some(restored) => self.judge_pair(*key, item, restored, &mut result),
                None if others.has(item) => {}
                None if may_be_missing(item) || missing.explains(item) => {}
                None => unmatched.push((*key, *item, true)),
            }
        }
        for (key, item) in &self.restored {
            if item.kind == COLLATION_VERSION {
                result.faults.extend(collation_fault(item));
            } else if self.expected.contains_key(key) || others.has(item) || may_be_extra(item) {
            } else if !extra.explains(item) {
                unmatched.push((*key, *item, false));
            } else if item.is_content() {
                self.judge_new_content(*key, item, &mut result);
            }
        }
        for (key, item, is_missing) in unmatched {
            let absent = if is_missing { &missing } else { &extra };
            let text = absence_text(item, is_missing, absent.followers(item));
            self.add(key, Fault::of(item, text), &mut result);
        }
        sequence_values::judge(self, &others, &mut result);
        result.faults.sort_by(|one, other| one.order().cmp(&other.order()));
        result.skipped.sort_by(|one, other| one.order().cmp(&other.order()));
        result
    }

    /// The content of a table that the backup has and the expected items lack.
    fn judge_new_content(&self, key: Key<'a>, item: &Item, result: &mut Comparison) {
        match self.now.get(&key) {
            Some(now) if is_same_content(item, now) => result.add_same(Some(item)),
            Some(_) => {
                result.changed_contents += 1;
                let text = "is not in the manifest; the source may have changed since the backup";
                result.skipped.push(Fault::of(item, text.to_owned()));
            }
            // The table itself is a fault, or is skipped.
            None => {}
        }
    }

    /// A difference from the expected item is a fault, is none, or is skipped, as the basis has it.
    fn add(&self, key: Key<'a>, fault: Fault, result: &mut Comparison) {
        if self.is_as_now(key) {
            return result.add_same(self.restored.get(&key).copied());
        }
        let is_unchanged = match self.basis {
            Basis::Exact => true,
            Basis::Near(_) => match (self.expected.get(&key), self.now.get(&key)) {
                (None, None) => true,
                (Some(expected), Some(now)) => !now.is_rewritten && is_same(expected, now),
                _ => false,
            },
            Basis::Other(_) => false,
        };
        if is_unchanged {
            result.faults.push(fault);
        } else if !is_record_of_backups(&fault.object) {
            if fault.is_content {
                result.changed_contents += 1;
            } else {
                result.changed_definitions += 1;
            }
            let text = format!("{}; the source may have changed since the backup", fault.text);
            result.skipped.push(Fault { text, ..fault });
        }
    }

    /// Whether the restored item is that of the source now. Then the source changed before the
    /// backup, and not after it.
    fn is_as_now(&self, key: Key<'a>) -> bool {
        match (self.restored.get(&key), self.now.get(&key)) {
            (Some(restored), Some(now)) if restored.is_content() => is_same_content(restored, now),
            (Some(restored), Some(now)) => self.differing_aspects(now, restored).is_empty(),
            // Only those contents are read again that differ.
            (None, None) => {
                let expected = self.expected.get(&key);
                !self.now.is_empty() && expected.is_some_and(|expected| !expected.is_content())
            }
            _ => false,
        }
    }

    /// Rows that no later change explains: fewer came back than a changed source had and has.
    fn loss(&self, key: Key<'a>, item: &Item, restored: &Item) -> Option<String> {
        let now = self.now.get(&key).filter(|now| !is_same_content(item, now))?;
        fewer_text(item, now, restored)
    }

    fn judge_pair(&self, key: Key<'a>, item: &Item, restored: &Item, result: &mut Comparison) {
        result.unread += usize::from(!is_read(item, restored));
        if let Some(state) = &item.sqlstate {
            let text = format!("the source cannot be read: SQLSTATE {state}");
            result.skipped.push(Fault::of(item, text));
        } else if let Some(state) = &restored.sqlstate {
            let unread = Fault::of(item, format!("cannot be read: SQLSTATE {state}"));
            // A missing privilege is none of the backup's.
            let list = if state == "42501" { &mut result.skipped } else { &mut result.faults };
            list.push(unread);
        } else if item.kind == CONTENT {
            if is_same_content(item, restored) {
                result.add_same(Some(restored));
            } else if item.is_rewritten {
                let text = "the source was rewritten after the snapshot, as by TRUNCATE";
                result.unread += 1;
                result.skipped.push(Fault::of(item, text.to_owned()));
            } else if let Some(text) = self.loss(key, item, restored) {
                result.faults.push(Fault::of(item, text));
            } else {
                self.add(key, Fault::of(item, content_text(item, restored)), result);
            }
        } else if item.kind != SEQUENCE_VALUE {
            let mut aspects = self.differing_aspects(item, restored);
            if self.scope == Scope::Dump
                && let Some(text) = other_version::default_text(item, restored)
            {
                aspects.retain(|path| path != "version");
                result.skipped.push(Fault::of(item, text));
                if aspects.is_empty() {
                    return;
                }
            }
            if aspects.is_empty() {
                result.add_same(Some(restored));
            } else {
                self.add(key, Fault::of(item, aspects_text(&aspects)), result);
            }
        }
    }

    /// The aspects in which a definition differs, without those that the backup does not carry.
    fn differing_aspects(&self, item: &Item, restored: &Item) -> Vec<String> {
        let mut aspects = Vec::new();
        for name in keys(&item.definition, &restored.definition) {
            let (one, other) = (item.definition.get(name), restored.definition.get(name));
            let is_left_out = self.scope == Scope::Dump
                && leeway::is_left_out(item, restored, name, self.may_views_be_empty);
            if !is_left_out {
                differing(name, one, other, &mut aspects);
            }
        }
        aspects
    }
}

/// Whether this table records backups: recording one changes it after the manifest is taken.
fn is_record_of_backups(name: &str) -> bool {
    [HEARTBEAT, "crewsnow_ops.backup_manifests"].contains(&name) || name.ends_with(".backup_log")
}

/// A recorded version that is not this system's: texts may sort in another order than the indexes.
fn collation_fault(item: &Item) -> Option<Fault> {
    let (recorded, actual) = (item.aspect("recorded")?, item.aspect("actual")?);
    (recorded != actual).then(|| {
        let text = format!(
            "version {recorded} is recorded, this system has {actual}: \
             indexes on text may be out of order"
        );
        Fault::of(item, text)
    })
}

fn is_read(one: &Item, other: &Item) -> bool {
    one.sqlstate.is_none() && other.sqlstate.is_none()
}

fn is_same(one: &Item, other: &Item) -> bool {
    if one.is_content() {
        return is_same_content(one, other);
    }
    let mut aspects = Vec::new();
    for name in keys(&one.definition, &other.definition) {
        differing(name, one.definition.get(name), other.definition.get(name), &mut aspects);
    }
    aspects.is_empty()
}

fn is_same_content(one: &Item, other: &Item) -> bool {
    one.rows == other.rows
        && one.hash == other.hash
        && one.sqlstate == other.sqlstate
        && one.definition == other.definition
}

fn keys<'a>(
    one: &'a serde_json::Map<String, Value>,
    other: &'a serde_json::Map<String, Value>,
) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

/// Adds the paths on which two aspects differ. An aspect that is NULL is none.
fn differing(path: &str, one: Option<&Value>, other: Option<&Value>, found: &mut Vec<String>) {
    let is_none = |value: Option<&Value>| value.is_none_or(Value::is_null);
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            for name in keys(one, other) {
                let path = format!("{path} {name}");
                differing(&path, one.get(name), other.get(name), found);
            }
        }
        (Some(Value::String(one)), Some(Value::String(other)))
            if expression::is_same(one, other) => {}
        _ if one == other || is_none(one) && is_none(other) => {}
        _ => found.push(path.to_owned()),
    }
}

mod absent;
mod leeway;
mod other_version;
mod sequence_values;

#[cfg(test)]
mod tests;
