//! The row of an explained denial: the key that finds it, and the values that are written.

use super::EXAMPLE;
use super::relation::{Column, Relation, listed};
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::evaluation::{RowColumn, TABLEOID, default_of, objects, values_for};
use crate::pg::rewrite::row_security::{Command, RowQuery, effective};
use crate::pg::rewrite::statement::computed_row;
use crate::pg::rewrite::value::{Parameters, value_of};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::timeout::Stopped;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use crate::suggest::similar;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The fixed oid of nextval(regclass).
const NEXTVAL: u32 = 1574;

/// The caller's argument, taken apart.
pub struct Input {
    /// Columns and values that identify a row.
    pub key: Map<String, Value>,
    /// Columns and values that are written.
    pub new: Map<String, Value>,
}

/// A row with the columns whose values are not known.
#[derive(Clone, Default)]
pub struct Row {
    /// The columns with known values.
    pub columns: Vec<RowColumn>,
    /// The columns whose value only the server knows when it writes the row, and `unreadable`.
    pub unknown: BTreeSet<i16>,
    /// The columns that the caller may not read. Nothing is said about conditions on them.
    pub unreadable: BTreeSet<i16>,
    /// The columns whose value the caller has given.
    pub given: BTreeSet<i16>,
}

/// The row that a key identifies.
pub enum Existing {
    /// The row.
    Row(Row),
    /// There is none.
    Missing,
    /// The caller may not know, for this reason.
    Unreadable(String),
}

/// The rows of a command.
#[derive(Default)]
pub struct Rows {
    /// The row that the key identifies.
    pub existing: Option<Row>,
    /// The reason why that row is not read.
    pub unreadable: Option<String>,
    /// The row as the command writes it.
    pub written: Option<Row>,
}

impl Row {
    /// The value of a column; `None` for NULL or an unknown value.
    pub fn value(&self, column: i16) -> Option<pg_sys::Datum> {
        self.columns.iter().find(|(number, ..)| *number == column).and_then(|(.., value)| *value)
    }
}

impl Input {
    /// Takes the argument apart. For INSERT it is the new row. For UPDATE the columns of the
    /// primary key identify the row, and the others are new values, unless it has the form
    /// `{"key": {…}, "row": {…}}`. For other commands it identifies the row.
    pub fn of(relation: &Relation, command: Command, argument: &Value) -> Result<Self, RlsError> {
        let invalid = |reason: String| RlsError::InvalidKeyOrRow { reason, example: EXAMPLE };
        let Value::Object(members) = argument else {
            return Err(invalid("it is not a JSON object".to_owned()));
        };
        let part = |name| match members.get(name) {
            Some(Value::Object(part)) => Some(part.clone()),
            _ => None,
        };
        let is_key = |name: &str| relation.column(name).is_some_and(|column| column.is_key);
        let (key, new) = match command {
            Command::Insert => (Map::new(), members.clone()),
            Command::Update if members.is_empty() => Default::default(),
            Command::Update => match (part("key"), part("row")) {
                (Some(key), Some(row)) if members.len() == 2 => (key, row),
                _ if members.keys().any(|name| is_key(name)) => {
                    members.clone().into_iter().partition(|(name, _)| is_key(name))
                }
                (Some(key), None) if members.len() == 1 => (key, Map::new()),
                _ => {
                    let reason = "UPDATE needs the primary key, or {\"key\": {…}, \"row\": {…}}";
                    return Err(invalid(reason.to_owned()));
                }
            },
            Command::Select | Command::Delete => (members.clone(), Map::new()),
        };
        if command != Command::Insert && key.is_empty() {
            return Err(invalid("it names no column of a key".to_owned()));
        }
        for name in key.keys().chain(new.keys()) {
            if relation.column(name).is_none() {
                let known = relation.columns.iter().map(|column| column.name.as_str());
                let near = similar(name, known);
                let near = near.first().map(|near| format!("; did you mean \"{near}\"?"));
                return Err(invalid(format!(
                    "{} has no column \"{name}\"{}",
                    relation.named.name,
                    near.unwrap_or_default()
                )));
            }
        }
        for (name, value) in &key {
            if value.is_null() {
                return Err(invalid(format!("\"{name}\" is null, which equals no value")));
            }
        }
        Ok(Self { key, new })
    }

