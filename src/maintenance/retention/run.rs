//! `run_gdpr_maintenance()`: one run from its lock to its report.

use super::counts::{Uncounted, count};
use super::error::RetentionError;
use super::examination::{Obstacle, examine, without_locks};
use super::order::children_first;
use super::partitions::{Partition, partitions};
use super::policy::{Action, Policy, policies};
use super::sweep::{End, Sweep};
use super::target::{Leaf, Target};
use crate::maintenance::answer::{answer, ask};
use crate::maintenance::context::Context;
use crate::maintenance::records::RunKind;
use crate::maintenance::run::{finish, identity, outside_windows, start_worker, whole_run};
use crate::maintenance::step::{Step, Verdict};
use crate::maintenance::tasks;
use crate::maintenance::windows::{Permission, permission};
use crate::pg::clock;
use crate::pg::worker::{Outcome, Worker};
use crate::pg::xact::run_lock::{Work, try_lock};
use crate::pg::xact::session;
use crate::settings;
use crate::time::instant::Instant;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};

const ACTION: &str = "apply retention";
const AGAIN: &str = "SELECT run_gdpr_maintenance();";
const POLICY_ENDED: &str = "the policy was removed or switched off meanwhile";
const NO_TIME: &str = "the time of the run was over (its window, or crewsnow_ops.retention_budget)";
/// How long the rows that are left may be counted, in milliseconds.
const COUNT_MS: i32 = 10_000;

/// Applies retention. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (old snapshot), 25006 (read-only), 55006 (a run is going on).
#[pg_extern(requires = ["maintenance"])]
#[search_path(pg_catalog, pg_temp)]
pub fn run_gdpr_maintenance() -> Result<String, ErrorReport> {
    Ok(run()?)
}

fn run() -> Result<String, RetentionError> {
    session::require_writable(ACTION)?;
    session::require_latest_snapshot(ACTION)?;
    try_lock(Work::Retention).map_err(|holder| RetentionError::Running { holder })?;
    let started = clock::now();
    let mut deadline = started + settings::retention_budget() * 1_000_000;
    let mut notes = Vec::new();
    match permission()? {
        Permission::AnyTime => {}
        Permission::Until { end, window } => {
            notes.push(format!("Window {window} is open until {}.", Instant(end)));
            deadline = deadline.min(end);
        }
        Permission::Closed { next } => {
            return Ok(outside_windows(RunKind::Retention, started, next)?);
        }
    }
    let worker = start_worker();
    let run = identity(RunKind::Retention, worker.as_ref().ok().map(Worker::pid))?;
    let mut context = Context::new(run, worker, deadline);
    context.notes = notes;
    let whole = whole_run(clock::now());
    context.write_run(&whole, true);
    if let Some(reason) = context.missing() {
        context.notes.push(format!("No background worker: {reason}. Nothing was done."));
    }
    let policies = policies(None, started)?.into_iter().filter(|policy| policy.is_enabled);
    for policy in children_first(policies.collect())? {
        pgrx::check_for_interrupts!();
        apply(&mut context, &policy);
    }
    match context.missing() {
        // Only counted events are dropped, so they are counted first.
        None => tasks::telemetry::run(&mut context)?,
        Some(reason) => {
            let events = "event_log".to_owned();
            let step = Step::at(clock::now(), "retention", events, Verdict::Skipped);
            context.add(Step { detail: reason, command: Some(AGAIN.to_owned()), ..step });
        }
    }
    Ok(finish(context, whole))
}

/// The facts of a step that its row needs.
fn facts(policy: &Policy) -> Option<Value> {
    Some(json!({ "policy": policy.name, "cutoff": Instant(policy.cutoff).to_string() }))
}

fn ended(policy: &Policy, object: &str, verdict: Verdict, detail: String) -> Step {
    Step {
        before: facts(policy),
        detail: format!("{detail} (policy {})", policy.name),
        ..Step::at(clock::now(), policy.action.as_str(), object.to_owned(), verdict)
    }
}

