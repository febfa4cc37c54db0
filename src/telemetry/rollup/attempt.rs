//! The times of a webhook's processing attempts, kept in step with its status. Pure.

/// The outcome of our processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Arrived, not processed yet.
    Received,
    /// Processed.
    Processed,
    /// The last attempt failed.
    Failed,
}

impl Status {
    /// The word of the column; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Received, Self::Processed, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == word)
    }

    /// The word of the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processed => "processed",
            Self::Failed => "failed",
        }
    }
}

/// A webhook's status and its times, in microseconds since 2000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The status.
    pub status: Status,
    /// End of the last attempt, or arrival.
    pub processed_at: i64,
    /// The last failure that no success followed.
    pub failed_at: Option<i64>,
}

/// The columns that a statement sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// Whether it sets status.
    pub status: bool,
    /// Whether it sets processed_at.
    pub processed_at: bool,
}

/// The times to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// As in [`Attempt`].
    pub processed_at: i64,
    /// As in [`Attempt`].
    pub failed_at: Option<i64>,
}

impl Attempt {
    /// Whether the webhook counts as failed: until it is processed, also while it is received
    /// again.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.status == Status::Failed
            || (self.status == Status::Received && self.failed_at.is_some())
    }

    /// The times to store for a row that a statement writes over `old`; `None` is an INSERT.
    ///
    /// An outcome moves processed_at to `now` unless the statement sets another time. A statement
    /// that names status and not processed_at reports an outcome even if the word stays the same; a
    /// second success is the same success. A save of the whole row reports one if the word changes.
    /// No time is after `clock`.
    #[must_use]
    pub fn times(&self, old: Option<&Self>, assigned: Assigned, clock: i64, now: i64) -> Times {
        let is_changed = old.is_some_and(|old| old.status != self.status);
        let is_moved = old.is_some_and(|old| old.processed_at != self.processed_at);
        let is_outcome = match self.status {
            Status::Received => false,
            Status::Processed => is_changed,
            Status::Failed => is_changed || (assigned.status && !assigned.processed_at),
        };
        let given =
            if self.processed_at == i64::MAX { i64::MAX } else { self.processed_at.min(clock) };
        let processed_at = if is_outcome && !is_moved { now.max(given) } else { given };
        let failed_at = match (self.status, old) {
            (Status::Processed, _) => None,
            (Status::Failed, None) => Some(self.failed_at.unwrap_or(processed_at)),
            (Status::Failed, Some(old)) if old.processed_at == processed_at && !is_changed => {
                Some(old.failed_at.unwrap_or(processed_at))
            }
            (Status::Failed, Some(_)) => Some(processed_at),
            // A dump restores received webhooks with their failure.
            (Status::Received, None) => self.failed_at,
            (Status::Received, Some(old)) => old.failed_at,
        };
        Times { processed_at, failed_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_000;
    const STATUS: Assigned = Assigned { status: true, processed_at: false };
    const WHOLE_ROW: Assigned = Assigned { status: true, processed_at: true };
    const OTHER: Assigned = Assigned { status: false, processed_at: false };

    fn at(status: Status, processed_at: i64, failed_at: Option<i64>) -> Attempt {
        Attempt { status, processed_at, failed_at }
    }

    fn update(old: Attempt, new: Attempt, assigned: Assigned) -> (i64, Option<i64>) {
        let times = new.times(Some(&old), assigned, NOW, NOW);
        (times.processed_at, times.failed_at)
    }

    #[test]
    fn an_outcome_moves_the_time() {
        use Status::{Failed, Processed, Received};
        let arrived = at(Received, 10, None);
        for assigned in [STATUS, WHOLE_ROW] {
            assert_eq!(update(arrived, at(Failed, 10, None), assigned), (NOW, Some(NOW)));
            assert_eq!(update(arrived, at(Processed, 10, None), assigned), (NOW, None));
        }
        assert_eq!(update(arrived, at(Failed, 700, None), WHOLE_ROW), (700, Some(700)));
        let failed = at(Failed, 10, Some(10));
        assert_eq!(update(failed, failed, STATUS), (NOW, Some(NOW)), "it failed again");
        assert_eq!(update(failed, failed, WHOLE_ROW), (10, Some(10)), "a note was saved");
        assert_eq!(update(failed, failed, OTHER), (10, Some(10)));
        let processed = at(Processed, 10, None);
        assert_eq!(update(processed, processed, STATUS), (10, None), "a redelivery");
    }

    #[test]
    fn a_failure_stays_until_it_is_processed() {
        use Status::{Failed, Processed, Received};
        let failed = at(Failed, 10, Some(10));
        assert_eq!(update(failed, at(Received, 10, None), STATUS), (10, Some(10)));
        let again = at(Received, 10, Some(10));
        assert!(again.is_failed());
        assert_eq!(update(again, at(Processed, 10, Some(10)), STATUS), (NOW, None));
        assert!(!at(Processed, NOW, None).is_failed());
        assert_eq!(update(at(Processed, 10, None), at(Received, 10, Some(9)), STATUS), (10, None));
        let insert = |attempt: Attempt| attempt.times(None, WHOLE_ROW, NOW, NOW).failed_at;
        assert_eq!(insert(at(Failed, 10, None)), Some(10));
        assert_eq!(insert(again), Some(10), "from a dump");
        assert_eq!(insert(at(Processed, 10, Some(5))), None);
    }

    #[test]
    fn no_time_is_in_the_future() {
        let early = at(Status::Failed, NOW + 5, None);
        let times = early.times(None, WHOLE_ROW, NOW, NOW);
        assert_eq!((times.processed_at, times.failed_at), (NOW, Some(NOW)));
        let infinite = at(Status::Processed, i64::MAX, None);
        assert_eq!(infinite.times(None, WHOLE_ROW, NOW, NOW).processed_at, i64::MAX, "refused");
    }

    fn attempts() -> impl Strategy<Value = Attempt> {
        let statuses = vec![Status::Received, Status::Processed, Status::Failed];
        (prop::sample::select(statuses), 0..NOW, prop::option::of(0..NOW))
            .prop_map(|(status, processed_at, failed_at)| at(status, processed_at, failed_at))
    }

    proptest! {
        #[test]
        fn only_a_success_ends_a_failure(
            old in attempts(),
            new in attempts(),
            status in any::<bool>(),
            processed_at in any::<bool>(),
        ) {
            let times = new.times(Some(&old), Assigned { status, processed_at }, NOW, NOW);
            let stored = at(new.status, times.processed_at, times.failed_at);
            prop_assert!(times.processed_at <= NOW);
            prop_assert_eq!(stored.status == Status::Processed && times.failed_at.is_some(), false);
            if old.failed_at.is_some() && new.status != Status::Processed {
                prop_assert!(stored.is_failed());
            }
        }
    }
}
