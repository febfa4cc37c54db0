//! The verdict over a snapshot. Pure: equal snapshots give equal verdicts.

use super::model::{Criterion, Gate, Outcome, Snapshot, Standing};
use crate::time::instant::Instant;

/// GO and READY FOR LAUNCH need so many points of 100,
const ENOUGH: i32 = 90;
/// and GO_WITH_CAUTION and its like so many.
const BARELY: i32 = 70;
/// What all weights add up to.
pub const ALL_POINTS: i32 = 100;
/// So long a decision can be relied on at most, in microseconds: what was seen of a system that lives does not stay true for longer.
const LONGEST: i64 = 4 * 3_600 * 1_000_000;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Something blocks.
    Blocked,
    /// Nothing blocks, but too little is met.
    TooLittle,
    /// With care.
    Caution,
    /// Yes.
    Go,
}

/// What follows from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// The weights of what is met, 0 to 100.
    pub score: i32,
    /// Blockers that are not met and not waived, and faults of the criteria themselves.
    pub blockers: usize,
    /// What else is not met, blockers that are waived, and exceptions that somebody has made.
    pub warnings: usize,
    /// What is wrong with the criteria themselves.
    pub faults: Vec<String>,
    /// Until when it can be relied on.
    pub valid_until: Instant,
}

