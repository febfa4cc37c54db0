//! Storage: block ranges, BRIN summaries, inserts without the executor.

pub mod block_scan;
pub mod brin;
pub mod direct_insert;
