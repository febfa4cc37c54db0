//! Random weeks of a board: rules that come, go and change their group, subjects, simulations,
//! silences, acknowledgements and a clock that steps. Each event is read as an operator reads it.

use super::super::rule::{Direction, Timing};
use super::*;
use crate::time::minute::{HOUR, MINUTE};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;

const START: i64 = 849_117_600_000_000;
const SUBJECTS: [&str; 3] = ["", "a", "b"];
type Tested = Result<(), TestCaseError>;

fn above(warning: Option<f64>, critical: Option<f64>) -> Conditions {
    let threshold = |fires: f64| Threshold { fires, clears: fires - 2.0 };
    Conditions {
        direction: Direction::Above,
        warning: warning.map(threshold),
        critical: critical.map(threshold),
        min_samples: 0,
        no_data: NoData::Keep,
        timing: Timing { fires_after: 0, clears_after: 0, every: MINUTE },
    }
}

fn row(subject: &str, value: Option<f64>) -> Row {
    Row {
        subject: subject.to_owned(),
        reading: Reading::of(value, None, 0),
        message: value.map(|value| format!("{value} wait")),
        is_simulated: false,
    }
}

/// A tick in a form that is quick to make and to shrink.
#[derive(Debug, Clone)]
struct Step {
    gap: i64,
    /// Six bits for each subject of a rule, and whether the rules are changed.
    rows: [u32; 3],
    /// Rules that are gone, the rule that is in another group, acknowledgement, silence.
    flags: u16,
}

fn any_step() -> impl Strategy<Value = Step> {
    const GAPS: [i64; 8] = [MINUTE, MINUTE, MINUTE, 6 * MINUTE, 40 * MINUTE, 0, -MINUTE, -3 * HOUR];
    (0..8_usize, any::<[u32; 3]>(), any::<u16>()).prop_map(|(gap, rows, flags)| Step {
        gap: GAPS[gap],
        rows,
        flags,
    })
}

fn any_rules() -> impl Strategy<Value = Vec<Conditions>> {
    let thresholds = prop::sample::select(vec![(true, true), (true, false), (false, true)]);
    let no_data = prop::sample::select(vec![NoData::Keep, NoData::Ok, NoData::Alert]);
    let times = [0, MINUTE, 2 * MINUTE].to_vec();
    let timing = (prop::sample::select(times.clone()), prop::sample::select(times));
    let conditions =
        (thresholds, no_data, timing).prop_map(|(has, no_data, (fires_after, clears_after))| {
            Conditions {
                no_data,
                timing: Timing { fires_after, clears_after, every: MINUTE },
                ..above(has.0.then_some(10.0), has.1.then_some(20.0))
            }
        });
    prop::collection::vec(conditions, 3)
}

/// A board, its rules, and what an operator knows from the events so far.
struct World {
    rules: Vec<Conditions>,
    board: Board,
    now: i64,
    last_id: i64,
    /// The rule and subject of each alert, and its latest state; `None` for one that has ended.
    alerts: BTreeMap<i64, (Key, Option<State>)>,
    /// Groups that are open: the name, and time and severity of the latest notice.
    open: BTreeMap<i64, (String, Option<(i64, Severity)>)>,
    /// Groups that only muted alerts are left of, or were when the latest notice went out.
    quiet: BTreeSet<i64>,
    /// Alerts that a notice told, and the latest group that did.
    announced: BTreeMap<i64, i64>,
    closed: BTreeSet<i64>,
    /// The events of this tick: an alert that fires or gets worse, and those that ended.
    has_news: bool,
    ended: Vec<(i64, Key)>,
}

impl World {
    fn new(rules: Vec<Conditions>) -> Self {
        Self {
            rules,
            board: Board::default(),
            now: START,
            last_id: 0,
            alerts: BTreeMap::new(),
            open: BTreeMap::new(),
            quiet: BTreeSet::new(),
            announced: BTreeMap::new(),
            closed: BTreeSet::new(),
            has_news: false,
            ended: Vec::new(),
        }
    }

