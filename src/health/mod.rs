//! What is wrong with this server, right now, and what to type next.

pub mod checks;
pub mod disk;
pub mod finding;
pub mod freshness;
pub mod known;
pub mod mask;
pub mod rates;
pub mod report;
pub mod sample;
#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
pub mod sessions;
pub mod tables;
pub mod views;
