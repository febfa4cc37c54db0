//! Copies rows of other users in a trusted table, where the trusting condition cannot be asked
//! about a candidate row.

use super::membership::Trial;
use super::new_row::NewRow;
use super::probe::Probe;
use crate::pg::rewrite::qual::ConstFolded;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::rls::target::identity::Identity;

/// Most rows that are copied.
const MAX_COPIES: usize = 10;

impl Trial<'_> {
    /// Users whose rows the identity can insert again under its own name. For conditions that
    /// cannot be asked about a candidate row: `named` are the columns that its functions name.
    /// Call it as the identity.
    pub fn copies(&self, identity: &Identity, named: &[i16]) -> Result<Vec<String>, Undecidable> {
        let owners: Vec<i16> = self.members.owners.iter().map(|owner| owner.number).collect();
        let (Some(user), Some(me)) = (owners.first(), &identity.user) else {
            return Ok(Vec::new());
        };
        // A copy has another value of a unique key, and so names something else.
        let has_other_key =
            |column: &i16| !owners.contains(column) && self.shape.is_unique(*column);
        if named.iter().any(has_other_key) {
            return Ok(Vec::new());
        }
        let probe = Probe::new(self.members, identity);
        let check = row_security::effective(Command::Insert, &self.members.named)?.check;
        if matches!(probe.cache.fold(check), ConstFolded::False) {
            return Ok(Vec::new());
        }
        let new = NewRow::new(&probe, self.shape)?;
        let check = new.with_defaults(check)?;
        let mut users = Vec::new();
        for donor in new.donors.iter().take(MAX_COPIES) {
            let Some(Some(other)) = donor.get(user) else { continue };
            let mut chosen = donor.clone();
            chosen.retain(|column, _| {
                probe.may_write(*column, Command::Insert) && !self.shape.is_unique(*column)
            });
            for owner in owners.iter().filter(|owner| donor.get(*owner) == donor.get(user)) {
                chosen.insert(*owner, Some(me.clone()));
            }
            if !users.contains(other) && new.passing(check, &chosen)?.is_some() {
                users.push(other.clone());
            }
        }
        Ok(users)
    }
}
