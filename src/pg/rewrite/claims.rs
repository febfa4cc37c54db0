//! The claims that an expression reads, and the values it compares them with.

use super::list::elements;
use super::mutate::scalar_without_from;
use super::policy_expr::{
    Expression, IdentitySources, constant_text, is_current_setting, operator_name, stripped, text,
};
use super::walk;
use crate::pg::catalog::lookup;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_void};

/// The keys that lead to a claim, such as app_metadata and role; or a setting that carries no
/// claim, after [`SETTING`].
pub type ClaimPath = Vec<String>;

/// Begins the path of a setting.
pub const SETTING: &str = "setting ";

/// The uses of one claim in an expression.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ClaimUse {
    /// Constants that the claim is compared with, as texts.
    pub constants: BTreeSet<String>,
    /// Columns that it is compared with: oid of the relation and `attnum`.
    pub columns: BTreeSet<(u32, i16)>,
    /// Whether it is a list whose members are compared.
    pub is_list: bool,
    /// The type that it is cast to, if not every text is a value of it.
    pub cast: Option<pg_sys::Oid>,
}

impl ClaimUse {
    /// Adds the uses in another expression.
    pub fn merge(&mut self, other: &Self) {
        self.constants.extend(other.constants.iter().cloned());
        self.columns.extend(&other.columns);
        self.is_list |= other.is_list;
        self.cast = self.cast.or(other.cast);
    }
}

/// Claims by path.
pub type ClaimUses = BTreeMap<ClaimPath, ClaimUse>;

struct Walk<'a> {
    identity: &'a IdentitySources<'a>,
    /// Relations of the range tables of the enclosing queries, innermost last; 0 for others.
    relations: Vec<Vec<u32>>,
    found: ClaimUses,
}

/// Built-in functions that return the text of a claim or its members.
const TRANSPARENT: [&str; 9] = [
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "string_to_array",
    "unnest",
    "jsonb_array_elements_text",
    "json_array_elements_text",
];

/// A claim as one side of an operator.
struct Claim {
    path: ClaimPath,
    is_list: bool,
    type_: pg_sys::Oid,
}

/// The claims that a policy expression on a relation reads.
pub fn claim_uses(
    expression: Expression,
    relation: pg_sys::Oid,
    identity: &IdentitySources<'_>,
) -> ClaimUses {
    let relations = vec![vec![relation.to_u32()]];
    let mut context = Walk { identity, relations, found: BTreeMap::new() };
    // SAFETY: a valid expression; the context outlives the walk.
    unsafe { walk::walk(expression.0, collect, (&raw mut context).cast()) };
    context.found
}

#[pg_guard]
unsafe extern "C-unwind" fn collect(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is the walk of `claim_uses`.
    unsafe {
        let walk = &mut *context.cast::<Walk<'_>>();
        match (*node).type_ {
            NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                let relation = |entry: *mut pg_sys::RangeTblEntry| match (*entry).rtekind {
                    pg_sys::RTEKind::RTE_RELATION => (*entry).relid.to_u32(),
                    _ => 0,
                };
                let entries = elements::<pg_sys::RangeTblEntry>((*query).rtable);
                walk.relations.push(entries.into_iter().map(relation).collect());
                pg_sys::query_tree_walker(query, Some(collect), context, 0);
                (*context.cast::<Walk<'_>>()).relations.pop();
                return false;
            }
            NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                let call = &*node.cast::<pg_sys::OpExpr>();
                if let [left, right] = elements::<pg_sys::Node>(call.args).as_slice()
                    && walk.comparison(call.opno, *left, *right, context)
                {
                    return false;
                }
            }
            NodeTag::T_ScalarArrayOpExpr => {
                let call = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                if let [left, right] = elements::<pg_sys::Node>(call.args).as_slice()
                    && walk.comparison(call.opno, *left, *right, context)
                {
                    return false;
                }
            }
            NodeTag::T_SubLink => {
                let link = &*node.cast::<pg_sys::SubLink>();
                // column = ANY (SELECT claims): the test names the column.
                if let Some(claim) = walk.claim(node) {
                    let test = link.testexpr;
                    let uses = walk.found.entry(claim.path).or_default();
                    uses.is_list = true;
                    if !test.is_null() {
                        walk.columns_of_test(test);
                    }
                    return false;
                }
            }
            _ => {}
        }
        if let Some(claim) = walk.claim(node) {
            walk.read(claim);
            return false;
        }
        pg_sys::expression_tree_walker(node, Some(collect), context)
    }
}

