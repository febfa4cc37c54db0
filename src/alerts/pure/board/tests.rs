//! Random weeks of a board: rules that come, go and change their group, subjects, simulations,
//! silences, acknowledgements and a clock that steps. Each event is read as an operator reads it.

use super::super::rule::{Direction, Timing};
use super::*;
use crate::time::minute::{HOUR, MINUTE};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;

pub(super) const START: i64 = 849_117_600_000_000;
const SUBJECTS: [&str; 3] = ["", "a", "b"];
type Tested = Result<(), TestCaseError>;

pub(super) fn above(warning: Option<f64>, critical: Option<f64>) -> Conditions {
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

pub(super) fn row(subject: &str, value: Option<f64>) -> Row {
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
