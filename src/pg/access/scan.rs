//! Table scans as the server runs them on catalogs: no privileges, no row-level security, no SPI,
//! no transaction id.

use super::datum;
use super::slot;
use super::slot::RowInPlace;
use crate::pg::memory;
use pgrx::pg_sys;
use std::ffi::CStr;

/// The lock that a SELECT takes.
pub(crate) const ACCESS_SHARE: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;

/// A scan of one table. The lock is released when the scan ends.
pub struct TableScan {
    relation: pg_sys::Relation,
    scan: pg_sys::SysScanDesc,
}

impl TableScan {
    /// Starts a scan of the whole table under a snapshot taken now: it sees the latest commits and
    /// this transaction's own changes, even under REPEATABLE READ and in a parallel worker. `None`
    /// if the table was dropped.
    pub fn open(table: pg_sys::Oid) -> Option<Self> {
        Self::open_then(table, || ())
    }

    /// Starts a scan of the whole table under the statement's snapshot; `None` if the table was
    /// dropped.
    pub fn open_for_statement(table: pg_sys::Oid) -> Option<Self> {
        let relation = open_table(table)?;
        // SAFETY: the relation is open and a statement is running, so a snapshot is active.
        unsafe {
            let (none, snapshot) = (std::ptr::null_mut(), pg_sys::GetActiveSnapshot());
            let scan =
                pg_sys::systable_beginscan(relation, pg_sys::InvalidOid, false, snapshot, 0, none);
            Some(Self { relation, scan })
        }
    }

    /// As [`TableScan::open`], and calls `locked` between locking the table and taking the
    /// snapshot. The scan sees all rows whose invalidation arrived before that call; rows of a
    /// later invalidation it may miss.
    pub fn open_then(table: pg_sys::Oid, locked: impl FnOnce()) -> Option<Self> {
        let relation = open_table(table)?;
        locked();
        Some(Self::of_latest(relation))
    }

    /// As [`TableScan::open_then`], but waits at most `patience_ms` for the lock.
    pub fn try_open_then(
        table: pg_sys::Oid,
        patience_ms: i64,
        locked: impl FnOnce(),
    ) -> Attempt<Self> {
        match open_patiently(table, patience_ms) {
            Attempt::Opened(relation) => {
                locked();
                Attempt::Opened(Self::of_latest(relation))
            }
            Attempt::Missing => Attempt::Missing,
            Attempt::Locked => Attempt::Locked,
        }
    }

    fn of_latest(relation: pg_sys::Relation) -> Self {
        // SAFETY: the relation is open; a NULL snapshot requests a new catalog snapshot.
        unsafe {
            let none = std::ptr::null_mut();
            let scan = pg_sys::systable_beginscan(
                relation,
                pg_sys::InvalidOid,
                false,
                none,
                0,
                none.cast(),
            );
            Self { relation, scan }
        }
    }

    /// Number of the column `name`; `None` if it is missing or has another type.
    pub fn column(&self, name: &CStr, type_: pg_sys::Oid) -> Option<i16> {
        // SAFETY: the relation is open, so its descriptor is valid.
        column_number(unsafe { &*(*self.relation).rd_att }, name, type_)
    }

    /// The next row, valid until the next call.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Row<'_>> {
        memory::check();
        // SAFETY: the scan is open; the tuple stays pinned until the next call or the end of the
        // scan.
        unsafe {
            let tuple = pg_sys::systable_getnext(self.scan).as_mut()?;
            Some(Row { tuple, descriptor: &*(*self.relation).rd_att })
        }
    }

    /// The next row, valid until the next call, with all columns decoded at once: cheaper than one
    /// accessor call for each.
    pub fn next_in_place(&mut self) -> Option<RowInPlace<'_>> {
        memory::check();
        // SAFETY: the scan is open; its slot holds the row that it returned last. One guard for
        // both calls; no value in here needs to be dropped.
        unsafe {
            let columns = (*(*self.relation).rd_att).natts;
            let is_found = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let is_found = !unguarded::systable_getnext(self.scan).is_null();
                if is_found {
                    slot::read_columns((*self.scan).slot, columns);
                }
                is_found
            });
            is_found.then(|| RowInPlace::new(&*(*self.scan).slot))
        }
    }
}

copied_for!("pg15" "pg16" "pg17" "pg18": "systable_getnext of access/genam.h");

/// Server functions without pgrx's guard, for calls inside of one guard.
mod unguarded {
    use pgrx::pg_sys::*;

    unsafe extern "C-unwind" {
        pub fn systable_getnext(scan: SysScanDesc) -> HeapTuple;
    }
}

