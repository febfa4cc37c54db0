//! Transactions: subtransactions, snapshots, security context, timeouts, WAL positions.

pub mod advisory_locks;
pub mod callbacks;
pub mod error_position;
pub mod interrupts;
pub mod lock_holder;
pub mod lock_wait;
pub mod notices;
pub mod notify;
pub mod run_lock;
pub mod sec_context;
pub mod session;
pub mod session_settings;
pub mod snapshot;
pub mod sqlstate;
pub mod subtransaction;
pub mod temporary_relations;
pub mod timeout;
pub mod typed_call;
pub mod wal;
