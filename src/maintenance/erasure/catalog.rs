//! Tables, foreign keys and rules, as an erasure sees them.

use super::error::ErasureError;
use super::query::{Columns, View, key_list, on_table, texts};
use crate::access::as_owner;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Names of columns that look like an owner.
pub const OWNER_NAMES: &str = "^((user|owner|account|member|author|sender|receiver|recipient)\
    (_?id)?|(customer|profile)_?id|(created|updated|deleted)_by(_id)?\
    |.*_(user|owner|account|member|author)_?id|(user|owner)_?uuid|uid|jwt_subject)$";

/// A table that may hold rows of a person.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name, quoted and qualified.
    pub name: String,
    /// Its owner.
    pub owner: pg_sys::Oid,
    /// The columns that identify a row.
    pub columns: Columns,
    /// Whether the caller may read it.
    pub may_select: bool,
    /// Whether the caller may update it.
    pub may_update: bool,
    /// Whether the caller may delete from it.
    pub may_delete: bool,
    /// The reason why its rows cannot be changed; `None` if they can.
    pub obstacle: Option<String>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// The referencing table; the root of its partitions.
    pub child: pg_sys::Oid,
    /// The referenced table; the root of its partitions.
    pub parent: pg_sys::Oid,
    /// The quoted name of the constraint.
    pub name: String,
    /// The quoted referencing columns.
    pub child_columns: Vec<String>,
    /// The referenced columns, with the operators that compare them.
    pub parent_columns: Columns,
    /// Whether ON DELETE sets the referencing columns to NULL or to their defaults.
    pub sets: bool,
}

/// The action of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleAction {
    /// The rows are deleted.
    Delete,
    /// Columns are overwritten.
    Anonymise,
    /// Nothing is done.
    Keep,
}

/// A row of crewsnow_ops.erasure_rules.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The text of the column target.
    pub target: String,
    /// The table; the root of its partitions. `None` if it does not exist.
    pub table: Option<pg_sys::Oid>,
    /// The quoted column and its type; `None` for the rule of the whole table.
    pub owner_column: Option<(String, String)>,
    /// The action.
    pub action: RuleAction,
    /// New values by column; empty unless the action is `Anonymise`.
    pub replacements: Map<String, Value>,
    /// Whether its column exists.
    pub has_column: bool,
}

/// Everything that the catalog says about the application's tables.
pub struct Catalog {
    /// All foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// All rules.
    pub rules: Vec<Rule>,
    /// The rows that queries on the tables see.
    pub view: View,
    tables: BTreeMap<u32, Table>,
}

impl Catalog {
    /// Reads foreign keys and rules. Tables are read when they are reached.
    pub fn read(view: View) -> Result<Self, ErasureError> {
        let (foreign_keys, rules) = (foreign_keys()?, rules()?);
        Ok(Self { foreign_keys, rules, view, tables: BTreeMap::new() })
    }

    /// The table with this oid. 42501 if the caller may not read it.
    pub fn table(&mut self, oid: pg_sys::Oid) -> Result<Table, ErasureError> {
        if let Some(table) = self.tables.get(&oid.to_u32()) {
            return Ok(table.clone());
        }
        let table = read_table(oid)?;
        if !table.may_select {
            return Err(ErasureError::MayNot { privilege: "SELECT", table: table.name });
        }
        self.tables.insert(oid.to_u32(), table.clone());
        Ok(table)
    }

    /// The number of the rule for rows that are reached through these columns: one of a column
    /// goes before that of the whole table.
    pub fn rule_for(&self, table: pg_sys::Oid, columns: &[String]) -> Option<usize> {
        let of_column = |rule: &&Rule| {
            rule.owner_column.as_ref().is_some_and(|(column, _)| columns.contains(column))
        };
        let find = |wanted: &dyn Fn(&&Rule) -> bool| {
            let is_wanted = |rule: &Rule| rule.table == Some(table) && wanted(&rule);
            self.rules.iter().position(is_wanted)
        };
        find(&of_column).or_else(|| find(&|rule| rule.owner_column.is_none()))
    }
}

