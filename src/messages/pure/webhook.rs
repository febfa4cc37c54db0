//! Signed webhooks, as in Standard Webhooks 1.0.0.

use super::message::{Fault, Kind, Language, Message, Reason, is_valid_id};
use super::payload;
use crate::time::instant::Instant;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use std::fmt;

const SECOND: i64 = 1_000_000;
/// Seconds from 1970-01-01 to 2000-01-01.
const UNIX_TO_2000: i64 = 946_684_800;
/// The body has fewer bytes than this.
pub const MAX_BYTES: usize = 20_000;
/// The type, the time and the braces around the data, in bytes.
const ENVELOPE: usize = 200;
/// A secret has at least this number of bytes.
const MIN_SECRET: usize = 24;
/// A secret has at most this number of bytes.
const MAX_SECRET: usize = 64;
/// A signature is too old, or too new, beyond this number of seconds.
const TOLERANCE: i64 = 300;

/// Why a text is no secret. The text stays out of these messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// It has no prefix.
    #[error("a secret begins with whsec_")]
    Prefix,
    /// Its rest is no base64.
    #[error("the part of the secret after whsec_ is not valid base64")]
    Base64,
    /// It has too few or too many bytes.
    #[error("a secret has 24 to 64 bytes before base64, not {0}")]
    Length(usize),
}

/// A key that signs messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    ///
    /// The reason for which the text is no secret.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(BadSecret::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadSecret::Base64)?;
        if !(MIN_SECRET..=MAX_SECRET).contains(&bytes.len()) {
            return Err(BadSecret::Length(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The hash over the identifier, the time and the body. `None` never happens: a key of HMAC has
    /// any length.
    fn hash(&self, id: &str, timestamp: i64, body: &str) -> Option<Hmac<Sha256>> {
        let mut hash = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        hash.update(format!("{id}.{timestamp}.").as_bytes());
        hash.update(body.as_bytes());
        Some(hash)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A request: its headers and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Header `webhook-id`, the same on each retry.
    pub id: String,
    /// Header `webhook-timestamp`: the time of this attempt, in seconds since 1970.
    pub timestamp: i64,
    /// Header `webhook-signature`: one signature for each secret, in their order.
    pub signature: String,
    /// The body, as JSON.
    pub body: String,
}

/// The type of the body, with dots.
fn event(message: &Message) -> &'static str {
    match (message.kind, message.reason) {
        (Kind::Application, _) => "crewsnow_ops.application.sent",
        (Kind::Test, _) => "crewsnow_ops.test.sent",
        (Kind::Alert, Some(Reason::Resolved)) => "crewsnow_ops.alerts.resolved",
        (Kind::Alert, Some(Reason::PartlyResolved)) => "crewsnow_ops.alerts.partly_resolved",
        (Kind::Alert, _) => "crewsnow_ops.alerts.firing",
    }
}

/// The body, the same on each retry.
///
/// # Errors
///
/// [`Fault::TooLarge`] for the payload of an application, [`Fault::Id`].
pub fn body(message: &Message, language: Language) -> Result<String, Fault> {
    if !is_valid_id(&message.id) {
        return Err(Fault::Id);
    }
    let data = match message.kind {
        // The payload is the caller's own: receivers know its form.
        Kind::Application => message.data.clone(),
        _ => payload::object(message, language, MAX_BYTES - ENVELOPE)?,
    };
    let (kind, time) = (event(message), Instant(message.created_at));
    let body = json!({"type": kind, "timestamp": time, "data": data}).to_string();
    if body.len() >= MAX_BYTES {
        return Err(Fault::TooLarge { bytes: body.len(), limit: MAX_BYTES - 1 });
    }
    Ok(body)
}

/// The request of an attempt at `now`, in microseconds since 2000-01-01 UTC. While a secret
/// rotates, both the new one and the old one sign.
///
/// # Errors
///
/// [`Fault::TooLarge`] for the payload of an application, [`Fault::Id`], [`Fault::NoSecret`].
pub fn render(
    message: &Message,
    language: Language,
    secrets: &[Secret],
    now: i64,
) -> Result<Request, Fault> {
    let body = body(message, language)?;
    let timestamp = now.div_euclid(SECOND).saturating_add(UNIX_TO_2000);
    let signature = sign(&message.id, timestamp, &body, secrets);
    if signature.is_empty() {
        return Err(Fault::NoSecret);
    }
    Ok(Request { id: message.id.clone(), timestamp, signature, body })
}

/// One signature for each secret, with spaces between them.
fn sign(id: &str, timestamp: i64, body: &str, secrets: &[Secret]) -> String {
    let hashes = secrets.iter().filter_map(|secret| secret.hash(id, timestamp, body));
    let signatures: Vec<String> = hashes
        .map(|hash| format!("v1,{}", STANDARD.encode(hash.finalize().into_bytes())))
        .collect();
    signatures.join(" ")
}

/// Whether one of the signatures of a request fits the secret, in constant time, and its time is
/// within five minutes of `now`, in seconds since 1970.
#[must_use]
pub fn verify(request: &Request, secret: &Secret, now: i64) -> bool {
    let is_fresh = now.abs_diff(request.timestamp) <= TOLERANCE.unsigned_abs();
    let fits = |signature: &str| {
        let hash = secret.hash(&request.id, request.timestamp, &request.body)?;
        let bytes = STANDARD.decode(signature.strip_prefix("v1,")?).ok()?;
        Some(hash.verify_slice(&bytes).is_ok())
    };
    is_fresh && request.signature.split(' ').any(|signature| fits(signature) == Some(true))
}

#[cfg(test)]
#[path = "webhook/tests.rs"]
mod tests;
