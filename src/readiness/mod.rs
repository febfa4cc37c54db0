//! Decides on evidence whether a release is deployed and whether the application launches.

pub mod api;
pub mod collect;
pub mod e2e;
pub mod e2e_registry;
pub mod error;
pub mod evidence;
pub mod measures;
pub mod pure;
mod triggers;
pub mod waivers;
