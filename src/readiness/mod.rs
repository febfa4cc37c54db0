//! Decisions, on evidence: whether a release goes out, and whether the application opens.
//!
//! Pure: [`model`], [`verdict`], [`words`], [`instant`].

pub mod api;
pub mod e2e;
pub mod error;
pub mod evidence;
pub mod gather;
pub mod instant;
pub mod measures;
pub mod model;
pub mod registry;
mod triggers;
pub mod verdict;
pub mod waivers;
pub mod words;
