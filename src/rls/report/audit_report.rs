//! An audit with its findings and acceptances.

use super::acceptances::Acceptances;
use super::cause;
use super::cause::Cause;
use super::open_secrets;
use super::trusts;
use crate::pg::catalog::lookup;
use crate::rls::audit::Audit;
use crate::rls::engine::self_test;
use crate::rls::error::RlsError;
use crate::rls::model;
use crate::rls::model::{Confidence, Finding, Reach, Severity};
use crate::rls::report::remediation_proof::Prover;
use crate::rls::report::rule_remediation;
use crate::rls::store::Acceptance;
use crate::rls::target::policy;
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use crate::rls::{rules, store};
use pgrx::spi::Spi;
use std::rc::Rc;

/// One audit, its findings and acceptances.
pub struct Report {
    /// The audit.
    pub audit: Audit,
    /// The findings, worst first.
    pub findings: Vec<Finding>,
    /// The findings by root cause, worst first.
    pub causes: Vec<Cause>,
    /// The acceptances of findings and tables.
    pub accepted: Acceptances,
    /// Whether the database has no table: nothing to audit.
    pub is_empty: bool,
}

impl Report {
    /// Runs the audit.
    pub fn make() -> Result<Self, RlsError> {
        let mut audit = Audit::run(None)?;
        let _facts = policy::cache_facts(Rc::clone(&audit.facts));
        let mut findings = audit.findings();
        audit.find_trusts();
        let mut prover = Prover::new(&audit, Vec::new())?;
        prover.complete(&mut findings);
        let is_empty = !has_tables()?;
        // If the audit misjudges its own self-test tables, its other verdicts cannot be trusted.
        if let Err(why) = self_test::run(&audit.application) {
            findings.push(general(
                "audit-self-test-failed",
                Severity::Critical,
                "The audit misjudges its own self-test tables: trust none of its verdicts.",
                why,
            ));
        }
        if audit.application.roles.is_empty() {
            let why = "Neither crewsnow_ops.anonymous_role nor crewsnow_ops.user_role names an \
                existing role. Nothing was audited.";
            // Without tables, there is nothing to audit.
            let severity = match is_empty {
                true => Severity::Info,
                false => Severity::High,
            };
            let command = "SHOW crewsnow_ops.user_role;".to_owned();
            findings.push(general("no-clients", severity, why, command));
        }
        // Nothing depends on a setting in a database without tables.
        let unresolved = match is_empty {
            true => Vec::new(),
            false => audit.application.unresolved_settings(),
        };
        for (what, why) in unresolved {
            findings.push(Finding {
                rule: "inconclusive",
                confidence: Confidence::Suspected,
                object: what.to_owned(),
                ..general(
                    "inconclusive",
                    Severity::Info,
                    "Checks that depend on it were skipped.",
                    why,
                )
            });
        }
        let mut of_rules = rules::findings(&audit.application);
        of_rules.extend(trusts::findings(&audit));
        rule_remediation::withhold_harmful(&audit, &mut prover, &mut of_rules);
        findings.extend(of_rules);
        open_secrets::raise(&mut findings, &audit);
        audit.add_undeparsed(&mut findings);
        add_cache_keys(&mut findings);
        model::sort(&mut findings);
        rule_remediation::withhold_conflicting(&mut findings);
        let accepted = Acceptances::of(store::acceptances()?, &audit, &findings, is_of_matrix);
        for finding in &mut findings {
            let lapsed = accepted.lapsed(finding);
            if !lapsed.is_empty() {
                finding.detail += &lapsed;
            } else if let Some(statement) = accept_table(finding, &accepted, &audit) {
                finding.detail += &format!("{IF_PUBLIC}{statement}");
            }
        }
        let causes = cause::causes(
            &findings,
            |rule| is_of_matrix(rule) || rules::rule(rule).is_none(),
            |table| lookup::table_name(pgrx::pg_sys::Oid::from(table)),
            |finding| accepted.covering(&findings[finding]).map(accepted_text),
        );
        Ok(Self { accepted, audit, findings, causes, is_empty })
    }

