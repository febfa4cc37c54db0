//! The verdicts of rls_matrix agree with the rows that real sessions reach. The suite generates
//! tables with random policies, privileges and rows, and compares each verdict with statements that
//! it runs and rolls back.
//!
//! CREWSNOW_RLS_TABLES is the number of tables (2,000). CREWSNOW_RLS_SEED selects them; the default
//! is fixed, so a new failure comes from a changed program.

mod policies;
mod random;
mod truth;

use harness::{Cluster, rows, run};
use policies::{Row, Table};
use random::Random;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;
use truth::{Identity, Reached, Sessions};

/// The default of CREWSNOW_RLS_SEED.
const SEED: u64 = 21;
/// Number of threads that compare, each with sessions of its own.
const THREADS: usize = 2;

/// A row of rls_matrix.
#[derive(Debug, Clone)]
struct Cell {
    reach: String,
    role: String,
    identity: String,
    verdict: String,
    confidence: String,
    remark: String,
}

/// Counts of the comparison.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    verdicts: BTreeMap<String, usize>,
    /// INCONCLUSIVE verdicts, by reason.
    inconclusive: BTreeMap<String, usize>,
    /// Verdicts of safety that were also tested with candidate rows.
    with_candidates: usize,
    /// FAILING verdicts although no statement of the suite failed.
    failing_unseen: usize,
    wrong: Vec<String>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// Compares a verdict with the rows reached. Returns the contradiction, if any.
fn contradiction(verdict: &str, reached: &Reached) -> Option<&'static str> {
    let has_reached = !reached.rows.is_empty();
    match verdict {
        "LEAK" | "SHARED" | "PUBLIC" if !has_reached => Some("no row is reached"),
        "ISOLATED" | "CLOSED" if has_reached => Some("rows are reached"),
        "NO ACCESS" | "EXEMPT" => Some("the verdict was not expected"),
        _ => None,
    }
}

/// Rows with an owner, none of whose owner columns names the identity, and whose list of people
/// does not either, if a policy compares it with the user id. Without owner columns, all rows.
fn foreign_rows<'a>(table: &'a Table, owners: &[String], identity: &Identity) -> Vec<&'a Row> {
    let has_participants = table.summary.contains("ANY (people)");
    let is_foreign = |row: &&Row| {
        let is_own = |owner: &String| {
            identity.user.as_ref().is_some_and(|me| row.get(owner) == format!("'{me}'"))
        };
        let is_participant = |me: &String| has_participants && row.get("people").contains(me);
        owners.is_empty()
            || owners.iter().any(|owner| row.get(owner) != "NULL")
                && !owners.iter().any(is_own)
                && !identity.user.as_ref().is_some_and(is_participant)
    };
    table.rows.iter().filter(is_foreign).collect()
}

/// The users other than the identity that the first owner column names.
fn victims(table: &Table, owners: &[String], identity: &Identity) -> Vec<String> {
    let first = owners.first().map_or("", String::as_str);
    let named = |row: &Row| row.get(first).trim_matches('\'').to_owned();
    let ids: BTreeSet<String> = table.rows.iter().map(named).collect();
    ids.into_iter().filter(|id| id != "NULL" && Some(id) != identity.user.as_ref()).collect()
}

/// Owner columns, privileges and exemptions of the tables, from the catalog.
struct Surface {
    owners: HashMap<String, Vec<String>>,
    /// By table and role, one letter per privilege: s, i, u and d for SELECT, INSERT, UPDATE and
    /// DELETE; o and n if UPDATE and INSERT cover the whole table.
    privileges: HashMap<(String, String), String>,
    /// Tables and roles to which row-level security does not apply.
    exempt: BTreeSet<(String, String)>,
}

