//! The findings that follow from the verdicts on a table.

use super::ownership;
use crate::pg::xact::sec_context::role_name;
use crate::rls::engine::cell::{Cell, worst_cells};
use crate::rls::engine::doubt::unanalysed;
use crate::rls::engine::examine::FUTURE_ROW;
use crate::rls::model::{Audience, Confidence, Finding, Reach, Severity, Verdict, quoted};
use crate::rls::target::policy::{ClauseFacts, Policy};
use crate::rls::target::table::Table;
use std::collections::{BTreeMap, BTreeSet};

/// A table with its verdicts, its policies and the facts about their clauses.
pub struct Audited<'a> {
    /// The table.
    pub table: &'a Table,
    /// Its verdicts.
    pub cells: &'a [Cell],
    /// Its policies.
    pub policies: &'a [Policy],
    /// Facts about the clauses of its policies.
    pub facts: &'a [ClauseFacts],
    /// All tables of the audit, with their verdicts.
    pub tables: &'a [(Table, Vec<Cell>)],
}

impl Audited<'_> {
    /// The findings, without remediations.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let worst = worst_cells(self.cells);
        // A table without row-level security has one finding, of rule rls-off.
        for reach in Reach::ALL.into_iter().filter(|_| self.table.is_secured) {
            let of_reach: Vec<&Cell> =
                worst.iter().filter(|((of, _), _)| *of == reach).map(|(_, cell)| *cell).collect();
            findings.extend(leak(self.table, reach, &of_reach));
            findings.extend(public(self.table, self.tables, reach, &of_reach));
        }
        let Self { table, cells, policies, facts, .. } = *self;
        findings.extend(ownership::findings(table, cells, policies, facts));
        findings.extend(self.latent());
        let mut undecided: Vec<Finding> = Vec::new();
        for finding in self.undecided() {
            match undecided.iter_mut().find(|known| known.rule == finding.rule) {
                Some(known) => known.evidence = format!("{}; {}", known.evidence, finding.evidence),
                None => undecided.push(finding),
            }
        }
        findings.extend(undecided);
        findings
    }

    fn about(
        &self,
        rule: &'static str,
        severity: Severity,
        confidence: Confidence,
        detail: String,
        evidence: String,
    ) -> Finding {
        Finding {
            rule,
            severity,
            confidence,
            object: format!("table {}", self.table.named.name),
            relation: Some(self.table.oid().to_u32()),
            policy: None,
            detail,
            evidence,
            remediation: None,
            cache_key: None,
        }
    }

    /// The finding of reaches that only a missing privilege keeps closed.
    fn latent(&self) -> Option<Finding> {
        let latent: Vec<&Cell> =
            self.cells.iter().filter(|cell| cell.verdict == Verdict::NoAccess).collect();
        if latent.is_empty() {
            return None;
        }
        let roles: BTreeSet<String> = latent.iter().map(|cell| role_name(cell.role)).collect();
        let reaches: BTreeSet<Reach> = latent.iter().map(|cell| cell.reach).collect();
        let verbs: Vec<&str> = reaches.iter().map(|reach| reach.verb()).collect();
        let detail = format!(
            "The policies of {} would let {} {}. Only the missing privileges prevent it.",
            self.table.named.name,
            roles.into_iter().collect::<Vec<_>>().join(" and "),
            verbs.join(", ")
        );
        let evidence: Vec<String> = latent.iter().map(|cell| facts(cell)).collect();
        let evidence = evidence.join("; ");
        Some(self.about("latent-leak", Severity::Low, Confidence::Proved, detail, evidence))
    }

    /// The findings of exempt roles, failing policies and INCONCLUSIVE verdicts. Each evidence of a
    /// rule stands once.
    fn undecided(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(why) = unanalysed(self.policies, self.facts) {
            let detail = "The audit could not analyse a policy of the table. Rules did not see the \
                          policy, and no verdict of the table is safe.";
            findings.push(self.inconclusive(detail, why));
        }
        for cell in self.cells {
            let role = role_name(cell.role);
            findings.push(match &cell.verdict {
                Verdict::Exempt => self.about(
                    "exempt-role",
                    Severity::High,
                    Confidence::Proved,
                    format!(
                        "{role} is exempt from row-level security: it owns the table, is a member \
                         of the owner, or has BYPASSRLS."
                    ),
                    format!("{role} is exempt"),
                ),
                Verdict::Failing(error) => self.about(
                    "failing-policies",
                    Severity::Medium,
                    Confidence::Observed,
                    format!(
                        "Policies of the table raise an error: {} by {role}.",
                        cell.reach.rule()
                    ),
                    error.clone(),
                ),
                Verdict::Inconclusive(why) => self.inconclusive(
                    "The audit could not decide whether foreign rows are reached.",
                    why.clone(),
                ),
                _ => continue,
            });
        }
        let mut once = BTreeSet::new();
        findings.retain(|finding| once.insert((finding.rule, finding.evidence.clone())));
        findings
    }

    fn inconclusive(&self, detail: &str, why: String) -> Finding {
        let (severity, confidence) = (Severity::Info, Confidence::Suspected);
        self.about("inconclusive", severity, confidence, detail.to_owned(), why)
    }
}

