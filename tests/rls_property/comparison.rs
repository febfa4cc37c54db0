//! Compares the verdicts of rls_matrix with the rows that real sessions reach.

use crate::identities::{Identity, with_claims};
use crate::owners::foreign_rows;
use crate::policies::{Row, Table};
use crate::reaches::{reached, reached_by_candidates};
use crate::sessions::{Reached, Sessions};
use crate::surface::Surface;
use crate::tally::Tally;
use std::collections::HashMap;

/// A row of rls_matrix.
#[derive(Debug, Clone)]
pub struct Cell {
    pub reach: String,
    pub role: String,
    pub identity: String,
    pub verdict: String,
    pub confidence: String,
    pub remark: String,
}

/// Compares a verdict with the rows reached: those of NO ACCESS with the missing privilege. Returns
/// the contradiction, if any.
pub fn contradiction(verdict: &str, reached: &Reached) -> Option<&'static str> {
    let has_reached = !reached.rows.is_empty();
    match verdict {
        "LEAK" | "SHARED" | "PUBLIC" if !has_reached => Some("no row is reached"),
        "NO ACCESS" if !has_reached => Some("no row is reached even with the privilege"),
        "ISOLATED" | "CLOSED" if has_reached => Some("rows are reached"),
        "EXEMPT" => Some("the verdict was not expected"),
        _ => None,
    }
}

/// A reach without a verdict, as only a privilege is missing. With the privilege, it must reach
/// nothing. Returns the contradiction, if any.
pub fn latent_contradiction(reached: &Reached) -> Option<&'static str> {
    (!reached.rows.is_empty() && reached.errors.is_empty())
        .then_some("rows are reached with the privilege, and there is no verdict NO ACCESS")
}

/// Whether a verdict may say that the policies grant the rows to a role: a permissive one names it.
fn may_be_granted(table: &Table, role: &str) -> bool {
    let grants = |statement: &str| {
        let roles = statement.split_once(" TO ").map_or("", |(_, rest)| rest);
        let roles = roles.split(" USING").next().unwrap_or_default();
        let roles = roles.split(" WITH CHECK").next().unwrap_or_default();
        statement.contains("AS PERMISSIVE") && roles.split(", ").any(|named| named == role)
    };
    table.summary.split(";\n").any(grants)
}

const REACHES: &[&str] =
    &["read-leak", "tampering", "take-over", "planted-rows", "forged-rows", "destruction"];

pub struct Comparison<'a> {
    pub identities: &'a [Identity],
    pub surface: &'a Surface,
    pub cells: &'a HashMap<String, Vec<Cell>>,
}

