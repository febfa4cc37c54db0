//! Conditions on the time, which decide differently later.

use super::list::elements;
use super::mutate::{copy, mutate};
use super::qual::Qual;
use super::walk::{changed, walk};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::c_void;

/// Fixed oids of now(), transaction_timestamp() and statement_timestamp(), clock_timestamp() and
/// timeofday().
const CLOCK_FUNCTIONS: [u32; 5] = [1299, 2647, 2648, 2649, 274];

/// Whether a function returns the time.
pub fn is_clock_function(function: pg_sys::Oid) -> bool {
    CLOCK_FUNCTIONS.contains(&function.to_u32())
}

impl Qual {
    /// The qual with every condition on the time taken as met. It admits all rows that the qual
    /// admits at any time.
    pub fn at_any_time(self) -> Self {
        let mut is_met = true;
        // SAFETY: a list of valid expressions, of which a copy is changed; the context outlives
        // the walk.
        unsafe {
            let mut list = std::ptr::null_mut();
            for term in elements::<pg_sys::Node>(copy(self.0)) {
                let relaxed = changed(term, relax, (&raw mut is_met).cast());
                list = pg_sys::lappend(list, relaxed.cast());
            }
            Self(list)
        }
    }

    /// Whether a condition reads the time.
    pub fn reads_time(self) -> bool {
        // SAFETY: a list of valid expressions.
        unsafe { has_clock(self.0.cast()) }
    }
}

/// Replaces the innermost conditions that read the time. The context is the truth value that makes
/// the whole weaker: true, or false inside of NOT.
#[pg_guard]
unsafe extern "C-unwind" fn relax(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    // SAFETY: the tag says which struct the node is; the context is a bool of `at_any_time`.
    unsafe {
        if node.is_null() || !has_clock(node) {
            return node;
        }
        let is_met = *context.cast::<bool>();
        match (*node).type_ {
            NodeTag::T_BoolExpr => {
                let expression = &*node.cast::<pg_sys::BoolExpr>();
                let is_not = expression.boolop == pg_sys::BoolExprType::NOT_EXPR;
                let mut inner = is_met != is_not;
                mutate(node, relax, (&raw mut inner).cast())
            }
            NodeTag::T_SubLink => {
                let link = &*node.cast::<pg_sys::SubLink>();
                let is_monotone = matches!(
                    link.subLinkType,
                    pg_sys::SubLinkType::EXISTS_SUBLINK | pg_sys::SubLinkType::ANY_SUBLINK
                ) && !has_clock(link.testexpr);
                match is_monotone && is_plain_select(link.subselect) {
                    true => mutate(node, relax_query, context),
                    false => pg_sys::makeBoolConst(is_met, false),
                }
            }
            NodeTag::T_List => mutate(node, relax, context),
            _ => pg_sys::makeBoolConst(is_met, false),
        }
    }
}

/// Relaxes the WHERE clause of the query of a sub-query.
#[pg_guard]
unsafe extern "C-unwind" fn relax_query(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    // SAFETY: as in `relax`; the mutator passes the sub-query, which is copied before it changes.
    unsafe {
        if node.is_null() || !is_a(node, NodeTag::T_Query) {
            return node;
        }
        let query: *mut pg_sys::Query = pg_sys::copyObjectImpl(node.cast()).cast();
        let from = (*query).jointree;
        (*from).quals = changed((*from).quals, relax, context);
        for entry in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
            for qual in elements::<pg_sys::Node>((*entry).securityQuals) {
                if has_clock(qual) {
                    let quals = (*entry).securityQuals.cast();
                    (*entry).securityQuals = changed(quals, relax, context).cast();
                    break;
                }
            }
        }
        query.cast()
    }
}

/// Whether a query reads the time only in the conditions that `relax_query` replaces, and returns
/// more rows if these admit more.
///
/// # Safety
/// The node must be valid.
unsafe fn is_plain_select(node: *mut pg_sys::Node) -> bool {
    // SAFETY: as the caller vouches.
    unsafe {
        if !is_a(node, NodeTag::T_Query) {
            return false;
        }
        let query = &*node.cast::<pg_sys::Query>();
        !query.hasAggs
            && query.havingQual.is_null()
            && query.limitCount.is_null()
            && query.limitOffset.is_null()
            && query.setOperations.is_null()
            && query.cteList.is_null()
            && !has_clock(query.targetList.cast())
            && !has_clock((*query.jointree).fromlist.cast())
            && elements::<pg_sys::RangeTblEntry>(query.rtable)
                .into_iter()
                .all(|entry| (*entry).rtekind != pg_sys::RTEKind::RTE_SUBQUERY)
    }
}

/// # Safety
/// The node must be valid.
unsafe fn has_clock(node: *mut pg_sys::Node) -> bool {
    // SAFETY: as the caller vouches; the walker needs no context.
    unsafe { walk(node, find_clock, std::ptr::null_mut()) }
}

#[pg_guard]
unsafe extern "C-unwind" fn find_clock(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is.
    unsafe {
        use pg_sys::SQLValueFunctionOp::*;
        match (*node).type_ {
            NodeTag::T_FuncExpr if is_clock_function((*node.cast::<pg_sys::FuncExpr>()).funcid) => {
                return true;
            }
            NodeTag::T_SQLValueFunction => {
                let op = (*node.cast::<pg_sys::SQLValueFunction>()).op;
                return matches!(op, SVFOP_CURRENT_DATE..=SVFOP_LOCALTIMESTAMP_N);
            }
            NodeTag::T_Query => {
                return pg_sys::query_tree_walker(node.cast(), Some(find_clock), context, 0);
            }
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(find_clock), context)
    }
}
