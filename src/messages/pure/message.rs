//! The message as the outbox stores it. Its text is made when it is sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The origin of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A notice of a group of alerts.
    Alert,
    /// A payload that an application sends.
    Application,
    /// A try of a channel.
    Test,
}

/// The reason of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An alert fires, and no other audible one was announced before.
    Firing,
    /// The severity has risen.
    Escalated,
    /// More alerts fire.
    MoreAlerts,
    /// Alerts still fire.
    Reminder,
    /// Announced alerts have ended. Those that go on are muted.
    PartlyResolved,
    /// No alert fires any more.
    Resolved,
}

impl Reason {
    /// The words in the history. JSON has an underscore in place of each space.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Escalated => "escalated",
            Self::MoreAlerts => "more alerts",
            Self::Reminder => "reminder",
            Self::PartlyResolved => "partly resolved",
            Self::Resolved => "resolved",
        }
    }
}

/// The severity of a message or an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// No one has to act.
    Info,
    /// It will harm users if nothing is done.
    Warning,
    /// It harms users.
    Critical,
}

impl Severity {
    /// The word in tables and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the word; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == text)
    }
}

/// The language of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    En,
    /// French.
    Fr,
}

impl Language {
    /// Reads the code `en` or `fr`; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "en" => Some(Self::En),
            "fr" => Some(Self::Fr),
            _ => None,
        }
    }
}

/// The state of an alert in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It fires.
    Firing,
    /// Its value is clear, but not yet for long enough.
    Recovering,
    /// It does not fire any more.
    Resolved,
}

/// One alert of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The name of its rule.
    pub rule: String,
    /// The subject within the rule; empty for the rule itself.
    #[serde(default)]
    pub subject: String,
    /// Its severity.
    pub severity: Severity,
    /// The latest value.
    #[serde(default, with = "number")]
    pub value: Option<f64>,
    /// The threshold of its severity.
    #[serde(default, with = "number")]
    pub threshold: Option<f64>,
    /// The number of samples behind the value.
    #[serde(default)]
    pub samples: Option<i64>,
    /// The words of the rule about it; may be empty.
    #[serde(default)]
    pub text: String,
    /// When it fired, also for one that is resolved. In microseconds since 2000-01-01 UTC.
    pub since: i64,
    /// When it was resolved, in microseconds since 2000-01-01 UTC. `None` while it fires.
    #[serde(default)]
    pub ended: Option<i64>,
    /// Its state.
    pub state: State,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same on each retry, without a dot.
    pub id: String,
    /// Its origin.
    pub kind: Kind,
    /// In microseconds since 2000-01-01 UTC.
    pub created_at: i64,
    /// The worst severity of its alerts.
    pub severity: Severity,
    /// The level of escalation, from 1 to 3.
    pub level: u8,
    /// The reason of a notice; `None` for other messages.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// The group of the alerts, or the topic of an application.
    pub group: String,
    /// Replaces the title that the alerts would give.
    #[serde(default)]
    pub title: Option<String>,
    /// The name of the database.
    pub source: String,
    /// The alerts, worst first.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// The number of alerts that are not listed.
    #[serde(default)]
    pub more: usize,
    /// The payload of an application.
    #[serde(default)]
    pub data: Value,
}

impl Alert {
    /// How long it has fired, or fired until it was resolved, in microseconds. At least 0.
    #[must_use]
    pub fn length(&self, now: i64) -> i64 {
        self.ended.unwrap_or(now).min(now).saturating_sub(self.since).max(0)
    }
}

impl Message {
    /// Whether it says that announced alerts have ended.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self.reason, Some(Reason::Resolved | Reason::PartlyResolved))
    }

    /// Whether it says that a group has ended.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.reason == Some(Reason::Resolved)
    }

    /// The number of its alerts, listed or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.alerts.len().saturating_add(self.more)
    }
}

