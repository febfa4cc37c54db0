//! Remediations: SQL that closes a finding by narrowing policies. None widens a reach: a condition
//! is added to the present clause by AND, or a permissive policy is dropped.

use crate::pg::catalog::lookup;
use crate::pg::rewrite::row_security::Command;
use crate::rls::engine::reach_probe::command;
use crate::rls::model::{Reach, quoted};
use crate::rls::target::application::Application;
use crate::rls::target::owner_column::OwnerColumn;
use crate::rls::target::policy;
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use pgrx::spi::quote_identifier;

/// A remediation that is not proved yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The SQL, after a comment that names the role that may run it.
    pub script: String,
    /// A noun phrase that names the changes, such as `restricting policy "p" to owners`.
    pub name: String,
}

/// The qual "the row belongs to the identity" by some owner columns; `None` if the identity cannot
/// be compared with them.
fn own(application: &Application, owners: &[&OwnerColumn]) -> Option<String> {
    let identity = application.identity.as_ref()?;
    let function = application.identity_functions.first()?;
    let type_ = lookup::base_type(lookup::return_type(*function));
    let (mut names, mut is_text) = (Vec::new(), false);
    for owner in owners.iter().filter(|owner| owner.is_plain_id()) {
        if owner.type_ != type_ {
            // A text can hold an id of any type, but only the text of an id can be compared.
            if !lookup::is_text(owner.type_) {
                continue;
            }
            is_text = true;
        }
        names.push(quote_identifier(&owner.name));
    }
    let identity = match is_text {
        true if owners.iter().any(|owner| owner.type_ == type_) => return None,
        true => format!("{identity}::text"),
        false => identity.clone(),
    };
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("{one} = (SELECT {identity})")),
        several => Some(format!("(SELECT {identity}) IN ({})", several.join(", "))),
    }
}

/// The statements, after a comment that names the role that may run them.
fn script(table: &Table, statements: &[String]) -> String {
    let script = statements.join("\n");
    match table.is_own {
        true => script,
        false => format!("-- as {}:\n{script}", table.owner.replace(['\n', '\r'], " ")),
    }
}

/// Row-level security and a policy for owners, for a table without both; `None` if it has policies,
/// or if no key or policy tells its only owner column.
pub fn of_unsecured_table(
    application: &Application,
    table: &Table,
    policies: &[Policy],
) -> Option<String> {
    let [owner] = table.owners.as_slice() else { return None };
    if table.is_secured || !policies.is_empty() || owner.basis == "name" {
        return None;
    }
    let (name, own) = (&table.named.name, own(application, &[owner])?);
    let role = quote_identifier(&application.user_role()?.name);
    Some(script(
        table,
        &[
            format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"),
            format!(
                "CREATE POLICY \"Owners manage their rows\" ON {name} TO {role} USING ({own}) \
                 WITH CHECK ({own});"
            ),
        ],
    ))
}

/// Remediations of a leak, the mildest first: they restrict the responsible policies, or all
/// permissive ones of the command, to owners.
pub fn of_leak(
    application: &Application,
    table: &Table,
    reach: Reach,
    responsible: &[Policy],
    all: &[Policy],
) -> Vec<Proposal> {
    let every: Vec<&OwnerColumn> = table.owners.iter().collect();
    let certain = every.iter().filter(|owner| owner.basis == "foreign key");
    let alone = certain.filter(|_| every.len() > 1).map(|owner| vec![*owner]);
    let owners = std::iter::once(every.clone()).chain(alone);
    let of_command: Vec<&Policy> =
        all.iter().filter(|policy| policy.is_permissive && is_for(policy, reach)).collect();
    let mut proposals = Vec::new();
    for owners in owners {
        let Some(own) = own(application, &owners) else { continue };
        for policies in [responsible.iter().collect(), of_command.clone()] {
            let proposal = restriction(table, reach, &policies, &own, "owners");
            proposals.extend(proposal.filter(|proposal| !proposals.contains(proposal)));
        }
    }
    proposals
}

