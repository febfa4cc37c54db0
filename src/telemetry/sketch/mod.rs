//! Mergeable latency percentiles with a relative error of 1 %.

pub mod aggregates;
pub mod ddsketch;
pub mod encoding;
