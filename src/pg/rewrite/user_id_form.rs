//! Finds the conditions of a policy expression that compare the row with the user id.

use super::list::elements;
use super::policy_expr::{
    IdentitySources, Walk, is_current_setting, is_identity, is_user_id, operator_name, stripped,
};
use super::vars::columns_of;
use super::walk::walk;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

/// How an expression depends on the user id.
enum IdForm {
    /// The id itself, perhaps cast.
    Plain,
    /// Computed from the id, such as `'users/' || auth.uid()`.
    Derived,
    /// Read from a table by the id, such as the team of the user.
    LookedUp,
}

/// Whether an expression takes a part out of a column. Another one, such as
/// `coalesce(owner, auth.uid())`, may equal the user id in a row that names no user.
///
/// # Safety
/// The expression must be valid.
unsafe fn is_extraction(node: *mut pg_sys::Node, identity: &IdentitySources<'_>) -> bool {
    let mut search = ExtractionSearch { identity, is_other: false };
    // SAFETY: as the caller vouches; the context outlives the walk.
    unsafe { walk(node, find_other_form, (&raw mut search).cast()) };
    !search.is_other
}

struct ExtractionSearch<'a> {
    identity: &'a IdentitySources<'a>,
    is_other: bool,
}

#[pg_guard]
unsafe extern "C-unwind" fn find_other_form(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `is_extraction`.
    unsafe {
        let search = &mut *context.cast::<ExtractionSearch<'_>>();
        search.is_other |= match (*node).type_ {
            NodeTag::T_Var
            | NodeTag::T_Const
            | NodeTag::T_OpExpr
            | NodeTag::T_RelabelType
            | NodeTag::T_CoerceViaIO
            | NodeTag::T_ArrayCoerceExpr
            | NodeTag::T_ArrayExpr
            | NodeTag::T_CoerceToDomain
            | NodeTag::T_CollateExpr
            | NodeTag::T_SubscriptingRef
            | NodeTag::T_List => false,
            NodeTag::T_FuncExpr => {
                let function = (*node.cast::<pg_sys::FuncExpr>()).funcid;
                search.identity.functions.contains(&function) || is_current_setting(function)
            }
            _ => true,
        };
        search.is_other || pg_sys::expression_tree_walker(node, Some(find_other_form), context)
    }
}

struct FormSearch<'a> {
    identity: &'a IdentitySources<'a>,
    is_derived: bool,
    is_looked_up: bool,
}

/// The form of an expression that contains the user id.
///
/// # Safety
/// The expression must be valid.
unsafe fn id_form(node: *mut pg_sys::Node, identity: &IdentitySources<'_>) -> IdForm {
    let mut search = FormSearch { identity, is_derived: false, is_looked_up: false };
    // SAFETY: as the caller vouches; the context outlives the walk.
    unsafe { walk(node, find_form, (&raw mut search).cast()) };
    match search {
        FormSearch { is_looked_up: true, .. } => IdForm::LookedUp,
        FormSearch { is_derived: true, .. } => IdForm::Derived,
        _ => IdForm::Plain,
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn find_form(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the search of `id_form`.
    unsafe {
        let search = &mut *context.cast::<FormSearch<'_>>();
        match (*node).type_ {
            NodeTag::T_OpExpr => {
                let name = operator_name((*node.cast::<pg_sys::OpExpr>()).opno);
                search.is_derived |= !["->", "->>", "#>", "#>>"].contains(&name.as_str());
            }
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                let is_cast = call.funcformat != pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
                let is_plain = is_cast
                    || search.identity.functions.contains(&call.funcid)
                    || is_current_setting(call.funcid)
                    || is_conversion(call.funcid);
                search.is_derived |= !is_plain;
            }
            NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                search.is_looked_up |= elements::<pg_sys::RangeTblEntry>((*query).rtable)
                    .into_iter()
                    .any(|table| (*table).rtekind == pg_sys::RTEKind::RTE_RELATION);
                return pg_sys::query_tree_walker(query, Some(find_form), context, 0);
            }
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(find_form), context)
    }
}

