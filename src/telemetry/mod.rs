//! Telemetry: Edge Function calls, errors and webhooks. Counts are exact at every instant, and
//! their cost does not grow with traffic.

pub mod error;
pub mod ingest;
pub mod rollup;
pub mod sketch;
pub mod views;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
