//! Findings of the rule definer-function agree with calls by real sessions.

use crate::definers::{Definer, definer, table};
use crate::identities::{Identity, identities};
use crate::owners::names;
use crate::policies::{Row, Table};
use crate::sessions::Sessions;
use crate::tally::assert_none;
use crate::{SETTINGS, application, seed, table_count};
use harness::random::Random;
use harness::{Cluster, run};
use postgres::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Functions of one audit: it calls functions for at most 2 s.
const BATCH: usize = 8;
/// Functions of one table.
const OF_TABLE: usize = 4;

/// Those who get rows of others by calls.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Reached {
    #[default]
    Nobody,
    /// Some accounts.
    Some,
    /// A request without an account, or every account.
    Everyone,
}

/// The finding about a function.
#[derive(Default)]
struct Finding {
    severity: String,
    confidence: String,
    evidence: String,
}

impl Finding {
    fn text(&self) -> String {
        format!("{} {}: {}", self.severity, self.confidence, self.evidence)
    }
}

/// Compares a finding with those who get rows. Returns the contradiction, if any.
fn contradiction(finding: Option<&Finding>, reached: Reached) -> Option<&'static str> {
    let severity = finding.map_or("", |finding| finding.severity.as_str());
    let is_harmless = ["INFO", "LOW", ""].contains(&severity);
    match reached {
        Reached::Everyone if is_harmless => Some("rows of others are reached"),
        Reached::Nobody if !is_harmless => Some("no row of others is reached"),
        _ => None,
    }
}

/// A call with the values of a row, or with values that no row has.
fn call(definer: &Definer, row: Option<&Row>) -> String {
    let values: Vec<String> = definer
        .arguments
        .iter()
        .map(|column| match (row, *column) {
            (Some(row), column) => row.get(column).to_owned(),
            (None, "id") => "-32768".to_owned(),
            (None, _) => "gen_random_uuid()".to_owned(),
        })
        .collect();
    format!("{}({})", definer.name, values.join(", "))
}

/// The ids of the rows that a function discloses to an identity.
fn disclosed(
    sessions: &mut Sessions,
    identity: &Identity,
    table: &Table,
    definer: &Definer,
) -> BTreeSet<usize> {
    let mut ids = BTreeSet::new();
    for row in &table.rows {
        let list = |sessions: &mut Sessions, row: Option<&Row>| {
            let call = call(definer, row);
            let query = match &definer.ids {
                Some(query) => query.replace("@call@", &call),
                None => format!("SELECT coalesce(({call})::integer, 0)"),
            };
            let sql = format!("SELECT string_agg(s.id::text, ' ') FROM ({query}) AS s (id)");
            sessions.answer(identity, &sql)
        };
        let answer = list(sessions, Some(row));
        match &definer.ids {
            Some(_) => ids.extend(answer.split(' ').filter_map(|id| id.parse::<usize>().ok())),
            None if definer.arguments.is_empty() => {}
            None if !answer.is_empty() && answer != list(sessions, None) => {
                ids.insert(row.id);
            }
            None => {}
        }
        if definer.arguments.is_empty() {
            break;
        }
    }
    ids
}

/// Those who get rows of others that they do not read in the table.
fn reached(
    sessions: &mut Sessions,
    identities: &[Identity],
    table: &Table,
    definer: &Definer,
) -> (Reached, String) {
    let is_asked = |one: &&Identity| {
        definer.callers.contains(&one.role)
            && (one.role == "anon" || one.user.is_some())
            && !one.label.contains("anonymous sign-in")
    };
    let (mut best, mut evidence) = (Reached::Nobody, String::new());
    // By row: the accounts beside its owner that get it.
    let mut by_row: BTreeMap<usize, usize> = BTreeMap::new();
    for identity in identities.iter().filter(is_asked) {
        let is_own = |row: &Row| identity.user.as_ref().is_some_and(|me| names(row, "owner", me));
        let foreign: Vec<&Row> =
            table.rows.iter().filter(|row| !is_own(row) && row.get("owner") != "NULL").collect();
        let readable = sessions.read(identity, table, &foreign).rows;
        let ids = disclosed(sessions, identity, table, definer);
        for row in foreign.iter().filter(|row| ids.contains(&row.id) && !readable.contains(&row.id))
        {
            evidence = format!("{} gets row {}", identity.label, row.id);
            if !identity.is_account() {
                return (Reached::Everyone, evidence);
            }
            best = Reached::Some;
            *by_row.entry(row.id).or_default() += 1;
        }
    }
    let accounts = identities.iter().filter(|one| one.is_account()).count();
    if by_row.values().any(|gets| *gets + 1 == accounts) {
        best = Reached::Everyone;
    }
    (best, evidence)
}

