//! State of one backend.

use std::cell::{RefCell, RefMut};

/// A static of a single-threaded process: a `RefCell` that avoids what thread-local storage costs
/// in a shared library.
pub struct BackendLocal<T>(RefCell<T>);

// SAFETY: a PostgreSQL backend has one thread, and no code of this crate starts another.
unsafe impl<T> Sync for BackendLocal<T> {}

impl<T> BackendLocal<T> {
    /// A static with this initial value.
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Works with the state. `None` if a caller further up the stack is using it; no code of this
    /// crate nests its uses.
    #[inline(always)]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.borrow().map(|mut state| work(&mut state))
    }

    /// The state, until the guard is dropped. For hot paths, where the compiler may leave a closure
    /// out of line.
    #[inline(always)]
    pub fn borrow(&self) -> Option<RefMut<'_, T>> {
        self.0.try_borrow_mut().ok()
    }
}
