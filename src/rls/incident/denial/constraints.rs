//! NOT NULL and CHECK constraints that a new row must satisfy.

use super::relation::Relation;
use super::row::Row;
use super::step::Step;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::evaluation::{unrewritten, values_for};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::target::identity::Identity;
use pgrx::prelude::*;

/// The constraints that the row violates.
pub fn steps(relation: &Relation, row: &Row, identity: &Identity) -> Result<Vec<Step>, RlsError> {
    let mut steps = Vec::new();
    for column in relation.columns.iter().filter(|column| column.is_not_null) {
        let is_known = !row.unknown.contains(&column.number);
        if is_known && row.value(column.number).is_none() {
            let text = format!("{} is NOT NULL, and the new row has no value for it.", column.name);
            steps.push(Step::denied("constraint", relation.object(), text));
        }
    }
    for (name, tree) in checks(relation.named.table)? {
        let (tree, on) = (c_string(&tree), &relation.named);
        let is_violated = || {
            let check = unrewritten(&tree);
            if !check.columns()?.is_disjoint(&row.unknown) {
                return None;
            }
            let value = values_for(&[check], on, &row.columns).ok()?.first().copied().flatten();
            Some(value.is_some_and(|value| value.value() == 0))
        };
        if matches!(identity.act_within(PROBE_TIMEOUT_MS, is_violated), Ok(Some(true))) {
            let text = format!("The new row violates the CHECK constraint {name}.");
            steps.push(Step::denied("constraint", relation.object(), text));
        }
    }
    Ok(steps)
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
