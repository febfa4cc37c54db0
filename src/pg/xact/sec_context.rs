//! The current user and security context, and changing them for the length of a closure.

use super::{advisory_locks, notices};
use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char};

copied_for!("pg15" "pg16" "pg17" "pg18": "role_string of utils/guc.h");

// The value that SHOW role displays while a role is set; pgrx leaves it out.
unsafe extern "C" {
    static mut role_string: *mut c_char;
}

/// `current_user`: the role whose privileges count now.
pub fn current_user() -> String {
    // SAFETY: reads a backend-local variable.
    role_name(unsafe { pg_sys::GetUserId() })
}

/// The oid of `current_user`.
pub fn current_role() -> pg_sys::Oid {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::GetUserId() }
}

/// The name of a role; empty if the role was dropped.
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
        // SAFETY: restores what the function that made this value has read.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// Runs `work` with the privileges of `role`, as the server's referential-integrity triggers do.
///
/// Meanwhile SET ROLE and SET SESSION AUTHORIZATION are refused. The previous role is restored
/// when `work` ends, also by an error.
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

/// Runs `work` as `role` in a security-restricted operation, as REFRESH MATERIALIZED VIEW runs its
/// query: code cannot leave the role, nor leave temporary tables, cursors or deferred triggers
/// behind. Its own tables hide no row from it by FORCE ROW LEVEL SECURITY.
pub fn as_restricted_role<R>(role: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE
        | pg_sys::SECURITY_RESTRICTED_OPERATION
        | pg_sys::SECURITY_NOFORCE_RLS;
    // SAFETY: reads and sets backend-local variables, which `Restore` restores.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        pg_sys::SetUserIdAndSecContext(role, context | restricted as i32);
    }
    let _restore = Restore { user, context };
    work()
}

/// Runs `work` as `role` if the current user is a superuser, otherwise as the current user.
pub fn demote_superuser_to<R>(role: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    // SAFETY: looks up the current user.
    if unsafe { pg_sys::superuser() } { as_role(role, work) } else { work() }
}

/// Runs `work` as the owner of a table if the current user is a superuser, otherwise as the current
/// user. As the owner it is a security-restricted operation, as REFRESH MATERIALIZED VIEW is: code
/// of the owner, such as a trigger, gains nothing. FORCE ROW LEVEL SECURITY hides no row.
pub fn demote_superuser_to_table_owner<R>(owner: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    // SAFETY: looks up the current user.
    if !unsafe { pg_sys::superuser() } {
        return work();
    }
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE
        | pg_sys::SECURITY_RESTRICTED_OPERATION
        | pg_sys::SECURITY_NOFORCE_RLS;
    // SAFETY: reads and sets backend-local variables.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        pg_sys::SetUserIdAndSecContext(owner, context | flags as i32);
    }
    let _restore = Restore { user, context };
    work()
}

/// Restores the role that SET ROLE had set, and the value that SHOW role displayed.
struct RestoreRole {
    role: pg_sys::Oid,
    shown: *mut c_char,
}

impl Drop for RestoreRole {
    fn drop(&mut self) {
        // SAFETY: restores what `sandboxed` has read. Without a role the second argument is
        // ignored.
        unsafe {
            role_string = self.shown;
            pg_sys::SetCurrentRoleId(
                self.role,
                self.role != pg_sys::InvalidOid && pg_sys::superuser_arg(self.role),
            );
        }
    }
}

/// A subtransaction that is undone, in which code runs as clients. See [`sandboxed`].
pub struct Sandbox {
    context: i32,
    user: pg_sys::Oid,
    /// Owns the names that `role_string` points to while the sandbox exists.
    names: std::cell::RefCell<Vec<CString>>,
}

