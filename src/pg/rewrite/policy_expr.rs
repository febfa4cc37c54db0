//! Facts about a policy expression: columns, functions, relations and identities that it uses.

use super::list::elements;
use super::user_comparison::UserComparisons;
use super::value::text_of;
use super::walk;
use super::walk::walk;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{IntoDatum, is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

/// Functions and settings that return the identity of a request.
pub struct IdentitySources<'a> {
    /// Functions, as listed in crewsnow_ops.identity_functions; the first returns the user id.
    pub functions: &'a [pg_sys::Oid],
    /// Settings that carry claims.
    pub settings: &'a [String],
    /// The settings among them that carry the user id.
    pub ids: &'a [String],
    /// Each setting with the claim that it carries; `*` is all claims.
    pub claims: &'a [(String, String)],
}

/// Facts found in an expression.
#[derive(Debug, Default, Clone)]
pub struct ExprFacts {
    /// Columns of the policy's table (`attnum`).
    pub columns: BTreeSet<i16>,
    /// Oids of called functions.
    pub functions: BTreeSet<u32>,
    /// Oids of applied operators.
    pub operators: BTreeSet<u32>,
    /// Number of calls of identity functions.
    pub identity_calls: i32,
    /// Number of these calls that run for each row, because no scalar sub-query wraps them.
    pub unwrapped_identity_calls: i32,
    /// Oids of relations read in sub-queries.
    pub relations: BTreeSet<u32>,
    /// Oids of relations read in uncorrelated sub-queries.
    pub uncorrelated_relations: BTreeSet<u32>,
    /// Constants used as keys into claims.
    pub claim_keys: BTreeSet<String>,
    /// Constant arguments of current_setting().
    pub settings: BTreeSet<String>,
    /// Whether it reads current_user, session_user or a synonym.
    pub uses_session_user: bool,
    /// Whether it reads the time.
    pub reads_time: bool,
    /// Whether it reads the login role, an address, a port or the process id, which differ between
    /// a request and an audit.
    pub reads_connection: bool,
    /// Constants that an identity is compared with.
    pub literal_identities: BTreeSet<String>,
    /// Columns that are compared with an identity for equality.
    pub owner_columns: BTreeSet<i16>,
    /// How the expression compares the row with the user id.
    pub user: UserComparisons,
    /// Whether it calls a VOLATILE function.
    pub is_volatile: bool,
}

pub(super) struct Walk<'a> {
    pub(super) identity: &'a IdentitySources<'a>,
    pub(super) facts: &'a mut ExprFacts,
    /// Nesting depth of queries.
    pub(super) level: u32,
    /// Inside an uncorrelated scalar sub-query, which runs once a statement.
    is_once: bool,
    /// Inside an uncorrelated sub-query.
    is_uncorrelated: bool,
}

/// A policy expression on the first entry of its range table. Lives in the memory context that was
/// current when it was parsed.
#[derive(Clone, Copy)]
pub struct Expression(pub(super) *mut pg_sys::Node);

impl Expression {
    /// Parses the text of a pg_node_tree.
    pub fn parse(tree: &CStr) -> Self {
        // SAFETY: a NUL-terminated text; the server raises for anything that is not a node.
        Self(unsafe { pg_sys::stringToNode(tree.as_ptr()).cast() })
    }

    /// Adds the facts of the expression to `facts`.
    pub fn collect(self, identity: &IdentitySources<'_>, facts: &mut ExprFacts) {
        let mut context =
            Walk { identity, facts, level: 0, is_once: false, is_uncorrelated: false };
        // SAFETY: a valid expression; the context outlives the walk.
        unsafe {
            walk(self.0, collect_facts, (&raw mut context).cast());
            facts.is_volatile |= pg_sys::contain_volatile_functions(self.0);
        }
    }

    /// The expression with constants propagated and SQL functions inlined, as the planner does.
    /// Runs IMMUTABLE functions: call it with the privileges of a client.
    pub fn simplified(self) -> Self {
        // SAFETY: works on a copy of a valid expression.
        unsafe {
            let copy = pg_sys::copyObjectImpl(self.0.cast());
            Self(pg_sys::eval_const_expressions(std::ptr::null_mut(), copy.cast()))
        }
    }

