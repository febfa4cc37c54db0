//! Finds the owner columns of tables: the columns that name the account a row belongs to.

use super::account_keys::{AccountKeys, ColumnKey};
use super::account_sample::{AccountSample, Presence};
use super::application::Application;
use super::owner_column::{OwnerColumn, OwnerKind};
use super::owner_names::{ACCOUNT_TABLES, OWNER_NAMES, TEAM_NAMES, is_audit_name, is_creator_name};
use crate::pg::catalog::constraint;
use crate::pg::catalog::constraint::{Column, Constraint};
use crate::pg::catalog::lookup;
use crate::pg::rewrite::user_comparison::{UserComparisons, deparsed_on_alias};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// The columns of one table that say whose a row is.
#[derive(Debug, Default, Clone)]
pub struct TableOwners {
    /// Columns that name the account a row belongs to.
    pub columns: Vec<OwnerColumn>,
    /// Columns that name other accounts whose row it also is: lists beside an owner column.
    pub participants: Vec<OwnerColumn>,
    /// Name of a column that names a team; `None` if there is none.
    pub team: Option<String>,
    /// The referenced tables of a table without owner columns.
    pub parents: Vec<ParentTable>,
}

/// A table that another one references, and that has owner columns or such a parent itself. A table
/// is never above itself.
#[derive(Debug, Clone)]
pub struct ParentTable {
    /// Oid of the referenced table.
    pub oid: pg_sys::Oid,
    /// The referencing columns, each with the referenced one.
    pub columns: Vec<(i16, i16)>,
}

/// The columns that hold user ids, as table and column.
pub fn user_columns(owners: &HashMap<u32, TableOwners>) -> Vec<(pg_sys::Oid, i16)> {
    let of_table = |(table, owners): (&u32, &TableOwners)| {
        let oid = pg_sys::Oid::from(*table);
        let ids = owners.columns.iter().filter(|owner| owner.is_plain_id());
        ids.map(|owner| (oid, owner.number)).collect::<Vec<_>>()
    };
    owners.iter().flat_map(of_table).collect()
}

/// The owner columns by table. See [`table_owners`].
pub fn owner_columns(
    application: &Application,
    compared: &HashMap<u32, UserComparisons>,
) -> HashMap<u32, Vec<OwnerColumn>> {
    table_owners(application, compared)
        .into_iter()
        .map(|(table, owners)| (table, owners.columns))
        .filter(|(_, columns)| !columns.is_empty())
        .collect()
}

