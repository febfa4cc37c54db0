//! The audit as a report for a person, in sections.

use super::audit_report::{Report, accepted_text};
use crate::rls::model::{Finding, Severity};

impl Report {
    /// The text of run_day1_database_security_audit.
    pub fn day1(&self, database: &str, server: &str) -> String {
        let mut text = format!("Security audit of database {database}, PostgreSQL {server}\n");
        let names: Vec<&str> =
            self.audit.application.roles.iter().map(|role| role.name.as_str()).collect();
        let policies = self.audit.policies.len();
        text += &format!(
            "Client roles: {}; {} tables, {policies} policies\n",
            names.join(", "),
            self.audit.tables.len()
        );
        for (title, rules) in SECTIONS {
            let of: Vec<&Finding> =
                self.findings.iter().filter(|finding| rules.contains(&finding.rule)).collect();
            let open: Vec<&&Finding> =
                of.iter().filter(|finding| self.acceptance(finding).is_none()).collect();
            let failed = open.iter().filter(|finding| finding.severity <= Severity::Medium).count();
            let is_of = |finding: &&Finding| match finding.object.strip_prefix("rule ") {
                Some(rule) => rules.contains(&rule),
                None => rules.contains(&"read-leak"),
            };
            let inconclusive =
                self.open().filter(|finding| finding.rule == "inconclusive").filter(is_of).count();
            text += &match failed {
                0 if inconclusive > 0 => format!("\n[{inconclusive} INCONCLUSIVE] {title}\n"),
                0 => format!("\n[ok] {title}\n"),
                n => format!("\n[{n} FAILED] {title}\n"),
            };
            for finding in of.iter().filter(|finding| {
                finding.severity < Severity::Info || finding.rule == "public-read"
            }) {
                let accepted = self
                    .acceptance(finding)
                    .map(|acceptance| format!(" ({})", accepted_text(acceptance)));
                text += &format!(
                    "  {} {} {}: {}{}\n",
                    finding.severity.as_str(),
                    finding.confidence.as_str(),
                    finding.object,
                    finding.detail,
                    accepted.unwrap_or_default()
                );
                if let (Some(remediation), None) = (&finding.remediation, self.acceptance(finding))
                {
                    text += &remediation
                        .lines()
                        .map(|line| format!("      {line}\n"))
                        .collect::<String>();
                }
            }
        }
        let inconclusive: Vec<&Finding> =
            self.open().filter(|finding| finding.rule == "inconclusive").collect();
        if !inconclusive.is_empty() {
            text += &format!("\n[{} INCONCLUSIVE]\n", inconclusive.len());
            for finding in &inconclusive {
                text += &format!("  {}: {}\n", finding.object, finding.evidence);
            }
        }
        let count = |severity| self.open().filter(|finding| finding.severity == severity).count();
        let counts = [Severity::Critical, Severity::High, Severity::Medium].map(count);
        text += &match (counts.iter().sum::<usize>(), inconclusive.len()) {
            (0, 0) => "\nALL CHECKS PASSED".to_owned(),
            (0, n) => format!("\nNO CHECK FAILED, {n} INCONCLUSIVE"),
            (n, _) => format!(
                "\n{n} CHECKS FAILED: {} critical, {} high, {} medium",
                counts[0], counts[1], counts[2]
            ),
        };
        text
    }
}

/// The sections of the report, with their rules.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "Users reach only their own rows",
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
            "latent-leak",
            "unknown-owner",
            "shared-write",
            "failing-policies",
            "exempt-role",
            "audit-self-test-failed",
            "no-clients",
        ],
    ),
    (
        "Row-level security is enabled and enforced on tables that client roles reach",
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
        "Policies enforce what they state",
        &[
            "policy-for-public",
            "policy-name-lies",
            "user-metadata",
            "weak-identity",
            "immutable-session-function",
            "policy-trusts-open-table",
            "self-written-membership",
            "foreign-team-rows",
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
        "No access path bypasses policies: views, functions, triggers, publications",
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
        "Privileges that row-level security does not restrict",
        &[
            "privileges-beyond-rls",
            "default-privileges",
            "exposed-column",
            "key-oracle",
            "cascade-past-rls",
        ],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rls::model::Reach;
    use crate::rls::report::audit_report::OPEN;
    use crate::rls::rules;

    #[test]
    fn every_rule_is_in_one_section() {
        let ids = rules::RULES
            .iter()
            .map(|rule| rule.id)
            .chain(Reach::ALL.iter().map(|reach| reach.rule()));
        for id in ids.chain(OPEN.iter().copied()).chain([
            "public-read",
            "latent-leak",
            "unknown-owner",
            "shared-write",
            "failing-policies",
            "exempt-role",
            "audit-self-test-failed",
            "no-clients",
        ]) {
            let sections = SECTIONS.iter().filter(|(_, rules)| rules.contains(&id)).count();
            assert_eq!(sections, 1, "{id}");
        }
    }
}
