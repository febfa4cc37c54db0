//! Tuple access: table scans, slots, datums.

pub mod datum;
pub mod scan;
pub mod slot;
