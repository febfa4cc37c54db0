//! SQLSTATEs of applications. A function or trigger of theirs may raise one that pgrx does not
//! know, and pgrx raises it again as XX000.
//!
//! The server calls a callback while it builds an error: first for the application's error, whose
//! SQLSTATE it notes, and again for pgrx's copy, which gets that SQLSTATE back.

use pgrx::{PgSqlErrorCode, pg_sys};
use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

copied_for!("pg15" "pg16" "pg17" "pg18": "errcode of utils/elog.h");

// pgrx leaves it out, for the sake of its own errors.
unsafe extern "C-unwind" {
    fn errcode(code: c_int) -> c_int;
}

const INTERNAL: i32 = PgSqlErrorCode::ERRCODE_INTERNAL_ERROR as i32;

/// The last SQLSTATE that pgrx does not know, and a hash of its message.
static CODE: AtomicI32 = AtomicI32::new(0);
static MESSAGE: AtomicU64 = AtomicU64::new(0);

/// The callback. It is static: an error that leaves it on the stack does no harm.
static mut KEEP: pg_sys::ErrorContextCallback = pg_sys::ErrorContextCallback {
    previous: std::ptr::null_mut(),
    callback: Some(keep_code),
    arg: std::ptr::null_mut(),
};

/// FNV-1a: an allocation is out of place while an error is built.
fn hash(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Runs `work`, whose errors keep their SQLSTATE. An error leaves the callback on the stack, where
/// it is needed when pgrx raises the error again; the server then restores the stack.
pub fn kept<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: reads a backend-local variable.
    let before = unsafe { pg_sys::error_context_stack };
    push();
    let result = work();
    // SAFETY: the frames of these entries are still running.
    unsafe { pg_sys::error_context_stack = before };
    result
}

/// Puts the callback on the stack, unless it is there. For an error that is about to pass.
pub(super) fn push() {
    // SAFETY: each entry of the stack belongs to a frame that is still running, or is static.
    unsafe {
        let mut entry = pg_sys::error_context_stack;
        while let Some(context) = entry.as_ref() {
            if entry == &raw mut KEEP {
                return;
            }
            entry = context.previous;
        }
        KEEP.previous = pg_sys::error_context_stack;
        pg_sys::error_context_stack = &raw mut KEEP;
    }
}

/// The SQLSTATE of an error that pgrx has caught with this message; `None` if pgrx knows it.
pub fn original(code: PgSqlErrorCode, message: &str) -> Option<i32> {
    let is_noted = code as i32 == INTERNAL && MESSAGE.load(Relaxed) == hash(message.as_bytes());
    is_noted.then(|| CODE.load(Relaxed)).filter(|code| *code != 0)
}

/// Lets the next error with this message have a SQLSTATE that pgrx does not know.
pub fn note(code: i32, message: &str) {
    CODE.store(code, Relaxed);
    MESSAGE.store(hash(message.as_bytes()), Relaxed);
    push();
}

/// The five characters of a SQLSTATE.
pub fn text(code: i32) -> String {
    (0..5).map(|i| char::from(((code >> (6 * i)) & 0x3f) as u8 + b'0')).collect()
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn keep_code(_arg: *mut c_void) {
    // SAFETY: the server calls this while it builds an error, which is copied and stays in place.
    // Only functions that raise no error are called, but for a lack of memory.
    unsafe {
        let code = pg_sys::geterrcode();
        let is_unknown = code != INTERNAL && PgSqlErrorCode::from(code) as i32 == INTERNAL;
        if !is_unknown && (code != INTERNAL || CODE.load(Relaxed) == 0) {
            return;
        }
        // The copy must not lie in the context of errors, which is current here.
        let context = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let error = pg_sys::CopyErrorData();
        let message = (*error).message;
        let hash = if message.is_null() { 0 } else { hash(CStr::from_ptr(message).to_bytes()) };
        pg_sys::FreeErrorData(error);
        pg_sys::MemoryContextSwitchTo(context);
        if is_unknown {
            CODE.store(code, Relaxed);
            MESSAGE.store(hash, Relaxed);
        } else if MESSAGE.load(Relaxed) == hash {
            errcode(CODE.load(Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{hash, text};

    #[test]
    fn a_code_has_five_characters() {
        assert_eq!(text(pgrx::PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION as i32), "23505");
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