    /// The group of a rule; the second one moves to and fro.
    fn group(rule: &str, flags: u16) -> Option<String> {
        let index = ["first", "second", "third"].iter().position(|name| *name == rule)?;
        let is_gone = flags >> (index * 4) & 15 == 1;
        let group = if index == 2 || index == 1 && flags & 0x1000 != 0 { "late" } else { "early" };
        (!is_gone).then(|| group.to_owned())
    }

    fn rows(bits: u32) -> Vec<Row> {
        const VALUES: [Option<f64>; 6] =
            [Some(0.0), Some(9.0), Some(15.0), Some(19.0), Some(f64::INFINITY), None];
        let row_of = |(index, subject): (usize, &&str)| {
            let bits = (bits >> (index * 6) & 63) as usize;
            let row = row(subject, *VALUES.get(bits % 8)?);
            let is_simulated = bits / 8 == 1 && row.reading != Reading::NoData;
            Some(Row { is_simulated, ..row })
        };
        SUBJECTS.iter().enumerate().filter_map(row_of).collect()
    }

    /// One tick, of which each event is read.
    fn tick(&mut self, rows: &[Vec<Row>], flags: u16) -> Tested {
        let Self { board, last_id, now, .. } = self;
        let mut next_id = || {
            *last_id += 1;
            Ok::<i64, Infallible>(*last_id)
        };
        let group = |rule: &str| Self::group(rule, flags);
        let silenced = |key: &Key| {
            let is_muted = flags >> 14 == 1 || flags >> 14 == 2 && key.1 == "a";
            is_muted.then(|| "a silence".to_owned())
        };
        if flags & 0x2000 != 0 {
            let active = board.entries.values_mut().filter(|entry| entry.is_active());
            active.for_each(|entry| entry.is_acknowledged = true);
        }
        for (index, name) in ["first", "second", "third"].iter().enumerate() {
            let Some(group) = group(name) else { continue };
            let conditions = self.rules[index].clone();
            let rule = BoardRule { name: (*name).to_owned(), group, conditions };
            let Ok(()) = board.apply(&rule, *now, &rows[index], &mut next_id);
        }
        board.end_orphans(group);
        let Ok(()) = board.settle(*now, group, silenced, &mut next_id);
        self.check_board(flags)?;
        (self.has_news, self.ended) = (false, Vec::new());
        for event in std::mem::take(&mut self.board.events) {
            self.read(&event, &silenced, flags).map_err(|error| {
                TestCaseError::fail(format!("{error} at {} in {event:?}", self.now - START))
            })?;
        }
        prop_assert!(
            self.open.keys().eq(self
                .board
                .groups
                .values()
                .map(|group| &group.id)
                .collect::<BTreeSet<_>>())
        );
        Ok(())
    }

    /// The groups are those of the active alerts, and what is ok is kept for its flaps only.
    fn check_board(&self, flags: u16) -> Tested {
        let mut members: BTreeMap<String, (Severity, usize)> = BTreeMap::new();
        for ((rule, subject), entry) in &self.board.entries {
            let is_ok = entry.alert.state == State::Ok;
            prop_assert_eq!(entry.id.is_none(), is_ok, "{} {}", rule, subject);
            prop_assert!(!(is_ok && entry.is_acknowledged));
            let Some(group) = Self::group(rule, flags) else {
                return Err(TestCaseError::fail(format!("{rule} is gone and has an alert")));
            };
            if entry.is_active() {
                let (worst, count) = members.entry(group).or_insert((Severity::Warning, 0));
                (*worst, *count) = ((*worst).max(entry.severity()), *count + 1);
            }
        }
        let groups = self.board.groups.iter();
        let groups = groups.map(|(name, group)| (name.clone(), (group.severity, group.members)));
        prop_assert_eq!(groups.collect::<BTreeMap<_, _>>(), members);
        Ok(())
    }

    fn read(
        &mut self,
        event: &Event,
        silenced: &impl Fn(&Key) -> Option<String>,
        flags: u16,
    ) -> Tested {
        if let Some(id) = event.group_id {
            prop_assert!(!self.closed.contains(&id), "its group was closed");
        }
        match event.event {
            "group_opened" | "group_closed" | "notice" => self.read_group(event, silenced, flags),
            _ => self.read_alert(event),
        }
    }

