//! The state machine of an alert. Each threshold has a track of its own; the alert is the worse of
//! the two. Every timer is a stored time, so a restart between two steps changes nothing.

use super::reading::Reading;
use super::rule::{Conditions, Direction, NoData, Severity, Threshold, Timing};
use crate::time::minute::HOUR;
use serde::{Deserialize, Serialize};

/// The state of an alert, and of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not over the threshold.
    #[default]
    Ok,
    /// Over it, but not for `fires_after` yet.
    Pending,
    /// Over it.
    Firing,
    /// Clear, but not for `clears_after` yet.
    Recovering,
}

impl State {
    const ALL: [Self; 4] = [Self::Ok, Self::Pending, Self::Firing, Self::Recovering];

    /// The word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Recovering => "recovering",
        }
    }

    /// Reads the word; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    fn is_active(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering)
    }
}

/// A change that the history records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A value is over a threshold.
    Pending,
    /// The alert fires; also again, after it had begun to recover.
    Firing,
    /// From warning to critical.
    Escalated,
    /// From critical to warning.
    Eased,
    /// The value is clear.
    Recovering,
    /// The alert has ended.
    Resolved,
    /// The value cleared before the alert fired.
    Withdrawn,
    /// It fires and resolves again and again.
    Flapping,
    /// It does so no longer.
    Steady,
    /// There is no value any more.
    NoData,
    /// There is a value again.
    Data,
}

impl Change {
    /// The word in `alert_events`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Escalated => "escalated",
            Self::Eased => "eased",
            Self::Recovering => "recovering",
            Self::Resolved => "resolved",
            Self::Withdrawn => "withdrawn",
            Self::Flapping => "flapping",
            Self::Steady => "steady",
            Self::NoData => "no_data",
            Self::Data => "data",
        }
    }
}

/// The state against one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Track {
    /// The state.
    pub state: State,
    /// The start of the running timer of pending and recovering, in microseconds since 2000.
    pub since: i64,
}

/// The stored times of an alert. Fields that an older version does not know are ignored, missing
/// ones are as those of a new alert.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Timers {
    /// Against the threshold of a warning.
    pub warning: Track,
    /// Against the threshold of severity critical.
    pub critical: Track,
    /// The latest evaluation, in microseconds since 2000.
    pub evaluated_at: i64,
    /// When it fired or was resolved in the last hour: the latest four times.
    pub transitions: Vec<i64>,
    /// For how long evaluations have had no row of the subject, in microseconds; `None` if the
    /// latest one had.
    pub absent_for: Option<i64>,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The state.
    pub state: State,
    /// The severity; `None` while it is ok.
    pub severity: Option<Severity>,
    /// Whether the latest evaluation had a value.
    pub has_data: bool,
    /// Time of the latest change of state, in microseconds since 2000.
    pub since: i64,
    /// When it fired; `None` if it has not. Moves back with the clock, so that its age stays.
    pub fired_at: Option<i64>,
    /// Whether it fires and resolves again and again.
    pub is_flapping: bool,
    /// The stored times.
    pub timers: Timers,
}

/// Transitions count as flapping for so long, in microseconds.
const FLAP_WINDOW: i64 = HOUR;
/// So many of them make an alert flap.
const FLAPS: usize = 4;
/// Fewer than so many make it steady.
const STEADY: usize = 2;
/// So many intervals count of a gap between two evaluations.
const INTERVALS: i64 = 3;

impl Alert {
    /// An alert that is ok.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Self {
            state: State::Ok,
            severity: None,
            has_data: true,
            since: now,
            fired_at: None,
            is_flapping: false,
            timers: Timers { evaluated_at: now, ..Timers::default() },
        }
    }

    /// Moves all its times with a clock that stepped back by so many microseconds.
    pub fn step_back(&mut self, by: i64) {
        let timers = &mut self.timers;
        let tracks = [&mut timers.warning.since, &mut timers.critical.since];
        let own = [&mut self.since, &mut timers.evaluated_at];
        let times = tracks.into_iter().chain(own).chain(&mut self.fired_at);
        times.chain(&mut timers.transitions).for_each(|at| *at = at.saturating_sub(by));
    }

    /// Whether nothing would be lost with it.
    #[must_use]
    pub fn is_forgettable(&self, now: i64) -> bool {
        let is_old = |at: &i64| now - at > FLAP_WINDOW;
        self.state == State::Ok && !self.is_flapping && self.timers.transitions.iter().all(is_old)
    }
}

