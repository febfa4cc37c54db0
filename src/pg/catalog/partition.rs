//! Partitions of a table that is partitioned by ranges of a timestamptz, and locks on them.

use crate::pg::access::scan;
use crate::pg::xact::{subtransaction, timeout};
use pgrx::{PgSqlErrorCode, pg_sys};
use std::panic::AssertUnwindSafe;

/// A leaf partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// `pg_class.oid`.
    pub table: pg_sys::Oid,
    /// Exclusive upper bound in microseconds since 2000; `None` for the default partition and for
    /// MAXVALUE.
    pub end: Option<i64>,
    /// Whether it is the default partition.
    pub is_default: bool,
}

/// The partitions of a table in the order of their ranges, the default partition last. ACCESS SHARE
/// on the table is held until the transaction ends, as for a query, so that no partition can be
/// detached.
pub fn partitions(parent: pg_sys::Oid) -> Vec<Partition> {
    // SAFETY: the lock keeps the descriptor valid; it is read before the relation is closed. The
    // array of indexes has `nindexes` entries, that of bounds `ndatums`, with one column each.
    unsafe {
        let relation = pg_sys::try_relation_open(parent, scan::ACCESS_SHARE);
        if relation.is_null() {
            return Vec::new();
        }
        if (*(*relation).rd_rel).relkind as u8 != pg_sys::RELKIND_PARTITIONED_TABLE {
            pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
            return Vec::new();
        }
        let descriptor = &*pg_sys::RelationGetPartitionDesc(relation, true);
        let mut partitions: Vec<Partition> =
            ranges(descriptor).map(|(_, partition)| partition).collect();
        if let Some(bounds) =
            descriptor.boundinfo.as_ref().filter(|bounds| bounds.default_index >= 0)
        {
            let table = *descriptor.oids.add(bounds.default_index as usize);
            partitions.push(Partition { table, end: None, is_default: true });
        }
        pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        partitions
    }
}

/// Runs `read` with ACCESS SHARE on a table, which lasts no longer; `None`, without a wait, while
/// another session has the table locked.
fn read_now<R>(table: pg_sys::Oid, read: impl FnOnce() -> R) -> Option<R> {
    let locked = || {
        // SAFETY: a lock by oid, which the end of the subtransaction releases.
        unsafe { pg_sys::ConditionalLockRelationOid(table, scan::ACCESS_SHARE) }.then(read)
    };
    subtransaction::rolled_back(AssertUnwindSafe(locked)).unwrap_or_else(|failure| failure.raise())
}

/// The partitions as [`partitions`] returns them, without a wait and without a lock that lasts;
/// none while another session has the table locked.
pub fn partitions_now(parent: pg_sys::Oid) -> Vec<Partition> {
    read_now(parent, || partitions(parent)).unwrap_or_default()
}

/// The number of blocks of a table, without a wait and without a lock that lasts; `None` while
/// another session has it locked.
pub fn blocks_now(table: pg_sys::Oid) -> Option<u32> {
    let blocks = || {
        // SAFETY: the lock is held. The relation is closed after its size is read.
        unsafe {
            let relation = pg_sys::try_relation_open(table, pg_sys::NoLock as pg_sys::LOCKMODE);
            if relation.is_null() {
                return None;
            }
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(relation, main);
            pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
            Some(blocks)
        }
    };
    read_now(table, blocks).flatten()
}

/// The lower bounds (in microseconds since 2000; `None` for MINVALUE) and the partitions, in the
/// order of the ranges, without the default partition.
///
/// # Safety
/// The descriptor must be of a table partitioned by ranges of one timestamptz, and stay valid.
unsafe fn ranges(
    descriptor: &pg_sys::PartitionDescData,
) -> impl Iterator<Item = (Option<i64>, Partition)> {
    // SAFETY: the array of indexes has `nindexes` entries, that of bounds `ndatums`, with one
    // column each.
    unsafe {
        let is_range = |bounds: &&pg_sys::PartitionBoundInfoData| bounds.strategy as u8 == b'r';
        descriptor.boundinfo.as_ref().filter(is_range).into_iter().flat_map(move |bounds| {
            let bound = |i: usize| {
                let is_value = i < bounds.ndatums as usize
                    && **bounds.kind.add(i)
                        == pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE;
                is_value.then(|| (**bounds.datums.add(i)).value() as i64)
            };
            (0..bounds.nindexes.max(0) as usize).filter_map(move |i| {
                let index = usize::try_from(*bounds.indexes.add(i)).ok()?;
                let partition = Partition {
                    table: *descriptor.oids.add(index),
                    end: bound(i),
                    is_default: false,
                };
                Some((i.checked_sub(1).and_then(bound), partition))
            })
        })
    }
}

