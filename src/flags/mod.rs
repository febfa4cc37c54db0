//! Feature flags and kill switches: evaluated in backend memory, changed in one transaction,
//! recorded in the flag history.

pub mod api;
pub mod bucket;
pub mod cache;
mod columns;
pub mod erasure;
pub mod error;
pub mod evaluate;
pub mod evaluation;
pub mod history;
mod message;
pub mod model;
mod reach;
mod recorded;
pub mod restore;
pub mod transaction;
pub mod triggers;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
