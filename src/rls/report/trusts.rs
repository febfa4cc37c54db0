//! Findings about tables that policies trust: users write the rows that decide there, or put rows
//! into teams of others.

use crate::pg::catalog::lookup;
use crate::pg::rewrite::row_security::Command;
use crate::rls::audit::Audit;
use crate::rls::engine::membership::Choice;
use crate::rls::engine::trusted_tables::{ForeignTeam, SelfWritten};
use crate::rls::model::{Confidence, Finding, Severity, quoted};
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

/// The rule of tables into which users write the rows by which policies decide.
pub const SELF_WRITTEN: &str = "self-written-membership";
/// The rule of tables whose rows users put into teams of others.
pub const FOREIGN_TEAM: &str = "foreign-team-rows";

/// Most tables and policies that one finding lists.
const MAX_LISTED: usize = 8;

/// The findings of an audit.
pub fn findings(audit: &Audit) -> Vec<Finding> {
    let self_written = audit.trusts.self_written.iter().map(|of| self_written(audit, of));
    self_written
        .chain(audit.trusts.foreign_teams.iter().map(|of| foreign_team(audit, of)))
        .chain(audit.trusts.undecided.iter().filter_map(|(members, why)| {
            let is_found = audit.trusts.self_written.iter().any(|of| of.members == *members);
            (!is_found).then(|| undecided(&audit.tables[*members].0, why))
        }))
        .collect()
}

fn undecided(members: &Table, why: &str) -> Finding {
    Finding {
        rule: "inconclusive",
        severity: Severity::Info,
        confidence: Confidence::Suspected,
        object: format!("table {}", members.named.name),
        relation: Some(members.oid().to_u32()),
        policy: None,
        detail: "The audit could not decide whether users write rows by which policies admit them."
            .to_owned(),
        evidence: why.to_owned(),
        remediation: None,
        cache_key: None,
    }
}

fn self_written(audit: &Audit, of: &SelfWritten) -> Finding {
    let table = |place: usize| &audit.tables[place].0;
    let (members, opened) = (table(of.members), table(of.trusting));
    let written = &of.written;
    let columns = names(members, &written.columns);
    let command = written.command.as_str();
    let act = match written.command {
        Command::Insert => format!("insert a row of their own into {}", members.named.name),
        _ => format!("change a row of their own in {}", members.named.name),
    };
    let act = match of.through {
        Some(through) => format!("{act}, with it one into {}", table(through).named.name),
        None => act,
    };
    let verb = match written.opened {
        Command::Update => "change",
        Command::Delete => "delete",
        _ => "read",
    };
    let limit = match written.choice {
        Choice::EveryTeam => "",
        Choice::MostTeams => " Constants in the check exclude some teams.",
        Choice::ByTeam => {
            " The check asks a property that all these teams have, so this may be intended."
        }
    };
    let mut opened_tables: Vec<&str> = of
        .opened
        .iter()
        .filter(|(_, command)| *command == written.opened)
        .map(|(place, _)| table(*place).named.name.as_str())
        .collect();
    opened_tables.truncate(MAX_LISTED);
    let effect = match written.is_seen {
        true => format!("then {verb} foreign rows of {}", opened_tables.join(", ")),
        false => format!("then {verb} rows of {}, which has none yet", opened.named.name),
    };
    let observed = match written.is_asked {
        true => format!(
            "with it, the policies of {} admit rows that they did not admit before",
            opened.named.name
        ),
        false => format!("users with such rows reach more of {}", opened.named.name),
    };
    let mut evidence = format!(
        "{}: {command} choosing {columns} passes the policies of {}; {observed}; it is trusted by \
         {}",
        of.identities.join(", "),
        members.named.name,
        readers(audit, of),
    );
    if let Some(caveat) = &of.caveat {
        evidence = format!("{evidence}; {caveat}");
    }
    let is_certain = written.is_seen && written.is_asked && of.caveat.is_none();
    let audience = capitalized(&of.audience.to_string());
    Finding {
        rule: SELF_WRITTEN,
        severity: of.severity,
        confidence: if is_certain { Confidence::Observed } else { Confidence::Suspected },
        object: format!("table {}", members.named.name),
        relation: Some(members.oid().to_u32()),
        policy: only_policy(audit, members, written.command),
        detail: format!(
            "{audience} can {act}, and {effect}: the policies for {command} do not bind \
             {columns}.{limit} Let an admin of the team or an invitation decide. No statement is \
             given, because clients use the table and only its developers know who may write it."
        ),
        evidence,
        remediation: None,
        cache_key: None,
    }
}

