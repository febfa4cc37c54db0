//! Probes one reach: which qual a row must satisfy, and whether a foreign row satisfies it.
//!
//! Each function first folds the quals; only if that does not decide the reach, it looks for a row.

use super::probe::{MAX_COST, Probe, ProbeResult};
use super::rows::RowScope;
use crate::pg::catalog::privilege;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security::{Command, Effective, RowQuery, Undecidable};
use crate::rls::model::{Confidence, Reach, Verdict};
use crate::rls::target::owner_column::OwnerColumn;
use pgrx::spi::quote_identifier;

/// Largest table, in estimated rows, that is probed without looking at sampled owners first.
const SMALL_TABLE_ROWS: i64 = 10_000;

/// The command that exercises a reach.
pub fn command(reach: Reach) -> Command {
    match reach {
        Reach::Read => Command::Select,
        Reach::Forge => Command::Insert,
        Reach::Tamper | Reach::TakeOver | Reach::Plant => Command::Update,
        Reach::Destroy => Command::Delete,
    }
}

/// The owner columns (indexes) that a reach is tried by, one at a time; only the first where the
/// column makes no difference.
pub fn owner_columns(probe: &Probe<'_>, reach: Reach) -> std::ops::Range<usize> {
    match reach {
        Reach::TakeOver | Reach::Plant => 0..probe.table.owners.len(),
        _ => 0..1,
    }
}

/// The qual that a row must satisfy to be reached, with the owner column of index `column` set
/// where the reach sets one; `None` if the role lacks the privilege on that column or the reach
/// does not apply.
pub fn reach_qual(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    victim: Option<&str>,
    column: usize,
) -> Result<Option<Qual>, Undecidable> {
    let Effective { using, check } = *effective;
    let (table, role) = (probe.table, probe.identity.role);
    let may_set_owner = |command| {
        table.is_self_test
            || table
                .owners
                .iter()
                .any(|owner| privilege::on_column(role, table.oid(), owner.number, command))
    };
    Ok(match reach {
        Reach::Read | Reach::Destroy => Some(using),
        Reach::Tamper => Some(using.and(check)),
        Reach::Forge if table.owners.is_empty() => Some(check),
        Reach::Forge => may_set_owner(Command::Insert).then_some(check),
        Reach::TakeOver | Reach::Plant => {
            // An identity without a user owns no rows and cannot become an owner.
            let me = probe.identity.user.as_deref();
            let new_owner =
                if reach == Reach::TakeOver { me } else { victim.filter(|_| me.is_some()) };
            let (Some(owner), Some(user)) = (table.owners.get(column), new_owner) else {
                return Ok(None);
            };
            if !privilege::on_column(role, table.oid(), owner.number, Command::Update) {
                return Ok(None);
            }
            Some(using.and(owner.substitute(check, user)?))
        }
    })
}

/// Whether foreign rows satisfy a qual. `owners` are users who own some of them.
pub fn probe_foreign_rows(
    probe: &Probe<'_>,
    qual: Qual,
    owners: &[String],
) -> Result<ProbeResult, Undecidable> {
    let folded = match probe.cache.fold(qual) {
        // True for one account's claims need not mean true for all: a row has to show it.
        ConstFolded::True if probe.identity.is_account => {
            return Ok(match probe.first_row(&RowScope::Foreign, qual, f64::MAX)? {
                Some(row) => ProbeResult::Row(row),
                None => ProbeResult::Verdict(probe.no_row_found(owners)?),
            });
        }
        ConstFolded::True => {
            return Ok(ProbeResult::Verdict(match probe.table.owners.is_empty() {
                true => Verdict::Public(Confidence::Proved),
                false => Verdict::Leak(Confidence::Proved, probe.audience()),
            }));
        }
        ConstFolded::False => return Ok(ProbeResult::Verdict(Verdict::Closed)),
        ConstFolded::Residual(folded) => folded,
    };
    if probe.identity.user.is_some()
        && !probe.table.owners.is_empty()
        && let ConstFolded::Residual(foreign) = probe.foreign_qual()?
        && folded.refutes(foreign)
    {
        return Ok(ProbeResult::Verdict(Verdict::Isolated));
    }
    // Sampled owners first, by index where there is one: only an isolated table is read to its end.
    if !owners.is_empty()
        && probe.table.estimated_rows > SMALL_TABLE_ROWS
        && let Some(row) = probe.first_row(&RowScope::OwnedBy(owners), qual, MAX_COST)?
    {
        return Ok(ProbeResult::Row(row));
    }
    match probe.first_row(&RowScope::Foreign, qual, MAX_COST) {
        Ok(Some(row)) => Ok(ProbeResult::Row(row)),
        Ok(None) => Ok(ProbeResult::Verdict(probe.no_row_found(owners)?)),
        Err(Undecidable::TooExpensive) => Ok(ProbeResult::Verdict(match owners.len() {
            0 => Verdict::from(Undecidable::TooExpensive),
            n => Verdict::Inconclusive(format!(
                "no row of {n} sampled owners is reached; reading all rows would exceed the \
                 cost limit"
            )),
        })),
        Err(reason) => Err(reason),
    }
}