    /// The value, if the expression is a boolean constant; `Some(None)` is NULL.
    pub fn constant(self) -> Option<Option<bool>> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            if !is_a(self.0, NodeTag::T_Const) {
                return None;
            }
            let constant = &*self.0.cast::<pg_sys::Const>();
            Some((!constant.constisnull).then(|| constant.constvalue.value() != 0))
        }
    }
}

/// The SQL of a pg_node_tree on a relation, by pg_get_expr().
pub fn deparsed(tree: &str, relation: pg_sys::Oid) -> String {
    let arguments = [tree.into_datum(), relation.into_datum()];
    // SAFETY: the function takes a text and an oid, and returns a text or NULL.
    unsafe { pgrx::direct_function_call::<String>(pg_sys::pg_get_expr, &arguments) }
        .unwrap_or_default()
}

#[pg_guard]
unsafe extern "C-unwind" fn collect_facts(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the walk of `collect`.
    unsafe {
        let walk = &mut *context.cast::<Walk<'_>>();
        match (*node).type_ {
            NodeTag::T_Var => {
                let var = &*node.cast::<pg_sys::Var>();
                if var.varlevelsup == walk.level && var.varno == 1 {
                    walk.facts.columns.insert(var.varattno);
                }
                return false;
            }
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                walk.facts.functions.insert(call.funcid.to_u32());
                // Fixed oids of now(), transaction_timestamp() and statement_timestamp().
                walk.facts.reads_time |= [1299, 2647, 2648].contains(&call.funcid.to_u32());
                // Fixed oids of inet_client_addr(), inet_client_port(), inet_server_addr(),
                // inet_server_port() and pg_backend_pid().
                walk.facts.reads_connection |=
                    [2196, 2197, 2198, 2199, 2026].contains(&call.funcid.to_u32());
                if walk.identity.functions.contains(&call.funcid) {
                    walk.facts.identity_calls += 1;
                    walk.facts.unwrapped_identity_calls += i32::from(!walk.is_once);
                }
                if is_current_setting(call.funcid)
                    && let Some(setting) =
                        elements(call.args).first().and_then(|argument| text(*argument))
                {
                    walk.facts.settings.insert(setting);
                }
                if call.funcid.to_u32() < pg_sys::FirstNormalObjectId
                    && let [left, right] = elements::<pg_sys::Node>(call.args).as_slice()
                {
                    walk.function(*left, *right);
                }
            }
            NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                let call = &*node.cast::<pg_sys::OpExpr>();
                walk.facts.operators.insert(call.opno.to_u32());
                // The comparison of a NULLIF removes a value and does not require it.
                if let ([left, right], false) = (
                    elements::<pg_sys::Node>(call.args).as_slice(),
                    is_a(node, NodeTag::T_NullIfExpr),
                ) {
                    walk.operator(call.opno, *left, *right);
                }
            }
            NodeTag::T_ScalarArrayOpExpr => {
                let call = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                walk.facts.operators.insert(call.opno.to_u32());
                if let [left, right] = elements::<pg_sys::Node>(call.args).as_slice() {
                    let list = stripped(*right);
                    let members = match is_a(list, NodeTag::T_ArrayExpr) {
                        true => elements((*list.cast::<pg_sys::ArrayExpr>()).elements),
                        false => vec![list],
                    };
                    for member in members {
                        walk.operator(call.opno, *left, member);
                    }
                    if !is_a(list, NodeTag::T_ArrayExpr) {
                        walk.list(*right, *left);
                    }
                }
            }
            NodeTag::T_SQLValueFunction => {
                use pg_sys::SQLValueFunctionOp::*;
                let op = (*node.cast::<pg_sys::SQLValueFunction>()).op;
                walk.facts.reads_time |= matches!(op, SVFOP_CURRENT_DATE..=SVFOP_LOCALTIMESTAMP_N);
                walk.facts.reads_connection |= op == SVFOP_SESSION_USER;
                walk.facts.uses_session_user |= matches!(
                    op,
                    SVFOP_CURRENT_ROLE | SVFOP_CURRENT_USER | SVFOP_USER | SVFOP_SESSION_USER
                );
            }
            NodeTag::T_SubLink => {
                let link = &*node.cast::<pg_sys::SubLink>();
                walk::walk(link.testexpr, collect_facts, context);
                let walk = &mut *context.cast::<Walk<'_>>();
                let is_correlated = has_outer_references(link.subselect, walk.level + 1)
                    || (!link.testexpr.is_null()
                        && pg_sys::contain_vars_of_level(link.testexpr, walk.level as i32));
                let before = (walk.is_once, walk.is_uncorrelated);
                walk.is_uncorrelated |= !is_correlated;
                walk.is_once |=
                    !is_correlated && link.subLinkType == pg_sys::SubLinkType::EXPR_SUBLINK;
                walk::walk(link.subselect, collect_facts, context);
                let walk = &mut *context.cast::<Walk<'_>>();
                (walk.is_once, walk.is_uncorrelated) = before;
                return false;
            }
            NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                for table in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
                    if (*table).rtekind == pg_sys::RTEKind::RTE_RELATION {
                        walk.facts.relations.insert((*table).relid.to_u32());
                        if walk.is_uncorrelated {
                            walk.facts.uncorrelated_relations.insert((*table).relid.to_u32());
                        }
                    }
                }
                walk.level += 1;
                pg_sys::query_tree_walker(query, Some(collect_facts), context, 0);
                (*context.cast::<Walk<'_>>()).level -= 1;
                return false;
            }
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(collect_facts), context)
    }
}

