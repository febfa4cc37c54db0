//! Findings about memberships agree with real sessions: a session writes a membership of its own
//! and reaches more, or puts a row before the members of another team.

use crate::identities::{Identity, identities};
use crate::memberships::{Teams, teams};
use crate::policies::Table;
use crate::tally::assert_none;
use crate::{SETTINGS, THREADS, application, create, in_threads, seed, table_count};
use harness::random::Random;
use harness::{Cluster, REACH, rows, run, value};
use postgres::Client;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Those who can do what a finding is about.
#[derive(Debug, Default)]
struct Able {
    /// Whether a new account can, in some form.
    is_new: bool,
    /// The numbers of the accounts that can, and of those that tried.
    accounts: Vec<usize>,
    tried: Vec<usize>,
}

impl Able {
    /// Whether everybody can who is expected to try: a new account, or these accounts.
    fn is_for_all(&self, expected: &[usize]) -> bool {
        self.is_new
            || expected.len() > 1 && expected.iter().all(|number| self.accounts.contains(number))
    }
}

/// Compares the presence of a finding with those who can do what it says. If only some accounts
/// can, both are right. Returns the contradiction, if any.
fn contradiction(is_found: bool, able: &Able, is_for_all: bool) -> Option<&'static str> {
    match is_found {
        true if !able.is_new && able.accounts.is_empty() => Some("found, but no session can"),
        false if is_for_all => Some("sessions can, but there is no finding"),
        _ => None,
    }
}

/// A finding: rule, object, detail and evidence.
struct Finding {
    rule: String,
    object: String,
    text: String,
}

/// The findings of rules about memberships.
struct Found(Vec<Finding>);

impl Found {
    fn read(client: &mut Client) -> Self {
        run(client, "SET crewsnow_ops.audit_time = '1h'");
        let sql = "SELECT rule, object, concat_ws(' ', detail, evidence)
            FROM crewsnow_ops.audit_rls() WHERE severity <= 'MEDIUM' AND rule IN
                ('self-written-membership', 'policy-trusts-open-table', 'foreign-team-rows')";
        let found = client.query(sql, &[]).expect("findings");
        let finding = |row: &postgres::Row| Finding {
            rule: row.get(0),
            object: row.get(1),
            text: row.get(2),
        };
        Self(found.iter().map(finding).collect())
    }

    /// The text of a finding that says that users write rows of a table.
    fn self_written(&self, table: &str) -> Option<&str> {
        let is_about = |finding: &&Finding| match finding.rule.as_str() {
            "self-written-membership" => finding.object == format!("table {table}"),
            "policy-trusts-open-table" => ["reads", ","]
                .iter()
                .any(|before| finding.text.contains(&format!("{before} {table},"))),
            _ => false,
        };
        self.0.iter().find(is_about).map(|finding| finding.text.as_str())
    }

    /// Whether a finding about a table of members says that it opens rows of another table.
    fn opens(&self, members: &str, trusting: &Table) -> bool {
        self.0.iter().any(|finding| match finding.rule.as_str() {
            "self-written-membership" => {
                let opened = finding.text.split(": the policies for").next().unwrap_or_default();
                finding.object.contains(members) && opened.contains(&trusting.name)
            }
            "policy-trusts-open-table" => {
                finding.object.contains(&trusting.name) && finding.text.contains(members)
            }
            _ => false,
        })
    }

    /// The text of a finding that says that users put rows of a table into teams of others.
    fn crossed(&self, table: &Table) -> Option<&str> {
        let is_about = |finding: &&Finding| {
            finding.rule == "foreign-team-rows" && finding.object == format!("table {}", table.name)
        };
        self.0.iter().find(is_about).map(|finding| finding.text.as_str())
    }
}

/// Requests that try: new accounts, then all accounts of app.sql.
fn requests(identities: &[Identity]) -> Vec<&Identity> {
    let is_asked =
        |identity: &&Identity| identity.role == "authenticated" && identity.user.is_some();
    identities.iter().filter(is_asked).collect()
}