impl Surface {
    fn read(client: &mut postgres::Client) -> Self {
        let mut owners: HashMap<String, Vec<String>> = HashMap::new();
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), a.attname
            FROM crewsnow_ops.rls_owner_columns() AS o
            JOIN pg_class AS c ON c.oid = o.relation
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = o.attnum
            ORDER BY c.oid, a.attnum";
        for row in rows(client, sql) {
            let (table, column) = row.split_once('|').expect("two columns");
            owners.entry(table.to_owned()).or_default().push(column.to_owned());
        }
        let (mut privileges, mut exempt) = (HashMap::new(), BTreeSet::new());
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), r.rolname, concat(
                CASE WHEN has_any_column_privilege(r.oid, c.oid, 'SELECT') THEN 's' END,
                CASE WHEN has_any_column_privilege(r.oid, c.oid, 'INSERT') THEN 'i' END,
                CASE WHEN has_any_column_privilege(r.oid, c.oid, 'UPDATE') THEN 'u' END,
                CASE WHEN has_table_privilege(r.oid, c.oid, 'DELETE') THEN 'd' END,
                CASE WHEN has_table_privilege(r.oid, c.oid, 'UPDATE') THEN 'o' END,
                CASE WHEN has_table_privilege(r.oid, c.oid, 'INSERT') THEN 'n' END),
                c.relrowsecurity AND pg_has_role(r.oid, c.relowner, 'USAGE')
                    AND NOT c.relforcerowsecurity
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            CROSS JOIN pg_roles AS r
            WHERE c.relname ~ '^t\\d+$' AND r.rolname IN ('anon', 'authenticated')";
        for row in rows(client, sql) {
            let parts: Vec<&str> = row.split('|').collect();
            let key = (parts[0].to_owned(), parts[1].to_owned());
            if parts[3] == "t" {
                exempt.insert(key.clone());
            }
            privileges.insert(key, parts[2].to_owned());
        }
        Self { owners, privileges, exempt }
    }

    fn owners(&self, table: &Table) -> &[String] {
        self.owners.get(&table.name).map_or(&[], Vec::as_slice)
    }

    /// Whether rls_matrix must have a verdict.
    fn expects(&self, table: &Table, identity: &Identity, reach: &str) -> bool {
        let key = (table.name.clone(), identity.role.to_owned());
        let may = self.privileges.get(&key).map_or("", String::as_str);
        let has_owner = !self.owners(table).is_empty();
        match reach {
            _ if self.exempt.contains(&key) => reach == "read-leak",
            "read-leak" => may.contains('s'),
            "tampering" => may.contains('u'),
            "forged-rows" if has_owner => may.contains('n'),
            "forged-rows" => may.contains('i'),
            "destruction" => may.contains('d'),
            _ => has_owner && identity.user.is_some() && may.contains('o'),
        }
    }
}

const REACHES: &[&str] =
    &["read-leak", "tampering", "take-over", "planted-rows", "forged-rows", "destruction"];

struct Comparison<'a> {
    identities: &'a [Identity],
    surface: &'a Surface,
    cells: &'a HashMap<String, Vec<Cell>>,
}