fn apply(context: &mut Context, policy: &Policy) {
    let (target, leaves) = match examine(policy) {
        Ok(found) => found,
        Err(obstacle) => return report_obstacle(context, policy, obstacle),
    };
    let reason = context.missing().or_else(|| context.is_over().then(|| NO_TIME.to_owned()));
    if let Some(reason) = reason {
        let step = ended(policy, &target.name, Verdict::Skipped, reason);
        context.add(Step { command: Some(AGAIN.to_owned()), ..step });
        return;
    }
    match policy.action {
        Action::Drop => drop_partitions(context, policy, &target),
        _ => sweep(context, policy, &target, &leaves),
    }
}

fn report_obstacle(context: &mut Context, policy: &Policy, obstacle: Obstacle) {
    let verdict = if obstacle.is_fault { Verdict::Failed } else { Verdict::Skipped };
    let step = ended(policy, &policy.target, verdict, obstacle.detail);
    context.add(Step { command: obstacle.command, ..step });
}

/// The worst end of a sweep so far.
#[derive(Default)]
struct Worst {
    verdict: Option<Verdict>,
    reason: String,
    command: Option<String>,
}

impl Worst {
    fn note(&mut self, verdict: Verdict, reason: String, command: Option<String>) {
        if self.verdict != Some(Verdict::Failed) {
            *self = Self { verdict: Some(verdict), reason, command };
        }
    }

    /// Notes the end of a sweep through one table. Returns whether the sweep goes on.
    fn note_end(&mut self, end: End, target: &Target, leaf: &Leaf) -> bool {
        let again = || Some(AGAIN.to_owned());
        let of_leaf = |text: String| {
            if leaf.table == target.table { text } else { format!("{}: {text}", leaf.name) }
        };
        match end {
            End::Done | End::Gone => return true,
            End::Capped => return false,
            End::Locked => {
                let (detail, command) =
                    tasks::holder((leaf.table, pg_sys::RowExclusiveLock as i32));
                self.note(Verdict::Skipped, of_leaf(detail), command);
            }
            End::Kept => {
                let detail = "a trigger keeps expired rows".to_owned();
                self.note(Verdict::Failed, of_leaf(detail), None);
            }
            End::Failed(message) => self.note(Verdict::Failed, of_leaf(message), None),
            End::Ended => {
                self.note(Verdict::Skipped, POLICY_ENDED.to_owned(), None);
                return false;
            }
            End::OverTime => {
                self.note(Verdict::Skipped, NO_TIME.to_owned(), again());
                return false;
            }
            End::Lost => {
                self.note(Verdict::Failed, "the worker was ended".to_owned(), again());
                return false;
            }
        }
        true
    }
}

/// Deletes or anonymises rows.
fn sweep(context: &mut Context, policy: &Policy, target: &Target, leaves: &[Leaf]) {
    let number = context.steps().len() + 1;
    let mut step = context.begin(policy.action.as_str(), &target.name, facts(policy));
    let mut sweep = Sweep::new(policy, number);
    let mut worst = Worst::default();
    for leaf in leaves {
        if leaf.is_foreign {
            let detail = format!("{} is a foreign table", leaf.name);
            worst.note(Verdict::Skipped, detail, None);
            continue;
        }
        let end = sweep.leaf(context, leaf);
        if !worst.note_end(end, target, leaf) {
            break;
        }
    }
    let mut parts: Vec<String> = sweep.summary().into_iter().collect();
    let is_failed = worst.verdict == Some(Verdict::Failed) && !sweep.has_kept;
    let is_verified = policy.hold.is_some() || sweep.skips_locked || sweep.has_kept;
    if is_verified && !is_failed && !context.is_over() && !context.is_lost() {
        match count(policy, target, COUNT_MS) {
            Ok(left) => {
                if policy.hold.is_some() {
                    step.after = Some(json!({ "held_rows": left.held }));
                    parts.push(format!("{} held", left.held));
                }
                if sweep.has_kept || sweep.skips_locked {
                    parts.push(format!("{} expired rows left", left.expired));
                }
                if sweep.skips_locked && !sweep.is_capped && left.expired > 0 {
                    let detail = "rows are locked by other sessions".to_owned();
                    worst.note(Verdict::Skipped, detail, Some(AGAIN.to_owned()));
                }
            }
            Err(Uncounted::Unfit(error)) => parts.push(format!("held rows unknown: {error}")),
            Err(Uncounted::Stopped(stopped)) => {
                parts.push(format!("held rows unknown: {stopped}"));
            }
        }
    }
    if worst.verdict.is_some() {
        parts.insert(0, worst.reason);
    } else if sweep.summary().is_none() {
        parts.insert(0, "nothing has expired".to_owned());
    }
    step.command = worst.command;
    let detail = format!("{} (policy {})", parts.join(", "), policy.name);
    context.end(step, worst.verdict.unwrap_or(Verdict::Done), detail);
}

