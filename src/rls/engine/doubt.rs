//! Verdicts that an audit cannot stand by: a fact was not seen, or cannot be reproduced.

use super::cell::Cell;
use super::reach_probe;
use crate::pg::rewrite::claims::{ClaimPath, SETTING};
use crate::rls::model::{Confidence, Reach, Verdict, quoted};
use crate::rls::target::application::Application;
use crate::rls::target::policy::{ClauseFacts, Policy};
use crate::rls::target::table::Table;
use std::collections::BTreeSet;

/// The first policy among these facts that could not be analysed, with the reason.
pub fn unanalysed(policies: &[Policy], facts: &[ClauseFacts]) -> Option<String> {
    let (clause, why) =
        facts.iter().find_map(|clause| Some((clause, clause.analysis.failure()?)))?;
    let name = policies.iter().find(|policy| policy.oid == clause.policy)?;
    Some(format!("policy {} could not be analysed: {why}", quoted(&name.name)))
}

/// Makes the safe verdicts of a table INCONCLUSIVE if the analysis of one of its policies failed,
/// as [`doubt`] did not see the facts.
pub fn doubt_unanalysed(cells: &mut [Cell], policies: &[Policy], facts: &[ClauseFacts]) {
    let Some(why) = unanalysed(policies, facts) else { return };
    for cell in cells {
        if matches!(
            cell.verdict,
            Verdict::Closed | Verdict::Isolated | Verdict::IsolatedIn(_) | Verdict::Shared
        ) {
            cell.verdict = Verdict::Inconclusive(why.clone());
        }
    }
}

/// Downgrades verdicts that rest on facts the audit cannot reproduce. A safe verdict becomes
/// INCONCLUSIVE if a policy reads a setting outside crewsnow_ops.claims, because clients may set
/// it. A leak becomes SUSPECTED if a policy reads the connection, which differs from that of a
/// request.
pub fn doubt(
    cells: &mut [Cell],
    policies: &[Policy],
    facts: &[ClauseFacts],
    (application, untried): (&Application, &BTreeSet<ClaimPath>),
) {
    let is_known = |setting: &&String| {
        let setting = setting.to_ascii_lowercase();
        setting.starts_with("request.jwt.")
            || ["role", "is_superuser", "server_version", "server_version_num"]
                .contains(&setting.as_str())
            || application.claims.iter().any(|(known, _)| known.eq_ignore_ascii_case(&setting))
    };
    let connection_note =
        "a policy reads session_user or the client address, which differ in a request";
    let of: Vec<(&Policy, Vec<&ClauseFacts>)> = policies
        .iter()
        .map(|policy| (policy, facts.iter().filter(|clause| clause.policy == policy.oid).collect()))
        .collect();
    for cell in cells {
        let about: Vec<&(&Policy, Vec<&ClauseFacts>)> = of
            .iter()
            .filter(|(policy, _)| policy.applies_to(reach_probe::command(cell.reach), cell.role))
            .collect();
        let asking: Vec<&Policy> = about
            .iter()
            .filter(|(_, clauses)| clauses.iter().any(|clause| clause.facts.reads_connection))
            .map(|(policy, _)| *policy)
            .collect();
        if let Verdict::Leak(confidence, _) | Verdict::Public(confidence) = &mut cell.verdict {
            let is_asking =
                |responsible: &Policy| asking.iter().any(|policy| policy.oid == responsible.oid);
            let is_let = !cell.responsible_policies.is_empty()
                && cell.responsible_policies.iter().all(is_asking);
            if is_let || asking.iter().any(|policy| !policy.is_permissive) {
                *confidence = Confidence::Suspected;
                cell.add(connection_note);
            }
            continue;
        }
        if !cell.verdict.is_safe() && cell.verdict != Verdict::Shared {
            continue;
        }
        let clauses = || about.iter().flat_map(|(_, clauses)| clauses);
        let is_tried = |setting: &String| {
            let path = vec![format!("{SETTING}{}", setting.to_ascii_lowercase())];
            !untried.contains(&path) && clauses().any(|clause| clause.claims.contains_key(&path))
        };
        let unknown = clauses()
            .flat_map(|clause| clause.settings())
            .find(|setting| !is_known(setting) && !is_tried(setting));
        if let Some(setting) = unknown {
            let why = format!(
                "a policy reads the setting {setting}, which is not in crewsnow_ops.claims"
            );
            cell.verdict = Verdict::Inconclusive(why);
        } else if !asking.is_empty() {
            cell.verdict = Verdict::Inconclusive(connection_note.to_owned());
        } else if clauses().any(|clause| clause.functions_read_time) {
            let why = "a function that a policy calls reads the time".to_owned();
            cell.verdict = Verdict::Inconclusive(why);
        } else if let Some(claim) =
            clauses().flat_map(|clause| clause.claims.keys()).find(|path| untried.contains(*path))
            && cell.has_user
        {
            let claim = claim.join(".");
            let why = format!("no value of the claim {claim} could be tried");
            cell.verdict = Verdict::Inconclusive(why);
        }
    }
}

/// INCONCLUSIVE verdicts for a table that was not audited.
pub fn not_audited(table: &Table, application: &Application, why: &str) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (place, role) in application.roles.iter().enumerate() {
        for reach in Reach::ALL {
            // As in an audit: only signed-in users own rows.
            let applies = match reach {
                Reach::TakeOver | Reach::Plant => !role.is_anonymous && !table.owners.is_empty(),
                _ => true,
            };
            if applies && table.allows(place, reach_probe::command(reach)) {
                cells.push(Cell {
                    identity: role.name.clone(),
                    role: role.oid,
                    has_user: false,
                    reach,
                    verdict: Verdict::Inconclusive(why.to_owned()),
                    using: String::new(),
                    check: String::new(),
                    responsible_policies: Vec::new(),
                    evidence: String::new(),
                    is_by_parent: false,
                });
            }
        }
    }
    cells
}
