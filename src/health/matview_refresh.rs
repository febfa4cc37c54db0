//! An event trigger records when materialized views are refreshed, because PostgreSQL does not.

use crate::access::as_owner;
use crate::health::error::HealthError;
use crate::pg::fmgr::spi;
use crate::pg::xact::subtransaction;
use pgrx::prelude::*;

/// Runs after CREATE or REFRESH MATERIALIZED VIEW. A failure here must not fail the command, and it
/// waits for no other session: the table is locked without waiting, and rows that others hold are
/// left alone.
#[pg_extern(sql = false)]
fn note_refresh() {
    // Interrupts pass: a cancelled command must end, with 57014.
    let recorded = subtransaction::isolated(|| {
        as_owner(|| {
            spi::connect_mut(|client| {
                client.update(include_str!("../../sql/health/lock_refreshes.sql"), None, &[])?;
                client.update(include_str!("../../sql/health/note_refresh.sql"), None, &[])?;
                Ok::<_, HealthError>(())
            })
        })
    });
    let reason = match recorded {
        Ok(Ok::<_, HealthError>(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(failure) => failure.message,
    };
    pgrx::warning!("crewsnow_ops could not record the refresh of the materialized view: {reason}");
}
