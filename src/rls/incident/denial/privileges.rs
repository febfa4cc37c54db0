//! The privileges that a command needs before any policy is asked.

use super::relation::{Column, Relation, listed};
use super::row::Input;
use super::step::Step;
use crate::pg::rewrite::row_security::Command;
use pgrx::spi::quote_identifier;

/// The checks of privileges, in the server's order. `safe_grant` returns the GRANT of a privilege
/// on the relation if it opens no rows beyond those of the policies.
pub fn steps(
    relation: &Relation,
    command: Command,
    input: &Input,
    safe_grant: &dyn Fn(&Relation, Command) -> Option<String>,
) -> Vec<Step> {
    let mut steps = vec![schema_usage(relation)];
    let grant = |command: Command| safe_grant(relation, command);
    let (word, role) = (command.as_str(), &relation.role_name);
    let new = input.new_columns(relation);
    let has_any = match command {
        Command::Delete => relation.allows(command),
        _ => relation.allows_some_column(command),
    };
    let lacking = |columns: &[&Column]| -> Vec<Column> {
        columns.iter().filter(|column| !column.allows(command)).map(|c| (*c).clone()).collect()
    };
    if !has_any {
        let text = format!("{role} has no {word} on {}.", relation.named.name);
        steps.push(
            Step::denied("table-grant", relation.object(), text + grant_note(relation))
                .with_remediation(grant(command)),
        );
    } else if !relation.allows(command) && !lacking(&new).is_empty() {
        let missing = lacking(&new);
        let text = format!(
            "{role} has {word} on some columns only, and not on {}. The command sets them.",
            listed(&missing)
        );
        steps.push(Step::denied("column-grant", relation.object(), text));
    } else {
        steps.push(Step::ok("table-grant", relation.object(), format!("{role} has {word}.")));
    }
    if command != Command::Insert {
        steps.extend(key_columns(relation, command, input, grant(Command::Select)));
    }
    if command == Command::Insert {
        let is_given = |column: &Column| new.iter().any(|given| given.number == column.number);
        for column in relation.columns.iter().filter(|column| !is_given(column)) {
            steps.extend(default_objects(relation, column));
        }
    }
    steps
}

/// The check of SELECT on each column, which `SELECT *` needs; `None` if it passes.
pub fn all_columns(relation: &Relation) -> Option<Step> {
    let missing = relation.columns.iter().filter(|column| !column.allows(Command::Select));
    let missing: Vec<&Column> = missing.collect();
    let is_partial = relation.allows_some_column(Command::Select) && !missing.is_empty();
    is_partial.then(|| {
        let text = format!(
            "SELECT * is refused: {} has no SELECT on {}. A SELECT of the other columns passes.",
            relation.role_name,
            listed(missing)
        );
        Step::denied("column-grant", relation.object(), text).conditional()
    })
}

fn grant_note(relation: &Relation) -> &'static str {
    if relation.is_table() && !relation.is_secured {
        " Row-level security is off: a grant would open every row."
    } else {
        ""
    }
}

fn schema_usage(relation: &Relation) -> Step {
    let (role, object) = (&relation.role_name, format!("schema {}", relation.schema));
    if relation.may_use_schema {
        return Step::ok("schema-usage", object, format!("{role} has USAGE."));
    }
    let text = format!(
        "{role} has no USAGE on schema {}. A grant opens every function and granted table in it.",
        quote_identifier(&relation.schema)
    );
    Step::denied("schema-usage", object, text)
}

/// A WHERE clause reads the columns of the key, also in UPDATE and DELETE.
fn key_columns(
    relation: &Relation,
    command: Command,
    input: &Input,
    grant: Option<String>,
) -> Option<Step> {
    let key = input.key_columns(relation);
    let missing: Vec<&Column> =
        key.into_iter().filter(|column| !column.allows(Command::Select)).collect();
    if missing.is_empty() || (command == Command::Select && !relation.allows_some_column(command)) {
        return None;
    }
    let text =
        format!("WHERE reads {}, and {} has no SELECT on it.", listed(missing), relation.role_name);
    Some(if relation.allows_some_column(Command::Select) {
        Step::denied("column-grant", relation.object(), text)
    } else {
        let text = text + " A command without WHERE would pass this check." + grant_note(relation);
        Step::denied("table-grant", relation.object(), text).with_remediation(grant)
    })
}

/// The sequence and function that fill a column which the INSERT leaves out.
fn default_objects(relation: &Relation, column: &Column) -> Vec<Step> {
    let (role, name) = (&relation.role_name, quote_identifier(&column.name));
    let mut steps = Vec::new();
    if let Some(sequence) = &column.missing_sequence {
        let text = format!("The default of {name} calls nextval, and {role} has no USAGE on it.");
        let grant = format!("GRANT USAGE ON SEQUENCE {sequence} TO {};", quote_identifier(role));
        steps.push(
            Step::denied("sequence-grant", format!("sequence {sequence}"), text)
                .with_remediation(Some(grant)),
        );
    }
    if let Some(function) = &column.missing_function {
        let text = format!("The default of {name} calls it, and {role} has no EXECUTE on it.");
        steps.push(Step::denied("function-grant", format!("function {function}"), text));
    }
    steps
}
