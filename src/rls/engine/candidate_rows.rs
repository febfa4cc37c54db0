//! Rows that a client could write: the policies of writing look at columns that whoever writes chooses, and no row that there is need be as they ask.

use super::examine::{Examination, LIMIT};
use super::probe::{Found, MOST_COST, Place, Question, Rows, command};
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::candidate_values::{CandidateValues, Column};
use crate::pg::rewrite::qual::{ConstFolded, Origin, Parameters, Qual, text_of, value_of};
use crate::pg::rewrite::row_security::{Command, Effective, RowComposition, Undecidable};
use crate::pg::xact::subtransaction::Failure;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::People;
use crate::rls::target::application;
use crate::rls::target::application::Identity;
use crate::rls::target::table::OwnerColumn;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use std::collections::BTreeMap;

/// So many existing rows are changed, or lend their values.
const ROWS: u64 = 50;
/// So many rows are made of chosen values at most.
const MADE: usize = 20_000;

/// What came of making rows.
pub enum Made {
    /// One with these columns chosen is let through.
    Row(Vec<Chosen>),
    /// None is.
    Nothing,
    /// None is of those that were made, and there may be others: what decides looks at these columns.
    Untried(Vec<i16>),
}

/// A column of a new row, its type, and the value that it has.
pub type Chosen = (i16, pg_sys::Oid, Option<pg_sys::Datum>);

/// New owners of a row: column, type and value.
type Assigned = Vec<(i16, pg_sys::Oid, pg_sys::Datum)>;

