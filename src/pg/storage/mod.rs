//! Heap and BRIN pages without the executor: block scans, summaries, inserts.

pub mod block_scan;
pub mod brin;
pub mod direct_insert;
pub mod multixact;
