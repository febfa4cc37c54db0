//! One step of a run: a task on one object, and its end.

use serde::Serialize;
use serde_json::Value;

/// The end of a step, as `maintenance_runs.verdict` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The work was done, and seen to be done.
    #[serde(rename = "DONE")]
    Done,
    /// Another process does the work now, or there is none to do.
    #[serde(rename = "SKIPPED")]
    Covered,
    /// The work was left undone.
    #[serde(rename = "SKIPPED")]
    Skipped,
    /// The work failed, or had no effect.
    #[serde(rename = "FAILED")]
    Failed,
    /// The work goes on after the report.
    #[serde(rename = "STARTED")]
    Started,
}

impl Verdict {
    /// The value of the column `verdict`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Covered | Self::Skipped => "SKIPPED",
            Self::Failed => "FAILED",
            Self::Started => "STARTED",
        }
    }
}

/// One step of a run: a row of `crewsnow_ops.maintenance_runs` and a line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The kind of work: `vacuum`, `analyze`, `refresh`.
    pub task: &'static str,
    /// The table, index, view or partition, qualified and quoted.
    pub object: String,
    /// The end of the step.
    pub verdict: Verdict,
    /// Its beginning, in microseconds since 2000.
    pub started: i64,
    /// Its end, in microseconds since 2000; `None` if it goes on.
    pub ended: Option<i64>,
    /// Figures before the work.
    pub before: Option<Value>,
    /// Figures after the work.
    pub after: Option<Value>,
    /// The effect or the reason, one sentence without a period.
    pub detail: String,
    /// A command that can be pasted; `None` if there is none.
    pub command: Option<String>,
}

impl Step {
    /// A step that ends at once.
    #[must_use]
    pub fn at(now: i64, task: &'static str, object: String, verdict: Verdict) -> Self {
        Self {
            task,
            object,
            verdict,
            started: now,
            ended: Some(now),
            before: None,
            after: None,
            detail: String::new(),
            command: None,
        }
    }

    /// Its duration in seconds; `None` if it goes on.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.ended.map(|ended| (ended - self.started).max(0) as f64 / 1e6)
    }
}
