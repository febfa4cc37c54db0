//! The audit agrees with real sessions on random schemas. The suite generates tables with random
//! policies, privileges and rows, and compares verdicts and findings with statements that it runs
//! and rolls back.
//!
//! CREWSNOW_RLS_TABLES is the number of tables whose verdicts are compared. The numbers of the
//! other generated objects follow from it. CREWSNOW_RLS_SEED selects them all; the default is
//! fixed, so a new failure comes from a changed program.

mod comparison;
mod definer_findings;
mod definers;
mod identities;
mod memberships;
mod owners;
mod policies;
mod reaches;
mod remediations;
mod sessions;
mod surface;
mod tally;
mod team_findings;

use comparison::{Cell, Comparison};
use harness::random::Random;
use harness::{Cluster, rows, run};
use policies::Table;
use postgres::Client;
use sessions::Sessions;
use std::collections::HashMap;
use std::time::Instant;
use surface::Surface;
use tally::Tally;

/// The default of CREWSNOW_RLS_SEED.
const SEED: u64 = 21;
/// The default of CREWSNOW_RLS_TABLES.
const TABLES: usize = 1_600;
/// Number of threads that compare, each with sessions of its own.
const THREADS: usize = 2;

/// Settings of the servers.
const SETTINGS: &str = "autovacuum = off\nmax_locks_per_transaction = 1000\nshared_buffers = 256MB";

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

fn seed() -> u64 {
    number("CREWSNOW_RLS_SEED").unwrap_or(SEED)
}

fn table_count() -> usize {
    number("CREWSNOW_RLS_TABLES").map_or(TABLES, |count| count as usize)
}

/// Runs work on each part of some items, in threads.
fn in_threads<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|part| scope.spawn(move || work(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread ends")).collect()
    })
}

/// A database with the roles, accounts and functions of app.sql.
fn application(cluster: &Cluster, database: &str) -> Client {
    let mut client = cluster.create_database(database);
    run(&mut client, include_str!("app.sql"));
    client
}

fn create<'a>(client: &mut Client, tables: impl IntoIterator<Item = &'a Table>) {
    let began = Instant::now();
    let tables: Vec<&Table> = tables.into_iter().collect();
    for tables in tables.chunks(50) {
        run(client, &tables.iter().map(|table| table.sql.as_str()).collect::<String>());
    }
    run(client, "ANALYZE");
    println!("created in {:.1} s", began.elapsed().as_secs_f64());
}

/// All verdicts, by table, and whether the audit left claims and role of its session unchanged.
fn audit(cluster: &Cluster, database: &str) -> (HashMap<String, Vec<Cell>>, bool) {
    let mut client = cluster.connect(database);
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

/// Compares the verdicts on tables with real sessions.
fn compare(cluster: &Cluster, database: &str, tables: &[&Table]) -> Tally {
    let mut client = cluster.connect(database);
    let identities = identities::identities(&mut client);
    let surface = Surface::read(&mut client);
    let (cells, is_unchanged) = audit(cluster, database);
    assert!(is_unchanged, "the audit leaves claims and role of its session unchanged");
    let began = Instant::now();
    let comparison = Comparison { identities: &identities, surface: &surface, cells: &cells };
    let tallies = in_threads(|part| {
        let mut tally = Tally::default();
        let mut sessions = Sessions::new(cluster, database);
        for table in tables.iter().skip(part).step_by(THREADS) {
            comparison.table(&mut sessions, table, &mut tally);
        }
        tally
    });
    println!("compared in {:.1} s", began.elapsed().as_secs_f64());
    Tally::sum(tallies)
}

#[test]
fn verdicts_agree_with_real_sessions() {
    let (seed, count) = (seed(), table_count());
    println!("seed {seed}, {count} tables");
    let cluster = Cluster::start("rls_property", SETTINGS);
    let mut client = application(&cluster, "property");
    let mut random = Random(seed);
    let tables: Vec<Table> =
        (0..count).map(|number| policies::table(&mut random, number)).collect();
    create(&mut client, &tables);
    compare(&cluster, "property", &tables.iter().collect::<Vec<_>>()).report(seed, count);
}
