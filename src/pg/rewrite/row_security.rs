//! Asking the server what its row-level security makes of a statement of the current user, and running a query under what it said.

use super::qual::{Parameters, Qual, elements};
use crate::pg::access::datum::column;
use pgrx::spi::quote_identifier;
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, CString};

copied_for!("pg15" "pg16" "pg17" "pg18": "datumCopy of utils/datum.h");

// The server's utils/datum.h, which pgrx leaves out.
unsafe extern "C-unwind" {
    fn datumCopy(value: pg_sys::Datum, is_by_value: bool, length: i32) -> pg_sys::Datum;
}

/// A command on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// SELECT
    Select,
    /// INSERT
    Insert,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// As SQL writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Why the server's answer says nothing about a table.
#[derive(Debug, thiserror::Error)]
pub enum Undecidable {
    /// A rewrite rule of the table makes something else of the command.
    #[error("a rewrite rule makes something else of the command")]
    Rewritten,
    /// What it would be for another value of a column cannot be told.
    #[error("a policy looks at the row as a whole")]
    WholeRow,
    /// Running it would cost too much.
    #[error("looking at every row would cost too much")]
    TooExpensive,
}

/// What the server enforces for the current user.
#[derive(Clone, Copy)]
pub struct Effective {
    /// Which existing rows the command reaches.
    pub using: Qual,
    /// Which rows it may leave behind.
    pub check: Qual,
}

/// A table and a column of it, as statements name them.
pub struct RelationRef {
    /// The table's oid.
    pub table: pg_sys::Oid,
    /// Quoted and qualified.
    pub name: String,
    /// Some column.
    pub column: String,
}

/// What the server enforces for the current user's command on a table: its own analysis and rewriting of the statement, so that policies'
/// combination, roles, ownership and exemptions are its own. Nothing is run, no privilege is looked at.
pub fn effective(command: Command, on: &RelationRef) -> Result<Effective, Undecidable> {
    let name = &on.name;
    let sql = match command {
        Command::Select => format!("SELECT FROM {name}"),
        Command::Insert => format!("INSERT INTO {name} DEFAULT VALUES"),
        // Neither reads a column, so the policies of SELECT do not narrow it: as wide as it can be had.
        Command::Update => format!("UPDATE {name} SET {} = DEFAULT", quote_identifier(&on.column)),
        Command::Delete => format!("DELETE FROM {name}"),
    };
    let query = analysed(&CString::new(sql).unwrap_or_default(), &Parameters::none())?;
    // SAFETY: the server made the query; a statement on one table has it in its range table, else a rule has replaced it.
    unsafe {
        let (index, table) = table_of(query).ok_or(Undecidable::Rewritten)?;
        if (*table).relid != on.table {
            return Err(Undecidable::Rewritten);
        }
        let mut check: *mut pg_sys::List = std::ptr::null_mut();
        for option in elements::<pg_sys::WithCheckOption>((*query).withCheckOptions) {
            let is_policy =
                matches!((*option).kind, pg_sys::WCOKind::WCO_RLS_INSERT_CHECK | pg_sys::WCOKind::WCO_RLS_UPDATE_CHECK);
            if is_policy && !(*option).qual.is_null() {
                check = pg_sys::lappend(check, (*option).qual.cast());
            }
        }
        let using = (*table).securityQuals;
        for list in [using, check] {
            if index != 1 && !list.is_null() {
                pg_sys::ChangeVarNodes(list.cast(), index, 1, 0);
            }
        }
        Ok(Effective { using: Qual(using), check: Qual(check) })
    }
}

/// The condition that a policy alone would be for the current user: what it reads in sub-queries is under the current user's own row-level
/// security, as it is when the server adds it to a statement.
///
/// `expression` is the text of a pg_node_tree.
pub fn policy_condition(on: &RelationRef, expression: &CStr) -> Result<Qual, Undecidable> {
    let sql = CString::new(format!("SELECT FROM {}", on.name)).unwrap_or_default();
    let query = parsed(&sql, &Parameters::none())?;
    // SAFETY: the expression comes from pg_policy and is about the table, which is the first and only one in the range table of the
    // statement; locks on what it reads are taken as for a statement from a rule.
    unsafe {
        (*(*query).jointree).quals = pg_sys::stringToNode(expression.as_ptr()).cast();
        (*query).hasSubLinks = true;
        pg_sys::AcquireRewriteLocks(query, true, false);
        let rewritten = elements::<pg_sys::Query>(pg_sys::QueryRewrite(query));
        let [query] = rewritten.as_slice() else { return Err(Undecidable::Rewritten) };
        let quals = (*(**query).jointree).quals;
        Ok(Qual(pg_sys::lappend(std::ptr::null_mut(), quals.cast())))
    }
}

/// A query and its values: `SELECT` from one table, which comes first.
pub struct RowQuery<'a> {
    /// The statement.
    pub sql: &'a str,
    /// Its values.
    pub parameters: Parameters,
}