impl Comparison<'_> {
    fn table(&self, sessions: &mut Sessions, table: &Table, tally: &mut Tally) {
        let none = Vec::new();
        let cells = self.cells.get(&table.name).unwrap_or(&none);
        let owners = self.surface.owners(table);
        // Lists of users alone are compared by the scenario of owner kinds.
        if owners == ["people"] {
            return;
        }
        if table.has_owner == owners.is_empty()
            || owners.iter().any(|owner| owner != "owner" && owner != "other")
        {
            tally.wrong.push(format!("{}: owners {owners:?}\n{}", table.name, table.summary));
            return;
        }
        let mut read: HashMap<String, Reached> = HashMap::new();
        for cell in cells {
            let known = self
                .identities
                .iter()
                .find(|identity| identity.label == cell.identity && identity.role == cell.role);
            let new_account = self.identities.iter().find(|one| one.label.contains("new account"));
            let tried =
                new_account.and_then(|account| truth::with_claims(account, &cell.identity, table));
            let Some(identity) = known.or(tried.as_ref()) else {
                tally.wrong.push(format!("{}: no identity matches {cell:?}", table.name));
                continue;
            };
            tally.compared += 1;
            *tally.verdicts.entry(format!("{} {}", cell.reach, cell.verdict)).or_default() += 1;
            let is_latent = cell.verdict == "NO ACCESS";
            if self.surface.expects(table, identity, &cell.reach) == is_latent {
                tally.wrong.push(format!(
                    "{}: unexpected verdict: {cell:?}\n{}",
                    table.name, table.summary
                ));
                continue;
            }
            if self.surface.exempt.contains(&(table.name.clone(), cell.role.clone())) {
                if cell.verdict != "EXEMPT" {
                    tally.wrong.push(format!(
                        "{}: the role is exempt: {cell:?}\n{}",
                        table.name, table.summary
                    ));
                }
                continue;
            }
            if cell.verdict == "NO ACCESS" {
                continue;
            }
            if cell.verdict == "INCONCLUSIVE" {
                *tally
                    .inconclusive
                    .entry(format!("{}: {}", cell.reach, cell.remark))
                    .or_default() += 1;
                continue;
            }
            let mut reached = self.reached(sessions, table, identity, &cell.reach);
            let mut wrong = contradiction(&cell.verdict, &reached);
            // Candidate rows refute a verdict of safety, or confirm one of reach. Every eighth
            // PROVED verdict of safety is tested.
            let is_safe = ["ISOLATED", "CLOSED"].contains(&cell.verdict.as_str());
            let is_tried = cell.confidence != "PROVED" || tally.compared.is_multiple_of(8);
            if wrong.is_some() && !is_safe || wrong.is_none() && is_safe && is_tried {
                let by_candidates =
                    self.reached_by_candidates(sessions, table, identity, &cell.reach);
                tally.with_candidates += usize::from(is_safe && by_candidates.is_some());
                if let Some(by_candidates) = by_candidates {
                    reached = by_candidates;
                    wrong = contradiction(&cell.verdict, &reached);
                }
            }
            if cell.verdict == "FAILING" && reached.errors.is_empty() {
                tally.failing_unseen += 1;
            }
            let is_tried = identity.label.contains(" with ");
            if cell.reach == "read-leak" && wrong.is_none() && identity.user.is_some() && !is_tried
            {
                read.insert(identity.label.clone(), reached.clone());
                wrong = self.wrong_audience(sessions, table, identity, cell, &reached);
            }
            if let Some(wrong) = wrong {
                tally.wrong.push(format!(
                    "{}: {wrong}: {cell:?}\n{reached:?}\n{}",
                    table.name, table.summary
                ));
            }
        }
        self.report_missing_verdicts(table, cells, tally);
    }

    fn reached(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        identity: &Identity,
        reach: &str,
    ) -> Reached {
        let owners = self.surface.owners(table);
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
                    all.extend(sessions.plant(
                        identity,
                        table,
                        rows.clone(),
                        owner,
                        &victims(table, owners, identity),
                    ));
                }
            }
        }
        all
    }

    /// The rows reached with candidate rows; `None` if the reach needs no candidate.
    fn reached_by_candidates(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        identity: &Identity,
        reach: &str,
    ) -> Option<Reached> {
        let owners = self.surface.owners(table);
        let rows = foreign_rows(table, owners, identity);
        let me = identity.user.as_ref().map(|me| format!("'{me}'"));
        let has_user_list =
            rows.first().is_some_and(|row| row.columns.iter().any(|(name, _)| *name == "people"));
        // Policies may read the user list and the second owner column, so candidates vary both.
        let mut lists = vec![String::new()];
        if let (Some(me), true) = (&me, has_user_list) {
            lists.extend([format!(", people = ARRAY[{me}]::uuid[]"), ", people = '{}'".to_owned()]);
            if !owners.iter().any(|owner| owner == "other") {
                lists.extend([", other = @owner@".to_owned(), format!(", other = {me}")]);
            }
        } else if has_user_list && !owners.iter().any(|owner| owner == "other") {
            lists.push(", other = @owner@".to_owned());
        }
        let name = &table.name;
        let updates = |owners: &[(&str, &str)]| -> Vec<String> {
            let owners: String =
                owners.iter().map(|(column, value)| format!(", {column} = {value}")).collect();
            lists
                .iter()
                .map(|list| {
                    format!("UPDATE {name} SET team = @team@, is_public = @public@{owners}{list}")
                })
                .collect()
        };
        let mut all = Reached::default();
        match reach {
            "tampering" => all.extend(sessions.sweep(identity, table, &rows, "", &updates(&[]))),
            "take-over" => {
                let me = me?;
                let both: Vec<(&str, &str)> =
                    owners.iter().map(|owner| (owner.as_str(), me.as_str())).collect();
                let mut statements: Vec<String> = owners
                    .iter()
                    .flat_map(|owner| updates(&[(owner.as_str(), me.as_str())]))
                    .collect();
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
                        .flat_map(|victim| updates(&[(owner.as_str(), &format!("'{victim}'"))]))
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
                let mut victims = victims(table, owners, identity);
                if victims.is_empty() {
                    victims.push("00000000-0000-4000-8000-0000000000ff".to_owned());
                }
                let mut candidates: Vec<Row> = rows.iter().map(|row| row.candidate(&[])).collect();
                for victim in victims.iter().filter(|_| !owners.is_empty()) {
                    let id = format!("'{victim}'");
                    candidates.extend(
                        rows.first().map(|row| row.candidate(&[("owner", &id), ("other", &id)])),
                    );
                }
                if let (Some(me), true) = (&me, has_user_list) {
                    let list = format!("ARRAY[{me}]::uuid[]");
                    let mut also: Vec<Row> =
                        candidates.iter().map(|row| row.candidate(&[("people", &list)])).collect();
                    if !owners.iter().any(|owner| owner == "other") {
                        also.extend(
                            candidates
                                .iter()
                                .map(|row| row.candidate(&[("other", row.get("owner"))])),
                        );
                        also.extend(candidates.iter().map(|row| row.candidate(&[("other", me)])));
                    }
                    candidates.extend(also);
                }
                let statements: Vec<String> =
                    candidates.iter().map(|row| row.insert(name, 1000)).collect();
                all.extend(sessions.sweep(
                    identity,
                    table,
                    rows.get(..1).unwrap_or_default(),
                    "",
                    &statements,
                ));
                all.extend(sessions.forge_in_turn(identity, table, &rows, owners));
            }
            _ => return None,
        }
        Some(all)
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
                .find(|other| other.label.contains(kind))
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
        for other in self.identities.iter().filter(|other| {
            other.user.is_some() && other.user != identity.user && other.label.contains(" as user ")
        }) {
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
            for role in ["anon", "authenticated"] {
                let found: Vec<&Cell> =
                    cells.iter().filter(|cell| cell.reach == *reach && cell.role == role).collect();
                let representative = self.identities.iter().find(|identity| {
                    identity.role == role
                        && (role == "anon" || identity.label.contains("new account"))
                });
                let expected =
                    self.surface.expects(table, representative.expect("an identity"), reach);
                let has_new_account =
                    found.iter().any(|cell| cell.identity.contains("new account"));
                let is_new = |cell: &Cell| {
                    ["new account", "anonymous sign-in", "authenticated with "]
                        .iter()
                        .any(|kind| cell.identity.contains(kind))
                };
                let is_open = found.iter().any(|cell| is_new(cell) && cell.verdict == "LEAK");
                let users = found.iter().filter(|cell| cell.identity.contains(" as user ")).count();
                let is_exempt =
                    self.surface.exempt.contains(&(table.name.clone(), role.to_owned()));
                let is_complete = match role {
                    "anon" => found.len() == 2,
                    _ => {
                        has_new_account && (is_open || is_exempt || !table.has_owner || users == 2)
                    }
                };
                if expected && !is_complete {
                    let seen: Vec<&str> = found.iter().map(|cell| cell.identity.as_str()).collect();
                    tally.wrong.push(format!(
                        "{}: {reach} of {role} lacks verdicts, has {seen:?}\n{}",
                        table.name, table.summary
                    ));
                }
            }
        }
    }
}

