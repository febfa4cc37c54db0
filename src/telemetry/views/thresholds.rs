//! What the monitored numbers mean. Pure.

use crate::telemetry::rollup::tally::{ByFunction, Functions};
use crate::time::minute::Window;
use std::collections::BTreeMap;

/// The longest p95 that is well, and the longest that is not critical: 2 s and 5 s.
const SLOW_NANOSECONDS: f64 = 2e9;
const CRITICAL_NANOSECONDS: f64 = 5e9;

/// The status of a function by its p95 in nanoseconds.
#[must_use]
pub fn latency_status(p95: Option<f64>) -> &'static str {
    match p95 {
        Some(p95) if p95 > CRITICAL_NANOSECONDS => "CRITICAL: p95 > 5s",
        Some(p95) if p95 > SLOW_NANOSECONDS => "WARNING: p95 > 2s",
        _ => "OK",
    }
}

/// The status of a minute by its calls and errors: more than 5 % of more than 5 calls.
#[must_use]
pub fn error_status(calls: u64, errors: u64) -> &'static str {
    if calls > 5 && u128::from(errors) * 100 > u128::from(calls) * 5 { "ALERT: Error rate > 5%" } else { "OK" }
}

/// A share in hundredths of a percent, rounded half up; 0 of nothing.
#[must_use]
pub fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    ((u128::from(part) * 20_000 + u128::from(whole)) / (2 * u128::from(whole))) as u64
}

/// Hundredths as a decimal number.
#[must_use]
pub fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// Nanoseconds as microseconds, rounded half up.
#[must_use]
pub fn microseconds(nanoseconds: u128) -> i64 {
    ((nanoseconds + 500) / 1_000) as i64
}

/// The mean in nanoseconds, rounded down; 0 of nothing.
#[must_use]
pub fn mean(sum: u128, count: u64) -> u128 {
    sum.checked_div(u128::from(count)).unwrap_or(0)
}

/// Of a function and minute: what errors and means need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Calls.
    pub calls: u64,
    /// Those with a 5xx.
    pub errors: u64,
    /// Those with an execution time.
    pub timed: u64,
    /// Its sum in nanoseconds.
    pub sum: u128,
}

impl Minute {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.timed += other.timed;
        self.sum += other.sum;
    }
}

/// Functions, and their minutes with calls.
pub type Minutes = ByFunction<BTreeMap<i64, Minute>>;

/// The mean of functions' mean execution times in milliseconds, as the runbook's statement takes it: a function whose calls were not
/// timed counts as 0 there.
#[must_use]
pub fn mean_of_means(functions: impl Iterator<Item = Minute>) -> Option<f64> {
    let (sum, count) = functions
        .filter(|minute| minute.calls > 0)
        .fold((0.0, 0), |(sum, count), minute| (sum + mean(minute.sum, minute.timed) as f64 / 1e6, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// For each minute of the window what `of` makes of its functions.
pub fn by_minute(
    functions: &Functions<BTreeMap<i64, Minute>>,
    window: Window,
    of: impl Fn(&mut dyn Iterator<Item = Minute>) -> Option<f64>,
) -> Vec<Option<f64>> {
    window
        .minutes()
        .map(|minute| of(&mut functions.iter().filter_map(|(_, minutes)| minutes.get(&minute).copied())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert_eq!(latency_status(None), "OK");
        assert_eq!(latency_status(Some(2e9)), "OK");
        assert_eq!(latency_status(Some(2.001e9)), "WARNING: p95 > 2s");
        assert_eq!(latency_status(Some(5e9)), "WARNING: p95 > 2s");
        assert_eq!(latency_status(Some(5.001e9)), "CRITICAL: p95 > 5s");
        assert_eq!(error_status(5, 5), "OK", "five calls are too few");
        assert_eq!(error_status(6, 1), "ALERT: Error rate > 5%");
        assert_eq!(error_status(20, 1), "OK");
        assert_eq!(error_status(0, 0), "OK");
    }

    #[test]
    fn numbers() {
        assert_eq!(hundredths(share(1, 3)), "33.33");
        assert_eq!(hundredths(share(1, 8)), "12.50");
        assert_eq!(hundredths(share(2, 3)), "66.67");
        assert_eq!(hundredths(share(1, 16_000)), "0.01", "half a hundredth is rounded up: 0.00625");
        assert_eq!(hundredths(share(7, 7)), "100.00");
        assert_eq!(hundredths(share(0, 0)), "0.00");
        assert_eq!(microseconds(12_345_678), 12_346);
        assert_eq!(microseconds(499), 0);
        assert_eq!(microseconds(500), 1);
        assert_eq!(mean(10, 0), 0);
        let of = |calls, timed, sum| Minute { calls, errors: 0, timed, sum };
        assert_eq!(mean_of_means([of(1, 1, 4_000_000), of(3, 0, 0), of(0, 0, 0)].into_iter()), Some(2.0));
        assert_eq!(mean_of_means(std::iter::empty()), None);
    }
}
