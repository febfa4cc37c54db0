//! Findings as reports: the audit, the checklist, the day-1 report, and their remediations.

pub mod acceptances;
pub mod audit_report;
pub mod audit_verdict;
pub mod cause;
pub mod checklist;
pub mod day1_report;
pub mod open_secrets;
pub mod overview;
pub mod ownership;
pub mod public_content;
pub mod remediation;
pub mod remediation_proof;
pub mod rule_remediation;
pub mod trusts;
pub mod verdict_findings;
