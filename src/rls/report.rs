//! An audit with everything that was found and accepted, in the forms that the runbook asks for.

use super::audit::Audit;
use super::model::{self, Confidence, Finding, Reach, Severity, Verdict};
use super::policy::{self, Policy};
use super::prove::Cell;
use super::table::Table;
use super::{controls, records, rules};
use crate::error::OpsError;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Somebody's word that a finding is as it should be.
pub struct Acceptance {
    /// Why.
    pub reason: String,
    /// Until when, as SQL writes it.
    pub until: String,
    /// By whom.
    pub by: String,
    /// How urgent it was then.
    pub severity: Severity,
}

/// One audit and what is known of it.
pub struct Report {
    /// The run.
    pub audit: Audit,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    accepted: BTreeMap<String, Acceptance>,
}

impl Report {
    /// Runs the audit.
    pub fn make() -> Result<Self, OpsError> {
        let audit = Audit::run(None)?;
        let _keeping = policy::keep(Rc::clone(&audit.facts));
        let mut findings = audit.findings();
        // What is told wrong of a table whose verdict is known is told wrong of others.
        if let Err(why) = controls::controls(&audit.surroundings) {
            findings.push(general(
                "detector-broken",
                Severity::Critical,
                "The audit misjudges its own control tables: believe no verdict.",
                why,
            ));
        }
        if audit.surroundings.roles.is_empty() {
            let why = "Neither crewsnow_ops.anonymous_role nor crewsnow_ops.user_role names a role that exists: nothing was looked at.";
            findings.push(general("no-clients", Severity::High, why, "SHOW crewsnow_ops.user_role;".to_owned()));
        }
        for (what, why) in audit.surroundings.unknown() {
            findings.push(Finding {
                rule: "inconclusive",
                confidence: Confidence::Suspected,
                object: what.to_owned(),
                ..general("inconclusive", Severity::Info, "What depends on it was not looked at.", why)
            });
        }
        findings.extend(rules::findings(&audit.surroundings));
        model::sort(&mut findings);
        let accepted = records::acceptances()?;
        for finding in &mut findings {
            if let Some(acceptance) = accepted.get(&finding.key()).filter(|word| finding.severity < word.severity) {
                finding.detail += &format!(
                    " {} accepted it until {} when it was {}: it is worse now.",
                    acceptance.by,
                    acceptance.until,
                    acceptance.severity.as_str()
                );
            }
        }
        Ok(Self { accepted, audit, findings })
    }

    /// Somebody's word on a finding, unless it has expired or the finding has become worse.
    pub fn acceptance(&self, finding: &Finding) -> Option<&Acceptance> {
        self.accepted.get(&finding.key()).filter(|acceptance| finding.severity >= acceptance.severity)
    }

