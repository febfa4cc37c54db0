//! The columns by which a qual's sub-queries decide: those of a table that they compare.

use super::boundary_values::{fitting, members, neighbours};
use super::candidate_values::evaluated;
use super::list::elements;
use super::qual::Qual;
use super::value::text_of;
use super::walk::walk;
use crate::pg::catalog::lookup;
use crate::pg::xact::subtransaction::isolated;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;

/// Most values of one column.
const MAX_VALUES: usize = 6;

/// How the sub-queries of a qual compare the columns of one table.
#[derive(Default, Debug)]
pub struct TrustedColumns {
    /// Columns compared with values that do not depend on a row, with those values as texts.
    pub values: BTreeMap<i16, Vec<String>>,
    /// Columns that are tested for being NULL.
    pub nulls: BTreeSet<i16>,
    /// Columns that are tested for not being NULL.
    pub not_nulls: BTreeSet<i16>,
    /// Columns compared with columns of another table.
    pub keys: BTreeSet<i16>,
    /// The keys among them that are compared with a column of the qual's own row: key, column.
    pub pairs: BTreeSet<(i16, i16)>,
}

/// Collects the columns of `table`. Evaluates values that the session supplies: call it as the
/// client.
pub fn trusted_columns(qual: Qual, table: pg_sys::Oid) -> TrustedColumns {
    let mut comparisons = Walk { table, queries: Vec::new(), found: TrustedColumns::default() };
    // SAFETY: a list of valid expressions; the context outlives the walk.
    unsafe { walk(qual.0.cast(), collect, (&raw mut comparisons).cast()) };
    comparisons.found
}

/// Whether the qual's sub-queries compare a column of a table with a constant or the identity, or
/// read a boolean column.
pub fn has_condition_on(qual: Qual, table: pg_sys::Oid) -> bool {
    !trusted_columns(qual, table).values.is_empty()
}

struct Walk {
    table: pg_sys::Oid,
    /// The queries around the node, outermost first.
    queries: Vec<*mut pg_sys::Query>,
    found: TrustedColumns,
}

/// The columns on one side of a comparison.
#[derive(Default, Clone)]
struct Side {
    /// Columns of the table.
    own: BTreeSet<i16>,
    /// Columns of the qual's row.
    outer: BTreeSet<i16>,
    /// Whether it reads anything else.
    has_others: bool,
    /// Whether it does more than read one column.
    is_computed: bool,
}

impl Side {
    fn is_fixed(&self) -> bool {
        self.own.is_empty() && self.outer.is_empty() && !self.has_others
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn collect(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `trusted_columns`.
    unsafe {
        let of = &mut *context.cast::<Walk>();
        match (*node).type_ {
            NodeTag::T_Query => {
                of.queries.push(node.cast());
                pg_sys::query_tree_walker(node.cast(), Some(collect), context, 0);
                (*context.cast::<Walk>()).queries.pop();
                return false;
            }
            NodeTag::T_OpExpr | NodeTag::T_DistinctExpr => {
                let call = &*node.cast::<pg_sys::OpExpr>();
                if let [left, right] = elements::<pg_sys::Node>(call.args).as_slice() {
                    of.compare(call.opno, *left, *right, false);
                }
            }
            NodeTag::T_ScalarArrayOpExpr => {
                let call = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                if let [left, right] = elements::<pg_sys::Node>(call.args).as_slice() {
                    of.compare(call.opno, *left, *right, true);
                }
            }
            NodeTag::T_NullTest => {
                let test = &*node.cast::<pg_sys::NullTest>();
                let side = of.side(test.arg.cast());
                match test.nulltesttype == pg_sys::NullTestType::IS_NULL {
                    true => of.found.nulls.extend(side.own),
                    false => of.found.not_nulls.extend(side.own),
                }
            }
            NodeTag::T_Var if (*node.cast::<pg_sys::Var>()).vartype == pg_sys::BOOLOID => {
                for column in of.side(node).own {
                    of.add(column, pg_sys::BOOLOID, "t");
                    of.add(column, pg_sys::BOOLOID, "f");
                }
            }
            NodeTag::T_SubLink => of.link(&*node.cast::<pg_sys::SubLink>()),
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(collect), context)
    }
}

impl Walk {
    /// The comparison of `x IN (SELECT y …)`.
    ///
    /// # Safety
    /// The sub-query must be valid.
    unsafe fn link(&mut self, link: &pg_sys::SubLink) {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            if link.testexpr.is_null() || !is_a(link.subselect, NodeTag::T_Query) {
                return;
            }
            let tests = match (*link.testexpr).type_ {
                NodeTag::T_BoolExpr => {
                    elements::<pg_sys::Node>((*link.testexpr.cast::<pg_sys::BoolExpr>()).args)
                }
                _ => vec![link.testexpr],
            };
            for (place, test) in tests.into_iter().enumerate() {
                if !is_a(test, NodeTag::T_OpExpr) {
                    continue;
                }
                let call = &*test.cast::<pg_sys::OpExpr>();
                let [left, _] = elements::<pg_sys::Node>(call.args)[..] else { continue };
                let mut right = Side::default();
                self.target(link.subselect.cast(), place, &mut right);
                let left_side = self.side(left);
                self.relate(call.opno, (&left_side, left), (&right, std::ptr::null_mut()), false);
            }
        }
    }

    /// # Safety
    /// Both sides must be valid.
    unsafe fn compare(
        &mut self,
        operator: pg_sys::Oid,
        left: *mut pg_sys::Node,
        right: *mut pg_sys::Node,
        is_array: bool,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            let (one, other) = (self.side(left), self.side(right));
            self.relate(operator, (&one, left), (&other, right), is_array);
        }
    }

