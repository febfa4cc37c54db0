//! What one identity asks of one table: which rows are meant, and which of them meet a condition.

use super::probe_cache::Memo;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::{ConstFolded, Parameters, Qual, value_of};
use crate::pg::rewrite::row_security::{Command, Effective, RowQuery, Undecidable};
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::application;
use crate::rls::target::application::Identity;
use crate::rls::target::table::Table;
use pgrx::pg_sys;

/// What looking for a row may cost at most, by the planner's measure: about half a second.
pub const MOST_COST: f64 = 50_000.0;
/// As many rows are looked at without a thought.
const FEW: i64 = 10_000;

/// A row, where it lies.
pub type Place = (pg_sys::Oid, pg_sys::Datum);

/// Which rows are looked for.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// Whatever rows there are.
    Any,
    /// That are somebody else's.
    Foreign,
    /// That are one of these users' and not one's own.
    Of(&'a [String]),
    /// That are one's own by this of the owners.
    Own(usize),
    /// One row.
    At(Place),
}

/// The question that an identity asks of a table.
pub struct Question<'a> {
    /// Of which table.
    pub table: &'a Table,
    /// Who asks.
    pub identity: &'a Identity,
    /// What they were told already.
    pub memo: &'a Memo,
}

/// What came out of it so far.
pub enum Found {
    /// What is so.
    Verdict(Verdict),
    /// This row, though it is not the asker's.
    Row(Place),
    /// A row that does not exist, with these columns as the policies ask.
    Made(Vec<super::candidate_rows::Chosen>),
}

impl Found {
    /// Whether nothing that is others' is reached, as far as it could be told.
    pub fn is_safe(&self) -> bool {
        !matches!(self, Self::Row(_) | Self::Made(_) | Self::Verdict(Verdict::Leak(..) | Verdict::Public(_)))
    }

    /// Whether it says more of what is reached, or is less sure that nothing is.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        let rank = |found: &Self| match found {
            Self::Verdict(Verdict::Closed) => 0,
            Self::Verdict(Verdict::Isolated) => 1,
            Self::Verdict(Verdict::IsolatedIn(_)) => 2,
            Self::Verdict(Verdict::Inconclusive(_)) => 3,
            _ => 4,
        };
        rank(self) > rank(other)
    }
}

impl From<Undecidable> for Verdict {
    fn from(unclear: Undecidable) -> Self {
        Self::Inconclusive(unclear.to_string())
    }
}

