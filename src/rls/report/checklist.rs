//! The audit as the checklist of the runbook.

use super::audit_report::{IF_PUBLIC, OPEN, Report, accept_statement, accepted_text, is_of_matrix};
use super::trusts;
use crate::rls::engine::cell::Cell;
use crate::rls::engine::reach_probe::command;
use crate::rls::model::{Confidence, Finding, Reach, Severity, Verdict};
use crate::rls::store::Acceptance;
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;

impl Report {
    /// The rows of generate_rls_checklist.
    pub fn checklist(&self) -> Vec<Requirement> {
        let mut rows = Vec::new();
        for (table, cells) in &self.audit.tables {
            if cells.is_empty() && !table.is_reachable() {
                continue;
            }
            rows.push(self.rls_is_enabled(table));
            let reads: &[Reach] = &[Reach::Read];
            for (requirement, reaches) in [
                ("Foreign rows cannot be read", reads),
                (
                    "Foreign rows cannot be written",
                    &[Reach::Tamper, Reach::TakeOver, Reach::Plant, Reach::Forge, Reach::Destroy],
                ),
            ] {
                let is_reached = |cell: &Cell| {
                    reaches.contains(&cell.reach) && cell.verdict != Verdict::NoAccess
                };
                if cells.iter().any(is_reached) {
                    rows.push(self.reach_is_closed(table, cells, requirement, reaches));
                }
            }
        }
        // Causes that are not about one table: access paths that bypass policies.
        for cause in &self.causes {
            let finding = &cause.finding;
            let requirement = match finding.rule {
                "inconclusive" if finding.relation.is_none() => "Every rule was evaluated",
                "no-clients" if self.is_empty => continue,
                "no-clients" => "The client roles are known",
                rule if finding.severity <= Severity::Medium && !is_of_matrix(rule) => {
                    "No access path bypasses the policies"
                }
                _ => continue,
            };
            let of = vec![(finding, self.acceptance_of_cause(cause), cause.key.as_str())];
            rows.push(self.requirement(requirement, &finding.object, of, None));
        }
        if rows.is_empty() {
            rows.push(self.nothing_to_audit());
        }
        rows
    }

    /// The row of a database in which client roles reach nothing: no requirement is violated.
    fn nothing_to_audit(&self) -> Requirement {
        Requirement {
            requirement: "Row-level security is on",
            table: "no table".to_owned(),
            status: "SECURE",
            policy_exists: false,
            auth_uid_check: false,
            recommendation: match self.is_empty {
                true => "NO_DATA: the database has no table. Nothing was audited.".to_owned(),
                false => "Nothing to do: client roles have no privilege on a table.".to_owned(),
            },
        }
    }

    fn policies_of<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Policy> {
        self.audit.policies.iter().filter(|policy| policy.relation == table.oid())
    }

    fn checks_identity(&self, table: &Table) -> bool {
        self.audit.facts.iter().any(|clause| {
            clause.relation == table.oid()
                && (clause.facts.identity_calls > 0 || !clause.facts.claim_keys.is_empty())
        })
    }

    fn rls_is_enabled(&self, table: &Table) -> Requirement {
        let (status, recommendation) = match (table.is_secured, self.policies_of(table).next()) {
            (false, _) => ("MISSING", enable_rls(table)),
            (true, None) => ("SECURE", "No policy: client roles reach no row.".to_owned()),
            (true, Some(_)) => ("SECURE", "Nothing to do.".to_owned()),
        };
        let (status, recommendation) = match self.rls_off_acceptance(table) {
            Some(acceptance) if !table.is_secured => ("SECURE", accepted_text(acceptance)),
            _ => (status, recommendation),
        };
        Requirement {
            requirement: "Row-level security is on",
            table: table.named.name.clone(),
            status,
            policy_exists: self.policies_of(table).next().is_some(),
            auth_uid_check: self.checks_identity(table),
            recommendation,
        }
    }

    fn reach_is_closed(
        &self,
        table: &Table,
        cells: &[Cell],
        requirement: &'static str,
        reaches: &[Reach],
    ) -> Requirement {
        let of: Vec<(&Finding, Option<&Acceptance>, &str)> = self
            .causes
            .iter()
            .filter(|cause| cause.finding.relation == Some(table.oid().to_u32()))
            .filter(|cause| match cause.finding.rule {
                "public-read" => reaches.contains(&Reach::Read),
                "unknown-owner" => reaches.iter().any(|reach| cause.finding.is_about(*reach)),
                "shared-write" => !reaches.contains(&Reach::Read),
                rule if OPEN.contains(&rule) => !reaches.contains(&Reach::Read),
                rule => reaches.iter().any(|reach| reach.rule() == rule),
            })
            .map(|cause| (&cause.finding, self.acceptance_of_cause(cause), cause.key.as_str()))
            .collect();
        let mut row = self.requirement(requirement, &table.named.name, of, Some(table));
        if !table.is_secured {
            (row.status, row.recommendation) = self.without_rls(table);
            return row;
        }
        let unknown =
            cells.iter().filter(|cell| reaches.contains(&cell.reach)).find_map(|cell| match &cell
                .verdict
            {
                Verdict::Inconclusive(why) => Some(format!("Inconclusive: {why}.")),
                Verdict::Failing(error) => Some(format!("The policies fail with {error}.")),
                Verdict::Exempt => {
                    Some("A client role is exempt from row-level security.".to_owned())
                }
                _ => None,
            });
        if let (Some(why), "SECURE") = (unknown, row.status) {
            (row.status, row.recommendation) = ("NEEDS_REVIEW", why);
        }
        if let (Some((status, why)), "SECURE" | "NEEDS_REVIEW") =
            (doubt(self, table, reaches), row.status)
        {
            (row.status, row.recommendation) = (status, why);
        }
        row
    }