    /// Those that nobody has accepted.
    pub(super) fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| self.acceptance(finding).is_none())
    }

    /// A row of audit_all_rls_policies for each policy, and for each table that has none or more to say than its policies.
    pub fn policies(&self) -> Vec<PolicyRow> {
        let mut rows = Vec::new();
        for (table, _) in &self.audit.tables {
            let of_table: Vec<&Policy> =
                self.audit.policies.iter().filter(|policy| policy.relation == table.oid()).collect();
            // What could not be told of the table is not told of its policies.
            let is_untold = |finding: &Finding| match finding.rule {
                "inconclusive" => finding.relation == Some(table.oid().to_u32()),
                rule => rule == "detector-broken",
            };
            for policy in &of_table {
                let is_of = |finding: &&Finding| finding.policy == Some(policy.oid.to_u32()) || is_untold(finding);
                let findings = self.findings.iter().filter(is_of);
                rows.push(self.policy_row(table, Some(policy), findings.collect()));
            }
            let findings: Vec<&Finding> = self
                .findings
                .iter()
                .filter(|finding| finding.relation == Some(table.oid().to_u32()) && finding.policy.is_none())
                .collect();
            if of_table.is_empty()
                || !table.is_secured
                || findings.iter().any(|finding| finding.severity < Severity::Low)
            {
                rows.push(self.policy_row(table, None, findings));
            }
        }
        rows
    }

    fn policy_row(&self, table: &Table, policy: Option<&Policy>, findings: Vec<&Finding>) -> PolicyRow {
        let mut issues = Vec::new();
        let mut is_public = false;
        let mut status = "SECURE";
        for finding in findings {
            if let Some(acceptance) = self.acceptance(finding) {
                issues.push(format!("accepted until {} by {}: {}", acceptance.until, acceptance.by, finding.detail));
                is_public |= finding.rule == "public-read";
                continue;
            }
            issues.push(format!("{} {}: {}", finding.severity.as_str(), finding.rule, finding.detail));
            let is_certain = finding.confidence != Confidence::Suspected;
            status = match (finding.severity, finding.rule) {
                (_, "inconclusive" | "detector-broken") if status != "VULNERABLE" => "NEEDS_REVIEW",
                (Severity::Critical | Severity::High, _) if is_certain => "VULNERABLE",
                _ if status == "VULNERABLE" => status,
                (Severity::Critical | Severity::High | Severity::Medium, _) | (_, "public-read") => "NEEDS_REVIEW",
                _ => status,
            };
        }
        if status == "SECURE" && is_public {
            status = "PUBLIC_READ_OK";
        }
        if policy.is_none() && !table.is_secured && issues.is_empty() {
            issues.push("row-level security is off; no client has privileges on it".to_owned());
        }
        PolicyRow {
            table: table.named.name.clone(),
            policy: policy.map(|policy| policy.name.clone()),
            command: policy.map(|policy| match policy.command {
                'r' => "SELECT",
                'a' => "INSERT",
                'w' => "UPDATE",
                'd' => "DELETE",
                _ => "ALL",
            }),
            roles: policy.map(|policy| {
                let name = |role: &pgrx::pg_sys::Oid| match role.to_u32() {
                    0 => "public".to_owned(),
                    _ => crate::pg::identity::role_name(*role),
                };
                policy.roles.iter().map(name).collect()
            }),
            level: match status {
                "VULNERABLE" => "LOW",
                "NEEDS_REVIEW" => "MEDIUM",
                _ => "HIGH",
            },
            status,
            issues,
        }
    }

    /// The rows of generate_rls_checklist.
    pub fn checklist(&self) -> Vec<Requirement> {
        let mut rows = Vec::new();
        for (table, cells) in &self.audit.tables {
            if cells.is_empty() && !table.is_reachable() {
                continue;
            }
            rows.push(self.is_on(table));
            let reads: &[Reach] = &[Reach::Read];
            for (requirement, reaches) in [
                ("Other users' rows cannot be read", reads),
                (
                    "Other users' rows cannot be written",
                    &[Reach::Tamper, Reach::TakeOver, Reach::Plant, Reach::Forge, Reach::Destroy],
                ),
            ] {
                if cells.iter().any(|cell| reaches.contains(&cell.reach)) {
                    rows.push(self.is_kept(table, cells, requirement, reaches));
                }
            }
        }
        // What no table's rows above speak of: doors beside the policies.
        for finding in &self.findings {
            if finding.severity <= Severity::Medium && !is_of_matrix(finding.rule) {
                rows.push(self.requirement("Nothing goes around the policies", &finding.object, vec![finding], None));
            }
            if finding.rule == "inconclusive" && finding.relation.is_none() {
                rows.push(self.requirement("Every rule has looked", &finding.object, vec![finding], None));
            }
        }
        rows
    }

    fn policies_of<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Policy> {
        self.audit.policies.iter().filter(|policy| policy.relation == table.oid())
    }

    fn asks(&self, table: &Table) -> bool {
        self.audit.facts.iter().any(|clause| {
            clause.relation == table.oid() && (clause.facts.identity_calls > 0 || !clause.facts.claim_keys.is_empty())
        })
    }

    fn is_on(&self, table: &Table) -> Requirement {
        let (status, recommendation) = match (table.is_secured, self.policies_of(table).next()) {
            (false, _) => ("MISSING", format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;", table.named.name)),
            (true, None) => ("SECURE", "No policy: clients reach no row.".to_owned()),
            (true, Some(_)) => ("SECURE", "Nothing to do.".to_owned()),
        };
        let accepted = self.findings.iter().find(|finding| {
            finding.relation == Some(table.oid().to_u32())
                && ["rls-off", "partition-without-rls"].contains(&finding.rule)
        });
        let (status, recommendation) = match accepted.and_then(|finding| self.acceptance(finding)) {
            Some(acceptance) if !table.is_secured => ("SECURE", accepted_text(acceptance)),
            _ => (status, recommendation),
        };
        Requirement {
            requirement: "Row-level security is on",
            table: table.named.name.clone(),
            status,
            policy_exists: self.policies_of(table).next().is_some(),
            auth_uid_check: self.asks(table),
            recommendation,
        }
    }

    fn is_kept(&self, table: &Table, cells: &[Cell], requirement: &'static str, reaches: &[Reach]) -> Requirement {
        let of: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|finding| finding.relation == Some(table.oid().to_u32()) && is_of_matrix(finding.rule))
            .filter(|finding| match finding.rule {
                "public-read" => reaches.contains(&Reach::Read),
                rule if OPEN.contains(&rule) => !reaches.contains(&Reach::Read),
                rule => reaches.iter().any(|reach| reach.rule() == rule),
            })
            .collect();
        let mut row = self.requirement(requirement, &table.named.name, of, Some(table));
        let unknown = cells.iter().filter(|cell| reaches.contains(&cell.reach)).find_map(|cell| match &cell.verdict {
            Verdict::Inconclusive(why) => Some(format!("Could not be told: {why}.")),
            Verdict::Failing(error) => Some(format!("The policies fail with {error}.")),
            Verdict::Exempt => Some("Row-level security does not hold for a role of clients.".to_owned()),
            _ => None,
        });
        if let (Some(why), "SECURE") = (unknown, row.status) {
            (row.status, row.recommendation) = ("NEEDS_REVIEW", why);
        }
        row
    }

    fn requirement(
        &self,
        requirement: &'static str,
        table: &str,
        of: Vec<&Finding>,
        on: Option<&Table>,
    ) -> Requirement {
        let mut status = "SECURE";
        let mut texts = Vec::new();
        for finding in of {
            match self.acceptance(finding) {
                Some(acceptance) => texts.push(accepted_text(acceptance)),
                None => {
                    let is_certain = finding.confidence != Confidence::Suspected && finding.severity <= Severity::High;
                    if is_certain || status != "VULNERABLE" {
                        status = if is_certain { "VULNERABLE" } else { "NEEDS_REVIEW" };
                    }
                    texts.push(finding.remediation.clone().unwrap_or_else(|| review(finding)));
                }
            }
        }
        Requirement {
            requirement,
            table: table.to_owned(),
            status,
            policy_exists: on.is_some_and(|table| self.policies_of(table).next().is_some()),
            auth_uid_check: on.is_some_and(|table| self.asks(table)),
            recommendation: if texts.is_empty() { "Nothing to do.".to_owned() } else { texts.join("\n") },
        }
    }

    /// The report that a person reads.
    pub fn day1(&self, database: &str, server: &str) -> String {
        let mut text = format!("Security audit of database {database}, PostgreSQL {server}\n");
        let names: Vec<&str> = self.audit.surroundings.roles.iter().map(|role| role.name.as_str()).collect();
        let policies = self.audit.policies.len();
        text += &format!("Clients: {}; {} tables, {policies} policies\n", names.join(", "), self.audit.tables.len());
        for (title, rules) in SECTIONS {
            let of: Vec<&Finding> = self.findings.iter().filter(|finding| rules.contains(&finding.rule)).collect();
            let open: Vec<&&Finding> = of.iter().filter(|finding| self.acceptance(finding).is_none()).collect();
            let failed = open.iter().filter(|finding| finding.severity <= Severity::Medium).count();
            let is_of = |finding: &&Finding| match finding.object.strip_prefix("rule ") {
                Some(rule) => rules.contains(&rule),
                None => rules.contains(&"read-leak"),
            };
            let untold = self.open().filter(|finding| finding.rule == "inconclusive").filter(is_of).count();
            text += &match failed {
                0 if untold > 0 => format!("\n[{untold} COULD NOT BE TOLD] {title}\n"),
                0 => format!("\n[ok] {title}\n"),
                n => format!("\n[{n} FAILED] {title}\n"),
            };
            for finding in
                of.iter().filter(|finding| finding.severity < Severity::Info || finding.rule == "public-read")
            {
                let accepted = self.acceptance(finding).map(|acceptance| format!(" ({})", accepted_text(acceptance)));
                text += &format!(
                    "  {} {} {}: {}{}\n",
                    finding.severity.as_str(),
                    finding.confidence.as_str(),
                    finding.object,
                    finding.detail,
                    accepted.unwrap_or_default()
                );
                if let (Some(remediation), None) = (&finding.remediation, self.acceptance(finding)) {
                    text += &remediation.lines().map(|line| format!("      {line}\n")).collect::<String>();
                }
            }
        }
        let untold: Vec<&Finding> = self.open().filter(|finding| finding.rule == "inconclusive").collect();
        if !untold.is_empty() {
            text += &format!("\n[{} COULD NOT BE TOLD]\n", untold.len());
            for finding in &untold {
                text += &format!("  {}: {}\n", finding.object, finding.evidence);
            }
        }
        let count = |severity| self.open().filter(|finding| finding.severity == severity).count();
        let counts = [Severity::Critical, Severity::High, Severity::Medium].map(count);
        text += &match (counts.iter().sum::<usize>(), untold.len()) {
            (0, 0) => "\nALL CHECKS PASSED".to_owned(),
            (0, n) => format!("\nNO CHECK FAILED, {n} COULD NOT BE TOLD"),
            (n, _) => format!("\n{n} CHECKS FAILED: {} critical, {} high, {} medium", counts[0], counts[1], counts[2]),
        };
        text
    }
}

