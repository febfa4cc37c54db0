//! The foreign rows that real sessions reach, for comparison with the verdicts of rls_matrix.

use harness::{explain, rows};
use postgres::{Client, SimpleQueryMessage};
use std::collections::{BTreeMap, BTreeSet};

/// A table and the statements that show whose rows a session reaches. `@user@` stands for a user.
pub struct Shape {
    pub table: &'static str,
    /// The condition that a row names the user.
    pub own: &'static str,
    /// A SET clause that changes a row and not its owner.
    pub change: &'static str,
    /// SET clauses that give a row to the user.
    pub give: &'static [&'static str],
    /// INSERT statements of a row that only the user owns.
    pub insert: &'static [&'static str],
}

/// A request: role and user.
type Session<'a> = (&'a str, Option<&'a str>);

const NEW_ACCOUNT: &str = "5f0c8bb6-58c5-4f6a-9d6e-0c5c1d1b9f3a";

pub fn user(number: usize) -> String {
    format!("00000000-0000-4000-8000-00000000000{number}")
}

/// Runs a statement as a session on the rows that `kept` admits, and rolls back. Whether it reached
/// a row: a violated key shows that the policies had let the row through.
fn reaches(
    client: &mut Client,
    shape: &Shape,
    session: Session<'_>,
    kept: &str,
    sql: &str,
) -> bool {
    let (role, user) = session;
    let claims = match user {
        Some(user) => format!(r#"{{"sub": "{user}", "role": "{role}"}}"#),
        None => format!(r#"{{"role": "{role}"}}"#),
    };
    client
        .batch_execute(&format!(
            "BEGIN; SET LOCAL session_replication_role = replica;
             DELETE FROM {} WHERE ({kept}) IS NOT TRUE;
             SET LOCAL session_replication_role = origin;
             SET LOCAL request.jwt.claims = '{claims}'; SET LOCAL ROLE {role}",
            shape.table
        ))
        .unwrap_or_else(|error| panic!("{}: {}", shape.table, explain(&error)));
    let result = client.simple_query(sql);
    client.batch_execute("ROLLBACK").expect("a rollback");
    match result {
        Ok(messages) => messages.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).is_some_and(|count| count != "0"),
            SimpleQueryMessage::CommandComplete(count) => !sql.starts_with("SELECT") && *count > 0,
            _ => false,
        }),
        Err(error) => {
            let code = error.code().map_or("", |code| code.code()).to_owned();
            assert!(
                ["42501", "23503", "23505"].contains(&code.as_str()),
                "{sql}: {}",
                explain(&error)
            );
            code != "42501"
        }
    }
}

/// Whether a session reaches foreign rows.
fn reaches_foreign(
    client: &mut Client,
    shape: &Shape,
    session: Session<'_>,
    others: &[String],
    reach: &str,
) -> bool {
    let table = shape.table;
    let put = |sql: &str, user: &str| sql.replace("@user@", user);
    let own = session.1.map_or("false".to_owned(), |me| put(shape.own, me));
    let foreign = format!("({own}) IS NOT TRUE");
    let victims: Vec<&String> =
        others.iter().filter(|other| Some(other.as_str()) != session.1).collect();
    let (kept, statements): (&str, Vec<String>) = match (reach, session.1) {
        ("read-leak", _) => (&foreign, vec![format!("SELECT count(*) FROM {table}")]),
        ("tampering", _) => (&foreign, vec![format!("UPDATE {table} SET {}", shape.change)]),
        ("destruction", _) => (&foreign, vec![format!("DELETE FROM {table}")]),
        ("forged-rows", _) => {
            let of = |victim: &&String| shape.insert.iter().map(|sql| put(sql, victim)).collect();
            (&foreign, victims.iter().map(of).collect::<Vec<Vec<_>>>().concat())
        }
        ("take-over", Some(me)) => {
            let to_me = |give: &&str| format!("UPDATE {table} SET {}", put(give, me));
            (&foreign, shape.give.iter().map(to_me).collect())
        }
        ("planted-rows", Some(_)) => {
            let to = |victim: &&String| {
                let give = shape.give.iter();
                give.map(|give| format!("UPDATE {table} SET {}", put(give, victim))).collect()
            };
            (&own, victims.iter().map(to).collect::<Vec<Vec<_>>>().concat())
        }
        _ => return false,
    };
    statements.iter().any(|sql| reaches(client, shape, session, kept, sql))
}

/// Compares rls_matrix with real sessions of these accounts, of a new account and without one.
/// Returns the open cells, and each contradiction as text.
pub fn compare(
    client: &mut Client,
    shapes: &[Shape],
    accounts: &[String],
) -> (BTreeSet<String>, Vec<String>) {
    let mut verdicts: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for row in rows(
        client,
        "SELECT DISTINCT relation, reach, role, verdict FROM crewsnow_ops.rls_matrix()",
    ) {
        let parts: Vec<String> = row.split('|').map(str::to_owned).collect();
        let key = (parts[0].clone(), parts[1].clone(), parts[2].clone());
        verdicts.entry(key).or_default().insert(parts[3].clone());
    }
    let mut users: Vec<&str> = accounts.iter().map(String::as_str).collect();
    users.push(NEW_ACCOUNT);
    let (mut open, mut wrong) = (BTreeSet::new(), Vec::new());
    for shape in shapes {
        for reach in
            ["read-leak", "tampering", "take-over", "planted-rows", "forged-rows", "destruction"]
        {
            for role in ["anon", "authenticated"] {
                let sessions: Vec<Session<'_>> = match role {
                    "anon" => vec![(role, None)],
                    _ => users.iter().map(|user| (role, Some(*user))).collect(),
                };
                let is_open = sessions
                    .iter()
                    .any(|session| reaches_foreign(client, shape, *session, accounts, reach));
                let key = (shape.table.to_owned(), reach.to_owned(), role.to_owned());
                let cell = format!("{} {reach} {role}", shape.table);
                let none = BTreeSet::new();
                let found = verdicts.get(&key).unwrap_or(&none);
                let is_told =
                    ["LEAK", "SHARED", "PUBLIC", "EXEMPT"].iter().any(|word| found.contains(*word));
                let is_left_open = found.contains("INCONCLUSIVE");
                if is_open {
                    open.insert(cell.clone());
                }
                if is_open && !is_told && !is_left_open {
                    wrong.push(format!("missed: {cell}: {found:?}"));
                }
                if !is_open && is_told {
                    wrong.push(format!("wrong alarm: {cell}: {found:?}"));
                }
            }
        }
    }
    (open, wrong)
}