/// Asks each request for a truth: how, `f` if it cannot, or nothing if there is no attempt.
fn able(
    client: &mut Client,
    requests: &[&Identity],
    truth: impl Fn(&str) -> String,
) -> (Able, Vec<String>) {
    let (mut able, mut ways) = (Able::default(), Vec::new());
    let mut number = 0;
    for request in requests {
        number += usize::from(request.is_account());
        let claims = request.claims.as_deref().unwrap_or_default();
        let way = value(client, &format!("SELECT {}", truth(claims)));
        let can = !way.is_empty() && way != "f";
        if !request.is_account() {
            able.is_new |= can;
        } else if !way.is_empty() {
            able.tried.push(number);
            able.accounts.extend(can.then_some(number));
        }
        if can {
            ways.push(format!("{}: {way}", request.label));
        }
    }
    (able, ways)
}

/// The comparison of all tables.
struct Comparison<'a> {
    identities: &'a [Identity],
    found: &'a Found,
    /// The reaches with a LEAK, by table.
    leaks: &'a HashMap<String, Vec<String>>,
}

/// Disagreements, and the numbers of comparisons with and without a finding.
#[derive(Default)]
struct Outcome {
    wrong: Vec<String>,
    counts: BTreeMap<String, usize>,
}

impl Outcome {
    fn add(&mut self, teams: &Teams, rule: &str, is_found: bool, wrong: Option<String>) {
        *self.counts.entry(format!("{rule} {is_found}")).or_default() += 1;
        self.wrong.extend(wrong.map(|wrong| {
            format!("{}: {rule}: {wrong}\n{}", teams.members, teams.trusting.summary)
        }));
    }
}

impl Comparison<'_> {
    /// Compares the finding about a table into which users write their memberships.
    fn self_written(&self, client: &mut Client, teams: &Teams, outcome: &mut Outcome) {
        let (members, invitations) = (&teams.members, &teams.invitations);
        let rows = &teams.trusting.name;
        let (able, ways) = able(client, &requests(self.identities), |claims| {
            format!(
                "coalesce(truth.ways_in('{members}', '{invitations}', '{rows}', '{claims}'), 'f')"
            )
        });
        let found =
            self.found.self_written(members).or_else(|| self.found.self_written(invitations));
        // If only some teams let everybody join, that is no finding. Accounts 1 to 5 are members.
        let all = ways.iter().filter(|way| way.contains(": all: ")).count();
        let is_for_all = able.is_for_all(&[1, 2, 3, 4, 5]) && all > 0 && all == ways.len();
        // A function that is more than one query does not show what a changed row opens.
        let may_miss = teams.is_opaque && ways.iter().all(|way| way.contains(": UPDATE "));
        // Memberships themselves, or a policy on them, may be opened without the other rows.
        let is_about_rows = self.found.opens(members, &teams.trusting);
        let wrong = match found.is_some() == is_about_rows {
            true => contradiction(is_about_rows, &able, is_for_all && !may_miss),
            false => None,
        };
        let wrong = wrong.map(|wrong| format!("{wrong}: {able:?} {ways:?} {found:?}"));
        outcome.add(teams, "self-written-membership", found.is_some(), wrong);
    }

    /// Compares the finding about rows that users put into teams of others.
    fn foreign_team(&self, client: &mut Client, teams: &Teams, outcome: &mut Outcome) {
        let requests = requests(self.identities);
        let (members, rows) = (&teams.members, &teams.trusting.name);
        let all: Vec<String> = requests
            .iter()
            .filter(|request| request.is_account())
            .filter_map(|request| {
                Some(format!("'{}', '{}'", request.user.as_ref()?, request.claims.as_ref()?))
            })
            .collect();
        let all = format!("jsonb_build_object({})", all.join(", "));
        let (mut any, mut is_for_all, mut evidence) = (Able::default(), false, String::new());
        for (command, reaches) in [
            ("INSERT", &["forged-rows"][..]),
            ("UPDATE", &["tampering", "take-over", "planted-rows"]),
        ] {
            let has_owner = teams.trusting.has_owner;
            let (able, ways) = able(client, &requests, |claims| {
                format!(
                    "truth.crosses('{members}', '{rows}', '{claims}', {all}, {has_owner}, \
                     '{command}')"
                )
            });
            // A leak by the same command says more. A function that is more than one query does
            // not show which column is the team.
            let leaks = self.leaks.get(rows).map_or(&[][..], Vec::as_slice);
            let is_known = leaks.iter().any(|leak| reaches.contains(&leak.as_str()));
            let may_miss = is_known || teams.is_opaque;
            is_for_all |= able.is_for_all(&able.tried) && !may_miss;
            evidence += &format!(" {command} {able:?} {ways:?}");
            any.is_new |= able.is_new;
            any.accounts.extend(able.accounts);
        }
        let found = self.found.crossed(&teams.trusting);
        let wrong = contradiction(found.is_some(), &any, is_for_all);
        let wrong = wrong.map(|wrong| format!("{wrong}:{evidence} {found:?}"));
        outcome.add(teams, "foreign-team-rows", found.is_some(), wrong);
    }
}

