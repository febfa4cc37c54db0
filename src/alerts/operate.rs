//! The acts of an operator: silence, acknowledge, simulate, adopt. None of them changes a row that
//! a tick writes, so that an open transaction of an operator never makes a tick wait.

use super::error::AlertError;
use super::pure::board::firing_value;
use super::pure::silence::Matcher;
use super::rule;
use super::store::{time, write};
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::{session, snapshot};
use crate::suggest::similar_or_part;
use crate::time::instant::Instant;
use crate::time::minute::{DAY, HOUR, MINUTE};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const SILENCE_EXAMPLE: &str = "SELECT crewsnow_ops.silence('webhook-failures', \
    'Stripe maintenance', now() + interval '2 hours');";
const END_EXAMPLE: &str = "SELECT crewsnow_ops.end_silence(1);";
const ACKNOWLEDGE_EXAMPLE: &str = "SELECT crewsnow_ops.acknowledge_alert('p95-latency');";
const SIMULATE_EXAMPLE: &str = "SELECT crewsnow_ops.simulate_alert('p95-latency');";
/// The longest silence, in microseconds.
const MAX_SILENCE: i64 = 30 * DAY;
/// The longest simulation, in microseconds.
const MAX_SIMULATION: i64 = HOUR;
/// The subject of a simulation without one.
const SIMULATION: &str = "simulation";

fn given<T>(
    value: Option<T>,
    argument: &'static str,
    example: &'static str,
) -> Result<T, ServerError> {
    value.ok_or(ServerError::NullArgument { argument, example })
}

/// An end between now and the latest allowed.
fn end(
    ends_at: TimestampWithTimeZone,
    now: i64,
    limit: i64,
    example: &'static str,
) -> Result<i64, AlertError> {
    let end = ends_at.into_inner();
    if end <= now {
        return Err(AlertError::EndInPast { now: Instant(now), example });
    }
    if end - now > limit {
        return Err(AlertError::EndTooFar { hours: limit / HOUR, example });
    }
    Ok(end)
}

/// Runs a statement that writes and returns one row; its first columns.
fn first_row<A: FromDatum + IntoDatum, B: FromDatum + IntoDatum>(
    sql: &str,
    arguments: &[DatumWithOid<'_>],
) -> Result<(Option<A>, Option<B>), AlertError> {
    spi::connect_mut(|client| {
        let rows = client.update(sql, Some(1), arguments)?.first();
        let second = if rows.columns()? > 1 { rows.get(2)? } else { None };
        Ok((rows.get(1)?, second))
    })
}

/// Silences alerts. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 42704.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn silence(
    p_matcher: Option<&str>,
    p_reason: Option<&str>,
    p_ends_at: Option<TimestampWithTimeZone>,
) -> Result<i64, ErrorReport> {
    let matcher = given(p_matcher, "p_matcher", SILENCE_EXAMPLE)?;
    let reason = given(p_reason, "p_reason", SILENCE_EXAMPLE)?;
    let ends_at = given(p_ends_at, "p_ends_at", SILENCE_EXAMPLE)?;
    session::require_writable("silence alerts")?;
    let now = clock::now();
    end(ends_at, now, MAX_SILENCE, SILENCE_EXAMPLE)?;
    if reason.trim().is_empty() {
        return Err(AlertError::EmptyReason.into());
    }
    let (id, matched) = as_owner(|| {
        let matched = require_match(matcher)?;
        let sql = include_str!("../../sql/alerts/insert_silence.sql");
        let arguments = [matcher.into(), reason.into(), ends_at.into(), time(now).into()];
        let (id, _) = first_row::<i64, i64>(sql, &arguments)?;
        Ok::<_, AlertError>((id.unwrap_or(0), matched))
    })?;
    pgrx::notice!("silence {id}: {matched} of the alerts that fire now; ends at {ends_at}");
    Ok(id)
}

/// The number of active alerts that a matcher fits. 42704 if it fits no rule and no group.
fn require_match(text: &str) -> Result<usize, AlertError> {
    let matcher = Matcher::parse(text);
    let sql = include_str!("../../sql/alerts/matched_names.sql");
    spi::select_kept(sql, &[], |rows| {
        let (mut names, mut fits, mut active) = (Vec::new(), false, 0);
        for row in rows {
            let name = row.get::<String>(1)?.unwrap_or_default();
            let group = row.get::<String>(2)?.unwrap_or_default();
            let subject = row.get::<String>(3)?;
            fits |= matcher.fits_name(&name, &group);
            if subject.is_some_and(|subject| matcher.matches(&name, &group, &subject)) {
                active += 1;
            }
            names.extend([name, group]);
        }
        if fits {
            return Ok(active);
        }
        names.sort_unstable();
        names.dedup();
        let asked = text.split('/').next().unwrap_or(text);
        let similar = similar_or_part(asked, names.iter().map(String::as_str));
        Err(AlertError::UnknownMatcher { matcher: text.to_owned(), similar })
    })
}