/// A value against one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Over,
    /// Between the threshold and the value that clears.
    Between,
    Clear,
}

fn side(direction: Direction, threshold: &Threshold, value: f64) -> Side {
    let (is_over, is_clear) = match direction {
        Direction::Above => (value > threshold.fires, value <= threshold.clears),
        Direction::Below => (value < threshold.fires, value >= threshold.clears),
    };
    match (is_over, is_clear) {
        (true, _) => Side::Over,
        (false, true) => Side::Clear,
        (false, false) => Side::Between,
    }
}

/// The sides of the warning and of the critical threshold; `None` where the state is kept.
/// `critical` is the state against the latter.
fn sides(conditions: &Conditions, critical: State, reading: Reading) -> Option<(Side, Side)> {
    let of = |threshold: &Option<Threshold>, value| {
        threshold.as_ref().map_or(Side::Clear, |t| side(conditions.direction, t, value))
    };
    match (reading, conditions.no_data) {
        (Reading::Value { value, .. }, _) => {
            Some((of(&conditions.warning, value), of(&conditions.critical, value)))
        }
        (Reading::NoData, NoData::Keep) => None,
        (Reading::NoData, NoData::Ok) => Some((Side::Clear, Side::Clear)),
        // A threshold that the rule has lost keeps no alert.
        (Reading::NoData, NoData::Alert) => {
            Some(match (&conditions.warning, &conditions.critical) {
                (Some(warning), Some(other)) if warning.fires == other.fires => {
                    (Side::Over, Side::Over)
                }
                // No data is no reason to end a severity, nor to begin one again that ends.
                (Some(_), Some(_)) if critical == State::Recovering => (Side::Over, Side::Clear),
                (Some(_), Some(_)) => (Side::Over, Side::Between),
                (Some(_), None) => (Side::Over, Side::Clear),
                (None, _) => (Side::Clear, Side::Over),
            })
        }
    }
}

impl Conditions {
    /// The severity of a value by itself, without timers; `Some(None)` for none, `None` without
    /// data.
    #[must_use]
    pub fn severity_of(&self, reading: Reading) -> Option<Option<Severity>> {
        let Reading::Value { value, .. } = reading else { return None };
        let is_over = |threshold: &Option<Threshold>| {
            threshold.as_ref().is_some_and(|t| side(self.direction, t, value) == Side::Over)
        };
        Some(if is_over(&self.critical) {
            Some(Severity::Critical)
        } else {
            is_over(&self.warning).then_some(Severity::Warning)
        })
    }
}

impl Track {
    fn step(self, side: Side, timing: &Timing, now: i64) -> Self {
        let to = |state| Self { state, since: now };
        let elapsed = now - self.since;
        match (self.state, side) {
            (State::Ok, Side::Over) if timing.fires_after <= 0 => to(State::Firing),
            (State::Ok, Side::Over) => to(State::Pending),
            (State::Pending, Side::Over) if elapsed >= timing.fires_after => to(State::Firing),
            (State::Pending, Side::Over) => self,
            (State::Pending, _) => to(State::Ok),
            (State::Firing, Side::Clear) if timing.clears_after <= 0 => to(State::Ok),
            (State::Firing, Side::Clear) => to(State::Recovering),
            (State::Recovering, Side::Clear) if elapsed >= timing.clears_after => to(State::Ok),
            (State::Recovering, Side::Clear) => self,
            (State::Recovering, _) => to(State::Firing),
            (State::Ok | State::Firing, _) => self,
        }
    }
}

impl Timers {
    /// For how long the subject has had no row if it has none now. As in the other timers, three
    /// intervals count of a gap: a rule that fails makes no subject absent.
    #[must_use]
    pub fn absence(&self, every: i64, now: i64) -> i64 {
        let gap = now.saturating_sub(self.evaluated_at);
        let counted = gap.clamp(0, every.saturating_mul(INTERVALS));
        self.absent_for.map_or(0, |absent| absent.saturating_add(counted))
    }

    /// Moves the timers over the time since the latest evaluation, of which not all counts.
    fn move_over_gap(&mut self, every: i64, is_frozen: bool, now: i64) {
        let gap = now.saturating_sub(self.evaluated_at);
        let counted = gap.min(every.saturating_mul(INTERVALS));
        let shift = if gap < 0 || is_frozen { gap } else { gap - counted };
        self.warning.since = self.warning.since.saturating_add(shift);
        self.critical.since = self.critical.since.saturating_add(shift);
        if gap < 0 {
            self.transitions.iter_mut().for_each(|at| *at = at.saturating_add(gap));
        }
        self.transitions.retain(|at| now - at <= FLAP_WINDOW);
        self.evaluated_at = now;
    }