impl RowQuery<'_> {
    /// Its WHERE clause.
    pub fn condition(&self) -> Result<Qual, Undecidable> {
        let query = unsecured(&CString::new(self.sql).unwrap_or_default(), &self.parameters)?;
        // SAFETY: the server made the query; an absent WHERE is an empty condition.
        unsafe {
            let quals = (*(*query).jointree).quals;
            if quals.is_null() {
                return Ok(Qual::ALWAYS);
            }
            Ok(Qual(pg_sys::lappend(std::ptr::null_mut(), quals.cast())))
        }
    }

    /// Runs it, with `condition` in place of the table's own row-level security and without a look at privileges on the table; at most
    /// `most` rows. `Err` if the planner expects it to cost more than `cost`.
    ///
    /// The values are copied into the current memory context.
    pub fn rows(&self, condition: Qual, most: u64, cost: f64) -> Result<Vec<Vec<Option<pg_sys::Datum>>>, Undecidable> {
        let sql = CString::new(self.sql).unwrap_or_default();
        let query = unsecured(&sql, &self.parameters)?;
        // SAFETY: the server made the query, and plans and runs it as it does any; the condition is about the first table. What is left
        // open by an error ends with the subtransaction that every caller is in.
        unsafe {
            let (_, table) = table_of(query).ok_or(Undecidable::Rewritten)?;
            (*table).securityQuals = match condition.is_empty() {
                true => std::ptr::null_mut(),
                false => pg_sys::copyObjectImpl(condition.0.cast()).cast(),
            };
            require_nothing(query);
            run(query, &sql, &self.parameters, most, cost)
        }
    }
}

/// A query that puts a row together from several tables and lists: `SELECT … FROM` a list.
pub struct RowComposition<'a> {
    /// The statement.
    pub sql: &'a str,
    /// Its values.
    pub parameters: Parameters,
}

/// From where a column comes: its number in the condition, the place in FROM, the number there, and its type.
pub type Origin = (i16, i32, i16, pg_sys::Oid);

impl RowComposition<'_> {
    /// The first of the rows that meets a condition, whose columns come from where `origins` say, and the others from what stands first in FROM.
    /// No privilege is looked at but those of the condition's own sub-queries.
    ///
    /// The values are copied into the current memory context.
    pub fn first(
        &self,
        condition: Qual,
        origins: &[Origin],
        cost: f64,
    ) -> Result<Option<Vec<Option<pg_sys::Datum>>>, Undecidable> {
        let sql = CString::new(self.sql).unwrap_or_default();
        let query = unsecured(&sql, &self.parameters)?;
        let condition = condition.with_origins(origins);
        // SAFETY: as in `RowQuery::rows`; the condition is about what stands in FROM.
        unsafe {
            require_nothing(query);
            let from = &mut *(*query).jointree;
            let before = pg_sys::make_ands_implicit(from.quals.cast());
            from.quals = pg_sys::make_ands_explicit(pg_sys::list_concat(before, condition.0)).cast();
            Ok(run(query, &sql, &self.parameters, 1, cost)?.into_iter().next())
        }
    }
}

/// Plans and runs a query, for so many rows at most, and copies their values into the current memory context.
///
/// # Safety
/// The query must be the server's, apart from conditions and columns about what it reads. What is left open by an error ends with the
/// subtransaction that every caller is in.
pub(crate) unsafe fn run(
    query: *mut pg_sys::Query,
    sql: &CStr,
    parameters: &Parameters,
    most: u64,
    cost: f64,
) -> Result<Vec<Vec<Option<pg_sys::Datum>>>, Undecidable> {
    // SAFETY: as the caller vouches; the server plans and runs it as it does any.
    unsafe {
        (*query).hasSubLinks = true;
        // Its conditions may be older than the subtransaction that locked what they read.
        pg_sys::AcquireRewriteLocks(query, true, false);
        let options = pg_sys::CURSOR_OPT_FAST_PLAN as i32;
        let plan = pg_sys::pg_plan_query(query, sql.as_ptr(), options, parameters.list);
        if (*(*plan).planTree).total_cost > cost {
            return Err(Undecidable::TooExpensive);
        }
        let mut collector = Collector {
            receiver: pg_sys::DestReceiver {
                receiveSlot: Some(receive),
                rStartup: Some(start),
                rShutdown: Some(nothing),
                rDestroy: Some(nothing),
                mydest: pg_sys::CommandDest::DestNone,
            },
            context: pg_sys::CurrentMemoryContext,
            rows: Vec::new(),
        };
        let none: *mut std::ffi::c_void = std::ptr::null_mut();
        let snapshot = pg_sys::GetActiveSnapshot();
        pg_sys::PushActiveSnapshot(snapshot);
        let run = pg_sys::CreateQueryDesc(
            plan,
            sql.as_ptr(),
            snapshot,
            none.cast(),
            (&raw mut collector).cast(),
            parameters.list,
            none.cast(),
            0,
        );
        pg_sys::ExecutorStart(run, 0);
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        #[cfg(not(feature = "pg18"))]
        pg_sys::ExecutorRun(run, forward, most, true);
        #[cfg(feature = "pg18")]
        pg_sys::ExecutorRun(run, forward, most);
        pg_sys::ExecutorFinish(run);
        pg_sys::ExecutorEnd(run);
        pg_sys::FreeQueryDesc(run);
        pg_sys::PopActiveSnapshot();
        Ok(collector.rows)
    }
}

