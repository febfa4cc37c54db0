//! Health of this server: findings, worst first, each with the SQL to type next.

mod blindness;
mod checks;
mod command;
mod context;
mod cron;
pub(crate) mod error;
pub mod finding;
mod harm;
pub(crate) mod heartbeat;
mod limit_list;
pub(crate) mod limits;
mod mask;
mod matview_refresh;
mod page;
pub(crate) mod parts;
pub(crate) mod report;
pub(crate) mod sample;
#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
mod session_actions;
pub(crate) mod sessions;
pub(crate) mod sql_views;
mod table_summary;
mod triage;
