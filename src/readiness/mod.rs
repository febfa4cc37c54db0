//! Decides on evidence whether a release is deployed and whether the application launches.

mod alarms;
pub mod alterations;
pub mod api;
mod catalog;
pub mod collect;
pub mod e2e;
pub mod e2e_registry;
pub mod error;
pub mod evidence;
pub mod in_person;
pub mod measures;
mod observation;
pub mod pure;
mod triggers;
pub mod waivers;
