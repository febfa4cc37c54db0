//! The partitions of a table.

use crate::pg::access::scan;
use crate::pg::xact::{subtransaction, timeout};
use pgrx::{PgSqlErrorCode, pg_sys};

/// A partition that holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its oid.
    pub table: pg_sys::Oid,
    /// Where its range ends, in microseconds since 2000; `None` for the default partition and one without an end.
    pub end: Option<i64>,
    /// Whether it is the default partition.
    pub is_default: bool,
}

/// The partitions of a table partitioned by ranges of a timestamptz, in their order, the default one last. The table stays locked
/// (ACCESS SHARE) until the transaction ends, as for a query; nothing can be detached meanwhile.
pub fn partitions(parent: pg_sys::Oid) -> Vec<Partition> {
    // SAFETY: the lock keeps the descriptor valid; it is read before the relation is closed. Index arrays have `nindexes` entries,
    // bounds `ndatums`, one column each.
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
        let mut partitions: Vec<Partition> = ranges(descriptor).map(|(_, partition)| partition).collect();
        if let Some(bounds) = descriptor.boundinfo.as_ref().filter(|bounds| bounds.default_index >= 0) {
            let table = *descriptor.oids.add(bounds.default_index as usize);
            partitions.push(Partition { table, end: None, is_default: true });
        }
        pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        partitions
    }
}

/// The ranges of a table's partitions, as far as they have a beginning (in microseconds since 2000), in their order.
///
/// # Safety
/// The descriptor must be of a table partitioned by ranges of one timestamptz, and stay valid.
unsafe fn ranges(descriptor: &pg_sys::PartitionDescData) -> impl Iterator<Item = (Option<i64>, Partition)> {
    // SAFETY: index arrays have `nindexes` entries, bounds `ndatums`, one column each.
    unsafe {
        let is_range = |bounds: &&pg_sys::PartitionBoundInfoData| bounds.strategy as u8 == b'r';
        descriptor.boundinfo.as_ref().filter(is_range).into_iter().flat_map(move |bounds| {
            let bound = |i: usize| {
                let is_value = i < bounds.ndatums as usize
                    && **bounds.kind.add(i) == pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE;
                is_value.then(|| (**bounds.datums.add(i)).value() as i64)
            };
            (0..bounds.nindexes.max(0) as usize).filter_map(move |i| {
                let index = usize::try_from(*bounds.indexes.add(i)).ok()?;
                let partition = Partition { table: *descriptor.oids.add(index), end: bound(i), is_default: false };
                Some((i.checked_sub(1).and_then(bound), partition))
            })
        })
    }
}

/// The partition whose range, with a beginning and an end, holds a time; `None` also while one is being detached.
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

/// Locks a table as for DROP or ATTACH, if nobody is using it. Never waits.
pub fn try_lock_exclusively(table: pg_sys::Oid) -> bool {
    // SAFETY: a lock by oid; the server releases it at the end of the transaction.
    unsafe { pg_sys::ConditionalLockRelationOid(table, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) }
}

/// How long others may have to wait behind somebody who waits for a table of their own, in milliseconds.
const PATIENCE: i32 = 200;

/// Locks a table as for DROP, waiting no longer than 0.2 s: others wait behind it meanwhile.
pub fn lock_exclusively(table: pg_sys::Oid) -> bool {
    const CANCELLED: PgSqlErrorCode = PgSqlErrorCode::ERRCODE_QUERY_CANCELED;
    let (locked, has_expired) = timeout::with_timeout(PATIENCE, || {
        subtransaction::catching(&[PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, CANCELLED], || {
            // SAFETY: a lock by oid; the server releases it at the end of the transaction.
            unsafe { pg_sys::LockRelationOid(table, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) }
        })
    });
    match locked {
        Ok(()) => true,
        Err(failure) if failure.code == CANCELLED && !has_expired => failure.raise(),
        Err(_) => false,
    }
}

/// Locks a table as VACUUM does, if nobody else maintains it. Never waits.
pub fn try_lock_for_maintenance(table: pg_sys::Oid) -> bool {
    // SAFETY: a lock by oid; the server releases it at the end of the transaction.
    unsafe { pg_sys::ConditionalLockRelationOid(table, pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE) }
}

/// Takes [`try_lock_for_maintenance`] back.
pub fn unlock_after_maintenance(table: pg_sys::Oid) {
    // SAFETY: as often as it was locked.
    unsafe { pg_sys::UnlockRelationOid(table, pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE) };
}

/// Whether the user's own transaction goes on after this statement, and with it every lock that it takes.
pub fn is_in_transaction_block() -> bool {
    // SAFETY: reads backend-local state.
    unsafe { pg_sys::IsTransactionBlock() }
}
