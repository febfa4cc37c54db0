//! The health checks: their registry, and those that need more than one SQL statement.

pub(super) mod disk;
pub(super) mod multixacts;
pub(super) mod periods;
pub(super) mod rates;
pub(super) mod registry;
pub(super) mod running_temp_files;
pub(super) mod samples;
pub(super) mod sessions;
pub(super) mod tables;
