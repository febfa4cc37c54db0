//! The board: all alerts that are not ok, and their groups. A tick changes it rule by rule, then
//! asks it for the notices. A replay does the same without notices.

use super::machine::{Alert, Change, State, step};
use super::notice::Sent;
use super::reading::Reading;
use super::rule::{Conditions, NoData, Severity, Threshold};
use crate::time::minute::DAY;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that keeps its state ends the alert of a subject that has no row for so long, in
/// microseconds.
const EXPIRES_AFTER: i64 = DAY;
/// The event of that end.
const EXPIRED: &str = "expired";

/// A rule, as far as the board needs it.
#[derive(Debug, Clone)]
pub struct BoardRule {
    /// The name.
    pub name: String,
    /// The group.
    pub group: String,
    /// The thresholds and times.
    pub conditions: Conditions,
}

/// A row of a rule's query.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The subject.
    pub subject: String,
    /// The value, or the lack of it.
    pub reading: Reading,
    /// The message.
    pub message: Option<String>,
    /// Whether it comes from a simulation.
    pub is_simulated: bool,
}

/// An alert and the facts that are stored with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The state machine.
    pub alert: Alert,
    /// The number from pending to resolved; `None` while the state is ok.
    pub id: Option<i64>,
    /// The latest value.
    pub value: Option<f64>,
    /// Samples of that value.
    pub samples: Option<i64>,
    /// The message with that value.
    pub message: Option<String>,
    /// Whether the value came from a simulation.
    pub is_simulated: bool,
    /// Whether an acknowledgement is in effect.
    pub is_acknowledged: bool,
    /// The number of the group whose notice named it last; `None` if no notice did.
    pub announced_in: Option<i64>,
}

impl Entry {
    /// An alert that is ok and was never evaluated.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Self {
            alert: Alert::new(now),
            id: None,
            value: None,
            samples: None,
            message: None,
            is_simulated: false,
            is_acknowledged: false,
            announced_in: None,
        }
    }

    /// Whether it belongs to its group: it fires or recovers.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.alert.state, State::Firing | State::Recovering)
    }

    fn severity(&self) -> Severity {
        self.alert.severity.unwrap_or(Severity::Warning)
    }
}

/// A group with active alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenGroup {
    /// The number from opened to closed.
    pub id: i64,
    /// When its first alert fired, in microseconds since 2000.
    pub opened_at: i64,
    /// The worst severity of its alerts.
    pub severity: Severity,
    /// The number of its active alerts.
    pub members: usize,
    /// The latest notice.
    pub last_notice: Option<Sent>,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// The word, as in alert_events.
    pub event: &'static str,
    /// The group.
    pub group: Option<String>,
    /// Its number.
    pub group_id: Option<i64>,
    /// The rule.
    pub rule: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The number of the alert.
    pub alert_id: Option<i64>,
    /// The severity after the event.
    pub severity: Option<Severity>,
    /// The value.
    pub value: Option<f64>,
    /// The message.
    pub message: Option<String>,
    /// The reason why a notice was not sent.
    pub suppressed_by: Option<String>,
    /// More facts.
    pub details: Option<Value>,
}

/// A rule and a subject.
pub type Key = (String, String);

/// An alert that a notice named and that has ended in this tick.
#[derive(Debug, Clone)]
struct Ended {
    key: Key,
    /// The group of its rule; `None` for a rule that is gone.
    group: Option<String>,
    announced_in: i64,
    /// Whether it ended for want of data.
    is_expired: bool,
}

/// All alerts that are not ok, or were not ok lately, and their groups.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// The alerts.
    pub entries: BTreeMap<Key, Entry>,
    /// The groups with active alerts.
    pub groups: BTreeMap<String, OpenGroup>,
    /// The history of this tick.
    pub events: Vec<Event>,
    ended: Vec<Ended>,
}

