//! State of one backend.

use std::cell::RefCell;

/// A static of a single-threaded process: a `RefCell` without the cost of thread-local storage in a shared library.
pub struct BackendLocal<T>(RefCell<T>);

// SAFETY: a PostgreSQL backend has one thread, and no code of this crate starts another.
unsafe impl<T> Sync for BackendLocal<T> {}

impl<T> BackendLocal<T> {
    /// A static's initial value.
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Works with the state. `None` if it is in use further up the stack, which no caller here can bring about.
    #[inline(always)]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_borrow_mut().ok().map(|mut state| work(&mut state))
    }
}
