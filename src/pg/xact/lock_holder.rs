//! The session in the way of a lock, found in the server's lock table without a query: an error
//! callback may run none.

use crate::time::instant::Instant;
use pgrx::pg_sys;

/// A lock's identity: the fields of the server's LOCKTAG, the last three in one word.
pub type Tag = [u32; 4];

/// A lock that a session waits for, and the mode that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// The lock.
    pub tag: Tag,
    /// The number of the mode, as in the server's lockdefs.h.
    pub mode: i32,
}

/// A row of the lock table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    /// A bit for each mode that is held.
    holds: u32,
    /// The mode that is awaited; 0 for none.
    waits: i32,
    /// The process; 0 for a prepared transaction.
    pid: i32,
}

/// The session or prepared transaction in the way of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The process; 0 for a prepared transaction.
    pub pid: i32,
    /// The state, in the words of pg_stat_activity.
    pub state: &'static str,
    /// Seconds since its transaction began; `None` if unknown.
    pub age: Option<i64>,
    /// The start of the session; `None` if unknown.
    pub backend_start: Option<Instant>,
    /// Whether it is a client's session.
    pub is_client: bool,
}

/// The modes that conflict with each mode, as bits: the server's LockConflicts.
const CONFLICTS: [u32; 9] = [
    0,
    1 << 8,
    1 << 7 | 1 << 8,
    1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
];

/// More links than a chain of waiting sessions has.
const MAX_LINKS: usize = 50;

fn conflicts(mode: i32) -> u32 {
    usize::try_from(mode).ok().and_then(|mode| CONFLICTS.get(mode)).copied().unwrap_or(0)
}

/// The process at the end of the chain: it waits for no lock itself. A session that only queues
/// ahead is followed to the one that it waits for.
fn root(entries: &[Entry], awaited: Awaited, own: i32) -> Option<i32> {
    let mut awaited = awaited;
    let mut seen = vec![own];
    for _ in 0..MAX_LINKS {
        let others = || {
            entries
                .iter()
                .filter(|e| e.tag == awaited.tag && (e.pid == 0 || !seen.contains(&e.pid)))
        };
        let blocked_by = conflicts(awaited.mode);
        let holder = others()
            .find(|e| e.holds & blocked_by != 0)
            .or_else(|| others().find(|e| e.waits != 0 && 1 << e.waits & blocked_by != 0));
        let Some(holder) = holder else { return seen.pop().filter(|pid| *pid != own) };
        let next = entries.iter().find(|e| e.pid == holder.pid && e.pid != 0 && e.waits != 0);
        let Some(next) = next else { return Some(holder.pid) };
        seen.push(holder.pid);
        awaited = Awaited { tag: next.tag, mode: next.waits };
    }
    seen.pop()
}

/// The session or prepared transaction in the way of a lock; `None` if it is gone.
pub fn find(awaited: Awaited) -> Option<LockHolder> {
    // SAFETY: reads a backend-local variable.
    let own = unsafe { pg_sys::MyProcPid };
    let pid = root(&lock_table(), awaited, own)?;
    Some(describe(pid))
}

/// The session that has a lock itself, even if it waits for another one; `None` if it is gone.
pub fn direct(awaited: Awaited) -> Option<LockHolder> {
    let blocked_by = conflicts(awaited.mode);
    let table = lock_table();
    let entry = table.iter().find(|e| e.tag == awaited.tag && e.holds & blocked_by != 0)?;
    Some(describe(entry.pid))
}

/// The session or prepared transaction in the way of a lock on a table of this database, in a mode
/// of the server's lockdefs.h; `None` if there is none.
pub fn of_table(table: pg_sys::Oid, mode: i32) -> Option<LockHolder> {
    let rest = pg_sys::LockTagType::LOCKTAG_RELATION << 8 | pg_sys::DEFAULT_LOCKMETHOD;
    // SAFETY: reads a backend-local variable.
    let database = unsafe { pg_sys::MyDatabaseId };
    find(Awaited { tag: [database.to_u32(), table.to_u32(), 0, rest], mode })
}

