//! Time in the server's unit: microseconds since 2000-01-01 00:00 UTC. Imports neither pgrx nor pg.

pub mod cron;
pub mod instant;
pub mod minute;
