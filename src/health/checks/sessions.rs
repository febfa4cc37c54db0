//! Checks of sessions that take more than one query or more than one look.

use crate::health::context::{CheckContext, run_query};
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use crate::pg::xact::session;
use std::time::Duration;

/// Time between two looks at the waits.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Old sessions, each with a row, and many young ones, with one row for their application.
pub(super) fn idle_in_transaction(
    metric: &'static str,
    _: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    let old = include_str!("../../../sql/health/fast/idle_in_transaction.sql");
    let many = include_str!("../../../sql/health/fast/idle_pileup.sql");
    let old = run_query(metric, old, &[])?;
    let many = run_query(metric, many, &[])?;
    if many.iter().all(|finding| finding.status > Status::Warning) {
        return Ok(old);
    }
    let old = old.into_iter().filter(|finding| finding.status != Status::Ok);
    Ok(many.into_iter().chain(old).collect())
}

/// A wait is a fault if two looks find it: one may strike between two moments of a busy server.
pub(super) fn wait_profile(
    metric: &'static str,
    _: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    let sql = include_str!("../../../sql/health/fast/wait_profile.sql");
    let first = run_query(metric, sql, &[])?;
    if first.iter().all(|finding| finding.status != Status::Warning) {
        return Ok(first);
    }
    std::thread::sleep(BETWEEN_LOOKS);
    session::forget_statistics();
    let second = run_query(metric, sql, &[])?;
    let objects = |findings: &[Finding]| -> Vec<Option<String>> {
        findings.iter().map(|finding| finding.object.clone()).collect()
    };
    Ok(match objects(&first) == objects(&second) {
        true => second,
        false => second
            .into_iter()
            .map(|finding| match finding.status {
                Status::Warning => Finding {
                    current_value: finding.current_value,
                    threshold: finding.threshold,
                    evidence: Some("the waits changed within 0.1 s".to_owned()),
                    ..Finding::ok(metric)
                },
                _ => finding,
            })
            .collect(),
    })
}
