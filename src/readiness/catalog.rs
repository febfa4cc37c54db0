//! Measures that read what the database knows of itself: row-level security, freezes, flags and
//! erasures.

use super::observation::{Observation, listed};
use super::pure::model::Outcome;
use crate::access::as_owner;
use crate::readiness::error::ReadinessError;
use crate::rls::report::audit_verdict::{AuditVerdict, judge};
use crate::time::instant::Instant;
use pgrx::prelude::*;

/// The audit of row-level security, run now.
pub(super) fn row_security() -> Result<Observation, ReadinessError> {
    let AuditVerdict { leaks, suspicions, inconclusive, accepted, reviews, tables } = judge()?;
    let serious = [
        (Outcome::Failed, "leaks found", &leaks),
        (Outcome::Failed, "suspected leaks, neither accepted nor refuted", &suspicions),
        (Outcome::NoData, "the audit is INCONCLUSIVE", &inconclusive),
    ];
    let told: Vec<String> = serious
        .iter()
        .filter(|(_, _, findings)| !findings.is_empty())
        .map(|(_, what, findings)| format!("{what}: {}", listed(findings)))
        .collect();
    let observation = match serious.iter().find(|(_, _, findings)| !findings.is_empty()) {
        Some((outcome, _, _)) => Observation::new(*outcome, told.join("; ")),
        None => Observation::new(Outcome::Met, format!("no leak in {tables} tables, audited now")),
    };
    let exceptions: Vec<String> = [("accepted leaks", &accepted), ("to be reviewed", &reviews)]
        .into_iter()
        .filter(|(_, findings)| !findings.is_empty())
        .map(|(what, findings)| format!("{what}: {}", listed(findings)))
        .collect();
    let action = "SELECT finding, detail, remediation FROM crewsnow_ops.audit_rls();";
    Ok(observation
        .with_action(action)
        .with_caveat((!exceptions.is_empty()).then(|| exceptions.join("; "))))
}

/// The freezes in effect.
pub(super) fn freeze() -> Result<Observation, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let row = client
                .select(include_str!("../../sql/readiness/freeze.sql"), Some(1), &[])?
                .first();
            let next = row.get::<TimestampWithTimeZone>(2)?.map(|next| Instant(next.into_inner()));
            Ok(match row.get::<String>(1)? {
                None => Observation::new(Outcome::Met, "no freeze is in effect").valid_until(next),
                Some(freezes) => Observation::new(Outcome::Failed, freezes).with_action(
                    "SELECT * FROM crewsnow_ops.freezes \
                     WHERE now() >= starts_at AND now() < ends_at;",
                ),
            })
        })
    })
}

/// The feature flags compared with the launch plan.
pub(super) fn flags() -> Result<Observation, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let (mut planned, mut deviations, mut action) = (0, Vec::new(), None);
            let mut changed: Option<String> = None;
            for row in client.select(include_str!("../../sql/readiness/flags.sql"), None, &[])? {
                planned = row.get::<i64>(1)?.unwrap_or(0);
                changed = row.get(5)?;
                let (Some(key), Some(deviation)) = (row.get::<String>(2)?, row.get::<String>(3)?)
                else {
                    continue;
                };
                deviations.push(format!("{key} {deviation}"));
                action = action.or(row.get::<String>(4)?);
            }
            let observation = match (planned, deviations.as_slice()) {
                (0, _) => Observation::new(Outcome::NoData, "the launch plan has no flag"),
                (_, []) => {
                    let detail = format!("flags that match the launch plan: all {planned}");
                    Observation::new(Outcome::Met, detail)
                }
                _ => {
                    let failed = Observation::new(Outcome::Failed, listed(&deviations));
                    action.into_iter().fold(failed, Observation::with_action)
                }
            };
            let note = changed.map(|changed| format!("the launch plan was changed: {changed}"));
            Ok(note.into_iter().fold(observation, Observation::with_note))
        })
    })
}

/// The ledger of erasures: whether an erased person is back, as after a restore. Maintenance keeps
/// the ledger and imports this domain, so SQL is the way to it.
pub(super) fn erasures() -> Result<Observation, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/erasures.sql");
            let row = client.select(sql, Some(1), &[])?.first();
            Ok(match row.get::<String>(2)? {
                Some(objection) => row
                    .get::<String>(3)?
                    .into_iter()
                    .fold(Observation::new(Outcome::Failed, objection), Observation::with_action),
                None => {
                    let count = row.get::<i64>(1)?.unwrap_or(0);
                    let detail = format!("no erased person is back, of {count} in the ledger");
                    Observation::new(Outcome::Met, detail)
                }
            })
        })
    })
}

/// The alert rules: whether they are evaluated, and no critical alert fires. `None` before the
/// first tick: then another alerting system may exist, of which evidence can be recorded. Alerts
/// are above this domain, so SQL is the way to them.
pub(super) fn alert_rules() -> Result<Option<Observation>, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/alert_rules.sql");
            let row = client.select(sql, Some(1), &[])?.first();
            let outcome = match row.get::<String>(1)?.as_deref() {
                Some("met") => Outcome::Met,
                Some("failed") => Outcome::Failed,
                _ => return Ok(None),
            };
            let detail = row.get::<String>(2)?.unwrap_or_default();
            let observation = Observation::new(outcome, detail);
            let action = row.get::<String>(3)?;
            Ok(Some(action.into_iter().fold(observation, Observation::with_action)))
        })
    })
}
