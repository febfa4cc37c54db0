//! Acceptances as they apply to the findings of one audit.

use crate::rls::audit::Audit;
use crate::rls::model::{Confidence, Finding, Reach, Severity};
use crate::rls::store::{Acceptance, READABLE};
use crate::rls::target::table::Table;
use std::collections::{BTreeMap, BTreeSet};

/// The acceptances in force, and the tables whose acceptance is void at present.
pub struct Acceptances {
    stored: BTreeMap<String, Acceptance>,
    /// For each table, the name of its acceptance.
    tables: BTreeMap<u32, String>,
    /// Findings that say no more than that a table is readable.
    readable: BTreeSet<String>,
    /// Tables with an open finding that is worse than reading, which voids their acceptance.
    void: BTreeMap<u32, String>,
}

/// The name under which the acceptance of a table's content is stored.
pub fn of_table(name: &str) -> String {
    format!("table {name}")
}

impl Acceptances {
    /// Relates the stored acceptances to the findings of an audit. `is_verdict` holds for rules
    /// whose findings are verdicts on one table.
    pub fn of(
        stored: BTreeMap<String, Acceptance>,
        audit: &Audit,
        findings: &[Finding],
        is_verdict: impl Fn(&str) -> bool,
    ) -> Self {
        let mut acceptances = Self {
            stored,
            tables: BTreeMap::new(),
            readable: BTreeSet::new(),
            void: BTreeMap::new(),
        };
        for (table, _) in &audit.tables {
            let relation = table.oid().to_u32();
            acceptances.tables.insert(relation, of_table(&table.named.name));
            let of = || findings.iter().filter(|finding| finding.relation == Some(relation));
            let readable = of().filter(|finding| only_reads(finding, table, audit));
            acceptances.readable.extend(readable.map(Finding::key));
            if let Some(worse) = of().find(|finding| acceptances.is_worse(finding, &is_verdict)) {
                acceptances.void.insert(relation, worse.key());
            }
        }
        acceptances
    }

    /// Whether a finding voids the acceptance of its table: a write, or a column with secrets.
    fn is_worse(&self, finding: &Finding, is_verdict: impl Fn(&str) -> bool) -> bool {
        let is_write = is_verdict(finding.rule) || finding.rule == "policy-for-public";
        (is_write || ["exposed-column", "policy-name-lies"].contains(&finding.rule))
            && finding.severity <= Severity::Medium
            && finding.confidence != Confidence::Suspected
            && !self.readable.contains(&finding.key())
            && self.by_name(finding).is_none()
    }

    /// The acceptance of the finding itself, unless the finding became worse.
    fn by_name(&self, finding: &Finding) -> Option<&Acceptance> {
        self.stored.get(&finding.key()).filter(|acceptance| finding.severity >= acceptance.severity)
    }

    /// The acceptance that covers a finding: its own, or that of its table.
    pub fn covering(&self, finding: &Finding) -> Option<&Acceptance> {
        self.by_name(finding).or_else(|| {
            let relation = finding.relation?;
            let acceptance = self.stored.get(self.tables.get(&relation)?)?;
            (self.readable.contains(&finding.key())
                && finding.severity >= acceptance.severity
                && !self.void.contains_key(&relation))
            .then_some(acceptance)
        })
    }

    /// Whether an accepted finding says that reading is meant to be public.
    pub fn is_public(&self, finding: &Finding) -> bool {
        finding.rule == "public-read" || self.by_name(finding).is_none()
    }

    /// Whether the acceptance of a table would cover the finding.
    pub fn is_readable(&self, finding: &Finding) -> bool {
        self.readable.contains(&finding.key())
    }

    /// The finding that voids the acceptance of a table at present.
    pub fn void_because(&self, table: &str) -> Option<&str> {
        let name = of_table(table);
        let (relation, _) = self.tables.iter().find(|(_, of)| **of == name)?;
        self.void.get(relation).map(String::as_str)
    }

    /// A sentence about an acceptance that no longer covers the finding; empty without one.
    pub fn lapsed(&self, finding: &Finding) -> String {
        if self.covering(finding).is_some() {
            return String::new();
        }
        let worse = |acceptance: &Acceptance| {
            format!(
                " {} accepted it until {} when it was {}. It is worse now.",
                acceptance.by,
                acceptance.until,
                acceptance.severity.as_str()
            )
        };
        if let Some(acceptance) = self.stored.get(&finding.key()) {
            return worse(acceptance);
        }
        let table = finding.relation.filter(|_| self.is_readable(finding));
        let Some((relation, acceptance)) = table
            .and_then(|relation| Some((relation, self.stored.get(self.tables.get(&relation)?)?)))
        else {
            return String::new();
        };
        match self.void.get(&relation) {
            Some(open) => format!(
                " {} accepted the table's content as public until {}. That is void while {open} is \
                 open.",
                acceptance.by, acceptance.until
            ),
            None => worse(acceptance),
        }
    }
}

/// Whether a finding says no more than that client roles read every row of the table.
fn only_reads(finding: &Finding, table: &Table, audit: &Audit) -> bool {
    READABLE.contains(&finding.rule)
        && match finding.rule {
            "rls-off" | "partition-without-rls" => {
                table.privileges.iter().all(|letters| !letters.contains(['i', 'u', 'd']))
            }
            "policy-name-lies" => audit
                .policies
                .iter()
                .any(|policy| Some(policy.oid.to_u32()) == finding.policy && policy.command == 'r'),
            _ => true,
        }
}

/// The severity that the acceptance of a table records: that of the worst finding it covers.
///
/// A leak to some users is accepted as a leak to all: public content has no smaller audience.
pub fn severity_of_table(covered: &[&Finding]) -> Option<Severity> {
    let worst = covered.iter().map(|finding| finding.severity).min()?;
    let has_leak = covered.iter().any(|finding| finding.rule == Reach::Read.rule());
    Some(if has_leak { Severity::Critical } else { worst })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rls::report::audit_report::{OPEN, is_of_matrix};

    #[test]
    fn no_write_counts_as_reading() {
        let reaches = Reach::ALL.into_iter().filter(|reach| *reach != Reach::Read);
        for rule in reaches.map(Reach::rule).chain(OPEN.iter().copied()) {
            assert!(!READABLE.contains(&rule) && is_of_matrix(rule), "{rule}");
        }
    }
}
