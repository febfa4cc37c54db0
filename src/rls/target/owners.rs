//! Whose rows are: which columns of tables name an account.

use super::application::Application;
use super::table::OwnerColumn;
use crate::pg::catalog::constraint;
use crate::pg::catalog::constraint::Constraint;
use crate::pg::catalog::lookup;
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CStr;

/// Names of columns that speak for themselves where nothing else tells, the first before the others.
const NAMES: [&CStr; 9] = [
    c"user_id",
    c"owner_id",
    c"owner",
    c"author_id",
    c"profile_id",
    c"created_by",
    c"account_id",
    c"member_id",
    c"customer_id",
];

/// A table and a column of it.
type ColumnKey = (u32, i16);

/// Whose rows are, by table: known by foreign keys to the accounts, through tables that have an account's key as their own; by the columns that
/// policies compare with who asks; and where neither tells, by name and type.
pub fn owner_columns(application: &Application, compared: &HashMap<u32, Vec<i16>>) -> HashMap<u32, Vec<OwnerColumn>> {
    let accounts = application.users.as_ref().and_then(|users| {
        let (number, type_) = lookup::key(users.table)?;
        Some(((users.table.to_u32(), number), type_))
    });
    let constraints = constraint::keys_and_references();
    let mut known: BTreeMap<ColumnKey, &'static str> = BTreeMap::new();
    if let Some((key, _)) = accounts {
        known.extend(references(key, &constraints).into_iter().map(|place| (place, "foreign key")));
    }
    // A list of people, or the team that a claim names, is nobody's id.
    let can_be_id = |type_: pg_sys::Oid| {
        let base = lookup::base_type(type_);
        accounts.is_none_or(|(_, key)| key == base || lookup::is_text(base))
    };
    for (table, columns) in compared {
        for column in columns {
            if lookup::column_type(pg_sys::Oid::from(*table), *column).is_some_and(can_be_id) {
                known.entry((*table, *column)).or_insert("policy");
            }
        }
    }
    known
        .extend(named(&known, accounts.map(|(_, type_)| type_), &constraints).into_iter().map(|place| (place, "name")));
    let mut owners: HashMap<u32, Vec<OwnerColumn>> = HashMap::new();
    for ((table, number), basis) in known {
        let oid = pg_sys::Oid::from(table);
        let (Some(name), Some(type_)) = (lookup::column_name(oid, number), lookup::column_type(oid, number)) else {
            continue;
        };
        // Of a domain, what its values are. Types of the server's own, and texts of extensions, as citext is: nobody else's code is run to
        // compare them.
        let type_ = lookup::base_type(type_);
        if type_.to_u32() < pg_sys::FirstNormalObjectId || lookup::is_text_of_extension(type_) {
            owners.entry(table).or_default().extend(OwnerColumn::new(number, name, type_, basis));
        }
    }
    owners
}

/// The accounts' key and the columns that refer to it, also through tables whose own key refers to it.
fn references(accounts: ColumnKey, constraints: &[Constraint]) -> BTreeSet<ColumnKey> {
    let primary: HashMap<u32, &[i16]> = constraints
        .iter()
        .filter(|constraint| constraint.to.is_none())
        .map(|key| (key.table.to_u32(), key.columns.as_slice()))
        .collect();
    let mut to: HashMap<ColumnKey, Vec<(ColumnKey, bool)>> = HashMap::new();
    for constraint in constraints {
        let (Some((table, columns)), [column]) = (&constraint.to, constraint.columns.as_slice()) else { continue };
        let [referenced] = columns.as_slice() else { continue };
        let from = constraint.table.to_u32();
        let is_key = !constraint.is_of_partition && primary.get(&from) == Some(&[*column].as_slice());
        to.entry((table.to_u32(), *referenced)).or_default().push(((from, *column), is_key));
    }
    let mut found = BTreeSet::from([accounts]);
    let mut keys = BTreeSet::from([accounts]);
    let mut left = vec![accounts];
    while let Some(key) = left.pop() {
        for (place, is_key) in to.get(&key).into_iter().flatten() {
            found.insert(*place);
            if *is_key && keys.insert(*place) {
                left.push(*place);
            }
        }
    }
    found
}

/// Of tables of which nothing is known, the column whose name and type tell; unless it references something else, whose key it then is.
fn named(
    known: &BTreeMap<ColumnKey, &'static str>,
    accounts: Option<pg_sys::Oid>,
    constraints: &[Constraint],
) -> BTreeSet<ColumnKey> {
    let referring: BTreeSet<ColumnKey> = constraints
        .iter()
        .filter(|constraint| constraint.to.is_some())
        .flat_map(|constraint| constraint.columns.iter().map(|column| (constraint.table.to_u32(), *column)))
        .collect();
    let mut best: HashMap<u32, (usize, i16)> = HashMap::new();
    for column in constraint::columns_called(&NAMES) {
        let table = column.table.to_u32();
        let type_ = lookup::base_type(column.type_);
        if (type_ == pg_sys::UUIDOID || Some(type_) == accounts)
            && known.range((table, i16::MIN)..=(table, i16::MAX)).next().is_none()
            && !referring.contains(&(table, column.number))
            && best.get(&table).is_none_or(|(place, _)| column.place < *place)
        {
            best.insert(table, (column.place, column.number));
        }
    }
    best.into_iter()
        .filter(|(table, _)| lookup::is_table_of_users(pg_sys::Oid::from(*table)))
        .map(|(table, (_, number))| (table, number))
        .collect()
}
