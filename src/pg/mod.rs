//! The glue to the server's internals, and the only place for `unsafe` beside the one hot path that measures its need.

pub mod aggregate;
pub mod append;
pub mod argument;
pub mod backend_local;
pub mod block_scan;
pub mod brin;
pub mod catalog;
pub mod choice;
pub mod columns_read;
pub mod condition;
pub mod constraint;
pub mod datum;
pub mod hidden;
pub mod identity;
pub mod invalidation;
pub mod memory;
pub mod partition;
pub mod privilege;
pub mod refusal;
pub mod relations;
pub mod row_security;
pub mod rows;
pub mod scan;
pub mod session;
pub mod slot;
pub mod snapshot;
pub mod spi;
pub mod sub_query;
pub mod subtransaction;
pub mod time_limit;
pub mod tree;
pub mod trigger;
pub mod values;
pub mod wal;

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
