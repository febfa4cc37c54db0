//! Statements on tables of the application. Names come quoted from the catalog, values are bound.

use super::error::ErasureError;
use crate::pg::fmgr::spi;
use crate::pg::xact::sec_context;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::SpiTupleTable;

/// Runs `work` with the caller's privileges on a table. A superuser acts as the owner of the table,
/// in a security-restricted operation: no trigger or expression of the owner runs as superuser.
pub fn on_table<R>(owner: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    sec_context::demote_superuser_to_table_owner(owner, work)
}

/// The rows that a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Those of the statement's snapshot. Works on a standby.
    Statement,
    /// The latest ones, with the own changes. The query may lock rows.
    Latest,
}

/// The first column of a query, as texts.
pub fn texts(
    view: View,
    sql: &str,
    arguments: &[DatumWithOid<'_>],
) -> Result<Vec<String>, ErasureError> {
    let read = |rows: SpiTupleTable<'_>| {
        rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default())).collect()
    };
    match view {
        View::Statement => Spi::connect(|client| read(client.select(sql, None, arguments)?)),
        View::Latest => spi::connect_mut(|client| read(client.update(sql, None, arguments)?)),
    }
}

/// The numbers in the first row of a query. One that changes rows needs [`View::Latest`].
pub fn numbers(
    view: View,
    sql: &str,
    count: usize,
    arguments: &[DatumWithOid<'_>],
) -> Result<Vec<i64>, ErasureError> {
    let read = |rows: SpiTupleTable<'_>| {
        let row = rows.first();
        (1..=count).map(|column| Ok(row.get::<i64>(column)?.unwrap_or(0))).collect()
    };
    match view {
        View::Statement => Spi::connect(|client| read(client.select(sql, None, arguments)?)),
        View::Latest => spi::connect_mut(|client| read(client.update(sql, None, arguments)?)),
    }
}

/// The number in the only row of a query.
pub fn number(view: View, sql: &str, arguments: &[DatumWithOid<'_>]) -> Result<i64, ErasureError> {
    Ok(numbers(view, sql, 1, arguments)?.first().copied().unwrap_or(0))
}

/// Columns that identify rows, with their types and operators of equality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Quoted names.
    pub names: Vec<String>,
    /// Types as SQL names them.
    pub types: Vec<String>,
    /// Operators as OPERATOR(schema.name).
    pub operators: Vec<String>,
}

impl Columns {
    /// A JSON array of the columns of `alias`, as text. concat() calls the output function of a
    /// type, which only superusers make; a cast to text could be anybody's.
    pub fn key_of(&self, alias: &str) -> String {
        let values: Vec<String> =
            self.names.iter().map(|name| format!("concat({alias}.{name})")).collect();
        format!("jsonb_build_array({})::text", values.join(", "))
    }

    /// The keys in the text parameter `number`, a JSON array of arrays, as rows `k0`, `k1`, ….
    /// Valid under any search_path.
    pub fn keys(&self, number: usize) -> String {
        let values: Vec<String> = (self.types.iter().enumerate())
            .map(|(place, type_)| {
                format!("CAST(e.key OPERATOR(pg_catalog.->>) {place} AS {type_}) AS k{place}")
            })
            .collect();
        format!(
            "(SELECT {} FROM pg_catalog.jsonb_array_elements(${number}::pg_catalog.text\
             ::pg_catalog.jsonb) AS e (key))",
            values.join(", ")
        )
    }

    /// The condition that `columns` of `alias` equal the key `k`.
    pub fn equal(&self, alias: &str, columns: &[String]) -> String {
        let pairs: Vec<String> = (columns.iter().zip(&self.operators).enumerate())
            .map(|(place, (column, operator))| format!("k.k{place} {operator} {alias}.{column}"))
            .collect();
        pairs.join(" AND ")
    }
}

/// Keys as one JSON array of arrays, for [`Columns::keys`].
pub fn key_list<'a>(keys: impl IntoIterator<Item = &'a String>) -> String {
    let keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    format!("[{}]", keys.join(","))
}
