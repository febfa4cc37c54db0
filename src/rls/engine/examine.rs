//! What each identity can do to other users' rows: by what the server enforces where that decides it, else by looking for a row.

use super::probe::{Probe, ProbeResult, command};
use super::probe_cache::ProbeCache;
use crate::pg::catalog::privilege;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Effective, Undecidable};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::timeout;
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::{Application, Identity, masked};
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// How long one question may take, in milliseconds.
pub const PROBE_TIMEOUT_MS: i32 = 500;
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
    pub responsible_policies: Vec<Policy>,
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
    pub(crate) application: &'a Application,
    pub(crate) policies: &'a [Policy],
    /// Some users whose rows it has.
    pub owners: Vec<String>,
    /// Whether its policies may tell an anonymous sign-in from another one.
    pub distinguishes_anonymous_sign_in: bool,
    /// What was asked of the server already. It lives in the memory context that the examination is made in.
    effective_quals: RefCell<HashMap<(pg_sys::Oid, Command), Effective>>,
    probe_caches: RefCell<HashMap<Identity, Rc<ProbeCache>>>,
}

/// One kind of reach, as asked by one identity.
pub(crate) struct ReachOutcome {
    pub(crate) found: ProbeResult,
    using: Qual,
    check: Qual,
    condition: Qual,
}

impl<'a> Examination<'a> {
    /// Prepares one.
    pub fn new(table: &'a Table, application: &'a Application, policies: &'a [Policy]) -> Self {
        Self {
            table,
            application,
            policies,
            owners: Vec::new(),
            distinguishes_anonymous_sign_in: false,
            effective_quals: RefCell::default(),
            probe_caches: RefCell::default(),
        }
    }

    /// What requests without claims get. It is asked of all tables before anything else is: once a setting has been made, a session never
    /// again is as if it had not.
    pub fn cells_without_claims(&mut self, accounts: &mut AccountPool) -> Result<Vec<Cell>, RlsError> {
        let owners = isolated(|| self.table.sample_owners(self.application, OWNERS)).map_err(|failure| {
            RlsError::Unreadable { table: self.table.named.name.clone(), reason: failure.redacted_message() }
        })??;
        self.owners = accounts.load_existing(self.application, owners)?;
        let mut cells = Vec::new();
        for (place, role) in self.application.roles.iter().enumerate().filter(|(_, role)| role.is_anonymous) {
            self.ask(place, &self.application.without_claims(role), &mut cells, accounts);
        }
        Ok(cells)
    }

    /// Adds what everybody else gets.
    pub fn add_remaining_cells(&self, cells: &mut Vec<Cell>, accounts: &mut AccountPool) {
        for (place, role) in self.application.roles.iter().enumerate() {
            if role.is_anonymous {
                self.ask(place, &self.application.anon_key(role), cells, accounts);
                continue;
            }
            let stranger = self.application.new_account(role);
            self.ask(place, &stranger, cells, accounts);
            if self.distinguishes_anonymous_sign_in {
                self.ask(place, &self.application.anonymous_sign_in(role), cells, accounts);
            }
            if self.table.owners.is_empty() {
                continue;
            }
            for id in self.readers(accounts) {
                let identity = accounts.identity(self.application, role, &id);
                self.ask(place, &identity, cells, accounts);
            }
        }
    }

    /// Two users to look with: owners of rows where there are some.
    fn readers(&self, accounts: &AccountPool) -> Vec<String> {
        let mut readers: Vec<String> = self.owners.clone();
        readers.extend(accounts.sample.iter().filter(|id| !self.owners.contains(id)).cloned());
        readers.truncate(2);
        readers
    }

    fn ask(&self, place: usize, identity: &Identity, cells: &mut Vec<Cell>, accounts: &mut AccountPool) {
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
                    let mut cell = self.judge(identity, reach, asked, accounts);
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
        let Some(trigger_caveat) = self.table.trigger_caveat(cell.reach) else { return };
        let (Verdict::Leak(confidence, _) | Verdict::Public(confidence)) = &mut cell.verdict else { return };
        *confidence = Confidence::Suspected;
        cell.add(&trigger_caveat);
    }

    fn cell(&self, identity: &Identity, reach: Reach, verdict: Verdict) -> Cell {
        Cell {
            identity: identity.label.clone(),
            role: identity.role,
            reach,
            verdict,
            using: String::new(),
            check: String::new(),
            responsible_policies: Vec::new(),
            evidence: String::new(),
        }
    }

    /// Those whom own rows are given to: somebody, if it is nobody else's.
    pub(crate) fn victims(&self, others: &[String]) -> Vec<String> {
        if others.is_empty() { vec![self.application.unused_id()] } else { others.to_vec() }
    }

