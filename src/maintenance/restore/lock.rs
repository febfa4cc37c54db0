//! A limit on waits for locks of the source.

use super::error::RestoreError;
use crate::pg::error::ServerError;
use crate::pg::xact::lock_wait;

/// Reads of the source wait at most two seconds for locks; 55P03 names the session in the way.
pub fn limited<R>(work: impl FnOnce() -> Result<R, RestoreError>) -> Result<R, RestoreError> {
    lock_wait::limited(work)
        .map_err(|timeout| ServerError::locked("a table of the source".to_owned(), timeout))?
}