    /// The columns of the key.
    pub fn key_columns<'a>(&self, relation: &'a Relation) -> Vec<&'a Column> {
        self.key.keys().filter_map(|name| relation.column(name)).collect()
    }

    /// The columns that are written.
    pub fn new_columns<'a>(&self, relation: &'a Relation) -> Vec<&'a Column> {
        self.new.keys().filter_map(|name| relation.column(name)).collect()
    }

    /// The WHERE clause of the key and its parameters, numbered after `offset` others.
    pub fn condition(
        &self,
        relation: &Relation,
        offset: usize,
    ) -> Result<(String, Vec<(pg_sys::Oid, pg_sys::Datum)>), RlsError> {
        let invalid = |reason: String| RlsError::InvalidKeyOrRow { reason, example: EXAMPLE };
        let (mut terms, mut values) = (Vec::new(), Vec::new());
        for (name, value) in &self.key {
            let Some(column) = relation.column(name) else { continue };
            let type_ = lookup::base_type(column.type_);
            // Built-in types only: comparing other types would run code of their owners.
            if type_.to_u32() >= pg_sys::FirstNormalObjectId && !lookup::is_enum(type_) {
                return Err(invalid(format!("column \"{name}\" is not of a built-in type")));
            }
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let value = isolated(|| value_of(type_, &c_string(&text)))
                .map_err(|failure| invalid(failure.message))?;
            values.push((type_, value));
            terms.push(format!(
                "t.{} OPERATOR(pg_catalog.=) ${}",
                quote_identifier(name),
                offset + values.len()
            ));
        }
        Ok((terms.join(" AND "), values))
    }

    /// The row that the key identifies, whether or not the user sees it, if the caller may read it:
    /// by SELECT on the columns of the key, and by the row-level security of the table.
    pub fn existing(
        &self,
        application: &Application,
        relation: &Relation,
    ) -> Result<Existing, RlsError> {
        let key = self.key_columns(relation);
        let denied: Vec<&Column> = key.into_iter().filter(|column| !column.is_readable).collect();
        if !denied.is_empty() {
            let text = format!("You have no SELECT on {}, so the row is not read.", listed(denied));
            return Ok(Existing::Unreadable(text));
        }
        let (terms, values) = self.condition(relation, 0)?;
        let columns = relation.columns.iter();
        let list: String =
            columns.map(|column| format!(", t.{}", quote_identifier(&column.name))).collect();
        let (name, place) = (&relation.named.name, ["t.tableoid", "NULL::oid"]);
        let place = place[usize::from(!relation.is_table())];
        let sql = format!("SELECT {place}{list} FROM {name} AS t WHERE {terms}");
        let rows = match relation.is_hidden_from_caller {
            true => visible_rows(application, relation, &sql, &values),
            false => application.rows(name, &sql, &values, 2)?,
        };
        let [row] = rows.as_slice() else {
            return match rows.is_empty() {
                true if relation.is_hidden_from_caller => {
                    let text = "No row has this key, or row-level security hides it from you.";
                    Ok(Existing::Unreadable(text.to_owned()))
                }
                true => Ok(Existing::Missing),
                false => {
                    let reason = "several rows match".to_owned();
                    Err(RlsError::InvalidKeyOrRow { reason, example: EXAMPLE })
                }
            };
        };
        let numbers = relation.columns.iter().map(|column| (column.number, column.type_));
        let numbers = std::iter::once((TABLEOID, pg_sys::OIDOID)).chain(numbers);
        let columns = numbers.zip(row).map(|((number, type_), value)| (number, type_, *value));
        let unreadable: BTreeSet<i16> = relation
            .columns
            .iter()
            .filter(|column| !column.is_readable)
            .map(|column| column.number)
            .collect();
        Ok(Existing::Row(Row {
            columns: columns.collect(),
            unknown: unreadable.clone(),
            unreadable,
            given: BTreeSet::new(),
        }))
    }

    /// The row that would be written: the given values over the existing row or over defaults,
    /// which the identity's request computes.
    pub fn written(
        &self,
        relation: &Relation,
        identity: &Identity,
        existing: Option<&Row>,
    ) -> Result<Row, RlsError> {
        let given = self.given(identity, relation)?;
        let mut row = Row::default();
        for column in &relation.columns {
            let number = column.number;
            let value = match given.iter().find(|(of, ..)| *of == number) {
                Some((.., value)) => {
                    row.given.insert(number);
                    *value
                }
                None if column.is_generated => {
                    row.unknown.insert(number);
                    continue;
                }
                None if existing.is_some_and(|row| row.unreadable.contains(&number)) => {
                    row.unknown.insert(number);
                    row.unreadable.insert(number);
                    continue;
                }
                None if existing.is_some() => existing.and_then(|row| row.value(number)),
                None if column.is_identity || column.has_default => {
                    row.unknown.insert(number);
                    continue;
                }
                None => None,
            };
            row.columns.push((number, column.type_, value));
        }
        if let Some(table) = existing.and_then(|row| row.value(TABLEOID)) {
            row.columns.push((TABLEOID, pg_sys::OIDOID, Some(table)));
        }
        // Generated columns come last, as they are computed from the others.
        let (others, generated): (Vec<&Column>, Vec<&Column>) = relation
            .columns
            .iter()
            .filter(|column| row.unknown.contains(&column.number) && !column.is_identity)
            .filter(|column| !row.unreadable.contains(&column.number))
            .partition(|column| !column.is_generated);
        for column in others.into_iter().chain(generated) {
            if let Some(value) = filled(relation, identity, column, &row) {
                row.unknown.remove(&column.number);
                row.columns.push((column.number, column.type_, value));
            }
        }
        Ok(row)
    }

    /// The given new values, converted as PostgREST does.
    fn given(&self, identity: &Identity, relation: &Relation) -> Result<Vec<RowColumn>, RlsError> {
        let columns = self.new_columns(relation);
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<String> =
            columns.iter().map(|column| format!("r.{}", quote_identifier(&column.name))).collect();
        let (list, name) = (list.join(", "), &relation.named.name);
        let sql =
            format!("SELECT {list} FROM pg_catalog.jsonb_populate_record(NULL::{name}, $1) AS r");
        let text = Value::Object(self.new.clone()).to_string();
        let convert = || {
            let argument = (pg_sys::JSONBOID, value_of(pg_sys::JSONBOID, &c_string(&text)));
            computed_row(&c_string(&sql), &Parameters::new(&[argument]))
        };
        let invalid = |reason: String| RlsError::InvalidKeyOrRow { reason, example: EXAMPLE };
        let values = match identity.act_within(PROBE_TIMEOUT_MS, convert) {
            Ok(Ok(values)) => values,
            Ok(Err(reason)) => return Err(invalid(reason.to_string())),
            // The message can only quote the caller's own values.
            Err(Stopped::Failed(failure)) => return Err(invalid(failure.message)),
            Err(stopped) => return Err(invalid(stopped.to_string())),
        };
        let value = |(column, value): (&&Column, _)| (column.number, column.type_, value);
        Ok(columns.iter().zip(values).map(value).collect())
    }
}

