//! Quals as the server represents them: the conditions that row-level security adds to a statement.
//! They can be folded, compared, substituted into and deparsed to SQL.

use super::list::elements;
use super::mutate::{copy, inline_scalar_select};
use super::value::Parameters;
use super::vars::columns_of;
use super::walk::{changed, walk};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

/// An implicit AND of conditions on the row of one table, which is the first entry of the range
/// table. Lives in the memory context that was current when it was built.
#[derive(Clone, Copy)]
pub struct Qual(pub(crate) *mut pg_sys::List);

/// From where a substituted column comes: its number in the qual, the index of the range table
/// entry, the column number there, and the type.
pub type Origin = (i16, i32, i16, pg_sys::Oid);

/// A qual after constant folding with all values that the session supplies.
#[derive(Clone, Copy)]
pub enum ConstFolded {
    /// Holds for every row.
    True,
    /// Holds for no row: FALSE or NULL.
    False,
    /// Depends on the row.
    Residual(Qual),
}

impl ConstFolded {
    /// The conjunction of both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, left) | (left, Self::True) => left,
            (Self::Residual(one), Self::Residual(other)) => Self::Residual(one.and(other)),
        }
    }
}

impl Qual {
    /// The empty AND, which holds for every row.
    pub const ALWAYS: Self = Self(std::ptr::null_mut());

    /// A qual of one expression on the first entry of its range table.
    pub fn one(expression: *mut pg_sys::Node) -> Self {
        // SAFETY: makes a list that holds the pointer.
        unsafe { Self(pg_sys::lappend(std::ptr::null_mut(), expression.cast())) }
    }

    /// Whether it is the empty AND.
    pub fn is_empty(self) -> bool {
        self.0.is_null()
    }

    /// A qual that holds for no row.
    pub fn never() -> Self {
        // SAFETY: makes a constant.
        Self::one(unsafe { pg_sys::makeBoolConst(false, false) })
    }

    /// Whether both are the same expression tree.
    pub fn is_same(self, other: Self) -> bool {
        // SAFETY: lists of valid expressions.
        unsafe { pg_sys::equal(self.0.cast(), other.0.cast()) }
    }

    /// Whether the server can prove that `other` holds for every row for which `self` holds. Both
    /// must be folded.
    pub fn implies(self, other: Self) -> bool {
        // SAFETY: both are implicit ANDs of valid expressions.
        unsafe { !self.is_empty() && pg_sys::predicate_implied_by(other.0, self.0, false) }
    }

    /// The conjunction of both.
    pub fn and(self, other: Self) -> Self {
        // SAFETY: makes a list that shares the expressions, which are never changed in place.
        unsafe { Self(pg_sys::list_concat_copy(self.0, other.0)) }
    }

    /// The qual of the rows that do not satisfy this one: for them it is false or NULL.
    pub fn is_not_true(self) -> Self {
        // SAFETY: a new node of this tag around a copy.
        unsafe {
            let test = new_node::<pg_sys::BooleanTest>(NodeTag::T_BooleanTest);
            (*test).arg = pg_sys::make_ands_explicit(copy(self.0));
            (*test).booltesttype = pg_sys::BoolTestType::IS_NOT_TRUE;
            (*test).location = -1;
            Self::one(test.cast())
        }
    }

    /// The ANDed conditions, each as a qual.
    pub fn terms(self) -> Vec<Self> {
        // SAFETY: a list of expressions.
        unsafe { elements(self.0) }.into_iter().map(Self::one).collect()
    }

    /// The qual without repeated conditions.
    pub fn distinct(self) -> Self {
        let mut distinct: Vec<Self> = Vec::new();
        let terms = self.terms();
        for term in &terms {
            if !distinct.iter().any(|known| known.is_same(*term)) {
                distinct.push(*term);
            }
        }
        if distinct.len() == terms.len() {
            self
        } else {
            distinct.into_iter().fold(Self::ALWAYS, Self::and)
        }
    }

