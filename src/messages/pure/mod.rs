//! Messages without the server: each function is a pure function of its arguments.

pub mod address;
pub mod alertmanager;
pub mod answer;
pub mod cut;
pub mod email;
pub mod limiter;
pub mod message;
pub mod notify;
pub mod pagerduty;
pub mod payload;
pub mod retry;
pub mod route;
pub mod slack;
pub mod text;
pub mod webhook;
pub mod words;
