//! Tries a remediation in a subtransaction and rolls it back.

use super::remediation_effect::{Effects, State, listed, tables_in_scope};
use crate::pg::access::scan;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::error::ServerError;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, RowQuery, Undecidable};
use crate::pg::rewrite::value::{Parameters, value_of};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::{sec_context, session, snapshot};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::engine::probe::Probe;
use crate::rls::engine::rows::{RowId, RowScope};
use crate::rls::error::RlsError;
use crate::rls::model::Finding;
use crate::rls::report::audit_report::Report;
use crate::rls::rules;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use crate::rls::target::owner_column::OwnerColumn;
use crate::rls::target::policy;
use crate::rls::target::table::Table;
use crate::suggest::similar;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use serde_json::Value;
use std::collections::HashMap;
use std::rc::Rc;

/// The result of a proof that finds nothing but the closed access.
pub const PROVED: &str = "PROVED: closes it; takes nothing else";

/// The conditions that a remediation must meet.
pub struct Proof<'a> {
    /// Whether the access path is still open.
    pub reaches: &'a dyn Fn() -> Result<bool, String>,
    /// Whether the owner sees their own rows; `None` if there are none, or it is inconclusive.
    pub keeps: &'a dyn Fn() -> Option<bool>,
    /// The table that the remediation changes; `None` for other objects.
    pub table: Option<pg_sys::Oid>,
}

impl Proof<'_> {
    /// `keeps` of an object without rows of its own.
    pub const NO_OWNER: &'static dyn Fn() -> Option<bool> = &|| None;
}

/// Tries a remediation with the privileges of the caller and rolls it back. Returns the result as
/// text.
pub fn prove(script: &str, proof: &Proof<'_>) -> String {
    if session::require_writable("try it").is_err() {
        return "not tried: the transaction is read-only".to_owned();
    }
    let before = (proof.keeps)();
    let tried = sec_context::without_trace(|| {
        run_as_permitted(script, proof.table)?;
        snapshot::with_latest_snapshot(|| Ok::<_, String>(((proof.reaches)()?, (proof.keeps)())))
    });
    match tried {
        Err(failure) if failure.is_interrupt() => failure.raise(),
        Err(failure) => format!("not tried: {}", failure.redacted_message()),
        Ok(Err(why)) => format!("tried; INCONCLUSIVE: {why}"),
        Ok(Ok((true, _))) => {
            "DOES NOT CLOSE IT: another policy or privilege still allows it".to_owned()
        }
        Ok(Ok((false, after))) => match (before, after) {
            (Some(true), Some(true)) => {
                "PROVED: closes it, and the owner still sees their rows".to_owned()
            }
            (Some(true), _) => "CLOSES TOO MUCH: the owner no longer sees their rows".to_owned(),
            _ => "PROVED: closes it".to_owned(),
        },
    }
}

/// Whether the identity sees their own rows; `None` if there are none, or it is inconclusive.
pub fn sees_own(table: &Table, who: &Identity) -> Option<bool> {
    let probe = Probe::new(table, who);
    let answer = who.act_within(PROBE_TIMEOUT_MS, || -> Result<Option<bool>, Undecidable> {
        let effective = crate::pg::rewrite::row_security::effective(
            crate::pg::rewrite::row_security::Command::Select,
            &table.named,
        )?;
        if probe.first_row(&RowScope::Own(0), Qual::ALWAYS, f64::MAX)?.is_none() {
            return Ok(None);
        }
        Ok(Some(probe.first_row(&RowScope::Own(0), effective.using, f64::MAX)?.is_some()))
    });
    answer.ok()?.ok().flatten()
}

