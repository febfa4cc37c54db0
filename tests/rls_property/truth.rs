//! The rows that real sessions reach: statements run as the role and with the claims of a request,
//! and rolled back.
//!
//! A statement without WHERE reaches the most rows, because a WHERE also needs SELECT. So in the
//! same transaction the superuser first deletes all rows other than the tested ones.

use crate::policies::{Row, Table, user};
use harness::{Cluster, explain};
use postgres::{Client, SimpleQueryMessage};
use std::collections::BTreeSet;

/// A request as one user or none.
#[derive(Clone)]
pub struct Identity {
    /// The label of the identity in rls_matrix.
    pub label: String,
    pub role: &'static str,
    pub user: Option<String>,
    /// The claims as JSON; `None` for a session in which no claim was ever set.
    claims: Option<String>,
}

/// All identities: those without an account, and one for each account of app.sql. Their claims have
/// the form of Supabase's.
pub fn identities(client: &mut Client) -> Vec<Identity> {
    let identity = |label: String, role, user: Option<String>, claims: Option<String>| Identity {
        label,
        role,
        user,
        claims,
    };
    let new_user = "5f0c8bb6-58c5-4f6a-9d6e-0c5c1d1b9f3a";
    let mut identities = vec![
        identity("anon without claims".into(), "anon", None, None),
        identity(
            "anon with the anonymous key".into(),
            "anon",
            None,
            Some(r#"{"role": "anon"}"#.into()),
        ),
    ];
    let claims = |id: &str, email: &str, app: &str, user: &str, is_anonymous: &str| {
        format!(
            r#"{{"sub": "{id}", "role": "authenticated", "aud": "authenticated", "aal": "aal1",
                "email": "{email}",
                "app_metadata": {app}, "user_metadata": {user}, "is_anonymous": {is_anonymous}}}"#
        )
    };
    let new_account = claims(new_user, "", "{}", "{}", "false");
    identities.push(identity(
        "authenticated as a new account".into(),
        "authenticated",
        Some(new_user.into()),
        Some(new_account),
    ));
    let anonymous = claims(new_user, "", "{}", "{}", "true");
    let label = "authenticated as an anonymous sign-in".into();
    identities.push(identity(label, "authenticated", Some(new_user.into()), Some(anonymous)));
    let second = claims(new_user, "", "{}", "{}", "false").replace("aal1", "aal2");
    let label = "authenticated with a second factor".into();
    identities.push(identity(label, "authenticated", Some(new_user.into()), Some(second)));
    let role = "authenticated";
    identities.push(identity(format!("{role} without claims"), role, None, None));
    let only_role = Some(format!(r#"{{"role": "{role}"}}"#));
    identities.push(identity(format!("{role} without a user"), role, None, only_role));
    for number in 1..=7 {
        let id = user(number);
        let row = client
            .query_one(
                &format!(
                    "SELECT substr(md5(id::text), 1, 8), coalesce(email, ''),
                        coalesce(raw_app_meta_data, '{{}}')::text,
                        coalesce(raw_user_meta_data, '{{}}')::text, is_anonymous::text
                     FROM auth.users WHERE id = '{id}'"
                ),
                &[],
            )
            .expect("an account");
        let text = |i: usize| row.get::<_, String>(i);
        let claims = claims(&id, &text(1), &text(2), &text(3), &text(4));
        identities.push(identity(
            format!("authenticated as user {}", text(0)),
            "authenticated",
            Some(id),
            Some(claims),
        ));
    }
    identities
}

/// The team that the audit tries as one that no row has.
const UNKNOWN_TEAM: &str = "-2147483646";

/// A new account with tried claims, from a label such as `authenticated with app_metadata.team of
/// row 1`; `None` for other labels.
pub fn with_claims(new_account: &Identity, label: &str, table: &Table) -> Option<Identity> {
    let mut claims: serde_json::Value =
        serde_json::from_str(new_account.claims.as_ref()?).expect("claims are JSON");
    for assignment in label.strip_prefix("authenticated with ")?.split(", ") {
        let (path, value) = if let Some((path, value)) = assignment.split_once(" = ") {
            (path, value.to_owned())
        } else if let Some((path, number)) = assignment.split_once(" of row ") {
            // The column that the policies compare with the claim.
            let column = if path.ends_with("friends") { "owner" } else { "team" };
            let mut values: Vec<&str> = Vec::new();
            for value in table.rows.iter().map(|row| row.get(column).trim_matches('\'')) {
                if value != "NULL" && !values.contains(&value) {
                    values.push(value);
                }
            }
            (path, (*values.get(number.parse::<usize>().ok()? - 1)?).to_owned())
        } else {
            let path = assignment.strip_prefix("any ")?;
            let is_number = path.ends_with("team");
            (path, if is_number { UNKNOWN_TEAM } else { "crewsnow-ops" }.to_owned())
        };
        let mut place = &mut claims;
        for key in path.split('.') {
            place = &mut place[key];
        }
        *place = value.into();
    }
    Some(Identity {
        label: label.to_owned(),
        claims: Some(claims.to_string()),
        ..new_account.clone()
    })
}

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
}

impl Sessions {
    pub fn new(cluster: &Cluster, database: &str) -> Self {
        Self { without_claims: cluster.connect(database), with_claims: cluster.connect(database) }
    }

    /// Runs `before` as superuser and `statement` as the identity. Returns the number of rows.
    fn attempt(
        &mut self,
        identity: &Identity,
        table: &Table,
        before: &str,
        statement: &str,
    ) -> Result<u64, String> {
        let mut sql = format!("BEGIN; {before}; ");
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
            &format!("UPDATE {} SET {column} = '{me}'", table.name),
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
        let own: Vec<&Row> =
            table.rows.iter().filter(|row| row.get(column) == format!("'{me}'")).collect();
        match own.is_empty() {
            false => (own, String::new()),
            // A new account owns no row yet.
            true => (
                foreign,
                format!(
                    "; SET LOCAL session_replication_role = replica;
                     UPDATE {} SET {column} = '{me}'; SET LOCAL session_replication_role = origin",
                    table.name
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
            let statement = format!("UPDATE {} SET {column} = '{victim}'", table.name);
            let reached = self.each(identity, table, &rows, &change, &statement);
            all.rows.extend(reached.rows);
            all.errors.extend(reached.errors);
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
