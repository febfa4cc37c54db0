//! Claims that only some users have: the values that the audit tries.
//!
//! A token hook adds claims such as user_role or org_id. No account of the database shows their
//! values, so the audit takes those that policies, functions and rows compare them with.

use super::application::{Application, unused_id_of_type};
use super::identity::{Claims, Identity};
use super::policy::ClauseFacts;
use super::roles::Role;
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::claims::{ClaimPath, ClaimUse, ClaimUses, SETTING};
use crate::pg::rewrite::value::text_of;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Claims that every request of a user has. Their values are those of the identity.
const STANDARD: [&str; 7] = ["sub", "role", "aud", "email", "phone", "aal", "is_anonymous"];
/// Most values tried of one claim.
const MAX_VALUES: usize = 8;
/// Most combinations of claims tried on one table.
const MAX_ASSIGNMENTS: usize = 24;
/// Rows that values of a column are sampled from, and how many different ones are taken.
const SAMPLE_ROWS: u64 = 200;
const SAMPLE_VALUES: usize = 3;

/// A value of one claim.
#[derive(Clone)]
struct Choice {
    value: Value,
    /// The claim and its value for reports. Values of rows are not shown.
    label: String,
    is_privileged: bool,
    /// Whether it is the value of a team without rows: rows of that team are the identity's own.
    is_scope: bool,
}

/// Values for some claims.
pub struct Assignment {
    claims: Vec<(ClaimPath, Value)>,
    label: String,
    is_privileged: bool,
    is_scope: bool,
}

impl Assignment {
    /// Whether some values are those of settings, not of claims.
    pub fn has_settings(&self) -> bool {
        self.claims.iter().any(|(path, _)| is_setting(path))
    }
}

/// The claims that the audit tries on one table.
#[derive(Default)]
pub struct ClaimPlan {
    /// The combinations of values to try.
    pub assignments: Vec<Assignment>,
    /// Claims without a value to try.
    pub untried: BTreeSet<ClaimPath>,
}

impl ClaimPlan {
    /// The plan for the clauses of one table's policies.
    pub fn of(application: &Application, facts: &[ClauseFacts]) -> Self {
        let mut uses = ClaimUses::new();
        for (path, of) in facts.iter().flat_map(|clause| &clause.claims) {
            let is_standard = path.len() == 1 && STANDARD.contains(&path[0].as_str());
            let is_container = path.len() == 1 && path[0].ends_with("_metadata");
            if !is_standard && !is_container {
                uses.entry(path.clone()).or_default().merge(of);
            }
        }
        let mut plan = Self::default();
        let mut all: Vec<(ClaimPath, Vec<Choice>)> = Vec::new();
        for (path, of) in uses {
            let choices = choices(application, &path, &of);
            if choices.iter().all(|choice| !choice.is_privileged && path[0] != "user_metadata") {
                plan.untried.insert(path.clone());
            }
            all.push((path, choices));
        }
        for (i, (path, choices)) in all.iter().enumerate() {
            for choice in choices {
                let alone = vec![(path, choice)];
                plan.add(&alone);
                // Policies may require several claims at once.
                let others = all.iter().enumerate().filter(|(j, _)| *j != i);
                let others = others.filter_map(|(_, (path, of))| Some((path, of.first()?)));
                plan.add(&alone.iter().copied().chain(others).collect::<Vec<_>>());
            }
        }
        if plan.assignments.len() > MAX_ASSIGNMENTS {
            plan.assignments.truncate(MAX_ASSIGNMENTS);
            plan.untried.extend(all.into_iter().map(|(path, _)| path));
        }
        plan
    }

    fn add(&mut self, chosen: &[(&ClaimPath, &Choice)]) {
        let labels: Vec<&str> = chosen.iter().map(|(_, choice)| choice.label.as_str()).collect();
        let label = labels.join(", ");
        if self.assignments.iter().any(|known| known.label == label) {
            return;
        }
        self.assignments.push(Assignment {
            claims: chosen
                .iter()
                .map(|(path, choice)| ((*path).clone(), choice.value.clone()))
                .collect(),
            label,
            is_privileged: chosen.iter().any(|(_, choice)| choice.is_privileged),
            is_scope: chosen.iter().any(|(_, choice)| choice.is_scope),
        });
    }
}

