//! Minutes: half-open, in UTC, as whole numbers of microseconds since 2000-01-01 00:00 UTC, which is how the server keeps its times.

/// A minute.
pub const MINUTE: i64 = 60_000_000;
/// An hour.
pub const HOUR: i64 = 60 * MINUTE;
/// A day.
pub const DAY: i64 = 24 * HOUR;

/// The minute that a time lies in.
#[must_use]
pub fn minute_of(time: i64) -> i64 {
    time.div_euclid(MINUTE) * MINUTE
}

/// Complete minutes and the one that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first minute.
    pub first: i64,
    /// The minute that is running, the last.
    pub current: i64,
}

impl Window {
    /// The `complete` minutes before the one that `now` lies in, and that one.
    #[must_use]
    pub fn ending(now: i64, complete: i64) -> Self {
        let current = minute_of(now);
        Self { first: current - complete * MINUTE, current }
    }

    /// Whether a minute is one of them.
    #[must_use]
    pub fn holds(&self, minute: i64) -> bool {
        (self.first..=self.current).contains(&minute)
    }

    /// The minutes, the earliest first.
    pub fn minutes(&self) -> impl DoubleEndedIterator<Item = i64> + use<> {
        let first = self.first;
        (0..=(self.current - first) / MINUTE).map(move |i| first + i * MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_open() {
        assert_eq!(minute_of(0), 0);
        assert_eq!(minute_of(MINUTE - 1), 0);
        assert_eq!(minute_of(MINUTE), MINUTE);
        assert_eq!(minute_of(-1), -MINUTE, "before 2000");
        let window = Window::ending(10 * MINUTE + 5, 10);
        assert_eq!(window.minutes().count(), 11);
        assert!(window.holds(0) && window.holds(10 * MINUTE) && !window.holds(11 * MINUTE) && !window.holds(-MINUTE));
    }
}
