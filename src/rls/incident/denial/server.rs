//! The server's own answer to a command, with which an explanation is compared.

use super::relation::Relation;
use super::row::{Input, Row, Rows, statement};
use super::step::{Status, Step, is_denied, is_unknown};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::evaluation::values_for;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::{Command, Undecidable, effective_of};
use crate::pg::rewrite::statement::{check_privileges, returns_row};
use crate::pg::xact::timeout::Stopped;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::target::identity::Identity;

/// The server's answer to a command as a whole.
pub enum Answer {
    /// Privileges and policies let it pass.
    Allows,
    /// It finds no row.
    NoRow,
    /// It fails.
    Refuses(String),
    /// The server cannot be asked without executing the command.
    Silent,
}

/// The causes that the server finds only while it executes a command.
const LATER: [&str; 3] = ["constraint", "trigger", "sequence-grant"];

/// Compares the steps with the server's answer, which decides where they differ.
pub fn compare(steps: &mut Vec<Step>, relation: &Relation, answer: Answer) {
    if steps.iter().any(|step| ["no-row", "rule"].contains(&step.cause)) {
        return;
    }
    let is_later = |step: &Step| LATER.contains(&step.cause);
    let decided: Vec<Step> = steps.iter().filter(|step| !is_later(step)).cloned().collect();
    let is_explained = is_denied(&decided) || is_unknown(&decided);
    match answer {
        Answer::Allows if is_denied(&decided) => {
            for step in steps.iter_mut().filter(|step| step.status == Status::Denied) {
                if !is_later(step) && !step.is_conditional {
                    step.status = Status::Unknown;
                }
            }
            let text = "The server lets the command through as a whole.";
            steps.push(Step::unknown("server", relation.object(), text));
        }
        Answer::NoRow if !is_explained => {
            let (cause, text) = match relation.kind {
                'v' => ("view", "The view's own conditions leave the row out."),
                'm' => ("no-row", "No row has this key."),
                _ => ("error", "The combined policies hide the row."),
            };
            steps.push(Step::denied(cause, relation.object(), text));
        }
        Answer::Refuses(reason) if !is_explained => {
            steps.push(Step::denied("error", relation.object(), reason));
        }
        Answer::Allows | Answer::NoRow | Answer::Refuses(_) | Answer::Silent => {}
    }
}

/// Asks the server. A SELECT is run, except on a foreign table. For other commands the privileges
/// are checked and the combined policies are asked.
pub fn answer(
    identity: &Identity,
    command: Command,
    relation: &Relation,
    input: &Input,
    rows: &Rows,
) -> Result<Answer, RlsError> {
    if relation.kind == 'f' {
        return Ok(Answer::Silent);
    }
    let row = rows.written.as_ref().or(rows.existing.as_ref()).cloned().unwrap_or_default();
    let (sql, parameters) = statement(relation, command, input, &row)?;
    let sql = c_string(&sql);
    let holds = |qual: Qual, row: &Row| -> Result<bool, Undecidable> {
        if qual.is_empty() {
            return Ok(true);
        }
        let values = values_for(&[qual], &relation.named, &row.columns)?;
        Ok(values.first().copied().flatten().is_some_and(|value| value.value() != 0))
    };
    let ask = || -> Result<Answer, Undecidable> {
        if command == Command::Select {
            let is_shown = returns_row(&sql, &parameters)?;
            return Ok(if is_shown { Answer::Allows } else { Answer::NoRow });
        }
        check_privileges(&sql, &parameters)?;
        if !relation.is_table() {
            return Ok(Answer::Silent);
        }
        let effective = effective_of(&sql, &parameters, relation.named.table)?;
        if let Some(row) = &rows.existing
            && !holds(effective.using, row)?
        {
            return Ok(Answer::NoRow);
        }
        let Some(row) = &rows.written else { return Ok(Answer::Allows) };
        let is_known = |qual: Qual| {
            row.unknown.is_empty()
                || qual.columns().is_some_and(|columns| columns.is_disjoint(&row.unknown))
        };
        Ok(match effective.check {
            check if !is_known(check) => Answer::Silent,
            check if holds(check, row)? => Answer::Allows,
            _ => Answer::Refuses("The combined policies refuse the new row.".to_owned()),
        })
    };
    Ok(match identity.act_within(PROBE_TIMEOUT_MS, ask) {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(Stopped::TimedOut(_)) => Answer::Silent,
        Err(Stopped::Failed(failure)) if failure.is_sandbox_violation() => Answer::Silent,
        Err(Stopped::Failed(failure)) => Answer::Refuses(format!(
            "The server refuses the command with {}.",
            failure.redacted_message()
        )),
    })
}