/// The owners by table. In order of preference: columns that reference an account by foreign keys;
/// columns, lists and expressions that policies compare with the request's user (`compared`);
/// columns with a telling name and type, whose values are accounts.
///
/// An account is a row of the accounts table, or a row whose unique column policies compare with
/// the request's user.
pub fn table_owners(
    application: &Application,
    compared: &HashMap<u32, UserComparisons>,
) -> HashMap<u32, TableOwners> {
    let accounts = application.users.as_ref().and_then(|users| {
        let (number, type_) = lookup::key(users.table)?;
        Some(((users.table.to_u32(), number), type_))
    });
    // Policies also compare ids of teams and other keys; their types rule those out.
    let id_type = application.id_type();
    let can_be_id = |type_: pg_sys::Oid| {
        let base = lookup::base_type(type_);
        id_type.is_none_or(|id| id == base) || lookup::is_text(base)
    };
    let constraints = constraint::keys_and_references();
    let unique: BTreeSet<ColumnKey> = constraint::unique_columns()
        .into_iter()
        .map(|(table, number)| (table.to_u32(), number))
        .collect();
    let sample = AccountSample::new(application);
    let columns = TellingColumns::read();
    let is_id = |(table, number): &ColumnKey| {
        lookup::column_type(pg_sys::Oid::from(*table), *number).is_some_and(can_be_id)
    };
    let referencing = referencing_columns(&constraints);
    // A policy that compares the key of a document with the user id is a mistake of its author.
    let is_no_account = |column: &ColumnKey| {
        let table = pg_sys::Oid::from(column.0);
        let known = lookup::column_name(table, column.1).zip(lookup::column_type(table, column.1));
        unique.contains(column)
            && !referencing.contains(column)
            && known.is_some_and(|(name, type_)| {
                sample.presence(table, &name, lookup::base_type(type_)) == Presence::Absent
            })
    };
    let ids: BTreeSet<ColumnKey> = compared
        .iter()
        .flat_map(|(table, compared)| compared.columns.iter().map(|number| (*table, *number)))
        .filter(|column| is_id(column) && !is_no_account(column))
        .collect();
    let named = named_account_keys(&columns.ids, &unique, id_type, &sample);
    let starts = ids.iter().chain(&named).copied().collect();
    let mut keys = AccountKeys::trace(accounts.map(|(key, _)| key), &starts, &constraints, &unique);
    for key in named.into_iter().filter(|key| !ids.contains(key)) {
        keys.ids
            .entry(key)
            .and_modify(|basis| *basis = if *basis == "policy" { "name" } else { basis });
    }
    let mut found: HashMap<u32, TableOwners> = HashMap::new();
    for ((table, number), basis) in &keys.ids {
        add(&mut found, (*table, *number), basis, OwnerKind::Id);
    }
    for (table, compared) in compared {
        add_compared(found.entry(*table).or_default(), *table, compared, &can_be_id);
    }
    for ((table, number), reference) in &keys.references {
        // A column with the id itself says more than a reference.
        let has_id = found
            .get(table)
            .is_some_and(|owners| owners.columns.iter().any(|owner| !is_audit_name(&owner.name)));
        if !has_id {
            let kind = OwnerKind::Reference(Rc::clone(reference));
            add(&mut found, (*table, *number), "foreign key", kind);
        }
    }
    let none = UserComparisons::default();
    for (table, owners) in &mut found {
        settle(*table, owners, compared.get(table).unwrap_or(&none));
    }
    for (column, name) in
        named_columns(&columns.owners, &found, compared, &referencing, id_type, &sample)
    {
        let owners = found.entry(column.0).or_default();
        owners.columns.clear();
        add(&mut found, column, "name", OwnerKind::Id);
        if let Some(owner) = found.get_mut(&column.0).and_then(|owners| owners.columns.first_mut())
        {
            owner.is_audit = is_audit_name(&name);
        }
    }
    for column in columns.teams {
        let team = &mut found.entry(column.table.to_u32()).or_default().team;
        if team.is_none() {
            *team = lookup::column_name(column.table, column.number);
        }
    }
    add_parents(&mut found, &constraints);
    found
}

/// Columns whose names tell their content, from one scan of the catalog.
struct TellingColumns {
    /// Named as in [`OWNER_NAMES`].
    owners: Vec<Column>,
    /// Named as in [`TEAM_NAMES`].
    teams: Vec<Column>,
    /// Named `id`.
    ids: Vec<Column>,
}

