//! Drops what cut-short builds of indexes left behind, and rebuilds invalid indexes.

use super::{NO_TIME, fail, holder, read, skipped};
use crate::maintenance::context::Context;
use crate::maintenance::error::MaintenanceError;
use crate::maintenance::step::{Step, Verdict};
use crate::pg::catalog::lookup;
use crate::pg::clock;
use crate::pg::cstring::c_string;
use crate::pg::worker::{DetachedStep, Outcome, Statement, Worker};
use crate::pg::xact::snapshot;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use serde_json::{Value, json};

const CATALOG: &str = "pg_catalog.pg_index";
const LEFTOVER: &str = "leftover";
const REBUILD: &str = "rebuild";
/// A drop waits for each transaction that uses the table, and stops none of them.
const DROP_LOCK_TIMEOUT: &str = "5s";
/// The same for a rebuild, for which no session waits.
const REBUILD_LOCK_TIMEOUT: &str = "30min";
/// A rebuild is not begun with less time, in microseconds.
const MIN_REBUILD: i64 = 1_000_000;
const WATCH: &str = "SELECT * FROM crewsnow_ops.maintenance_runs WHERE task = 'rebuild' \
    ORDER BY started_at DESC;";
/// The most bytes of a name.
const MAX_NAME: usize = 63;

struct Index {
    oid: pg_sys::Oid,
    table: pg_sys::Oid,
    schema: String,
    name: String,
    on_table: String,
    is_leftover: bool,
    is_unique: bool,
    problem: Option<String>,
    command: String,
    definition: String,
}

impl Index {
    fn qualified(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }

    fn task(&self) -> &'static str {
        if self.is_leftover { LEFTOVER } else { REBUILD }
    }

    fn facts(&self) -> Value {
        json!({
            "table": self.on_table, "is_unique": self.is_unique, "definition": self.definition
        })
    }

    fn skipped(&self, reason: &str) -> Step {
        Step {
            before: Some(self.facts()),
            ..skipped(self.task(), &self.qualified(), reason, &self.command)
        }
    }
}

fn invalid() -> Result<Vec<Index>, MaintenanceError> {
    snapshot::with_latest_snapshot(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/invalid_indexes.sql");
            let mut indexes = Vec::new();
            for row in client.select(sql, None, &[])? {
                indexes.push(Index {
                    oid: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                    table: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
                    schema: row.get(3)?.unwrap_or_default(),
                    name: row.get(4)?.unwrap_or_default(),
                    on_table: row.get(5)?.unwrap_or_default(),
                    is_leftover: row.get(6)?.unwrap_or(false),
                    is_unique: row.get(7)?.unwrap_or(false),
                    problem: row.get(8)?,
                    command: row.get(9)?.unwrap_or_default(),
                    definition: row.get(10)?.unwrap_or_default(),
                });
            }
            Ok(indexes)
        })
    })
}

/// Drops leftovers. Also reports invalid indexes that a run leaves alone.
pub fn drop_leftovers(context: &mut Context) -> Result<(), MaintenanceError> {
    for index in read(context, LEFTOVER, CATALOG, invalid)? {
        pgrx::check_for_interrupts!();
        let reason = match (&index.problem, context.missing()) {
            (Some(problem), _) => Some(problem.clone()),
            (None, _) if !index.is_leftover => continue,
            (None, Some(reason)) => Some(reason),
            (None, None) => context.is_over().then(|| NO_TIME.to_owned()),
        };
        match reason {
            Some(reason) => context.add(index.skipped(&reason)),
            None => drop_leftover(context, &index)?,
        }
    }
    Ok(())
}

fn drop_leftover(context: &mut Context, index: &Index) -> Result<(), MaintenanceError> {
    // A build may have begun or ended since the list was read.
    if !invalid()?.iter().any(|other| other.oid == index.oid) {
        return Ok(());
    }
    let step = context.begin_short(index.task(), &index.qualified(), Some(index.facts()));
    let settings = vec![("lock_timeout".to_owned(), DROP_LOCK_TIMEOUT.to_owned())];
    let statement = context.statement(index.command.clone(), settings);
    match context.execute(&statement) {
        Some(Outcome::Done(_)) => {
            context.end(step, Verdict::Done, format!("invalid index of {}", index.on_table));
        }
        outcome => {
            let need = (index.table, pg_sys::AccessExclusiveLock as i32);
            fail(context, step, outcome, need, &index.command);
        }
    }
    Ok(())
}

