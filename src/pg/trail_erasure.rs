//! Whether an erasure is replacing a person in the extension's trails. Append-only tables let no
//! other change through. Here, because the tables belong to several domains.

use super::backend_local::BackendLocal;

static IS_RUNNING: BackendLocal<bool> = BackendLocal::new(false);

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        IS_RUNNING.with(|state| *state = false);
    }
}

/// Lets `work` replace a person in append-only tables.
pub fn running<R>(work: impl FnOnce() -> R) -> R {
    IS_RUNNING.with(|state| *state = true);
    let _running = Running;
    work()
}

/// Whether [`running`] runs now.
pub fn is_running() -> bool {
    IS_RUNNING.with(|state| *state).unwrap_or(false)
}
