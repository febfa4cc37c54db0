//! Tries rows of tables without owner columns that reference a row with an owner: the items of an
//! order are as private as the order.
//!
//! A row is foreign to an account that reads rows of its own in the parent table, if the parent row
//! is another user's. It is a leak only where the parent row is hidden from the account: public
//! products may have public pictures.

use super::attribution::responsible_policies;
use super::candidate_rows::{Candidate, find_written};
use super::cell::Cell;
use super::examination::Examination;
use super::examine::new_cell;
use super::parent_rows::{Keys, Parent, ParentRows, keys_of};
use super::probe::{MAX_COST, Probe, row_id};
use super::reach_probe::command;
use super::rows::RowId;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::{Command, Effective, RowQuery, Undecidable};
use crate::pg::rewrite::value::{Parameters, array_of, value_of};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::identity::Identity;
use crate::rls::target::roles::Role;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

/// How many accounts the rows are tried as.
const EXAMINED_ACCOUNTS: usize = 2;
/// Most other accounts that a row is tried with.
const MAX_OTHERS: usize = 4;
/// Most hidden parent rows that a new row is put under.
const MAX_NEW_PARENTS: usize = 2;

/// Whether an account reaches foreign rows.
enum Answer {
    /// There is no such row.
    NoRow,
    /// It reaches none.
    None,
    Reached(Reached),
}

/// A foreign row that an account reached, or the parent of a new row.
struct Reached {
    row: Option<RowId>,
    parent: Option<(i16, String)>,
}

/// A table without owner columns, and its parent tables.
pub struct ChildRows<'a> {
    /// The examination of the table.
    pub examination: &'a Examination<'a>,
    /// Its parent tables.
    pub parents: Vec<Parent<'a>>,
}

