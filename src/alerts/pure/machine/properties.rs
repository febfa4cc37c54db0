//! The machine against a naive model, and the promises that docs/alerts.md makes.
// passes before: all but a_changed_rule_ends_its_alerts. They fail for changes of single lines.

mod naive;

use super::*;
use crate::time::minute::MINUTE;
use naive::{Model, final_state, model, observed};
use proptest::prelude::*;

const START: i64 = 849_117_600_000_000;
const SECOND: i64 = 1_000_000;
const EVERY: i64 = MINUTE;
const NONE: Reading = Reading::NoData;

fn value(value: f64) -> Reading {
    Reading::Value { value, samples: None }
}

/// Conditions over the thresholds 10 and 20, mirrored for a rule that fires below.
fn any_conditions() -> impl Strategy<Value = Conditions> {
    let thresholds = (0..6_usize, any::<bool>());
    let no_data = prop::sample::select(vec![NoData::Keep, NoData::Ok, NoData::Alert]);
    let times = [0, SECOND, EVERY, 2 * EVERY, 5 * EVERY / 2, 5 * EVERY];
    let timing = (prop::sample::select(times.to_vec()), prop::sample::select(times.to_vec()));
    (thresholds, any::<bool>(), no_data, timing).prop_map(
        |((which, is_wide), is_below, no_data, (fires_after, clears_after))| {
            let sign = if is_below { -1.0 } else { 1.0 };
            let threshold = |fires: f64, clears: f64| {
                Some(Threshold { fires: sign * fires, clears: sign * clears })
            };
            Conditions {
                direction: if is_below { Direction::Below } else { Direction::Above },
                warning: threshold(10.0, if is_wide { 8.0 } else { 10.0 }).filter(|_| which != 0),
                critical: match which {
                    1 => None,
                    2 => threshold(10.0, 10.0),
                    _ => threshold(20.0, [20.0, 15.0, 5.0][which % 3]),
                },
                min_samples: 0,
                no_data,
                timing: Timing { fires_after, clears_after, every: EVERY },
            }
        },
    )
}

/// Steps of a history, in a form that is quick to make and to shrink.
fn any_steps(most: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 1..most)
}

/// The times and readings of steps. Half of the readings are as the one before.
fn history(conditions: &Conditions, steps: &[u16]) -> Vec<(i64, Reading)> {
    const GAPS: [i64; 16] = [
        EVERY,
        EVERY,
        EVERY,
        EVERY,
        EVERY / 2,
        HOUR,
        EVERY + SECOND,
        2 * EVERY,
        3 * EVERY,
        3 * EVERY + 1,
        10 * EVERY,
        0,
        -1,
        -EVERY,
        -10 * EVERY,
        400 * 24 * HOUR,
    ];
    const VALUES: [Option<f64>; 16] = [
        Some(0.0),
        Some(5.0),
        Some(8.0),
        Some(8.5),
        Some(10.0),
        Some(10.5),
        Some(15.0),
        Some(17.0),
        Some(20.0),
        Some(20.5),
        Some(99.0),
        Some(f64::INFINITY),
        Some(f64::NEG_INFINITY),
        None,
        None,
        None,
    ];
    let sign = if conditions.direction == Direction::Below { -1.0 } else { 1.0 };
    let (mut now, mut last) = (START, None);
    let step = |step: &u16| {
        let bits = usize::from(*step);
        now += GAPS[bits % 16];
        if bits & 0x100 == 0 {
            last = VALUES[bits / 16 % 16];
        }
        (now, last.map_or(NONE, |last| value(sign * last)))
    };
    steps.iter().map(step).collect()
}

