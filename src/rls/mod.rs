//! Row-level security audit: what each identity can do to foreign rows.
//!
//! The audit does not re-implement the server. The server analyses and rewrites a statement as the
//! role that would run it; the audit reads the quals that were added, folds them with the claims of
//! real accounts, and decides them as they stand or probes for a row.

pub mod acceptance;
pub mod api;
pub mod audit;
pub mod drift;
pub mod engine;
pub mod error;
pub mod incident;
pub mod model;
pub mod overview;
pub mod report;
pub mod rules;
pub mod store;
pub mod target;

/// Longest time, in milliseconds, that one probe may take. The policies it runs are canceled then.
pub(crate) const PROBE_TIMEOUT_MS: i32 = 500;
