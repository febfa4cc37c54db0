//! Judges how a changed test ended on the parent's library.

use crate::changes::REASON;
use std::fmt;

/// How a test ended on the parent's library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It failed.
    Failed,
    /// It passed.
    Passed,
    /// It was stopped at the time limit of one test.
    Unfinished,
    /// It was not started: the time of the whole run was over.
    NotRun,
    /// It does not compile with the sources of the parent.
    NotCompiled,
}

/// The verdict on one changed test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fails on the parent's library.
    Proved,
    /// It carries a reason and was not run.
    Excused(String),
    /// It passes on the parent's library, so it proves nothing about the change.
    Vacuous,
    /// It states a reason without words.
    NoReason,
    /// Nothing is known.
    Unknown(Outcome),
}

impl Verdict {
    /// Judges a test that carries no reason.
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed => Self::Proved,
            Outcome::Passed => Self::Vacuous,
            Outcome::Unfinished | Outcome::NotRun | Outcome::NotCompiled => Self::Unknown(outcome),
        }
    }

    /// Judges a stated reason, before any run.
    pub fn of_reason(reason: &str) -> Self {
        if reason.is_empty() { Self::NoReason } else { Self::Excused(reason.to_owned()) }
    }

    /// Whether the change must not land.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Vacuous | Self::NoReason)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved => write!(f, "fails before"),
            Self::Excused(reason) => write!(f, "{REASON} {reason}"),
            Self::Vacuous => write!(f, "VACUOUS: it passes before, too"),
            Self::NoReason => write!(f, "NO REASON: the words after \"{REASON}\" are missing"),
            Self::Unknown(Outcome::Unfinished) => write!(f, "NOT PROVED: no end in time"),
            Self::Unknown(Outcome::NotCompiled) => {
                write!(f, "NOT PROVED: the parent's sources lack what it uses")
            }
            Self::Unknown(_) => write!(f, "NOT PROVED: the time was over"),
        }
    }
}

#[test]
fn only_a_failing_test_or_one_with_a_reason_may_land() {
    assert!(Verdict::of(Outcome::Passed).is_fault(), "a vacuous test");
    assert!(Verdict::of_reason("").is_fault(), "a reason without words");
    assert!(!Verdict::of(Outcome::Failed).is_fault());
    assert!(!Verdict::of_reason("it guards a rule that holds").is_fault());
    assert!(!Verdict::of(Outcome::NotRun).is_fault() && !Verdict::of(Outcome::Failed).is_fault());
}
