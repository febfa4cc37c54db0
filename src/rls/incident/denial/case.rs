//! The chain of checks for one request and command, in the server's order.

use super::constraints;
use super::policies::PolicyCheck;
use super::privileges;
use super::question::{Purpose, Question};
use super::relation::{Relation, listed};
use super::row::{Existing, Input, Row, Rows};
use super::server;
use super::step::{Status, Step, is_denied};
use super::triggers;
use crate::pg::rewrite::qual::ConstFolded;
use crate::pg::rewrite::row_security::{Command, effective};
use crate::pg::rewrite::statement::{sources_of, table_behind};
use crate::pg::rewrite::value::Parameters;
use crate::pg::xact::sec_context::role_name;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use crate::rls::target::policy;
use crate::rls::target::policy::Policy;
use crate::rls::target::roles::Role;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use serde_json::{Map, Value};

/// How many views on views are followed.
const MAX_VIEWS: usize = 8;

/// One request for one command.
pub struct Case<'a> {
    /// The audited application.
    pub application: &'a Application,
    /// The client role.
    pub role: &'a Role,
    /// The request.
    pub identity: &'a Identity,
    /// The command.
    pub command: Command,
}

impl Case<'_> {
    /// The checks on a relation, in the server's order.
    pub fn steps(
        &self,
        relation: &Relation,
        input: &Input,
        depth: usize,
    ) -> Result<Vec<Step>, RlsError> {
        let safe = |relation: &Relation, command| self.safe_grant(relation, command);
        let mut steps = privileges::steps(relation, self.command, input, &safe);
        // The server resolved the names in a view when it was created.
        steps.retain(|step| depth == 0 || step.cause != "schema-usage");
        let rows = match self.rows(relation, input)? {
            Some(rows) => rows,
            None => {
                steps.push(Step::denied("no-row", relation.object(), "No row has this key."));
                return Ok(steps);
            }
        };
        match relation.kind {
            'v' => steps.extend(self.view_steps(relation, input, depth)?),
            'r' | 'p' => steps.extend(self.table_steps(relation, &rows)?),
            _ => {}
        }
        if self.command == Command::Select && depth == 0 {
            steps.extend(privileges::all_columns(relation));
        }
        if relation.role == self.role.oid && relation.may_use_schema {
            let answer = server::answer(self.identity, self.command, relation, input, &rows)?;
            server::compare(&mut steps, relation, answer);
        }
        Ok(steps)
    }

    /// The row of the key and the row that is written, as far as the command has them; `None` if no
    /// row of a table has the key.
    fn rows(&self, relation: &Relation, input: &Input) -> Result<Option<Rows>, RlsError> {
        let mut rows = Rows::default();
        if !relation.is_table() {
            return Ok(Some(rows));
        }
        if self.command != Command::Insert {
            match input.existing(self.application, relation)? {
                Existing::Row(row) => rows.existing = Some(row),
                Existing::Missing => return Ok(None),
                Existing::Unreadable(reason) => {
                    rows.unreadable = Some(reason);
                    return Ok(Some(rows));
                }
            }
        }
        if matches!(self.command, Command::Insert | Command::Update) {
            rows.written = Some(input.written(relation, self.identity, rows.existing.as_ref())?);
        }
        Ok(Some(rows))
    }

    fn check<'b>(
        &'b self,
        relation: &'b Relation,
        policies: &'b [Policy],
        command: Command,
        row: &'b Row,
        purpose: Purpose,
    ) -> PolicyCheck<'b> {
        let identity_functions = &self.application.identity_functions;
        let identity = self.identity;
        PolicyCheck(Question {
            identity,
            identity_functions,
            relation,
            policies,
            command,
            row,
            purpose,
        })
    }

    /// Rules, policies, triggers and constraints of a table.
    fn table_steps(&self, relation: &Relation, rows: &Rows) -> Result<Vec<Step>, RlsError> {
        let triggers = triggers::read(relation, self.command)?;
        let mut steps = triggers::rule_steps(&triggers, relation);
        let written = rows.written.clone().map(|mut row| {
            let set = triggers::set_columns(&triggers, relation);
            row.columns.retain(|(number, ..)| !set.contains(number));
            row.unknown.extend(set);
            row
        });
        let policies = policy::policies(Some(relation.named.table))?;
        let ask = |command, row: &Row, purpose| {
            self.check(relation, &policies, command, row, purpose).steps()
        };
        let is_enforced = relation.is_enforced();
        if !is_enforced {
            let text = match relation.is_secured {
                true => format!("{} is exempt from row-level security.", relation.role_name),
                false => "Row-level security is off.".to_owned(),
            };
            steps.push(Step::ok("exempt", relation.object(), text));
        }
        if let Some(reason) = &rows.unreadable {
            if is_enforced {
                let without_row = |command, purpose| {
                    let none = Row::default();
                    self.check(relation, &policies, command, &none, purpose).steps_without_row()
                };
                let mut found = without_row(self.command, Purpose::Read);
                if self.command != Command::Select && found.is_empty() {
                    found = without_row(Command::Select, Purpose::Where);
                }
                steps.extend(found);
            }
            steps.push(Step::unknown("row", relation.object(), reason.clone()));
            return Ok(steps);
        }
        if is_enforced && let Some(row) = &rows.existing {
            let mut found = ask(self.command, row, Purpose::Read);
            if self.command != Command::Select && !is_denied(&found) {
                found.extend(ask(Command::Select, row, Purpose::Where));
            }
            let is_hidden = is_denied(&found);
            steps.extend(found);
            // The command ends without a row to write.
            if is_hidden {
                return Ok(steps);
            }
        }
        steps.extend(triggers::steps(&triggers, relation, &["BEFORE"])?);
        if let Some(row) = &written {
            if is_enforced {
                steps.extend(ask(self.command, row, Purpose::Write));
                if self.command == Command::Update && !is_denied(&steps) {
                    steps.extend(ask(Command::Select, row, Purpose::StaysVisible));
                }
            }
            steps.extend(constraints::steps(self.application, self.identity, relation, rows, row)?);
        }
        steps.extend(triggers::steps(&triggers, relation, &["AFTER"])?);
        if is_enforced
            && self.command == Command::Insert
            && let Some(row) = &written
        {
            let returning = ask(Command::Select, row, Purpose::Returning);
            steps.extend(returning.into_iter().filter(|step| step.status == Status::Denied));
        }
        Ok(steps)
    }

    /// The relation behind a view, as the view's owner finds it, or as the caller does.
    fn view_steps(
        &self,
        view: &Relation,
        input: &Input,
        depth: usize,
    ) -> Result<Vec<Step>, RlsError> {
        let triggers = triggers::read(view, self.command)?;
        let mut steps = triggers::rule_steps(&triggers, view);
        steps.extend(triggers::steps(&triggers, view, &["INSTEAD OF"])?);
        if !steps.is_empty() {
            return Ok(steps);
        }
        let behind = table_behind(view.named.table).filter(|_| depth < MAX_VIEWS);
        let role = if view.is_invoker_view { view.role } else { view.owner };
        let read = |oid| Relation::read(oid, role);
        let table = behind.as_ref().map(|(table, _)| read(*table)).transpose()?.flatten();
        let (Some((_, columns)), Some(table)) = (behind, table) else {
            return self.opaque_view_steps(view, role, input);
        };
        let renamed = |members: &Map<String, Value>| -> Option<Map<String, Value>> {
            let column = |(name, value): (&String, &Value)| {
                let place = view.columns.iter().position(|column| column.name == *name)?;
                let column = table.numbered(*columns.get(place)?)?;
                Some((column.name.clone(), value.clone()))
            };
            members.iter().map(column).collect()
        };
        let (Some(key), Some(new)) = (renamed(&input.key), renamed(&input.new)) else {
            return self.opaque_view_steps(view, role, input);
        };
        if !view.is_invoker_view {
            steps.push(Step::ok(
                "view-owner",
                view.object(),
                format!("The view reads {} as its owner {}.", table.named.name, view.owner_name),
            ));
        }
        let read = columns.iter().filter_map(|number| table.numbered(*number));
        let missing: Vec<_> = read.filter(|column| !column.allows(Command::Select)).collect();
        let mut inner = self.steps(&table, &Input { key, new }, depth + 1)?;
        if table.allows_some_column(Command::Select) && !missing.is_empty() {
            let text = format!("{} has no SELECT on {}.", table.role_name, listed(missing));
            inner.insert(0, Step::denied("column-grant", table.object(), text));
        }
        steps.extend(inner.into_iter().map(|mut step| {
            let is_grant = step.status == Status::Denied && step.cause.ends_with("-grant");
            if is_grant && !view.is_invoker_view {
                step.cause = "view-owner";
                step.remediation = None;
                step.explanation = format!(
                    "The view runs as its owner. {} A view WITH (security_invoker) runs as the \
                     caller.",
                    step.explanation
                );
            }
            step
        }));
        Ok(steps)
    }

    /// A view that is more than columns of one table: its tables are named, and the server tells
    /// whether it shows the row.
    fn opaque_view_steps(
        &self,
        view: &Relation,
        role: pg_sys::Oid,
        input: &Input,
    ) -> Result<Vec<Step>, RlsError> {
        if self.command != Command::Select {
            let text = "The view joins, groups or computes, so it cannot be written.";
            return Ok(vec![Step::denied("view", view.object(), text)]);
        }
        let (mut steps, mut secured) = (Vec::new(), Vec::new());
        for source in sources_of(view.named.table) {
            let Some(table) = Relation::read(source, role)? else { continue };
            if !table.allows_some_column(Command::Select) {
                let cause = if view.is_invoker_view { "table-grant" } else { "view-owner" };
                let text = format!(
                    "{} reads it as {}, who has no SELECT on it.",
                    view.named.name, table.role_name
                );
                steps.push(Step::denied(cause, table.object(), text));
            } else if table.is_enforced() {
                secured.push(table.named.name);
            }
        }
        if !steps.is_empty() {
            return Ok(steps);
        }
        match input.existing(self.application, view) {
            Ok(Existing::Unreadable(reason)) => {
                return Ok(vec![Step::unknown("row", view.object(), reason)]);
            }
            _ if self.shows_row(view, input) => return Ok(steps),
            _ => {}
        }
        let text = match secured.is_empty() {
            true => "The view's own conditions leave the row out.".to_owned(),
            false => format!(
                "The view shows no such row. Its own conditions leave it out, or the policies of \
                 {} for {}.",
                secured.join(" and "),
                role_name(role)
            ),
        };
        Ok(vec![Step::denied("view", view.object(), text)])
    }

    /// Whether a view has the row for this request; true if the server cannot tell.
    fn shows_row(&self, view: &Relation, input: &Input) -> bool {
        let answer = server::answer(self.identity, self.command, view, input, &Rows::default());
        !matches!(answer, Ok(server::Answer::NoRow))
    }

    /// The GRANT of a privilege, if it opens no more than the rows that policies choose.
    fn safe_grant(&self, relation: &Relation, command: Command) -> Option<String> {
        let is_client = relation.role == self.role.oid;
        if !is_client || !relation.is_table() || !relation.is_enforced() {
            return None;
        }
        let stranger = match self.role.is_anonymous {
            true => self.application.anon_key(self.role),
            false => self.application.new_account(self.role),
        };
        let is_narrow = || {
            let effective = effective(command, &relation.named).ok()?;
            let qual = match command {
                Command::Insert => effective.check,
                _ => effective.using,
            };
            Some(!matches!(qual.fold(&Parameters::none()), ConstFolded::True))
        };
        let is_narrow = stranger.act_within(PROBE_TIMEOUT_MS, is_narrow).ok().flatten();
        is_narrow.filter(|is_narrow| *is_narrow).map(|_| {
            format!(
                "GRANT {} ON {} TO {};",
                command.as_str(),
                relation.named.name,
                quote_identifier(role_name(relation.role))
            )
        })
    }
}
