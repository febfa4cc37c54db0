//! The place where queries of rules run: read-only, with fixed settings, and undone.

use crate::pg::xact::sec_context::{Sandbox, sandboxed};
use crate::pg::xact::subtransaction::Failure;
use pgrx::prelude::*;
use std::ffi::CStr;

/// Settings of an evaluation. With row_security off, a query that policies would filter fails. The
/// answer does not depend on the session that ticks.
const SETTINGS: [(&CStr, &CStr); 10] = [
    (c"transaction_read_only", c"on"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"row_security", c"off"),
    (c"lock_timeout", c"1s"),
    (c"max_parallel_workers_per_gather", c"0"),
    (c"jit", c"off"),
    (c"TimeZone", c"UTC"),
    (c"DateStyle", c"ISO, MDY"),
    (c"IntervalStyle", c"postgres"),
    (c"standard_conforming_strings", c"on"),
];

/// Runs `work` as the role, read-only, and undoes it. Interrupts are passed on.
pub fn in_sandbox<R>(role: pg_sys::Oid, work: impl FnOnce(&Sandbox) -> R) -> Result<R, Failure> {
    sandboxed(|sandbox| {
        enter(sandbox, role);
        work(sandbox)
    })
    .map_err(Failure::rethrow_interrupt)
}

/// From here on the sandbox runs as the role.
pub fn enter(sandbox: &Sandbox, role: pg_sys::Oid) {
    let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    sandbox.enter(role, &settings);
}
