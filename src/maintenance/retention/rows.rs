//! The statements of a batch: picks expired rows of one table, changes them, and looks whether they
//! are gone. They run as the role of the policy.

use super::clauses::Clauses;
use super::policy::Policy;
use crate::pg::fmgr::spi::connect_mut;
use crate::pg::xact::sec_context::as_restricted_role;
use crate::pg::xact::{notices, session_settings};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;

/// The part of a table in which a batch looks.
#[derive(Debug, Clone)]
pub enum Range {
    /// In the order of the time column, from this time on; `None` for the beginning.
    Times(Option<String>),
    /// Blocks, from the first to before the second.
    Blocks(i64, i64),
}

/// The effect of a batch.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Rows that were to be changed.
    pub picked: i64,
    /// Rows that were changed.
    pub changed: i64,
    /// Rows that are as they were: a trigger has kept them.
    pub kept: i64,
    /// The time of the last row, in the order of the time column; `None` without one.
    pub last: Option<String>,
}

/// Settings in which user code runs. Row-level security raises an error where it would hide rows.
const SETTINGS: [(&std::ffi::CStr, &std::ffi::CStr); 4] = [
    (c"row_security", c"off"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"TimeZone", c"UTC"),
    (c"DateStyle", c"ISO"),
];

/// Runs the SQL of a policy as a role: confined, and without messages, which may quote rows.
pub fn as_policy_role<R>(role: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    notices::withheld(|| {
        as_restricted_role(role, || session_settings::with_settings(&SETTINGS, work))
    })
}

/// Changes at most `limit` rows.
pub fn change(
    policy: &Policy,
    clauses: &Clauses,
    range: &Range,
    limit: i64,
    skips_locked: bool,
) -> Result<Batch, pgrx::spi::Error> {
    let Clauses { relation, alias, time, .. } = clauses;
    let is_due = clauses.is_due();
    let values = |third: Option<String>| -> [DatumWithOid<'_>; 3] {
        [policy.cutoff().into(), policy.replacements().into(), third.into()]
    };
    let lock =
        if skips_locked { format!(" FOR UPDATE OF {alias} SKIP LOCKED") } else { String::new() };
    let (bound, order, third, fifth) = match range {
        Range::Times(None) => (String::new(), format!(" ORDER BY {time}"), None, None),
        Range::Times(Some(after)) => (
            format!(" AND {time} >= $3::{}", clauses.time_type),
            format!(" ORDER BY {time}"),
            Some(after.clone()),
            None,
        ),
        Range::Blocks(from, until) => (
            format!(" AND {alias}.ctid >= $3::tid AND {alias}.ctid < $5::tid"),
            String::new(),
            Some(format!("({from},0)")),
            Some(format!("({until},0)")),
        ),
    };
    let pick = format!(
        "SELECT array_agg(p.row)::text, count(*), max(p.at)::text FROM (SELECT {alias}.ctid AS row, \
         {time} AS at FROM {relation} WHERE {is_due}{bound}{order} LIMIT $4{lock}) AS p"
    );
    let in_rows = format!("{alias}.ctid = ANY ($3::tid[]) AND {is_due}");
    connect_mut(|client| {
        let [cutoff, replacements, third] = values(third);
        let arguments = [cutoff, replacements, third, limit.into(), fifth.into()];
        let row = client.update(pick.as_str(), Some(1), &arguments)?.first();
        let (rows, picked) = (row.get::<String>(1)?, row.get::<i64>(2)?.unwrap_or_default());
        let mut batch = Batch { picked, last: row.get(3)?, ..Batch::default() };
        if picked == 0 {
            return Ok(batch);
        }
        if let Some(assignments) = &clauses.assignments {
            let sql = format!(
                "WITH changed AS (UPDATE {relation} SET {assignments} WHERE {in_rows} \
                 RETURNING {is_due} AS is_due) \
                 SELECT count(*), count(*) FILTER (WHERE is_due) FROM changed"
            );
            let row = client.update(sql.as_str(), Some(1), &values(rows.clone()))?.first();
            batch.changed = row.get(1)?.unwrap_or_default();
            batch.kept = row.get(2)?.unwrap_or_default();
        } else {
            let sql = format!("DELETE FROM {relation} WHERE {in_rows}");
            batch.changed = client.update(sql.as_str(), None, &values(rows.clone()))?.len() as i64;
        }
        if batch.changed < picked {
            // Others may have changed them meanwhile. Rows that are still due were kept.
            let sql = format!("SELECT count(*) FROM {relation} WHERE {in_rows}");
            let row = client.update(sql.as_str(), Some(1), &values(rows))?.first();
            batch.kept += row.get::<i64>(1)?.unwrap_or_default();
        }
        Ok(batch)
    })
}
