//! Renders a verdict as text: the reasons, and the commands to run next.

use super::model::{Criterion, CriterionStatus, Outcome, Snapshot};
use super::verdict::{Decision, Verdict};
use crate::time::instant::Instant;

/// Precedes the statement of a user about failing evidence that another one recorded.
const ANSWERS: &str = "an answer takes its author or two users";

/// Lists the criteria, for faults of the criteria themselves.
const LIST_CRITERIA: &str = "SELECT name, gate, weight, is_blocker, is_enabled \
                             FROM crewsnow_ops.criteria ORDER BY gate, weight DESC;";

/// The details of all measurements in one line.
#[must_use]
pub fn measurements(criterion: &Criterion) -> String {
    let details: Vec<&str> = criterion.measurements.iter().map(|m| m.detail.as_str()).collect();
    details.join("; ")
}

/// Everything that keeps the criterion from being met, in one line: failures first.
fn unmet_details(criterion: &Criterion, now: Instant) -> String {
    let mut details = Vec::new();
    if let Some(evidence) = &criterion.objection {
        let answer = match &evidence.answered_by {
            Some(by) => format!(", {by} alone says passed: {ANSWERS}"),
            None => String::new(),
        };
        let (by, at) = (&evidence.by, evidence.recorded_at);
        details.push(format!("{by} recorded a failure at {at}{answer}"));
    }
    let with_outcome = |outcome| {
        let matching = criterion.measurements.iter().filter(move |m| m.outcome_at(now) == outcome);
        matching.map(|measurement| measurement.detail.clone())
    };
    details.extend(with_outcome(Outcome::Failed).chain(with_outcome(Outcome::NoData)));
    match &criterion.recorded {
        Some(evidence) if criterion.status(now) == CriterionStatus::Expired => {
            details.push(format!(
                "evidence by {} of {} has expired",
                evidence.by, evidence.recorded_at
            ));
        }
        Some(_) => {}
        None => details.extend(with_outcome(Outcome::NeedsEvidence)),
    }
    details.join("; ")
}

/// The waiver, its state and its users. `None` if the criterion has no waiver.
#[must_use]
pub fn waiver(criterion: &Criterion, snapshot: &Snapshot) -> Option<String> {
    let waiver = criterion.waiver.as_ref()?;
    let state = match criterion.waiver_in_force(snapshot.taken_at) {
        Some(_) => format!("until {}", waiver.expires_at),
        None if waiver.expires_at <= snapshot.taken_at => {
            format!("expired at {}", waiver.expires_at)
        }
        None => "not approved".to_owned(),
    };
    let approved =
        waiver.approved_by.as_ref().map(|by| format!(", approved by {by}")).unwrap_or_default();
    Some(format!("{state}, requested by {}{approved}: {}", waiver.requested_by, waiver.reason))
}

/// One line for each fault, each unmet or altered criterion, each caveat and each note.
/// Faults come first, then blockers, waived criteria, warnings, caveats and notes.
#[must_use]
pub fn reasons(snapshot: &Snapshot, verdict: &Verdict) -> Vec<String> {
    let now = snapshot.taken_at;
    let mut lines: Vec<(u8, String)> =
        verdict.faults.iter().map(|fault| (0, format!("BLOCKER criteria: {fault}"))).collect();
    for alteration in &snapshot.alterations {
        let (rank, label) = match (alteration.is_approved(), alteration.weakens_blocker) {
            (true, _) => (5, "NOTE"),
            (false, true) => (1, "BLOCKER"),
            (false, false) => (4, "WARNING"),
        };
        lines.push((rank, format!("{label} {}: ALTERED: {alteration}", alteration.criterion)));
    }
    for criterion in &snapshot.criteria {
        let name = &criterion.name;
        lines.extend(criterion.notes().map(|note| (5, format!("NOTE {name}: {note}"))));
        if criterion.is_met(now) {
            lines.extend(
                criterion.caveats().map(|caveat| (4, format!("WARNING {name}: MET, but {caveat}"))),
            );
            continue;
        }
        let (rank, label) = match criterion.waiver_in_force(now) {
            Some(_) => (2, "WAIVED"),
            None if criterion.is_blocker => (1, "BLOCKER"),
            None => (3, "WARNING"),
        };
        let status = criterion.status(now).as_str();
        let mut line = format!("{label} {name}: {status}: {}", unmet_details(criterion, now));
        if let Some(waiver) = waiver(criterion, snapshot) {
            line += &format!(" (waiver {waiver})");
        }
        lines.push((rank, line));
    }
    lines.sort_by_key(|(rank, _)| *rank);
    // The output format of arrays would escape each double quote with a backslash.
    lines.into_iter().map(|(_, line)| single_line(&line).replace('"', "'")).collect()
}

