//! Determines who else reaches a row that one identity reaches, and which policies let them.

use super::candidate_rows;
use super::examination::Examination;
use super::probe::MAX_COST;
use super::reach_probe;
use super::reach_probe::{command, probe_plant_on_any, reach_qual, with_chosen_columns};
use super::rows::{ColumnValue, RowId, RowScope};
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security::{Effective, Undecidable};
use crate::pg::xact::timeout::Stopped;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::identity::Identity;
use crate::rls::target::policy::Policy;
use crate::rls::target::roles::Role;

/// Most other accounts that a row or a candidate row is tried with.
const MAX_OTHERS: usize = 4;

/// Classifies a foreign row that an identity reaches: a leak to all, or a row that is shared with
/// it. Returns the verdict and its evidence.
pub fn classify_foreign_row(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
    row: RowId,
    qual: Qual,
    accounts: &mut AccountPool,
) -> (Verdict, String) {
    let observed = Confidence::Observed;
    if examination.table.owners.is_empty() {
        return (Verdict::Public(observed), format!("{} reached a row", identity.label));
    }
    if identity.user.is_none() {
        let evidence = format!("{} reached a row of a user", identity.label);
        return (Verdict::Leak(observed, identity.audience), evidence);
    }
    let Some(role) = examination.role(identity) else { return (Verdict::Shared, String::new()) };
    if !identity.is_account {
        let evidence = format!("{} reached a row of another user", identity.label);
        return (Verdict::Leak(observed, identity.audience), evidence);
    }
    let mut tried = Vec::new();
    let mut reached = 0;
    let others: Vec<String> = examination.owners.iter().chain(&accounts.sample).cloned().collect();
    for id in others {
        if Some(id.as_str()) == identity.user.as_deref()
            || tried.contains(&id)
            || tried.len() == MAX_OTHERS
        {
            continue;
        }
        let other = accounts.identity(examination.application, role, &id);
        match reaches_row(examination, &other, reach, row) {
            // The row's owner reaches it in any case, which shows nothing.
            Ok(None) | Err(_) => continue,
            Ok(Some(does)) => {
                reached += usize::from(does);
                tried.push(id);
                if !does {
                    break;
                }
            }
        }
    }
    if !tried.is_empty() && reached == tried.len() {
        // A team's document names its creator, which its members may correct.
        if reach == Reach::Plant && examination.table.owners.iter().all(|owner| owner.is_audit) {
            return (Verdict::Shared, "only a creator is known to own the row".to_owned());
        }
        let evidence = format!(
            "{} and {} other users reached the same row of another user",
            identity.label, reached
        );
        return (Verdict::Leak(observed, Audience::EveryUser), evidence);
    }
    // If no other account could be tried, a qual that ignores the row still shows that all rows are
    // reached.
    if tried.is_empty() && has_row_independent_arm(examination, identity, qual) {
        let evidence = format!(
            "{} reached a row of another user through a condition that does not depend on the row",
            identity.label
        );
        return (Verdict::Leak(observed, Audience::EveryUser), evidence);
    }
    classify_by_team(examination, (identity, role), reach, qual, accounts)
}

