//! Refreshes the materialized views that crewsnow_ops.matview_refreshes registers, each after those
//! that it reads.

use super::{NO_TIME, fail, read, run_here, skipped};
use crate::maintenance::context::Context;
use crate::maintenance::error::MaintenanceError;
use crate::maintenance::step::Verdict;
use crate::pg::fmgr::spi;
use crate::pg::worker::Outcome;
use crate::pg::xact::snapshot;
use pgrx::prelude::*;
use serde_json::json;

const TASK: &str = "refresh";

struct View {
    oid: pg_sys::Oid,
    name: String,
    is_concurrent: bool,
    refreshed_at: String,
    problem: Option<String>,
}

impl View {
    fn command(&self) -> String {
        let concurrently = if self.is_concurrent { " CONCURRENTLY" } else { "" };
        format!("REFRESH MATERIALIZED VIEW{concurrently} {};", self.name)
    }
}

fn registered() -> Result<Vec<View>, MaintenanceError> {
    snapshot::with_latest_snapshot(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/matviews.sql");
            let mut views = Vec::new();
            for row in client.select(sql, None, &[])? {
                views.push(View {
                    oid: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                    name: row.get(2)?.unwrap_or_default(),
                    is_concurrent: row.get(3)?.unwrap_or(false),
                    refreshed_at: row.get(4)?.unwrap_or_default(),
                    problem: row.get(5)?,
                });
            }
            Ok(views)
        })
    })
}

/// Refreshes each view.
pub fn run(context: &mut Context) -> Result<(), MaintenanceError> {
    for view in read(context, TASK, "crewsnow_ops.matview_refreshes", registered)? {
        pgrx::check_for_interrupts!();
        if let Some(problem) = &view.problem {
            context.add(skipped(TASK, &view.name, problem, &view.command()));
        } else if context.is_over() {
            context.add(skipped(TASK, &view.name, NO_TIME, &view.command()));
        } else {
            refresh(context, &view);
        }
    }
    Ok(())
}

fn refresh(context: &mut Context, view: &View) {
    let before = json!({ "refreshed_at": view.refreshed_at });
    let mut step = context.begin(TASK, &view.name, Some(before));
    let outcome = if context.has_worker() {
        let statement = context.statement(view.command(), Vec::new());
        context.execute(&statement)
    } else {
        let command = view.command();
        // A function may refresh. Its lock on the view lasts until the run ends.
        let refresh = || spi::connect_mut(|client| client.update(&command, None, &[]).map(drop));
        Some(run_here(context, refresh).map_or_else(|e| e, |_| Outcome::Done(Vec::new())))
    };
    let Some(Outcome::Done(_)) = outcome else {
        let mode =
            if view.is_concurrent { pg_sys::ExclusiveLock } else { pg_sys::AccessExclusiveLock };
        return fail(context, step, outcome, (view.oid, mode as i32), &view.command());
    };
    step.after = Some(json!({ "concurrently": view.is_concurrent }));
    let detail = if view.is_concurrent {
        ""
    } else {
        "readers waited meanwhile, for want of a unique index that CONCURRENTLY needs"
    };
    context.end(step, Verdict::Done, detail.to_owned());
}
