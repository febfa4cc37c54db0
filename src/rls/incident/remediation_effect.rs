//! Compares the reaches of all identities, their entitled rows, and the privileges of the client
//! roles before and after a remediation.

use crate::pg::catalog::lookup;
use crate::pg::rewrite::row_security::Command;
use crate::pg::xact::sec_context::role_name;
use crate::rls::audit::Audit;
use crate::rls::engine::comparison::{DifferenceKind, differences};
use crate::rls::engine::entitled_rows::{EntitledRows, Whose, lost};
use crate::rls::engine::reach_probe::command;
use crate::rls::error::RlsError;
use crate::rls::model::{Finding, quoted};
use crate::rls::report::remediation_proof::{Prover, dependents, reach_of};
use crate::rls::target::application::Application;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Most effects that a text lists.
const MAX_LISTED: usize = 5;

/// A privilege: oid of the role, its name, and the oid of the object.
type PrivilegeKey = (u32, String, u32);

/// The object of a privilege, as text, and whether it is a table.
type PrivilegeObject = (String, bool);

/// The state that a remediation may change.
pub struct State {
    /// The verdicts on the tables in scope.
    pub audit: Audit,
    privileges: BTreeMap<PrivilegeKey, PrivilegeObject>,
}

/// The entitled rows of each table.
pub type Entitled = Vec<(u32, Vec<EntitledRows>)>;

impl State {
    /// Reads the present state of some tables. `application` names the roles and schemas.
    pub fn read(tables: &BTreeSet<u32>, application: &Application) -> Result<Self, RlsError> {
        Ok(Self { audit: Audit::run_on(tables)?, privileges: privileges(application)? })
    }

    /// The rows that users are entitled to and reach now, by the owner columns of this state. Rows
    /// of a partition are seen through its parent.
    pub fn entitled(&self) -> Result<Entitled, RlsError> {
        let mut prover = Prover::new(&self.audit, Vec::new())?;
        let mut entitled = Vec::new();
        for (table, _) in &self.audit.tables {
            let whole = ancestor(table.oid())?;
            if whole == table.oid() || self.audit.table(whole.to_u32()).is_none() {
                entitled.push((table.oid().to_u32(), prover.entitled(table).0));
            }
        }
        Ok(entitled)
    }
}

