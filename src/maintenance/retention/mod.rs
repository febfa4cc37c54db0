//! Retention: policies, the preview of their effect, and the run that applies them.

mod batch;
mod clauses;
mod counts;
mod drop;
pub mod error;
mod examination;
mod findings;
mod hold;
mod order;
mod partitions;
mod policy;
pub mod preview;
mod rows;
pub mod run;
mod sweep;
mod target;
mod triggers;
