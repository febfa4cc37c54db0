//! Keys, references and columns of all tables, each read from the catalog in one go.

use crate::pg::access::scan::TableScan;
use crate::pg::memory;
use pgrx::pg_sys;
use std::ffi::CStr;

copied_for!("pg15" "pg16" "pg17" "pg18": "oid of pg_constraint");

/// The catalog's oid, which pgrx leaves out.
const PG_CONSTRAINT: u32 = 2606;

/// A primary key, or a reference to another table.
pub struct Constraint {
    /// Of which table.
    pub table: pg_sys::Oid,
    /// Of which columns.
    pub columns: Vec<i16>,
    /// To which columns of which table, if it is a reference.
    pub to: Option<(pg_sys::Oid, Vec<i16>)>,
    /// Whether it is a partition's, made for one of the whole table.
    pub is_of_partition: bool,
}

/// The primary keys and references of all tables.
pub fn keys_and_references() -> Vec<Constraint> {
    // Arrays are copied to be read.
    memory::in_temporary_context(read)
}

fn read() -> Vec<Constraint> {
    let mut found = Vec::new();
    let Some(mut rows) = TableScan::open(pg_sys::Oid::from(PG_CONSTRAINT)) else { return found };
    let oid = |name: &CStr| rows.column(name, pg_sys::OIDOID);
    let numbers = |name: &CStr| rows.column(name, pg_sys::INT2ARRAYOID);
    let (Some(kind), Some(table), Some(columns), Some(to), Some(to_columns), Some(whole)) = (
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
        let (Some(table), Some(columns)) = (row.oid(table), row.int2_array(columns)) else { continue };
        found.push(Constraint {
            table,
            columns,
            to: if is_reference { row.oid(to).zip(row.int2_array(to_columns)) } else { None },
            is_of_partition: row.oid(whole).is_some_and(|whole| whole != pg_sys::InvalidOid),
        });
    }
    found
}

/// A column by its name.
pub struct Column {
    /// Of which table.
    pub table: pg_sys::Oid,
    /// Its number.
    pub number: i16,
    /// Its type.
    pub type_: pg_sys::Oid,
    /// The place of its name among those asked for.
    pub place: usize,
}

/// The columns of all relations that have one of these names.
pub fn columns_called(names: &[&CStr]) -> Vec<Column> {
    let mut found = Vec::new();
    let Some(mut rows) = TableScan::open(pg_sys::AttributeRelationId) else { return found };
    while let Some(row) = rows.next() {
        // SAFETY: the rows of pg_attribute begin with this struct, whose name is NUL-terminated.
        let (column, name) = unsafe {
            let column = &*row.as_struct::<pg_sys::FormData_pg_attribute>();
            (column, CStr::from_ptr(column.attname.data.as_ptr()))
        };
        if let Some(place) = names.iter().position(|known| *known == name)
            && !column.attisdropped
        {
            found.push(Column { table: column.attrelid, number: column.attnum, type_: column.atttypid, place });
        }
    }
    found
}
