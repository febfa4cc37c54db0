//! An error with an SQLSTATE that is the extension's own. pgrx knows the server's alone, and makes an internal error of any other.

use super::backend_local::BackendLocal;
use pgrx::pg_sys;
use std::ffi::{CString, c_char, c_int};

/// What to fail with.
pub struct Refusal {
    /// The SQLSTATE.
    pub state: [u8; 5],
    /// The message.
    pub message: String,
    /// The DETAIL.
    pub detail: String,
    /// The HINT.
    pub hint: String,
}

static REFUSAL: BackendLocal<Option<Refusal>> = BackendLocal::new(None);

/// Has the function that is about to return fail instead.
pub fn set(refusal: Refusal) {
    REFUSAL.with(|kept| *kept = Some(refusal));
}

// The server's utils/elog.h, which pgrx leaves out.
unsafe extern "C-unwind" {
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(state: c_int) -> c_int;
    fn errmsg(format: *const c_char, ...) -> c_int;
    fn errdetail(format: *const c_char, ...) -> c_int;
    fn errhint(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

/// Its parts in the server's memory, which the error takes with it.
#[derive(Clone, Copy)]
struct Parts {
    state: c_int,
    message: *const c_char,
    detail: *const c_char,
    hint: *const c_char,
}

fn parts() -> Option<Parts> {
    let refusal = REFUSAL.with(Option::take).flatten()?;
    let copy = |text: String| -> *const c_char {
        let text = CString::new(text.replace('\0', "")).unwrap_or_default();
        // SAFETY: a copy of a NUL-terminated text in the current memory context.
        unsafe { pg_sys::pstrdup(text.as_ptr()) }
    };
    let state = refusal.state.iter().rev().fold(0, |state, c| (state << 6) + ((c_int::from(*c) - 48) & 0x3f));
    Some(Parts { state, message: copy(refusal.message), detail: copy(refusal.detail), hint: copy(refusal.hint) })
}

/// That the wrapper below is called as version 1 has it.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_require_go_wrapper() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// Calls the function and, if that has set a refusal, fails with it.
///
/// # Safety
/// As every function that the server calls.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn require_go_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's own arguments, handed on.
    let answer = unsafe { crate::readiness::api::require_go_decision_wrapper(call) };
    let Some(parts) = parts() else { return answer };
    // SAFETY: the texts are NUL-terminated and given to a format that takes one. The error leaves this function by longjmp, and no value
    // that lives in it has a destructor.
    unsafe {
        if errstart(pgrx::PgLogLevel::ERROR as c_int, std::ptr::null()) {
            errcode(parts.state);
            errmsg(c"%s".as_ptr(), parts.message);
            errdetail(c"%s".as_ptr(), parts.detail);
            errhint(c"%s".as_ptr(), parts.hint);
            errfinish(c"refusal.rs".as_ptr(), 0, c"require_go".as_ptr());
        }
    }
    answer
}
