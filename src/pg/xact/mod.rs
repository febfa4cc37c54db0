//! Transactions: subtransactions, snapshots, security context, timeouts, WAL positions.

pub mod advisory_locks;
pub mod notices;
pub mod sec_context;
pub mod session;
pub mod snapshot;
pub mod subtransaction;
pub mod timeout;
pub mod wal;
