//! `crewsnow_ops.claim_notifications()`: hands messages to a sender for the time of a lease.
//!
//! The claim is a short transaction of its own. The sender works outside of it and answers with
//! the token of the claim.

use super::body::{Body, Form};
use super::error::MessageError;
use super::outbox;
use super::pure::limiter::{Admission, Breaker, Bucket, Rate};
use super::pure::message::{Language, Message};
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::fmgr::spi;
use crate::pg::xact::{session, snapshot};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.claim_notifications(10, '1 minute');";
const MAX_MESSAGES: i32 = 1_000;
/// Limits of a lease, in microseconds.
const MIN_LEASE: i64 = 1_000_000;
const MAX_LEASE: i64 = 3_600_000_000;
/// Messages that a channel may send at once.
const BURST: u32 = 10;

/// The limits of a channel, as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Limiter {
    /// The tokens; `None` for a full bucket.
    #[serde(default)]
    pub bucket: Option<Bucket>,
    /// The circuit breaker.
    #[serde(default)]
    pub breaker: Breaker,
}

impl Limiter {
    /// Reads the stored form. One of another version counts as new.
    pub fn read(stored: Value) -> Self {
        serde_json::from_value(stored).unwrap_or_default()
    }

    /// The messages that may go now, at most `wanted`; their tokens are taken.
    fn take(&mut self, per_minute: i32, wanted: i32, now: i64) -> i32 {
        let wanted = match &self.breaker {
            Breaker::Closed { .. } => wanted,
            _ => wanted.min(1),
        };
        let per_minute = u32::try_from(per_minute).unwrap_or(1);
        let rate = Rate { per_minute, burst: BURST.min(per_minute) };
        let mut taken = 0;
        while taken < wanted {
            let bucket = self.bucket.get_or_insert_with(|| Bucket::new(now));
            if bucket.take(rate, now) != Admission::Go {
                break;
            }
            taken += 1;
        }
        taken
    }
}

/// A claimed message.
struct Claimed {
    message_id: i64,
    token: Option<pgrx::Uuid>,
    uid: Option<pgrx::Uuid>,
    channel: String,
    kind: String,
    attempt: i32,
    body: Body,
}

/// Claims messages. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 55000.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn claim_notifications(
    p_limit: Option<i32>,
    p_lease: Option<Interval>,
    p_channels: Option<Vec<Option<String>>>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(message_id, i64),
            name!(token, Option<pgrx::Uuid>),
            name!(channel, String),
            name!(kind, String),
            name!(attempt, i32),
            name!(uid, Option<pgrx::Uuid>),
            name!(headers, pgrx::JsonB),
            name!(body, String),
        ),
    >,
    ErrorReport,
> {
    let limit = p_limit.filter(|limit| (1..=MAX_MESSAGES).contains(limit)).ok_or(
        MessageError::OutOfRange {
            argument: "p_limit",
            least: "1",
            most: "1000",
            example: EXAMPLE,
        },
    )?;
    let lease = p_lease
        .map(|lease| lease.as_micros())
        .and_then(|lease| i64::try_from(lease).ok())
        .filter(|lease| (MIN_LEASE..=MAX_LEASE).contains(lease))
        .ok_or(MessageError::OutOfRange {
            argument: "p_lease",
            least: "1 second",
            most: "1 hour",
            example: EXAMPLE,
        })?;
    session::require_writable("claim messages")?;
    session::require_latest_snapshot("claim messages")?;
    let claimed = as_owner(|| {
        refuse_copy()?;
        claim(limit, lease, p_channels.map(|names| names.into_iter().flatten().collect()))
    })?;
    Ok(TableIterator::new(claimed.into_iter().map(|message| {
        let headers = pgrx::JsonB(Value::Object(message.body.headers));
        (
            message.message_id,
            message.token,
            message.channel,
            message.kind,
            message.attempt,
            message.uid,
            headers,
            message.body.text,
        )
    })))
}

/// Refuses to deliver from a restored or copied database, until it is adopted.
fn refuse_copy() -> Result<(), MessageError> {
    let (system, database) = snapshot::identity();
    let sql = include_str!("../../sql/messages/is_copy.sql");
    let arguments = [system.into(), database.to_u32().to_string().into()];
    let is_copy = spi::select_kept(sql, &arguments, |rows| {
        Ok::<_, MessageError>(rows.first().get::<bool>(1)?.unwrap_or(false))
    })?;
    if is_copy { Err(MessageError::Copy) } else { Ok(()) }
}

