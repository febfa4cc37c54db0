//! Examines one table as every identity: probes each reach and judges the results.

use super::attribution::{classify_candidate, classify_foreign_row, responsible_policies};
use super::candidate_rows::{admits_future_row, try_candidates};
use super::cell::Cell;
use super::examination::Examination;
use super::probe::{NO_FOREIGN_ROWS, Probe, ProbeResult};
use super::reach_probe;
use super::reach_probe::{
    command, probe_changed_rows, probe_foreign_rows, probe_plant_on_any, prove_forgery, reach_qual,
};
use super::rows::RowScope;
use crate::pg::catalog::privilege;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::redact::redacted;
use crate::pg::rewrite::row_security::{Effective, RowQuery, Undecidable};
use crate::pg::xact::timeout::Stopped;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::identity::{Identity, masked};
use crate::rls::target::policy::{ClauseFacts, Policy};

/// How many owners of a table's rows are sampled.
pub(crate) const OWNER_SAMPLE: usize = 6;
/// How many accounts each table is examined as.
const EXAMINED_ACCOUNTS: usize = 2;

/// The result of probing one reach as one identity, with the quals for the report.
pub(crate) struct ReachOutcome {
    pub(crate) result: ProbeResult,
    using: Qual,
    check: Qual,
    /// The qual that the result is about.
    qual: Qual,
    /// A remark on a result without a row; may be empty.
    note: &'static str,
}

/// The note of a leak that no existing row shows.
pub(crate) const FUTURE_ROW: &str = "the table has no such row yet";

/// Samples the owners of the table and returns the cells of requests without claims.
///
/// The audit calls this for all tables before any other identity: once a session has set a custom
/// setting, current_setting never again answers NULL for it.
pub fn cells_without_claims(
    examination: &mut Examination<'_>,
    accounts: &mut AccountPool,
) -> Result<Vec<Cell>, RlsError> {
    let (table, application) = (examination.table, examination.application);
    let owners = table.sample_owners(application, OWNER_SAMPLE)?;
    examination.owners = accounts.load_existing(application, owners)?;
    let mut cells = Vec::new();
    add_cells_without_claims(examination, &mut cells, accounts);
    Ok(cells)
}

/// The cells of all identities, for a comparison with those of an earlier examination. The owners
/// must be those of the earlier one, so that the same accounts are examined.
pub fn cells_again(examination: &Examination<'_>, accounts: &mut AccountPool) -> Vec<Cell> {
    let mut cells = Vec::new();
    add_cells_without_claims(examination, &mut cells, accounts);
    add_remaining_cells(examination, &mut cells, accounts);
    add_cells_with_settings(examination, &mut cells, accounts);
    cells
}

/// Adds the cells of requests without claims.
fn add_cells_without_claims(
    examination: &Examination<'_>,
    cells: &mut Vec<Cell>,
    accounts: &mut AccountPool,
) {
    let application = examination.application;
    for (role_index, role) in application.roles.iter().enumerate() {
        let identity = application.without_claims(role);
        examine_as(examination, role_index, &identity, cells, accounts);
    }
}

/// Adds the cells of requests with tried values of settings. The audit calls this for all tables
/// last: other requests then find these settings as the session has left them.
pub fn add_cells_with_settings(
    examination: &Examination<'_>,
    cells: &mut Vec<Cell>,
    accounts: &mut AccountPool,
) {
    let application = examination.application;
    for (role_index, role) in application.roles.iter().enumerate() {
        let tried = examination.claims.assignments.iter().filter(|tried| tried.has_settings());
        for assignment in tried.filter(|_| !role.is_anonymous) {
            let identity = application.with_claims(role, assignment);
            examine_as(examination, role_index, &identity, cells, accounts);
        }
    }
}

