//! Relation cache invalidations as the signal for the flag cache. They are transactional, sent at
//! commit, and replayed on standbys.

use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Incremented on each relevant invalidation. Atomic for the safe interface only: a backend has one
/// thread.
static GENERATION: AtomicU64 = AtomicU64::new(1);
/// Oid of the watched table; 0 if unknown, and then every invalidation is relevant.
static WATCHED: AtomicU32 = AtomicU32::new(0);
static REGISTERED: AtomicBool = AtomicBool::new(false);

copied_for!("pg15" "pg16" "pg17" "pg18": "AcceptInvalidationMessages of utils/inval.h");

unsafe extern "C-unwind" {
    /// Declared without pgrx's guard, because a sigsetjmp for each evaluation is too expensive. An
    /// error jumps over the frame of `accept` only, which owns no value.
    #[link_name = "AcceptInvalidationMessages"]
    fn accept_invalidation_messages();
}

/// Processes the invalidations that other sessions have committed. A transaction that takes no lock
/// processes none by itself.
#[inline(always)]
pub fn accept() {
    // SAFETY: may be called wherever a table may be opened; no Rust value is live across the call.
    unsafe { accept_invalidation_messages() }
}

/// The current generation: equal to an earlier one if and only if no relevant invalidation was
/// processed since.
#[inline(always)]
pub fn generation() -> u64 {
    GENERATION.load(Relaxed)
}

/// Invalidates `table` for all sessions at commit, and for this session at its next command.
pub fn announce(table: pg_sys::Oid) {
    // SAFETY: the caller has the table open. No caller runs on a standby, where tables cannot
    // change.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
}

/// Watches `table` from now on; `None` watches every table.
pub fn watch(table: Option<pg_sys::Oid>) {
    WATCHED.store(table.map_or(0, pg_sys::Oid::to_u32), Relaxed);
    if !REGISTERED.swap(true, Relaxed) {
        // SAFETY: registered once in a backend; the library with the callback is never unloaded.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0))
        };
    }
}

/// Counts and nothing more: no catalog may be read while invalidations are processed.
unsafe extern "C-unwind" fn on_invalidation(_: pg_sys::Datum, table: pg_sys::Oid) {
    let watched = WATCHED.load(Relaxed);
    if watched == 0 || table == pg_sys::InvalidOid || table.to_u32() == watched {
        GENERATION.store(GENERATION.load(Relaxed).wrapping_add(1), Relaxed);
    }
}
