//! Whether a user acts in person, so that one user cannot pass for two.

use crate::pg::xact::{session, typed_call};
use crate::readiness::error::ReadinessError;
use pgrx::pg_sys;

/// Whether the session user runs the call as a statement of his own.
pub fn is_typed(call: pg_sys::FunctionCallInfo) -> bool {
    session::is_in_person() && typed_call::is_typed(call)
}

/// Requires that the session user typed the call. Otherwise a function, a view, a trigger or a
/// prepared statement could approve in the name of any session that happens to run it.
/// `example` is the statement to type.
/// Errors: 42501.
pub(super) fn require_typed(
    call: pg_sys::FunctionCallInfo,
    action: &'static str,
    example: impl FnOnce() -> String,
) -> Result<(), ReadinessError> {
    if is_typed(call) {
        return Ok(());
    }
    Err(ReadinessError::NotTyped { action, user: session::user(), example: example() })
}
