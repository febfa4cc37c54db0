//! System catalogs: look-ups, constraints, privileges, partitions, invalidation.

pub mod autovacuum;
pub mod constraint;
pub mod invalidation;
pub mod lookup;
pub mod owners;
pub mod partition;
pub mod privilege;
pub mod relations;
pub mod temporary_schemas;
