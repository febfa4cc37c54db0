//! Erasing a person: the plan, its execution, the ledger, and the proof that nothing is left.

pub mod apply;
pub mod catalog;
pub mod error;
pub mod execute;
pub mod holds;
pub mod ledger;
pub mod objection;
pub mod order;
pub mod person;
pub mod plan;
pub mod plan_report;
pub mod proof;
pub mod query;
pub mod request;
pub mod step;
pub mod trails;
pub mod triggers;