fn seen(alert: &Alert) -> Model {
    Model {
        state: alert.state,
        severity: alert.severity,
        has_data: alert.has_data,
        since: alert.since,
        fired_at: alert.fired_at,
        is_flapping: alert.is_flapping,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]
    #[test]
    fn the_machine_agrees_with_a_naive_model(
        conditions in any_conditions(),
        steps in any_steps(20),
    ) {
        let history = history(&conditions, &steps);
        let observed = observed(&history);
        let (mut alert, mut states) = (Alert::new(START), Vec::new());
        for end in 1..=history.len() {
            let (now, reading) = history[end - 1];
            alert = step(&conditions, &alert, now, reading).0;
            states.push(final_state(&conditions, &history[..end], &observed[..end]));
            prop_assert_eq!(seen(&alert), model(&history[..end], &states), "{:?}", &history[..end]);
        }
    }
}

/// The observed time of one evaluation: none for a step back and for kept states.
fn counted(conditions: &Conditions, before: &Alert, now: i64, reading: Reading) -> i64 {
    if reading == NONE && conditions.no_data == NoData::Keep {
        return 0;
    }
    (now - before.timers.evaluated_at).clamp(0, 3 * EVERY)
}

/// Where the words of the history leave an alert.
fn told(from: State, changes: &[Change], fires_at_once: bool) -> Result<State, TestCaseError> {
    let mut state = from;
    for change in changes {
        state = match (state, change) {
            (State::Ok, Change::Pending) => State::Pending,
            (State::Pending, Change::Withdrawn) => State::Ok,
            (State::Ok, Change::Firing) if fires_at_once => State::Firing,
            (State::Pending | State::Recovering, Change::Firing) => State::Firing,
            (State::Firing, Change::Recovering) => State::Recovering,
            (State::Firing | State::Recovering, Change::Resolved) => State::Ok,
            (State::Firing | State::Recovering, Change::Escalated | Change::Eased) => state,
            (_, Change::NoData | Change::Data | Change::Flapping | Change::Steady) => state,
            wrong => return Err(TestCaseError::fail(format!("{wrong:?} in {changes:?}"))),
        };
    }
    Ok(state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// Each alert goes one way: pending, firing, recovering, resolved. The history tells it, no
    /// word comes twice, and no timer ends before its time was observed.
    #[test]
    fn an_alert_goes_one_way_in_its_time(
        conditions in any_conditions(),
        steps in any_steps(40),
    ) {
        let timing = &conditions.timing;
        let mut alert = Alert::new(START);
        let (mut clock, mut pending_at, mut recovering_at, mut is_flapping) = (0, 0, 0, false);
        for (now, reading) in history(&conditions, &steps) {
            let (next, changes) = step(&conditions, &alert, now, reading);
            clock += counted(&conditions, &alert, now, reading);
            let state = told(alert.state, &changes, timing.fires_after == 0)?;
            prop_assert_eq!(state, next.state);
            prop_assert_eq!(next.severity.is_none(), state == State::Ok);
            prop_assert_eq!(next.fired_at.is_some(), next.state.is_active());
            prop_assert!(next.since <= now && next.fired_at <= Some(now));
            for change in &changes {
                match change {
                    // The timer may have begun while the other severity still recovered.
                    Change::Pending => {
                        let tracks = [next.timers.warning, next.timers.critical];
                        let pending = tracks.iter().filter(|t| t.state == State::Pending);
                        let waited = pending.map(|track| now - track.since).max().unwrap_or(0);
                        prop_assert!(waited == 0 || alert.state.is_active());
                        pending_at = clock - waited;
                    }
                    Change::Firing if alert.state == State::Pending => {
                        prop_assert!(clock - pending_at >= timing.fires_after);
                    }
                    Change::Recovering => recovering_at = clock,
                    Change::Resolved if alert.state == State::Recovering => {
                        prop_assert!(clock - recovering_at >= timing.clears_after);
                    }
                    Change::Resolved => prop_assert_eq!(timing.clears_after, 0),
                    Change::Escalated => prop_assert!(next.severity > alert.severity),
                    Change::Eased => prop_assert!(next.severity < alert.severity),
                    Change::Flapping | Change::Steady => {
                        prop_assert_eq!(*change == Change::Steady, is_flapping);
                        is_flapping = !is_flapping;
                    }
                    Change::NoData => prop_assert!(!next.has_data),
                    Change::Data => prop_assert!(next.has_data),
                    Change::Firing | Change::Withdrawn => {}
                }
            }
            // An alert that is ok tells nothing about its data.
            let is_ok = (alert.state, next.state) == (State::Ok, State::Ok);
            let is_data = |change| matches!(change, &Change::NoData | &Change::Data);
            prop_assert_eq!(
                changes.iter().any(is_data),
                alert.has_data != next.has_data && !is_ok
            );
            let words = changes.iter().map(|change| change.as_str());
            let distinct: std::collections::BTreeSet<&str> = words.collect();
            prop_assert_eq!(distinct.len(), changes.len());
            alert = next;
        }
    }

    /// A restart between any two evaluations changes nothing, whether the stored text keeps the
    /// order of its keys or not.
    #[test]
    fn stored_timers_lose_nothing(conditions in any_conditions(), steps in any_steps(20)) {
        let (mut alert, mut restarted) = (Alert::new(START), Alert::new(START));
        for (now, reading) in history(&conditions, &steps) {
            let text = serde_json::to_string(&restarted.timers).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            restarted.timers = serde_json::from_value(json).unwrap();
            let both = step(&conditions, &alert, now, reading);
            prop_assert_eq!(&both, &step(&conditions, &restarted, now, reading));
            (alert, restarted) = (both.0.clone(), both.0);
        }
    }

    /// Steps back of the clock cost one evaluation each, both on the way to firing and to ok.
    #[test]
    fn a_step_back_delays_by_one_evaluation(
        conditions in any_conditions(),
        backs in prop::collection::btree_map(0..30_usize, 1..HOUR, 0..3),
    ) {
        let sign = if conditions.direction == Direction::Below { -1.0 } else { 1.0 };
        let regular = [(); 60].map(|()| EVERY);
        let mut stepped = regular;
        backs.iter().for_each(|(at, back)| stepped[*at] = -back);
        let end_of = |gaps: &[i64], from: &Alert, reading: Reading, end: Change| {
            let (mut alert, mut now) = (from.clone(), from.timers.evaluated_at);
            gaps.iter().position(|gap| {
                now += gap;
                let (next, changes) = step(&conditions, &alert, now, reading);
                alert = next;
                changes.contains(&end)
            })
        };
        let firing = Alert {
            state: State::Firing,
            severity: Some(Severity::Critical),
            timers: Timers {
                critical: Track { state: State::Firing, since: START },
                ..Alert::new(START).timers
            },
            ..Alert::new(START)
        };
        let over = value(sign * 99.0);
        for (from, reading, end) in [
            (Alert::new(START), over, Change::Firing),
            (firing, value(sign * 0.0), Change::Resolved),
        ] {
            let due = end_of(&regular, &from, reading, end);
            let late = end_of(&stepped, &from, reading, end);
            let latest = due.map(|due| due + backs.len());
            prop_assert!(due.is_some() && due <= late && late <= latest, "{due:?} {late:?}");
        }
    }

    /// A server that was down for ten ticks or for days neither fires nor resolves an alert by
    /// that. Three intervals of its absence count.
    #[test]
    fn missed_ticks_count_as_three(
        conditions in any_conditions(),
        steps in any_steps(20),
        missed in prop::sample::select(vec![10 * EVERY, 400 * 24 * HOUR]),
        reading in 0..256_u16,
    ) {
        let (mut alert, mut now) = (Alert::new(START), START);
        for (at, reading) in history(&conditions, &steps) {
            (alert, now) = (step(&conditions, &alert, at, reading).0, at);
        }
        let reading = history(&conditions, &[reading])[0].1;
        let outcome = |gap| {
            let mut next = step(&conditions, &alert, now + gap, reading).0;
            // Flaps are those of an hour of the clock, and times for people are those of it.
            (next.since, next.fired_at, next.is_flapping) = (0, None, false);
            next.timers.transitions.clear();
            next.timers.warning.since -= next.timers.evaluated_at;
            next.timers.critical.since -= next.timers.evaluated_at;
            next.timers.evaluated_at = 0;
            next
        };
        prop_assert_eq!(outcome(missed), outcome(3 * EVERY));
    }

    /// Without data, a rule that keeps its state keeps its timers too.
    #[test]
    fn no_data_that_keeps_changes_nothing_else(
        conditions in any_conditions(),
        steps in any_steps(20),
        gaps in prop::collection::vec(-2 * HOUR..2 * HOUR, 1..5),
    ) {
        let conditions = Conditions { no_data: NoData::Keep, ..conditions };
        let (mut before, mut now) = (Alert::new(START), START);
        for (at, reading) in history(&conditions, &steps) {
            (before, now) = (step(&conditions, &before, at, reading).0, at);
        }
        let elapsed = |alert: &Alert, track: &Track| alert.timers.evaluated_at - track.since;
        let mut alert = before.clone();
        for gap in gaps {
            now += gap;
            let (next, changes) = step(&conditions, &alert, now, NONE);
            let is_allowed = |change| matches!(change, &Change::NoData | &Change::Steady);
            prop_assert!(changes.iter().all(is_allowed), "{:?}", changes);
            prop_assert!(!next.has_data);
            prop_assert_eq!((next.state, next.severity), (before.state, before.severity));
            let back = gap.min(0);
            prop_assert_eq!(next.since, alert.since + back);
            prop_assert_eq!(next.fired_at, alert.fired_at.map(|at| at + back));
            for track in [|timers: &Timers| timers.warning, |timers: &Timers| timers.critical] {
                let (was, is) = (track(&before.timers), track(&next.timers));
                prop_assert_eq!(was.state, is.state);
                prop_assert_eq!(elapsed(&before, &was), elapsed(&next, &is));
            }
            alert = next;
        }
    }

    /// A rule that was changed between two evaluations ends its alerts all the same: a threshold
    /// that is gone keeps none.
    #[test]
    fn a_changed_rule_ends_its_alerts(
        earlier in any_conditions(),
        steps in any_steps(20),
        later in any_conditions(),
        is_absent in any::<bool>(),
    ) {
        let (mut alert, mut now) = (Alert::new(START), START);
        for (at, reading) in history(&earlier, &steps) {
            (alert, now) = (step(&earlier, &alert, at, reading).0, at);
        }
        let sign = if later.direction == Direction::Below { -1.0 } else { 1.0 };
        let reading = if is_absent { NONE } else { value(sign * 0.0) };
        for _ in 0..20 {
            now += EVERY;
            let next = step(&later, &alert, now, reading);
            // An alert of the threshold that is gone may end while one of the other begins.
            let is_new = next.1.ends_with(&[Change::Resolved, Change::Pending]);
            let state = if is_new { State::Pending } else { told(alert.state, &next.1, true)? };
            prop_assert_eq!(state, next.0.state);
            alert = next.0;
        }
        let expected = match (is_absent, later.no_data) {
            (true, NoData::Keep) => return Ok(()),
            (true, NoData::Alert) => State::Firing,
            (true, NoData::Ok) | (false, _) => State::Ok,
        };
        prop_assert_eq!(alert.state, expected);
        let has_lost = |threshold: &Option<Threshold>| threshold.is_none();
        if has_lost(&later.critical) {
            prop_assert_eq!(alert.timers.critical.state, State::Ok);
        }
        if has_lost(&later.warning) {
            prop_assert_eq!(alert.timers.warning.state, State::Ok);
        }
    }
}
