//! Tables whose content is meant to be public, by all appearances: a list for an operator to
//! review. Nothing is accepted by itself.

use super::audit_report::{Report, accept_statement};
use crate::rls::error::RlsError;
use crate::rls::model::{Confidence, Severity};
use pgrx::pg_sys;
use pgrx::spi::Spi;
use std::collections::BTreeMap;

/// A table that an operator may want to accept.
pub struct PublicContent {
    /// The table.
    pub table: String,
    /// Severity of the worst finding that the acceptance would cover.
    pub severity: Severity,
    /// The reason for the suggestion.
    pub evidence: String,
    /// The statement that accepts the table.
    pub statement: String,
}

impl Report {
    /// The obvious tables of public content without an acceptance, worst first.
    pub fn public_content(&self) -> Result<Vec<PublicContent>, RlsError> {
        let mut open: BTreeMap<u32, (Severity, Vec<String>)> = BTreeMap::new();
        for finding in &self.findings {
            let is_readable = self.accepted.is_readable(finding)
                && finding.confidence == Confidence::Proved
                && self.acceptance(finding).is_none()
                && self.is_read_without_condition(finding.relation);
            if let (true, Some(relation)) = (is_readable, finding.relation) {
                let entry = open.entry(relation).or_insert((finding.severity, Vec::new()));
                entry.1.push(format!("{} by {}", finding.rule, finding.object));
            }
        }
        let oids: Vec<pg_sys::Oid> = open.keys().map(|oid| pg_sys::Oid::from(*oid)).collect();
        let obvious = Spi::connect(|client| {
            let mut obvious: BTreeMap<u32, String> = BTreeMap::new();
            let sql = include_str!("../../../sql/rls/public_content.sql");
            for row in client.select(sql, None, &[oids.into()])? {
                if let (Some(table), Some(word)) = (row.get::<pg_sys::Oid>(1)?, row.get(2)?) {
                    obvious.insert(table.to_u32(), word);
                }
            }
            Ok::<_, RlsError>(obvious)
        })?;
        let mut rows: Vec<PublicContent> = self
            .audit
            .tables
            .iter()
            .filter_map(|(table, _)| {
                let relation = table.oid().to_u32();
                let (severity, findings) = open.get(&relation)?;
                let word = obvious.get(&relation)?;
                Some(PublicContent {
                    table: table.named.name.clone(),
                    severity: *severity,
                    evidence: format!(
                        "named for public content ({word}), no private column by name; {}",
                        findings.join("; ")
                    ),
                    statement: accept_statement(&table.named.name),
                })
            })
            .collect();
        rows.sort_by(|a, b| (a.severity, &a.table).cmp(&(b.severity, &b.table)));
        Ok(rows)
    }

    /// Whether a policy for reading the table has no condition.
    fn is_read_without_condition(&self, relation: Option<u32>) -> bool {
        let policies = || {
            self.audit.policies.iter().filter(|policy| {
                Some(policy.relation.to_u32()) == relation
                    && policy.is_permissive
                    && policy.command == 'r'
            })
        };
        self.audit.facts.iter().any(|clause| {
            clause.clause == "using"
                && clause.constant == Some("true")
                && policies().any(|policy| policy.oid == clause.policy)
        })
    }
}