/// Adds the cells of all other identities.
pub fn add_remaining_cells(
    examination: &Examination<'_>,
    cells: &mut Vec<Cell>,
    accounts: &mut AccountPool,
) {
    let application = examination.application;
    let reads = |claim| examination.facts.iter().any(|clause| clause.reads_claim(claim));
    let (reads_aal, reads_is_anonymous) = (reads("aal"), reads("is_anonymous"));
    for (role_index, role) in application.roles.iter().enumerate() {
        let mut identities = vec![application.anon_key(role)];
        if !role.is_anonymous {
            identities.push(application.new_account(role));
            identities.extend(reads_aal.then(|| application.second_factor(role)));
            identities.extend(reads_is_anonymous.then(|| application.anonymous_sign_in(role)));
            let with_claims = |assignment| application.with_claims(role, assignment);
            let tried = examination.claims.assignments.iter().filter(|tried| !tried.has_settings());
            identities.extend(tried.map(with_claims));
            if role.is_client && !examination.table.owners.is_empty() {
                let account = |id: String| accounts.identity(application, role, &id);
                identities
                    .extend(examined_accounts(examination, accounts).into_iter().map(account));
            }
        }
        for identity in &identities {
            examine_as(examination, role_index, identity, cells, accounts);
        }
    }
}

/// Ids of the accounts to examine the table as: owners of rows first.
fn examined_accounts(examination: &Examination<'_>, accounts: &AccountPool) -> Vec<String> {
    let mut ids: Vec<String> = examination.owners.clone();
    ids.extend(accounts.sample.iter().filter(|id| !examination.owners.contains(id)).cloned());
    ids.truncate(EXAMINED_ACCOUNTS);
    ids
}

/// Adds the cells of one identity. `role_index` is the place of its role in `Application::roles`.
fn examine_as(
    examination: &Examination<'_>,
    role_index: usize,
    identity: &Identity,
    cells: &mut Vec<Cell>,
    accounts: &mut AccountPool,
) {
    let table = examination.table;
    let is_client = examination.application.roles[role_index].is_client;
    if privilege::is_exempt(table.oid(), identity.role) && table.is_secured {
        // The exemption of another role, such as the owner, is no finding.
        if !is_client {
            return;
        }
        cells.push(new_cell(identity, Reach::Read, Verdict::Exempt));
        return;
    }
    for reach in Reach::ALL {
        let is_allowed = table.allows(role_index, command(reach));
        let is_latent = || is_client && may_be_latent(examination, identity, reach);
        if !is_allowed && !is_latent() {
            continue;
        }
        // A leak to any new account includes the accounts that follow.
        let is_known = |cell: &Cell| {
            cell.reach == reach
                && cell.role == identity.role
                && matches!(cell.verdict, Verdict::Leak(_, Audience::AnyAccount))
        };
        if identity.user.is_some() && cells.iter().any(is_known) {
            continue;
        }
        match probe_reach(examination, identity, reach) {
            Ok(Some(outcome)) => {
                let mut cell = judge(examination, identity, reach, outcome, accounts);
                apply_trigger_caveat(examination, &mut cell);
                if !is_allowed {
                    let Verdict::Leak(..) = cell.verdict else { continue };
                    cell.verdict = Verdict::NoAccess;
                } else if is_granted(examination, identity, is_client, &cell) {
                    cell.verdict = Verdict::Granted;
                }
                // A value of a claim that opens nothing says nothing.
                let is_safe = cell.verdict.is_safe();
                let is_granted = identity.is_privileged || identity.is_scope;
                if !(is_granted && is_safe) {
                    cells.push(cell);
                }
            }
            Ok(None) => {}
            Err(_) if !is_allowed => {}
            // An error without claims closes the table to sessions that no user has.
            Err(Verdict::Failing(_))
                if identity.user.is_none() && identity.audience == Audience::Session => {}
            // The value may be none of the claim's type.
            Err(Verdict::Failing(_)) if identity.is_tried => {}
            Err(verdict) => cells.push(new_cell(identity, reach, verdict)),
        }
    }
}