    /// Folds the qual for this session: STABLE functions are called, as the planner calls them for
    /// estimates, and constants are propagated. Raises the errors of those functions.
    pub fn fold(self, parameters: &Parameters) -> ConstFolded {
        // SAFETY: works on copies of valid expressions. The planner's state has the fields that
        // estimate_expression_value() reads.
        unsafe {
            let root = new_node::<pg_sys::PlannerInfo>(NodeTag::T_PlannerInfo);
            (*root).glob = new_node(NodeTag::T_PlannerGlobal);
            (*root).parse = new_node(NodeTag::T_Query);
            (*(*root).glob).boundParams = parameters.list;
            let mut left: *mut pg_sys::List = std::ptr::null_mut();
            for qual in elements::<pg_sys::Node>(self.0) {
                let qual = changed(
                    pg_sys::copyObjectImpl(qual.cast()).cast(),
                    inline_scalar_select,
                    std::ptr::null_mut(),
                );
                let qual = pg_sys::estimate_expression_value(root, qual);
                let qual = pg_sys::canonicalize_qual(qual.cast(), false);
                left = pg_sys::list_concat(left, pg_sys::make_ands_implicit(qual));
            }
            let is_false = |node: &*mut pg_sys::Node| {
                is_a(*node, NodeTag::T_Const) && {
                    let constant = &*node.cast::<pg_sys::Const>();
                    constant.constisnull || constant.constvalue.value() == 0
                }
            };
            if left.is_null() {
                ConstFolded::True
            } else if elements(left).iter().any(is_false) {
                ConstFolded::False
            } else {
                ConstFolded::Residual(Self(left))
            }
        }
    }

    /// Whether it holds for every row of every request: constants alone decide it.
    pub fn is_always_true(self) -> bool {
        // SAFETY: works on a copy of valid expressions; the tag says which struct the result is.
        unsafe {
            let explicit = pg_sys::make_ands_explicit(copy(self.0));
            let simple = pg_sys::eval_const_expressions(std::ptr::null_mut(), explicit.cast());
            is_a(simple, NodeTag::T_Const) && {
                let constant = &*simple.cast::<pg_sys::Const>();
                !constant.constisnull && constant.constvalue.value() != 0
            }
        }
    }

    /// Whether the server can prove that no row satisfies both. Both must be folded.
    pub fn refutes(self, other: Self) -> bool {
        // SAFETY: both are implicit ANDs of valid expressions.
        unsafe { !self.is_empty() && pg_sys::predicate_refuted_by(other.0, self.0, false) }
    }

    /// The ORed conditions of a qual that is a single OR; otherwise the qual itself.
    pub fn alternatives(self) -> Vec<Self> {
        // SAFETY: a list of valid expressions; the tag says which struct each is.
        unsafe {
            if let [only] = elements::<pg_sys::Node>(self.0).as_slice()
                && is_a(*only, NodeTag::T_BoolExpr)
                && (*only.cast::<pg_sys::BoolExpr>()).boolop == pg_sys::BoolExprType::OR_EXPR
            {
                return elements((*only.cast::<pg_sys::BoolExpr>()).args)
                    .into_iter()
                    .map(Self::one)
                    .collect();
            }
        }
        vec![self]
    }

    /// Whether it contains a sub-query.
    pub fn has_sub_queries(self) -> bool {
        // SAFETY: a list of valid expressions.
        unsafe { pg_sys::checkExprHasSubLink(self.0.cast()) }
    }

    /// Whether it reads a column of the row.
    pub fn reads_row(self) -> bool {
        // SAFETY: a list of valid expressions, in which the row is of level 0.
        unsafe { pg_sys::contain_vars_of_level(self.0.cast(), 0) }
    }

    /// The qual with a constant in place of a column; `None` if it contains a whole-row reference.
    pub fn substitute(self, column: i16, type_: pg_sys::Oid, value: pg_sys::Datum) -> Option<Self> {
        self.substitute_nullable(column, type_, Some(value))
    }

