//! Reads the keys, references and columns of all tables in one pass over the catalog.
//! crewsnow_ops.direct_catalog_scans = off runs queries instead.

use crate::error::raise;
use crate::pg::access::scan::TableScan;
use crate::pg::error::ServerError;
use crate::pg::memory;
use crate::pg::xact::snapshot;
use crate::settings;
use pgrx::{Spi, pg_sys};
use std::ffi::CStr;

copied_for!("pg15" "pg16" "pg17" "pg18": "oid of pg_constraint");

/// Fixed oid of pg_constraint, which pgrx does not declare.
const PG_CONSTRAINT: u32 = 2606;

/// A primary key or a foreign key.
pub struct Constraint {
    /// The table that has the constraint.
    pub table: pg_sys::Oid,
    /// The constrained columns (`conkey`).
    pub columns: Vec<i16>,
    /// The referenced table and its columns (`confkey`); `None` for a primary key.
    pub to: Option<(pg_sys::Oid, Vec<i16>)>,
    /// Whether it is inherited from a constraint of the partitioned table.
    pub is_of_partition: bool,
}

/// The primary keys and foreign keys of all tables.
pub fn keys_and_references() -> Vec<Constraint> {
    if !settings::direct_catalog_scans() {
        return raise(snapshot::with_latest_snapshot(keys_and_references_by_query));
    }
    // Each array is detoasted into a copy.
    memory::in_temporary_context(scan_constraints)
}

fn scan_constraints() -> Vec<Constraint> {
    let mut found = Vec::new();
    let Some(mut rows) = TableScan::open(pg_sys::Oid::from(PG_CONSTRAINT)) else { return found };
    let oid = |name: &CStr| rows.column(name, pg_sys::OIDOID);
    let numbers = |name: &CStr| rows.column(name, pg_sys::INT2ARRAYOID);
    let (Some(kind), Some(table), Some(columns), Some(to), Some(to_columns), Some(parent)) = (
        rows.column(c"contype", pg_sys::CHAROID),
        oid(c"conrelid"),
        numbers(c"conkey"),
        oid(c"confrelid"),
        numbers(c"confkey"),
        oid(c"conparentid"),
    ) else {
        return found;
    };
    while let Some(row) = rows.next() {
        let is_reference = match row.integer(kind).map(|kind| kind as u8) {
            Some(b'p') => false,
            Some(b'f') => true,
            _ => continue,
        };
        let (Some(table), Some(columns)) = (row.oid(table), row.int2_array(columns)) else {
            continue;
        };
        found.push(Constraint {
            table,
            columns,
            to: if is_reference { row.oid(to).zip(row.int2_array(to_columns)) } else { None },
            is_of_partition: row.oid(parent).is_some_and(|parent| parent != pg_sys::InvalidOid),
        });
    }
    found
}

fn keys_and_references_by_query() -> Result<Vec<Constraint>, ServerError> {
    Spi::connect(|client| {
        let mut found = Vec::new();
        for row in client.select(
            include_str!("../../../sql/catalog/keys_and_references.sql"),
            None,
            &[],
        )? {
            found.push(Constraint {
                table: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                columns: row.get(2)?.unwrap_or_default(),
                to: row.get::<pg_sys::Oid>(3)?.zip(row.get(4)?),
                is_of_partition: row.get(5)?.unwrap_or_default(),
            });
        }
        Ok(found)
    })
}

/// A column found by its name.
pub struct Column {
    /// The relation that has the column.
    pub table: pg_sys::Oid,
    /// `attnum`.
    pub number: i16,
    /// The oid of its type.
    pub type_: pg_sys::Oid,
    /// Index of its name in the list of names.
    pub place: usize,
}

/// The columns of all relations with one of these names.
pub fn columns_called(names: &[&CStr]) -> Vec<Column> {
    if !settings::direct_catalog_scans() {
        return raise(snapshot::with_latest_snapshot(|| columns_by_query(names)));
    }
    let mut found = Vec::new();
    let Some(mut rows) = TableScan::open(pg_sys::AttributeRelationId) else { return found };
    while let Some(row) = rows.next() {
        // SAFETY: a row of pg_attribute begins with this struct, whose name is NUL-terminated.
        let (column, name) = unsafe {
            let column = &*row.as_struct::<pg_sys::FormData_pg_attribute>();
            (column, CStr::from_ptr(column.attname.data.as_ptr()))
        };
        if let Some(place) = names.iter().position(|known| *known == name)
            && !column.attisdropped
        {
            found.push(Column {
                table: column.attrelid,
                number: column.attnum,
                type_: column.atttypid,
                place,
            });
        }
    }
    found
}

fn columns_by_query(names: &[&CStr]) -> Result<Vec<Column>, ServerError> {
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    Spi::connect(|client| {
        let mut found = Vec::new();
        for row in client.select(
            include_str!("../../../sql/catalog/columns_named.sql"),
            None,
            &[names.into()],
        )? {
            found.push(Column {
                table: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                number: row.get(2)?.unwrap_or_default(),
                type_: row.get(3)?.unwrap_or(pg_sys::InvalidOid),
                place: row
                    .get::<i32>(4)?
                    .and_then(|place| usize::try_from(place).ok())
                    .unwrap_or_default(),
            });
        }
        Ok(found)
    })
}
