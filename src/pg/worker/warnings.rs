//! Warnings of the worker's statements, collected instead of sent: a worker has no client.

use super::Warning;
use crate::pg::backend_local::BackendLocal;
use crate::pg::xact::notices::{METHODS, Methods, NOTICE};
use pgrx::pg_sys;
use std::ffi::{c_char, c_int};

copied_for!("pg15" "pg16" "pg17" "pg18": "FrontendProtocol of libpq/libpq-be.h");

unsafe extern "C" {
    /// The version of the protocol between server and client; 3.0 here, in each major.
    static mut FrontendProtocol: u32;
}

/// More warnings than a report shows.
const MAX: usize = 10;

static COLLECTED: BackendLocal<Vec<Warning>> = BackendLocal::new(Vec::new());

/// The field of a message, which begins with its code and ends with NUL.
fn field(message: &[u8], code: u8) -> Option<String> {
    message
        .split(|byte| *byte == 0)
        .find(|field| field.first() == Some(&code))
        .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
}

fn collect(kind: c_char, message: &[u8]) {
    if kind != NOTICE {
        return;
    }
    let warning = Warning {
        sqlstate: field(message, b'C').unwrap_or_default(),
        message: field(message, b'M').unwrap_or_default(),
    };
    COLLECTED.with(|collected| {
        if collected.len() < MAX {
            collected.push(warning);
        }
    });
}

unsafe extern "C-unwind" fn comm_reset() {}

unsafe extern "C-unwind" fn flush() -> c_int {
    0
}

unsafe extern "C-unwind" fn is_send_pending() -> bool {
    false
}

unsafe extern "C-unwind" fn putmessage(kind: c_char, text: *const c_char, length: usize) -> c_int {
    // SAFETY: the server passes a message of this length.
    collect(kind, unsafe { std::slice::from_raw_parts(text.cast(), length) });
    0
}

unsafe extern "C-unwind" fn putmessage_noblock(kind: c_char, text: *const c_char, length: usize) {
    // SAFETY: the server passes a message of this length.
    collect(kind, unsafe { std::slice::from_raw_parts(text.cast(), length) });
}

static COLLECTING: Methods = Methods {
    comm_reset,
    flush,
    flush_if_writable: flush,
    is_send_pending,
    putmessage,
    putmessage_noblock,
};

/// Collects from now on what this process would send to a client.
pub(super) fn start() {
    // SAFETY: sets backend-local variables, as the server does for a parallel worker.
    unsafe {
        METHODS = &raw const COLLECTING;
        pg_sys::whereToSendOutput = pg_sys::CommandDest::DestRemote;
        FrontendProtocol = 3 << 16;
    }
}

/// The warnings since the last call.
pub(super) fn take() -> Vec<Warning> {
    COLLECTED.with(std::mem::take).unwrap_or_default()
}
