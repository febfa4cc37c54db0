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
/// Most foreign keys between a table and the teams it belongs to.
const MAX_DISTANCE: usize = 3;
/// Most users without a shared team.
const MAX_SEPARATE_USERS: usize = 3;

/// The members that one membership table records.
pub struct Members {
    /// Qualified name of the membership table.
    pub table: String,
    /// Oids of the membership table and of the table of teams.
    relations: [pg_sys::Oid; 2],
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
                    let oid = |column| row.get(column).map(|oid| oid.unwrap_or(pg_sys::InvalidOid));
                    let relations = [oid(6)?, oid(7)?];
                    found.push((text(1)?, relations, (text(2)?, user), (text(4)?, team)));
                }
                Ok::<_, RlsError>(found)
            })
        })?;
        let mut all = Vec::new();
        for (table, relations, (user, user_type), (team, team_type)) in found {
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
            all.push(Members { table, relations, teams });
        }
        Ok(Self(all))
    }

    /// Members who share a team with a user.
    pub fn mates(&self, user: &str) -> Vec<String> {
        let mut mates = BTreeSet::new();
        for members in &self.0 {
            let Some(own) = members.teams.get(user) else { continue };
            let shares_team = |(other, teams): &(&String, &BTreeSet<String>)| {
                *other != user && !teams.is_disjoint(own)
            };
            mates.extend(members.teams.iter().filter(shares_team).map(|(other, _)| other.clone()));
        }
        mates.into_iter().take(MAX_OUTSIDERS).collect()
    }

    /// Users who share a team with another user, in order of their ids.
    pub fn users_with_mates(&self) -> Vec<String> {
        let users: BTreeSet<&String> = self.0.iter().flat_map(|m| m.teams.keys()).collect();
        users.into_iter().filter(|user| !self.mates(user).is_empty()).cloned().collect()
    }

    /// Names of the membership tables whose teams a table belongs to: it is one of their tables, or
    /// refers to one by foreign keys (`references` has the referenced tables of each table).
    pub fn of_table(&self, table: pg_sys::Oid, references: &HashMap<u32, Vec<u32>>) -> Vec<&str> {
        let mut reached = BTreeSet::from([table.to_u32()]);
        let mut last = vec![table.to_u32()];
        for _ in 0..MAX_DISTANCE {
            let next = last.iter().filter_map(|table| references.get(table)).flatten();
            last = next.copied().filter(|table| reached.insert(*table)).collect();
        }
        let is_reached = |members: &&Members| {
            members.relations.iter().any(|relation| reached.contains(&relation.to_u32()))
        };
        self.0.iter().filter(is_reached).map(|members| members.table.as_str()).collect()
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
