//! Positions in the write-ahead log.

use pgrx::pg_sys;

/// Transactions from this one on have written, and will write, only after this position: a page that has not changed since holds nothing
/// of theirs. True for ever, so it can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalMark {
    /// The transaction.
    pub transaction: u64,
    /// The position.
    pub position: u64,
}

impl WalMark {
    /// For the transactions that begin from now on; none where not everything is logged. Not on a standby.
    pub fn now() -> Self {
        // SAFETY: both read shared memory, and the level backend-local. The position first: who gets an id later writes later.
        unsafe {
            if pg_sys::wal_level < pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32 {
                return Self::default();
            }
            let position = pg_sys::GetXLogInsertRecPtr();
            Self { transaction: pg_sys::ReadNextFullTransactionId().value, position }
        }
    }

    /// The marks to keep for a set of transactions, all of which began no earlier than `oldest`: the first is the latest known that
    /// is about all of them, the second will be once those have finished that ran when it was taken.
    #[must_use]
    pub fn advance(kept: [Self; 2], now: Self, oldest: u64) -> [Self; 2] {
        if now.transaction <= oldest {
            [now, now]
        } else if kept[1].transaction <= oldest {
            [kept[1], now]
        } else {
            kept
        }
    }
}

/// Whether a mark of this time, in microseconds since 2000, still holds: since this server started, hence under the same wal_level, or
/// on a standby, whose primary logs everything.
pub fn holds_since(time: i64) -> bool {
    // SAFETY: read shared memory and backend-local variables.
    unsafe {
        pg_sys::RecoveryInProgress()
            || (time >= pg_sys::PgStartTime && pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32)
    }
}

/// How far this server has come.
pub fn position() -> u64 {
    // SAFETY: both read shared memory; the first is for servers in recovery, which have replayed what the caller can see.
    unsafe {
        if pg_sys::RecoveryInProgress() {
            pg_sys::GetXLogReplayRecPtr(std::ptr::null_mut())
        } else {
            pg_sys::GetXLogInsertRecPtr()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_follow_the_oldest() {
        let mark = |transaction| WalMark { transaction, position: transaction * 10 };
        let none = [WalMark::default(); 2];
        assert_eq!(WalMark::advance(none, mark(7), 7), [mark(7), mark(7)]);
        assert_eq!(WalMark::advance(none, mark(8), 7), [WalMark::default(), mark(8)], "7 may have written before");
        assert_eq!(WalMark::advance([WalMark::default(), mark(8)], mark(20), 9), [mark(8), mark(20)]);
        assert_eq!(WalMark::advance([mark(8), mark(20)], mark(30), 9), [mark(8), mark(20)], "9 is still running");
        assert_eq!(WalMark::advance([mark(8), mark(20)], mark(40), 39), [mark(20), mark(40)]);
    }
}
