//! Alerts: rules, their evaluation, the state of each alert and its history.
//!
//! [`pure`] decides, from stored times alone; the other modules read, write and evaluate.

mod author;
pub mod define;
pub mod error;
pub mod evaluation;
pub mod operate;
pub mod pure;
mod query_check;
pub mod replay;
pub mod rule;
mod sandbox;
pub mod sources;
pub mod store;
pub mod tick;
pub mod trial;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
