//! Maintenance that really runs: VACUUM and other statements at top level, by a background worker.

pub mod answer;
pub mod context;
pub mod erasure;
pub mod error;
pub mod records;
pub mod report;
pub mod restore;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod step;
pub mod tasks;
pub mod vacuum;
pub mod windows;
