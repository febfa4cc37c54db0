//! Counts events and webhooks once, and proves which rows a rollup covers.

pub mod attempt;
pub mod coverage;
pub mod events;
pub mod partitions;
pub mod retention;
pub mod roll_up;
pub mod silence;
pub mod tally;
pub mod triggers;
pub mod webhooks;
