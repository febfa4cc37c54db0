//! The state of an aggregate, which lives as long as the group that it is of.

use pgrx::prelude::*;
use pgrx::{Internal, PgMemoryContexts};

/// The state of this aggregate's group, made if there is none yet. `fcinfo` is the server's own, as pgrx hands it over.
#[allow(clippy::not_unsafe_ptr_arg_deref)]
pub fn state<T: Default>(state: &mut Internal, fcinfo: pg_sys::FunctionCallInfo) -> &mut T {
    let mut context = std::ptr::null_mut();
    // SAFETY: the server calls transition functions with their call information. The functions that use this take and return
    // `internal`, so that SQL can call them as parts of their aggregate only, and all parts of one use the same type.
    unsafe {
        if pg_sys::AggCheckCallContext(fcinfo, &mut context) == 0 {
            context = pg_sys::CurrentMemoryContext;
        }
        PgMemoryContexts::For(context).switch_to(|_| state.get_or_insert_default::<T>())
    }
}

/// The state, if the group has one.
pub fn existing_state<T>(state: &Internal) -> Option<&T> {
    // SAFETY: as above.
    unsafe { state.get::<T>() }
}
