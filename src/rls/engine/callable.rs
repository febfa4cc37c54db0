//! Functions that the audit may call, and arguments for them from rows of the tables they name.

use super::argument::{Argument, SampleRow, Value};
use crate::pg::rewrite::value::text_of;
use crate::rls::error::RlsError;
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::Application;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::collections::BTreeMap;

/// Rows read of a table to find some with different owners.
const SAMPLE_ROWS: u64 = 60;
/// Most rows of one table whose values become arguments.
const MAX_ROWS: usize = 2;
/// Most tables of one function that are sampled.
const MAX_TABLES: usize = 3;
/// Most calls that are tried with the values of one row.
const MAX_CALLS_OF_ROW: usize = 3;
/// Most calls that are tried of one function.
const MAX_CALLS: usize = 8;

/// A table whose name occurs in a function.
#[derive(Debug)]
pub struct NamedTable {
    /// Name, quoted and qualified.
    pub name: String,
    /// Columns: name, base type, kind.
    columns: Vec<(String, pg_sys::Oid, String)>,
    /// Name of the first owner column, quoted.
    pub owner: Option<String>,
}

/// One way to call a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// The arguments.
    pub values: Vec<String>,
    /// The same with values that no row has; `None` if no argument stands for a row.
    pub unused: Option<Vec<String>>,
    /// The row whose values are used.
    pub row: Option<SampleRow>,
    /// The user whose data the call is about.
    pub user: Option<String>,
}

/// The shape of a function's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Yes, no or an integer.
    Number,
    /// One value of another type.
    Value,
    /// Rows, an array or a JSON value.
    Rows,
}

/// A function as the audit may call it.
#[derive(Debug)]
pub struct Callable {
    /// The signature, as in the finding.
    pub signature: String,
    name: String,
    /// Why it cannot be called.
    pub reason: Option<String>,
    required: usize,
    /// The shape of its result.
    pub result: Shape,
    /// For each role in `Application::roles`, whether it may call the function.
    pub is_callable: Vec<bool>,
    arguments: Vec<Argument>,
    /// The tables that its text names.
    pub tables: Vec<NamedTable>,
    /// Name of the table whose rows it returns, quoted and qualified.
    pub returned: Option<String>,
}

impl Callable {
    /// The functions with these signatures.
    pub fn find(application: &Application, signatures: &[String]) -> Result<Vec<Self>, RlsError> {
        let roles: Vec<pg_sys::Oid> = application.roles.iter().map(|role| role.oid).collect();
        Spi::connect(|client| {
            let mut found: BTreeMap<u32, Self> = BTreeMap::new();
            let sql = include_str!("../../../sql/rls/calls/functions.sql");
            for row in client.select(sql, None, &[signatures.to_vec().into(), roles.into()])? {
                let texts = |column| row.get::<Vec<String>>(column).map(Option::unwrap_or_default);
                let (names, types, kinds) = (texts(8)?, texts(9)?, texts(10)?);
                let arguments = types.into_iter().zip(kinds).enumerate();
                let function = Self {
                    signature: row.get(1)?.unwrap_or_default(),
                    name: row.get(3)?.unwrap_or_default(),
                    reason: row.get(4)?,
                    required: row.get::<i32>(5)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
                    result: match row.get::<String>(6)?.as_deref() {
                        Some("number") => Shape::Number,
                        Some("value") => Shape::Value,
                        _ => Shape::Rows,
                    },
                    is_callable: row.get(7)?.unwrap_or_default(),
                    arguments: arguments
                        .map(|(place, (type_, kind))| Argument {
                            name: names.get(place).cloned().unwrap_or_default(),
                            type_,
                            is_array: kind.ends_with("[]"),
                            kind: kind.trim_end_matches("[]").to_owned(),
                        })
                        .collect(),
                    tables: Vec::new(),
                    returned: row.get(11)?,
                };
                let oid: pg_sys::Oid = row.get(2)?.unwrap_or(pg_sys::InvalidOid);
                found.insert(oid.to_u32(), function);
            }
            let callable: Vec<pg_sys::Oid> = found
                .iter()
                .filter(|(_, function)| function.reason.is_none())
                .map(|(oid, _)| pg_sys::Oid::from(*oid))
                .collect();
            if callable.is_empty() {
                return Ok(found.into_values().collect());
            }
            let sql = include_str!("../../../sql/rls/calls/tables.sql");
            for row in client.select(sql, None, &[callable.into()])? {
                let function: pg_sys::Oid = row.get(1)?.unwrap_or(pg_sys::InvalidOid);
                let Some(function) = found.get_mut(&function.to_u32()) else { continue };
                if function.tables.len() == MAX_TABLES {
                    continue;
                }
                let names: Vec<String> = row.get(4)?.unwrap_or_default();
                let types: Vec<pg_sys::Oid> = row.get(5)?.unwrap_or_default();
                let kinds: Vec<String> = row.get(6)?.unwrap_or_default();
                let are_owners: Vec<bool> = row.get(7)?.unwrap_or_default();
                let owner = are_owners.iter().position(|is_owner| *is_owner);
                function.tables.push(NamedTable {
                    name: row.get(3)?.unwrap_or_default(),
                    owner: owner.and_then(|place| names.get(place)).map(quote_identifier),
                    columns: names
                        .into_iter()
                        .zip(types)
                        .zip(kinds)
                        .map(|((name, type_), kind)| (name, type_, kind))
                        .collect(),
                });
            }
            // The rows of the returned table give arguments first.
            for function in found.values_mut() {
                let returned = function.returned.clone();
                function.tables.sort_by_key(|table| Some(&table.name) != returned.as_ref());
            }
            Ok(found.into_values().collect())
        })
    }