impl Board {
    /// Applies one evaluation of a rule. `next_id` numbers alerts.
    pub fn apply<E>(
        &mut self,
        rule: &BoardRule,
        now: i64,
        rows: &[Row],
        next_id: &mut impl FnMut() -> Result<i64, E>,
    ) -> Result<(), E> {
        // A rule without any row is a subject of its own, if that is to alert.
        let whole;
        let rows = if rows.is_empty() && rule.conditions.no_data == NoData::Alert {
            whole = [Row {
                subject: String::new(),
                reading: Reading::NoData,
                message: Some("the query returned no row".to_owned()),
                is_simulated: false,
            }];
            &whole[..]
        } else {
            rows
        };
        for row in rows {
            self.apply_row(rule, now, row, &rule.conditions, next_id)?;
        }
        let named: BTreeSet<&str> = rows.iter().map(|row| row.subject.as_str()).collect();
        let absent: Vec<(String, bool)> = self
            .of_rule(&rule.name)
            .filter(|(subject, _)| !named.contains(subject.as_str()))
            .map(|(subject, entry)| (subject.clone(), entry.is_simulated))
            .collect();
        for (subject, is_simulated) in absent {
            let mut conditions = rule.conditions.clone();
            // The end of a simulation is the end of its alert. A rule that has rows again is no
            // subject of its own any more.
            if is_simulated || subject.is_empty() && !rows.is_empty() {
                conditions.no_data = NoData::Ok;
            }
            let key = (rule.name.clone(), subject.clone());
            let timers = self.entries.get(&key).map(|entry| &entry.alert.timers);
            let absence = timers.map_or(0, |timers| timers.absence(conditions.timing.every, now));
            let row = Row { subject, reading: Reading::NoData, message: None, is_simulated };
            self.apply_row(rule, now, &row, &conditions, next_id)?;
            if conditions.no_data == NoData::Keep {
                self.note_absence(rule, &key, absence);
            }
        }
        Ok(())
    }

