//! Synthesizes candidate rows for INSERT and UPDATE policies.
//!
//! The writer controls the columns of a new row, so existing rows alone cannot prove a write policy
//! safe. If no existing row passes it, the audit composes rows from values that the policy compares
//! with and from values of existing rows, and evaluates the policy on those. Nothing is written.

use super::composition::Composition;
use super::probe::{MAX_COST, Probe, ProbeResult};
use super::reach_probe::command;
use super::rows::{ColumnValue, RowId, RowScope};
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::candidate_values::{CandidateValues, Column};
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security::{Command, Effective, Undecidable};
use crate::pg::rewrite::value::value_of;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::model::{Reach, Verdict};
use crate::rls::target::application::unused_id_of_type;
use crate::rls::target::owner_column::OwnerColumn;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

/// Most existing rows that are changed, or that values are copied from.
const MAX_SOURCE_ROWS: u64 = 50;

/// The result of a search for a candidate row that passes the policies.
pub enum Candidate {
    /// A row with these columns chosen passes.
    Passes(Vec<ColumnValue>),
    /// No row passes.
    NonePasses,
    /// No composed row passes, but others may: the policies use these columns in expressions whose
    /// accepting values the audit cannot list.
    Undecided(Vec<i16>),
}

/// Owner columns and the users that they name in a new row.
type NewOwners<'a> = Vec<(&'a OwnerColumn, String)>;

/// One way to exercise a reach.
struct Attempt<'a> {
    /// The existing rows that are updated; `None` for an insert from scratch.
    rows: Option<RowScope<'a>>,
    using: Qual,
    /// The alternatives for the owner columns.
    new_owners: Vec<NewOwners<'a>>,
}

/// Replaces a safe result of a write reach by a candidate row, if one passes the policies.
/// `owners` are users who own rows of the table.
pub fn try_candidates(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    owners: &[String],
    result: ProbeResult,
) -> Result<ProbeResult, Undecidable> {
    let is_write = matches!(reach, Reach::Tamper | Reach::TakeOver | Reach::Plant | Reach::Forge);
    let is_needed = match &result {
        ProbeResult::Verdict(Verdict::IsolatedIn(_) | Verdict::Inconclusive(_)) => is_write,
        ProbeResult::Verdict(Verdict::Isolated | Verdict::Closed) => {
            let has_several_owners = probe.table.owners.len() > 1;
            match reach {
                // The proof covers rows whose other columns stay as they are. Where WITH CHECK
                // alone excludes them, a new value may satisfy it.
                Reach::Tamper => !effective.using.is_same(effective.check),
                Reach::TakeOver => has_several_owners || !effective.using.is_same(effective.check),
                // It also covers one owner column at a time, not all of them together.
                Reach::Forge => has_several_owners,
                _ => false,
            }
        }
        _ => false,
    };
    // With USING equal to WITH CHECK, every row that is reached already passes as it is.
    let passes_unchanged = reach == Reach::Tamper
        && matches!(result, ProbeResult::Verdict(Verdict::IsolatedIn(_)))
        && effective.using.is_same(effective.check);
    if !is_needed || passes_unchanged {
        return Ok(result);
    }
    // An error that only a composed row raises says nothing about the existing rows.
    let search = CandidateSearch { probe, command: command(reach) };
    let candidate = match isolated(|| search.find(reach, effective, owners)) {
        Ok(candidate) => candidate?,
        Err(failure) => {
            let why =
                format!("evaluating a candidate row failed with {}", failure.redacted_message());
            return Ok(ProbeResult::Verdict(Verdict::Inconclusive(why)));
        }
    };
    Ok(match candidate {
        Candidate::Passes(chosen) => ProbeResult::Candidate(chosen),
        Candidate::NonePasses => result,
        Candidate::Undecided(columns) => ProbeResult::Verdict(Verdict::Inconclusive(format!(
            "the writer chooses {}, and no candidate row shows whether the policies accept a \
             value of it",
            column_names(probe, &columns)
        ))),
    })
}

