//! The notices of groups: which groups open and close, and which of them send a notice now.

use super::{Board, Ended, Entry, Event, Key, OpenGroup};
use crate::alerts::pure::machine::Change;
use crate::alerts::pure::notice::{self, Member, Reason, Sent};
use crate::alerts::pure::rule::Severity;
use crate::time::minute::MINUTE;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A flapping alert sends notices again after it has fired for this long, in microseconds.
const FLAPS_FOR: i64 = 15 * MINUTE;
/// Alerts that a notice lists.
const LISTED: usize = 5;

impl Board {
    /// Opens and closes groups, and decides which of them send a notice now.
    ///
    /// `suppressed` names the silence, window or other reason why an alert sends no notice.
    pub fn settle<E>(
        &mut self,
        now: i64,
        group: impl Fn(&str) -> Option<String>,
        suppressed: impl Fn(&Key) -> Option<String>,
        next_id: &mut impl FnMut() -> Result<i64, E>,
    ) -> Result<(), E> {
        // A clock that stepped back must not hold back notices until it has caught up.
        for group in self.groups.values_mut() {
            group.opened_at = group.opened_at.min(now);
            if let Some(sent) = &mut group.last_notice {
                sent.at = sent.at.min(now);
            }
        }
        let mut members: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for (key, entry) in &self.entries {
            if entry.is_active()
                && let Some(group) = group(&key.0)
            {
                members.entry(group).or_default().push(key.clone());
            }
        }
        let ended = self.ended_by_group();
        let of_group = |name: &str| ended.get(name).map_or(&[][..], Vec::as_slice);
        let closed: Vec<String> =
            self.groups.keys().filter(|name| !members.contains_key(*name)).cloned().collect();
        for name in closed {
            self.close(&name, of_group(&name), now, &suppressed);
        }
        for (name, keys) in members {
            self.settle_group(&name, &keys, of_group(&name), now, &suppressed, next_id)?;
        }
        Ok(())
    }

    /// The announced alerts that have ended, by the group that tells it: the one that announced
    /// them, or the present one of their rule if that one is closed.
    fn ended_by_group(&mut self) -> BTreeMap<String, Vec<Ended>> {
        let names: BTreeMap<i64, &String> =
            self.groups.iter().map(|(name, group)| (group.id, name)).collect();
        let mut by_group: BTreeMap<String, Vec<Ended>> = BTreeMap::new();
        for ended in std::mem::take(&mut self.ended) {
            let announced = names.get(&ended.announced_in).map(|name| (*name).clone());
            if let Some(name) = announced.or_else(|| ended.group.clone()) {
                by_group.entry(name).or_default().push(ended);
            }
        }
        by_group
    }

    fn close(
        &mut self,
        name: &str,
        ended: &[Ended],
        now: i64,
        suppressed: &impl Fn(&Key) -> Option<String>,
    ) {
        let Some(group) = self.groups.remove(name) else { return };
        // Nobody hears of the end of a group if each alert that ended has a reason for that.
        let reasons: Option<Vec<String>> =
            ended.iter().map(|ended| suppressed(&ended.key)).collect();
        let suppressed_by = reasons.and_then(|reasons| reasons.into_iter().next());
        let base = |event| Event {
            event,
            group: Some(name.to_owned()),
            group_id: Some(group.id),
            ..Event::default()
        };
        if let Some(reason) = notice::decide(group.last_notice.as_ref(), &[], ended.len(), now) {
            let told = if ended.iter().any(|ended| ended.is_expired) {
                format!("{name}: no alert is left, {}", ends(ended))
            } else {
                format!("{name}: all alerts are resolved")
            };
            self.events.push(Event {
                message: Some(told),
                severity: group.last_notice.as_ref().map(|sent| sent.severity),
                suppressed_by,
                details: Some(json!({ "reason": reason.as_str(), "alerts": 0 })),
                ..base("notice")
            });
        }
        self.events.push(base("group_closed"));
    }

