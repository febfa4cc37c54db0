//! Tries whether users can write the rows by which policies of other tables decide: memberships,
//! roles, plans. A candidate row that passes the table's checks is supposed to be stored, and the
//! trusting policy is asked again. Nothing is written.

use super::new_row::NewRow;
use super::probe::Probe;
use super::trust_site::{Insertable, Invitation, Site};
use crate::pg::catalog::lookup;
use crate::pg::rewrite::boundary_values::fitting;
use crate::pg::rewrite::function_body::inlined;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::relations::relations;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::pg::rewrite::trusted_columns::{TrustedColumns, has_condition_on, trusted_columns};
use crate::rls::target::application::unused_id_of_type;
use crate::rls::target::identity::Identity;
use crate::rls::target::table::Table;
use crate::rls::target::table_shape::{Row, TableShape};
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Most rows that values of a column are taken from.
const MAX_DONORS: u64 = 60;
/// Most teams, and most constants, that are tried with an invitation.
const MAX_INVITED: usize = 3;
/// Most new rows that an update is tried on.
const MAX_INSERTED: usize = 4;
/// Most candidate rows for which the trusting policy is asked.
pub(super) const MAX_ASKED: usize = 16;

/// How far the check of the trusted table depends on the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// Every team that was tried admits it.
    EveryTeam,
    /// Most teams that were tried admit it; constants in the check exclude others.
    MostTeams,
    /// Every team that was tried admits it, by a property of its own.
    ByTeam,
}

/// A row that an identity can write and that opens foreign rows to it.
#[derive(Debug, Clone)]
pub struct Written {
    /// INSERT, or UPDATE of the identity's own row.
    pub command: Command,
    /// The columns that decide.
    pub columns: Vec<i16>,
    /// How far the team decides.
    pub choice: Choice,
    /// Whether the other side is a user and not a team.
    pub is_person: bool,
    /// Whether a foreign row was seen to be opened; otherwise the trusting table is empty.
    pub is_seen: bool,
    /// Whether the condition was asked about the row; otherwise another user with such a row was
    /// seen to reach more.
    pub is_asked: bool,
    /// The command on the trusting table that opens.
    pub opened: Command,
    /// The row of another table by which the user is admitted; `columns` are then its columns.
    pub invitation: Option<Invitation>,
}

/// One trusting condition and one table that it trusts.
pub struct Trial<'a> {
    /// The table with the condition.
    pub trusting: &'a Table,
    /// The condition.
    pub site: &'a Site,
    /// The trusted table.
    pub members: &'a Table,
    /// Its columns and keys.
    pub shape: &'a TableShape,
    /// The accounts' table, if there is one.
    pub users: Option<pg_sys::Oid>,
    /// Functions whose calls are left as they are.
    pub kept: &'a [pg_sys::Oid],
    /// Tables that the clients may insert into.
    pub others: &'a [Insertable<'a>],
    /// Whether a rule over the catalog reports a check that admits every row.
    pub is_plain: bool,
    /// Whether the condition could not be asked about a candidate row.
    pub is_unsure: Cell<bool>,
    /// Keys of attempts that the checks refused.
    pub refused: &'a RefCell<BTreeSet<String>>,
    /// Rows that a new account can insert and that open nothing yet.
    pub insertable: RefCell<Vec<Row>>,
}