impl Verdict {
    /// The verdict over a snapshot.
    ///
    /// Blockers dominate: with one that is neither met nor waived no score helps. A waived criterion gives no points, and with a waived
    /// blocker it is not GO whatever the points. A launch takes no warnings either.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let now = snapshot.taken_at;
        let mut verdict = Self {
            decision: Decision::Blocked,
            score: 0,
            blockers: 0,
            warnings: 0,
            faults: faults(&snapshot.criteria),
            valid_until: now.plus(LONGEST),
        };
        verdict.blockers = verdict.faults.len();
        let mut points: i64 = 0;
        let mut is_waived = false;
        for criterion in &snapshot.criteria {
            if criterion.standing(now) == Standing::Met {
                points += i64::from(criterion.weight.max(0));
                verdict.warnings += criterion.caveats().count();
                let met = criterion.measurements.iter().filter(|measurement| measurement.outcome == Outcome::Met);
                let ends = met.filter_map(|measurement| measurement.fresh_until);
                verdict.valid_until = ends.fold(verdict.valid_until, Instant::min);
                if let Some(record) = criterion.recorded.as_ref().filter(|_| criterion.rests_on_record(now)) {
                    verdict.valid_until = verdict.valid_until.min(record.fresh_until);
                }
                continue;
            }
            match criterion.waiver_in_force(now) {
                Some(waiver) => {
                    verdict.valid_until = verdict.valid_until.min(waiver.expires_at);
                    verdict.warnings += 1;
                    is_waived |= criterion.is_blocker;
                }
                None if criterion.is_blocker => verdict.blockers += 1,
                None => verdict.warnings += 1,
            }
        }
        verdict.score = points.min(i64::from(ALL_POINTS)) as i32;
        let is_strict = snapshot.gate == Gate::Launch && verdict.warnings > 0;
        verdict.decision = match verdict.score {
            _ if verdict.blockers > 0 => Decision::Blocked,
            ENOUGH.. if !is_waived && !is_strict => Decision::Go,
            BARELY.. => Decision::Caution,
            _ => Decision::TooLittle,
        };
        verdict
    }

    /// The word of the contract.
    #[must_use]
    pub fn word(&self, gate: Gate) -> String {
        match (gate, self.decision) {
            (Gate::GoNoGo, Decision::Go) => "GO".to_owned(),
            (Gate::GoNoGo, Decision::Caution) => "GO_WITH_CAUTION".to_owned(),
            (Gate::GoNoGo, _) => "NO_GO".to_owned(),
            (Gate::Launch, Decision::Go) => "🚀 READY FOR LAUNCH".to_owned(),
            (Gate::Launch, Decision::Caution) => {
                format!("⚠️ LAUNCH WITH CAUTION - {}", counted(self.warnings, "warning"))
            }
            (Gate::Launch, Decision::Blocked) => {
                format!("🔴 NOT READY - {}", counted(self.blockers, "blocker"))
            }
            (Gate::Launch, Decision::TooLittle) => format!("🟡 NEEDS WORK - {} of {ALL_POINTS} points", self.score),
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What is wrong with the criteria themselves. A gate that asks for nothing says nothing.
fn faults(criteria: &[Criterion]) -> Vec<String> {
    if criteria.is_empty() {
        return vec!["there is no criterion".to_owned()];
    }
    let mut faults = Vec::new();
    let sum: i64 = criteria.iter().map(|criterion| i64::from(criterion.weight)).sum();
    if sum != i64::from(ALL_POINTS) || criteria.iter().any(|criterion| criterion.weight < 0) {
        faults.push(format!("the weights of the criteria add up to {sum}, not to {ALL_POINTS}"));
    }
    if !criteria.iter().any(|criterion| criterion.is_blocker) {
        faults.push("no criterion is a blocker".to_owned());
    }
    faults
}

/// What the verdict would be if one criterion, and nothing else, were the other way round.
#[must_use]
pub fn if_otherwise(snapshot: &Snapshot, which: usize) -> Option<Verdict> {
    let mut other = snapshot.clone();
    let criterion = other.criteria.get_mut(which)?;
    let is_met = criterion.standing(snapshot.taken_at) == Standing::Met;
    (criterion.recorded, criterion.objection) = (None, None);
    for measurement in &mut criterion.measurements {
        measurement.fresh_until = None;
        measurement.outcome = if is_met { Outcome::Failed } else { Outcome::Met };
    }
    Some(Verdict::of(&other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::pure::model::{Measurement, Record, Waiver};
    use proptest::prelude::*;

    const NOW: Instant = Instant(849_117_600_000_000);
    const HOUR: i64 = 3_600_000_000;

    fn measured(outcome: Outcome) -> Measurement {
        Measurement {
            measure: "rls".to_owned(),
            outcome,
            detail: String::new(),
            action: None,
            fresh_until: None,
            caveat: None,
        }
    }

    fn record(fresh_for: i64) -> Record {
        Record {
            id: "r".to_owned(),
            recorded_at: NOW.plus(-HOUR),
            fresh_until: NOW.plus(fresh_for),
            by: "ci".to_owned(),
        }
    }

    fn waiver(approved_by: Option<&str>, expires_in: i64) -> Waiver {
        Waiver {
            id: "w".to_owned(),
            reason: "known".to_owned(),
            requested_by: "alice".to_owned(),
            approved_by: approved_by.map(str::to_owned),
            expires_at: NOW.plus(expires_in),
        }
    }

    fn criterion(name: &str, weight: i32, is_blocker: bool, outcome: Outcome) -> Criterion {
        Criterion {
            name: name.to_owned(),
            category: name.to_owned(),
            weight,
            is_blocker,
            measurements: vec![measured(outcome)],
            recorded: None,
            objection: None,
            waiver: None,
        }
    }

    fn snapshot(gate: Gate, criteria: Vec<Criterion>) -> Snapshot {
        Snapshot { gate, release: None, taken_at: NOW, criteria }
    }

    /// The built-in criteria of a release, all met.
    fn release() -> Vec<Criterion> {
        [("e2e-tests", 25, true), ("no-rls-leak", 30, true), ("payments", 25, false), ("monitoring", 20, false)]
            .map(|(name, weight, is_blocker)| criterion(name, weight, is_blocker, Outcome::Met))
            .to_vec()
    }

    /// All 4^4 states of the four built-in criteria against a table written by hand: met, failed, without evidence, failed and waived.
    #[test]
    fn truth_table() {
        for states in 0..256_u32 {
            let state = |i: u32| states >> (2 * i) & 3;
            let mut criteria = release();
            for (i, criterion) in criteria.iter_mut().enumerate() {
                let outcomes = [Outcome::Met, Outcome::Failed, Outcome::Absent, Outcome::Failed];
                criterion.measurements = vec![measured(outcomes[state(i as u32) as usize])];
                criterion.waiver = (state(i as u32) == 3).then(|| waiver(Some("bob"), HOUR));
            }
            let told = Verdict::of(&snapshot(Gate::GoNoGo, criteria));
            let met = |i| state(i) == 0;
            let blocked = [0, 1].iter().filter(|i| matches!(state(**i), 1 | 2)).count();
            let score =
                [25, 30, 25, 20].iter().enumerate().filter(|(i, _)| met(*i as u32)).map(|(_, w)| w).sum::<i32>();
            let expected = match (blocked, met(0), met(1), met(2), met(3)) {
                (1.., ..) => "NO_GO",
                (_, true, true, true, true) => "GO",
                // 80, 75, 75, 70: one of them missing; all else is below 70.
                (_, true, true, true, false) | (_, true, true, false, true) => "GO_WITH_CAUTION",
                (_, false, true, true, true) | (_, true, false, true, true) => "GO_WITH_CAUTION",
                _ => "NO_GO",
            };
            assert_eq!(told.word(Gate::GoNoGo), expected, "{states:08b}");
            assert_eq!((told.score, told.blockers), (score, blocked), "{states:08b}");
            let unmet = (0..4).filter(|i| !met(*i)).count();
            assert_eq!(told.warnings, unmet - blocked, "{states:08b}");
        }
    }

    #[test]
    fn waivers_take_two_for_a_blocker() {
        let with = |is_blocker, waiver| {
            let mut criteria = release();
            criteria[if is_blocker { 0 } else { 3 }].measurements = vec![measured(Outcome::Failed)];
            criteria[if is_blocker { 0 } else { 3 }].waiver = Some(waiver);
            Verdict::of(&snapshot(Gate::GoNoGo, criteria))
        };
        assert_eq!(with(true, waiver(None, HOUR)).blockers, 1);
        assert_eq!(with(true, waiver(Some("alice"), HOUR)).blockers, 1, "the same person twice");
        assert_eq!(with(true, waiver(Some("bob"), HOUR)).blockers, 0);
        assert_eq!(with(true, waiver(Some("bob"), 0)).blockers, 1, "expired at this moment");
        assert_eq!(with(true, waiver(Some("bob"), HOUR)).valid_until, NOW.plus(HOUR));
        assert_eq!(with(false, waiver(None, HOUR)).valid_until, NOW.plus(HOUR));
        assert_eq!(with(false, waiver(None, 0)).valid_until, NOW.plus(LONGEST));
    }

    #[test]
    fn a_waived_blocker_is_never_go() {
        let criteria = |is_blocker| {
            let mut criteria =
                vec![criterion("a", 95, true, Outcome::Met), criterion("b", 5, is_blocker, Outcome::Failed)];
            criteria[1].waiver = Some(waiver(Some("bob"), HOUR));
            snapshot(Gate::GoNoGo, criteria)
        };
        assert_eq!(Verdict::of(&criteria(true)).decision, Decision::Caution);
        assert_eq!(Verdict::of(&criteria(false)).decision, Decision::Go, "95 points and one warning");
        let launch = Snapshot { gate: Gate::Launch, ..criteria(false) };
        assert_eq!(Verdict::of(&launch).word(Gate::Launch), "⚠️ LAUNCH WITH CAUTION - 1 warning");
    }

    #[test]
    fn criteria_that_say_nothing() {
        let told = |criteria| Verdict::of(&snapshot(Gate::GoNoGo, criteria));
        assert_eq!(told(vec![]).faults, ["there is no criterion"]);
        assert_eq!(told(vec![]).decision, Decision::Blocked);
        let mut heavy = release();
        heavy[0].weight = 26;
        assert_eq!(told(heavy).faults, ["the weights of the criteria add up to 101, not to 100"]);
        let mut light = release();
        light.iter_mut().for_each(|criterion| criterion.is_blocker = false);
        assert_eq!(told(light).faults, ["no criterion is a blocker"]);
        let mut odd = release();
        (odd[0].weight, odd[1].weight) = (-25, 80);
        assert_eq!(told(odd).decision, Decision::Blocked, "a sum of 100 with a negative weight");
        let huge = vec![criterion("a", i32::MAX, true, Outcome::Met), criterion("b", i32::MAX, true, Outcome::Met)];
        assert_eq!(told(huge).blockers, 1);
        let mut empty = release();
        empty[1].measurements.clear();
        assert_eq!(told(empty).blockers, 1, "what nobody looks at is not met");
    }

    #[test]
    fn recorded_evidence() {
        let with = |outcome, recorded: Option<Record>, objection: Option<Record>| {
            let criterion = Criterion { recorded, objection, ..criterion("a", 100, true, outcome) };
            criterion.standing(NOW)
        };
        for outcome in [Outcome::Met, Outcome::Failed, Outcome::Absent, Outcome::Elsewhere] {
            let told = with(outcome, Some(record(HOUR)), Some(record(-HOUR)));
            assert_eq!(told, Standing::Failed, "an objection does not heal by age");
        }
        assert_eq!(with(Outcome::Elsewhere, Some(record(HOUR)), None), Standing::Met);
        assert_eq!(with(Outcome::Elsewhere, Some(record(0)), None), Standing::Expired);
        assert_eq!(with(Outcome::Elsewhere, None, None), Standing::NoEvidence);
        assert_eq!(with(Outcome::Absent, Some(record(HOUR)), None), Standing::NoEvidence, "nothing stands in");
        assert_eq!(with(Outcome::Failed, Some(record(HOUR)), None), Standing::Failed);
        assert_eq!(with(Outcome::Met, None, None), Standing::Met);
    }

    #[test]
    fn caveats_and_ends() {
        let mut criteria = release();
        criteria[1].measurements[0].caveat = Some("accepted".to_owned());
        criteria[2].measurements[0].fresh_until = Some(NOW.plus(HOUR));
        let told = Verdict::of(&snapshot(Gate::GoNoGo, criteria.clone()));
        assert_eq!((told.decision, told.warnings, told.valid_until), (Decision::Go, 1, NOW.plus(HOUR)));
        assert_eq!(Verdict::of(&snapshot(Gate::Launch, criteria)).decision, Decision::Caution);
    }

    fn any_measurement() -> impl Strategy<Value = Measurement> {
        prop_oneof![
            4 => Just(Outcome::Met),
            1 => Just(Outcome::Failed),
            1 => Just(Outcome::Absent),
            2 => Just(Outcome::Elsewhere)
        ]
        .prop_flat_map(|outcome| (Just(outcome), proptest::option::of(-1..3_i64)))
        .prop_map(|(outcome, hours)| Measurement {
            fresh_until: hours.map(|hours| NOW.plus(hours * HOUR)),
            ..measured(outcome)
        })
    }

    fn any_criterion() -> impl Strategy<Value = Criterion> {
        let record = || proptest::option::of((-2..3_i64).prop_map(|h| record(h * HOUR)));
        let objection = prop_oneof![4 => Just(None), 1 => record()];
        let approver = prop_oneof![Just(None), Just(Some("alice")), Just(Some("bob"))];
        let waiver = proptest::option::of((approver, -2..3_i64).prop_map(|(by, h)| waiver(by, h * HOUR)));
        let measurements = proptest::collection::vec(any_measurement(), 0..3);
        (0..60_i32, any::<bool>(), measurements, record(), objection, waiver).prop_map(
            |(weight, is_blocker, measurements, recorded, objection, waiver)| Criterion {
                measurements,
                recorded,
                objection,
                waiver,
                ..criterion("c", weight, is_blocker, Outcome::Met)
            },
        )
    }

    fn any_snapshot() -> impl Strategy<Value = Snapshot> {
        let gate = prop_oneof![Just(Gate::GoNoGo), Just(Gate::Launch)];
        (gate, proptest::collection::vec(any_criterion(), 0..6), any::<bool>()).prop_map(
            |(gate, mut criteria, even)| {
                // Half of them with weights that add up.
                if even && !criteria.is_empty() {
                    let each = 100 / criteria.len() as i32;
                    criteria.iter_mut().for_each(|criterion| criterion.weight = each);
                    criteria[0].weight += 100 - each * criteria.len() as i32;
                }
                snapshot(gate, criteria)
            },
        )
    }

    /// No better in any respect.
    fn is_no_better(new: &Verdict, old: &Verdict) -> bool {
        new.decision <= old.decision && new.score <= old.score && new.blockers >= old.blockers
    }

    proptest! {
        #[test]
        fn blockers_dominate(snapshot in any_snapshot()) {
            let told = Verdict::of(&snapshot);
            let blocks = |c: &Criterion| {
                c.is_blocker && c.standing(NOW) != Standing::Met && c.waiver_in_force(NOW).is_none()
            };
            if snapshot.criteria.iter().any(blocks) {
                prop_assert_eq!(told.decision, Decision::Blocked);
            }
            if told.decision == Decision::Go {
                let all_met = snapshot.criteria.iter().filter(|c| c.is_blocker).all(|c| c.standing(NOW) == Standing::Met);
                prop_assert!(all_met && told.score >= ENOUGH);
            }
            prop_assert_eq!(told.decision == Decision::Blocked, told.blockers > 0);
        }

        #[test]
        fn the_score_never_decides_alone(mut snapshot in any_snapshot(), outcome in prop_oneof![Just(Outcome::Failed), Just(Outcome::Absent)]) {
            // All points but those of a blocker of no weight.
            for criterion in &mut snapshot.criteria {
                (criterion.measurements, criterion.objection) = (vec![measured(Outcome::Met)], None);
            }
            snapshot.criteria.push(criterion("last", 0, true, outcome));
            prop_assert_eq!(Verdict::of(&snapshot).decision, Decision::Blocked);
        }

        #[test]
        fn taking_away_what_speaks_for_it_never_helps(snapshot in any_snapshot(), which in any::<prop::sample::Index>(), what in 0..3) {
            prop_assume!(!snapshot.criteria.is_empty());
            let mut less = snapshot.clone();
            let which = which.index(less.criteria.len());
            let criterion = &mut less.criteria[which];
            match what {
                0 => criterion.recorded = None,
                1 => criterion.measurements.iter_mut().for_each(|measurement| measurement.outcome = Outcome::Absent),
                _ => criterion.waiver = None,
            }
            prop_assert!(is_no_better(&Verdict::of(&less), &Verdict::of(&snapshot)));
        }

        #[test]
        fn a_failure_is_no_better_than_no_evidence(snapshot in any_snapshot(), which in any::<prop::sample::Index>()) {
            prop_assume!(!snapshot.criteria.is_empty());
            let which = which.index(snapshot.criteria.len());
            let with = |outcome| {
                let mut other = snapshot.clone();
                other.criteria[which].measurements = vec![measured(outcome)];
                Verdict::of(&other)
            };
            prop_assert!(is_no_better(&with(Outcome::Failed), &with(Outcome::Absent)));
            prop_assert!(is_no_better(&with(Outcome::Absent), &with(Outcome::Elsewhere)));
            prop_assert!(is_no_better(&with(Outcome::Elsewhere), &with(Outcome::Met)));
        }

        #[test]
        fn what_has_expired_is_absent(snapshot in any_snapshot()) {
            let mut without = snapshot.clone();
            for criterion in &mut without.criteria {
                criterion.recorded = criterion.recorded.take().filter(|r| NOW < r.fresh_until);
                criterion.waiver = criterion.waiver.take().filter(|w| NOW < w.expires_at);
                for measurement in &mut criterion.measurements {
                    measurement.outcome = measurement.outcome_at(NOW);
                }
            }
            prop_assert_eq!(Verdict::of(&without), Verdict::of(&snapshot));
        }

        #[test]
        fn equal_snapshots_give_equal_verdicts(snapshot in any_snapshot()) {
            let text = serde_json::to_string(&snapshot).unwrap();
            let read: Snapshot = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &snapshot);
            let mut turned = read;
            turned.criteria.reverse();
            prop_assert_eq!(Verdict::of(&turned), Verdict::of(&snapshot), "whatever their order");
        }

        #[test]
        fn it_is_not_relied_on_for_too_long(snapshot in any_snapshot()) {
            let until = Verdict::of(&snapshot).valid_until;
            prop_assert!(NOW < until && until <= NOW.plus(LONGEST));
        }

        #[test]
        fn the_other_way_round(snapshot in any_snapshot(), which in any::<prop::sample::Index>()) {
            prop_assume!(!snapshot.criteria.is_empty());
            let which = which.index(snapshot.criteria.len());
            let criterion = &snapshot.criteria[which];
            prop_assume!(!criterion.measurements.is_empty());
            let (told, other) = (Verdict::of(&snapshot), if_otherwise(&snapshot, which).unwrap());
            if criterion.standing(NOW) == Standing::Met {
                prop_assert!(is_no_better(&other, &told));
            } else {
                prop_assert!(is_no_better(&told, &other));
            }
        }
    }
}
