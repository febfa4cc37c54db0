//! Reads the quals that the server's row-level security adds to a statement of the current user,
//! and runs queries under given quals.

use super::analysis::without_code;
use super::list::elements;
use super::qual::{Origin, Qual};
use super::value::Parameters;
use crate::pg::access::datum::column;
pub use crate::pg::catalog::privilege::Command;
use pgrx::spi::quote_identifier;
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, CString};

copied_for!("pg15" "pg16" "pg17" "pg18": "datumCopy of utils/datum.h");

// From utils/datum.h, which pgrx does not declare.
unsafe extern "C-unwind" {
    fn datumCopy(value: pg_sys::Datum, is_by_value: bool, length: i32) -> pg_sys::Datum;
}

/// Reason why the quals of a table decide nothing.
#[derive(Debug, thiserror::Error)]
pub enum Undecidable {
    /// A rule of the table replaces the command.
    #[error("a rewrite rule replaces the command")]
    Rewritten,
    /// A whole-row reference: no column value can be substituted.
    #[error("a policy refers to the row as a whole")]
    WholeRow,
    /// The planner expects a query to cost more than its limit.
    #[error("reading every row would cost too much")]
    TooExpensive,
}

/// The quals that the server enforces for the current user's command.
#[derive(Clone, Copy)]
pub struct Effective {
    /// Qual that existing rows must satisfy.
    pub using: Qual,
    /// Qual that new rows must satisfy.
    pub check: Qual,
}

/// A table as statements name it.
pub struct RelationRef {
    /// `pg_class.oid`.
    pub table: pg_sys::Oid,
    /// The qualified and quoted name.
    pub name: String,
    /// The name of any column, unquoted.
    pub column: String,
}

/// The quals for a command of the current user on a table. The server itself analyses and rewrites
/// a statement, and so decides about the combination of policies, roles, ownership and exemptions.
/// The statement is not run, and privileges are not checked.
pub fn effective(command: Command, on: &RelationRef) -> Result<Effective, Undecidable> {
    let name = &on.name;
    let sql = match command {
        Command::Select => format!("SELECT FROM {name}"),
        Command::Insert => format!("INSERT INTO {name} DEFAULT VALUES"),
        // Reads no column, so that the policies for SELECT do not narrow the command.
        Command::Update => format!("UPDATE {name} SET {} = DEFAULT", quote_identifier(&on.column)),
        Command::Delete => format!("DELETE FROM {name}"),
    };
    effective_of(&CString::new(sql).unwrap_or_default(), &Parameters::none(), on.table)
}