    fn settle_group<E>(
        &mut self,
        name: &str,
        keys: &[Key],
        ended: &[Ended],
        now: i64,
        suppressed: &impl Fn(&Key) -> Option<String>,
        next_id: &mut impl FnMut() -> Result<i64, E>,
    ) -> Result<(), E> {
        let entries: Vec<(&Key, &Entry)> =
            keys.iter().filter_map(|key| Some((key, self.entries.get(key)?))).collect();
        let severity =
            entries.iter().map(|(_, entry)| entry.severity()).max().unwrap_or(Severity::Warning);
        let mut opened = Vec::new();
        let mut group = match self.groups.get(name) {
            Some(group) => group.clone(),
            None => {
                let id = next_id()?;
                opened.push(Event {
                    event: "group_opened",
                    group: Some(name.to_owned()),
                    group_id: Some(id),
                    severity: Some(severity),
                    ..Event::default()
                });
                OpenGroup { id, opened_at: now, severity, members: 0, last_notice: None }
            }
        };
        (group.severity, group.members) = (severity, entries.len());
        let reasons: Vec<Option<String>> = keys.iter().map(suppressed).collect();
        let member = |silenced: bool, entry: &Entry| Member {
            severity: entry.severity(),
            fired_at: entry.alert.fired_at.unwrap_or(now),
            is_acknowledged: entry.is_acknowledged,
            is_silenced: silenced,
            // An alert that fires without a break is no noise, even if it flapped before.
            is_flapping: entry.alert.is_flapping
                && entry.alert.fired_at.is_none_or(|at| now - at < FLAPS_FOR),
        };
        let members: Vec<Member> = entries
            .iter()
            .zip(&reasons)
            .map(|((_, entry), reason)| member(reason.is_some(), entry))
            .collect();
        let last = group.last_notice.as_ref();
        let heard: Vec<Ended> =
            ended.iter().filter(|ended| suppressed(&ended.key).is_none()).cloned().collect();
        let mut announced = Vec::new();
        let notice = match notice::decide(last, &members, heard.len(), now) {
            Some(reason) => Some((reason, None)),
            None => self.unheard(last, &entries, &reasons, now, member),
        };
        if let Some((reason, suppressed_by)) = notice {
            // A rise in severity is announced even if the alert is acknowledged.
            let is_told = |member: &Member| match reason {
                Reason::Escalated => member.is_audible(),
                _ => member.counts(),
            };
            let told: Vec<(&Key, &Entry)> = entries
                .iter()
                .zip(&members)
                .filter(|(_, member)| suppressed_by.is_some() || is_told(member))
                .map(|(entry, _)| *entry)
                .collect();
            let event = match reason {
                Reason::PartlyResolved => partly_resolved(name, &group, &heard, &members),
                _ => self.notice(name, &group, &told, reason, suppressed_by),
            };
            if event.suppressed_by.is_none() {
                announced.extend(told.iter().map(|(key, _)| (*key).clone()));
                let audible = members.iter().filter(|member| member.is_audible());
                group.last_notice = Some(Sent {
                    at: now,
                    severity: audible.map(|member| member.severity).max().unwrap_or(severity),
                    members: members.iter().filter(|member| member.counts()).count(),
                });
            }
            opened.push(event);
        }
        // Events of this tick that came before the group was opened belong to it.
        for event in &mut self.events {
            if event.group.as_deref() == Some(name) && event.group_id.is_none() {
                event.group_id = Some(group.id);
            }
        }
        self.events.extend(opened);
        for key in announced {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.announced_in = Some(group.id);
            }
        }
        self.groups.insert(name.to_owned(), group);
        Ok(())
    }

    /// The notice that a silence or window holds back, told once: in the tick in which an alert of
    /// the group fires or gets worse.
    fn unheard(
        &self,
        last: Option<&Sent>,
        entries: &[(&Key, &Entry)],
        reasons: &[Option<String>],
        now: i64,
        member: impl Fn(bool, &Entry) -> Member,
    ) -> Option<(Reason, Option<String>)> {
        let reason = reasons.iter().flatten().next()?;
        let has_news = self.events.iter().any(|event| {
            [Change::Firing.as_str(), Change::Escalated.as_str()].contains(&event.event)
                && entries.iter().any(|(_, entry)| entry.id == event.alert_id)
        });
        if !has_news {
            return None;
        }
        let all: Vec<Member> = entries.iter().map(|(_, entry)| member(false, entry)).collect();
        notice::decide(last, &all, 0, now).map(|decided| (decided, Some(reason.clone())))
    }

    fn notice(
        &self,
        name: &str,
        group: &OpenGroup,
        entries: &[(&Key, &Entry)],
        reason: Reason,
        suppressed_by: Option<String>,
    ) -> Event {
        let mut worst: Vec<&(&Key, &Entry)> = entries.iter().collect();
        worst.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.severity()));
        let severity = worst.first().map(|(_, entry)| entry.severity());
        let count = alerts(entries.len());
        let worst_text = worst.first().map_or_else(String::new, |(key, entry)| {
            let told = entry.message.as_deref().unwrap_or_default();
            let title = title(key);
            format!(", worst {title}{}{told}", if told.is_empty() { "" } else { ": " })
        });
        let word = severity.map_or("", Severity::as_str);
        let listed: Vec<Value> = worst
            .iter()
            .take(LISTED)
            .map(|(key, entry)| {
                json!({
                    "rule": key.0, "subject": key.1, "severity": entry.severity().as_str(),
                    "value": entry.value, "message": entry.message, "alert_id": entry.id,
                })
            })
            .collect();
        Event {
            event: "notice",
            group: Some(name.to_owned()),
            group_id: Some(group.id),
            severity,
            message: Some(format!("{name}: {word}, {count}{worst_text}")),
            suppressed_by,
            details: Some(json!({
                "reason": reason.as_str(), "alerts": entries.len(), "worst": listed,
            })),
            ..Event::default()
        }
    }
}

