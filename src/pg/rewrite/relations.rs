//! The tables that the sub-queries of an expression read.

use super::list::elements;
use super::qual::Qual;
use super::walk::walk;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::c_void;

/// The tables that the sub-queries of a qual read.
pub fn relations(qual: Qual) -> BTreeSet<u32> {
    // SAFETY: a list of valid expressions.
    unsafe { relations_of(qual.0.cast()) }
}

/// The tables that the queries of an expression read.
///
/// # Safety
/// The node must be valid.
pub(crate) unsafe fn relations_of(node: *mut pg_sys::Node) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    // SAFETY: as the caller vouches; the walk ends before the result is read.
    unsafe { walk(node, find_relations, (&raw mut found).cast()) };
    found
}

#[pg_guard]
unsafe extern "C-unwind" fn find_relations(node: *mut pg_sys::Node, found: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `relations_of`.
    unsafe {
        if is_a(node, NodeTag::T_Query) {
            let query = node.cast::<pg_sys::Query>();
            for entry in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
                if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION {
                    (*found.cast::<BTreeSet<u32>>()).insert((*entry).relid.to_u32());
                }
            }
            return pg_sys::query_tree_walker(query, Some(find_relations), found, 0);
        }
        pg_sys::expression_tree_walker(node, Some(find_relations), found)
    }
}
