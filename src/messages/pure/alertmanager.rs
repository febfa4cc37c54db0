//! The body of POST /api/v2/alerts of Alertmanager.

use super::cut::{key, one_line};
use super::message::{Alert, Fault, Language, Message, Reason, Severity, State};
use super::text;
use crate::time::instant::Instant;
use crate::time::minute::HOUR;
use serde_json::{Map, Value, json};

/// A label has at most this number of UTF-16 units.
const MAX_LABEL: usize = 250;
/// An annotation has at most this number of UTF-16 units.
const MAX_ANNOTATION: usize = 2_000;
/// Alerts of a body.
const MAX_ALERTS: usize = 500;
/// Alertmanager ends an alert after this time, in microseconds, if no end arrives. Its default of
/// five minutes is shorter than the time to the next reminder.
const HOLD: i64 = 24 * HOUR;

/// One alert for Alertmanager. Two with the same labels are the same one.
struct Entry<'a> {
    name: &'a str,
    subject: &'a str,
    severity: Severity,
    summary: String,
    since: i64,
    ended: Option<i64>,
    is_over: bool,
}

impl Entry<'_> {
    fn json(&self, message: &Message) -> Value {
        let mut labels = Map::new();
        for (name, value) in [
            ("alertname", self.name),
            ("severity", self.severity.as_str()),
            ("subject", self.subject),
            ("group", &message.group),
            ("source", &message.source),
        ] {
            let value = key(value, MAX_LABEL);
            // Alertmanager drops a label without a value, and needs one name.
            if !value.is_empty() {
                labels.insert(name.to_owned(), Value::String(value));
            } else if name == "alertname" {
                labels.insert(name.to_owned(), json!("crewsnow_ops"));
            }
        }
        let now = year_bound(message.created_at);
        let since = year_bound(self.since).min(now);
        // An end in the future would keep the alert.
        let ended = self.ended.map_or(now, |ended| year_bound(ended).clamp(since, now));
        let ends = if self.is_over { ended } else { now + HOLD };
        json!({
            "labels": labels,
            "annotations": {"summary": self.summary},
            "startsAt": Instant(since),
            "endsAt": Instant(ends),
        })
    }
}

/// The time, within the years 1900 to 9900: RFC 3339 knows years of four digits alone.
fn year_bound(time: i64) -> i64 {
    time.clamp(-100 * 365 * 24 * HOUR, 7_900 * 365 * 24 * HOUR)
}

/// The other severity that an alert can have had: a label of Alertmanager does not change, so the
/// alert with the old one is ended.
fn other(severity: Severity) -> Option<Severity> {
    match severity {
        Severity::Info => None,
        Severity::Warning => Some(Severity::Critical),
        Severity::Critical => Some(Severity::Warning),
    }
}

/// The array of alerts. An alert that ended has its end; alerts that are not listed are one alert
/// with the name of the group.
///
/// # Errors
///
/// None today; the signature is as for the other services.
pub fn render(message: &Message, language: Language) -> Result<Value, Fault> {
    let mut body = Vec::new();
    for alert in message.alerts.iter().take(MAX_ALERTS) {
        let is_over = message.is_resolved() || alert.state == State::Resolved;
        let mut entry = entry(alert, message, is_over, language);
        body.push(entry.json(message));
        let has_changed = is_over || message.reason == Some(Reason::Escalated);
        if let Some(severity) = other(alert.severity).filter(|_| has_changed) {
            (entry.severity, entry.is_over) = (severity, true);
            body.push(entry.json(message));
        }
    }
    let unlisted = message.count().saturating_sub(MAX_ALERTS.min(message.alerts.len()));
    // An earlier notice may have left alerts out, so the end of the group ends this one too.
    if unlisted > 0 || body.is_empty() || message.is_resolved() {
        let start = message.alerts.iter().map(|alert| alert.since).min();
        let mut whole = Entry {
            name: &message.group,
            subject: "",
            severity: message.severity,
            summary: one_line(&text::text(message, language).title, MAX_ANNOTATION),
            since: start.unwrap_or(message.created_at),
            ended: None,
            is_over: message.is_resolved(),
        };
        body.push(whole.json(message));
        if let Some(severity) = other(message.severity).filter(|_| whole.is_over) {
            whole.severity = severity;
            body.push(whole.json(message));
        }
    }
    Ok(Value::Array(body))
}

