//! Tries whether users can write the rows that the check of a trusted table asks for, such as
//! invitations: then they invite themselves.

use super::membership::Trial;
use super::new_row::NewRow;
use super::probe::Probe;
use super::trust_site::{Insertable, Invitation};
use crate::pg::rewrite::function_body::inlined;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::relations::relations;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::pg::rewrite::stored_row::{holds, with_rows};
use crate::pg::rewrite::trusted_columns::trusted_columns;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::target::identity::Identity;
use crate::rls::target::table_shape::{Row, TableShape};

/// Most combinations of constants that are tried.
const MAX_CONSTANTS: usize = 6;

impl Trial<'_> {
    /// The row of a third table with which a row of the trusted table passes the check, if the
    /// identity can write it.
    pub(super) fn invitation(
        &self,
        identity: &Identity,
        check: Qual,
        row: &Row,
    ) -> Result<Option<Invitation>, Undecidable> {
        let probe = Probe::new(self.members, identity);
        let check = self.shape.substituted(check, row)?;
        let ConstFolded::Residual(left) = probe.cache.fold(check) else { return Ok(None) };
        let asked = inlined(left, self.kept).qual;
        let read = relations(asked);
        for third in self.others.iter().filter(|other| read.contains(&other.table.oid().to_u32())) {
            if let Some(columns) = self.inviting(identity, asked, third)? {
                return Ok(Some(Invitation { place: third.place, columns }));
            }
        }
        Ok(None)
    }

    fn inviting(
        &self,
        identity: &Identity,
        asked: Qual,
        third: &Insertable<'_>,
    ) -> Result<Option<Vec<i16>>, Undecidable> {
        let oid = third.table.oid();
        let probe = Probe::new(third.table, identity);
        let check = row_security::effective(Command::Insert, &third.table.named)?.check;
        if matches!(probe.cache.fold(check), ConstFolded::False) {
            return Ok(None);
        }
        let Ok(shape) = TableShape::read(oid) else { return Ok(None) };
        let trusted = trusted_columns(asked, oid);
        let mut new = NewRow::new(&probe, &shape)?;
        new.filled = trusted.not_nulls.clone();
        let check = new.with_defaults(check)?;
        let may_write = |column: &i16| probe.may_write(*column, Command::Insert);
        let mut rows = vec![Row::new()];
        for (column, values) in trusted.values.iter().filter(|(column, _)| may_write(column)) {
            rows = values
                .iter()
                .flat_map(|value| {
                    rows.iter().map(|row| {
                        let mut row = row.clone();
                        row.insert(*column, Some(value.clone()));
                        row
                    })
                })
                .take(MAX_CONSTANTS)
                .collect();
        }
        for mut chosen in rows {
            let decisive: Vec<i16> = chosen.keys().copied().collect();
            for owner in third.table.owners.iter().filter(|owner| may_write(&owner.number)) {
                chosen.entry(owner.number).or_insert_with(|| identity.user.clone());
            }
            let Some(passing) = new.passing(check, &chosen)? else { continue };
            let admits = isolated(|| -> Result<bool, Undecidable> {
                Ok(holds(with_rows(asked, oid, &shape.rows_and(&passing.row, None))?)?
                    && !holds(asked)?)
            });
            if matches!(admits, Ok(Ok(true))) {
                return Ok(Some(decisive));
            }
        }
        Ok(None)
    }
}
