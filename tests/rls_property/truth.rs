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
    let somebody =
        |label: String, role, user: Option<String>, claims: Option<String>| Person { label, role, user, claims };
    let stranger = "5f0c8bb6-58c5-4f6a-9d6e-0c5c1d1b9f3a";
    let mut people = vec![
        somebody("anon without claims".into(), "anon", None, None),
        somebody("anon with the anonymous key".into(), "anon", None, Some(r#"{"role": "anon"}"#.into())),
    ];
    let claims = |id: &str, email: &str, app: &str, own: &str, is_anonymous: &str| {
        format!(
            r#"{{"sub": "{id}", "role": "authenticated", "aud": "authenticated", "aal": "aal1", "email": "{email}",
                "app_metadata": {app}, "user_metadata": {own}, "is_anonymous": {is_anonymous}}}"#
        )
    };
    let new = claims(stranger, "", "{}", "{}", "false");
    people.push(somebody("authenticated, just signed up".into(), "authenticated", Some(stranger.into()), Some(new)));
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
        people.push(somebody(format!("authenticated as user {}", text(0)), "authenticated", Some(id), Some(claims)));
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
    fn attempt(&mut self, who: &Person, table: &Table, before: &str, statement: &str) -> Result<u64, String> {
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
                let code = error.as_db_error().map(|e| e.code().code().to_owned()).unwrap_or_default();
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
    fn each(&mut self, who: &Person, table: &Table, rows: &[&Row], change: &str, statement: &str) -> Reached {
        let name = &table.name;
        let ids = |rows: &[&Row]| rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>().join(", ");
        let mut reached = Reached::default();
        if rows.is_empty() {
            return reached;
        }
        let before = |kept: &[&Row]| format!("DELETE FROM {name} WHERE id NOT IN ({}){change}", ids(kept));
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

    pub fn take_over(&mut self, who: &Person, table: &Table, rows: &[&Row], column: &str) -> Reached {
        let Some(me) = &who.user else { return Reached::default() };
        self.each(who, table, rows, "", &format!("UPDATE {} SET {column} = '{me}'", table.name))
    }

    /// To other values.
    pub fn change(&mut self, who: &Person, table: &Table, rows: &[&Row], values: &[(&str, &str)]) -> Reached {
        let set: Vec<String> = values.iter().map(|(column, value)| format!("{column} = {value}")).collect();
        self.each(who, table, rows, "", &format!("UPDATE {} SET {}", table.name, set.join(", ")))
    }

    /// Copies of rows with other values: in somebody else's name; of several owners, in one name alone, or in each of them somebody else's
    /// beside one's own.
    pub fn forge_chosen(
        &mut self,
        who: &Person,
        table: &Table,
        rows: &[&Row],
        values: &[(&'static str, &str)],
        owners: &[String],
    ) -> Reached {
        let of = |row: &Row, more: &[(&str, String)]| {
            let chosen = |name: &str| {
                let more = more.iter().find(|(column, _)| *column == name).map(|(_, value)| value.clone());
                more.or(values.iter().find(|(column, _)| *column == name).map(|(_, value)| (*value).to_owned()))
            };
            let columns =
                row.columns.iter().map(|(name, value)| (*name, chosen(name).unwrap_or_else(|| value.clone())));
            Row { id: row.id, columns: columns.collect() }
        };
        let mut reached =
            self.forge(who, table, &rows.iter().map(|row| of(row, &[])).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        // Somebody who exists, as the column may refer to the accounts.
        let known = rows.iter().flat_map(|row| owners.iter().map(|owner| row.get(owner))).find(|id| *id != "NULL");
        let somebody = known.map_or("'00000000-0000-4000-8000-000000000001'".to_owned(), ToString::to_string);
        let Some(row) = rows.first() else { return reached };
        // Wholly somebody else's.
        let all = of(row, &["owner", "other"].map(|column| (column, somebody.clone())));
        reached.rows.extend(self.forge(who, table, &[&all]).rows);
        let (true, Some(me)) = (owners.len() > 1, &who.user) else { return reached };
        let is_for_any = owners.iter().all(|victim| {
            let ids = owners
                .iter()
                .map(|owner| (owner.as_str(), if owner == victim { somebody.clone() } else { format!("'{me}'") }));
            let row = of(row, &ids.collect::<Vec<_>>());
            !self.forge(who, table, &[&row]).rows.is_empty()
        });
        if is_for_any {
            reached.rows.insert(row.id);
        }
        reached
    }

    /// Rows that are their own, or would be if they were theirs.
    pub fn plant(
        &mut self,
        who: &Person,
        table: &Table,
        foreign: Vec<&Row>,
        column: &str,
        victims: &[String],
    ) -> Reached {
        let Some(me) = &who.user else { return Reached::default() };
        let own: Vec<&Row> = table.rows.iter().filter(|row| row.get(column) == format!("'{me}'")).collect();
        let (rows, change) = match own.is_empty() {
            false => (own, String::new()),
            // They have just signed up: what if they had made one.
            true => (
                foreign,
                format!(
                    "; SET LOCAL session_replication_role = replica; UPDATE {} SET {column} = '{me}'; SET LOCAL session_replication_role = origin",
                    table.name
                ),
            ),
        };
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
