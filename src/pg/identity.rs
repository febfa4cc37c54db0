//! Who is acting, and acting as somebody else for the length of a closure.

use pgrx::pg_sys;
use std::ffi::CStr;

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

/// A new random id, as gen_random_uuid() makes it.
pub fn new_uuid() -> pgrx::Uuid {
    // SAFETY: the function takes no argument and returns a uuid.
    let id = unsafe { pgrx::direct_function_call::<pgrx::Uuid>(pg_sys::gen_random_uuid, &[]) };
    id.unwrap_or_else(|| pgrx::error!("gen_random_uuid() gave NULL"))
}
