//! Thresholds of the monitoring views. Pure.

use crate::telemetry::rollup::tally::{ByFunction, Functions};
use crate::time::minute::Window;
use std::collections::BTreeMap;

/// A p95 above this is a warning: 2 s.
const SLOW_NANOSECONDS: f64 = 2e9;
/// A p95 above this is critical: 5 s.
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

/// A verdict on errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStatus {
    /// Few calls failed, and those without a status code could not change that.
    Fine,
    /// More than 5 % of more than 5 calls failed.
    Alert,
    /// No call has a usable status code, or those without one could hide an alert.
    Unknown,
}

impl ErrorStatus {
    /// The verdict on a number of calls.
    #[must_use]
    pub fn of(calls: u64, errors: u64, without_status: u64) -> Self {
        let alerts = |errors: u64| calls > 5 && u128::from(errors) * 100 > u128::from(calls) * 5;
        if alerts(errors) {
            Self::Alert
        } else if without_status > 0
            && (without_status >= calls || alerts(errors.saturating_add(without_status)))
        {
            Self::Unknown
        } else {
            Self::Fine
        }
    }

    /// The text that dashboards and the runbook match.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Alert => "ALERT: Error rate > 5%",
            Self::Unknown => NO_STATUS_CODES,
        }
    }
}

/// The state of data in which errors are unknown.
pub const NO_STATUS_CODES: &str = "NO_STATUS_CODES";

/// A share in hundredths of a percent, rounded half up; 0 if `whole` is 0.
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

/// The mean in nanoseconds, rounded down; 0 if `count` is 0.
#[must_use]
pub fn mean(sum: u128, count: u64) -> u128 {
    sum.checked_div(u128::from(count)).unwrap_or(0)
}

/// Counts of one function in one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Calls.
    pub calls: u64,
    /// Calls with a 5xx status.
    pub errors: u64,
    /// Calls without a usable status code.
    pub without_status: u64,
    /// Calls with an execution time.
    pub timed: u64,
    /// Sum of the execution times, in nanoseconds.
    pub sum: u128,
}

impl Minute {
    /// Adds the counts of another minute.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.without_status += other.without_status;
        self.timed += other.timed;
        self.sum += other.sum;
    }
}

/// Functions, and their minutes with calls.
pub type Minutes = ByFunction<BTreeMap<i64, Minute>>;

/// The mean over functions of their mean execution times, in milliseconds, as the runbook computes
/// it: a function without execution times counts as 0.
#[must_use]
pub fn mean_of_means(functions: impl Iterator<Item = Minute>) -> Option<f64> {
    let (sum, count) =
        functions.filter(|minute| minute.calls > 0).fold((0.0, 0), |(sum, count), minute| {
            (sum + mean(minute.sum, minute.timed) as f64 / 1e6, count + 1)
        });
    (count > 0).then(|| sum / f64::from(count))
}

/// Applies `of` to the functions of each minute of the window.
pub fn by_minute(
    functions: &Functions<BTreeMap<i64, Minute>>,
    window: Window,
    of: impl Fn(&mut dyn Iterator<Item = Minute>) -> Option<f64>,
) -> Vec<Option<f64>> {
    window
        .minutes()
        .map(|minute| {
            of(&mut functions.iter().filter_map(|(_, minutes)| minutes.get(&minute).copied()))
        })
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
        let errors = |calls, errors| ErrorStatus::of(calls, errors, 0).as_str();
        assert_eq!(errors(5, 5), "OK", "five calls are too few");
        assert_eq!(errors(6, 1), "ALERT: Error rate > 5%");
        assert_eq!(errors(20, 1), "OK");
        assert_eq!(errors(0, 0), "OK");
    }

    #[test]
    fn calls_without_a_status_code_are_no_success() {
        for (calls, errors, without_status, expected) in [
            (200, 0, 200, ErrorStatus::Unknown),
            (1, 0, 1, ErrorStatus::Unknown),
            (100, 0, 6, ErrorStatus::Unknown),
            (100, 0, 5, ErrorStatus::Fine),
            (100, 3, 3, ErrorStatus::Unknown),
            (100, 6, 94, ErrorStatus::Alert),
            (5, 0, 4, ErrorStatus::Fine),
            (0, 0, 0, ErrorStatus::Fine),
        ] {
            let found = ErrorStatus::of(calls, errors, without_status);
            assert_eq!(found, expected, "{calls} {errors} {without_status}");
        }
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
        let of = |calls, timed, sum| Minute { calls, timed, sum, ..Minute::default() };
        assert_eq!(
            mean_of_means([of(1, 1, 4_000_000), of(3, 0, 0), of(0, 0, 0)].into_iter()),
            Some(2.0)
        );
        assert_eq!(mean_of_means(std::iter::empty()), None);
    }
}
