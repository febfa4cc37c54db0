//! The trigger on crewsnow_ops.retention_policies.

use super::error::RetentionError;
use super::hold;
use super::policy::{Action, Policy};
use super::target::Target;
use crate::error::raise;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::trigger as glue;
use crate::pg::xact::sec_context::{current_role, current_user};
use crate::pg::xact::session;
use crate::pg::xact::subtransaction::isolated;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    retention_policy_is_valid:
        retention_policy_is_valid_wrapper, pg_finfo_retention_policy_is_valid_wrapper;
}

const NOT_A_TRIGGER: RetentionError =
    RetentionError::Server(ServerError::NotATrigger("retention_policy_is_valid"));

/// BEFORE INSERT OR UPDATE on crewsnow_ops.retention_policies.
fn retention_policy_is_valid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(raise(validate(trigger)))
}

fn validate<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, RetentionError> {
    let mut row = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let is_update = matches!(trigger.op()?, PgTriggerOperation::Update);
    let text = |row: &Row<'_>, column: &str| row.get_by_name::<String>(column);
    // The constraints of the table refuse NULL and unknown actions, with names of their own.
    let (Some(name), Some(table), Some(column), Some(action)) = (
        text(&row, "name")?,
        text(&row, "target")?,
        text(&row, "time_column")?,
        text(&row, "action")?.and_then(|action| Action::parse(&action)),
    ) else {
        return Ok(Some(row));
    };
    let target = Target::find(&table, &column, action)?;
    let replacements = glue::new_json_value(trigger, c"replacements")
        .map(|json| json.value("replacements"))
        .transpose()?;
    let policy = Policy {
        name,
        target: target.name.clone(),
        time_column: column,
        action,
        replacements: replacements.filter(|_| action == Action::Anonymise),
        hold: text(&row, "hold")?,
        cascades_to: Vec::new(),
        batch_rows: 1,
        max_rows: None,
        is_enabled: true,
        author: String::new(),
        cutoff: 0,
    };
    check_replacements(&policy, &target)?;
    hold::check(&policy, &target)?;
    row.set_by_name("target", target.name.clone())?;
    let tables: Option<pgrx::Array<'_, String>> = row.get_by_name("cascades_to")?;
    let tables = tables.map(|tables| tables.iter().flatten().collect::<Vec<_>>());
    if let Some(tables) = tables {
        let names = tables.iter().map(|table| Target::named(table));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        names.sort();
        names.dedup();
        row.set_by_name("cascades_to", names)?;
    }
    if let Some(author) = author(trigger, &row, is_update)? {
        row.set_by_name("defined_by", author)?;
    }
    let now = TimestampWithTimeZone::try_from(clock::now()).ok();
    if is_update {
        row.set_by_name("updated_at", now)?;
    } else if !session::is_superuser() {
        row.set_by_name("created_at", now)?;
        row.set_by_name("updated_at", now)?;
    }
    Ok(Some(row))
}

/// The author that the row gets; `None` if the one that it has may stay.
fn author(
    trigger: &PgTrigger<'_>,
    row: &Row<'_>,
    is_update: bool,
) -> Result<Option<String>, RetentionError> {
    if is_update && !glue::assigns(trigger, c"defined_by") {
        return Ok(Some(current_user()));
    }
    let Some(author) = row.get_by_name::<String>("defined_by")? else { return Ok(None) };
    match lookup::role(&author) {
        Some(role) if privilege::is_member(current_role(), role) => Ok(None),
        // A dump may name roles that this server does not have.
        None if session::is_superuser() => Ok(None),
        None => Err(ServerError::UnknownRole(author).into()),
        Some(_) => Err(RetentionError::ForeignAuthor(author)),
    }
}

fn check_replacements(policy: &Policy, target: &Target) -> Result<(), RetentionError> {
    if policy.action != Action::Anonymise {
        return Ok(());
    }
    let is_filled = |json: &serde_json::Value| json.as_object().is_some_and(|o| !o.is_empty());
    if !policy.replacements.as_ref().is_some_and(is_filled) {
        return Err(RetentionError::NoReplacements);
    }
    let sql = include_str!("../../../sql/maintenance/retention_replacements.sql");
    let arguments =
        [target.table.into(), policy.replacements().into(), policy.time_column.clone().into()];
    let columns = Spi::connect(|client| {
        let mut columns = Vec::new();
        for row in client.select(sql, None, &arguments)? {
            let column = row.get::<String>(1)?.unwrap_or_default();
            columns.push((
                column,
                row.get::<String>(2)?,
                row.get::<String>(3)?,
                row.get::<String>(4)?,
            ));
        }
        Ok::<_, RetentionError>(columns)
    })?;
    for (column, type_, value, problem) in columns {
        match problem.as_deref() {
            Some("missing") => {
                return Err(RetentionError::UnknownColumn { table: target.name.clone(), column });
            }
            Some(reason) => {
                return Err(RetentionError::UnfitColumn { column, reason: reason.to_owned() });
            }
            None => {}
        }
        let (Some(type_), Some(value)) = (type_, value) else { continue };
        // The type's own function reads the constant while the server analyses the statement.
        let sql = format!("SELECT {}::{type_}", quote_literal(&value));
        let analyse = || Spi::connect(|client| client.prepare(sql.as_str(), &[]).map(drop));
        if !matches!(isolated(analyse), Ok(Ok(()))) {
            return Err(RetentionError::UnfitValue { column, type_ });
        }
    }
    Ok(())
}
