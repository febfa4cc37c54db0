//! Telemetry: calls of Edge Functions, errors and webhooks, counted exactly at every instant, at a cost that does not grow with traffic.

pub mod aggregates;
pub mod coverage;
pub mod dashboard;
pub mod events;
pub mod ingest;
pub mod jsonb;
pub mod minute;
pub mod monitor;
pub mod numeric;
pub mod retention;
pub mod rollup;
pub mod sketch;
mod sketch_bytes;
pub mod sparkline;
pub mod tally;
pub mod triggers;
pub mod views;
pub mod webhooks;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
