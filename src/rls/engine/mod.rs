//! Decides for each identity and table which foreign rows a command reaches.

pub mod argument;
pub mod attribution;
pub mod callable;
pub mod candidate_rows;
pub mod cell;
pub mod composition;
pub mod cross_attempts;
pub mod definer_calls;
pub mod examination;
pub mod examine;
pub mod foreign_team;
pub mod join_attempts;
pub mod membership;
pub mod new_row;
pub mod opened_rows;
pub mod probe;
pub mod probe_cache;
pub mod reach_probe;
pub mod row_copies;
pub mod rows;
pub mod self_invitation;
pub mod self_test;
pub mod team_values;
pub mod trust_site;
pub mod trusted_tables;
