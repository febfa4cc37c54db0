//! Columns and unique keys of one table, and its rows as texts.

use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::{RowQuery, Undecidable};
use crate::pg::rewrite::stored_row::stable_value;
use crate::pg::rewrite::value::{Parameters, text_of, value_of};
use crate::rls::error::RlsError;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use std::collections::BTreeMap;

/// A row: the text of each column by number; `None` is NULL.
pub type Row = BTreeMap<i16, Option<String>>;

/// A column of a table.
pub struct Column {
    /// `attnum`.
    pub number: i16,
    /// Name, quoted.
    pub name: String,
    /// Name of the type, as SQL writes it.
    pub type_name: String,
    /// Oid of the type; `None` for a dropped column.
    pub type_: Option<pg_sys::Oid>,
    /// Whether it is NOT NULL.
    pub is_not_null: bool,
    /// The default expression.
    pub default: Option<String>,
    /// Whether the server generates its value: an identity column or an expression.
    pub is_generated: bool,
}

/// The columns and unique keys of a table.
pub struct TableShape {
    /// Name of the table, quoted and qualified.
    pub name: String,
    /// All columns in order, also dropped ones.
    pub columns: Vec<Column>,
    /// The columns of each unique key.
    pub unique_keys: Vec<Vec<i16>>,
}

