//! A verdict in words: why, and what to type next. Pure.

use super::model::{Criterion, Gate, Outcome, Snapshot, Standing};
use super::verdict::{Decision, Verdict};
use crate::time::instant::Instant;

/// What shows the criteria themselves.
const CRITERIA: &str =
    "SELECT name, gate, weight, is_blocker, is_enabled FROM crewsnow_ops.criteria ORDER BY gate, weight DESC;";

/// What was seen, in a line.
#[must_use]
pub fn seen(criterion: &Criterion) -> String {
    let all: Vec<&str> = criterion.measurements.iter().map(|measurement| measurement.detail.as_str()).collect();
    all.join("; ")
}

/// What is not as it should be, all of it, in a line.
fn unmet(criterion: &Criterion, now: Instant) -> String {
    let standing = criterion.standing(now);
    let mut lines = Vec::new();
    if let Some(objection) = &criterion.objection {
        lines.push(format!("{} recorded at {} that it is not met", objection.by, objection.recorded_at));
    }
    let of = |outcome| criterion.measurements.iter().filter(move |measurement| measurement.outcome_at(now) == outcome);
    lines.extend(of(Outcome::Failed).chain(of(Outcome::Absent)).map(|measurement| measurement.detail.clone()));
    if let (Standing::Expired, Some(record)) = (standing, &criterion.recorded) {
        lines.push(format!("evidence by {} of {} is too old", record.by, record.recorded_at));
    } else if criterion.recorded.is_none() {
        lines.extend(of(Outcome::Elsewhere).map(|measurement| measurement.detail.clone()));
    }
    lines.join("; ")
}

/// The waiver in words, whether it holds or not.
#[must_use]
pub fn waiver(criterion: &Criterion, snapshot: &Snapshot) -> Option<String> {
    let waiver = criterion.waiver.as_ref()?;
    let state = match criterion.waiver_in_force(snapshot.taken_at) {
        Some(_) => format!("until {}", waiver.expires_at),
        None if waiver.expires_at <= snapshot.taken_at => format!("expired at {}", waiver.expires_at),
        None => "not approved".to_owned(),
    };
    let approved = waiver.approved_by.as_ref().map(|by| format!(", approved by {by}")).unwrap_or_default();
    Some(format!("{state}, asked for by {}{approved}: {}", waiver.requested_by, waiver.reason))
}

/// Why the verdict is what it is, a line each: faults and blockers first.
#[must_use]
pub fn reasons(snapshot: &Snapshot, verdict: &Verdict) -> Vec<String> {
    let now = snapshot.taken_at;
    let mut lines: Vec<(u8, String)> =
        verdict.faults.iter().map(|fault| (0, format!("BLOCKER criteria: {fault}"))).collect();
    for criterion in &snapshot.criteria {
        let standing = criterion.standing(now);
        if standing == Standing::Met {
            lines.extend(
                criterion.caveats().map(|caveat| (4, format!("WARNING {}: MET, but {caveat}", criterion.name))),
            );
            continue;
        }
        let (rank, word) = match criterion.waiver_in_force(now) {
            Some(_) => (2, "WAIVED"),
            None if criterion.is_blocker => (1, "BLOCKER"),
            None => (3, "WARNING"),
        };
        let mut line = format!("{word} {}: {}: {}", criterion.name, standing.as_str(), unmet(criterion, now));
        if let Some(waiver) = waiver(criterion, snapshot) {
            line += &format!(" (waiver {waiver})");
        }
        lines.push((rank, line));
    }
    lines.sort_by_key(|(rank, _)| *rank);
    // Within an array psql shows a quotation mark behind a backslash.
    lines.into_iter().map(|(_, line)| in_a_line(&line).replace('"', "'")).collect()
}

