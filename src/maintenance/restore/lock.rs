//! Limits of reads of the source.

use super::error::RestoreError;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::xact::lock_wait;
use crate::pg::xact::timeout::{Stopped, isolated_within};

/// Runs `work`, which reads the source. It waits at most two seconds for locks, and then 55P03
/// names the session in the way. At the deadline, in microseconds since 2000, it is cancelled with
/// 57014.
pub fn limited<R>(
    deadline: i64,
    work: impl FnOnce() -> Result<R, RestoreError>,
) -> Result<R, RestoreError> {
    let rest = ((deadline - clock::now()) / 1_000).max(1);
    let milliseconds = i32::try_from(rest).unwrap_or(i32::MAX);
    match isolated_within(milliseconds, || lock_wait::limited(work)) {
        Ok(result) => {
            result.map_err(|wait| ServerError::locked("a table of the source".to_owned(), wait))?
        }
        Err(Stopped::TimedOut(_)) => Err(RestoreError::OutOfTime),
        Err(Stopped::Failed(failure)) => failure.raise(),
    }
}
