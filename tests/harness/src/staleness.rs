//! Reads of a flag that others flip, checked against the flips. A value that was replaced before
//! the read began is stale. A value that was never committed is dirty.

/// One committed value of a flag. It became visible between `sent` and `acknowledged`.
#[derive(Clone, Copy)]
pub struct Commit<T> {
    /// The client sent the COMMIT at this time.
    pub sent: T,
    /// The client knew of the commit at this time.
    pub acknowledged: T,
    /// Whether the flag is on since.
    pub value: bool,
}

/// One evaluation of a flag by a client.
#[derive(Clone, Copy)]
pub struct Read<T> {
    /// The client sent the statement at this time.
    pub began: T,
    /// The client had the answer at this time.
    pub ended: T,
    /// The answer.
    pub value: bool,
}

impl<T: Copy + Ord> Read<T> {
    /// Whether some commit of the read value was visible while the read ran. `commits` are all of
    /// one flag, in order.
    pub fn is_explained(&self, commits: &[Commit<T>]) -> bool {
        let oldest_visible =
            commits.partition_point(|commit| commit.acknowledged <= self.began).saturating_sub(1);
        commits[oldest_visible..]
            .iter()
            .take_while(|commit| commit.sent <= self.ended)
            .any(|commit| commit.value == self.value)
    }
}