    /// Each alert goes one way, under a number of its own.
    fn read_alert(&mut self, event: &Event) -> Tested {
        let Some(id) = event.alert_id else {
            prop_assert!(["flapping", "steady"].contains(&event.event));
            return Ok(());
        };
        let key = (event.rule.clone().unwrap(), event.subject.clone().unwrap());
        let is_news = event.event == "firing" || event.event == "escalated";
        prop_assert!(!is_news || event.group_id.is_some(), "it belongs to no group");
        self.has_news |= is_news;
        if event.event == "resolved" {
            self.ended.push((id, key.clone()));
        }
        let (owner, state) = self.alerts.entry(id).or_insert((key.clone(), Some(State::Ok)));
        prop_assert_eq!(&*owner, &key, "two alerts have one number");
        prop_assert!(!self.open.contains_key(&id) && !self.closed.contains(&id));
        *state = match (*state, event.event) {
            (Some(State::Ok), "pending") => Some(State::Pending),
            (Some(State::Ok | State::Pending | State::Recovering), "firing") => Some(State::Firing),
            (Some(State::Firing), "recovering") => Some(State::Recovering),
            (Some(State::Firing | State::Recovering), "resolved") => None,
            (Some(State::Pending), "withdrawn") => None,
            (Some(State::Firing | State::Recovering), "escalated" | "eased") => *state,
            (Some(_), "no_data" | "data") | (_, "flapping" | "steady") => *state,
            wrong => return Err(TestCaseError::fail(format!("{wrong:?}"))),
        };
        Ok(())
    }

    /// A group opens once, sends notices, says that all is resolved if it did, and closes once.
    fn read_group(
        &mut self,
        event: &Event,
        silenced: &impl Fn(&Key) -> Option<String>,
        flags: u16,
    ) -> Tested {
        let (id, name) = (event.group_id.unwrap(), event.group.clone().unwrap());
        if event.event == "group_opened" {
            prop_assert!(!self.alerts.contains_key(&id));
            prop_assert!(self.open.insert(id, (name, None)).is_none());
            return Ok(());
        }
        let Some((owner, last)) = self.open.get_mut(&id) else {
            return Err(TestCaseError::fail("no such group is open"));
        };
        prop_assert_eq!(&*owner, &name);
        if event.event == "group_closed" {
            self.open.remove(&id);
            self.closed.insert(id);
            return Ok(());
        }
        let details = event.details.as_ref().unwrap();
        let Some(severity) = event.severity else {
            return Err(TestCaseError::fail("a notice without severity"));
        };
        let listed = details["worst"].as_array().cloned().unwrap_or_default();
        let is_told = event.suppressed_by.is_none();
        let key = |told: &Value| {
            (
                told["rule"].as_str().unwrap().to_owned(),
                told["subject"].as_str().unwrap().to_owned(),
            )
        };
        let reason = details["reason"].as_str().unwrap();
        for key in listed.iter().map(key).filter(|_| is_told) {
            let entry = &self.board.entries[&key];
            let age = entry.alert.fired_at.map(|at| self.now - at);
            prop_assert!(silenced(&key).is_none());
            prop_assert!(!entry.alert.is_flapping || age >= Some(15 * MINUTE));
            prop_assert!(reason == "escalated" || !entry.is_acknowledged);
        }
        prop_assert!(!is_told || silenced(&Key::default()).is_none(), "all are held back");
        prop_assert!(is_told || reason == "resolved" || self.has_news, "held back once");
        let age = last.map(|(at, _)| (self.now - at).max(0));
        // The alerts that can make the group send a notice, and all of them.
        let members = self.board.entries.iter().filter(|((rule, _), entry)| {
            entry.is_active() && Self::group(rule, flags).as_ref() == Some(&name)
        });
        let audible = members.clone().filter(|(key, entry)| {
            let age = entry.alert.fired_at.map(|at| self.now - at);
            let is_noise = entry.alert.is_flapping && age < Some(15 * MINUTE);
            !is_noise && silenced(key).is_none()
        });
        let heard =
            audible.clone().filter(|(_, entry)| reason == "escalated" || !entry.is_acknowledged);
        let heard: Vec<i64> = heard.filter_map(|(_, entry)| entry.id).collect();
        let counted = audible.filter(|(_, entry)| !entry.is_acknowledged).count();
        let members = members.count();
        let is_quiet = self.quiet.contains(&id);
        match reason {
            // An alert that goes on in another group has not ended.
            "resolved" | "partly resolved" => {
                prop_assert!(last.is_some(), "nobody was told that it fires");
                let group = |alert: &i64| self.announced.get(alert);
                let is_audible = |(_, key): &&(i64, Key)| silenced(key).is_none();
                let ended = self.ended.iter().filter(|(alert, _)| group(alert).is_some());
                prop_assert!(ended.clone().count() > 0, "no announced alert has ended");
                if reason == "resolved" {
                    let mut own = ended.filter(|(alert, _)| group(alert) == Some(&id));
                    prop_assert!(is_told || !own.any(|end| is_audible(&end)), "not told");
                    prop_assert_eq!(members, 0);
                    return Ok(());
                }
                prop_assert!(is_told && members > 0 && counted == 0);
                prop_assert!(ended.filter(is_audible).count() > 0);
                prop_assert_eq!(details["muted"].as_u64(), Some(members as u64));
                self.quiet.insert(id);
                // Operators know of no severity any more.
                *last = Some((self.now, Severity::Warning));
                return Ok(());
            }
            "firing" => prop_assert!(last.is_none() || is_quiet),
            "escalated" => prop_assert!(last.is_some_and(|(_, before)| severity > before)),
            "more alerts" => prop_assert!(age >= Some(5 * MINUTE)),
            "reminder" => prop_assert!(age >= Some(30 * MINUTE)),
            wrong => return Err(TestCaseError::fail(wrong.to_owned())),
        }
        prop_assert!(!listed.is_empty(), "a notice of nothing");
        if is_told {
            *last = Some((self.now, severity));
            self.announced.extend(heard.into_iter().map(|alert| (alert, id)));
            if counted == 0 {
                self.quiet.insert(id)
            } else {
                self.quiet.remove(&id)
            };
        }
        Ok(())
    }

