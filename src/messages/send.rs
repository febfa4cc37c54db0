//! `crewsnow_ops.send()`: a message of an application, in its own transaction.

use super::body::Form;
use super::error::MessageError;
use super::outbox::{self, Added, notify_listeners};
use super::pure::message::{Kind, Language, Message, Severity};
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::suggest::similar_or_part;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

const EXAMPLE: &str = "SELECT crewsnow_ops.send('ops', '{\"text\": \"The export is done.\"}');";
/// The longest message, in bytes.
const MAX_BYTES: usize = 262_144;
/// The longest key and thread, in characters.
const MAX_KEY: usize = 200;

/// A channel that a message is added to.
pub struct Channel {
    /// The form of its messages.
    pub form: Form,
    /// Whether it takes messages.
    pub is_enabled: bool,
    /// In seconds.
    pub expires_after: i64,
}

/// The channel of a name. 42704 with similar names if there is none.
pub fn require_channel(name: &str) -> Result<Channel, MessageError> {
    let sql = include_str!("../../sql/messages/read_channel.sql");
    let found = spi::select_kept(sql, &[name.into()], |mut rows| {
        let Some(row) = rows.next() else { return Ok(None) };
        Ok::<_, MessageError>(Some(Channel {
            form: Form {
                kind: row.get::<String>(1)?.unwrap_or_default(),
                target: outbox::parsed(row.get(5)?),
                language: row
                    .get::<String>(3)?
                    .and_then(|code| Language::parse(&code))
                    .unwrap_or(Language::En),
            },
            is_enabled: row.get(2)?.unwrap_or(false),
            expires_after: row.get(4)?.unwrap_or(0),
        }))
    })?;
    if let Some(channel) = found {
        return Ok(channel);
    }
    let sql = include_str!("../../sql/messages/channel_names.sql");
    let names: Vec<String> = spi::select_kept(sql, &[], |rows| {
        rows.map(|row| Ok::<_, MessageError>(row.get::<String>(1)?.unwrap_or_default())).collect()
    })?;
    let similar = similar_or_part(name, names.iter().map(String::as_str));
    Err(MessageError::UnknownChannel { name: name.to_owned(), similar })
}

/// Adds a message to the outbox. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 42704, 55000.
#[pg_extern(sql = false)]
fn send(
    p_channel: Option<&str>,
    p_payload: Option<Jsonb>,
    p_thread: Option<&str>,
    p_idempotency_key: Option<&str>,
) -> Result<i64, ErrorReport> {
    let given = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let channel = p_channel.ok_or_else(|| given("p_channel"))?;
    let payload = p_payload.ok_or_else(|| given("p_payload"))?;
    session::require_writable("send a message")?;
    for (argument, text) in [("p_thread", p_thread), ("p_idempotency_key", p_idempotency_key)] {
        let length = text.map_or(0, |text| text.chars().count());
        if length > MAX_KEY {
            return Err(ServerError::TooLong { argument, limit: MAX_KEY, length }.into());
        }
    }
    let data = payload.value("p_payload")?;
    let id = as_owner(|| {
        let facts = Facts { data, thread: p_thread, key: p_idempotency_key };
        add(channel, Kind::Application, facts)
    })?;
    Ok(id)
}

/// The caller's part of a message.
pub struct Facts<'a> {
    /// The payload.
    pub data: Value,
    /// The thread; `None` for one of its own.
    pub thread: Option<&'a str>,
    /// The idempotency key.
    pub key: Option<&'a str>,
}

/// Adds a message, or finds the one of the same idempotency key. Returns its number.
pub fn add(name: &str, kind: Kind, facts: Facts<'_>) -> Result<i64, MessageError> {
    let channel = require_channel(name)?;
    if !channel.is_enabled {
        return Err(MessageError::ChannelDisabled(name.to_owned()));
    }
    let uid = builtins::new_uuid();
    let message = Message {
        id: uid.to_string(),
        kind,
        created_at: clock::now(),
        severity: Severity::Info,
        level: 1,
        reason: None,
        group: facts.thread.unwrap_or(name).to_owned(),
        title: None,
        source: session::database(),
        alerts: Vec::new(),
        more: 0,
        data: facts.data,
    };
    let unsendable = |reason: String| MessageError::Unsendable { channel: name.to_owned(), reason };
    // A message that can never be delivered is refused now, and not found dead tomorrow.
    let text = serde_json::to_string(&message).map_err(|error| unsendable(error.to_string()))?;
    if text.len() > MAX_BYTES {
        return Err(unsendable(format!("it has {} bytes, at most {MAX_BYTES} fit", text.len())));
    }
    serde_json::from_str::<Message>(&text).map_err(|error| unsendable(error.to_string()))?;
    channel.form.render(&message, facts.thread).map_err(unsendable)?;
    if channel.form.is_notify() && channel.form.listeners().is_none() {
        return Err(unsendable("its target names no channel of 1 to 63 bytes".to_owned()));
    }
    let added = [Added {
        uid,
        channel: name.to_owned(),
        kind,
        thread: facts.thread.map(|thread| format!("application {thread}")).unwrap_or_default(),
        idempotency_key: facts.key.map(|key| format!("application {}: {key}", session::user())),
        severity: None,
        level: 1,
        message,
        notified: channel.form.is_notify().then_some(Ok(())),
        expires_after: channel.expires_after,
    }];
    let numbers = outbox::add(&added)?;
    let Some(number) = numbers.first() else {
        let sql = include_str!("../../sql/messages/message_of_key.sql");
        let key = added[0].idempotency_key.as_deref();
        return spi::select_kept(sql, &[name.into(), key.into()], |rows| {
            Ok(rows.first().get::<i64>(1)?.unwrap_or(0))
        });
    };
    if channel.form.is_notify() {
        notify_listeners(&channel.form, &added[0].message).map_err(unsendable)?;
    }
    Ok(*number)
}
