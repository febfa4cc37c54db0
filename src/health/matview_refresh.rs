//! When materialized views were refreshed: PostgreSQL does not record it, so an event trigger does.

use crate::access::as_owner;
use crate::health::error::HealthError;
use crate::pg::xact::subtransaction;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// After CREATE or REFRESH MATERIALIZED VIEW. Whatever happens here, the command itself must not fail for it.
#[pg_extern(sql = false)]
fn note_refresh() {
    let noted = subtransaction::try_in_subxact(AssertUnwindSafe(|| {
        as_owner(|| {
            Spi::connect_mut(|client| {
                client.update(include_str!("../../sql/health/note_refresh.sql"), None, &[])?;
                Ok::<_, HealthError>(())
            })
        })
    }));
    let why = match noted {
        Ok(Ok::<_, HealthError>(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(failure) => failure.message,
    };
    pgrx::warning!("crewsnow_ops could not note when the materialized view was refreshed: {why}");
}
