//! Flags and telemetry under several concurrent sessions.

mod cache;
mod history;
mod operators;
mod random;
mod telemetry;
