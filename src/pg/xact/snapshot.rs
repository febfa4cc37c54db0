//! What the running statement sees, and which database this is.

use crate::pg::access::datum;
use pgrx::pg_sys;

/// The active snapshot in the form of the type pg_snapshot. On a standby it names no transaction in progress.
pub fn active_snapshot() -> Option<Vec<u8>> {
    // SAFETY: with an active snapshot the function cannot fail; what it returns is a varlena in the current memory context.
    unsafe {
        if !pg_sys::ActiveSnapshotSet() {
            return None;
        }
        let snapshot = pgrx::direct_function_call_as_datum(pg_sys::pg_current_snapshot, &[])?;
        Some(datum::varlena_bytes(snapshot))
    }
}

/// This transaction's id, if it has one yet.
pub fn own_transaction() -> Option<u64> {
    // SAFETY: reads backend-local state.
    let transaction = unsafe { pg_sys::GetTopFullTransactionIdIfAny() }.value;
    (transaction != 0).then_some(transaction)
}

/// This transaction's id, which it gets now if it has none.
pub fn assign_transaction() -> u64 {
    // SAFETY: raises where nothing can be written, and else only assigns an id.
    unsafe { pg_sys::GetTopFullTransactionId() }.value
}

struct Active;

impl Drop for Active {
    fn drop(&mut self) {
        // While an error unwinds, the server puts the snapshots right itself.
        if !std::thread::panicking() {
            // SAFETY: pops what `with_latest_snapshot` pushed.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// Runs `work` under a snapshot taken now, which sees this transaction's own changes too.
pub fn with_latest_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: both are made for each other; `Active` pops it however `work` ends.
    let _active = unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        Active
    };
    work()
}

/// The cluster's identifier and the database's oid: another pair means that the data came from elsewhere.
pub fn identity() -> (i64, pg_sys::Oid) {
    // SAFETY: reads shared memory and a backend-local variable.
    unsafe { (pg_sys::GetSystemIdentifier() as i64, pg_sys::MyDatabaseId) }
}

/// When the transaction began, as now() says, in microseconds since 2000-01-01 00:00 UTC.
pub fn transaction_start() -> i64 {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::GetCurrentTransactionStartTimestamp() }
}
