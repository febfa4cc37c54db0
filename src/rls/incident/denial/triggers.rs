//! Triggers and rules that may refuse or replace a command. None is fired.

use super::relation::Relation;
use super::step::Step;
use super::trigger_body;
use super::trigger_body::{Body, Write};
use crate::pg::catalog::lookup;
use crate::pg::rewrite::row_security::Command;
use crate::rls::error::RlsError;
use crate::rls::target::policy;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::collections::BTreeSet;

/// A trigger that the command fires, or a rule that replaces it.
pub struct Trigger {
    /// BEFORE, AFTER, INSTEAD OF or RULE.
    kind: String,
    /// The name, quoted.
    name: String,
    function: String,
    language: String,
    is_definer: bool,
    /// Whether a WHEN condition or a list of columns decides whether it fires.
    is_guarded: bool,
    /// The text of the function; for a rule NOTHING, or nothing if it has a command.
    text: String,
    body: Body,
}

/// The triggers and rules of a command on a relation.
pub fn read(relation: &Relation, command: Command) -> Result<Vec<Trigger>, RlsError> {
    // Bits of pg_trigger.tgtype and letters of pg_rewrite.ev_type.
    let (bit, event) = match command {
        Command::Select => (0_i32, "1"),
        Command::Insert => (4, "3"),
        Command::Update => (16, "2"),
        Command::Delete => (8, "4"),
    };
    Spi::connect(|client| {
        let arguments = [relation.named.table.into(), bit.into(), event.into()];
        let sql = include_str!("../../../../sql/rls/denial_triggers.sql");
        let mut triggers = Vec::new();
        for row in client.select(sql, None, &arguments)? {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let is = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
            let (language, text_of_body) = (text(4)?, text(7)?);
            triggers.push(Trigger {
                kind: text(1)?,
                name: text(2)?,
                function: text(3)?,
                is_definer: is(5)?,
                is_guarded: is(6)?,
                body: match language.as_str() {
                    "plpgsql" => trigger_body::read(&text_of_body),
                    _ => Body::default(),
                },
                language,
                text: text_of_body,
            });
        }
        Ok(triggers)
    })
}

/// The columns that BEFORE triggers may set.
pub fn set_columns(triggers: &[Trigger], relation: &Relation) -> BTreeSet<i16> {
    let before = triggers.iter().filter(|trigger| trigger.kind == "BEFORE");
    let names = before.flat_map(|trigger| trigger.body.sets.iter());
    let column = |name: &String| relation.column(name.trim_matches('"'));
    names.filter_map(column).map(|column| column.number).collect()
}

/// The steps of rules that replace the command.
pub fn rule_steps(triggers: &[Trigger], relation: &Relation) -> Vec<Step> {
    let rules = triggers.iter().filter(|trigger| trigger.kind == "RULE");
    let step = |rule: &Trigger| {
        let object = format!("rule {} on {}", rule.name, relation.named.name);
        match (rule.text.as_str(), rule.is_guarded) {
            ("NOTHING", false) => {
                Step::denied("rule", object, "The rule does nothing in place of the command.")
            }
            _ => Step::unknown("rule", object, "The rule replaces the command by another."),
        }
    };
    rules.map(step).collect()
}

/// The steps of the triggers of a kind that may refuse the row.
pub fn steps(
    triggers: &[Trigger],
    relation: &Relation,
    kinds: &[&str],
) -> Result<Vec<Step>, RlsError> {
    let mut steps = Vec::new();
    for trigger in triggers.iter().filter(|trigger| kinds.contains(&trigger.kind.as_str())) {
        let object = format!("trigger {} on {}", trigger.name, relation.named.name);
        let intro = format!("The {} trigger calls {}", trigger.kind, trigger.function);
        if !trigger.is_definer
            && let Some((text, is_certain)) = refused_write(trigger, relation)?
        {
            let text = format!("{intro}, which {text}");
            steps.push(match is_certain && !trigger.is_guarded {
                true => Step::denied("trigger", object, text),
                false => Step::unknown("trigger", object, text),
            });
            continue;
        }
        let body = &trigger.body;
        let doubt = if trigger.language != "plpgsql" {
            format!(", which is written in {} and cannot be read here.", trigger.language)
        } else if trigger.kind == "INSTEAD OF" {
            ", which writes in place of the command.".to_owned()
        } else if body.may_raise {
            ", which can raise an error.".to_owned()
        } else if body.may_skip && trigger.kind == "BEFORE" {
            ", which can skip the row by RETURN NULL.".to_owned()
        } else if body.is_opaque {
            ", which runs other code.".to_owned()
        } else {
            continue;
        };
        steps.push(Step::unknown("trigger", object, intro + &doubt));
    }
    Ok(steps)
}

/// A write of a trigger to a table that refuses it, or may; and whether it surely does.
fn refused_write(
    trigger: &Trigger,
    relation: &Relation,
) -> Result<Option<(String, bool)>, RlsError> {
    let mut doubt = None;
    for write in &trigger.body.writes {
        let Some(table) = table_of(write, relation) else { continue };
        let Some(target) = Relation::read(table, relation.role)? else { continue };
        let command = command_of(write);
        let (name, role, word) = (&target.named.name, &target.role_name, write.command);
        let lack = if !target.may_use_schema {
            format!("{role} has no USAGE on schema {}.", quote_identifier(&target.schema))
        } else if !target.allows_some_column(command) {
            format!("{role} has no {word} on it.")
        } else if !target.is_enforced() {
            continue;
        } else if policy::policies(Some(table))?
            .iter()
            .any(|policy| policy.is_permissive && policy.applies_to(command, relation.role))
        {
            let text = format!("needs {word} on {name}: the policies of that table decide.");
            doubt.get_or_insert((text, false));
            continue;
        } else {
            format!("no policy for {word} of that table applies to {role}.")
        };
        return Ok(Some((format!("needs {word} on {name}: {lack}"), write.is_certain)));
    }
    Ok(doubt)
}

fn command_of(write: &Write) -> Command {
    match write.command {
        "INSERT" => Command::Insert,
        "UPDATE" => Command::Update,
        _ => Command::Delete,
    }
}

/// The table that a body names; one without a schema is looked for beside the trigger's table.
fn table_of(write: &Write, relation: &Relation) -> Option<pg_sys::Oid> {
    let is_name = |c: char| c.is_alphanumeric() || "_$.\"".contains(c);
    if write.table.is_empty() || !write.table.chars().all(is_name) {
        return None;
    }
    let names = match write.table.contains('.') {
        true => vec![write.table.clone()],
        false => [relation.schema.as_str(), "public"]
            .iter()
            .map(|schema| format!("{}.{}", quote_identifier(schema), write.table))
            .collect(),
    };
    names.iter().find_map(|name| lookup::table_called(name))
}
