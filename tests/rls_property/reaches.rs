//! The foreign rows that an identity reaches, by each kind of reach.

use crate::identities::Identity;
use crate::owners::{foreign_rows, literal, victims};
use crate::policies::{Row, Table, user};
use crate::sessions::{Reached, Sessions};

/// An account that no row names.
const UNKNOWN_USER: &str = "00000000-0000-4000-8000-0000000000ff";

/// The rows that statements on existing rows, or on copies of them, reach.
pub fn reached(
    sessions: &mut Sessions,
    table: &Table,
    owners: &[String],
    identity: &Identity,
    reach: &str,
) -> Reached {
    let rows = foreign_rows(table, owners, identity);
    let mut all = Reached::default();
    match reach {
        "read-leak" => return sessions.read(identity, table, &rows),
        "tampering" => return sessions.tamper(identity, table, &rows),
        "forged-rows" => return sessions.forge(identity, table, &rows),
        "destruction" => return sessions.destroy(identity, table, &rows),
        "take-over" => {
            for owner in owners {
                all.extend(sessions.take_over(identity, table, &rows, owner));
            }
        }
        _ => {
            for owner in owners {
                let victims = victims(table, owners, identity);
                all.extend(sessions.plant(identity, table, rows.clone(), owner, &victims));
            }
        }
    }
    all
}

/// Assignments to columns that are no owners but that policies read, each after a comma.
fn variations(table: &Table, owners: &[String], me: Option<&str>) -> Vec<String> {
    let has = |name: &str| {
        table.rows.first().is_some_and(|row| row.columns.iter().any(|(column, _)| *column == name))
    };
    let is_free = |name: &str| has(name) && !owners.iter().any(|owner| owner == name);
    let mut lists = vec![String::new()];
    if let (Some(me), true) = (me, is_free("people")) {
        lists.push(format!(", people = {}", literal("people", me)));
        lists.push(", people = '{}'".to_owned());
    }
    if is_free("other") {
        lists.push(", other = @owner@".to_owned());
        lists.extend(me.map(|me| format!(", other = '{me}'")));
    }
    // Beside a list of people, the column is one like any other.
    if is_free("owner") {
        lists.extend([", owner = NULL".to_owned(), format!(", owner = '{}'", user(1))]);
        lists.extend(me.map(|me| format!(", owner = '{me}'")));
    }
    lists
}

/// The rows reached with candidate rows; `None` if the reach needs no candidate.
pub fn reached_by_candidates(
    sessions: &mut Sessions,
    table: &Table,
    owners: &[String],
    identity: &Identity,
    reach: &str,
) -> Option<Reached> {
    let rows = foreign_rows(table, owners, identity);
    let me = identity.user.as_deref();
    let lists = variations(table, owners, me);
    let name = &table.name;
    let updates = |owners: &[(&str, &str)]| -> Vec<String> {
        // A check may ask for the same user in both columns.
        let same = owners.first().filter(|_| lists.iter().any(|list| list.contains(", other")));
        let same = same.map(|(_, user)| format!(", other = '{user}'"));
        let owners: String = owners
            .iter()
            .map(|(owner, user)| format!(", {owner} = {}", literal(owner, user)))
            .collect();
        let update = |list: &String| {
            format!("UPDATE {name} SET team = @team@, is_public = @public@{owners}{list}")
        };
        lists.iter().chain(&same).map(update).collect()
    };
    let mut all = Reached::default();
    match reach {
        "tampering" => all.extend(sessions.sweep(identity, table, &rows, "", &updates(&[]))),
        "take-over" => {
            let me = me?;
            let both: Vec<(&str, &str)> = owners.iter().map(|owner| (owner.as_str(), me)).collect();
            let mut statements: Vec<String> =
                owners.iter().flat_map(|owner| updates(&[(owner.as_str(), me)])).collect();
            if both.len() > 1 {
                statements.extend(updates(&both));
            }
            all.extend(sessions.sweep(identity, table, &rows, "", &statements));
        }
        "planted-rows" => {
            for owner in owners {
                let (own, change) = Sessions::own(identity, table, rows.clone(), owner);
                let statements: Vec<String> = victims(table, owners, identity)
                    .iter()
                    .flat_map(|victim| updates(&[(owner.as_str(), victim)]))
                    .collect();
                all.extend(sessions.sweep(identity, table, &own, &change, &statements));
            }
        }
        "forged-rows" => {
            // Without a foreign row, an own row is the pattern of a row for an unknown user.
            let rows = match rows.is_empty() {
                true => table.rows.iter().take(1).collect(),
                false => rows,
            };
            let candidates = forged_rows(table, owners, identity, &rows);
            let statements: Vec<String> =
                candidates.iter().map(|row| row.insert(name, 1000)).collect();
            let first = rows.get(..1).unwrap_or_default();
            all.extend(sessions.sweep(identity, table, first, "", &statements));
            all.extend(sessions.forge_in_turn(identity, table, &rows, owners));
        }
        _ => return None,
    }
    Some(all)
}

/// Candidate rows in the name of other users.
fn forged_rows(table: &Table, owners: &[String], identity: &Identity, rows: &[&Row]) -> Vec<Row> {
    let mut victims = victims(table, owners, identity);
    if victims.is_empty() {
        victims.push(UNKNOWN_USER.to_owned());
    }
    let mut candidates: Vec<Row> = rows.iter().map(|row| row.candidate(&[])).collect();
    for victim in victims.iter().filter(|_| !owners.is_empty()) {
        let values: Vec<(&str, String)> =
            owners.iter().map(|owner| (owner.as_str(), literal(owner, victim))).collect();
        let values: Vec<(&str, &str)> =
            values.iter().map(|(owner, value)| (*owner, value.as_str())).collect();
        candidates.extend(rows.first().map(|row| row.candidate(&values)));
    }
    let mut also = Vec::new();
    for list in variations(table, owners, identity.user.as_deref()) {
        let Some((column, value)) = list.trim_start_matches(", ").split_once(" = ") else {
            continue;
        };
        also.extend(candidates.iter().map(|row| {
            let value = if value == "@owner@" { row.get("owner") } else { value };
            row.candidate(&[(column, value)])
        }));
    }
    candidates.extend(also);
    candidates
}
