//! Half-open minutes in UTC, in microseconds since 2000-01-01 00:00 UTC, as in timestamptz.

/// In microseconds.
pub const MINUTE: i64 = 60_000_000;
/// In microseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// In microseconds.
pub const DAY: i64 = 24 * HOUR;

/// The start of the minute that contains `time`.
#[must_use]
pub fn minute_of(time: i64) -> i64 {
    time.div_euclid(MINUTE) * MINUTE
}

/// A number of complete minutes and the running minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Start of the first minute.
    pub first: i64,
    /// Start of the running minute, which is the last.
    pub current: i64,
}

impl Window {
    /// The minute that contains `now`, and the `complete` minutes before it.
    #[must_use]
    pub fn ending(now: i64, complete: i64) -> Self {
        let current = minute_of(now);
        Self { first: current - complete * MINUTE, current }
    }

    /// Whether the window contains the minute that starts at `minute`.
    #[must_use]
    pub fn holds(&self, minute: i64) -> bool {
        (self.first..=self.current).contains(&minute)
    }

    /// The starts of the minutes, in ascending order.
    pub fn minutes(&self) -> impl DoubleEndedIterator<Item = i64> + use<> {
        let first = self.first;
        (0..=(self.current - first) / MINUTE).map(move |i| first + i * MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_half_open() {
        assert_eq!(minute_of(0), 0);
        assert_eq!(minute_of(MINUTE - 1), 0);
        assert_eq!(minute_of(MINUTE), MINUTE);
        assert_eq!(minute_of(-1), -MINUTE, "before 2000");
        let window = Window::ending(10 * MINUTE + 5, 10);
        assert_eq!(window.minutes().count(), 11);
        assert!(
            window.holds(0)
                && window.holds(10 * MINUTE)
                && !window.holds(11 * MINUTE)
                && !window.holds(-MINUTE)
        );
    }
}