/// A table that was opened for reading, or the reason why not.
pub enum Attempt<T> {
    /// It was opened.
    Opened(T),
    /// It was dropped, or lacks the row or column that was asked for.
    Missing,
    /// Another session kept it locked for longer than the caller would wait.
    Locked,
}

/// Opens and locks a table. Waits at most `patience_ms` for the lock, and in no queue: a reader
/// that gives up was never in the way.
fn open_patiently(table: pg_sys::Oid, patience_ms: i64) -> Attempt<pg_sys::Relation> {
    let deadline = crate::pg::clock::now() + patience_ms * 1_000;
    // SAFETY: the functions take an oid. The lock is taken before the relation is opened.
    unsafe {
        while !pg_sys::ConditionalLockRelationOid(table, ACCESS_SHARE) {
            if crate::pg::clock::now() >= deadline {
                return Attempt::Locked;
            }
            pgrx::check_for_interrupts!();
            pg_sys::pg_usleep(1_000);
        }
        let relation = pg_sys::try_relation_open(table, pg_sys::NoLock as pg_sys::LOCKMODE);
        if relation.is_null() {
            pg_sys::UnlockRelationOid(table, ACCESS_SHARE);
            return Attempt::Missing;
        }
        if (*(*relation).rd_rel).relkind as u8 != pg_sys::RELKIND_RELATION {
            pg_sys::relation_close(relation, ACCESS_SHARE);
            return Attempt::Missing;
        }
        Attempt::Opened(relation)
    }
}

/// Reads the row whose first column, the uuid `name`, is `key`, under the statement's snapshot.
/// Waits at most `patience_ms` for a table that another session has locked.
pub fn read_by_uuid<R>(
    table: pg_sys::Oid,
    name: &CStr,
    key: &[u8; 16],
    patience_ms: i64,
    read: impl FnOnce(&Row<'_>) -> R,
) -> Attempt<R> {
    let relation = match open_patiently(table, patience_ms) {
        Attempt::Opened(relation) => relation,
        Attempt::Missing => return Attempt::Missing,
        Attempt::Locked => return Attempt::Locked,
    };
    // SAFETY: the relation is open. The scan key points to `key`, which this function borrows for
    // longer than the scan lives.
    let mut scan = unsafe {
        if column_number(&*(*relation).rd_att, name, pg_sys::UUIDOID) != Some(1) {
            pg_sys::relation_close(relation, ACCESS_SHARE);
            return Attempt::Missing;
        }
        // Looked up for each call, because REINDEX CONCURRENTLY replaces the index.
        if !(*relation).rd_indexvalid {
            pg_sys::RelationGetIndexList(relation);
        }
        let index = (*relation).rd_pkindex;
        let indexed = starts_with_first_column(index);
        let snapshot = if pg_sys::ActiveSnapshotSet() {
            pg_sys::GetActiveSnapshot()
        } else {
            std::ptr::null_mut()
        };
        let mut scan_key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut scan_key,
            1,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_UUID_EQ),
            pg_sys::Datum::from(key.as_ptr()),
        );
        let scan = pg_sys::systable_beginscan(relation, index, indexed, snapshot, 1, &mut scan_key);
        TableScan { relation, scan }
    };
    match scan.next() {
        Some(row) => Attempt::Opened(read(&row)),
        None => Attempt::Missing,
    }
}

/// Starts a scan of the row of a catalog whose first column, an oid, is `key`, by its index and
/// under a snapshot taken now.
pub fn open_by_oid(
    catalog: pg_sys::Oid,
    index: pg_sys::Oid,
    key: pg_sys::Oid,
) -> Option<TableScan> {
    let relation = open_table(catalog)?;
    // SAFETY: the relation is open; the key is a value, copied by the scan. A NULL snapshot
    // requests a new catalog snapshot.
    unsafe {
        let mut scan_key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut scan_key,
            1,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(key),
        );
        let none = std::ptr::null_mut();
        let scan = pg_sys::systable_beginscan(relation, index, true, none, 1, &mut scan_key);
        Some(TableScan { relation, scan })
    }
}

