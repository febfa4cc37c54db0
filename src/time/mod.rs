//! Time as the server counts it: microseconds since 2000-01-01 00:00 UTC. Pure.

pub mod instant;
pub mod minute;
