//! The conditions of a policy as SQL. Preview and run take them from here, so both see the same
//! rows as expired, held and due.

use super::error::RetentionError;
use super::policy::{Action, Policy};
use crate::pg::fmgr::spi;
use pgrx::prelude::*;

/// Parts of statements on one table. `$1` is the cutoff, `$2` the replacements.
#[derive(Debug, Clone)]
pub struct Clauses {
    /// The table with its alias, as FROM, UPDATE and DELETE take it.
    pub relation: String,
    /// The alias: the name of the policy's table, by which the hold may call it.
    pub alias: String,
    /// The time column.
    pub time: String,
    /// The type of the time column.
    pub time_type: String,
    /// The assignments of an UPDATE; `None` for a deletion.
    pub assignments: Option<String>,
    /// Whether a row is older than the cutoff.
    pub is_old: String,
    /// Whether the hold lets a row go. A hold that is NULL holds.
    pub is_released: String,
    /// Whether the action would change a row that is old and released.
    pub is_open: String,
    /// Whether a trigger or a rule of the table may keep rows as they are.
    pub may_be_kept: bool,
}

impl Clauses {
    /// The clauses for a table that holds rows of the policy's table. Reads catalogs only.
    pub fn read(
        policy: &Policy,
        target: pg_sys::Oid,
        table: pg_sys::Oid,
    ) -> Result<Self, RetentionError> {
        let sql = include_str!("../../../sql/maintenance/retention_clauses.sql");
        let arguments = [
            table.into(),
            target.into(),
            policy.time_column.clone().into(),
            policy.replacements().into(),
        ];
        let (relation, alias, time, time_type, cutoff, unreferenced, differs, rest) =
            spi::select_kept(sql, &arguments, |mut rows| {
                let Some(row) = rows.next() else {
                    return Err(RetentionError::UnknownTable(policy.target.clone()));
                };
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let rest = (row.get::<String>(8)?, row.get::<bool>(9)?.unwrap_or(true));
                Ok((text(1)?, text(2)?, text(3)?, text(4)?, text(5)?, text(6)?, text(7)?, rest))
            })?;
        Ok(Self {
            is_old: format!("{time} > '-infinity' AND {time} < {cutoff}"),
            is_released: is_released(policy.hold.as_deref()),
            is_open: match policy.action {
                Action::Delete => unreferenced,
                Action::Anonymise => differs,
                Action::Drop => "true".to_owned(),
            },
            relation,
            alias,
            time,
            time_type,
            assignments: rest.0,
            may_be_kept: rest.1,
        })
    }

    /// The rows that a run changes.
    pub fn is_due(&self) -> String {
        format!("{} AND {} AND {}", self.is_old, self.is_released, self.is_open)
    }
}

/// The condition of a hold. The line break ends a comment at the end of the hold.
fn is_released(hold: Option<&str>) -> String {
    hold.map_or_else(|| "true".to_owned(), |hold| format!("((\n{hold}\n)) IS FALSE"))
}
