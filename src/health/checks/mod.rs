//! The health checks: their registry, and those that need more than one SQL statement.

pub mod disk;
pub mod rates;
pub mod registry;
pub mod tables;
