//! What an audit says to those who decide: whether it is sound.

use super::audit_report::{Report, is_of_matrix};
use crate::rls::error::RlsError;
use crate::rls::model::{Confidence, Finding, Severity, Verdict};

/// How an application stands.
pub enum AuditSummary {
    /// Sound, as far as was looked at: so many tables; and what else there is to say.
    Sound {
        /// How many tables.
        tables: usize,
        /// How many weaknesses that are not leaks.
        weaknesses: usize,
        /// What leaks and was accepted: by whom, until when, why.
        accepted: Vec<String>,
    },
    /// It leaks: the findings, the worst first.
    Leaking(Vec<String>),
    /// It could not be told.
    Inconclusive(Vec<String>),
}

/// Audits. What was accepted does not count, but is said.
///
/// A leak is whatever lets somebody reach others' rows, PROVED or OBSERVED, and any other finding that is CRITICAL or HIGH and not merely
/// suspected. Where something could not be looked at, there is no evidence that it does not leak.
pub fn summarize() -> Result<AuditSummary, RlsError> {
    let report = Report::make()?;
    let open: Vec<&Finding> = report.open().collect();
    let is_untold =
        |finding: &Finding| matches!(finding.rule, "inconclusive" | "audit-self-test-failed" | "no-clients");
    let is_leak = |finding: &Finding| {
        let is_certain = finding.confidence != Confidence::Suspected && !is_untold(finding);
        // What belongs to nobody may be meant to be read.
        let is_reach = is_of_matrix(finding.rule) && finding.rule != "public-read" && finding.severity < Severity::Info;
        is_certain && (finding.severity <= Severity::High || is_reach)
    };
    let keys = |which: &dyn Fn(&Finding) -> bool| -> Vec<String> {
        open.iter().filter(|finding| which(finding)).map(|finding| finding.key()).collect()
    };
    let leaks = keys(&is_leak);
    if !leaks.is_empty() {
        return Ok(AuditSummary::Leaking(leaks));
    }
    let untold = keys(&is_untold);
    if !untold.is_empty() {
        return Ok(AuditSummary::Inconclusive(untold));
    }
    let is_reached = |verdict: &Verdict| !matches!(verdict, Verdict::NoAccess);
    let tables = report.audit.tables.iter().filter(|(_, cells)| cells.iter().any(|cell| is_reached(&cell.verdict)));
    let tables = tables.count();
    if tables == 0 {
        return Ok(AuditSummary::Inconclusive(vec!["there is no table that requests reach".to_owned()]));
    }
    let accepted = |finding: &Finding| {
        let acceptance = report.acceptance(finding).filter(|_| is_leak(finding))?;
        Some(format!("{} by {} until {}: {}", finding.key(), acceptance.by, acceptance.until, acceptance.reason))
    };
    let accepted = report.findings.iter().filter_map(accepted).collect();
    let weaknesses = open.iter().filter(|finding| finding.severity < Severity::Low).count();
    Ok(AuditSummary::Sound { tables, weaknesses, accepted })
}
