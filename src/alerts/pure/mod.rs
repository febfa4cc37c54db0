//! Decisions about alerts, without the server.

pub mod board;
pub mod machine;
pub mod notice;
pub mod reading;
pub mod rule;
pub mod silence;
