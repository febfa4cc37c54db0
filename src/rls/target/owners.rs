//! Finds the owner columns of tables: the columns that name the account a row belongs to.

use super::application::Application;
use crate::pg::catalog::constraint;
use crate::pg::catalog::constraint::Constraint;
use crate::pg::catalog::lookup;
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CStr;

/// Names taken for owner columns where neither keys nor policies tell, most likely first.
const OWNER_NAMES: [&CStr; 9] = [
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

/// A table's oid and a column number.
type ColumnKey = (u32, i16);

/// A column that names the account a row belongs to.
#[derive(Debug, Clone)]
pub struct OwnerColumn {
    /// Column number.
    pub number: i16,
    /// Column name, not quoted.
    pub name: String,
    /// Base type of the column.
    pub type_: pg_sys::Oid,
    /// Source of the classification: foreign key, policy or name.
    pub basis: &'static str,
    /// The type's operators for equal and not equal, qualified.
    pub operators: [String; 2],
}

impl OwnerColumn {
    /// `None` if the type has no equality operator.
    pub fn new(number: i16, name: String, type_: pg_sys::Oid, basis: &'static str) -> Option<Self> {
        Some(Self { number, name, type_, basis, operators: lookup::equality(type_)? })
    }
}

/// The owner columns by table. In order of preference: columns that reference the accounts by
/// foreign key, also through tables whose own key does; columns that policies compare with the
/// request's user (`compared`); columns with a telling name and type.
pub fn owner_columns(
    application: &Application,
    compared: &HashMap<u32, Vec<i16>>,
) -> HashMap<u32, Vec<OwnerColumn>> {
    let accounts = application.users.as_ref().and_then(|users| {
        let (number, type_) = lookup::key(users.table)?;
        Some(((users.table.to_u32(), number), type_))
    });
    let constraints = constraint::keys_and_references();
    let mut known: BTreeMap<ColumnKey, &'static str> = BTreeMap::new();
    if let Some((key, _)) = accounts {
        known.extend(
            references(key, &constraints).into_iter().map(|column| (column, "foreign key")),
        );
    }
    // Policies also compare lists of users and ids of teams; their types rule those out.
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
    let by_name = named_columns(&known, accounts.map(|(_, type_)| type_), &constraints);
    known.extend(by_name.into_iter().map(|column| (column, "name")));
    let mut owners: HashMap<u32, Vec<OwnerColumn>> = HashMap::new();
    for ((table, number), basis) in known {
        let oid = pg_sys::Oid::from(table);
        let (Some(name), Some(type_)) =
            (lookup::column_name(oid, number), lookup::column_type(oid, number))
        else {
            continue;
        };
        // Only built-in types and texts of extensions (citext): comparing others would run code of
        // the application's developers.
        let type_ = lookup::base_type(type_);
        if type_.to_u32() < pg_sys::FirstNormalObjectId || lookup::is_text_of_extension(type_) {
            owners.entry(table).or_default().extend(OwnerColumn::new(number, name, type_, basis));
        }
    }
    owners
}

/// The accounts' key and the columns that reference it, also through tables whose own key does.
fn references(accounts: ColumnKey, constraints: &[Constraint]) -> BTreeSet<ColumnKey> {
    let primary: HashMap<u32, &[i16]> = constraints
        .iter()
        .filter(|constraint| constraint.to.is_none())
        .map(|key| (key.table.to_u32(), key.columns.as_slice()))
        .collect();
    let mut referencing: HashMap<ColumnKey, Vec<(ColumnKey, bool)>> = HashMap::new();
    for constraint in constraints {
        let (Some((table, columns)), [column]) = (&constraint.to, constraint.columns.as_slice())
        else {
            continue;
        };
        let [referenced] = columns.as_slice() else { continue };
        let from = constraint.table.to_u32();
        let is_key =
            !constraint.is_of_partition && primary.get(&from) == Some(&[*column].as_slice());
        referencing
            .entry((table.to_u32(), *referenced))
            .or_default()
            .push(((from, *column), is_key));
    }
    let mut found = BTreeSet::from([accounts]);
    let mut keys = BTreeSet::from([accounts]);
    let mut to_visit = vec![accounts];
    while let Some(key) = to_visit.pop() {
        for (column, is_key) in referencing.get(&key).into_iter().flatten() {
            found.insert(*column);
            if *is_key && keys.insert(*column) {
                to_visit.push(*column);
            }
        }
    }
    found
}

/// Owner columns by name and type, one per table that has none in `known`. A column that references
/// another table is left out: it holds that table's key.
fn named_columns(
    known: &BTreeMap<ColumnKey, &'static str>,
    accounts: Option<pg_sys::Oid>,
    constraints: &[Constraint],
) -> BTreeSet<ColumnKey> {
    let referencing: BTreeSet<ColumnKey> = constraints
        .iter()
        .filter(|constraint| constraint.to.is_some())
        .flat_map(|constraint| {
            constraint.columns.iter().map(|column| (constraint.table.to_u32(), *column))
        })
        .collect();
    let mut best: HashMap<u32, (usize, i16)> = HashMap::new();
    for column in constraint::columns_called(&OWNER_NAMES) {
        let table = column.table.to_u32();
        let type_ = lookup::base_type(column.type_);
        if (type_ == pg_sys::UUIDOID || Some(type_) == accounts)
            && known.range((table, i16::MIN)..=(table, i16::MAX)).next().is_none()
            && !referencing.contains(&(table, column.number))
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
