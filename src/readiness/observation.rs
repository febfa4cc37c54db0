//! The result of one measure, and where it is taken.

use super::pure::model::Outcome;
use crate::pg::xact::session;
use crate::time::instant::Instant;

/// How many findings, tests or flags a detail lists before it only counts the rest.
const MAX_LISTED: usize = 5;
/// Records that are newer than the clock by more than this are of the future, in microseconds.
/// Less is how clocks are corrected.
pub(super) const CLOCK_TOLERANCE: i64 = 1_000_000;

/// Whether the transaction can write. End-to-end tests write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Environment {
    /// Tests can run.
    Writable,
    /// A read-only transaction on a primary.
    ReadOnly,
    /// A standby, which sees the runs that the primary recorded.
    Standby,
}

impl Environment {
    pub(super) fn current() -> Self {
        match (session::is_writable(), session::is_standby()) {
            (true, _) => Self::Writable,
            (false, true) => Self::Standby,
            (false, false) => Self::ReadOnly,
        }
    }
}

/// A [`Measurement`](super::pure::model::Measurement) before it gets its name.
pub(super) struct Observation {
    pub outcome: Outcome,
    pub detail: String,
    pub action: Option<String>,
    pub fresh_until: Option<Instant>,
    pub caveat: Option<String>,
    pub note: Option<String>,
}

impl Observation {
    pub(super) fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: detail.into(),
            action: None,
            fresh_until: None,
            caveat: None,
            note: None,
        }
    }

    /// Adds a fault that is a warning, if there is one.
    pub(super) fn with_caveat(self, caveat: Option<String>) -> Self {
        Self { caveat, ..self }
    }

    /// Adds a fact that each decision tells.
    pub(super) fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    pub(super) fn with_action(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }

    pub(super) fn valid_until(self, fresh_until: Option<Instant>) -> Self {
        Self { fresh_until, ..self }
    }
}

/// The first few items, and the number of the others.
pub(super) fn listed(items: &[String]) -> String {
    let rest = match items.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        rest => format!("; and {rest} more"),
    };
    format!("{}{rest}", items[..items.len().min(MAX_LISTED)].join("; "))
}