fn foreign_team(audit: &Audit, of: &ForeignTeam) -> Finding {
    let table = &audit.tables[of.table].0;
    let members = &audit.tables[of.members].0;
    let (name, command) = (&table.named.name, of.command.as_str());
    let column = names(table, &[of.column]);
    let act = match of.command {
        Command::Insert => "insert rows into teams",
        _ => "move rows into teams",
    };
    let mut evidence = format!(
        "{}: {command} with {column} of a team without a row of theirs in {} passes the policies; \
         a member of that team then reads the row",
        of.identities.join(", "),
        members.named.name,
    );
    if let Some(caveat) = &of.caveat {
        evidence = format!("{evidence}; {caveat}");
    }
    let intended = match of.severity {
        Severity::Medium => {
            " They still read the row as its owner, so it may be meant as a message to the team."
        }
        _ => "",
    };
    let audience = capitalized(&of.audience.to_string());
    Finding {
        rule: FOREIGN_TEAM,
        severity: of.severity,
        confidence: match of.caveat {
            None => Confidence::Observed,
            Some(_) => Confidence::Suspected,
        },
        object: format!("table {name}"),
        relation: Some(table.oid().to_u32()),
        policy: only_policy(audit, table, of.command),
        detail: format!(
            "{audience} can {act} of which they are no members: the policies for {command} on \
             {name} do not bind {column}.{intended} Let WITH CHECK ask for membership as USING \
             does."
        ),
        evidence,
        remediation: None,
        cache_key: None,
    }
}

/// The permissive policy of a table for a command of the users, if it is the only one.
fn only_policy(audit: &Audit, table: &Table, command: Command) -> Option<u32> {
    let role = audit.application.user_role()?.oid;
    let mut applicable = audit.policies.iter().filter(|policy| {
        policy.relation == table.oid() && policy.is_permissive && policy.applies_to(command, role)
    });
    let only = applicable.next()?;
    applicable.next().is_none().then(|| only.oid.to_u32())
}

fn names(table: &Table, columns: &[i16]) -> String {
    let names: Vec<String> = columns
        .iter()
        .filter_map(|column| lookup::column_name(table.oid(), *column))
        .map(quote_identifier)
        .collect();
    names.join(", ")
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// The policies of the trusting tables that call a function or have a sub-query.
fn readers(audit: &Audit, of: &SelfWritten) -> String {
    let members = audit.tables[of.members].0.oid().to_u32();
    let is_reading = |policy: &&Policy| {
        audit.facts.iter().filter(|clause| clause.policy == policy.oid).any(|clause| {
            let mut functions = clause.facts.functions.iter();
            clause.facts.relations.contains(&members)
                || functions.any(|function| {
                    let function = pg_sys::Oid::from(*function);
                    function.to_u32() >= pg_sys::FirstNormalObjectId
                        && !audit.application.identity_functions.contains(&function)
                })
        })
    };
    let mut names = Vec::new();
    for table in of.readers.iter().map(|place| &audit.tables[*place].0) {
        let of_table = audit.policies.iter().filter(|policy| policy.relation == table.oid());
        names.extend(
            of_table
                .filter(is_reading)
                .map(|policy| format!("policy {} on {}", quoted(&policy.name), table.named.name)),
        );
    }
    let more = names.len().saturating_sub(MAX_LISTED);
    names.truncate(MAX_LISTED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}
