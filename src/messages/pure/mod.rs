//! Messages without the server: each function is a pure function of its arguments.

pub mod cut;
pub mod message;
pub mod notify;
pub mod payload;
pub mod slack;
pub mod text;
pub mod words;