fn foreign_keys() -> Result<Vec<ForeignKey>, ErasureError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/erasure_edges.sql");
        let rows = client.select(sql, None, &[])?;
        rows.map(|row| {
            let texts = |column| row.get::<Vec<String>>(column).map(Option::unwrap_or_default);
            let oid = |column| {
                row.get::<pg_sys::Oid>(column).map(|oid| oid.unwrap_or(pg_sys::InvalidOid))
            };
            let on_delete: String = row.get(8)?.unwrap_or_default();
            Ok(ForeignKey {
                child: oid(1)?,
                parent: oid(2)?,
                name: row.get(3)?.unwrap_or_default(),
                child_columns: texts(4)?,
                parent_columns: Columns {
                    names: texts(5)?,
                    types: texts(6)?,
                    operators: texts(7)?,
                },
                sets: on_delete == "n" || on_delete == "d",
            })
        })
        .collect()
    })
}

fn rules() -> Result<Vec<Rule>, ErasureError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/erasure_rules.sql");
            let rows = client.select(sql, None, &[])?;
            rows.map(|row| {
                let text = |column| row.get::<String>(column);
                let replacements = match row.get::<JsonB>(6)? {
                    Some(JsonB(Value::Object(replacements))) => replacements,
                    _ => Map::new(),
                };
                Ok(Rule {
                    target: text(1)?.unwrap_or_default(),
                    table: row.get(2)?,
                    owner_column: text(3)?.zip(text(4)?.or_else(|| Some(String::new()))),
                    action: match text(5)?.unwrap_or_default().as_str() {
                        "delete" => RuleAction::Delete,
                        "anonymise" => RuleAction::Anonymise,
                        _ => RuleAction::Keep,
                    },
                    replacements,
                    has_column: row.get(7)?.unwrap_or(false),
                })
            })
            .collect()
        })
    })
}

fn read_table(oid: pg_sys::Oid) -> Result<Table, ErasureError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/erasure_table.sql");
        let rows = client.select(sql, Some(1), &[oid.into()])?;
        if rows.is_empty() {
            return Err(ErasureError::TableIsGone(oid.to_u32()));
        }
        let row = rows.first();
        let texts = |column| row.get::<Vec<String>>(column).map(Option::unwrap_or_default);
        let may = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
        Ok(Table {
            name: row.get(1)?.unwrap_or_default(),
            owner: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
            columns: Columns { names: texts(3)?, types: texts(4)?, operators: texts(5)? },
            may_select: may(6)?,
            may_update: may(7)?,
            may_delete: may(8)?,
            obstacle: row.get(9)?,
        })
    })
}

/// The values that children reference, of these rows of the parent.
pub fn referenced<'a>(
    view: View,
    parent: &Table,
    foreign_key: &ForeignKey,
    keys: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<String>, ErasureError> {
    let columns = &foreign_key.parent_columns;
    if columns.names == parent.columns.names {
        return Ok(keys.into_iter().cloned().collect());
    }
    let not_null: Vec<String> =
        columns.names.iter().map(|name| format!("c.{name} IS NOT NULL")).collect();
    let sql = format!(
        "SELECT {} FROM {} AS c JOIN {} AS k ON {} WHERE {}",
        columns.key_of("c"),
        parent.name,
        parent.columns.keys(1),
        parent.columns.equal("c", &parent.columns.names),
        not_null.join(" AND ")
    );
    on_table(parent.owner, || texts(view, &sql, &[key_list(keys).into()]))
}

/// Columns that look like an owner: table, quoted column, type.
pub fn owner_columns(
    key_type: pg_sys::Oid,
) -> Result<Vec<(pg_sys::Oid, String, String)>, ErasureError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/erasure_owner_columns.sql");
        let rows = client.select(sql, None, &[key_type.into(), OWNER_NAMES.into()])?;
        rows.map(|row| {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let table = row.get::<pg_sys::Oid>(1)?.unwrap_or(pg_sys::InvalidOid);
            Ok((table, text(2)?, text(3)?))
        })
        .collect()
    })
}