/// Whether a reach that the role has no privilege for is examined: if policies address the role.
fn may_be_latent(examination: &Examination<'_>, identity: &Identity, reach: Reach) -> bool {
    !identity.is_account
        && !identity.is_privileged
        && examination.table.is_secured
        && !examination.table.owners.is_empty()
        && matches!(reach, Reach::Read | Reach::Tamper | Reach::Destroy)
        && examination
            .policies
            .iter()
            .any(|policy| policy.is_permissive && policy.applies_to(command(reach), identity.role))
}

/// Whether the policies grant a reach to this role or claim alone, so that it is no leak.
fn is_granted(
    examination: &Examination<'_>,
    identity: &Identity,
    is_client: bool,
    cell: &Cell,
) -> bool {
    if !matches!(cell.verdict, Verdict::Leak(..) | Verdict::Public(_)) {
        return false;
    }
    // Policies that name a role and admit every row to it.
    let is_for_role = |policy: &Policy| {
        let is_of = |clause: &&ClauseFacts| clause.policy == policy.oid;
        let mut clauses = examination.facts.iter().filter(is_of).peekable();
        policy.roles.contains(&identity.role)
            && clauses.peek().is_some()
            && clauses.all(|clause| clause.constant == Some("true"))
    };
    identity.is_privileged
        || identity.is_scope && matches!(cell.reach, Reach::Forge | Reach::Plant)
        || !is_client
            && !cell.responsible_policies.is_empty()
            && cell.responsible_policies.iter().all(is_for_role)
}

/// Lowers the confidence of a leak to SUSPECTED if a trigger may prevent it.
fn apply_trigger_caveat(examination: &Examination<'_>, cell: &mut Cell) {
    let Some(caveat) = examination.table.trigger_caveat(cell.reach) else { return };
    let (Verdict::Leak(confidence, _) | Verdict::Public(confidence)) = &mut cell.verdict else {
        return;
    };
    *confidence = Confidence::Suspected;
    cell.add(&caveat);
}

/// A cell without evidence.
pub(crate) fn new_cell(identity: &Identity, reach: Reach, verdict: Verdict) -> Cell {
    Cell {
        identity: identity.label.clone(),
        role: identity.role,
        has_user: identity.user.is_some(),
        reach,
        verdict,
        using: String::new(),
        check: String::new(),
        responsible_policies: Vec::new(),
        evidence: String::new(),
        is_by_parent: false,
    }
}