/// Whether a qual would let through a foreign row, if the table had one: a row composed from values
/// that the qual compares with. `scope` are columns that hold the team of a row.
pub fn admits_future_row(
    probe: &Probe<'_>,
    qual: Qual,
    scope: &[i16],
) -> Result<bool, Undecidable> {
    let table = probe.table.oid();
    let mut changed = qual;
    for owner in &probe.table.owners {
        // No row names an account that references cannot find.
        let Ok(Ok(with_other)) = isolated(|| owner.substitute(changed, &owner.unused_id(3))) else {
            return Ok(false);
        };
        changed = with_other;
    }
    let teams =
        scope.iter().filter_map(|column| Some((*column, lookup::column_type(table, *column)?)));
    for (column, type_) in teams {
        let other = match lookup::is_text(type_) {
            true => "crewsnow-ops, another team".to_owned(),
            false => unused_id_of_type(type_, 3),
        };
        let Ok(value) = isolated(|| value_of(type_, &c_string(&other))) else { return Ok(false) };
        changed = changed.substitute(column, type_, value).ok_or(Undecidable::WholeRow)?;
    }
    let folded = match probe.cache.fold(changed) {
        ConstFolded::True => return Ok(true),
        ConstFolded::False => return Ok(false),
        ConstFolded::Residual(folded) => folded,
    };
    let values = CandidateValues::collect(folded, table, &|_| true)?;
    let listed: Vec<&Column> =
        values.columns.iter().filter(|column| !column.values.is_empty()).collect();
    let search = CandidateSearch { probe, command: Command::Select };
    Ok(search.compose(folded, &listed, &[], 0)?.is_some())
}

/// Whether the identity can write a candidate row in one of the victims' names.
pub fn can_write(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    victims: &[String],
) -> Result<bool, Undecidable> {
    let search = CandidateSearch { probe, command: command(reach) };
    Ok(matches!(search.find(reach, effective, victims)?, Candidate::Passes(_)))
}

/// Searches for a new row with these columns that satisfies a check.
pub(crate) fn find_insert(
    probe: &Probe<'_>,
    check: Qual,
    chosen: &[(i16, pg_sys::Oid, pg_sys::Datum)],
) -> Result<Candidate, Undecidable> {
    find_written(probe, Command::Insert, check, chosen)
}

/// Searches for a row with these columns that a command writes and that satisfies a check.
pub(crate) fn find_written(
    probe: &Probe<'_>,
    command: Command,
    check: Qual,
    chosen: &[(i16, pg_sys::Oid, pg_sys::Datum)],
) -> Result<Candidate, Undecidable> {
    let search = CandidateSearch { probe, command };
    match probe.cache.fold(check.with_choices(chosen).ok_or(Undecidable::WholeRow)?) {
        ConstFolded::True => Ok(Candidate::Passes(Vec::new())),
        ConstFolded::False => Ok(Candidate::NonePasses),
        ConstFolded::Residual(check) => search.passing(check, &[]),
    }
}

/// Quoted column names, separated by commas.
pub fn column_names(probe: &Probe<'_>, columns: &[i16]) -> String {
    let table = probe.table.oid();
    let names: Vec<String> = columns
        .iter()
        .filter_map(|column| lookup::column_name(table, *column))
        .map(quote_identifier)
        .collect();
    names.join(", ")
}

/// Searches the candidate rows of one write command.
struct CandidateSearch<'a> {
    probe: &'a Probe<'a>,
    command: Command,
}

impl<'a> CandidateSearch<'a> {
    /// Searches for a row that this reach lets pass, by changing existing rows or from scratch. The
    /// new owner of a planted or forged row is one of `victims`, or an unused id if there is none.
    fn find(
        &self,
        reach: Reach,
        effective: &Effective,
        victims: &[String],
    ) -> Result<Candidate, Undecidable> {
        let owners = &self.probe.table.owners;
        let unused_id = owners.first().map(|owner| owner.unused_id(1));
        let victims = if victims.is_empty() { unused_id.as_slice() } else { victims };
        let mut result = Candidate::NonePasses;
        for Attempt { rows, using, new_owners } in self.attempts(reach, effective, victims)? {
            // If USING excludes all foreign rows, no change of them can be reached.
            if matches!(rows, Some(RowScope::Foreign)) && self.probe.excludes_foreign_rows(using)? {
                continue;
            }
            let sources = match &rows {
                None => Vec::new(),
                Some(scope) => {
                    let sources = self.probe.find_rows(scope, using, MAX_SOURCE_ROWS, MAX_COST)?;
                    if sources.is_empty() {
                        continue;
                    }
                    sources
                }
            };
            match self.first_passing(effective.check, &new_owners, &sources)? {
                Candidate::Passes(columns) => return Ok(Candidate::Passes(columns)),
                Candidate::NonePasses => {}
                undecided => result = undecided,
            }
        }
        if reach == Reach::Forge && owners.len() > 1 && self.probe.identity.user.is_some() {
            return Ok(self.forge_in_each_column(effective.check, victims)?.unwrap_or(result));
        }
        Ok(result)
    }

