//! Who belongs together: users who share a team, as tables of members have it. What is shared within a team is meant; what is reached beyond it
//! may be.

use super::accounts::AccountPool;
use super::application::{Application, Identity, Role};
use super::owners::owner_columns;
use crate::access::as_owner;
use crate::pg::rewrite::qual::{Qual, text_of};
use crate::rls::engine::examine::{Examination, PROBE_TIMEOUT_MS};
use crate::rls::engine::probe::{MAX_COST, Probe, RowId, RowScope};
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many members are read of a table at most,
const MOST_MEMBERS: u64 = 2_000;
/// and so many strangers' rows are looked for.
const MOST_STRANGERS: usize = 50;
/// So many members of different teams are tried.
const TRIED: usize = 3;

/// The members of one table.
struct Members {
    /// The table, as SQL calls it.
    table: String,
    /// The teams of each.
    teams: BTreeMap<String, BTreeSet<String>>,
}

/// Who belongs together.
#[derive(Default)]
pub struct Teams(Vec<Members>);

impl Teams {
    /// Reads the tables that have a user and a team in a row, each pair once.
    pub fn find(application: &Application) -> Result<Self, RlsError> {
        let users = owner_columns(application, &HashMap::new());
        let places = users.iter().flat_map(|(table, columns)| columns.iter().map(|column| (*table, column.number)));
        let (relations, columns): (Vec<pg_sys::Oid>, Vec<i16>) =
            places.map(|(table, number)| (pg_sys::Oid::from(table), number)).unzip();
        let found = as_owner(|| {
            Spi::connect(|client| {
                let sql = include_str!("../../../sql/rls/members.sql");
                let mut found = Vec::new();
                for row in client.select(sql, None, &[relations.into(), columns.into()])? {
                    let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                    let (Some(user), Some(team)) = (row.get::<pg_sys::Oid>(3)?, row.get::<pg_sys::Oid>(5)?) else {
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
                "SELECT m.{user}, m.{team} FROM {table} AS m WHERE m.{user} IS NOT NULL AND m.{team} IS NOT NULL"
            );
            let mut teams: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            // One that cannot be read tells nothing.
            for row in application.rows(&table, &sql, &[], MOST_MEMBERS).unwrap_or_default() {
                if let [Some(user), Some(team)] = row.as_slice() {
                    teams.entry(text_of(user_type, *user)).or_default().insert(text_of(team_type, *team));
                }
            }
            all.push(Members { table, teams });
        }
        Ok(Self(all))
    }

    /// Members who share no team with a member, and the table that says so.
    fn strangers_to(&self, user: &str) -> Option<(&Members, Vec<String>)> {
        let members = self.0.iter().find(|members| members.teams.contains_key(user))?;
        let share = |one: &str, other: &str| {
            self.0.iter().any(|members| match (members.teams.get(one), members.teams.get(other)) {
                (Some(one), Some(other)) => !one.is_disjoint(other),
                _ => false,
            })
        };
        let strangers = members.teams.keys().filter(|other| *other != user && !share(user, other));
        Some((members, strangers.take(MOST_STRANGERS).cloned().collect()))
    }
}

impl Members {
    /// Some of them, no two of whom share a team.
    fn apart(&self, users: &[String]) -> Vec<String> {
        let mut taken: BTreeSet<&String> = BTreeSet::new();
        let mut apart = Vec::new();
        for user in users {
            let Some(teams) = self.teams.get(user) else { continue };
            if apart.len() < TRIED && teams.iter().all(|team| !taken.contains(team)) {
                taken.extend(teams);
                apart.push(user.clone());
            }
        }
        apart
    }
}

impl Examination<'_> {
    /// Not everybody reaches what a user reaches. Are these rows of their teams?
    ///
    /// A leak is suspected where members of several teams reach a row who share none with each other: then it is no team that connects them.
    pub fn shared(
        &self,
        (identity, role): (&Identity, &Role),
        reach: Reach,
        condition: Qual,
        accounts: &mut AccountPool,
    ) -> (Verdict, String) {
        const TOLD: &str = "not everybody reaches it";
        let shared = |more: String| (Verdict::Shared, format!("{TOLD}{more}"));
        let teams = accounts.teams(self.application);
        let Some((members, strangers)) = identity.user.as_ref().and_then(|me| teams.strangers_to(me)) else {
            return shared(String::new());
        };
        if strangers.is_empty() {
            return shared(String::new());
        }
        match self.row_of(identity, &strangers, condition) {
            Err(()) => shared(String::new()),
            Ok(None) => shared(format!(
                "; no row was reached of {} users who share no team with who asked in {}",
                strangers.len(),
                members.table
            )),
            Ok(Some(place)) => {
                let (table, apart) = (members.table.clone(), members.apart(&strangers));
                let tried: Vec<bool> = apart
                    .iter()
                    .filter_map(|id| {
                        let other = accounts.identity(self.application, role, id);
                        self.reaches(&other, reach, place).ok().flatten()
                    })
                    .collect();
                if tried.len() >= 2 && tried.iter().all(|reached| *reached) {
                    let evidence = format!(
                        "{} and {} others, no two of whom share a team in {table}, reached the same row of another user",
                        identity.label,
                        tried.len()
                    );
                    return (Verdict::Leak(Confidence::Suspected, Audience::EveryUser), evidence);
                }
                shared(format!("; also a row of a user who shares no team with who asked in {table}"))
            }
        }
    }

    /// A row of these users that meets a condition.
    fn row_of(&self, identity: &Identity, users: &[String], condition: Qual) -> Result<Option<RowId>, ()> {
        let cache = self.cache(identity);
        let probe = Probe { table: self.table, identity, cache: &cache };
        let answer =
            identity.act_within(PROBE_TIMEOUT_MS, || probe.first_row(&RowScope::OwnedBy(users), condition, MAX_COST));
        answer.map_err(|_| ())?.map_err(|_| ())
    }
}