impl Comparison<'_> {
    pub fn table(&self, sessions: &mut Sessions, table: &Table, tally: &mut Tally) {
        let none = Vec::new();
        let cells = self.cells.get(&table.name).unwrap_or(&none);
        let owners = self.surface.owners(table);
        let is_known = |owner: &String| owner == "owner" || owner == "other";
        let are_expected = owners == ["people"] || owners.iter().all(is_known);
        if table.has_owner == owners.is_empty() || !are_expected {
            tally.wrong.push(format!("{}: owners {owners:?}\n{}", table.name, table.summary));
            return;
        }
        for cell in cells {
            let tried = self
                .new_account(&cell.role)
                .and_then(|new_account| with_claims(new_account, &cell.identity, table));
            let Some(identity) = self.identity(cell).or(tried.as_ref()) else {
                tally.wrong.push(format!("{}: no identity matches {cell:?}", table.name));
                continue;
            };
            tally.compared += 1;
            *tally.verdicts.entry(format!("{} {}", cell.reach, cell.verdict)).or_default() += 1;
            *tally.roles.entry(cell.role.clone()).or_default() += 1;
            if let Some(wrong) = self.cell(sessions, table, identity, cell, tally) {
                tally.wrong.push(format!("{}: {wrong}: {cell:?}\n{}", table.name, table.summary));
            }
        }
        self.report_missing_verdicts(table, cells, tally);
        self.report_missing_latent(sessions, table, cells, tally);
    }

    fn identity(&self, cell: &Cell) -> Option<&Identity> {
        self.identities
            .iter()
            .find(|identity| identity.label == cell.identity && identity.role == cell.role)
    }

    fn new_account(&self, role: &str) -> Option<&Identity> {
        let is_new = |one: &&Identity| one.role == role && one.label.ends_with("as a new account");
        self.identities.iter().find(is_new)
    }

    /// The disagreement about one cell, if any.
    fn cell(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        identity: &Identity,
        cell: &Cell,
        tally: &mut Tally,
    ) -> Option<String> {
        let owners = self.surface.owners(table);
        let is_latent = cell.verdict == "NO ACCESS";
        if self.surface.expects(table, identity, &cell.reach) == is_latent {
            return Some("unexpected verdict".to_owned());
        }
        if self.surface.is_exempt(table, &cell.role) {
            return (cell.verdict != "EXEMPT").then(|| "the role is exempt".to_owned());
        }
        if cell.verdict == "INCONCLUSIVE" {
            let reason = format!("{}: {}", cell.reach, cell.remark);
            *tally.inconclusive.entry(reason).or_default() += 1;
            return None;
        }
        if is_latent {
            sessions.preparation = format!("GRANT ALL ON {} TO {}", table.name, cell.role);
        }
        let mut found = reached(sessions, table, owners, identity, &cell.reach);
        let mut wrong = contradiction(&cell.verdict, &found);
        // Candidate rows refute a verdict of safety, or confirm one of reach. Every eighth PROVED
        // verdict of safety is tested.
        let is_safe = ["ISOLATED", "CLOSED"].contains(&cell.verdict.as_str());
        let is_tried = cell.confidence != "PROVED" || tally.compared.is_multiple_of(8);
        if wrong.is_some() && !is_safe || wrong.is_none() && is_safe && is_tried {
            let by_candidates =
                reached_by_candidates(sessions, table, owners, identity, &cell.reach);
            tally.with_candidates += usize::from(is_safe && by_candidates.is_some());
            if let Some(by_candidates) = by_candidates {
                found = by_candidates;
                wrong = contradiction(&cell.verdict, &found);
            }
        }
        sessions.preparation.clear();
        if cell.verdict == "FAILING" && found.errors.is_empty() {
            tally.failing_unseen += 1;
        }
        let is_granted = cell.remark.contains("the policies name this role or claim");
        if is_granted {
            tally.granted += 1;
            // A claim that was tried may be of policies that let all through.
            if self.identity(cell).is_some() && !may_be_granted(table, &cell.role) {
                wrong = wrong.or(Some("no policy grants the rows to the role"));
            }
        }
        let is_tried = is_granted || identity.label.contains(" with ");
        if cell.reach == "read-leak" && wrong.is_none() && identity.user.is_some() && !is_tried {
            wrong = self.wrong_audience(sessions, table, identity, cell, &found);
        }
        wrong.map(|wrong| format!("{wrong}: {found:?}"))
    }

    /// Checks which other users a LEAK or SHARED verdict concerns.
    fn wrong_audience(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        identity: &Identity,
        cell: &Cell,
        reached: &Reached,
    ) -> Option<&'static str> {
        if cell.verdict == "LEAK" && cell.remark.starts_with("anyone who signs up") {
            let kind = if identity.label.contains("anonymous sign-in") {
                "anonymous sign-in"
            } else {
                "new account"
            };
            let new_identity = self
                .identities
                .iter()
                .find(|other| other.role == identity.role && other.label.contains(kind))
                .expect("a new identity");
            let rows = foreign_rows(table, self.surface.owners(table), new_identity);
            return sessions
                .read(new_identity, table, &rows)
                .rows
                .is_empty()
                .then_some("a new account reaches nothing");
        }
        let is_for_all = cell.verdict == "LEAK" && cell.remark.starts_with("every user");
        if !is_for_all && cell.verdict != "SHARED" {
            return None;
        }
        let owners = self.surface.owners(table);
        let (mut also, mut all) = (false, true);
        for other in
            self.identities.iter().filter(|other| other.is_account() && other.user != identity.user)
        {
            let theirs = foreign_rows(table, owners, other);
            let theirs: Vec<&Row> = theirs
                .into_iter()
                .filter(|row| {
                    foreign_rows(table, owners, identity).iter().any(|own| own.id == row.id)
                })
                .collect();
            let seen = sessions.read(other, table, &theirs);
            also |= seen.rows.intersection(&reached.rows).next().is_some();
            all &= seen.rows.len() == theirs.len();
        }
        match is_for_all {
            true if !also => Some("no other user reaches the rows, but the remark says every user"),
            false if all && reached.rows.len() == foreign_rows(table, owners, identity).len() => {
                Some("every user reaches every foreign row")
            }
            _ => None,
        }
    }

    /// Each reach needs a verdict for each identity. A LEAK to a new account makes those for users
    /// unnecessary.
    fn report_missing_verdicts(&self, table: &Table, cells: &[Cell], tally: &mut Tally) {
        for reach in REACHES {
            for role in ["anon", "authenticated", "staff", "webapp"] {
                let of_role = |cell: &&Cell| cell.reach == *reach && cell.role == role;
                let found: Vec<&Cell> = cells.iter().filter(of_role).collect();
                let some = self.new_account(role).unwrap_or(&self.identities[0]);
                if !self.surface.expects(table, some, reach) {
                    continue;
                }
                let has = |text: &str| found.iter().any(|cell| cell.identity.contains(text));
                let is_new = |cell: &&&Cell| {
                    ["new account", "anonymous sign-in", "authenticated with "]
                        .iter()
                        .any(|kind| cell.identity.contains(kind))
                };
                let is_open = found.iter().filter(is_new).any(|cell| cell.verdict == "LEAK");
                let users = found.iter().filter(|cell| cell.identity.contains(" as user ")).count();
                let is_complete = match role {
                    "anon" => found.len() == 2,
                    _ if !has("new account") => false,
                    "authenticated" => {
                        let is_exempt = self.surface.is_exempt(table, role);
                        is_open || is_exempt || !table.has_owner || users == 2
                    }
                    _ => true,
                };
                if !is_complete {
                    let seen: Vec<&str> = found.iter().map(|cell| cell.identity.as_str()).collect();
                    tally.wrong.push(format!(
                        "{}: {reach} of {role} lacks verdicts, has {seen:?}\n{}",
                        table.name, table.summary
                    ));
                }
            }
        }
    }

    /// Tries some reaches of client roles that only lack the privilege and have no verdict.
    fn report_missing_latent(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        cells: &[Cell],
        tally: &mut Tally,
    ) {
        let owners = self.surface.owners(table);
        let is_secured = table.summary.contains("ENABLE ROW LEVEL SECURITY");
        // A latent reach is not told where policies raise errors on some rows.
        if !is_secured || owners.is_empty() || table.summary.contains("private.raising()") {
            return;
        }
        let is_tried = |one: &&Identity| {
            one.is_client()
                && !one.is_account()
                && !one.label.contains("anonymous sign-in")
                && !one.label.contains("second factor")
                && !self.surface.is_exempt(table, one.role)
        };
        for identity in self.identities.iter().filter(is_tried) {
            for reach in ["read-leak", "tampering", "destruction"] {
                let is_of = |cell: &Cell| cell.reach == reach && cell.identity == identity.label;
                if self.surface.expects(table, identity, reach) || cells.iter().any(is_of) {
                    continue;
                }
                tally.without_privilege += 1;
                sessions.preparation = format!("GRANT ALL ON {} TO {}", table.name, identity.role);
                let found = reached(sessions, table, owners, identity, reach);
                sessions.preparation.clear();
                if let Some(wrong) = latent_contradiction(&found) {
                    tally.wrong.push(format!(
                        "{}: {reach} of {}: {wrong}: {found:?}\n{}",
                        table.name, identity.label, table.summary
                    ));
                }
            }
        }
    }
}