/// The rows of a query that the row-level security of the table lets the caller see. A failure of
/// its policies shows no row: a policy may fail only on rows that exist.
fn visible_rows(
    application: &Application,
    relation: &Relation,
    sql: &str,
    values: &[(pg_sys::Oid, pg_sys::Datum)],
) -> Vec<Vec<Option<pg_sys::Datum>>> {
    if !relation.is_table() {
        return Vec::new();
    }
    let answer = application.caller().act_within(PROBE_TIMEOUT_MS, || {
        let effective = effective(Command::Select, &relation.named)?;
        RowQuery { sql, parameters: Parameters::new(values) }.rows(effective.using, 2, f64::MAX)
    });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// The value that a default or a generated column would get; `None` if it cannot be known.
fn filled(
    relation: &Relation,
    identity: &Identity,
    column: &Column,
    row: &Row,
) -> Option<Option<pg_sys::Datum>> {
    let compute = || {
        let Some(default) = default_of(relation.named.table, column.number) else {
            return Some(None);
        };
        let needed = default.columns()?;
        if objects(default).functions.contains(&NEXTVAL) || !needed.is_disjoint(&row.unknown) {
            return None;
        }
        values_for(&[default], &relation.named, &row.columns).ok()?.first().copied()
    };
    identity.act_within(PROBE_TIMEOUT_MS, compute).ok().flatten()
}

/// The text of a statement of the command with the given key and columns, and its parameters.
pub fn statement(
    relation: &Relation,
    command: Command,
    input: &Input,
    row: &Row,
) -> Result<(String, Parameters), RlsError> {
    let name = &relation.named.name;
    let new = input.new_columns(relation);
    let mut values = Vec::new();
    let mut parameter = |column: &Column| match row.value(column.number) {
        Some(value) => {
            values.push((column.type_, value));
            format!("${}", values.len())
        }
        None => "NULL".to_owned(),
    };
    let list = |items: Vec<String>| items.join(", ");
    let names = || list(new.iter().map(|column| quote_identifier(&column.name)).collect());
    let head = match command {
        Command::Select => {
            let key = input.key_columns(relation);
            let key = key.iter().map(|column| format!("t.{}", quote_identifier(&column.name)));
            format!("SELECT {} FROM {name} AS t", list(key.collect()))
        }
        Command::Insert if new.is_empty() => format!("INSERT INTO {name} DEFAULT VALUES"),
        Command::Insert => {
            let values = list(new.iter().map(|column| parameter(column)).collect());
            format!("INSERT INTO {name} ({}) VALUES ({values})", names())
        }
        Command::Update => {
            let sets = |column: &&Column| {
                format!("{} = {}", quote_identifier(&column.name), parameter(column))
            };
            let mut sets: Vec<String> = new.iter().map(sets).collect();
            if sets.is_empty() {
                let mut columns = relation.columns.iter().filter(|column| !column.is_generated);
                let writable = columns.clone().find(|column| column.allows(Command::Update));
                let column = writable.or(columns.next()).map(|column| column.name.as_str());
                sets.push(format!("{} = DEFAULT", quote_identifier(column.unwrap_or_default())));
            }
            format!("UPDATE {name} AS t SET {}", list(sets))
        }
        Command::Delete => format!("DELETE FROM {name} AS t"),
    };
    if command == Command::Insert {
        return Ok((head, Parameters::new(&values)));
    }
    let (terms, keys) = input.condition(relation, values.len())?;
    values.extend(keys);
    Ok((format!("{head} WHERE {terms}"), Parameters::new(&values)))
}
