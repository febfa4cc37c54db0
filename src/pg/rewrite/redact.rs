//! Conditions as reports may show them: without what was put in that only who asks should know.

use super::qual::{Qual, copy, mutate, text_of};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::c_void;

impl Qual {
    /// It with no other constants than `before` had, from which it was folded: those that folding puts in are claims, or what functions know
    /// of who asks. `kept`, as a text, stays.
    pub fn without_values(self, before: Self, kept: Option<&str>) -> Self {
        let mut known = Known { constants: Vec::new(), kept };
        // SAFETY: both are lists of valid expressions, of which copies are changed; the context outlives the walks.
        unsafe {
            let simple = pg_sys::eval_const_expressions(std::ptr::null_mut(), copy(before.0).cast());
            for list in [before.0.cast(), simple] {
                find_constants(list, (&raw mut known).cast());
            }
            Self(hide(copy(self.0).cast(), (&raw mut known).cast()).cast())
        }
    }
}

/// The constants that may be shown.
struct Known<'a> {
    constants: Vec<*mut pg_sys::Const>,
    kept: Option<&'a str>,
}

#[pg_guard]
unsafe extern "C-unwind" fn find_constants(node: *mut pg_sys::Node, known: *mut c_void) -> bool {
    // SAFETY: the tag says which struct the node is; `known` is the caller's.
    unsafe {
        if node.is_null() {
            return false;
        }
        if is_a(node, NodeTag::T_Const) {
            (*known.cast::<Known<'_>>()).constants.push(node.cast());
            return false;
        }
        if is_a(node, NodeTag::T_Query) {
            return pg_sys::query_tree_walker(node.cast(), Some(find_constants), known, 0);
        }
        pg_sys::expression_tree_walker(node, Some(find_constants), known)
    }
}

/// Puts the word "hidden" in the place of constants that are not known.
#[pg_guard]
unsafe extern "C-unwind" fn hide(node: *mut pg_sys::Node, context: *mut c_void) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the tag says which struct the node is; the context is the caller's; the mutator hands on copies of valid nodes.
    unsafe {
        if !is_a(node, NodeTag::T_Const) {
            return mutate(node, hide, context);
        }
        let known = &*context.cast::<Known<'_>>();
        let constant = &*node.cast::<pg_sys::Const>();
        let is_shown = constant.constisnull
            || constant.consttype == pg_sys::BOOLOID
            || known.constants.iter().any(|other| pg_sys::equal(node.cast(), (*other).cast()))
            || text_of(constant.consttype, constant.constvalue).as_str() == known.kept.unwrap_or_default();
        if is_shown {
            return node;
        }
        let word = pg_sys::pstrdup(c"hidden".as_ptr());
        pg_sys::makeConst(pg_sys::UNKNOWNOID, -1, pg_sys::InvalidOid, -2, word.into(), false, false).cast()
    }
}
