//! Something that may fail without the transaction failing with it.

use pgrx::prelude::*;

/// Runs `work` in a subtransaction. `None`, with all undone, if it fails with one of these errors; any other is passed on.
pub fn unless<R>(
    errors: &[PgSqlErrorCode],
    work: impl FnOnce() -> R + std::panic::UnwindSafe + std::panic::RefUnwindSafe,
) -> Option<R> {
    // SAFETY: as the server's own procedural languages do it: the subtransaction ends here in either way, and memory context and
    // resource owner are put back. Another error leaves it open, and aborts it with the transaction.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let mut attempt = PgTryBuilder::new(|| Some(work()));
        for error in errors {
            attempt = attempt.catch_when(*error, |_| None);
        }
        let result = attempt.execute();
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
