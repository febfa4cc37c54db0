//! Decides for each identity and table which foreign rows a command reaches.

pub mod argument;
pub mod attribution;
pub mod callable;
pub mod candidate_rows;
pub mod cell;
pub mod composition;
pub mod definer_calls;
pub mod examination;
pub mod examine;
pub mod probe;
pub mod probe_cache;
pub mod reach_probe;
pub mod rows;
pub mod self_test;
