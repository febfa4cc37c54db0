//! Completes candidate rows: the values that a new row of a table has where the writer chooses
//! none, and the unique keys that it must respect.

use super::candidate_rows::{Candidate, find_insert};
use super::probe::Probe;
use crate::pg::catalog::lookup;
use crate::pg::rewrite::boundary_values::{fitting, neighbours};
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::pg::rewrite::value::text_of;
use crate::rls::model::Reach;
use crate::rls::target::application::unused_id_of_type;
use crate::rls::target::table_shape::{Row, TableShape};
use pgrx::pg_sys;
use std::collections::BTreeSet;

/// Most existing rows that values are copied from.
const MAX_DONORS: u64 = 60;

/// Makes new rows of one table as one identity.
pub struct NewRow<'a> {
    probe: &'a Probe<'a>,
    shape: &'a TableShape,
    defaults: Row,
    /// Existing rows that values are copied from.
    pub donors: Vec<Row>,
    /// Columns that should not be NULL.
    pub filled: BTreeSet<i16>,
}

/// A new row that passes a check.
pub struct Passing {
    /// All its columns.
    pub row: Row,
    /// Whether the check holds by the chosen values alone, without reading a row.
    pub is_constant: bool,
}

impl<'a> NewRow<'a> {
    /// Reads the defaults, and rows to copy from.
    pub fn new(probe: &'a Probe<'a>, shape: &'a TableShape) -> Result<Self, Undecidable> {
        let donors = shape.rows("true", Qual::ALWAYS, MAX_DONORS, f64::MAX)?;
        let donors = donors.into_iter().map(|(_, row)| row).collect();
        let mut defaults = Row::new();
        for (column, _) in shape.live() {
            defaults.insert(column.number, shape.default_of(column)?);
        }
        Ok(Self { probe, shape, defaults, donors, filled: BTreeSet::new() })
    }

    /// The check where the columns that the writer may not set have their defaults.
    pub fn with_defaults(&self, check: Qual) -> Result<Qual, Undecidable> {
        let is_fixed = |column: i16| {
            !self.probe.may_write(column, Command::Insert) && !self.shape.is_unique(column)
        };
        let mut fixed = self.defaults.clone();
        fixed.retain(|column, _| is_fixed(*column) && !self.shape.is_generated(*column));
        self.shape.with_values(check, &fixed)
    }

    /// Whether some row with these values may pass.
    pub fn may_pass(&self, check: Qual, chosen: &Row) -> Result<bool, Undecidable> {
        let check = self.shape.with_values(check, chosen)?;
        Ok(!matches!(find_insert(self.probe, check, &[])?, Candidate::NonePasses))
    }

    /// Whether the writer cannot give a column the value that it needs.
    fn lacks_value(&self) -> bool {
        // A trigger may fill it.
        self.probe.table.trigger_caveat(Reach::Forge).is_none()
            && self.shape.live().any(|(column, _)| {
                column.is_not_null
                    && column.default.is_none()
                    && !column.is_generated
                    && !self.probe.may_write(column.number, Command::Insert)
            })
    }

    /// A row with these values that passes the check and conflicts with no existing row.
    pub fn passing(&self, check: Qual, chosen: &Row) -> Result<Option<Passing>, Undecidable> {
        if self.lacks_value() {
            return Ok(None);
        }
        let check = self.shape.with_values(check, chosen)?;
        let is_constant = matches!(self.probe.cache.fold(check), ConstFolded::True);
        let Candidate::Passes(others) = find_insert(self.probe, check, &[])? else {
            return Ok(None);
        };
        let mut row = chosen.clone();
        for (column, type_, value) in others {
            row.insert(column, value.map(|value| text_of(type_, value)));
        }
        self.complete(&mut row, chosen);
        let conflicts = self.shape.conflicts(&row, None)?;
        Ok((!conflicts).then_some(Passing { row, is_constant }))
    }

    /// A row with these values and others that do not matter.
    pub fn completed(&self, chosen: &Row) -> Row {
        let mut row = chosen.clone();
        self.complete(&mut row, chosen);
        row
    }

    /// Adds values for the columns that do not matter. A row with the chosen values is copied
    /// first.
    fn complete(&self, row: &mut Row, chosen: &Row) {
        let alike = |donor: &&Row| {
            donor.iter().filter(|(column, value)| chosen.get(column) == Some(value)).count()
        };
        let donor = self.donors.iter().max_by_key(alike);
        for (column, type_) in self.shape.live() {
            let number = column.number;
            if row.contains_key(&number) {
                continue;
            }
            let value = if self.shape.is_unique(number) {
                Some(unused_id_of_type(lookup::base_type(type_), 7))
                    .filter(|text| !fitting(type_, pg_sys::TEXTOID, text).is_empty())
            } else if let Some(Some(default)) = self.defaults.get(&number) {
                Some(default.clone())
            } else if self.filled.contains(&number) {
                neighbours(lookup::base_type(type_), &[], false).into_iter().next()
            } else if column.is_not_null {
                donor.and_then(|donor| donor.get(&number).cloned().flatten())
            } else {
                None
            };
            row.insert(number, value);
        }
    }
}
