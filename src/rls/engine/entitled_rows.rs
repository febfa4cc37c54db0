//! Counts the rows that users are entitled to: their own, and those of their teams. A remediation
//! must not take them.

use super::examination::Examination;
use super::probe::MAX_COST;
use super::rows::RowScope;
use crate::pg::rewrite::row_security::{Command, Effective, Undecidable};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::model::Reach;
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::identity::Identity;
use pgrx::pg_sys;
use std::collections::HashMap;

/// Rows are counted up to this.
const MAX_ROWS: u64 = 1_000;
/// Most users whose rows are counted, of owners and of team members each.
const MAX_USERS: usize = 2;

/// The owners of entitled rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The user.
    Own,
    /// A user who shares a team with the user.
    Team,
}

/// The rows that one user reaches by one command and is entitled to.
#[derive(Debug, PartialEq, Eq)]
pub struct EntitledRows {
    /// Text that names the identity.
    pub identity: String,
    /// The command.
    pub command: Command,
    /// The owners of the rows.
    pub whose: Whose,
    /// Number of the owner column.
    pub column: i16,
    /// The number of rows; `None` if they could not be counted.
    pub rows: Option<usize>,
}

/// The tables that each table refers to by foreign keys other than its owner columns.
pub type References = HashMap<u32, Vec<u32>>;

/// The membership tables whose teams the table belongs to.
pub fn membership_tables(
    examination: &Examination<'_>,
    references: &References,
    accounts: &mut AccountPool,
) -> Vec<String> {
    let teams = accounts.teams(examination.application);
    let names = teams.of_table(examination.table.oid(), references);
    names.into_iter().map(str::to_owned).collect()
}

/// Counts the entitled rows of the users in `also` and of some others. The order depends on the
/// users only.
pub fn entitled_rows(
    examination: &Examination<'_>,
    also: &[String],
    is_of_teams: bool,
    accounts: &mut AccountPool,
) -> Vec<EntitledRows> {
    let (table, application) = (examination.table, examination.application);
    let mut users: Vec<String> = also.to_vec();
    let others = examination.owners.iter().filter(|owner| !also.contains(owner));
    users.extend(others.take(MAX_USERS).cloned());
    for owner in 1..table.owners.len() {
        let named = table.sample_users(application, owner, MAX_USERS).unwrap_or_default();
        let named = accounts.load_existing(application, named).unwrap_or_default();
        let is_new = |user: &String| !users.contains(user);
        users.extend(named.into_iter().filter(is_new).collect::<Vec<_>>());
    }
    let teams = accounts.teams(application);
    if is_of_teams {
        let mut members = teams.users_with_mates();
        // Owners of rows first: their mates' rows are in the table.
        members.sort_by_key(|user| !examination.owners.contains(user));
        let is_new = |user: &String| !users.contains(user);
        let members: Vec<String> = members.into_iter().filter(is_new).take(MAX_USERS).collect();
        users.extend(accounts.load_existing(application, members).unwrap_or_default());
    }
    let mut counted = Vec::new();
    for (role_index, role) in application
        .roles
        .iter()
        .enumerate()
        .filter(|(_, role)| role.is_client && !role.is_anonymous)
    {
        for user in &users {
            let identity = accounts.identity(application, role, user);
            let mates = if is_of_teams { teams.mates(user) } else { Vec::new() };
            for command in Command::ALL {
                if !table.allows(role_index, command) {
                    continue;
                }
                let columns = table.owners.iter().map(|owner| owner.number);
                let own = columns
                    .enumerate()
                    .map(|(index, column)| (Whose::Own, column, RowScope::Own(index)));
                let team = table.owners.first().filter(|_| !mates.is_empty());
                let team = team
                    .filter(|_| command != Command::Insert)
                    .map(|owner| (Whose::Team, owner.number, RowScope::OwnedBy(&mates)));
                for (whose, column, scope) in own.chain(team) {
                    let rows = count(examination, &identity, command, &scope);
                    counted.push(EntitledRows {
                        identity: identity.label.clone(),
                        command,
                        whose,
                        column,
                        rows,
                    });
                }
            }
        }
    }
    counted
}

/// The number of rows in a scope that a command of an identity reaches, up to `MAX_ROWS`.
fn count(
    examination: &Examination<'_>,
    identity: &Identity,
    command: Command,
    scope: &RowScope<'_>,
) -> Option<usize> {
    let probe = examination.probe(identity);
    let answer = identity.act_within(PROBE_TIMEOUT_MS, || -> Result<usize, Undecidable> {
        let reach = match command {
            Command::Select => Reach::Read,
            Command::Insert => Reach::Forge,
            Command::Update => Reach::Tamper,
            Command::Delete => Reach::Destroy,
        };
        let Effective { using, check } = examination.effective(identity, reach)?;
        let qual = match command {
            Command::Select | Command::Delete => using,
            Command::Insert => check,
            Command::Update => using.and(check),
        };
        Ok(probe.find_rows(scope, qual, MAX_ROWS, MAX_COST)?.len())
    });
    answer.ok()?.ok()
}

/// The first entitled rows that are no longer all reached, or can no longer be counted.
pub fn lost<'a>(before: &'a [EntitledRows], after: &[EntitledRows]) -> Option<&'a EntitledRows> {
    let is_lost = |earlier: &&EntitledRows| {
        let is_same = |now: &&EntitledRows| {
            (&now.identity, now.command, now.whose, now.column)
                == (&earlier.identity, earlier.command, earlier.whose, earlier.column)
        };
        let now = after.iter().find(is_same);
        earlier.rows.is_some_and(|rows| {
            rows > 0 && now.is_none_or(|now| now.rows.is_none_or(|now| now < rows))
        })
    };
    before.iter().find(is_lost)
}

/// The tables that each table refers to, from the constraints of all tables. Owner columns are left
/// out: the profile of an owner may be in a team, but that does not make the row the team's.
pub fn references(
    constraints: &[crate::pg::catalog::constraint::Constraint],
    is_owner: &dyn Fn(pg_sys::Oid, i16) -> bool,
) -> References {
    let mut references = References::new();
    for constraint in constraints {
        let (Some((to, _)), [column]) = (&constraint.to, constraint.columns.as_slice()) else {
            continue;
        };
        if !is_owner(constraint.table, *column) {
            references.entry(constraint.table.to_u32()).or_default().push(to.to_u32());
        }
    }
    references
}