/// A number of alerts.
fn alerts(count: usize) -> String {
    format!("{count} alert{}", if count == 1 { "" } else { "s" })
}

/// How alerts ended. One without data is not healthy.
fn ends(ended: &[Ended]) -> String {
    let expired = ended.iter().filter(|ended| ended.is_expired).count();
    let resolved = ended.len() - expired;
    let mut parts = Vec::new();
    if resolved > 0 {
        parts.push(format!("{} resolved", alerts(resolved)));
    }
    if expired > 0 {
        parts.push(format!("{} ended with no data any more for 24 h", alerts(expired)));
    }
    parts.join(", ")
}

/// The notice that announced alerts have ended, while muted ones of the group go on.
fn partly_resolved(name: &str, group: &OpenGroup, ended: &[Ended], members: &[Member]) -> Event {
    let count = |is: fn(&&Member) -> bool| members.iter().filter(is).count();
    let silenced = count(|member| member.is_silenced);
    let flapping = count(|member| member.is_flapping && !member.is_silenced);
    let acknowledged = count(|member| member.is_audible() && member.is_acknowledged);
    let muted: Vec<String> =
        [(silenced, "silenced"), (flapping, "flapping"), (acknowledged, "acknowledged")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
    let left = alerts(members.len());
    Event {
        event: "notice",
        group: Some(name.to_owned()),
        group_id: Some(group.id),
        severity: group.last_notice.as_ref().map(|sent| sent.severity),
        message: Some(format!(
            "{name}: {}, {left} without notices left ({})",
            ends(ended),
            muted.join(", ")
        )),
        details: Some(json!({
            "reason": Reason::PartlyResolved.as_str(), "alerts": 0, "ended": ended.len(),
            "muted": members.len(),
        })),
        ..Event::default()
    }
}

/// The rule and its subject in one text.
fn title(key: &Key) -> String {
    match key.1.as_str() {
        "" => key.0.clone(),
        subject => format!("{}/{subject}", key.0),
    }
}
