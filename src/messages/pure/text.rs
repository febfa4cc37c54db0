//! The title and the text of a message, for the person that it wakes.

use super::cut::{Form, cut, one_line, paragraph};
use super::message::{Alert, Kind, Language, Message, Reason, Severity, State};
use super::words;
use serde_json::Value;

use Language::{En, Fr};

/// A text of alerts has at most this number of lines.
pub const MAX_LINES: usize = 10;
/// A title has at most this number of UTF-16 units.
pub const MAX_TITLE: usize = 200;
/// A text has at most this number of UTF-16 units.
pub const MAX_TEXT: usize = 20_000;
/// Alerts that a text lists; the other lines are for the summary, the rest and the next step.
const MAX_ALERTS: usize = 6;
/// A name within a text has at most this number of UTF-16 units.
const MAX_NAME: usize = 80;
/// The words of a rule have at most this number of UTF-16 units.
const MAX_WORDS: usize = 200;

/// A message in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line of at most [`MAX_TITLE`] UTF-16 units.
    pub title: String,
    /// At most [`MAX_TEXT`] UTF-16 units. At most [`MAX_LINES`] lines for alerts.
    pub body: String,
}

/// The title and the text of a message.
#[must_use]
pub fn text(message: &Message, language: Language) -> Text {
    let (title, body) = match message.kind {
        Kind::Alert => (alert_title(message, language), alert_body(message, language)),
        Kind::Test => test(message, language),
        Kind::Application => application(message, language),
    };
    let title = message.title.as_deref().filter(|own| !own.trim().is_empty()).unwrap_or(&title);
    Text { title: one_line(title, MAX_TITLE), body: paragraph(&body, MAX_TEXT) }
}

fn name(text: &str) -> String {
    one_line(text, MAX_NAME)
}

/// The group and the database.
fn place(message: &Message, language: Language) -> String {
    let (group, source) = (name(&message.group), name(&message.source));
    match language {
        En => format!("{group} on {source}"),
        Fr => format!("{group} sur {source}"),
    }
}

/// The rule of an alert and its subject.
fn subject(alert: &Alert) -> String {
    let (rule, subject) = (name(&alert.rule), name(&alert.subject));
    if subject.is_empty() { rule } else { format!("{rule} {subject}") }
}

fn alerts(count: usize, language: Language) -> String {
    let number = words::count(count, language);
    match (language, count) {
        (En, 1) => "1 alert".to_owned(),
        (En, _) => format!("{number} alerts"),
        (Fr, 0 | 1) => format!("{number} alerte"),
        (Fr, _) => format!("{number} alertes"),
    }
}

/// The time since the first of some alerts fired, in microseconds. `None` without one.
fn age(message: &Message, counts: impl Fn(&&Alert) -> bool) -> Option<i64> {
    let since = message.alerts.iter().filter(counts).map(|alert| alert.since).min()?;
    Some(message.created_at.saturating_sub(since).max(0))
}

/// One alert by name, several by number.
fn what(message: &Message, language: Language) -> String {
    match message.alerts.as_slice() {
        [alert] if message.more == 0 => subject(alert),
        _ => alerts(message.count(), language),
    }
}

fn alert_title(message: &Message, language: Language) -> String {
    let severity = words::capital(words::severity(message.severity, language));
    let what = what(message, language);
    let place = place(message, language);
    // A group that has been critical for a minute may have an old warning.
    let is_worst = |alert: &&Alert| message.is_resolved() || alert.severity == message.severity;
    let length = age(message, is_worst).map(|age| words::duration(age, language));
    let length = length.unwrap_or_default();
    let has_length = !length.is_empty();
    match (language, message.reason) {
        (En, None | Some(Reason::Firing)) => format!("{severity}: {what} ({place})"),
        (Fr, None | Some(Reason::Firing)) => format!("{severity} : {what} ({place})"),
        (En, Some(Reason::Escalated)) => format!("{severity} now: {what} ({place})"),
        (Fr, Some(Reason::Escalated)) => format!("{severity} désormais : {what} ({place})"),
        (En, Some(Reason::MoreAlerts)) => format!("{severity}, more alerts: {what} ({place})"),
        (Fr, Some(Reason::MoreAlerts)) => {
            format!("{severity}, nouvelles alertes : {what} ({place})")
        }
        (En, Some(Reason::Reminder)) if has_length => {
            format!("{severity} for {length}: {what} ({place})")
        }
        (Fr, Some(Reason::Reminder)) if has_length => {
            format!("{severity} depuis {length} : {what} ({place})")
        }
        (En, Some(Reason::Reminder)) => format!("{severity}, still: {what} ({place})"),
        (Fr, Some(Reason::Reminder)) => format!("{severity}, toujours : {what} ({place})"),
        (En, Some(Reason::PartlyResolved)) => format!("Partly resolved: {place}"),
        (Fr, Some(Reason::PartlyResolved)) => format!("Résolu en partie : {place}"),
        (En, Some(Reason::Resolved)) if has_length => {
            format!("Resolved after {length}: {what} ({place})")
        }
        (Fr, Some(Reason::Resolved)) if has_length => {
            format!("Résolu après {length} : {what} ({place})")
        }
        (En, Some(Reason::Resolved)) => format!("Resolved: {place}"),
        (Fr, Some(Reason::Resolved)) => format!("Résolu : {place}"),
    }
}

