//! Executes the steps of a plan on the application's tables.

use super::catalog::{ForeignKey, Table, referenced};
use super::error::ErasureError;
use super::plan::Plan;
use super::query::{View, key_list, number, numbers, on_table, texts};
use super::step::{Action, Step};
use super::triggers::column_types;
use crate::pg::cstring::c_string;
use crate::pg::xact::session;
use crate::pg::xact::subtransaction::isolated;
use pgrx::datum::DatumWithOid;
use pgrx::spi::quote_identifier;

/// Deletes and overwrites the rows of a plan. `pseudonym` takes the place of {pseudonym} in
/// replacements.
pub fn apply(plan: &mut Plan, pseudonym: &str) -> Result<(), ErasureError> {
    for group in plan.groups.clone() {
        let of_group = |step: &&Step| group.contains(&step.table.to_u32());
        let steps: Vec<Step> = plan.steps.iter().filter(of_group).cloned().collect();
        for step in steps.iter().filter(|step| step.action == Action::Anonymise) {
            overwrite(plan, step, pseudonym)?;
        }
        let deletions: Vec<&Step> =
            steps.iter().filter(|step| step.action == Action::Delete).collect();
        for step in &deletions {
            require_no_children(plan, step, &group)?;
        }
        delete(plan, &deletions)?;
    }
    Ok(())
}

/// 42501 if the caller lacks the privilege for a step.
pub fn require_privileges(plan: &mut Plan) -> Result<(), ErasureError> {
    for step in plan.steps.clone() {
        let table = plan.catalog.table(step.table)?;
        let privilege = match step.action {
            Action::Delete if !table.may_delete => "DELETE",
            Action::Anonymise if !table.may_update => "UPDATE",
            _ => continue,
        };
        return Err(ErasureError::MayNot { privilege, table: table.name });
    }
    Ok(())
}

/// Runs a statement on a table. Its error message contains no values of rows.
fn on<R>(table: &Table, work: impl FnOnce() -> Result<R, ErasureError>) -> Result<R, ErasureError> {
    match isolated(|| on_table(table.owner, work)) {
        Ok(result) => result,
        Err(failure) if failure.is_lock_timeout() => failure.raise(),
        Err(failure) => Err(ErasureError::Failed {
            table: table.name.clone(),
            code: failure.code,
            message: failure.redacted_message(),
        }),
    }
}

/// Runs a statement that fires triggers. They find their objects by the search_path with which the
/// session began, as for a client's statement. The statement itself names all schemas.
fn changing<R>(
    table: &Table,
    work: impl FnOnce() -> Result<R, ErasureError>,
) -> Result<R, ErasureError> {
    let sql = include_str!("../../../sql/maintenance/erasure_search_path.sql");
    let path = texts(View::Statement, sql, &[])?.into_iter().next().unwrap_or_default();
    on(table, || {
        session::set_local(c"search_path", &c_string(&path));
        let result = work();
        session::set_local(c"search_path", c"pg_catalog, pg_temp");
        result
    })
}

fn count(table: &Table, step: &Step) -> Result<i64, ErasureError> {
    let sql = format!(
        "SELECT count(*) FROM {} AS c JOIN {} AS k ON {}",
        table.name,
        table.columns.keys(1),
        table.columns.equal("c", &table.columns.names)
    );
    let keys = key_list(&step.keys);
    on(table, || number(View::Latest, &sql, &[keys.into()]))
}

