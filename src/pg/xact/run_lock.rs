//! Locks that let one session at a time do a kind of work on this database. They are locks on a
//! part of the schema crewsnow_ops as a database object, which no SQL can take: no role can block
//! maintenance with an advisory lock.

use super::lock_holder::{self, Awaited, LockHolder};
use crate::pg::catalog::lookup;
use pgrx::pg_sys;

/// The kinds of work, as numbers of the locked part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A run of maintenance, until its transaction ends.
    Maintenance = 1,
    /// A change of the schedule, until its transaction ends.
    Schedule = 2,
    /// A restore test, until its transaction ends.
    RestoreTest = 3,
    /// A run of retention, until its transaction ends.
    Retention = 4,
    /// A tick of the alert rules, until its transaction ends.
    Alerts = 5,
}

/// ACCESS EXCLUSIVE: conflicts with itself.
const MODE: pg_sys::LOCKMODE = pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE;

fn tag(work: Work) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: reads a backend-local variable.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: pg_sys::NamespaceRelationId.to_u32(),
        locktag_field3: lookup::schema(c"crewsnow_ops").unwrap_or(pg_sys::InvalidOid).to_u32(),
        locktag_field4: work as u16,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}

/// Waits until no session has the lock, and then takes it until the transaction ends. A session
/// that tries the lock meanwhile does not find this one in its way.
pub fn wait_for(work: Work) {
    while try_lock(work).is_err() {
        pgrx::check_for_interrupts!();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Takes the lock until the transaction ends. Never waits. The error is the session that has it,
/// `None` if it is gone meanwhile.
pub fn try_lock(work: Work) -> Result<(), Option<LockHolder>> {
    let tag = tag(work);
    // SAFETY: a valid tag. The server releases the lock at the end of the transaction.
    let result = unsafe { pg_sys::LockAcquire(&tag, MODE, false, true) };
    if result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL {
        return Ok(());
    }
    let word = u32::from(tag.locktag_field4) << 16
        | u32::from(tag.locktag_type) << 8
        | u32::from(tag.locktag_lockmethodid);
    let tag = [tag.locktag_field1, tag.locktag_field2, tag.locktag_field3, word];
    Err(lock_holder::direct(Awaited { tag, mode: MODE }))
}
