//! Tries to put rows into teams of others, as a new account and as some users.

use super::foreign_team::{Membership, TeamRows, memberships};
use super::membership::Trial;
use super::trusted_tables::{Client, ForeignTeam, Running};
use crate::pg::rewrite::row_security::Command;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::model::{Audience, Reach, Severity};

/// How many accounts are tried.
const MAX_ACCOUNTS: usize = 3;

impl Running<'_> {
    /// Tries to put rows into teams of others.
    pub(super) fn try_to_cross(
        &mut self,
        (place, index): (usize, usize),
        trial: &Trial<'_>,
        rows: &TeamRows<'_>,
        (role_index, role): Client<'_>,
    ) {
        if self.foreign_teams.contains_key(&place) {
            return;
        }
        let application = self.search.application;
        let newcomer = application.new_account(role);
        let commands: Vec<Command> = [Command::Insert, Command::Update]
            .into_iter()
            .filter(|command| {
                rows.table.allows(role_index, *command)
                    && !self.search.known_leaks.contains(&(place, *command))
            })
            .collect();
        if commands.is_empty() {
            return;
        }
        let known = newcomer.act_within(PROBE_TIMEOUT_MS, || memberships(trial, &newcomer));
        let Ok(Ok(memberships)) = known else { return };
        let users = memberships.iter().map(|membership| membership.user.clone()).collect();
        let Ok(users) = self.accounts.load_existing(application, users) else { return };
        let memberships: Vec<Membership> =
            memberships.into_iter().filter(|of| users.contains(&of.user)).collect();
        let mut identities = vec![newcomer];
        let mut ids = users;
        ids.extend(self.accounts.sample.iter().cloned());
        ids.dedup();
        for id in ids.iter().take(MAX_ACCOUNTS) {
            identities.push(self.accounts.identity(application, role, id));
        }
        for command in commands {
            let (mut able, mut is_own, mut has_failed) = (Vec::new(), false, false);
            let mut column = None;
            for identity in &identities {
                let answer = identity.act_within(PROBE_TIMEOUT_MS, || {
                    rows.crossings(trial, identity, command, &memberships)
                });
                let Ok(Ok(Some(crossings))) = answer else { continue };
                let seen = crossings.into_iter().find(|crossing| {
                    let user = &crossing.membership.user;
                    let member = self.accounts.identity(application, role, user);
                    let sees = member.act_within(PROBE_TIMEOUT_MS, || rows.sees(&crossing.row));
                    matches!(sees, Ok(Ok(true)))
                });
                match seen {
                    Some(crossing) => {
                        is_own |= crossing.is_seen_by_writer;
                        column = Some(crossing.membership.column);
                        able.push(identity);
                        if !identity.is_account {
                            break;
                        }
                    }
                    None if identity.is_account => {
                        has_failed = true;
                        break;
                    }
                    None => {}
                }
            }
            let Some(column) = column else { continue };
            let is_any = able.iter().any(|identity| !identity.is_account);
            // A single user may be an admin of both teams in some way.
            let enough = if command == Command::Insert { 2 } else { 1 };
            if !is_any && (has_failed || able.len() < enough) {
                continue;
            }
            let reach = if command == Command::Insert { Reach::Forge } else { Reach::TakeOver };
            // Writers who see their row as its owner may be meant to send it to the team. A check
            // that only INSERT has shows that they are not.
            let is_sent = is_own && command == Command::Insert;
            self.foreign_teams.insert(
                place,
                ForeignTeam {
                    table: place,
                    members: index,
                    command,
                    column,
                    audience: if is_any { Audience::AnyAccount } else { Audience::EveryUser },
                    identities: able.iter().map(|identity| identity.label.clone()).collect(),
                    severity: if is_sent { Severity::Medium } else { Severity::High },
                    caveat: rows.table.trigger_caveat(reach),
                },
            );
            return;
        }
    }
}
