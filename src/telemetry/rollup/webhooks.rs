//! Alerts about webhooks: failures, backlog, silence. Pure.

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

/// Silence is longer than this many usual gaps.
const GAPS: i64 = 3;
/// Silence is longer than this.
pub const LEAST_SILENCE: i64 = 5 * MINUTE;
/// Traffic that lasted for less may have been a trial.
const TRIAL: i64 = HOUR;
/// With fewer minutes with webhooks, no usual gap is known.
const LEAST_ACTIVE_MINUTES: usize = 20;
/// The usual gap is taken from this period before the last webhook.
pub const TRAILING: i64 = 4 * HOUR;
/// It is also taken from this far on either side of the same time on earlier days.
pub const AROUND: i64 = HOUR;
/// The number of earlier days.
pub const DAYS_BACK: i64 = 7;

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

/// The silence alert, if due. `active` are the minutes with webhooks of the last days, ascending.
///
/// The usual gap is the largest of three: the longest gap in the [`TRAILING`] hours before the last
/// webhook, the median over earlier days of the longest gap at this time of day, and the longest
/// gap at this time a week ago. So nights and weekends raise no alarm.
#[must_use]
pub fn silence(active: &[i64], now: i64) -> Option<Alert> {
    let last = *active.last()?;
    let silent = now - last;
    if active.len() < LEAST_ACTIVE_MINUTES || silent <= LEAST_SILENCE {
        return None;
    }
    // A trial has no usual gap, whatever its number of webhooks.
    let lasted = last - *active.first()?;
    if lasted < TRIAL && silent > lasted {
        return None;
    }
    let trailing = longest_gap(active, last - TRAILING, last)?;
    let mut at_this_time: Vec<i64> = (1..=DAYS_BACK)
        .filter_map(|day| {
            let same_time = now - day * 24 * HOUR;
            longest_gap(active, same_time - AROUND, same_time + AROUND)
        })
        .collect();
    at_this_time.sort_unstable();
    let median = at_this_time.get(at_this_time.len() / 2).copied().unwrap_or(0);
    // A weekend is like the day a week ago.
    let week_ago = now - DAYS_BACK * 24 * HOUR;
    let week_ago = longest_gap(active, week_ago - AROUND, week_ago + AROUND).unwrap_or(0);
    let usual = trailing.max(median).max(week_ago);
    (silent > GAPS * usual)
        .then_some(Alert::Silence { minutes: silent / MINUTE, usual: usual / MINUTE })
}

/// The longest time between two successive active minutes that overlaps a period; `None` without
/// two.
fn longest_gap(active: &[i64], from: i64, to: i64) -> Option<i64> {
    let first = active.partition_point(|minute| *minute < from).saturating_sub(1);
    let end = (active.partition_point(|minute| *minute <= to) + 1).min(active.len());
    active[first..end].windows(2).map(|pair| pair[1] - pair[0]).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000 * 24 * HOUR;

    /// An active minute each `step` minutes in the hours `from` to `to` before now.
    fn active(from: i64, to: i64, step: i64) -> Vec<i64> {
        (0..)
            .map(|i| NOW - from * HOUR + i * step * MINUTE)
            .take_while(|minute| *minute <= NOW - to * HOUR)
            .collect()
    }

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

    #[test]
    fn silent() {
        assert_eq!(silence(&[], NOW), None, "never a webhook");
        assert_eq!(silence(&[NOW - HOUR], NOW), None, "too few for a usual gap");
        assert_eq!(silence(&active(3, 0, 1), NOW), None);
        let steady = active(4, 1, 1);
        assert_eq!(silence(&steady, NOW), Some(Alert::Silence { minutes: 60, usual: 1 }));
        assert_eq!(silence(&active(72, 1, 30), NOW), None, "an hour is two of its gaps");
        assert!(silence(&active(72, 2, 30), NOW).is_some(), "two hours are four");
        assert_eq!(
            silence(&steady[..20], steady[19] + LEAST_SILENCE),
            None,
            "five minutes are nothing"
        );
        assert!(
            silence(&active(24 * 7, 24 * 4, 1), NOW).is_some(),
            "it does not get well by lasting"
        );
        assert!(silence(&active(5, 3, 1), NOW).is_some(), "not on the first day either");
        let trial = &steady[..25];
        assert!(silence(trial, trial[24] + 20 * MINUTE).is_some(), "so far it may be anything");
        assert_eq!(silence(trial, trial[24] + 25 * MINUTE), None, "it was a trial");
    }

    #[test]
    fn nights_raise_no_alarm() {
        // One webhook per minute by day. None for the last hour, as every night.
        let days: Vec<i64> = (0..8)
            .rev()
            .flat_map(|day| {
                active(24 * day + 9, 24 * day + 1, 1).into_iter().filter(move |m| *m <= NOW - HOUR)
            })
            .collect();
        assert_eq!(silence(&days, NOW), None);
        let noon = NOW - 4 * HOUR;
        let until: Vec<i64> = days.iter().copied().filter(|m| *m <= noon - 20 * MINUTE).collect();
        assert_eq!(
            silence(&until, noon),
            Some(Alert::Silence { minutes: 20, usual: 1 }),
            "by day twenty minutes are one"
        );
    }
}
