//! Facts from the text of the functions that policies call.

use super::application::Application;
use super::clause::ClauseFacts;
use crate::pg::rewrite::claims::{ClaimUse, SETTING};
use crate::pg::xact::subtransaction::isolated;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::collections::HashMap;

/// Facts of the body of a function, and of those that it calls.
struct Body {
    settings: Vec<String>,
    reads_connection: bool,
    reads_time: bool,
    /// Paths of claims, their keys separated by dots.
    claims: Vec<String>,
    uses: ClaimUse,
}

/// Adds facts from the text of the functions that the clauses call, and of those that these call.
pub fn add_function_bodies(clauses: &mut [ClauseFacts], application: &Application) {
    let known =
        |function: &u32| application.identity_functions.contains(&pg_sys::Oid::from(*function));
    let called = clauses.iter().flat_map(|clause| clause.facts.functions.iter());
    let mut functions: Vec<u32> = called
        .copied()
        .filter(|function| *function >= pg_sys::FirstNormalObjectId && !known(function))
        .collect();
    functions.sort_unstable();
    functions.dedup();
    if functions.is_empty() {
        return;
    }
    let functions: Vec<pg_sys::Oid> = functions.into_iter().map(pg_sys::Oid::from).collect();
    // Fails if a function is dropped concurrently; the facts of the clauses alone remain.
    let bodies = match isolated(|| read(functions, application)) {
        Ok(bodies) => bodies.unwrap_or_default(),
        Err(_) => return,
    };
    for clause in clauses {
        for body in clause.facts.functions.iter().filter_map(|function| bodies.get(function)) {
            let is_claim = |setting: &&String| {
                setting.starts_with("request.jwt")
                    || !setting.contains('.')
                    || application
                        .claims
                        .iter()
                        .any(|(known, _)| known.eq_ignore_ascii_case(setting))
            };
            clause.inner_settings.extend(body.settings.iter().cloned());
            for setting in body.settings.iter().filter(|setting| !is_claim(setting)) {
                let path = vec![format!("{SETTING}{setting}")];
                clause.claims.entry(path).or_default();
            }
            clause.facts.reads_connection |= body.reads_connection;
            clause.functions_read_time |= body.reads_time;
            for claim in &body.claims {
                let path = claim.split('.').map(str::to_owned).collect();
                clause.claims.entry(path).or_default().merge(&body.uses);
            }
        }
    }
}

fn read(
    functions: Vec<pg_sys::Oid>,
    application: &Application,
) -> Result<HashMap<u32, Body>, RlsError> {
    Spi::connect(|client| {
        let mut found = HashMap::new();
        let sql = include_str!("../../../sql/rls/function_bodies.sql");
        let arguments = [functions.into(), application.sources_pattern().into()];
        for row in client.select(sql, None, &arguments)? {
            let function: pg_sys::Oid = row.get(1)?.unwrap_or(pg_sys::InvalidOid);
            let is = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
            let texts = |column| row.get::<Vec<String>>(column).map(Option::unwrap_or_default);
            let body = Body {
                settings: texts(2)?,
                reads_connection: is(3)?,
                reads_time: is(4)?,
                claims: texts(5)?,
                uses: ClaimUse {
                    constants: texts(6)?.into_iter().collect(),
                    // Not every text is a label of an enum or an id.
                    cast: row.get(7)?,
                    ..ClaimUse::default()
                },
            };
            found.insert(function.to_u32(), body);
        }
        Ok(found)
    })
}
