//! For every policy shape the audit's verdict is what real sessions with that role and those claims see: thousands of tables with random
//! policies, privileges and rows, each verdict of rls_matrix compared with statements that are really run and rolled back.
//!
//! CREWSNOW_RLS_TABLES says how many (2,000), CREWSNOW_RLS_SEED which: the same ones by default, so that what fails has been changed.

mod policies;
mod random;
mod truth;

use harness::{Cluster, rows, run};
use policies::{Row, Table};
use random::Random;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;
use truth::{Person, Reached, Sessions};

/// The tables that are compared unless others are asked for.
const SEED: u64 = 21;
/// How many sessions compare at the same time.
const THREADS: usize = 2;

/// One verdict of the audit.
#[derive(Debug, Clone)]
struct Cell {
    reach: String,
    role: String,
    identity: String,
    verdict: String,
    /// How sure the audit is of it.
    confidence: String,
    remark: String,
}

/// What the comparison counts.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    verdicts: BTreeMap<String, usize>,
    /// Not told by the audit, by reason.
    untold: BTreeMap<String, usize>,
    /// Safe, and so with rows that a client chooses.
    chosen: usize,
    /// FAILING, where no statement of ours failed.
    failing_unseen: usize,
    wrong: Vec<String>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// The verdict against what was reached: `Some` says what is wrong.
fn judge(verdict: &str, reached: &Reached) -> Option<&'static str> {
    let has_reached = !reached.rows.is_empty();
    match verdict {
        "LEAK" | "SHARED" | "PUBLIC" if !has_reached => Some("nothing is reached"),
        "ISOLATED" | "CLOSED" if has_reached => Some("rows are reached"),
        "NO ACCESS" | "EXEMPT" => Some("it was not expected"),
        _ => None,
    }
}

/// Rows that are somebody's, and in no column one's own.
fn foreign<'a>(table: &'a Table, owners: &[String], who: &Person) -> Vec<&'a Row> {
    let is_foreign = |row: &&Row| {
        let is_mine = |owner: &String| {
            who.user.as_ref().is_some_and(|me| row.get(owner) == format!("'{me}'"))
        };
        owners.is_empty()
            || owners.iter().any(|owner| row.get(owner) != "NULL") && !owners.iter().any(is_mine)
    };
    table.rows.iter().filter(is_foreign).collect()
}

/// The owners of a table's rows but who asks.
fn victims(table: &Table, owners: &[String], who: &Person) -> Vec<String> {
    let first = owners.first().map_or("", String::as_str);
    let named = |row: &Row| row.get(first).trim_matches('\'').to_owned();
    let ids: BTreeSet<String> = table.rows.iter().map(named).collect();
    ids.into_iter().filter(|id| id != "NULL" && Some(id) != who.user.as_ref()).collect()
}

/// What the server says of each table beside its rows.
struct Surface {
    owners: HashMap<String, Vec<String>>,
    /// By table and role: a letter a privilege, and o where a user may set the first owner by UPDATE, n by INSERT.
    privileges: HashMap<(String, String), String>,
    exempt: BTreeSet<(String, String)>,
}

impl Surface {
    fn read(client: &mut postgres::Client) -> Self {
        let mut owners: HashMap<String, Vec<String>> = HashMap::new();
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), a.attname FROM crewsnow_ops.rls_owner_columns() AS o
            JOIN pg_class AS c ON c.oid = o.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = o.attnum ORDER BY c.oid, a.attnum";
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
                c.relrowsecurity AND pg_has_role(r.oid, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN pg_roles AS r
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

    /// Whether there must be a verdict.
    fn expects(&self, table: &Table, who: &Person, reach: &str) -> bool {
        let key = (table.name.clone(), who.role.to_owned());
        let may = self.privileges.get(&key).map_or("", String::as_str);
        let has_owner = !self.owners(table).is_empty();
        match reach {
            _ if self.exempt.contains(&key) => reach == "read-leak",
            "read-leak" => may.contains('s'),
            "tampering" => may.contains('u'),
            "forged-rows" if has_owner => may.contains('n'),
            "forged-rows" => may.contains('i'),
            "destruction" => may.contains('d'),
            _ => has_owner && who.user.is_some() && may.contains('o'),
        }
    }
}

const REACHES: &[&str] =
    &["read-leak", "tampering", "take-over", "planted-rows", "forged-rows", "destruction"];

/// What comparing needs.
struct Comparison<'a> {
    people: &'a [Person],
    surface: &'a Surface,
    cells: &'a HashMap<String, Vec<Cell>>,
}