impl Sandbox {
    /// From here on code runs as a client's request would: as `role`, with these settings.
    ///
    /// Code cannot leave the role: SET ROLE and its like are refused. Effects that would outlast
    /// the sandbox are refused, too: temporary tables, prepared statements, deferred triggers,
    /// LISTEN. SHOW role answers
    /// as after SET ROLE, so a policy cannot use it to tell a sandbox from a request.
    pub fn enter<'a>(
        &self,
        role: pg_sys::Oid,
        settings: impl IntoIterator<Item = &'a (CString, CString)>,
    ) {
        let name = CString::new(role_name(role)).unwrap_or_default();
        for (name, value) in settings {
            // SAFETY: both are NUL-terminated and copied by the server. The change ends with the
            // subtransaction.
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
        // SAFETY: sets backend-local variables, which `RestoreRole` restores. The sandbox keeps the
        // name longer than the subtransaction lasts.
        unsafe {
            pg_sys::SetUserIdAndSecContext(self.user, 0);
            pg_sys::SetCurrentRoleId(role, pg_sys::superuser_arg(role));
            role_string = name.as_ptr().cast_mut();
        }
        self.names.borrow_mut().push(name);
        let confined = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        // SAFETY: sets backend-local variables, which `Restore` restores.
        unsafe { pg_sys::SetUserIdAndSecContext(role, self.context | confined as i32) };
    }

    /// From here on FORCE ROW LEVEL SECURITY hides no row of a table from its owner.
    pub fn see_own_rows(&self) {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: adds a flag to backend-local variables, which the sandbox restores.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(user, context | pg_sys::SECURITY_NOFORCE_RLS as i32);
        }
    }
}

/// Runs `work` in a subtransaction that is undone even if it succeeds. [`Sandbox::enter`] lets it
/// act as a client.
pub fn sandboxed<R>(work: impl FnOnce(&Sandbox) -> R) -> Result<R, super::subtransaction::Failure> {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: reads backend-local variables.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    let sandbox = Sandbox { context, user, names: std::cell::RefCell::default() };
    // Dropped last, because restoring the role also sets the user.
    let _restore = Restore { user, context };
    // SAFETY: reads backend-local variables.
    let _restore_role =
        unsafe { RestoreRole { role: pg_sys::GetCurrentRoleId(), shown: role_string } };
    without_trace(|| work(&sandbox))
}

/// Runs `work` in a subtransaction that is undone even if it succeeds. Session-level advisory locks
/// and notices, which no rollback undoes, do not leave it either.
pub fn without_trace<R>(work: impl FnOnce() -> R) -> Result<R, super::subtransaction::Failure> {
    let work = std::panic::AssertUnwindSafe(work);
    notices::withheld(|| advisory_locks::kept(|| super::subtransaction::rolled_back(work)))
}

/// Runs `work` as the owner of the table, so that the expressions of its indexes, which the planner
/// evaluates, have the owner's privileges and no others. FORCE ROW LEVEL SECURITY hides no row. The
/// subtransaction is read-only, and undone, which gives back its locks.
pub fn as_table_owner<R>(
    owner: pg_sys::Oid,
    work: impl FnOnce() -> R,
) -> Result<R, super::subtransaction::Failure> {
    sandboxed(|sandbox| {
        let read_only = (c"transaction_read_only".to_owned(), c"on".to_owned());
        sandbox.enter(owner, [&read_only]);
        sandbox.see_own_rows();
        work()
    })
}

/// Runs `work` as a client's request would run: as `role`, with these settings, in a subtransaction
/// that is undone even if it succeeds.
///
/// The subtransaction is read-only. So even sequences, which no rollback resets, do not advance.
pub fn as_client<R>(
    role: pg_sys::Oid,
    settings: &[(CString, CString)],
    work: impl FnOnce() -> R + std::panic::UnwindSafe + std::panic::RefUnwindSafe,
) -> Result<R, super::subtransaction::Failure> {
    sandboxed(|sandbox| {
        let read_only = (c"transaction_read_only".to_owned(), c"on".to_owned());
        sandbox.enter(role, settings.iter().chain([&read_only]));
        work()
    })
}
