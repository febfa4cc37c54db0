//! The glue to the server's internals, and the only place for `unsafe` beside the one hot path that measures its need.

pub mod access;
pub mod backend_local;
pub mod builtins;
pub mod catalog;
pub mod clock;
pub mod cstring;
pub mod error;
pub mod fmgr;
pub mod memory;
pub mod rewrite;
pub mod storage;
pub mod xact;

/// Keeps Rust back-traces out of users' error messages.
///
/// pgrx's panic hook captures a back-trace whenever the server's environment has `RUST_BACKTRACE` set, also for a plain
/// SQL error that passes through Rust, and appends it to the DETAIL. Messages travel in the panic's payload, not in the hook.
/// Where a bug of ours panicked is for the server's log.
pub fn silence_backtraces() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload_as_str().is_some() {
            eprintln!("crewsnow_ops: {panic}");
        }
    }));
}
