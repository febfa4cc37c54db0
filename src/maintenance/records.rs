//! Rows of `crewsnow_ops.maintenance_runs` and of `crewsnow_ops.retention_runs`. The worker writes
//! them in transactions of their own, so they survive a run that is cancelled; without a worker the
//! session writes them itself.

use super::error::MaintenanceError;
use super::step::{Step, Verdict};
use crate::access::as_owner;
use crate::error::raise;
use crate::pg::fmgr::spi;
use crate::pg::worker::Outcome;
use crate::settings;
use crate::time::instant::Instant;
use serde_json::{Value, json};

/// The kind of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// `run_performance_maintenance`.
    Performance,
    /// `run_gdpr_maintenance`.
    Retention,
}

impl RunKind {
    /// The first words of the report and of its last line.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Performance => "Performance maintenance",
            Self::Retention => "GDPR maintenance",
        }
    }

    /// The table of its rows, in the schema crewsnow_ops.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Performance => "maintenance_runs",
            Self::Retention => "retention_runs",
        }
    }
}

/// The identity of a run, in each of its rows.
#[derive(Debug, Clone)]
pub struct Run {
    /// The kind, which says where its rows belong.
    pub kind: RunKind,
    /// A UUID.
    pub id: String,
    /// `session_user` of the leader.
    pub user: String,
    /// The process of the leader.
    pub leader: i32,
    /// The process of the worker; `None` without one.
    pub worker: Option<i32>,
}

/// The row of a step. Number 0 is the run itself.
#[must_use]
pub fn row(run: &Run, number: usize, step: &Step, is_running: bool) -> Value {
    json!({
        "table": run.kind.table(),
        "run_id": run.id,
        "step": number,
        "task": step.task,
        "object": (!step.object.is_empty()).then_some(&step.object),
        "started_at": Instant(step.started).to_string(),
        "ended_at": step.ended.filter(|_| !is_running).map(|ended| Instant(ended).to_string()),
        "seconds": step.seconds().filter(|_| !is_running),
        "verdict": if is_running { Verdict::Started.as_str() } else { step.verdict.as_str() },
        "before": step.before,
        "after": step.after,
        "detail": (!step.detail.is_empty()).then_some(&step.detail),
        "command": step.command,
        "run_by": run.user,
        "leader_pid": run.leader,
        "worker_pid": run.worker,
    })
}

/// Writes a row as the owner of the extension, in the running transaction. The row of a run also
/// closes runs that ended without a word, and removes rows older than the rollups' retention.
pub fn write(row: &Value) -> Result<(), MaintenanceError> {
    as_owner(|| {
        spi::connect_mut(|client| {
            let is_new_run =
                row.get("step") == Some(&json!(0)) && row.get("ended_at") == Some(&Value::Null);
            let is_retention = row.get("table") == Some(&json!(RunKind::Retention.table()));
            if is_new_run && is_retention {
                let sql = include_str!("../../sql/maintenance/retention_close_runs.sql");
                client.update(sql, None, &[])?;
            } else if is_new_run {
                let sql = include_str!("../../sql/maintenance/close_abandoned_runs.sql");
                client.update(sql, None, &[settings::rollup_retention().into()])?;
            }
            let sql = if is_retention {
                include_str!("../../sql/maintenance/retention_write_run.sql")
            } else {
                include_str!("../../sql/maintenance/write_run.sql")
            };
            client.update(sql, None, &[pgrx::JsonB(row.clone()).into()])?;
            Ok(())
        })
    })
}

/// The recorder of the worker: writes a row. The row of a detached step ends with its outcome.
pub fn record(text: &str, outcome: Option<&Outcome>) {
    let Ok(mut row) = serde_json::from_str::<Value>(text) else { return };
    if let Some(outcome) = outcome {
        finish(&mut row, outcome);
    }
    raise(write(&row));
}

fn finish(row: &mut Value, outcome: &Outcome) {
    let (verdict, detail) = match outcome {
        Outcome::Done(warnings) => match warnings.first() {
            None => (Verdict::Done, None),
            Some(warning) => (Verdict::Done, Some(warning.message.clone())),
        },
        Outcome::Failed { message, .. } => (Verdict::Failed, Some(message.clone())),
        Outcome::TimedOut => (Verdict::Failed, Some("cancelled at the end of its time".to_owned())),
    };
    let now = crate::pg::clock::now();
    let started = row.get("started_at").and_then(Value::as_str).and_then(Instant::parse);
    let seconds = started.map(|started| (now - started.0).max(0) as f64 / 1e6);
    row["verdict"] = json!(verdict.as_str());
    row["ended_at"] = json!(Instant(now).to_string());
    row["seconds"] = json!(seconds);
    row["detail"] = json!(detail);
}