/// As [`effective`], for a given statement. A statement that reads columns of the table is also
/// under the policies for SELECT.
pub fn effective_of(
    sql: &CStr,
    parameters: &Parameters,
    on: pg_sys::Oid,
) -> Result<Effective, Undecidable> {
    let query = analysed(sql, parameters)?;
    // SAFETY: the server made the query. If the table is missing in the range table, a rule
    // replaced the statement.
    unsafe {
        let (index, table) = table_of(query).ok_or(Undecidable::Rewritten)?;
        if (*table).relid != on {
            return Err(Undecidable::Rewritten);
        }
        let mut check: *mut pg_sys::List = std::ptr::null_mut();
        for option in elements::<pg_sys::WithCheckOption>((*query).withCheckOptions) {
            let is_policy = matches!(
                (*option).kind,
                pg_sys::WCOKind::WCO_RLS_INSERT_CHECK | pg_sys::WCOKind::WCO_RLS_UPDATE_CHECK
            );
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

/// The qual of a single policy for the current user. Relations in its sub-queries are under the
/// current user's row-level security, as in a statement to which the server adds the policy.
///
/// `expression` is the text of a pg_node_tree.
pub fn policy_condition(on: &RelationRef, expression: &CStr) -> Result<Qual, Undecidable> {
    let sql = CString::new(format!("SELECT FROM {}", on.name)).unwrap_or_default();
    let query = parsed(&sql, &Parameters::none())?;
    // SAFETY: the expression is from pg_policy and on the table, which is the only entry in the
    // range table of the statement. Its relations are locked as those of a rule's statement.
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

/// A raw condition on a table after parse analysis, as CREATE POLICY does it, and whether it has
/// sub-queries. Their relations are not under row-level security yet, as in a stored policy.
///
/// # Safety
/// The condition must be from the server's raw parser.
pub(crate) unsafe fn where_clause(
    on: &RelationRef,
    condition: *mut pg_sys::Node,
) -> Result<(*mut pg_sys::Node, bool), Undecidable> {
    let sql = CString::new(format!("SELECT FROM {}", on.name)).unwrap_or_default();
    // SAFETY: the raw statement is a SELECT with one table, and gets a condition in its WHERE.
    unsafe {
        let query = parsed_with(&sql, &Parameters::none(), |statement| {
            (*statement.cast::<pg_sys::SelectStmt>()).whereClause = condition;
        })?;
        let (quals, has_sub_queries) = ((*(*query).jointree).quals, (*query).hasSubLinks);
        (!quals.is_null()).then_some((quals, has_sub_queries)).ok_or(Undecidable::Rewritten)
    }
}

/// A `SELECT` whose first range table entry is the table of a qual.
pub struct RowQuery<'a> {
    /// The text of the statement.
    pub sql: &'a str,
    /// Its parameters.
    pub parameters: Parameters,
}

impl RowQuery<'_> {
    /// The WHERE clause; [`Qual::ALWAYS`] without one.
    pub fn condition(&self) -> Result<Qual, Undecidable> {
        let query = unsecured(&CString::new(self.sql).unwrap_or_default(), &self.parameters)?;
        // SAFETY: the server made the query; quals are NULL without a WHERE clause.
        unsafe {
            let quals = (*(*query).jointree).quals;
            if quals.is_null() {
                return Ok(Qual::ALWAYS);
            }
            Ok(Qual(pg_sys::lappend(std::ptr::null_mut(), quals.cast())))
        }
    }

    /// Runs the query with `condition` in place of the table's row-level security and without
    /// privilege checks on the table, for at most `most` rows. `Err` if the planner expects a cost
    /// above `cost`.
    ///
    /// The values are copied into the current memory context.
    pub fn rows(
        &self,
        condition: Qual,
        most: u64,
        cost: f64,
    ) -> Result<Vec<Vec<Option<pg_sys::Datum>>>, Undecidable> {
        let sql = CString::new(self.sql).unwrap_or_default();
        let query = unsecured(&sql, &self.parameters)?;
        // SAFETY: the server made the query; the condition is on its first range table entry. After
        // an error, the subtransaction of the caller releases all resources.
        unsafe {
            let (_, table) = table_of(query).ok_or(Undecidable::Rewritten)?;
            (*table).securityQuals = match condition.is_empty() {
                true => std::ptr::null_mut(),
                false => pg_sys::copyObjectImpl(condition.0.cast()).cast(),
            };
            require_nothing(query);
            let limit = if is_small(table) { cost * SMALL_TABLE_FACTOR } else { cost };
            run(query, &sql, &self.parameters, most, limit)
        }
    }
}

/// The planner expects ten blocks of a table that was never analysed, and the worst of sub-queries
/// in policies. A table with as few blocks is read in time.
const SMALL_TABLE_BLOCKS: u32 = 16;
/// How much higher the cost of a query on such a table may be.
const SMALL_TABLE_FACTOR: f64 = 100.0;

/// A `SELECT` that composes rows from several tables and lists of values in FROM.
pub struct RowComposition<'a> {
    /// The text of the statement.
    pub sql: &'a str,
    /// Its parameters.
    pub parameters: Parameters,
}

impl RowComposition<'_> {
    /// The first composed row that satisfies a condition. `origins` maps columns of the condition
    /// to entries in FROM; other columns are those of the first entry. Privileges are checked only
    /// for sub-queries of the condition.
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
        // SAFETY: as in `RowQuery::rows`; the condition refers to entries in FROM only.
        unsafe {
            require_nothing(query);
            let from = &mut *(*query).jointree;
            let before = pg_sys::make_ands_implicit(from.quals.cast());
            from.quals =
                pg_sys::make_ands_explicit(pg_sys::list_concat(before, condition.0)).cast();
            Ok(run(query, &sql, &self.parameters, 1, cost)?.into_iter().next())
        }
    }
}

