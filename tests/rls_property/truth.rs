//! What real sessions reach: the statements themselves, run as the role with the claims of a request, and rolled back.
//!
//! So that a statement without WHERE, which is the widest, tells of the rows in question alone, all others are deleted before it, by the
//! superuser and in the same transaction.

use crate::policies::{Row, Table, user};
use harness::{Cluster, explain};
use postgres::{Client, SimpleQueryMessage};
use std::collections::BTreeSet;

/// Somebody who asks.
#[derive(Clone)]
pub struct Person {
    /// As the audit calls them.
    pub label: String,
    pub role: &'static str,
    pub user: Option<String>,
    /// The claims of their requests; `None` where there are none.
    claims: Option<String>,
}

/// Everybody who asks. The accounts are those of app.sql, with the claims that Supabase makes of them.
pub fn people(client: &mut Client) -> Vec<Person> {
    let somebody = |label: String, role, user: Option<String>, claims: Option<String>| Person {
        label,
        role,
        user,
        claims,
    };
    let stranger = "5f0c8bb6-58c5-4f6a-9d6e-0c5c1d1b9f3a";
    let mut people = vec![
        somebody("anon without claims".into(), "anon", None, None),
        somebody(
            "anon with the anonymous key".into(),
            "anon",
            None,
            Some(r#"{"role": "anon"}"#.into()),
        ),
    ];
    let claims = |id: &str, email: &str, app: &str, own: &str, is_anonymous: &str| {
        format!(
            r#"{{"sub": "{id}", "role": "authenticated", "aud": "authenticated", "aal": "aal1", "email": "{email}",
                "app_metadata": {app}, "user_metadata": {own}, "is_anonymous": {is_anonymous}}}"#
        )
    };
    let new = claims(stranger, "", "{}", "{}", "false");
    people.push(somebody(
        "authenticated as a new account".into(),
        "authenticated",
        Some(stranger.into()),
        Some(new),
    ));
    let guest = claims(stranger, "", "{}", "{}", "true");
    let label = "authenticated as an anonymous sign-in".into();
    people.push(somebody(label, "authenticated", Some(stranger.into()), Some(guest)));
    for number in 1..=7 {
        let id = user(number);
        let row = client
            .query_one(
                &format!(
                    "SELECT substr(md5(id::text), 1, 8), coalesce(email, ''), coalesce(raw_app_meta_data, '{{}}')::text,
                        coalesce(raw_user_meta_data, '{{}}')::text, is_anonymous::text FROM auth.users WHERE id = '{id}'"
                ),
                &[],
            )
            .expect("an account");
        let text = |i: usize| row.get::<_, String>(i);
        let claims = claims(&id, &text(1), &text(2), &text(3), &text(4));
        people.push(somebody(
            format!("authenticated as user {}", text(0)),
            "authenticated",
            Some(id),
            Some(claims),
        ));
    }
    people
}

/// What was reached.
#[derive(Debug, Default, Clone)]
pub struct Reached {
    /// The rows, by id.
    pub rows: BTreeSet<usize>,
    /// Errors other than that row-level security forbids it.
    pub errors: BTreeSet<String>,
}

impl Reached {
    /// Adds what was reached otherwise.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.errors.extend(other.errors);
    }
}

/// Sessions to try it in.
pub struct Sessions {
    /// One in which no claim was ever set.
    bare: Client,
    other: Client,
}

impl Sessions {
    pub fn new(cluster: &Cluster, database: &str) -> Self {
        Self { bare: cluster.connect(database), other: cluster.connect(database) }
    }