/// Starts a scan of the rows whose first column, the timestamptz `name`, is at least `since`
/// (microseconds since 2000), under the statement's snapshot. `None` if there is no such table or
/// column.
pub fn open_since(table: pg_sys::Oid, name: &CStr, since: i64) -> Option<TableScan> {
    let relation = open_table(table)?;
    // SAFETY: the relation is open; the key is a value, copied by the scan.
    unsafe {
        if column_number(&*(*relation).rd_att, name, pg_sys::TIMESTAMPTZOID) != Some(1) {
            pg_sys::relation_close(relation, ACCESS_SHARE);
            return None;
        }
        let mut indexes = indexes_of(relation).into_iter();
        let index =
            indexes.find(|index| starts_with_first_column(*index)).unwrap_or(pg_sys::InvalidOid);
        let mut scan_key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut scan_key,
            1,
            pg_sys::BTGreaterEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_TIMESTAMPTZ_GE),
            pg_sys::Datum::from(since as usize),
        );
        let (snapshot, indexed) = (pg_sys::GetActiveSnapshot(), index != pg_sys::InvalidOid);
        let scan = pg_sys::systable_beginscan(relation, index, indexed, snapshot, 1, &mut scan_key);
        Some(TableScan { relation, scan })
    }
}

/// Number of a column; `None` for another type, too, because its bytes would be misread.
pub(crate) fn column_number(
    descriptor: &pg_sys::TupleDescData,
    name: &CStr,
    type_: pg_sys::Oid,
) -> Option<i16> {
    let descriptor = std::ptr::from_ref(descriptor).cast_mut();
    // SAFETY: a valid descriptor and a NUL-terminated name. The type is read for user columns only,
    // whose numbers are positive.
    unsafe {
        let number = pg_sys::SPI_fnumber(descriptor, name.as_ptr());
        (number > 0 && pg_sys::SPI_gettypeid(descriptor, number) == type_).then_some(number as i16)
    }
}

/// Opens and locks a table; `None` if it was dropped or is not an ordinary table.
fn open_table(table: pg_sys::Oid) -> Option<pg_sys::Relation> {
    // SAFETY: try_relation_open returns NULL for a dropped relation; an open one has a valid
    // rd_rel.
    unsafe {
        let relation = pg_sys::try_relation_open(table, ACCESS_SHARE);
        if relation.is_null() {
            return None;
        }
        if (*(*relation).rd_rel).relkind as u8 != pg_sys::RELKIND_RELATION {
            pg_sys::relation_close(relation, ACCESS_SHARE);
            return None;
        }
        Some(relation)
    }
}

/// The owner of a table; `None` if it was dropped.
pub fn owner_of(table: pg_sys::Oid) -> Option<pg_sys::Oid> {
    let relation = open_table(table)?;
    // SAFETY: the relation is open until it is closed here.
    unsafe {
        let owner = (*(*relation).rd_rel).relowner;
        pg_sys::relation_close(relation, ACCESS_SHARE);
        Some(owner)
    }
}

/// The oids of all indexes of a table, also of invalid ones.
///
/// # Safety
/// The relation must be open and locked.
pub(crate) unsafe fn indexes_of(relation: pg_sys::Relation) -> Vec<pg_sys::Oid> {
    // SAFETY: as the caller vouches. The list is NULL or has `length` oids, which live until it is
    // freed.
    unsafe {
        let list = pg_sys::RelationGetIndexList(relation);
        let Some(contents) = list.as_ref() else { return Vec::new() };
        let oids =
            (0..contents.length as usize).map(|i| (*contents.elements.add(i)).oid_value).collect();
        pg_sys::list_free(list);
        oids
    }
}

/// Whether an index is a B-tree whose first column is the first column of its table.
fn starts_with_first_column(index: pg_sys::Oid) -> bool {
    if index == pg_sys::InvalidOid {
        return false;
    }
    // SAFETY: the table is locked, so the index that its relation cache entry names exists; every
    // index has a column.
    unsafe {
        let index = pg_sys::index_open(index, ACCESS_SHARE);
        let definition = &*(*index).rd_index;
        let is_usable = definition.indkey.values.as_slice(1)[0] == 1
            && definition.indisvalid
            && (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID
            && pg_sys::RelationGetIndexPredicate(index).is_null();
        pg_sys::index_close(index, ACCESS_SHARE);
        is_usable
    }
}

impl Drop for TableScan {
    fn drop(&mut self) {
        // While an error unwinds, the server releases snapshot, pin and lock.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: both were opened by the constructor and are closed only here.
        unsafe {
            pg_sys::systable_endscan(self.scan);
            pg_sys::relation_close(self.relation, ACCESS_SHARE);
        }
    }
}

/// A row of a [`TableScan`]. Each accessor returns `None` for NULL and for a missing column.
pub struct Row<'a> {
    tuple: &'a mut pg_sys::HeapTupleData,
    descriptor: &'a pg_sys::TupleDescData,
}