/// The report's sections, and which rules belong to each.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "Users reach only what is theirs",
        &[
            "read-leak",
            "tampering",
            "take-over",
            "planted-rows",
            "forged-rows",
            "destruction",
            "open-insert",
            "open-update",
            "open-delete",
            "public-read",
            "failing-policies",
            "exempt-role",
            "detector-broken",
            "no-clients",
        ],
    ),
    (
        "Row-level security is on where clients come, and holds",
        &[
            "rls-off",
            "policies-without-rls",
            "partition-without-rls",
            "owner-bypass",
            "bypassrls-reachable",
            "rls-without-policy",
            "policy-without-effect",
        ],
    ),
    (
        "Policies mean what they say",
        &[
            "policy-for-public",
            "policy-name-lies",
            "user-metadata",
            "weak-identity",
            "immutable-session-function",
            "policy-trusts-open-table",
            "null-discriminator",
            "scalar-membership",
            "self-compared-column",
            "storage-policy",
            "per-row-identity",
            "volatile-policy",
            "multiple-permissive",
            "claims-in-settings",
            "session-wide-claims",
        ],
    ),
    (
        "No door beside the policies: views, functions, triggers, publications",
        &[
            "definer-view",
            "exposed-matview",
            "exposed-foreign-table",
            "exposed-users",
            "definer-function",
            "definer-trigger",
            "mutable-search-path",
            "leakproof-function",
            "realtime",
            "graphql-and-queues",
            "second-write-path",
            "extension-in-public",
        ],
    ),
    (
        "Grants that row-level security does not cover",
        &["privileges-beyond-rls", "default-privileges", "exposed-column", "key-oracle", "cascade-past-rls"],
    ),
    (
        "Schema and server",
        &[
            "unindexed-owner-column",
            "missing-unique-pair",
            "user-foreign-key-action",
            "foreign-key-to-auth-unique",
            "server-cve",
        ],
    ),
];

