//! The body of an event for PagerDuty's Events API v2.

use super::cut::{Form, cut, digest, one_line};
use super::message::{Fault, Language, Message, Severity};
use super::payload;
use super::text;
use crate::time::instant::Instant;
use serde_json::{Value, json};

/// In UTF-16 units.
const MAX_SUMMARY: usize = 1_024;
/// In bytes.
const MAX_KEY: usize = 255;
/// A name has at most this number of UTF-16 units.
const MAX_NAME: usize = 240;
/// The details have at most this number of bytes. The service takes 512 KB for an event.
const MAX_DETAILS: usize = 100_000;

/// The key of an incident, the same for the first notice of a group, its reminders and its end. A
/// message without a reason is an incident of its own, and its retries are the same one.
#[must_use]
pub fn dedup_key(message: &Message) -> String {
    let mut parts = vec![message.source.as_str(), message.group.as_str()];
    if message.reason.is_none() {
        parts.push(&message.id);
    }
    let is_plain =
        |part: &&str| !part.is_empty() && !part.contains(|c: char| c == '/' || c.is_control());
    let key = parts.join("/");
    // With a slash within a name two keys could be one.
    if key.len() <= MAX_KEY && parts.iter().all(is_plain) {
        key
    } else {
        format!("sha256-{}", digest(&parts))
    }
}

/// The event. `routing_key` is the secret of the channel.
///
/// # Errors
///
/// [`Fault::TooLarge`] for the payload of an application, [`Fault::Id`].
pub fn render(message: &Message, language: Language, routing_key: &str) -> Result<Value, Fault> {
    let key = dedup_key(message);
    if message.is_end() {
        return Ok(json!({
            "routing_key": routing_key,
            "event_action": "resolve",
            "dedup_key": key,
        }));
    }
    let details = payload::object(message, language, MAX_DETAILS)?;
    let name = |text: &str| {
        let line = one_line(text, MAX_NAME);
        if line.is_empty() { "crewsnow_ops".to_owned() } else { line }
    };
    let mut summary = cut(&text::text(message, language).title, MAX_SUMMARY, Form::Plain);
    if summary.is_empty() {
        summary = name(&message.group);
    }
    let severity = match message.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    Ok(json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "payload": {
            "summary": summary,
            "source": name(&message.source),
            "severity": severity,
            "timestamp": Instant(message.created_at),
            "component": name(&message.group),
            "group": name(&message.group),
            "custom_details": details,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::units;
    use super::super::message::tests::{alert, any_message, application, huge, notice};
    use super::super::message::{Kind, Reason, is_valid_id};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_group_resolves_its_incident() {
        let first = notice(Reason::Firing, vec![alert("p95", "/pay")]);
        let trigger = render(&first, Language::En, "R0").expect("an event");
        assert_eq!(trigger["event_action"], "trigger");
        assert_eq!(trigger["dedup_key"], "shop/payments");
        assert_eq!(trigger["payload"]["severity"], "critical");
        assert_eq!(trigger["payload"]["summary"], "Critical: p95 /pay (payments on shop)");
        assert_eq!(trigger["payload"]["custom_details"]["alerts"][0]["rule"], "p95");
        let last = Message { id: "2".into(), reason: Some(Reason::Resolved), ..first };
        assert_eq!(
            render(&last, Language::En, "R0"),
            Ok(json!({
                "routing_key": "R0", "event_action": "resolve", "dedup_key": "shop/payments"
            }))
        );
    }

    #[test]
    fn messages_of_applications_are_incidents_of_their_own() {
        let one = application(json!({"title": "Order 7"}));
        assert_eq!(dedup_key(&one), "shop/payments/0190a1b2-c3d4");
        let two = Message { id: "2".into(), ..one.clone() };
        assert_ne!(dedup_key(&one), dedup_key(&two));
    }

    #[test]
    fn long_and_odd_names_become_a_hash() {
        let key = |source: &str, group: &str| {
            let (source, group) = (source.to_owned(), group.to_owned());
            dedup_key(&Message { source, group, ..notice(Reason::Firing, vec![]) })
        };
        assert_ne!(key("a/b", "c"), key("a", "b/c"));
        assert_ne!(key("ab", ""), key("a", "b"));
        let long = key(&"a".repeat(300), "b");
        assert!(long.starts_with("sha256-") && long.len() <= MAX_KEY, "{long}");
        assert_ne!(long, key(&"a".repeat(301), "b"));
        assert_eq!(long, key(&"a".repeat(300), "b"));
    }

    #[test]
    fn ten_megabytes_become_a_short_event() {
        for piece in ["\u{1}\"", "👩‍👧 <", "x"] {
            let event = render(&huge(Kind::Alert, piece), Language::En, "R0").expect("an event");
            assert!(event.to_string().len() < 10_000);
        }
        let fault = render(&huge(Kind::Application, "x"), Language::En, "R0");
        assert!(matches!(fault, Err(Fault::TooLarge { .. })), "{fault:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_event_keeps_its_limits(message in any_message()) {
            prop_assert!((1..=MAX_KEY).contains(&dedup_key(&message).len()));
            match render(&message, Language::Fr, "R0") {
                Ok(event) => {
                    let summary = event["payload"]["summary"].as_str().unwrap_or("resolve");
                    prop_assert!((1..=MAX_SUMMARY).contains(&units(summary)));
                    prop_assert!(event.to_string().len() < 512_000);
                }
                Err(Fault::Id) => prop_assert!(!is_valid_id(&message.id)),
                Err(fault) => prop_assert_eq!(message.kind, Kind::Application, "{}", fault),
            }
        }
    }
}
