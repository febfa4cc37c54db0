//! What kind of session and transaction this is.

use crate::pg::error::ServerError;
use pgrx::pg_sys;

/// Refuses to go on where nothing can be written, and says what to do instead.
pub fn require_writable(action: &'static str) -> Result<(), ServerError> {
    // SAFETY: reads shared-memory state and a backend-local variable.
    let (standby, read_only) = unsafe { (pg_sys::RecoveryInProgress(), pg_sys::XactReadOnly) };
    if standby {
        return Err(ServerError::OnStandby { action });
    }
    if read_only {
        return Err(ServerError::ReadOnlyTransaction { action });
    }
    Ok(())
}

/// Whether something can be written here and now.
pub fn is_writable() -> bool {
    require_writable("").is_ok()
}

/// Whether this is a standby.
pub fn is_standby() -> bool {
    // SAFETY: reads shared-memory state.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether whoever has logged in, or the role that they have set, acts by themselves, and no SECURITY DEFINER function for them.
pub fn is_in_person() -> bool {
    // SAFETY: reads backend-local variables.
    unsafe { pg_sys::GetUserId() == pg_sys::GetOuterUserId() }
}

/// Refuses to go on in a transaction that sees a past state of the flags, where what it does would miss what it does not see.
pub fn require_latest_snapshot(action: &'static str) -> Result<(), ServerError> {
    // SAFETY: reads a backend-local variable.
    let isolation = unsafe { pg_sys::XactIsoLevel };
    if isolation >= pg_sys::XACT_REPEATABLE_READ as i32 {
        return Err(ServerError::OldSnapshot { action });
    }
    Ok(())
}

/// Forgets what this transaction has seen of the server's statistics: what comes next sees them as they are now.
pub fn forget_statistics() {
    // SAFETY: frees backend-local memory.
    unsafe { pg_sys::pgstat_clear_snapshot() };
}

/// The name of the user who logged in (`session_user`).
pub fn user() -> String {
    // SAFETY: reads a backend-local variable.
    super::sec_context::role_name(unsafe { pg_sys::GetSessionUserId() })
}

/// This session's database.
pub fn database() -> String {
    // SAFETY: a session that runs functions has a database; its name is a copy in the current memory context.
    unsafe {
        let name = pg_sys::get_database_name(pg_sys::MyDatabaseId);
        if name.is_null() { String::new() } else { std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

/// Whether the current user is a superuser.
pub fn is_superuser() -> bool {
    // SAFETY: looks up the current user's role.
    unsafe { pg_sys::superuser() }
}

/// `max_wal_size`, in megabytes.
pub fn max_wal_size() -> i64 {
    // SAFETY: reads a setting.
    i64::from(unsafe { pg_sys::max_wal_size_mb })
}

/// `checkpoint_timeout`, in seconds.
pub fn checkpoint_timeout() -> String {
    // SAFETY: every server has this setting, which all may read; its text is valid until the next call, and copied.
    unsafe {
        let setting = pg_sys::GetConfigOption(c"checkpoint_timeout".as_ptr(), true, false);
        if setting.is_null() { String::new() } else { std::ffi::CStr::from_ptr(setting).to_string_lossy().into_owned() }
    }
}

/// This session's process.
pub fn own_pid() -> i32 {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::MyProcPid }
}

/// Whether a setting has a value in this session, were it the empty one.
pub fn has_setting(name: &std::ffi::CStr) -> bool {
    // SAFETY: a NUL-terminated name; with missing_ok an unknown one is NULL.
    unsafe { !pg_sys::GetConfigOption(name.as_ptr(), true, false).is_null() }
}

/// The server's version, as it says it.
pub fn server_version() -> String {
    // SAFETY: a setting that every server has; NUL-terminated and copied.
    unsafe { owned(pg_sys::GetConfigOption(c"server_version".as_ptr(), true, false)) }
}

/// # Safety
/// The text must be NULL or NUL-terminated.
unsafe fn owned(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller vouches.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