/// The audited tables whose reach a remediation may change: all of them, unless its statements
/// concern the finding's table only.
pub fn tables_in_scope(
    audit: &Audit,
    finding: &Finding,
    script: &str,
) -> Result<BTreeSet<u32>, RlsError> {
    let is_about_table = |line: &str| {
        ["ALTER POLICY ", "DROP POLICY ", "CREATE POLICY ", "ALTER TABLE "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let starts_statement = |line: &&str| {
        ["ALTER ", "DROP ", "CREATE ", "GRANT ", "REVOKE "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let is_local = script.lines().filter(starts_statement).all(is_about_table);
    match finding.relation.filter(|_| is_local).map(pg_sys::Oid::from) {
        None => Ok(audit.tables.iter().map(|(table, _)| table.oid().to_u32()).collect()),
        Some(relation) => {
            let mut scope = dependents(audit, relation)?.tables;
            scope.insert(ancestor(relation)?.to_u32());
            Ok(scope)
        }
    }
}

fn ancestor(table: pg_sys::Oid) -> Result<pg_sys::Oid, RlsError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/rls/ancestor.sql");
        Ok(client
            .select(sql, Some(1), &[table.into()])?
            .first()
            .get_one::<pg_sys::Oid>()?
            .unwrap_or(table))
    })
}

fn privileges(
    application: &Application,
) -> Result<BTreeMap<PrivilegeKey, PrivilegeObject>, RlsError> {
    let roles: Vec<pg_sys::Oid> = application.roles.iter().map(|role| role.oid).collect();
    Spi::connect(|client| {
        let mut privileges = BTreeMap::new();
        let sql = include_str!("../../../sql/rls/client_privileges.sql");
        let arguments = [roles.into(), application.schemas.clone().into()];
        for row in client.select(sql, None, &arguments)? {
            let (Some(role), Some(object)) =
                (row.get::<pg_sys::Oid>(1)?, row.get::<pg_sys::Oid>(4)?)
            else {
                continue;
            };
            let key = (role.to_u32(), row.get(2)?.unwrap_or_default(), object.to_u32());
            privileges.insert(key, (row.get(3)?.unwrap_or_default(), row.get(5)?.unwrap_or(false)));
        }
        Ok(privileges)
    })
}

/// The effects of a remediation, as phrases.
#[derive(Debug, Default)]
pub struct Effects {
    /// Reaches and privileges that are wider.
    pub opened: Vec<String>,
    /// Reaches that the audit can no longer decide.
    pub undecided: Vec<String>,
    /// Rows that users were entitled to.
    pub taken_rows: Vec<String>,
    /// Reaches and privileges that the application uses.
    pub taken: Vec<String>,
    /// Leaks of the same table and privileges without use.
    pub also: Vec<String>,
}

impl Effects {
    /// The effects between two states, for a remediation of `finding`.
    pub fn between(
        (before, entitled_before): (&State, &Entitled),
        (after, entitled_after): (&State, &Entitled),
        finding: &Finding,
    ) -> Self {
        let mut effects = Self::default();
        let (mut taken, mut also) = (Groups::new(), Groups::new());
        for (table, cells) in &before.audit.tables {
            let oid = table.oid().to_u32();
            let now = after.audit.table(oid).map_or(&[][..], |(_, cells)| cells);
            let name = &table.named.name;
            for difference in differences(cells, now) {
                let rule = difference.reach.rule();
                let role = role_name(difference.role);
                match difference.kind {
                    DifferenceKind::Opened => {
                        effects.opened.push(format!("{rule} on {name} to {}", difference.identity));
                    }
                    DifferenceKind::Undecided => effects
                        .undecided
                        .push(format!("{rule} on {name} for {}", difference.identity)),
                    DifferenceKind::StillOpen => {}
                    DifferenceKind::LeakClosed if finding.relation != Some(oid) => {
                        group(&mut taken, role, rule, format!(" on {name}"));
                    }
                    DifferenceKind::LeakClosed
                        if reach_of(finding.rule) != Some(difference.reach) =>
                    {
                        group(
                            &mut also,
                            "closes".to_owned(),
                            rule,
                            format!(" on {name} for {role}"),
                        );
                    }
                    DifferenceKind::LeakClosed => {}
                    // The finding says that these rows should not be open.
                    DifferenceKind::Lost
                        if difference.is_without_owner && finding.relation == Some(oid) =>
                    {
                        let command = command(difference.reach).as_str();
                        let of = format!(" of rows of {name} from {role}");
                        group(&mut also, "takes".to_owned(), command, of);
                    }
                    DifferenceKind::Lost => {
                        let command = command(difference.reach).as_str();
                        let of = format!(" of rows of {name}");
                        group(&mut taken, format!("{role} loses"), command, of);
                    }
                }
            }
        }
        for (oid, entitled) in entitled_before {
            let now = entitled_after.iter().find(|(other, _)| other == oid);
            let now = now.map_or(&[][..], |(_, entitled)| entitled);
            if let Some(rows) = lost(entitled, now) {
                let whose = match rows.whose {
                    Whose::Own => "rows of their own",
                    Whose::Team => "rows of their team",
                };
                let table = lookup::table_name(pg_sys::Oid::from(*oid)).unwrap_or_default();
                let command = rows.command.as_str();
                effects
                    .taken_rows
                    .push(format!("{} loses {command} on {whose} in {table}", rows.identity));
            }
        }
        for ((role, privilege, oid), (object, _)) in &after.privileges {
            // A privilege on some columns is no more than one on the whole table.
            let had = |privilege: &str| {
                before.privileges.contains_key(&(*role, privilege.to_owned(), *oid))
            };
            let whole = privilege.split(" (").next().unwrap_or_default();
            if !had(privilege) && !had(whole) {
                let role = role_name(pg_sys::Oid::from(*role));
                effects.opened.push(format!("{privilege} on {object} to {role}"));
            }
        }
        add_lost_privileges((before, after), finding, &mut taken, &mut also);
        effects.taken = phrases(taken);
        effects.also = phrases(also);
        effects
    }
}

/// Words with the same text before and after them.
type Groups = BTreeMap<(String, String), Vec<String>>;

fn group(groups: &mut Groups, before: String, word: &str, after: String) {
    let words = groups.entry((before, after)).or_default();
    if !words.iter().any(|known| known == word) {
        words.push(word.to_owned());
    }
}

fn phrases(groups: Groups) -> Vec<String> {
    groups
        .into_iter()
        .map(|((before, after), words)| format!("{before} {}{after}", words.join(", ")))
        .collect()
}

/// Adds the privileges that client roles have lost: those in use by a policy, or on other objects
/// than the finding's, to `taken`.
fn add_lost_privileges(
    (before, after): (&State, &State),
    finding: &Finding,
    taken: &mut Groups,
    also: &mut Groups,
) {
    for (key, (object, is_table)) in &before.privileges {
        let (role, privilege, oid) = key;
        if after.privileges.contains_key(key) {
            continue;
        }
        let role = pg_sys::Oid::from(*role);
        let keeps_columns = after.privileges.keys().any(|(other, name, of)| {
            (pg_sys::Oid::from(*other), of) == (role, oid)
                && name.strip_prefix(privilege.as_str()).is_some_and(|rest| rest.starts_with(" ("))
        });
        let privilege = match keeps_columns {
            true => format!("{privilege} of some columns"),
            false => privilege.clone(),
        };
        let users = match *is_table {
            true => policies_that_use(&before.audit, *oid, role, &privilege),
            false => Vec::new(),
        };
        let name = role_name(role);
        if !users.is_empty() {
            let users = format!(" on {object} (used by policy {})", users.join(", "));
            group(taken, format!("{name} loses"), &privilege, users);
        } else if finding.relation == Some(*oid) || !*is_table {
            group(also, "takes".to_owned(), &privilege, format!(" on {object} from {name}"));
        } else {
            group(taken, format!("{name} loses"), &privilege, format!(" on {object}"));
        }
    }
}

/// The permissive policies that let a role use a privilege on a table.
fn policies_that_use(audit: &Audit, table: u32, role: pg_sys::Oid, privilege: &str) -> Vec<String> {
    let is_privilege = |command: &Command| privilege.starts_with(command.as_str());
    let Some(command) = Command::ALL.into_iter().find(is_privilege) else { return Vec::new() };
    let table = pg_sys::Oid::from(table);
    let clause = if command == Command::Insert { "check" } else { "using" };
    let is_never_true = |policy: pg_sys::Oid| {
        audit.facts_of(table).iter().any(|facts| {
            (facts.policy, facts.clause) == (policy, clause)
                && facts.constant.is_some_and(|constant| constant != "true")
        })
    };
    audit
        .policies_of(table)
        .iter()
        .filter(|policy| policy.is_permissive && policy.applies_to(command, role))
        .filter(|policy| !is_never_true(policy.oid))
        .map(|policy| quoted(&policy.name))
        .collect()
}

/// Phrases as a list, the first few of them.
pub fn listed(phrases: &[String]) -> String {
    let shown = phrases.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join("; ");
    match phrases.len().saturating_sub(MAX_LISTED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
