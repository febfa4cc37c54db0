//! Alerts: rules, their evaluation, the state of each alert and its history.
//!
//! [`pure`] decides, from stored times alone; the other modules read, write and evaluate.

pub mod pure;
