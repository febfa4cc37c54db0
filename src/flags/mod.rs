//! Feature flags and kill switches: evaluated in memory in every session, changed in one transaction, never without a trace.

pub mod api;
pub mod bucket;
pub mod cache;
pub mod evaluate;
pub mod history;
pub mod model;
pub mod near;
pub mod triggers;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