impl Comparison<'_> {
    fn table(&self, sessions: &mut Sessions, table: &Table, tally: &mut Tally) {
        let none = Vec::new();
        let cells = self.cells.get(&table.name).unwrap_or(&none);
        let owners = self.surface.owners(table);
        if table.has_owner == owners.is_empty()
            || owners.iter().any(|owner| owner != "owner" && owner != "other")
        {
            tally.wrong.push(format!("{}: owners {owners:?}\n{}", table.name, table.summary));
            return;
        }
        let mut read: HashMap<String, Reached> = HashMap::new();
        for cell in cells {
            let Some(who) =
                self.people.iter().find(|who| who.label == cell.identity && who.role == cell.role)
            else {
                tally.wrong.push(format!("{}: nobody is {cell:?}", table.name));
                continue;
            };
            tally.compared += 1;
            *tally.verdicts.entry(format!("{} {}", cell.reach, cell.verdict)).or_default() += 1;
            if !self.surface.expects(table, who, &cell.reach) {
                tally.wrong.push(format!(
                    "{}: no verdict was due: {cell:?}\n{}",
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
            if cell.verdict == "INCONCLUSIVE" {
                *tally.untold.entry(format!("{}: {}", cell.reach, cell.remark)).or_default() += 1;
                continue;
            }
            let mut reached = self.reached(sessions, table, who, &cell.reach);
            let mut wrong = judge(&cell.verdict, &reached);
            // A client also chooses what else is in the row. Of what is proved to be safe, some is tried.
            let is_safe = ["ISOLATED", "CLOSED"].contains(&cell.verdict.as_str());
            let is_tried = cell.confidence != "PROVED" || tally.compared.is_multiple_of(8);
            if wrong.is_some() && !is_safe || wrong.is_none() && is_safe && is_tried {
                let chosen = self.chosen(sessions, table, who, &cell.reach);
                tally.chosen += usize::from(is_safe && chosen.is_some());
                if let Some(chosen) = chosen {
                    reached = chosen;
                    wrong = judge(&cell.verdict, &reached);
                }
            }
            if cell.verdict == "FAILING" && reached.errors.is_empty() {
                tally.failing_unseen += 1;
            }
            if cell.reach == "read-leak" && wrong.is_none() && who.user.is_some() {
                read.insert(who.label.clone(), reached.clone());
                wrong = self.audience(sessions, table, who, cell, &reached);
            }
            if let Some(wrong) = wrong {
                tally.wrong.push(format!(
                    "{}: {wrong}: {cell:?}\n{reached:?}\n{}",
                    table.name, table.summary
                ));
            }
        }
        self.nothing_is_missing(table, cells, tally);
    }

    fn reached(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        who: &Person,
        reach: &str,
    ) -> Reached {
        let owners = self.surface.owners(table);
        let rows = foreign(table, owners, who);
        let mut all = Reached::default();
        match reach {
            "read-leak" => return sessions.read(who, table, &rows),
            "tampering" => return sessions.tamper(who, table, &rows),
            "forged-rows" => return sessions.forge(who, table, &rows),
            "destruction" => return sessions.destroy(who, table, &rows),
            "take-over" => {
                for owner in owners {
                    all.extend(sessions.take_over(who, table, &rows, owner));
                }
            }
            _ => {
                for owner in owners {
                    all.extend(sessions.plant(
                        who,
                        table,
                        rows.clone(),
                        owner,
                        &victims(table, owners, who),
                    ));
                }
            }
        }
        all
    }

    /// What is reached with a row that the policies may like better than the one there is; `None` where nothing is chosen.
    fn chosen(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        who: &Person,
        reach: &str,
    ) -> Option<Reached> {
        let owners = self.surface.owners(table);
        let rows = foreign(table, owners, who);
        let me = who.user.as_ref().map(|me| format!("'{me}'"));
        let has_people =
            rows.first().is_some_and(|row| row.columns.iter().any(|(name, _)| *name == "people"));
        // Whom a list of people has in it, and another person whose row it is not, where policies may look.
        let mut lists = vec![String::new()];
        if let (Some(me), true) = (&me, has_people) {
            lists.extend([format!(", people = ARRAY[{me}]::uuid[]"), ", people = '{}'".to_owned()]);
            if !owners.iter().any(|owner| owner == "other") {
                lists.extend([", other = @owner@".to_owned(), format!(", other = {me}")]);
            }
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
            "tampering" => all.extend(sessions.sweep(who, table, &rows, "", &updates(&[]))),
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
                all.extend(sessions.sweep(who, table, &rows, "", &statements));
            }
            "planted-rows" => {
                for owner in owners {
                    let (own, change) = Sessions::own(who, table, rows.clone(), owner);
                    let statements: Vec<String> = victims(table, owners, who)
                        .iter()
                        .flat_map(|victim| updates(&[(owner.as_str(), &format!("'{victim}'"))]))
                        .collect();
                    all.extend(sessions.sweep(who, table, &own, &change, &statements));
                }
            }
            "forged-rows" => {
                let mut of: Vec<Row> = rows.iter().map(|row| row.chosen(&[])).collect();
                for victim in victims(table, owners, who).iter().filter(|_| !owners.is_empty()) {
                    let id = format!("'{victim}'");
                    of.extend(
                        rows.first().map(|row| row.chosen(&[("owner", &id), ("other", &id)])),
                    );
                }
                if let (Some(me), true) = (&me, has_people) {
                    let list = format!("ARRAY[{me}]::uuid[]");
                    let mut also: Vec<Row> =
                        of.iter().map(|row| row.chosen(&[("people", &list)])).collect();
                    if !owners.iter().any(|owner| owner == "other") {
                        also.extend(
                            of.iter().map(|row| row.chosen(&[("other", row.get("owner"))])),
                        );
                        also.extend(of.iter().map(|row| row.chosen(&[("other", me)])));
                    }
                    of.extend(also);
                }
                let statements: Vec<String> = of.iter().map(|row| row.insert(name, 1000)).collect();
                all.extend(sessions.sweep(
                    who,
                    table,
                    rows.get(..1).unwrap_or_default(),
                    "",
                    &statements,
                ));
                all.extend(sessions.forge_in_turn(who, table, &rows, owners));
            }
            _ => return None,
        }
        Some(all)
    }

    /// A leak to all reaches others than who asked, and what not all reach is no leak to all.
    fn audience(
        &self,
        sessions: &mut Sessions,
        table: &Table,
        who: &Person,
        cell: &Cell,
        reached: &Reached,
    ) -> Option<&'static str> {
        if cell.verdict == "LEAK" && cell.remark.starts_with("anyone who signs up") {
            // A new account, or an anonymous sign-in.
            let new = if who.label.contains("anonymous sign-in") {
                "anonymous sign-in"
            } else {
                "new account"
            };
            let stranger =
                self.people.iter().find(|person| person.label.contains(new)).expect("somebody new");
            let rows = foreign(table, self.surface.owners(table), stranger);
            return sessions
                .read(stranger, table, &rows)
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
        for other in self.people.iter().filter(|other| {
            other.user.is_some() && other.user != who.user && other.label.contains(" as user ")
        }) {
            let theirs = foreign(table, owners, other);
            let theirs: Vec<&Row> = theirs
                .into_iter()
                .filter(|row| foreign(table, owners, who).iter().any(|of| of.id == row.id))
                .collect();
            let seen = sessions.read(other, table, &theirs);
            also |= seen.rows.intersection(&reached.rows).next().is_some();
            all &= seen.rows.len() == theirs.len();
        }
        match is_for_all {
            true if !also => Some("no other user reaches what is said to be open to all"),
            false if all && reached.rows.len() == foreign(table, owners, who).len() => {
                Some("everybody reaches everything")
            }
            _ => None,
        }
    }

    /// A verdict for each identity and each reach, but where it is known that whoever signs up can.
    fn nothing_is_missing(&self, table: &Table, cells: &[Cell], tally: &mut Tally) {
        for reach in REACHES {
            for role in ["anon", "authenticated"] {
                let of: Vec<&Cell> =
                    cells.iter().filter(|cell| cell.reach == *reach && cell.role == role).collect();
                let asked = self.people.iter().find(|who| {
                    who.role == role && (role == "anon" || who.label.contains("new account"))
                });
                let expected = self.surface.expects(table, asked.expect("somebody"), reach);
                let has_stranger = of.iter().any(|cell| cell.identity.contains("new account"));
                let is_new = |cell: &Cell| {
                    cell.identity.contains("new account")
                        || cell.identity.contains("anonymous sign-in")
                };
                let is_open = of.iter().any(|cell| is_new(cell) && cell.verdict == "LEAK");
                let users = of.iter().filter(|cell| cell.identity.contains(" as user ")).count();
                let is_exempt =
                    self.surface.exempt.contains(&(table.name.clone(), role.to_owned()));
                let is_complete = match role {
                    "anon" => of.len() == 2,
                    _ => has_stranger && (is_open || is_exempt || !table.has_owner || users == 2),
                };
                if expected && !is_complete {
                    let seen: Vec<&str> = of.iter().map(|cell| cell.identity.as_str()).collect();
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
fn verdicts_are_what_sessions_see() {
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
    println!("made in {:.1} s", began.elapsed().as_secs_f64());
    let people = truth::people(&mut client);
    let surface = Surface::read(&mut client);
    let (cells, before) = audit(&cluster);
    assert!(before, "a session in which no claim was set is as it was");
    let began = Instant::now();
    let comparison = Comparison { people: &people, surface: &surface, cells: &cells };
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

/// All verdicts, by table; and whether the session's claims are as they were.
fn audit(cluster: &Cluster) -> (HashMap<String, Vec<Cell>>, bool) {
    let mut client = cluster.connect("property");
    run(&mut client, "SET crewsnow_ops.audit_time = '1h'");
    let began = Instant::now();
    let sql = "SELECT relation, reach, role, identity, verdict, coalesce(confidence, ''), coalesce(replace(remark, '|', '/'), '')
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
        all.chosen += tally.chosen;
        all.failing_unseen += tally.failing_unseen;
        all.wrong.extend(tally.wrong);
        for (key, n) in tally.verdicts {
            *all.verdicts.entry(key).or_default() += n;
        }
        for (key, n) in tally.untold {
            *all.untold.entry(key).or_default() += n;
        }
    }
    let untold: usize = all.untold.values().sum();
    println!("{} verdicts compared: {:?}", all.compared, all.verdicts);
    println!("INCONCLUSIVE {untold}: {:?}", all.untold);
    println!("safe whatever a client chooses: {}", all.chosen);
    println!("FAILING where none of our statements failed: {}", all.failing_unseen);
    println!("{} disagreements", all.wrong.len());
    for wrong in all.wrong.iter().take(20) {
        println!("---- {wrong}");
    }
    assert!(all.wrong.is_empty(), "{} disagreements, seed {seed}, {count} tables", all.wrong.len());
    assert!(all.compared > 5 * count, "too little was compared: {}", all.compared);
    assert!(
        untold * 50 <= all.compared,
        "too much could not be told: {untold} of {}",
        all.compared
    );
    assert!(all.chosen > count, "too little was tried with chosen rows: {}", all.chosen);
    assert!(all.failing_unseen * 50 <= all.compared, "too often FAILING: {}", all.failing_unseen);
}

/// The check can fail.
#[test]
fn wrong_verdicts_are_found() {
    let some = Reached { rows: BTreeSet::from([1]), errors: BTreeSet::new() };
    let none = Reached::default();
    for verdict in ["LEAK", "SHARED", "PUBLIC"] {
        assert!(judge(verdict, &none).is_some() && judge(verdict, &some).is_none(), "{verdict}");
    }
    for verdict in ["ISOLATED", "CLOSED"] {
        assert!(judge(verdict, &some).is_some() && judge(verdict, &none).is_none(), "{verdict}");
    }
    assert!(judge("EXEMPT", &some).is_some());
}
