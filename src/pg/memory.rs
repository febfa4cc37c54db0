//! Server memory.

use pgrx::{PgMemoryContexts, pg_sys};

/// Goes back to the context that was current, also past an error, before the other one is freed.
struct Back(pg_sys::MemoryContext);

impl Drop for Back {
    fn drop(&mut self) {
        // SAFETY: a context further up, which outlives this one.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
    }
}

/// Runs `work` in a memory context of its own, which is freed afterwards with all that the server allocated meanwhile.
pub fn in_temporary_context<R>(work: impl FnOnce() -> R) -> R {
    let mut context = PgMemoryContexts::new("crewsnow_ops");
    // SAFETY: reads a backend-local variable.
    let _back = Back(unsafe { pg_sys::CurrentMemoryContext });
    // SAFETY: the context is alive until `context` is dropped, after `work`, whose result owns its memory by Rust's allocator.
    unsafe { context.switch_to(|_| work()) }
}
