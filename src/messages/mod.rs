//! Messages to people and services: texts, formats, answers, limits and addresses.
//!
//! [`pure`] renders and decides without the server.

pub mod pure;
