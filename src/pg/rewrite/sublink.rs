//! Comparisons between columns that a client sets and the rows of a sub-query.

use super::list::elements;
use super::vars::{columns_of, stripped};
use crate::pg::catalog::lookup;
use pgrx::is_a;
use pgrx::pg_sys::{self, NodeTag};

/// A column that is compared with every value of a query.
pub(crate) struct Comparison {
    /// `attnum` of the column.
    pub column: i16,
    /// The type of the values.
    pub type_: pg_sys::Oid,
    /// A query of one column that does not read the row.
    pub query: *mut pg_sys::Query,
    /// Whether the operator is `=`, and not an ordering.
    pub is_equality: bool,
}

/// Tells the column number of an expression that is a column, so many queries up, that may be set.
type Free<'a> = &'a dyn Fn(*mut pg_sys::Node, u32) -> Option<i16>;

/// The comparisons of `column IN (SELECT …)` with a sub-query that does not read the row, or of an
/// EXISTS that compares columns with its own; `None` for any other form.
///
/// # Safety
/// The sub-query must be valid, and `free` must accept each of its expressions.
pub(crate) unsafe fn comparisons(
    link: *mut pg_sys::SubLink,
    free: Free<'_>,
) -> Option<Vec<Comparison>> {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        let link = &*link;
        if !is_a(link.subselect, NodeTag::T_Query) {
            return None;
        }
        match link.subLinkType {
            pg_sys::SubLinkType::ANY_SUBLINK if reads_no_row(link.subselect) => {
                if !is_a(link.testexpr, NodeTag::T_OpExpr) {
                    return None;
                }
                let test = &*link.testexpr.cast::<pg_sys::OpExpr>();
                let arguments = elements::<pg_sys::Node>(test.args);
                let [left, right] = arguments.as_slice() else { return None };
                let column = free(*left, 0).filter(|_| is_a(stripped(*right), NodeTag::T_Param))?;
                let is_equality = lookup::comparison(test.opno)?;
                let type_ = pg_sys::exprType(*right);
                Some(vec![Comparison { column, type_, query: link.subselect.cast(), is_equality }])
            }
            pg_sys::SubLinkType::EXISTS_SUBLINK => exists(link.subselect.cast(), free),
            _ => None,
        }
    }
}

/// Whether a sub-query reads no column of the row outside of it.
///
/// # Safety
/// The expression must be valid.
unsafe fn reads_no_row(node: *mut pg_sys::Node) -> bool {
    // SAFETY: as the caller vouches.
    unsafe { columns_of(node, 1).is_some_and(|columns| columns.is_empty()) }
}

/// # Safety
/// As for `comparisons`.
unsafe fn exists(query: *mut pg_sys::Query, free: Free<'_>) -> Option<Vec<Comparison>> {
    // SAFETY: a query as the server made it; only copies are changed.
    unsafe {
        let query: *mut pg_sys::Query = pg_sys::copyObjectImpl(query.cast()).cast();
        let changed = &mut *query;
        if changed.hasAggs
            || changed.hasTargetSRFs
            || changed.hasWindowFuncs
            || changed.jointree.is_null()
        {
            return None;
        }
        let lists = [changed.groupClause, changed.groupingSets, changed.cteList];
        let has_limit = !changed.limitCount.is_null();
        if lists.iter().any(|list| !list.is_null()) || !changed.setOperations.is_null() || has_limit
        {
            return None;
        }
        (changed.sortClause, changed.distinctClause, changed.limitOffset) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        let from = &mut *changed.jointree;
        let (mut kept, mut pairs) = (std::ptr::null_mut(), Vec::new());
        for term in elements::<pg_sys::Node>(pg_sys::make_ands_implicit(from.quals.cast())) {
            if reads_no_row(term) {
                kept = pg_sys::lappend(kept, term.cast());
                continue;
            }
            if !is_a(term, NodeTag::T_OpExpr) {
                return None;
            }
            let call = &*term.cast::<pg_sys::OpExpr>();
            let arguments = elements::<pg_sys::Node>(call.args);
            let [left, right] = arguments.as_slice() else { return None };
            let pair = [(*left, *right), (*right, *left)].into_iter().find_map(|(outer, inner)| {
                let is_inner = reads_no_row(inner);
                free(outer, 1).filter(|_| is_inner).map(|number| (number, inner))
            });
            let (Some(pair), Some(true)) = (pair, lookup::comparison(call.opno)) else {
                return None;
            };
            pairs.push(pair);
        }
        from.quals = pg_sys::make_ands_explicit(kept).cast();
        changed.targetList = std::ptr::null_mut();
        if !reads_no_row(query.cast()) {
            return None;
        }
        let comparison = |(column, inner): (i16, *mut pg_sys::Node)| {
            let query: *mut pg_sys::Query = pg_sys::copyObjectImpl(query.cast()).cast();
            let name = pg_sys::pstrdup(c"value".as_ptr());
            let target = pg_sys::makeTargetEntry(
                pg_sys::copyObjectImpl(inner.cast()).cast(),
                1,
                name,
                false,
            );
            (*query).targetList = pg_sys::lappend(std::ptr::null_mut(), target.cast());
            Comparison { column, type_: pg_sys::exprType(inner), query, is_equality: true }
        };
        Some(pairs.into_iter().map(comparison).collect())
    }
}
