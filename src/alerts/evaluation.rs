//! One evaluation of a rule's query: read-only, as the rule's role, and undone.
//!
//! A fault of the rule is a value, never an error of the caller. Interrupts of the caller are
//! passed on.

use super::error::AlertError;
use super::rule::Rule;
use crate::error::SqlError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::rewrite::statement::objects_named;
use crate::pg::xact::error_position::with_position;
use crate::pg::xact::sec_context::sandboxed;
use crate::pg::xact::sqlstate;
use crate::pg::xact::subtransaction::{Failure, isolated, try_in_subxact};
use crate::pg::xact::{snapshot, timeout};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

/// A function that catches each cancel ends its session so long after the time limit, in
/// milliseconds.
const GRACE: i64 = 5_000;
/// The longest subject, in characters.
const MAX_SUBJECT: usize = 1_000;
/// Characters that are kept of a message.
const MAX_MESSAGE: usize = 4_000;

/// Settings of an evaluation. With row_security off, a query that policies would filter fails.
const SETTINGS: [(&CStr, &CStr); 6] = [
    (c"transaction_read_only", c"on"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"row_security", c"off"),
    (c"lock_timeout", c"1s"),
    (c"max_parallel_workers_per_gather", c"0"),
    (c"jit", c"off"),
];

/// A row of the query.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The subject.
    pub subject: String,
    /// The value.
    pub value: Option<f64>,
    /// Its samples.
    pub samples: Option<i64>,
    /// The message.
    pub message: Option<String>,
}

/// A fault of the rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failed {
    /// The query was stopped.
    #[error("57014: stopped after {0} ms, its time limit")]
    TimedOut(i32),
    /// The query returned more rows than the rule allows.
    #[error("54000: more than {0} subjects")]
    TooManyRows(i64),
    /// Two rows have the same subject.
    #[error("21000: two rows for one subject")]
    Duplicate,
    /// A row has no subject.
    #[error("22004: a subject is NULL")]
    NullSubject,
    /// A subject is too long.
    #[error("22001: a subject has more than 1000 characters")]
    LongSubject,
    /// The query cannot be used any more, or its role.
    #[error("{0}")]
    Unusable(String),
    /// The query failed: the SQLSTATE, and the message unless it may hold data.
    #[error("{0}")]
    Sql(String),
}

/// The instant of the running evaluation, in microseconds since 2000.
static RULE_TIME: BackendLocal<Option<i64>> = BackendLocal::new(None);
/// Whether the latest evaluation has read it.
static WAS_READ: BackendLocal<bool> = BackendLocal::new(false);

/// The instant that a rule is evaluated for. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["alerts"])]
#[search_path(pg_catalog, pg_temp)]
fn rule_time() -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(instant()).ok()
}

/// The instant that a rule is evaluated for, or now(), in microseconds since 2000.
pub fn instant() -> i64 {
    WAS_READ.with(|was_read| *was_read = true);
    RULE_TIME.with(|time| *time).flatten().unwrap_or_else(snapshot::transaction_start)
}

/// Whether the latest evaluation has read the instant.
pub fn has_read_rule_time() -> bool {
    WAS_READ.with(|was_read| *was_read).unwrap_or(false)
}

/// Ends the instant of an evaluation, also when an error unwinds.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        RULE_TIME.with(|time| *time = None);
    }
}

/// Evaluates a rule for an instant.
pub fn evaluate(rule: &Rule, at: i64) -> Result<Vec<Row>, Failed> {
    RULE_TIME.with(|time| *time = Some(at));
    WAS_READ.with(|was_read| *was_read = false);
    let _ended = Ended;
    let unusable = |error: AlertError| {
        let message = match &error {
            AlertError::InvalidQuery { message, .. } => message.clone(),
            other => other.to_string(),
        };
        Failed::Unusable(format!("{}: {message}", sqlstate::text(error.sqlstate() as i32)))
    };
    let limit = i64::from(rule.time_limit);
    let (result, has_expired) = timeout::or_end(limit + GRACE, || {
        timeout::with_timeout(rule.time_limit, || {
            try_in_subxact(AssertUnwindSafe(|| {
                let statement = spi::sole_statement(&rule.query).ok_or(AlertError::NotOneQuery);
                let statement = statement.map_err(unusable)?;
                let role = role(rule.is_built_in, &rule.author, &statement).map_err(unusable)?;
                let sql = wrapped(&statement, rule.min_samples > 0, rule.max_subjects + 1);
                in_sandbox(&role, || rows(&sql, rule.max_subjects))
                    .unwrap_or_else(|failure| Err(Failed::Sql(failure.redacted_message())))
            }))
        })
    });
    match result {
        _ if has_expired => Err(Failed::TimedOut(rule.time_limit)),
        Ok(result) => result,
        Err(failure) => Err(Failed::Sql(failure.rethrow_interrupt().redacted_message())),
    }
}

