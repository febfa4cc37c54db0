//! The pure core of decisions: no pgrx, no server.

pub mod model;
pub mod render;
pub mod verdict;
