//! The plan of an erasure: all rows of a person, found through foreign keys and rules.

use super::catalog::{Catalog, ForeignKey, Rule, RuleAction, Table, owner_columns, referenced};
use super::error::ErasureError;
use super::objection::Objection;
use super::order::children_first;
use super::person::{Accounts, Person};
use super::query::{View, key_list, on_table, texts};
use super::step::{Action, Step};
use pgrx::pg_sys;
use pgrx::spi::{quote_identifier, quote_literal};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All rows of a person, in the order in which they are treated.
pub struct Plan {
    /// The steps, children before their parents.
    pub steps: Vec<Step>,
    /// The tables of the steps in groups, children first.
    pub groups: Vec<Vec<u32>>,
    /// Reasons against the execution.
    pub objections: Vec<Objection>,
    /// The catalog that it was made by.
    pub catalog: Catalog,
}

impl Plan {
    /// Finds the rows. With [`View::Latest`], each one is locked before its children are looked
    /// for: none can be added meanwhile.
    pub fn make(accounts: &Accounts, person: &Person, view: View) -> Result<Self, ErasureError> {
        let catalog = Catalog::read(view)?;
        let mut search = Search {
            catalog,
            accounts: BTreeSet::from([accounts.table.to_u32()]),
            steps: BTreeMap::new(),
            seen: BTreeMap::new(),
            queue: VecDeque::new(),
            objections: Vec::new(),
        };
        search.begin(accounts, person)?;
        search.follow_rules(person)?;
        search.follow_foreign_keys()?;
        search.find_undecided(accounts, person)?;
        search.find_obstacles()?;
        Ok(search.plan())
    }
}

/// Rows whose children are still to be found.
struct Reached {
    table: pg_sys::Oid,
    keys: Vec<String>,
    /// Whether they go.
    are_deleted: bool,
}

struct Search {
    catalog: Catalog,
    /// Tables with a row for the account itself: the table of accounts, and those whose key
    /// references it.
    accounts: BTreeSet<u32>,
    /// The steps by table, action and rule.
    steps: BTreeMap<(u32, Action, Option<usize>), Step>,
    /// Keys whose children were looked for.
    seen: BTreeMap<u32, BTreeSet<String>>,
    queue: VecDeque<Reached>,
    objections: Vec<Objection>,
}

impl Search {
    fn begin(&mut self, accounts: &Accounts, person: &Person) -> Result<(), ErasureError> {
        let rule = self.catalog.rule_for(accounts.table, std::slice::from_ref(&accounts.key));
        let type_ = crate::pg::catalog::lookup::qualified_type_name(accounts.key_type);
        let condition = format!("c.{} = CAST($1 AS {type_})", accounts.key);
        let keys = self.keys(accounts.table, &condition, &person.id)?;
        self.reach(accounts.table, keys, rule, None, &accounts.key)
    }

    /// Rows whose owner column has no foreign key.
    fn follow_rules(&mut self, person: &Person) -> Result<(), ErasureError> {
        for (number, rule) in self.catalog.rules.clone().into_iter().enumerate() {
            let Some(table) = rule.table.filter(|_| rule.has_column) else {
                self.object_to_rule(&rule);
                continue;
            };
            let Some((column, type_)) = &rule.owner_column else { continue };
            let has_foreign_key =
                |key: &ForeignKey| key.child == table && key.child_columns.contains(column);
            if self.catalog.foreign_keys.iter().any(has_foreign_key) {
                continue;
            }
            let keys = self.rows_of(table, column, type_, person)?;
            self.reach(table, keys, Some(number), None, column)?;
        }
        Ok(())
    }

    fn object_to_rule(&mut self, rule: &Rule) {
        let column = rule.owner_column.as_ref().map(|(column, _)| column.as_str());
        self.objections.push(Objection {
            is_undecided: false,
            object: rule.target.clone(),
            rows: 0,
            by: column.unwrap_or_default().to_owned(),
            detail: match rule.table {
                None => "a rule names this table, which does not exist".into(),
                Some(_) => "a rule names this column, which does not exist".into(),
            },
            command: format!(
                "DELETE FROM crewsnow_ops.erasure_rules WHERE target = {};",
                quote_literal(&rule.target)
            ),
        });
    }

    /// Keys of the rows in which a column holds an identifier of the person.
    fn rows_of(
        &mut self,
        table: pg_sys::Oid,
        column: &str,
        type_: &str,
        person: &Person,
    ) -> Result<Vec<String>, ErasureError> {
        if type_ == "uuid" {
            if person.uuid().is_none() {
                return Ok(Vec::new());
            }
            return self.keys(table, &format!("c.{column} = CAST($1 AS uuid)"), &person.id);
        }
        let list = Value::from(person.identifiers()).to_string();
        // An index of the column serves the comparison of texts.
        let value = match type_ {
            "text" => format!("c.{column}"),
            _ => format!("concat(c.{column})"),
        };
        let any = "ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb))";
        self.keys(table, &format!("{value} = ANY ({any})"), &list)
    }

