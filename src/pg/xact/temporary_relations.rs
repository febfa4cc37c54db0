//! Temporary relations in a sandbox that otherwise leaves nothing to the session.

use crate::pg::backend_local::BackendLocal;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Lifts the restriction for a statement that creates a temporary relation, and for no other that
/// runs meanwhile.
#[pg_guard]
#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const std::ffi::c_char,
    is_read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the server's own arguments are passed on. A planned utility statement has a node.
    unsafe {
        let _restriction = IS_ALLOWED
            .load(Ordering::Relaxed)
            .then(|| Context::with_restriction(!creates_temporary((*statement).utilityStmt)));
        match PREVIOUS.with(|previous| *previous).flatten() {
            Some(previous) => pg_sys::ffi::pg_guard_ffi_boundary(|| {
                previous(
                    statement,
                    text,
                    is_read_only,
                    context,
                    parameters,
                    environment,
                    receiver,
                    completion,
                )
            }),
            None => pg_sys::standard_ProcessUtility(
                statement,
                text,
                is_read_only,
                context,
                parameters,
                environment,
                receiver,
                completion,
            ),
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