impl Walk<'_> {
    /// # Safety
    /// Both must be valid expressions.
    unsafe fn operator(
        &mut self,
        operator: pg_sys::Oid,
        left: *mut pg_sys::Node,
        right: *mut pg_sys::Node,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            match operator_name(operator).as_str() {
                "->" | "->>" | "#>" | "#>>" if is_identity(left, self.identity) => {
                    self.facts.claim_keys.extend(text(stripped(right)));
                }
                "=" => {
                    for (one, other) in [(left, right), (right, left)] {
                        if !is_identity(other, self.identity) {
                            continue;
                        }
                        let inner = stripped(one);
                        if is_a(inner, NodeTag::T_Const) {
                            self.facts.literal_identities.extend(constant_text(inner.cast()));
                        } else if let Some(column) = self.column(inner) {
                            self.facts.owner_columns.insert(column);
                        }
                        self.compare(inner, other);
                    }
                }
                "@>" | "<@" | "&&" => {
                    self.list(left, right);
                    self.list(right, left);
                }
                "~~" | "~~*" | "~" | "~*" | "^@" | "?" | "?|" => {
                    for (one, other) in [(left, right), (right, left)] {
                        if is_identity(other, self.identity) && is_user_id(other, self.identity) {
                            self.facts.user.others.extend(self.columns_in(one));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

pub(super) fn is_current_setting(function: pg_sys::Oid) -> bool {
    // Fixed oids of current_setting(text) and current_setting(text, boolean).
    [2077, 3294].contains(&function.to_u32())
}

pub(super) fn operator_name(operator: pg_sys::Oid) -> String {
    // SAFETY: NULL for an unknown operator, else a NUL-terminated copy.
    unsafe {
        let name = pg_sys::get_opname(operator);
        if name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

/// The expression without the casts around it, explicit and implicit ones.
///
/// # Safety
/// The expression must be valid.
pub(super) unsafe fn stripped(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        while !node.is_null() {
            node = match (*node).type_ {
                NodeTag::T_RelabelType => (*node.cast::<pg_sys::RelabelType>()).arg.cast(),
                NodeTag::T_CoerceViaIO => (*node.cast::<pg_sys::CoerceViaIO>()).arg.cast(),
                NodeTag::T_ArrayCoerceExpr => (*node.cast::<pg_sys::ArrayCoerceExpr>()).arg.cast(),
                NodeTag::T_CoerceToDomain => (*node.cast::<pg_sys::CoerceToDomain>()).arg.cast(),
                NodeTag::T_FuncExpr => {
                    let call = &*node.cast::<pg_sys::FuncExpr>();
                    let is_cast = call.funcformat == pg_sys::CoercionForm::COERCE_EXPLICIT_CAST
                        || call.funcformat == pg_sys::CoercionForm::COERCE_IMPLICIT_CAST;
                    match elements(call.args).as_slice() {
                        [argument, ..] if is_cast => *argument,
                        _ => return node,
                    }
                }
                _ => return node,
            };
        }
    }
    node
}

/// Whether an expression calls an identity function or reads a setting with claims, and reads no
/// row.
///
/// # Safety
/// The expression must be valid.
pub(super) unsafe fn is_identity(node: *mut pg_sys::Node, identity: &IdentitySources<'_>) -> bool {
    let mut search = Search { identity, found: false };
    // SAFETY: as the caller vouches.
    unsafe {
        walk(node, find_identity, (&raw mut search).cast());
        search.found && !pg_sys::contain_var_clause(node)
    }
}

/// Whether an identity expression is the user id: by the first identity function, a setting that
/// carries the id, or the claim `sub`.
///
/// # Safety
/// The expression must be valid.
pub(super) unsafe fn is_user_id(node: *mut pg_sys::Node, identity: &IdentitySources<'_>) -> bool {
    let mut search = Search { identity, found: false };
    // SAFETY: as the caller vouches.
    unsafe { walk(node, find_user_id, (&raw mut search).cast()) };
    search.found
}

struct Search<'a> {
    identity: &'a IdentitySources<'a>,
    found: bool,
}

#[pg_guard]
unsafe extern "C-unwind" fn find_user_id(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the search of `is_user_id`.
    unsafe {
        let search = &mut *context.cast::<Search<'_>>();
        search.found |= match (*node).type_ {
            NodeTag::T_FuncExpr => {
                search.identity.functions.first()
                    == Some(&(*node.cast::<pg_sys::FuncExpr>()).funcid)
            }
            NodeTag::T_Const => constant_text(node.cast()).is_some_and(|text| {
                text == "sub" || search.identity.ids.iter().any(|id| text.eq_ignore_ascii_case(id))
            }),
            NodeTag::T_Query => {
                return pg_sys::query_tree_walker(node.cast(), Some(find_user_id), context, 0);
            }
            _ => false,
        };
        search.found || pg_sys::expression_tree_walker(node, Some(find_user_id), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn find_identity(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the search of `is_identity`.
    unsafe {
        let search = &mut *context.cast::<Search<'_>>();
        match (*node).type_ {
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                let reads_claims = is_current_setting(call.funcid)
                    && elements(call.args)
                        .first()
                        .and_then(|argument| text(*argument))
                        .is_some_and(|setting| {
                            let is_same = |known: &String| known.eq_ignore_ascii_case(&setting);
                            search.identity.settings.iter().any(is_same)
                        });
                if reads_claims || search.identity.functions.contains(&call.funcid) {
                    search.found = true;
                    return true;
                }
            }
            NodeTag::T_Query => {
                return pg_sys::query_tree_walker(node.cast(), Some(find_identity), context, 0);
            }
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(find_identity), context)
    }
}

/// Whether a sub-query refers to one of the `level` queries around it.
///
/// # Safety
/// The sub-query must be valid.
unsafe fn has_outer_references(query: *mut pg_sys::Node, level: u32) -> bool {
    // SAFETY: as the caller vouches; for a query, the server counts levels from inside of it.
    unsafe { (1..=level as i32).any(|level| pg_sys::contain_vars_of_level(query, level)) }
}

/// The text of a constant; `None` for NULL and for any other expression.
///
/// # Safety
/// The expression must be valid.
pub(super) unsafe fn text(node: *mut pg_sys::Node) -> Option<String> {
    // SAFETY: the tag says which struct a node is.
    unsafe { is_a(node, NodeTag::T_Const).then(|| constant_text(node.cast())).flatten() }
}

/// # Safety
/// The constant must be valid.
pub(super) unsafe fn constant_text(constant: *mut pg_sys::Const) -> Option<String> {
    // SAFETY: as the caller vouches.
    unsafe {
        let constant = &*constant;
        if constant.constisnull {
            return None;
        }
        Some(text_of(constant.consttype, constant.constvalue))
    }
}
