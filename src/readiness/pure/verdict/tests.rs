use super::*;
use crate::readiness::pure::alteration::Alteration;
use crate::readiness::pure::model::{CriterionStatus, Evidence, Measurement, Waiver};
use proptest::prelude::*;
use proptest::sample::Index;

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
        note: None,
    }
}

fn evidence(fresh_for: i64) -> Evidence {
    Evidence {
        id: "r".to_owned(),
        recorded_at: NOW.plus(-HOUR),
        fresh_until: NOW.plus(fresh_for),
        by: "ci".to_owned(),
        answered_by: None,
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
    Snapshot { gate, release: None, taken_at: NOW, criteria, alterations: Vec::new() }
}

/// The built-in criteria of a release, all met.
fn release() -> Vec<Criterion> {
    [
        ("e2e-tests", 25, true),
        ("no-rls-leak", 30, true),
        ("payments", 25, false),
        ("monitoring", 20, false),
    ]
    .map(|(name, weight, is_blocker)| criterion(name, weight, is_blocker, Outcome::Met))
    .to_vec()
}

/// Each criterion is met, failed, without data, or failed and waived: 4^4 states.
#[test]
fn all_states_of_the_built_in_criteria_match_a_handwritten_table() {
    for states in 0..256_u32 {
        let state = |i: u32| states >> (2 * i) & 3;
        let mut criteria = release();
        for (i, criterion) in criteria.iter_mut().enumerate() {
            let outcomes = [Outcome::Met, Outcome::Failed, Outcome::NoData, Outcome::Failed];
            criterion.measurements = vec![measured(outcomes[state(i as u32) as usize])];
            criterion.waiver = (state(i as u32) == 3).then(|| waiver(Some("bob"), HOUR));
        }
        let verdict = Verdict::of(&snapshot(Gate::GoNoGo, criteria));
        let met = |i| state(i) == 0;
        let blocked = [0, 1].iter().filter(|i| matches!(state(**i), 1 | 2)).count();
        let score = [25, 30, 25, 20]
            .iter()
            .enumerate()
            .filter(|(i, _)| met(*i as u32))
            .map(|(_, w)| w)
            .sum::<i32>();
        let expected = match (blocked, met(0), met(1), met(2), met(3)) {
            (1.., ..) => "NO_GO",
            (_, true, true, true, true) => "GO",
            // One criterion missing gives 80, 75, 75 or 70 points; two missing give less than 70.
            (_, true, true, true, false) | (_, true, true, false, true) => "GO_WITH_CAUTION",
            (_, false, true, true, true) | (_, true, false, true, true) => "GO_WITH_CAUTION",
            _ => "NO_GO",
        };
        assert_eq!(verdict.word(Gate::GoNoGo), expected, "{states:08b}");
        assert_eq!((verdict.score, verdict.blockers), (score, blocked), "{states:08b}");
        let unmet = (0..4).filter(|i| !met(*i)).count();
        assert_eq!(verdict.warnings, unmet - blocked, "{states:08b}");
    }
}

#[test]
fn a_waiver_of_a_blocker_needs_a_second_user() {
    let with = |is_blocker, waiver| {
        let mut criteria = release();
        criteria[if is_blocker { 0 } else { 3 }].measurements = vec![measured(Outcome::Failed)];
        criteria[if is_blocker { 0 } else { 3 }].waiver = Some(waiver);
        Verdict::of(&snapshot(Gate::GoNoGo, criteria))
    };
    assert_eq!(with(true, waiver(None, HOUR)).blockers, 1);
    assert_eq!(with(true, waiver(Some("alice"), HOUR)).blockers, 1, "approved by the requester");
    assert_eq!(with(true, waiver(Some("bob"), HOUR)).blockers, 0);
    assert_eq!(with(true, waiver(Some("bob"), 0)).blockers, 1, "expired at this moment");
    assert_eq!(with(true, waiver(Some("bob"), HOUR)).valid_until, NOW.plus(HOUR));
    assert_eq!(with(false, waiver(None, HOUR)).valid_until, NOW.plus(HOUR));
    assert_eq!(with(false, waiver(None, 0)).valid_until, NOW.plus(MAX_VALIDITY));
}

#[test]
fn a_waived_blocker_is_never_go() {
    let criteria = |is_blocker| {
        let mut criteria = vec![
            criterion("a", 95, true, Outcome::Met),
            criterion("b", 5, is_blocker, Outcome::Failed),
        ];
        criteria[1].waiver = Some(waiver(Some("bob"), HOUR));
        snapshot(Gate::GoNoGo, criteria)
    };
    assert_eq!(Verdict::of(&criteria(true)).decision, Decision::Caution);
    assert_eq!(Verdict::of(&criteria(false)).decision, Decision::Go, "95 points and one warning");
    let launch = Snapshot { gate: Gate::Launch, ..criteria(false) };
    assert_eq!(Verdict::of(&launch).word(Gate::Launch), "⚠️ LAUNCH WITH CAUTION - 1 warning");
}

#[test]
fn faulty_criteria_block() {
    let verdict_over = |criteria| Verdict::of(&snapshot(Gate::GoNoGo, criteria));
    assert_eq!(verdict_over(vec![]).faults, ["no criterion is enabled"]);
    assert_eq!(verdict_over(vec![]).decision, Decision::Blocked);
    let mut heavy = release();
    heavy[0].weight = 26;
    assert_eq!(
        verdict_over(heavy).faults,
        ["the weights of the criteria add up to 101, not to 100"]
    );
    let mut light = release();
    light.iter_mut().for_each(|criterion| criterion.is_blocker = false);
    assert_eq!(verdict_over(light).faults, ["no criterion is a blocker"]);
    let mut odd = release();
    (odd[0].weight, odd[1].weight) = (-25, 80);
    assert_eq!(
        verdict_over(odd).decision,
        Decision::Blocked,
        "a sum of 100 with a negative weight"
    );
    let huge = vec![
        criterion("a", i32::MAX, true, Outcome::Met),
        criterion("b", i32::MAX, true, Outcome::Met),
    ];
    assert_eq!(verdict_over(huge).blockers, 1);
    let mut empty = release();
    empty[1].measurements.clear();
    assert_eq!(verdict_over(empty).blockers, 1, "a criterion without measurements is not met");
}

#[test]
fn recorded_evidence_decides_only_where_nothing_is_measured() {
    let with = |outcome, recorded: Option<Evidence>, objection: Option<Evidence>| {
        let criterion = Criterion { recorded, objection, ..criterion("a", 100, true, outcome) };
        criterion.status(NOW)
    };
    for outcome in [Outcome::Met, Outcome::Failed, Outcome::NoData, Outcome::NeedsEvidence] {
        let status = with(outcome, Some(evidence(HOUR)), Some(evidence(-HOUR)));
        assert_eq!(status, CriterionStatus::Failed, "failing evidence does not expire");
    }
    assert_eq!(with(Outcome::NeedsEvidence, Some(evidence(HOUR)), None), CriterionStatus::Met);
    assert_eq!(with(Outcome::NeedsEvidence, Some(evidence(0)), None), CriterionStatus::Expired);
    assert_eq!(with(Outcome::NeedsEvidence, None, None), CriterionStatus::NoEvidence);
    assert_eq!(
        with(Outcome::NoData, Some(evidence(HOUR)), None),
        CriterionStatus::NoEvidence,
        "evidence does not replace missing data"
    );
    assert_eq!(with(Outcome::Failed, Some(evidence(HOUR)), None), CriterionStatus::Failed);
    assert_eq!(with(Outcome::Met, None, None), CriterionStatus::Met);
}

#[test]
fn caveats_are_warnings_and_measurements_end_the_validity() {
    let mut criteria = release();
    criteria[1].measurements[0].caveat = Some("accepted".to_owned());
    criteria[2].measurements[0].fresh_until = Some(NOW.plus(HOUR));
    let verdict = Verdict::of(&snapshot(Gate::GoNoGo, criteria.clone()));
    assert_eq!(
        (verdict.decision, verdict.warnings, verdict.valid_until),
        (Decision::Go, 1, NOW.plus(HOUR))
    );
    assert_eq!(Verdict::of(&snapshot(Gate::Launch, criteria)).decision, Decision::Caution);
}

#[test]
fn a_weakened_blocker_blocks_until_it_is_approved_and_another_weight_warns() {
    let alteration = |weakens_blocker, approved_by: Option<&str>| Alteration {
        criterion: "e2e-tests".to_owned(),
        detail: "is switched off".to_owned(),
        weakens_blocker,
        by: vec!["ann".to_owned()],
        at: NOW,
        approved_by: approved_by.map(str::to_owned),
    };
    for (weakens_blocker, approved_by, decision, counts) in [
        (true, None, Decision::Blocked, (1, 0)),
        (true, Some("ann"), Decision::Blocked, (1, 0)),
        (true, Some("bob"), Decision::Go, (0, 0)),
        (false, None, Decision::Go, (0, 1)),
        (false, Some("bob"), Decision::Go, (0, 0)),
    ] {
        let alterations = vec![alteration(weakens_blocker, approved_by)];
        let snapshot = Snapshot { alterations, ..snapshot(Gate::GoNoGo, release()) };
        let verdict = Verdict::of(&snapshot);
        assert_eq!(verdict.decision, decision, "{approved_by:?}");
        assert_eq!((verdict.blockers, verdict.warnings), counts, "{approved_by:?}");
        let told = crate::readiness::pure::render::reasons(&snapshot, &verdict);
        assert!(told[0].contains("e2e-tests: ALTERED: is switched off: by ann"), "{told:?}");
    }
}

fn any_measurement() -> impl Strategy<Value = Measurement> {
    prop_oneof![
        4 => Just(Outcome::Met),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::NoData),
        2 => Just(Outcome::NeedsEvidence)
    ]
    .prop_flat_map(|outcome| (Just(outcome), proptest::option::of(-1..3_i64)))
    .prop_map(|(outcome, hours)| Measurement {
        fresh_until: hours.map(|hours| NOW.plus(hours * HOUR)),
        ..measured(outcome)
    })
}