/// Decides whether a row that not every user reaches is shared within the identity's teams.
///
/// A leak is suspected if members of several teams reach the row who share no team with the
/// identity or with each other: then no team explains the access.
fn classify_by_team(
    examination: &Examination<'_>,
    (identity, role): (&Identity, &Role),
    reach: Reach,
    qual: Qual,
    accounts: &mut AccountPool,
) -> (Verdict, String) {
    let shared = |more: String| (Verdict::Shared, format!("not every user reaches it{more}"));
    let teams = accounts.teams(examination.application);
    let outsiders = identity.user.as_ref().and_then(|me| teams.outsiders(me));
    let Some((members, outsiders)) = outsiders.filter(|(_, outsiders)| !outsiders.is_empty())
    else {
        return shared(String::new());
    };
    let probe = examination.probe(identity);
    let search = || probe.first_row(&RowScope::OwnedBy(&outsiders), qual, MAX_COST);
    let row = match identity.act_within(PROBE_TIMEOUT_MS, search) {
        Err(_) | Ok(Err(_)) => return shared(String::new()),
        Ok(Ok(None)) => {
            return shared(format!(
                "; no row is reached of the {} users who share no team with the identity in {}",
                outsiders.len(),
                members.table
            ));
        }
        Ok(Ok(Some(row))) => row,
    };
    let reached: Vec<bool> = members
        .without_shared_team(&outsiders)
        .iter()
        .filter_map(|id| {
            let other = accounts.identity(examination.application, role, id);
            reaches_row(examination, &other, reach, row).ok().flatten()
        })
        .collect();
    if reached.len() >= 2 && reached.iter().all(|does| *does) {
        let evidence = format!(
            "{} and {} others, no two of whom share a team in {}, \
             reached the same row of another user",
            identity.label,
            reached.len(),
            members.table
        );
        return (Verdict::Leak(Confidence::Suspected, Audience::EveryUser), evidence);
    }
    shared(format!(
        "; the identity also reaches a row of a user who shares no team with it in {}",
        members.table
    ))
}

/// Classifies a candidate row that an identity can write: a leak to all, or only to some.
pub(crate) fn classify_candidate(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
    chosen: &[ColumnValue],
    accounts: &mut AccountPool,
) -> (Verdict, String) {
    let observed = Confidence::Observed;
    let columns: Vec<i16> = chosen.iter().map(|(column, ..)| *column).collect();
    let ability =
        match candidate_rows::column_names(&examination.probe(identity), &columns).as_str() {
            "" => "could write such a row".to_owned(),
            columns => format!("could write such a row, choosing {columns}"),
        };
    let evidence = format!("{} {ability}", identity.label);
    if examination.table.owners.is_empty() {
        return (Verdict::Public(observed), evidence);
    }
    let Some(role) = examination.role(identity) else { return (Verdict::Shared, String::new()) };
    let Some(me) = &identity.user else {
        return (Verdict::Leak(observed, identity.audience), evidence);
    };
    if !identity.is_account {
        return (Verdict::Leak(observed, identity.audience), evidence);
    }
    let (mut tried, mut able) = (Vec::new(), 0);
    for id in examination.owners.iter().chain(&accounts.sample) {
        if id == me || tried.contains(&id) || tried.len() == MAX_OTHERS {
            continue;
        }
        let other = accounts.identity(examination.application, role, id);
        let Ok(Ok(does)) = can_write_candidate(examination, &other, reach, chosen) else {
            continue;
        };
        tried.push(id);
        able += usize::from(does);
        if able < tried.len() {
            break;
        }
    }
    if able > 0 && able == tried.len() {
        let evidence = format!("{evidence}, and so could {able} other users");
        return (Verdict::Leak(observed, Audience::EveryUser), evidence);
    }
    (Verdict::Shared, format!("not every user {ability}"))
}

/// Whether an identity can write a row with the same chosen columns.
fn can_write_candidate(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
    chosen: &[ColumnValue],
) -> Result<Result<bool, Undecidable>, Stopped> {
    let probe = examination.probe(identity);
    let others = examination.other_owners(identity);
    identity.act_within(PROBE_TIMEOUT_MS, || {
        let Effective { using, check } = examination.effective(identity, reach)?;
        let with_chosen = |check: Qual, (column, type_, value): &ColumnValue| {
            check.substitute_nullable(*column, *type_, *value)
        };
        let check = chosen.iter().try_fold(check, with_chosen).ok_or(Undecidable::WholeRow)?;
        candidate_rows::can_write(&probe, reach, &Effective { using, check }, &others)
    })
}