    /// The acceptance of a finding, unless it expired or the finding became worse.
    pub fn acceptance(&self, finding: &Finding) -> Option<&Acceptance> {
        self.accepted.covering(finding)
    }

    /// The acceptance of all findings of a cause.
    pub fn acceptance_of_cause(&self, cause: &Cause) -> Option<&Acceptance> {
        self.acceptance(&self.findings[*cause.parts.first()?])
    }

    /// The causes with this name, those without an acceptance first.
    pub fn causes_named(&self, key: &str) -> Vec<&Cause> {
        let mut named: Vec<&Cause> = self.causes.iter().filter(|cause| cause.key == key).collect();
        named.sort_by_key(|cause| self.acceptance_of_cause(cause).is_some());
        named
    }

    /// The findings of the cause with this name, as keys: of one with the same remediation as
    /// another, only the first.
    pub fn parts_of_cause(&self, key: &str) -> Vec<String> {
        let mut scripts: Vec<Option<&str>> = Vec::new();
        let causes = self.causes_named(key);
        let parts = causes.iter().flat_map(|cause| &cause.parts).map(|part| &self.findings[*part]);
        parts
            .filter(|part| {
                let script = part.remediation.as_deref();
                let is_new = !scripts.contains(&script);
                scripts.push(script);
                is_new
            })
            .map(Finding::key)
            .collect()
    }

