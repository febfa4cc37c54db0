//! Session-level advisory locks, which no rollback releases.

use super::subtransaction::{Failure, rolled_back};
use pgrx::pg_sys;
use std::panic::AssertUnwindSafe;

copied_for!("pg15" "pg16" "pg17" "pg18": "PROCLOCK lists, LWLock partitions of storage/lock.h");

/// An advisory lock that this session holds.
#[derive(Clone, Copy)]
struct Held {
    tag: pg_sys::LOCKTAG,
    mode: pg_sys::LOCKMODE,
}

impl Held {
    fn is_same(&self, other: &Self) -> bool {
        let fields = |held: &Self| {
            let tag = held.tag;
            let numbers = (tag.locktag_field1, tag.locktag_field2, tag.locktag_field3);
            (numbers, tag.locktag_field4, tag.locktag_type, held.mode)
        };
        fields(self) == fields(other)
    }

    /// Adds a hold that ends with the subtransaction, and returns the number of session-level ones.
    ///
    /// The lock is held already, so this never waits. Until the subtransaction ends, no other
    /// session can get the lock, even if all session-level holds are released.
    fn pin(&self) -> i64 {
        let mut local: *mut pg_sys::LOCALLOCK = std::ptr::null_mut();
        // SAFETY: a valid tag. The server sets `local` to its entry for the lock, which it keeps
        // while the lock is held. A session-level hold is one without a resource owner.
        unsafe {
            pg_sys::LockAcquireExtended(
                &self.tag,
                self.mode,
                false,
                true,
                true,
                &mut local,
                #[cfg(feature = "pg18")]
                false,
            );
            let Some(local) = local.as_ref() else { return 0 };
            let count = local.numLockOwners as usize;
            let owners = std::slice::from_raw_parts(local.lockOwners, count);
            owners.iter().filter(|hold| hold.owner.is_null()).map(|hold| hold.nLocks).sum()
        }
    }

    /// Makes `wanted` of the session-level holds, of which there are `held`. The lock is pinned.
    fn adjust(&self, held: i64, wanted: i64) {
        for _ in wanted..held {
            // SAFETY: releases a hold that was counted.
            unsafe { pg_sys::LockRelease(&self.tag, self.mode, true) };
        }
        for _ in held..wanted {
            // SAFETY: adds a hold of a lock that is held, so it never waits.
            unsafe { pg_sys::LockAcquire(&self.tag, self.mode, true, true) };
        }
    }
}

/// The server's doubly linked lists: SHM_QUEUE in 15, dlist_node from 16 on.
#[repr(C)]
struct Link {
    _previous: *mut Link,
    next: *mut Link,
}

/// The advisory locks that this session holds, of the session or of the transaction.
///
/// Reads the session's own entries in the lock table: a scan of pg_locks for each sandbox would
/// cost more than the sandbox.
fn held() -> Vec<Held> {
    let mut found = Vec::new();
    // SAFETY: `MyProc` is this session's entry. Only this session adds and removes its advisory
    // locks, so an empty list stays empty. Other lists are read under the lock of their partition,
    // because other sessions move relation locks into them. Nothing raises an error meanwhile.
    unsafe {
        let lists = (&raw mut (*pg_sys::MyProc).myProcLocks).cast::<Link>();
        for partition in 0..pg_sys::NUM_LOCK_PARTITIONS as usize {
            let head = lists.add(partition);
            // A list that was never used is NULL, or points to itself.
            if (*head).next.is_null() || (*head).next == head {
                continue;
            }
            let number = pg_sys::LOCK_MANAGER_LWLOCK_OFFSET as usize + partition;
            let lock = (&raw mut (*pg_sys::MainLWLockArray.add(number)).lock).cast();
            pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_SHARED);
            let mut link = (*head).next;
            while link != head {
                let entry = link.byte_sub(std::mem::offset_of!(pg_sys::PROCLOCK, procLink));
                let entry = &*entry.cast::<pg_sys::PROCLOCK>();
                let tag = (*entry.tag.myLock).tag;
                if tag.locktag_type == pg_sys::LockTagType::LOCKTAG_ADVISORY as u8 {
                    let modes = (1..pg_sys::MAX_LOCKMODES as i32)
                        .filter(|mode| entry.holdMask & (1 << mode) != 0);
                    found.extend(modes.map(|mode| Held { tag, mode }));
                }
                link = (*link).next;
            }
            pg_sys::LWLockRelease(lock);
        }
    }
    found
}

/// Runs `work`, which is rolled back by itself, and gives the session the session-level advisory
/// locks that it had before: those that `work` took are released, those that it released are held
/// again. No other session can have got one of these meanwhile.
pub fn kept<R>(work: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    if held().is_empty() {
        let result = work();
        if !held().is_empty() {
            // SAFETY: the session held no advisory lock before, so all of them are from `work`.
            unsafe { pg_sys::LockReleaseSession(pg_sys::USER_LOCKMETHOD as u16) };
        }
        return result;
    }
    rolled_back(AssertUnwindSafe(|| {
        let before: Vec<(Held, i64)> = held().into_iter().map(|held| (held, held.pin())).collect();
        let result = work();
        for now in held() {
            let count = before.iter().find(|(held, _)| held.is_same(&now));
            now.adjust(now.pin(), count.map_or(0, |(_, count)| *count));
        }
        result
    }))
    .flatten()
}
