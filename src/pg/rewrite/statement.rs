//! Statements of a request as the server itself would serve them, without changes.

use super::evaluation::{Objects, objects_of};
use super::list::elements;
use super::row_security::{Undecidable, analysed, execute, parsed, planned, run, unsecured};
use super::value::Parameters;
use pgrx::{FromDatum, IntoDatum, is_a, pg_sys};
use std::ffi::{CStr, CString};

/// Whether a SELECT of the current user returns a row, with all checks of the server but that of
/// USAGE on schemas.
pub fn returns_row(sql: &CStr, parameters: &Parameters) -> Result<bool, Undecidable> {
    let query = analysed(sql, parameters)?;
    // SAFETY: the server made the query; the caller is in a subtransaction.
    Ok(!unsafe { run(query, sql, parameters, 1, f64::MAX) }?.is_empty())
}

/// The first row of a SELECT that reads no table, as the current user. The values are copied into
/// the current memory context.
pub fn computed_row(
    sql: &CStr,
    parameters: &Parameters,
) -> Result<Vec<Option<pg_sys::Datum>>, Undecidable> {
    let query = unsecured(sql, parameters)?;
    // SAFETY: the server made the query; the caller is in a subtransaction.
    let rows = unsafe { run(query, sql, parameters, 1, f64::MAX) }?;
    Ok(rows.into_iter().next().unwrap_or_default())
}

/// Plans a statement of the current user and checks its privileges as EXPLAIN does. Nothing is
/// executed or written. Raises the server's error for a missing privilege.
pub fn check_privileges(sql: &CStr, parameters: &Parameters) -> Result<(), Undecidable> {
    let query = analysed(sql, parameters)?;
    // SAFETY: the server made the query; the calls are those of EXPLAIN. After an error, the
    // subtransaction of the caller releases all resources.
    unsafe {
        (*query).hasSubLinks = true;
        pg_sys::AcquireRewriteLocks(query, true, false);
        let plan = pg_sys::pg_plan_query(query, sql.as_ptr(), 0, parameters.list);
        let none: *mut std::ffi::c_void = std::ptr::null_mut();
        let snapshot = pg_sys::GetActiveSnapshot();
        pg_sys::PushActiveSnapshot(snapshot);
        let run = pg_sys::CreateQueryDesc(
            plan,
            sql.as_ptr(),
            snapshot,
            none.cast(),
            pg_sys::None_Receiver,
            parameters.list,
            none.cast(),
            0,
        );
        pg_sys::ExecutorStart(run, pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32);
        pg_sys::ExecutorEnd(run);
        pg_sys::FreeQueryDesc(run);
        pg_sys::PopActiveSnapshot();
    }
    Ok(())
}

/// A statement after parse analysis. Its names are resolved, its relations are locked, and nothing
/// has run.
pub struct Analysed {
    query: *mut pg_sys::Query,
    sql: CString,
}

impl Analysed {
    /// Has the server analyse a SELECT.
    pub fn of(sql: &str) -> Result<Self, Undecidable> {
        let sql = CString::new(sql).unwrap_or_default();
        let query = parsed(&sql, &Parameters::none())?;
        Ok(Self { query, sql })
    }

    /// The objects that it names.
    pub fn objects(&self) -> Objects {
        // SAFETY: the server made the query.
        unsafe { objects_of(self.query.cast()) }
    }

    /// The names and types of its columns.
    pub fn columns(&self) -> Vec<(String, pg_sys::Oid)> {
        // SAFETY: the server made the query; names are NUL-terminated, and NULL is none.
        unsafe {
            let targets = elements::<pg_sys::TargetEntry>((*self.query).targetList);
            let name = |name: *const std::ffi::c_char| match name.is_null() {
                true => String::new(),
                false => CStr::from_ptr(name).to_string_lossy().into_owned(),
            };
            let shown = targets.into_iter().filter(|target| !(**target).resjunk);
            shown
                .map(|target| (name((*target).resname), pg_sys::exprType((*target).expr.cast())))
                .collect()
        }
    }

    /// Plans it as the current user, which runs immutable functions. True if it locks rows. The
    /// caller must be in a subtransaction.
    pub fn locks_rows(self) -> Result<bool, Undecidable> {
        let plan = self.planned()?;
        // SAFETY: the plan is the server's.
        Ok(unsafe { !(*plan).rowMarks.is_null() })
    }

