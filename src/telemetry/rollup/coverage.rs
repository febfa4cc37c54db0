//! The coverage of the rollups: a snapshot that sees exactly the counted transactions. Pure.

/// The transactions before `xmax`, except those that were in progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The first transaction that is not covered because of its age.
    pub xmax: u64,
    /// Transactions before `xmax` that are not covered, ascending.
    pub in_progress: Vec<u64>,
}

/// Late transactions closer together than this are read as one range.
const NEARBY: u64 = 1_000;

impl Coverage {
    /// Whether the rollups hold the rows of this transaction.
    #[must_use]
    pub fn holds(&self, transaction: u64) -> bool {
        transaction < self.xmax && self.in_progress.binary_search(&transaction).is_err()
    }

    /// The oldest transaction that is not covered.
    #[must_use]
    pub fn oldest_outside(&self) -> u64 {
        self.in_progress.first().copied().unwrap_or(self.xmax).min(self.xmax)
    }

    /// The coverage after a roll-up under the snapshot `now` in transaction `own`: everything that
    /// `now` sees, except `own`, which may still write, and up to `last` if the work is bounded.
    #[must_use]
    pub fn next(now: &Self, own: Option<u64>, last: Option<u64>) -> Self {
        let xmax = last.map_or(now.xmax, |last| now.xmax.min(last.saturating_add(1)));
        let mut in_progress: Vec<u64> =
            now.in_progress.iter().copied().chain(own).filter(|t| *t < xmax).collect();
        in_progress.sort_unstable();
        in_progress.dedup();
        Self { xmax, in_progress }
    }

    /// Inclusive ranges of transactions that contain every uncovered transaction visible to the
    /// snapshot `now`. The last range has no end.
    #[must_use]
    pub fn uncovered(&self, now: &Self) -> Vec<(u64, u64)> {
        let mut ranges = vec![(self.xmax, u64::MAX)];
        for late in self.in_progress.iter().rev().copied().filter(|late| now.holds(*late)) {
            match ranges.last_mut() {
                Some(range) if range.0 - late <= NEARBY => range.0 = late,
                _ => ranges.push((late, late)),
            }
        }
        ranges.reverse();
        ranges
    }

    /// Decodes the server's binary pg_snapshot: count, xmin, xmax and the transactions in progress,
    /// in native byte order.
    #[must_use]
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let numbers = bytes.get(4..)?;
        let number =
            |i: usize| Some(u64::from_ne_bytes(numbers.get(8 * i..8 * i + 8)?.try_into().ok()?));
        let count = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let in_progress = (2..2 + count).map(number).collect::<Option<_>>()?;
        Some(Self { xmax: number(1)?, in_progress })
    }
}

/// The text form of pg_snapshot.
impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let xmin = self.in_progress.first().copied().unwrap_or(self.xmax);
        write!(f, "{xmin}:{}:", self.xmax)?;
        for (i, transaction) in self.in_progress.iter().enumerate() {
            write!(f, "{}{transaction}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coverage() -> impl Strategy<Value = Coverage> {
        (5..60_u64, prop::collection::btree_set(0..60_u64, 0..8)).prop_map(|(xmax, in_progress)| {
            Coverage { xmax, in_progress: in_progress.into_iter().filter(|t| *t < xmax).collect() }
        })
    }

    #[test]
    fn late_transactions_far_apart_are_separate_ranges() {
        let now = Coverage { xmax: 1_000_000, in_progress: vec![] };
        let covered = Coverage { xmax: 500_000, in_progress: vec![7, 20_000, 20_500, 499_500] };
        assert_eq!(covered.uncovered(&now), [(7, 7), (20_000, 20_500), (499_500, u64::MAX)]);
        let now = Coverage { xmax: 1_000_000, in_progress: vec![7, 20_000] };
        assert_eq!(covered.uncovered(&now), [(20_500, 20_500), (499_500, u64::MAX)]);
        assert_eq!(Coverage::default().uncovered(&now), [(0, u64::MAX)]);
        assert_eq!(covered.to_string(), "7:500000:7,20000,20500,499500");
        assert_eq!(Coverage { xmax: 3, in_progress: vec![] }.to_string(), "3:3:");
    }

    proptest! {
        #[test]
        fn ranges_contain_every_uncovered_transaction(covered in coverage(), now in coverage()) {
            let ranges = covered.uncovered(&now);
            for transaction in 0..70 {
                if !covered.holds(transaction) && now.holds(transaction) {
                    let holds = |r: &(u64, u64)| (r.0..=r.1).contains(&transaction);
                    prop_assert!(ranges.iter().any(holds));
                }
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }

        #[test]
        fn the_next_coverage_holds_only_finished_transactions(
            now in coverage(),
            own in 0..70_u64,
            last in prop::option::of(0..70_u64),
        ) {
            let next = Coverage::next(&now, Some(own), last);
            for transaction in 0..80 {
                let may = now.holds(transaction)
                    && transaction != own
                    && last.is_none_or(|last| transaction <= last);
                prop_assert_eq!(next.holds(transaction), may);
                prop_assert!(may || transaction >= next.oldest_outside());
            }
        }

        #[test]
        fn the_binary_form_is_decoded(
            xmax in any::<u64>(),
            in_progress in prop::collection::vec(any::<u64>(), 0..5),
        ) {
            let mut bytes = (in_progress.len() as u32).to_ne_bytes().to_vec();
            for number in [&[0, xmax][..], &in_progress].concat() {
                bytes.extend(number.to_ne_bytes());
            }
            prop_assert_eq!(Coverage::from_binary(&bytes), Some(Coverage { xmax, in_progress }));
            prop_assert_eq!(Coverage::from_binary(&bytes[..bytes.len() - 1]), None);
        }
    }
}
