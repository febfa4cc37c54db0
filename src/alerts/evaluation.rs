//! One evaluation of a rule's query: read-only, as the rule's role, and undone.
//!
//! A fault of the rule is a value, never an error of the caller. Interrupts of the caller are
//! passed on.

use super::author::Author;
use super::error::AlertError;
use super::rule::Rule;
use super::sandbox::enter;
use crate::error::SqlError;
use crate::pg::backend_local::BackendLocal;
use crate::pg::fmgr::spi;
use crate::pg::rewrite::row_security::Undecidable;
use crate::pg::rewrite::statement::Analysed;
use crate::pg::xact::sec_context::sandboxed;
use crate::pg::xact::sqlstate;
use crate::pg::xact::subtransaction::Failure;
use crate::pg::xact::{snapshot, timeout};
use pgrx::prelude::*;
use std::cell::Cell;
use std::collections::BTreeSet;

/// A function that catches each cancel ends its session so long after the time limit, in
/// milliseconds.
const GRACE: i64 = 5_000;
/// The longest subject, in characters.
const MAX_SUBJECT: usize = 1_000;
/// Characters that are kept of a message.
const MAX_MESSAGE: usize = 4_000;

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
    let is_analysed = Cell::new(true);
    let (result, has_expired) = timeout::or_end(limit + GRACE, || {
        timeout::with_timeout(rule.time_limit, || {
            let author = match Author::of(rule.is_built_in, &rule.author) {
                Ok(author) => author,
                Err(error) => return Ok(Err(unusable(error))),
            };
            sandboxed(|sandbox| {
                enter(sandbox, author.oid());
                let statement = spi::sole_statement(&rule.query).ok_or(AlertError::NotOneQuery);
                let statement = statement.map_err(unusable)?;
                let sql = wrapped(&statement, rule.min_samples > 0, rule.max_subjects + 1);
                let found = match author {
                    Author::Role(_) => rows(&sql)?,
                    Author::Superuser(_) => {
                        is_analysed.set(false);
                        let query = Analysed::of(&sql).map_err(unreadable)?;
                        is_analysed.set(true);
                        author.demote(sandbox, &query.objects()).map_err(unusable)?;
                        rows_of(query)?
                    }
                };
                checked(found, rule.max_subjects)
            })
        })
    });
    match result {
        _ if has_expired => Err(Failed::TimedOut(rule.time_limit)),
        Ok(result) => result,
        // Until a query is analysed, it has read no data that the message could hold.
        Err(failure) if !is_analysed.get() => {
            let Failure { code, message, .. } = failure.rethrow_interrupt();
            Err(Failed::Unusable(format!("{}: {message}", sqlstate::text(code as i32))))
        }
        Err(failure) => Err(Failed::Sql(failure.rethrow_interrupt().redacted_message())),
    }
}

fn unreadable(why: Undecidable) -> Failed {
    Failed::Unusable(format!("0A000: {why}"))
}

/// The query with the types of its columns, cut to what is kept of them: a thousand long messages
/// need not fit into memory. The line break ends a comment.
pub(super) fn wrapped(statement: &str, counts: bool, limit: i64) -> String {
    let samples = if counts { "r.samples::bigint" } else { "NULL::bigint" };
    let column = if counts { ", samples" } else { "" };
    format!(
        "SELECT left(r.subject::text, {}), r.value::double precision, \
         left(r.message::text, {MAX_MESSAGE}), {samples}\n\
         FROM (\n{statement}\n) AS r (subject, value, message{column})\nLIMIT {limit}",
        MAX_SUBJECT + 1
    )
}

/// Subject, value, message and samples of a row.
type Found = (Option<String>, Option<f64>, Option<String>, Option<i64>);

fn rows(sql: &str) -> Result<Vec<Found>, Failed> {
    let read = || {
        Spi::connect(|client| {
            let mut rows = Vec::new();
            for row in client.select(sql, None, &[])? {
                rows.push((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
            }
            Ok::<_, pgrx::spi::Error>(rows)
        })
    };
    read().map_err(|error| Failed::Sql(error.to_string()))
}

/// As [`rows`], of a query in that form whose objects are known already.
fn rows_of(query: Analysed) -> Result<Vec<Found>, Failed> {
    let rows = query.rows().map_err(unreadable)?;
    rows.ok_or_else(|| Failed::Unusable("42804: the query has other columns".to_owned()))
}

fn checked(found: Vec<Found>, max_subjects: i64) -> Result<Vec<Row>, Failed> {
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
