//! The columns of a row that an expression reads.

use super::walk::walk;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::c_void;

/// Whether an expression reads no column of the row.
///
/// # Safety
/// The expression must be valid.
pub(crate) unsafe fn is_fixed(node: *mut pg_sys::Node) -> bool {
    // SAFETY: as the caller vouches.
    unsafe { columns_of(node, 0).is_some_and(|columns| columns.is_empty()) }
}

/// The expression without relabelling and I/O casts around it.
///
/// # Safety
/// The expression must be valid.
pub(crate) unsafe fn stripped(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        loop {
            node = match (*node).type_ {
                NodeTag::T_RelabelType => (*node.cast::<pg_sys::RelabelType>()).arg.cast(),
                NodeTag::T_CoerceViaIO => (*node.cast::<pg_sys::CoerceViaIO>()).arg.cast(),
                _ => return node,
            };
        }
    }
}

struct Columns {
    level: u32,
    found: BTreeSet<i16>,
}

/// The columns of the row `level` queries up that an expression or its sub-queries read; `None` if
/// there is a whole-row reference or a system column.
///
/// # Safety
/// The expression must be valid.
pub(crate) unsafe fn columns_of(node: *mut pg_sys::Node, level: u32) -> Option<BTreeSet<i16>> {
    let mut columns = Columns { level, found: BTreeSet::new() };
    // SAFETY: as the caller vouches; the walk ends before the columns are read.
    unsafe {
        if !node.is_null() && is_a(node, NodeTag::T_Query) {
            pg_sys::query_tree_walker(
                node.cast(),
                Some(find_columns),
                (&raw mut columns).cast(),
                0,
            );
        } else {
            walk(node, find_columns, (&raw mut columns).cast());
        }
    }
    (!columns.found.iter().any(|number| *number <= 0)).then_some(columns.found)
}

#[pg_guard]
unsafe extern "C-unwind" fn find_columns(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `columns_of`.
    unsafe {
        let columns = &mut *context.cast::<Columns>();
        match (*node).type_ {
            NodeTag::T_Var => {
                let var = &*node.cast::<pg_sys::Var>();
                if var.varno == 1 && var.varlevelsup == columns.level {
                    columns.found.insert(var.varattno);
                }
                false
            }
            NodeTag::T_Query => {
                columns.level += 1;
                let stop = pg_sys::query_tree_walker(node.cast(), Some(find_columns), context, 0);
                (*context.cast::<Columns>()).level -= 1;
                stop
            }
            _ => pg_sys::expression_tree_walker(node, Some(find_columns), context),
        }
    }
}