    /// What the server enforces for the role of an identity, asked once. Nothing of what it knows of who asks is put in yet.
    pub(crate) fn effective(&self, identity: &Identity, reach: Reach) -> Result<Effective, Undecidable> {
        let key = (identity.role, command(reach));
        if let Some(known) = self.effective_quals.borrow().get(&key) {
            return Ok(*known);
        }
        let effective = row_security::effective(key.1, &self.table.named)?;
        self.effective_quals.borrow_mut().insert(key, effective);
        Ok(effective)
    }

    /// What an identity was told already: the same role with the same settings.
    pub(crate) fn cache(&self, identity: &Identity) -> Rc<ProbeCache> {
        if let Some(known) = self.probe_caches.borrow().get(identity) {
            return Rc::clone(known);
        }
        Rc::clone(self.probe_caches.borrow_mut().entry(identity.clone()).or_default())
    }

    /// Asks as an identity, within the limit; `None` where the reach does not apply.
    pub(crate) fn reach(&self, identity: &Identity, reach: Reach) -> Result<Option<ReachOutcome>, Verdict> {
        let cache = self.cache(identity);
        let probe = Probe { table: self.table, identity, cache: &cache };
        let others: Vec<String> =
            self.owners.iter().filter(|owner| Some(owner.as_str()) != identity.user.as_deref()).cloned().collect();
        let (answer, has_expired) = timeout::with_timeout(PROBE_TIMEOUT_MS, || {
            identity.act(|| -> Result<Option<ReachOutcome>, Undecidable> {
                let effective = self.effective(identity, reach)?;
                let told = match reach {
                    Reach::Plant => probe.probe_plant_on_any(&effective, &self.victims(&others))?,
                    _ => self.standing(&probe, reach, &effective, &others)?,
                };
                let Some((found, condition)) = told else { return Ok(None) };
                let found = self.made(&probe, reach, &effective, &others, found)?;
                probe.run_sub_queries(&effective)?;
                let me = identity.user.as_deref();
                let folded = |condition: Qual| match cache.fold(condition) {
                    ConstFolded::Always => Qual::ALWAYS,
                    ConstFolded::Never => Qual::never(),
                    ConstFolded::Depends(folded) => folded.without_values(condition, me),
                };
                Ok(Some(ReachOutcome {
                    found,
                    using: folded(effective.using),
                    check: folded(effective.check),
                    condition,
                }))
            })
        });
        match answer {
            Ok(Ok(asked)) => Ok(asked),
            Ok(Err(unclear)) => Err(unclear.into()),
            Err(_) if has_expired => Err(Verdict::Inconclusive(format!(
                "the policies took longer than {PROBE_TIMEOUT_MS} ms and were stopped"
            ))),
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
        probe: &Probe<'_>,
        reach: Reach,
        effective: &Effective,
        others: &[String],
    ) -> Result<Option<(ProbeResult, Qual)>, Undecidable> {
        let mut told: Option<(ProbeResult, Qual)> = None;
        for column in probe.owner_columns(reach) {
            let Some(condition) = probe.reach_qual(reach, effective, None, column)? else { continue };
            let mut found = None;
            if reach == Reach::Forge && !self.table.owners.is_empty() {
                found = probe.prove_forgery(effective.check).map(ProbeResult::Verdict);
            }
            let found = match found {
                Some(found) => found,
                None => probe.probe_foreign_rows(condition, others)?,
            };
            // Of what an account could choose, others could choose the same.
            let changed = match reach {
                Reach::Tamper | Reach::TakeOver if found.is_safe() && !probe.identity.is_account => {
                    probe.probe_changed_rows(reach, effective, others, column)?
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

    fn judge(&self, identity: &Identity, reach: Reach, asked: ReachOutcome, accounts: &mut AccountPool) -> Cell {
        let table = self.table.oid();
        let mut cell = self.cell(identity, reach, Verdict::Closed);
        let shown = |condition: Qual| match &identity.user {
            // As whom it was asked is a user's own business.
            Some(user) => shown_as(&condition.to_sql(table), user),
            None => condition.to_sql(table),
        };
        (cell.using, cell.check) = (shown(asked.using), shown(asked.check));
        match asked.found {
            ProbeResult::Verdict(verdict) => {
                if let Verdict::Leak(..) | Verdict::Public(_) = verdict {
                    cell.responsible_policies = self.responsible_policies(identity, reach, None);
                }
                cell.verdict = verdict;
            }
            ProbeResult::Candidate(chosen) => {
                let (verdict, evidence) = self.attribute_candidate(identity, reach, &chosen, accounts);
                if let Verdict::Leak(..) | Verdict::Public(_) = verdict {
                    cell.responsible_policies = self.responsible_policies(identity, reach, None);
                }
                (cell.verdict, cell.evidence) = (verdict, evidence);
            }
            ProbeResult::Row(place) => {
                let (verdict, evidence) = self.classify_foreign_row(identity, reach, place, asked.condition, accounts);
                if let Verdict::Leak(..) | Verdict::Public(_) = verdict {
                    cell.responsible_policies = self.responsible_policies(identity, reach, Some(place));
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
