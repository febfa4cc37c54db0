//! What each identity can do to other users' rows: by what the server enforces where that decides it, else by looking for a row.

use super::probe::{Found, Question, command};
use super::probe_cache::Memo;
use crate::pg::catalog::privilege;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::redact::redacted;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Effective, Undecidable};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::timeout;
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::People;
use crate::rls::target::application::{Identity, Surroundings, masked};
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// How long one question may take, in milliseconds.
pub const LIMIT: i32 = 500;
/// How many owners of a table's rows are looked at where not all rows can be.
const OWNERS: usize = 6;

/// One answer.
pub struct Cell {
    /// Who asked.
    pub identity: String,
    /// With which role.
    pub role: pg_sys::Oid,
    /// For what.
    pub reach: Reach,
    /// What is so.
    pub verdict: Verdict,
    /// What the server lets the command reach, with what is known of who asks put in, as SQL.
    pub using: String,
    /// What it lets the command leave behind, likewise.
    pub check: String,
    /// The policies that let it through.
    pub culprits: Vec<Policy>,
    /// What was seen.
    pub evidence: String,
}

impl Cell {
    /// Adds to what was seen.
    pub fn add(&mut self, what: &str) {
        if !self.evidence.is_empty() {
            self.evidence += "; ";
        }
        self.evidence += what;
    }
}

/// Looks at one table with the eyes of everybody.
pub struct Examination<'a> {
    /// The table.
    pub table: &'a Table,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) policies: &'a [Policy],
    /// Some users whose rows it has.
    pub owners: Vec<String>,
    /// Whether its policies may tell an anonymous sign-in from another one.
    pub asks_for_sign_in: bool,
    /// What was asked of the server already. It lives in the memory context that the examination is made in.
    enforced: RefCell<HashMap<(pg_sys::Oid, Command), Effective>>,
    memos: RefCell<HashMap<Identity, Rc<Memo>>>,
}

/// One kind of reach, as asked by one identity.
pub(crate) struct Asked {
    pub(crate) found: Found,
    using: Qual,
    check: Qual,
    condition: Qual,
}

impl<'a> Examination<'a> {
    /// Prepares one.
    pub fn new(table: &'a Table, surroundings: &'a Surroundings, policies: &'a [Policy]) -> Self {
        Self {
            table,
            surroundings,
            policies,
            owners: Vec::new(),
            asks_for_sign_in: false,
            enforced: RefCell::default(),
            memos: RefCell::default(),
        }
    }

    /// What requests without claims get. It is asked of all tables before anything else is: once a setting has been made, a session never
    /// again is as if it had not.
    pub fn cells_of_nobody(&mut self, people: &mut People) -> Result<Vec<Cell>, RlsError> {
        let owners = isolated(|| self.table.sample_owners(self.surroundings, OWNERS)).map_err(|failure| {
            RlsError::Unreadable { table: self.table.named.name.clone(), reason: failure.redacted_message() }
        })??;
        self.owners = people.known(self.surroundings, owners)?;
        let mut cells = Vec::new();
        for (place, role) in self.surroundings.roles.iter().enumerate().filter(|(_, role)| role.is_anonymous) {
            self.ask(place, &self.surroundings.nobody(role), &mut cells, people);
        }
        Ok(cells)
    }

    /// Adds what everybody else gets.
    pub fn cells_of_others(&self, cells: &mut Vec<Cell>, people: &mut People) {
        for (place, role) in self.surroundings.roles.iter().enumerate() {
            if role.is_anonymous {
                self.ask(place, &self.surroundings.key(role), cells, people);
                continue;
            }
            let stranger = self.surroundings.stranger(role);
            self.ask(place, &stranger, cells, people);
            if self.asks_for_sign_in {
                self.ask(place, &self.surroundings.guest(role), cells, people);
            }
            if self.table.owners.is_empty() {
                continue;
            }
            for id in self.readers(people) {
                let identity = people.identity(self.surroundings, role, &id);
                self.ask(place, &identity, cells, people);
            }
        }
    }

    /// Two users to look with: owners of rows where there are some.
    fn readers(&self, people: &People) -> Vec<String> {
        let mut readers: Vec<String> = self.owners.clone();
        readers.extend(people.pool.iter().filter(|id| !self.owners.contains(id)).cloned());
        readers.truncate(2);
        readers
    }

