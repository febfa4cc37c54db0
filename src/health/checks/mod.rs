//! The health checks: their registry, and those that need more than one SQL statement.

pub(super) mod disk;
pub(super) mod rates;
pub(super) mod registry;
pub(super) mod tables;
