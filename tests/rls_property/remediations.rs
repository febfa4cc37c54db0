//! Remediations of findings about generated tables: none opens a reach, each closes its finding,
//! and owners keep their rows. Real sessions try all of it within a transaction that applies the
//! remediation.

use crate::identities::{Identity, identities};
use crate::owners::{foreign_rows, names};
use crate::policies::Table;
use crate::reaches::{reached, reached_by_candidates};
use crate::sessions::{Reached, Sessions};
use crate::surface::Surface;
use crate::tally::assert_none;
use crate::{SETTINGS, THREADS, application, create, in_threads, policies, seed, table_count};
use harness::random::Random;
use harness::{Cluster, REACH, explain, rows, run};
use postgres::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Most remediations of one rule that are tried.
const MAX_OF_RULE: usize = 60;
/// An account to which rows are given.
const OTHER: &str = "00000000-0000-4000-8000-000000000004";

/// A remediation of one finding, or of several on one table with one root cause.
struct Remediation<'a> {
    rule: String,
    finding: String,
    script: String,
    table: &'a Table,
}

/// The lines of truth.reach(), each after the label of an identity.
type Lines = BTreeSet<String>;

/// Compares all reaches before and after a remediation. `own` are lines that owners must keep.
/// Returns the contradiction, if any.
fn contradiction(before: &Lines, after: &Lines, own: &Lines) -> Option<String> {
    let opened: Vec<&String> = after.difference(before).collect();
    let lost: Vec<&String> = before.difference(after).filter(|line| own.contains(*line)).collect();
    match (opened.is_empty(), lost.is_empty()) {
        (false, _) => Some(format!("it opens {opened:?}")),
        (_, false) => Some(format!("it takes from owners {lost:?}")),
        _ => None,
    }
}

/// The contradiction of a reach that a remediation should close, if any.
fn still_open(reached: &Reached) -> Option<&'static str> {
    (!reached.rows.is_empty()).then_some("it does not close the finding")
}

/// The reaches that a finding of a rule is about.
fn reaches_of(rule: &str) -> &'static [&'static str] {
    match rule {
        "read-leak" => &["read-leak"],
        "tampering" | "open-update" => &["tampering"],
        "take-over" => &["take-over"],
        "planted-rows" => &["planted-rows"],
        "forged-rows" | "open-insert" => &["forged-rows"],
        "destruction" | "open-delete" => &["destruction"],
        "rls-off" => &["read-leak", "tampering", "forged-rows", "destruction"],
        _ => &[],
    }
}

/// The remediations that the audit prints for these tables, at most some of each rule.
fn printed<'a>(client: &mut Client, tables: &'a [Table]) -> Vec<Remediation<'a>> {
    run(client, "SET crewsnow_ops.audit_time = '1h'");
    let sql = "SELECT rule, finding, remediation FROM crewsnow_ops.audit_rls()
        WHERE remediation <> '' ORDER BY severity, finding";
    let mut printed: Vec<Remediation> = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in client.query(sql, &[]).expect("findings") {
        let (rule, finding): (String, String) = (row.get(0), row.get(1));
        let remediation: String = row.get(2);
        // A finding about many objects has statements for each.
        let mut scripts: BTreeMap<&str, (usize, String)> = BTreeMap::new();
        for statement in remediation.split_inclusive(";\n") {
            let name = statement.find("public.t").and_then(|at| statement.get(at..at + 13));
            let known = tables.iter().position(|table| Some(table.name.as_str()) == name);
            if let (Some(name), Some(place)) = (name, known) {
                let (_, script) = scripts.entry(name).or_insert((place, String::new()));
                // Within a transaction, no index is created concurrently.
                *script += &format!("{}\n", statement.trim_end().replace(" CONCURRENTLY", ""));
            }
        }
        for (place, script) in scripts.into_values() {
            let count = counts.entry(rule.clone()).or_default();
            let is_new = printed.iter().all(|known| known.script != script || known.rule != rule);
            if *count < MAX_OF_RULE && is_new {
                *count += 1;
                let (rule, finding) = (rule.clone(), finding.clone());
                printed.push(Remediation { rule, finding, script, table: &tables[place] });
            }
        }
    }
    println!("remediations by rule: {counts:?}");
    printed
}

/// Sessions that try remediations.
struct Trial<'a> {
    without_claims: Client,
    with_claims: Client,
    sessions: Sessions,
    identities: &'a [Identity],
    surface: &'a Surface,
    /// Reaches without a remediation, by table.
    before: BTreeMap<String, Lines>,
}