/// The role as which a query runs.
struct Role {
    oid: pg_sys::Oid,
    /// It is the owner of what a superuser reads, and reads as many rows.
    is_for_superuser: bool,
}

impl Role {
    fn itself(oid: pg_sys::Oid) -> Self {
        Self { oid, is_for_superuser: false }
    }
}

/// Runs `work` as the role, read-only, and undoes it. Interrupts are passed on.
fn in_sandbox<R>(role: &Role, work: impl FnOnce() -> R) -> Result<R, Failure> {
    sandboxed(|sandbox| {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        sandbox.enter(role.oid, &settings);
        if role.is_for_superuser {
            sandbox.see_own_rows();
        }
        work()
    })
    .map_err(Failure::rethrow_interrupt)
}

/// The query with the types of its columns, cut to what is kept of them: a thousand long messages
/// need not fit into memory. The line break ends a comment.
fn wrapped(statement: &str, counts: bool, limit: i64) -> String {
    let samples = if counts { "r.samples::bigint" } else { "NULL::bigint" };
    let column = if counts { ", samples" } else { "" };
    format!(
        "SELECT left(r.subject::text, {}), r.value::double precision, \
         left(r.message::text, {MAX_MESSAGE}), {samples}\n\
         FROM (\n{statement}\n) AS r (subject, value, message{column})\nLIMIT {limit}",
        MAX_SUBJECT + 1
    )
}

fn rows(sql: &str, max_subjects: i64) -> Result<Vec<Row>, Failed> {
    let read = || {
        Spi::connect(|client| {
            let mut rows = Vec::new();
            for row in client.select(sql, None, &[])? {
                rows.push((
                    row.get::<String>(1)?,
                    row.get::<f64>(2)?,
                    row.get::<String>(3)?,
                    row.get::<i64>(4)?,
                ));
            }
            Ok::<_, pgrx::spi::Error>(rows)
        })
    };
    let found = read().map_err(|error| Failed::Sql(error.to_string()))?;
    if found.len() as i64 > max_subjects {
        return Err(Failed::TooManyRows(max_subjects));
    }
    let (mut rows, mut subjects) = (Vec::with_capacity(found.len()), BTreeSet::new());
    for (subject, value, message, samples) in found {
        let subject = subject.ok_or(Failed::NullSubject)?;
        if subject.chars().nth(MAX_SUBJECT).is_some() {
            return Err(Failed::LongSubject);
        }
        if !subjects.insert(subject.clone()) {
            return Err(Failed::Duplicate);
        }
        rows.push(Row { subject, value, samples, message });
    }
    Ok(rows)
}

/// The role as which a query runs. A superuser's query runs as the owner of the objects that it
/// uses, so that their code gains nothing.
fn role(is_built_in: bool, author: &str, statement: &str) -> Result<Role, AlertError> {
    let owner =
        lookup::owner_of_own_table(c"access_privileges").ok_or(ServerError::NotInstalled)?;
    if is_built_in {
        return Ok(Role::itself(owner));
    }
    let known =
        |name: &str| lookup::role(name).ok_or_else(|| AlertError::UnknownAuthor(name.to_owned()));
    let author = known(author)?;
    if !privilege::is_superuser(author) {
        return Ok(Role::itself(author));
    }
    match lesser_owners(author, statement)?.as_slice() {
        [] => Ok(Role::itself(author)),
        [only] => Ok(Role { oid: known(only)?, is_for_superuser: true }),
        several => Err(AlertError::SeveralOwners(several.join(", "))),
    }
}

/// The owners that are no superusers, of the code that a statement may run. The server analyses
/// the statement and does not plan it: a plan runs immutable functions.
fn lesser_owners(author: pg_sys::Oid, statement: &str) -> Result<Vec<String>, AlertError> {
    let sql = c_string(statement);
    let (named, position) =
        with_position(|| in_sandbox(&Role::itself(author), || objects_named(&sql)));
    let objects = named
        .map_err(|failure| invalid(failure, statement, position))?
        .map_err(|_| AlertError::NotOneQuery)?;
    let oids = |sets: [BTreeSet<u32>; 2]| {
        sets.into_iter().flatten().map(pg_sys::Oid::from).collect::<Vec<_>>()
    };
    let arguments = [
        oids([objects.relations, BTreeSet::new()]).into(),
        oids([objects.functions, objects.other_functions]).into(),
        oids([objects.domains, BTreeSet::new()]).into(),
    ];
    let sql = include_str!("../../sql/alerts/lesser_owners.sql");
    spi::select_kept(sql, &arguments, |rows| {
        rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default())).collect()
    })
}