/// Probes one reach as one identity, for at most `PROBE_TIMEOUT_MS`; `None` if it does not apply.
pub(crate) fn probe_reach(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
) -> Result<Option<ReachOutcome>, Verdict> {
    let probe = examination.probe(identity);
    let others = examination.other_owners(identity);
    let answer =
        identity.act_within(PROBE_TIMEOUT_MS, || -> Result<Option<ReachOutcome>, Undecidable> {
            let effective = examination.effective(identity, reach)?;
            let on_existing_rows = match reach {
                Reach::Plant => {
                    probe_plant_on_any(&probe, &effective, &examination.victims(&others))?
                }
                _ => probe_existing_rows(&probe, reach, &effective, &others)?,
            };
            let Some((result, qual)) = on_existing_rows else { return Ok(None) };
            let result = try_candidates(&probe, reach, &effective, &others, result)?;
            let result = match result.is_safe() && !identity.is_account {
                true => at_any_time(&probe, reach, &effective, &others, result)?,
                false => result,
            };
            let (result, note) = match is_about_future_rows(&probe, reach, &result) {
                true if admits_future_row(&probe, qual, &team_columns(examination))? => {
                    let verdict = match probe.table.owners.is_empty() {
                        true => Verdict::Public(Confidence::Suspected),
                        false => Verdict::Leak(Confidence::Suspected, probe.audience()),
                    };
                    (ProbeResult::Verdict(verdict), FUTURE_ROW)
                }
                _ => (result, ""),
            };
            let result = reach_probe::doubt_new_owner(&probe, reach, &effective, result);
            probe.run_sub_queries(&effective)?;
            let me = identity.user.as_deref();
            let folded = |qual: Qual| match probe.cache.fold(qual) {
                ConstFolded::True => Qual::ALWAYS,
                ConstFolded::False => Qual::never(),
                ConstFolded::Residual(folded) => redacted(folded, qual, me),
            };
            Ok(Some(ReachOutcome {
                result,
                using: folded(effective.using),
                check: folded(effective.check),
                qual,
                note,
            }))
        });
    match answer {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(reason)) => Err(reason.into()),
        Err(Stopped::TimedOut(ms)) => {
            Err(Verdict::Inconclusive(format!("the policies were canceled after {ms} ms")))
        }
        Err(Stopped::Failed(failure)) if failure.is_sandbox_violation() => {
            Err(Verdict::Inconclusive(format!(
                "the policies do something that the audit does not allow: {}",
                failure.redacted_message()
            )))
        }
        Err(Stopped::Failed(failure)) if failure.is_transient() => Err(Verdict::Inconclusive(
            format!("the probe failed with a transient error: {}", failure.redacted_message()),
        )),
        Err(Stopped::Failed(failure))
            if failure.is_stack_overflow()
                && !overflows_as_request(examination, identity, reach) =>
        {
            let why = failure.redacted_message();
            Err(Verdict::Inconclusive(format!("the expression is too deep to analyse: {why}")))
        }
        Err(Stopped::Failed(failure)) => {
            let why = failure.redacted_message();
            Err(match examination.emptied_setting(identity) {
                Some(setting) => Verdict::Inconclusive(format!(
                    "the policies fail with {why} while the setting {setting} is empty, as this \
                     session has set it before; audit in a new session"
                )),
                None => Verdict::Failing(why),
            })
        }
    }
}

/// Whether no existing row can decide about a reach of rows that exist.
fn is_about_future_rows(probe: &Probe<'_>, reach: Reach, result: &ProbeResult) -> bool {
    let ProbeResult::Verdict(Verdict::Inconclusive(why)) = result else { return false };
    matches!(reach, Reach::Read | Reach::Tamper | Reach::Destroy)
        && !probe.identity.is_account
        && why == NO_FOREIGN_ROWS
}

