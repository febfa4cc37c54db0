//! Who is acting, and acting as somebody else for the length of a closure.

use pgrx::{IntoDatum, pg_sys};
use std::ffi::{CStr, CString};

/// The name of the role that the current code runs as (`current_user`).
pub fn current_user() -> String {
    // SAFETY: reads a backend-local variable.
    role_name(unsafe { pg_sys::GetUserId() })
}

/// The name of a role; empty if it was dropped.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: with noerr a dropped one gives NULL instead of an error.
    let name = unsafe { pg_sys::GetUserNameFromId(role, true) };
    if name.is_null() {
        return String::new();
    }
    // SAFETY: a NUL-terminated string allocated in the current memory context.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

struct Restore {
    user: pg_sys::Oid,
    context: i32,
}

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: puts back what `as_role` saved.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// Runs `work` as `role`, as the server's own referential-integrity triggers do: SET ROLE and SET SESSION AUTHORIZATION are
/// refused meanwhile, and the caller's identity comes back however `work` ends.
pub fn as_role<R>(role: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: reads and sets backend-local variables.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        pg_sys::SetUserIdAndSecContext(role, context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
    }
    let _restore = Restore { user, context };
    work()
}

/// Runs `work` as a client's request would run: as `role`, with these settings, in a subtransaction that is undone however it ends.
///
/// What `work` calls cannot get out of the role: SET ROLE and its like are refused, and so is what would outlast it (temporary tables,
/// deferred triggers, LISTEN).
pub fn as_client<R>(
    role: pg_sys::Oid,
    settings: &[(CString, CString)],
    work: impl FnOnce() -> R + std::panic::UnwindSafe + std::panic::RefUnwindSafe,
) -> Result<R, super::subtransaction::Failure> {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: reads backend-local variables.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    let _restore = Restore { user, context };
    super::subtransaction::undone(|| {
        for (name, value) in settings {
            // SAFETY: both are NUL-terminated and copied by the server, which takes the change back with the subtransaction.
            unsafe {
                pg_sys::set_config_option(
                    name.as_ptr(),
                    value.as_ptr(),
                    pg_sys::GucContext::PGC_USERSET,
                    pg_sys::GucSource::PGC_S_SESSION,
                    pg_sys::GucAction::GUC_ACTION_LOCAL,
                    true,
                    0,
                    false,
                );
            }
        }
        let confined = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        // SAFETY: sets backend-local variables, put back by `Restore`.
        unsafe { pg_sys::SetUserIdAndSecContext(role, context | confined as i32) };
        work()
    })
}

/// A new random id, as gen_random_uuid() makes it.
pub fn new_uuid() -> pgrx::Uuid {
    // SAFETY: the function takes no argument and returns a uuid.
    let id = unsafe { pgrx::direct_function_call::<pgrx::Uuid>(pg_sys::gen_random_uuid, &[]) };
    id.unwrap_or_else(|| pgrx::error!("gen_random_uuid() gave NULL"))
}

/// The md5 of a text, in hexadecimal digits.
pub fn md5(text: &str) -> String {
    // SAFETY: the function takes a text and returns one.
    unsafe { pgrx::direct_function_call::<String>(pg_sys::md5_text, &[text.into_datum()]) }.unwrap_or_default()
}
