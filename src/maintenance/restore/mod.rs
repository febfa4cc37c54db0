//! Restore tests: a backup is restored beside the source and compared with it.

pub mod archive;
pub mod backup;
pub mod base_backup;
pub mod base_copy;
pub mod base_wal;
pub mod candidates;
pub mod check;
pub mod client;
pub mod comparison;
pub mod deadline;
pub mod dump;
pub mod error;
pub mod examination;
pub mod expression;
pub mod fault;
pub mod folder;
pub mod foreign_code;
pub mod freshness;
pub mod inventory;
pub mod item;
pub mod lock;
pub mod manifest;
pub mod outcome;
pub mod ownership;
pub mod plain_dump;
pub mod programs;
pub mod run;
pub mod scratch;
pub mod sequence;
pub mod server;
pub mod signature;
pub mod stages;
pub mod tar_file;
pub mod toc;
pub mod usability;
pub mod verdict;

#[cfg(any(test, feature = "pg_test"))]
mod base_server_tests;
#[cfg(any(test, feature = "pg_test"))]
mod fixtures;
#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