/// The columns of the table that policies compare with a claim or a setting.
fn team_columns(examination: &Examination<'_>) -> Vec<i16> {
    let table = examination.table.oid().to_u32();
    let claims = examination.facts.iter().flat_map(|clause| clause.claims.values());
    let mut columns: Vec<i16> = claims
        .flat_map(|uses| &uses.columns)
        .filter(|(relation, _)| *relation == table)
        .map(|(_, column)| *column)
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// A safe result, unless it is safe only because of the time: then INCONCLUSIVE.
fn at_any_time(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    others: &[String],
    result: ProbeResult,
) -> Result<ProbeResult, Undecidable> {
    if !effective.using.reads_time() && !effective.check.reads_time() {
        return Ok(result);
    }
    let later =
        Effective { using: effective.using.at_any_time(), check: effective.check.at_any_time() };
    let found = match reach {
        // The victims are those of the result.
        Reach::Plant => probe_plant_on_any(probe, &later, others)?,
        _ => probe_existing_rows(probe, reach, &later, others)?,
    };
    let Some((found, _)) = found else { return Ok(result) };
    Ok(match try_candidates(probe, reach, &later, others, found)?.is_safe() {
        true => result,
        false => ProbeResult::Verdict(Verdict::Inconclusive(
            "closed at present, but a policy reads the time".to_owned(),
        )),
    })
}

/// Whether the policies exhaust the stack in a request, too: a function that calls itself for ever.
/// The audit needs more stack than the server for the same expression, so its own overflow is not
/// evidence.
fn overflows_as_request(examination: &Examination<'_>, identity: &Identity, reach: Reach) -> bool {
    let probe = examination.probe(identity);
    let answer = identity.act_within(PROBE_TIMEOUT_MS, || -> Result<(), Undecidable> {
        let Effective { using, check } = examination.effective(identity, reach)?;
        let Some((sql, parameters)) = probe.query(&RowScope::Any)? else { return Ok(()) };
        RowQuery { sql: &sql, parameters }.rows(using.and(check), 1, f64::MAX).map(|_| ())
    });
    matches!(answer, Err(Stopped::Failed(failure)) if failure.is_stack_overflow())
}

/// Evaluates existing rows, changing only the owner column and columns that the policy compares
/// with constants. Returns the worst result and its qual; `None` if the reach does not apply.
fn probe_existing_rows(
    probe: &Probe<'_>,
    reach: Reach,
    effective: &Effective,
    other_owners: &[String],
) -> Result<Option<(ProbeResult, Qual)>, Undecidable> {
    let mut worst: Option<(ProbeResult, Qual)> = None;
    for column in reach_probe::owner_columns(probe, reach) {
        let Some(qual) = reach_qual(probe, reach, effective, None, column)? else { continue };
        let mut proved = None;
        if reach == Reach::Forge && !probe.table.owners.is_empty() {
            proved = prove_forgery(probe, effective.check).map(ProbeResult::Verdict);
        }
        let result = match proved {
            Some(result) => result,
            None => probe_foreign_rows(probe, qual, other_owners)?,
        };
        // Only for identities that are no account: an account's choice may be special to it.
        let changed = match reach {
            Reach::Tamper | Reach::TakeOver if result.is_safe() && !probe.identity.is_account => {
                probe_changed_rows(probe, reach, effective, other_owners, column)?
            }
            _ => None,
        };
        let (result, qual) = changed.unwrap_or((result, qual));
        if worst.as_ref().is_none_or(|(known, _)| result.is_worse_than(known)) {
            worst = Some((result, qual));
        }
        if worst.as_ref().is_some_and(|(result, _)| !result.is_safe()) {
            break;
        }
    }
    Ok(worst)
}

/// Turns the outcome of a probe into a cell, with the audience and the responsible policies.
fn judge(
    examination: &Examination<'_>,
    identity: &Identity,
    reach: Reach,
    outcome: ReachOutcome,
    accounts: &mut AccountPool,
) -> Cell {
    let table = examination.table.oid();
    let mut cell = new_cell(identity, reach, Verdict::Closed);
    let to_sql = |qual: Qual| match &identity.user {
        // Reports mask user ids.
        Some(user) => with_masked_user(&qual.to_sql(table), user),
        None => qual.to_sql(table),
    };
    (cell.using, cell.check) = (to_sql(outcome.using), to_sql(outcome.check));
    let mut row = None;
    (cell.verdict, cell.evidence) = match outcome.result {
        ProbeResult::Verdict(verdict) => (verdict, outcome.note.to_owned()),
        ProbeResult::Candidate(chosen) => {
            classify_candidate(examination, identity, reach, &chosen, accounts)
        }
        ProbeResult::Row(found) => {
            row = Some(found);
            classify_foreign_row(examination, identity, reach, found, outcome.qual, accounts)
        }
    };
    if let Verdict::Leak(..) | Verdict::Public(_) = cell.verdict {
        cell.responsible_policies = responsible_policies(examination, identity, reach, row);
    }
    cell
}

/// SQL text with a user id replaced by its mask. A numeric id is replaced only where it is not part
/// of a longer number or name.
fn with_masked_user(sql: &str, user: &str) -> String {
    let masked = masked(user);
    if user.chars().all(|c| c.is_ascii_digit() || c == '-') {
        let is_part = |c: Option<char>| {
            c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'))
        };
        let mut text = String::new();
        let mut rest = sql;
        while let Some(start) = rest.find(user) {
            let (before, after) = (&rest[..start], &rest[start + user.len()..]);
            text += before;
            let is_whole = !is_part(before.chars().last().or(text.chars().last()))
                && !is_part(after.chars().next());
            text += if is_whole { &masked } else { user };
            rest = after;
        }
        return text + rest;
    }
    sql.replace(user, &masked)
}