    /// The causes without an acceptance.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Cause> {
        self.causes.iter().filter(|cause| self.acceptance_of_cause(cause).is_none())
    }

    /// The rows of audit_all_rls_policies: one per policy, and one per table that has no policy,
    /// has row-level security off, or has findings of its own.
    pub fn policies(&self) -> Vec<PolicyRow> {
        let mut rows = Vec::new();
        for (table, _) in &self.audit.tables {
            let of_table: Vec<&Policy> = self
                .audit
                .policies
                .iter()
                .filter(|policy| policy.relation == table.oid())
                .collect();
            // An inconclusive table makes its policies inconclusive, too.
            let is_inconclusive = |finding: &Finding| match finding.rule {
                "inconclusive" | "unknown-owner" => finding.relation == Some(table.oid().to_u32()),
                rule => rule == "audit-self-test-failed",
            };
            for policy in &of_table {
                let is_of = |finding: &&Finding| {
                    finding.policy == Some(policy.oid.to_u32()) || is_inconclusive(finding)
                };
                let findings = self.findings.iter().filter(is_of);
                rows.push(self.policy_row(table, Some(policy), findings.collect()));
            }
            let findings: Vec<&Finding> = self
                .findings
                .iter()
                .filter(|finding| {
                    finding.relation == Some(table.oid().to_u32()) && finding.policy.is_none()
                })
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

    fn policy_row(
        &self,
        table: &Table,
        policy: Option<&Policy>,
        findings: Vec<&Finding>,
    ) -> PolicyRow {
        let mut issues = Vec::new();
        let mut is_public = false;
        let mut status = "SECURE";
        for finding in findings {
            if let Some(acceptance) = self.acceptance(finding) {
                issues.push(format!(
                    "accepted until {} by {}: {}",
                    acceptance.until, acceptance.by, finding.detail
                ));
                is_public |= self.accepted.is_public(finding);
                continue;
            }
            issues.push(format!(
                "{} {}: {}",
                finding.severity.as_str(),
                finding.rule,
                finding.detail
            ));
            let is_certain = finding.confidence != Confidence::Suspected;
            status = match (finding.severity, finding.rule) {
                (_, "inconclusive" | "audit-self-test-failed") if status != "VULNERABLE" => {
                    "NEEDS_REVIEW"
                }
                (Severity::Critical | Severity::High, _) if is_certain => "VULNERABLE",
                _ if status == "VULNERABLE" => status,
                (Severity::Critical | Severity::High | Severity::Medium, _)
                | (_, "public-read" | "unknown-owner") => "NEEDS_REVIEW",
                _ => status,
            };
        }
        if status == "SECURE" && is_public {
            status = "PUBLIC_READ_OK";
        }
        if policy.is_none() && !table.is_secured && issues.is_empty() {
            issues.push(
                "row-level security is off; no client role has privileges on the table".to_owned(),
            );
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
                    _ => crate::pg::xact::sec_context::role_name(*role),
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
}

/// Precedes the statement that accepts the content of a table, at the end of a detail.
pub const IF_PUBLIC: &str = " If its content is meant to be public: ";

/// Writes that are open to all: one rule per command, so that each is accepted by itself.
pub const OPEN: &[&str] = &["open-insert", "open-update", "open-delete"];

/// Whether the findings of a rule are verdicts on tables (rls_matrix).
pub(crate) fn is_of_matrix(rule: &str) -> bool {
    Reach::ALL.iter().any(|reach| reach.rule() == rule)
        || OPEN.contains(&rule)
        || ["public-read", "rls-off", "partition-without-rls"].contains(&rule)
        || ["unknown-owner", "shared-write"].contains(&rule)
}

pub(crate) fn accepted_text(acceptance: &Acceptance) -> String {
    format!("accepted until {} by {}: {}", acceptance.until, acceptance.by, acceptance.reason)
}

/// The statement that accepts the content of a table as public, for a finding that it covers.
///
/// A leak through a policy with a condition is hardly meant, so its text does not suggest that.
fn accept_table(finding: &Finding, accepted: &Acceptances, audit: &Audit) -> Option<String> {
    let is_constant = audit.facts.iter().any(|clause| {
        Some(clause.policy.to_u32()) == finding.policy
            && clause.clause == "using"
            && clause.constant == Some("true")
    });
    if accepted.covering(finding).is_some()
        || !(finding.rule == "public-read" || finding.rule == "read-leak" && is_constant)
    {
        return None;
    }
    let table = lookup::table_name(pgrx::pg_sys::Oid::from(finding.relation?))?;
    Some(accept_statement(&table))
}

/// The statement that accepts a finding or the content of a table.
pub fn accept_statement(key: &str) -> String {
    let key = key.replace('\'', "''");
    format!("SELECT crewsnow_ops.accept_finding('{key}', 'why', now() + interval '90 days');")
}

fn has_tables() -> Result<bool, RlsError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/rls/has_tables.sql");
        Ok(client.select(sql, Some(1), &[])?.first().get_one()?.unwrap_or(true))
    })
}

/// Adds the cache_keys of splinter's lint 0024 to findings about writes without a condition.
fn add_cache_keys(findings: &mut [Finding]) {
    let keys = rules::always_true_policies();
    for finding in findings.iter_mut().filter(|finding| finding.cache_key.is_none()) {
        let is_write = is_of_matrix(finding.rule)
            && !["read-leak", "public-read", "rls-off", "partition-without-rls"]
                .contains(&finding.rule);
        if !is_write && !["policy-for-public", "policy-name-lies"].contains(&finding.rule) {
            continue;
        }
        let of: Vec<&str> = keys
            .iter()
            .filter(|(policy, table, _)| match finding.policy {
                Some(of) => of == *policy,
                None => finding.relation == Some(*table),
            })
            .map(|(_, _, key)| key.as_str())
            .collect();
        finding.cache_key = (!of.is_empty()).then(|| of.join("\n"));
    }
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
    /// The policy; `None` for a row about the table.
    pub policy: Option<String>,
    /// SELECT, INSERT, UPDATE, DELETE or ALL.
    pub command: Option<&'static str>,
    /// Roles of the policy.
    pub roles: Option<Vec<String>>,
    /// SECURE, PUBLIC_READ_OK, NEEDS_REVIEW or VULNERABLE.
    pub status: &'static str,
    /// HIGH, MEDIUM or LOW.
    pub level: &'static str,
    /// Findings, as text.
    pub issues: Vec<String>,
}