#[test]
fn findings_on_memberships_agree_with_real_sessions() {
    let (seed, count) = (seed(), table_count() / 16);
    println!("seed {seed}, {count} membership tables");
    let cluster = Cluster::start("rls_property_teams", SETTINGS);
    let mut client = application(&cluster, "property");
    run(&mut client, REACH);
    run(&mut client, include_str!("teams.sql"));
    let mut random = Random(seed + 2_000);
    let all: Vec<Teams> = (0..count).map(|number| teams(&mut random, number)).collect();
    create(&mut client, all.iter().map(|teams| &teams.trusting));
    let identities = identities(&mut client);
    let began = Instant::now();
    let found = Found::read(&mut client);
    println!("audited in {:.1} s", began.elapsed().as_secs_f64());
    let mut leaks: HashMap<String, Vec<String>> = HashMap::new();
    let sql = "SELECT DISTINCT relation, reach FROM crewsnow_ops.rls_matrix()
        WHERE verdict = 'LEAK'";
    for row in rows(&mut client, sql) {
        let (table, reach) = row.split_once('|').expect("two columns");
        leaks.entry(table.to_owned()).or_default().push(reach.to_owned());
    }
    let began = Instant::now();
    let comparison = Comparison { identities: &identities, found: &found, leaks: &leaks };
    let parts = in_threads(|part| {
        let mut client = cluster.connect("property");
        let mut outcome = Outcome::default();
        for teams in all.iter().skip(part).step_by(THREADS) {
            comparison.self_written(&mut client, teams, &mut outcome);
            comparison.foreign_team(&mut client, teams, &mut outcome);
        }
        outcome
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for of_part in parts {
        wrong.extend(of_part.wrong);
        for (key, n) in of_part.counts {
            *counts.entry(key).or_default() += n;
        }
    }
    println!("tried in {:.1} s: {counts:?}", began.elapsed().as_secs_f64());
    assert_none(&wrong, seed, count);
    for (key, n) in &counts {
        assert!(n * 8 > count, "too few: {key} {n} of {count}");
    }
    assert_eq!(counts.len(), 4, "{counts:?}");
}

#[test]
fn the_comparison_finds_wrong_findings_on_memberships() {
    let some = Able { accounts: vec![1], tried: vec![1, 2], ..Able::default() };
    let all = Able { accounts: vec![1, 2], tried: vec![1, 2], ..Able::default() };
    let new = Able { is_new: true, ..Able::default() };
    let nobody = Able { tried: vec![1, 2], ..Able::default() };
    let compare = |is_found, able: &Able| contradiction(is_found, able, able.is_for_all(&[1, 2]));
    assert!(compare(true, &nobody).is_some() && compare(false, &nobody).is_none());
    for able in [all, new] {
        assert!(compare(false, &able).is_some() && compare(true, &able).is_none());
    }
    assert!(compare(false, &some).is_none() && compare(true, &some).is_none());
}