    /// Status and recommendation where row-level security is off, so that only privileges protect
    /// the rows.
    fn without_rls(&self, table: &Table) -> (&'static str, String) {
        match self.rls_off_acceptance(table) {
            Some(acceptance) => ("SECURE", accepted_text(acceptance)),
            None => ("VULNERABLE", enable_rls(table)),
        }
    }

    /// The acceptance of the finding that row-level security is off.
    fn rls_off_acceptance(&self, table: &Table) -> Option<&Acceptance> {
        let is_about = |finding: &&Finding| {
            finding.relation == Some(table.oid().to_u32())
                && ["rls-off", "partition-without-rls"].contains(&finding.rule)
        };
        self.findings.iter().find(is_about).and_then(|finding| self.acceptance(finding))
    }

    fn requirement(
        &self,
        requirement: &'static str,
        table: &str,
        of: Vec<(&Finding, Option<&Acceptance>, &str)>,
        on: Option<&Table>,
    ) -> Requirement {
        let mut status = "SECURE";
        let mut texts = Vec::new();
        for (finding, acceptance, key) in of {
            match acceptance {
                Some(acceptance) => texts.push(accepted_text(acceptance)),
                None => {
                    // Without client roles nothing was audited, which proves no access.
                    let is_certain = finding.confidence != Confidence::Suspected
                        && finding.severity <= Severity::High
                        && finding.rule != "no-clients";
                    if is_certain || status != "VULNERABLE" {
                        status = if is_certain { "VULNERABLE" } else { "NEEDS_REVIEW" };
                    }
                    texts.push(finding.remediation.clone().unwrap_or_else(|| review(finding, key)));
                }
            }
        }
        Requirement {
            requirement,
            table: table.to_owned(),
            status,
            policy_exists: on.is_some_and(|table| self.policies_of(table).next().is_some()),
            auth_uid_check: on.is_some_and(|table| self.checks_identity(table)),
            recommendation: if texts.is_empty() {
                "Nothing to do.".to_owned()
            } else {
                texts.join("\n")
            },
        }
    }
}

/// The statement that enables row-level security.
fn enable_rls(table: &Table) -> String {
    format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;", table.named.name)
}

/// The status of a table's requirement where users write the rows that decide about it: a table
/// that trusts them, for the commands that they open, or the trusted table itself.
fn doubt(report: &Report, table: &Table, reaches: &[Reach]) -> Option<(&'static str, String)> {
    let audit = &report.audit;
    let is_table = |place: usize| audit.tables[place].0.oid() == table.oid();
    let open = |rule: &str, about: usize| {
        let relation = Some(audit.tables[about].0.oid().to_u32());
        report.open().map(|cause| &cause.finding).find(|finding| {
            finding.rule == rule
                && finding.relation == relation
                && finding.severity <= Severity::High
        })
    };
    let written = audit.trusts.self_written.iter().filter_map(|of| {
        let is_opened = of.opened.iter().any(|(place, opened)| {
            is_table(*place) && reaches.iter().any(|reach| command(*reach) == *opened)
        });
        let is_written = is_table(of.members) && !reaches.contains(&Reach::Read);
        let is_concerned = is_opened || is_written;
        open(trusts::SELF_WRITTEN, of.members).filter(|_| is_concerned)
    });
    let crossed = audit.trusts.foreign_teams.iter().filter_map(|of| {
        let is_concerned = is_table(of.table) && !reaches.contains(&Reach::Read);
        open(trusts::FOREIGN_TEAM, of.table).filter(|_| is_concerned)
    });
    let finding = written.chain(crossed).next()?;
    let status = match finding.confidence {
        Confidence::Suspected => "NEEDS_REVIEW",
        _ => "VULNERABLE",
    };
    Some((status, format!("{}: {}", finding.key(), finding.detail)))
}

/// The recommendation for a finding without remediation.
fn review(finding: &Finding, key: &str) -> String {
    // The detail of readable content already ends with the statement for its table.
    if finding.detail.contains(IF_PUBLIC) {
        return finding.detail.clone();
    }
    format!("{} If this is intended: {}", finding.detail, accept_statement(key))
}

/// A row of generate_rls_checklist.
pub struct Requirement {
    /// The requirement.
    pub requirement: &'static str,
    /// The table or object.
    pub table: String,
    /// SECURE, NEEDS_REVIEW, MISSING or VULNERABLE.
    pub status: &'static str,
    /// Whether the table has a policy.
    pub policy_exists: bool,
    /// Whether a policy checks the identity of the request.
    pub auth_uid_check: bool,
    /// The recommended statement or review.
    pub recommendation: String,
}