/// Proves from the WITH CHECK qual alone that rows can be inserted in another user's name; `None`
/// if it takes a row or an account to tell.
pub fn prove_forgery(probe: &Probe<'_>, check: Qual) -> Option<Verdict> {
    // True for one account's claims need not mean true for all.
    if probe.identity.is_account || check.has_sub_queries() {
        return None;
    }
    let owners = &probe.table.owners;
    let passes_with = |is_victim: &dyn Fn(usize) -> bool| {
        let mut changed = check;
        for (i, owner) in owners.iter().enumerate() {
            let id = match is_victim(i) {
                true => owner.unused_id(1),
                false => probe.identity.user.clone()?,
            };
            changed = owner.substitute(changed, &id).ok()?;
        }
        let chosen = with_chosen_columns(probe, changed, Command::Insert)?;
        Some(matches!(probe.cache.fold(chosen), ConstFolded::True))
    };
    // With several owner columns, another user in one of them can be intended: a message names its
    // reader. Another user in any of them cannot.
    let passes_in_each =
        owners.len() > 1 && (0..owners.len()).all(|i| passes_with(&|j| i == j) == Some(true));
    // False for an unused id may still be true for the id of a friend, so false proves nothing.
    let is_open = passes_in_each || passes_with(&|_| true)?;
    is_open.then(|| Verdict::Leak(Confidence::Proved, probe.audience()))
}

/// A WITH CHECK qual after the writer has set all columns but the owner columns to values that it
/// accepts; `None` if a value cannot be put in.
pub fn with_chosen_columns(probe: &Probe<'_>, check: Qual, command: Command) -> Option<Qual> {
    let ConstFolded::Residual(folded) = probe.cache.fold(check) else { return Some(check) };
    let table = probe.table.oid();
    let may_set = |column: i16| {
        !probe.table.owners.iter().any(|owner| owner.number == column)
            && privilege::on_column(probe.identity.role, table, column, command)
            && !privilege::is_generated(table, column)
    };
    check.with_choices(&folded.choices(&may_set))
}

/// Whether foreign rows can be updated if the writer also sets other columns as the policies
/// require. Returns the result and its qual; `None` if not.
pub fn probe_changed_rows(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    owners: &[String],
    column: usize,
) -> Result<Option<(ProbeResult, Qual)>, Undecidable> {
    let mut check = effective.check;
    if reach == Reach::TakeOver {
        let (Some(owner), Some(me)) = (probe.table.owners.get(column), &probe.identity.user) else {
            return Ok(None);
        };
        check = owner.substitute(check, me)?;
    }
    let Some(chosen) = with_chosen_columns(probe, check, Command::Update) else { return Ok(None) };
    let qual = effective.using.and(chosen);
    let result = probe_foreign_rows(probe, qual, owners)?;
    Ok((!result.is_safe()).then_some((result, qual)))
}

/// Whether own rows can be given to one of the victims, or to an unused id if there is none.
/// Returns the first unsafe result, else the worst one, and its qual; `None` if the reach does not
/// apply.
pub fn probe_plant_on_any(
    probe: &Probe<'_>,
    effective: &Effective,
    victims: &[String],
) -> Result<Option<(ProbeResult, Qual)>, Undecidable> {
    let unused_id = probe.table.owners.first().map(|owner| owner.unused_id(1));
    let victims = if victims.is_empty() { unused_id.as_slice() } else { victims };
    let mut worst: Option<(ProbeResult, Qual)> = None;
    let columns = owner_columns(probe, Reach::Plant);
    for (column, victim) in
        columns.flat_map(|column| victims.iter().map(move |victim| (column, victim)))
    {
        let qual = reach_qual(probe, Reach::Plant, effective, Some(victim), column)?;
        let Some(qual) = qual else { continue };
        let result = probe_plant(probe, effective, victim, column)?;
        if !result.is_safe() {
            return Ok(Some((result, qual)));
        }
        if worst.as_ref().is_none_or(|(known, _)| result.is_worse_than(known)) {
            worst = Some((result, qual));
        }
    }
    Ok(worst)
}