fn lock_table() -> Vec<Entry> {
    // SAFETY: the function copies the lock table into the current memory context. The array has
    // `nelements` entries.
    unsafe {
        let data = pg_sys::GetLockStatusData();
        let Some(table) = data.as_ref() else { return Vec::new() };
        let count = usize::try_from(table.nelements).unwrap_or(0);
        (0..count)
            .map(|i| {
                let lock = &*table.locks.add(i);
                let tag = &lock.locktag;
                Entry {
                    tag: [
                        tag.locktag_field1,
                        tag.locktag_field2,
                        tag.locktag_field3,
                        u32::from(tag.locktag_field4) << 16
                            | u32::from(tag.locktag_type) << 8
                            | u32::from(tag.locktag_lockmethodid),
                    ],
                    holds: lock.holdMask as u32,
                    waits: lock.waitLockMode,
                    pid: lock.pid,
                }
            })
            .collect()
    }
}

/// A session's entry in pg_stat_activity.
#[cfg(feature = "pg15")]
unsafe fn session_entry(number: i32) -> *mut pg_sys::LocalPgBackendStatus {
    // SAFETY: guaranteed by the caller.
    unsafe { pg_sys::pgstat_fetch_stat_local_beentry(number) }
}

/// A session's entry in pg_stat_activity.
#[cfg(not(feature = "pg15"))]
unsafe fn session_entry(number: i32) -> *mut pg_sys::LocalPgBackendStatus {
    // SAFETY: guaranteed by the caller.
    unsafe { pg_sys::pgstat_get_local_beentry_by_index(number) }
}

fn describe(pid: i32) -> LockHolder {
    let mut holder =
        LockHolder { pid, state: "active", age: None, backend_start: None, is_client: false };
    if pid == 0 {
        holder.state = "prepared";
        return holder;
    }
    // SAFETY: the functions copy shared memory; the numbers begin with 1. An entry is NULL or
    // valid until the copy is discarded.
    unsafe {
        pg_sys::pgstat_clear_backend_activity_snapshot();
        for number in 1..=pg_sys::pgstat_fetch_stat_numbackends() {
            let Some(entry) = session_entry(number).as_ref() else { continue };
            let status = &entry.backendStatus;
            if status.st_procpid != pid {
                continue;
            }
            holder.state = match status.st_state {
                pg_sys::BackendState::STATE_IDLE => "idle",
                pg_sys::BackendState::STATE_IDLEINTRANSACTION => "idle in transaction",
                pg_sys::BackendState::STATE_IDLEINTRANSACTION_ABORTED => {
                    "idle in transaction (aborted)"
                }
                _ => "active",
            };
            holder.is_client = status.st_backendType == pg_sys::BackendType::B_BACKEND;
            holder.backend_start = Some(Instant(status.st_proc_start_timestamp));
            if status.st_xact_start_timestamp != 0 {
                let age = crate::pg::clock::now() - status.st_xact_start_timestamp;
                holder.age = Some(age.max(0) / 1_000_000);
            }
        }
    }
    holder
}

/// The DETAIL of an error: the session in the way and the age of its transaction.
pub fn detail(holder: Option<&LockHolder>) -> String {
    match holder {
        None => "The holder of the lock has ended meanwhile. Nothing was changed.".into(),
        Some(LockHolder { pid: 0, .. }) => {
            "A prepared transaction holds the lock. Nothing was changed.".into()
        }
        Some(holder) => {
            let age = holder
                .age
                .map_or_else(String::new, |age| format!(" Its transaction is {age} s old."));
            format!(
                "Process {} ({}) holds the lock.{age} Nothing was changed.",
                holder.pid, holder.state
            )
        }
    }
}