impl Walk<'_> {
    /// The number of a column of the policy's table.
    ///
    /// # Safety
    /// The expression must be valid.
    pub(super) unsafe fn column(&self, node: *mut pg_sys::Node) -> Option<i16> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            let var = is_a(node, NodeTag::T_Var).then(|| &*node.cast::<pg_sys::Var>())?;
            let is_of_table = var.varlevelsup == self.level && var.varno == 1 && var.varattno > 0;
            is_of_table.then_some(var.varattno)
        }
    }

    /// The columns of the policy's table that an expression reads.
    ///
    /// # Safety
    /// The expression must be valid.
    pub(super) unsafe fn columns_in(&self, node: *mut pg_sys::Node) -> BTreeSet<i16> {
        // SAFETY: as the caller vouches.
        unsafe { columns_of(node, self.level) }.unwrap_or_default()
    }

    /// Records the equality of an expression on the row with an identity.
    ///
    /// # Safety
    /// Both must be valid expressions.
    pub(super) unsafe fn compare(&mut self, one: *mut pg_sys::Node, identity: *mut pg_sys::Node) {
        // SAFETY: as the caller vouches.
        unsafe {
            if !is_user_id(identity, self.identity) {
                return;
            }
            let columns: Vec<i16> = self.columns_in(one).into_iter().collect();
            match (id_form(identity, self.identity), self.column(one), columns.as_slice()) {
                (IdForm::LookedUp, ..) | (_, _, []) => {}
                (IdForm::Plain, Some(column), _) => {
                    self.facts.user.columns.insert(column);
                }
                (IdForm::Plain, None, [column])
                    if self.level == 0
                        && is_extraction(one, self.identity)
                        && !pg_sys::contain_volatile_functions(one) =>
                {
                    let tree = pg_sys::nodeToString(one.cast());
                    let tree = CStr::from_ptr(tree).to_string_lossy().into_owned();
                    self.facts.user.expressions.insert((*column, tree));
                }
                (_, _, columns) => self.facts.user.others.extend(columns),
            }
        }
    }

    /// Records that a list of the row is searched for the user id.
    ///
    /// # Safety
    /// Both must be valid expressions.
    pub(super) unsafe fn list(&mut self, list: *mut pg_sys::Node, identity: *mut pg_sys::Node) {
        // SAFETY: as the caller vouches.
        unsafe {
            if !is_identity(identity, self.identity) || !is_user_id(identity, self.identity) {
                return;
            }
            let column = self.column(stripped(list)).filter(|_| {
                let type_ = pg_sys::exprType(stripped(list));
                pg_sys::get_element_type(type_) != pg_sys::InvalidOid
            });
            match (id_form(identity, self.identity), column) {
                (IdForm::LookedUp, _) => {}
                (IdForm::Plain, Some(column)) => {
                    self.facts.user.lists.insert(column);
                }
                _ => self.facts.user.others.extend(self.columns_in(list)),
            }
        }
    }

    /// Records that a function of the server looks for the user id in a list or text of the row.
    ///
    /// # Safety
    /// Both must be valid expressions.
    pub(super) unsafe fn function(&mut self, one: *mut pg_sys::Node, identity: *mut pg_sys::Node) {
        // SAFETY: as the caller vouches.
        unsafe {
            if !self.columns_in(one).is_empty() {
                self.list(one, identity);
            }
        }
    }
}

/// Whether a function of the server only changes the type or the case of a value.
fn is_conversion(function: pg_sys::Oid) -> bool {
    if function.to_u32() >= pg_sys::FirstNormalObjectId {
        return false;
    }
    // SAFETY: NULL for an unknown function, else a NUL-terminated copy.
    unsafe {
        let name = pg_sys::get_func_name(function);
        !name.is_null()
            && ["to_jsonb", "to_json", "lower", "text", "uuid"]
                .contains(&CStr::from_ptr(name).to_string_lossy().as_ref())
    }
}