/// Remediations of an open write to a table without owner columns.
pub fn of_open_write(table: &Table, reach: Reach, responsible: &[Policy]) -> Vec<Proposal> {
    let name = &table.named.name;
    // A policy FOR ALL also serves reads. Only its check can be narrowed alone.
    if responsible.iter().any(|policy| policy.command == '*') {
        let policies: Vec<&Policy> = responsible.iter().collect();
        let on_check = match reach {
            Reach::Destroy => return Vec::new(),
            Reach::Forge => Reach::Forge,
            _ => Reach::Plant,
        };
        return restriction(table, on_check, &policies, "false", "reading").into_iter().collect();
    }
    if responsible.is_empty() {
        return Vec::new();
    }
    let statement =
        |policy: &Policy| format!("DROP POLICY {} ON {name};", quote_identifier(&policy.name));
    let statements: Vec<String> = responsible.iter().map(statement).collect();
    vec![Proposal {
        script: script(table, &statements),
        name: format!("dropping {}", names(&responsible.iter().collect::<Vec<_>>())),
    }]
}

/// Whether a policy is one of the command of a reach.
fn is_for(policy: &Policy, reach: Reach) -> bool {
    let letter = match command(reach) {
        Command::Select => 'r',
        Command::Insert => 'a',
        Command::Update => 'w',
        Command::Delete => 'd',
    };
    policy.command == '*' || policy.command == letter
}

/// The policies with a condition added to the clause that a reach depends on; `None` if one has no
/// such clause.
fn restriction(
    table: &Table,
    reach: Reach,
    policies: &[&Policy],
    condition: &str,
    to: &str,
) -> Option<Proposal> {
    let mut statements = Vec::new();
    for policy in policies {
        let is_about_new_rows = matches!(reach, Reach::Plant | Reach::Forge);
        let old = match is_about_new_rows {
            true => policy.check.as_ref().or(policy.using.as_ref()),
            false => policy.using.as_ref(),
        };
        let old = policy::sql_text(old?, table.oid()).ok()?;
        let narrowed = match old.as_str() {
            "true" => condition.to_owned(),
            old => format!("{} AND {condition}", enclosed(old)),
        };
        let keyword = if is_about_new_rows { "WITH CHECK" } else { "USING" };
        statements.push(format!(
            "ALTER POLICY {} ON {} {keyword} ({narrowed});",
            quote_identifier(&policy.name),
            table.named.name
        ));
    }
    (!statements.is_empty()).then(|| Proposal {
        script: script(table, &statements),
        name: format!("restricting {} to {to}", names(policies)),
    })
}

/// The names of policies in a sentence.
fn names(policies: &[&Policy]) -> String {
    let names: Vec<String> = policies.iter().map(|policy| quoted(&policy.name)).collect();
    format!("{} {}", if names.len() == 1 { "policy" } else { "policies" }, names.join(", "))
}

/// An expression in parentheses, unless one pair encloses it already.
fn enclosed(expression: &str) -> String {
    let (mut depth, mut quote) = (0_i32, None);
    let mut is_enclosed = expression.starts_with('(') && expression.ends_with(')');
    for (at, c) in expression.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        is_enclosed &= depth > 0 || at + c.len_utf8() == expression.len();
    }
    if is_enclosed { expression.to_owned() } else { format!("({expression})") }
}

#[cfg(test)]
mod tests {
    use super::enclosed;

    #[test]
    fn an_expression_is_enclosed_once() {
        assert_eq!(enclosed("(a = 1)"), "(a = 1)");
        assert_eq!(enclosed("(a = ')')"), "(a = ')')");
        assert_eq!(enclosed("(a = 1) OR (b = 2)"), "((a = 1) OR (b = 2))");
        assert_eq!(enclosed("is_public"), "(is_public)");
        assert_eq!(enclosed("(a = '(') OR (b = ')')"), "((a = '(') OR (b = ')'))");
    }
}