/// Refuses a query that cannot be a rule's. No row is read.
pub fn check(query: &str, min_samples: i64, author: &str) -> Result<(), AlertError> {
    let counts = min_samples > 0;
    let (parsed, position) = with_position(|| isolated(|| spi::sole_statement(query)));
    let statement = parsed
        .map_err(|failure| invalid(failure, query, position))?
        .ok_or(AlertError::NotOneQuery)?;
    // As the role that will run it.
    let role = role(false, author, &statement)?;
    let (analysed, position) = with_position(|| in_sandbox(&role, || columns(&statement)));
    let position = position.and_then(|position| position.checked_sub(BEFORE.len()));
    let columns = analysed
        .map_err(|failure| invalid(failure, &statement, position))?
        .map_err(|_| AlertError::NotOneQuery)?;
    let fits = columns.len() == if counts { 4 } else { 3 }
        && is_number(columns[1].1)
        && (!counts || is_number(columns[3].1));
    if !fits {
        let shown =
            columns.iter().map(|(name, type_)| format!("{name} ({})", lookup::type_name(*type_)));
        let found = match columns.len() {
            0 => "no column".to_owned(),
            _ => shown.collect::<Vec<_>>().join(", "),
        };
        return Err(AlertError::QueryShape { found, counts });
    }
    // In the form that will run.
    let sql = wrapped(&statement, counts, 1);
    in_sandbox(&role, || Spi::connect(|client| client.prepare(sql.as_str(), &[]).map(drop)))
        .map_err(|failure| invalid(failure, "", None))?
        .map_err(|_| AlertError::NotOneQuery)
}

/// The statement may have a LIMIT of its own.
const BEFORE: &str = "SELECT * FROM (\n";

/// The names and types of the columns of a query.
fn columns(statement: &str) -> Result<Vec<(String, pg_sys::Oid)>, pgrx::spi::Error> {
    let sql = format!("{BEFORE}{statement}\n) AS q LIMIT 0");
    Spi::connect(|client| {
        let rows = client.select(sql.as_str(), None, &[])?;
        (1..=rows.columns()?)
            .map(|number| Ok((rows.column_name(number)?, rows.column_type_oid(number)?.value())))
            .collect()
    })
}

fn is_number(type_: pg_sys::Oid) -> bool {
    [
        pg_sys::INT2OID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
        pg_sys::FLOAT4OID,
        pg_sys::FLOAT8OID,
        pg_sys::NUMERICOID,
    ]
    .contains(&lookup::base_type(type_))
}

fn invalid(failure: Failure, query: &str, position: Option<usize>) -> AlertError {
    AlertError::InvalidQuery {
        code: failure.code,
        message: failure.message,
        place: position.map_or_else(String::new, |position| place(query, position)),
    }
}

/// Line and column of a character, and the line itself.
fn place(query: &str, position: usize) -> String {
    let before: String = query.chars().take(position.saturating_sub(1)).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
    let text = query.lines().nth(line - 1).unwrap_or_default().trim();
    let shown: String = text.chars().take(200).collect();
    format!("Line {line}, column {column}: {shown}\n")
}

/// A trial of a rule. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 42704.
#[pg_extern(schema = "crewsnow_ops", requires = ["alerts"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn test_rule(
    p_rule: Option<&str>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(verdict, &'static str),
            name!(subject, Option<String>),
            name!(value, Option<f64>),
            name!(samples, Option<i64>),
            name!(message, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let example = "SELECT * FROM crewsnow_ops.test_rule('p95-latency');";
    let name = p_rule.ok_or(ServerError::NullArgument { argument: "p_rule", example })?;
    let rule = crate::access::as_owner(|| super::rule::require(name))?;
    let conditions = rule.conditions();
    let found = crate::access::as_owner(|| {
        Ok::<_, AlertError>(evaluate(&rule, snapshot::transaction_start()))
    })?;
    let mut lines = match found {
        Ok(rows) => rows
            .into_iter()
            .map(|row| {
                let reading =
                    super::pure::reading::Reading::of(row.value, row.samples, rule.min_samples);
                let (place, verdict) = match conditions.severity_of(reading) {
                    None => (3, "NO DATA"),
                    Some(None) => (4, "OK"),
                    Some(Some(super::pure::rule::Severity::Critical)) => (1, "CRITICAL"),
                    Some(Some(super::pure::rule::Severity::Warning)) => (2, "WARNING"),
                };
                (place, (verdict, Some(row.subject), row.value, row.samples, row.message))
            })
            .collect(),
        Err(failed) => vec![(0, ("ERROR", None, None, None, Some(failed.to_string())))],
    };
    if lines.is_empty() {
        let text = "the query returned no row".to_owned();
        lines.push((3, ("NO DATA", None, None, None, Some(text))));
    }
    lines.sort_by_key(|line| line.0);
    Ok(TableIterator::new(lines.into_iter().map(|(_, line)| line)))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_has_line_and_column() {
        assert_eq!(place("SELECT é, wait\nFROM x", 11), "Line 1, column 11: SELECT é, wait\n");
        assert_eq!(place("SELECT a\n  FROM x", 17), "Line 2, column 8: FROM x\n");
        assert_eq!(place("", 1), "Line 1, column 1: \n");
    }
}