    fn run(&mut self, steps: &[Step]) -> Tested {
        for step in steps {
            self.now += step.gap;
            // The clock never runs before the notice that was just told.
            for (_, last) in self.open.values_mut() {
                *last = last.map(|(at, severity)| (at.min(self.now), severity));
            }
            // Rules are changed: each gets the conditions of another.
            self.rules.rotate_left(usize::from(step.rows[0] >> 18 & 3 == 0));
            self.tick(&step.rows.map(Self::rows), step.flags)?;
        }
        Ok(())
    }

    /// Ticks with the same rows, without silences.
    fn calm(&mut self, rows: &[Row], flags: u16, ticks: usize) -> Tested {
        (0..ticks).try_for_each(|_| {
            self.now += MINUTE;
            self.tick(&[rows.to_vec(), rows.to_vec(), rows.to_vec()], flags)
        })
    }

    fn check_all_ended(&self) -> Tested {
        prop_assert!(self.alerts.values().all(|(_, state)| state.is_none()));
        prop_assert!(self.open.is_empty() && self.board.groups.is_empty());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Healthy subjects leave no row, after the hour in which flaps count.
    #[test]
    fn healthy_subjects_leave_nothing(
        rules in any_rules(),
        steps in prop::collection::vec(any_step(), 1..20),
    ) {
        let mut world = World::new(rules);
        world.run(&steps)?;
        world.calm(&SUBJECTS.map(|subject| row(subject, Some(0.0))), 0, 5)?;
        world.check_all_ended()?;
        world.now += HOUR;
        world.calm(&SUBJECTS.map(|subject| row(subject, Some(0.0))), 0, 2)?;
        prop_assert!(world.board.entries.is_empty(), "{:?}", world.board.entries);
    }

    /// A rule that is disabled or gone ends its alerts and, with the last of them, their group.
    #[test]
    fn a_rule_that_disappears_ends_its_alerts(
        rules in any_rules(),
        steps in prop::collection::vec(any_step(), 1..20),
    ) {
        let mut world = World::new(rules);
        world.run(&steps)?;
        world.calm(&[], 0x0111, 1)?;
        world.check_all_ended()?;
        prop_assert!(world.board.entries.is_empty());
    }

    /// A simulation ends its alert, whatever the real subject has: no row or no value.
    #[test]
    fn simulated_alerts_end(
        rules in any_rules(),
        steps in prop::collection::vec(any_step(), 0..6),
        ticks in 1..6_usize,
        has_row in any::<bool>(),
    ) {
        // A real row without a value may be an alert of its own.
        let rules = rules.into_iter().map(|rule| match rule.no_data {
            NoData::Alert if has_row => Conditions { no_data: NoData::Ok, ..rule },
            _ => rule,
        });
        let mut world = World::new(rules.collect());
        world.run(&steps)?;
        world.calm(&SUBJECTS.map(|subject| row(subject, Some(0.0))), 0, 5)?;
        let (healthy, left) = (row("b", Some(0.0)), has_row.then(|| row("a", None)));
        let simulated = Row { is_simulated: true, ..row("a", Some(99.0)) };
        world.calm(&[healthy.clone(), simulated], 0, ticks)?;
        world.calm(&[Some(healthy), left].into_iter().flatten().collect::<Vec<_>>(), 0, 5)?;
        world.check_all_ended()?;
    }
}

/// The reasons of the notices of one rule, with their minutes. Rows are those of each minute.
fn told(
    minutes: impl Iterator<Item = i64>,
    rows: impl Fn(i64) -> Vec<Row>,
    operate: impl Fn(i64, &mut Board),
) -> Vec<(i64, String, usize)> {
    let (name, group) = ("queue".to_owned(), "jobs".to_owned());
    let rule = BoardRule { name, group, conditions: above(Some(10.0), Some(20.0)) };
    let (mut board, mut last_id, mut told) = (Board::default(), 0, Vec::new());
    let mut next_id = || {
        last_id += 1;
        Ok::<i64, Infallible>(last_id)
    };
    for minute in minutes {
        let now = START + minute * MINUTE;
        let Ok(()) = board.apply(&rule, now, &rows(minute), &mut next_id);
        let group = |_: &str| Some("jobs".to_owned());
        let Ok(()) = board.settle(now, group, |_| None, &mut next_id);
        operate(minute, &mut board);
        for event in board.events.drain(..).filter(|event| event.event == "notice") {
            let details = event.details.unwrap();
            let listed = details["worst"].as_array().map_or(0, Vec::len);
            told.push((minute, details["reason"].as_str().unwrap().to_owned(), listed));
        }
    }
    told
}

fn notice(minute: i64, reason: &str, listed: usize) -> (i64, String, usize) {
    (minute, reason.to_owned(), listed)
}

/// The notice of the rise names the alert although an operator works on it, and neither a
/// reminder nor another alert makes it a rise again.
#[test]
fn a_rise_of_an_acknowledged_alert_is_told_once() {
    let rows = |minute| {
        let worse = row("a", Some(if minute < 3 { 15.0 } else { 99.0 }));
        let other = (minute >= 20).then(|| row("b", Some(15.0)));
        [Some(worse), other].into_iter().flatten().collect()
    };
    let acknowledge = |_, board: &mut Board| {
        for ((_, subject), entry) in &mut board.entries {
            entry.is_acknowledged = subject == "a";
        }
    };
    assert_eq!(
        told(0..60, rows, acknowledge),
        [notice(0, "firing", 1), notice(3, "escalated", 1), notice(20, "firing", 1)]
    );
}

/// The messages of notices, with their minutes: rules of the given groups, and the value of their
/// one subject in each minute; `None` for no row.
fn messages(
    minutes: impl Iterator<Item = i64>,
    rules: impl Fn(i64) -> Vec<(&'static str, &'static str, Option<f64>)>,
    silenced: impl Fn(i64, &str) -> bool,
) -> (Vec<(i64, String)>, Vec<Event>) {
    let (mut board, mut last_id, mut told) = (Board::default(), 0, Vec::new());
    let mut next_id = || {
        last_id += 1;
        Ok::<i64, Infallible>(last_id)
    };
    let mut events = Vec::new();
    for minute in minutes {
        let now = START + minute * MINUTE;
        let rules = rules(minute);
        for (name, group, value) in &rules {
            let (name, group) = ((*name).to_owned(), (*group).to_owned());
            let rule = BoardRule { name, group, conditions: above(Some(10.0), None) };
            let rows: Vec<Row> = value.iter().map(|value| row("a", Some(*value))).collect();
            let Ok(()) = board.apply(&rule, now, &rows, &mut next_id);
        }
        let group = |rule: &str| {
            let found = rules.iter().find(|(name, ..)| *name == rule);
            found.map(|(_, group, _)| (*group).to_owned())
        };
        board.end_orphans(group);
        let suppressed = |key: &Key| silenced(minute, &key.0).then(|| "silence 1".to_owned());
        let Ok(()) = board.settle(now, group, suppressed, &mut next_id);
        for event in board.events.drain(..) {
            if event.event == "notice" && event.suppressed_by.is_none() {
                told.push((minute, event.message.clone().unwrap()));
            }
            events.push(event);
        }
    }
    (told, events)
}

fn message(minute: i64, text: &str) -> (i64, String) {
    (minute, text.to_owned())
}

const FIRES: &str = "jobs: warning, 1 alert, worst queue/a: 15 wait";

/// The alert goes on in the new group, which tells it and its end. Nothing is resolved before.
#[test]
fn a_rule_that_moves_to_another_group_resolves_nothing() {
    let (told, _) = messages(
        0..20,
        |minute| {
            let group = if minute < 5 { "jobs" } else { "mail" };
            vec![("queue", group, Some(if minute < 10 { 15.0 } else { 0.0 }))]
        },
        |_, _| false,
    );
    let expected = [
        message(0, FIRES),
        message(5, "mail: warning, 1 alert, worst queue/a: 15 wait"),
        message(10, "mail: all alerts are resolved"),
    ];
    assert_eq!(told, expected);
    // It moves to a group that has just sent a notice, and ends before that one tells it.
    let (told, _) = messages(
        0..20,
        |minute| {
            let group = if minute < 2 { "jobs" } else { "mail" };
            let value = |end| Some(if minute < end { 15.0 } else { 0.0 });
            vec![("queue", group, value(3)), ("sent", "mail", value(4))]
        },
        |minute, rule| minute == 3 && rule == "sent",
    );
    let expected = [
        message(0, FIRES),
        message(0, "mail: warning, 1 alert, worst sent/a: 15 wait"),
        message(3, "mail: 1 alert resolved, 1 alert without notices left (1 silenced)"),
        message(4, "mail: all alerts are resolved"),
    ];
    let mut sorted = told.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "{told:?}");
}

