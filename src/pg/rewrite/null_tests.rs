//! Tests for NULL on columns that are NOT NULL.

use super::mutate::mutate;
use super::policy_expr::Expression;
use super::walk::changed;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::c_void;

impl Expression {
    /// The expression with `column IS [NOT] NULL` replaced by its value, for columns that are NOT
    /// NULL. The planner of PostgreSQL 15 and 16 evaluates these tests for each row.
    pub fn without_null_tests(self, not_null: &[i16]) -> Self {
        let mut columns = not_null;
        // SAFETY: works on a copy of a valid expression; the context outlives the mutation.
        unsafe {
            let copy = pg_sys::copyObjectImpl(self.0.cast());
            Self(changed(copy.cast(), replace_null_test, (&raw mut columns).cast()))
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn replace_null_test(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `without_null_tests`.
    unsafe {
        let not_null = *context.cast::<&[i16]>();
        if is_a(node, NodeTag::T_NullTest) {
            let test = &*node.cast::<pg_sys::NullTest>();
            if !test.argisrow && is_a(test.arg.cast(), NodeTag::T_Var) {
                let var = &*test.arg.cast::<pg_sys::Var>();
                if var.varno == 1 && var.varlevelsup == 0 && not_null.contains(&var.varattno) {
                    let is_true = test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL;
                    return pg_sys::makeBoolConst(is_true, false);
                }
            }
        }
        mutate(node, replace_null_test, context)
    }
}