#[test]
fn verdicts_agree_with_real_sessions() {
    let seed = number("CREWSNOW_RLS_SEED").unwrap_or(SEED);
    let count = number("CREWSNOW_RLS_TABLES").unwrap_or(2_000) as usize;
    println!("seed {seed}, {count} tables");
    let cluster = Cluster::start(
        "rls_property",
        "autovacuum = off\nmax_locks_per_transaction = 1000\nshared_buffers = 256MB",
    );
    let mut client = cluster.create_database("property");
    run(&mut client, include_str!("app.sql"));
    let mut random = Random(seed);
    let tables: Vec<Table> =
        (0..count).map(|number| policies::table(&mut random, number)).collect();
    let began = Instant::now();
    for tables in tables.chunks(50) {
        run(&mut client, &tables.iter().map(|table| table.sql.as_str()).collect::<String>());
    }
    run(&mut client, "ANALYZE");
    println!("created in {:.1} s", began.elapsed().as_secs_f64());
    let identities = truth::identities(&mut client);
    let surface = Surface::read(&mut client);
    let (cells, is_unchanged) = audit(&cluster);
    assert!(is_unchanged, "the audit leaves claims and role of its session unchanged");
    let began = Instant::now();
    let comparison = Comparison { identities: &identities, surface: &surface, cells: &cells };
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let compare = |part: usize| {
            let (comparison, tables, cluster) = (&comparison, &tables, &cluster);
            scope.spawn(move || {
                let mut tally = Tally::default();
                let mut sessions = Sessions::new(cluster, "property");
                for table in tables.iter().skip(part).step_by(THREADS) {
                    comparison.table(&mut sessions, table, &mut tally);
                }
                tally
            })
        };
        let threads: Vec<_> = (0..THREADS).map(compare).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread ends")).collect()
    });
    println!("compared in {:.1} s", began.elapsed().as_secs_f64());
    report(seed, count, tallies);
}