impl Row<'_> {
    /// Number of the column `name`; `None` if it is missing or has another type.
    pub fn column(&self, name: &CStr, type_: pg_sys::Oid) -> Option<i16> {
        column_number(self.descriptor, name, type_)
    }

    /// Pointer to the fixed part, which for a catalog is one of the server's structs.
    pub(crate) fn as_struct<T>(&self) -> *const T {
        // SAFETY: the tuple is valid as long as the row.
        unsafe { pg_sys::GETSTRUCT(std::ptr::from_ref(self.tuple).cast_mut()).cast() }
    }

    /// The tuple and its descriptor for functions of the server, which must not change them.
    pub(crate) fn parts(&self) -> (pg_sys::HeapTuple, pg_sys::TupleDesc) {
        let tuple = std::ptr::from_ref(&*self.tuple).cast_mut();
        (tuple, std::ptr::from_ref(self.descriptor).cast_mut())
    }

    fn datum(&self, column: i16) -> Option<pg_sys::Datum> {
        if column < 1 || i32::from(column) > self.descriptor.natts {
            return None;
        }
        let mut is_null = false;
        // SAFETY: the column exists in this descriptor, which describes this tuple.
        let datum = unsafe {
            pg_sys::heap_getattr(
                std::ptr::from_ref(self.tuple).cast_mut(),
                i32::from(column),
                std::ptr::from_ref(self.descriptor).cast_mut(),
                &mut is_null,
            )
        };
        (!is_null).then_some(datum)
    }

    /// Value of a boolean column.
    pub fn boolean(&self, column: i16) -> Option<bool> {
        self.datum(column).map(|d| d.value() as u8 != 0)
    }

    /// Value of an int4 or "char" column.
    pub fn integer(&self, column: i16) -> Option<i32> {
        self.datum(column).map(|d| d.value() as i32)
    }

    /// Value of an int8 or timestamptz column.
    pub fn int8(&self, column: i16) -> Option<i64> {
        self.datum(column).map(|d| d.value() as i64)
    }

    /// Calls `work` with the bytes of a column of variable length; only a compressed or external
    /// value is copied.
    pub fn with_bytes<R>(&self, column: i16, work: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // SAFETY: the caller names a column of variable length; the tuple is valid as long as the
        // row.
        self.datum(column).map(|d| unsafe { datum::with_varlena(d, work) })
    }

    /// Value of an oid column.
    pub fn oid(&self, column: i16) -> Option<pg_sys::Oid> {
        self.datum(column).map(|d| pg_sys::Oid::from(d.value() as u32))
    }

    /// Bytes of a text column, in the encoding of the database.
    pub fn text(&self, column: i16) -> Option<Vec<u8>> {
        // SAFETY: the caller names a text column.
        self.datum(column).map(|d| unsafe { datum::varlena_bytes(d) })
    }

    /// Elements of a text[] column, without NULLs.
    pub fn text_array(&self, column: i16) -> Option<Vec<Vec<u8>>> {
        // SAFETY: the caller names a text[] column, so the elements are text.
        self.datum(column).map(|d| unsafe {
            datum::array_elements(d, datum::ElementType::Text)
                .into_iter()
                .map(|e| datum::varlena_bytes(e))
                .collect()
        })
    }

    /// Whether an array column has no elements. NULLs are elements, too.
    pub fn is_empty_array(&self, column: i16) -> Option<bool> {
        // SAFETY: the caller names an array column. An array without elements has no dimensions.
        self.datum(column).map(|d| unsafe {
            (*pg_sys::pg_detoast_datum(d.cast_mut_ptr()).cast::<pg_sys::ArrayType>()).ndim == 0
        })
    }

    /// Value of a uuid column.
    pub fn uuid(&self, column: i16) -> Option<[u8; 16]> {
        // SAFETY: the caller names a uuid column.
        self.datum(column).map(|d| unsafe { datum::uuid_bytes(d) })
    }

    /// Text of a jsonb column.
    pub fn json(&self, column: i16) -> Option<String> {
        // SAFETY: the caller names a jsonb column; the function returns a NUL-terminated string.
        self.datum(column).and_then(|d| unsafe {
            let text = pgrx::direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(d)])?;
            Some(CStr::from_ptr(text.cast_mut_ptr()).to_string_lossy().into_owned())
        })
    }

    /// Elements of a uuid[] column, without NULLs.
    pub fn uuid_array(&self, column: i16) -> Option<Vec<[u8; 16]>> {
        // SAFETY: the caller names a uuid[] column, so the elements are uuids.
        self.datum(column).map(|d| unsafe {
            datum::array_elements(d, datum::ElementType::Uuid)
                .into_iter()
                .map(|e| datum::uuid_bytes(e))
                .collect()
        })
    }
}