    /// Ends an alert that would be kept for ever, because its subject does not come back.
    fn note_absence(&mut self, rule: &BoardRule, key: &Key, absence: i64) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if absence < EXPIRES_AFTER || entry.alert.state == State::Ok {
            entry.alert.timers.absent_for = Some(absence);
            return;
        }
        let Some(entry) = self.entries.remove(key) else { return };
        let is_active = entry.is_active();
        self.note_end(key, &entry, Some(&rule.group), true);
        self.events.push(Event {
            event: if is_active { EXPIRED } else { Change::Withdrawn.as_str() },
            group: Some(rule.group.clone()),
            group_id: self.groups.get(&rule.group).map(|group| group.id),
            message: Some("no data any more: the query has had no row of it for 24 h".to_owned()),
            ..event_of(key, &entry)
        });
    }

    fn note_end(&mut self, key: &Key, entry: &Entry, group: Option<&str>, is_expired: bool) {
        if let Some(announced_in) = entry.announced_in {
            let group = group.map(str::to_owned);
            self.ended.push(Ended { key: key.clone(), group, announced_in, is_expired });
        }
    }

    /// Moves all times with a clock that stepped back by so many microseconds, also those of rules
    /// that are not evaluated now. No alert becomes younger, and no notice waits for the clock.
    pub fn step_back(&mut self, by: i64) {
        self.entries.values_mut().for_each(|entry| entry.alert.step_back(by));
        for group in self.groups.values_mut() {
            group.opened_at = group.opened_at.saturating_sub(by);
            if let Some(sent) = &mut group.last_notice {
                sent.at = sent.at.saturating_sub(by);
            }
        }
    }

    fn of_rule<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = (&'a String, &'a Entry)> {
        self.entries
            .range((rule.to_owned(), String::new())..)
            .take_while(move |((name, _), _)| name == rule)
            .map(|((_, subject), entry)| (subject, entry))
    }

    fn apply_row<E>(
        &mut self,
        rule: &BoardRule,
        now: i64,
        row: &Row,
        conditions: &Conditions,
        next_id: &mut impl FnMut() -> Result<i64, E>,
    ) -> Result<(), E> {
        let key = (rule.name.clone(), row.subject.clone());
        let before = self.entries.get(&key);
        let fresh = Entry::new(now);
        // The end of a simulation is the end of its alert, also where the subject has no value.
        let was_simulated = row.reading == Reading::NoData
            && conditions.no_data == NoData::Keep
            && before.is_some_and(|entry| entry.is_simulated);
        let ending = Conditions { no_data: NoData::Ok, ..conditions.clone() };
        let conditions = if was_simulated { &ending } else { conditions };
        let (alert, changes) = step(conditions, &before.unwrap_or(&fresh).alert, now, row.reading);
        if alert.state == State::Ok && changes.is_empty() {
            match before {
                None => return Ok(()),
                Some(_) if alert.is_forgettable(now) => {
                    self.entries.remove(&key);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
        let severity = before.and_then(|entry| entry.alert.severity);
        let mut entry = before.cloned().unwrap_or(fresh);
        entry.alert = alert;
        entry.alert.timers.absent_for = None;
        entry.is_simulated = row.is_simulated || was_simulated;
        if let Reading::Value { value, samples } = row.reading {
            (entry.value, entry.samples) = (Some(value), samples);
            entry.message.clone_from(&row.message);
        } else if entry.value.is_none() {
            entry.message.clone_from(&row.message);
        }
        if entry.id.is_none() && entry.alert.state != State::Ok {
            entry.id = Some(next_id()?);
        }
        for change in &changes {
            self.events.push(Event {
                event: change.as_str(),
                group: Some(rule.group.clone()),
                group_id: self.groups.get(&rule.group).map(|group| group.id),
                // An alert that has ended had a severity.
                severity: entry.alert.severity.or(severity),
                details: entry.is_simulated.then(|| json!({ "is_simulated": true })),
                ..event_of(&key, &entry)
            });
            if *change == Change::Resolved {
                self.note_end(&key, &entry, Some(&rule.group), false);
                entry.announced_in = None;
            }
            // After the end of one alert begins another one, with a number of its own.
            if *change == Change::Resolved && entry.alert.state != State::Ok {
                (entry.id, entry.is_acknowledged) = (Some(next_id()?), false);
            }
        }
        if entry.alert.state == State::Ok {
            (entry.id, entry.is_acknowledged) = (None, false);
        }
        self.entries.insert(key, entry);
        Ok(())
    }

    /// Records the acknowledgements that have just expired: each with its alert and its role.
    pub fn expire_acknowledgements(
        &mut self,
        expired: &[(i64, String)],
        group: impl Fn(&str) -> Option<String>,
    ) {
        for (key, entry) in &self.entries {
            let given = expired.iter().find(|(alert, _)| Some(*alert) == entry.id);
            let (Some((_, by)), false) = (given, entry.is_acknowledged) else { continue };
            let group = group(&key.0);
            self.events.push(Event {
                event: "acknowledgement_expired",
                group_id: group
                    .as_ref()
                    .and_then(|group| self.groups.get(group))
                    .map(|group| group.id),
                group,
                details: Some(json!({ "acknowledged_by": by })),
                ..event_of(key, entry)
            });
        }
    }

    /// Ends the alerts of rules that are disabled or gone. `group` is `None` for such a rule.
    pub fn end_orphans(&mut self, group: impl Fn(&str) -> Option<String>) {
        let orphans: Vec<Key> =
            self.entries.keys().filter(|(rule, _)| group(rule).is_none()).cloned().collect();
        for key in orphans {
            let Some(entry) = self.entries.remove(&key) else { continue };
            let event = match entry.alert.state {
                State::Ok => continue,
                State::Pending => Change::Withdrawn.as_str(),
                State::Firing | State::Recovering => Change::Resolved.as_str(),
            };
            self.note_end(&key, &entry, None, false);
            self.events.push(Event {
                event,
                message: Some("the rule was disabled or removed".to_owned()),
                ..event_of(&key, &entry)
            });
        }
    }
}

fn event_of(key: &Key, entry: &Entry) -> Event {
    Event {
        rule: Some(key.0.clone()),
        subject: Some(key.1.clone()),
        alert_id: entry.id,
        severity: entry.alert.severity,
        value: entry.value,
        message: entry.message.clone(),
        ..Event::default()
    }
}

/// A value that fires a rule at its highest severity, for a simulation.
#[must_use]
pub fn firing_value(conditions: &Conditions) -> f64 {
    let worst: Option<&Threshold> = conditions.critical.as_ref().or(conditions.warning.as_ref());
    let threshold = worst.map_or(0.0, |threshold| threshold.fires);
    let beyond = threshold.abs().max(1.0);
    match conditions.direction {
        super::rule::Direction::Above => threshold + beyond,
        super::rule::Direction::Below => threshold - beyond,
    }
}

#[cfg(test)]
mod notice_tests;
mod notices;
#[cfg(test)]
mod tests;
