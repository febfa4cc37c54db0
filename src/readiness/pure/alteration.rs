//! Criteria that differ from their original state: as shipped, or as a team created them.
//!
//! A blocker that one user alone has weakened blocks, as its waiver by one user would. Each
//! decision tells every alteration, also an approved one.

use super::gate::Gate;
use crate::time::instant::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;

const HOUR: i64 = 3_600_000_000;

/// The columns of a criterion that decide about verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Primary key of crewsnow_ops.criteria.
    pub name: String,
    /// The gate that requires it.
    pub gate: Gate,
    /// Points of 100.
    pub weight: i32,
    /// Whether it stops a release.
    pub is_blocker: bool,
    /// The names of its measures.
    pub measures: Vec<String>,
    /// Longest validity of evidence, in microseconds.
    pub fresh_for: i64,
    /// Whether decisions consider it.
    pub is_enabled: bool,
}

impl Rules {
    /// The differences that make it easier to meet, then the others, in words.
    fn differences(&self, now: &Self) -> (Vec<String>, Vec<String>) {
        let (mut weaker, mut other) = (Vec::new(), Vec::new());
        if self.is_enabled && !now.is_enabled {
            weaker.push("is switched off".to_owned());
        }
        if self.is_blocker && !now.is_blocker {
            weaker.push("no longer blocks".to_owned());
        }
        if self.gate == Gate::GoNoGo && now.gate == Gate::Launch {
            weaker.push("applies to launches only".to_owned());
        }
        let dropped: Vec<&str> = self
            .measures
            .iter()
            .filter(|measure| !now.measures.contains(measure))
            .map(String::as_str)
            .collect();
        if !dropped.is_empty() {
            weaker.push(format!("no longer measures {}", dropped.join(", ")));
        }
        if now.fresh_for > self.fresh_for {
            let [before, after] = [self.fresh_for, now.fresh_for].map(duration);
            weaker.push(format!("accepts evidence for {after} instead of {before}"));
        }
        if now.weight != self.weight {
            other.push(format!("weighs {} instead of {} points", now.weight, self.weight));
        }
        if now.name != self.name {
            other.push(format!("was named {}", self.name));
        }
        (weaker, other)
    }
}

/// A time in hours, or in days from two days on.
fn duration(microseconds: i64) -> String {
    match microseconds / HOUR {
        hours if hours >= 48 => format!("{} days", hours / 24),
        0 => format!("{} min", microseconds / (HOUR / 60)),
        hours => format!("{hours} h"),
    }
}

/// A criterion that differs from its original state in a way that matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    /// The name of the criterion now.
    pub criterion: String,
    /// The differences, in words.
    pub detail: String,
    /// Whether it was a blocker and became easier to meet.
    pub weakens_blocker: bool,
    /// The users (`session_user`) who changed it since it was approved, or ever.
    pub by: Vec<String>,
    /// Clock time of the latest change.
    pub at: Instant,
    /// `session_user` of approve_criterion; `None` without approval of the present state.
    pub approved_by: Option<String>,
}

impl Alteration {
    /// Compares the original state with the present one. `None` for equal or stricter rules, and
    /// for a criterion that never belonged to the gate.
    #[must_use]
    pub fn between(
        original: &Rules,
        now: &Rules,
        gate: Gate,
        (by, at, approved_by): (Vec<String>, Instant, Option<String>),
    ) -> Option<Self> {
        if original.gate == Gate::Launch && gate == Gate::GoNoGo {
            return None;
        }
        let (weaker, other) = original.differences(now);
        let weakens_blocker = original.is_blocker && !weaker.is_empty();
        let detail = [weaker, other].concat().join(", ");
        let criterion = now.name.clone();
        (!detail.is_empty()).then_some(Self {
            criterion,
            detail,
            weakens_blocker,
            by,
            at,
            approved_by,
        })
    }

