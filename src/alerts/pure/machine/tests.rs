//! The machine against a model, and its invariants, over random histories.

use super::*;
use proptest::prelude::*;

const MINUTE: i64 = 60_000_000;

/// One evaluation: the step of the clock before it, and the reading.
type Evaluation = (i64, Reading);

/// An independent model of one threshold. It keeps no timers: each step reads the whole history of
/// observed intervals from its start.
struct Model {
    /// The time that counts before each evaluation, and the side at it; `None` for kept.
    history: Vec<(i64, Option<Side>)>,
}

impl Model {
    /// The state after the whole history.
    fn state(&self, timing: &Timing) -> State {
        let mut state = State::Ok;
        let mut from = 0;
        for (now, (_, side)) in self.history.iter().enumerate() {
            let Some(side) = side else { continue };
            // The observed time since an evaluation.
            let held: i64 = self.history[from + 1..=now].iter().map(|(counted, _)| counted).sum();
            let next = match (state, side) {
                (State::Ok, Side::Over) if timing.fires_after == 0 => State::Firing,
                (State::Ok, Side::Over) => State::Pending,
                (State::Pending, Side::Over) if held >= timing.fires_after => State::Firing,
                (State::Pending, Side::Between | Side::Clear) => State::Ok,
                (State::Firing, Side::Clear) if timing.clears_after == 0 => State::Ok,
                (State::Firing, Side::Clear) => State::Recovering,
                (State::Recovering, Side::Clear) if held >= timing.clears_after => State::Ok,
                (State::Recovering, Side::Over | Side::Between) => State::Firing,
                (same, _) => same,
            };
            if next != state {
                (state, from) = (next, now);
            }
        }
        state
    }
}

/// The time of a gap that counts: none of a step back, at most three intervals of a wait, and none
/// before an evaluation that keeps the state.
fn counted(gap: i64, every: i64, is_kept: bool) -> i64 {
    if is_kept { 0 } else { gap.clamp(0, 3 * every) }
}

fn model_side(conditions: &Conditions, threshold: &Option<Threshold>, value: f64) -> Side {
    let Some(threshold) = threshold else { return Side::Clear };
    // Below is above with the signs changed.
    let sign = if conditions.direction == Direction::Above { 1.0 } else { -1.0 };
    if sign * value > sign * threshold.fires {
        Side::Over
    } else if sign * value <= sign * threshold.clears {
        Side::Clear
    } else {
        Side::Between
    }
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let no_data = prop_oneof![Just(NoData::Keep), Just(NoData::Ok), Just(NoData::Alert)];
    (any::<bool>(), 0..4_u8, 0..4_i64, 0..4_i64, no_data, 0..3_u8).prop_map(
        |(is_above, thresholds, fires_after, clears_after, no_data, band)| {
            let sign = if is_above { 1.0 } else { -1.0 };
            let threshold = |fires: f64| Threshold {
                fires: sign * fires,
                clears: sign * (fires - f64::from(band)),
            };
            Conditions {
                direction: if is_above { Direction::Above } else { Direction::Below },
                warning: (thresholds != 1).then(|| threshold(5.0)),
                critical: (thresholds != 0)
                    .then(|| threshold(if thresholds == 3 { 5.0 } else { 8.0 })),
                min_samples: 0,
                no_data,
                timing: Timing {
                    fires_after: fires_after * MINUTE,
                    clears_after: clears_after * MINUTE,
                    every: MINUTE,
                },
            }
        },
    )
}

fn history() -> impl Strategy<Value = Vec<Evaluation>> {
    let gap = prop_oneof![
        8 => Just(MINUTE),
        1 => -300..0_i64,
        1 => 2..300_i64,
        1 => Just(MINUTE / 2),
    ]
    .prop_map(|gap| if gap.abs() < 1_000 { gap * MINUTE } else { gap });
    let value = prop_oneof![
        12 => (0..12_u8).prop_map(|value| Some(f64::from(value))),
        1 => Just(Some(f64::INFINITY)),
        1 => Just(Some(f64::NEG_INFINITY)),
        2 => Just(None),
    ];
    proptest::collection::vec((gap, value), 1..16).prop_map(|steps| {
        let reading = |value: Option<f64>| Reading::of(value, None, 0);
        steps.into_iter().map(|(gap, value)| (gap, reading(value))).collect()
    })
}

/// The value of the other direction.
fn mirrored(conditions: &Conditions, reading: Reading) -> Reading {
    match (conditions.direction, reading) {
        (Direction::Below, Reading::Value { value, samples }) => {
            Reading::Value { value: -value, samples }
        }
        _ => reading,
    }
}