fn any_criterion() -> impl Strategy<Value = Criterion> {
    let any_evidence = || proptest::option::of((-2..3_i64).prop_map(|h| evidence(h * HOUR)));
    let objection = prop_oneof![4 => Just(None), 1 => any_evidence()];
    let approver = prop_oneof![Just(None), Just(Some("alice")), Just(Some("bob"))];
    let waiver =
        proptest::option::of((approver, -2..3_i64).prop_map(|(by, h)| waiver(by, h * HOUR)));
    let measurements = proptest::collection::vec(any_measurement(), 0..3);
    (0..60_i32, any::<bool>(), measurements, any_evidence(), objection, waiver).prop_map(
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
            // Half of the snapshots have weights that add up to 100.
            if even && !criteria.is_empty() {
                let each = 100 / criteria.len() as i32;
                criteria.iter_mut().for_each(|criterion| criterion.weight = each);
                criteria[0].weight += 100 - each * criteria.len() as i32;
            }
            snapshot(gate, criteria)
        },
    )
}

fn is_no_better(new: &Verdict, old: &Verdict) -> bool {
    new.decision <= old.decision && new.score <= old.score && new.blockers >= old.blockers
}

proptest! {
    #[test]
    fn any_blocker_blocks_and_nothing_else_does(snapshot in any_snapshot()) {
        let verdict = Verdict::of(&snapshot);
        let blocks = |c: &Criterion| {
            c.is_blocker && !c.is_met(NOW) && c.waiver_in_force(NOW).is_none()
        };
        if snapshot.criteria.iter().any(blocks) {
            prop_assert_eq!(verdict.decision, Decision::Blocked);
        }
        if verdict.decision == Decision::Go {
            let all_met = snapshot.criteria.iter().filter(|c| c.is_blocker).all(|c| c.is_met(NOW));
            prop_assert!(all_met && verdict.score >= GO_SCORE);
        }
        prop_assert_eq!(verdict.decision == Decision::Blocked, verdict.blockers > 0);
    }

    #[test]
    fn a_full_score_does_not_outweigh_a_blocker(
        mut snapshot in any_snapshot(),
        outcome in prop_oneof![Just(Outcome::Failed), Just(Outcome::NoData)],
    ) {
        // Every point is earned, but a blocker of weight 0 is unmet.
        for criterion in &mut snapshot.criteria {
            (criterion.measurements, criterion.objection) = (vec![measured(Outcome::Met)], None);
        }
        snapshot.criteria.push(criterion("last", 0, true, outcome));
        prop_assert_eq!(Verdict::of(&snapshot).decision, Decision::Blocked);
    }

    #[test]
    fn removing_support_never_improves_the_verdict(
        snapshot in any_snapshot(),
        which in any::<Index>(),
        support in 0..3,
    ) {
        prop_assume!(!snapshot.criteria.is_empty());
        let mut less = snapshot.clone();
        let which = which.index(less.criteria.len());
        let criterion = &mut less.criteria[which];
        match support {
            0 => criterion.recorded = None,
            1 => criterion.measurements.iter_mut().for_each(|m| m.outcome = Outcome::NoData),
            _ => criterion.waiver = None,
        }
        prop_assert!(is_no_better(&Verdict::of(&less), &Verdict::of(&snapshot)));
    }

    #[test]
    fn worse_outcomes_never_give_better_verdicts(
        snapshot in any_snapshot(),
        which in any::<Index>(),
    ) {
        prop_assume!(!snapshot.criteria.is_empty());
        let which = which.index(snapshot.criteria.len());
        let with = |outcome| {
            let mut other = snapshot.clone();
            other.criteria[which].measurements = vec![measured(outcome)];
            Verdict::of(&other)
        };
        prop_assert!(is_no_better(&with(Outcome::Failed), &with(Outcome::NoData)));
        prop_assert!(is_no_better(&with(Outcome::NoData), &with(Outcome::NeedsEvidence)));
        prop_assert!(is_no_better(&with(Outcome::NeedsEvidence), &with(Outcome::Met)));
    }

    #[test]
    fn expired_inputs_count_as_missing(snapshot in any_snapshot()) {
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
    fn the_verdict_survives_json_and_ignores_the_order_of_criteria(snapshot in any_snapshot()) {
        let text = serde_json::to_string(&snapshot).unwrap();
        let read: Snapshot = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &snapshot);
        let mut turned = read;
        turned.criteria.reverse();
        prop_assert_eq!(Verdict::of(&turned), Verdict::of(&snapshot), "reversed order");
    }

    #[test]
    fn a_verdict_is_valid_for_at_most_four_hours(snapshot in any_snapshot()) {
        let until = Verdict::of(&snapshot).valid_until;
        prop_assert!(NOW < until && until <= NOW.plus(MAX_VALIDITY));
    }

    #[test]
    fn meeting_a_criterion_never_worsens_the_verdict(
        snapshot in any_snapshot(),
        which in any::<Index>(),
    ) {
        prop_assume!(!snapshot.criteria.is_empty());
        let which = which.index(snapshot.criteria.len());
        let criterion = &snapshot.criteria[which];
        prop_assume!(!criterion.measurements.is_empty());
        let (verdict, other) = (Verdict::of(&snapshot), if_otherwise(&snapshot, which).unwrap());
        if criterion.is_met(NOW) {
            prop_assert!(is_no_better(&other, &verdict));
        } else {
            prop_assert!(is_no_better(&verdict, &other));
        }
    }
}