    /// As [`Qual::substitute`], with a value that may be NULL.
    pub fn substitute_nullable(
        self,
        column: i16,
        type_: pg_sys::Oid,
        value: Option<pg_sys::Datum>,
    ) -> Option<Self> {
        if self.reads_whole_row() {
            return None;
        }
        // SAFETY: makes a constant of the type.
        unsafe {
            let (mut length, mut by_value) = (0, false);
            pg_sys::get_typlenbyval(type_, &mut length, &mut by_value);
            let collation = pg_sys::get_typcollation(type_);
            let (is_null, value) = (value.is_none(), value.unwrap_or(pg_sys::Datum::null()));
            let constant =
                pg_sys::makeConst(type_, -1, collation, length.into(), value, is_null, by_value);
            Some(self.with_expressions(&[(column, constant.cast())]))
        }
    }

    /// The qual with columns of other range table entries in place of its own.
    pub(crate) fn with_origins(self, origins: &[Origin]) -> Self {
        // SAFETY: makes Vars of these types.
        unsafe {
            let expressions = origins.iter().map(|(column, entry, number, type_)| {
                let collation = pg_sys::get_typcollation(*type_);
                (*column, pg_sys::makeVar(*entry, *number, *type_, -1, collation, 0).cast())
            });
            self.with_expressions(&expressions.collect::<Vec<_>>())
        }
    }

    /// The qual with these expressions in place of columns.
    ///
    /// # Safety
    /// Each must be of the column's type, and the qual must not contain a whole-row reference.
    unsafe fn with_expressions(self, expressions: &[(i16, *mut pg_sys::Expr)]) -> Self {
        // SAFETY: the list is a copy; without whole-row references no range table entry is needed.
        unsafe {
            let targets =
                expressions.iter().fold(std::ptr::null_mut(), |targets, (column, expression)| {
                    let entry =
                        pg_sys::makeTargetEntry(*expression, *column, std::ptr::null_mut(), false);
                    pg_sys::lappend(targets, entry.cast())
                });
            let mut has_sublinks = true;
            let node = pg_sys::ReplaceVarsFromTargetList(
                copy(self.0).cast(),
                1,
                0,
                std::ptr::null_mut(),
                targets,
                #[cfg(feature = "pg18")]
                0,
                pg_sys::ReplaceVarsNoMatchOption::REPLACEVARS_CHANGE_VARNO,
                1,
                &mut has_sublinks,
            );
            Self(node.cast())
        }
    }

    /// Column values that satisfy the conditions of the form `status = 'draft'`, `is_public` or
    /// `NOT is_public`, on columns that `may_set` admits. From an OR, the first branch with such a
    /// form is taken. The qual must be folded.
    pub fn choices(self, may_set: &dyn Fn(i16) -> bool) -> Vec<Choice> {
        // SAFETY: a list of valid expressions.
        unsafe {
            elements(self.0)
                .into_iter()
                .filter_map(|term| choices(term, may_set))
                .flatten()
                .collect()
        }
    }

    /// The qual with these values in place of columns.
    pub fn with_choices(self, choices: &[Choice]) -> Option<Self> {
        choices.iter().try_fold(self, |changed, (column, type_, value)| {
            changed.substitute(*column, *type_, *value)
        })
    }

    /// The columns that it reads; `None` if it contains a whole-row reference.
    pub fn columns(self) -> Option<BTreeSet<i16>> {
        // SAFETY: a list of valid expressions.
        unsafe { columns_of(self.0.cast(), 0) }
    }

    /// Whether it contains a whole-row reference.
    fn reads_whole_row(self) -> bool {
        let mut found = false;
        // SAFETY: a list of valid expressions; the walker writes to nothing but `found`.
        unsafe { walk(self.0.cast(), find_whole_row, (&raw mut found).cast()) };
        found
    }

