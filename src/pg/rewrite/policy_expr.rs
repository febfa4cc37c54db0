//! What an expression of a policy is made of.

use super::qual::{elements, text_of};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{IntoDatum, is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

/// Functions whose result tells who asks, and the settings that say so too.
pub struct Identity<'a> {
    /// The functions.
    pub functions: &'a [pg_sys::Oid],
    /// The settings.
    pub settings: &'a [String],
    /// Those of them that are a user's id.
    pub ids: &'a [String],
}

/// What was found in an expression.
#[derive(Debug, Default, Clone)]
pub struct Facts {
    /// Columns of the policy's own table.
    pub columns: BTreeSet<i16>,
    /// Functions that are called.
    pub functions: BTreeSet<u32>,
    /// Operators that are applied.
    pub operators: BTreeSet<u32>,
    /// How often an identity function is called.
    pub identity_calls: i32,
    /// How often of these for each row: not inside a scalar sub-query of its own.
    pub unwrapped_identity_calls: i32,
    /// Tables read in sub-queries.
    pub relations: BTreeSet<u32>,
    /// Those of them read in sub-queries that do not look at the row.
    pub uncorrelated_relations: BTreeSet<u32>,
    /// Constants that are keys into claims.
    pub claim_keys: BTreeSet<String>,
    /// Constants given to current_setting().
    pub settings: BTreeSet<String>,
    /// Whether current_user or its like is read.
    pub uses_session_user: bool,
    /// Whether the time is read.
    pub reads_time: bool,
    /// Whether it is read who has logged in, or from where, which is another one in a request than in an audit.
    pub reads_connection: bool,
    /// Constants that an identity is compared with.
    pub literal_identities: BTreeSet<String>,
    /// Columns that must equal an identity.
    pub owner_columns: BTreeSet<i16>,
    /// Those of them that must equal a user's id, and not their address or team.
    pub user_columns: BTreeSet<i16>,
    /// Whether a VOLATILE function is called.
    pub is_volatile: bool,
}

struct Walk<'a> {
    identity: &'a Identity<'a>,
    facts: &'a mut Facts,
    /// How many queries deep.
    level: u32,
    /// Inside a scalar sub-query that does not look at the row, which runs once a statement.
    is_once: bool,
    /// Inside a sub-query that does not look at the row.
    is_uncorrelated: bool,
}

/// An expression of a policy, about the first table of its range table. It lives as long as the memory context that it was made in.
#[derive(Clone, Copy)]
pub struct Expression(*mut pg_sys::Node);

impl Expression {
    /// One that the catalog holds as pg_node_tree.
    pub fn parse(tree: &CStr) -> Self {
        // SAFETY: the server reads what it wrote, and raises for anything else.
        Self(unsafe { pg_sys::stringToNode(tree.as_ptr()).cast() })
    }

    /// Adds what it is made of to `facts`.
    pub fn collect(self, identity: &Identity<'_>, facts: &mut Facts) {
        let mut walk = Walk { identity, facts, level: 0, is_once: false, is_uncorrelated: false };
        // SAFETY: a valid expression; the walk outlives the visit.
        unsafe {
            visit(self.0, (&raw mut walk).cast());
            facts.is_volatile |= pg_sys::contain_volatile_functions(self.0);
        }
    }

    /// It with its constants propagated and its inlinable SQL functions inlined, as the planner would. IMMUTABLE functions are called, so
    /// call it with the rights of a client.
    pub fn simplified(self) -> Self {
        // SAFETY: works on a copy of a valid expression.
        unsafe {
            let copy = pg_sys::copyObjectImpl(self.0.cast());
            Self(pg_sys::eval_const_expressions(std::ptr::null_mut(), copy.cast()))
        }
    }

    /// The boolean constant that it is; `Some(None)` is NULL.
    pub fn constant(self) -> Option<Option<bool>> {
        // SAFETY: the tag says which struct it is.
        unsafe {
            if !is_a(self.0, NodeTag::T_Const) {
                return None;
            }
            let constant = &*self.0.cast::<pg_sys::Const>();
            Some((!constant.constisnull).then(|| constant.constvalue.value() != 0))
        }
    }
}

