//! Asks a trusting condition as if the trusted table had a candidate row.

use super::membership::Trial;
use super::probe::MAX_COST;
use crate::pg::catalog::lookup;
use crate::pg::rewrite::boundary_values::fitting;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::{RowQuery, Undecidable};
use crate::pg::rewrite::stored_row::{holds, with_rows};
use crate::pg::rewrite::trusted_columns::trusted_columns;
use crate::pg::rewrite::value::Parameters;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::target::table_shape::{Row, TableShape};
use pgrx::spi::{quote_identifier, quote_literal};
use std::collections::BTreeMap;

/// The rows that are read where all would cost too much.
pub(super) const FIRST_PAGES: &str =
    "t.ctid OPERATOR(pg_catalog.<) CAST('(16,0)' AS pg_catalog.tid)";

impl Trial<'_> {
    /// Whether the trusting condition admits a row that `base` does not, if the trusted table has
    /// this row. `Some(false)` if it would, but the trusting table is empty. An error admits none.
    pub(super) fn opens(&self, base: Qual, row: &Row, without: Option<&str>) -> Option<bool> {
        let answer = isolated(|| -> Result<Option<bool>, Undecidable> {
            let rows = self.shape.rows_and(row, without);
            let after = with_rows(self.site.expanded, self.members.oid(), &rows)?;
            let opened = after.and(base.is_not_true());
            let trusted = trusted_columns(self.site.expanded, self.members.oid());
            let table = self.trusting.oid();
            let mut own = BTreeMap::new();
            let mut conditions = Vec::new();
            for (key, column) in &trusted.pairs {
                let (Some(Some(text)), Some(from), Some(type_), Some(name)) = (
                    row.get(key),
                    lookup::column_type(self.members.oid(), *key),
                    lookup::column_type(table, *column),
                    lookup::column_name(table, *column),
                ) else {
                    continue;
                };
                let Some(text) = fitting(type_, from, text).into_iter().next() else { continue };
                if let Some([equal, _]) = lookup::equality(lookup::base_type(type_)) {
                    conditions.push(format!(
                        "t.{} {equal} CAST({} AS {})",
                        quote_identifier(name),
                        quote_literal(&text),
                        lookup::qualified_type_name(type_)
                    ));
                }
                own.insert(*column, (type_, text));
            }
            if conditions.is_empty() {
                conditions.push("true".to_owned());
            }
            for condition in conditions {
                match self.first(&condition, opened) {
                    Ok(true) => return Ok(Some(true)),
                    Ok(false) => {}
                    Err(Undecidable::TooExpensive) => {
                        let condition = format!("{condition} AND {FIRST_PAGES}");
                        if self.first_at(&condition, opened, f64::MAX)? {
                            return Ok(Some(true));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            if self.first("true", Qual::ALWAYS)? {
                return Ok(None);
            }
            // An empty table: a row of the team that no user has written.
            let shape = TableShape::read(table).map_err(|_| Undecidable::Rewritten)?;
            let row: Row =
                own.into_iter().map(|(column, (_, text))| (column, Some(text))).collect();
            Ok(holds(shape.substituted(opened, &row)?)?.then_some(false))
        });
        let answer = answer.ok().and_then(Result::ok);
        if answer.is_none() {
            self.is_unsure.set(true);
        }
        answer.flatten()
    }

    fn first(&self, condition: &str, qual: Qual) -> Result<bool, Undecidable> {
        self.first_at(condition, qual, MAX_COST)
    }

    /// Whether a row of the trusting table satisfies a condition and a qual, at this planner cost.
    fn first_at(&self, condition: &str, qual: Qual, cost: f64) -> Result<bool, Undecidable> {
        let sql = format!("SELECT 1 FROM {} AS t WHERE {condition}", self.trusting.named.name);
        let query = RowQuery { sql: &sql, parameters: Parameters::none() };
        Ok(!query.rows(qual, 1, cost)?.is_empty())
    }
}
