//! The snapshot of the running statement, transaction ids, and the identity of the database.

use crate::pg::access::datum;
use pgrx::pg_sys;

/// The active snapshot as the bytes of a pg_snapshot value. On a standby it lists no transaction in
/// progress.
pub fn active_snapshot() -> Option<Vec<u8>> {
    // SAFETY: with an active snapshot the function cannot fail. It returns a varlena in the current
    // memory context.
    unsafe {
        if !pg_sys::ActiveSnapshotSet() {
            return None;
        }
        let snapshot = pgrx::direct_function_call_as_datum(pg_sys::pg_current_snapshot, &[])?;
        Some(datum::varlena_bytes(snapshot))
    }
}

/// The id of the running subtransaction. Ids grow; that of the transaction itself is the smallest.
pub fn own_subtransaction() -> u32 {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// This transaction's id; `None` until it writes.
pub fn own_transaction() -> Option<u64> {
    // SAFETY: reads backend-local state.
    let transaction = unsafe { pg_sys::GetTopFullTransactionIdIfAny() }.value;
    (transaction != 0).then_some(transaction)
}

/// This transaction's id, assigned now if it has none. 25006 where the transaction cannot write.
pub fn assign_transaction() -> u64 {
    // SAFETY: assigns an id, or raises where the transaction cannot write.
    unsafe { pg_sys::GetTopFullTransactionId() }.value
}

struct Active;

impl Drop for Active {
    fn drop(&mut self) {
        // While an error unwinds, the server itself restores the snapshots.
        if !std::thread::panicking() {
            // SAFETY: pops what `with_latest_snapshot` pushed.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// Runs `work` under a snapshot taken now, which also sees this transaction's own changes.
pub fn with_latest_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: `Active` pops the snapshot that is pushed here.
    let _active = unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        Active
    };
    work()
}

/// The cluster's identifier and the database's oid. Another pair means that the data was restored
/// or copied from another database.
pub fn identity() -> (i64, pg_sys::Oid) {
    // SAFETY: reads shared memory and a backend-local variable.
    unsafe { (pg_sys::GetSystemIdentifier() as i64, pg_sys::MyDatabaseId) }
}

/// now(): the start of the transaction, in microseconds since 2000-01-01 00:00 UTC.
pub fn transaction_start() -> i64 {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::GetCurrentTransactionStartTimestamp() }
}
