//! Policies that are constant because a column they test for NULL is NOT NULL.

use super::application::Application;
use crate::pg::cstring::c_string;
use crate::pg::memory;
use crate::pg::rewrite::policy_expr::Expression;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::collections::HashMap;

/// A clause of a policy: its text as pg_node_tree, its table, and its constant to set.
pub type Clause<'a> = (&'a str, pg_sys::Oid, &'a mut Option<&'static str>);

/// Sets the constant of clauses that fold to one once `column IS NOT NULL` is known. A clause that
/// cannot be folded keeps its facts.
pub fn fold_null_tests<'a>(clauses: impl Iterator<Item = Clause<'a>>, application: &Application) {
    let Some(role) = application.user_role().or(application.anonymous()) else { return };
    let client = application.without_claims(role);
    let open: Vec<Clause<'a>> = clauses
        .filter(|(tree, _, constant)| constant.is_none() && tree.contains("{NULLTEST "))
        .collect();
    let mut tables: Vec<pg_sys::Oid> = open.iter().map(|(_, table, _)| *table).collect();
    tables.sort_unstable_by_key(|table| table.to_u32());
    tables.dedup();
    if tables.is_empty() {
        return;
    }
    let Ok(Ok(columns)) = isolated(|| not_null_columns(&tables)) else { return };
    for (tree, table, constant) in open {
        let Some(not_null) = columns.get(&table.to_u32()) else { continue };
        // Folding calls IMMUTABLE functions.
        let folded = client.act_within(PROBE_TIMEOUT_MS, || {
            memory::in_temporary_context(|| {
                let expression = Expression::parse(&c_string(tree));
                expression.without_null_tests(not_null).simplified().constant()
            })
        });
        *constant = match folded {
            Ok(Some(Some(true))) => Some("true"),
            Ok(Some(Some(false))) => Some("false"),
            Ok(Some(None)) => Some("null"),
            Ok(None) | Err(_) => None,
        };
    }
}

/// The columns of these tables that hold no NULL.
fn not_null_columns(tables: &[pg_sys::Oid]) -> Result<HashMap<u32, Vec<i16>>, RlsError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/rls/not_null_columns.sql");
        let mut columns = HashMap::new();
        for row in client.select(sql, None, &[tables.to_vec().into()])? {
            let table: pg_sys::Oid = row.get(1)?.unwrap_or(pg_sys::InvalidOid);
            columns.insert(table.to_u32(), row.get(2)?.unwrap_or_default());
        }
        Ok(columns)
    })
}
