//! The life of the extension: dump and restore, standby, subscriber, crash, install, removal; the
//! reports of health on servers with problems.

mod dump_restore;
mod event_log;
mod health;
mod health_actions;
mod health_columns;
mod health_hygiene;
mod health_rare;
mod health_records;
mod health_sick;
mod health_statements;
mod health_waits;
mod lifecycle;
mod monitoring;
mod readiness;
mod readiness_e2e;
mod readiness_records;
mod replication;
mod rls_demo;
mod rls_doubts;
mod rls_hostile;
mod rls_places;
mod rls_teams;
mod telemetry;
mod timeouts;

/// Tables that are made to trip up an audit.
const HOSTILE: &str = include_str!("rls_hostile.sql");
