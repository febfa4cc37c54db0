//! Alerts about webhooks: failures, backlog, silence. Pure.

use super::silence::Silence;
use crate::time::minute::{HOUR, MINUTE};

/// Webhooks of one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of webhooks.
    pub events: i64,
    /// Number of failed webhooks.
    pub failed: i64,
}

/// A received webhook that is unprocessed for longer is late.
pub const LATE: i64 = 5 * MINUTE;
/// As many late webhooks are a backlog.
const BACKLOG: u64 = 5;
/// A single webhook that is late for longer is a backlog, too.
const FORGOTTEN: i64 = HOUR;
/// Unprocessed webhooks are counted up to this: the cost must not grow with the backlog.
pub const MOST_WAITING: u64 = 10_000;

/// Received webhooks that are not processed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Number of late webhooks, counted up to [`MOST_WAITING`].
    pub late: u64,
    /// Arrival of the oldest late webhook.
    pub since: Option<i64>,
}

/// A reason for an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// More than 5 % of the webhooks in the window failed.
    Failing,
    /// Webhooks are not processed.
    Backlog {
        /// Number of late webhooks.
        waiting: u64,
        /// Age of the oldest, in minutes.
        minutes: i64,
    },
    /// No webhook arrives.
    Silence {
        /// Time since the last webhook, in minutes.
        minutes: i64,
        /// The usual gap, in minutes.
        usual: i64,
    },
}

/// The text that dashboards and the runbook match.
impl std::fmt::Display for Alert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failing => f.write_str("ALERT: Webhook failure > 5% sur 10min"),
            Self::Backlog { waiting, minutes } => {
                let more = if *waiting >= MOST_WAITING { " or more" } else { "" };
                write!(
                    f,
                    "ALERT: {waiting}{more} webhooks received but not processed, the oldest for \
                     {minutes} min"
                )
            }
            Self::Silence { minutes, usual } => {
                write!(f, "ALERT: No webhook for {minutes} min, the usual gap is {usual} min")
            }
        }
    }
}

/// The most urgent alert.
#[must_use]
pub fn alert(window: Count, waiting: Waiting, silence: Option<Alert>, now: i64) -> Option<Alert> {
    if window.failed * 100 > window.events * 5 {
        return Some(Alert::Failing);
    }
    let age = waiting.since.map_or(0, |since| now - since);
    if waiting.late >= BACKLOG || (waiting.late > 0 && age > FORGOTTEN) {
        return Some(Alert::Backlog { waiting: waiting.late, minutes: age / MINUTE });
    }
    silence
}

impl From<Silence> for Alert {
    fn from(silence: Silence) -> Self {
        Self::Silence { minutes: silence.lasted / MINUTE, usual: silence.usual / MINUTE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000 * 24 * HOUR;

    #[test]
    fn failing_comes_first() {
        let waiting = Waiting { late: 9, since: Some(NOW - HOUR) };
        assert_eq!(
            alert(Count { events: 100, failed: 6 }, waiting, None, NOW),
            Some(Alert::Failing)
        );
        assert_eq!(
            alert(Count { events: 100, failed: 5 }, Waiting::default(), None, NOW),
            None,
            "5 % is not more than 5 %"
        );
        assert_eq!(alert(Count::default(), Waiting::default(), None, NOW), None);
    }

    #[test]
    fn backlog() {
        let of = |late, minutes| {
            alert(
                Count::default(),
                Waiting { late, since: Some(NOW - minutes * MINUTE) },
                None,
                NOW,
            )
            .map(|a| a.to_string())
        };
        assert_eq!(of(4, 20), None);
        assert_eq!(
            of(1, 61).as_deref(),
            Some("ALERT: 1 webhooks received but not processed, the oldest for 61 min")
        );
        assert_eq!(
            of(5, 6).as_deref(),
            Some("ALERT: 5 webhooks received but not processed, the oldest for 6 min")
        );
        assert_eq!(
            of(MOST_WAITING, 6).as_deref(),
            Some("ALERT: 10000 or more webhooks received but not processed, the oldest for 6 min")
        );
    }
}