    /// Records a comparison. `is_array` if one side may be an array of values.
    ///
    /// # Safety
    /// The nodes must be valid; one without columns must not be NULL.
    unsafe fn relate(
        &mut self,
        operator: pg_sys::Oid,
        left: (&Side, *mut pg_sys::Node),
        right: (&Side, *mut pg_sys::Node),
        is_array: bool,
    ) {
        for ((side, _), (other, node)) in [(left, right), (right, left)] {
            if side.own.is_empty() {
                continue;
            }
            if !other.is_fixed() || node.is_null() {
                self.found.keys.extend(&side.own);
                if !side.is_computed && !other.is_computed {
                    let pairs =
                        side.own.iter().flat_map(|key| other.outer.iter().map(|of| (*key, *of)));
                    self.found.pairs.extend(pairs);
                }
                continue;
            }
            // SAFETY: as the caller vouches; the expression reads no column.
            let values = unsafe { values(node, is_array) };
            let is_equality = lookup::comparison(operator) == Some(true);
            for column in &side.own {
                for (type_, text) in &values {
                    self.add(*column, *type_, text);
                }
                if !is_equality && let Some(type_) = lookup::column_type(self.table, *column) {
                    let known = self.found.values.get(column).cloned().unwrap_or_default();
                    for text in neighbours(lookup::base_type(type_), &known, true) {
                        self.add(*column, type_, &text);
                    }
                }
            }
        }
    }

    fn add(&mut self, column: i16, from: pg_sys::Oid, text: &str) {
        let Some(type_) = lookup::column_type(self.table, column) else { return };
        let is_array = pg_sys::InvalidOid
            // SAFETY: looks up the type.
            != unsafe { pg_sys::get_base_element_type(type_) };
        let texts = match is_array && from != type_ {
            true => vec![super::boundary_values::list(text)],
            false => fitting(type_, from, text),
        };
        let known = self.found.values.entry(column).or_default();
        for text in texts {
            if known.len() < MAX_VALUES && !known.contains(&text) {
                known.push(text);
            }
        }
    }

    /// The columns in an expression, in its sub-queries only as far as they return them.
    ///
    /// # Safety
    /// The expression must be valid, inside of the present queries.
    unsafe fn side(&mut self, node: *mut pg_sys::Node) -> Side {
        let mut side = Side::default();
        // SAFETY: as the caller vouches.
        unsafe { self.add_side(node, &mut side) };
        side
    }

    /// # Safety
    /// As for `side`.
    unsafe fn add_side(&mut self, node: *mut pg_sys::Node, side: &mut Side) {
        let mut search = Search { walk: self, side };
        // SAFETY: as the caller vouches; the context outlives the walk.
        unsafe { walk(node, find_columns, (&raw mut search).cast()) };
    }