    /// The qual as SQL on this table; empty if the table was dropped.
    pub fn to_sql(self, table: pg_sys::Oid) -> String {
        if self.is_empty() {
            return "true".to_owned();
        }
        // SAFETY: get_rel_name() returns NULL for a dropped table; the text is NUL-terminated and
        // copied.
        unsafe {
            let name = pg_sys::get_rel_name(table);
            if name.is_null() {
                return String::new();
            }
            let context = pg_sys::deparse_context_for(name, table);
            let expression = pg_sys::make_ands_explicit(self.0);
            let text = pg_sys::deparse_expression(expression.cast(), context, false, false);
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// A column, its type, and a value for it.
pub type Choice = (i16, pg_sys::Oid, pg_sys::Datum);

/// The choices of one condition; `None` if it has another form.
///
/// # Safety
/// The expression must be valid.
unsafe fn choices(term: *mut pg_sys::Node, may_set: &dyn Fn(i16) -> bool) -> Option<Vec<Choice>> {
    // SAFETY: the tag says which struct a node is.
    unsafe {
        let column = |node: *mut pg_sys::Node| {
            let var = is_a(node, NodeTag::T_Var).then(|| &*node.cast::<pg_sys::Var>())?;
            (var.varno == 1 && var.varlevelsup == 0 && var.varattno > 0 && may_set(var.varattno))
                .then_some(var)
        };
        match (*term).type_ {
            NodeTag::T_Var => {
                let var = column(term)?;
                Some(vec![(var.varattno, var.vartype, true.into())])
            }
            NodeTag::T_OpExpr => {
                let call = &*term.cast::<pg_sys::OpExpr>();
                let arguments = elements::<pg_sys::Node>(call.args);
                let [left, right] = arguments.as_slice() else { return None };
                let (var, other) = column(*left)
                    .map(|var| (var, *right))
                    .or(column(*right).map(|var| (var, *left)))?;
                if !is_a(other, NodeTag::T_Const)
                    || !pg_sys::op_mergejoinable(call.opno, var.vartype)
                {
                    return None;
                }
                let constant = &*other.cast::<pg_sys::Const>();
                let fits = !constant.constisnull && constant.consttype == var.vartype;
                fits.then(|| vec![(var.varattno, var.vartype, constant.constvalue)])
            }
            NodeTag::T_BoolExpr => {
                let expression = &*term.cast::<pg_sys::BoolExpr>();
                let terms = elements::<pg_sys::Node>(expression.args);
                match (expression.boolop, terms.as_slice()) {
                    (pg_sys::BoolExprType::NOT_EXPR, [only]) => {
                        let var = column(*only)?;
                        Some(vec![(var.varattno, var.vartype, false.into())])
                    }
                    (pg_sys::BoolExprType::OR_EXPR, _) => {
                        terms.into_iter().find_map(|term| choices(term, may_set))
                    }
                    (pg_sys::BoolExprType::AND_EXPR, _) => Some(
                        terms
                            .into_iter()
                            .filter_map(|term| choices(term, may_set))
                            .flatten()
                            .collect(),
                    ),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// An empty node.
///
/// # Safety
/// `T` must be the struct of this tag.
unsafe fn new_node<T>(tag: NodeTag) -> *mut T {
    // SAFETY: every node begins with its tag, and zeroes are the server's empty node.
    unsafe {
        let node = pg_sys::palloc0(std::mem::size_of::<T>());
        *node.cast::<NodeTag>() = tag;
        node.cast()
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn find_whole_row(node: *mut pg_sys::Node, found: *mut c_void) -> bool {
    // SAFETY: the tag says which struct the node is; `found` is the caller's flag.
    unsafe {
        if node.is_null() {
            return false;
        }
        if is_a(node, NodeTag::T_Var) && (*node.cast::<pg_sys::Var>()).varattno == 0 {
            *found.cast::<bool>() = true;
            return true;
        }
        if is_a(node, NodeTag::T_Query) {
            return pg_sys::query_tree_walker(node.cast(), Some(find_whole_row), found, 0);
        }
        pg_sys::expression_tree_walker(node, Some(find_whole_row), found)
    }
}
