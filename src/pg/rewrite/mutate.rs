//! Copies of expression trees with replaced nodes.

use super::list::elements;
use super::walk::{Mutator, changed};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::c_void;

copied_for!("pg15" "pg16" "pg17" "pg18": "the tree mutators of nodes/nodeFuncs.h");

// pgrx declares the callback without arguments for 15; from 16 on the symbol has another name.
unsafe extern "C-unwind" {
    #[cfg_attr(not(feature = "pg15"), link_name = "expression_tree_mutator_impl")]
    fn expression_tree_mutator(
        node: *mut pg_sys::Node,
        mutator: Mutator,
        context: *mut c_void,
    ) -> *mut pg_sys::Node;
    #[cfg_attr(not(feature = "pg15"), link_name = "query_tree_mutator_impl")]
    fn query_tree_mutator(
        query: *mut pg_sys::Query,
        mutator: Mutator,
        context: *mut c_void,
        flags: std::ffi::c_int,
    ) -> *mut pg_sys::Query;
}

/// # Safety
/// The list must be NIL or a list of nodes.
pub(crate) unsafe fn copy(list: *mut pg_sys::List) -> *mut pg_sys::List {
    if list.is_null() {
        return list;
    }
    // SAFETY: as the caller vouches.
    unsafe { pg_sys::copyObjectImpl(list.cast()).cast() }
}

/// Replaces `(SELECT f())` by `f()`. Policies write the former for one call a statement, but
/// constant folding does not descend into a SubLink.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn inline_scalar_select(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the tag says which struct the node is; the mutator passes copies of valid nodes.
    unsafe {
        if is_a(node, NodeTag::T_SubLink)
            && let Some(expression) = scalar_without_from(node.cast())
        {
            return changed(expression, inline_scalar_select, context);
        }
        mutate(node, inline_scalar_select, context)
    }
}

/// The server's expression_tree_mutator() within a guard: its errors, such as a stack that is too
/// deep, must unwind the Rust frames of the mutator.
///
/// # Safety
/// The node must be valid, and the context the mutator's.
pub(crate) unsafe fn mutate(
    node: *mut pg_sys::Node,
    mutator: Mutator,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    // SAFETY: as the caller vouches.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| expression_tree_mutator(node, mutator, context))
    }
}

/// The server's query_tree_mutator() within a guard, as [`mutate`]. The result is a copy.
///
/// # Safety
/// The query must be valid, and the context the mutator's.
pub(crate) unsafe fn mutate_query(
    query: *mut pg_sys::Query,
    mutator: Mutator,
    context: *mut c_void,
) -> *mut pg_sys::Query {
    // SAFETY: as the caller vouches.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| query_tree_mutator(query, mutator, context, 0)) }
}

/// The result expression of a scalar sub-query that has no FROM and no outer references.
///
/// # Safety
/// The node must be valid.
pub(super) unsafe fn scalar_without_from(link: *mut pg_sys::SubLink) -> Option<*mut pg_sys::Node> {
    // SAFETY: as the caller vouches; a target list holds target entries.
    unsafe {
        if (*link).subLinkType != pg_sys::SubLinkType::EXPR_SUBLINK
            || !is_a((*link).subselect, NodeTag::T_Query)
        {
            return None;
        }
        let query = &*(*link).subselect.cast::<pg_sys::Query>();
        let from = query.jointree.as_ref()?;
        let is_plain = query.commandType == pg_sys::CmdType::CMD_SELECT
            && query.rtable.is_null()
            && from.fromlist.is_null()
            && from.quals.is_null()
            && !query.hasAggs
            && !query.hasTargetSRFs
            && query.cteList.is_null()
            && query.limitCount.is_null()
            && query.limitOffset.is_null()
            && query.setOperations.is_null();
        let targets = elements::<pg_sys::TargetEntry>(query.targetList);
        let [target] = targets.as_slice() else { return None };
        let expression: *mut pg_sys::Node = (**target).expr.cast();
        (is_plain && !(1..8).any(|level| pg_sys::contain_vars_of_level(expression, level)))
            .then_some(expression)
    }
}
