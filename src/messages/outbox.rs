//! Adds messages to the outbox, in the transaction of their reason.

use super::body::Form;
use super::pure::message::{Kind, Language, Message, Severity};
use super::pure::retry::MAX_ATTEMPTS;
use super::pure::route::{Route, takes};
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::notify::notify;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::ffi::CString;

/// A channel that may get the notices of a tick.
struct Channel {
    name: String,
    form: Form,
    route: Route,
    /// In seconds.
    expires_after: i64,
    /// The threads that it has got a message of.
    told: Vec<String>,
}

/// A message that is to be added.
pub struct Added {
    /// The identifier for receivers.
    pub uid: pgrx::Uuid,
    /// The channel.
    pub channel: String,
    /// The kind.
    pub kind: Kind,
    /// The thread.
    pub thread: String,
    /// See `messages.idempotency_key`.
    pub idempotency_key: Option<String>,
    /// The severity.
    pub severity: Option<Severity>,
    /// The level.
    pub level: i32,
    /// The message.
    pub message: Message,
    /// Whether NOTIFY delivers it, or why it cannot; `None` if a sender does.
    pub notified: Option<Result<(), String>>,
    /// In seconds.
    pub expires_after: i64,
}

/// Adds messages. Returns the numbers of those that are new.
pub fn add(messages: &[Added]) -> Result<Vec<i64>, ServerError> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let rows = messages.iter().map(|added| {
        let (state, error) = match &added.notified {
            None => ("queued", None),
            Some(Ok(())) => ("sent", None),
            Some(Err(reason)) => ("dead", Some(reason)),
        };
        json!({
            "uid": added.uid.to_string(),
            "channel": added.channel,
            "kind": added.kind,
            "thread": added.thread,
            "idempotency_key": added.idempotency_key,
            "severity": added.severity,
            "level": added.level,
            "message": added.message,
            "state": state,
            "last_error": error,
            "expires_after": added.expires_after,
        })
    });
    let rows = pgrx::JsonB(Value::Array(rows.collect()));
    let sql = include_str!("../../sql/messages/insert_messages.sql");
    spi::connect_mut(|client| {
        let added = client.update(sql, None, &[rows.into()])?;
        added.map(|row| Ok(row.get::<i64>(1)?.unwrap_or(0))).collect()
    })
}

/// Gives up what expired or was lost, and removes what is old. Ticks and claims do it.
pub fn tidy(now: i64) -> Result<(), ServerError> {
    let at = TimestampWithTimeZone::try_from(now).ok();
    let attempts = i32::try_from(MAX_ATTEMPTS).unwrap_or(i32::MAX);
    spi::connect_mut(|client| {
        let sweep = include_str!("../../sql/messages/sweep.sql");
        client.update(sweep, None, &[at.into(), attempts.into()])?;
        client.update(include_str!("../../sql/messages/prune.sql"), None, &[at.into()])?;
        Ok(())
    })
}

/// Notifies the listeners of a channel of kind notify, at commit.
pub fn notify_listeners(form: &Form, message: &Message) -> Result<(), String> {
    let body = form.render(message, None)?;
    let name = form.listeners().and_then(|name| CString::new(name).ok());
    notify(&name.ok_or_else(|| "its target names no channel".to_owned())?, &body.text);
    Ok(())
}

/// Adds the notices of a tick to the channels that want them.
pub fn enqueue_notices(events: &[i64], now: i64) -> Result<usize, ServerError> {
    if events.is_empty() {
        return Ok(0);
    }
    let notices = read_notices(events, now)?;
    let threads: Vec<String> = notices.iter().map(|notice| notice.thread.clone()).collect();
    let mut added = Vec::new();
    for channel in read_channels(threads)? {
        for notice in &notices {
            let was_told = channel.told.contains(&notice.thread);
            // A receiver that keeps alerts open gets their end even if it is silenced.
            let is_wanted = !notice.is_suppressed || channel.form.keeps_alerts();
            if !is_wanted || !takes(&channel.route, &notice.message, was_told) {
                continue;
            }
            let uid = builtins::new_uuid();
            let message = Message { id: uid.to_string(), ..notice.message.clone() };
            let notified =
                channel.form.is_notify().then(|| notify_listeners(&channel.form, &message));
            added.push(Added {
                uid,
                channel: channel.name.clone(),
                kind: Kind::Alert,
                thread: notice.thread.clone(),
                idempotency_key: Some(format!("notice {}", notice.event)),
                severity: Some(notice.message.severity),
                level: i32::from(notice.message.level),
                message,
                notified,
                expires_after: channel.expires_after,
            });
        }
    }
    Ok(add(&added)?.len())
}

/// A notice of a group.
struct Notice {
    event: i64,
    thread: String,
    message: Message,
    /// Whether a silence or a window holds it back.
    is_suppressed: bool,
}

fn read_notices(events: &[i64], now: i64) -> Result<Vec<Notice>, ServerError> {
    let sql = include_str!("../../sql/messages/read_notices.sql");
    let arguments = [events.to_vec().into(), TimestampWithTimeZone::try_from(now).ok().into()];
    spi::select_kept(sql, &arguments, |rows| {
        let mut notices = Vec::new();
        for row in rows {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let mut facts = row.get::<pgrx::JsonB>(7)?.map(|facts| facts.0).unwrap_or_default();
            if let Some(facts) = facts.as_object_mut() {
                facts.extend([
                    ("id".to_owned(), json!("")),
                    ("kind".to_owned(), json!(Kind::Alert)),
                    ("created_at".to_owned(), json!(now)),
                    ("group".to_owned(), json!(text(3)?)),
                    ("severity".to_owned(), json!(text(4)?)),
                    ("reason".to_owned(), json!(text(5)?)),
                    ("level".to_owned(), json!(row.get::<i32>(6)?.unwrap_or(1))),
                ]);
            }
            let event = row.get(1)?.unwrap_or(0);
            match serde_json::from_value(facts) {
                Ok(message) => {
                    let is_suppressed = row.get(8)?.unwrap_or(false);
                    notices.push(Notice { event, thread: text(2)?, message, is_suppressed });
                }
                Err(error) => pgrx::warning!("notice {event} cannot be sent: {error}"),
            }
        }
        Ok::<_, ServerError>(notices)
    })
}

/// JSON that the server has stored. A target that serde cannot read is none: jsonb has larger
/// numbers and more levels.
pub fn parsed(text: Option<String>) -> Value {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn read_channels(threads: Vec<String>) -> Result<Vec<Channel>, ServerError> {
    let sql = include_str!("../../sql/messages/read_routes.sql");
    spi::select_kept(sql, &[threads.into()], |rows| {
        let mut channels = Vec::new();
        for row in rows {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let level = row.get::<i32>(4)?.unwrap_or(1);
            let mut groups = row.get::<Vec<String>>(5)?.unwrap_or_default();
            if groups.is_empty() {
                groups.push("*".to_owned());
            }
            channels.push(Channel {
                name: text(1)?,
                form: Form {
                    kind: text(2)?,
                    target: parsed(row.get(8)?),
                    language: Language::parse(&text(6)?).unwrap_or(Language::En),
                },
                route: Route {
                    min_severity: Severity::parse(&text(3)?).unwrap_or(Severity::Warning),
                    min_level: u8::try_from(level).unwrap_or(1),
                    groups,
                },
                expires_after: row.get(7)?.unwrap_or(0),
                told: row.get(9)?.unwrap_or_default(),
            });
        }
        Ok::<_, ServerError>(channels)
    })
}