    /// The columns that a query inside of the present ones returns at a place.
    ///
    /// # Safety
    /// The query must be valid.
    unsafe fn target(&mut self, query: *mut pg_sys::Query, place: usize, side: &mut Side) {
        self.queries.push(query);
        // SAFETY: as the caller vouches.
        unsafe {
            if (*query).setOperations.is_null() {
                match elements::<pg_sys::TargetEntry>((*query).targetList).get(place) {
                    Some(target) => self.add_side((**target).expr.cast(), side),
                    None => side.has_others = true,
                }
            } else {
                for entry in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
                    if (*entry).rtekind == pg_sys::RTEKind::RTE_SUBQUERY {
                        self.target((*entry).subquery, place, side);
                    }
                }
            }
        }
        self.queries.pop();
    }

    /// The table column that a Var stands for.
    ///
    /// # Safety
    /// The Var must be valid, inside of the present queries.
    unsafe fn resolve(&mut self, var: &pg_sys::Var, side: &mut Side) {
        let depth = self.queries.len();
        let level = var.varlevelsup as usize;
        if level >= depth {
            match level == depth && var.varno == 1 {
                true => _ = side.outer.insert(var.varattno),
                false => side.has_others = true,
            }
            return;
        }
        let (inner, place) = (self.queries.split_off(depth - level), var.varattno as usize);
        // SAFETY: a Var refers to an entry of the query that it belongs to.
        unsafe {
            let query = self.queries[depth - 1 - level];
            let entries = elements::<pg_sys::RangeTblEntry>((*query).rtable);
            match entries.get(var.varno as usize - 1).map(|entry| &**entry) {
                Some(entry) if entry.rtekind == pg_sys::RTEKind::RTE_RELATION => {
                    match entry.relid == self.table {
                        true => _ = side.own.insert(var.varattno),
                        false => side.has_others = true,
                    }
                }
                Some(entry) if entry.rtekind == pg_sys::RTEKind::RTE_JOIN && place > 0 => {
                    match elements::<pg_sys::Node>(entry.joinaliasvars).get(place - 1) {
                        Some(alias) => self.add_side(*alias, side),
                        None => side.has_others = true,
                    }
                }
                Some(entry) if entry.rtekind == pg_sys::RTEKind::RTE_SUBQUERY && place > 0 => {
                    self.target(entry.subquery, place - 1, side);
                }
                _ => side.has_others = true,
            }
        }
        self.queries.extend(inner);
    }
}

struct Search<'a> {
    walk: &'a mut Walk,
    side: &'a mut Side,
}

#[pg_guard]
unsafe extern "C-unwind" fn find_columns(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `add_side`.
    unsafe {
        let search = &mut *context.cast::<Search<'_>>();
        match (*node).type_ {
            NodeTag::T_Var => {
                search.walk.resolve(&*node.cast(), search.side);
                false
            }
            NodeTag::T_SubLink => {
                let link = &*node.cast::<pg_sys::SubLink>();
                if is_a(link.subselect, NodeTag::T_Query) {
                    search.walk.target(link.subselect.cast(), 0, search.side);
                }
                false
            }
            NodeTag::T_Param => {
                search.side.has_others = true;
                false
            }
            NodeTag::T_RelabelType | NodeTag::T_CoerceViaIO => {
                pg_sys::expression_tree_walker(node, Some(find_columns), context)
            }
            _ => {
                search.side.is_computed = true;
                pg_sys::expression_tree_walker(node, Some(find_columns), context)
            }
        }
    }
}

/// The values of an expression that reads no column, as texts with their types.
///
/// # Safety
/// The expression must be valid.
unsafe fn values(node: *mut pg_sys::Node, is_array: bool) -> Vec<(pg_sys::Oid, String)> {
    // SAFETY: as the caller vouches. An expression that fails has no value.
    unsafe {
        let type_ = pg_sys::exprType(node);
        let Ok(Ok(found)) = isolated(|| evaluated(node)) else { return Vec::new() };
        let element = pg_sys::get_base_element_type(type_);
        if is_array && element != pg_sys::InvalidOid {
            let of_array = found.into_iter().flat_map(|array| members(array, element));
            return of_array.map(|value| (element, text_of(element, value))).collect();
        }
        found.into_iter().map(|value| (type_, text_of(type_, value))).collect()
    }
}