/// Plans and runs a query for at most `most` rows, and copies their values into the current memory
/// context. `Err` if the planner expects a cost above `cost`.
///
/// # Safety
/// As [`execute`]; the query may be changed.
pub(crate) unsafe fn run(
    query: *mut pg_sys::Query,
    sql: &CStr,
    parameters: &Parameters,
    most: u64,
    cost: f64,
) -> Result<Vec<Vec<Option<pg_sys::Datum>>>, Undecidable> {
    // SAFETY: as the caller vouches.
    unsafe {
        let plan = planned(query, sql, parameters, pg_sys::CURSOR_OPT_FAST_PLAN as i32);
        if (*(*plan).planTree).total_cost > cost {
            return Err(Undecidable::TooExpensive);
        }
        Ok(execute(plan, sql, parameters, most))
    }
}

/// Plans a query with the server's options for cursors.
///
/// # Safety
/// The server must have made the query; added conditions and columns may refer to its range table
/// only.
pub(crate) unsafe fn planned(
    query: *mut pg_sys::Query,
    sql: &CStr,
    parameters: &Parameters,
    options: i32,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: as the caller vouches; the calls are those of the server.
    unsafe {
        (*query).hasSubLinks = true;
        // The subtransaction that locked the relations of its conditions may have ended.
        pg_sys::AcquireRewriteLocks(query, true, false);
        pg_sys::pg_plan_query(query, sql.as_ptr(), options, parameters.list)
    }
}

/// Runs a plan for at most `most` rows, and copies their values into the current memory context.
///
/// # Safety
/// The plan must be of [`planned`]. The caller must be in a subtransaction, which releases all
/// resources after an error.
pub(crate) unsafe fn execute(
    plan: *mut pg_sys::PlannedStmt,
    sql: &CStr,
    parameters: &Parameters,
    most: u64,
) -> Vec<Vec<Option<pg_sys::Datum>>> {
    // SAFETY: as the caller vouches; the calls are those of the server for a statement of a cursor.
    unsafe {
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
        collector.rows
    }
}

/// Parses, analyses and rewrites a statement, with the current user's row-level security.
pub(crate) fn analysed(
    sql: &CStr,
    parameters: &Parameters,
) -> Result<*mut pg_sys::Query, Undecidable> {
    let query = parsed(sql, parameters)?;
    // SAFETY: the server's own parse analysis made the query and took its locks.
    match unsafe { elements::<pg_sys::Query>(pg_sys::QueryRewrite(query)) }.as_slice() {
        [query] => Ok(*query),
        _ => Err(Undecidable::Rewritten),
    }
}

/// As [`analysed`], without row-level security. The statement is not planned as the superuser,
/// because planning calls functions.
pub(crate) fn unsecured(
    sql: &CStr,
    parameters: &Parameters,
) -> Result<*mut pg_sys::Query, Undecidable> {
    crate::pg::xact::sec_context::as_role(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), || {
        analysed(sql, parameters)
    })
}

/// Parses and analyses a statement. Names are resolved as the bootstrap superuser: USAGE on schemas
/// is not under test, and no user code runs. A literal whose type needs code is an error, 0A000.
pub(crate) fn parsed(
    sql: &CStr,
    parameters: &Parameters,
) -> Result<*mut pg_sys::Query, Undecidable> {
    parsed_with(sql, parameters, |_| {})
}