impl Walk<'_> {
    /// Records a claim that is not compared. A boolean is compared with true and false.
    fn read(&mut self, claim: Claim) {
        let uses = self.found.entry(claim.path).or_default();
        uses.is_list |= claim.is_list;
        if claim.type_ == pg_sys::BOOLOID {
            uses.cast = Some(claim.type_);
            uses.constants.extend(["true", "false"].map(str::to_owned));
        }
    }

    /// Records a comparison of a claim with the other side of an operator. Returns whether one side
    /// is a claim.
    ///
    /// # Safety
    /// Both must be valid expressions, and `context` the walk itself.
    unsafe fn comparison(
        &mut self,
        operator: pg_sys::Oid,
        left: *mut pg_sys::Node,
        right: *mut pg_sys::Node,
        context: *mut c_void,
    ) -> bool {
        // SAFETY: as the caller vouches.
        unsafe {
            if ["->", "->>", "#>", "#>>"].contains(&operator_name(operator).as_str()) {
                return false;
            }
            let is_member =
                ["?", "?|", "?&", "@>", "<@"].contains(&operator_name(operator).as_str());
            for (one, other) in [(left, right), (right, left)] {
                let Some(claim) = self.claim(one) else { continue };
                let (path, type_) = (claim.path.clone(), claim.type_);
                let takes_texts = lookup::is_text(type_)
                    || [pg_sys::JSONOID, pg_sys::JSONBOID].contains(&type_)
                    || claim.is_list;
                self.read(claim);
                let (constants, columns) = self.values(other);
                let uses = self.found.entry(path).or_default();
                uses.constants.extend(constants);
                uses.columns.extend(columns);
                uses.is_list |= is_member;
                uses.cast = uses.cast.or((!takes_texts).then_some(type_));
                walk::walk(other, collect, context);
                return true;
            }
            false
        }
    }

    /// The constants and columns that an expression stands for.
    ///
    /// # Safety
    /// The expression must be valid.
    unsafe fn values(&self, node: *mut pg_sys::Node) -> (Vec<String>, Vec<(u32, i16)>) {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            let node = stripped(node);
            let (mut constants, mut columns) = (Vec::new(), Vec::new());
            match (*node).type_ {
                NodeTag::T_Const => {
                    let constant = &*node.cast::<pg_sys::Const>();
                    let element = pg_sys::get_element_type(constant.consttype);
                    if element != pg_sys::InvalidOid && !constant.constisnull {
                        constants.extend(
                            super::boundary_values::members(constant.constvalue, element)
                                .into_iter()
                                .map(|value| super::value::text_of(element, value)),
                        );
                    } else {
                        constants.extend(constant_text(node.cast()));
                    }
                }
                NodeTag::T_ArrayExpr => {
                    for member in elements((*node.cast::<pg_sys::ArrayExpr>()).elements) {
                        let (more, also) = self.values(member);
                        constants.extend(more);
                        columns.extend(also);
                    }
                }
                NodeTag::T_Var => {
                    let var = &*node.cast::<pg_sys::Var>();
                    let level = self.relations.len().checked_sub(1 + var.varlevelsup as usize);
                    let relation = level
                        .and_then(|level| self.relations.get(level))
                        .and_then(|entries| entries.get((var.varno - 1) as usize));
                    columns.extend(
                        relation
                            .filter(|relation| **relation != 0 && var.varattno > 0)
                            .map(|relation| (*relation, var.varattno)),
                    );
                }
                _ => {}
            }
            (constants, columns)
        }
    }

    /// Records the columns of the test of an ANY sub-query for the claims found last.
    ///
    /// # Safety
    /// The expression must be valid.
    unsafe fn columns_of_test(&mut self, test: *mut pg_sys::Node) {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            if !is_a(test, NodeTag::T_OpExpr) {
                return;
            }
            let call = &*test.cast::<pg_sys::OpExpr>();
            let columns: Vec<(u32, i16)> = elements::<pg_sys::Node>(call.args)
                .into_iter()
                .flat_map(|side| self.values(side).1)
                .collect();
            if let Some(uses) = self.found.values_mut().find(|uses| uses.is_list) {
                uses.columns.extend(columns);
            }
        }
    }

    /// The claim that an expression is; `None` for any other expression.
    ///
    /// # Safety
    /// The expression must be valid.
    unsafe fn claim(&self, node: *mut pg_sys::Node) -> Option<Claim> {
        // SAFETY: as the caller vouches.
        unsafe {
            let (path, is_list) = self.path(node).filter(|(path, _)| !path.is_empty())?;
            Some(Claim { path, is_list, type_: pg_sys::exprType(node) })
        }
    }

    /// The path of a claim and whether the expression is its members; an empty path is all claims.
    ///
    /// # Safety
    /// The expression must be valid.
    unsafe fn path(&self, node: *mut pg_sys::Node) -> Option<(ClaimPath, bool)> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            if node.is_null() {
                return None;
            }
            let node = stripped(node);
            match (*node).type_ {
                NodeTag::T_OpExpr => {
                    let call = &*node.cast::<pg_sys::OpExpr>();
                    let sides = elements::<pg_sys::Node>(call.args);
                    let [left, right] = sides.as_slice() else { return None };
                    let (mut path, is_list) = self.path(*left)?;
                    match operator_name(call.opno).as_str() {
                        "->" | "->>" => path.push(text(stripped(*right))?),
                        "#>" | "#>>" => {
                            let keys = text(stripped(*right))?;
                            let keys = keys.trim_matches(['{', '}']).split(',');
                            path.extend(keys.map(|key| key.trim_matches('"').to_owned()));
                        }
                        _ => return None,
                    }
                    Some((path, is_list))
                }
                NodeTag::T_CoalesceExpr => {
                    let arguments = (*node.cast::<pg_sys::CoalesceExpr>()).args;
                    self.path(*elements::<pg_sys::Node>(arguments).first()?)
                }
                NodeTag::T_NullIfExpr => {
                    let arguments = (*node.cast::<pg_sys::OpExpr>()).args;
                    self.path(*elements::<pg_sys::Node>(arguments).first()?)
                }
                NodeTag::T_SubLink => {
                    if let Some(inner) = scalar_without_from(node.cast()) {
                        return self.path(inner);
                    }
                    let link = &*node.cast::<pg_sys::SubLink>();
                    let is_list = matches!(
                        link.subLinkType,
                        pg_sys::SubLinkType::ARRAY_SUBLINK | pg_sys::SubLinkType::ANY_SUBLINK
                    );
                    if !is_list || !is_a(link.subselect, NodeTag::T_Query) {
                        return None;
                    }
                    let query = &*link.subselect.cast::<pg_sys::Query>();
                    let targets = elements::<pg_sys::TargetEntry>(query.targetList);
                    let target = *targets.first()?;
                    let of_target = self.path((*target).expr.cast());
                    // SELECT jsonb_array_elements_text(…) in FROM instead of the target list.
                    let of_from = || {
                        let entries = elements::<pg_sys::RangeTblEntry>(query.rtable);
                        let [only] = entries.as_slice() else { return None };
                        let functions = elements::<pg_sys::RangeTblFunction>((**only).functions);
                        self.path((**functions.first()?).funcexpr)
                    };
                    of_target.or_else(of_from).map(|(path, _)| (path, true))
                }
                NodeTag::T_FuncExpr => {
                    let call = &*node.cast::<pg_sys::FuncExpr>();
                    let arguments = elements::<pg_sys::Node>(call.args);
                    if self.identity.functions.contains(&call.funcid) {
                        let is_json =
                            [pg_sys::JSONOID, pg_sys::JSONBOID].contains(&call.funcresulttype);
                        return is_json.then(|| (Vec::new(), false));
                    }
                    if is_current_setting(call.funcid) {
                        let setting = text(*arguments.first()?)?;
                        let claim = self
                            .identity
                            .claims
                            .iter()
                            .find(|(known, _)| known.eq_ignore_ascii_case(&setting))
                            .map(|(_, claim)| claim.as_str());
                        let legacy = setting
                            .to_ascii_lowercase()
                            .strip_prefix("request.jwt.claim.")
                            .map(str::to_owned);
                        return Some(match (claim, legacy) {
                            (Some("*"), _) => (Vec::new(), false),
                            (Some(claim), _) => (vec![claim.to_owned()], false),
                            (None, Some(claim)) => (vec![claim], false),
                            // A setting of the application.
                            (None, None) if setting.contains('.') => {
                                let setting = setting.to_ascii_lowercase();
                                (vec![format!("{SETTING}{setting}")], false)
                            }
                            (None, None) => return None,
                        });
                    }
                    let name = builtin_name(call.funcid)?;
                    let (mut path, is_list) = self.path(*arguments.first()?)?;
                    if name.contains("extract_path") {
                        let keys = arguments.iter().skip(1);
                        path.extend(keys.filter_map(|key| text(stripped(*key))));
                    } else if !TRANSPARENT.contains(&name.as_str()) {
                        return None;
                    }
                    Some((path, is_list || call.funcretset))
                }
                _ => None,
            }
        }
    }
}

/// The name of a built-in function; `None` for any other function.
fn builtin_name(function: pg_sys::Oid) -> Option<String> {
    // SAFETY: NULL for an unknown function, else a NUL-terminated copy.
    unsafe {
        let name = pg_sys::get_func_name(function);
        (function.to_u32() < pg_sys::FirstNormalObjectId && !name.is_null())
            .then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