    /// The ways to exercise a write reach.
    fn attempts(
        &self,
        reach: Reach,
        effective: &Effective,
        victims: &[String],
    ) -> Result<Vec<Attempt<'a>>, Undecidable> {
        let owners = &self.probe.table.owners;
        let may_write = |owner: &&OwnerColumn| self.probe.may_write(owner.number, self.command);
        let settable: Vec<&OwnerColumn> = owners.iter().filter(may_write).collect();
        let on_foreign_rows = |new_owners: NewOwners<'a>| Attempt {
            rows: Some(RowScope::Foreign),
            using: effective.using,
            new_owners: vec![new_owners],
        };
        let insert = |rows, new_owners| Attempt { rows, using: Qual::ALWAYS, new_owners };
        let mut attempts = Vec::new();
        match reach {
            Reach::Read | Reach::Destroy => {}
            Reach::Tamper => attempts.push(on_foreign_rows(Vec::new())),
            Reach::Forge if owners.is_empty() => attempts.push(insert(None, vec![Vec::new()])),
            Reach::Forge => {
                // Copies of foreign rows keep the combination of owners that the data has; rows
                // from scratch have the victim in every owner column.
                attempts.push(insert(Some(RowScope::Foreign), vec![Vec::new()]));
                let all =
                    |user: &String| owners.iter().map(|owner| (owner, user.clone())).collect();
                attempts.push(insert(None, victims.iter().map(all).collect()));
            }
            Reach::TakeOver => {
                attempts.extend(
                    settable
                        .iter()
                        .filter_map(|owner| Some(on_foreign_rows(vec![self.as_own(owner)?]))),
                );
                let all: NewOwners<'_> =
                    settable.iter().filter_map(|owner| self.as_own(owner)).collect();
                if all.len() > 1 {
                    attempts.push(on_foreign_rows(all));
                }
            }
            Reach::Plant => {
                for owner in settable {
                    let Some(me) = self.as_own(owner) else { continue };
                    let index =
                        owners.iter().position(|other| other.number == owner.number).unwrap_or(0);
                    let own = RowScope::Own(index);
                    // An identity without rows is probed with foreign rows as if it owned them.
                    let (rows, using) =
                        match self.probe.first_row(&own, Qual::ALWAYS, f64::MAX)?.is_some() {
                            true => (own, effective.using),
                            false => (RowScope::Foreign, owner.substitute(effective.using, &me.1)?),
                        };
                    let new_owners =
                        victims.iter().map(|user| vec![(owner, user.clone())]).collect();
                    attempts.push(Attempt { rows: Some(rows), using, new_owners });
                }
            }
        }
        Ok(attempts)
    }

    fn as_own<'b>(&self, owner: &'b OwnerColumn) -> Option<(&'b OwnerColumn, String)> {
        Some((owner, self.probe.identity.user.clone()?))
    }

    /// With several owner columns, another user in one of them can be intended: a message names its
    /// reader. It is a forgery if another user passes in each of them, one at a time.
    fn forge_in_each_column(
        &self,
        check: Qual,
        victims: &[String],
    ) -> Result<Option<Candidate>, Undecidable> {
        let owners = &self.probe.table.owners;
        let mut chosen = Vec::new();
        for victim_column in owners {
            let with_victim = |user: &String| {
                let others = owners.iter().filter(|owner| owner.number != victim_column.number);
                let own = others.filter_map(|owner| self.as_own(owner));
                own.chain([(victim_column, user.clone())]).collect()
            };
            let new_owners: Vec<NewOwners<'_>> = victims.iter().map(with_victim).collect();
            match self.first_passing(check, &new_owners, &[])? {
                Candidate::Passes(columns) => chosen.extend(columns),
                _ => return Ok(None),
            }
        }
        chosen.sort_by_key(|(column, ..)| *column);
        chosen.dedup_by_key(|(column, ..)| *column);
        Ok(Some(Candidate::Passes(chosen)))
    }

    /// The first of the new owners with which a candidate row passes. Equal quals are tried once.
    fn first_passing(
        &self,
        check: Qual,
        new_owners: &[NewOwners<'_>],
        sources: &[RowId],
    ) -> Result<Candidate, Undecidable> {
        let (mut result, mut tried) = (Candidate::NonePasses, Vec::<Qual>::new());
        for new_owners in new_owners {
            let with_owner =
                |check, (owner, user): &(&OwnerColumn, String)| owner.substitute(check, user);
            let check = new_owners.iter().try_fold(check, with_owner)?;
            let check = match self.probe.cache.fold(check) {
                ConstFolded::True => return Ok(Candidate::Passes(Vec::new())),
                ConstFolded::False => continue,
                ConstFolded::Residual(check) => check,
            };
            if tried.iter().any(|known| known.is_same(check)) {
                continue;
            }
            tried.push(check);
            match self.passing(check, sources)? {
                Candidate::Passes(columns) => return Ok(Candidate::Passes(columns)),
                Candidate::NonePasses => {}
                undecided => result = undecided,
            }
        }
        Ok(result)
    }

    /// Searches for a candidate row, changed from one of `sources` or from scratch, that satisfies
    /// a folded qual.
    fn passing(&self, check: Qual, sources: &[RowId]) -> Result<Candidate, Undecidable> {
        let may_set = |column: i16| {
            !self.probe.table.owners.iter().any(|owner| owner.number == column)
                && self.probe.may_write(column, self.command)
        };
        let values = CandidateValues::collect(check, self.probe.table.oid(), &may_set)?;
        // Without a column to choose, the candidates are the existing rows, which were probed
        // before.
        if values.columns.is_empty() && !sources.is_empty() {
            return Ok(Candidate::NonePasses);
        }
        let is_listed = |column: &&Column| !column.values.is_empty();
        let listed: Vec<&Column> = values.columns.iter().filter(is_listed).collect();
        if let Some(chosen) = self.compose(check, &listed, sources, 0)? {
            return Ok(Candidate::Passes(chosen));
        }
        // Columns in expressions with unknown accepting values: copied from existing rows instead.
        let known: Vec<&Column> =
            listed.iter().filter(|column| !column.is_opaque).copied().collect();
        if known.len() < listed.len()
            && let Some(chosen) = self.compose(check, &known, sources, 0)?
        {
            return Ok(Candidate::Passes(chosen));
        }
        if values.residuals() > 0
            && self.compose(values.relax(check), &listed, sources, values.residuals())?.is_some()
        {
            let columns =
                values.columns.iter().filter(|column| column.is_opaque).map(|column| column.number);
            return Ok(Candidate::Undecided(columns.collect()));
        }
        Ok(Candidate::NonePasses)
    }

    /// Composes rows and returns the chosen columns of the first that satisfies a qual. Columns in
    /// `listed` take each of their listed values. Other columns keep the value of a source row, or,
    /// if the writer may set them, take that of any existing row. `residuals` parts of the qual are
    /// taken as true, false and NULL in turn.
    fn compose(
        &self,
        qual: Qual,
        listed: &[&Column],
        sources: &[RowId],
        residuals: usize,
    ) -> Result<Option<Vec<ColumnValue>>, Undecidable> {
        let read = qual.columns().ok_or(Undecidable::WholeRow)?;
        let is_copied = |number: &&i16| {
            **number < CandidateValues::residual_column(0)
                && !listed.iter().any(|column| column.number == **number)
        };
        let copied: Vec<i16> = read.iter().filter(is_copied).copied().collect();
        let mut query = Composition::new(self.probe);
        if !sources.is_empty() {
            query.add_rows("t", sources);
        }
        let copied: Vec<i16> =
            copied.into_iter().filter(|number| !self.keeps_value(*number, sources)).collect();
        if !copied.is_empty() {
            let donors =
                self.probe.find_rows(&RowScope::Any, Qual::ALWAYS, MAX_SOURCE_ROWS, f64::MAX)?;
            if donors.is_empty() {
                return Ok(None);
            }
            query.add_donors(&donors, &copied);
        }
        for column in listed.iter().filter(|column| read.contains(&column.number)) {
            query.add_listed(column);
        }
        for number in 0..residuals {
            query.add_residual(number);
        }
        query.first_row(qual)
    }

    /// Whether an update leaves a column as it is: owner columns, and columns it may not set.
    fn keeps_value(&self, number: i16, sources: &[RowId]) -> bool {
        let is_owner = self.probe.table.owners.iter().any(|owner| owner.number == number);
        !sources.is_empty() && (is_owner || !self.probe.may_write(number, self.command))
    }
}
