//! Work that must be done when this backend ends, also where no destructor runs.
//!
//! An ERROR unwinds the stack, and Rust's destructors run. FATAL ends the process without that, as
//! `pg_terminate_backend` and a broken connection do.

use pgrx::pg_sys;
use std::ffi::c_int;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

type Work = Box<dyn FnOnce() + Send>;

/// The registered work, oldest first.
static REGISTERED: Mutex<Vec<(u64, Work)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static IS_HOOKED: AtomicBool = AtomicBool::new(false);

/// Registered work. Dropped, it is forgotten and not done.
#[must_use]
pub struct Registration(u64);

/// Registers work for the end of this backend, before the transaction's locks are released. The
/// latest is done first. It must neither raise nor use the server.
pub fn register(work: impl FnOnce() + Send + 'static) -> Registration {
    if !IS_HOOKED.swap(true, Relaxed) {
        // SAFETY: the callback stays valid as long as this library, which is never unloaded.
        unsafe { pg_sys::before_shmem_exit(Some(at_exit), pg_sys::Datum::null()) };
    }
    let id = NEXT.fetch_add(1, Relaxed);
    if let Ok(mut registered) = REGISTERED.lock() {
        registered.push((id, Box::new(work)));
    }
    Registration(id)
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Ok(mut registered) = REGISTERED.lock() {
            registered.retain(|(id, _)| *id != self.0);
        }
    }
}

/// Called by the server when the process ends, for whatever reason except a signal.
unsafe extern "C-unwind" fn at_exit(_code: c_int, _argument: pg_sys::Datum) {
    let works = REGISTERED.lock().map(|mut list| std::mem::take(&mut *list)).unwrap_or_default();
    for (_, work) in works.into_iter().rev() {
        // A panic must not keep the process from its end.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    }
}
