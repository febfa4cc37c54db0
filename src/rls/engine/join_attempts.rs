//! Tries to write rows of trusted tables, as new accounts and as some users.

use super::membership::{Choice, Trial, Written};
use super::probe::MAX_COST;
use super::trusted_tables::{Client, Running, SelfWritten};
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::pg::rewrite::trusted_columns::trusted_columns;
use crate::pg::xact::timeout::Stopped;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::model::{Audience, Reach, Severity};
use crate::rls::target::identity::Identity;
use crate::rls::target::roles::Role;
use crate::rls::target::table::Table;
use crate::rls::target::table_shape::TableShape;
use std::collections::btree_map::Entry;

/// How many accounts are tried if a new account cannot write the row.
const MAX_ACCOUNTS: usize = 3;
/// Most rows that two users are compared by.
const MAX_COMPARED: u64 = 5;

impl Running<'_> {
    /// Tries to write a row of the trusted table that opens rows.
    pub(super) fn try_to_join(
        &mut self,
        (place, index): (usize, usize),
        trial: &Trial<'_>,
        own: &TableShape,
        client: Client<'_>,
        named: Option<&Vec<i16>>,
    ) {
        let may_write = trial.members.allows(client.0, Command::Insert)
            || trial.members.allows(client.0, Command::Update);
        if !may_write {
            return;
        }
        let of = self.readers.entry(index).or_default();
        if !of.contains(&place) {
            of.push(place);
        }
        let newcomer = self.search.application.new_account(client.1);
        let mut found = self.joined(index, trial, client, &newcomer);
        if found.is_none() && trial.is_unsure.get() {
            let all: Vec<i16> = trial.shape.live().map(|(column, _)| column.number).collect();
            let strangers = self.strangers(trial, client.1);
            found = strangers
                .iter()
                .find_map(|who| self.copied(trial, own, client, who, named.unwrap_or(&all)));
        }
        let Some(mut found) = found else { return };
        (found.members, found.trusting) = (index, place);
        // Then the table of invitations is the one that users write.
        if let Some(invitation) = &found.written.invitation {
            found.members = invitation.place;
            found.through = Some(index);
            let of = self.search.tables[invitation.place].trigger_caveat(Reach::Forge);
            found.caveat = found.caveat.or(of);
            self.readers.entry(invitation.place).or_default().push(index);
        }
        found.opened = trial.site.commands.iter().map(|command| (place, *command)).collect();
        // One root cause is one finding, with the table that shows the worst.
        match self.self_written.entry(found.members) {
            Entry::Vacant(entry) => _ = entry.insert(found),
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                let mut opened = std::mem::take(&mut known.opened);
                opened.append(&mut found.opened);
                if found.severity < known.severity {
                    *known = found;
                }
                known.opened = opened;
            }
        }
    }

    /// Tries a new account, then some accounts, who all must succeed.
    fn joined(
        &mut self,
        index: usize,
        trial: &Trial<'_>,
        (role_index, role): Client<'_>,
        newcomer: &Identity,
    ) -> Option<SelfWritten> {
        let commands: Vec<Command> = [Command::Insert, Command::Update]
            .into_iter()
            .filter(|command| trial.members.allows(role_index, *command))
            .collect();
        for stranger in &self.strangers(trial, role) {
            for command in &commands {
                if let Some(written) = self.attempt(index, trial, stranger, *command) {
                    let identities = vec![stranger.label.clone()];
                    return Some(judged(trial, written, Audience::AnyAccount, identities));
                }
            }
        }
        for command in commands {
            let ids = match command {
                Command::Insert => self.accounts.sample.clone(),
                _ => self.members_of(trial, newcomer),
            };
            let (mut identities, mut last) = (Vec::new(), None);
            for id in ids.into_iter().take(MAX_ACCOUNTS) {
                let identity = self.accounts.identity(self.search.application, role, &id);
                last = self.attempt(index, trial, &identity, command);
                if last.is_none() {
                    break;
                }
                identities.push(identity.label);
            }
            // A single user may have been invited.
            let enough = if command == Command::Insert { 2 } else { 1 };
            if let (Some(written), true) = (last, identities.len() >= enough) {
                return Some(judged(trial, written, Audience::EveryUser, identities));
            }
        }
        None
    }

    /// A new account, also with a second factor and anonymous where policies ask for that.
    fn strangers(&self, trial: &Trial<'_>, role: &Role) -> Vec<Identity> {
        let application = self.search.application;
        let mut strangers = vec![application.new_account(role)];
        if self.reads_claim(trial.members, "aal") {
            strangers.push(application.second_factor(role));
        }
        if self.reads_claim(trial.members, "is_anonymous") {
            strangers.push(application.anonymous_sign_in(role));
        }
        strangers
    }

    /// Whether a policy of the table, or a function that it calls, reads a claim.
    fn reads_claim(&self, table: &Table, claim: &str) -> bool {
        let clauses = self.search.facts.iter();
        clauses
            .filter(|clause| clause.relation == table.oid())
            .any(|clause| clause.reads_claim(claim))
    }

    fn attempt(
        &mut self,
        index: usize,
        trial: &Trial<'_>,
        identity: &Identity,
        command: Command,
    ) -> Option<Written> {
        let answer = identity.act_within(PROBE_TIMEOUT_MS, || match command {
            Command::Insert => trial.insert(identity),
            _ => trial.update(identity),
        });
        match answer {
            Ok(answer) => answer.ok()?,
            Err(Stopped::TimedOut(limit)) => {
                let why = format!("trying to write a row was canceled after {limit} ms");
                self.undecided.insert(index, why);
                None
            }
            Err(Stopped::Failed(_)) => None,
        }
    }

    /// Where the condition cannot be asked about a candidate row: copies rows of other users, and
    /// looks whether these reach more than the new account.
    fn copied(
        &mut self,
        trial: &Trial<'_>,
        own: &TableShape,
        (role_index, role): Client<'_>,
        newcomer: &Identity,
        named: &[i16],
    ) -> Option<SelfWritten> {
        if !trial.members.allows(role_index, Command::Insert) {
            return None;
        }
        let users =
            newcomer.act_within(PROBE_TIMEOUT_MS, || trial.copies(newcomer, named)).ok()?.ok()?;
        let application = self.search.application;
        let users = self.accounts.load_existing(application, users).ok()?;
        let using = trial.site.using;
        for user in users.into_iter().take(MAX_ACCOUNTS) {
            let other = self.accounts.identity(application, role, &user);
            let reached = other
                .act_within(PROBE_TIMEOUT_MS, || own.rows("true", using, MAX_COMPARED, MAX_COST));
            let Ok(Ok(reached)) = reached else { continue };
            let is_more = newcomer.act_within(PROBE_TIMEOUT_MS, || -> Result<bool, Undecidable> {
                for (address, _) in &reached {
                    if !own.rows(address, using.is_not_true(), 1, MAX_COST)?.is_empty() {
                        return Ok(true);
                    }
                }
                Ok(false)
            });
            if matches!(is_more, Ok(Ok(true))) {
                let columns = trial.members.owners.iter().map(|owner| owner.number);
                let written = Written {
                    command: Command::Insert,
                    columns: columns.collect(),
                    choice: Choice::EveryTeam,
                    is_person: true,
                    is_seen: true,
                    is_asked: false,
                    opened: trial.site.command,
                    invitation: None,
                };
                let identities = vec![newcomer.label.clone()];
                return Some(judged(trial, written, Audience::AnyAccount, identities));
            }
        }
        None
    }

    /// Users with rows in the trusted table.
    fn members_of(&mut self, trial: &Trial<'_>, newcomer: &Identity) -> Vec<String> {
        let users = newcomer.act_within(PROBE_TIMEOUT_MS, || -> Result<_, Undecidable> {
            let trusted = trusted_columns(trial.site.expanded, trial.members.oid());
            match trial.user_columns(newcomer, &trusted).first() {
                Some(user) => trial.values_of(*user),
                None => Ok(Vec::new()),
            }
        });
        let ids = users.ok().and_then(Result::ok).unwrap_or_default();
        self.accounts.load_existing(self.search.application, ids).unwrap_or_default()
    }
}

fn judged(
    trial: &Trial<'_>,
    written: Written,
    audience: Audience,
    identities: Vec<String>,
) -> SelfWritten {
    let reach = match written.command {
        Command::Insert => Reach::Forge,
        _ => Reach::TakeOver,
    };
    let mut severity = match (audience, written.choice) {
        (_, Choice::ByTeam) => Severity::Medium,
        (Audience::EveryUser, _) | (_, Choice::MostTeams) => Severity::High,
        _ => Severity::Critical,
    };
    if written.is_person || !written.is_asked {
        severity = severity.max(Severity::High);
    }
    // A table that only its own policies trust, such as the guests of an event.
    if trial.trusting.oid() == trial.members.oid() {
        severity = severity.max(Severity::Medium);
    }
    SelfWritten {
        members: 0,
        trusting: 0,
        through: None,
        opened: Vec::new(),
        readers: Vec::new(),
        caveat: trial.members.trigger_caveat(reach),
        written,
        audience,
        identities,
        severity,
    }
}
