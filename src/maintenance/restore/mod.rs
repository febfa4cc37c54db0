//! Restore tests: whether a backup restores, and whether the restored database is the same.

pub mod comparison;
pub mod expression;
pub mod fault;
pub mod inventory;
pub mod item;
pub mod sequence;
