//! VACUUM and ANALYZE of the tables that autovacuum would take, one at a time.

pub mod choice;
pub mod need;
mod table;

use super::context::Context;
use super::error::MaintenanceError;
use super::step::{Step, Verdict};
use crate::pg::clock;
use crate::pg::worker::{Outcome, Warning};
use crate::pg::xact::session;
use crate::pg::xact::timeout::{Stopped, isolated_within};
use choice::Chosen;
use need::Limits;
use pgrx::prelude::*;
use table::{Description, HorizonHolder};

const LOCKED: &str = "55P03";
const UNDEFINED_TABLE: &str = "42P01";
/// Pages and rows of a table whose VACUUM may take long: 8 MB.
const LONG_PAGES: i64 = 1_024;
const LONG_ROWS: i64 = 100_000;
/// The end of time, in the line of a step.
const OUT_OF_TIME: &str =
    "the time of the run was over (its window, or crewsnow_ops.maintenance_budget)";

/// Treats all tables that need it.
pub fn run(context: &mut Context) -> Result<(), MaintenanceError> {
    let limits = choice::limits();
    if !limits.counts_rows {
        context.notes.push(
            "track_counts is off: tables are chosen by their age alone, and ANALYZE never."
                .to_owned(),
        );
    }
    for chosen in choice::choose(&limits) {
        treat(context, &chosen, &limits)?;
    }
    Ok(())
}

/// The kind of work, as maintenance_runs.task has it.
fn task(chosen: &Chosen) -> &'static str {
    if chosen.need.vacuum { "vacuum" } else { "analyze" }
}

/// One table: looks again, as autovacuum does, and vacuums it.
fn treat(context: &mut Context, chosen: &Chosen, limits: &Limits) -> Result<(), MaintenanceError> {
    pgrx::check_for_interrupts!();
    let Some(description) = Description::read(chosen)? else { return Ok(()) };
    let undone = |detail: String, command: String| Step {
        before: Some(description.figures.clone()),
        detail,
        command: Some(command),
        ..Step::at(clock::now(), task(chosen), description.target.clone(), Verdict::Skipped)
    };
    let command = format!("{};", description.statement(chosen));
    if context.is_over() {
        context.add(undone(OUT_OF_TIME.to_owned(), command));
        return Ok(());
    }
    let Some(chosen) = choice::look_again(chosen, limits) else {
        return Ok(());
    };
    let chosen = &chosen;
    if !description.may_vacuum {
        let mut step = undone(
            format!("only its owner {} may, or the owner of the database", description.owner),
            command,
        );
        if description.is_left_to_autovacuum && !chosen.need.is_forced {
            step.verdict = Verdict::Covered;
            step.detail = "a shared catalog: left to autovacuum, which is on".to_owned();
            step.command = None;
        }
        context.add(step);
        return Ok(());
    }
    if let Some(holder) = useless(chosen, &description)? {
        let mut step = undone(
            format!(
                "VACUUM would free nothing, as the last one: {} still sees the {} dead rows",
                holder.name,
                description.figure("dead_rows")
            ),
            command,
        );
        step.command = holder.command;
        context.add(step);
        return Ok(());
    }
    match context.missing() {
        None => vacuum(context, chosen, &description, limits),
        Some(_) if !chosen.need.vacuum && !context.is_lost() => {
            analyze_here(context, chosen, &description);
            Ok(())
        }
        Some(reason) => {
            context.add(undone(reason, command));
            Ok(())
        }
    }
}

/// The holder of the horizon, if a VACUUM has run since it began: all that it left is still seen.
fn useless(
    chosen: &Chosen,
    description: &Description,
) -> Result<Option<HorizonHolder>, MaintenanceError> {
    let is_for_dead_rows = chosen.need.vacuum && !chosen.need.is_forced && !chosen.need.analyze;
    if !is_for_dead_rows || !chosen.need.is_dead {
        return Ok(None);
    }
    let Some(vacuumed) = description.last_vacuum else { return Ok(None) };
    let holder = table::horizon_holder()?;
    Ok(holder.filter(|holder| holder.since.is_some_and(|since| since < vacuumed)))
}

