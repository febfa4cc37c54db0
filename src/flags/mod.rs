//! Feature flags and kill switches: evaluated in backend memory, changed in one transaction,
//! recorded in the flag history.

pub mod api;
pub mod bucket;
pub mod cache;
mod columns;
pub mod error;
pub mod evaluate;
pub mod history;
pub mod model;
pub mod triggers;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