/// The findings about functions, by signature.
fn findings(client: &mut Client) -> BTreeMap<String, Finding> {
    let sql = "SELECT replace(o.name, 'function ', ''), f.severity::text, f.confidence, f.evidence
        FROM crewsnow_ops.audit_rls() AS f, unnest(f.objects) AS o (name)
        WHERE f.rule = 'definer-function'";
    let found = client.query(sql, &[]).expect("findings");
    found
        .iter()
        .map(|row| {
            let finding =
                Finding { severity: row.get(1), confidence: row.get(2), evidence: row.get(3) };
            (row.get::<_, String>(0).replace("public.", ""), finding)
        })
        .collect()
}

#[test]
fn findings_on_definer_functions_agree_with_real_sessions() {
    let (seed, count) = (seed(), table_count() / 10);
    println!("seed {seed}, {count} functions");
    let cluster = Cluster::start("rls_property_definers", SETTINGS);
    let mut client = application(&cluster, "property");
    let identities = identities(&mut client);
    let mut sessions = Sessions::new(&cluster, "property");
    let mut random = Random(seed + 3_000);
    let began = Instant::now();
    let (mut wrong, mut counts) = (Vec::new(), BTreeMap::<String, usize>::new());
    for first in (0..count).step_by(BATCH) {
        let numbers = first..count.min(first + BATCH);
        let tables: Vec<Table> =
            (0..numbers.len().div_ceil(OF_TABLE)).map(|n| table(&mut random, n)).collect();
        let definers: Vec<(Definer, &Table)> = numbers
            .clone()
            .map(|number| {
                let table = &tables[(number - first) / OF_TABLE];
                (definer(&mut random, number, table), table)
            })
            .collect();
        for sql in tables.iter().map(|t| &t.sql).chain(definers.iter().map(|(d, _)| &d.sql)) {
            run(&mut client, sql);
        }
        let found = findings(&mut client);
        for (definer, table) in &definers {
            let finding = found.get(&definer.signature);
            let (reached, evidence) = reached(&mut sessions, &identities, table, definer);
            // A VOLATILE function is not called: its text decides.
            let kind = if definer.is_volatile { "volatile" } else { "stable" };
            let severity = finding.map_or("none", |finding| &finding.severity);
            *counts.entry(format!("{kind} {severity} {reached:?}")).or_default() += 1;
            let disagrees = contradiction(finding, reached);
            // A value of another table that the function names may find a row, too.
            let names_others = ["auth.users", "private."]
                .iter()
                .any(|name| definer.sql.contains(name) && !definer.sql.contains("SETOF public"));
            let may_err = match reached {
                // Whether there are rows at all is nobody's row.
                Reached::Nobody if definer.arguments.is_empty() && definer.ids.is_none() => true,
                Reached::Nobody => definer.is_volatile || names_others,
                // All accounts get the same, which names nobody: that may be their own.
                _ if definer.arguments.is_empty() => !definer.is_plain,
                _ => definer.is_volatile && !definer.is_plain,
            };
            if let Some(contradiction) = disagrees.filter(|_| !may_err) {
                let finding = finding.map_or(String::new(), Finding::text);
                wrong.push(format!(
                    "{}: {contradiction}: {evidence}: {finding}\n{}{}",
                    definer.signature, definer.sql, table.summary
                ));
            }
        }
        for table in &tables {
            run(
                &mut client,
                &format!("SET client_min_messages = error; DROP TABLE {} CASCADE", table.name),
            );
        }
        run(
            &mut client,
            "DO $$ DECLARE f regprocedure; BEGIN
                FOR f IN SELECT oid FROM pg_proc WHERE proname ~ '^f\\d+$' LOOP
                    EXECUTE format('DROP FUNCTION %s', f);
                END LOOP; END $$",
        );
    }
    println!("called in {:.1} s: {counts:#?}", began.elapsed().as_secs_f64());
    assert_none(&wrong, seed, count);
    for reached in [Reached::Nobody, Reached::Everyone] {
        let name = format!("{reached:?}");
        let n: usize = counts.iter().filter(|(key, _)| key.ends_with(&name)).map(|(_, n)| n).sum();
        assert!(n * 8 > count, "too few functions with {name}: {n} of {count}");
    }
}

#[test]
fn the_comparison_finds_wrong_findings_on_functions() {
    let of = |severity: &str| Finding { severity: severity.to_owned(), ..Finding::default() };
    for severity in ["CRITICAL", "HIGH", "MEDIUM"] {
        assert!(contradiction(Some(&of(severity)), Reached::Nobody).is_some());
        assert!(contradiction(Some(&of(severity)), Reached::Some).is_none());
        assert!(contradiction(Some(&of(severity)), Reached::Everyone).is_none());
    }
    assert!(contradiction(Some(&of("INFO")), Reached::Everyone).is_some());
    assert!(contradiction(None, Reached::Everyone).is_some());
    assert!(contradiction(None, Reached::Nobody).is_none());
}
