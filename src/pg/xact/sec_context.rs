//! Who is acting, and acting as somebody else for the length of a closure.

use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char};

// What SHOW role answers while a role is set; the server's utils/guc.h, which pgrx leaves out.
unsafe extern "C" {
    static mut role_string: *mut c_char;
}

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

/// Runs `work` as `role` if the current user is a superuser, and as the current user otherwise.
pub fn demote_superuser_to<R>(role: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    // SAFETY: looks up the current user.
    if unsafe { pg_sys::superuser() } { as_role(role, work) } else { work() }
}

/// The session's role as SET ROLE has set it.
struct RestoreRole {
    role: pg_sys::Oid,
    shown: *mut c_char,
}

impl Drop for RestoreRole {
    fn drop(&mut self) {
        // SAFETY: puts back what `as_client` saved. Without a role, the second argument is not looked at.
        unsafe {
            role_string = self.shown;
            pg_sys::SetCurrentRoleId(self.role, self.role != pg_sys::InvalidOid && pg_sys::superuser_arg(self.role));
        }
    }
}

/// Where requests are played, in a subtransaction that is undone. See [`sandboxed`].
pub struct Sandbox {
    context: i32,
    user: pg_sys::Oid,
    /// What SHOW role answers lies here, as long as it may be asked for.
    names: std::cell::RefCell<Vec<CString>>,
}

impl Sandbox {
    /// From here on things run as a client's request would: as `role`, with these settings.
    ///
    /// What is called cannot get out of the role: SET ROLE and its like are refused, and so is what would outlast it (temporary tables,
    /// deferred triggers, LISTEN). The setting `role` says what it says after SET ROLE, so that a policy cannot tell a play from a request
    /// by it.
    pub fn enter<'a>(&self, role: pg_sys::Oid, settings: impl IntoIterator<Item = &'a (CString, CString)>) {
        let name = CString::new(role_name(role)).unwrap_or_default();
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
        // SAFETY: sets backend-local variables, put back by `RestoreRole`; the name, which moves into the stage, outlives the subtransaction.
        unsafe {
            pg_sys::SetUserIdAndSecContext(self.user, 0);
            pg_sys::SetCurrentRoleId(role, pg_sys::superuser_arg(role));
            role_string = name.as_ptr().cast_mut();
        }
        self.names.borrow_mut().push(name);
        let confined = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        // SAFETY: sets backend-local variables, put back by `Restore`.
        unsafe { pg_sys::SetUserIdAndSecContext(role, self.context | confined as i32) };
    }
}

/// Runs `work`, which may act as clients by [`Sandbox::enter`], in a subtransaction that is undone however it ends.
pub fn sandboxed<R>(work: impl FnOnce(&Sandbox) -> R) -> Result<R, super::subtransaction::Failure> {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: reads backend-local variables.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    let stage = Sandbox { context, user, names: std::cell::RefCell::default() };
    // Dropped last: setting the role also sets the user.
    let _restore = Restore { user, context };
    // SAFETY: reads backend-local variables.
    let _restore_role = unsafe { RestoreRole { role: pg_sys::GetCurrentRoleId(), shown: role_string } };
    super::subtransaction::rolled_back(std::panic::AssertUnwindSafe(|| work(&stage)))
}

/// Runs `work` as a client's request would run, in a subtransaction that is undone however it ends: as `role`, with these settings, and
/// read-only, were it only a number drawn from a sequence.
pub fn as_client<R>(
    role: pg_sys::Oid,
    settings: &[(CString, CString)],
    work: impl FnOnce() -> R + std::panic::UnwindSafe + std::panic::RefUnwindSafe,
) -> Result<R, super::subtransaction::Failure> {
    sandboxed(|stage| {
        let read_only = (c"transaction_read_only".to_owned(), c"on".to_owned());
        stage.enter(role, settings.iter().chain([&read_only]));
        work()
    })
}
