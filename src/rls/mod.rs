//! Row-level security: who can read and write whose rows, by asking the server.
//!
//! Nothing of what the server does is done again here. It analyses and rewrites a statement as the role that would run it, and what it adds
//! is read, folded with the claims of real users, and either decided as it is or looked for in the rows.

pub mod api;
pub mod audience;
pub mod audit;
pub mod checklist;
pub mod controls;
pub mod day1;
pub mod fix;
pub mod made;
pub mod memo;
pub mod model;
pub mod owners;
pub mod people;
pub mod policy;
pub mod prove;
pub mod question;
pub mod records;
pub mod repair;
pub mod report;
pub mod rules;
pub mod standing;
pub mod surroundings;
pub mod table;
pub mod teams;
pub mod trace;
pub mod trace_row;
