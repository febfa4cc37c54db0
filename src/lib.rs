//! Incident response inside PostgreSQL: feature flags and kill switches that an on-call engineer works with psql alone.
//!
//! This file only wires. A domain is a pure core (no PostgreSQL in sight), a thin SQL surface (`api`) and its SQL file under
//! `sql/schema`; everything that touches the server's internals lives in [`pg`].

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![warn(missing_docs)]
// pgrx's error report is what crosses into SQL, at most once a call.
#![allow(clippy::result_large_err)]

pub mod access;
pub mod dashboard;
pub mod error;
pub mod flags;
pub mod health;
pub mod pg;
pub mod readiness;
pub mod rls;
mod schema;
mod settings;
pub mod suggest;
pub mod telemetry;
pub mod time;

::pgrx::pg_module_magic!(name, version);

/// Called by the server once in each backend, when the library is loaded.
#[allow(non_snake_case)]
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::silence_backtraces();
    settings::register();
}

/// What `cargo pgrx test` needs at the root of the crate.
#[cfg(test)]
pub mod pg_test {
    /// One-off initialisation of the test cluster: none is needed.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the test cluster: the defaults, as the extension must work with them.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![]
    }
}