impl Question<'_> {
    fn me(&self, owner: &OwnerColumn) -> Option<(i16, pg_sys::Oid, pg_sys::Datum)> {
        let me = self.identity.user.as_deref()?;
        Some((owner.number, owner.type_, value_of(owner.type_, &c_string(me))))
    }

    fn may_set(&self, column: i16, command: Command) -> bool {
        let table = self.table.oid();
        (self.table.is_control || privilege::on_column(self.identity.role, table, column, command))
            && !privilege::is_generated(table, column)
    }

    /// Whether a row can be made that this reach lets through, by changing rows or from nothing. Of a row that is planted or forged, one of
    /// `victims` is the new owner.
    pub fn made(&self, reach: Reach, effective: &Effective, victims: &[String]) -> Result<Made, Undecidable> {
        let owners = &self.table.owners;
        let command = command(reach);
        let settable: Vec<&OwnerColumn> = owners.iter().filter(|owner| self.may_set(owner.number, command)).collect();
        let to = |owner: &OwnerColumn, user: &str| (owner.number, owner.type_, value_of(owner.type_, &c_string(user)));
        let nobody = owners.first().map(|owner| application::stranger_of(owner.type_, 1));
        let victims = || victims.iter().chain(if victims.is_empty() { nobody.as_ref() } else { None });
        let foreign = |check: Assigned| (Some(Rows::Foreign), effective.using, vec![check]);
        // Of which rows, and with which new owners.
        let mut attempts: Vec<(Option<Rows<'_>>, Qual, Vec<Assigned>)> = Vec::new();
        match reach {
            Reach::Read | Reach::Destroy => return Ok(Made::Nothing),
            Reach::Tamper => attempts.push(foreign(Vec::new())),
            Reach::Forge if owners.is_empty() => attempts.push((None, Qual::ALWAYS, vec![Vec::new()])),
            Reach::Forge => {
                // Whose rows there are, and wholly somebody's.
                attempts.push((Some(Rows::Foreign), Qual::ALWAYS, vec![Vec::new()]));
                let all = |user: &String| owners.iter().map(|owner| to(owner, user)).collect();
                attempts.push((None, Qual::ALWAYS, victims().map(all).collect()));
            }
            Reach::TakeOver => {
                attempts.extend(settable.iter().filter_map(|owner| Some(foreign(vec![self.me(owner)?]))));
                let all: Assigned = settable.iter().filter_map(|owner| self.me(owner)).collect();
                if all.len() > 1 {
                    attempts.push(foreign(all));
                }
            }
            Reach::Plant => {
                for owner in settable {
                    let Some(me) = self.me(owner) else { continue };
                    let place = owners.iter().position(|other| other.number == owner.number).unwrap_or(0);
                    let has_own = self.first(&Rows::Own(place), Qual::ALWAYS, f64::MAX)?.is_some();
                    // Who has no rows yet is asked as if they had others'.
                    let (rows, using) = match has_own {
                        true => (Rows::Own(place), effective.using),
                        false => {
                            let using = effective.using.substitute(me.0, me.1, me.2);
                            (Rows::Foreign, using.ok_or(Undecidable::WholeRow)?)
                        }
                    };
                    attempts.push((Some(rows), using, victims().map(|user| vec![to(owner, user)]).collect()));
                }
            }
        }
        let mut told = Made::Nothing;
        for (rows, using, assigned) in attempts {
            // What reaches no row to begin with is not tried with others.
            if matches!(rows, Some(Rows::Foreign)) && self.keeps_out(using)? {
                continue;
            }
            let places = match &rows {
                None => Vec::new(),
                Some(rows) => {
                    let places = self.places(rows, using, ROWS, MOST_COST)?;
                    if places.is_empty() {
                        continue;
                    }
                    places
                }
            };
            match self.first_fitting(effective.check, &assigned, &places, command)? {
                Made::Row(columns) => return Ok(Made::Row(columns)),
                Made::Nothing => {}
                untried => told = untried,
            }
        }
        // A row with two users may well be another's in one column, as a message is its reader's; but not whichever that is.
        if reach == Reach::Forge && owners.len() > 1 && self.identity.user.is_some() {
            let mut chosen = Vec::new();
            for victim in owners {
                let mine = || owners.iter().filter(|owner| owner.number != victim.number);
                let in_turn = |user| mine().filter_map(|owner| self.me(owner)).chain([to(victim, user)]).collect();
                let assigned: Vec<Assigned> = victims().map(|user| in_turn(user)).collect();
                match self.first_fitting(effective.check, &assigned, &[], command)? {
                    Made::Row(columns) => chosen.extend(columns),
                    _ => return Ok(told),
                }
            }
            chosen.sort_by_key(|(column, ..)| *column);
            chosen.dedup_by_key(|(column, ..)| *column);
            return Ok(Made::Row(chosen));
        }
        Ok(told)
    }

    /// Whether a new row with some of these owners meets a condition. What is the same for several is tried once.
    fn first_fitting(
        &self,
        check: Qual,
        assigned: &[Assigned],
        places: &[Place],
        command: Command,
    ) -> Result<Made, Undecidable> {
        let (mut told, mut seen) = (Made::Nothing, Vec::<Qual>::new());
        for assigned in assigned {
            let check = check.with_choices(assigned).ok_or(Undecidable::WholeRow)?;
            let check = match self.memo.fold(check) {
                ConstFolded::True => return Ok(Made::Row(Vec::new())),
                ConstFolded::False => continue,
                ConstFolded::Residual(check) => check,
            };
            if seen.iter().any(|known| known.is_same(check)) {
                continue;
            }
            seen.push(check);
            match self.fitting(check, places, command)? {
                Made::Row(columns) => return Ok(Made::Row(columns)),
                Made::Nothing => {}
                untried => told = untried,
            }
        }
        Ok(told)
    }

    /// Whether a new row, made of one of these rows or from nothing, meets a condition, which is folded.
    fn fitting(&self, check: Qual, places: &[Place], command: Command) -> Result<Made, Undecidable> {
        let may_set = |column: i16| {
            !self.table.owners.iter().any(|owner| owner.number == column) && self.may_set(column, command)
        };
        let wishes = CandidateValues::collect(check, self.table.oid(), &may_set)?;
        // Rows as they are have been looked at.
        if wishes.columns.is_empty() && !places.is_empty() {
            return Ok(Made::Nothing);
        }
        let is_listed = |column: &&Column| !column.values.is_empty();
        let listed: Vec<&Column> = wishes.columns.iter().filter(is_listed).collect();
        if let Some(chosen) = self.mixed(check, command, &listed, places, 0)? {
            return Ok(Made::Row(chosen));
        }
        // What no value is known for, as it is in other rows.
        let known: Vec<&Column> = listed.iter().filter(|column| !column.is_opaque).copied().collect();
        if known.len() < listed.len()
            && let Some(chosen) = self.mixed(check, command, &known, places, 0)?
        {
            return Ok(Made::Row(chosen));
        }
        if wishes.residuals() > 0
            && self.mixed(wishes.relax(check), command, &listed, places, wishes.residuals())?.is_some()
        {
            let columns = wishes.columns.iter().filter(|column| column.is_opaque).map(|column| column.number);
            return Ok(Made::Untried(columns.collect()));
        }
        Ok(Made::Nothing)
    }

    /// What is chosen of a row that meets a condition: some columns have the values listed, others those that they have in one of these rows or,
    /// if whoever writes may set them, in any row. So many parts of it are taken for anything.
    fn mixed(
        &self,
        condition: Qual,
        command: Command,
        listed: &[&Column],
        places: &[Place],
        parts: usize,
    ) -> Result<Option<Vec<Chosen>>, Undecidable> {
        let read = condition.columns().ok_or(Undecidable::WholeRow)?;
        let name = &self.table.named.name;
        let is_listed = |number: &i16| listed.iter().any(|column| column.number == *number);
        let lent: Vec<i16> = read
            .iter()
            .filter(|number| **number < CandidateValues::residual_column(0) && !is_listed(number))
            .copied()
            .collect();
        let (mut from, mut terms, mut values, mut origins) = (Vec::new(), Vec::new(), Vec::new(), Vec::<Origin>::new());
        let mut told: Vec<String> = Vec::new();
        let mut bind = |type_: pg_sys::Oid, value: pg_sys::Datum| {
            values.push((type_, value));
            format!("${}", values.len())
        };
        let mut take = |alias: &str, places: &[Place]| {
            // Partitions have rows at the same places.
            let mut lists: BTreeMap<u32, Vec<String>> = BTreeMap::new();
            for (table, place) in places {
                let text = format!("\"{}\"", text_of(pg_sys::TIDOID, *place));
                lists.entry(table.to_u32()).or_default().push(text);
            }
            let array = lookup::array_type(pg_sys::TIDOID);
            let any: Vec<String> = lists
                .into_iter()
                .map(|(table, list)| {
                    let table = bind(pg_sys::OIDOID, pg_sys::Oid::from(table).into());
                    let list = bind(array, value_of(array, &c_string(&format!("{{{}}}", list.join(",")))));
                    format!(
                        "({alias}.ctid OPERATOR(pg_catalog.=) ANY ({list}) AND {alias}.tableoid OPERATOR(pg_catalog.=) {table})"
                    )
                })
                .collect();
            from.push(format!("{name} AS {alias}"));
            terms.push(format!("({})", any.join(" OR ")));
        };
        if !places.is_empty() {
            take("t", places);
        }
        let others: Vec<i16> = lent.iter().filter(|number| !self.is_kept(**number, command, places)).copied().collect();
        if !others.is_empty() {
            let lenders = self.places(&Rows::Any, Qual::ALWAYS, ROWS, f64::MAX)?;
            if lenders.is_empty() {
                return Ok(None);
            }
            take("d", &lenders);
            let place = if places.is_empty() { 1 } else { 2 };
            let type_ = |number| lookup::column_type(self.table.oid(), number).unwrap_or(pg_sys::InvalidOid);
            for number in &others {
                origins.push((*number, place, *number, type_(*number)));
                let name = lookup::column_name(self.table.oid(), *number).unwrap_or_default();
                told.push(format!("d.{}", quote_identifier(name)));
            }
        }
        let mut made = 1;
        for column in listed.iter().filter(|column| read.contains(&column.number)) {
            let type_ = lookup::qualified_type_name(column.type_);
            let rows: Vec<String> = column
                .values
                .iter()
                .map(|value| match value {
                    Some(text) => format!("({})", bind(column.type_, value_of(column.type_, &c_string(text)))),
                    None => format!("(CAST(NULL AS {type_}))"),
                })
                .collect();
            made *= rows.len();
            from.push(format!("(VALUES {}) AS c{} (v)", rows.join(", "), column.number));
            origins.push((column.number, from.len() as i32, 1, column.type_));
            told.push(format!("c{}.v", column.number));
        }
        for number in 0..parts {
            made *= 3;
            from.push(format!("(VALUES (true), (false), (CAST(NULL AS pg_catalog.bool))) AS p{number} (v)"));
            origins.push((CandidateValues::residual_column(number), from.len() as i32, 1, pg_sys::BOOLOID));
        }
        if made > MADE {
            return Err(Undecidable::TooExpensive);
        }
        let filter = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
        let sql = match from.as_slice() {
            [] => "SELECT".to_owned(),
            from => format!("SELECT {} FROM {}{filter}", told.join(", "), from.join(", ")),
        };
        let mix = RowComposition { sql: &sql, parameters: Parameters::new(&values) };
        let row = mix.first(condition, &origins, MOST_COST)?;
        let chosen = |row: Vec<_>| {
            origins.iter().zip(row).map(|((number, .., type_), value)| (*number, *type_, value)).collect()
        };
        Ok(row.map(chosen))
    }

    /// Whether a changed row keeps a column as it is: its owners, and what who writes may not set.
    fn is_kept(&self, number: i16, command: Command, places: &[Place]) -> bool {
        let is_owner = self.table.owners.iter().any(|owner| owner.number == number);
        !places.is_empty() && (is_owner || !self.may_set(number, command))
    }

    /// The names of columns, for a person.
    pub fn names(&self, columns: &[i16]) -> String {
        let table = self.table.oid();
        let names: Vec<String> =
            columns.iter().filter_map(|column| lookup::column_name(table, *column)).map(quote_identifier).collect();
        names.join(", ")
    }
}

