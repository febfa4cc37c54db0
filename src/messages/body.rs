//! The body of a message in the form of its channel, and the headers that need no secret.

use super::pure::email::Envelope;
use super::pure::message::{Fault, Language, Message};
use super::pure::{alertmanager, email, notify, pagerduty, slack, webhook};
use serde_json::{Map, Value, json};

/// A rendered message.
pub struct Body {
    /// The text of the body.
    pub text: String,
    /// The headers.
    pub headers: Map<String, Value>,
}

impl Body {
    fn json(text: String) -> Self {
        let headers = [("content-type".to_owned(), json!("application/json"))];
        Self { text, headers: headers.into_iter().collect() }
    }
}

/// The form of a channel's messages.
pub struct Form {
    /// The kind of the channel.
    pub kind: String,
    /// Its target.
    pub target: Value,
    /// Its language.
    pub language: Language,
}

impl Form {
    /// Whether the server itself delivers, by NOTIFY.
    pub fn is_notify(&self) -> bool {
        self.kind == "notify"
    }

    /// Whether the receiver keeps alerts open until it hears of their end.
    pub fn keeps_alerts(&self) -> bool {
        matches!(self.kind.as_str(), "pagerduty" | "alertmanager")
    }

    /// The channel of NOTIFY.
    pub fn listeners(&self) -> Option<&str> {
        let name = self.target.get("channel").and_then(Value::as_str)?;
        // NOTIFY takes no other name.
        ((1..=63).contains(&name.len()) && !name.contains('\0')).then_some(name)
    }

    /// Renders a message of a thread. `Err` is the reason why it cannot be sent.
    pub fn render(&self, message: &Message, thread: Option<&str>) -> Result<Body, String> {
        render(self, message, thread).map_err(|fault| fault.to_string())
    }
}

fn render(form: &Form, message: &Message, thread: Option<&str>) -> Result<Body, Fault> {
    let language = form.language;
    Ok(match form.kind.as_str() {
        "slack" => Body::json(slack::render(message, language)?.to_string()),
        "alertmanager" => Body::json(alertmanager::render(message, language)?.to_string()),
        "pagerduty" => {
            let mut body = pagerduty::render(message, language, "")?;
            // The sender adds its own key.
            if let Some(fields) = body.as_object_mut() {
                fields.remove("routing_key");
            }
            Body::json(body.to_string())
        }
        "notify" => Body::json(notify::render(message, language)?),
        "email" => mail(form, message, thread)?,
        _ => {
            let mut body = Body::json(webhook::body(message, language)?);
            body.headers.insert("webhook-id".to_owned(), json!(message.id));
            body
        }
    })
}

fn mail(form: &Form, message: &Message, thread: Option<&str>) -> Result<Body, Fault> {
    let target = &form.target;
    let from = target.get("from").and_then(Value::as_str).unwrap_or_default();
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain.trim_end_matches('>'));
    let mail = email::render(message, form.language, Envelope { domain, thread })?;
    let mut headers = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            headers.insert(name.to_owned(), value);
        }
    };
    put("from", target.get("from").cloned().unwrap_or_default());
    put("to", target.get("to").cloned().unwrap_or_default());
    put("subject", json!(mail.subject));
    put("message-id", json!(mail.message_id));
    put("in-reply-to", json!(mail.in_reply_to));
    put("references", json!(mail.in_reply_to));
    put("date", json!(mail.date));
    put("auto-submitted", json!(mail.auto_submitted));
    Ok(Body { text: mail.body, headers })
}
