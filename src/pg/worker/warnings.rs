//! Warnings of the worker's statements, collected instead of sent: a worker has no client.

use super::Warning;
use crate::pg::backend_local::BackendLocal;
use crate::pg::xact::notices::{METHODS, Methods, NOTICE};
use pgrx::pg_sys;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

copied_for!("pg15" "pg16" "pg17" "pg18": "FrontendProtocol of libpq/libpq-be.h");

unsafe extern "C" {
    /// The version of the protocol between server and client; 3.0 here, in each major.
    static mut FrontendProtocol: u32;
}

/// More warnings than a report shows. The last one stays: it may be an answer.
const MAX: usize = 10;

/// Beginnings of the C functions whose warnings name objects and no rows. SQL cannot set the name.
/// An application's function in an index or a view may quote rows, also in a warning.
const SERVER_FUNCTIONS: [&str; 7] =
    ["vacuum_", "analyze_", "expand_vacuum_", "do_analyze_", "lazy_", "Reindex", "reindex_"];
const WITHHELD: &str = "a warning of the application (withheld: it may contain row data)";

/// Whether the running statement runs no code of users.
static IS_OWN: AtomicBool = AtomicBool::new(false);

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
    let function = field(message, b'R').unwrap_or_default();
    let is_plain = SERVER_FUNCTIONS.iter().any(|beginning| function.starts_with(beginning));
    let warning = if is_plain || IS_OWN.load(Relaxed) {
        Warning {
            sqlstate: field(message, b'C').unwrap_or_default(),
            message: field(message, b'M').unwrap_or_default(),
        }
    } else {
        Warning { sqlstate: "01000".to_owned(), message: WITHHELD.to_owned() }
    };
    COLLECTED.with(|collected| {
        collected.truncate(MAX - 1);
        collected.push(warning);
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

/// Whether the messages of the next statement are kept as they are.
pub(super) fn trust(is_own: bool) {
    IS_OWN.store(is_own, Relaxed);
}

/// The warnings since the last call.
pub(super) fn take() -> Vec<Warning> {
    COLLECTED.with(std::mem::take).unwrap_or_default()
}
