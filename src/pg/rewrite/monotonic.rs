//! Decides whether fewer rows in some relations can only narrow a policy expression.

use super::list::elements;
use super::walk::walk;
use crate::pg::catalog::lookup;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

/// Relations that lose rows, and functions whose results depend on them.
#[derive(Debug, Default)]
pub struct Narrowed {
    /// Tables.
    pub tables: BTreeSet<u32>,
    /// Views and functions, of which it is not known how they depend on the tables.
    pub opaque: BTreeSet<u32>,
}

/// Whether an expression, as the text of a pg_node_tree, holds for no more rows after the relations
/// have lost rows. False also where the form of the expression does not tell.
pub fn is_narrowed_with(tree: &CStr, narrowed: &Narrowed) -> bool {
    // SAFETY: a NUL-terminated text of pg_policy; the server raises for anything else.
    unsafe { is_monotonic(pg_sys::stringToNode(tree.as_ptr()).cast(), narrowed) }
}

/// # Safety
/// The expression must be valid.
unsafe fn is_monotonic(node: *mut pg_sys::Node, narrowed: &Narrowed) -> bool {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        if !reads(node, narrowed) {
            return true;
        }
        match (*node).type_ {
            NodeTag::T_BoolExpr => {
                let expression = &*node.cast::<pg_sys::BoolExpr>();
                expression.boolop != pg_sys::BoolExprType::NOT_EXPR
                    && all(expression.args, narrowed)
            }
            NodeTag::T_SubLink => {
                let link = &*node.cast::<pg_sys::SubLink>();
                let is_positive = matches!(
                    link.subLinkType,
                    pg_sys::SubLinkType::EXISTS_SUBLINK | pg_sys::SubLinkType::ANY_SUBLINK
                );
                is_positive
                    && !reads(link.testexpr, narrowed)
                    && is_monotonic_query(link.subselect.cast(), narrowed)
            }
            // `team_id = (SELECT …)`: without the row it compares with NULL.
            NodeTag::T_OpExpr => {
                let call = &*node.cast::<pg_sys::OpExpr>();
                lookup::comparison(call.opno) == Some(true)
                    && elements::<pg_sys::Node>(call.args)
                        .into_iter()
                        .all(|argument| is_scalar(argument, narrowed))
            }
            _ => false,
        }
    }
}

/// Whether an expression reads none of the relations, or is the one row of a query on them.
///
/// # Safety
/// The expression must be valid.
unsafe fn is_scalar(node: *mut pg_sys::Node, narrowed: &Narrowed) -> bool {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        let node = super::vars::stripped(node);
        if !reads(node, narrowed) {
            return true;
        }
        if !is_a(node, NodeTag::T_SubLink) {
            return false;
        }
        let link = &*node.cast::<pg_sys::SubLink>();
        link.subLinkType == pg_sys::SubLinkType::EXPR_SUBLINK
            && is_monotonic_query(link.subselect.cast(), narrowed)
    }
}

/// # Safety
/// The list must hold valid expressions.
unsafe fn all(list: *mut pg_sys::List, narrowed: &Narrowed) -> bool {
    // SAFETY: as the caller vouches.
    unsafe { elements::<pg_sys::Node>(list).into_iter().all(|node| is_monotonic(node, narrowed)) }
}

/// Whether a query returns no new rows after the relations have lost rows.
///
/// # Safety
/// The query must be valid.
unsafe fn is_monotonic_query(query: *mut pg_sys::Query, narrowed: &Narrowed) -> bool {
    // SAFETY: as the caller vouches; a range table is a list of range table entries.
    unsafe {
        let query = &*query;
        let is_plain = !query.hasAggs
            && !query.hasWindowFuncs
            && !query.hasTargetSRFs
            && query.groupClause.is_null()
            && query.groupingSets.is_null()
            && query.cteList.is_null()
            && query.setOperations.is_null()
            && query.limitCount.is_null()
            && query.limitOffset.is_null();
        if !is_plain || query.jointree.is_null() || reads(query.targetList.cast(), narrowed) {
            return false;
        }
        let entries = elements::<pg_sys::RangeTblEntry>(query.rtable);
        entries.into_iter().all(|entry| match (*entry).rtekind {
            pg_sys::RTEKind::RTE_RELATION => !narrowed.opaque.contains(&(*entry).relid.to_u32()),
            pg_sys::RTEKind::RTE_JOIN => (*entry).jointype == pg_sys::JoinType::JOIN_INNER,
            pg_sys::RTEKind::RTE_SUBQUERY => {
                !reads((*entry).subquery.cast(), narrowed)
                    || is_monotonic_query((*entry).subquery, narrowed)
            }
            _ => !reads((*entry).functions.cast(), narrowed),
        }) && are_monotonic_quals(query.jointree.cast(), narrowed)
    }
}

/// The quals of a join tree.
///
/// # Safety
/// The join tree must be valid.
unsafe fn are_monotonic_quals(node: *mut pg_sys::Node, narrowed: &Narrowed) -> bool {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        match (*node).type_ {
            NodeTag::T_FromExpr => {
                let from = &*node.cast::<pg_sys::FromExpr>();
                is_monotonic(from.quals, narrowed)
                    && elements::<pg_sys::Node>(from.fromlist)
                        .into_iter()
                        .all(|item| are_monotonic_quals(item, narrowed))
            }
            NodeTag::T_JoinExpr => {
                let join = &*node.cast::<pg_sys::JoinExpr>();
                is_monotonic(join.quals, narrowed)
                    && are_monotonic_quals(join.larg, narrowed)
                    && are_monotonic_quals(join.rarg, narrowed)
            }
            _ => true,
        }
    }
}

/// Whether an expression or query reads one of the relations or calls one of the functions.
///
/// # Safety
/// The expression must be valid.
unsafe fn reads(node: *mut pg_sys::Node, narrowed: &Narrowed) -> bool {
    // SAFETY: as the caller vouches; the walk ends before this function.
    unsafe { walk(node, find, (&raw const *narrowed).cast_mut().cast()) }
}

#[pg_guard]
unsafe extern "C-unwind" fn find(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `reads`.
    unsafe {
        let narrowed = &*context.cast::<Narrowed>();
        let is_named = |oid: pg_sys::Oid| {
            narrowed.tables.contains(&oid.to_u32()) || narrowed.opaque.contains(&oid.to_u32())
        };
        match (*node).type_ {
            NodeTag::T_Query => {
                let flags = pg_sys::QTW_EXAMINE_RTES_BEFORE as i32;
                pg_sys::query_tree_walker(node.cast(), Some(find), context, flags)
            }
            NodeTag::T_RangeTblEntry => {
                let entry = &*node.cast::<pg_sys::RangeTblEntry>();
                entry.rtekind == pg_sys::RTEKind::RTE_RELATION && is_named(entry.relid)
            }
            NodeTag::T_FuncExpr if is_named((*node.cast::<pg_sys::FuncExpr>()).funcid) => true,
            NodeTag::T_OpExpr if is_named((*node.cast::<pg_sys::OpExpr>()).opfuncid) => true,
            _ => pg_sys::expression_tree_walker(node, Some(find), context),
        }
    }
}
