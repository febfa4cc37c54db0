//! The harm of a finding to users, which orders a report. Pure.
//!
//! A status alone is not enough: a report that is refreshed once a month may be CRITICAL by its
//! limit, and still no statement of a user waits for it. A finding that blocks users now stands
//! above it, even as a WARNING.

use super::finding::{Finding, Status};

/// When a check's finding harms users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Statements fail, wait or are slow.
    Now,
    /// The service fails in hours or days if the operator does nothing.
    Soon,
    /// A matter of hygiene: nothing fails because of it.
    Later,
}

/// Checks of harm to users now, causes before their symptoms.
pub(super) const NOW: [&str; 23] = [
    "Checksum Failures",
    "Blocked Sessions",
    "Statement Pile-up",
    "Commit Waits",
    "Idle in Transaction",
    "Connections",
    "Pooler Queue",
    "Wait Profile",
    "Active Connections",
    "Slow Queries",
    "Avg Query Time",
    "Long Queries",
    "Long Transactions",
    "Lock Table",
    "Replay",
    "Recovery Conflicts",
    "Temp Files",
    "Subscriptions",
    "Prepared Transactions",
    "Session Deaths",
    "Deadlocks",
    "Rollbacks",
    "Replication",
];

/// Checks of hygiene, of both reports.
pub(super) const LATER: [&str; 27] = [
    "Restart",
    "Invalid Indexes",
    "Cache Hit",
    "Checkpoints",
    "WAL Rate",
    "KPI Freshness",
    "Durability",
    "Configuration Errors",
    "Pending Settings",
    "Statement Statistics",
    "Health Samples",
    "Database Size",
    "All Sequences",
    "Integer Keys",
    "Table Bloat",
    "Index Bloat",
    "Stale Statistics",
    "Sequential Scans",
    "Unindexed Foreign Keys",
    "Unused Indexes",
    "Duplicate Indexes",
    "Missing Primary Keys",
    "Unvalidated Constraints",
    "Disabled Triggers",
    "Flags in Checks",
    "Unlogged Tables",
    "Extension Versions",
];

/// A check that names the cause, and the checks that show its symptoms. The cause stands above
/// them.
const CAUSES: [(&str, &[&str]); 4] = [
    ("Blocked Sessions", SYMPTOMS),
    ("Statement Pile-up", SYMPTOMS),
    ("Idle in Transaction", &["Connections", "Pooler Queue"]),
    ("Wait Profile", &["Active Connections", "Slow Queries", "Avg Query Time"]),
];
const SYMPTOMS: &[&str] = &[
    "Connections",
    "Pooler Queue",
    "Active Connections",
    "Slow Queries",
    "Avg Query Time",
    "Idle in Transaction",
    "Long Queries",
    "Long Transactions",
    "Wait Profile",
    "Lock Table",
];

/// The harm of a check's findings.
#[must_use]
pub fn of_check(metric: &str) -> Harm {
    match () {
        () if LATER.contains(&metric) => Harm::Later,
        () if NOW.contains(&metric) => Harm::Now,
        () => Harm::Soon,
    }
}

/// The harm of a finding. One about the whole lifetime of the statistics says nothing of now.
#[must_use]
pub fn of(finding: &Finding) -> Harm {
    let is_of_lifetime =
        finding.since.as_deref().is_some_and(|since| since.starts_with("lifetime"));
    match of_check(finding.metric) {
        Harm::Now if is_of_lifetime => Harm::Later,
        harm => harm,
    }
}

/// The place of a finding's class in a report, the worst first.
fn rank(finding: &Finding) -> u8 {
    match (finding.status, of(finding)) {
        (Status::Critical, Harm::Now) => 0,
        (Status::Critical, Harm::Soon) => 1,
        (Status::Warning, Harm::Now) => 2,
        (Status::Critical, Harm::Later) => 3,
        (Status::Warning, Harm::Soon) => 4,
        (Status::Warning, Harm::Later) => 5,
        (Status::Skipped, Harm::Now) => 6,
        (Status::Skipped, _) => 7,
        (Status::Ok, _) => 8,
    }
}

/// The place of a check among those of equal rank. Checks that no list names keep their order. On a
/// busy server checks run in this order, so that the budget is spent on harm to users now.
#[must_use]
pub fn place(metric: &str) -> (Harm, usize) {
    let place = |names: &[&str]| names.iter().position(|name| *name == metric).unwrap_or(0);
    match of_check(metric) {
        Harm::Now => (Harm::Now, place(&NOW)),
        Harm::Soon => (Harm::Soon, 0),
        Harm::Later => (Harm::Later, place(&LATER)),
    }
}

/// Sorts worst first. Findings of equal harm keep the order of the checks.
pub fn sort(findings: &mut [Finding]) {
    let is_problem = |finding: &Finding| finding.status <= Status::Warning;
    let of_symptoms = |symptoms: &[&str]| {
        let shown = |finding: &&Finding| is_problem(finding) && symptoms.contains(&finding.metric);
        findings.iter().filter(shown).map(rank).min()
    };
    let raised = CAUSES.map(|(cause, symptoms)| (cause, of_symptoms(symptoms)));
    let key = |finding: &Finding| {
        let own = rank(finding);
        let symptom = raised.iter().find(|(cause, _)| *cause == finding.metric);
        let rank = match symptom {
            Some((_, Some(symptom))) if is_problem(finding) => own.min(*symptom),
            _ => own,
        };
        (rank, place(finding.metric))
    };
    findings.sort_by_cached_key(key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(metric: &'static str, status: Status) -> Finding {
        Finding { status, ..Finding::skipped(metric, String::new()) }
    }

    fn sorted(mut findings: Vec<Finding>) -> Vec<&'static str> {
        sort(&mut findings);
        findings.iter().map(|finding| finding.metric).collect()
    }

    #[test]
    fn an_outage_stands_above_a_stale_report() {
        assert_eq!(
            sorted(vec![
                finding("KPI Freshness", Status::Critical),
                finding("Checkpoints", Status::Warning),
                finding("Sequences", Status::Warning),
                finding("Blocked Sessions", Status::Warning),
                finding("Wraparound", Status::Critical),
                finding("Connections", Status::Ok),
                finding("Deadlocks", Status::Skipped),
            ]),
            [
                "Wraparound",
                "Blocked Sessions",
                "KPI Freshness",
                "Sequences",
                "Checkpoints",
                "Deadlocks",
                "Connections"
            ]
        );
    }

    #[test]
    fn a_cause_stands_above_its_symptoms() {
        let jam = vec![
            finding("Connections", Status::Critical),
            finding("Active Connections", Status::Critical),
            finding("Blocked Sessions", Status::Warning),
            finding("Checksum Failures", Status::Critical),
        ];
        assert_eq!(
            sorted(jam),
            ["Checksum Failures", "Blocked Sessions", "Connections", "Active Connections"]
        );
        let full =
            vec![finding("Blocked Sessions", Status::Ok), finding("Connections", Status::Critical)];
        assert_eq!(sorted(full), ["Connections", "Blocked Sessions"], "a cause must be found");
    }

    #[test]
    fn a_figure_of_the_lifetime_is_no_harm_now() {
        let old = Finding {
            since: Some("lifetime since 2020-01-01".to_owned()),
            ..finding("Rollbacks", Status::Warning)
        };
        assert_eq!(of(&old), Harm::Later);
        assert_eq!(sorted(vec![old, finding("Sequences", Status::Warning)])[0], "Sequences");
        assert_eq!(of_check("Unused Indexes"), Harm::Later);
        assert_eq!(of_check("Sequences"), Harm::Soon);
    }
}
