//! Values of the columns by which a trusting condition decides: constants and teams.

use super::membership::Trial;
use super::opened_rows::FIRST_PAGES;
use super::probe::Probe;
use crate::pg::catalog::lookup;
use crate::pg::rewrite::boundary_values::fitting;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::{Command, RowQuery, Undecidable};
use crate::pg::rewrite::trusted_columns::TrustedColumns;
use crate::pg::rewrite::value::{Parameters, text_of};
use crate::pg::xact::subtransaction::isolated;
use crate::rls::target::identity::Identity;
use crate::rls::target::table_shape::Row;
use pgrx::spi::quote_identifier;

/// Most rows that values of a column are taken from.
const MAX_DONORS: u64 = 60;
/// Most teams that are tried.
const MAX_TEAMS: usize = 10;
/// Most values of existing rows that are tried beside the constants of a column.
const MAX_EXISTING: usize = 3;
/// Most combinations of constants that are tried.
const MAX_CONSTANTS: usize = 16;

impl Trial<'_> {
    /// The columns that name the team, with the constants that may stand beside it.
    pub(super) fn alternatives(
        &self,
        probe: &Probe<'_>,
        trusted: &TrustedColumns,
        identity: &Identity,
        command: Command,
    ) -> Vec<(Vec<i16>, Vec<Row>)> {
        let may_write = |column: &i16| probe.may_write(*column, command);
        let both: Vec<i16> = trusted
            .keys
            .iter()
            .filter(|key| trusted.values.contains_key(*key) && may_write(key))
            .copied()
            .collect();
        let only: Vec<i16> = trusted
            .keys
            .iter()
            .filter(|key| !trusted.values.contains_key(*key) && may_write(key))
            .copied()
            .collect();
        let mut alternatives = Vec::new();
        // A column that is compared with both stands for the user in one half of an OR.
        let modes = std::iter::once(None).chain(both.iter().map(|column| Some(*column)));
        for as_key in modes.take(4) {
            let mut rows = vec![Row::new()];
            for (column, values) in &trusted.values {
                if Some(*column) == as_key || !may_write(column) {
                    continue;
                }
                let mut texts: Vec<Option<String>> = values.iter().cloned().map(Some).collect();
                // The check may ask for a value that the condition only does not exclude.
                if !values.iter().any(|value| Some(value) == identity.user.as_ref()) {
                    let existing = self.values_of(*column).unwrap_or_default();
                    let more: Vec<_> = existing.into_iter().take(MAX_EXISTING).map(Some).collect();
                    texts.extend(more.into_iter().filter(|text| {
                        !values.iter().map(Some).any(|known| known == text.as_ref())
                    }));
                }
                if trusted.nulls.contains(column) {
                    texts.push(None);
                }
                rows = product(rows, *column, &texts);
            }
            for column in trusted.nulls.iter().filter(|column| may_write(column)) {
                if !trusted.values.contains_key(column) {
                    rows = product(rows, *column, &[None]);
                }
            }
            let keys: Vec<i16> = only.iter().copied().chain(as_key).collect();
            if command == Command::Insert
                && let Some(me) = &identity.user
            {
                let mut with_me = rows.clone();
                let mut is_more = false;
                for owner in &self.members.owners {
                    let is_free = !keys.contains(&owner.number)
                        && !trusted.values.contains_key(&owner.number)
                        && may_write(&owner.number);
                    if is_free {
                        is_more = true;
                        with_me.iter_mut().for_each(|row| {
                            row.insert(owner.number, Some(me.clone()));
                        });
                    }
                }
                if is_more {
                    with_me.append(&mut rows);
                    rows = with_me;
                }
            }
            rows.truncate(MAX_CONSTANTS);
            alternatives.push((keys, rows));
        }
        alternatives
    }

    /// Values of the key columns: of rows of the trusting table that are not reached, of existing
    /// rows, and of the referenced table. One empty row without key columns.
    pub(super) fn teams(
        &self,
        keys: &[i16],
        trusted: &TrustedColumns,
        donors: &[Row],
    ) -> Result<Vec<Row>, Undecidable> {
        if keys.is_empty() {
            return Ok(vec![Row::new()]);
        }
        let mut teams: Vec<Row> = Vec::new();
        let add = |teams: &mut Vec<Row>, team: Row| {
            if teams.len() < MAX_TEAMS && !teams.contains(&team) {
                teams.push(team);
            }
        };
        if let [key] = keys {
            let type_ = lookup::column_type(self.members.oid(), *key);
            for (_, column) in trusted.pairs.iter().filter(|(of, _)| of == key) {
                let table = self.trusting.oid();
                let (Some(name), Some(from), Some(type_)) = (
                    lookup::column_name(table, *column),
                    lookup::column_type(table, *column),
                    type_,
                ) else {
                    continue;
                };
                let name = quote_identifier(name);
                let sql = format!(
                    "SELECT t.{name} FROM {} AS t WHERE {FIRST_PAGES}",
                    self.trusting.named.name
                );
                let query = RowQuery { sql: &sql, parameters: Parameters::none() };
                let closed = self.site.using.is_not_true();
                let rows = isolated(|| query.rows(closed, MAX_DONORS, f64::MAX));
                let Ok(Ok(rows)) = rows else { continue };
                for value in rows.iter().filter_map(|row| row.first().copied().flatten()) {
                    if teams.len() < MAX_TEAMS / 2 {
                        for text in fitting(type_, from, &text_of(from, value)) {
                            add(&mut teams, Row::from([(*key, Some(text))]));
                        }
                    }
                }
            }
        }
        for donor in donors {
            let team: Row = keys
                .iter()
                .filter_map(|key| donor.get(key).map(|value| (*key, value.clone())))
                .collect();
            if team.values().all(Option::is_some) {
                add(&mut teams, team);
            }
        }
        if let [key] = keys
            && let Some((table, column, from)) = lookup::referenced(self.members.oid(), *key)
            && let Some(type_) = lookup::column_type(self.members.oid(), *key)
        {
            let sql = format!("SELECT k.{} FROM {table} AS k", quote_identifier(column));
            let query = RowQuery { sql: &sql, parameters: Parameters::none() };
            for row in query.rows(Qual::ALWAYS, MAX_TEAMS as u64, f64::MAX)? {
                let Some(value) = row.first().copied().flatten() else { continue };
                for text in fitting(type_, from, &text_of(from, value)) {
                    add(&mut teams, Row::from([(*key, Some(text))]));
                }
            }
        }
        Ok(teams)
    }
}

/// Each row with each value of one more column.
fn product(rows: Vec<Row>, column: i16, values: &[Option<String>]) -> Vec<Row> {
    let mut product = Vec::new();
    for value in values {
        for row in &rows {
            let mut row = row.clone();
            row.insert(column, value.clone());
            product.push(row);
        }
    }
    product.truncate(4 * MAX_CONSTANTS);
    product
}