/// A statement as the server understands it, with what the current user's row-level security adds.
fn analysed(sql: &CStr, parameters: &Parameters) -> Result<*mut pg_sys::Query, Undecidable> {
    let query = parsed(sql, parameters)?;
    // SAFETY: the server's own parse analysis made the query and took its locks.
    match unsafe { elements::<pg_sys::Query>(pg_sys::QueryRewrite(query)) }.as_slice() {
        [query] => Ok(*query),
        _ => Err(Undecidable::Rewritten),
    }
}

/// A statement as the server understands it, without row-level security. It is only made, not planned: that calls functions.
pub(crate) fn unsecured(sql: &CStr, parameters: &Parameters) -> Result<*mut pg_sys::Query, Undecidable> {
    crate::pg::xact::sec_context::as_role(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), || {
        analysed(sql, parameters)
    })
}

/// A statement with its names resolved. That is done as the superuser who always exists: who may use a schema is not the question, and
/// nothing is run.
fn parsed(sql: &CStr, parameters: &Parameters) -> Result<*mut pg_sys::Query, Undecidable> {
    crate::pg::xact::sec_context::as_role(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), || {
        // SAFETY: a NUL-terminated statement and as many types as it is told.
        unsafe {
            let raw = elements::<pg_sys::RawStmt>(pg_sys::pg_parse_query(sql.as_ptr()));
            let Some(raw) = raw.first() else { return Err(Undecidable::Rewritten) };
            let (types, count) = (parameters.types.as_ptr(), parameters.types.len() as i32);
            Ok(pg_sys::parse_analyze_fixedparams(*raw, sql.as_ptr(), types, count, std::ptr::null_mut()))
        }
    })
}

/// The table that a statement is about, and its place in the range table.
///
/// # Safety
/// The query must be valid.
unsafe fn table_of(query: *mut pg_sys::Query) -> Option<(i32, *mut pg_sys::RangeTblEntry)> {
    // SAFETY: as the caller vouches; a range table holds range table entries.
    unsafe {
        let tables = elements::<pg_sys::RangeTblEntry>((*query).rtable);
        let is_table = |table: *mut pg_sys::RangeTblEntry| (*table).rtekind == pg_sys::RTEKind::RTE_RELATION;
        if (*query).resultRelation > 0 {
            let table = *tables.get((*query).resultRelation as usize - 1)?;
            return Some(((*query).resultRelation, table));
        }
        let place = tables.iter().position(|table| is_table(*table))?;
        Some((place as i32 + 1, tables[place]))
    }
}

/// Has the executor look at no privilege on the tables that a query reads by itself; whether the role has them was looked at before.
///
/// # Safety
/// The query must be valid.
pub(crate) unsafe fn require_nothing(query: *mut pg_sys::Query) {
    // SAFETY: as the caller vouches; a range table holds range table entries.
    unsafe {
        for table in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
            if (*table).rtekind != pg_sys::RTEKind::RTE_RELATION {
                continue;
            }
            #[cfg(feature = "pg15")]
            {
                (*table).requiredPerms = 0;
            }
            #[cfg(not(feature = "pg15"))]
            {
                let permissions = pg_sys::getRTEPermissionInfo((*query).rteperminfos, table);
                (*permissions).requiredPerms = 0;
            }
        }
    }
}

/// Takes rows from the executor. The receiver comes first, so that a pointer to it is one to the whole.
#[repr(C)]
struct Collector {
    receiver: pg_sys::DestReceiver,
    context: pg_sys::MemoryContext,
    rows: Vec<Vec<Option<pg_sys::Datum>>>,
}

#[pg_guard]
unsafe extern "C-unwind" fn receive(slot: *mut pg_sys::TupleTableSlot, receiver: *mut pg_sys::DestReceiver) -> bool {
    // SAFETY: the executor hands back the receiver that it was given, and a slot with as many columns as its descriptor says.
    unsafe {
        let collector = &mut *receiver.cast::<Collector>();
        let descriptor = (*slot).tts_tupleDescriptor;
        let count = (*descriptor).natts;
        if i32::from((*slot).tts_nvalid) < count {
            pg_sys::slot_getsomeattrs_int(slot, count);
        }
        let before = pg_sys::MemoryContextSwitchTo(collector.context);
        let row = (0..count)
            .map(|i| {
                let (column, value) = (column(descriptor, i + 1), *(*slot).tts_values.add(i as usize));
                (!*(*slot).tts_isnull.add(i as usize)).then(|| datumCopy(value, column.attbyval, column.attlen.into()))
            })
            .collect();
        pg_sys::MemoryContextSwitchTo(before);
        collector.rows.push(row);
    }
    true
}

#[pg_guard]
unsafe extern "C-unwind" fn start(_receiver: *mut pg_sys::DestReceiver, _operation: i32, _columns: pg_sys::TupleDesc) {}

#[pg_guard]
unsafe extern "C-unwind" fn nothing(_receiver: *mut pg_sys::DestReceiver) {}
