//! The notices of a board, tick by tick.

use super::tests::{START, above, row};
use super::*;
use crate::time::minute::{HOUR, MINUTE};
use proptest::prelude::*;
use std::convert::Infallible;

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