fn overwrite(plan: &mut Plan, step: &Step, pseudonym: &str) -> Result<(), ErasureError> {
    let table = plan.catalog.table(step.table)?;
    let values: Vec<Option<String>> = step
        .replacements
        .values()
        .map(|value| value.as_str().map(|text| text.replace("{pseudonym}", pseudonym)))
        .collect();
    let types = column_types(step.table, &step.replacements)?;
    let set: Vec<String> = (step.replacements.keys().zip(&types).enumerate())
        .map(|(place, (column, type_))| {
            format!("{} = CAST(${} AS {type_})", quote_identifier(column), place + 2)
        })
        .collect();
    let sql = format!(
        "WITH d AS (UPDATE {} AS c SET {} FROM {} AS k WHERE {} RETURNING 1) \
         SELECT pg_catalog.count(*) FROM d",
        table.name,
        set.join(", "),
        table.columns.keys(1),
        table.columns.equal("c", &table.columns.names)
    );
    let keys = key_list(&step.keys);
    let before = count(&table, step)?;
    let changed = changing(&table, || {
        let mut arguments: Vec<DatumWithOid<'_>> = vec![keys.into()];
        arguments.extend(values.into_iter().map(DatumWithOid::from));
        number(View::Latest, &sql, &arguments)
    })?;
    if changed < before {
        return Err(ErasureError::Kept { table: table.name, rows: before - changed });
    }
    Ok(())
}

/// Rows outside of the plan that still reference rows that go: a trigger or rule keeps them, or
/// they are new. Deleting their parent would cascade to them, or fail.
fn require_no_children(plan: &mut Plan, step: &Step, group: &[u32]) -> Result<(), ErasureError> {
    let is_outside = |key: &&ForeignKey| {
        key.parent == step.table && !key.sets && !group.contains(&key.child.to_u32())
    };
    let foreign_keys: Vec<ForeignKey> =
        plan.catalog.foreign_keys.iter().filter(is_outside).cloned().collect();
    let parent = plan.catalog.table(step.table)?;
    for key in foreign_keys {
        let child = plan.catalog.table(key.child)?;
        let values = referenced(View::Latest, &parent, &key, &step.keys)?;
        let sql = format!(
            "SELECT count(*) FROM {} AS c WHERE EXISTS (SELECT FROM {} AS k WHERE {})",
            child.name,
            key.parent_columns.keys(1),
            key.parent_columns.equal("c", &key.child_columns)
        );
        let rows = on(&child, || number(View::Latest, &sql, &[key_list(&values).into()]))?;
        if rows > 0 {
            return Err(ErasureError::StillReferenced {
                child: child.name,
                parent: parent.name,
                foreign_key: key.name,
                rows,
            });
        }
    }
    Ok(())
}

/// Deletes in one statement, so that the tables of a circle may reference each other.
fn delete(plan: &mut Plan, steps: &[&Step]) -> Result<(), ErasureError> {
    let mut tables = Vec::new();
    let mut before = Vec::new();
    for step in steps {
        let table = plan.catalog.table(step.table)?;
        before.push(count(&table, step)?);
        tables.push(table);
    }
    let Some(first) = tables.first() else { return Ok(()) };
    let parts: Vec<String> = (tables.iter().enumerate())
        .map(|(place, table)| {
            format!(
                "d{place} AS (DELETE FROM {} AS c USING {} AS k WHERE {} RETURNING 1)",
                table.name,
                table.columns.keys(place + 1),
                table.columns.equal("c", &table.columns.names)
            )
        })
        .collect();
    let counts: Vec<String> = (0..tables.len())
        .map(|place| format!("(SELECT pg_catalog.count(*) FROM d{place})"))
        .collect();
    let sql = format!("WITH {} SELECT {}", parts.join(", "), counts.join(", "));
    let deleted = changing(first, || {
        let keys = steps.iter().map(|step| key_list(&step.keys).into());
        numbers(View::Latest, &sql, tables.len(), &keys.collect::<Vec<DatumWithOid<'_>>>())
    })?;
    for (((table, step), before), deleted) in tables.iter().zip(steps).zip(before).zip(deleted) {
        let left = count(table, step)?.max(before - deleted);
        if left > 0 {
            return Err(ErasureError::Kept { table: table.name.clone(), rows: left });
        }
    }
    Ok(())
}
