//! The limits of a channel: how fast it sends, and when it stops trying.
//!
//! Each state is stored. A clock that steps back restarts a timer at most once, so no channel waits
//! longer than its timer.

use crate::time::minute::MINUTE;
use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000;
/// Failures in a row that open the breaker.
const MAX_FAILURES: u32 = 5;
/// The first wait of an open breaker, in microseconds.
const FIRST_WAIT: i64 = 60 * SECOND;
/// The longest wait of an open breaker, in microseconds.
const LAST_WAIT: i64 = 10 * MINUTE;
/// A probe without an answer is given up after this time, in microseconds.
const PROBE: i64 = 60 * SECOND;

/// Whether a message may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Now.
    Go,
    /// Not before this time has passed, in microseconds.
    Wait(i64),
}

/// The time that is left of a timer of `length`, which is started again if the clock has stepped
/// back behind its start. Both in microseconds.
fn left(until: &mut i64, length: i64, now: i64) -> i64 {
    *until = (*until).min(now.saturating_add(length));
    until.saturating_sub(now).max(0)
}

/// The rate of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Messages in a minute, at least 1.
    pub per_minute: u32,
    /// Messages at once, at least 1.
    pub burst: u32,
}

impl Rate {
    /// The time in which one token comes back, in microseconds.
    fn interval(self) -> i64 {
        // Rounded up: a channel never sends faster than its rate.
        let per_minute = i64::from(self.per_minute.max(1));
        (MINUTE + per_minute - 1) / per_minute
    }

    /// The time in which an empty bucket fills, in microseconds.
    fn filling(self) -> i64 {
        self.interval().saturating_mul(i64::from(self.burst.max(1)))
    }
}

/// A bucket of tokens; one message takes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// When it is full again, in microseconds since 2000-01-01 UTC. The tokens follow from it.
    full_at: i64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Self { full_at: now }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, rate: Rate, now: i64) -> Admission {
        let missing = left(&mut self.full_at, rate.filling(), now);
        let wait = missing.saturating_sub(rate.filling() - rate.interval());
        if wait > 0 {
            return Admission::Wait(wait);
        }
        self.full_at = now.saturating_add(missing).saturating_add(rate.interval());
        Admission::Go
    }
}

/// Stops a channel that fails again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Breaker {
    /// Messages are sent.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// No message is sent.
    Open {
        /// The end of the wait, in microseconds since 2000-01-01 UTC.
        until: i64,
        /// The wait, in microseconds.
        wait: i64,
    },
    /// One message is on its way.
    Probing {
        /// When the probe is given up, in microseconds since 2000-01-01 UTC.
        until: i64,
        /// The wait before it, in microseconds.
        wait: i64,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a message may be sent. An open breaker that has waited lets one through, the probe.
    pub fn admit(&mut self, now: i64) -> Admission {
        let (left, wait) = match self {
            Self::Closed { .. } => return Admission::Go,
            Self::Open { until, wait } => {
                *wait = (*wait).clamp(FIRST_WAIT, LAST_WAIT);
                (left(until, *wait, now), *wait)
            }
            // A probe whose worker died must not block the channel for ever.
            Self::Probing { until, wait } => (left(until, PROBE, now), *wait),
        };
        if left > 0 {
            return Admission::Wait(left);
        }
        *self = Self::Probing { until: now.saturating_add(PROBE), wait };
        Admission::Go
    }

    /// Records that the service took a message.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records that the service did not take a message, for a reason that may pass.
    pub fn failed(&mut self, now: i64) {
        let wait = match self {
            Self::Closed { failures } if *failures + 1 < MAX_FAILURES => {
                *failures += 1;
                return;
            }
            Self::Closed { .. } => FIRST_WAIT,
            // A message that was on its way when the breaker opened says nothing new.
            Self::Open { .. } => return,
            Self::Probing { wait, .. } => wait.saturating_mul(2).clamp(FIRST_WAIT, LAST_WAIT),
        };
        *self = Self::Open { until: now.saturating_add(wait), wait };
    }
}

#[cfg(test)]
#[path = "limiter/tests.rs"]
mod tests;