impl Question<'_> {
    /// The statement that finds rows of a kind.
    pub fn look(&self, rows: &Rows<'_>) -> Option<(String, Parameters)> {
        let (mut terms, mut values) = (Vec::new(), Vec::new());
        let mut bind = |type_: pg_sys::Oid, value: pg_sys::Datum| {
            values.push((type_, value));
            format!("${}", values.len())
        };
        let quoted: Vec<(String, pg_sys::Oid, &[String; 2])> = self
            .table
            .owners
            .iter()
            .map(|owner| (format!("t.{}", pgrx::spi::quote_identifier(&owner.name)), owner.type_, &owner.operators))
            .collect();
        let me = self.identity.user.as_deref();
        match rows {
            Rows::At((table, place)) => {
                terms.push(format!("t.tableoid OPERATOR(pg_catalog.=) {}", bind(pg_sys::OIDOID, (*table).into())));
                terms.push(format!("t.ctid OPERATOR(pg_catalog.=) {}", bind(pg_sys::TIDOID, *place)));
            }
            Rows::Any => {}
            Rows::Own(place) => {
                let (column, type_, [equal, _]) = quoted.get(*place)?;
                terms.push(format!("{column} {equal} {}", bind(*type_, value_of(*type_, &c_string(me?)))));
            }
            Rows::Foreign | Rows::Of(_) => {
                if let Rows::Of(users) = rows {
                    let (column, type_, [equal, _]) = quoted.first()?;
                    let array = lookup::array_type(*type_);
                    let list: Vec<String> =
                        users.iter().map(|user| format!("\"{}\"", user.replace(['"', '\\'], ""))).collect();
                    let list = value_of(array, &c_string(&format!("{{{}}}", list.join(","))));
                    terms.push(format!("{column} {equal} ANY ({})", bind(array, list)));
                }
                // Somebody's, and in no column one's own. Written so that the server can refute it by a policy.
                if let Some(me) = me {
                    for (column, type_, [_, unequal]) in &quoted {
                        let me = bind(*type_, value_of(*type_, &c_string(me)));
                        terms.push(match quoted.len() {
                            1 => format!("{column} {unequal} {me}"),
                            _ => format!("({column} {unequal} {me} OR {column} IS NULL)"),
                        });
                    }
                }
                if quoted.len() > 1 || (me.is_none() && !quoted.is_empty()) {
                    let somebody: Vec<String> =
                        quoted.iter().map(|(column, ..)| format!("{column} IS NOT NULL")).collect();
                    terms.push(format!("({})", somebody.join(" OR ")));
                }
            }
        }
        let filter = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
        Some((
            format!("SELECT t.tableoid, t.ctid FROM {} AS t{filter}", self.table.named.name),
            Parameters::new(&values),
        ))
    }

    /// The first row of a kind that meets a condition.
    pub fn first(&self, rows: &Rows<'_>, condition: Qual, cost: f64) -> Result<Option<Place>, Undecidable> {
        Ok(self.places(rows, condition, 1, cost)?.pop())
    }

    /// Some rows of a kind that meet a condition.
    pub fn places(&self, rows: &Rows<'_>, condition: Qual, most: u64, cost: f64) -> Result<Vec<Place>, Undecidable> {
        self.memo.places(rows, condition, (most, cost), |condition| {
            let Some((sql, parameters)) = self.look(rows) else { return Ok(Vec::new()) };
            let found = RowQuery { sql: &sql, parameters }.rows(condition, most, cost)?;
            self.memo.ran(condition);
            Ok(found.iter().filter_map(|row| place_of(row)).collect())
        })
    }

    /// Whether a condition, by itself, keeps rows of others out.
    pub fn keeps_out(&self, condition: Qual) -> Result<bool, Undecidable> {
        Ok(match self.memo.fold(condition) {
            ConstFolded::True => false,
            ConstFolded::False => true,
            ConstFolded::Residual(folded) => match self.foreign()? {
                ConstFolded::True => false,
                ConstFolded::False => true,
                ConstFolded::Residual(foreign) => folded.refutes(foreign),
            },
        })
    }

    /// What rows of others are, with what is known of who asks put in; `None` where there can be none.
    fn foreign(&self) -> Result<ConstFolded, Undecidable> {
        self.memo.foreign(|| {
            let Some((sql, parameters)) = self.look(&Rows::Foreign) else { return Ok(ConstFolded::False) };
            let foreign = RowQuery { sql: &sql, parameters };
            Ok(foreign.condition()?.fold(&foreign.parameters))
        })
    }

    /// Fails as a statement does that reads, in a sub-query of a policy, a table that is closed to who asks. What a condition becomes with a
    /// value put in may no longer read it.
    pub fn begins(&self, effective: &Effective) -> Result<(), Undecidable> {
        let new = self.memo.not_run(effective.using.and(effective.check));
        if new.has_sub_queries() {
            // A place where there never is a row.
            let nowhere = (self.table.oid(), value_of(pg_sys::TIDOID, c"(0,0)"));
            self.first(&Rows::At(nowhere), new, f64::MAX)?;
        }
        Ok(())
    }

    /// Whether rows of others satisfy a condition.
    pub fn others(&self, condition: Qual, owners: &[String]) -> Result<Found, Undecidable> {
        let folded = match self.memo.fold(condition) {
            // What holds for one user's claims need not hold for everybody's: that a row shows.
            ConstFolded::True if self.identity.is_account => {
                return Ok(match self.first(&Rows::Foreign, condition, f64::MAX)? {
                    Some(place) => Found::Row(place),
                    None => Found::Verdict(self.nothing_found(owners)?),
                });
            }
            ConstFolded::True => {
                return Ok(Found::Verdict(match self.table.owners.is_empty() {
                    true => Verdict::Public(Confidence::Proved),
                    false => Verdict::Leak(Confidence::Proved, self.audience()),
                }));
            }
            ConstFolded::False => return Ok(Found::Verdict(Verdict::Closed)),
            ConstFolded::Residual(folded) => folded,
        };
        if self.identity.user.is_some()
            && !self.table.owners.is_empty()
            && let ConstFolded::Residual(foreign) = self.foreign()?
            && folded.refutes(foreign)
        {
            return Ok(Found::Verdict(Verdict::Isolated));
        }
        // Of a few owners first, by index where there is one: a safe table is the one that is read to its end.
        if !owners.is_empty()
            && self.table.estimated_rows > FEW
            && let Some(place) = self.first(&Rows::Of(owners), condition, MOST_COST)?
        {
            return Ok(Found::Row(place));
        }
        match self.first(&Rows::Foreign, condition, MOST_COST) {
            Ok(Some(place)) => Ok(Found::Row(place)),
            Ok(None) => Ok(Found::Verdict(self.nothing_found(owners)?)),
            Err(Undecidable::TooExpensive) => Ok(Found::Verdict(match owners.len() {
                0 => Verdict::from(Undecidable::TooExpensive),
                n => Verdict::Inconclusive(format!(
                    "none found of {n} owners' rows; looking at every row would cost too much"
                )),
            })),
            Err(unclear) => Err(unclear),
        }
    }

    /// Nothing was found: among how many?
    pub fn nothing_found(&self, owners: &[String]) -> Result<Verdict, Undecidable> {
        if owners.is_empty() && self.first(&Rows::Foreign, Qual::ALWAYS, f64::MAX)?.is_none() {
            return Ok(Verdict::Inconclusive("there are no rows of others to look for".to_owned()));
        }
        Ok(Verdict::IsolatedIn(self.table.estimated_rows.max(owners.len().max(1) as i64)))
    }

    /// Who else gets through where this identity does.
    pub fn audience(&self) -> Audience {
        match self.identity.user {
            None => Audience::Anonymous,
            Some(_) => Audience::AnyAccount,
        }
    }

    /// By which of the owners' columns a reach is tried, one by one; the first where it makes no difference.
    pub fn columns(&self, reach: Reach) -> std::ops::Range<usize> {
        match reach {
            Reach::TakeOver | Reach::Plant => 0..self.table.owners.len(),
            _ => 0..1,
        }
    }

    /// The condition that must hold for a row so that the identity reaches it this way, by this of the owners' columns; `None` where the role
    /// lacks a privilege on the columns that it takes.
    pub fn condition(
        &self,
        reach: Reach,
        effective: &Effective,
        victim: Option<&str>,
        column: usize,
    ) -> Result<Option<Qual>, Undecidable> {
        let Effective { using, check } = *effective;
        let owner = self.table.owners.get(column);
        let may_set = |command| {
            self.table.is_control
                || self
                    .table
                    .owners
                    .iter()
                    .any(|owner| privilege::on_column(self.identity.role, self.table.oid(), owner.number, command))
        };
        Ok(match reach {
            Reach::Read | Reach::Destroy => Some(using),
            Reach::Tamper => Some(using.and(check)),
            Reach::Forge if self.table.owners.is_empty() => Some(check),
            Reach::Forge => may_set(Command::Insert).then_some(check),
            Reach::TakeOver | Reach::Plant => {
                // Who has not signed in has no rows, and makes none their own.
                let me = self.identity.user.as_deref();
                let user = if reach == Reach::TakeOver { me } else { victim.filter(|_| me.is_some()) };
                let (Some(owner), Some(user)) = (owner, user) else { return Ok(None) };
                if !privilege::on_column(self.identity.role, self.table.oid(), owner.number, Command::Update) {
                    return Ok(None);
                }
                let value = value_of(owner.type_, &c_string(user));
                let check = check.substitute(owner.number, owner.type_, value).ok_or(Undecidable::WholeRow)?;
                Some(using.and(check))
            }
        })
    }

    /// What is so of inserting rows in the name of somebody, as far as it can be told without a row.
    pub fn forged(&self, check: Qual) -> Option<Verdict> {
        // As in `others`.
        if self.identity.is_account || check.has_sub_queries() {
            return None;
        }
        let owners = &self.table.owners;
        let forged = |is_somebodys: &dyn Fn(usize) -> bool| {
            let mut changed = check;
            for (i, owner) in owners.iter().enumerate() {
                let id = match is_somebodys(i) {
                    true => application::stranger_of(owner.type_, 1),
                    false => self.identity.user.clone()?,
                };
                changed = changed.substitute(owner.number, owner.type_, value_of(owner.type_, &c_string(&id)))?;
            }
            Some(matches!(self.memo.fold(self.chosen(changed, Command::Insert)?), ConstFolded::True))
        };
        // A row with two users may well be another's in one column, as a message is its reader's; but not whichever that is.
        let is_for_any = owners.len() > 1 && (0..owners.len()).all(|i| forged(&|j| i == j) == Some(true));
        // What does not hold for a new id may hold for a friend's.
        let is_open = is_for_any || forged(&|_| true)?;
        is_open.then(|| Verdict::Leak(Confidence::Proved, self.audience()))
    }

    /// What must hold of a new row whose columns, apart from its owners, a client chooses as the policies ask.
    pub fn chosen(&self, check: Qual, command: Command) -> Option<Qual> {
        let ConstFolded::Residual(folded) = self.memo.fold(check) else { return Some(check) };
        let table = self.table.oid();
        let may_set = |column: i16| {
            !self.table.owners.iter().any(|owner| owner.number == column)
                && privilege::on_column(self.identity.role, table, column, command)
                && !privilege::is_generated(table, column)
        };
        check.with_choices(&folded.choices(&may_set))
    }

    /// Whether rows of others can be changed so that the new row is as the policies ask, which the row need not have been.
    pub fn changed(
        &self,
        reach: Reach,
        effective: &Effective,
        owners: &[String],
        column: usize,
    ) -> Result<Option<(Found, Qual)>, Undecidable> {
        let mut check = effective.check;
        if reach == Reach::TakeOver {
            let (Some(owner), Some(me)) = (self.table.owners.get(column), &self.identity.user) else { return Ok(None) };
            let value = value_of(owner.type_, &c_string(me));
            check = check.substitute(owner.number, owner.type_, value).ok_or(Undecidable::WholeRow)?;
        }
        let Some(chosen) = self.chosen(check, Command::Update) else { return Ok(None) };
        let condition = effective.using.and(chosen);
        let found = self.others(condition, owners)?;
        Ok((!found.is_safe()).then_some((found, condition)))
    }
}