fn through_json(alert: &Alert) -> Alert {
    let json = serde_json::to_string(&alert.timers).expect("timers are JSON");
    Alert { timers: serde_json::from_str(&json).expect("and back"), ..alert.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    /// The machine has the states of the model after each evaluation, with a restart after each.
    #[test]
    fn the_machine_agrees_with_its_model(
        conditions in conditions(),
        history in history(),
    ) {
        let (mut alert, mut now) = (Alert::new(0), 0);
        let mut warning = Model { history: Vec::new() };
        let mut critical = Model { history: Vec::new() };
        for (gap, reading) in history {
            now += gap;
            let reading = mirrored(&conditions, reading);
            let sides = match (reading, conditions.no_data) {
                (Reading::Value { value, .. }, _) => Some((
                    model_side(&conditions, &conditions.warning, value),
                    model_side(&conditions, &conditions.critical, value),
                )),
                (Reading::NoData, NoData::Keep) => None,
                (Reading::NoData, NoData::Ok) => Some((Side::Clear, Side::Clear)),
                (Reading::NoData, NoData::Alert) => Some(match &conditions.warning {
                    None => (Side::Clear, Side::Over),
                    Some(warning) => {
                        let other = conditions.critical.as_ref();
                        let was = critical.state(&conditions.timing);
                        let side = match was {
                            _ if other.is_none() => Side::Clear,
                            _ if other.map(|other| other.fires) == Some(warning.fires) => {
                                Side::Over
                            }
                            State::Recovering => Side::Clear,
                            State::Ok | State::Pending | State::Firing => Side::Between,
                        };
                        (Side::Over, side)
                    }
                }),
            };
            let time = counted(gap, MINUTE, sides.is_none());
            warning.history.push((time, sides.map(|sides| sides.0)));
            critical.history.push((time, sides.map(|sides| sides.1)));
            let (next, changes) = step(&conditions, &through_json(&alert), now, reading);
            let states = (warning.state(&conditions.timing), critical.state(&conditions.timing));
            prop_assert_eq!((next.timers.warning.state, next.timers.critical.state), states);
            // The history of an alert is a chain of its states.
            check_chain(&alert, &next, &changes)?;
            alert = next;
        }
    }
}

/// Each change of state has its event, and no event comes without one.
fn check_chain(before: &Alert, after: &Alert, changes: &[Change]) -> Result<(), TestCaseError> {
    let has = |change| changes.contains(&change);
    let (was, is) = (before.state.is_active(), after.state.is_active());
    prop_assert_eq!(has(Change::Resolved), was && !is);
    prop_assert_eq!(
        has(Change::Firing),
        is && !was || (before.state, after.state) == (State::Recovering, State::Firing)
    );
    let both = was && is;
    prop_assert_eq!(has(Change::Escalated), both && before.severity < after.severity);
    prop_assert_eq!(has(Change::Eased), both && before.severity > after.severity);
    prop_assert_eq!(after.severity.is_none(), after.state == State::Ok);
    prop_assert_eq!(after.fired_at.is_some(), is);
    prop_assert!(changes.iter().filter(|change| **change == Change::Firing).count() <= 1);
    prop_assert!(after.since <= after.timers.evaluated_at);
    Ok(())
}

fn plain(fires_after: i64, clears_after: i64) -> Conditions {
    Conditions {
        direction: Direction::Above,
        warning: Some(Threshold { fires: 5.0, clears: 4.0 }),
        critical: None,
        min_samples: 0,
        no_data: NoData::Keep,
        timing: Timing {
            fires_after: fires_after * MINUTE,
            clears_after: clears_after * MINUTE,
            every: MINUTE,
        },
    }
}

fn value(value: f64) -> Reading {
    Reading::Value { value, samples: None }
}

/// Evaluates at these minutes; the last alert.
fn run(conditions: &Conditions, steps: &[(i64, f64)]) -> Alert {
    steps.iter().fold(Alert::new(0), |alert, (minute, reading)| {
        step(conditions, &alert, minute * MINUTE, value(*reading)).0
    })
}

#[test]
fn a_wait_without_evaluations_neither_fires_nor_resolves() {
    let conditions = plain(5, 5);
    assert_eq!(run(&conditions, &[(0, 9.0), (600, 9.0)]).state, State::Pending);
    assert_eq!(run(&conditions, &[(0, 9.0), (600, 9.0), (602, 9.0)]).state, State::Firing);
    let fired = [(0, 9.0), (1, 9.0), (2, 9.0), (3, 9.0), (4, 9.0), (5, 9.0)];
    let recovering: Vec<_> = fired.into_iter().chain([(6, 1.0), (900, 1.0)]).collect();
    assert_eq!(run(&conditions, &recovering).state, State::Recovering);
}

#[test]
fn a_step_back_of_the_clock_delays_nothing() {
    let conditions = plain(3, 0);
    let steps = [(100, 9.0), (101, 9.0), (102, 9.0), (-500, 9.0), (-499, 9.0)];
    assert_eq!(run(&conditions, &steps).state, State::Firing, "two minutes before, one after");
    assert_eq!(run(&conditions, &steps[..4]).state, State::Pending);
}

/// The policy `alert` is a value over the lowest threshold: it neither ends nor renews what was
/// critical, and is critical where the thresholds are the same.
#[test]
fn no_data_that_alerts_is_no_worse_than_the_values_before() {
    let threshold = |fires| Some(Threshold { fires, clears: fires - 1.0 });
    let (warning, critical) = (threshold(5.0), threshold(8.0));
    let conditions = Conditions { warning, critical, no_data: NoData::Alert, ..plain(0, 2) };
    let at = |conditions: &Conditions, readings: &[Option<f64>]| {
        let mut alert = Alert::new(0);
        for (minute, reading) in (0..).zip(readings) {
            let reading = Reading::of(*reading, None, 0);
            alert = step(conditions, &alert, minute * MINUTE, reading).0;
        }
        (alert.state, alert.severity)
    };
    let fires = |severity| (State::Firing, Some(severity));
    let recovering = [Some(9.0), Some(6.0), None, None, None];
    assert_eq!(at(&conditions, &recovering), fires(Severity::Warning), "it was recovering");
    assert_eq!(at(&conditions, &[Some(9.0), None, None, None, None]), fires(Severity::Critical));
    assert_eq!(at(&conditions, &[Some(6.0), None]), fires(Severity::Warning));
    let equal = Conditions { critical: warning, ..conditions };
    assert_eq!(at(&equal, &[None]), fires(Severity::Critical));
}

/// The level of an alert is computed from its age.
#[test]
fn a_step_back_of_the_clock_makes_no_alert_younger() {
    let conditions = plain(0, 0);
    let alert = run(&conditions, &[(100, 9.0), (120, 9.0), (50, 9.0), (51, 9.0), (49, 9.0)]);
    assert_eq!(alert.fired_at, Some(28 * MINUTE), "20 minutes before the step, one after it");
    assert_eq!(alert.since, 28 * MINUTE);
}

#[test]
fn an_alert_that_fires_again_and_again_is_flapping_until_it_is_steady() {
    let conditions = plain(0, 0);
    let mut alert = Alert::new(0);
    let mut seen = Vec::new();
    for minute in 0..4 {
        let reading = if minute % 2 == 0 { 9.0 } else { 1.0 };
        let (next, changes) = step(&conditions, &alert, minute * MINUTE, value(reading));
        seen.extend(changes);
        alert = next;
    }
    assert!(seen.contains(&Change::Flapping) && alert.is_flapping);
    assert!(!alert.is_forgettable(10 * MINUTE));
    for minute in 5..70 {
        let (next, changes) = step(&conditions, &alert, minute * MINUTE, value(1.0));
        seen.extend(changes);
        alert = next;
    }
    assert!(seen.contains(&Change::Steady) && !alert.is_flapping);
    assert!(alert.is_forgettable(70 * MINUTE));
}

#[test]
fn stored_timers_of_other_versions_can_be_read() {
    let timers: Timers = serde_json::from_str(r#"{"warning": {"state": "firing"}, "new": 1}"#)
        .expect("unknown fields are ignored, missing ones are as those of a new alert");
    assert_eq!(timers.warning.state, State::Firing);
    assert_eq!(timers.critical, Track::default());
}

/// A dump without timers, or with those of another version, ends no alert.
#[test]
fn lost_timers_leave_the_state() {
    let conditions = Conditions {
        direction: Direction::Above,
        warning: Some(Threshold { fires: 5.0, clears: 5.0 }),
        critical: Some(Threshold { fires: 8.0, clears: 8.0 }),
        min_samples: 0,
        no_data: NoData::Keep,
        timing: Timing { fires_after: 0, clears_after: 0, every: 60_000_000 },
    };
    let value = |value| Reading::Value { value, samples: None };
    let fired = step(&conditions, &Alert::new(0), 0, value(9.0)).0;
    let lost = Alert { timers: Timers::default(), ..fired };
    let (after, changes) = step(&conditions, &lost, 60_000_000, Reading::NoData);
    assert_eq!((after.state, after.severity), (State::Firing, Some(Severity::Critical)));
    assert_eq!(changes, [Change::NoData]);
}