/// Writing that is open to all, one rule a command, so that each is accepted by itself.
pub const OPEN: &[&str] = &["open-insert", "open-update", "open-delete"];

/// Whether a rule's findings are told by rows and conditions, table by table.
pub(super) fn is_of_matrix(rule: &str) -> bool {
    Reach::ALL.iter().any(|reach| reach.rule() == rule)
        || OPEN.contains(&rule)
        || ["public-read", "rls-off", "partition-without-rls"].contains(&rule)
}

fn accepted_text(acceptance: &Acceptance) -> String {
    format!("accepted until {} by {}: {}", acceptance.until, acceptance.by, acceptance.reason)
}

/// What to do about a finding that only a person can decide.
fn review(finding: &Finding) -> String {
    let key = finding.key().replace('\'', "''");
    format!(
        "{} If it is meant: SELECT crewsnow_ops.accept_finding('{key}', 'why', now() + interval '90 days');",
        finding.detail
    )
}

fn general(rule: &'static str, severity: Severity, detail: &str, evidence: String) -> Finding {
    Finding {
        rule,
        severity,
        confidence: Confidence::Proved,
        object: "the audit".to_owned(),
        relation: None,
        policy: None,
        detail: detail.to_owned(),
        evidence,
        remediation: None,
        cache_key: None,
    }
}

/// A row of audit_all_rls_policies.
pub struct PolicyRow {
    /// The table.
    pub table: String,
    /// The policy, unless it is about the table.
    pub policy: Option<String>,
    /// SELECT, INSERT, UPDATE, DELETE or ALL.
    pub command: Option<&'static str>,
    /// For whom.
    pub roles: Option<Vec<String>>,
    /// SECURE, PUBLIC_READ_OK, NEEDS_REVIEW or VULNERABLE.
    pub status: &'static str,
    /// HIGH, MEDIUM or LOW.
    pub level: &'static str,
    /// What was found.
    pub issues: Vec<String>,
}

/// A row of generate_rls_checklist.
pub struct Requirement {
    /// What is required.
    pub requirement: &'static str,
    /// Of what.
    pub table: String,
    /// SECURE, NEEDS_REVIEW, MISSING or VULNERABLE.
    pub status: &'static str,
    /// Whether it has a policy.
    pub policy_exists: bool,
    /// Whether a policy asks who asks.
    pub auth_uid_check: bool,
    /// What to do.
    pub recommendation: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_in_one_section() {
        let ids = rules::RULES.iter().map(|rule| rule.id).chain(Reach::ALL.iter().map(|reach| reach.rule()));
        for id in ids.chain(OPEN.iter().copied()).chain([
            "public-read",
            "failing-policies",
            "exempt-role",
            "detector-broken",
            "no-clients",
        ]) {
            let sections = SECTIONS.iter().filter(|(_, rules)| rules.contains(&id)).count();
            assert_eq!(sections, 1, "{id}");
        }
    }
}
