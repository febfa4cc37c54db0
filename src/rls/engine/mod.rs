//! Decides for each identity and table which foreign rows a command reaches.

pub mod attribution;
pub mod candidate_rows;
pub mod examine;
pub mod probe;
pub mod probe_cache;
pub mod self_test;
