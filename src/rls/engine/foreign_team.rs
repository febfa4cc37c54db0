//! Tries whether users can put rows into teams of which they are no members, where the members
//! of that team then see them.

use super::membership::Trial;
use super::new_row::NewRow;
use super::probe::{MAX_COST, Probe};
use super::trust_site::Site;
use crate::pg::catalog::lookup;
use crate::pg::rewrite::boundary_values::fitting;
use crate::pg::rewrite::qual::ConstFolded;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::pg::rewrite::stored_row::holds;
use crate::pg::rewrite::trusted_columns::trusted_columns;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::target::identity::Identity;
use crate::rls::target::table::Table;
use crate::rls::target::table_shape::{Row, TableShape};
use std::collections::BTreeSet;

/// Most memberships that are tried.
const MAX_MEMBERSHIPS: usize = 6;
/// Most rows that are moved.
const MAX_MOVED: u64 = 3;

/// A row of a membership table, as it decides about rows of another.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The member.
    pub user: String,
    /// The membership's columns for the user and for the team.
    pub columns: (i16, i16),
    /// The team.
    pub team: String,
    /// The column of the other table that names the team.
    pub column: i16,
    /// The team, as a value of that column.
    pub value: String,
}

/// A row that an identity can put into a team.
#[derive(Debug, Clone)]
pub struct Crossing {
    /// The membership of someone in that team.
    pub membership: Membership,
    /// All columns of the row.
    pub row: Row,
    /// Whether the writer sees the row afterwards.
    pub is_seen_by_writer: bool,
}

/// A table with a team in each row, and the condition by which it is read.
pub struct TeamRows<'a> {
    /// The table.
    pub table: &'a Table,
    /// Its columns and keys.
    pub shape: &'a TableShape,
    /// The condition for SELECT.
    pub site: &'a Site,
}

/// Memberships of different teams. Call it as any user.
pub fn memberships(trial: &Trial<'_>, identity: &Identity) -> Result<Vec<Membership>, Undecidable> {
    let trusted = trusted_columns(trial.site.expanded, trial.members.oid());
    let users = trial.user_columns(identity, &trusted);
    let mut found: Vec<Membership> = Vec::new();
    let (Some(user), false) = (users.first(), trusted.pairs.is_empty()) else { return Ok(found) };
    for row in trial.rows()? {
        for (key, column) in trusted.pairs.iter().filter(|(key, _)| key != user) {
            let (Some(Some(member)), Some(Some(team))) = (row.get(user), row.get(key)) else {
                continue;
            };
            let (Some(from), Some(type_)) = (
                lookup::column_type(trial.members.oid(), *key),
                lookup::column_type(trial.trusting.oid(), *column),
            ) else {
                continue;
            };
            let Some(value) = fitting(type_, from, team).into_iter().next() else { continue };
            let is_known = |known: &Membership| known.column == *column && known.value == value;
            if found.len() < MAX_MEMBERSHIPS && !found.iter().any(is_known) {
                found.push(Membership {
                    user: member.clone(),
                    columns: (*user, *key),
                    team: team.clone(),
                    column: *column,
                    value,
                });
            }
        }
    }
    Ok(found)
}

