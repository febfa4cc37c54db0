//! The time before the next attempt: full jitter, so that many messages do not retry together.

const SECOND: i64 = 1_000_000;
/// In microseconds.
const BASE: i64 = 2 * SECOND;
/// In microseconds.
const CAP: i64 = 600 * SECOND;
/// A message that failed as many times is dead.
pub const MAX_ATTEMPTS: u32 = 10;

/// The time before the next attempt, in microseconds; `None` after the last. `attempts` counts
/// those that failed. `random` is at least 0 and less than 1.
#[must_use]
pub fn delay(attempts: u32, random: f64) -> Option<i64> {
    if attempts >= MAX_ATTEMPTS {
        return None;
    }
    let longest = BASE.saturating_mul(1 << attempts).min(CAP);
    let random = if random.is_nan() { 0.5 } else { random.clamp(0.0, 1.0) };
    // At most 600 million: exact in a double.
    Some((longest as f64 * random) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_up_to_ten_minutes() {
        let longest: Vec<i64> = (0..MAX_ATTEMPTS)
            .filter_map(|attempts| Some(delay(attempts, 0.999_999_9)? / SECOND + 1))
            .collect();
        assert_eq!(longest, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
        assert_eq!(delay(MAX_ATTEMPTS, 0.5), None);
        assert_eq!(delay(1, 0.5), Some(2 * SECOND));
    }

    proptest! {
        #[test]
        fn each_delay_has_bounds(attempts in any::<u32>(), random in any::<f64>()) {
            match delay(attempts, random) {
                Some(delay) => prop_assert!((0..=CAP).contains(&delay)),
                None => prop_assert!(attempts >= MAX_ATTEMPTS),
            }
        }

        #[test]
        fn more_failures_wait_no_less(attempts in 0..9_u32, random in 0.0..1.0_f64) {
            prop_assert!(delay(attempts, random) <= delay(attempts + 1, random));
        }
    }
}