/// Nobody's text makes lines of its own.
fn in_a_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What to type about a criterion that is not met, or is in part.
#[must_use]
pub fn actions(criterion: &Criterion, snapshot: &Snapshot) -> Vec<String> {
    let standing = criterion.standing(snapshot.taken_at);
    if standing == Standing::Met {
        return Vec::new();
    }
    let objection = criterion.objection.iter();
    let mut actions: Vec<String> =
        objection.map(|record| format!("SELECT * FROM crewsnow_ops.evidence WHERE id = '{}';", record.id)).collect();
    let is_unmet = |outcome: Outcome| match outcome {
        Outcome::Met => false,
        Outcome::Elsewhere => criterion.recorded.is_none() || standing == Standing::Expired,
        Outcome::Failed | Outcome::Absent => true,
    };
    let unmet = criterion.measurements.iter().filter(|m| is_unmet(m.outcome_at(snapshot.taken_at)));
    for action in unmet.filter_map(|measurement| measurement.action.clone()) {
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    actions
}

/// What to type next, the most urgent first: each a command, and what it is about behind `--`.
#[must_use]
pub fn next_actions(snapshot: &Snapshot, verdict: &Verdict) -> Vec<String> {
    let now = snapshot.taken_at;
    let mut actions = Vec::new();
    if !verdict.faults.is_empty() {
        actions.push((0, format!("{CRITERIA} -- {}", verdict.faults.join("; "))));
    }
    for criterion in &snapshot.criteria {
        let standing = criterion.standing(now);
        let is_waived = criterion.waiver_in_force(now).is_some();
        let rank = if criterion.is_blocker && !is_waived { 1 } else { 2 };
        for command in self::actions(criterion, snapshot) {
            // What is behind the command, if it has no remark of its own.
            let remark = if command.contains("; -- ") { String::new() } else { format!(" -- {}", criterion.name) };
            actions.push((rank, format!("{command}{remark}")));
        }
        if let Some(waiver) = criterion.waiver.as_ref().filter(|waiver| {
            standing != Standing::Met && !is_waived && waiver.approved_by.is_none() && now < waiver.expires_at
        }) {
            actions.push((
                rank,
                format!(
                    "SELECT crewsnow_ops.approve_waiver('{}'); -- {}: by somebody other than {}",
                    waiver.id, criterion.name, waiver.requested_by
                ),
            ));
        }
    }
    if actions.is_empty() {
        actions.push((3, "SELECT * FROM crewsnow_ops.dashboard; -- while it goes out".to_owned()));
    }
    actions.sort_by_key(|(rank, _)| *rank);
    // A comment ends with its line.
    actions.into_iter().map(|(_, action)| in_a_line(&action)).collect()
}

/// The verdict in a sentence.
#[must_use]
pub fn recommendation(snapshot: &Snapshot, verdict: &Verdict) -> String {
    let about = match (snapshot.gate, &snapshot.release) {
        (Gate::Launch, _) => "Open",
        (_, Some(_)) => "Deploy it",
        (_, None) => "Deploy",
    };
    let until = verdict.valid_until;
    let named = |which: &dyn Fn(&Criterion) -> bool| {
        let names: Vec<&str> =
            snapshot.criteria.iter().filter(|criterion| which(criterion)).map(|c| c.name.as_str()).collect();
        names.join(", ")
    };
    let is_met = |criterion: &Criterion| criterion.standing(snapshot.taken_at) == Standing::Met;
    match verdict.decision {
        Decision::Go => format!("{about}. This can be relied on until {until}."),
        Decision::Caution => {
            // Without any that is not met, it is exceptions that somebody has made.
            let why = match named(&|c| !is_met(c)) {
                unmet if unmet.is_empty() => {
                    format!("{} rests on exceptions", named(&|c| c.caveats().next().is_some()))
                }
                unmet => format!("{unmet} not met"),
            };
            format!(
                "{about} to a few first and watch, with a way back at hand: {why}. This can be relied on until {until}."
            )
        }
        Decision::TooLittle => {
            format!("Do not: {} of 100 points, {} not met.", verdict.score, named(&|c| !is_met(c)))
        }
        Decision::Blocked => {
            let mut blockers = named(&|c| c.is_blocker && !is_met(c) && c.waiver_in_force(snapshot.taken_at).is_none());
            if blockers.is_empty() {
                blockers = verdict.faults.join("; ");
            }
            format!("Do not: {blockers}.")
        }
    }
}
