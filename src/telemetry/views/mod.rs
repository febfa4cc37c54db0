//! The monitoring views: rollups and tail in one statement.

pub mod monitoring;
pub mod silent_functions;
pub mod sparkline;
pub mod thresholds;
pub mod wrap;