impl Trial<'_> {
    /// The columns of the trusted table that the condition compares with the identity's user.
    pub fn user_columns(&self, identity: &Identity, trusted: &TrustedColumns) -> Vec<i16> {
        let is_me = |value: &String| Some(value) == identity.user.as_ref();
        let compared = trusted.values.iter().filter(|(_, values)| values.iter().any(is_me));
        compared.map(|(column, _)| *column).collect()
    }

    /// Some rows of the trusted table.
    pub fn rows(&self) -> Result<Vec<Row>, Undecidable> {
        let rows = self.shape.rows("true", Qual::ALWAYS, MAX_DONORS, f64::MAX)?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// Distinct values of a column of the trusted table.
    pub fn values_of(&self, column: i16) -> Result<Vec<String>, Undecidable> {
        let mut values = Vec::new();
        for row in self.rows()? {
            if let Some(Some(value)) = row.get(&column)
                && !values.contains(value)
            {
                values.push(value.clone());
            }
        }
        Ok(values)
    }

    /// Tries to insert a row. Call it as the identity.
    pub fn insert(&self, identity: &Identity) -> Result<Option<Written>, Undecidable> {
        let probe = Probe::new(self.members, identity);
        let check = row_security::effective(Command::Insert, &self.members.named)?.check;
        match probe.cache.fold(check) {
            ConstFolded::False => return Ok(None),
            ConstFolded::True
                if self.is_plain && check.terms().len() < 2 && check.is_always_true() =>
            {
                return Ok(None);
            }
            _ => {}
        }
        let trusted = trusted_columns(self.site.expanded, self.members.oid());
        let key = self.key(identity, &trusted);
        if self.refused.borrow().contains(&key) {
            return Ok(None);
        }
        let mut has_passed = false;
        let mut new = NewRow::new(&probe, self.shape)?;
        new.filled = trusted.not_nulls.clone();
        let check = new.with_defaults(check)?;
        let mut asked = 0;
        let alternatives = self.alternatives(&probe, &trusted, identity, Command::Insert);
        for (keys, constants) in &alternatives {
            let mut usable = Vec::new();
            for constants in constants.iter().cloned() {
                if new.may_pass(check, &constants)? {
                    usable.push(constants);
                }
            }
            let Some(first) = usable.first() else { continue };
            let (mut tried, mut passed, mut decided) = (0, 0, 0);
            let mut refused = Vec::new();
            let mut opened: Option<(Row, bool)> = None;
            for team in self.teams(keys, &trusted, &new.donors)? {
                if self.is_member(identity, first, &team)? {
                    continue;
                }
                tried += 1;
                let mut passing = None;
                for constants in &usable {
                    let mut chosen = constants.clone();
                    chosen.extend(team.clone());
                    let Some(found) = new.passing(check, &chosen)? else { continue };
                    let is_constant = found.is_constant;
                    if opened.is_none() && asked < MAX_ASKED {
                        asked += 1;
                        if let Some(is_seen) = self.opens(self.site.using, &found.row, None) {
                            opened = Some((chosen, is_seen));
                        }
                    }
                    passing.get_or_insert(is_constant);
                }
                if passing.is_none() {
                    let mut chosen = first.clone();
                    chosen.extend(team);
                    refused.push(new.completed(&chosen));
                }
                has_passed |= passing.is_some();
                passed += usize::from(passing.is_some());
                decided += usize::from(passing == Some(true));
            }
            // Teams without rows do not count.
            if opened.is_some() {
                let is_empty = |row: &&Row| self.opens(self.site.using, row, None).is_none();
                tried -= refused.iter().filter(is_empty).count();
            }
            let choice = if passed < tried {
                (decided * 2 >= tried).then_some(Choice::MostTeams)
            } else if decided < passed && self.depends_on_team(&probe, check, first)? {
                Some(Choice::ByTeam)
            } else {
                Some(Choice::EveryTeam)
            };
            if let (Some((chosen, is_seen)), Some(choice)) = (opened, choice) {
                let is_free = |(_, value): &(&i16, &Option<String>)| **value != identity.user;
                let mut columns: Vec<i16> =
                    chosen.iter().filter(is_free).map(|(column, _)| *column).collect();
                if columns.is_empty() {
                    columns = chosen.keys().copied().collect();
                }
                return Ok(Some(self.written(Command::Insert, columns, choice, keys, is_seen)));
            }
        }
        if identity.is_account {
            if !has_passed {
                self.refused.borrow_mut().insert(key);
            }
            return Ok(None);
        }
        // Rows that open nothing yet: an update may follow.
        for (keys, constants) in &alternatives {
            let teams = self.teams(keys, &trusted, &new.donors)?;
            for team in teams.into_iter().chain(self.unused_team(keys)) {
                if self.insertable.borrow().len() == MAX_INSERTED {
                    break;
                }
                let mut chosen = constants.first().cloned().unwrap_or_default();
                chosen.retain(|_, value| *value == identity.user);
                chosen.extend(team);
                if let Some(found) = new.passing(check, &chosen)? {
                    has_passed = true;
                    self.insertable.borrow_mut().push(found.row);
                }
            }
        }
        // Rows that the check refuses unless another row invites the user.
        for (keys, constants) in alternatives {
            for team in self.teams(&keys, &trusted, &new.donors)?.into_iter().take(MAX_INVITED) {
                for constants in constants.iter().take(MAX_INVITED) {
                    let mut chosen = constants.clone();
                    chosen.extend(team.clone());
                    let row = new.completed(&chosen);
                    if self.shape.conflicts(&row, None)? {
                        continue;
                    }
                    let Some(invitation) = self.invitation(identity, check, &row)? else {
                        continue;
                    };
                    if let Some(is_seen) = self.opens(self.site.using, &row, None) {
                        let columns = invitation.columns.clone();
                        let choice = Choice::EveryTeam;
                        let mut written =
                            self.written(Command::Insert, columns, choice, &keys, is_seen);
                        written.invitation = Some(invitation);
                        return Ok(Some(written));
                    }
                }
            }
        }
        if !has_passed {
            self.refused.borrow_mut().insert(key);
        }
        Ok(None)
    }

    /// Two attempts with the same key try the same rows: those that the checks refuse once, they
    /// refuse again, whatever table trusts them.
    fn key(&self, identity: &Identity, trusted: &TrustedColumns) -> String {
        let mut values = trusted.values.clone();
        for value in values.values_mut().flatten() {
            if identity.user.as_ref() == Some(value) {
                "me".clone_into(value);
            }
        }
        let (table, label) = (self.members.oid().to_u32(), &identity.label);
        format!("{table} {label} {values:?} {:?} {:?}", trusted.nulls, trusted.keys)
    }

    /// A team that no row has, if any value may be one.
    fn unused_team(&self, keys: &[i16]) -> Option<Row> {
        let [key] = keys else { return None };
        let type_ = lookup::column_type(self.members.oid(), *key)?;
        if lookup::referenced(self.members.oid(), *key).is_some() {
            return None;
        }
        let unused = unused_id_of_type(lookup::base_type(type_), 5);
        let text = fitting(type_, pg_sys::TEXTOID, &unused).into_iter().next()?;
        Some(Row::from([(*key, Some(text))]))
    }

    pub(super) fn written(
        &self,
        command: Command,
        columns: Vec<i16>,
        choice: Choice,
        keys: &[i16],
        is_seen: bool,
    ) -> Written {
        let is_user = |key: &i16| {
            self.members.owners.iter().any(|owner| owner.number == *key)
                || (self.users.is_some() && self.users == self.referenced(*key))
        };
        let is_person = keys.iter().any(is_user);
        Written {
            command,
            columns,
            choice,
            is_person,
            is_seen,
            is_asked: true,
            opened: self.site.command,
            invitation: None,
        }
    }

    /// The table that a column refers to.
    fn referenced(&self, column: i16) -> Option<pg_sys::Oid> {
        let (name, ..) = lookup::referenced(self.members.oid(), column)?;
        lookup::table_called(&name)
    }

    /// Whether a row with the user and the team exists.
    fn is_member(
        &self,
        identity: &Identity,
        constants: &Row,
        team: &Row,
    ) -> Result<bool, Undecidable> {
        if team.is_empty() {
            return Ok(false);
        }
        let mut row = team.clone();
        let is_mine = |(_, value): &(&i16, &Option<String>)| **value == identity.user;
        let mine: Row =
            constants.iter().filter(is_mine).map(|(column, of)| (*column, of.clone())).collect();
        if mine.is_empty() {
            return Ok(false);
        }
        row.extend(mine);
        let columns: Vec<i16> = row.keys().copied().collect();
        self.shape.exists(&columns, &row, None)
    }

    /// Whether the check depends on a property of the team, such as being public.
    fn depends_on_team(
        &self,
        probe: &Probe<'_>,
        check: Qual,
        constants: &Row,
    ) -> Result<bool, Undecidable> {
        let check = self.shape.with_values(check, constants)?;
        let ConstFolded::Residual(left) = probe.cache.fold(check) else { return Ok(false) };
        let left = inlined(left, self.kept).qual;
        let others = relations(left);
        Ok(others
            .iter()
            .filter(|relation| **relation != self.members.oid().to_u32())
            .any(|relation| has_condition_on(left, pg_sys::Oid::from(*relation))))
    }
}
