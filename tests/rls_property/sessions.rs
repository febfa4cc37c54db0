//! The rows that real sessions reach: statements run as the role and with the claims of a request,
//! and rolled back.
//!
//! A statement without WHERE reaches the most rows, because a WHERE also needs SELECT. So in the
//! same transaction the superuser first deletes all rows other than the tested ones.

use crate::identities::{Identity, UNKNOWN_TEAM};
use crate::owners::{literal, names};
use crate::policies::{Row, Table};
use harness::{Cluster, explain};
use postgres::{Client, SimpleQueryMessage};
use std::collections::BTreeSet;

/// The result of a statement.
#[derive(Debug, Default, Clone)]
pub struct Reached {
    /// The ids of the rows that the statement reached.
    pub rows: BTreeSet<usize>,
    /// Errors other than a violated policy.
    pub errors: BTreeSet<String>,
}

impl Reached {
    /// Adds the result of another statement.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.errors.extend(other.errors);
    }
}

/// The sessions that run the statements.
pub struct Sessions {
    /// No claim was ever set in this session.
    without_claims: Client,
    with_claims: Client,
    /// SQL that the superuser runs before each statement, such as a GRANT; may be empty.
    pub preparation: String,
}

impl Sessions {
    pub fn new(cluster: &Cluster, database: &str) -> Self {
        Self {
            without_claims: cluster.connect(database),
            with_claims: cluster.connect(database),
            preparation: String::new(),
        }
    }

    /// A transaction with `before` as superuser and `statement` as the identity, and the session
    /// for it.
    fn request(
        &mut self,
        identity: &Identity,
        before: &str,
        statement: &str,
    ) -> (String, &mut Client) {
        let mut sql = format!("BEGIN; {}; {before}; ", self.preparation);
        let client = match &identity.claims {
            None => &mut self.without_claims,
            Some(claims) => {
                sql += &format!(
                    "SET LOCAL request.jwt.claims = '{claims}';
                     SET LOCAL request.jwt.claim.sub = '{}';
                     SET LOCAL request.jwt.claim.role = '{}'; ",
                    identity.user.as_deref().unwrap_or_default(),
                    identity.role
                );
                &mut self.with_claims
            }
        };
        sql += &format!("SET LOCAL ROLE {}; {statement}; ROLLBACK", identity.role);
        (sql, client)
    }

