//! The triggers on rules and on the ledger.

use super::error::ErasureError;
use crate::error::raise;
use crate::pg::catalog::lookup;
use crate::pg::clock;
use crate::pg::cstring::c_string;
use crate::pg::error::ServerError;
use crate::pg::fmgr::trigger as glue;
use crate::pg::xact::session;
use crate::pg::xact::subtransaction::isolated;
use pgrx::AllocatedByRust;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    erasure_records_are_final:
        erasure_records_are_final_wrapper, pg_finfo_erasure_records_are_final_wrapper;
    erasure_rule_is_valid:
        erasure_rule_is_valid_wrapper, pg_finfo_erasure_rule_is_valid_wrapper;
}

/// BEFORE UPDATE OR DELETE OR TRUNCATE on the ledger and its trails.
fn erasure_records_are_final<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<Row<'a>>, ErrorReport> {
    raise(Err(ErasureError::RecordsAreFinal))
}

/// BEFORE INSERT OR UPDATE on crewsnow_ops.erasure_rules, each row.
fn erasure_rule_is_valid<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(Some(raise(checked(trigger))))
}

fn checked<'a>(trigger: &'a PgTrigger<'a>) -> Result<Row<'a>, ErasureError> {
    let mut row =
        trigger.new().ok_or(ServerError::NotATrigger("erasure_rule_is_valid"))?.into_owned();
    let target: String = row.get_by_name("target")?.unwrap_or_default();
    let unknown = || ErasureError::UnknownTable(target.clone());
    // to_regclass() raises for a text that is no name.
    let oid = isolated(|| lookup::table_called(&target)).ok().flatten().ok_or_else(unknown)?;
    let oid = Some(oid).filter(|oid| lookup::is_table_of_users(*oid)).ok_or_else(unknown)?;
    let name = lookup::table_name(oid).ok_or_else(unknown)?;
    row.set_by_name("target", name.clone())?;
    let column: Option<String> = row.get_by_name("owner_column")?;
    if let Some(column) = column.filter(|column| lookup::column(oid, &c_string(column)).is_none()) {
        return Err(ErasureError::UnknownColumn { table: name, column });
    }
    if let Some(replacements) = glue::new_json_value(trigger, c"replacements") {
        check_replacements(oid, &name, replacements.value("replacements")?)?;
    }
    // A restored row keeps its author.
    let is_restored = trigger.op().is_ok_and(|op| matches!(op, pgrx::PgTriggerOperation::Insert));
    if !is_restored {
        row.set_by_name("changed_at", TimestampWithTimeZone::try_from(clock::now()).ok())?;
        row.set_by_name("changed_by", session::user())?;
    }
    Ok(row)
}

fn check_replacements(oid: pg_sys::Oid, table: &str, value: Value) -> Result<(), ErasureError> {
    let Value::Object(replacements) = value else {
        return Err(ErasureError::InvalidReplacements(table.to_owned()));
    };
    let is_text = |value: &Value| value.is_string() || value.is_null();
    if replacements.is_empty() || !replacements.values().all(is_text) {
        return Err(ErasureError::InvalidReplacements(table.to_owned()));
    }
    let key = lookup::key(oid);
    for (column, value) in &replacements {
        let found = lookup::column(oid, &c_string(column));
        let (number, type_) = found.ok_or_else(|| ErasureError::UnknownColumn {
            table: table.to_owned(),
            column: column.clone(),
        })?;
        if key.is_some_and(|(key, _)| key == number) {
            return Err(ErasureError::KeyIsReplaced {
                table: table.to_owned(),
                column: column.clone(),
            });
        }
        let type_name = lookup::qualified_type_name(type_);
        let Some(text) = value.as_str() else { continue };
        let text = text.replace("{pseudonym}", "erased-00000000");
        // The cast runs with the rights of the session that writes the rule, and of no other.
        let sql = format!("SELECT CAST($1 AS {type_name}) IS NULL");
        let cast = || {
            Spi::connect(|client| client.select(sql.as_str(), Some(1), &[text.into()]).map(|_| ()))
        };
        if !matches!(isolated(cast), Ok(Ok(()))) {
            return Err(ErasureError::InvalidValue {
                table: table.to_owned(),
                column: column.clone(),
                type_name,
            });
        }
    }
    Ok(())
}

/// The types of the columns that are replaced, in their order.
pub fn column_types(
    table: pg_sys::Oid,
    replacements: &Map<String, Value>,
) -> Result<Vec<String>, ErasureError> {
    let type_of = |column: &String| {
        let found = lookup::column(table, &c_string(column));
        let (_, type_) = found.ok_or_else(|| ErasureError::UnknownColumn {
            table: lookup::table_name(table).unwrap_or_default(),
            column: column.clone(),
        })?;
        Ok(lookup::qualified_type_name(type_))
    };
    replacements.keys().map(type_of).collect()
}
