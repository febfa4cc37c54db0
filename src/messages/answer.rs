//! The answers of a sender: `ack_notification()` and `nack_notification()`.
//!
//! Only the holder of the token answers. A sender whose lease has ended changes nothing.

use super::claim::Limiter;
use super::error::MessageError;
use super::pure::answer::{Answer, Service, classify, classify_smtp};
use super::pure::retry::delay;
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::{lock_wait, session};
use crate::time::instant::Instant;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const ACK_EXAMPLE: &str = "SELECT crewsnow_ops.ack_notification(1, 'TOKEN');";
const NACK_EXAMPLE: &str =
    "SELECT crewsnow_ops.nack_notification(1, 'TOKEN', 503, 'Service Unavailable');";
const LEASE_ENDED: &str = "another sender has the message: its lease had ended";
/// Characters that are kept of the text of a receiver.
const MAX_DETAIL: usize = 1_000;

/// A message that the caller sends.
struct Held {
    channel: String,
    attempts: u32,
    kind: Option<String>,
    expires_at: i64,
    random: f64,
}

fn held(message: i64, token: pgrx::Uuid) -> Result<Option<Held>, MessageError> {
    let sql = include_str!("../../sql/messages/read_held.sql");
    spi::select_kept(sql, &[message.into(), token.into()], |mut rows| {
        let Some(row) = rows.next() else { return Ok(None) };
        Ok(Some(Held {
            channel: row.get::<String>(1)?.unwrap_or_default(),
            attempts: u32::try_from(row.get::<i32>(2)?.unwrap_or(0)).unwrap_or(0),
            kind: row.get(3)?,
            expires_at: row
                .get::<TimestampWithTimeZone>(4)?
                .map_or(i64::MAX, TimestampWithTimeZone::into_inner),
            random: row.get(5)?.unwrap_or(0.5),
        }))
    })
}

/// The parts of an answer.
struct Outcome<'a> {
    state: &'static str,
    word: &'static str,
    status: Option<i32>,
    detail: Option<&'a str>,
    /// In microseconds.
    delay: i64,
    /// The pause of the channel, in microseconds.
    pause: Option<i64>,
    breaks_channel: bool,
}

/// Writes an answer. False if another sender has the message meanwhile.
fn write(
    message: i64,
    token: pgrx::Uuid,
    held: &Held,
    outcome: &Outcome<'_>,
) -> Result<bool, MessageError> {
    let sender = match session::setting("application_name") {
        Some(name) if !name.is_empty() => format!("{} ({name})", session::user()),
        _ => session::user(),
    };
    let arguments = [
        message.into(),
        token.into(),
        outcome.state.into(),
        outcome.word.into(),
        outcome.status.into(),
        outcome.detail.into(),
        (outcome.delay / 1_000).into(),
        sender.into(),
    ];
    let is_held = spi::connect_mut(|client| {
        let sql = include_str!("../../sql/messages/answer.sql");
        Ok::<_, MessageError>(!client.update(sql, None, &arguments)?.is_empty())
    })?;
    if is_held {
        note(held, outcome)?;
    }
    Ok(is_held)
}

/// Notes the answer in the state of the channel.
fn note(held: &Held, outcome: &Outcome<'_>) -> Result<(), MessageError> {
    let now = clock::now();
    spi::connect_mut(|client| {
        let sql = include_str!("../../sql/messages/lock_state.sql");
        let mut rows = client.update(sql, None, &[held.channel.as_str().into()])?;
        // The channel may be removed while its last message is on its way.
        let Some(row) = rows.next() else { return Ok(()) };
        let stored = row.get::<pgrx::JsonB>(1)?.map(|stored| stored.0).unwrap_or_default();
        let mut limiter = Limiter::read(stored);
        match outcome.word {
            "retry" => limiter.breaker.failed(now),
            // The receiver answers, even if it does not want this message.
            _ => limiter.breaker.succeeded(),
        }
        let stored = serde_json::to_value(&limiter).unwrap_or_default();
        let arguments = [
            held.channel.as_str().into(),
            pgrx::JsonB(stored).into(),
            (outcome.state == "sent").into(),
            outcome.pause.map(|pause| pause / 1_000).into(),
            outcome.breaks_channel.into(),
            (if outcome.state == "sent" { None } else { outcome.detail }).into(),
        ];
        client.update(include_str!("../../sql/messages/write_state.sql"), None, &arguments)?;
        Ok(())
    })
}