/// Ends a silence. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 25006, 42704, 55000.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn end_silence(p_silence: Option<i64>) -> Result<String, ErrorReport> {
    let silence = given(p_silence, "p_silence", END_EXAMPLE)?;
    session::require_writable("end a silence")?;
    let now = clock::now();
    let (exists, matcher) = as_owner(|| {
        let sql = include_str!("../../sql/alerts/end_silence.sql");
        first_row::<bool, String>(sql, &[silence.into(), time(now).into()])
    })?;
    match (exists, matcher) {
        (_, Some(matcher)) => Ok(format!("silence {silence} of {matcher} has ended")),
        (Some(true), None) => Err(AlertError::SilenceEnded(silence).into()),
        _ => Err(AlertError::UnknownSilence(silence).into()),
    }
}

/// Acknowledges alerts. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 42704.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn acknowledge_alert(
    p_rule: Option<&str>,
    p_subject: default!(Option<&str>, "NULL"),
    p_note: default!(Option<&str>, "NULL"),
    p_ends_at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> Result<i64, ErrorReport> {
    let name = given(p_rule, "p_rule", ACKNOWLEDGE_EXAMPLE)?;
    session::require_writable("acknowledge alerts")?;
    let now = clock::now();
    if let Some(ends_at) = p_ends_at {
        end(ends_at, now, DAY, ACKNOWLEDGE_EXAMPLE)?;
    }
    let count = as_owner(|| {
        rule::require(name)?;
        let sql = include_str!("../../sql/alerts/acknowledge.sql");
        let arguments =
            [name.into(), p_subject.into(), p_note.into(), p_ends_at.into(), time(now).into()];
        Ok::<_, AlertError>(first_row::<i64, i64>(sql, &arguments)?.0.unwrap_or(0))
    })?;
    match count {
        0 => Err(AlertError::NothingFires(name.to_owned()).into()),
        count => Ok(count),
    }
}

/// Simulates an alert. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 42704, 55000.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn simulate_alert(
    p_rule: Option<&str>,
    p_subject: default!(Option<&str>, "'simulation'"),
    p_value: default!(Option<f64>, "NULL"),
    p_for: default!(Option<Interval>, "'5 minutes'"),
) -> Result<String, ErrorReport> {
    let name = given(p_rule, "p_rule", SIMULATE_EXAMPLE)?;
    session::require_writable("simulate an alert")?;
    let now = clock::now();
    let length = p_for.map_or(5 * MINUTE, |length| length.as_micros() as i64);
    if !(1..=MAX_SIMULATION).contains(&length) {
        return Err(AlertError::SimulationLength.into());
    }
    let subject = p_subject.unwrap_or(SIMULATION);
    let value = as_owner(|| {
        let rule = rule::require(name)?;
        if !rule.is_enabled {
            return Err(AlertError::RuleDisabled(name.to_owned()));
        }
        let value = p_value.unwrap_or_else(|| firing_value(&rule.conditions()));
        let message = format!("simulated by {}", session::user());
        let sql = include_str!("../../sql/alerts/simulate.sql");
        let arguments = [
            name.into(),
            subject.into(),
            value.into(),
            message.into(),
            time(now + length).into(),
            time(now).into(),
        ];
        write(sql, &arguments)?;
        Ok(value)
    })?;
    Ok(format!(
        "{name}/{subject} has the value {value} from the next tick on, for {} s",
        length / 1_000_000
    ))
}

/// Lets the alerts of a copy send notices. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006.
#[pg_extern(schema = "crewsnow_ops", requires = ["alert_rule_functions"])]
#[search_path(pg_catalog, pg_temp)]
fn adopt_alerts() -> Result<String, ErrorReport> {
    session::require_writable("adopt alerts")?;
    as_owner(|| {
        let (system, database) = snapshot::identity();
        let sql = include_str!("../../sql/alerts/adopt.sql");
        let arguments = [
            system.to_string().into(),
            database.to_u32().to_string().into(),
            time(clock::now()).into(),
        ];
        write(sql, &arguments)
    })?;
    Ok("alerts of this database send notices from the next tick on".to_owned())
}

/// Whether a silence fits an alert; false for NULL. See [`Matcher`].
#[pg_extern(
    schema = "crewsnow_ops",
    immutable,
    strict,
    parallel_safe,
    requires = ["alert_rule_functions"]
)]
#[search_path(pg_catalog, pg_temp)]
fn silence_matches(p_matcher: &str, p_rule: &str, p_group: &str, p_subject: &str) -> bool {
    Matcher::parse(p_matcher).matches(p_rule, p_group, p_subject)
}
