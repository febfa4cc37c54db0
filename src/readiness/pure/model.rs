//! What a decision is made of. Pure.

use crate::time::instant::Instant;
use serde::{Deserialize, Serialize};

/// Which decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Whether a release goes out.
    GoNoGo,
    /// Whether the application opens to the public: all of the former, and more.
    Launch,
}

impl Gate {
    /// Both.
    pub const ALL: [Self; 2] = [Self::GoNoGo, Self::Launch];

    /// As SQL calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoNoGo => "go_no_go",
            Self::Launch => "launch",
        }
    }

    /// The one that SQL calls so.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == name)
    }
}

/// What a look at the system said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Met,
    /// Not as it should be.
    Failed,
    /// It should have been seen and was not: there was nothing to see, or looking failed. Nothing stands in for it.
    Absent,
    /// It is known elsewhere: recorded evidence has to tell.
    Elsewhere,
}

/// One look at the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was looked at: `rls`, `tests`, `webhooks`, …
    pub measure: String,
    /// What it said.
    pub outcome: Outcome,
    /// In words, with figures.
    pub detail: String,
    /// The command that helps, if it is not met.
    pub action: Option<String>,
    /// Until when it can be relied on, if that is known: a freeze begins, the run of a test becomes old.
    pub fresh_until: Option<Instant>,
    /// What to know although it is met: exceptions that somebody has made.
    pub caveat: Option<String>,
}

impl Measurement {
    /// What it says at a moment: what was met too long ago is as good as not seen.
    #[must_use]
    pub fn outcome_at(&self, now: Instant) -> Outcome {
        match self.fresh_until {
            Some(until) if self.outcome == Outcome::Met && until <= now => Outcome::Absent,
            _ => self.outcome,
        }
    }
}

/// Evidence that somebody has recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// When it was recorded.
    pub recorded_at: Instant,
    /// Until when it counts, if it speaks for the release.
    pub fresh_until: Instant,
    /// By whom.
    pub by: String,
}

/// Somebody's word that a criterion need not be met for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub requested_by: String,
    /// Who agreed.
    pub approved_by: Option<String>,
    /// Until when it holds.
    pub expires_at: Instant,
}

impl Waiver {
    /// Whether it holds: not yet expired, and for a blocker agreed to by somebody else.
    #[must_use]
    pub fn holds(&self, is_blocker: bool, now: Instant) -> bool {
        let is_agreed = self.approved_by.as_ref().is_some_and(|by| *by != self.requested_by);
        now < self.expires_at && (is_agreed || !is_blocker)
    }
}

/// A criterion with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub category: String,
    /// Points of 100.
    pub weight: i32,
    /// Whether nothing goes out without it.
    pub is_blocker: bool,
    /// What was seen. All of it must be met.
    pub measurements: Vec<Measurement>,
    /// Evidence for it that somebody recorded, the one that counts longest. It tells what is known elsewhere.
    pub recorded: Option<Record>,
    /// Evidence against it that somebody recorded and that no newer one of the same scope has answered. It counts whatever is seen.
    pub objection: Option<Record>,
    /// The last waiver.
    pub waiver: Option<Waiver>,
}

/// How a criterion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Met.
    Met,
    /// Seen, or recorded, not to be met.
    Failed,
    /// There was evidence, which is too old.
    Expired,
    /// There is no evidence.
    NoEvidence,
}

impl Standing {
    /// The word in reports.
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
    /// How it stands at a moment.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        let any = |outcome| self.measurements.iter().any(|measurement| measurement.outcome_at(now) == outcome);
        match &self.recorded {
            _ if any(Outcome::Failed) || self.objection.is_some() => Standing::Failed,
            _ if any(Outcome::Absent) || self.measurements.is_empty() => Standing::NoEvidence,
            _ if !any(Outcome::Elsewhere) => Standing::Met,
            Some(record) if now < record.fresh_until => Standing::Met,
            Some(_) => Standing::Expired,
            None => Standing::NoEvidence,
        }
    }

    /// Whether it is met by recorded evidence, and not by what was seen alone.
    #[must_use]
    pub fn rests_on_record(&self, now: Instant) -> bool {
        let is_told = self.measurements.iter().any(|measurement| measurement.outcome == Outcome::Elsewhere);
        is_told && self.standing(now) == Standing::Met
    }

    /// What to know although it is met.
    pub fn caveats(&self) -> impl Iterator<Item = &str> {
        self.measurements.iter().filter_map(|measurement| measurement.caveat.as_deref())
    }

    /// The waiver, if it holds.
    #[must_use]
    pub fn waiver_in_force(&self, now: Instant) -> Option<&Waiver> {
        self.waiver.as_ref().filter(|waiver| waiver.holds(self.is_blocker, now))
    }
}

/// All that a decision looks at. Equal ones give equal verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which decision.
    pub gate: Gate,
    /// About which release, if that was said.
    pub release: Option<String>,
    /// When.
    pub taken_at: Instant,
    /// What must be met.
    pub criteria: Vec<Criterion>,
}
