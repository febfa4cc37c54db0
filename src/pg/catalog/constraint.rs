//! Reads the keys, references and columns of all tables in one query each.

use crate::error::raise;
use crate::pg::error::ServerError;
use crate::pg::xact::snapshot;
use pgrx::{Spi, pg_sys};
use std::ffi::CStr;

/// A primary key or a foreign key.
pub struct Constraint {
    /// The table that has the constraint.
    pub table: pg_sys::Oid,
    /// The constrained columns (`conkey`).
    pub columns: Vec<i16>,
    /// The referenced table and its columns (`confkey`); `None` for a primary key.
    pub to: Option<(pg_sys::Oid, Vec<i16>)>,
}

/// The primary keys and foreign keys of all tables.
pub fn keys_and_references() -> Vec<Constraint> {
    raise(snapshot::with_latest_snapshot(|| {
        Spi::connect(|client| {
            let mut found = Vec::new();
            let sql = include_str!("../../../sql/catalog/keys_and_references.sql");
            for row in client.select(sql, None, &[])? {
                found.push(Constraint {
                    table: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                    columns: row.get(2)?.unwrap_or_default(),
                    to: row.get::<pg_sys::Oid>(3)?.zip(row.get(4)?),
                });
            }
            Ok::<_, ServerError>(found)
        })
    }))
}

/// The columns of all tables that are unique alone: table and column number.
pub fn unique_columns() -> Vec<(pg_sys::Oid, i16)> {
    raise(snapshot::with_latest_snapshot(|| {
        Spi::connect(|client| {
            let mut found = Vec::new();
            let sql = include_str!("../../../sql/catalog/unique_columns.sql");
            for row in client.select(sql, None, &[])? {
                found.extend(row.get::<pg_sys::Oid>(1)?.zip(row.get::<i16>(2)?));
            }
            Ok::<_, ServerError>(found)
        })
    }))
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
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    raise(snapshot::with_latest_snapshot(|| {
        Spi::connect(|client| {
            let mut found = Vec::new();
            let sql = include_str!("../../../sql/catalog/columns_named.sql");
            for row in client.select(sql, None, &[names.into()])? {
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
            Ok::<_, ServerError>(found)
        })
    }))
}
