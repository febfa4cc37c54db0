//! All of pg_class, or of pg_index, read at once and without the executor, which for tens of thousands of rows takes several times as long.

use crate::pg::access::scan::TableScan;
use pgrx::{PgMemoryContexts, pg_sys};

/// What of a row of pg_class most looks at it want.
pub struct Relation {
    /// Its oid.
    pub oid: pg_sys::Oid,
    /// `relkind`.
    pub kind: u8,
    /// Whether only one session knows it.
    pub is_temporary: bool,
    /// `relpages`: as of its last vacuum or analyze.
    pub pages: i32,
    /// Whether all databases share it.
    pub is_shared: bool,
}

/// Calls `look` for each relation of this database, those that no session's statement can see yet left out.
pub fn each(mut look: impl FnMut(&Relation)) {
    let Some(mut scan) = TableScan::open_for_statement(pg_sys::RelationRelationId) else { return };
    while let Some(row) = scan.next() {
        // SAFETY: a row of pg_class begins with what the server's own struct has.
        let class = unsafe { &*row.as_struct::<pg_sys::FormData_pg_class>() };
        look(&Relation {
            oid: class.oid,
            kind: class.relkind as u8,
            is_temporary: class.relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP,
            pages: class.relpages,
            is_shared: class.relisshared,
        });
    }
}

/// The indexes that no query may use.
pub fn invalid_indexes() -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    let Some(mut scan) = TableScan::open_for_statement(pg_sys::IndexRelationId) else { return found };
    while let Some(row) = scan.next() {
        // SAFETY: a row of pg_index begins with what the server's own struct has; what follows `indisvalid` may be missing, and is not read.
        let (index, is_valid) = unsafe {
            let row = row.as_struct::<pg_sys::FormData_pg_index>();
            ((*row).indexrelid, (*row).indisvalid)
        };
        if !is_valid {
            found.push(index);
        }
    }
    found
}

/// Reads the statistics of tables one after the other.
pub struct TableStatistics(PgMemoryContexts);

impl Default for TableStatistics {
    fn default() -> Self {
        Self(PgMemoryContexts::new("crewsnow_ops statistics"))
    }
}

impl TableStatistics {
    /// How many rows of a table are dead, and how many were inserted since its last vacuum: of each 0 where nothing was counted.
    pub fn dead_and_inserted(&mut self, relation: &Relation) -> (i64, i64) {
        // SAFETY: the entry is a copy in this context, or the server's own for this transaction; it is read before the context is emptied.
        unsafe {
            let counted = self.0.switch_to(|_| {
                let entry = pg_sys::pgstat_fetch_stat_tabentry_ext(relation.is_shared, relation.oid).as_ref();
                #[cfg(feature = "pg15")]
                let counted = entry.map(|entry| (entry.n_dead_tuples, entry.inserts_since_vacuum));
                #[cfg(not(feature = "pg15"))]
                let counted = entry.map(|entry| (entry.dead_tuples, entry.ins_since_vacuum));
                counted
            });
            self.0.reset();
            counted.unwrap_or_default()
        }
    }
}
