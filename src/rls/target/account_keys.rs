//! Follows foreign keys from the keys of accounts to all columns that name an account.

use super::account_reference::AccountReference;
use crate::pg::catalog::constraint::Constraint;
use crate::pg::catalog::lookup;
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// A table's oid and a column number.
pub type ColumnKey = (u32, i16);

/// Columns that name an account.
pub struct AccountKeys {
    /// Columns that hold user ids, and the source of that: foreign key or policy.
    pub ids: BTreeMap<ColumnKey, &'static str>,
    /// Columns that reference the row of an account by another key.
    pub references: BTreeMap<ColumnKey, Rc<AccountReference>>,
}

impl AccountKeys {
    /// Follows the foreign keys from the key of the accounts table and from `compared`, the columns
    /// that policies compare with the user id. `unique` are the columns that are unique alone.
    ///
    /// Each column of a foreign key equals the referenced one, so it names the same account.
    pub fn trace(
        accounts: Option<ColumnKey>,
        compared: &BTreeSet<ColumnKey>,
        constraints: &[Constraint],
        unique: &BTreeSet<ColumnKey>,
    ) -> Self {
        let referencing = referencing_columns(constraints);
        let mut ids: BTreeMap<ColumnKey, &'static str> = BTreeMap::new();
        if let Some(key) = accounts {
            ids.insert(key, "foreign key");
            for column in closure(vec![key], &referencing) {
                ids.entry(column).or_insert("foreign key");
            }
        }
        for column in compared {
            ids.entry(*column).or_insert("policy");
        }
        for column in closure(compared.iter().copied().collect(), &referencing) {
            ids.entry(column).or_insert("foreign key");
        }
        let mut references = BTreeMap::new();
        for (table, id) in ids.keys().filter(|column| unique.contains(column)) {
            for (_, key) in unique.range((*table, i16::MIN)..=(*table, i16::MAX)) {
                let from = (*table, *key);
                if ids.contains_key(&from) || !referencing.contains_key(&from) {
                    continue;
                }
                let Some(reference) = reference(*table, *key, *id) else { continue };
                let reference = Rc::new(reference);
                for column in closure(vec![from], &referencing) {
                    if !ids.contains_key(&column) {
                        references.entry(column).or_insert_with(|| Rc::clone(&reference));
                    }
                }
            }
        }
        Self { ids, references }
    }
}

/// The columns that reference each column.
fn referencing_columns(constraints: &[Constraint]) -> HashMap<ColumnKey, Vec<ColumnKey>> {
    let mut referencing: HashMap<ColumnKey, Vec<ColumnKey>> = HashMap::new();
    for constraint in constraints {
        let Some((table, columns)) = &constraint.to else { continue };
        for (column, referenced) in constraint.columns.iter().zip(columns) {
            referencing
                .entry((table.to_u32(), *referenced))
                .or_default()
                .push((constraint.table.to_u32(), *column));
        }
    }
    referencing
}

/// The columns that reference one of these, directly or through others.
fn closure(
    mut to_visit: Vec<ColumnKey>,
    referencing: &HashMap<ColumnKey, Vec<ColumnKey>>,
) -> BTreeSet<ColumnKey> {
    let mut found = BTreeSet::new();
    while let Some(key) = to_visit.pop() {
        for column in referencing.get(&key).into_iter().flatten() {
            if found.insert(*column) {
                to_visit.push(*column);
            }
        }
    }
    found
}

/// The rows of a table by another key; `None` for types whose comparison may run code of the
/// application's developers.
fn reference(table: u32, key: i16, id: i16) -> Option<AccountReference> {
    let table = pg_sys::Oid::from(table);
    let builtin = |column: i16| {
        let type_ = lookup::base_type(lookup::column_type(table, column)?);
        (type_.to_u32() < pg_sys::FirstNormalObjectId).then_some(type_)
    };
    builtin(key)?;
    Some(AccountReference::new(
        lookup::table_name(table)?,
        lookup::column_name(table, key)?,
        lookup::column_name(table, id)?,
        builtin(id)?,
    ))
}
