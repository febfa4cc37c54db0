//! Messages without the server: each function is a pure function of its arguments.

pub mod address;
pub mod answer;
pub mod cut;
pub mod limiter;
pub mod message;
pub mod notify;
pub mod payload;
pub mod retry;
pub mod route;
pub mod slack;
pub mod text;
pub mod words;