impl TeamRows<'_> {
    /// Rows that the identity can put into teams of others by a command. Call it as the identity.
    pub fn crossings(
        &self,
        trial: &Trial<'_>,
        identity: &Identity,
        command: Command,
        memberships: &[Membership],
    ) -> Result<Option<Vec<Crossing>>, Undecidable> {
        let probe = Probe::new(self.table, identity);
        let Some(me) = &identity.user else { return Ok(None) };
        let mut foreign = Vec::new();
        for membership in memberships.iter().filter(|membership| membership.user != *me) {
            let (user, key) = membership.columns;
            let own = Row::from([(user, Some(me.clone())), (key, Some(membership.team.clone()))]);
            if !trial.shape.exists(&[user, key], &own, None)?
                && probe.may_write(membership.column, command)
            {
                foreign.push(membership);
            }
        }
        if foreign.is_empty() {
            return Ok(None);
        }
        match command {
            Command::Insert => self.inserted(&probe, me, &foreign).map(Some),
            _ => self.moved(&probe, me, &foreign),
        }
    }

    fn inserted(
        &self,
        probe: &Probe<'_>,
        me: &str,
        foreign: &[&Membership],
    ) -> Result<Vec<Crossing>, Undecidable> {
        let check = row_security::effective(Command::Insert, &self.table.named)?.check;
        let mut crossings = Vec::new();
        if matches!(probe.cache.fold(check), ConstFolded::False) {
            return Ok(crossings);
        }
        let mut new = NewRow::new(probe, self.shape)?;
        let check = new.with_defaults(check)?;
        for membership in foreign {
            let mut chosen = Row::from([(membership.column, Some(membership.value.clone()))]);
            for owner in &self.table.owners {
                if owner.number != membership.column
                    && probe.may_write(owner.number, Command::Insert)
                {
                    chosen.insert(owner.number, Some(me.to_owned()));
                }
            }
            // Members may see only rows that are filled in, or only others.
            for filled in [BTreeSet::new(), self.site.using.columns().unwrap_or_default()] {
                new.filled = filled;
                if let Some(passing) = new.passing(check, &chosen)? {
                    crossings.extend(self.crossing(me, membership, passing.row)?);
                }
            }
        }
        Ok(crossings)
    }

    /// `None` if the identity can update no row.
    fn moved(
        &self,
        probe: &Probe<'_>,
        me: &str,
        foreign: &[&Membership],
    ) -> Result<Option<Vec<Crossing>>, Undecidable> {
        let effective = row_security::effective(Command::Update, &self.table.named)?;
        if matches!(probe.cache.fold(effective.using), ConstFolded::False) {
            return Ok(None);
        }
        let reached = self.shape.rows("true", effective.using, MAX_MOVED, MAX_COST)?;
        if reached.is_empty() {
            return Ok(None);
        }
        // The writer may also make the row an own one.
        let as_own: Row = self
            .table
            .owners
            .iter()
            .filter(|owner| probe.may_write(owner.number, Command::Update))
            .map(|owner| (owner.number, Some(me.to_owned())))
            .collect();
        let mut crossings = Vec::new();
        for membership in foreign {
            let team = Row::from([(membership.column, Some(membership.value.clone()))]);
            let mut changes = vec![team.clone()];
            let owned: Row = as_own.clone().into_iter().chain(team.clone()).collect();
            if owned != team {
                changes.push(owned);
            }
            for change in changes {
                // Rows that pass the check with the new values, if the server finds them soon.
                let passing =
                    effective.using.and(self.shape.with_values(effective.check, &change)?);
                let passing = isolated(|| self.shape.rows("true", passing, MAX_MOVED, MAX_COST));
                let rows = match &passing {
                    Ok(Ok(rows)) => rows,
                    _ => &reached,
                };
                for (address, before) in rows {
                    let mut row = before.clone();
                    row.extend(change.clone());
                    if row.get(&membership.column) == before.get(&membership.column)
                        || self.shape.conflicts(&row, Some(address))?
                    {
                        continue;
                    }
                    let check = self.shape.substituted(effective.check, &row)?;
                    if matches!(isolated(|| holds(check)), Ok(Ok(true))) {
                        crossings.extend(self.crossing(me, membership, row)?);
                    }
                }
            }
        }
        Ok(Some(crossings))
    }

    /// `None` if the writer reads rows of the team without being a member, or if the table records
    /// one row of each user and team, such as a request to join.
    fn crossing(
        &self,
        me: &str,
        membership: &Membership,
        row: Row,
    ) -> Result<Option<Crossing>, Undecidable> {
        let owners: Vec<i16> = self.table.owners.iter().map(|owner| owner.number).collect();
        let is_request = self.shape.unique_keys.iter().any(|key| {
            key.contains(&membership.column) && key.iter().any(|column| owners.contains(column))
        });
        if is_request {
            return Ok(None);
        }
        let mut of_member = row.clone();
        for owner in &owners {
            if of_member.get(owner) == Some(&Some(me.to_owned())) {
                of_member.insert(*owner, Some(membership.user.clone()));
            }
        }
        if self.sees(&of_member)? && of_member != row {
            return Ok(None);
        }
        let is_seen_by_writer = self.sees(&row)?;
        if is_seen_by_writer && of_member == row {
            return Ok(None);
        }
        Ok(Some(Crossing { membership: membership.clone(), row, is_seen_by_writer }))
    }

    /// Whether the current user would read such a row.
    pub fn sees(&self, row: &Row) -> Result<bool, Undecidable> {
        let using = self.shape.substituted(self.site.using, row)?;
        Ok(matches!(isolated(|| holds(using)), Ok(Ok(true))))
    }
}
