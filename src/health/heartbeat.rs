//! The heartbeat: the latest time at which this database was seen alive. A backup carries it, so
//! that a restored database tells its age.

use crate::access::as_owner;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::subtransaction::catching;
use pgrx::PgSqlErrorCode;
use std::panic::AssertUnwindSafe;

/// Moves the heartbeat to now, as the owner of the extension. A transaction whose snapshot is older
/// than another session's heartbeat leaves that one.
pub fn beat() -> Result<(), ServerError> {
    let moved = catching(
        &[PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE],
        AssertUnwindSafe(|| {
            as_owner(|| {
                spi::connect_mut(|client| {
                    let sql = include_str!("../../sql/health/move_heartbeat.sql");
                    client.update(sql, None, &[])?;
                    Ok::<_, ServerError>(())
                })
            })
        }),
    );
    moved.unwrap_or(Ok(()))
}
