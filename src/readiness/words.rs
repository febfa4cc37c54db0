//! A verdict in words: why, and what to type next. Pure.

use super::model::{Criterion, Gate, Outcome, Snapshot, Standing};
use super::verdict::{Decision, Verdict};

/// What shows the criteria themselves.
const CRITERIA: &str =
    "SELECT name, gate, weight, is_blocker, is_enabled FROM crewsnow_ops.criteria ORDER BY gate, weight DESC;";

/// What was seen, in a line.
#[must_use]
pub fn seen(criterion: &Criterion) -> String {
    let all: Vec<&str> = criterion.measurements.iter().map(|measurement| measurement.detail.as_str()).collect();
    all.join("; ")
}

/// What is not as it should be, in a line.
fn unmet(criterion: &Criterion, standing: Standing) -> String {
    let record = criterion.recorded.as_ref();
    match (standing, record) {
        (Standing::Failed, Some(record)) if !record.passed => {
            format!("{} recorded at {} that it is not met", record.by, record.recorded_at)
        }
        (Standing::Expired, Some(record)) => {
            format!("evidence by {} of {} is too old", record.by, record.recorded_at)
        }
        _ => {
            let is_unmet = |outcome: Outcome| match standing {
                Standing::Failed => outcome == Outcome::Failed,
                _ => outcome != Outcome::Met && outcome != Outcome::Failed,
            };
            let unmet = criterion.measurements.iter().filter(|measurement| is_unmet(measurement.outcome));
            unmet.map(|measurement| measurement.detail.as_str()).collect::<Vec<_>>().join("; ")
        }
    }
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
            continue;
        }
        let (rank, word) = match criterion.waiver_in_force(now) {
            Some(_) => (2, "WAIVED"),
            None if criterion.is_blocker => (1, "BLOCKER"),
            None => (3, "WARNING"),
        };
        let mut line = format!("{word} {}: {}: {}", criterion.name, standing.as_str(), unmet(criterion, standing));
        if let Some(waiver) = waiver(criterion, snapshot) {
            line += &format!(" (waiver {waiver})");
        }
        lines.push((rank, line));
    }
    lines.sort_by_key(|(rank, _)| *rank);
    // Within an array psql shows a quotation mark behind a backslash.
    lines.into_iter().map(|(_, line)| line.replace('"', "'")).collect()
}

/// What to type about a criterion that is not met.
#[must_use]
pub fn action(criterion: &Criterion, snapshot: &Snapshot) -> Option<String> {
    let now = snapshot.taken_at;
    let standing = criterion.standing(now);
    if standing == Standing::Met {
        return None;
    }
    if let Some(record) = criterion.recorded.as_ref().filter(|record| standing == Standing::Failed && !record.passed) {
        return Some(format!("SELECT * FROM crewsnow_ops.evidence WHERE id = '{}';", record.id));
    }
    criterion
        .measurements
        .iter()
        .filter(|measurement| measurement.outcome != Outcome::Met)
        .find_map(|m| m.action.clone())
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
        if let Some(command) = action(criterion, snapshot) {
            actions.push((rank, format!("{command} -- {}", criterion.name)));
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
    actions.into_iter().map(|(_, action)| action.replace('\n', " ")).collect()
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
        Decision::Caution => format!(
            "{about} to a few first and watch, with a way back at hand: {} not met. This can be relied on until {until}.",
            named(&|c| !is_met(c))
        ),
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
