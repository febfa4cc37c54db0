//! The end of a test's time, for work on files.

use crate::pg::process;
use std::io;
use std::time::Instant;

/// Called often by work on files. It may raise an interrupt, and its error ends the work.
pub type React<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// The cause of the error of [`react`].
#[derive(Debug, thiserror::Error)]
#[error("the time of the test is over")]
struct TimeOver;

/// Reacts to interrupts, and fails from the deadline on.
pub fn react(deadline: Option<Instant>) -> io::Result<()> {
    process::react();
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Err(io::Error::other(TimeOver));
    }
    Ok(())
}

/// Whether an error of work on files is that of [`react`].
pub fn is_over(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<TimeOver>())
}
