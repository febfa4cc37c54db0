//! Tries to update own rows of trusted tables: another team, another role.

use super::candidate_rows::{Candidate, find_written};
use super::membership::{Choice, MAX_ASKED, Trial, Written};
use super::probe::{MAX_COST, Probe};
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::pg::rewrite::stored_row::{holds, with_rows};
use crate::pg::rewrite::trusted_columns::trusted_columns;
use crate::pg::rewrite::value::text_of;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::target::identity::Identity;
use crate::rls::target::table_shape::{Row, TableShape};

impl Trial<'_> {
    /// Tries to update the identity's own rows. Call it as the identity.
    pub fn update(&self, identity: &Identity) -> Result<Option<Written>, Undecidable> {
        let probe = Probe::new(self.members, identity);
        let effective = row_security::effective(Command::Update, &self.members.named)?;
        if matches!(probe.cache.fold(effective.using), ConstFolded::False) {
            return Ok(None);
        }
        let trusted = trusted_columns(self.site.expanded, self.members.oid());
        let users = self.user_columns(identity, &trusted);
        let Some(me) = &identity.user else { return Ok(None) };
        let donors = self.rows()?;
        // Own rows: with their addresses, or rows as every new account has one.
        let mut own: Vec<(Option<String>, Row)> = Vec::new();
        for user in &users {
            let mine = Row::from([(*user, Some(me.clone()))]);
            if let Some(condition) = self.shape.equals(&[*user], &mine) {
                let rows = self.shape.rows(&condition, effective.using, 2, MAX_COST)?;
                own.extend(rows.into_iter().map(|(address, row)| (Some(address), row)));
            }
        }
        if own.is_empty()
            && !identity.is_account
            && let Some(user) = users.iter().find(|user| self.shape.is_unique(**user))
        {
            for donor in donors.iter().take(2) {
                let mut row = donor.clone();
                row.insert(*user, Some(me.clone()));
                let using = self.shape.substituted(effective.using, &row)?;
                if isolated(|| holds(using)).is_ok_and(|answer| matches!(answer, Ok(true))) {
                    own.push((None, row));
                }
            }
        }
        // Rows that the identity may insert, to change them afterwards.
        if !identity.is_account {
            for row in self.insertable.take() {
                let using = self.shape.substituted(effective.using, &row)?;
                if isolated(|| holds(using)).is_ok_and(|answer| matches!(answer, Ok(true))) {
                    own.push((None, row));
                }
            }
        }
        let mut asked = 0;
        for (address, before) in own {
            let base = match &address {
                Some(_) => self.site.using,
                None => with_rows(
                    self.site.expanded,
                    self.members.oid(),
                    &self.shape.rows_and(&before, None),
                )?,
            };
            for (keys, constants) in self.alternatives(&probe, &trusted, identity, Command::Update)
            {
                // The own team comes first: a change of the role alone.
                let teams = self.teams(&keys, &trusted, &donors)?;
                for team in std::iter::once(Row::new()).chain(teams) {
                    for constants in &constants {
                        let mut changes = constants.clone();
                        changes.extend(team.clone());
                        let mut row = before.clone();
                        row.extend(
                            changes.into_iter().filter(|(column, _)| !users.contains(column)),
                        );
                        if row == before || asked == MAX_ASKED {
                            continue;
                        }
                        let check = self.shape.substituted(effective.check, &row)?;
                        if !matches!(isolated(|| holds(check)), Ok(Ok(true))) {
                            let decisive: Vec<i16> = users
                                .iter()
                                .chain(&keys)
                                .chain(constants.keys())
                                .copied()
                                .collect();
                            let adjusted = isolated(|| {
                                adjusted(self.shape, &probe, effective.check, &row, &decisive)
                            });
                            let Ok(Ok(Some(adjusted))) = adjusted else { continue };
                            row = adjusted;
                        }
                        if self.shape.conflicts(&row, address.as_deref())? {
                            continue;
                        }
                        asked += 1;
                        if let Some(is_seen) = self.opens(base, &row, address.as_deref()) {
                            let is_changed =
                                |column: &&i16| row.get(*column) != before.get(*column);
                            let columns = row.keys().filter(is_changed).copied().collect();
                            let choice = Choice::EveryTeam;
                            return Ok(Some(self.written(
                                Command::Update,
                                columns,
                                choice,
                                &keys,
                                is_seen,
                            )));
                        }
                    }
                }
            }
        }
        Ok(None)
    }
}

/// A row of an update that passes a check by other values in the columns that do not decide; `None`
/// if there is none.
fn adjusted(
    shape: &TableShape,
    probe: &Probe<'_>,
    check: Qual,
    row: &Row,
    decisive: &[i16],
) -> Result<Option<Row>, Undecidable> {
    let read = check.columns().ok_or(Undecidable::WholeRow)?;
    let is_free = |column: &i16| {
        read.contains(column)
            && !decisive.contains(column)
            && probe.may_write(*column, Command::Update)
    };
    let mut fixed = row.clone();
    fixed.retain(|column, _| !is_free(column));
    if fixed.len() == row.len() {
        return Ok(None);
    }
    let check = shape.with_values(check, &fixed)?;
    let Candidate::Passes(others) = find_written(probe, Command::Update, check, &[])? else {
        return Ok(None);
    };
    let mut row = row.clone();
    for (column, type_, value) in others {
        row.insert(column, value.map(|value| text_of(type_, value)));
    }
    Ok(Some(row))
}