/// The row that a key identifies, and its owners.
pub fn row_by_key(
    application: &Application,
    table: &Table,
    key: &Value,
    example: &'static str,
) -> Result<(RowId, Vec<String>), RlsError> {
    let Value::Object(key) = key else {
        return Err(RlsError::InvalidRowKey {
            reason: "it is not a JSON object".to_owned(),
            example,
        });
    };
    if key.is_empty() {
        return Err(RlsError::InvalidRowKey { reason: "it names no column".to_owned(), example });
    }
    let (mut terms, mut values) = (Vec::new(), Vec::new());
    let mut columns: Vec<(i16, String)> =
        table.owners.iter().map(|owner| (owner.number, owner.name.clone())).collect();
    for (name, value) in key {
        let column = c_string(name);
        // Built-in types only: comparing other types would run code of their owners.
        let found = lookup::column(table.oid(), &column)
            .filter(|(_, type_)| type_.to_u32() < pg_sys::FirstNormalObjectId);
        let Some((number, type_)) = found else {
            let why = format!("{} has no column \"{name}\" of a built-in type", table.named.name);
            return Err(RlsError::InvalidRowKey { reason: why, example });
        };
        columns.push((number, name.clone()));
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = isolated(|| value_of(type_, &c_string(&text)))
            .map_err(|failure| RlsError::InvalidRowKey { reason: failure.message, example })?;
        values.push((type_, value));
        terms.push(format!(
            "t.{} OPERATOR(pg_catalog.=) ${}",
            quote_identifier(name),
            values.len()
        ));
    }
    let caller = application.caller();
    let is_denied =
        |number| !privilege::on_column(caller.role, table.oid(), number, Command::Select);
    let mut denied: Vec<String> = columns
        .into_iter()
        .filter(|(number, _)| is_denied(*number))
        .map(|(_, name)| quote_identifier(&name))
        .collect();
    denied.sort();
    denied.dedup();
    if !denied.is_empty() {
        return Err(RlsError::MayNotSelect {
            table: table.named.name.clone(),
            columns: denied,
            role: quote_identifier(&caller.label),
        });
    }
    let owner = table.owners.iter().map(|owner| format!(", {}", owner.sql())).collect::<String>();
    let sql = format!(
        "SELECT t.tableoid, t.ctid{owner} FROM {} AS t WHERE {}",
        table.named.name,
        terms.join(" AND ")
    );
    let rows = match table.is_secured && !privilege::is_exempt(table.oid(), caller.role) {
        true => visible_rows(&caller, table, &sql, &values),
        false => application
            .rows(&table.named.name, &sql, &values, 2)
            .map_err(|error| RlsError::InvalidRowKey { reason: error.to_string(), example })?,
    };
    match rows.as_slice() {
        [row] => match row.as_slice() {
            [Some(relation), Some(place), owners @ ..] => {
                let lookup = |sql: &str, key| application.value(&table.named.name, sql, key);
                let users = table.owners.iter().zip(owners).flat_map(|(column, owner)| {
                    owner.map(|owner| column.users_of(owner, &lookup)).unwrap_or_default()
                });
                Ok(((pg_sys::Oid::from(relation.value() as u32), *place), users.collect()))
            }
            _ => Err(RlsError::InvalidRowKey { reason: "no row matches".to_owned(), example }),
        },
        [] => Err(RlsError::InvalidRowKey { reason: "no row matches".to_owned(), example }),
        _ => Err(RlsError::InvalidRowKey { reason: "several rows match".to_owned(), example }),
    }
}