/// Whether an identity reaches a row that it does not own; `None` if it owns the row. `Err` is the
/// reason why that is INCONCLUSIVE.
pub fn reaches_row(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
    row: RowId,
) -> Result<Option<bool>, String> {
    let probe = examination.probe(identity);
    let answer = identity.act_within(PROBE_TIMEOUT_MS, || -> Result<Option<bool>, Undecidable> {
        let effective = examination.effective(identity, reach)?;
        if reach == Reach::Plant {
            let victims = examination.victims(&examination.other_owners(identity));
            let planted = probe_plant_on_any(&probe, &effective, &victims)?;
            return Ok(Some(planted.is_some_and(|(result, _)| !result.is_safe())));
        }
        probe.run_sub_queries(&effective)?;
        if probe.is_own(row)? {
            return Ok(None);
        }
        for column in reach_probe::owner_columns(&probe, reach) {
            let Some(qual) = reach_qual(&probe, reach, &effective, None, column)? else { continue };
            if probe.first_row(&RowScope::At(row), qual, f64::MAX)?.is_some() {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    });
    answer.map_err(|stopped| stopped.to_string())?.map_err(|reason| reason.to_string())
}

/// Whether an arm of the qual's OR is true for foreign rows without reading the row.
fn has_row_independent_arm(examination: &Examination<'_>, identity: &Identity, qual: Qual) -> bool {
    let probe = examination.probe(identity);
    let answer = identity.act_within(PROBE_TIMEOUT_MS, || -> Result<bool, Undecidable> {
        let ConstFolded::Residual(folded) = probe.cache.fold(qual) else { return Ok(true) };
        for arm in folded.alternatives() {
            if !arm.reads_row() && probe.first_row(&RowScope::Foreign, arm, MAX_COST)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    });
    matches!(answer, Ok(Ok(true)))
}

/// The permissive policies that each let the reach through, or all that apply if none does alone.
/// `row` is the reached row, if there is one.
pub fn responsible_policies(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
    row: Option<RowId>,
) -> Vec<Policy> {
    let table = examination.table;
    if !table.is_secured {
        return Vec::new();
    }
    let probe = examination.probe(identity);
    let is_about_new = matches!(reach, Reach::Forge | Reach::TakeOver | Reach::Plant);
    let is_candidate =
        |policy: &&Policy| policy.is_permissive && policy.applies_to(command(reach), identity.role);
    let applicable: Vec<&Policy> = examination.policies.iter().filter(is_candidate).collect();
    let lets_through = |policy: &Policy| {
        let answer = identity.act_within(PROBE_TIMEOUT_MS, || -> Result<bool, Undecidable> {
            let Some(mut qual) = policy.qual(&table.named, is_about_new)? else { return Ok(false) };
            if is_about_new {
                for owner in &table.owners {
                    let user = match reach {
                        Reach::TakeOver => identity.user.clone(),
                        _ => Some(owner.unused_id(1)),
                    };
                    let Some(user) = user else { break };
                    qual = owner.substitute(qual, &user).unwrap_or(qual);
                }
            }
            match probe.cache.fold(qual) {
                ConstFolded::True => Ok(true),
                ConstFolded::False => Ok(false),
                ConstFolded::Residual(_) => match row {
                    Some(row) => Ok(probe.first_row(&RowScope::At(row), qual, f64::MAX)?.is_some()),
                    None if is_about_new => {
                        let chosen = with_chosen_columns(&probe, qual, command(reach));
                        Ok(chosen.is_some_and(|chosen| {
                            matches!(probe.cache.fold(chosen), ConstFolded::True)
                        }))
                    }
                    None => Ok(false),
                },
            }
        });
        matches!(answer, Ok(Ok(true)))
    };
    let responsible: Vec<Policy> = applicable
        .iter()
        .filter(|policy| lets_through(policy))
        .map(|policy| (*policy).clone())
        .collect();
    if responsible.is_empty() { applicable.into_iter().cloned().collect() } else { responsible }
}
