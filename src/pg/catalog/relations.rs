//! Reads pg_class and pg_index as a whole, without the executor: with tens of thousands of
//! relations a query takes several times as long. crewsnow_ops.direct_catalog_scans = off runs that
//! query.

use crate::pg::access::scan::TableScan;
use crate::pg::error::ServerError;
use crate::settings;
use pgrx::{PgMemoryContexts, Spi, pg_sys};

/// The columns of a pg_class row that checks use.
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: pg_sys::Oid,
    /// `relkind`.
    pub kind: u8,
    /// Whether only one session sees it.
    pub is_temporary: bool,
    /// `relpages`: 8 kB blocks at the last vacuum or analyze; -1 if there was none.
    pub pages: i32,
    /// Whether it is a shared catalog.
    pub is_shared: bool,
}

/// Visits each relation of this database that the statement's snapshot sees.
pub fn each(mut visit: impl FnMut(&Relation)) -> Result<(), ServerError> {
    if !settings::direct_catalog_scans() {
        return each_by_query(visit);
    }
    let Some(mut scan) = TableScan::open_for_statement(pg_sys::RelationRelationId) else {
        return Ok(());
    };
    while let Some(row) = scan.next() {
        // SAFETY: a row of pg_class begins with this struct.
        let class = unsafe { &*row.as_struct::<pg_sys::FormData_pg_class>() };
        visit(&Relation {
            oid: class.oid,
            kind: class.relkind as u8,
            is_temporary: class.relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP,
            pages: class.relpages,
            is_shared: class.relisshared,
        });
    }
    Ok(())
}

fn each_by_query(mut visit: impl FnMut(&Relation)) -> Result<(), ServerError> {
    Spi::connect(|client| {
        for row in client.select(include_str!("../../../sql/catalog/relations.sql"), None, &[])? {
            visit(&Relation {
                oid: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                kind: row.get::<&str>(2)?.and_then(|kind| kind.bytes().next()).unwrap_or_default(),
                is_temporary: row.get(3)?.unwrap_or_default(),
                pages: row.get(4)?.unwrap_or_default(),
                is_shared: row.get(5)?.unwrap_or_default(),
            });
        }
        Ok(())
    })
}

/// The indexes with `indisvalid` off, which no query may use.
pub fn invalid_indexes() -> Result<Vec<pg_sys::Oid>, ServerError> {
    if !settings::direct_catalog_scans() {
        return invalid_indexes_by_query();
    }
    let mut found = Vec::new();
    let Some(mut scan) = TableScan::open_for_statement(pg_sys::IndexRelationId) else {
        return Ok(found);
    };
    while let Some(row) = scan.next() {
        // SAFETY: a row of pg_index begins with this struct. The columns behind `indisvalid` may be
        // missing and are not read.
        let (index, is_valid) = unsafe {
            let row = row.as_struct::<pg_sys::FormData_pg_index>();
            ((*row).indexrelid, (*row).indisvalid)
        };
        if !is_valid {
            found.push(index);
        }
    }
    Ok(found)
}

fn invalid_indexes_by_query() -> Result<Vec<pg_sys::Oid>, ServerError> {
    Spi::connect(|client| {
        let mut found = Vec::new();
        for row in
            client.select(include_str!("../../../sql/catalog/invalid_indexes.sql"), None, &[])?
        {
            found.extend(row.get::<pg_sys::Oid>(1)?);
        }
        Ok(found)
    })
}

/// Reads the cumulative statistics of tables, in a memory context of its own.
pub struct TableStatistics(PgMemoryContexts);

impl Default for TableStatistics {
    fn default() -> Self {
        Self(PgMemoryContexts::new("crewsnow_ops statistics"))
    }
}

impl TableStatistics {
    /// The number of dead rows, and of rows inserted since the last vacuum; 0 without statistics.
    pub fn dead_and_inserted(&mut self, relation: &Relation) -> (i64, i64) {
        // SAFETY: the entry is a copy in this context, or the server's own for this transaction; it
        // is read before the context is reset.
        unsafe {
            let counted = self.0.switch_to(|_| {
                let entry =
                    pg_sys::pgstat_fetch_stat_tabentry_ext(relation.is_shared, relation.oid)
                        .as_ref();
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
