//! Something that may fail without the transaction failing with it.

use pgrx::prelude::*;

/// Runs `work` in a subtransaction. `None`, with all undone, if a lock could not be had in time; any other error is passed on.
pub fn unless_locked<R>(work: impl FnOnce() -> R + std::panic::UnwindSafe + std::panic::RefUnwindSafe) -> Option<R> {
    // SAFETY: as the server's own procedural languages do it: the subtransaction ends here in either way, and memory context and
    // resource owner are put back. Another error leaves it open, and aborts it with the transaction.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = PgTryBuilder::new(|| Some(work()))
            .catch_when(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, |_| None)
            .execute();
        if result.is_some() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}
