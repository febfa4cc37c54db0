//! A step of an erasure.

use pgrx::pg_sys;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The work on rows of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Columns are overwritten.
    Anonymise,
    /// The foreign key sets its columns when the parent goes.
    SetNull,
    /// The rows go.
    Delete,
    /// Nothing is done.
    Keep,
}

impl Action {
    /// The word in plans and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymise => "anonymise",
            Self::SetNull => "set null",
            Self::Delete => "delete",
            Self::Keep => "keep",
        }
    }
}

/// Rows of one table that are treated alike.
#[derive(Debug, Clone)]
pub struct Step {
    /// The table.
    pub table: pg_sys::Oid,
    /// The work.
    pub action: Action,
    /// Keys of the rows.
    pub keys: BTreeSet<String>,
    /// The foreign keys and columns that reach them.
    pub by: BTreeSet<String>,
    /// New values by column, of `Anonymise`.
    pub replacements: Map<String, Value>,
}