impl ChildRows<'_> {
    /// Verdicts as accounts on reaches that no known cell opens to all.
    pub fn cells(&self, known: &[Cell], accounts: &AccountPool) -> Vec<Cell> {
        let application = self.examination.application;
        let ids = self.parents.iter().flat_map(|parent| &parent.owners);
        let mut users: Vec<&String> = Vec::new();
        for id in ids {
            if !users.contains(&id) {
                users.push(id);
            }
        }
        let mut cells = Vec::new();
        for (place, role) in application.roles.iter().enumerate() {
            if role.is_anonymous || !role.is_client {
                continue;
            }
            let is_open = |reach: Reach| {
                known.iter().any(|cell| {
                    cell.role == role.oid
                        && (cell.verdict == Verdict::Exempt
                            || cell.reach == reach
                                && matches!(cell.verdict, Verdict::Leak(..) | Verdict::Public(_)))
                })
            };
            let reaches: Vec<Reach> = Reach::ALL
                .into_iter()
                .filter(|reach| {
                    self.examination.table.allows(place, command(*reach)) && !is_open(*reach)
                })
                .collect();
            let identities: Vec<Identity> =
                users.iter().map(|id| accounts.identity(application, role, id)).collect();
            let mut examined = 0;
            for (index, identity) in identities.iter().enumerate() {
                let Some(keys) = self.keys(identity, (place, role)) else { continue };
                if examined == EXAMINED_ACCOUNTS {
                    break;
                }
                examined += 1;
                let others = || identities.iter().enumerate().filter(|(i, _)| *i != index);
                for reach in &reaches {
                    let is_known = |cell: &Cell| {
                        cell.reach == *reach && matches!(cell.verdict, Verdict::Leak(..))
                    };
                    if !cells.iter().any(is_known) {
                        let others = others().map(|(_, other)| other);
                        cells.extend(self.cell(identity, *reach, &keys, (place, role), others));
                    }
                }
            }
        }
        cells
    }

    /// The verdict on one reach as one account; `None` if no row can tell.
    fn cell<'b>(
        &self,
        identity: &Identity,
        reach: Reach,
        keys: &[Keys],
        role: (usize, &Role),
        others: impl Iterator<Item = &'b Identity>,
    ) -> Option<Cell> {
        let ask =
            |parents| within(identity, || self.answer(identity, reach, (keys, parents), None));
        let mut cell = new_cell(identity, reach, Verdict::IsolatedIn(1));
        cell.is_by_parent = true;
        let found = match ask(ParentRows::Hidden)? {
            Answer::Reached(found) => found,
            hidden => {
                // A row below a visible one may be meant for all who see that.
                let is_decided = match ask(ParentRows::Visible)? {
                    Answer::Reached(_) => false,
                    Answer::NoRow => matches!(hidden, Answer::None),
                    Answer::None => true,
                };
                let rows = self.examination.table.estimated_rows.max(1);
                cell.verdict = Verdict::IsolatedIn(rows);
                return is_decided.then_some(cell);
            }
        };
        let (mut tried, mut able) = (0, 0);
        for other in others {
            let Some(keys) = self.keys(other, role) else { continue };
            let asked = (keys.as_slice(), ParentRows::Hidden);
            let does = within(other, || self.answer(other, reach, asked, Some(&found)));
            // The row may be an own one for the other, or its parent row visible.
            let is_able = match does {
                None | Some(Answer::NoRow) => continue,
                Some(Answer::None) => false,
                Some(Answer::Reached(_)) => true,
            };
            tried += 1;
            able += usize::from(is_able);
            if able < tried || tried == MAX_OTHERS {
                break;
            }
        }
        (cell.verdict, cell.evidence) = match tried > 0 && able == tried {
            true => (
                Verdict::Leak(Confidence::Observed, Audience::EveryUser),
                format!(
                    "{} and {able} other users reached the same row, whose parent row is hidden \
                     from them",
                    identity.label
                ),
            ),
            false => (
                Verdict::Shared,
                format!("{} reached a row whose parent row is hidden from it", identity.label),
            ),
        };
        if let Verdict::Leak(..) = cell.verdict {
            cell.responsible_policies =
                responsible_policies(self.examination, identity, reach, found.row);
        }
        Some(cell)
    }

    /// The rows of the parent tables as an account sees them; `None` if it reads no own row in any,
    /// or no foreign one exists.
    fn keys(&self, identity: &Identity, (place, role): (usize, &Role)) -> Option<Vec<Keys>> {
        let is_asked = |parent: &&Parent<'_>| {
            parent.table.is_secured
                && parent.table.allows(place, Command::Select)
                && !privilege::is_exempt(parent.table.oid(), role.oid)
        };
        let keys = within(identity, || {
            let mut found = Vec::new();
            for parent in self.parents.iter().filter(is_asked) {
                found.extend(keys_of(parent, identity)?);
            }
            Ok(found)
        })?;
        keys.iter().any(Keys::is_known).then_some(keys)
    }

    /// Whether the account reaches a row below foreign parent rows: the given one, or any.
    fn answer(
        &self,
        identity: &Identity,
        reach: Reach,
        (keys, parents): (&[Keys], ParentRows),
        only: Option<&Reached>,
    ) -> Result<Answer, Undecidable> {
        let probe = self.examination.probe(identity);
        let Effective { using, check } = self.examination.effective(identity, reach)?;
        probe.run_sub_queries(&Effective { using, check })?;
        match reach {
            Reach::Read | Reach::Destroy => self.row(using, (keys, parents), only),
            Reach::Tamper => self.row(using.and(check), (keys, parents), only),
            Reach::TakeOver => {
                let mut answer = Answer::NoRow;
                for key in keys.iter().filter(|key| probe.may_write(key.column, Command::Update)) {
                    let Some(own) = key.own.first() else { continue };
                    let qual = using.and(with_key(check, key, own)?);
                    match self.row(qual, (keys, parents), only)? {
                        Answer::NoRow => {}
                        Answer::None => answer = Answer::None,
                        reached => return Ok(reached),
                    }
                }
                Ok(answer)
            }
            Reach::Forge => new_row(&probe, check, (keys, parents), only),
            Reach::Plant => self.moved_row(&probe, (using, check), (keys, parents), only),
        }
    }

    /// A foreign row that satisfies a qual.
    fn row(
        &self,
        qual: Qual,
        (keys, parents): (&[Keys], ParentRows),
        only: Option<&Reached>,
    ) -> Result<Answer, Undecidable> {
        let Some((mut sql, mut values)) = self.foreign_rows(keys, parents) else {
            return Ok(Answer::NoRow);
        };
        if let Some((table, ctid)) = only.and_then(|only| only.row) {
            values.extend([(pg_sys::OIDOID, table.into()), (pg_sys::TIDOID, ctid)]);
            sql += &format!(
                " AND t.tableoid OPERATOR(pg_catalog.=) ${} AND t.ctid OPERATOR(pg_catalog.=) ${}",
                values.len() - 1,
                values.len()
            );
        }
        let first = |qual| {
            let query = RowQuery { sql: &sql, parameters: Parameters::new(&values) };
            Ok::<_, Undecidable>(query.rows(qual, 1, MAX_COST)?.into_iter().next())
        };
        if let Some(row) = first(qual)? {
            return Ok(Answer::Reached(Reached { row: row_id(&row), parent: None }));
        }
        Ok(if first(Qual::ALWAYS)?.is_some() { Answer::None } else { Answer::NoRow })
    }

    /// The query of rows below foreign parent rows, and below no own one; `None` without such
    /// parent rows.
    fn foreign_rows(
        &self,
        keys: &[Keys],
        parents: ParentRows,
    ) -> Option<(String, Vec<(pg_sys::Oid, pg_sys::Datum)>)> {
        let mut values = Vec::new();
        let mut is_below = |key: &Keys, list: &[String]| {
            values.push((lookup::array_type(key.type_), array_of(key.type_, list)));
            let column = self.column_name(key.column);
            format!("t.{column} OPERATOR(pg_catalog.=) ANY (${})", values.len())
        };
        let is_asked = |key: &&Keys| key.is_known() && !key.foreign(parents).is_empty();
        let foreign: Vec<String> =
            keys.iter().filter(is_asked).map(|key| is_below(key, key.foreign(parents))).collect();
        if foreign.is_empty() {
            return None;
        }
        let own: Vec<String> = keys
            .iter()
            .filter(|key| keys.len() > 1 && !key.own.is_empty())
            .map(|key| format!(" AND ({}) IS NOT TRUE", is_below(key, &key.own)))
            .collect();
        let sql = format!(
            "SELECT t.tableoid, t.ctid FROM {} AS t WHERE ({}){}",
            self.examination.table.named.name,
            foreign.join(" OR "),
            own.concat()
        );
        Some((sql, values))
    }

    /// An own row that can be moved below a foreign parent row.
    fn moved_row(
        &self,
        probe: &Probe<'_>,
        (using, check): (Qual, Qual),
        (keys, parents): (&[Keys], ParentRows),
        only: Option<&Reached>,
    ) -> Result<Answer, Undecidable> {
        let mut answer = Answer::NoRow;
        for key in keys.iter().filter(|key| key.is_known()) {
            if !probe.may_write(key.column, Command::Update) {
                continue;
            }
            let sql = format!(
                "SELECT t.tableoid, t.ctid FROM {} AS t WHERE t.{} OPERATOR(pg_catalog.=) ANY ($1)",
                self.examination.table.named.name,
                self.column_name(key.column)
            );
            let own = [(lookup::array_type(key.type_), array_of(key.type_, &key.own))];
            let has = |qual| {
                let query = RowQuery { sql: &sql, parameters: Parameters::new(&own) };
                Ok::<_, Undecidable>(!query.rows(qual, 1, MAX_COST)?.is_empty())
            };
            for parent in new_parents(key, parents, only) {
                if has(using.and(with_key(check, key, parent)?))? {
                    let parent = Some((key.column, parent.clone()));
                    return Ok(Answer::Reached(Reached { row: None, parent }));
                }
                if has(Qual::ALWAYS)? {
                    answer = Answer::None;
                }
            }
        }
        Ok(answer)
    }

    fn column_name(&self, column: i16) -> String {
        let name = lookup::column_name(self.examination.table.oid(), column);
        quote_identifier(name.unwrap_or_default())
    }
}