    fn ask(&self, place: usize, identity: &Identity, cells: &mut Vec<Cell>, people: &mut People) {
        if privilege::is_exempt(self.table.oid(), identity.role) && self.table.is_secured {
            cells.push(self.cell(identity, Reach::Read, Verdict::Exempt));
            return;
        }
        for reach in Reach::ALL {
            if !self.table.allows(place, command(reach)) {
                continue;
            }
            // Whoever signs up can: no need to ask the others.
            let is_known = |cell: &Cell| {
                cell.reach == reach
                    && cell.role == identity.role
                    && matches!(cell.verdict, Verdict::Leak(_, Audience::AnyAccount))
            };
            if identity.user.is_some() && cells.iter().any(is_known) {
                continue;
            }
            match self.reach(identity, reach) {
                Ok(Some(asked)) => {
                    let mut cell = self.judge(identity, reach, asked, people);
                    self.suspect(&mut cell);
                    cells.push(cell);
                }
                Ok(None) => {}
                Err(verdict) => cells.push(self.cell(identity, reach, verdict)),
            }
        }
    }

    /// What a trigger may prevent is not proved.
    fn suspect(&self, cell: &mut Cell) {
        let Some(doubts) = self.table.doubts(cell.reach) else { return };
        let (Verdict::Leak(confidence, _) | Verdict::Public(confidence)) = &mut cell.verdict else { return };
        *confidence = Confidence::Suspected;
        cell.add(&doubts);
    }

    fn cell(&self, identity: &Identity, reach: Reach, verdict: Verdict) -> Cell {
        Cell {
            identity: identity.label.clone(),
            role: identity.role,
            reach,
            verdict,
            using: String::new(),
            check: String::new(),
            culprits: Vec::new(),
            evidence: String::new(),
        }
    }

    /// Those whom own rows are given to: somebody, if it is nobody else's.
    pub(crate) fn victims(&self, others: &[String]) -> Vec<String> {
        if others.is_empty() { vec![self.surroundings.stranger_id()] } else { others.to_vec() }
    }

    /// What the server enforces for the role of an identity, asked once. Nothing of what it knows of who asks is put in yet.
    pub(crate) fn effective(&self, identity: &Identity, reach: Reach) -> Result<Effective, Undecidable> {
        let key = (identity.role, command(reach));
        if let Some(known) = self.enforced.borrow().get(&key) {
            return Ok(*known);
        }
        let effective = row_security::effective(key.1, &self.table.named)?;
        self.enforced.borrow_mut().insert(key, effective);
        Ok(effective)
    }

    /// What an identity was told already: the same role with the same settings.
    pub(crate) fn memo(&self, identity: &Identity) -> Rc<Memo> {
        if let Some(known) = self.memos.borrow().get(identity) {
            return Rc::clone(known);
        }
        Rc::clone(self.memos.borrow_mut().entry(identity.clone()).or_default())
    }

    /// Asks as an identity, within the limit; `None` where the reach does not apply.
    pub(crate) fn reach(&self, identity: &Identity, reach: Reach) -> Result<Option<Asked>, Verdict> {
        let memo = self.memo(identity);
        let question = Question { table: self.table, identity, memo: &memo };
        let others: Vec<String> =
            self.owners.iter().filter(|owner| Some(owner.as_str()) != identity.user.as_deref()).cloned().collect();
        let (answer, has_expired) = timeout::with_timeout(LIMIT, || {
            identity.act(|| -> Result<Option<Asked>, Undecidable> {
                let effective = self.effective(identity, reach)?;
                let told = match reach {
                    Reach::Plant => question.planted_on(&effective, &self.victims(&others))?,
                    _ => self.standing(&question, reach, &effective, &others)?,
                };
                let Some((found, condition)) = told else { return Ok(None) };
                let found = self.made(&question, reach, &effective, &others, found)?;
                question.begins(&effective)?;
                let me = identity.user.as_deref();
                let folded = |condition: Qual| match memo.fold(condition) {
                    ConstFolded::True => Qual::ALWAYS,
                    ConstFolded::False => Qual::never(),
                    ConstFolded::Residual(folded) => redacted(folded, condition, me),
                };
                Ok(Some(Asked { found, using: folded(effective.using), check: folded(effective.check), condition }))
            })
        });
        match answer {
            Ok(Ok(asked)) => Ok(asked),
            Ok(Err(unclear)) => Err(unclear.into()),
            Err(_) if has_expired => {
                Err(Verdict::Inconclusive(format!("the policies took longer than {LIMIT} ms and were stopped")))
            }
            Err(failure) if failure.is_interrupt() => failure.raise(),
            Err(failure) if failure.is_sandbox_violation() => Err(Verdict::Inconclusive(format!(
                "the policies do what an audit does not let them: {}",
                failure.message
            ))),
            Err(failure) if failure.is_transient() => {
                Err(Verdict::Inconclusive(format!("it could not be asked now: {}", failure.redacted_message())))
            }
            Err(failure) => Err(Verdict::Failing(failure.redacted_message())),
        }
    }

