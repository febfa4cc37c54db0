//! The plan of an erasure as rows: obstacles first, then the steps.

use super::error::{ErasureError, PLAN_EXAMPLE};
use super::holds::holds;
use super::person::Accounts;
use super::plan::Plan;
use super::query::View;
use super::request::Request;
use super::step::Action;
use super::trails;
use crate::pg::error::ServerError;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::sec_context;
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;

/// The steps of an erasure. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 42501 (a table that the caller may not read), 42704, 42P01, 55000 (executed).
#[pg_extern(sql = false)]
fn plan_erasure(p_request: Option<pgrx::Uuid>) -> Result<MaterializedRows<7>, ErrorReport> {
    let id = p_request
        .ok_or(ServerError::NullArgument { argument: "p_request", example: PLAN_EXAMPLE })?;
    Ok(MaterializedRows(plan_rows(id)?))
}

type PlanRow = [Option<pg_sys::Datum>; 7];

fn plan_rows(id: pgrx::Uuid) -> Result<Vec<PlanRow>, ErasureError> {
    let accounts = Accounts::read()?;
    let person = Request::read(id)?.person(&accounts)?;
    let mut plan = Plan::make(&accounts, &person, View::Statement)?;
    let role = quote_identifier(sec_context::current_user());
    let mut rows = Vec::new();
    let mut add =
        |object: &str, action: &str, count: i64, by: &str, detail: &str, command: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned()).into_datum();
            let step = rows.len() as i32 + 1;
            rows.push([
                step.into_datum(),
                text(object),
                text(action),
                count.into_datum(),
                text(by),
                text(detail),
                text(command),
            ]);
        };
    // Obstacles first: nothing is done while one is left.
    for objection in &plan.objections {
        let action = if objection.is_undecided { "undecided" } else { "refused" };
        add(
            &objection.object,
            action,
            objection.rows,
            &objection.by,
            &objection.detail,
            &objection.command,
        );
    }
    for (hold, detail) in holds(&person)? {
        let command =
            format!("UPDATE crewsnow_ops.legal_holds SET released_at = now() WHERE id = '{hold}';");
        add("crewsnow_ops.legal_holds", "refused", 1, "", &detail, &command);
    }
    for step in plan.steps.clone() {
        let table = plan.catalog.table(step.table)?;
        let by = step.by.iter().cloned().collect::<Vec<_>>().join(", ");
        let (mut detail, mut command) = (String::new(), String::new());
        let privilege = match step.action {
            Action::Delete if !table.may_delete => Some("DELETE"),
            Action::Anonymise if !table.may_update => Some("UPDATE"),
            _ => None,
        };
        if let Some(privilege) = privilege {
            detail = format!("you lack the privilege {privilege} on it");
            command = format!("GRANT {privilege} ON {} TO {role};", table.name);
        } else if step.action == Action::Anonymise {
            let columns: Vec<&str> = step.replacements.keys().map(String::as_str).collect();
            detail = format!("columns: {}", columns.join(", "));
        }
        add(&table.name, step.action.as_str(), step.keys.len() as i64, &by, &detail, &command);
    }
    for (name, count) in trails::counted(&person)? {
        add(&name, "pseudonymise", count, "", "own trail of the extension", "");
    }
    Ok(rows)
}
