//! Identifies the rows that a probe looks for, finds or composes.

use pgrx::pg_sys;

/// Physical address of a row: oid of its table or partition, and its ctid.
pub type RowId = (pg_sys::Oid, pg_sys::Datum);

/// A column of a composed row: number, type and value; `None` is NULL.
pub type ColumnValue = (i16, pg_sys::Oid, Option<pg_sys::Datum>);

/// The rows of a table that a probe is restricted to.
#[derive(Clone, Copy)]
pub enum RowScope<'a> {
    /// All rows.
    Any,
    /// Foreign rows: they have an owner, and no owner column names the identity.
    Foreign,
    /// Foreign rows whose first owner column names one of these users.
    OwnedBy(&'a [String]),
    /// Rows in which this owner column (index in `Table::owners`) names the identity.
    Own(usize),
    /// One row.
    At(RowId),
}