#[test]
fn the_comparison_finds_wrong_verdicts() {
    let some = Reached { rows: [1].into(), ..Reached::default() };
    let none = Reached::default();
    for verdict in ["LEAK", "SHARED", "PUBLIC", "NO ACCESS"] {
        assert!(
            contradiction(verdict, &none).is_some() && contradiction(verdict, &some).is_none(),
            "{verdict}"
        );
    }
    for verdict in ["ISOLATED", "CLOSED"] {
        assert!(
            contradiction(verdict, &some).is_some() && contradiction(verdict, &none).is_none(),
            "{verdict}"
        );
    }
    assert!(contradiction("EXEMPT", &some).is_some());
    assert!(latent_contradiction(&some).is_some() && latent_contradiction(&none).is_none());
}

#[test]
fn a_grant_needs_a_policy_that_names_the_role() {
    let table = |policy: &str| Table {
        name: "public.t".to_owned(),
        has_owner: true,
        rows: Vec::new(),
        sql: String::new(),
        summary: format!(
            "GRANT SELECT ON public.t TO staff;\nCREATE POLICY p ON public.t {policy}"
        ),
    };
    let to_staff = table("AS PERMISSIVE FOR SELECT TO anon, staff USING (true)");
    assert!(may_be_granted(&to_staff, "staff"));
    assert!(!may_be_granted(&to_staff, "webapp"));
    assert!(!may_be_granted(&table("AS RESTRICTIVE FOR SELECT TO staff"), "staff"));
}
