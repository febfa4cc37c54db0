//! The conditions of a rule.

/// The side of a threshold on which a value fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Greater values fire.
    Above,
    /// Smaller values fire.
    Below,
}

impl Direction {
    /// Reads the column `fires_when`; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "above" => Some(Self::Above),
            "below" => Some(Self::Below),
            _ => None,
        }
    }
}

/// The meaning of no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoData {
    /// The state stays as it is.
    Keep,
    /// A clear value.
    Ok,
    /// A value over the lowest threshold. It neither ends nor renews a higher severity.
    Alert,
}

impl NoData {
    /// Reads the column `no_data`; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "keep" => Some(Self::Keep),
            "ok" => Some(Self::Ok),
            "alert" => Some(Self::Alert),
            _ => None,
        }
    }
}

/// The severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It will harm users if nothing is done.
    Warning,
    /// It harms users.
    Critical,
}

impl Severity {
    /// The word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the word; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == text)
    }
}

/// A threshold with hysteresis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Values beyond it fire.
    pub fires: f64,
    /// Values at it, and on its healthy side, clear.
    pub clears: f64,
}

/// Times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a value must be over the threshold.
    pub fires_after: i64,
    /// How long it must be clear.
    pub clears_after: i64,
    /// The time between two evaluations.
    pub every: i64,
}

/// When alerts of a rule fire and clear.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// The side that fires.
    pub direction: Direction,
    /// The threshold of a warning.
    pub warning: Option<Threshold>,
    /// The threshold of severity critical.
    pub critical: Option<Threshold>,
    /// A value of fewer samples is no data.
    pub min_samples: i64,
    /// The meaning of no data.
    pub no_data: NoData,
    /// The times.
    pub timing: Timing,
}