fn place_of(row: &[Option<pg_sys::Datum>]) -> Option<Place> {
    match row {
        [Some(table), Some(place)] => Some((pg_sys::Oid::from(table.value() as u32), *place)),
        _ => None,
    }
}

/// The command that a reach takes.
pub fn command(reach: Reach) -> Command {
    match reach {
        Reach::Read => Command::Select,
        Reach::Forge => Command::Insert,
        Reach::Tamper | Reach::TakeOver | Reach::Plant => Command::Update,
        Reach::Destroy => Command::Delete,
    }
}

impl Question<'_> {
    /// Whether a row is the asker's.
    pub fn is_own(&self, place: Place) -> Result<bool, Undecidable> {
        let foreign = match self.foreign()? {
            ConstFolded::Residual(condition) => condition,
            ConstFolded::True => return Ok(false),
            ConstFolded::False => return Ok(true),
        };
        Ok(self.first(&Rows::At(place), foreign, f64::MAX)?.is_none())
    }

    /// Whether own rows can be given to one of several: the first answer that is not safe, or else one that is not sure, and its condition.
    pub fn planted_on(&self, effective: &Effective, victims: &[String]) -> Result<Option<(Found, Qual)>, Undecidable> {
        let somebody = self.table.owners.first().map(|owner| application::stranger_of(owner.type_, 1));
        let victims = if victims.is_empty() { somebody.as_slice() } else { victims };
        let mut told = None;
        for (column, victim) in self.columns(Reach::Plant).flat_map(|column| victims.iter().map(move |v| (column, v))) {
            let Some(condition) = self.condition(Reach::Plant, effective, Some(victim), column)? else { continue };
            let found = self.planted(effective, victim, column)?;
            if !found.is_safe() {
                return Ok(Some((found, condition)));
            }
            if told.as_ref().is_none_or(|(known, _)| found.is_worse_than(known)) {
                told = Some((found, condition));
            }
        }
        Ok(told)
    }

    /// Whether own rows can be given to a victim.
    pub fn planted(&self, effective: &Effective, victim: &str, column: usize) -> Result<Found, Undecidable> {
        let rows = Rows::Own(column);
        let Some(condition) = self.condition(Reach::Plant, effective, Some(victim), column)? else {
            return Ok(Found::Verdict(Verdict::Closed));
        };
        match self.memo.fold(condition) {
            ConstFolded::False => return Ok(Found::Verdict(Verdict::Isolated)),
            ConstFolded::True if !self.identity.is_account && !condition.has_sub_queries() => {
                return Ok(Found::Verdict(Verdict::Leak(Confidence::Proved, self.audience())));
            }
            ConstFolded::True => {}
            ConstFolded::Residual(folded) => {
                // What is own is reached, and nothing more is asked of the new row.
                let Some((sql, parameters)) = self.look(&rows) else { return Ok(Found::Verdict(Verdict::Closed)) };
                let own = RowQuery { sql: &sql, parameters };
                if !self.identity.is_account
                    && !condition.has_sub_queries()
                    && let ConstFolded::Residual(own) = own.condition()?.fold(&own.parameters)
                    && own.implies(folded)
                {
                    return Ok(Found::Verdict(Verdict::Leak(Confidence::Proved, self.audience())));
                }
            }
        }
        if self.first(&rows, Qual::ALWAYS, f64::MAX)?.is_some() {
            return Ok(match self.first(&rows, condition, MOST_COST)? {
                Some(place) => Found::Row(place),
                None => Found::Verdict(Verdict::IsolatedIn(1)),
            });
        }
        // Who has no rows yet is asked as if they had others'.
        let as_own = self.table.owners.get(column).zip(self.identity.user.as_deref()).and_then(|(owner, me)| {
            let value = |user: &str| value_of(owner.type_, &c_string(user));
            let using = effective.using.substitute(owner.number, owner.type_, value(me))?;
            Some(using.and(effective.check.substitute(owner.number, owner.type_, value(victim))?))
        });
        let as_own = as_own.ok_or(Undecidable::WholeRow)?;
        Ok(match self.first(&Rows::Foreign, as_own, MOST_COST)? {
            Some(place) => Found::Row(place),
            None => Found::Verdict(Verdict::IsolatedIn(self.table.estimated_rows)),
        })
    }
}
