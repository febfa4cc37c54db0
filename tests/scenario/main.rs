//! The extension's whole life: dump and restore, standby, subscriber, crash, install and removal.

mod dump_restore;
mod event_log;
mod lifecycle;
mod monitoring;
mod replication;
mod telemetry;
