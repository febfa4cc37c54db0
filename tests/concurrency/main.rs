//! Flags and telemetry under several concurrent sessions.

mod cache;
mod flag_changes;
mod flag_locks;
mod history;
mod operators;
mod random;
mod telemetry;