/// An expression of a table that the catalog holds as pg_node_tree, as SQL: as pg_get_expr() writes it.
pub fn written(tree: &str, relation: pg_sys::Oid) -> String {
    let arguments = [tree.into_datum(), relation.into_datum()];
    // SAFETY: the function takes a text and an oid, and returns a text or NULL.
    unsafe { pgrx::direct_function_call::<String>(pg_sys::pg_get_expr, &arguments) }.unwrap_or_default()
}

#[pg_guard]
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the walk that `collect` began.
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
                // now(), transaction_timestamp() and statement_timestamp(), by their fixed oids.
                walk.facts.reads_time |= [1299, 2647, 2648].contains(&call.funcid.to_u32());
                // inet_client_addr(), inet_client_port(), inet_server_addr(), inet_server_port() and pg_backend_pid(), likewise.
                walk.facts.reads_connection |= [2196, 2197, 2198, 2199, 2026].contains(&call.funcid.to_u32());
                if walk.identity.functions.contains(&call.funcid) {
                    walk.facts.identity_calls += 1;
                    walk.facts.unwrapped_identity_calls += i32::from(!walk.is_once);
                }
                if is_current_setting(call.funcid)
                    && let Some(setting) = elements(call.args).first().and_then(|argument| text(*argument))
                {
                    walk.facts.settings.insert(setting);
                }
            }
            NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                let call = &*node.cast::<pg_sys::OpExpr>();
                walk.facts.operators.insert(call.opno.to_u32());
                // NULLIF compares to leave something out.
                if let ([left, right], false) =
                    (elements::<pg_sys::Node>(call.args).as_slice(), is_a(node, NodeTag::T_NullIfExpr))
                {
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
                }
            }
            NodeTag::T_SQLValueFunction => {
                use pg_sys::SQLValueFunctionOp::*;
                let op = (*node.cast::<pg_sys::SQLValueFunction>()).op;
                walk.facts.reads_time |= matches!(op, SVFOP_CURRENT_DATE..=SVFOP_LOCALTIMESTAMP_N);
                walk.facts.reads_connection |= op == SVFOP_SESSION_USER;
                walk.facts.uses_session_user |=
                    matches!(op, SVFOP_CURRENT_ROLE | SVFOP_CURRENT_USER | SVFOP_USER | SVFOP_SESSION_USER);
            }
            NodeTag::T_SubLink => {
                let link = &*node.cast::<pg_sys::SubLink>();
                visit(link.testexpr, context);
                let walk = &mut *context.cast::<Walk<'_>>();
                let is_correlated = looks_out(link.subselect, walk.level + 1)
                    || (!link.testexpr.is_null() && pg_sys::contain_vars_of_level(link.testexpr, walk.level as i32));
                let before = (walk.is_once, walk.is_uncorrelated);
                walk.is_uncorrelated |= !is_correlated;
                walk.is_once |= !is_correlated && link.subLinkType == pg_sys::SubLinkType::EXPR_SUBLINK;
                visit(link.subselect, context);
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
                pg_sys::query_tree_walker(query, Some(visit), context, 0);
                (*context.cast::<Walk<'_>>()).level -= 1;
                return false;
            }
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(visit), context)
    }
}