/// Drops each expired partition, a step for each.
fn drop_partitions(context: &mut Context, policy: &Policy, target: &Target) {
    let all = match without_locks(|| partitions(policy, target)) {
        Ok(all) => all,
        Err(obstacle) => return report_obstacle(context, policy, obstacle),
    };
    for partition in all.iter().filter(|partition| partition.is_expired) {
        pgrx::check_for_interrupts!();
        if context.is_over() || context.is_lost() {
            let step = ended(policy, &partition.name, Verdict::Skipped, NO_TIME.to_owned());
            context.add(Step { command: Some(AGAIN.to_owned()), ..step });
            continue;
        }
        drop_partition(context, policy, target, partition);
    }
    if all.iter().any(|partition| partition.is_default) {
        report_default(context, policy, target);
    }
}

fn drop_partition(context: &mut Context, policy: &Policy, target: &Target, partition: &Partition) {
    let number = context.steps().len() + 1;
    let mut step = context.begin(policy.action.as_str(), &partition.name, facts(policy));
    let query = format!(
        "SELECT pg_catalog.row_to_json(r)::text FROM crewsnow_ops.drop_retention_partition(\
         '{}', {number}, {}) AS r",
        context.run().id,
        partition.table.to_u32()
    );
    let (verdict, detail) = match ask(context, &query, Vec::new()) {
        None => (Verdict::Failed, "the worker was ended".to_owned()),
        Some(Outcome::TimedOut) => (Verdict::Skipped, NO_TIME.to_owned()),
        Some(Outcome::Failed { sqlstate, .. }) if sqlstate == tasks::LOCKED => {
            let need = (partition.table, pg_sys::ShareLock as i32);
            let (detail, command) = tasks::holder(need);
            step.command = command;
            (Verdict::Skipped, detail)
        }
        Some(Outcome::Failed { message, .. }) => (Verdict::Failed, message),
        Some(Outcome::Done(warnings)) => {
            let row = answer(&warnings).unwrap_or_default();
            let rows = row.get("dropped").and_then(Value::as_i64).unwrap_or_default();
            match row.get("outcome").and_then(Value::as_str) {
                Some("dropped") => (Verdict::Done, format!("{rows} rows")),
                Some("held") => (Verdict::Covered, "the hold keeps rows of it".to_owned()),
                Some("locked") => {
                    let (detail, command) =
                        tasks::holder((target.table, pg_sys::AccessExclusiveLock as i32));
                    step.command = command.or(Some(AGAIN.to_owned()));
                    (Verdict::Skipped, detail)
                }
                Some(_) => (Verdict::Covered, "the policy keeps it now".to_owned()),
                None => (Verdict::Skipped, POLICY_ENDED.to_owned()),
            }
        }
    };
    context.end(step, verdict, format!("{detail} (policy {})", policy.name));
}

/// Tells of expired rows in the default partition, which no drop can reach.
fn report_default(context: &mut Context, policy: &Policy, target: &Target) {
    let step = match count(policy, target, COUNT_MS) {
        Ok(counts) if counts.in_default == 0 => return,
        Ok(counts) => {
            let detail = format!("{} expired rows are in the default partition", counts.in_default);
            ended(policy, &target.name, Verdict::Skipped, detail)
        }
        Err(Uncounted::Unfit(error)) => {
            ended(policy, &target.name, Verdict::Failed, error.to_string())
        }
        Err(Uncounted::Stopped(stopped)) => {
            let detail = format!("expired rows of the default partition are unknown: {stopped}");
            ended(policy, &target.name, Verdict::Skipped, detail)
        }
    };
    context.add(step);
}