impl TableShape {
    /// Reads the catalog.
    pub fn read(table: pg_sys::Oid) -> Result<Self, RlsError> {
        let name = lookup::table_name(table).unwrap_or_default();
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/rls/columns.sql");
            let mut columns = Vec::new();
            for row in client.select(sql, None, &[table.into()])? {
                columns.push(Column {
                    number: row.get(1)?.unwrap_or_default(),
                    name: row.get(2)?.unwrap_or_default(),
                    type_name: row.get(3)?.unwrap_or_default(),
                    type_: row.get(4)?,
                    is_not_null: row.get(5)?.unwrap_or_default(),
                    default: row.get(6)?,
                    is_generated: row.get(7)?.unwrap_or_default(),
                });
            }
            let sql = include_str!("../../../sql/rls/unique_keys.sql");
            let mut unique_keys = Vec::new();
            for row in client.select(sql, None, &[table.into()])? {
                unique_keys.push(row.get(1)?.unwrap_or_default());
            }
            Ok(Self { name, columns, unique_keys })
        })
    }

    /// The columns that are not dropped, with their types.
    pub fn live(&self) -> impl Iterator<Item = (&Column, pg_sys::Oid)> {
        self.columns.iter().filter_map(|column| Some((column, column.type_?)))
    }

    /// A column by its number.
    pub fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// Whether the server generates the value of a column.
    pub fn is_generated(&self, number: i16) -> bool {
        self.column(number).is_some_and(|column| column.is_generated)
    }

    /// Whether the column is a unique key by itself.
    pub fn is_unique(&self, number: i16) -> bool {
        self.unique_keys.iter().any(|key| key.as_slice() == [number])
    }

    /// The value that a column has in a new row that does not name it; `None` if it is NULL or
    /// differs between rows.
    pub fn default_of(&self, column: &Column) -> Result<Option<String>, Undecidable> {
        let (Some(default), Some(type_)) = (&column.default, column.type_) else { return Ok(None) };
        let value = stable_value(&format!("CAST(({default}) AS {})", column.type_name))?;
        Ok(value.map(|value| text_of(type_, value)))
    }

    /// A query with the rows of the table and another one. `without` is the address of a row that
    /// the other one replaces.
    pub fn rows_and(&self, row: &Row, without: Option<&str>) -> String {
        let old: Vec<String> = self
            .columns
            .iter()
            .map(|column| match column.type_ {
                Some(_) => format!("t.{}", column.name),
                None => "CAST(NULL AS pg_catalog.int4)".to_owned(),
            })
            .collect();
        let new: Vec<String> = self
            .columns
            .iter()
            .map(|column| match (column.type_, row.get(&column.number)) {
                (Some(_), Some(Some(text))) => {
                    format!("CAST({} AS {})", quote_literal(text), column.type_name)
                }
                (Some(_), _) => format!("CAST(NULL AS {})", column.type_name),
                (None, _) => "CAST(NULL AS pg_catalog.int4)".to_owned(),
            })
            .collect();
        let filter = without.map(|address| format!(" WHERE NOT ({address})")).unwrap_or_default();
        format!(
            "SELECT q.* FROM (SELECT {} FROM {} AS t{filter} UNION ALL SELECT {}) AS q",
            old.join(", "),
            self.name,
            new.join(", ")
        )
    }

    /// Up to `most` rows that satisfy a condition and a qual, each with a condition that is its
    /// address.
    pub fn rows(
        &self,
        condition: &str,
        qual: Qual,
        most: u64,
        cost: f64,
    ) -> Result<Vec<(String, Row)>, Undecidable> {
        let names: String = self.live().map(|(column, _)| format!(", t.{}", column.name)).collect();
        let sql =
            format!("SELECT t.tableoid, t.ctid{names} FROM {} AS t WHERE {condition}", self.name);
        let found =
            RowQuery { sql: &sql, parameters: Parameters::none() }.rows(qual, most, cost)?;
        let row = |values: Vec<Option<pg_sys::Datum>>| {
            let (table, ctid) = (values.first().copied()??, values.get(1).copied()??);
            let address = format!(
                "t.tableoid OPERATOR(pg_catalog.=) CAST({} AS pg_catalog.oid) \
                 AND t.ctid OPERATOR(pg_catalog.=) CAST('{}' AS pg_catalog.tid)",
                table.value(),
                text_of(pg_sys::TIDOID, ctid)
            );
            let columns = self.live().zip(values.iter().skip(2)).map(|((column, type_), value)| {
                (column.number, value.map(|value| text_of(type_, value)))
            });
            Some((address, columns.collect()))
        };
        Ok(found.into_iter().filter_map(row).collect())
    }

    /// The condition that some columns have the values of a row; `None` if one of them is NULL or
    /// has a type without equality.
    pub fn equals(&self, columns: &[i16], row: &Row) -> Option<String> {
        let term = |number: &i16| {
            let column = self.column(*number)?;
            let value = row.get(number)?.as_ref()?;
            let [equal, _] = lookup::equality(lookup::base_type(column.type_?))?;
            Some(format!(
                "t.{} {equal} CAST({} AS {})",
                column.name,
                quote_literal(value),
                column.type_name
            ))
        };
        Some(columns.iter().map(term).collect::<Option<Vec<_>>>()?.join(" AND "))
    }

    /// Whether a row has the values of another in some columns. `besides` is the address of a row
    /// that does not count.
    pub fn exists(
        &self,
        columns: &[i16],
        row: &Row,
        besides: Option<&str>,
    ) -> Result<bool, Undecidable> {
        let Some(mut condition) = self.equals(columns, row) else { return Ok(false) };
        if let Some(address) = besides {
            condition += &format!(" AND NOT ({address})");
        }
        Ok(!self.rows(&condition, Qual::ALWAYS, 1, f64::MAX)?.is_empty())
    }

    /// Whether a unique key forbids a row beside the existing ones.
    pub fn conflicts(&self, row: &Row, besides: Option<&str>) -> Result<bool, Undecidable> {
        for key in &self.unique_keys {
            if self.exists(key, row, besides)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The qual with the values that a row has in place of columns. Other columns stay.
    pub fn with_values(&self, qual: Qual, row: &Row) -> Result<Qual, Undecidable> {
        let read = qual.columns().ok_or(Undecidable::WholeRow)?;
        let is_set = |number: &i16| read.contains(number) && row.contains_key(number);
        self.live().filter(|(column, _)| is_set(&column.number)).try_fold(
            qual,
            |qual, (column, type_)| {
                let text = row.get(&column.number).and_then(Option::as_ref);
                let value = text.map(|text| value_of(type_, &c_string(text)));
                qual.substitute_nullable(column.number, type_, value).ok_or(Undecidable::WholeRow)
            },
        )
    }

    /// The qual with a row in place of all columns, those that it leaves out as NULL.
    pub fn substituted(&self, qual: Qual, row: &Row) -> Result<Qual, Undecidable> {
        let mut whole: Row = self.live().map(|(column, _)| (column.number, None)).collect();
        whole.extend(row.clone());
        self.with_values(qual, &whole)
    }
}