impl Trial<'_> {
    /// The reaches of all identities after a script, which is undone.
    fn reach(&mut self, table: &Table, script: &str) -> Result<Lines, String> {
        let owners = self.surface.owners(table);
        let owners: Vec<&str> =
            owners.iter().map(String::as_str).filter(|owner| *owner != "people").collect();
        let mut lines = Lines::new();
        for has_claims in [false, true] {
            let client = if has_claims { &mut self.with_claims } else { &mut self.without_claims };
            run(client, "BEGIN");
            if let Err(error) = client.batch_execute(script) {
                run(client, "ROLLBACK");
                return Err(explain(&error));
            }
            let of = self.identities.iter().filter(|one| one.claims.is_some() == has_claims);
            for identity in of {
                let claims = identity
                    .claims
                    .as_ref()
                    .map_or("NULL".to_owned(), |claims| format!("'{claims}'"));
                let sql = format!(
                    "SELECT truth.reach('{}', '{}', {claims}, '{{{}}}', 'note = ''x''', '{OTHER}')",
                    table.name,
                    identity.role,
                    owners.join(",")
                );
                let found = rows(client, &sql).into_iter();
                lines.extend(found.map(|line| format!("{}: {line}", identity.label)));
            }
            run(client, "ROLLBACK");
        }
        Ok(lines)
    }

    /// The lines of rows that name their reader as owner.
    fn own(&self, table: &Table) -> Lines {
        let mut own = Lines::new();
        let owners = self.surface.owners(table);
        let has_own = |one: &&Identity| {
            // Those whom no policy stops may owe their rows to that alone.
            one.is_account() && !self.surface.is_exempt(table, one.role)
        };
        for identity in self.identities.iter().filter(has_own) {
            let me = identity.user.as_deref().unwrap_or_default();
            for row in &table.rows {
                let line = |command| format!("{}: {command} {}", identity.label, row.id);
                if owners.iter().any(|owner| names(row, owner, me)) {
                    own.extend(["SELECT", "UPDATE", "DELETE"].map(line));
                }
                // A new row may also name another owner, which is a forgery, or none.
                if !owners.is_empty()
                    && self.surface.expects(table, identity, "forged-rows")
                    && owners.iter().all(|owner| names(row, owner, me))
                {
                    own.insert(line("INSERT"));
                }
            }
        }
        own
    }

    /// The disagreement about a remediation, if any.
    fn disagreement(&mut self, remediation: &Remediation) -> Option<String> {
        let table = remediation.table;
        if !self.before.contains_key(&table.name) {
            let before = self.reach(table, "").expect("no script");
            self.before.insert(table.name.clone(), before);
        }
        let after = match self.reach(table, &remediation.script) {
            Ok(after) => after,
            Err(error) => return Some(format!("it fails: {error}")),
        };
        // Where policies had no effect, those that exist decide from now on.
        let has_no_policy = remediation.script.contains("ENABLE ROW LEVEL SECURITY")
            && !remediation.script.contains("CREATE POLICY");
        let own = if has_no_policy { Lines::new() } else { self.own(table) };
        contradiction(&self.before[&table.name], &after, &own)
            .or_else(|| self.open_reach(remediation))
    }

    /// The disagreement about a reach that is not closed to requests without an account.
    fn open_reach(&mut self, remediation: &Remediation) -> Option<String> {
        let table = remediation.table;
        let owners = self.surface.owners(table);
        self.sessions.preparation.clone_from(&remediation.script);
        let mut wrong = None;
        let is_tried = |one: &&Identity| {
            one.is_client() && !one.is_account() && !self.surface.is_exempt(table, one.role)
        };
        for identity in self.identities.iter().filter(is_tried) {
            for reach in reaches_of(&remediation.rule) {
                if foreign_rows(table, owners, identity).is_empty() {
                    continue;
                }
                let mut found = reached(&mut self.sessions, table, owners, identity, reach);
                if found.rows.is_empty()
                    && let Some(by_candidates) =
                        reached_by_candidates(&mut self.sessions, table, owners, identity, reach)
                {
                    found = by_candidates;
                }
                wrong = wrong.or(still_open(&found)
                    .map(|wrong| format!("{wrong}: {reach} of {}: {found:?}", identity.label)));
            }
        }
        self.sessions.preparation.clear();
        wrong
    }
}

#[test]
fn remediations_open_nothing_and_close_their_finding() {
    let (seed, count) = (seed(), table_count() / 8);
    println!("seed {seed}, {count} tables");
    let cluster = Cluster::start("rls_property_remediations", SETTINGS);
    let mut client = application(&cluster, "property");
    run(&mut client, REACH);
    let mut random = Random(seed + 1_000);
    let tables: Vec<Table> =
        (0..count).map(|number| policies::table(&mut random, number)).collect();
    create(&mut client, &tables);
    let identities = identities(&mut client);
    let surface = Surface::read(&mut client);
    let began = Instant::now();
    let printed = printed(&mut client, &tables);
    println!("audited in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let wrong: Vec<Vec<String>> = in_threads(|part| {
        let mut trial = Trial {
            without_claims: cluster.connect("property"),
            with_claims: cluster.connect("property"),
            sessions: Sessions::new(&cluster, "property"),
            identities: &identities,
            surface: &surface,
            before: BTreeMap::new(),
        };
        // All remediations of a table are tried by one thread: they lock it.
        let is_mine = |one: &&Remediation| {
            tables.iter().position(|table| table.name == one.table.name).unwrap_or(0) % THREADS
                == part
        };
        let mut wrong = Vec::new();
        for remediation in printed.iter().filter(is_mine) {
            if let Some(disagreement) = trial.disagreement(remediation) {
                wrong.push(format!(
                    "{}: {disagreement}\n{}\n{}",
                    remediation.finding, remediation.script, remediation.table.summary
                ));
            }
        }
        wrong
    });
    println!("{} remediations tried in {:.1} s", printed.len(), began.elapsed().as_secs_f64());
    assert_none(&wrong.concat(), seed, count);
    assert!(printed.len() > count / 2, "too few remediations: {}", printed.len());
}

#[test]
fn the_comparison_finds_harmful_remediations() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Lines>();
    let before = lines(&["a: SELECT 1", "a: SELECT 2"]);
    let own = lines(&["a: SELECT 1"]);
    assert_eq!(contradiction(&before, &lines(&["a: SELECT 1"]), &own), None);
    assert!(contradiction(&before, &lines(&["a: SELECT 1", "b: SELECT 1"]), &own).is_some());
    assert!(contradiction(&before, &lines(&["a: SELECT 2"]), &own).is_some());
    assert!(still_open(&Reached { rows: [1].into(), ..Reached::default() }).is_some());
    assert!(still_open(&Reached::default()).is_none());
}
