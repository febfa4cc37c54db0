//! Temporary relations in a sandbox that otherwise leaves nothing to the session.

use crate::pg::backend_local::BackendLocal;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, Ordering};

copied_for!("pg15" "pg16" "pg17" "pg18": "standard_ProcessUtility of tcop/utility.h");

/// Whether the running sandbox allows temporary relations.
static IS_ALLOWED: AtomicBool = AtomicBool::new(false);
/// Whether the hook is installed.
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
/// The hook that was installed before, if any.
static PREVIOUS: BackendLocal<pg_sys::ProcessUtility_hook_type> = BackendLocal::new(None);

const RESTRICTED: i32 = pg_sys::SECURITY_RESTRICTED_OPERATION as i32;

/// The security context as it was before a utility statement.
struct Context {
    user: pg_sys::Oid,
    context: i32,
}

impl Context {
    /// Sets or clears the bit that refuses effects on the session, until the value is dropped.
    fn with_restriction(is_restricted: bool) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: reads and sets backend-local variables.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            let changed = if is_restricted { context | RESTRICTED } else { context & !RESTRICTED };
            pg_sys::SetUserIdAndSecContext(user, changed);
        }
        Self { user, context }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: restores what `with_restriction` has read.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// Whether a utility statement creates a temporary table, sequence or view.
///
/// # Safety
/// The statement must be valid.
unsafe fn creates_temporary(statement: *mut pg_sys::Node) -> bool {
    // SAFETY: each node has the type of its tag.
    unsafe {
        let relation = match (*statement).type_ {
            pg_sys::NodeTag::T_CreateStmt => (*statement.cast::<pg_sys::CreateStmt>()).relation,
            pg_sys::NodeTag::T_CreateSeqStmt => {
                (*statement.cast::<pg_sys::CreateSeqStmt>()).sequence
            }
            pg_sys::NodeTag::T_ViewStmt => (*statement.cast::<pg_sys::ViewStmt>()).view,
            pg_sys::NodeTag::T_CreateTableAsStmt => {
                (*(*statement.cast::<pg_sys::CreateTableAsStmt>()).into).rel
            }
            _ => return false,
        };
        !relation.is_null() && (*relation).relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP
    }
}

// pgrx's own function of this name has a guard, which turns an SQLSTATE that pgrx does not know
// into XX000.
unsafe extern "C-unwind" {
    fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const c_char,
        is_read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        parameters: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        receiver: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// The server's arguments for a utility statement.
#[derive(Clone, Copy)]
struct Utility {
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    is_read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
}

impl Utility {
    /// Runs the statement as if there were no hook.
    ///
    /// # Safety
    /// The arguments must be the server's.
    unsafe fn pass_on(self) {
        let run = match PREVIOUS.with(|previous| *previous).flatten() {
            Some(previous) => previous,
            None => standard_ProcessUtility,
        };
        // SAFETY: guaranteed by the caller. No value in here needs to be dropped.
        unsafe {
            run(
                self.statement,
                self.text,
                self.is_read_only,
                self.context,
                self.parameters,
                self.environment,
                self.receiver,
                self.completion,
            );
        }
    }
}

/// Lifts the restriction for a statement that creates a temporary relation, and for no other that
/// runs meanwhile.
#[pg_guard]
unsafe extern "C-unwind" fn sandboxed(utility: *const Utility) {
    // SAFETY: the caller's value lives as long as the call. The server's arguments are passed on; a
    // planned utility statement has a node.
    unsafe {
        let utility = *utility;
        let is_restricted = !creates_temporary((*utility.statement).utilityStmt);
        let _restriction = Context::with_restriction(is_restricted);
        pg_sys::ffi::pg_guard_ffi_boundary(|| utility.pass_on());
    }
}

/// A pointer, because a guarded function is passed to callers and never called by its name.
const SANDBOXED: unsafe extern "C-unwind" fn(*const Utility) = sandboxed;

/// The hook. Outside a sandbox an error of the statement passes by without a guard, so that it
/// keeps its SQLSTATE: DO and CALL are utility statements of the application.
#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    is_read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    let utility = Utility {
        statement,
        text,
        is_read_only,
        context,
        parameters,
        environment,
        receiver,
        completion,
    };
    // SAFETY: the server's own arguments are passed on. No value in here needs to be dropped.
    unsafe {
        match IS_ALLOWED.load(Ordering::Relaxed) {
            true => (SANDBOXED)(&utility),
            false => utility.pass_on(),
        }
    }
}

struct Disallow;

impl Drop for Disallow {
    fn drop(&mut self) {
        IS_ALLOWED.store(false, Ordering::Relaxed);
    }
}

/// Runs `work`, in which a sandbox may create temporary relations. Its rollback removes them.
///
/// All other effects that would outlast the sandbox stay refused. The hook stays installed: another
/// library may have installed one that calls it.
pub fn allowed<R>(work: impl FnOnce() -> R) -> R {
    if IS_ALLOWED.swap(true, Ordering::Relaxed) {
        return work();
    }
    let _disallow = Disallow;
    if !IS_INSTALLED.swap(true, Ordering::Relaxed) {
        // SAFETY: reads and sets a backend-local variable.
        unsafe {
            PREVIOUS.with(|previous| *previous = pg_sys::ProcessUtility_hook);
            pg_sys::ProcessUtility_hook = Some(process_utility);
        }
    }
    work()
}
