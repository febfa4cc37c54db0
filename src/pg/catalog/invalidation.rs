//! The server's own cache-invalidation messages as the flag cache's signal: transactional, sent at commit, replayed on standbys.

use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Moves on whenever something may have changed. Atomics for their safe interface only: a backend has one thread.
static GENERATION: AtomicU64 = AtomicU64::new(1);
/// The table that matters; 0 while it is unknown, and then every message matters.
static WATCHED: AtomicU32 = AtomicU32::new(0);
static REGISTERED: AtomicBool = AtomicBool::new(false);

copied_for!("pg15" "pg16" "pg17" "pg18": "AcceptInvalidationMessages of utils/inval.h");

unsafe extern "C-unwind" {
    /// Called without pgrx's error trap: one evaluation in the hot path must not pay for a sigsetjmp. An error raised in here
    /// jumps over `accept` only, whose frame owns nothing.
    #[link_name = "AcceptInvalidationMessages"]
    fn accept_invalidation_messages();
}

/// Takes note of what other sessions have committed. Without it a transaction that takes no locks would never hear of it.
#[inline(always)]
pub fn accept() {
    // SAFETY: may be called wherever a table may be opened; no Rust value is live across it.
    unsafe { accept_invalidation_messages() }
}

/// The present generation: equal to an earlier one if and only if nothing relevant has been heard of since.
#[inline(always)]
pub fn generation() -> u64 {
    GENERATION.load(Relaxed)
}

/// Tells every session, at commit, and this one, at its next command, that `table` has changed.
pub fn announce(table: pg_sys::Oid) {
    // SAFETY: a table that the caller has open. On a standby there is no caller, as nothing can change there.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
}

/// Watches `table` from now on, or every table while it is not known.
pub fn watch(table: Option<pg_sys::Oid>) {
    WATCHED.store(table.map_or(0, pg_sys::Oid::to_u32), Relaxed);
    if !REGISTERED.swap(true, Relaxed) {
        // SAFETY: registered once a backend; the callback lives as long as the library, which is never unloaded.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0)) };
    }
}

/// Only takes note: in the middle of invalidation processing no catalog may be read.
unsafe extern "C-unwind" fn on_invalidation(_: pg_sys::Datum, table: pg_sys::Oid) {
    let watched = WATCHED.load(Relaxed);
    if watched == 0 || table == pg_sys::InvalidOid || table.to_u32() == watched {
        GENERATION.store(GENERATION.load(Relaxed).wrapping_add(1), Relaxed);
    }
}
