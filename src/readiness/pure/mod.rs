//! The pure core of decisions. Imports neither pgrx nor pg, so its tests need no server.

pub mod alteration;
pub mod gate;
pub mod measure;
pub mod model;
pub mod render;
pub mod replica;
pub mod tap;
pub mod verdict;