    /// Timers that tell another state than the alert has, such as lost ones, begin anew from it.
    fn agree_with(&mut self, state: State, severity: Option<Severity>, now: i64) {
        if self.overall() == (state, severity) {
            return;
        }
        let track = Track { state, since: now };
        (self.warning, self.critical) = match severity {
            Some(Severity::Critical) => (Track::default(), track),
            Some(Severity::Warning) | None => (track, Track::default()),
        };
        self.evaluated_at = now;
    }

    /// The state and severity of the alert.
    fn overall(&self) -> (State, Option<Severity>) {
        let (warning, critical) = (self.warning.state, self.critical.state);
        let any = |state| warning == state || critical == state;
        let state = if any(State::Firing) {
            State::Firing
        } else if any(State::Recovering) {
            State::Recovering
        } else if any(State::Pending) {
            State::Pending
        } else {
            State::Ok
        };
        let is_critical = match state {
            State::Ok => return (state, None),
            State::Pending => critical == State::Pending,
            State::Firing | State::Recovering => critical.is_active(),
        };
        (state, Some(if is_critical { Severity::Critical } else { Severity::Warning }))
    }
}

/// One evaluation: the alert after it, and the changes in their order.
#[must_use]
pub fn step(
    conditions: &Conditions,
    alert: &Alert,
    now: i64,
    reading: Reading,
) -> (Alert, Vec<Change>) {
    let mut next = alert.clone();
    let mut changes = Vec::new();
    next.timers.agree_with(alert.state, alert.severity, now);
    let sides = sides(conditions, next.timers.critical.state, reading);
    next.timers.move_over_gap(conditions.timing.every, sides.is_none(), now);
    // The age of an alert decides on its level. A clock that stepped back makes none younger.
    let back = now.saturating_sub(alert.timers.evaluated_at).min(0);
    next.since = next.since.saturating_add(back).min(now);
    next.fired_at = next.fired_at.map(|at| at.saturating_add(back).min(now));
    next.has_data = reading != Reading::NoData;
    if let Some((warning, critical)) = sides {
        let timing = &conditions.timing;
        next.timers.warning = next.timers.warning.step(warning, timing, now);
        next.timers.critical = next.timers.critical.step(critical, timing, now);
    }
    (next.state, next.severity) = next.timers.overall();
    if alert.has_data != next.has_data && (alert.state, next.state) != (State::Ok, State::Ok) {
        changes.push(if next.has_data { Change::Data } else { Change::NoData });
    }
    let (was, is) = (alert.state, next.state);
    if was != is {
        next.since = now;
    }
    match (was.is_active(), is.is_active()) {
        (false, true) => {
            next.fired_at = Some(now);
            next.timers.transitions.push(now);
            changes.push(Change::Firing);
        }
        (true, false) => {
            next.fired_at = None;
            next.timers.transitions.push(now);
            changes.push(Change::Resolved);
        }
        (true, true) => {
            if alert.severity < next.severity {
                changes.push(Change::Escalated);
            } else if alert.severity > next.severity {
                changes.push(Change::Eased);
            }
            match (was, is) {
                (State::Firing, State::Recovering) => changes.push(Change::Recovering),
                (State::Recovering, State::Firing) => changes.push(Change::Firing),
                _ => {}
            }
        }
        (false, false) => match (was, is) {
            (State::Ok, State::Pending) => changes.push(Change::Pending),
            (State::Pending, State::Ok) => changes.push(Change::Withdrawn),
            _ => {}
        },
    }
    // Without data, or a threshold, one track may be resolved while the other one is pending.
    if was.is_active() && is == State::Pending {
        changes.push(Change::Pending);
    }
    // More than these never decide, and each write of the alert carries them.
    let surplus = next.timers.transitions.len().saturating_sub(FLAPS);
    next.timers.transitions.drain(..surplus);
    let count = next.timers.transitions.len();
    if !next.is_flapping && count >= FLAPS {
        next.is_flapping = true;
        changes.push(Change::Flapping);
    } else if next.is_flapping && count < STEADY {
        next.is_flapping = false;
        changes.push(Change::Steady);
    }
    (next, changes)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
