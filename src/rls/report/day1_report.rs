//! The audit as a report for a person, in sections.

use super::audit_report::{Report, accepted_text};
use super::cause::Cause;
use super::overview::lines;
use crate::rls::model::Severity;

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
        let worst = lines(&self.worst(FIRST_LINES));
        if !worst.is_empty() {
            text += "\nWorst first; SELECT crewsnow_ops.rls_finding('1') prints the first\n";
            text += &worst;
        }
        for (title, rules) in SECTIONS {
            let of: Vec<&Cause> =
                self.causes.iter().filter(|cause| rules.contains(&cause.finding.rule)).collect();
            let open: Vec<&&Cause> =
                of.iter().filter(|cause| self.acceptance_of_cause(cause).is_none()).collect();
            let failed =
                open.iter().filter(|cause| cause.finding.severity <= Severity::Medium).count();
            let is_of = |cause: &&Cause| match cause.finding.object.strip_prefix("rule ") {
                Some(rule) => rules.contains(&rule),
                None => rules.contains(&"read-leak"),
            };
            let inconclusive = self.inconclusive().filter(is_of).count();
            text += &match failed {
                0 if self.is_empty || self.has_no_clients() => {
                    format!("\n[NO_DATA] {title}\n")
                }
                0 if inconclusive > 0 => format!("\n[{inconclusive} INCONCLUSIVE] {title}\n"),
                0 => format!("\n[ok] {title}\n"),
                n => format!("\n[{n} FAILED] {title}\n"),
            };
            for cause in of.iter().filter(|cause| {
                cause.finding.severity < Severity::Info || cause.finding.rule == "public-read"
            }) {
                text += &self.paragraph(cause);
            }
        }
        let inconclusive: Vec<&Cause> = self.inconclusive().collect();
        if !inconclusive.is_empty() {
            text += &format!("\n[{} INCONCLUSIVE]\n", inconclusive.len());
            for cause in &inconclusive {
                text += &format!("  {}: {}\n", cause.finding.object, cause.finding.evidence);
            }
        }
        text + &self.result(inconclusive.len())
    }

    /// The open causes about tables or rules that could not be judged.
    fn inconclusive(&self) -> impl Iterator<Item = &Cause> {
        self.open().filter(|cause| cause.finding.rule == "inconclusive")
    }

    /// Whether neither client role exists.
    pub fn has_no_clients(&self) -> bool {
        self.audit.application.roles.is_empty()
    }

    /// A cause with its acceptance or its remediation.
    fn paragraph(&self, cause: &Cause) -> String {
        let finding = &cause.finding;
        let acceptance = self.acceptance_of_cause(cause);
        let accepted = acceptance.map(|acceptance| format!(" ({})", accepted_text(acceptance)));
        let mut text = format!(
            "  {} {} {}: {}{}\n",
            finding.severity.as_str(),
            finding.confidence.as_str(),
            finding.object,
            finding.detail,
            accepted.unwrap_or_default()
        );
        if let (Some(remediation), None) = (&finding.remediation, acceptance) {
            text += &remediation.lines().map(|line| format!("      {line}\n")).collect::<String>();
        }
        text
    }

    /// The last block: the failed checks, or those that could not be made.
    fn result(&self, inconclusive: usize) -> String {
        let count =
            |severity| self.open().filter(|cause| cause.finding.severity == severity).count();
        let counts = [Severity::Critical, Severity::High, Severity::Medium].map(count);
        match (counts.iter().sum::<usize>(), inconclusive) {
            (0, _) if self.is_empty => {
                "\nNO_DATA: the database has no table, nothing was checked".to_owned()
            }
            (1, _) if self.has_no_clients() => {
                "\nNO_DATA: no client role exists, nothing was checked".to_owned()
            }
            // The checklist and decisions read the same reviews.
            (0, 0) => match self.verdict().reviews.len() {
                0 => "\nALL CHECKS PASSED".to_owned(),
                n => format!("\nNO CHECK FAILED, {n} TO REVIEW"),
            },
            (0, n) => format!("\nNO CHECK FAILED, {n} INCONCLUSIVE"),
            (n, _) => format!(
                "\n{n} CHECKS FAILED: {} critical, {} high, {} medium",
                counts[0], counts[1], counts[2]
            ),
        }
    }
}

/// How many causes the first lines of the report list.
const FIRST_LINES: usize = 10;

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
            "login-role-policy",
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