/// Says that a message was delivered. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 25006, 55P03.
#[pg_extern(sql = false)]
fn ack_notification(
    p_message: Option<i64>,
    p_token: Option<pgrx::Uuid>,
) -> Result<bool, ErrorReport> {
    let given = |argument| ServerError::NullArgument { argument, example: ACK_EXAMPLE };
    let message = p_message.ok_or_else(|| given("p_message"))?;
    let token = p_token.ok_or_else(|| given("p_token"))?;
    session::require_writable("answer for a message")?;
    let outcome = Outcome {
        state: "sent",
        word: "sent",
        status: None,
        detail: None,
        delay: 0,
        pause: None,
        breaks_channel: false,
    };
    Ok(limited(|| {
        let Some(held) = held(message, token)? else { return Ok(false) };
        write(message, token, &held, &outcome)
    })?)
}

/// Waits at most two seconds for another sender of the channel.
fn limited<R>(work: impl FnOnce() -> Result<R, MessageError>) -> Result<R, MessageError> {
    let result = lock_wait::limited(|| as_owner(work));
    result.map_err(|timeout| ServerError::locked("the state of the channel", timeout))?
}

/// Says that a message was not delivered, and why. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 25006, 55P03.
#[pg_extern(sql = false)]
fn nack_notification(
    p_message: Option<i64>,
    p_token: Option<pgrx::Uuid>,
    p_status: Option<i32>,
    p_detail: Option<&str>,
    p_retry_after: Option<&str>,
) -> Result<String, ErrorReport> {
    let given = |argument| ServerError::NullArgument { argument, example: NACK_EXAMPLE };
    let message = p_message.ok_or_else(|| given("p_message"))?;
    let token = p_token.ok_or_else(|| given("p_token"))?;
    session::require_writable("answer for a message")?;
    let detail: String = p_detail.unwrap_or("no answer").chars().take(MAX_DETAIL).collect();
    Ok(limited(|| {
        let Some(held) = held(message, token)? else {
            return Ok(LEASE_ENDED.to_owned());
        };
        let (outcome, text) = refused(&held, p_status, &detail, p_retry_after);
        let is_held = write(message, token, &held, &outcome)?;
        Ok(if is_held { text } else { LEASE_ENDED.to_owned() })
    })?)
}

/// The outcome of a failure, and its description.
fn refused<'a>(
    held: &Held,
    status: Option<i32>,
    detail: &'a str,
    retry_after: Option<&str>,
) -> (Outcome<'a>, String) {
    let now = clock::now();
    let code = status.and_then(|status| u16::try_from(status).ok());
    let answer = match (held.kind.as_deref(), code) {
        (None, _) => Answer::Refused { breaks_channel: false },
        (Some("email"), code) => classify_smtp(code),
        (_, None) => Answer::Retry { channel_pause: None },
        (Some(kind), Some(code)) => classify(service(kind), code, retry_after, detail, now),
    };
    let (pause, breaks_channel, is_final) = match answer {
        // A sender that answers with nack has not delivered, whatever the status.
        Answer::Sent => (None, false, false),
        Answer::Retry { channel_pause } => (channel_pause, false, false),
        Answer::Refused { breaks_channel } => (None, breaks_channel, true),
    };
    let wait = delay(held.attempts, held.random).map(|wait| wait.max(pause.unwrap_or(0)));
    let next = wait.map(|wait| now.saturating_add(wait)).filter(|next| *next < held.expires_at);
    let outcome = |state, word, delay| Outcome {
        state,
        word,
        status,
        detail: Some(detail),
        delay,
        pause,
        breaks_channel,
    };
    match next {
        _ if is_final && breaks_channel => (
            outcome("dead", "refused", 0),
            "dead: the receiver no longer accepts this channel".to_owned(),
        ),
        _ if is_final => {
            (outcome("dead", "refused", 0), "dead: the receiver refuses the message".to_owned())
        }
        Some(next) => {
            (outcome("queued", "retry", next - now), format!("next attempt at {}", Instant(next)))
        }
        None => (outcome("dead", "retry", 0), format!("dead after {} attempts", held.attempts)),
    }
}

fn service(kind: &str) -> Service {
    match kind {
        "slack" => Service::Slack,
        "alertmanager" => Service::Alertmanager,
        "pagerduty" => Service::PagerDuty,
        _ => Service::Webhook,
    }
}
