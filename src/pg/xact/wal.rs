//! Positions in the write-ahead log.

use pgrx::pg_sys;

/// A lower bound: transactions from this one on write only after this position. So a page that has
/// not changed since then holds no row of theirs. The statement never becomes false, so it can be
/// stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalMark {
    /// The first transaction id that the mark covers.
    pub transaction: u64,
    /// The position, in bytes; 0 excludes no page.
    pub position: u64,
}

impl WalMark {
    /// A mark for the transactions that begin from now on. Under `wal_level` minimal, where some
    /// writes are not logged, the mark that excludes no page. Not for standbys.
    pub fn now() -> Self {
        // The position is read first: a transaction that gets its id later also writes later.
        // SAFETY: reads shared memory, and the level backend-local.
        unsafe {
            if pg_sys::wal_level < pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32 {
                return Self::default();
            }
            let position = pg_sys::GetXLogInsertRecPtr();
            Self { transaction: pg_sys::ReadNextFullTransactionId().value, position }
        }
    }

    /// The marks to keep for transactions that all began no earlier than `oldest`. The first is the
    /// latest known that covers all of them. The second will cover them once the transactions have
    /// ended that ran when it was taken.
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

/// Whether a mark taken at `time` (microseconds since 2000) still holds. It does if the server has
/// not restarted since, because `wal_level` is then the same. It also does on a standby, whose
/// primary logs each write.
pub fn holds_since(time: i64) -> bool {
    // SAFETY: read shared memory and backend-local variables.
    unsafe {
        pg_sys::RecoveryInProgress()
            || (time >= pg_sys::PgStartTime
                && pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32)
    }
}

/// The position of the last WAL record written, on a standby of the last one replayed.
pub fn position() -> u64 {
    // A standby has replayed all that the caller can see.
    // SAFETY: both read shared memory.
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
    fn marks_follow_the_oldest_transaction() {
        let mark = |transaction| WalMark { transaction, position: transaction * 10 };
        let none = [WalMark::default(); 2];
        assert_eq!(WalMark::advance(none, mark(7), 7), [mark(7), mark(7)]);
        assert_eq!(
            WalMark::advance(none, mark(8), 7),
            [WalMark::default(), mark(8)],
            "7 may have written before"
        );
        assert_eq!(
            WalMark::advance([WalMark::default(), mark(8)], mark(20), 9),
            [mark(8), mark(20)]
        );
        assert_eq!(
            WalMark::advance([mark(8), mark(20)], mark(30), 9),
            [mark(8), mark(20)],
            "9 is still running"
        );
        assert_eq!(WalMark::advance([mark(8), mark(20)], mark(40), 39), [mark(20), mark(40)]);
    }
}
