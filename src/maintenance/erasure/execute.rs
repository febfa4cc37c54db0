//! The execution of an erasure: all of it, or nothing.

use super::apply;
use super::error::ErasureError;
use super::holds::holds;
use super::person::{Accounts, Person};
use super::plan::Plan;
use super::query::{View, texts};
use super::request::Request;
use super::step::Action;
use super::trails;
use crate::access::as_owner;
use crate::maintenance::report::plain;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::pg::xact::{lock_wait, snapshot};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value};

const ACTION: &str = "erase a person";
const EXAMPLE: &str = "SELECT crewsnow_ops.execute_erasure('REQUEST');";
/// The last line of a report.
const COMPLETED: &str = "Erasure completed";

/// Executes a request. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 25001, 25006, 42501, 42704, 55000, 55P03, and that of a failed step.
#[pg_extern(sql = false)]
fn execute_erasure(p_request: Option<pgrx::Uuid>) -> Result<String, ErrorReport> {
    let id =
        p_request.ok_or(ServerError::NullArgument { argument: "p_request", example: EXAMPLE })?;
    let erased = execute(id)?;
    Ok(report(&id.to_string(), &erased))
}

/// Rows of one table, and the work on them.
pub struct Erased {
    table: String,
    action: &'static str,
    /// The number of rows.
    pub rows: i64,
    by: String,
}

/// Executes a request. Returns the rows by table, and the tables with new statistics.
pub fn execute(id: pgrx::Uuid) -> Result<Vec<Erased>, ErasureError> {
    require_writable(ACTION)?;
    require_latest_snapshot(ACTION)?;
    lock_wait::limited(|| {
        let request = Request::lock(id)?;
        let accounts = Accounts::read()?;
        let person = request.person(&accounts)?;
        erase(&request, &accounts, &person)
    })
    .map_err(|timeout| ServerError::locked("the rows of the person", timeout))?
}

fn erase(
    request: &Request,
    accounts: &Accounts,
    person: &Person,
) -> Result<Vec<Erased>, ErasureError> {
    if let Some((hold, detail)) = holds(person)?.into_iter().next() {
        return Err(ErasureError::Held { hold, detail });
    }
    // A deferred trigger would run at the end of the transaction, with the caller's privileges.
    spi::connect_mut(|client| {
        client.update("SET CONSTRAINTS ALL IMMEDIATE", None, &[]).map(|_| ())
    })?;
    let mut plan = Plan::make(accounts, person, View::Latest)?;
    apply::require_privileges(&mut plan)?;
    if let Some(first) = plan.objections.first() {
        return Err(ErasureError::Refused {
            objection: first.clone(),
            others: plan.objections.len() - 1,
        });
    }
    apply::apply(&mut plan, &request.pseudonym)?;
    let mut erased = Vec::new();
    for step in plan.steps.clone() {
        erased.push(Erased {
            table: plan.catalog.table(step.table)?.name,
            action: step.action.as_str(),
            rows: step.keys.len() as i64,
            by: step.by.iter().cloned().collect::<Vec<_>>().join(", "),
        });
    }
    let changed = trails::erase(request.id, person, &request.pseudonym)?;
    erased.extend(changed.into_iter().map(|(table, rows)| Erased {
        table,
        action: "pseudonymise",
        rows,
        by: String::new(),
    }));
    let analyzed = renew_statistics(person)?;
    erased.extend(analyzed.into_iter().map(|table| Erased {
        table,
        action: "analyze",
        rows: 0,
        by: String::new(),
    }));
    finish(request, person, &erased)?;
    Ok(erased)
}

/// Makes planner statistics anew that hold values of the person. A table that another session
/// vacuums is left out; the proof tells it.
fn renew_statistics(person: &Person) -> Result<Vec<String>, ErasureError> {
    as_owner(|| {
        let sql = include_str!("../../../sql/maintenance/erasure_statistics.sql");
        let tables = texts(View::Latest, sql, &[person.pattern().into()])?;
        for table in &tables {
            let analyze = format!("ANALYZE (SKIP_LOCKED) {table}");
            spi::connect_mut(|client| client.update(&analyze, None, &[]).map(|_| ()))?;
        }
        Ok(tables)
    })
}

/// Turns the request into a row of the ledger.
fn finish(request: &Request, person: &Person, erased: &[Erased]) -> Result<(), ErasureError> {
    let mut rows = Map::new();
    let is_change = |part: &&Erased| part.rows > 0 && part.action != Action::Keep.as_str();
    for part in erased.iter().filter(is_change) {
        let sum = rows.get(&part.table).and_then(Value::as_i64).unwrap_or(0) + part.rows;
        rows.insert(part.table.clone(), sum.into());
    }
    let (system, database) = snapshot::identity();
    as_owner(|| {
        spi::connect_mut(|client| {
            let arguments = [
                request.id.into(),
                person.id.as_str().into(),
                person.others.clone().into(),
                JsonB(Value::Object(rows)).into(),
                system.into(),
                database.into(),
                person.pattern().into(),
            ];
            let sql = include_str!("../../../sql/maintenance/erasure_finish_request.sql");
            client.update(sql, None, &arguments)?;
            Ok::<_, ErasureError>(())
        })
    })
}

/// The report of an erasure. It names tables and numbers, and nothing of the person.
fn report(request: &str, erased: &[Erased]) -> String {
    let mut lines = vec![format!("Erasure {request} in database {}", plain(&session::database()))];
    for part in erased {
        let by = if part.by.is_empty() { String::new() } else { format!(" by {}", part.by) };
        lines.push(format!(
            "{:<13}{:>8}  {}{}",
            part.action,
            part.rows,
            plain(&part.table),
            plain(&by)
        ));
    }
    lines.push(COMPLETED.to_owned());
    lines.join("\n")
}
