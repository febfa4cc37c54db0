//! Removes values from quals that only the caller of a request may know, for reports.

use super::mutate::{copy, mutate};
use super::qual::Qual;
use super::value::text_of;
use super::walk::{changed, walk};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::c_void;

/// A folded qual without the constants that folding added: claims, or results of functions that
/// depend on the caller or on rows. Constants of the qual `before` folding stay, and so does one
/// whose text is `kept`.
pub fn redacted(folded: Qual, before: Qual, kept: Option<&str>) -> Qual {
    let mut shown = Shown { constants: Vec::new(), kept };
    // SAFETY: both are lists of valid expressions, of which copies are changed; the context
    // outlives the walks.
    unsafe {
        for term in before.terms() {
            walk(term.0.cast(), find_constants, (&raw mut shown).cast());
            // The server's own functions compute constants of constants. A function of the
            // application may read rows, even if it is declared IMMUTABLE.
            if !walk(term.0.cast(), calls_user_function, std::ptr::null_mut()) {
                let simple =
                    pg_sys::eval_const_expressions(std::ptr::null_mut(), copy(term.0).cast());
                walk(simple, find_constants, (&raw mut shown).cast());
            }
        }
        Qual(changed(copy(folded.0).cast(), hide, (&raw mut shown).cast()).cast())
    }
}

unsafe extern "C-unwind" fn is_user_function(function: pg_sys::Oid, _: *mut c_void) -> bool {
    function.to_u32() >= pg_sys::FirstNormalObjectId
}

/// Stops at a call of a function that is not the server's own.
#[pg_guard]
unsafe extern "C-unwind" fn calls_user_function(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> bool {
    // SAFETY: the tag says which struct the node is.
    unsafe {
        if node.is_null() {
            return false;
        }
        if is_a(node, NodeTag::T_Query) {
            return pg_sys::query_tree_walker(node.cast(), Some(calls_user_function), context, 0);
        }
        pg_sys::check_functions_in_node(node, Some(is_user_function), context)
            || pg_sys::expression_tree_walker(node, Some(calls_user_function), context)
    }
}

/// The constants that a report may show.
struct Shown<'a> {
    constants: Vec<*mut pg_sys::Const>,
    kept: Option<&'a str>,
}

#[pg_guard]
unsafe extern "C-unwind" fn find_constants(node: *mut pg_sys::Node, shown: *mut c_void) -> bool {
    // SAFETY: the tag says which struct the node is; `shown` is the caller's.
    unsafe {
        if node.is_null() {
            return false;
        }
        if is_a(node, NodeTag::T_Const) {
            (*shown.cast::<Shown<'_>>()).constants.push(node.cast());
            return false;
        }
        if is_a(node, NodeTag::T_Query) {
            return pg_sys::query_tree_walker(node.cast(), Some(find_constants), shown, 0);
        }
        pg_sys::expression_tree_walker(node, Some(find_constants), shown)
    }
}

/// Replaces all other constants by the word "hidden". Booleans and NULL stay.
#[pg_guard]
unsafe extern "C-unwind" fn hide(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the tag says which struct the node is; the context is the caller's; the mutator
    // passes copies of valid nodes.
    unsafe {
        if !is_a(node, NodeTag::T_Const) {
            return mutate(node, hide, context);
        }
        let shown = &*context.cast::<Shown<'_>>();
        let constant = &*node.cast::<pg_sys::Const>();
        let is_shown = constant.constisnull
            || constant.consttype == pg_sys::BOOLOID
            || shown.constants.iter().any(|other| pg_sys::equal(node.cast(), (*other).cast()))
            || text_of(constant.consttype, constant.constvalue).as_str()
                == shown.kept.unwrap_or_default();
        if is_shown {
            return node;
        }
        let word = pg_sys::pstrdup(c"hidden".as_ptr());
        pg_sys::makeConst(pg_sys::UNKNOWNOID, -1, pg_sys::InvalidOid, -2, word.into(), false, false)
            .cast()
    }
}