    /// What is so of rows as they are, but for a new owner and columns that are wanted to be constants.
    fn standing(
        &self,
        question: &Question<'_>,
        reach: Reach,
        effective: &Effective,
        others: &[String],
    ) -> Result<Option<(Found, Qual)>, Undecidable> {
        let mut told: Option<(Found, Qual)> = None;
        for column in question.columns(reach) {
            let Some(condition) = question.condition(reach, effective, None, column)? else { continue };
            let mut found = None;
            if reach == Reach::Forge && !self.table.owners.is_empty() {
                found = question.forged(effective.check).map(Found::Verdict);
            }
            let found = match found {
                Some(found) => found,
                None => question.others(condition, others)?,
            };
            // Of what an account could choose, others could choose the same.
            let changed = match reach {
                Reach::Tamper | Reach::TakeOver if found.is_safe() && !question.identity.is_account => {
                    question.changed(reach, effective, others, column)?
                }
                _ => None,
            };
            let (found, condition) = changed.unwrap_or((found, condition));
            if told.as_ref().is_none_or(|(known, _)| found.is_worse_than(known)) {
                told = Some((found, condition));
            }
            if told.as_ref().is_some_and(|(found, _)| !found.is_safe()) {
                break;
            }
        }
        Ok(told)
    }

    fn judge(&self, identity: &Identity, reach: Reach, asked: Asked, people: &mut People) -> Cell {
        let table = self.table.oid();
        let mut cell = self.cell(identity, reach, Verdict::Closed);
        let shown = |condition: Qual| match &identity.user {
            // As whom it was asked is a user's own business.
            Some(user) => shown_as(&condition.to_sql(table), user),
            None => condition.to_sql(table),
        };
        (cell.using, cell.check) = (shown(asked.using), shown(asked.check));
        match asked.found {
            Found::Verdict(verdict) => {
                if let Verdict::Leak(..) | Verdict::Public(_) = verdict {
                    cell.culprits = self.culprits(identity, reach, None);
                }
                cell.verdict = verdict;
            }
            Found::Made(chosen) => {
                let (verdict, evidence) = self.made_by(identity, reach, &chosen, people);
                if let Verdict::Leak(..) | Verdict::Public(_) = verdict {
                    cell.culprits = self.culprits(identity, reach, None);
                }
                (cell.verdict, cell.evidence) = (verdict, evidence);
            }
            Found::Row(place) => {
                let (verdict, evidence) = self.row_of_others(identity, reach, place, asked.condition, people);
                if let Verdict::Leak(..) | Verdict::Public(_) = verdict {
                    cell.culprits = self.culprits(identity, reach, Some(place));
                }
                (cell.verdict, cell.evidence) = (verdict, evidence);
            }
        }
        cell
    }
}

/// A condition with who asked in it masked: what stands in quotes, or alone.
fn shown_as(sql: &str, user: &str) -> String {
    let masked = masked(user);
    if user.chars().all(|c| c.is_ascii_digit() || c == '-') {
        // A number, which may also be a part of another one.
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'));
        let mut text = String::new();
        let mut rest = sql;
        while let Some(place) = rest.find(user) {
            let (before, after) = (&rest[..place], &rest[place + user.len()..]);
            text += before;
            let alone = !is_part(before.chars().last().or(text.chars().last())) && !is_part(after.chars().next());
            text += if alone { &masked } else { user };
            rest = after;
        }
        return text + rest;
    }
    sql.replace(user, &masked)
}

/// The cells by reach and role, the worst first.
pub fn worst(cells: &[Cell]) -> BTreeMap<(Reach, u32), &Cell> {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Leak(confidence, audience) => (0, *audience as u8, *confidence as u8),
        Verdict::Public(confidence) => (1, *confidence as u8, 0),
        Verdict::Exempt => (2, 0, 0),
        Verdict::Failing(_) => (3, 0, 0),
        Verdict::Inconclusive(_) => (4, 0, 0),
        Verdict::Shared => (5, 0, 0),
        Verdict::IsolatedIn(_) => (6, 0, 0),
        Verdict::Isolated => (7, 0, 0),
        Verdict::Closed => (8, 0, 0),
        Verdict::NoAccess => (9, 0, 0),
    };
    let mut worst: BTreeMap<(Reach, u32), &Cell> = BTreeMap::new();
    for cell in cells {
        let known = worst.entry((cell.reach, cell.role.to_u32())).or_insert(cell);
        if rank(&cell.verdict) < rank(&known.verdict) {
            *known = cell;
        }
    }
    worst
}
