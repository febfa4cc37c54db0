//! Scenarios that need servers of their own: dump and restore, standby, subscriber, crash,
//! installation and removal, health reports of servers with problems, decisions, and RLS audits.

mod adoption;
mod dump_restore;
mod event_log;
mod false_go;
mod false_go_records;
mod health;
mod health_actions;
mod health_blind;
mod health_columns;
mod health_cut_short;
mod health_cuts;
mod health_dangers;
mod health_horizon;
mod health_hygiene;
mod health_keys;
mod health_pileups;
mod health_rare;
mod health_records;
mod health_sick;
mod health_statements;
mod health_waits;
mod integrity;
mod lifecycle;
mod monitoring;
mod readiness;
mod readiness_e2e;
mod readiness_records;
mod readiness_tap;
mod replication;
mod rls_advice;
mod rls_children;
mod rls_crewsnow;
mod rls_definer;
mod rls_demo;
mod rls_denial;
mod rls_doubts;
mod rls_findings;
mod rls_hostile;
mod rls_identities;
mod rls_members;
mod rls_owner_kinds;
mod rls_places;
mod rls_secrets;
mod rls_starters;
mod rls_survive;
mod rls_teams;
mod rls_truth;
mod silence;
mod telemetry;
mod telemetry_limits;
mod timeouts;
mod type_changes;
mod utility_errors;

/// Tables with policies, names and shapes that an audit may fail on.
const HOSTILE: &str = include_str!("rls_hostile.sql");