    /// Whether a user who did not change it approved the present state.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.approved_by.as_ref().is_some_and(|approver| !self.by.contains(approver))
    }

    /// The command that approves it, with its criterion in a comment.
    #[must_use]
    pub fn approval(&self) -> String {
        let name = self.criterion.replace('\'', "''");
        format!(
            "SELECT crewsnow_ops.approve_criterion('{name}'); -- {}: by an admin other than {}",
            self.criterion,
            self.by.join(", ")
        )
    }
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let approval = match self.approved_by.as_ref().filter(|_| self.is_approved()) {
            Some(by) => format!("approved by {by}"),
            None => "approved by no other user".to_owned(),
        };
        write!(f, "{}: by {} at {}, {approval}", self.detail, self.by.join(", "), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Rules {
        Rules {
            name: "backups".to_owned(),
            gate: Gate::GoNoGo,
            weight: 30,
            is_blocker: true,
            measures: vec!["tests".to_owned(), "evidence".to_owned()],
            fresh_for: 4 * HOUR,
            is_enabled: true,
        }
    }

    fn altered(change: impl FnOnce(&mut Rules)) -> Option<Alteration> {
        let mut now = shipped();
        change(&mut now);
        let record = (vec!["ann".to_owned()], Instant(0), None);
        Alteration::between(&shipped(), &now, Gate::GoNoGo, record)
    }

    #[test]
    fn each_way_to_weaken_a_blocker_is_named() {
        type Change = fn(&mut Rules);
        let changes: [(Change, &str); 5] = [
            (|rules| rules.is_enabled = false, "is switched off"),
            (|rules| rules.is_blocker = false, "no longer blocks"),
            (|rules| rules.gate = Gate::Launch, "applies to launches only"),
            (|rules| rules.measures.truncate(1), "no longer measures evidence"),
            (
                |rules| rules.fresh_for = 90 * 24 * HOUR,
                "accepts evidence for 90 days instead of 4 h",
            ),
        ];
        for (change, detail) in changes {
            let alteration = altered(change).expect(detail);
            assert!(alteration.weakens_blocker && !alteration.is_approved(), "{detail}");
            assert_eq!(alteration.detail, detail);
        }
    }

    #[test]
    fn another_weight_is_told_and_weakens_nothing() {
        let alteration = altered(|rules| rules.weight = 100).expect("told");
        assert_eq!(alteration.detail, "weighs 100 instead of 30 points");
        assert!(!alteration.weakens_blocker);
    }

    #[test]
    fn stricter_rules_are_no_alteration() {
        assert_eq!(altered(|_| {}), None);
        assert_eq!(altered(|rules| rules.measures.push("rls".to_owned())), None);
        assert_eq!(altered(|rules| rules.fresh_for = HOUR), None);
        let lax = Rules { is_blocker: false, ..shipped() };
        let record = (vec!["ann".to_owned()], Instant(0), None);
        assert_eq!(Alteration::between(&lax, &shipped(), Gate::GoNoGo, record), None);
    }

    #[test]
    fn a_criterion_of_the_launch_alone_does_not_concern_a_release() {
        let launch = Rules { gate: Gate::Launch, ..shipped() };
        let off = Rules { is_enabled: false, ..launch.clone() };
        let record = || (vec!["ann".to_owned()], Instant(0), None);
        assert_eq!(Alteration::between(&launch, &off, Gate::GoNoGo, record()), None);
        assert!(Alteration::between(&launch, &off, Gate::Launch, record()).is_some());
    }

    #[test]
    fn an_approval_by_an_author_of_the_change_is_none() {
        let mut alteration = altered(|rules| rules.is_enabled = false).expect("told");
        alteration.by.push("bob".to_owned());
        for (approver, counts) in [("ann", false), ("bob", false), ("eve", true)] {
            alteration.approved_by = Some(approver.to_owned());
            assert_eq!(alteration.is_approved(), counts, "{approver}");
        }
        assert!(alteration.to_string().ends_with("approved by eve"), "{alteration}");
    }
}