/// Why a message cannot be sent in a format. The message stays out of these texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its payload is longer than the service takes.
    #[error("the message needs {bytes} bytes, and the channel takes at most {limit}")]
    TooLarge {
        /// The bytes that it needs.
        bytes: usize,
        /// The bytes that the service takes.
        limit: usize,
    },
    /// Its identifier cannot be in a header.
    #[error("the identifier of a message has 1 to 255 letters, digits, \"-\" or \"_\"")]
    Id,
    /// The channel has no secret to sign with.
    #[error("the channel has no secret to sign messages with")]
    NoSecret,
}

/// Whether an identifier fits headers and signatures: no dot, no blank, at most 255 characters.
#[must_use]
pub fn is_valid_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=255).contains(&id.len()) && id.chars().all(fits)
}

/// JSON has no infinity, which alerts know as a value: it is a word there.
mod number {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Number(f64),
        Word(String),
    }

    pub fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) if value.is_infinite() => {
                to.serialize_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Some(value) if value.is_finite() => to.serialize_f64(*value),
            _ => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        match Option::<Stored>::deserialize(from)? {
            None => Ok(None),
            Some(Stored::Number(value)) => Ok(Some(value)),
            Some(Stored::Word(word)) => match word.as_str() {
                "Infinity" => Ok(Some(f64::INFINITY)),
                "-Infinity" => Ok(Some(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom("expected a number, Infinity or -Infinity")),
            },
        }
    }
}

