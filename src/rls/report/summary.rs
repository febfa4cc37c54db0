//! A summary of an audit for decisions.

use super::audit_report::{Report, is_of_matrix};
use super::cause::Cause;
use crate::rls::error::RlsError;
use crate::rls::model::{Confidence, Finding, Severity, Verdict};

/// The result of an audit.
pub enum AuditSummary {
    /// No leak without an acceptance.
    Sound {
        /// Number of audited tables.
        tables: usize,
        /// Number of findings above LOW that are not leaks.
        weaknesses: usize,
        /// Accepted leaks, with author, expiry and reason.
        accepted: Vec<String>,
    },
    /// Leaks: the findings, worst first.
    Leaking(Vec<String>),
    /// The audit could not decide; the findings.
    Inconclusive(Vec<String>),
}

/// Runs the audit. Accepted findings do not count as leaks, but are reported.
///
/// A leak is a PROVED or OBSERVED finding that lets an identity reach foreign rows, or any other
/// CRITICAL or HIGH finding that is not SUSPECTED. An inconclusive audit is no evidence of safety.
pub fn summarize() -> Result<AuditSummary, RlsError> {
    let report = Report::make()?;
    let open: Vec<&Cause> = report.open().collect();
    let is_inconclusive = |finding: &Finding| {
        matches!(finding.rule, "inconclusive" | "audit-self-test-failed" | "no-clients")
    };
    let is_leak = |finding: &Finding| {
        let is_certain = finding.confidence != Confidence::Suspected && !is_inconclusive(finding);
        // A table without owners may be meant to be public.
        let is_reach = is_of_matrix(finding.rule)
            && finding.rule != "public-read"
            && finding.severity < Severity::Info;
        is_certain && (finding.severity <= Severity::High || is_reach)
    };
    let keys = |which: &dyn Fn(&Finding) -> bool| -> Vec<String> {
        open.iter().filter(|cause| which(&cause.finding)).map(|cause| cause.key.clone()).collect()
    };
    let leaks = keys(&is_leak);
    if !leaks.is_empty() {
        return Ok(AuditSummary::Leaking(leaks));
    }
    let inconclusive = keys(&is_inconclusive);
    if !inconclusive.is_empty() {
        return Ok(AuditSummary::Inconclusive(inconclusive));
    }
    let is_reached = |verdict: &Verdict| !matches!(verdict, Verdict::NoAccess);
    let tables = report
        .audit
        .tables
        .iter()
        .filter(|(_, cells)| cells.iter().any(|cell| is_reached(&cell.verdict)));
    let tables = tables.count();
    if tables == 0 {
        return Ok(AuditSummary::Inconclusive(vec!["requests reach no table".to_owned()]));
    }
    let accepted = |finding: &Finding| {
        let acceptance = report.acceptance(finding).filter(|_| is_leak(finding))?;
        Some(format!(
            "{} by {} until {}: {}",
            finding.key(),
            acceptance.by,
            acceptance.until,
            acceptance.reason
        ))
    };
    let accepted = report.findings.iter().filter_map(accepted).collect();
    let weaknesses = open.iter().filter(|cause| cause.finding.severity < Severity::Low).count();
    Ok(AuditSummary::Sound { tables, weaknesses, accepted })
}
