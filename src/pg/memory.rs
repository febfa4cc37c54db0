//! Server memory.

use pgrx::{PgMemoryContexts, pg_sys};

/// Switches back to this context when dropped, also when an error unwinds the stack.
struct SwitchBack(pg_sys::MemoryContext);

impl Drop for SwitchBack {
    fn drop(&mut self) {
        // SAFETY: the context was current further up the stack, so it outlives this value.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
    }
}

/// Runs `work` in a memory context of its own. Afterwards everything is freed that the server
/// allocated in it.
pub fn in_temporary_context<R>(work: impl FnOnce() -> R) -> R {
    let mut context = PgMemoryContexts::new("crewsnow_ops");
    // SAFETY: reads a backend-local variable.
    let _back = SwitchBack(unsafe { pg_sys::CurrentMemoryContext });
    // SAFETY: `context` is dropped after `work`. The result owns its memory by Rust's allocator.
    unsafe { context.switch_to(|_| work()) }
}