/// The HINT of an error: the statement that ends the session. A process id that another session
/// has taken over meanwhile is not ended.
pub fn hint(holder: Option<&LockHolder>) -> String {
    match holder {
        None => "Run the statement again.".into(),
        Some(LockHolder { pid: 0, .. }) => {
            "SELECT format('ROLLBACK PREPARED %L;', gid), prepared, owner FROM pg_prepared_xacts \
             ORDER BY prepared;"
                .into()
        }
        Some(LockHolder { pid, backend_start: Some(start), is_client: true, .. }) => format!(
            "SELECT crewsnow_ops.terminate_session({pid}, '{start}'); \
             -- as superuser also: SELECT pg_terminate_backend({pid});"
        ),
        Some(LockHolder { pid, .. }) => format!("SELECT pg_terminate_backend({pid});"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Tag = [0, 742, 0, 5 << 8];
    const TABLE: Tag = [5, 16_400, 0, 0];
    const OWN: i32 = 1;
    const SHARE: i32 = 5;
    const ROW_EXCLUSIVE: i32 = 3;

    fn holds(pid: i32, tag: Tag, mode: i32) -> Entry {
        Entry { tag, holds: 1 << mode, waits: 0, pid }
    }

    fn waits(pid: i32, tag: Tag, mode: i32) -> Entry {
        Entry { tag, holds: 0, waits: mode, pid }
    }

    fn found(entries: &[Entry], tag: Tag, mode: i32) -> Option<i32> {
        root(entries, Awaited { tag, mode }, OWN)
    }

    #[test]
    fn the_holder_of_the_row_is_found() {
        let entries = [holds(OWN, TABLE, 3), holds(7, TABLE, 3), holds(8, ROW, 7)];
        assert_eq!(found(&entries, ROW, SHARE), Some(8));
        assert_eq!(found(&entries, TABLE, ROW_EXCLUSIVE), None, "these modes do not conflict");
    }

    #[test]
    fn a_chain_leads_to_the_session_that_waits_for_none() {
        let entries = [holds(2, ROW, 7), waits(2, TABLE, 3), holds(3, TABLE, 8)];
        assert_eq!(found(&entries, ROW, SHARE), Some(3));
    }

    #[test]
    fn a_queue_leads_to_the_holder_behind_it() {
        // An ALTER TABLE waits for a reader, and the writer queues behind it.
        let entries = [holds(4, TABLE, 1), waits(5, TABLE, 8)];
        assert_eq!(found(&entries, TABLE, ROW_EXCLUSIVE), Some(4));
    }

    #[test]
    fn circles_and_vanished_holders_end_the_search() {
        let circle = [holds(2, ROW, 7), waits(2, TABLE, 3), holds(3, TABLE, 8), waits(3, ROW, 5)];
        assert!(found(&circle, ROW, SHARE).is_some());
        assert_eq!(found(&[], ROW, SHARE), None);
        assert_eq!(found(&[holds(OWN, ROW, 7)], ROW, SHARE), None, "not the session itself");
    }

    #[test]
    fn a_prepared_transaction_is_named() {
        assert_eq!(found(&[holds(0, ROW, 7)], ROW, SHARE), Some(0));
        let holder = LockHolder {
            pid: 0,
            state: "prepared",
            age: None,
            backend_start: None,
            is_client: false,
        };
        assert!(hint(Some(&holder)).contains("ROLLBACK PREPARED"));
    }

    #[test]
    fn the_hint_can_be_pasted() {
        let holder = LockHolder {
            pid: 42,
            state: "idle in transaction",
            age: Some(75),
            backend_start: Some(Instant(0)),
            is_client: true,
        };
        assert_eq!(
            detail(Some(&holder)),
            "Process 42 (idle in transaction) holds the lock. Its transaction is 75 s old. \
             Nothing was changed."
        );
        assert_eq!(
            hint(Some(&holder)),
            "SELECT crewsnow_ops.terminate_session(42, '2000-01-01T00:00:00.000000Z'); \
             -- as superuser also: SELECT pg_terminate_backend(42);"
        );
    }
}