fn entry<'a>(alert: &'a Alert, message: &Message, is_over: bool, language: Language) -> Entry<'a> {
    Entry {
        name: &alert.rule,
        subject: &alert.subject,
        severity: alert.severity,
        summary: one_line(&text::line(alert, message, language), MAX_ANNOTATION),
        since: alert.since,
        ended: alert.ended,
        is_over,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::units;
    use super::super::message::Kind;
    use super::super::message::tests::{alert, any_message, application, huge, notice};
    use super::*;
    use proptest::prelude::*;

    fn array(message: &Message) -> Vec<Value> {
        match render(message, Language::En).expect("a body") {
            Value::Array(alerts) => alerts,
            other => panic!("{other} is no array"),
        }
    }

    #[test]
    fn an_alert_has_its_labels_and_its_end() {
        let message = notice(Reason::Firing, vec![alert("p95", "/pay")]);
        let firing = array(&message);
        assert_eq!(
            firing,
            [json!({
                "labels": {
                    "alertname": "p95", "severity": "critical", "subject": "/pay",
                    "group": "payments", "source": "shop"
                },
                "annotations": {
                    "summary": "Critical: p95 /pay is 6.25, above 5 (240 samples), \
                                since 02:14 UTC."
                },
                "startsAt": "2026-11-28T02:14:40.000000Z",
                "endsAt": "2026-11-29T02:26:40.000000Z",
            })]
        );
        let resolved = array(&Message { reason: Some(Reason::Resolved), ..message });
        assert_eq!(resolved[0]["labels"], firing[0]["labels"]);
        assert!(resolved.iter().all(|alert| alert["endsAt"] == "2026-11-28T02:26:40.000000Z"));
        // Both severities of the alert and of the group.
        assert_eq!(resolved.len(), 4);
    }

    #[test]
    fn an_escalation_ends_the_warning() {
        let alerts = array(&notice(Reason::Escalated, vec![alert("p95", "/pay")]));
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[1]["labels"]["severity"], "warning");
        assert_eq!(alerts[1]["endsAt"], "2026-11-28T02:26:40.000000Z");
    }

    #[test]
    fn alerts_that_are_not_listed_are_one_alert() {
        let mut message = notice(Reason::MoreAlerts, vec![alert("p95", "/pay")]);
        message.more = 9;
        let alerts = array(&message);
        assert_eq!(alerts[1]["labels"]["alertname"], "payments");
        assert_eq!(alerts[1]["labels"].get("subject"), None);
        let own = array(&application(json!({"title": "Order 7"})));
        assert_eq!(own[0]["annotations"]["summary"], "Order 7");
        let one_over = Alert { state: State::Resolved, ..alert("p95", "/pay") };
        let alerts = array(&notice(Reason::MoreAlerts, vec![one_over, alert("p95", "/b")]));
        assert_eq!(alerts[0]["endsAt"], "2026-11-28T02:26:40.000000Z");
        assert_eq!(alerts.last().map(|alert| &alert["labels"]["subject"]), Some(&json!("/b")));
    }

    #[test]
    fn long_names_stay_different() {
        let label = |end: &str| {
            let long = alert("p95", &format!("{}{end}", "x".repeat(400)));
            array(&notice(Reason::Firing, vec![long]))[0]["labels"]["subject"].clone()
        };
        assert_ne!(label("a"), label("b"));
        let body = render(&huge(Kind::Alert, "👩‍👧\0"), Language::En).expect("a body");
        assert!(body.to_string().len() < 10_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_body_is_valid(message in any_message()) {
            let alerts = array(&message);
            prop_assert!((1..=2 * MAX_ALERTS + 2).contains(&alerts.len()));
            for alert in alerts {
                let labels = alert["labels"].as_object().expect("labels");
                prop_assert!(labels.contains_key("alertname"));
                for value in labels.values() {
                    let value = value.as_str().unwrap_or_default();
                    prop_assert!((1..=MAX_LABEL).contains(&units(value)), "{}", value);
                }
                let time = |name: &str| {
                    let text = alert[name].as_str().unwrap_or_default();
                    prop_assert_eq!(text.len(), 27, "{}", text);
                    Instant::parse(text).ok_or_else(|| TestCaseError::fail("a time"))
                };
                prop_assert!(time("startsAt")? <= time("endsAt")?);
            }
        }
    }
}