/// The finding of a leak.
fn leak(table: &Table, reach: Reach, cells: &[&Cell]) -> Option<Finding> {
    let leaks: Vec<(&Cell, Confidence, Audience)> = cells
        .iter()
        .filter_map(|cell| match cell.verdict {
            Verdict::Leak(confidence, audience) => Some((*cell, confidence, audience)),
            _ => None,
        })
        .collect();
    let audience = leaks.iter().map(|(_, _, audience)| *audience).min()?;
    let confidence = leaks.iter().map(|(_, confidence, _)| *confidence).min()?;
    let responsible_policies = responsible_policies(leaks.iter().map(|(cell, ..)| *cell));
    let evidence: Vec<String> = leaks.iter().map(|(cell, ..)| facts(cell)).collect();
    let is_future = |leak: &(&Cell, Confidence, Audience)| leak.0.evidence.contains(FUTURE_ROW);
    let severity = match audience {
        _ if leaks.iter().all(is_future) => Severity::Medium,
        Audience::Anonymous | Audience::AnyAccount => Severity::Critical,
        Audience::Session | Audience::EveryUser => Severity::High,
    };
    Some(Finding {
        rule: reach.rule(),
        severity,
        confidence,
        object: object(table, &responsible_policies),
        relation: Some(table.oid().to_u32()),
        policy: (responsible_policies.len() == 1).then(|| responsible_policies[0].oid.to_u32()),
        detail: format!(
            "On {} {} can {}{}.",
            table.named.name,
            audience_text(audience, &leaks),
            reach.verb(),
            because(table, &responsible_policies)
        ),
        evidence: evidence.join("; "),
        remediation: None,
        cache_key: None,
    })
}