    /// Runs `before` as superuser and `statement` as the identity. Returns the number of rows.
    fn attempt(
        &mut self,
        identity: &Identity,
        table: &Table,
        before: &str,
        statement: &str,
    ) -> Result<u64, String> {
        let (sql, client) = self.request(identity, before, statement);
        match client.simple_query(&sql) {
            Ok(messages) => {
                let row = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                    _ => None,
                });
                let tags = messages.iter().rev().filter_map(|message| match message {
                    SimpleQueryMessage::CommandComplete(count) => Some(*count),
                    _ => None,
                });
                // The last command is ROLLBACK.
                Ok(row.or(tags.into_iter().nth(1)).expect("the statement's count"))
            }
            Err(error) => {
                client.batch_execute("ROLLBACK").expect("a transaction ends");
                let code =
                    error.as_db_error().map(|e| e.code().code().to_owned()).unwrap_or_default();
                let is_denial = code == "42501" && explain(&error).contains("row-level security");
                match code.as_str() {
                    _ if is_denial => Ok(0),
                    // The server checks constraints after policies, so the policies admitted the
                    // row.
                    "23503" | "23505" | "23502" => Ok(1),
                    "" => panic!("{sql}: {error}"),
                    _ => Err(format!("{code} on {}: {}", table.name, explain(&error))),
                }
            }
        }
    }

    /// The first value that a query returns to the identity; empty for NULL, no row or an error.
    pub fn answer(&mut self, identity: &Identity, query: &str) -> String {
        let (sql, client) = self.request(identity, "", query);
        let answer = client.simple_query(&sql);
        if answer.is_err() {
            client.batch_execute("ROLLBACK").expect("a transaction ends");
        }
        let messages = answer.unwrap_or_default();
        let value = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        value.unwrap_or_default().to_owned()
    }

    /// Runs a statement on each row alone. `change` is SQL that prepares the row, or empty.
    fn each(
        &mut self,
        identity: &Identity,
        table: &Table,
        rows: &[&Row],
        change: &str,
        statement: &str,
    ) -> Reached {
        let name = &table.name;
        let ids = |rows: &[&Row]| {
            rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>().join(", ")
        };
        let mut reached = Reached::default();
        if rows.is_empty() {
            return reached;
        }
        let before =
            |kept: &[&Row]| format!("DELETE FROM {name} WHERE id NOT IN ({}){change}", ids(kept));
        // First on all rows at once: if it reaches none or all of them, that decides.
        match self.attempt(identity, table, &before(rows), statement) {
            Ok(count) if count == rows.len() as u64 && rows.len() > 1 => {
                reached.rows = rows.iter().map(|row| row.id).collect();
            }
            Ok(0) if statement.starts_with("SELECT") || statement.starts_with("DELETE") => {}
            _ => {
                for row in rows {
                    match self.attempt(identity, table, &before(&[row]), statement) {
                        Ok(0) => {}
                        Ok(_) => {
                            reached.rows.insert(row.id);
                        }
                        Err(error) => {
                            reached.errors.insert(error);
                        }
                    }
                }
            }
        }
        reached
    }

    pub fn read(&mut self, identity: &Identity, table: &Table, rows: &[&Row]) -> Reached {
        self.each(identity, table, rows, "", &format!("SELECT count(*) FROM {}", table.name))
    }

    pub fn destroy(&mut self, identity: &Identity, table: &Table, rows: &[&Row]) -> Reached {
        self.each(identity, table, rows, "", &format!("DELETE FROM {}", table.name))
    }

    /// Sets a column to the value that it has, so the new row equals the old one.
    pub fn tamper(&mut self, identity: &Identity, table: &Table, rows: &[&Row]) -> Reached {
        self.each(identity, table, rows, "", &format!("UPDATE {} SET note = 'x'", table.name))
    }

    pub fn take_over(
        &mut self,
        identity: &Identity,
        table: &Table,
        rows: &[&Row],
        column: &str,
    ) -> Reached {
        let Some(me) = &identity.user else { return Reached::default() };
        self.each(
            identity,
            table,
            rows,
            "",
            &format!("UPDATE {} SET {column} = {}", table.name, literal(column, me)),
        )
    }

    /// The first row that one of the statements reaches with some team and some visibility. In the
    /// statements, `@team@` and `@public@` stand for these, and `@owner@` for the owner of the row.
    pub fn sweep(
        &mut self,
        identity: &Identity,
        table: &Table,
        rows: &[&Row],
        change: &str,
        statements: &[String],
    ) -> Reached {
        let mut reached = Reached::default();
        if rows.is_empty() || statements.is_empty() {
            return reached;
        }
        let attempts: String = statements
            .iter()
            .map(|statement| {
                let statement = statement.replace("@team@", "t").replace("@public@", "p");
                format!(
                    "BEGIN {statement}; GET DIAGNOSTICS n = ROW_COUNT; hits := hits + n;
                    EXCEPTION WHEN foreign_key_violation OR unique_violation OR not_null_violation
                        THEN hits := hits + 1; WHEN OTHERS THEN NULL; END;"
                )
            })
            .collect();
        let script = format!(
            "DO $sweep$ DECLARE p boolean; t integer; n integer; hits integer := 0;
            BEGIN
                FOREACH p IN ARRAY ARRAY[true, false, NULL] LOOP
                FOREACH t IN ARRAY ARRAY[0, 1, 2, 3, 4, NULL, {UNKNOWN_TEAM}] LOOP
                    IF hits = 0 THEN {attempts} END IF;
                END LOOP; END LOOP;
                PERFORM set_config('property.hits', hits::text, true);
            END $sweep$; SELECT current_setting('property.hits')"
        );
        for row in rows {
            let before = format!("DELETE FROM {} WHERE id NOT IN ({}){change}", table.name, row.id);
            match self.attempt(
                identity,
                table,
                &before,
                &script.replace("@owner@", row.get("owner")),
            ) {
                Ok(0) => {}
                Ok(_) => {
                    reached.rows.insert(row.id);
                    break;
                }
                Err(error) => {
                    reached.errors.insert(error);
                }
            }
        }
        reached
    }

    /// Inserts rows of several owner columns: one names another user, the others the identity. The
    /// first row counts as reached if this works for each owner column.
    pub fn forge_in_turn(
        &mut self,
        identity: &Identity,
        table: &Table,
        rows: &[&Row],
        owners: &[String],
    ) -> Reached {
        let mut reached = Reached::default();
        // An existing account, because the column may have a foreign key to the accounts.
        let known = rows
            .iter()
            .flat_map(|row| owners.iter().map(|owner| row.get(owner)))
            .find(|id| *id != "NULL");
        let other_user =
            known.map_or("'00000000-0000-4000-8000-000000000001'".to_owned(), ToString::to_string);
        let (Some(row), true, Some(me)) = (rows.first(), owners.len() > 1, &identity.user) else {
            return reached;
        };
        let me = format!("'{me}'");
        let works_for_each = owners.iter().all(|victim| {
            let ids = owners
                .iter()
                .map(|owner| (owner.as_str(), if owner == victim { &other_user } else { &me }));
            let row =
                row.candidate(&ids.map(|(owner, id)| (owner, id.as_str())).collect::<Vec<_>>());
            !self
                .sweep(identity, table, &rows[..1], "", &[row.insert(&table.name, 1000)])
                .rows
                .is_empty()
        });
        if works_for_each {
            reached.rows.insert(row.id);
        }
        reached
    }

    /// The rows that the identity owns by a column. If there are none, foreign rows, with the SQL
    /// that gives them to the identity.
    pub fn own<'a>(
        identity: &Identity,
        table: &'a Table,
        foreign: Vec<&'a Row>,
        column: &str,
    ) -> (Vec<&'a Row>, String) {
        let Some(me) = &identity.user else { return (Vec::new(), String::new()) };
        let own: Vec<&Row> = table.rows.iter().filter(|row| names(row, column, me)).collect();
        match own.is_empty() {
            false => (own, String::new()),
            // A new account owns no row yet.
            true => (
                foreign,
                format!(
                    "; SET LOCAL session_replication_role = replica;
                     UPDATE {} SET {column} = {}; SET LOCAL session_replication_role = origin",
                    table.name,
                    literal(column, me)
                ),
            ),
        }
    }

    /// Gives own rows to other users.
    pub fn plant(
        &mut self,
        identity: &Identity,
        table: &Table,
        foreign: Vec<&Row>,
        column: &str,
        victims: &[String],
    ) -> Reached {
        let (rows, change) = Self::own(identity, table, foreign, column);
        let mut all = Reached::default();
        for victim in victims {
            let value = literal(column, victim);
            let statement = format!("UPDATE {} SET {column} = {value}", table.name);
            all.extend(self.each(identity, table, &rows, &change, &statement));
        }
        all
    }

    /// Inserts copies of the rows.
    pub fn forge(&mut self, identity: &Identity, table: &Table, rows: &[&Row]) -> Reached {
        let mut reached = Reached::default();
        for row in rows {
            match self.attempt(
                identity,
                table,
                &format!("DELETE FROM {} WHERE false", table.name),
                &row.insert(&table.name, 1000),
            ) {
                Ok(0) => {}
                Ok(_) => {
                    reached.rows.insert(row.id);
                }
                Err(error) => {
                    reached.errors.insert(error);
                }
            }
        }
        reached
    }
}
