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
    /// Rows that are as they were: a trigger or a rule has kept them.
    pub kept: i64,
    /// The time from which the next batch goes on; `None` without one.
    pub last: Option<String>,
    /// Whether no row of the range is left to other batches.
    pub is_complete: bool,
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

/// Changes at most `limit` rows of a range. Rows that others have locked are waited for, or
/// skipped.
pub fn change(
    policy: &Policy,
    clauses: &Clauses,
    range: &Range,
    limit: i64,
    skips_locked: bool,
) -> Result<Batch, pgrx::spi::Error> {
    if !skips_locked && let Some(batch) = change_range(policy, clauses, range, limit)? {
        return Ok(batch);
    }
    let Clauses { relation, alias, time, .. } = clauses;
    let is_due = clauses.is_due();
    let lock =
        if skips_locked { format!(" FOR UPDATE OF {alias} SKIP LOCKED") } else { String::new() };
    let (bound, from, until) = bound(clauses, range, None);
    let order = match range {
        Range::Times(_) => format!(" ORDER BY {time}"),
        Range::Blocks(..) => String::new(),
    };
    let pick = format!(
        "SELECT array_agg(p.row)::text, count(*), max(p.at)::text FROM (SELECT {alias}.ctid \
         AS row, {time} AS at FROM {relation} WHERE {is_due}{bound}{order} LIMIT $5{lock}) AS p"
    );
    let arguments = values(policy, from, until, limit);
    let (rows, picked, last) = connect_mut(|client| {
        let row = client.update(pick.as_str(), Some(1), &arguments)?.first();
        Ok::<_, pgrx::spi::Error>((row.get::<String>(1)?, row.get::<i64>(2)?, row.get(3)?))
    })?;
    let picked = picked.unwrap_or_default();
    let mut batch = Batch { picked, last, is_complete: picked < limit, ..Batch::default() };
    if picked > 0 {
        let condition = format!("{alias}.ctid = ANY ($3::tid[]) AND {is_due}");
        let arguments = values(policy, rows, None, limit);
        (batch.changed, batch.kept) = execute(clauses, &condition, &arguments)?;
    }
    Ok(batch)
}

/// Changes all rows of a range that has at most `limit` of them, which takes one scan; `None` if it
/// may have more.
fn change_range(
    policy: &Policy,
    clauses: &Clauses,
    range: &Range,
    limit: i64,
) -> Result<Option<Batch>, pgrx::spi::Error> {
    let Clauses { relation, time, is_old, .. } = clauses;
    let is_due = clauses.is_due();
    let (condition, from, until) = bound(clauses, range, None);
    let look = match range {
        Range::Times(_) => format!(
            "SELECT p.at::text, NULL::bigint FROM (SELECT {time} AS at FROM {relation} \
             WHERE {is_old}{condition} ORDER BY {time} OFFSET $5 LIMIT 1) AS p"
        ),
        Range::Blocks(..) => {
            format!("SELECT NULL::text, count(*) FROM {relation} WHERE {is_due}{condition}")
        }
    };
    let arguments = values(policy, from.clone(), until, limit);
    let (end, count) = connect_mut(|client| {
        let Some(row) = client.update(look.as_str(), Some(1), &arguments)?.next() else {
            return Ok((None, None));
        };
        Ok::<_, pgrx::spi::Error>((row.get::<String>(1)?, row.get::<i64>(2)?))
    })?;
    let is_complete = end.is_none();
    if count.is_some_and(|count| count > limit) || end.is_some() && end == from {
        return Ok(None);
    }
    if count == Some(0) {
        return Ok(Some(Batch { is_complete, ..Batch::default() }));
    }
    let (condition, from, until) = bound(clauses, range, end.clone());
    let arguments = values(policy, from, until, limit);
    let (changed, kept) = execute(clauses, &format!("{is_due}{condition}"), &arguments)?;
    Ok(Some(Batch { picked: count.unwrap_or(changed), changed, kept, last: end, is_complete }))
}

/// The condition of a range, and the values of `$3` and `$4` in it.
fn bound(
    clauses: &Clauses,
    range: &Range,
    end: Option<String>,
) -> (String, Option<String>, Option<String>) {
    let Clauses { alias, time, time_type, .. } = clauses;
    match range {
        Range::Times(from) => {
            let mut bound = String::new();
            if from.is_some() {
                bound += &format!(" AND {time} >= $3::{time_type}");
            }
            if end.is_some() {
                bound += &format!(" AND {time} < $4::{time_type}");
            }
            (bound, from.clone(), end)
        }
        Range::Blocks(from, until) => (
            format!(" AND {alias}.ctid >= $3::tid AND {alias}.ctid < $4::tid"),
            Some(format!("({from},0)")),
            Some(format!("({until},0)")),
        ),
    }
}

/// The parameters of each statement of a batch.
fn values<'a>(
    policy: &Policy,
    third: Option<String>,
    fourth: Option<String>,
    limit: i64,
) -> [DatumWithOid<'a>; 5] {
    [
        policy.cutoff().into(),
        policy.replacements().into(),
        third.into(),
        fourth.into(),
        limit.into(),
    ]
}

/// Deletes or updates rows. Returns the number of those that were changed, and of those that are
/// as they were.
fn execute(
    clauses: &Clauses,
    condition: &str,
    arguments: &[DatumWithOid<'_>],
) -> Result<(i64, i64), pgrx::spi::Error> {
    let relation = &clauses.relation;
    let sql = match &clauses.assignments {
        Some(assignments) => format!("UPDATE {relation} SET {assignments} WHERE {condition}"),
        None => format!("DELETE FROM {relation} WHERE {condition}"),
    };
    connect_mut(|client| {
        let changed = client.update(sql.as_str(), None, arguments)?.len() as i64;
        if !clauses.may_be_kept {
            return Ok((changed, 0));
        }
        let sql = format!("SELECT count(*) FROM {relation} WHERE {condition}");
        let row = client.update(sql.as_str(), Some(1), arguments)?.first();
        let kept = row.get::<i64>(1)?.unwrap_or_default();
        // A row that a trigger has changed back is due again, though it was updated.
        let in_vain = if clauses.assignments.is_some() { kept } else { 0 };
        Ok(((changed - in_vain).max(0), kept))
    })
}
