//! Incident response inside PostgreSQL: flags, telemetry, health checks, an audit of row-level
//! security and release decisions, all used with psql.
//!
//! This file declares the modules and registers the settings. Each domain is a pure core without
//! PostgreSQL, a thin SQL surface (`api`) and a file under `sql/schema`. All access to the server's
//! internals is in [`pg`].

pub mod access;
pub mod alerts;
pub mod dashboard;
pub mod error;
pub mod flags;
pub mod health;
pub mod maintenance;
pub mod messages;
pub mod pg;
pub mod readiness;
pub mod rls;
mod schema;
mod settings;
pub mod suggest;
pub mod telemetry;
pub mod time;

::pgrx::pg_module_magic!(name, version);

/// The server calls this once in each backend, when it loads the library.
#[allow(non_snake_case)]
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::memory::report_failures();
    pg::silence_backtraces();
    settings::register();
    health::limits::register();
    pg::reserve_setting_prefix(c"crewsnow_ops");
    flags::transaction::start();
    pg::worker::set_recorder(maintenance::records::record);
}

/// Hooks that `cargo pgrx test` expects at the root of the crate.
#[cfg(test)]
pub mod pg_test {
    /// Initializes the test cluster once: nothing to do.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the test cluster: none, because the extension must work with the defaults.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![]
    }
}
