//! The monitoring views: rollups and tail in one statement.

pub mod monitoring;
pub mod sparkline;
pub mod thresholds;
