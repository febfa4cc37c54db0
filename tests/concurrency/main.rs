//! Several real sessions at once.

mod cache;
mod history;
mod operators;
mod random;
mod telemetry;
