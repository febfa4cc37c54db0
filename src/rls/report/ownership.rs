//! Findings about tables whose owners are unknown, and about rows that related users write.

use crate::rls::engine::cell::{Cell, worst_cells};
use crate::rls::engine::reach_probe::command;
use crate::rls::model::{Confidence, Finding, Reach, Severity, Verdict};
use crate::rls::target::policy::{ClauseFacts, Policy};
use crate::rls::target::table::Table;
use crate::rls::target::table_shape::TableShape;

/// The findings `unknown-owner` and `shared-write` of one table, of which these are the policies
/// and the facts about their clauses.
pub fn findings(
    table: &Table,
    cells: &[Cell],
    policies: &[Policy],
    facts: &[ClauseFacts],
) -> Vec<Finding> {
    if !table.is_secured {
        return Vec::new();
    }
    unknown_owner(table, cells, policies, facts)
        .into_iter()
        .chain(shared_write(table, cells))
        .collect()
}

/// Whether the verdict on a reach of a table without owner columns says nothing about foreign rows:
/// the policies let some rows through, and only the row decides which.
fn is_undecided(cell: &Cell, policies: &[Policy], facts: &[ClauseFacts]) -> bool {
    let reads_row = |policy: &Policy| {
        let is_of = |clause: &&ClauseFacts| clause.policy == policy.oid;
        facts.iter().filter(is_of).any(|clause| !clause.facts.columns.is_empty())
    };
    let applies = |policy: &&Policy| {
        policy.is_permissive && policy.applies_to(command(cell.reach), cell.role)
    };
    matches!(cell.verdict, Verdict::Isolated | Verdict::IsolatedIn(_) | Verdict::Shared)
        && policies.iter().filter(applies).any(reads_row)
}

/// The reaches of a table without owner columns whose verdicts say nothing about foreign rows.
fn undecided_reaches(
    table: &Table,
    cells: &[Cell],
    policies: &[Policy],
    facts: &[ClauseFacts],
) -> Vec<Reach> {
    // Rows of hidden parent rows tell foreign rows from own ones.
    let is_decided = |reach: Reach| {
        let mut by_parent = cells.iter().filter(|cell| cell.is_by_parent && cell.reach == reach);
        by_parent.clone().next().is_some()
            && by_parent.all(|cell| matches!(cell.verdict, Verdict::IsolatedIn(_)))
    };
    let is_of = |reach: &Reach| {
        table.owners.is_empty()
            && cells.iter().any(|cell| cell.reach == *reach && is_undecided(cell, policies, facts))
            && !is_decided(*reach)
    };
    Reach::ALL.into_iter().filter(is_of).collect()
}

/// A sign that rows of a table without owner columns are not meant for everyone, with the severity
/// of reading them: they reference rows that only their owners read, or name a team.
pub fn private_rows(table: &Table, tables: &[(Table, Vec<Cell>)]) -> Option<(Severity, String)> {
    let is_read = |cell: &Cell| {
        cell.reach == Reach::Read && matches!(cell.verdict, Verdict::Leak(..) | Verdict::Public(_))
    };
    let is_private = |(parent, cells): &&(Table, Vec<Cell>)| {
        table.parents.iter().any(|of_table| of_table.oid == parent.oid())
            && parent.is_secured
            && !cells.iter().any(is_read)
    };
    if let Some((parent, _)) = tables.iter().find(is_private) {
        let why =
            format!("though not every user reads {}, which its rows belong to", parent.named.name);
        return Some((Severity::Medium, why));
    }
    let why = || "though its rows belong to teams".to_owned();
    table.team.as_ref().map(|_| (Severity::Medium, why()))
}

fn unknown_owner(
    table: &Table,
    cells: &[Cell],
    policies: &[Policy],
    facts: &[ClauseFacts],
) -> Option<Finding> {
    let undecided = undecided_reaches(table, cells, policies, facts);
    if undecided.is_empty() {
        return None;
    }
    let team = table
        .team
        .as_ref()
        .map(|column| format!(" Its column {column} names a team, not an account."));
    Some(Finding {
        rule: "unknown-owner",
        severity: Severity::Info,
        confidence: Confidence::Suspected,
        object: format!("table {}", table.named.name),
        relation: Some(table.oid().to_u32()),
        policy: None,
        detail: format!(
            "No column of {} is known to name the account a row belongs to, so the audit cannot \
             tell foreign rows from own ones.{} A foreign key to the accounts tells it, or a \
             policy that compares a column with the user id. The accounts are those of \
             crewsnow_ops.users_table.",
            table.named.name,
            team.unwrap_or_default()
        ),
        evidence: format!(
            "not decided: {}",
            undecided.iter().map(|reach| reach.rule()).collect::<Vec<_>>().join(", ")
        ),
        remediation: None,
        cache_key: None,
    })
}

/// Whether a unique key of the table is an owner column with another column.
fn is_membership(table: &Table) -> bool {
    let names_owner = |key: &Vec<i16>| {
        key.len() > 1 && table.owners.iter().any(|owner| key.contains(&owner.number))
    };
    TableShape::read(table.oid()).is_ok_and(|shape| shape.unique_keys.iter().any(names_owner))
}

/// Related users, such as the members of a team, who write foreign rows. A row in another user's
/// name is worse than a change of a row that the team shares. Where only its creator is known to
/// own a row, related users are likely to be meant.
fn shared_write(table: &Table, cells: &[Cell]) -> Option<Finding> {
    let is_shared = |cell: &&&Cell| cell.verdict == Verdict::Shared && cell.reach != Reach::Read;
    let worst = worst_cells(cells);
    let shared: Vec<&Cell> = worst.values().filter(is_shared).copied().collect();
    if shared.is_empty() {
        return None;
    }
    let is_in_name =
        |cell: &&Cell| matches!(cell.reach, Reach::Forge | Reach::TakeOver | Reach::Plant);
    // The members of a team are added by others: a row names a user and a team.
    let severity = match shared.iter().any(is_in_name)
        && table.owners.iter().any(|owner| !owner.is_audit)
        && !is_membership(table)
    {
        true => Severity::Medium,
        false => Severity::Low,
    };
    let verbs: Vec<&str> = shared.iter().map(|cell| cell.reach.verb()).collect();
    Some(Finding {
        rule: "shared-write",
        severity,
        confidence: Confidence::Suspected,
        object: format!("table {}", table.named.name),
        relation: Some(table.oid().to_u32()),
        policy: None,
        detail: format!(
            "On {} related users can {}. Not every user can.",
            table.named.name,
            verbs.join(", ")
        ),
        evidence: shared
            .iter()
            .map(|cell| format!("{} as {}: {}", cell.reach.rule(), cell.identity, cell.evidence))
            .collect::<Vec<_>>()
            .join("; "),
        remediation: None,
        cache_key: None,
    })
}