/// Runs VACUUM or ANALYZE in the worker.
fn vacuum(
    context: &mut Context,
    chosen: &Chosen,
    before: &Description,
    limits: &Limits,
) -> Result<(), MaintenanceError> {
    let sql = before.statement(chosen);
    let figures = Some(before.figures.clone());
    let mut step = if is_long(before) {
        context.begin(task(chosen), &before.target, figures)
    } else {
        context.begin_short(task(chosen), &before.target, figures)
    };
    let statement = context.statement(sql.clone(), table::settings(chosen));
    let mut attempts = 0;
    let (verdict, detail, command) = loop {
        attempts += 1;
        let is_lock = |warning: &Warning| warning.sqlstate == LOCKED;
        let is_gone = |warning: &Warning| warning.sqlstate == UNDEFINED_TABLE;
        let end = match context.execute(&statement) {
            None => End::Failed("the worker was ended".to_owned()),
            Some(Outcome::TimedOut) => End::OutOfTime,
            Some(Outcome::Failed { sqlstate, .. }) if sqlstate == LOCKED => End::Locked,
            Some(Outcome::Failed { sqlstate, .. }) if sqlstate == UNDEFINED_TABLE => End::Dropped,
            Some(Outcome::Failed { message, .. }) => End::Failed(message),
            Some(Outcome::Done(warnings)) if warnings.iter().any(is_lock) => End::Locked,
            Some(Outcome::Done(warnings)) if warnings.iter().any(is_gone) => End::Dropped,
            Some(Outcome::Done(warnings)) => End::Returned(warnings),
        };
        match end {
            End::Locked => {
                let holder = table::lock_holder(chosen.table.oid)?;
                match holder {
                    // Its lock was a short one.
                    None if attempts < 3 => continue,
                    None => {
                        let detail = "another session locked it at each of 3 attempts".to_owned();
                        break (Verdict::Skipped, detail, Some(format!("{sql};")));
                    }
                    Some(holder) if holder.vacuums => {
                        break (Verdict::Covered, format!("{} vacuums it", holder.words), None);
                    }
                    Some(holder) => {
                        break (
                            Verdict::Skipped,
                            format!("locked by {}", holder.words),
                            holder.command,
                        );
                    }
                }
            }
            End::OutOfTime => {
                let detail = format!("cancelled, because {OUT_OF_TIME}");
                break (Verdict::Skipped, detail, Some(format!("{sql};")));
            }
            End::Dropped => break (Verdict::Covered, "it was dropped meanwhile".to_owned(), None),
            End::Failed(message) => break (Verdict::Failed, message, Some(format!("{sql};"))),
            End::Returned(warnings) => {
                let Some(after) = Description::read(chosen)? else {
                    break (Verdict::Covered, "it was dropped meanwhile".to_owned(), None);
                };
                step.after = Some(after.figures.clone());
                break effect(chosen, before, &after, &warnings, limits)?;
            }
        }
    };
    step.command = command;
    context.end(step, verdict, detail);
    Ok(())
}

/// Whether a statement may take long. The number of pages is unknown before the first VACUUM.
fn is_long(before: &Description) -> bool {
    let rows = before.figure("live_rows") + before.figure("dead_rows");
    before.figure("pages") >= LONG_PAGES || rows >= LONG_ROWS
}

/// The end of an attempt.
enum End {
    /// Another session has a lock.
    Locked,
    /// The time of the run ended.
    OutOfTime,
    /// The table was dropped or renamed.
    Dropped,
    /// It failed, for this reason.
    Failed(String),
    /// It returned, with these warnings.
    Returned(Vec<Warning>),
}

/// The effect of a statement that returned, judged by the server's statistics.
fn effect(
    chosen: &Chosen,
    before: &Description,
    after: &Description,
    warnings: &[Warning],
    limits: &Limits,
) -> Result<(Verdict, String, Option<String>), MaintenanceError> {
    let command = Some(format!("{};", before.statement(chosen)));
    let warning = warnings.first().map(|warning| warning.message.clone());
    let count = |description: &Description| match chosen.need.vacuum {
        true => description.vacuums,
        false => description.analyzes,
    };
    if limits.counts_rows && count(after) == count(before) {
        let detail = warning.unwrap_or_else(|| "the server did not do it".to_owned());
        return Ok((Verdict::Failed, detail, command));
    }
    if !chosen.need.vacuum {
        let detail = format!("{} changed rows since the last one", before.figure("changed_rows"));
        return Ok((Verdict::Done, detail, None));
    }
    let change = |words: &str, figure: &str| {
        format!("{words} {} -> {}", before.figure(figure), after.figure(figure))
    };
    let mut parts = Vec::new();
    if before.figure("dead_rows") > 0 || after.figure("dead_rows") > 0 {
        parts.push(change("dead rows", "dead_rows"));
    }
    if chosen.need.is_forced {
        parts.push(change("age", "frozen_age"));
    }
    parts.push(change("visible pages", "visible_pages"));
    let still = choice::look_again(chosen, limits).map(|chosen| chosen.need).unwrap_or_default();
    let is_held =
        (chosen.need.is_dead && still.is_dead) || (chosen.need.is_forced && still.is_forced);
    if !is_held {
        parts.extend(warning);
        return Ok((Verdict::Done, parts.join(", "), None));
    }
    match table::horizon_holder()? {
        Some(holder) => {
            parts.push(format!("{} still sees them", holder.name));
            parts.push(holder.cure);
            Ok((Verdict::Failed, parts.join(", "), holder.command))
        }
        None => {
            parts.push("rows died meanwhile, or a session hidden from this role sees them".into());
            Ok((Verdict::Failed, parts.join(", "), command))
        }
    }
}

/// Runs ANALYZE in this session, for want of a worker.
fn analyze_here(context: &mut Context, chosen: &Chosen, before: &Description) {
    let sql = before.statement(chosen);
    let figures = Some(before.figures.clone());
    let mut step = context.begin(task(chosen), &before.target, figures);
    let rest = (context.deadline - clock::now()) / 1_000;
    let result = isolated_within(i32::try_from(rest).unwrap_or(i32::MAX), || {
        session::set_local(c"lock_timeout", c"2s");
        Spi::run(&sql)
    });
    let (verdict, detail) = match result {
        Ok(Ok(())) => (Verdict::Done, "in this session, without a worker".to_owned()),
        Ok(Err(error)) => (Verdict::Failed, error.to_string()),
        Err(Stopped::TimedOut(_)) => (Verdict::Skipped, OUT_OF_TIME.to_owned()),
        Err(Stopped::Failed(failure)) => (Verdict::Failed, failure.redacted_message()),
    };
    if verdict != Verdict::Done {
        step.command = Some(format!("{sql};"));
    }
    context.end(step, verdict, detail);
}
