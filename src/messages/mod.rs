//! Messages to people and services: the outbox, and the senders that claim from it.
//!
//! [`pure`] renders and decides without the server.

pub mod answer;
pub mod body;
pub mod claim;
pub mod error;
pub mod operate;
pub mod outbox;
pub mod pure;
pub mod send;