/// The first sentence of a notice.
fn summary(message: &Message, language: Language) -> String {
    let now = message.created_at;
    let (count, place) = (message.count(), place(message, language));
    let number = alerts(count, language);
    let since = age(message, |_| true)
        .map(|age| (words::time(now.saturating_sub(age), now), words::duration(age, language)));
    let (start, length) = since.unwrap_or_default();
    let one = count == 1;
    match (language, message.reason) {
        (En, Some(Reason::Resolved)) if length.is_empty() => {
            format!("All alerts in {place} are over.")
        }
        (Fr, Some(Reason::Resolved)) if length.is_empty() => {
            format!("Toutes les alertes dans {place} sont terminées.")
        }
        // The line of a single alert says how long it lasted.
        (En, Some(Reason::Resolved)) if one => format!("No alert in {place} fires any more."),
        (Fr, Some(Reason::Resolved)) if one => format!("Plus aucune alerte dans {place}."),
        (En, Some(Reason::Resolved)) => {
            format!("No alert in {place} fires any more. It lasted {length}, from {start}.")
        }
        (Fr, Some(Reason::Resolved)) => {
            format!("Plus aucune alerte dans {place}. Durée : {length}, début : {start}.")
        }
        (En, Some(Reason::PartlyResolved)) => {
            format!("The announced alerts in {place} are over. Others go on, muted.")
        }
        (Fr, Some(Reason::PartlyResolved)) => {
            format!("Les alertes annoncées dans {place} sont terminées. D'autres restent muettes.")
        }
        (En, _) if length.is_empty() => format!("{number} in {place}."),
        (Fr, _) if length.is_empty() => format!("{number} dans {place}."),
        (En, _) if one => {
            format!("1 alert in {place} has been firing since {start} ({length}).")
        }
        (Fr, _) if one => {
            format!("1 alerte dans {place} est active depuis {start} ({length}).")
        }
        (En, _) => {
            format!("{number} in {place} are firing, the first since {start} ({length}).")
        }
        (Fr, _) => {
            format!("{number} dans {place} sont actives, la première depuis {start} ({length}).")
        }
    }
}

/// The value of an alert, its threshold and its samples.
fn reading(alert: &Alert, language: Language) -> String {
    let Some(value) = alert.value.filter(|value| !value.is_nan()) else {
        return match language {
            En => "has no value".to_owned(),
            Fr => "sans valeur".to_owned(),
        };
    };
    let mut text = match alert.threshold.filter(|threshold| !threshold.is_nan()) {
        None => words::number(value, language),
        Some(threshold) => {
            let (value_text, threshold_text) = words::numbers(value, threshold, language);
            let relation = match (language, value.partial_cmp(&threshold)) {
                (En, Some(std::cmp::Ordering::Greater)) => "above",
                (Fr, Some(std::cmp::Ordering::Greater)) => "au-dessus de",
                (En, Some(std::cmp::Ordering::Less)) => "below",
                (Fr, Some(std::cmp::Ordering::Less)) => "en dessous de",
                (En, _) => "at",
                (Fr, _) => "égal à",
            };
            format!("{value_text}, {relation} {threshold_text}")
        }
    };
    text.insert_str(
        0,
        match language {
            En => "is ",
            Fr => "vaut ",
        },
    );
    if let Some(samples) = alert.samples.and_then(|samples| usize::try_from(samples).ok()) {
        let number = words::count(samples, language);
        text.push_str(&match (language, samples) {
            (En, 1) => " (1 sample)".to_owned(),
            (En, _) => format!(" ({number} samples)"),
            (Fr, 0 | 1) => format!(" ({number} mesure)"),
            (Fr, _) => format!(" ({number} mesures)"),
        });
    }
    text
}