impl Examination<'_> {
    /// Where no row that there is can be reached for writing: can one be made?
    pub(crate) fn made(
        &self,
        question: &Question<'_>,
        reach: Reach,
        effective: &Effective,
        others: &[String],
        found: Found,
    ) -> Result<Found, Undecidable> {
        let writes = matches!(reach, Reach::Tamper | Reach::TakeOver | Reach::Plant | Reach::Forge);
        let needs = match &found {
            Found::Verdict(Verdict::IsolatedIn(_) | Verdict::Inconclusive(_)) => writes,
            // One owner may be proved to stay, and not all of them.
            Found::Verdict(Verdict::Isolated | Verdict::Closed) => {
                matches!(reach, Reach::TakeOver | Reach::Forge) && self.table.owners.len() > 1
            }
            _ => false,
        };
        // Every row that it reaches is as the policies ask.
        let is_reached_as_it_is = reach == Reach::Tamper
            && matches!(found, Found::Verdict(Verdict::IsolatedIn(_)))
            && effective.using.is_same(effective.check);
        if !needs || is_reached_as_it_is {
            return Ok(found);
        }
        // What fails of rows that nobody has written says nothing of those that there are.
        let made = match isolated(|| question.made(reach, effective, others)) {
            Ok(made) => made?,
            Err(failure) => {
                let why = format!("no row could be made to try it with: {}", failure.redacted_message());
                return Ok(Found::Verdict(Verdict::Inconclusive(why)));
            }
        };
        Ok(match made {
            Made::Row(chosen) => Found::Made(chosen),
            Made::Nothing => found,
            Made::Untried(columns) => Found::Verdict(Verdict::Inconclusive(format!(
                "who writes chooses {}, and no row could be made that the policies let through or surely do not",
                question.names(&columns)
            ))),
        })
    }

    /// A row that there is not could be written. By whom?
    pub(crate) fn made_by(
        &self,
        identity: &Identity,
        reach: Reach,
        chosen: &[Chosen],
        people: &mut People,
    ) -> (Verdict, String) {
        let seen = Confidence::Observed;
        let memo = self.memo(identity);
        let question = Question { table: self.table, identity, memo: &memo };
        let columns: Vec<i16> = chosen.iter().map(|(column, ..)| *column).collect();
        let what = match question.names(&columns).as_str() {
            "" => "could write such a row".to_owned(),
            columns => format!("could write such a row, choosing {columns}"),
        };
        let alone = format!("{} {what}", identity.label);
        if self.table.owners.is_empty() {
            return (Verdict::Public(seen), alone);
        }
        let Some(role) = self.surroundings.roles.iter().find(|role| role.oid == identity.role) else {
            return (Verdict::Shared, String::new());
        };
        let Some(me) = &identity.user else { return (Verdict::Leak(seen, Audience::Anonymous), alone) };
        if !identity.is_account {
            return (Verdict::Leak(seen, Audience::AnyAccount), alone);
        }
        let (mut tried, mut able) = (Vec::new(), 0);
        for id in self.owners.iter().chain(&people.pool) {
            if id == me || tried.contains(&id) || tried.len() == 4 {
                continue;
            }
            let other = people.identity(self.surroundings, role, id);
            let Ok(Ok(does)) = self.makes(&other, reach, chosen) else { continue };
            tried.push(id);
            able += usize::from(does);
            if able < tried.len() {
                break;
            }
        }
        if able > 0 && able == tried.len() {
            return (Verdict::Leak(seen, Audience::EveryUser), format!("{alone}, and so could {able} other users"));
        }
        (Verdict::Shared, format!("not everybody {what}"))
    }

    /// Whether somebody could write a row that is as this in what was chosen.
    fn makes(
        &self,
        identity: &Identity,
        reach: Reach,
        chosen: &[Chosen],
    ) -> Result<Result<bool, Undecidable>, Failure> {
        let memo = self.memo(identity);
        let question = Question { table: self.table, identity, memo: &memo };
        let is_other = |owner: &&String| Some(owner.as_str()) != identity.user.as_deref();
        let others: Vec<String> = self.owners.iter().filter(is_other).cloned().collect();
        identity.act_within(LIMIT, || {
            let Effective { using, check } = self.effective(identity, reach)?;
            let as_chosen =
                |check: Qual, (column, type_, value): &Chosen| check.substitute_nullable(*column, *type_, *value);
            let check = chosen.iter().try_fold(check, as_chosen).ok_or(Undecidable::WholeRow)?;
            Ok(matches!(question.made(reach, &Effective { using, check }, &others)?, Made::Row(_)))
        })
    }
}
