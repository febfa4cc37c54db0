//! Health of this server: findings, worst first, each with the SQL to type next.

pub mod checks;
pub mod context;
pub mod error;
pub mod finding;
pub mod mask;
pub mod matview_refresh;
pub mod report;
pub mod sample;
#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
pub mod sessions;
pub mod sql_views;
