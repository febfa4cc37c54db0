//! Quals as they would answer if a table had one more row. Nothing is written.

use super::list::elements;
use super::mutate::copy;
use super::qual::Qual;
use super::row_security::{Undecidable, require_nothing, run, unsecured};
use super::value::Parameters;
use super::walk::walk;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::{CString, c_void};

/// Planner cost above which a condition without rows is not evaluated.
const MAX_COST: f64 = 50_000.0;

/// The qual with the rows of a query in place of those of a table, in each of its sub-queries.
///
/// `rows` is a SELECT from one sub-query in FROM, whose columns have the numbers of the table's.
/// The table's row-level security is kept.
pub fn with_rows(qual: Qual, table: pg_sys::Oid, rows: &str) -> Result<Qual, Undecidable> {
    let sql = CString::new(rows).unwrap_or_default();
    let query = unsecured(&sql, &Parameters::none())?;
    let mut replacement = Replacement { table, query, is_whole_row: false };
    // SAFETY: the server made the query; the qual is a copy.
    unsafe {
        walk(query.cast(), require_nothing_inside, std::ptr::null_mut());
        let changed = copy(qual.0);
        walk(changed.cast(), replace, (&raw mut replacement).cast());
        if replacement.is_whole_row {
            return Err(Undecidable::WholeRow);
        }
        Ok(Qual(changed))
    }
}

/// Whether a qual that reads no row holds.
pub fn holds(qual: Qual) -> Result<bool, Undecidable> {
    let query = unsecured(c"SELECT", &Parameters::none())?;
    // SAFETY: the server made the query; the condition reads no row of it.
    unsafe {
        (*(*query).jointree).quals = pg_sys::make_ands_explicit(copy(qual.0)).cast();
        Ok(!run(query, c"", &Parameters::none(), 1, MAX_COST)?.is_empty())
    }
}

/// The value of an SQL expression; `None` if it is NULL or VOLATILE.
pub fn stable_value(expression: &str) -> Result<Option<pg_sys::Datum>, Undecidable> {
    let sql = CString::new(format!("SELECT {expression}")).unwrap_or_default();
    let query = unsecured(&sql, &Parameters::none())?;
    // SAFETY: the server made the query.
    unsafe {
        if pg_sys::contain_volatile_functions(query.cast()) {
            return Ok(None);
        }
        let rows = run(query, &sql, &Parameters::none(), 1, MAX_COST)?;
        Ok(rows.first().and_then(|row| row.first().copied().flatten()))
    }
}

struct Replacement {
    table: pg_sys::Oid,
    query: *mut pg_sys::Query,
    is_whole_row: bool,
}

#[pg_guard]
unsafe extern "C-unwind" fn replace(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `with_rows`.
    unsafe {
        if !is_a(node, NodeTag::T_Query) {
            return pg_sys::expression_tree_walker(node, Some(replace), context);
        }
        let query = node.cast::<pg_sys::Query>();
        // Inner queries first: the replacement reads the table itself.
        pg_sys::query_tree_walker(query, Some(replace), context, 0);
        let replacement = &mut *context.cast::<Replacement>();
        for (place, entry) in elements::<pg_sys::RangeTblEntry>((*query).rtable).iter().enumerate()
        {
            let is_table = (**entry).rtekind == pg_sys::RTEKind::RTE_RELATION
                && (**entry).relid == replacement.table;
            if !is_table {
                continue;
            }
            let mut whole = WholeRow { entry: place as i32 + 1, level: 0, is_found: false };
            pg_sys::query_tree_walker(query, Some(find_whole_row), (&raw mut whole).cast(), 0);
            replacement.is_whole_row |= whole.is_found;
            let rows: *mut pg_sys::Query = pg_sys::copyObjectImpl(replacement.query.cast()).cast();
            let secured = (**entry).securityQuals;
            if !secured.is_null() {
                pg_sys::ChangeVarNodes(secured.cast(), place as i32 + 1, 1, 0);
                (*(*rows).jointree).quals = pg_sys::make_ands_explicit(secured).cast();
                (*rows).hasSubLinks = true;
            }
            as_sub_query(*entry, rows);
        }
        false
    }
}

/// Makes a table's entry one of a sub-query, as the server does with a view.
///
/// # Safety
/// Both must be valid.
unsafe fn as_sub_query(entry: *mut pg_sys::RangeTblEntry, rows: *mut pg_sys::Query) {
    // SAFETY: as the caller vouches.
    unsafe {
        (*entry).rtekind = pg_sys::RTEKind::RTE_SUBQUERY;
        (*entry).subquery = rows;
        (*entry).securityQuals = std::ptr::null_mut();
        (*entry).tablesample = std::ptr::null_mut();
        (*entry).inh = false;
        #[cfg(feature = "pg15")]
        {
            (*entry).relid = pg_sys::InvalidOid;
            (*entry).relkind = 0;
            (*entry).rellockmode = 0;
            (*entry).requiredPerms = 0;
            (*entry).checkAsUser = pg_sys::InvalidOid;
            (*entry).selectedCols = std::ptr::null_mut();
        }
    }
}

/// Skips privilege checks in a query and in those inside of it.
#[pg_guard]
unsafe extern "C-unwind" fn require_nothing_inside(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is.
    unsafe {
        if is_a(node, NodeTag::T_Query) {
            require_nothing(node.cast());
            return pg_sys::query_tree_walker(
                node.cast(),
                Some(require_nothing_inside),
                context,
                0,
            );
        }
        pg_sys::expression_tree_walker(node, Some(require_nothing_inside), context)
    }
}

struct WholeRow {
    entry: i32,
    level: u32,
    is_found: bool,
}

#[pg_guard]
unsafe extern "C-unwind" fn find_whole_row(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `replace`.
    unsafe {
        let whole = &mut *context.cast::<WholeRow>();
        match (*node).type_ {
            NodeTag::T_Var => {
                let var = &*node.cast::<pg_sys::Var>();
                whole.is_found |=
                    var.varno == whole.entry && var.varlevelsup == whole.level && var.varattno <= 0;
                whole.is_found
            }
            NodeTag::T_Query => {
                whole.level += 1;
                pg_sys::query_tree_walker(node.cast(), Some(find_whole_row), context, 0);
                let whole = &mut *context.cast::<WholeRow>();
                whole.level -= 1;
                whole.is_found
            }
            _ => pg_sys::expression_tree_walker(node, Some(find_whole_row), context),
        }
    }
}