/// The rows of a query that the row-level security of the table lets the caller see. A failure of
/// its policies shows no row: a policy may fail only on rows that exist.
fn visible_rows(
    caller: &Identity,
    table: &Table,
    sql: &str,
    values: &[(pg_sys::Oid, pg_sys::Datum)],
) -> Vec<Vec<Option<pg_sys::Datum>>> {
    let answer = caller.act_within(PROBE_TIMEOUT_MS, || {
        let effective = row_security::effective(Command::Select, &table.named)?;
        RowQuery { sql, parameters: Parameters::new(values) }.rows(effective.using, 2, f64::MAX)
    });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// Tries the remediation of a finding and rolls it back. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42704 (no such finding).
#[pg_extern(sql = false)]
fn prove_remediation(p_finding: Option<&str>) -> Result<String, ErrorReport> {
    const EXAMPLE: &str = "SELECT finding, crewsnow_ops.prove_remediation(finding) \
        FROM crewsnow_ops.audit_rls() WHERE remediation IS NOT NULL;";
    let finding =
        p_finding.ok_or(ServerError::NullArgument { argument: "p_finding", example: EXAMPLE })?;
    let report = Report::make()?;
    let parts = report.parts_of_cause(finding);
    if !parts.is_empty() && !parts.iter().any(|part| part == finding) {
        let found = report.findings.iter().filter(|known| parts.contains(&known.key()));
        let proofs: Result<Vec<_>, RlsError> =
            found.map(|part| Ok((part.key(), proof_of(&report, part)?))).collect();
        return Ok(summary_of_proofs(&proofs?));
    }
    let Some(found) = report.findings.iter().find(|known| known.key() == finding) else {
        let near = similar(finding, report.findings.iter().map(|known| known.object.as_str()));
        return Err(RlsError::UnknownFinding { finding: finding.to_owned(), similar: near }.into());
    };
    Ok(proof_of(&report, found)?)
}

fn proof_of(report: &Report, found: &Finding) -> Result<String, RlsError> {
    match &found.remediation {
        Some(script) => try_remediation(report, found, script),
        None => Ok("not tried: the finding has no remediation; a person has to decide".to_owned()),
    }
}

/// The proof of a cause: that of its findings if all are equal, else each with its finding.
fn summary_of_proofs(proofs: &[(String, String)]) -> String {
    match proofs {
        [(_, first), rest @ ..] if rest.iter().all(|(_, proof)| proof == first) => first.clone(),
        _ => {
            let lines: Vec<String> =
                proofs.iter().map(|(part, proof)| format!("{part}: {proof}")).collect();
            lines.join("\n")
        }
    }
}

/// Tries the remediation of a finding, and compares all that it changes.
fn try_remediation(report: &Report, found: &Finding, script: &str) -> Result<String, RlsError> {
    if session::require_writable("try it").is_err() {
        return Ok("not tried: the transaction is read-only".to_owned());
    }
    let application = &report.audit.application;
    let scope = tables_in_scope(&report.audit, found, script)?;
    let before = State::read(&scope, application)?;
    let entitled_before = before.entitled()?;
    let tried = sec_context::without_trace(|| {
        run_as_permitted(script, found.relation.map(pg_sys::Oid::from))?;
        snapshot::with_latest_snapshot(|| {
            let after = State::read(&scope, application).map_err(|error| error.to_string())?;
            let entitled = before.entitled().map_err(|error| error.to_string())?;
            let effects = Effects::between((&before, &entitled_before), (&after, &entitled), found);
            Ok::<_, String>((is_found_again(report, &after, found)?, effects))
        })
    });
    let (is_open, effects) = match tried {
        Err(failure) if failure.is_interrupt() => failure.raise(),
        Err(failure) => return Ok(format!("not tried: {}", failure.message)),
        Ok(Err(why)) => return Ok(format!("tried; INCONCLUSIVE: {why}")),
        Ok(Ok(result)) => result,
    };
    Ok(if !effects.opened.is_empty() {
        format!("OPENS {}", listed(&effects.opened))
    } else if is_open {
        "DOES NOT CLOSE IT: another policy or privilege still allows it".to_owned()
    } else if !effects.taken_rows.is_empty() {
        format!("CLOSES TOO MUCH: {}", listed(&effects.taken_rows))
    } else if !effects.undecided.is_empty() {
        format!("tried; INCONCLUSIVE: {}", listed(&effects.undecided))
    } else if !effects.taken.is_empty() {
        format!("CLOSES IT, and takes: {}", listed(&effects.taken))
    } else if !effects.also.is_empty() {
        format!("PROVED: closes it; also {}", listed(&effects.also))
    } else {
        PROVED.to_owned()
    })
}

/// Runs a remediation. Adding a constraint checks all rows and may call functions of the table's
/// owner: those do not run as a superuser.
fn run_as_permitted(script: &str, table: Option<pg_sys::Oid>) -> Result<(), String> {
    let owner = table.filter(|_| script.contains("ADD CONSTRAINT")).and_then(scan::owner_of);
    let result = match owner {
        Some(owner) => sec_context::demote_superuser_to(owner, || Spi::run(script)),
        None => Spi::run(script),
    };
    result.map_err(|error| error.to_string())
}

/// Whether the finding still exists in the state after its remediation.
fn is_found_again(report: &Report, after: &State, found: &Finding) -> Result<bool, String> {
    let mut again = after.audit.findings();
    if let Some(rule) = rules::rule(found.rule) {
        // A rule does not see a policy that could not be analysed.
        let is_new =
            |clause: &&policy::ClauseFacts| {
                !report.audit.facts.iter().any(|before| {
                    before.analysis.failure().is_some() && before.policy == clause.policy
                })
            };
        let facts = &after.audit.facts;
        if let Some(why) = facts.iter().filter(is_new).find_map(|clause| clause.analysis.failure())
        {
            return Err(why.to_owned());
        }
        let _facts = policy::cache_facts(Rc::clone(facts));
        again.extend(rules::evaluate(&[rule], &after.audit.application));
        if let Some((.., why)) = policy::undeparsed().pop() {
            return Err(why);
        }
    }
    // A failing or inconclusive audit proves nothing.
    let is_blind = |known: &&Finding| {
        ["inconclusive", "failing-policies", "audit-self-test-failed"].contains(&known.rule)
    };
    let is_new =
        |known: &&Finding| !report.findings.iter().any(|before| before.key() == known.key());
    if let Some(blind) = again.iter().filter(is_blind).find(is_new) {
        return Err(blind.evidence.clone());
    }
    // If another policy allows the access now, the finding has another name.
    let is_same = |known: &Finding| match rules::rule(found.rule) {
        Some(_) => known.key() == found.key(),
        None => known.rule == found.rule && known.relation == found.relation,
    };
    Ok(again.iter().any(|known| is_same(known) && known.severity <= found.severity))
}

/// Owners of the rows that a row references: users who may legitimately see it.
pub fn related(
    application: &Application,
    table: &Table,
    (relation, place): RowId,
    owners: &HashMap<u32, Vec<OwnerColumn>>,
) -> Result<Vec<String>, RlsError> {
    let here = [(pg_sys::OIDOID, relation.into()), (pg_sys::TIDOID, place)];
    let parents = Spi::connect(|client| {
        let mut parents = Vec::new();
        for row in client.select(
            include_str!("../../../sql/rls/parents.sql"),
            None,
            &[table.oid().into()],
        )? {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let (Some(parent), Some(type_)) =
                (row.get::<pg_sys::Oid>(1)?, row.get::<pg_sys::Oid>(5)?)
            else {
                continue;
            };
            parents.push((parent, type_, text(2)?, text(3)?, text(4)?));
        }
        Ok::<_, RlsError>(parents)
    })?;
    let mut users = Vec::new();
    let lookup = |sql: &str, key| application.value(&table.named.name, sql, key);
    for (parent, type_, column, name, key) in parents {
        let sql = format!(
            "SELECT t.{column} FROM {} AS t WHERE t.tableoid OPERATOR(pg_catalog.=) $1 \
             AND t.ctid OPERATOR(pg_catalog.=) $2",
            table.named.name
        );
        let rows = application.rows(&table.named.name, &sql, &here, 1)?;
        let Some(Some(value)) = rows.first().and_then(|row| row.first()).copied() else { continue };
        for owner in owners.get(&parent.to_u32()).into_iter().flatten() {
            let sql = format!(
                "SELECT {} FROM {name} AS t WHERE t.{key} OPERATOR(pg_catalog.=) $1",
                owner.sql()
            );
            let rows = application.rows(&name, &sql, &[(type_, value)], 20)?;
            users.extend(
                rows.iter()
                    .filter_map(|row| row.first().copied().flatten())
                    .flat_map(|user| owner.users_of(user, &lookup)),
            );
        }
    }
    Ok(users)
}