/// The finding of an open table without owner columns.
fn public(
    table: &Table,
    tables: &[(Table, Vec<Cell>)],
    reach: Reach,
    cells: &[&Cell],
) -> Option<Finding> {
    let open: Vec<&Cell> =
        cells.iter().filter(|cell| matches!(cell.verdict, Verdict::Public(_))).copied().collect();
    let confidence = open.iter().filter_map(|cell| cell.verdict.confidence()).min()?;
    let private = ownership::private_rows(table, tables).filter(|_| reach == Reach::Read);
    let responsible_policies = responsible_policies(open.iter().copied());
    let who: BTreeSet<String> = open.iter().map(|cell| role_name(cell.role)).collect();
    let who = who.into_iter().collect::<Vec<_>>().join(" and ");
    let what = match (reach, &private) {
        (Reach::Read, None) => "read it; the table has no owner column".to_owned(),
        (Reach::Read, Some((_, why))) => format!("read it, {why}"),
        (Reach::Forge, _) => "insert any row".to_owned(),
        (Reach::Destroy, _) => "delete its rows; the table has no owner column".to_owned(),
        _ => "change its rows; the table has no owner column".to_owned(),
    };
    let (rule, severity) = match reach {
        Reach::Read => ("public-read", Severity::Info),
        Reach::Forge => ("open-insert", Severity::Medium),
        Reach::Destroy => ("open-delete", Severity::High),
        _ => ("open-update", Severity::High),
    };
    let is_future = open.iter().all(|cell| cell.evidence.contains(FUTURE_ROW));
    let severity = if is_future { severity.max(Severity::Medium) } else { severity };
    Some(Finding {
        rule,
        severity: private.as_ref().map_or(severity, |(severity, _)| *severity),
        // Private rows may be published on purpose.
        confidence: if private.is_some() { Confidence::Suspected } else { confidence },
        object: object(table, &responsible_policies),
        relation: Some(table.oid().to_u32()),
        policy: (responsible_policies.len() == 1).then(|| responsible_policies[0].oid.to_u32()),
        detail: format!(
            "Every session of {who} can {what}{}.",
            because(table, &responsible_policies)
        ),
        evidence: open.iter().map(|cell| facts(cell)).collect::<Vec<_>>().join("; "),
        remediation: None,
        cache_key: None,
    })
}

/// The words for those whom a leak is open to.
fn audience_text(audience: Audience, leaks: &[(&Cell, Confidence, Audience)]) -> String {
    if audience != Audience::Session {
        return audience.to_string();
    }
    let is_widest = |leak: &&(&Cell, Confidence, Audience)| leak.2 == audience;
    let roles: BTreeSet<String> =
        leaks.iter().filter(is_widest).map(|(cell, ..)| role_name(cell.role)).collect();
    format!("any session of {}", roles.into_iter().collect::<Vec<_>>().join(" and "))
}

/// The policies that are responsible for these verdicts, each once.
pub fn responsible_policies<'a>(cells: impl Iterator<Item = &'a Cell>) -> Vec<Policy> {
    let responsible_policies: BTreeMap<u32, &Policy> = cells
        .flat_map(|cell| &cell.responsible_policies)
        .map(|policy| (policy.oid.to_u32(), policy))
        .collect();
    responsible_policies.into_values().cloned().collect()
}

/// The single responsible policy, or the table.
fn object(table: &Table, responsible_policies: &[Policy]) -> String {
    match responsible_policies {
        [policy] => format!("policy {} on {}", quoted(&policy.name), table.named.name),
        _ => format!("table {}", table.named.name),
    }
}

fn because(table: &Table, responsible_policies: &[Policy]) -> String {
    match responsible_policies {
        [] if !table.is_secured => ": row-level security is off".to_owned(),
        [] => String::new(),
        [policy] => format!(": policy {} allows it", quoted(&policy.name)),
        several => {
            let names: Vec<String> = several.iter().map(|policy| quoted(&policy.name)).collect();
            format!(": policies {} allow it", names.join(", "))
        }
    }
}

/// Identity, qual and evidence of a cell.
fn facts(cell: &Cell) -> String {
    let seen =
        if cell.evidence.is_empty() { String::new() } else { format!(" ({})", cell.evidence) };
    format!("as {}: {}{seen}", cell.identity, shown(cell))
}

/// The quals that decide a reach.
fn shown(cell: &Cell) -> String {
    match cell.reach {
        Reach::Read | Reach::Destroy => format!("USING {}", cell.using),
        Reach::Forge => format!("WITH CHECK {}", cell.check),
        Reach::Tamper | Reach::TakeOver | Reach::Plant => {
            format!("USING {} WITH CHECK {}", cell.using, cell.check)
        }
    }
}