/// A channel that this claim has locked.
struct Locked {
    name: String,
    form: Form,
    per_minute: i32,
    limiter: Limiter,
}

fn claim(
    limit: i32,
    lease: i64,
    channels: Option<Vec<String>>,
) -> Result<Vec<Claimed>, MessageError> {
    let now = clock::now();
    let write = |sql: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]| {
        spi::connect_mut(|client| client.update(sql, None, arguments).map(drop))
    };
    write(include_str!("../../sql/messages/create_states.sql"), &[])?;
    outbox::tidy(now)?;
    let mut claimed = Vec::new();
    let locked = lock(channels, now)?;
    let mut left = i32::try_from(locked.len()).unwrap_or(i32::MAX);
    for mut channel in locked {
        // A channel with a long queue leaves room for the others.
        let free = limit.saturating_sub(i32::try_from(claimed.len()).unwrap_or(i32::MAX));
        let room = free.saturating_add(left - 1) / left.max(1);
        left -= 1;
        if room <= 0 || channel.limiter.breaker.admit(now) != Admission::Go {
            continue;
        }
        let taken = channel.limiter.clone().take(channel.per_minute, room, now);
        if taken == 0 {
            continue;
        }
        let found = claim_of(&channel, taken, now, lease)?;
        if found.is_empty() {
            continue;
        }
        // A message that waits for another one of its thread takes no token.
        channel.limiter.take(channel.per_minute, i32::try_from(found.len()).unwrap_or(0), now);
        let stored = pgrx::JsonB(serde_json::to_value(&channel.limiter).unwrap_or(json!({})));
        let sql = include_str!("../../sql/messages/write_limiter.sql");
        write(sql, &[channel.name.as_str().into(), stored.into()])?;
        claimed.extend(found);
    }
    Ok(claimed)
}

fn lock(channels: Option<Vec<String>>, now: i64) -> Result<Vec<Locked>, MessageError> {
    let sql = include_str!("../../sql/messages/lock_channels.sql");
    let arguments = [channels.into(), TimestampWithTimeZone::try_from(now).ok().into()];
    spi::connect_mut(|client| {
        let mut locked = Vec::new();
        for row in client.update(sql, None, &arguments)? {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let limiter = row.get::<pgrx::JsonB>(5)?.map(|stored| stored.0).unwrap_or_default();
            locked.push(Locked {
                name: text(1)?,
                form: Form {
                    kind: text(2)?,
                    target: outbox::parsed(row.get(6)?),
                    language: Language::parse(&text(3)?).unwrap_or(Language::En),
                },
                per_minute: row.get(4)?.unwrap_or(1),
                limiter: Limiter::read(limiter),
            });
        }
        Ok(locked)
    })
}

fn claim_of(
    channel: &Locked,
    taken: i32,
    now: i64,
    lease: i64,
) -> Result<Vec<Claimed>, MessageError> {
    let time = |at| TimestampWithTimeZone::try_from(at).ok();
    let sql = include_str!("../../sql/messages/claim.sql");
    let until = time(now.saturating_add(lease));
    let arguments = [channel.name.as_str().into(), taken.into(), time(now).into(), until.into()];
    let (mut claimed, mut broken) = (Vec::new(), Vec::new());
    spi::connect_mut(|client| {
        for row in client.update(sql, None, &arguments)? {
            let message_id = row.get::<i64>(1)?.unwrap_or(0);
            let (token, uid) = (row.get::<pgrx::Uuid>(2)?, row.get::<pgrx::Uuid>(3)?);
            let stored = row.get::<String>(4)?.unwrap_or_default();
            let thread = row.get::<String>(6)?;
            let rendered = serde_json::from_str::<Message>(&stored)
                .map_err(|error| error.to_string())
                .and_then(|message| {
                    let id = uid.map(|uid| uid.to_string()).unwrap_or_default();
                    channel.form.render(&Message { id, ..message }, thread.as_deref())
                });
            match rendered {
                Ok(body) => claimed.push(Claimed {
                    message_id,
                    token,
                    uid,
                    channel: channel.name.clone(),
                    kind: channel.form.kind.clone(),
                    attempt: row.get(5)?.unwrap_or(1),
                    body,
                }),
                Err(reason) => broken.push((message_id, reason)),
            }
        }
        for (message, reason) in broken {
            let sql = include_str!("../../sql/messages/give_up.sql");
            client.update(sql, None, &[message.into(), reason.into()])?;
        }
        Ok::<_, MessageError>(())
    })?;
    Ok(claimed)
}