impl Walk<'_> {
    /// # Safety
    /// Both must be valid expressions.
    unsafe fn operator(&mut self, operator: pg_sys::Oid, left: *mut pg_sys::Node, right: *mut pg_sys::Node) {
        // SAFETY: as the caller vouches.
        unsafe {
            match operator_name(operator).as_str() {
                "->" | "->>" | "#>" | "#>>" if tells_identity(left, self.identity) => {
                    self.facts.claim_keys.extend(text(stripped(right)));
                }
                "=" => {
                    for (one, other) in [(left, right), (right, left)] {
                        let one = stripped(one);
                        if !tells_identity(other, self.identity) {
                            continue;
                        }
                        if is_a(one, NodeTag::T_Const) {
                            self.facts.literal_identities.extend(constant_text(one.cast()));
                        } else if is_a(one, NodeTag::T_Var) {
                            let var = &*one.cast::<pg_sys::Var>();
                            if var.varlevelsup == self.level && var.varno == 1 && var.varattno > 0 {
                                self.facts.owner_columns.insert(var.varattno);
                                if tells_user(other, self.identity) {
                                    self.facts.user_columns.insert(var.varattno);
                                }
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn is_current_setting(function: pg_sys::Oid) -> bool {
    // current_setting(text) and current_setting(text, boolean), by their fixed oids.
    [2077, 3294].contains(&function.to_u32())
}

fn operator_name(operator: pg_sys::Oid) -> String {
    // SAFETY: NULL for an unknown operator, else a NUL-terminated copy.
    unsafe {
        let name = pg_sys::get_opname(operator);
        if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

/// The expression without casts that change nothing in its meaning.
///
/// # Safety
/// The expression must be valid.
unsafe fn stripped(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the tag says which struct it is.
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

/// Whether an expression calls an identity function or reads a setting with claims, and looks at no row.
///
/// # Safety
/// The expression must be valid.
unsafe fn tells_identity(node: *mut pg_sys::Node, identity: &Identity<'_>) -> bool {
    let mut search = Search { identity, found: false };
    // SAFETY: as the caller vouches.
    unsafe {
        seek(node, (&raw mut search).cast());
        search.found && !pg_sys::contain_var_clause(node)
    }
}

/// Whether an expression that tells an identity tells a user's id: by the first of the functions, a setting that is one, or the claim sub.
///
/// # Safety
/// The expression must be valid.
unsafe fn tells_user(node: *mut pg_sys::Node, identity: &Identity<'_>) -> bool {
    let mut search = Search { identity, found: false };
    // SAFETY: as the caller vouches.
    unsafe { seek_user(node, (&raw mut search).cast()) };
    search.found
}

struct Search<'a> {
    identity: &'a Identity<'a>,
    found: bool,
}

#[pg_guard]
unsafe extern "C-unwind" fn seek_user(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the search of `tells_user`.
    unsafe {
        let search = &mut *context.cast::<Search<'_>>();
        search.found |= match (*node).type_ {
            NodeTag::T_FuncExpr => {
                search.identity.functions.first() == Some(&(*node.cast::<pg_sys::FuncExpr>()).funcid)
            }
            NodeTag::T_Const => constant_text(node.cast()).is_some_and(|text| {
                text == "sub" || search.identity.ids.iter().any(|id| text.eq_ignore_ascii_case(id))
            }),
            NodeTag::T_Query => return pg_sys::query_tree_walker(node.cast(), Some(seek_user), context, 0),
            _ => false,
        };
        search.found || pg_sys::expression_tree_walker(node, Some(seek_user), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn seek(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the search of `tells_identity`.
    unsafe {
        let search = &mut *context.cast::<Search<'_>>();
        match (*node).type_ {
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                let reads_claims = is_current_setting(call.funcid)
                    && elements(call.args)
                        .first()
                        .and_then(|argument| text(*argument))
                        .is_some_and(|setting| search.identity.settings.contains(&setting));
                if reads_claims || search.identity.functions.contains(&call.funcid) {
                    search.found = true;
                    return true;
                }
            }
            NodeTag::T_Query => return pg_sys::query_tree_walker(node.cast(), Some(seek), context, 0),
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(seek), context)
    }
}

/// Whether a sub-query looks at a row outside of it, from `level` queries up.
///
/// # Safety
/// The sub-query must be valid.
unsafe fn looks_out(query: *mut pg_sys::Node, level: u32) -> bool {
    // SAFETY: as the caller vouches; given a query, the server counts levels from inside of it.
    unsafe { (1..=level as i32).any(|level| pg_sys::contain_vars_of_level(query, level)) }
}

/// The text that a constant of a string type is.
///
/// # Safety
/// The expression must be valid.
unsafe fn text(node: *mut pg_sys::Node) -> Option<String> {
    // SAFETY: the tag says which struct it is.
    unsafe { is_a(node, NodeTag::T_Const).then(|| constant_text(node.cast())).flatten() }
}

/// # Safety
/// The constant must be valid.
unsafe fn constant_text(constant: *mut pg_sys::Const) -> Option<String> {
    // SAFETY: as the caller vouches.
    unsafe {
        let constant = &*constant;
        if constant.constisnull {
            return None;
        }
        Some(text_of(constant.consttype, constant.constvalue))
    }
}