/// All verdicts, by table, and whether the audit left claims and role of its session unchanged.
fn audit(cluster: &Cluster) -> (HashMap<String, Vec<Cell>>, bool) {
    let mut client = cluster.connect("property");
    run(&mut client, "SET crewsnow_ops.audit_time = '1h'");
    let began = Instant::now();
    let sql = "SELECT relation, reach, role, identity, verdict, coalesce(confidence, ''),
        coalesce(replace(remark, '|', '/'), '')
        FROM crewsnow_ops.rls_matrix() WHERE relation ~ '^public.t\\d+$'";
    let mut cells: HashMap<String, Vec<Cell>> = HashMap::new();
    for row in rows(&mut client, sql) {
        let parts: Vec<String> = row.split('|').map(str::to_owned).collect();
        let [relation, reach, role, identity, verdict, confidence, remark] =
            <[String; 7]>::try_from(parts).expect("seven columns");
        cells.entry(relation).or_default().push(Cell {
            reach,
            role,
            identity,
            verdict,
            confidence,
            remark,
        });
    }
    println!(
        "audited in {:.1} s: {} verdicts",
        began.elapsed().as_secs_f64(),
        cells.values().map(Vec::len).sum::<usize>()
    );
    let claims = rows(
        &mut client,
        "SELECT coalesce(current_setting('request.jwt.claims', true), ''), current_user",
    );
    (cells, claims == ["|postgres"])
}

fn report(seed: u64, count: usize, tallies: Vec<Tally>) {
    let mut all = Tally::default();
    for tally in tallies {
        all.compared += tally.compared;
        all.with_candidates += tally.with_candidates;
        all.failing_unseen += tally.failing_unseen;
        all.wrong.extend(tally.wrong);
        for (key, n) in tally.verdicts {
            *all.verdicts.entry(key).or_default() += n;
        }
        for (key, n) in tally.inconclusive {
            *all.inconclusive.entry(key).or_default() += n;
        }
    }
    let inconclusive: usize = all.inconclusive.values().sum();
    println!("{} verdicts compared: {:?}", all.compared, all.verdicts);
    println!("{inconclusive} INCONCLUSIVE: {:?}", all.inconclusive);
    println!("{} verdicts of safety tested with candidate rows", all.with_candidates);
    println!("{} FAILING although no statement of the suite failed", all.failing_unseen);
    println!("{} disagreements", all.wrong.len());
    for wrong in all.wrong.iter().take(20) {
        println!("---- {wrong}");
    }
    assert!(all.wrong.is_empty(), "{} disagreements, seed {seed}, {count} tables", all.wrong.len());
    assert!(all.compared > 5 * count, "too few verdicts were compared: {}", all.compared);
    assert!(
        inconclusive * 50 <= all.compared,
        "too many are INCONCLUSIVE: {inconclusive} of {}",
        all.compared
    );
    assert!(
        all.with_candidates > count,
        "too few were tested with candidate rows: {}",
        all.with_candidates
    );
    assert!(
        all.failing_unseen * 50 <= all.compared,
        "too many are FAILING: {}",
        all.failing_unseen
    );
}

#[test]
fn the_comparison_finds_wrong_verdicts() {
    let some = Reached { rows: BTreeSet::from([1]), errors: BTreeSet::new() };
    let none = Reached::default();
    for verdict in ["LEAK", "SHARED", "PUBLIC"] {
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
}