/// The state of an alert, its start and its length, where they say more than the summary.
fn course(alert: &Alert, message: &Message, language: Language) -> String {
    let now = message.created_at;
    let length = words::duration(alert.length(now), language);
    let start = words::time(alert.since, now);
    let is_over = message.is_resolved() || alert.state == State::Resolved;
    match (language, alert.state) {
        (En, _) if is_over => format!("lasted {length}, from {start}"),
        (Fr, _) if is_over => format!("durée {length}, début {start}"),
        (En, State::Recovering) => format!("recovering, since {start}"),
        (Fr, State::Recovering) => format!("en rétablissement, depuis {start}"),
        (En, _) => format!("since {start}"),
        (Fr, _) => format!("depuis {start}"),
    }
}

/// One line about an alert.
#[must_use]
pub fn line(alert: &Alert, message: &Message, language: Language) -> String {
    let is_over = message.is_resolved() || alert.state == State::Resolved;
    let colon = match language {
        En => ":",
        Fr => " :",
    };
    let subject = subject(alert);
    let course = course(alert, message, language);
    if is_over {
        // The last value is a clear one: beside the threshold it reads as an alert.
        return format!("{subject}{colon} {course}.");
    }
    let reading = reading(alert, language);
    let severity = words::capital(words::severity(alert.severity, language));
    let words = one_line(&alert.text, MAX_WORDS);
    let words = if words.is_empty() { words } else { format!(" {words}") };
    format!("{severity}{colon} {subject} {reading}, {course}.{words}")
}

fn rest(count: usize, language: Language) -> String {
    let number = words::count(count, language);
    match (language, count) {
        (En, 1) => "1 more alert is not listed.".to_owned(),
        (En, _) => format!("{number} more alerts are not listed."),
        (Fr, 1) => "1 autre alerte n’est pas listée.".to_owned(),
        (Fr, _) => format!("{number} autres alertes ne sont pas listées."),
    }
}

/// The lines of the alerts, and one for the alerts that they leave out.
fn list(message: &Message, language: Language) -> Vec<String> {
    let listed = message.alerts.iter().take(MAX_ALERTS);
    let mut lines: Vec<String> =
        listed.map(|alert| format!("- {}", line(alert, message, language))).collect();
    let left = message.count().saturating_sub(lines.len());
    if left > 0 {
        lines.push(rest(left, language));
    }
    lines
}

fn alert_body(message: &Message, language: Language) -> String {
    let mut lines = vec![summary(message, language)];
    lines.extend(list(message, language));
    if !message.is_resolved() {
        if message.level > 1 {
            lines.push(match language {
                En => format!("Escalation level {}.", message.level),
                Fr => format!("Niveau d’escalade {}.", message.level),
            });
        }
        lines.push(match language {
            En => "To see all: SELECT * FROM crewsnow_ops.alerts;".to_owned(),
            Fr => "Pour tout voir : SELECT * FROM crewsnow_ops.alerts;".to_owned(),
        });
    }
    lines.join("\n")
}

fn test(message: &Message, language: Language) -> (String, String) {
    let source = name(&message.source);
    let date = words::date(message.created_at);
    match language {
        En => (
            format!("Test message from {source}"),
            format!("This channel works. Sent from {source} at {date}. No action is needed."),
        ),
        Fr => (
            format!("Message de test de {source}"),
            format!("Ce canal fonctionne. Envoyé par {source} le {date}. Aucune action requise."),
        ),
    }
}

/// The words of an application: its `title` and `text`, or its whole payload as JSON.
fn application(message: &Message, language: Language) -> (String, String) {
    let field = |name: &str| match message.data.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text.as_str()),
        _ => None,
    };
    let severity = match message.severity {
        Severity::Info => String::new(),
        worse => format!("{}: ", words::capital(words::severity(worse, language))),
    };
    let title = match field("title") {
        Some(title) => one_line(title, MAX_TITLE),
        None => format!("{severity}{}", place(message, language)),
    };
    let body = match (field("text"), &message.data) {
        (Some(text), _) => paragraph(text, MAX_TEXT),
        (None, Value::Null) => title.clone(),
        (None, data) => cut(&data.to_string(), MAX_TEXT, Form::Plain),
    };
    (title, body)
}

#[cfg(test)]
#[path = "text/tests.rs"]
mod tests;
