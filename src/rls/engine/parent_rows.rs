//! The rows of parent tables as an account sees them: own ones, hidden ones and others.

use super::examine::OWNER_SAMPLE;
use super::probe::{MAX_COST, Probe};
use super::rows::RowScope;
use crate::pg::catalog::lookup;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, RowQuery, Undecidable};
use crate::pg::rewrite::value::{Parameters, array_of, text_of};
use crate::rls::error::RlsError;
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use crate::rls::target::table::Table;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use std::collections::HashMap;

/// Most own parent rows of an account, and most foreign ones.
const MAX_KEYS: u64 = 200;

/// A table that another one references by one column, and whose rows belong to accounts.
pub struct Parent<'a> {
    /// The referenced table.
    pub table: &'a Table,
    /// The referencing column.
    pub column: i16,
    /// The referenced column.
    pub key: i16,
    /// Ids of some accounts that own its rows.
    pub owners: Vec<String>,
    /// Its own parent tables, if it has no owner column.
    parents: Vec<Self>,
}

/// The parent tables of a table without owner columns, each with some owners of its rows.
pub fn parents<'a>(
    table: &Table,
    tables: &(impl Iterator<Item = &'a Table> + Clone),
    application: &Application,
    known_owners: &HashMap<u32, Vec<String>>,
    accounts: &mut AccountPool,
) -> Result<Vec<Parent<'a>>, RlsError> {
    let mut found = Vec::new();
    // Parents of parents are fewer at each step: see `ParentTable`.
    for parent in table.parents.iter().filter(|_| table.owners.is_empty()) {
        let [(column, key)] = parent.columns[..] else { continue };
        let Some(table) = tables.clone().find(|table| table.oid() == parent.oid) else { continue };
        let parents = parents(table, tables, application, known_owners, accounts)?;
        let owners = match known_owners.get(&parent.oid.to_u32()) {
            _ if !parents.is_empty() => {
                parents.iter().flat_map(|parent| parent.owners.clone()).collect()
            }
            Some(known) => known.clone(),
            None => {
                let owners = table.sample_owners(application, OWNER_SAMPLE)?;
                accounts.load_existing(application, owners)?
            }
        };
        found.push(Parent { table, column, key, owners, parents });
    }
    Ok(found)
}

/// The rows of one parent table, as an account sees them.
pub struct Keys {
    /// The referencing column.
    pub column: i16,
    /// The type of the keys.
    pub type_: pg_sys::Oid,
    /// Keys of own rows that the account reads.
    pub own: Vec<String>,
    /// Keys of foreign rows that are hidden from the account.
    pub hidden: Vec<String>,
    /// Keys of foreign rows that the account reads.
    pub visible: Vec<String>,
}

impl Keys {
    /// Whether the account reads own rows and knows foreign ones.
    pub fn is_known(&self) -> bool {
        let has_foreign = !self.hidden.is_empty() || !self.visible.is_empty();
        has_foreign && !self.own.is_empty()
    }

    /// The keys of foreign rows.
    pub fn foreign(&self, of: ParentRows) -> &[String] {
        match of {
            ParentRows::Hidden => &self.hidden,
            ParentRows::Visible => &self.visible,
        }
    }
}

/// Foreign parent rows, by whether the account reads them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ParentRows {
    /// The account does not read them.
    Hidden,
    /// It reads them.
    Visible,
}

/// The rows of a parent table as the current account sees them; `None` if it reads no own row, or
/// if the key's type is not the server's own.
pub fn keys_of(parent: &Parent<'_>, identity: &Identity) -> Result<Option<Keys>, Undecidable> {
    let table = parent.table;
    let (Some(name), Some(type_)) = (
        lookup::column_name(table.oid(), parent.key),
        lookup::column_type(table.oid(), parent.key),
    ) else {
        return Ok(None);
    };
    if type_.to_u32() >= pg_sys::FirstNormalObjectId {
        return Ok(None);
    }
    let select = format!("t.{}", quote_identifier(&name));
    let qual = row_security::effective(Command::Select, &table.named)?.using;
    let texts = |(sql, parameters): (String, Parameters), qual: Qual| {
        let rows = RowQuery { sql: &sql, parameters }.rows(qual, MAX_KEYS, MAX_COST)?;
        let keys = rows.into_iter().filter_map(|row| row.first().copied().flatten());
        Ok::<_, Undecidable>(keys.map(|key| text_of(type_, key)).collect::<Vec<String>>())
    };
    let mut keys = Keys {
        column: parent.column,
        type_,
        own: Vec::new(),
        hidden: Vec::new(),
        visible: Vec::new(),
    };
    let probe = Probe::new(table, identity);
    let of_scope = |scope: &RowScope<'_>, qual| match probe.query_of(&select, scope)? {
        Some(query) => texts(query, qual),
        None => Ok(Vec::new()),
    };
    for column in 0..table.owners.len() {
        keys.own.extend(of_scope(&RowScope::Own(column), qual)?);
    }
    if !keys.own.is_empty() {
        keys.hidden = of_scope(&RowScope::Foreign, qual.is_not_true())?;
        keys.visible = of_scope(&RowScope::Foreign, qual)?;
    }
    for above in &parent.parents {
        let Some(known) = keys_of(above, identity)? else { continue };
        let Some(column) = lookup::column_name(table.oid(), above.column) else { continue };
        let below = |list: &[String]| {
            let sql = format!(
                "SELECT {select} FROM {} AS t WHERE t.{} OPERATOR(pg_catalog.=) ANY ($1)",
                table.named.name,
                quote_identifier(&column)
            );
            let array = (lookup::array_type(known.type_), array_of(known.type_, list));
            (sql, Parameters::new(&[array]))
        };
        let foreign = [known.hidden.as_slice(), known.visible.as_slice()].concat();
        keys.own.extend(texts(below(&known.own), qual)?);
        keys.hidden.extend(texts(below(&foreign), qual.is_not_true())?);
        keys.visible.extend(texts(below(&foreign), qual)?);
    }
    // A row below two parent rows is an own one if one of them is.
    for list in [&mut keys.hidden, &mut keys.visible] {
        list.retain(|key| !keys.own.contains(key));
    }
    Ok((!keys.own.is_empty()).then_some(keys))
}