/// Starts the rebuilds, in a worker for which the run does not wait: a rebuild waits for the
/// snapshot of the run itself. The worker drops what a failed rebuild leaves.
pub fn start_rebuilds(context: &mut Context) -> Result<(), MaintenanceError> {
    let mut indexes = read(context, REBUILD, CATALOG, invalid)?;
    indexes.retain(|index| index.problem.is_none() && !index.is_leftover);
    if indexes.is_empty() {
        return Ok(());
    }
    let reason = context.missing().or_else(|| {
        let is_short = context.deadline < clock::now() + MIN_REBUILD;
        is_short.then(|| NO_TIME.to_owned())
    });
    let worker = match reason {
        Some(reason) => Err(reason),
        None => match Worker::start("crewsnow_ops rebuilds") {
            Ok(Some(worker)) => Ok(worker),
            Ok(None) => Err("no slot was free for its worker (max_worker_processes)".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    };
    let worker = match worker {
        Ok(worker) => worker,
        Err(reason) => {
            indexes.iter().for_each(|index| context.add(index.skipped(&reason)));
            return Ok(());
        }
    };
    let mut steps = Vec::new();
    for index in &indexes {
        let detail = match holder((index.table, pg_sys::ShareUpdateExclusiveLock as i32)) {
            (reason, Some(_)) => format!("goes on after this statement; {reason}"),
            _ => "goes on after this statement".to_owned(),
        };
        let step = Step {
            verdict: Verdict::Started,
            ended: None,
            detail,
            command: Some(WATCH.to_owned()),
            ..index.skipped("")
        };
        steps.push(DetachedStep {
            statement: statement(&index.command, REBUILD_LOCK_TIMEOUT, Some(context.deadline)),
            cleanup: leftovers(index),
            record: context.row(&step, worker.pid()),
        });
        context.add_detached(step, worker.pid());
    }
    if context.detach(worker, steps).is_none() {
        context.notes.push("The worker of the rebuilds was ended before it began.".to_owned());
    }
    Ok(())
}

fn statement(sql: &str, lock_timeout: &str, deadline: Option<i64>) -> Statement {
    let settings = vec![("lock_timeout".to_owned(), lock_timeout.to_owned())];
    Statement { sql: sql.to_owned(), settings, deadline, is_own: false }
}

/// The statements that remove what a failed rebuild leaves: the index that it built, or the one
/// that it replaced. A name that is in use now is not one of these.
fn leftovers(index: &Index) -> Vec<Statement> {
    let schema = quote_identifier(&index.schema);
    let drop = |label| {
        let name = transient_name(&index.name, label, |name| is_taken(&index.schema, name));
        let name = quote_identifier(name);
        let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name};");
        statement(&sql, DROP_LOCK_TIMEOUT, None)
    };
    vec![drop("ccnew"), drop("ccold")]
}

fn is_taken(schema: &str, name: &str) -> bool {
    lookup::schema(&c_string(schema))
        .and_then(|schema| lookup::table_in(schema, &c_string(name)))
        .is_some()
}

/// The name that REINDEX CONCURRENTLY gives the index that it builds (`ccnew`) or replaces
/// (`ccold`), as the server's ChooseRelationName does: one that is free.
fn transient_name(index: &str, label: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbers = std::iter::once(String::new()).chain((1..1_000).map(|n: u32| n.to_string()));
    let mut names = numbers.map(|number| {
        let suffix = format!("_{label}{number}");
        let mut end = index.len().min(MAX_NAME - suffix.len());
        while !index.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{suffix}", &index[..end])
    });
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::transient_name;

    #[test]
    fn a_transient_name_is_cut_as_the_server_cuts_it() {
        assert_eq!(transient_name("seats_key", "ccnew", |_| false), "seats_key_ccnew");
        let is_taken = |name: &str| name == "seats_key_ccold";
        assert_eq!(transient_name("seats_key", "ccold", is_taken), "seats_key_ccold1");
        let long = "s".repeat(63);
        assert_eq!(transient_name(&long, "ccnew", |_| false), format!("{}_ccnew", "s".repeat(57)));
        // A character is not cut in two.
        let umlauts = "ü".repeat(31);
        assert_eq!(
            transient_name(&umlauts, "ccnew", |_| false),
            format!("{}_ccnew", "ü".repeat(28))
        );
    }
}
