//! Runs changed in-server tests on the parent's library. It was built with the present
//! `server_tests.rs` files, which make each test an SQL function in the schema `tests`.

use crate::changes::Test;
use crate::verdict::{Outcome, Verdict};
use harness::{Cluster, rows, run};
use postgres::Client;

const TIMEOUT: &str = "20s";
/// SQLSTATE of a statement that the time limit ended.
const QUERY_CANCELED: &str = "57014";

/// The error message that a test expects, from its attribute `#[pg_test(error = "…")]`.
fn expected_error(text: &str) -> Option<String> {
    let (attribute, _) = text.strip_prefix("#[pg_test(")?.split_once(")]")?;
    let (_, literal) = attribute.split_once("error = \"")?;
    let mut message = String::new();
    let mut characters = literal.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(message),
            '\\' => message.extend(characters.next().filter(|escaped| *escaped != '\n')),
            other => message.push(other),
        }
    }
    None
}

fn function(test: &Test) -> &str {
    test.path.rsplit("::").next().unwrap_or_default()
}

/// Runs one test as the harness of pgrx does: in a transaction that is rolled back.
fn outcome(client: &mut Client, test: &Test) -> Outcome {
    let name = function(test);
    let is_there = "SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace \
        WHERE n.nspname = 'tests' AND p.proname = $1";
    if client.query_opt(is_there, &[&name]).expect("the catalog is read").is_none() {
        return Outcome::NotCompiled;
    }
    let call = format!("BEGIN; SET LOCAL statement_timeout = '{TIMEOUT}'; SELECT tests.{name}()");
    let expected = expected_error(test.text());
    let outcome = match client.batch_execute(&call) {
        Ok(()) if expected.is_none() => Outcome::Passed,
        Ok(()) => Outcome::Failed,
        Err(error) if error.code().is_some_and(|code| code.code() == QUERY_CANCELED) => {
            Outcome::Unfinished
        }
        Err(error) => match (error.as_db_error(), expected) {
            (Some(found), Some(expected)) if found.message() == expected => Outcome::Passed,
            _ => Outcome::Failed,
        },
    };
    if !client.is_closed() {
        run(client, "ROLLBACK");
    }
    outcome
}

/// Judges the changed tests and prints each verdict. `unchanged` tests must pass, or the parent's
/// library was built wrongly.
pub fn judge(changed: &[Test], unchanged: &[Test]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut session = None;
    let mut print = |test: &Test, verdict: Verdict| {
        println!("    in the server {}: {verdict}", function(test));
        verdicts.push(verdict);
    };
    let (excused, to_run): (Vec<_>, Vec<_>) =
        changed.iter().partition(|test| test.reason.is_some());
    for test in excused {
        print(test, Verdict::of_reason(test.reason.as_deref().unwrap_or_default()));
    }
    if to_run.is_empty() {
        return verdicts;
    }
    if std::env::var_os("CREWSNOW_NOT_COMPILED").is_some() {
        to_run.iter().for_each(|test| print(test, Verdict::of(Outcome::NotCompiled)));
        return verdicts;
    }
    let cluster = Cluster::start("in_server", "");
    let mut judged = |test: &Test| {
        let client = session.get_or_insert_with(|| connect(&cluster));
        let outcome = outcome(client, test);
        if client.is_closed() {
            session = None;
        }
        outcome
    };
    let sound = unchanged.iter().filter(|test| judged(test) == Outcome::Passed).count();
    assert!(sound * 10 >= unchanged.len() * 9, "{sound} of {} unchanged tests", unchanged.len());
    to_run.iter().for_each(|test| print(test, Verdict::of(judged(test))));
    verdicts
}

/// A session in a database with the extension and its test functions.
fn connect(cluster: &Cluster) -> Client {
    let mut postgres = cluster.connect("postgres");
    if rows(&mut postgres, "SELECT 1 FROM pg_database WHERE datname = 'in_server'").is_empty() {
        return cluster.create_database("in_server");
    }
    cluster.connect("in_server")
}

#[test]
fn the_expected_error_is_read_from_the_attribute() {
    let error = |attribute: &str| expected_error(&format!("{attribute}\nfn a() {{\n}}"));
    assert_eq!(error("#[pg_test]"), None);
    assert_eq!(error("#[pg_test(error = \"no \\\"x\\\" (1)\")]").as_deref(), Some("no \"x\" (1)"));
    assert_eq!(error("#[pg_test(\nerror = \"a b\"\n)]").as_deref(), Some("a b"));
}
