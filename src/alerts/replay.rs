//! A rule replayed over a past time: the same evaluation and the same machine as in a tick, with
//! other instants, and nothing written.

use super::error::AlertError;
use super::evaluation;
use super::pure::board::{Board, Row};
use super::pure::reading::Reading;
use super::rule;
use super::store::time;
use crate::access::as_owner;
use crate::pg::error::ServerError;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.replay_rule('error-rate', \
    now() - interval '1 day', now());";
/// Evaluations of one replay at most.
const MAX_EVALUATIONS: i64 = 50_000;

/// The events that a rule would have had. See the COMMENT on the SQL function.
///
/// SQLSTATE 0A000 for a rule that reads the present, 22004, 22023 for another period, 38000 if the
/// query fails, 42704.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn replay_events(
    p_rule: Option<&str>,
    p_from: Option<TimestampWithTimeZone>,
    p_to: Option<TimestampWithTimeZone>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(at, Option<TimestampWithTimeZone>),
            name!(event, &'static str),
            name!(subject, Option<String>),
            name!(severity, Option<&'static str>),
            name!(value, Option<f64>),
            name!(message, Option<String>),
            name!(alert, Option<i64>),
        ),
    >,
    ErrorReport,
> {
    let missing = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let name = p_rule.ok_or_else(|| missing("p_rule"))?;
    let from = p_from.ok_or_else(|| missing("p_from"))?.into_inner();
    let to = p_to.ok_or_else(|| missing("p_to"))?.into_inner();
    let rule = as_owner(|| rule::require(name))?;
    let evaluations = to.saturating_sub(from) / rule.every;
    if from >= to || evaluations > MAX_EVALUATIONS {
        return Err(AlertError::ReplayPeriod { evaluations: MAX_EVALUATIONS }.into());
    }
    let (board_rule, min_samples) = (rule.board_rule(), rule.conditions().min_samples);
    let mut board = Board::default();
    let mut events = Vec::new();
    let mut last_id = 0;
    let mut next_id = || {
        last_id += 1;
        Ok::<_, AlertError>(last_id)
    };
    let mut at = from;
    while at < to {
        pgrx::check_for_interrupts!();
        let rows = as_owner(|| Ok::<_, AlertError>(evaluation::evaluate(&rule, at)))?;
        let rows = rows.map_err(|failed| AlertError::ReplayFailed {
            rule: name.to_owned(),
            reason: failed.to_string(),
        })?;
        if at == from && !evaluation::has_read_rule_time() {
            return Err(AlertError::ReadsPresent(name.to_owned()).into());
        }
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|row| Row {
                reading: Reading::of(row.value, row.samples, min_samples),
                subject: row.subject,
                message: row.message,
                is_simulated: false,
            })
            .collect();
        board.apply(&board_rule, at, &rows, &mut next_id)?;
        events.extend(board.events.drain(..).map(|event| (at, event)));
        at += rule.every;
    }
    Ok(TableIterator::new(events.into_iter().map(|(at, event)| {
        let severity = event.severity.map(super::pure::rule::Severity::as_str);
        let (subject, value, message) = (event.subject, event.value, event.message);
        (time(at), event.event, subject, severity, value, message, event.alert_id)
    })))
}
