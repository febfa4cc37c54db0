//! The state of an aggregate, which lives as long as its group.

use pgrx::prelude::*;
use pgrx::{Internal, PgMemoryContexts};

/// The state of this aggregate's group, created on first use. `fcinfo` is the server's, as pgrx
/// passes it.
#[allow(clippy::not_unsafe_ptr_arg_deref)]
pub fn state<T: Default>(state: &mut Internal, fcinfo: pg_sys::FunctionCallInfo) -> &mut T {
    let mut context = std::ptr::null_mut();
    // SAFETY: the server calls transition functions with their call information. The callers take
    // and return `internal`, so SQL can run them only as parts of their aggregate, and all parts of
    // one aggregate use the same type.
    unsafe {
        if pg_sys::AggCheckCallContext(fcinfo, &mut context) == 0 {
            context = pg_sys::CurrentMemoryContext;
        }
        PgMemoryContexts::For(context).switch_to(|_| state.get_or_insert_default::<T>())
    }
}

/// The state; `None` if the group has none yet.
pub fn existing_state<T>(state: &Internal) -> Option<&T> {
    // SAFETY: as in `state`.
    unsafe { state.get::<T>() }
}
