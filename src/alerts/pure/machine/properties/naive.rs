//! The naive model of an alert: no timers and no tracks, but sums over the whole list of readings.

use super::super::{Severity, State};
use super::{Conditions, Direction, NoData, Reading};
use super::{EVERY, HOUR, NONE, START};

/// An alert, computed from the whole list of readings so far.
#[derive(Debug, PartialEq)]
pub struct Model {
    pub state: State,
    pub severity: Option<Severity>,
    pub has_data: bool,
    pub since: i64,
    pub fired_at: Option<i64>,
    pub is_flapping: bool,
}

/// The observed time before each reading: none for a step back, three intervals at most.
pub fn observed(history: &[(i64, Reading)]) -> Vec<i64> {
    let gap = |at: usize| history[at].0 - if at == 0 { START } else { history[at - 1].0 };
    (0..history.len()).map(|at| gap(at).clamp(0, 3 * EVERY)).collect()
}

/// Whether the value fires at warning and critical, and whether it is clear there.
fn meaning(conditions: &Conditions, reading: Reading) -> Option<[(bool, bool); 2]> {
    let sign = if conditions.direction == Direction::Below { -1.0 } else { 1.0 };
    let value = match (reading, conditions.no_data) {
        (Reading::Value { value, .. }, _) => sign * value,
        (NONE, NoData::Keep) => return None,
        (NONE, NoData::Ok) => f64::NEG_INFINITY,
        // Over the lowest threshold, not over another one. It clears nothing.
        (NONE, NoData::Alert) => {
            return Some(match (&conditions.warning, &conditions.critical) {
                (Some(warning), Some(other)) if warning.fires == other.fires => [(true, false); 2],
                (Some(_), Some(_)) => [(true, false), (false, false)],
                (Some(_), None) => [(true, false), (false, true)],
                (None, _) => [(false, true), (true, false)],
            });
        }
    };
    Some([&conditions.warning, &conditions.critical].map(|threshold| match threshold {
        Some(threshold) => (value > sign * threshold.fires, value <= sign * threshold.clears),
        None => (false, true),
    }))
}

/// The state against one threshold, from its readings: the observed time before each, whether it
/// is over, whether it is clear. Readings that keep the state are left out.
fn state_against(readings: &[(i64, bool, bool)]) -> impl Fn(i64, i64) -> State + '_ {
    // The latest reading at which all readings for so long had been alike.
    let latest = |is_alike: fn(&(i64, bool, bool)) -> bool, time: i64| {
        (0..readings.len()).rev().find(|end| {
            let start = readings[..=*end].iter().rposition(|reading| !is_alike(reading));
            let run = &readings[start.map_or(0, |start| start + 1)..=*end];
            let sum: i64 = run.iter().skip(1).map(|(observed, ..)| observed).sum();
            !run.is_empty() && sum >= time
        })
    };
    move |fires_after, clears_after| {
        let is_active =
            latest(|(_, over, _)| *over, fires_after) > latest(|(.., clear)| *clear, clears_after);
        match (is_active, readings.last()) {
            (true, Some((.., true))) => State::Recovering,
            (true, _) => State::Firing,
            (false, Some((_, true, _))) => State::Pending,
            (false, _) => State::Ok,
        }
    }
}

/// State and severity at the end of a history.
pub fn final_state(
    conditions: &Conditions,
    history: &[(i64, Reading)],
    observed: &[i64],
) -> (State, Option<Severity>) {
    let [warning, critical] = [0, 1].map(|track| {
        let mut was_clear = false;
        let readings: Vec<(i64, bool, bool)> = history
            .iter()
            .zip(observed)
            .filter_map(|((_, reading), observed)| {
                let (is_over, mut is_clear) = meaning(conditions, *reading)?[track];
                // Without data, the other threshold stays as clear as it was.
                is_clear |= was_clear && *reading == NONE && !is_over;
                was_clear = is_clear;
                Some((*observed, is_over, is_clear))
            })
            .collect();
        state_against(&readings)(conditions.timing.fires_after, conditions.timing.clears_after)
    });
    let rank = |state: &State| match state {
        State::Ok => 0,
        State::Pending => 1,
        State::Recovering => 2,
        State::Firing => 3,
    };
    let state = if rank(&warning) > rank(&critical) { warning } else { critical };
    let is_critical = match state {
        State::Ok => return (state, None),
        State::Pending => rank(&critical) == 1,
        State::Firing | State::Recovering => rank(&critical) >= 2,
    };
    (state, Some(if is_critical { Severity::Critical } else { Severity::Warning }))
}

/// The alert after a history; `states` are the states after each of its readings.
pub fn model(history: &[(i64, Reading)], states: &[(State, Option<Severity>)]) -> Model {
    let last = history.len() - 1;
    let state = |at: usize| at.checked_sub(1).map_or(State::Ok, |before| states[before].0);
    let is_active = |state: State| matches!(state, State::Firing | State::Recovering);
    let has_changed = |at: &usize| state(*at) != state(at + 1);
    let has_turned = |at: &usize| is_active(state(*at)) != is_active(state(at + 1));
    // The age is the time that the clock went forward: its steps back count nothing.
    let recorded = |at: usize| {
        let forward = history[at..].windows(2).map(|pair| (pair[1].0 - pair[0].0).max(0));
        history[last].0 - forward.sum::<i64>()
    };
    let (mut is_flapping, mut transitions) = (false, Vec::new());
    for at in 0..=last {
        let gap = history[at].0 - if at == 0 { START } else { history[at - 1].0 };
        transitions.iter_mut().for_each(|age| *age += gap.max(0));
        transitions.retain(|age| *age <= HOUR);
        transitions.extend(has_turned(&at).then_some(0));
        is_flapping = transitions.len() >= if is_flapping { 2 } else { 4 };
    }
    Model {
        state: states[last].0,
        severity: states[last].1,
        has_data: history[last].1 != NONE,
        since: match (0..=last).rev().find(has_changed) {
            Some(at) => recorded(at),
            None => recorded(0) - (history[0].0 - START).max(0),
        },
        fired_at: (0..=last)
            .rev()
            .find(has_turned)
            .filter(|_| is_active(states[last].0))
            .map(recorded),
        is_flapping,
    }
}
