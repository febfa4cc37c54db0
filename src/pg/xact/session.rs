//! Facts about this session, its transaction and its server.

use crate::pg::error::ServerError;
use pgrx::pg_sys;
use std::ffi::CStr;

/// 25006 on a standby and in a read-only transaction. `action` is a verb with its object, for the
/// message.
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

/// Whether this transaction can write.
pub fn is_writable() -> bool {
    require_writable("").is_ok()
}

/// Whether the server is a standby.
pub fn is_standby() -> bool {
    // SAFETY: reads shared-memory state.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether the privileges are those of the user who logged in, or of the role set by SET ROLE. A
/// SECURITY DEFINER function changes them.
pub fn is_in_person() -> bool {
    // SAFETY: reads backend-local variables.
    unsafe { pg_sys::GetUserId() == pg_sys::GetOuterUserId() }
}

/// 25001 in a REPEATABLE READ or SERIALIZABLE transaction, whose snapshot hides later commits.
pub fn require_latest_snapshot(action: &'static str) -> Result<(), ServerError> {
    // SAFETY: reads a backend-local variable.
    let isolation = unsafe { pg_sys::XactIsoLevel };
    if isolation >= pg_sys::XACT_REPEATABLE_READ as i32 {
        return Err(ServerError::OldSnapshot { action });
    }
    Ok(())
}

/// Discards this transaction's snapshot of the server's statistics. The next read takes a new one.
pub fn forget_statistics() {
    // SAFETY: frees backend-local memory.
    unsafe { pg_sys::pgstat_clear_snapshot() };
}

/// `session_user`: the user who logged in.
pub fn user() -> String {
    // SAFETY: reads a backend-local variable.
    super::sec_context::role_name(unsafe { pg_sys::GetSessionUserId() })
}

/// The name of this session's database.
pub fn database() -> String {
    // SAFETY: a session that runs functions has a database. The name is a copy in the current
    // memory context.
    unsafe {
        let name = pg_sys::get_database_name(pg_sys::MyDatabaseId);
        if name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
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
    // SAFETY: each role may read this setting. Its text is valid until the next call, and copied.
    unsafe {
        let setting = pg_sys::GetConfigOption(c"checkpoint_timeout".as_ptr(), true, false);
        if setting.is_null() {
            String::new()
        } else {
            CStr::from_ptr(setting).to_string_lossy().into_owned()
        }
    }
}

/// The process id of this session's backend.
pub fn own_pid() -> i32 {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::MyProcPid }
}

/// The value of a setting; `None` if this session does not have it.
pub fn setting(name: &str) -> Option<String> {
    let name = crate::pg::cstring::c_string(name);
    // SAFETY: a NUL-terminated name; with missing_ok an unknown one is NULL. The text is copied.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| owned(value))
    }
}

/// How long the present value of a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// SET in this transaction: beyond its end.
    SetNow,
    /// SET LOCAL in this transaction, or in a function: at most to its end.
    Local,
    /// Set before this transaction.
    Older,
}

/// How long the present value of a setting holds.
pub fn validity(name: &CStr) -> Validity {
    // SAFETY: the settings of the server and of loaded libraries live as long as the process.
    unsafe {
        let Some(setting) = find_setting(name).as_ref() else { return Validity::Older };
        match setting.stack.as_ref() {
            None => Validity::Older,
            Some(entry) if entry.state == pg_sys::GucStackState::GUC_SAVE => Validity::Local,
            Some(entry) if entry.state == pg_sys::GucStackState::GUC_LOCAL => Validity::Local,
            Some(_) => Validity::SetNow,
        }
    }
}

/// # Safety
/// The result must not be written to.
#[cfg(feature = "pg15")]
unsafe fn find_setting(name: &CStr) -> *mut pg_sys::config_generic {
    // SAFETY: the array has this many settings, each with a NUL-terminated name.
    unsafe {
        let all = pg_sys::get_guc_variables();
        let count = usize::try_from(pg_sys::GetNumConfigOptions()).unwrap_or(0);
        (0..count)
            .map(|i| *all.add(i))
            .find(|setting| CStr::from_ptr((**setting).name) == name)
            .unwrap_or(std::ptr::null_mut())
    }
}

/// # Safety
/// The result must not be written to.
#[cfg(not(feature = "pg15"))]
unsafe fn find_setting(name: &CStr) -> *mut pg_sys::config_generic {
    // SAFETY: without placeholders and with errors skipped, an unknown name is NULL.
    unsafe { pg_sys::find_option(name.as_ptr(), false, true, pg_sys::PGERROR as i32) }
}

/// Whether a parallel query is running, in its leader or in a worker: no setting can be changed.
pub fn is_in_parallel_mode() -> bool {
    // SAFETY: reads backend-local variables.
    unsafe { pg_sys::IsInParallelMode() || pg_sys::ParallelWorkerNumber >= 0 }
}

/// Gives a setting of the session back the value that the configuration, its role or its database
/// sets, as RESET does.
pub fn reset(name: &CStr) {
    // SAFETY: a NUL-terminated name; a NULL value is the reset value.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            std::ptr::null(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SET,
            true,
            0,
            false,
        );
    }
}

/// Sets a setting until the running subtransaction or function ends, as SET LOCAL does.
pub fn set_local(name: &CStr, value: &CStr) {
    set(name, value, pg_sys::GucAction::GUC_ACTION_LOCAL);
}

/// Sets a setting that any user may change. 22023 for a value that the server does not know.
pub(super) fn set(name: &CStr, value: &CStr, action: pg_sys::GucAction::Type) {
    // SAFETY: NUL-terminated texts, which the server copies.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Whether a setting exists in this session; its value may be empty.
pub fn has_setting(name: &CStr) -> bool {
    // SAFETY: a NUL-terminated name; with missing_ok an unknown one is NULL. The value of a setting
    // whose SET was rolled back is the empty text here, as for current_setting.
    unsafe { !pg_sys::GetConfigOptionByName(name.as_ptr(), std::ptr::null_mut(), true).is_null() }
}

/// `server_version`, for example `15.20 (Debian 15.20-0+deb12u1)`.
pub fn server_version() -> String {
    // SAFETY: each server has this setting. Its text is NUL-terminated and copied.
    unsafe { owned(pg_sys::GetConfigOption(c"server_version".as_ptr(), true, false)) }
}

/// # Safety
/// The text must be NULL or NUL-terminated.
unsafe fn owned(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: guaranteed by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
