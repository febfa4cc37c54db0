//! Builds the query that composes candidate rows.

use super::probe::{MAX_COST, Probe};
use super::rows::{ColumnValue, RowId};
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::candidate_values::{CandidateValues, Column};
use crate::pg::rewrite::qual::{Origin, Qual};
use crate::pg::rewrite::row_security::{RowComposition, Undecidable};
use crate::pg::rewrite::value::{Parameters, text_of, value_of};
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use std::collections::BTreeMap;

/// Most candidate rows composed from listed values in one query.
const MAX_CANDIDATES: usize = 20_000;

/// The query that composes candidate rows: a cross join of existing rows and lists of values.
pub(super) struct Composition<'a> {
    probe: &'a Probe<'a>,
    from: Vec<String>,
    terms: Vec<String>,
    select_list: Vec<String>,
    parameters: Vec<(pg_sys::Oid, pg_sys::Datum)>,
    /// The range table entry and column that each column of the composed row comes from.
    origins: Vec<Origin>,
    candidates: usize,
}

impl<'a> Composition<'a> {
    pub(super) fn new(probe: &'a Probe<'a>) -> Self {
        Self {
            probe,
            from: Vec::new(),
            terms: Vec::new(),
            select_list: Vec::new(),
            parameters: Vec::new(),
            origins: Vec::new(),
            candidates: 1,
        }
    }

    fn bind(&mut self, type_: pg_sys::Oid, value: pg_sys::Datum) -> String {
        self.parameters.push((type_, value));
        format!("${}", self.parameters.len())
    }

    /// Adds existing rows of the table under an alias.
    pub(super) fn add_rows(&mut self, alias: &str, rows: &[RowId]) {
        // Grouped by table: rows of different partitions can have the same ctid.
        let mut lists: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (table, ctid) in rows {
            lists
                .entry(table.to_u32())
                .or_default()
                .push(format!("\"{}\"", text_of(pg_sys::TIDOID, *ctid)));
        }
        let array = lookup::array_type(pg_sys::TIDOID);
        let mut any = Vec::new();
        for (table, list) in lists {
            let table = self.bind(pg_sys::OIDOID, pg_sys::Oid::from(table).into());
            let list =
                self.bind(array, value_of(array, &c_string(&format!("{{{}}}", list.join(",")))));
            any.push(format!(
                "({alias}.ctid OPERATOR(pg_catalog.=) ANY ({list}) \
                 AND {alias}.tableoid OPERATOR(pg_catalog.=) {table})"
            ));
        }
        self.from.push(format!("{} AS {alias}", self.probe.table.named.name));
        self.terms.push(format!("({})", any.join(" OR ")));
    }

    /// Adds existing rows that these columns are copied from.
    pub(super) fn add_donors(&mut self, donors: &[RowId], columns: &[i16]) {
        self.add_rows("d", donors);
        let (table, entry) = (self.probe.table.oid(), self.from.len() as i32);
        for number in columns {
            let type_ = lookup::column_type(table, *number).unwrap_or(pg_sys::InvalidOid);
            self.origins.push((*number, entry, *number, type_));
            let name = lookup::column_name(table, *number).unwrap_or_default();
            self.select_list.push(format!("d.{}", quote_identifier(name)));
        }
    }

    /// Adds a column that takes each of its listed values.
    pub(super) fn add_listed(&mut self, column: &Column) {
        let mut rows = Vec::new();
        for value in &column.values {
            rows.push(match value {
                Some(text) => {
                    let value = value_of(column.type_, &c_string(text));
                    format!("({})", self.bind(column.type_, value))
                }
                None => format!("(CAST(NULL AS {}))", lookup::qualified_type_name(column.type_)),
            });
        }
        self.candidates *= rows.len();
        self.from.push(format!("(VALUES {}) AS c{} (v)", rows.join(", "), column.number));
        self.origins.push((column.number, self.from.len() as i32, 1, column.type_));
        self.select_list.push(format!("c{}.v", column.number));
    }

    /// Adds a part of the qual that is taken as true, false and NULL.
    pub(super) fn add_residual(&mut self, number: usize) {
        self.candidates *= 3;
        self.from.push(format!(
            "(VALUES (true), (false), (CAST(NULL AS pg_catalog.bool))) AS p{number} (v)"
        ));
        self.origins.push((
            CandidateValues::residual_column(number),
            self.from.len() as i32,
            1,
            pg_sys::BOOLOID,
        ));
    }

    /// The chosen columns of the first composed row that satisfies a qual.
    pub(super) fn first_row(self, qual: Qual) -> Result<Option<Vec<ColumnValue>>, Undecidable> {
        if self.candidates > MAX_CANDIDATES {
            return Err(Undecidable::TooExpensive);
        }
        let filter = match self.terms.as_slice() {
            [] => String::new(),
            terms => format!(" WHERE {}", terms.join(" AND ")),
        };
        let sql = match self.from.as_slice() {
            [] => "SELECT".to_owned(),
            from => {
                format!("SELECT {} FROM {}{filter}", self.select_list.join(", "), from.join(", "))
            }
        };
        let composition =
            RowComposition { sql: &sql, parameters: Parameters::new(&self.parameters) };
        let row = composition.first(qual, &self.origins, MAX_COST)?;
        let chosen = |row: Vec<_>| {
            self.origins
                .iter()
                .zip(row)
                .map(|((number, .., type_), value)| (*number, *type_, value))
                .collect()
        };
        Ok(row.map(chosen))
    }
}
