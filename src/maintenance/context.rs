//! A run while it runs: its worker, its deadline, and its steps so far.

use super::records;
use super::records::Run;
use super::report::plain;
use super::step::{Step, Verdict};
use crate::pg::clock;
use crate::pg::worker::{DetachedStep, Outcome, Statement, Worker};
use serde_json::Value;

/// The reason why the rest of a run has no worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No slot was free, or no role may log in. The reason, one sentence without a period.
    NotStarted(String),
    /// The worker ended before its run.
    Lost,
}

/// A run while it runs.
pub struct Context {
    run: Run,
    worker: Result<Worker, Missing>,
    /// The end of the run's time, in microseconds since 2000.
    pub deadline: i64,
    steps: Vec<Step>,
    /// Sentences about the whole run.
    pub notes: Vec<String>,
    /// Rows that could not be written, for example because of a lock on their table.
    unwritten: usize,
}

/// After so many rows that could not be written, no more are tried: each try waits for a lock.
const MAX_UNWRITTEN: usize = 2;

/// The settings of a run's statements: the caller's `lock_timeout`, within limits.
const LOCK_TIMEOUT: &str = "2s";

impl Context {
    /// A run that has done nothing yet.
    pub fn new(run: Run, worker: Result<Worker, Missing>, deadline: i64) -> Self {
        Self { run, worker, deadline, steps: Vec::new(), notes: Vec::new(), unwritten: 0 }
    }

    /// The identity of the run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Whether statements at top level can run.
    pub fn has_worker(&self) -> bool {
        self.worker.is_ok()
    }

    /// The worker; `None` without one.
    pub fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref().ok()
    }

    /// Whether the worker was ended from outside, which also is a wish to end the run.
    pub fn is_lost(&self) -> bool {
        matches!(self.worker, Err(Missing::Lost))
    }

    /// The reason why there is no worker, for the line of a step.
    pub fn missing(&self) -> Option<String> {
        match &self.worker {
            Ok(_) => None,
            Err(Missing::NotStarted(reason)) => Some(reason.clone()),
            Err(Missing::Lost) => Some("the worker was ended".to_owned()),
        }
    }

    /// Whether the time of the run is over.
    pub fn is_over(&self) -> bool {
        clock::now() >= self.deadline
    }

    /// The steps so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The statement with the deadline of the run and a limit on waits for locks.
    pub fn statement(&self, sql: String, settings: Vec<(String, String)>) -> Statement {
        let mut all = vec![("lock_timeout".to_owned(), LOCK_TIMEOUT.to_owned())];
        all.extend(settings);
        Statement { sql, settings: all, deadline: Some(self.deadline), is_own: false }
    }

    /// Begins a step: a NOTICE tells the client, and others see its row at once.
    pub fn begin(&mut self, task: &'static str, object: &str, before: Option<Value>) -> Step {
        let step = self.begin_short(task, object, before);
        if self.has_worker() {
            pgrx::notice!("{task} {}", plain(object));
            self.write(&self.run.clone(), self.steps.len() + 1, &step, true);
        }
        step
    }

    /// Begins a step that ends soon: its row is written only then.
    pub fn begin_short(&self, task: &'static str, object: &str, before: Option<Value>) -> Step {
        let mut step = Step::at(clock::now(), task, object.to_owned(), Verdict::Started);
        step.before = before;
        step.ended = None;
        step
    }

    /// Ends a step.
    pub fn end(&mut self, mut step: Step, verdict: Verdict, detail: String) {
        step.verdict = verdict;
        step.ended = (verdict != Verdict::Started).then(clock::now);
        step.detail = detail;
        self.add(step);
    }

    /// Adds a step that has ended, or never began.
    pub fn add(&mut self, step: Step) {
        self.add_for(step, self.run.clone());
    }

    /// Adds a step that another worker does.
    pub fn add_detached(&mut self, step: Step, worker: i32) {
        self.add_for(step, Run { worker: Some(worker), ..self.run.clone() });
    }

    fn add_for(&mut self, mut step: Step, run: Run) {
        // A name can have a line break, and the line behind it would read as another command.
        step.command = step.command.filter(|command| !command.chars().any(char::is_control));
        let time = step.seconds().map_or_else(String::new, |seconds| format!(" in {seconds:.1} s"));
        let colon = if step.detail.is_empty() { "" } else { ": " };
        pgrx::notice!(
            "{} {} {}{time}{colon}{}",
            step.task,
            plain(&step.object),
            step.verdict.as_str(),
            plain(&step.detail)
        );
        self.write(&run, self.steps.len() + 1, &step, false);
        self.steps.push(step);
    }

    /// Runs a statement at top level; `None` without a worker, or if it ended meanwhile.
    pub fn execute(&mut self, statement: &Statement) -> Option<Outcome> {
        let worker = self.worker.as_ref().ok()?;
        match worker.run(statement) {
            Ok(outcome) => Some(outcome),
            Err(_) => {
                self.worker = Err(Missing::Lost);
                None
            }
        }
    }

    /// Writes the row of the run itself.
    pub fn write_run(&mut self, step: &Step, is_running: bool) {
        self.write(&self.run.clone(), 0, step, is_running);
    }

    /// The row of a step of this run, for a detached worker.
    pub fn row(&self, step: &Step, worker: i32) -> String {
        let run = Run { worker: Some(worker), ..self.run.clone() };
        records::row(&run, self.steps.len() + 1, step, true).to_string()
    }

    /// Leaves a worker of its own alone with these steps. Returns its process id.
    pub fn detach(&self, worker: Worker, steps: Vec<DetachedStep>) -> Option<i32> {
        worker.detach(steps).ok()
    }

    fn write(&mut self, run: &Run, number: usize, step: &Step, is_running: bool) {
        if self.unwritten >= MAX_UNWRITTEN {
            return;
        }
        let row = records::row(run, number, step, is_running);
        if let Ok(worker) = &self.worker {
            match worker.record(row.to_string()) {
                Ok(Outcome::Failed { message, .. }) => {
                    pgrx::warning!("cannot write {}: {message}", run.kind.table());
                    self.unwritten += 1;
                    if self.unwritten == MAX_UNWRITTEN {
                        self.notes.push(format!(
                            "Rows of {} are missing from here on: {message}.",
                            run.kind.table()
                        ));
                    }
                }
                Ok(_) => {}
                Err(_) => self.worker = Err(Missing::Lost),
            }
        }
        if !self.has_worker() && !is_running {
            // These rows go with the transaction, as all of its work does now.
            if let Err(error) = records::write(&row) {
                pgrx::warning!("cannot write {}: {error}", run.kind.table());
            }
        }
    }
}
