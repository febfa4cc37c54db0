//! Server memory.

use pgrx::PgMemoryContexts;

/// Runs `work` in a memory context of its own, which is freed afterwards with all that the server allocated meanwhile.
pub fn in_temporary_context<R>(work: impl FnOnce() -> R) -> R {
    let mut context = PgMemoryContexts::new("crewsnow_ops");
    // SAFETY: the context is alive until `context` is dropped, after `work`, whose result owns its memory by Rust's allocator.
    unsafe { context.switch_to(|_| work()) }
}
