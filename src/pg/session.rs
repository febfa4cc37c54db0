//! What kind of transaction this is.

use crate::error::OpsError;
use pgrx::pg_sys;

/// Refuses to go on where nothing can be written, and says what to do instead.
pub fn require_writable(what: &'static str) -> Result<(), OpsError> {
    // SAFETY: reads shared-memory state and a backend-local variable.
    let (standby, read_only) = unsafe { (pg_sys::RecoveryInProgress(), pg_sys::XactReadOnly) };
    if standby {
        return Err(OpsError::OnStandby { what });
    }
    if read_only {
        return Err(OpsError::ReadOnlyTransaction { what });
    }
    Ok(())
}

/// Refuses to go on in a transaction that sees a past state of the flags, where what it does would miss what it does not see.
pub fn require_latest_snapshot(what: &'static str) -> Result<(), OpsError> {
    // SAFETY: reads a backend-local variable.
    let isolation = unsafe { pg_sys::XactIsoLevel };
    if isolation >= pg_sys::XACT_REPEATABLE_READ as i32 {
        return Err(OpsError::OldSnapshot { what });
    }
    Ok(())
}