/// Operators hear that what they were told has ended, and that a new alert fires.
#[test]
fn the_end_of_announced_alerts_beside_muted_ones_is_told() {
    let (told, _) = messages(
        0..20,
        |minute| {
            let fires = |is| Some(if is { 15.0 } else { 0.0 });
            vec![
                ("queue", "jobs", fires(minute < 5)),
                ("muted", "jobs", fires(minute < 12)),
                ("new", "jobs", fires((7..9).contains(&minute))),
            ]
        },
        |_, rule| rule == "muted",
    );
    let ended = "jobs: 1 alert resolved, 1 alert without notices left (1 silenced)";
    let new = "jobs: warning, 1 alert, worst new/a: 15 wait";
    let expected = [message(0, FIRES), message(5, ended), message(7, new), message(9, ended)];
    assert_eq!(told, expected);
}

/// An alert that would be kept for ever ends after a day in which its rule was evaluated.
#[test]
fn the_alert_of_a_subject_that_stays_away_ends_after_a_day() {
    let day = 24 * 60;
    let absent = |_| vec![("queue", "jobs", None)];
    let fires = move |minute| {
        if minute == 0 { vec![("queue", "jobs", Some(15.0))] } else { absent(minute) }
    };
    let (told, events) = messages(0..day + 10, fires, |_, _| false);
    let end = "jobs: no alert is left, 1 alert ended with no data any more for 24 h";
    assert_eq!(told.last(), Some(&message(day + 1, end)));
    let expired = events.iter().find(|event| event.event == "expired").unwrap();
    let text = "no data any more: the query has had no row of it for 24 h";
    assert_eq!(expired.message.as_deref(), Some(text));
    assert!(!events.iter().any(|event| event.event == "resolved"));
    // The rule failed for two days. Its subject was seen before and after.
    let (told, _) = messages([0, 1, 2 * day, 2 * day + 1].into_iter(), fires, |_, _| false);
    assert!(told.iter().all(|(_, text)| text == FIRES), "{told:?}");
    let back = move |minute| {
        if minute % 1_000 == 0 { vec![("queue", "jobs", Some(15.0))] } else { absent(minute) }
    };
    let (told, _) = messages(0..3 * day, back, |_, _| false);
    assert!(told.iter().all(|(_, text)| text == FIRES), "{told:?}");
}

