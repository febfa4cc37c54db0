//! Teams, as membership tables record them. Access within a team is assumed to be intended.

use super::application::Application;
use super::owners::{table_owners, user_columns};
use crate::access::as_owner;
use crate::pg::rewrite::value::text_of;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most rows read of one membership table.
const MAX_MEMBERS: u64 = 2_000;
/// Most outsiders of one user.
const MAX_OUTSIDERS: usize = 50;
/// Most users without a shared team.
const MAX_SEPARATE_USERS: usize = 3;

/// The members that one membership table records.
pub struct Members {
    /// Qualified name of the membership table.
    pub table: String,
    /// The teams of each user.
    teams: BTreeMap<String, BTreeSet<String>>,
}

/// The members of all membership tables.
#[derive(Default)]
pub struct Teams(Vec<Members>);

impl Teams {
    /// Reads the tables with a user and a team in each row, where the pair is unique.
    pub fn find(application: &Application) -> Result<Self, RlsError> {
        let users = application
            .user_columns
            .get_or_init(|| user_columns(&table_owners(application, &HashMap::new())));
        let (relations, columns): (Vec<pg_sys::Oid>, Vec<i16>) = users.iter().copied().unzip();
        let found = as_owner(|| {
            Spi::connect(|client| {
                let sql = include_str!("../../../sql/rls/members.sql");
                let mut found = Vec::new();
                for row in client.select(sql, None, &[relations.into(), columns.into()])? {
                    let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                    let (Some(user), Some(team)) =
                        (row.get::<pg_sys::Oid>(3)?, row.get::<pg_sys::Oid>(5)?)
                    else {
                        continue;
                    };
                    found.push((text(1)?, (text(2)?, user), (text(4)?, team)));
                }
                Ok::<_, RlsError>(found)
            })
        })?;
        let mut all = Vec::new();
        for (table, (user, user_type), (team, team_type)) in found {
            let sql = format!(
                "SELECT m.{user}, m.{team} FROM {table} AS m \
                 WHERE m.{user} IS NOT NULL AND m.{team} IS NOT NULL"
            );
            let mut teams: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            // A table that cannot be read adds no members.
            for row in application.rows(&table, &sql, &[], MAX_MEMBERS).unwrap_or_default() {
                if let [Some(user), Some(team)] = row.as_slice() {
                    teams
                        .entry(text_of(user_type, *user))
                        .or_default()
                        .insert(text_of(team_type, *team));
                }
            }
            all.push(Members { table, teams });
        }
        Ok(Self(all))
    }

    /// Members who share no team with a user, and their membership table; `None` if the user is in
    /// no team.
    pub fn outsiders(&self, user: &str) -> Option<(&Members, Vec<String>)> {
        let members = self.0.iter().find(|members| members.teams.contains_key(user))?;
        let share_team = |one: &str, other: &str| {
            self.0.iter().any(|members| match (members.teams.get(one), members.teams.get(other)) {
                (Some(one), Some(other)) => !one.is_disjoint(other),
                _ => false,
            })
        };
        let outsiders =
            members.teams.keys().filter(|other| *other != user && !share_team(user, other));
        Some((members, outsiders.take(MAX_OUTSIDERS).cloned().collect()))
    }
}

impl Members {
    /// Some of the users, no two of whom share a team.
    pub fn without_shared_team(&self, users: &[String]) -> Vec<String> {
        let mut taken: BTreeSet<&String> = BTreeSet::new();
        let mut separate = Vec::new();
        for user in users {
            let Some(teams) = self.teams.get(user) else { continue };
            if separate.len() < MAX_SEPARATE_USERS && teams.iter().all(|team| !taken.contains(team))
            {
                taken.extend(teams);
                separate.push(user.clone());
            }
        }
        separate
    }
}