impl Application {
    /// A new account with these claims.
    pub fn with_claims(&self, role: &Role, assignment: &Assignment) -> Identity {
        let mut identity = self.stranger(role, &format!("with {}", assignment.label), |claims| {
            for (path, value) in assignment.claims.iter().filter(|(path, _)| !is_setting(path)) {
                insert(claims, path, value.clone());
            }
        });
        for (path, value) in assignment.claims.iter().filter(|(path, _)| is_setting(path)) {
            let name = path[0].trim_start_matches(SETTING);
            let value = value.as_str().unwrap_or_default();
            identity.settings.push((c_string(name), c_string(value)));
        }
        identity.is_privileged = assignment.is_privileged;
        identity.is_scope = assignment.is_scope;
        identity.is_tried = true;
        identity
    }
}

fn is_setting(path: &ClaimPath) -> bool {
    path.first().is_some_and(|first| first.starts_with(SETTING))
}

/// Sets the claim at a path.
fn insert(claims: &mut Claims, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        claims.insert(first.clone(), value);
        return;
    }
    let inner = claims.entry(first.clone()).or_insert_with(|| Map::new().into());
    if !inner.is_object() {
        *inner = Map::new().into();
    }
    if let Value::Object(inner) = inner {
        insert(inner, rest, value);
    }
}

/// The values of a claim to try: constants and values of rows first, then one that no policy names.
fn choices(application: &Application, path: &ClaimPath, of: &ClaimUse) -> Vec<Choice> {
    let name = path.join(".");
    // Users write user_metadata themselves.
    let is_privileged = path.first().is_some_and(|first| first != "user_metadata");
    let is_setting = is_setting(path);
    let json = |text: &str| match (of.is_list, text) {
        _ if is_setting => text.into(),
        (true, _) => Value::from(vec![text]),
        (false, "true") if of.cast.is_some() => Value::Bool(true),
        (false, "false") if of.cast.is_some() => Value::Bool(false),
        _ => text.into(),
    };
    let mut texts: Vec<String> = of.constants.iter().cloned().collect();
    // The neighbours of a number: the comparison may be an inequality.
    let numbers = texts.iter().filter_map(|text| text.parse::<i64>().ok());
    let neighbours: Vec<String> = numbers
        .flat_map(|number| [number.saturating_add(1), number.saturating_sub(1)])
        .map(|number| number.to_string())
        .collect();
    texts.extend(neighbours);
    texts.retain(|text| !text.is_empty());
    texts.truncate(MAX_VALUES);
    let mut choices: Vec<Choice> = texts
        .iter()
        .map(|text| {
            let label = format!("{name} = {text}");
            Choice { value: json(text), label, is_privileged, is_scope: false }
        })
        .collect();
    for (relation, column) in &of.columns {
        let sampled = sample(application, pg_sys::Oid::from(*relation), *column);
        for (number, text) in sampled.iter().enumerate() {
            let label = format!("{name} of row {}", number + 1);
            let value = json(text);
            choices.push(Choice { value, label, is_privileged, is_scope: false });
        }
    }
    choices.truncate(MAX_VALUES);
    // A value that neither policies nor rows know.
    let unknown = match of.cast {
        None => Some("crewsnow-ops".to_owned()),
        Some(pg_sys::UUIDOID | pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID) => {
            of.cast.map(|type_| unused_id_of_type(type_, 2))
        }
        Some(_) => None,
    };
    if let Some(unknown) = unknown.filter(|_| !of.is_list) {
        let (value, label) = (unknown.into(), format!("any {name}"));
        let is_scope = !of.columns.is_empty();
        choices.push(Choice { value, label, is_privileged: false, is_scope });
    }
    choices
}

/// Some values of a column, as texts.
fn sample(application: &Application, relation: pg_sys::Oid, column: i16) -> Vec<String> {
    let (Some(table), Some(name), Some(type_)) = (
        lookup::table_name(relation),
        lookup::column_name(relation, column),
        lookup::column_type(relation, column),
    ) else {
        return Vec::new();
    };
    // Printing a value of another type could run code of the application's developers.
    if !lookup::has_builtin_output(type_) {
        return Vec::new();
    }
    let name = quote_identifier(name);
    let sql = format!("SELECT t.{name} FROM {table} AS t WHERE t.{name} IS NOT NULL");
    let mut values: Vec<String> = Vec::new();
    for row in application.rows(&table, &sql, &[], SAMPLE_ROWS).unwrap_or_default() {
        let Some(Some(value)) = row.first() else { continue };
        let text = text_of(type_, *value);
        if !values.contains(&text) {
            values.push(text);
        }
        if values.len() == SAMPLE_VALUES {
            break;
        }
    }
    values
}