#[cfg(test)]
#[allow(missing_docs, reason = "other tests use these messages")]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-28 02:26:40 UTC.
    pub const NOW: i64 = 849_148_000 * 1_000_000;

    /// A critical alert that fired 12 minutes ago.
    pub fn alert(rule: &str, subject: &str) -> Alert {
        Alert {
            rule: rule.into(),
            subject: subject.into(),
            severity: Severity::Critical,
            value: Some(6.25),
            threshold: Some(5.0),
            samples: Some(240),
            text: String::new(),
            since: NOW - 12 * 60_000_000,
            ended: None,
            state: State::Firing,
        }
    }

    /// A notice of the group `payments` of the database `shop`.
    pub fn notice(reason: Reason, alerts: Vec<Alert>) -> Message {
        Message {
            id: "0190a1b2-c3d4".into(),
            kind: Kind::Alert,
            created_at: NOW,
            severity: Severity::Critical,
            level: 1,
            reason: Some(reason),
            group: "payments".into(),
            title: None,
            source: "shop".into(),
            alerts,
            more: 0,
            data: Value::Null,
        }
    }

    /// A message of an application.
    pub fn application(data: Value) -> Message {
        let (kind, severity, reason) = (Kind::Application, Severity::Info, None);
        Message { kind, severity, data, ..Message { reason, ..notice(Reason::Firing, vec![]) } }
    }

    /// Any text: also control characters, escapes, emoji and texts of megabytes.
    pub fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\0\u{1b}\r\n\t".to_owned()),
            Just("\"\\<&>'`*_".to_owned()),
            Just("👩‍👩‍👧‍👦\u{301}\u{202e}é".to_owned()),
            Just("a b/c.d".to_owned()),
            ".{0,12}",
        ];
        let times = prop_oneof![16 => 0..4_usize, 3 => 200..2_000_usize, 1 => Just(9_000)];
        (piece, times).prop_map(|(piece, times)| piece.repeat(times))
    }

    /// A message whose texts have 10 MB each.
    pub fn huge(kind: Kind, piece: &str) -> Message {
        let text = piece.repeat(10_000_000 / piece.len());
        let long = Alert { rule: text.clone(), text: text.clone(), ..alert("", &text) };
        let data = serde_json::json!({"title": text, "text": text});
        let (group, source) = (text.clone(), text.clone());
        Message { kind, group, source, data, ..notice(Reason::Firing, vec![long]) }
    }

    fn any_severity() -> impl Strategy<Value = Severity> {
        prop_oneof![Just(Severity::Info), Just(Severity::Warning), Just(Severity::Critical)]
    }

    prop_compose! {
        fn any_alert()(
            (rule, subject, text) in (any_text(), any_text(), any_text()),
            severity in any_severity(),
            (value, threshold) in any::<(Option<f64>, Option<f64>)>(),
            (samples, since, ended) in any::<(Option<i64>, i64, Option<i64>)>(),
            state in prop_oneof![
                Just(State::Firing), Just(State::Recovering), Just(State::Resolved)
            ],
        ) -> Alert {
            Alert { rule, subject, severity, value, threshold, samples, text, since, ended, state }
        }
    }

    fn any_data() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any_text().prop_map(Value::String),
            (any_text(), any_text()).prop_map(|(title, text)| {
                serde_json::json!({"title": title, "text": text, "order": 7})
            }),
            proptest::collection::vec(any_text(), 0..3).prop_map(|all| serde_json::json!(all)),
        ]
    }

    prop_compose! {
        /// Any message.
        pub fn any_message()(
            id in prop_oneof![4 => "[a-z0-9-]{1,40}", 1 => any_text()],
            kind in prop_oneof![
                4 => Just(Kind::Alert), 2 => Just(Kind::Application), 1 => Just(Kind::Test),
            ],
            created_at in any::<i64>(),
            severity in any_severity(),
            level in 1..=3_u8,
            reason in proptest::option::of(prop_oneof![
                Just(Reason::Firing), Just(Reason::Escalated), Just(Reason::MoreAlerts),
                Just(Reason::Reminder), Just(Reason::PartlyResolved), Just(Reason::Resolved)
            ]),
            (group, source) in (any_text(), any_text()),
            title in proptest::option::of(any_text()),
            alerts in prop_oneof![
                4 => proptest::collection::vec(any_alert(), 0..5),
                1 => any_alert().prop_map(|mut alert| {
                    for text in [&mut alert.rule, &mut alert.subject, &mut alert.text] {
                        *text = text.chars().take(40).collect();
                    }
                    vec![alert; 400]
                })
            ],
            more in prop_oneof![Just(0), any::<usize>()],
            data in any_data(),
        ) -> Message {
            Message {
                id, kind, created_at, severity, level, reason, group, title, source, alerts, more,
                data,
            }
        }
    }

    #[test]
    fn the_stored_form_is_stable() {
        let mut message = notice(Reason::MoreAlerts, vec![alert("p95", "/pay")]);
        message.alerts[0].value = Some(f64::INFINITY);
        let stored = serde_json::to_value(&message).expect("JSON");
        assert_eq!(stored["reason"], "more_alerts");
        assert_eq!(stored["severity"], "critical");
        assert_eq!(stored["alerts"][0]["value"], "Infinity");
        assert_eq!(serde_json::from_value::<Message>(stored).ok(), Some(message));
        let oldest = r#"{"id":"1","kind":"test","created_at":0,"severity":"info","level":1,
            "group":"g","source":"s"}"#;
        assert!(serde_json::from_str::<Message>(oldest).is_ok());
        assert!(is_valid_id("0190a1b2-c3d4") && !is_valid_id("a.b") && !is_valid_id(""));
    }

    /// read_notices.sql turns the words of the history into those of JSON.
    #[test]
    fn each_reason_of_the_history_can_be_sent() {
        for reason in [
            Reason::Firing,
            Reason::Escalated,
            Reason::MoreAlerts,
            Reason::Reminder,
            Reason::PartlyResolved,
            Reason::Resolved,
        ] {
            let word = Value::String(reason.as_str().replace(' ', "_"));
            assert_eq!(serde_json::from_value::<Reason>(word).ok(), Some(reason));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_message_survives_its_storage(message in any_message()) {
            let stored = serde_json::to_string(&message).expect("JSON");
            let read: Message = serde_json::from_str(&stored).expect("a message");
            prop_assert_eq!(read.id, message.id);
            prop_assert_eq!(read.alerts.len(), message.alerts.len());
            prop_assert_eq!(read.data, message.data);
        }
    }
}
