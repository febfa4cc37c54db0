//! The verdict on an audit that decisions, the day-1 report and the checklist share.

use super::audit_report::{Report, is_of_matrix};
use super::cause::Cause;
use crate::rls::error::RlsError;
use crate::rls::model::{Confidence, Finding, Severity, Verdict};

/// The open findings of an audit by their weight. Without any, the tables are known to be secure.
#[derive(Debug, Default)]
pub struct AuditVerdict {
    /// PROVED or OBSERVED findings that let an identity reach foreign rows, and any others that
    /// are CRITICAL or HIGH.
    pub leaks: Vec<String>,
    /// SUSPECTED findings that are CRITICAL or HIGH: nobody has refuted them.
    pub suspicions: Vec<String>,
    /// Findings that say that the audit could not decide.
    pub inconclusive: Vec<String>,
    /// Accepted leaks and suspicions, with author, expiry and reason.
    pub accepted: Vec<String>,
    /// Everything else for which a row of the checklist is not SECURE.
    pub reviews: Vec<String>,
    /// Number of audited tables.
    pub tables: usize,
}

/// Runs the audit and judges it.
pub fn judge() -> Result<AuditVerdict, RlsError> {
    Ok(Report::make()?.verdict())
}

fn is_inconclusive(finding: &Finding) -> bool {
    matches!(finding.rule, "inconclusive" | "audit-self-test-failed" | "no-clients")
}

fn is_serious(finding: &Finding) -> bool {
    finding.severity <= Severity::High && !is_inconclusive(finding)
}

fn is_leak(finding: &Finding) -> bool {
    let is_certain = finding.confidence != Confidence::Suspected && !is_inconclusive(finding);
    // A table without owners may be meant to be public.
    let is_reach = is_of_matrix(finding.rule)
        && finding.rule != "public-read"
        && finding.severity < Severity::Info;
    is_certain && (is_serious(finding) || is_reach)
}

fn is_suspicion(finding: &Finding) -> bool {
    finding.confidence == Confidence::Suspected && is_serious(finding)
}

impl Report {
    /// Judges the audit. An acceptance covers a finding for its time.
    pub fn verdict(&self) -> AuditVerdict {
        let open: Vec<&Cause> = self.open().collect();
        let keys = |which: fn(&Finding) -> bool| -> Vec<String> {
            let matching = open.iter().filter(|cause| which(&cause.finding));
            matching.map(|cause| cause.key.clone()).collect()
        };
        let is_reached = |verdict: &Verdict| !matches!(verdict, Verdict::NoAccess);
        let reached = self
            .audit
            .tables
            .iter()
            .filter(|(_, cells)| cells.iter().any(|cell| is_reached(&cell.verdict)));
        let tables = reached.count();
        let mut inconclusive = keys(is_inconclusive);
        if tables == 0 && inconclusive.is_empty() {
            inconclusive.push("requests reach no table".to_owned());
        }
        let accepted = |finding: &Finding| {
            let acceptance =
                self.acceptance(finding).filter(|_| is_leak(finding) || is_suspicion(finding))?;
            Some(format!(
                "{} by {} until {}: {}",
                finding.key(),
                acceptance.by,
                acceptance.until,
                acceptance.reason
            ))
        };
        AuditVerdict {
            leaks: keys(is_leak),
            suspicions: keys(is_suspicion),
            inconclusive,
            accepted: self.findings.iter().filter_map(accepted).collect(),
            reviews: self.reviews(&open),
            tables,
        }
    }

    /// Open findings that are no leak, suspicion or lack of evidence, but for which the checklist
    /// asks for a review; and rows of the checklist that no finding explains.
    fn reviews(&self, open: &[&Cause]) -> Vec<String> {
        let is_heavier = |finding: &Finding| {
            is_leak(finding) || is_suspicion(finding) || is_inconclusive(finding)
        };
        let asks = |finding: &Finding| {
            finding.severity <= Severity::Medium
                || matches!(finding.rule, "public-read" | "unknown-owner" | "shared-write")
        };
        let mut reviews: Vec<String> = open
            .iter()
            .filter(|cause| asks(&cause.finding) && !is_heavier(&cause.finding))
            .map(|cause| cause.key.clone())
            .collect();
        let has_finding = |table: &str| open.iter().any(|cause| cause.key.contains(table));
        let unexplained = self
            .checklist()
            .into_iter()
            .filter(|row| row.status != "SECURE" && !has_finding(&row.table));
        for row in unexplained {
            let review = format!("checklist {}: {}", row.table, row.requirement);
            if !reviews.contains(&review) {
                reviews.push(review);
            }
        }
        reviews
    }
}
