//! Which transactions the rollups have counted: a snapshot, and what follows from it.

/// A set of transactions: those before `xmax`, but for the ones that were still in progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The first transaction beyond it.
    pub xmax: u64,
    /// Those before `xmax` that it does not hold, in ascending order.
    pub in_progress: Vec<u64>,
}

/// Transactions that finished late are looked up one by one; those this close to the next are taken along with it.
const NEARBY: u64 = 1_000;

impl Coverage {
    /// Whether rows of this transaction have been counted.
    #[must_use]
    pub fn holds(&self, transaction: u64) -> bool {
        transaction < self.xmax && self.in_progress.binary_search(&transaction).is_err()
    }

    /// No transaction outside it is older than this.
    #[must_use]
    pub fn oldest_outside(&self) -> u64 {
        self.in_progress.first().copied().unwrap_or(self.xmax).min(self.xmax)
    }

    /// What a roll-up may count under the snapshot `now`, taken within transaction `own`: all but its own, which may still write, and
    /// up to `last` where the work is to be bounded.
    #[must_use]
    pub fn next(now: &Self, own: Option<u64>, last: Option<u64>) -> Self {
        let xmax = last.map_or(now.xmax, |last| now.xmax.min(last.saturating_add(1)));
        let mut in_progress: Vec<u64> = now.in_progress.iter().copied().chain(own).filter(|t| *t < xmax).collect();
        in_progress.sort_unstable();
        in_progress.dedup();
        Self { xmax, in_progress }
    }

    /// Ranges of transactions, first and last included, that contain every transaction outside this set whose rows the snapshot
    /// `now` can see. The last range has no end.
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

    /// Reads the server's own form of a snapshot: count, xmin, xmax and the transactions in progress, in the machine's byte order.
    #[must_use]
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let numbers = bytes.get(4..)?;
        let number = |i: usize| Some(u64::from_ne_bytes(numbers.get(8 * i..8 * i + 8)?.try_into().ok()?));
        let count = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let in_progress = (2..2 + count).map(number).collect::<Option<_>>()?;
        Some(Self { xmax: number(1)?, in_progress })
    }
}

/// As the type pg_snapshot is written.
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
        (5..60_u64, prop::collection::btree_set(0..60_u64, 0..8)).prop_map(|(xmax, in_progress)| Coverage {
            xmax,
            in_progress: in_progress.into_iter().filter(|t| *t < xmax).collect(),
        })
    }

    #[test]
    fn far_apart() {
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
        fn ranges_miss_nothing(covered in coverage(), now in coverage()) {
            let ranges = covered.uncovered(&now);
            for transaction in 0..70 {
                if !covered.holds(transaction) && now.holds(transaction) {
                    prop_assert!(ranges.iter().any(|(first, last)| (*first..=*last).contains(&transaction)));
                }
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }

        #[test]
        fn next_never_counts_what_is_unfinished(now in coverage(), own in 0..70_u64, last in prop::option::of(0..70_u64)) {
            let next = Coverage::next(&now, Some(own), last);
            for transaction in 0..80 {
                let may = now.holds(transaction) && transaction != own && last.is_none_or(|last| transaction <= last);
                prop_assert_eq!(next.holds(transaction), may);
                prop_assert!(may || transaction >= next.oldest_outside());
            }
        }

        #[test]
        fn binary_form(xmax in any::<u64>(), in_progress in prop::collection::vec(any::<u64>(), 0..5)) {
            let mut bytes = (in_progress.len() as u32).to_ne_bytes().to_vec();
            for number in [&[0, xmax][..], &in_progress].concat() {
                bytes.extend(number.to_ne_bytes());
            }
            prop_assert_eq!(Coverage::from_binary(&bytes), Some(Coverage { xmax, in_progress }));
            prop_assert_eq!(Coverage::from_binary(&bytes[..bytes.len() - 1]), None);
        }
    }
}