impl TellingColumns {
    fn read() -> Self {
        let names: Vec<_> = OWNER_NAMES.into_iter().chain(TEAM_NAMES).chain([c"id"]).collect();
        let (mut owners, mut teams, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for column in constraint::columns_called(&names) {
            match column.place {
                owner if owner < OWNER_NAMES.len() => owners.push(column),
                team if team < OWNER_NAMES.len() + TEAM_NAMES.len() => teams.push(column),
                _ => ids.push(column),
            }
        }
        Self { owners, teams, ids }
    }
}

/// The columns of foreign keys.
fn referencing_columns(constraints: &[Constraint]) -> BTreeSet<ColumnKey> {
    let foreign_keys = constraints.iter().filter(|constraint| constraint.to.is_some());
    foreign_keys
        .flat_map(|constraint| {
            constraint.columns.iter().map(|column| (constraint.table.to_u32(), *column))
        })
        .collect()
}

/// How far above a table the one with owner columns may be.
const MAX_LEVEL: usize = 3;

/// Adds the tables that tables without owner columns reference: those with owner columns, then
/// those that reference such a table, and so on.
fn add_parents(found: &mut HashMap<u32, TableOwners>, constraints: &[Constraint]) {
    let has_owner = |(_, owners): &(&u32, &TableOwners)| !owners.columns.is_empty();
    let mut placed: BTreeSet<u32> =
        found.iter().filter(has_owner).map(|(table, _)| *table).collect();
    for _ in 0..MAX_LEVEL {
        let mut level = BTreeSet::new();
        for constraint in constraints {
            let Some((parent, keys)) = &constraint.to else { continue };
            let table = constraint.table.to_u32();
            if placed.contains(&parent.to_u32()) && !placed.contains(&table) {
                let columns = constraint.columns.iter().copied().zip(keys.iter().copied());
                let parent = ParentTable { oid: *parent, columns: columns.collect() };
                found.entry(table).or_default().parents.push(parent);
                level.insert(table);
            }
        }
        placed.extend(level);
    }
}

/// Columns `id` of tables named like accounts, unique and with values that are accounts.
fn named_account_keys(
    columns: &[Column],
    unique: &BTreeSet<ColumnKey>,
    id_type: Option<pg_sys::Oid>,
    sample: &AccountSample<'_>,
) -> Vec<ColumnKey> {
    let is_account = |column: &&Column| {
        let type_ = lookup::base_type(column.type_);
        let name = lookup::relation_name(column.table).unwrap_or_default();
        unique.contains(&(column.table.to_u32(), column.number))
            && (Some(type_) == id_type || lookup::is_text(type_))
            && ACCOUNT_TABLES.contains(&name.as_str())
            && lookup::is_table_of_users(column.table)
            && sample.presence(column.table, "id", type_) == Presence::Present
    };
    columns.iter().filter(is_account).map(|column| (column.table.to_u32(), column.number)).collect()
}

/// Adds a column of this kind to the owners of its table.
fn add(
    found: &mut HashMap<u32, TableOwners>,
    (table, number): ColumnKey,
    basis: &'static str,
    kind: OwnerKind,
) {
    let oid = pg_sys::Oid::from(table);
    let (Some(name), Some(type_)) =
        (lookup::column_name(oid, number), lookup::column_type(oid, number))
    else {
        return;
    };
    let owner = OwnerColumn::of_kind(number, name, lookup::base_type(type_), basis, kind);
    found.entry(table).or_default().columns.extend(owner);
}

/// Adds the lists and expressions that policies compare with the request's user.
fn add_compared(
    owners: &mut TableOwners,
    table: u32,
    compared: &UserComparisons,
    can_be_id: &dyn Fn(pg_sys::Oid) -> bool,
) {
    let oid = pg_sys::Oid::from(table);
    for number in &compared.lists {
        let element = lookup::column_type(oid, *number)
            .map(|type_| lookup::element_type(lookup::base_type(type_)))
            .filter(|element| can_be_id(*element));
        if let (Some(name), Some(element)) = (lookup::column_name(oid, *number), element) {
            let list = OwnerColumn::of_kind(*number, name, element, "policy", OwnerKind::List);
            owners.columns.extend(list);
        }
    }
    let mut known: Vec<String> = Vec::new();
    for (number, tree) in &compared.expressions {
        let (sql, type_) = deparsed_on_alias(tree, oid);
        if !(can_be_id(type_) || type_ == pg_sys::JSONBOID) || known.contains(&sql) {
            continue;
        }
        let Some(name) = lookup::column_name(oid, *number) else { continue };
        let kind = OwnerKind::Expression(Rc::from(tree.as_str()), Rc::from(sql.as_str()));
        known.push(sql);
        let type_ = lookup::base_type(type_);
        owners.columns.extend(OwnerColumn::of_kind(*number, name, type_, "policy", kind));
    }
}

/// Decides between the columns of one table. A list or expression beside an owner column names
/// participants. A column that says who touched the row is no owner beside one, unless policies
/// compare it with the request's user.
fn settle(table: u32, owners: &mut TableOwners, compared: &UserComparisons) {
    let is_compared = |owner: &OwnerColumn| compared.columns.contains(&owner.number);
    let is_audit = |owner: &OwnerColumn| {
        matches!(owner.kind, OwnerKind::Id | OwnerKind::Reference(_))
            && is_audit_name(&owner.name)
            && !is_compared(owner)
    };
    // The server of Supabase's storage sets `owner`; folders are owned as the policies say.
    let is_storage = lookup::table_name(pg_sys::Oid::from(table))
        .is_some_and(|name| name.starts_with("storage."));
    let is_expression =
        |owner: &OwnerColumn| matches!(owner.kind, OwnerKind::Expression(..) | OwnerKind::List);
    if is_storage && owners.columns.iter().any(is_expression) {
        owners.columns.retain(|owner| is_expression(owner) || is_compared(owner));
    }
    if owners.columns.iter().any(|owner| !is_audit(owner)) {
        owners.columns.retain(|owner| !is_audit(owner));
    } else if owners.columns.iter().any(|owner| is_creator_name(&owner.name)) {
        owners.columns.retain(|owner| is_creator_name(&owner.name));
    }
    for owner in &mut owners.columns {
        owner.is_audit = is_audit(owner);
    }
    let (beside, columns): (Vec<_>, Vec<_>) =
        std::mem::take(&mut owners.columns).into_iter().partition(is_expression);
    let (mut columns, participants) = match (columns.is_empty(), beside) {
        (true, beside) => {
            // Expressions name one owner, lists name several.
            let is_list = |owner: &OwnerColumn| matches!(owner.kind, OwnerKind::List);
            let (lists, expressions): (Vec<_>, Vec<_>) = beside.into_iter().partition(is_list);
            if expressions.is_empty() { (lists, expressions) } else { (expressions, lists) }
        }
        (false, beside) => (columns, beside),
    };
    columns.sort_by_key(|owner| owner.number);
    (owners.columns, owners.participants) = (columns, participants);
}

/// Owner columns by name and type, one per table whose owner neither keys nor policies tell. A
/// column that references another table is left out, because it holds that table's key. Values that
/// are no accounts rule a column out; a text column needs values that are accounts.
fn named_columns(
    columns: &[Column],
    known: &HashMap<u32, TableOwners>,
    compared: &HashMap<u32, UserComparisons>,
    referencing: &BTreeSet<ColumnKey>,
    id_type: Option<pg_sys::Oid>,
    sample: &AccountSample<'_>,
) -> Vec<(ColumnKey, String)> {
    let mut candidates: BTreeMap<u32, BTreeMap<usize, (i16, pg_sys::Oid)>> = BTreeMap::new();
    for column in columns {
        let table = column.table.to_u32();
        let type_ = lookup::base_type(column.type_);
        let is_id = type_ == pg_sys::UUIDOID || Some(type_) == id_type;
        if (is_id || lookup::is_text(type_)) && !referencing.contains(&(table, column.number)) {
            candidates.entry(table).or_default().insert(column.place, (column.number, type_));
        }
    }
    let mut found = Vec::new();
    for (table, columns) in candidates {
        let oid = pg_sys::Oid::from(table);
        let owners = known.get(&table).map(|owners| owners.columns.as_slice()).unwrap_or_default();
        if owners.iter().any(|owner| !owner.is_audit) || !lookup::is_table_of_users(oid) {
            continue;
        }
        // Conditions on another column say that this one is not the owner.
        let others = compared.get(&table).map(|compared| &compared.others);
        let is_ruled_out = |number: i16| others.into_iter().flatten().any(|other| *other != number);
        let chosen = columns.values().find_map(|(number, type_)| {
            let name = lookup::column_name(oid, *number)?;
            if is_ruled_out(*number) || (!owners.is_empty() && is_audit_name(&name)) {
                return None;
            }
            let is_owner = match sample.presence(oid, &name, *type_) {
                Presence::Present => true,
                Presence::Absent => false,
                Presence::Unknown => !lookup::is_text(*type_),
            };
            is_owner.then_some((*number, name))
        });
        found.extend(chosen.map(|(number, name)| ((table, number), name)));
    }
    found
}
