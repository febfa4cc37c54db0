//! The verdict on one incident: is the guilty named first, is its command safe, is it over then?

use crate::stage::{Row, Stage};
use std::process::Command;
use std::time::Duration;

/// The expected answer to an incident.
pub struct Expected<'a> {
    pub incident: &'static str,
    /// A text of the first row that names the guilty: a pid, an object, an application.
    pub guilty: &'a str,
    /// Texts that the command must contain, such as a function and a pid.
    pub command: &'a [&'a str],
    /// Texts that neither the command nor the object may contain: pids of the innocent.
    pub innocent: &'a [String],
}

/// The outcome of the command.
#[derive(PartialEq, Eq)]
pub enum Cure {
    /// The incident is over, and the innocent live on.
    Over,
    /// A superuser or an owner had to run it, as the row says.
    OverByAnother,
    /// The command only looks: the incident needs a decision, or a deed outside the server.
    Looks,
    Failed(String),
}

impl std::fmt::Display for Cure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Over => "yes",
            Self::OverByAnother => "yes, by the role that the row names",
            Self::Looks => "looks only",
            Self::Failed(why) => why,
        })
    }
}

/// A verdict on one incident.
pub struct Verdict {
    pub incident: &'static str,
    row: Row,
    milliseconds: f64,
    faults: Vec<String>,
    cure: Cure,
}

/// Whether a text has the word: `12` is not in `123`.
pub fn has(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

/// Runs the program of `CREWSNOW_INCIDENT_HOOK`, with which the benchmark asks rivals in this
/// moment.
fn call_hook(stage: &Stage, expected: &Expected<'_>, rows: &[Row], milliseconds: f64) {
    let Ok(hook) = std::env::var("CREWSNOW_INCIDENT_HOOK") else { return };
    let first = rows.first().cloned().unwrap_or_default();
    let shown = format!("{} {} {}", first.metric, first.object, first.command);
    let named = has(&shown, expected.guilty);
    let mut command: Command = stage.cluster.client_program(hook, &stage.database);
    command
        .env("INCIDENT", expected.incident)
        .env("GUILTY", expected.guilty)
        .env("OURS", if named { "named" } else { "not named" })
        .env("OURS_MS", format!("{milliseconds:.0}"));
    assert!(command.status().expect("the hook runs").success(), "{}", expected.incident);
}

impl Stage {
    /// Takes the first view, compares its first row, and runs `cure` with that row.
    pub fn judge(
        &mut self,
        expected: &Expected<'_>,
        cure: impl FnOnce(&mut Self, &Row) -> Cure,
    ) -> Verdict {
        let (mut rows, mut milliseconds) = self.first_view();
        for _ in 1..std::mem::replace(&mut self.looks, 1) {
            // The object may be cut, and the command then names the guilty.
            let is_told = |row: &Row| {
                !row.command.is_empty()
                    && (has(&row.object, expected.guilty) || has(&row.command, expected.guilty))
            };
            if rows.first().is_some_and(is_told) {
                break;
            }
            // A statement that has just begun is young for a second, and twenty of them may begin
            // together.
            std::thread::sleep(Duration::from_secs(1));
            (rows, milliseconds) = self.first_view();
        }
        call_hook(self, expected, &rows, milliseconds);
        let row = rows.first().cloned().unwrap_or_default();
        let mut faults = Vec::new();
        if !["CRITICAL", "WARNING"].contains(&row.status.as_str()) {
            faults.push(format!("no CRITICAL or WARNING row: {rows:?}"));
        }
        let shown = format!("{} {} {}", row.metric, row.object, row.command);
        if !has(&shown, expected.guilty) {
            let others: Vec<_> =
                rows.iter().map(|r| format!("{}: {}", r.metric, r.object)).collect();
            faults.push(format!("{} is not named first: {others:?}", expected.guilty));
        }
        for text in expected.command {
            if !row.command.contains(text) {
                faults.push(format!("the command lacks {text}"));
            }
        }
        if let Some(pid) = expected.innocent.iter().find(|pid| has(&shown, pid)) {
            faults.push(format!("it accuses {pid}"));
        }
        if row.command.contains('\n') {
            faults.push("the command has several lines".to_owned());
        }
        let cure = cure(self, &row);
        Verdict { incident: expected.incident, row, milliseconds, faults, cure }
    }

    /// Pastes the row's command as the on-call engineer. If that role may not run it, the row must
    /// say so; a superuser then pastes the same. `is_over` looks whether it helped.
    pub fn follow(
        &mut self,
        row: &Row,
        is_over: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Cure {
        let mut cure = Cure::Over;
        if row.command.is_empty() {
            return Cure::Failed("no command".to_owned());
        }
        if let Err(error) = self.paste("oncall", &row.command) {
            if !row.page.contains("advice As ") || !error.contains("ERROR") {
                return Cure::Failed(error);
            }
            if let Err(error) = self.paste("postgres", &row.command) {
                return Cure::Failed(error);
            }
            cure = Cure::OverByAnother;
        }
        match is_over(self) {
            Ok(()) => cure,
            Err(why) => Cure::Failed(why),
        }
    }
}

/// Err with the text unless the condition holds.
pub fn check(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

impl Verdict {
    fn is_right(&self) -> bool {
        self.faults.is_empty() && !matches!(self.cure, Cure::Failed(_))
    }
}

/// Prints the verdicts as a table. All must be right, except those that `wrong` lists, and these
/// must still be wrong: a mended one leaves the list.
pub fn report(group: &str, verdicts: &[Verdict], wrong: &[(&str, &str)]) {
    let mut text = format!("\n{group}\n");
    let mut surprises = Vec::new();
    for verdict in verdicts {
        let Row { status, metric, object, command, .. } = &verdict.row;
        let is_right = verdict.is_right();
        text += &format!(
            "{} {} ({:.0} ms)\n    named first: {status} {metric}: {object}\n    \
             command: {command}\n    cured: {}\n",
            if is_right { "right" } else { "WRONG" },
            verdict.incident,
            verdict.milliseconds,
            verdict.cure
        );
        for fault in &verdict.faults {
            text += &format!("    fault: {fault}\n");
        }
        if is_right == wrong.iter().any(|(incident, _)| *incident == verdict.incident) {
            surprises.push(verdict.incident);
        }
    }
    println!("{text}");
    assert!(surprises.is_empty(), "{surprises:?}\n{text}");
}
