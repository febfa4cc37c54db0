//! The input of a verdict: a snapshot of criteria, measurements, evidence and waivers.
//!
//! `crewsnow_ops.decisions.inputs` stores a [`Snapshot`] as JSON and keeps it for ever. So a
//! renamed field or variant needs a serde alias for its old name.

use super::alteration::Alteration;
pub use super::gate::Gate;
use crate::time::instant::Instant;
use serde::{Deserialize, Serialize};

/// The result of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The requirement holds.
    Met,
    /// The requirement does not hold.
    Failed,
    /// There was no data, or the measurement failed. Recorded evidence does not replace it.
    #[serde(alias = "absent")]
    NoData,
    /// The database cannot measure it. Recorded evidence decides.
    #[serde(alias = "elsewhere")]
    NeedsEvidence,
}

/// One measure, evaluated for one criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// The name of the [`Measure`](super::measure::Measure).
    pub measure: String,
    /// The result when it was taken. [`Measurement::outcome_at`] also considers `fresh_until`.
    pub outcome: Outcome,
    /// The result in words, with figures.
    pub detail: String,
    /// The SQL command that helps. `None` if the measure is met.
    pub action: Option<String>,
    /// End of validity, if known: a freeze begins, or a test run expires.
    pub fresh_until: Option<Instant>,
    /// Faults that the outcome `Met` ignores: accepted exceptions and weaknesses. A warning.
    pub caveat: Option<String>,
    /// A fact that each decision tells, such as the lag of a standby. Neither good nor bad.
    #[serde(default)]
    pub note: Option<String>,
}

impl Measurement {
    /// The outcome at `now`: an expired `Met` counts as no data.
    #[must_use]
    pub fn outcome_at(&self, now: Instant) -> Outcome {
        match self.fresh_until {
            Some(until) if self.outcome == Outcome::Met && until <= now => Outcome::NoData,
            _ => self.outcome,
        }
    }
}

/// A row of crewsnow_ops.evidence, recorded by record_evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The UUID of the row.
    pub id: String,
    /// Clock time of record_evidence.
    pub recorded_at: Instant,
    /// End of validity. Meaningless for failing evidence, which does not expire.
    pub fresh_until: Instant,
    /// `session_user` of record_evidence.
    pub by: String,
    /// For failing evidence: another user who alone recorded passing evidence since.
    #[serde(default)]
    pub answered_by: Option<String>,
}

/// A row of crewsnow_ops.waivers that is not revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// The UUID of the row.
    pub id: String,
    /// Free text of the requester.
    pub reason: String,
    /// `session_user` of waive_criterion.
    pub requested_by: String,
    /// `session_user` of approve_waiver; `None` without approval.
    pub approved_by: Option<String>,
    /// End of validity.
    pub expires_at: Instant,
}

impl Waiver {
    /// Whether it is unexpired and, for a blocker, approved by another user.
    #[must_use]
    pub fn holds(&self, is_blocker: bool, now: Instant) -> bool {
        let is_approved = self.approved_by.as_ref().is_some_and(|by| *by != self.requested_by);
        now < self.expires_at && (is_approved || !is_blocker)
    }
}

/// A criterion with its measurements, evidence and waiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Primary key of crewsnow_ops.criteria.
    pub name: String,
    /// Free text for grouping.
    pub category: String,
    /// Points of 100, awarded in full or not at all.
    pub weight: i32,
    /// Whether it stops a release unless it is met or waived.
    pub is_blocker: bool,
    /// One for each measure. All must be met.
    pub measurements: Vec<Measurement>,
    /// The passing evidence that stays valid longest. Decides [`Outcome::NeedsEvidence`].
    pub recorded: Option<Evidence>,
    /// Failing evidence that neither its author nor two users have answered since with passing
    /// evidence of the same scope. Fails the criterion, even if each measurement is met.
    pub objection: Option<Evidence>,
    /// The waiver in force, or else the latest one.
    pub waiver: Option<Waiver>,
}

/// The state of a criterion at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CriterionStatus {
    /// Each measurement is met, or covered by valid evidence.
    Met,
    /// A measurement failed, or failing evidence is unanswered.
    Failed,
    /// The passing evidence has expired.
    Expired,
    /// A measurement had no data, or passing evidence is missing.
    NoEvidence,
}

impl CriterionStatus {
    /// The word in reasons and in explain_decision.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "MET",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
            Self::NoEvidence => "NO_EVIDENCE",
        }
    }
}

impl Criterion {
    /// The status at `now`. Failure outranks missing data, which outranks recorded evidence.
    #[must_use]
    pub fn status(&self, now: Instant) -> CriterionStatus {
        let any = |outcome| self.measurements.iter().any(|m| m.outcome_at(now) == outcome);
        match &self.recorded {
            _ if any(Outcome::Failed) || self.objection.is_some() => CriterionStatus::Failed,
            _ if any(Outcome::NoData) || self.measurements.is_empty() => {
                CriterionStatus::NoEvidence
            }
            _ if !any(Outcome::NeedsEvidence) => CriterionStatus::Met,
            Some(evidence) if now < evidence.fresh_until => CriterionStatus::Met,
            Some(_) => CriterionStatus::Expired,
            None => CriterionStatus::NoEvidence,
        }
    }

    /// Whether it is met at `now`, without regard to waivers.
    #[must_use]
    pub fn is_met(&self, now: Instant) -> bool {
        self.status(now) == CriterionStatus::Met
    }

    /// Whether it is met only because of recorded evidence.
    #[must_use]
    pub fn depends_on_evidence(&self, now: Instant) -> bool {
        self.is_met(now) && self.measurements.iter().any(|m| m.outcome == Outcome::NeedsEvidence)
    }

    /// Faults that the measurements ignore. Each one is a warning, even if the criterion is met.
    pub fn caveats(&self) -> impl Iterator<Item = &str> {
        self.measurements.iter().filter_map(|measurement| measurement.caveat.as_deref())
    }

    /// Facts that each decision tells.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.measurements.iter().filter_map(|measurement| measurement.note.as_deref())
    }

    /// The waiver, if it holds at `now`.
    #[must_use]
    pub fn waiver_in_force(&self, now: Instant) -> Option<&Waiver> {
        self.waiver.as_ref().filter(|waiver| waiver.holds(self.is_blocker, now))
    }
}

/// The complete input of a decision. Equal snapshots give equal verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Selects the criteria and the words of the verdict.
    pub gate: Gate,
    /// The release that the caller named. `None` excludes evidence and waivers of any release.
    pub release: Option<String>,
    /// Clock time after the last measurement. Expiry is judged at this moment.
    pub taken_at: Instant,
    /// The enabled criteria of the gate.
    pub criteria: Vec<Criterion>,
    /// Criteria of the gate that differ from their original state.
    #[serde(default)]
    pub alterations: Vec<Alteration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stored_under_old_names_still_parse() {
        for (stored, outcome) in [
            ("met", Outcome::Met),
            ("failed", Outcome::Failed),
            ("absent", Outcome::NoData),
            ("elsewhere", Outcome::NeedsEvidence),
            ("no_data", Outcome::NoData),
            ("needs_evidence", Outcome::NeedsEvidence),
        ] {
            let parsed: Outcome = serde_json::from_str(&format!("\"{stored}\"")).unwrap();
            assert_eq!(parsed, outcome, "{stored}");
        }
    }
}