    /// Keys of the rows that meet a condition with one parameter.
    fn keys(
        &mut self,
        table: pg_sys::Oid,
        condition: &str,
        parameter: &str,
    ) -> Result<Vec<String>, ErasureError> {
        let table = self.catalog.table(table)?;
        let view = self.catalog.view;
        let locks = view == View::Latest && table.may_update;
        let lock = if locks { " FOR UPDATE OF c" } else { "" };
        let sql = format!(
            "SELECT {} FROM {} AS c WHERE {condition}{lock}",
            table.columns.key_of("c"),
            table.name
        );
        on_table(table.owner, || texts(view, &sql, &[parameter.into()]))
    }

    /// Adds rows to the step of their rule, or of the default.
    fn reach(
        &mut self,
        table: pg_sys::Oid,
        keys: Vec<String>,
        rule: Option<usize>,
        foreign_key: Option<&ForeignKey>,
        by: &str,
    ) -> Result<(), ErasureError> {
        if keys.is_empty() {
            return Ok(());
        }
        let action = match rule.and_then(|rule| self.catalog.rules.get(rule)) {
            Some(rule) => match rule.action {
                RuleAction::Delete => Action::Delete,
                RuleAction::Anonymise => Action::Anonymise,
                RuleAction::Keep => Action::Keep,
            },
            None if foreign_key.is_some_and(|key| key.sets) => Action::SetNull,
            None => Action::Delete,
        };
        let replacements = match (action, rule.and_then(|rule| self.catalog.rules.get(rule))) {
            (Action::Anonymise, Some(rule)) => rule.replacements.clone(),
            _ => Map::new(),
        };
        // Rows that go need no distinction by rule.
        let rule = rule.filter(|_| action == Action::Anonymise);
        let step = self.steps.entry((table.to_u32(), action, rule)).or_insert_with(|| Step {
            table,
            action,
            keys: BTreeSet::new(),
            by: BTreeSet::new(),
            replacements,
        });
        step.by.insert(by.to_owned());
        step.keys.extend(keys.iter().cloned());
        if action != Action::Delete && !self.accounts.contains(&table.to_u32()) {
            return Ok(());
        }
        let seen = self.seen.entry(table.to_u32()).or_default();
        let new: Vec<String> = keys.into_iter().filter(|key| seen.insert(key.clone())).collect();
        if !new.is_empty() {
            let are_deleted = action == Action::Delete;
            self.queue.push_back(Reached { table, keys: new, are_deleted });
        }
        Ok(())
    }

    fn follow_foreign_keys(&mut self) -> Result<(), ErasureError> {
        while let Some(reached) = self.queue.pop_front() {
            pgrx::check_for_interrupts!();
            let parent = self.catalog.table(reached.table)?;
            let of_parent = |key: &&ForeignKey| key.parent == reached.table;
            let keys: Vec<ForeignKey> =
                self.catalog.foreign_keys.iter().filter(of_parent).cloned().collect();
            for foreign_key in keys {
                let values = referenced(self.catalog.view, &parent, &foreign_key, &reached.keys)?;
                self.follow(&foreign_key, &reached, &parent, values)?;
            }
        }
        Ok(())
    }

    fn follow(
        &mut self,
        foreign_key: &ForeignKey,
        reached: &Reached,
        parent: &Table,
        values: Vec<String>,
    ) -> Result<(), ErasureError> {
        if values.is_empty() {
            return Ok(());
        }
        let columns = &foreign_key.parent_columns;
        let condition = format!(
            "EXISTS (SELECT FROM {} AS k WHERE {})",
            columns.keys(1),
            columns.equal("c", &foreign_key.child_columns)
        );
        let keys = self.keys(foreign_key.child, &condition, &key_list(&values))?;
        let child = self.catalog.table(foreign_key.child)?;
        if self.accounts.contains(&reached.table.to_u32())
            && foreign_key.child_columns == child.columns.names
        {
            self.accounts.insert(foreign_key.child.to_u32());
        }
        let rule = self.catalog.rule_for(foreign_key.child, &foreign_key.child_columns);
        if reached.are_deleted && !keys.is_empty() {
            self.object_to_remaining(foreign_key, &child, parent, rule, keys.len());
        }
        self.reach(foreign_key.child, keys, rule, Some(foreign_key), &foreign_key.name)
    }

