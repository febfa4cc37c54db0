//! Computes the verdict over a snapshot. Equal snapshots give equal verdicts.

use super::model::{Criterion, Gate, Outcome, Snapshot};
use crate::time::instant::Instant;

#[cfg(test)]
mod tests;

/// Least score for GO and READY FOR LAUNCH.
const GO_SCORE: i32 = 90;
/// Least score for GO_WITH_CAUTION and LAUNCH WITH CAUTION.
const CAUTION_SCORE: i32 = 70;
/// Required sum of the weights of all enabled criteria.
pub const ALL_POINTS: i32 = 100;
/// Longest validity of a decision, in microseconds. A running system changes; its measurements age.
const MAX_VALIDITY: i64 = 4 * 3_600 * 1_000_000;

/// The verdict as a word, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// At least one blocker.
    Blocked,
    /// No blocker, but less than `CAUTION_SCORE`.
    ScoreTooLow,
    /// No blocker, and at least `CAUTION_SCORE`.
    Caution,
    /// No blocker, no waived blocker, and at least `GO_SCORE`.
    Go,
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Rendered by [`Verdict::word`].
    pub decision: Decision,
    /// Sum of the weights of met criteria, 0 to 100.
    pub score: i32,
    /// Number of unmet, unwaived blockers and of weakened ones, plus the number of `faults`.
    pub blockers: usize,
    /// Number of other unmet criteria, waived blockers, caveats and other altered criteria.
    pub warnings: usize,
    /// Defects of the criteria themselves, such as weights that do not add up.
    pub faults: Vec<String>,
    /// End of validity: the first expiry among its inputs, at most four hours ahead.
    pub valid_until: Instant,
}

impl Verdict {
    /// The verdict over a snapshot.
    ///
    /// An unmet, unwaived blocker decides regardless of the score, and so does a blocker that one
    /// user alone has weakened. A waived criterion earns no points. A waived blocker rules out GO,
    /// and any warning rules out READY FOR LAUNCH.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let now = snapshot.taken_at;
        let mut verdict = Self {
            decision: Decision::Blocked,
            score: 0,
            blockers: 0,
            warnings: 0,
            faults: faults(&snapshot.criteria),
            valid_until: now.plus(MAX_VALIDITY),
        };
        let (weakened, altered): (Vec<_>, Vec<_>) = snapshot
            .alterations
            .iter()
            .filter(|alteration| !alteration.is_approved())
            .partition(|alteration| alteration.weakens_blocker);
        verdict.blockers = verdict.faults.len() + weakened.len();
        verdict.warnings = altered.len();
        let mut points: i64 = 0;
        let mut has_waived_blocker = false;
        for criterion in &snapshot.criteria {
            if criterion.is_met(now) {
                points += i64::from(criterion.weight.max(0));
                verdict.warnings += criterion.caveats().count();
                let met = criterion.measurements.iter().filter(|m| m.outcome == Outcome::Met);
                let ends = met.filter_map(|measurement| measurement.fresh_until);
                verdict.valid_until = ends.fold(verdict.valid_until, Instant::min);
                if let Some(evidence) =
                    criterion.recorded.as_ref().filter(|_| criterion.depends_on_evidence(now))
                {
                    verdict.valid_until = verdict.valid_until.min(evidence.fresh_until);
                }
                continue;
            }
            match criterion.waiver_in_force(now) {
                Some(waiver) => {
                    verdict.valid_until = verdict.valid_until.min(waiver.expires_at);
                    verdict.warnings += 1;
                    has_waived_blocker |= criterion.is_blocker;
                }
                None if criterion.is_blocker => verdict.blockers += 1,
                None => verdict.warnings += 1,
            }
        }
        verdict.score = points.min(i64::from(ALL_POINTS)) as i32;
        let has_launch_warning = snapshot.gate == Gate::Launch && verdict.warnings > 0;
        verdict.decision = match verdict.score {
            _ if verdict.blockers > 0 => Decision::Blocked,
            GO_SCORE.. if !has_waived_blocker && !has_launch_warning => Decision::Go,
            CAUTION_SCORE.. => Decision::Caution,
            _ => Decision::ScoreTooLow,
        };
        verdict
    }

    /// The text of the SQL column `decision`. Scripts match its fixed part.
    #[must_use]
    pub fn word(&self, gate: Gate) -> String {
        match (gate, self.decision) {
            (Gate::GoNoGo, Decision::Go) => "GO".to_owned(),
            (Gate::GoNoGo, Decision::Caution) => "GO_WITH_CAUTION".to_owned(),
            (Gate::GoNoGo, Decision::Blocked | Decision::ScoreTooLow) => "NO_GO".to_owned(),
            (Gate::Launch, Decision::Go) => "🚀 READY FOR LAUNCH".to_owned(),
            (Gate::Launch, Decision::Caution) => {
                format!("⚠️ LAUNCH WITH CAUTION - {}", counted(self.warnings, "warning"))
            }
            (Gate::Launch, Decision::Blocked) => {
                format!("🔴 NOT READY - {}", counted(self.blockers, "blocker"))
            }
            (Gate::Launch, Decision::ScoreTooLow) => {
                format!("🟡 NEEDS WORK - {} of {ALL_POINTS} points", self.score)
            }
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Defects of the criteria themselves. A gate without criteria or blockers would pass anything.
fn faults(criteria: &[Criterion]) -> Vec<String> {
    if criteria.is_empty() {
        return vec!["no criterion is enabled".to_owned()];
    }
    let mut faults = Vec::new();
    let sum: i64 = criteria.iter().map(|criterion| i64::from(criterion.weight)).sum();
    if sum != i64::from(ALL_POINTS) || criteria.iter().any(|criterion| criterion.weight < 0) {
        faults.push(format!("the weights of the criteria add up to {sum}, not to {ALL_POINTS}"));
    }
    if !criteria.iter().any(|criterion| criterion.is_blocker) {
        faults.push("no criterion is a blocker".to_owned());
    }
    faults
}

/// The verdict if the criterion at `index` alone were met instead of unmet, or the reverse.
/// `None` for an index out of range.
#[must_use]
pub fn if_otherwise(snapshot: &Snapshot, index: usize) -> Option<Verdict> {
    let mut other = snapshot.clone();
    let criterion = other.criteria.get_mut(index)?;
    let is_met = criterion.is_met(snapshot.taken_at);
    (criterion.recorded, criterion.objection) = (None, None);
    for measurement in &mut criterion.measurements {
        measurement.fresh_until = None;
        measurement.outcome = if is_met { Outcome::Failed } else { Outcome::Met };
    }
    Some(Verdict::of(&other))
}