    /// Runs a statement as somebody on these rows alone: how many it reached.
    fn attempt(
        &mut self,
        who: &Person,
        table: &Table,
        before: &str,
        statement: &str,
    ) -> Result<u64, String> {
        let mut sql = format!("BEGIN; {before}; ");
        let client = match &who.claims {
            None => &mut self.bare,
            Some(claims) => {
                sql += &format!(
                    "SET LOCAL request.jwt.claims = '{claims}'; SET LOCAL request.jwt.claim.sub = '{}'; SET LOCAL request.jwt.claim.role = '{}'; ",
                    who.user.as_deref().unwrap_or_default(),
                    who.role
                );
                &mut self.other
            }
        };
        sql += &format!("SET LOCAL ROLE {}; {statement}; ROLLBACK", who.role);
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
                // The last is ROLLBACK's.
                Ok(row.or(tags.into_iter().nth(1)).expect("the statement's count"))
            }
            Err(error) => {
                client.batch_execute("ROLLBACK").expect("a transaction ends");
                let code =
                    error.as_db_error().map(|e| e.code().code().to_owned()).unwrap_or_default();
                let is_denial = code == "42501" && explain(&error).contains("row-level security");
                match code.as_str() {
                    _ if is_denial => Ok(0),
                    // Constraints are looked at when row-level security has let the row through.
                    "23503" | "23505" | "23502" => Ok(1),
                    "" => panic!("{sql}: {error}"),
                    _ => Err(format!("{code} on {}: {}", table.name, explain(&error))),
                }
            }
        }
    }

    /// Which of some rows a statement reaches, which has `@id@` where it names the row.
    fn each(
        &mut self,
        who: &Person,
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
        // All at once, where that tells: none, or all.
        match self.attempt(who, table, &before(rows), statement) {
            Ok(count) if count == rows.len() as u64 && rows.len() > 1 => {
                reached.rows = rows.iter().map(|row| row.id).collect();
            }
            Ok(0) if statement.starts_with("SELECT") || statement.starts_with("DELETE") => {}
            _ => {
                for row in rows {
                    match self.attempt(who, table, &before(&[row]), statement) {
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

    pub fn read(&mut self, who: &Person, table: &Table, rows: &[&Row]) -> Reached {
        self.each(who, table, rows, "", &format!("SELECT count(*) FROM {}", table.name))
    }

    pub fn destroy(&mut self, who: &Person, table: &Table, rows: &[&Row]) -> Reached {
        self.each(who, table, rows, "", &format!("DELETE FROM {}", table.name))
    }

    /// To what it is already, so that the new row is the old one.
    pub fn tamper(&mut self, who: &Person, table: &Table, rows: &[&Row]) -> Reached {
        self.each(who, table, rows, "", &format!("UPDATE {} SET note = 'x'", table.name))
    }

    pub fn take_over(
        &mut self,
        who: &Person,
        table: &Table,
        rows: &[&Row],
        column: &str,
    ) -> Reached {
        let Some(me) = &who.user else { return Reached::default() };
        self.each(who, table, rows, "", &format!("UPDATE {} SET {column} = '{me}'", table.name))
    }

    /// Which rows can be written with values that a client chooses: one of the statements with some team and some visibility, `@team@` and
    /// `@public@` in them, and `@owner@` for the row's. The rows are looked at one by one until one is reached.
    pub fn sweep(
        &mut self,
        who: &Person,
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
                    EXCEPTION WHEN foreign_key_violation OR unique_violation OR not_null_violation THEN hits := hits + 1; WHEN OTHERS THEN NULL; END;"
                )
            })
            .collect();
        let script = format!(
            "DO $sweep$ DECLARE p boolean; t integer; n integer; hits integer := 0;
            BEGIN
                FOREACH p IN ARRAY ARRAY[true, false, NULL] LOOP FOREACH t IN ARRAY ARRAY[0, 1, 2, 3, 4, NULL] LOOP
                    IF hits = 0 THEN {attempts} END IF;
                END LOOP; END LOOP;
                PERFORM set_config('property.hits', hits::text, true);
            END $sweep$; SELECT current_setting('property.hits')"
        );
        for row in rows {
            let before = format!("DELETE FROM {} WHERE id NOT IN ({}){change}", table.name, row.id);
            match self.attempt(who, table, &before, &script.replace("@owner@", row.get("owner"))) {
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

    /// Rows of several owners that are somebody else's in whichever of the columns, and one's own in the others.
    pub fn forge_in_turn(
        &mut self,
        who: &Person,
        table: &Table,
        rows: &[&Row],
        owners: &[String],
    ) -> Reached {
        let mut reached = Reached::default();
        // Somebody who exists, as the column may refer to the accounts.
        let known = rows
            .iter()
            .flat_map(|row| owners.iter().map(|owner| row.get(owner)))
            .find(|id| *id != "NULL");
        let somebody =
            known.map_or("'00000000-0000-4000-8000-000000000001'".to_owned(), ToString::to_string);
        let (Some(row), true, Some(me)) = (rows.first(), owners.len() > 1, &who.user) else {
            return reached;
        };
        let me = format!("'{me}'");
        let is_for_any = owners.iter().all(|victim| {
            let ids = owners
                .iter()
                .map(|owner| (owner.as_str(), if owner == victim { &somebody } else { &me }));
            let row = row.chosen(&ids.map(|(owner, id)| (owner, id.as_str())).collect::<Vec<_>>());
            !self
                .sweep(who, table, &rows[..1], "", &[row.insert(&table.name, 1000)])
                .rows
                .is_empty()
        });
        if is_for_any {
            reached.rows.insert(row.id);
        }
        reached
    }

    /// Rows that are their own by a column, or would be if they were theirs, and what makes them so.
    pub fn own<'a>(
        who: &Person,
        table: &'a Table,
        foreign: Vec<&'a Row>,
        column: &str,
    ) -> (Vec<&'a Row>, String) {
        let Some(me) = &who.user else { return (Vec::new(), String::new()) };
        let own: Vec<&Row> =
            table.rows.iter().filter(|row| row.get(column) == format!("'{me}'")).collect();
        match own.is_empty() {
            false => (own, String::new()),
            // They have just signed up: what if they had made one.
            true => (
                foreign,
                format!(
                    "; SET LOCAL session_replication_role = replica; UPDATE {} SET {column} = '{me}'; SET LOCAL session_replication_role = origin",
                    table.name
                ),
            ),
        }
    }

    /// Their own rows, given to others.
    pub fn plant(
        &mut self,
        who: &Person,
        table: &Table,
        foreign: Vec<&Row>,
        column: &str,
        victims: &[String],
    ) -> Reached {
        let (rows, change) = Self::own(who, table, foreign, column);
        let mut all = Reached::default();
        for victim in victims {
            let statement = format!("UPDATE {} SET {column} = '{victim}'", table.name);
            let reached = self.each(who, table, &rows, &change, &statement);
            all.rows.extend(reached.rows);
            all.errors.extend(reached.errors);
        }
        all
    }

    /// Copies of rows.
    pub fn forge(&mut self, who: &Person, table: &Table, rows: &[&Row]) -> Reached {
        let mut reached = Reached::default();
        for row in rows {
            match self.attempt(
                who,
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