    /// Rows that stay must not reference rows that go: the deletion would fail, or cascade.
    fn object_to_remaining(
        &mut self,
        foreign_key: &ForeignKey,
        child: &Table,
        parent: &Table,
        rule: Option<usize>,
        rows: usize,
    ) {
        let Some(rule) = rule.and_then(|rule| self.catalog.rules.get(rule)) else { return };
        let is_replaced = |column: &String| {
            rule.replacements.keys().any(|name| quote_identifier(name) == *column)
        };
        let stays = rule.action != RuleAction::Delete && !foreign_key.sets;
        if !stays || foreign_key.child_columns.iter().any(is_replaced) {
            return;
        }
        let column = foreign_key.child_columns.first().map_or("", String::as_str);
        self.objections.push(Objection {
            is_undecided: false,
            object: child.name.clone(),
            rows: rows as i64,
            by: foreign_key.name.clone(),
            detail: format!(
                "a rule keeps these rows, and they reference {}, whose rows go",
                parent.name
            ),
            command: format!(
                "UPDATE crewsnow_ops.erasure_rules SET action = 'anonymise', replacements = \
                 coalesce(replacements, '{{}}') || {} WHERE target = {};",
                quote_literal(format!("{{\"{}\": null}}", column.trim_matches('"'))),
                quote_literal(&rule.target)
            ),
        });
    }

    /// Tables whose rows cannot be changed safely.
    fn find_obstacles(&mut self) -> Result<(), ErasureError> {
        for ((_, action, _), step) in self.steps.clone() {
            let table = self.catalog.table(step.table)?;
            let (Some(obstacle), Action::Delete | Action::Anonymise) = (table.obstacle, action)
            else {
                continue;
            };
            self.objections.push(Objection {
                is_undecided: false,
                command: format!(
                    "SELECT rulename, definition FROM pg_rules WHERE format('%I.%I', schemaname, \
                     tablename) = {};",
                    quote_literal(&table.name)
                ),
                object: table.name,
                rows: step.keys.len() as i64,
                by: step.by.into_iter().collect::<Vec<_>>().join(", "),
                detail: obstacle,
            });
        }
        Ok(())
    }

    /// Columns that look like an owner, hold the person, and have neither foreign key nor rule.
    fn find_undecided(&mut self, accounts: &Accounts, person: &Person) -> Result<(), ErasureError> {
        for (table, column, type_) in owner_columns(accounts.key_type)? {
            if self.catalog.rule_for(table, std::slice::from_ref(&column)).is_some() {
                continue;
            }
            let keys = self.rows_of(table, &column, &type_, person)?;
            let goes = self.steps.get(&(table.to_u32(), Action::Delete, None));
            let rows = keys.iter().filter(|key| !goes.is_some_and(|step| step.keys.contains(*key)));
            let rows = rows.count() as i64;
            if rows == 0 {
                continue;
            }
            let name = self.catalog.table(table)?.name;
            self.objections.push(Objection {
                is_undecided: true,
                command: format!(
                    "INSERT INTO crewsnow_ops.erasure_rules (target, owner_column, action, \
                     legal_basis) VALUES ({}, {}, 'delete', 'erasure');",
                    quote_literal(&name),
                    quote_literal(column.trim_matches('"'))
                ),
                object: name,
                rows,
                by: column,
                detail: "the column holds the person, and no foreign key or rule decides".into(),
            });
        }
        Ok(())
    }

    /// Orders the steps. A row that goes needs no other work.
    fn plan(self) -> Plan {
        let Self { mut steps, objections, catalog, .. } = self;
        let deleted: BTreeMap<u32, BTreeSet<String>> = steps
            .iter()
            .filter(|((_, action, _), _)| *action == Action::Delete)
            .map(|((table, _, _), step)| (*table, step.keys.clone()))
            .collect();
        for ((table, action, _), step) in &mut steps {
            if let Some(deleted) = deleted.get(table).filter(|_| *action != Action::Delete) {
                step.keys.retain(|key| !deleted.contains(key));
            }
        }
        steps.retain(|_, step| !step.keys.is_empty());
        let tables: BTreeSet<u32> = steps.keys().map(|(table, _, _)| *table).collect();
        let edges: Vec<(u32, u32)> = catalog
            .foreign_keys
            .iter()
            .map(|key| (key.child.to_u32(), key.parent.to_u32()))
            .collect();
        let groups = children_first(&tables, &edges);
        let place = |table: u32| groups.iter().position(|group| group.contains(&table));
        let mut steps: Vec<Step> = steps.into_values().collect();
        steps.sort_by_key(|step| (place(step.table.to_u32()), step.action));
        Plan { steps, groups, objections, catalog }
    }
}