/// Replaces control characters, so that quoted text cannot forge lines of its own.
fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The commands that help an unmet criterion, without duplicates. Empty if it is met.
#[must_use]
pub fn actions(criterion: &Criterion, snapshot: &Snapshot) -> Vec<String> {
    let now = snapshot.taken_at;
    if criterion.is_met(now) {
        return Vec::new();
    }
    let mut actions = Vec::new();
    if let Some(evidence) = &criterion.objection {
        actions.push(format!("SELECT * FROM crewsnow_ops.evidence WHERE id = '{}';", evidence.id));
    }
    let lacks_evidence =
        criterion.recorded.is_none() || criterion.status(now) == CriterionStatus::Expired;
    let is_unmet = |outcome: Outcome| match outcome {
        Outcome::Met => false,
        Outcome::NeedsEvidence => lacks_evidence,
        Outcome::Failed | Outcome::NoData => true,
    };
    let unmet = criterion.measurements.iter().filter(|m| is_unmet(m.outcome_at(now)));
    for action in unmet.filter_map(|measurement| measurement.action.clone()) {
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    actions
}

/// The commands to run next, the most urgent first. Each names its criterion in a SQL comment.
#[must_use]
pub fn next_actions(snapshot: &Snapshot, verdict: &Verdict) -> Vec<String> {
    let now = snapshot.taken_at;
    let mut commands = Vec::new();
    if !verdict.faults.is_empty() {
        commands.push((0, format!("{LIST_CRITERIA} -- {}", verdict.faults.join("; "))));
    }
    for alteration in snapshot.alterations.iter().filter(|alteration| !alteration.is_approved()) {
        let rank = if alteration.weakens_blocker { 1 } else { 2 };
        commands.push((rank, alteration.approval()));
    }
    for criterion in &snapshot.criteria {
        let name = &criterion.name;
        let is_waived = criterion.waiver_in_force(now).is_some();
        let rank = if criterion.is_blocker && !is_waived { 1 } else { 2 };
        for command in actions(criterion, snapshot) {
            // Some commands bring a comment of their own.
            let comment =
                if command.contains("; -- ") { String::new() } else { format!(" -- {name}") };
            commands.push((rank, format!("{command}{comment}")));
        }
        let is_pending = !criterion.is_met(now) && !is_waived;
        let pending = criterion.waiver.as_ref().filter(|_| is_pending);
        if let Some(waiver) = pending.filter(|w| w.approved_by.is_none() && now < w.expires_at) {
            let (id, requester) = (&waiver.id, &waiver.requested_by);
            commands.push((
                rank,
                format!(
                    "SELECT crewsnow_ops.approve_waiver('{id}'); \
                     -- {name}: by a user other than {requester}"
                ),
            ));
        }
    }
    if commands.is_empty() {
        commands
            .push((3, "SELECT * FROM crewsnow_ops.dashboard; -- watch the deployment".to_owned()));
    }
    commands.sort_by_key(|(rank, _)| *rank);
    // A line break would end the comment and make its rest a command.
    commands.into_iter().map(|(_, command)| single_line(&command)).collect()
}

/// The verdict as a sentence: the column deployment_recommendation of make_go_no_go_decision.
#[must_use]
pub fn recommendation(snapshot: &Snapshot, verdict: &Verdict) -> String {
    let now = snapshot.taken_at;
    let until = verdict.valid_until;
    let names = |matches: &dyn Fn(&Criterion) -> bool| {
        let matching = snapshot.criteria.iter().filter(|criterion| matches(criterion));
        matching.map(|criterion| criterion.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let unmet = names(&|criterion| !criterion.is_met(now));
    match verdict.decision {
        Decision::Go => format!("Deploy. Valid until {until}."),
        Decision::Caution => {
            let why = if unmet.is_empty() {
                let excepted = names(&|criterion| criterion.caveats().next().is_some());
                format!("{excepted} met with exceptions")
            } else {
                format!("{unmet} not met")
            };
            format!(
                "Deploy to a few users first, watch them, and prepare the rollback: {why}. \
                 Valid until {until}."
            )
        }
        Decision::ScoreTooLow => {
            format!("Do not deploy: {} of 100 points, {unmet} not met.", verdict.score)
        }
        Decision::Blocked => {
            let blocks = |criterion: &Criterion| {
                criterion.is_blocker && criterion.waiver_in_force(now).is_none()
            };
            let unmet = names(&|criterion| !criterion.is_met(now) && blocks(criterion));
            let weakened = snapshot
                .alterations
                .iter()
                .filter(|alteration| alteration.weakens_blocker && !alteration.is_approved())
                .map(|alteration| format!("{} {}", alteration.criterion, alteration.detail));
            let blockers: Vec<String> = [unmet]
                .into_iter()
                .filter(|names| !names.is_empty())
                .chain(weakened)
                .chain(verdict.faults.iter().cloned())
                .collect();
            format!("Do not deploy: {}.", blockers.join("; "))
        }
    }
}
