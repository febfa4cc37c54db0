//! `crewsnow_ops.test_rule()`: one evaluation, of which nothing is kept.

use super::error::AlertError;
use super::evaluation::evaluate;
use super::pure::reading::Reading;
use super::pure::rule::Severity;
use super::rule::require;
use crate::pg::error::ServerError;
use crate::pg::xact::snapshot;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

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
    let rule = crate::access::as_owner(|| require(name))?;
    let conditions = rule.conditions();
    let found = crate::access::as_owner(|| {
        Ok::<_, AlertError>(evaluate(&rule, snapshot::transaction_start()))
    })?;
    let mut lines = match found {
        Ok(rows) => rows
            .into_iter()
            .map(|row| {
                let reading = Reading::of(row.value, row.samples, rule.min_samples);
                let (place, verdict) = match conditions.severity_of(reading) {
                    None => (3, "NO DATA"),
                    Some(None) => (4, "OK"),
                    Some(Some(Severity::Critical)) => (1, "CRITICAL"),
                    Some(Some(Severity::Warning)) => (2, "WARNING"),
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