/// As [`parsed`], with a change of the raw statement before its analysis.
fn parsed_with(
    sql: &CStr,
    parameters: &Parameters,
    change: impl FnOnce(*mut pg_sys::Node),
) -> Result<*mut pg_sys::Query, Undecidable> {
    crate::pg::xact::sec_context::as_role(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), || {
        // SAFETY: a NUL-terminated statement, and `count` types.
        unsafe {
            let raw = elements::<pg_sys::RawStmt>(pg_sys::pg_parse_query(sql.as_ptr()));
            let Some(raw) = raw.first() else { return Err(Undecidable::Rewritten) };
            change((**raw).stmt);
            let (types, count) = (parameters.types.as_ptr(), parameters.types.len() as i32);
            Ok(without_code(|| {
                let none = std::ptr::null_mut();
                pg_sys::parse_analyze_fixedparams(*raw, sql.as_ptr(), types, count, none)
            }))
        }
    })
}

/// The target or first table of a statement, with its index in the range table.
///
/// # Safety
/// The query must be valid.
unsafe fn table_of(query: *mut pg_sys::Query) -> Option<(i32, *mut pg_sys::RangeTblEntry)> {
    // SAFETY: as the caller vouches; a range table is a list of range table entries.
    unsafe {
        let tables = elements::<pg_sys::RangeTblEntry>((*query).rtable);
        let is_table =
            |table: *mut pg_sys::RangeTblEntry| (*table).rtekind == pg_sys::RTEKind::RTE_RELATION;
        if (*query).resultRelation > 0 {
            let table = *tables.get((*query).resultRelation as usize - 1)?;
            return Some(((*query).resultRelation, table));
        }
        let place = tables.iter().position(|table| is_table(*table))?;
        Some((place as i32 + 1, tables[place]))
    }
}

/// Whether a table has few blocks.
///
/// # Safety
/// The entry must be valid, of a relation, and locked.
unsafe fn is_small(table: *const pg_sys::RangeTblEntry) -> bool {
    // SAFETY: as the caller vouches; an ordinary table has a main fork.
    unsafe {
        if (*table).relkind != pg_sys::RELKIND_RELATION as std::ffi::c_char {
            return false;
        }
        let relation = pg_sys::RelationIdGetRelation((*table).relid);
        if relation.is_null() {
            return false;
        }
        let main = pg_sys::ForkNumber::MAIN_FORKNUM;
        let blocks = pg_sys::RelationGetNumberOfBlocksInFork(relation, main);
        pg_sys::RelationClose(relation);
        blocks <= SMALL_TABLE_BLOCKS
    }
}

/// Makes the executor skip privilege checks on the tables of a query, but not of its sub-queries.
/// The audit has compared the privileges of the role before.
///
/// # Safety
/// The query must be valid.
pub(crate) unsafe fn require_nothing(query: *mut pg_sys::Query) {
    // SAFETY: as the caller vouches; a range table is a list of range table entries.
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

/// Receives rows from the executor. The receiver is the first field, so that a pointer to it is a
/// pointer to the struct.
#[repr(C)]
struct Collector {
    receiver: pg_sys::DestReceiver,
    context: pg_sys::MemoryContext,
    rows: Vec<Vec<Option<pg_sys::Datum>>>,
}

#[pg_guard]
unsafe extern "C-unwind" fn receive(
    slot: *mut pg_sys::TupleTableSlot,
    receiver: *mut pg_sys::DestReceiver,
) -> bool {
    // SAFETY: the executor passes the receiver of the query, and a slot with the columns of its
    // descriptor.
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
                let (column, value) =
                    (column(descriptor, i + 1), *(*slot).tts_values.add(i as usize));
                (!*(*slot).tts_isnull.add(i as usize))
                    .then(|| datumCopy(value, column.attbyval, column.attlen.into()))
            })
            .collect();
        pg_sys::MemoryContextSwitchTo(before);
        collector.rows.push(row);
    }
    true
}

#[pg_guard]
unsafe extern "C-unwind" fn start(
    _receiver: *mut pg_sys::DestReceiver,
    _operation: i32,
    _columns: pg_sys::TupleDesc,
) {
}

#[pg_guard]
unsafe extern "C-unwind" fn nothing(_receiver: *mut pg_sys::DestReceiver) {}