/// Whether own rows can be given to a victim by one owner column.
pub fn probe_plant(
    probe: &Probe<'_>,
    effective: &Effective,
    victim: &str,
    column: usize,
) -> Result<ProbeResult, Undecidable> {
    let own_rows = RowScope::Own(column);
    let proved = || Ok(ProbeResult::Verdict(Verdict::Leak(Confidence::Proved, probe.audience())));
    let Some(qual) = reach_qual(probe, Reach::Plant, effective, Some(victim), column)? else {
        return Ok(ProbeResult::Verdict(Verdict::Closed));
    };
    let folded = probe.cache.fold(qual);
    if !matches!(folded, ConstFolded::False)
        && let Some(owner) = probe.table.owners.get(column)
        && owner.is_read_otherwise(effective.check)
    {
        return Ok(ProbeResult::Verdict(undecided_owner(owner)));
    }
    match folded {
        ConstFolded::False => return Ok(ProbeResult::Verdict(Verdict::Isolated)),
        ConstFolded::True if !probe.identity.is_account && !qual.has_sub_queries() => {
            return proved();
        }
        ConstFolded::True => {}
        ConstFolded::Residual(folded) => {
            let Some((sql, parameters)) = probe.query(&own_rows)? else {
                return Ok(ProbeResult::Verdict(Verdict::Closed));
            };
            let own = RowQuery { sql: &sql, parameters };
            // Proved if ownership implies the rest: own rows are reached and nothing else is
            // checked.
            if !probe.identity.is_account
                && !qual.has_sub_queries()
                && let ConstFolded::Residual(own) = own.condition()?.fold(&own.parameters)
                && own.implies(folded)
            {
                return proved();
            }
        }
    }
    if probe.first_row(&own_rows, Qual::ALWAYS, f64::MAX)?.is_some() {
        return Ok(match probe.first_row(&own_rows, qual, MAX_COST)? {
            Some(row) => ProbeResult::Row(row),
            None => ProbeResult::Verdict(Verdict::IsolatedIn(1)),
        });
    }
    // An identity without rows is probed with foreign rows as if it owned them.
    let owner = probe.table.owners.get(column).zip(probe.identity.user.as_deref());
    let (owner, me) = owner.ok_or(Undecidable::WholeRow)?;
    let using = owner.substitute(effective.using, me)?;
    let as_own = using.and(owner.substitute(effective.check, victim)?);
    Ok(match probe.first_row(&RowScope::Foreign, as_own, MAX_COST)? {
        Some(row) => ProbeResult::Row(row),
        None => ProbeResult::Verdict(Verdict::IsolatedIn(probe.table.estimated_rows)),
    })
}

/// INCONCLUSIVE, because the policies on new rows also read the column of an owner expression in
/// another way. The writer chooses the rest of that column.
fn undecided_owner(owner: &OwnerColumn) -> Verdict {
    Verdict::Inconclusive(format!(
        "the policies read {} in more than one way, so no candidate row with another owner decides",
        quote_identifier(&owner.name)
    ))
}

/// Turns a result that rests on a new owner into INCONCLUSIVE, unless the quals prove it safe, if
/// the policies on new rows also read the column of the owner in another way.
pub fn doubt_new_owner(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    result: ProbeResult,
) -> ProbeResult {
    let sets_owner = matches!(reach, Reach::TakeOver | Reach::Plant | Reach::Forge);
    let is_proved = |result: &ProbeResult| {
        matches!(
            result,
            ProbeResult::Verdict(Verdict::Isolated | Verdict::Closed | Verdict::Inconclusive(_))
        )
    };
    if !sets_owner || is_proved(&result) {
        return result;
    }
    let is_doubtful = |owner: &&OwnerColumn| owner.is_read_otherwise(effective.check);
    match probe.table.owners.iter().find(is_doubtful) {
        Some(owner) => ProbeResult::Verdict(undecided_owner(owner)),
        None => result,
    }
}
