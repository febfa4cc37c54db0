//! Constraints that a new row must satisfy.

use super::relation::{Column, Relation, listed};
use super::row::{Row, Rows};
use super::step::Step;
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::evaluation::{unrewritten, values_for};
use crate::pg::rewrite::value::text_of;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;

/// The constraints that the row `written` violates.
pub fn steps(
    application: &Application,
    identity: &Identity,
    relation: &Relation,
    rows: &Rows,
    written: &Row,
) -> Result<Vec<Step>, RlsError> {
    let mut steps = Vec::new();
    let mut add = |text: String| steps.push(Step::denied("constraint", relation.object(), text));
    for column in relation.columns.iter().filter(|column| column.is_not_null) {
        let is_known = !written.unknown.contains(&column.number);
        if is_known && written.value(column.number).is_none() {
            add(format!("{} is NOT NULL, and the new row has no value for it.", column.name));
        }
    }
    for (name, tree) in checks(relation.named.table)? {
        let (tree, on) = (c_string(&tree), &relation.named);
        let is_violated = || {
            let check = unrewritten(&tree);
            if !check.columns()?.is_disjoint(&written.unknown) {
                return None;
            }
            let values = values_for(&[check], on, &written.columns).ok()?;
            Some(values.first().copied().flatten().is_some_and(|value| value.value() == 0))
        };
        if matches!(identity.act_within(PROBE_TIMEOUT_MS, is_violated), Ok(Some(true))) {
            add(format!("The new row violates the CHECK constraint {name}."));
        }
    }
    for key in keys(relation.named.table)? {
        let columns: Vec<&Column> =
            key.columns.iter().filter_map(|number| relation.numbered(*number)).collect();
        let is_changed = |column: &&Column| match &rows.existing {
            None => true,
            Some(existing) => {
                let text =
                    |row: &Row| row.value(column.number).map(|value| text_of(column.type_, value));
                text(existing) != text(written)
            }
        };
        if columns.len() != key.columns.len() || !columns.iter().any(is_changed) {
            continue;
        }
        match key.references {
            None => {
                if found(application, relation, &columns, &columns, written) == Some(true) {
                    add(format!(
                        "Another row has the same {}, which {} keeps unique.",
                        listed(columns),
                        key.name
                    ));
                }
            }
            Some((table, numbers)) => {
                let Some(parent) = Relation::read(table, relation.role)? else { continue };
                let others: Vec<&Column> =
                    numbers.iter().filter_map(|number| parent.numbered(*number)).collect();
                if others.len() == columns.len()
                    && found(application, &parent, &others, &columns, written) == Some(false)
                {
                    add(format!(
                        "No row of {} fits {}, as the foreign key {} demands.",
                        parent.named.name,
                        listed(columns),
                        key.name
                    ));
                }
            }
        }
    }
    Ok(steps)
}

/// Whether a table has a row with the values that the new row has in other columns; `None` if one
/// is NULL or not known, or the caller may not know.
fn found(
    application: &Application,
    table: &Relation,
    columns: &[&Column],
    of: &[&Column],
    written: &Row,
) -> Option<bool> {
    let (mut terms, mut values) = (Vec::new(), Vec::new());
    for (column, own) in columns.iter().zip(of) {
        let type_ = lookup::base_type(own.type_);
        let is_builtin = type_.to_u32() < pg_sys::FirstNormalObjectId
            && lookup::base_type(column.type_) == type_;
        let value = written.value(own.number).filter(|_| is_builtin)?;
        if !table.caller_may_read(column) {
            return None;
        }
        values.push((type_, value));
        let name = quote_identifier(&column.name);
        terms.push(format!("t.{name} OPERATOR(pg_catalog.=) ${}", values.len()));
    }
    let name = &table.named.name;
    let sql = format!("SELECT t.tableoid FROM {name} AS t WHERE {}", terms.join(" AND "));
    // A table that cannot be read in time tells nothing.
    application.rows(name, &sql, &values, 1).ok().map(|rows| !rows.is_empty())
}

fn checks(table: pg_sys::Oid) -> Result<Vec<(String, String)>, RlsError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../../sql/rls/denial_checks.sql");
        let mut checks = Vec::new();
        for row in client.select(sql, None, &[table.into()])? {
            checks.push((row.get(1)?.unwrap_or_default(), row.get(2)?.unwrap_or_default()));
        }
        Ok(checks)
    })
}

/// A foreign key or a unique index.
struct Key {
    name: String,
    columns: Vec<i16>,
    /// The referenced table and its columns; `None` for a unique index.
    references: Option<(pg_sys::Oid, Vec<i16>)>,
}

fn keys(table: pg_sys::Oid) -> Result<Vec<Key>, RlsError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../../sql/rls/denial_keys.sql");
        let mut keys = Vec::new();
        for row in client.select(sql, None, &[table.into()])? {
            keys.push(Key {
                name: row.get(1)?.unwrap_or_default(),
                columns: row.get(2)?.unwrap_or_default(),
                references: row.get::<pg_sys::Oid>(3)?.zip(row.get(4)?),
            });
        }
        Ok(keys)
    })
}