    fn planned(&self) -> Result<*mut pg_sys::PlannedStmt, Undecidable> {
        // SAFETY: the server made the query and took its locks; the caller is in a subtransaction.
        unsafe {
            let rewritten = elements::<pg_sys::Query>(pg_sys::QueryRewrite(self.query));
            let [query] = rewritten.as_slice() else { return Err(Undecidable::Rewritten) };
            Ok(planned(*query, &self.sql, &Parameters::none(), 0))
        }
    }

    /// Its rows as the current user, with all checks of the server but that of USAGE on schemas.
    /// `None` if its columns have other types. The caller must be in a subtransaction.
    #[allow(clippy::type_complexity)]
    pub fn rows<A, B, C, D>(self) -> Result<Option<Vec<Columns<A, B, C, D>>>, Undecidable>
    where
        A: FromDatum + IntoDatum,
        B: FromDatum + IntoDatum,
        C: FromDatum + IntoDatum,
        D: FromDatum + IntoDatum,
    {
        let types: Vec<pg_sys::Oid> = self.columns().into_iter().map(|column| column.1).collect();
        if types != [A::type_oid(), B::type_oid(), C::type_oid(), D::type_oid()] {
            return Ok(None);
        }
        let plan = self.planned()?;
        // SAFETY: the plan is the server's; the caller is in a subtransaction.
        let rows = unsafe { execute(plan, &self.sql, &Parameters::none(), u64::MAX) };
        let columns = rows.into_iter().filter_map(|row| match row.as_slice() {
            [a, b, c, d] => Some((value(*a), value(*b), value(*c), value(*d))),
            _ => None,
        });
        Ok(Some(columns.collect()))
    }
}

/// A row of four columns.
pub type Columns<A, B, C, D> = (Option<A>, Option<B>, Option<C>, Option<D>);

/// The value of a column whose type has been compared.
fn value<T: FromDatum>(datum: Option<pg_sys::Datum>) -> Option<T> {
    // SAFETY: the type is that of the column.
    datum.and_then(|datum| unsafe { T::from_datum(datum, false) })
}

/// The table behind a view that selects from it alone, and for each column of the view the number
/// of the table's column; 0 for an expression. `None` for any other view.
pub fn table_behind(view: pg_sys::Oid) -> Option<(pg_sys::Oid, Vec<i16>)> {
    // SAFETY: the view is open while its query is read; the tag says which struct a node is.
    unsafe {
        let relation = pg_sys::table_open(view, pg_sys::AccessShareLock as i32);
        let query = pg_sys::get_view_query(relation);
        let found = (|| {
            let query = query.as_ref()?;
            let from = query.jointree.as_ref()?;
            let is_plain = query.groupClause.is_null()
                && query.distinctClause.is_null()
                && query.setOperations.is_null()
                && query.limitCount.is_null()
                && query.limitOffset.is_null()
                && !query.hasAggs
                && !query.hasWindowFuncs
                && !query.hasTargetSRFs;
            let items = elements::<pg_sys::Node>(from.fromlist);
            let [item] = items.as_slice() else { return None };
            if !is_plain || !is_a(*item, pg_sys::NodeTag::T_RangeTblRef) {
                return None;
            }
            let index = (*item.cast::<pg_sys::RangeTblRef>()).rtindex;
            let tables = elements::<pg_sys::RangeTblEntry>(query.rtable);
            let table = *tables.get(usize::try_from(index).ok()?.checked_sub(1)?)?;
            if (*table).rtekind != pg_sys::RTEKind::RTE_RELATION {
                return None;
            }
            let number = |target: *mut pg_sys::TargetEntry| {
                let node: *mut pg_sys::Node = (*target).expr.cast();
                if !is_a(node, pg_sys::NodeTag::T_Var) {
                    return 0;
                }
                let var = &*node.cast::<pg_sys::Var>();
                if var.varno == index && var.varattno > 0 { var.varattno } else { 0 }
            };
            let targets = elements::<pg_sys::TargetEntry>(query.targetList).into_iter();
            let columns = targets.filter(|target| !(**target).resjunk).map(number).collect();
            Some(((*table).relid, columns))
        })();
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        found
    }
}

/// The relations that a view reads, without those behind other views.
pub fn sources_of(view: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    // SAFETY: the view is open while its query is read.
    unsafe {
        let relation = pg_sys::table_open(view, pg_sys::AccessShareLock as i32);
        let found = objects_of(pg_sys::get_view_query(relation).cast()).relations;
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        found.into_iter().map(pg_sys::Oid::from).filter(|source| *source != view).collect()
    }
}