/// Also the alerts of a rule that is not evaluated, because its query fails, keep their age.
#[test]
fn a_step_of_the_whole_board_keeps_each_age() {
    let conditions = above(Some(10.0), None);
    let fired = |at: i64| {
        let reading = Reading::Value { value: 15.0, samples: None };
        let alert = step(&conditions, &Alert::new(at), at, reading).0;
        Entry { alert, id: Some(1), ..Entry::new(at) }
    };
    let sent = |at| Some(Sent { at, severity: Severity::Warning, members: 1 });
    let at = |at: i64| Board {
        entries: BTreeMap::from([(("queue".to_owned(), "a".to_owned()), fired(at))]),
        groups: BTreeMap::from([(
            "jobs".to_owned(),
            OpenGroup {
                id: 2,
                opened_at: at,
                severity: Severity::Warning,
                members: 1,
                last_notice: sent(at),
            },
        )]),
        ..Board::default()
    };
    let mut board = at(START);
    board.step_back(HOUR);
    for entry in board.entries.values_mut() {
        // A track that is ok has no time.
        entry.alert.timers.critical.since = 0;
    }
    assert_eq!((board.entries, board.groups), (at(START - HOUR).entries, at(START - HOUR).groups));
}

/// A reminder does not wait until the clock has caught up.
#[test]
fn a_clock_that_steps_back_delays_no_notice() {
    let rows = |_| vec![row("a", Some(99.0))];
    let regular = told(0..40, rows, |_, _| ());
    assert_eq!(regular, [notice(0, "firing", 1), notice(30, "reminder", 1)]);
    let stepped = told((0..10).chain(-500..-450), rows, |_, _| ());
    assert_eq!(stepped, [notice(0, "firing", 1), notice(-470, "reminder", 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    // passes before: notices were rare
    /// A storm of a thousand alerts within five minutes is two notices in that time: the first
    /// alert, and the first that is critical. The rest is one more.
    #[test]
    fn a_storm_is_two_notices(
        storm in prop::collection::vec((0..5_i64, any::<bool>()), 1_000),
    ) {
        let rows = |minute| {
            let mut rows = Vec::new();
            for (index, (at, is_critical)) in storm.iter().enumerate() {
                if *at <= minute {
                    let value = if *is_critical { 99.0 } else { 15.0 };
                    rows.push(row(&index.to_string(), Some(value)));
                }
            }
            rows
        };
        let notices = told(0..15, rows, |_, _| ());
        for start in 0..15 {
            let within = notices.iter().filter(|(at, ..)| (start..start + 5).contains(at));
            prop_assert!(within.count() <= 2, "{:?}", notices);
        }
        prop_assert!(notices.len() <= 3, "{:?}", notices);
    }
}

/// An outage that begins with flaps is told while it lasts, not an hour later.
#[test]
fn an_alert_that_flapped_and_fires_for_good_is_told() {
    let value = |minute| if minute == 1 || minute == 3 { 0.0 } else { 19.0 };
    let reasons = told(0..30, |minute| vec![row("a", Some(value(minute)))], |_, _| {});
    assert_eq!(reasons.last(), Some(&notice(19, "firing", 1)), "{reasons:?}");
}