    /// The expression of a call whose arguments are the first `count` elements of `$1`.
    pub fn expression(&self, count: usize) -> String {
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .take(count)
            .enumerate()
            .map(|(place, argument)| format!("($1)[{}]::{}", place + 1, argument.type_))
            .collect();
        format!("{}({})", self.name, arguments.join(", "))
    }

    /// Calls with the values of sample rows, or with ids of accounts where no row is known.
    pub fn calls(&self, application: &Application, accounts: &mut AccountPool) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        let rows = self.sample_rows(application, accounts);
        let of_table = |table: usize| rows.iter().filter(move |row| row.table == table);
        // The first row of each table comes before the second of any.
        let places = (0..MAX_ROWS).flat_map(|n| (0..MAX_TABLES).map(move |table| (n, table)));
        for row in places.filter_map(|(n, table)| of_table(table).nth(n)) {
            for call in self.calls_about(row.owner.clone(), Some(row)) {
                let is_known =
                    |known: &Call| (&known.values, &known.user) == (&call.values, &call.user);
                if calls.len() < MAX_CALLS && !calls.iter().any(is_known) {
                    calls.push(call);
                }
            }
        }
        if calls.is_empty() {
            for user in accounts.sample.iter().take(MAX_ROWS) {
                calls.extend(self.calls_about(Some(user.clone()), None));
            }
        }
        calls
    }

    /// Rows of the named tables, of different owners where a table has an owner column.
    fn sample_rows(&self, application: &Application, accounts: &mut AccountPool) -> Vec<SampleRow> {
        let mut found = Vec::new();
        for (place, table) in self.tables.iter().enumerate() {
            let is_wanted = |column: &&(String, pg_sys::Oid, String)| {
                self.arguments.iter().any(|argument| argument.kind == column.2)
                    || table.owner.as_ref() == Some(&quote_identifier(&column.0))
            };
            let columns: Vec<_> = table.columns.iter().filter(is_wanted).collect();
            let names: String = columns
                .iter()
                .map(|column| format!(", t.{}", quote_identifier(&column.0)))
                .collect();
            let condition = match &table.owner {
                Some(owner) => format!(" WHERE t.{owner} IS NOT NULL"),
                None => String::new(),
            };
            let sql =
                format!("SELECT t.tableoid, t.ctid{names} FROM {} AS t{condition}", table.name);
            // A table that cannot be read gives no arguments.
            let rows = application.rows(&table.name, &sql, &[], SAMPLE_ROWS).unwrap_or_default();
            let mut owners: Vec<Option<String>> = Vec::new();
            for row in rows {
                let (Some(Some(oid)), Some(Some(ctid))) = (row.first(), row.get(1)) else {
                    continue;
                };
                let values: Vec<(String, String, String)> = columns
                    .iter()
                    .zip(row.iter().skip(2))
                    .filter_map(|((name, type_, kind), value)| {
                        Some((name.clone(), kind.clone(), text_of(*type_, (*value)?)))
                    })
                    .collect();
                let owner = table.owner.as_ref().and_then(|owner| {
                    let is_owner =
                        |value: &&(String, String, String)| quote_identifier(&value.0) == *owner;
                    values.iter().find(is_owner).map(|(_, _, value)| value.clone())
                });
                if owner.is_some() && owners.contains(&owner) {
                    continue;
                }
                owners.push(owner.clone());
                let known = owner.and_then(|id| {
                    accounts.load_existing(application, vec![id]).unwrap_or_default().pop()
                });
                if table.owner.is_some() && known.is_none() {
                    continue;
                }
                found.push(SampleRow {
                    table: place,
                    place: pg_sys::Oid::from(oid.value() as u32),
                    ctid: text_of(pg_sys::TIDOID, *ctid),
                    owner: known,
                    values,
                });
                if found.iter().filter(|row| row.table == place).count() == MAX_ROWS {
                    break;
                }
            }
        }
        found
    }

    /// Calls with and without the arguments that have a default, about one row and user.
    fn calls_about(&self, user: Option<String>, row: Option<&SampleRow>) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for count in [self.arguments.len(), self.required] {
            let choices: Option<Vec<Vec<Value>>> = self
                .arguments
                .iter()
                .take(count)
                .map(|argument| {
                    let values = argument.values(user.as_deref(), row);
                    (!values.is_empty()).then_some(values)
                })
                .collect();
            let Some(choices) = choices else { continue };
            let first: Vec<&Value> = choices.iter().filter_map(|values| values.first()).collect();
            let mut ways = vec![first.clone()];
            for (place, values) in choices.iter().enumerate() {
                for value in values.iter().skip(1) {
                    let mut way = first.clone();
                    way[place] = value;
                    ways.push(way);
                }
            }
            for way in ways {
                let stands_for_row = way.iter().any(|value| value.unused.is_some());
                let unused = way
                    .iter()
                    .map(|value| value.unused.clone().unwrap_or_else(|| value.text.clone()));
                let call = Call {
                    values: way.iter().map(|value| value.text.clone()).collect(),
                    unused: stands_for_row.then(|| unused.collect()),
                    row: row.cloned(),
                    user: user.clone(),
                };
                let is_known = calls.iter().any(|known| known.values == call.values);
                if !is_known && calls.len() < MAX_CALLS_OF_ROW {
                    calls.push(call);
                }
            }
        }
        calls
    }
}
