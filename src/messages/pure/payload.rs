//! A message as a JSON object for programs, cut to a number of bytes.

use super::cut::{Form, cut, one_line};
use super::message::{Alert, Fault, Kind, Language, Message};
use super::text;
use crate::time::instant::Instant;
use serde_json::{Map, Value, json};

/// Alerts that an object lists.
const MAX_ALERTS: usize = 100;
/// A name has at most this number of bytes.
const MAX_NAME: usize = 240;
/// A text has at most this number of bytes.
const MAX_TEXT: usize = 1_500;

fn short(text: &str, bytes: usize) -> String {
    cut(&one_line(text, bytes), bytes, Form::Json)
}

fn alert(alert: &Alert) -> Value {
    json!({
        "rule": short(&alert.rule, MAX_NAME),
        "subject": short(&alert.subject, MAX_NAME),
        "severity": alert.severity,
        // JSON has no infinity: it is null here.
        "value": alert.value,
        "threshold": alert.threshold,
        "samples": alert.samples,
        "text": short(&alert.text, MAX_NAME),
        "since": Instant(alert.since),
        "ended": alert.ended.map(Instant),
        "state": alert.state,
    })
}

/// The fields that every message has.
fn head(message: &Message) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("id", json!(message.id));
    put("kind", json!(message.kind));
    put("severity", json!(message.severity));
    put("level", json!(message.level));
    put("group", json!(short(&message.group, MAX_NAME)));
    put("source", json!(short(&message.source, MAX_NAME)));
    put("created_at", json!(Instant(message.created_at)));
    fields
}

/// The length of a value as compact JSON, in bytes.
fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// The message as an object of at most `limit` bytes, which is at least 4,000. Alerts that do not
/// fit are counted in `more`; the payload of an application is whole or refused.
///
/// # Errors
///
/// [`Fault::TooLarge`] for the payload of an application, [`Fault::Id`].
pub fn object(message: &Message, language: Language, limit: usize) -> Result<Value, Fault> {
    if !super::message::is_valid_id(&message.id) {
        return Err(Fault::Id);
    }
    let mut fields = head(message);
    if message.kind == Kind::Application {
        fields.insert("data".to_owned(), message.data.clone());
        let object = Value::Object(fields);
        let bytes = size(&object);
        return if bytes > limit { Err(Fault::TooLarge { bytes, limit }) } else { Ok(object) };
    }
    let text = text::text(message, language);
    fields.insert("reason".to_owned(), json!(message.reason));
    fields.insert("title".to_owned(), json!(cut(&text.title, MAX_NAME * 2, Form::Json)));
    fields.insert("text".to_owned(), json!(cut(&text.body, MAX_TEXT, Form::Json)));
    fields.insert("more".to_owned(), json!(usize::MAX));
    fields.insert("alerts".to_owned(), json!([]));
    let mut left = limit.saturating_sub(size(&Value::Object(fields.clone())));
    let mut listed = Vec::new();
    for alert in message.alerts.iter().take(MAX_ALERTS).map(alert) {
        // One byte more for the comma.
        let bytes = size(&alert) + 1;
        if bytes > left {
            break;
        }
        left -= bytes;
        listed.push(alert);
    }
    fields.insert("more".to_owned(), json!(message.count().saturating_sub(listed.len())));
    fields.insert("alerts".to_owned(), Value::Array(listed));
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{alert, any_message, application, notice};
    use super::super::message::{Reason, is_valid_id};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn alerts_that_do_not_fit_are_counted() {
        let alerts = (0..60).map(|i| alert("p95", &format!("/pay/{i}"))).collect();
        let storm = Message { more: 5, ..notice(Reason::Firing, alerts) };
        let object = object(&storm, Language::En, 4_000).expect("an object");
        let listed = object["alerts"].as_array().map_or(0, Vec::len);
        assert!((5..60).contains(&listed), "{listed}");
        assert_eq!(object["more"], 65 - listed);
        assert_eq!(object["alerts"][0]["since"], "2026-11-28T02:14:40.000000Z");
    }

    #[test]
    fn the_payload_of_an_application_is_whole_or_refused() {
        let data = json!({"order": 7});
        let object = |data| object(&application(data), Language::En, 4_000);
        assert_eq!(object(data.clone()).map(|object| object["data"].clone()), Ok(data));
        let fault = object(json!("x".repeat(4_000))).expect_err("too large");
        assert!(matches!(fault, Fault::TooLarge { bytes: 4_100.., limit: 4_000 }), "{fault}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_object_keeps_its_limit(message in any_message(), limit in 4_000..20_000_usize) {
            match object(&message, Language::Fr, limit) {
                Ok(object) => prop_assert!(size(&object) <= limit, "{}", size(&object)),
                Err(Fault::Id) => prop_assert!(!is_valid_id(&message.id)),
                Err(fault) => {
                    prop_assert_eq!(message.kind, Kind::Application, "{}", fault);
                }
            }
        }
    }
}
