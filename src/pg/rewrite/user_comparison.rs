//! Comparisons of a row with the user id, and new values for the expressions compared.

use super::mutate::{copy, mutate};
use super::qual::Qual;
use super::walk::changed;
use crate::pg::cstring::c_string;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

/// How policies compare the rows of a table with the user id.
#[derive(Debug, Default, Clone)]
pub struct UserComparisons {
    /// Columns that are equal to the user id.
    pub columns: BTreeSet<i16>,
    /// Array columns that contain the user id.
    pub lists: BTreeSet<i16>,
    /// Expressions that are equal to the user id: the only column that each reads, and its
    /// pg_node_tree.
    pub expressions: BTreeSet<(i16, String)>,
    /// Columns in other conditions on the user id, such as `name LIKE auth.uid() || '/%'`.
    pub others: BTreeSet<i16>,
}

impl UserComparisons {
    /// Adds the comparisons of another clause.
    pub fn merge(&mut self, other: &Self) {
        self.columns.extend(&other.columns);
        self.lists.extend(&other.lists);
        self.expressions.extend(other.expressions.iter().cloned());
        self.others.extend(&other.others);
    }

    /// Adds the comparisons of the same clause after inlining. Its expressions have changed, so
    /// they count only if the clause has none before.
    pub fn merge_inlined(&mut self, inlined: Self) {
        let is_new = self.expressions.is_empty();
        self.columns.extend(inlined.columns);
        self.lists.extend(inlined.lists);
        self.others.extend(inlined.others);
        if is_new {
            self.expressions = inlined.expressions;
        }
    }
}

/// The SQL and the type of an expression on a table, whose rows have the alias `t`. `tree` is the
/// text of a pg_node_tree.
pub fn deparsed_on_alias(tree: &str, table: pg_sys::Oid) -> (String, pg_sys::Oid) {
    let tree = c_string(tree);
    // SAFETY: a valid expression on the table; the result is a NUL-terminated text and is copied.
    unsafe {
        let node: *mut pg_sys::Node = pg_sys::stringToNode(tree.as_ptr()).cast();
        let context = pg_sys::deparse_context_for(c"t".as_ptr(), table);
        let text = pg_sys::deparse_expression(node, context, true, false);
        let sql = CStr::from_ptr(text).to_string_lossy().into_owned();
        (format!("({sql})"), pg_sys::exprType(node))
    }
}

struct Replacement {
    expression: *mut pg_sys::Node,
    constant: *mut pg_sys::Node,
}

impl Qual {
    /// The qual with a constant in place of an expression, which is the text of a pg_node_tree.
    /// Sub-queries keep it.
    pub fn substitute_expression(
        self,
        tree: &str,
        type_: pg_sys::Oid,
        value: pg_sys::Datum,
    ) -> Self {
        let tree = c_string(tree);
        // SAFETY: makes a constant of the type, and changes a copy of valid expressions.
        unsafe {
            let (mut length, mut by_value) = (0, false);
            pg_sys::get_typlenbyval(type_, &mut length, &mut by_value);
            let collation = pg_sys::get_typcollation(type_);
            let constant =
                pg_sys::makeConst(type_, -1, collation, length.into(), value, false, by_value);
            let mut replacement = Replacement {
                expression: pg_sys::stringToNode(tree.as_ptr()).cast(),
                constant: constant.cast(),
            };
            let list = copy(self.0);
            let context = (&raw mut replacement).cast();
            Self(changed(list.cast(), replace_expression, context).cast())
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn replace_expression(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the context is that of `substitute_expression`; the mutator passes valid nodes.
    unsafe {
        let replacement = &*context.cast::<Replacement>();
        if pg_sys::equal(node.cast(), replacement.expression.cast()) {
            return pg_sys::copyObjectImpl(replacement.constant.cast()).cast();
        }
        // A sub-query counts the levels of its columns from inside.
        if is_a(node, NodeTag::T_Query) {
            return node;
        }
        mutate(node, replace_expression, context)
    }
}