/// A new row below a foreign parent row that satisfies a check.
fn new_row(
    probe: &Probe<'_>,
    check: Qual,
    (keys, parents): (&[Keys], ParentRows),
    only: Option<&Reached>,
) -> Result<Answer, Undecidable> {
    let mut answer = Answer::NoRow;
    for key in keys.iter().filter(|key| key.is_known()) {
        if !probe.may_write(key.column, Command::Insert) {
            continue;
        }
        for parent in new_parents(key, parents, only) {
            let value = value_of(key.type_, &c_string(parent));
            match find_written(probe, Command::Insert, check, &[(key.column, key.type_, value)])? {
                Candidate::Passes(_) => {
                    let parent = Some((key.column, parent.clone()));
                    return Ok(Answer::Reached(Reached { row: None, parent }));
                }
                Candidate::NonePasses => answer = Answer::None,
                Candidate::Undecided(_) => return Err(Undecidable::Rewritten),
            }
        }
    }
    Ok(answer)
}

/// The foreign parent rows to put a row under.
fn new_parents<'a>(
    key: &'a Keys,
    parents: ParentRows,
    only: Option<&'a Reached>,
) -> impl Iterator<Item = &'a String> + 'a {
    let only = only.and_then(|only| only.parent.as_ref());
    let is_tried = move |foreign: &&String| {
        only.is_none_or(|(column, parent)| *column == key.column && parent == *foreign)
    };
    key.foreign(parents).iter().filter(is_tried).take(MAX_NEW_PARENTS)
}

/// A qual on a row below a parent row.
fn with_key(qual: Qual, key: &Keys, parent: &str) -> Result<Qual, Undecidable> {
    let value = value_of(key.type_, &c_string(parent));
    qual.substitute(key.column, key.type_, value).ok_or(Undecidable::WholeRow)
}

/// The answer of a query as an identity; `None` if it fails.
fn within<R>(identity: &Identity, query: impl FnOnce() -> Result<R, Undecidable>) -> Option<R> {
    identity.act_within(PROBE_TIMEOUT_MS, query).ok()?.ok()
}