/// The partition whose range, bounded on both sides, contains a time; `None` also while a partition
/// is being detached.
///
/// # Safety
/// The relation must be open, and be a table partitioned by ranges of one timestamptz.
pub(crate) unsafe fn holding(relation: pg_sys::Relation, time: i64) -> Option<pg_sys::Oid> {
    // SAFETY: as the caller vouches; the lock keeps the descriptor valid.
    unsafe {
        let descriptor = &*pg_sys::RelationGetPartitionDesc(relation, true);
        let is_in = |(start, partition): &(Option<i64>, Partition)| {
            start.is_some_and(|start| start <= time) && partition.end.is_some_and(|end| time < end)
        };
        (!descriptor.detached_exist)
            .then(|| ranges(descriptor).find(is_in).map(|(_, partition)| partition.table))
            .flatten()
    }
}

/// Takes ACCESS EXCLUSIVE on a table, as DROP or ATTACH does, unless another session has a lock on
/// it. Never waits.
pub fn try_lock_exclusively(table: pg_sys::Oid) -> bool {
    // SAFETY: a lock by oid; the server releases it at the end of the transaction.
    unsafe {
        pg_sys::ConditionalLockRelationOid(table, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE)
    }
}

/// The longest wait for an ACCESS EXCLUSIVE lock, in milliseconds: other sessions, writers among
/// them, queue behind it.
const LOCK_TIMEOUT: i32 = 25;

/// Takes ACCESS EXCLUSIVE on a table, as DROP does; false after 25 ms of waiting.
pub fn lock_exclusively(table: pg_sys::Oid) -> bool {
    const CANCELLED: PgSqlErrorCode = PgSqlErrorCode::ERRCODE_QUERY_CANCELED;
    let (locked, has_expired) = timeout::with_timeout(LOCK_TIMEOUT, || {
        subtransaction::catching(&[PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, CANCELLED], || {
            // SAFETY: a lock by oid; the server releases it at the end of the transaction.
            unsafe {
                pg_sys::LockRelationOid(table, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE)
            }
        })
    });
    match locked {
        Ok(()) => true,
        Err(failure) if failure.code == CANCELLED && !has_expired => failure.raise(),
        Err(_) => false,
    }
}

fn try_lock_each(tables: &[pg_sys::Oid]) -> bool {
    tables.iter().all(|table| try_lock_exclusively(*table))
}

/// Whether no other session has a lock on any of the tables. Keeps no lock.
pub fn are_free(tables: &[pg_sys::Oid]) -> bool {
    subtransaction::rolled_back(AssertUnwindSafe(|| try_lock_each(tables)))
        .unwrap_or_else(|failure| failure.raise())
}

/// Takes ACCESS EXCLUSIVE on a partitioned table and on tables below it, as dropping one of these
/// does. Waits for the partitioned table only, 25 ms at most. False without any of the locks.
///
/// The partitioned table comes first: a reader of it holds it already when it locks a partition.
pub fn lock_for_drop(parent: pg_sys::Oid, tables: &[pg_sys::Oid]) -> bool {
    subtransaction::kept_if(|| lock_exclusively(parent) && try_lock_each(tables))
}

/// Takes SHARE UPDATE EXCLUSIVE on a table, as VACUUM does, unless another session maintains it.
/// Never waits.
pub fn try_lock_for_maintenance(table: pg_sys::Oid) -> bool {
    // SAFETY: a lock by oid; the server releases it at the end of the transaction.
    unsafe {
        pg_sys::ConditionalLockRelationOid(
            table,
            pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE,
        )
    }
}

/// Releases the lock of [`try_lock_for_maintenance`].
pub fn unlock_after_maintenance(table: pg_sys::Oid) {
    // SAFETY: releases one lock for each that was taken.
    unsafe {
        pg_sys::UnlockRelationOid(table, pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE)
    };
}

/// Whether a transaction block is open, which holds all locks of this statement beyond its end.
pub fn is_in_transaction_block() -> bool {
    // SAFETY: reads backend-local state.
    unsafe { pg_sys::IsTransactionBlock() }
}
