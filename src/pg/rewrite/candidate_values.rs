//! What a condition asks of columns that a client chooses: values worth trying, and the parts for which none is known.

use super::boundary_values::{fitting, has_neighbours, is_value, list, members, neighbours};
use super::qual::{Parameters, Qual, elements, mutate, text_of};
use super::row_security::{Undecidable, require_nothing, run, unsecured};
use super::vars::{columns_of, is_fixed, stripped};
use crate::pg::catalog::{lookup, privilege};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CString, c_void};

/// How many values of a sub-query or list are tried.
pub(crate) const MOST: u64 = 24;
/// How many keys of another table are tried.
const MOST_KEYS: u64 = 200;
/// What finding them may cost at most, by the planner's measure.
const MOST_COST: f64 = 50_000.0;
/// Parts are numbered from here, as if they were columns.
const FIRST_PART: i16 = 10_000;

/// A column that a condition looks at and a client chooses.
pub struct Column {
    /// Its number.
    pub number: i16,
    /// Its type.
    pub type_: pg_sys::Oid,
    /// Values worth trying, as texts; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// Whether a part looks at it for which no value is known.
    pub is_opaque: bool,
    /// Whether more is asked of it than that it equals something.
    is_ordered: bool,
}

/// What a condition asks of the columns that a client chooses.
pub struct CandidateValues {
    /// The columns.
    pub columns: Vec<Column>,
    /// The parts for which no value is known.
    parts: Vec<*mut pg_sys::Node>,
}

impl CandidateValues {
    /// How many parts there are for which no value is known.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }
}

pub(crate) struct Collector<'a> {
    table: pg_sys::Oid,
    may_set: &'a dyn Fn(i16) -> bool,
    wishes: CandidateValues,
}

impl Qual {
    /// What it asks of the columns of a table that may be set. Sub-queries that do not look at the row are run, so call it as who asks; it must
    /// be folded.
    pub fn wishes(self, table: pg_sys::Oid, may_set: &dyn Fn(i16) -> bool) -> Result<CandidateValues, Undecidable> {
        let wishes = CandidateValues { columns: Vec::new(), parts: Vec::new() };
        let mut asking = Collector { table, may_set, wishes };
        // SAFETY: a list of valid expressions.
        unsafe {
            for term in elements::<pg_sys::Node>(self.0) {
                asking.boolean(term)?;
            }
        }
        let mut wishes = asking.wishes;
        for column in &mut wishes.columns {
            column.complete(table);
        }
        Ok(wishes)
    }

    /// The columns that it looks at; `None` if it looks at the row as a whole.
    pub fn columns(self) -> Option<BTreeSet<i16>> {
        // SAFETY: a list of valid expressions.
        unsafe { columns_of(self.0.cast(), 0) }
    }

    /// It with a column of its own, from [`CandidateValues::part`] on, in place of each part for which no value is known.
    pub fn relaxed(self, wishes: &CandidateValues) -> Self {
        // SAFETY: a list of valid expressions, of which a copy is changed; the parts are among them.
        unsafe { Self(replace(self.0.cast(), (&raw const wishes.parts).cast_mut().cast()).cast()) }
    }
}

impl CandidateValues {
    /// The number that a part has as a column.
    pub fn part(number: usize) -> i16 {
        FIRST_PART + number as i16
    }
}

impl Collector<'_> {
    fn column(&mut self, number: i16) -> &mut Column {
        let columns = &mut self.wishes.columns;
        let place = columns.iter().position(|column| column.number == number).unwrap_or_else(|| {
            // SAFETY: looks up the column's type.
            let type_ = unsafe { pg_sys::get_atttype(self.table, number) };
            columns.push(Column { number, type_, values: Vec::new(), is_opaque: false, is_ordered: false });
            columns.len() - 1
        });
        &mut columns[place]
    }

    /// What stands where a condition may stand.
    ///
    /// # Safety
    /// The expression must be valid.
    unsafe fn boolean(&mut self, node: *mut pg_sys::Node) -> Result<(), Undecidable> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            if node.is_null() {
                return Ok(());
            }
            match (*node).type_ {
                NodeTag::T_BoolExpr => self.booleans((*node.cast::<pg_sys::BoolExpr>()).args),
                NodeTag::T_CoalesceExpr => self.booleans((*node.cast::<pg_sys::CoalesceExpr>()).args),
                NodeTag::T_BooleanTest => self.boolean((*node.cast::<pg_sys::BooleanTest>()).arg.cast()),
                NodeTag::T_CaseExpr if (*node.cast::<pg_sys::CaseExpr>()).arg.is_null() => {
                    let case = &*node.cast::<pg_sys::CaseExpr>();
                    for when in elements::<pg_sys::CaseWhen>(case.args) {
                        self.boolean((*when).expr.cast())?;
                        self.boolean((*when).result.cast())?;
                    }
                    self.boolean(case.defresult.cast())
                }
                NodeTag::T_NullTest => {
                    let argument: *mut pg_sys::Node = (*node.cast::<pg_sys::NullTest>()).arg.cast();
                    if pg_sys::exprType(argument) == pg_sys::BOOLOID {
                        return self.boolean(argument);
                    }
                    match self.free(argument, 0) {
                        // NULL and others are tried of each.
                        Some(number) => self.column(number).is_ordered = true,
                        None => self.leaf(node)?,
                    }
                    Ok(())
                }
                NodeTag::T_Const => Ok(()),
                _ => self.leaf(node),
            }
        }
    }

    /// # Safety
    /// As for `boolean`.
    unsafe fn booleans(&mut self, list: *mut pg_sys::List) -> Result<(), Undecidable> {
        // SAFETY: as the caller vouches.
        unsafe { elements::<pg_sys::Node>(list).into_iter().try_for_each(|node| self.boolean(node)) }
    }

    /// # Safety
    /// As for `boolean`.
    unsafe fn leaf(&mut self, node: *mut pg_sys::Node) -> Result<(), Undecidable> {
        // SAFETY: as the caller vouches.
        unsafe {
            let columns = columns_of(node, 0).ok_or(Undecidable::WholeRow)?;
            let free: Vec<i16> = columns.into_iter().filter(|column| (self.may_set)(*column)).collect();
            if free.is_empty() || self.is_known(node)? {
                return Ok(());
            }
            let mut is_all = true;
            for number in free {
                let is_finite = self.all_of(number)?;
                self.column(number).is_opaque |= !is_finite;
                is_all &= is_finite;
            }
            if !is_all {
                self.wishes.parts.push(node);
            }
            Ok(())
        }
    }

    /// Adds all values that a column can have, where these are few: of its type, or of the key that it refers to.
    fn all_of(&mut self, number: i16) -> Result<bool, Undecidable> {
        let type_ = self.column(number).type_;
        if type_ == pg_sys::BOOLOID {
            return Ok(true);
        }
        // SAFETY: looks up the type.
        let (sql, from) = if unsafe { pg_sys::get_typtype(type_) } as u8 == pg_sys::TYPTYPE_ENUM {
            let name = lookup::qualified_type_name(type_);
            (format!("SELECT pg_catalog.unnest(pg_catalog.enum_range(CAST(NULL AS {name})))"), type_)
        } else {
            let Some((table, key, from)) = lookup::referenced(self.table, number) else { return Ok(false) };
            (format!("SELECT k.{} FROM {table} AS k", pgrx::spi::quote_identifier(key)), from)
        };
        let sql = CString::new(sql).unwrap_or_default();
        let query = unsecured(&sql, &Parameters::none())?;
        // SAFETY: the server made the query; what it reads lends values that are tried, and are not told.
        let rows = unsafe {
            require_nothing(query);
            run(query, &sql, &Parameters::none(), MOST_KEYS + 1, MOST_COST)?
        };
        let is_all = rows.len() as u64 <= MOST_KEYS;
        let column = self.column(number);
        for value in rows.into_iter().take(MOST_KEYS as usize).filter_map(|row| row.first().copied().flatten()) {
            fitting(type_, from, &text_of(from, value)).into_iter().for_each(|text| column.push(Some(text)));
        }
        Ok(is_all)
    }

    /// Adds the values that a comparison asks for; whether these are all that matter.
    ///
    /// # Safety
    /// As for `boolean`.
    unsafe fn is_known(&mut self, node: *mut pg_sys::Node) -> Result<bool, Undecidable> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            match (*node).type_ {
                // A column that is a condition by itself: all its values are tried.
                NodeTag::T_Var => {
                    let number = (*node.cast::<pg_sys::Var>()).varattno;
                    self.column(number);
                    Ok(true)
                }
                NodeTag::T_OpExpr | NodeTag::T_DistinctExpr => {
                    let call = &*node.cast::<pg_sys::OpExpr>();
                    let arguments = elements::<pg_sys::Node>(call.args);
                    let [left, right] = arguments.as_slice() else { return Ok(false) };
                    for (one, other) in [(*left, *right), (*right, *left)] {
                        if let (Some(number), true) = (self.free(one, 0), is_fixed(other)) {
                            let Some(is_equality) = comparison(call.opno) else { return Ok(false) };
                            let values = evaluated(other)?;
                            return Ok(self.add(number, pg_sys::exprType(other), values, is_equality));
                        }
                    }
                    Ok(false)
                }
                NodeTag::T_ScalarArrayOpExpr => {
                    let call = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                    let arguments = elements::<pg_sys::Node>(call.args);
                    let [left, right] = arguments.as_slice() else { return Ok(false) };
                    let Some(is_equality) = comparison(call.opno) else { return Ok(false) };
                    if let (Some(number), true) = (self.free(*left, 0), is_fixed(*right)) {
                        let type_ = pg_sys::get_base_element_type(pg_sys::exprType(*right));
                        let mut values = Vec::new();
                        for array in evaluated(*right)? {
                            values.extend(members(array, type_));
                        }
                        let is_all = values.len() <= MOST as usize;
                        values.truncate(MOST as usize);
                        return Ok(self.add(number, type_, values, is_equality) && is_all);
                    }
                    if let (Some(number), true, true) = (self.free(*right, 0), is_fixed(*left), call.useOr) {
                        let type_ = pg_sys::exprType(*left);
                        let lists = evaluated(*left)?.into_iter().map(|value| list(&text_of(type_, value)));
                        let column = self.column(number);
                        lists.chain(["{}".to_owned()]).for_each(|list| column.push(Some(list)));
                        return Ok(is_equality);
                    }
                    Ok(false)
                }
                NodeTag::T_SubLink => self.sub_query(node.cast()),
                _ => Ok(false),
            }
        }
    }

    /// Adds values of a type; whether these, and those beside them, are all that matter.
    pub(crate) fn add(
        &mut self,
        number: i16,
        type_: pg_sys::Oid,
        values: Vec<pg_sys::Datum>,
        is_equality: bool,
    ) -> bool {
        let column = self.column(number);
        for value in values {
            for text in fitting(column.type_, type_, &text_of(type_, value)) {
                column.push(Some(text));
            }
        }
        column.is_ordered |= !is_equality;
        is_equality || has_neighbours(column.type_)
    }

    /// The column, if it is one that may be set, of the row so many queries up.
    ///
    /// # Safety
    /// As for `boolean`.
    pub(crate) unsafe fn free(&self, node: *mut pg_sys::Node, level: u32) -> Option<i16> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            let node = stripped(node);
            if !is_a(node, NodeTag::T_Var) {
                return None;
            }
            let var = &*node.cast::<pg_sys::Var>();
            (var.varno == 1 && var.varlevelsup == level && var.varattno > 0 && (self.may_set)(var.varattno))
                .then_some(var.varattno)
        }
    }
}

impl Column {
    fn push(&mut self, value: Option<String>) {
        if !self.values.contains(&value) {
            self.values.push(value);
        }
    }

    /// Adds what is beside and between the values, and NULL.
    fn complete(&mut self, table: pg_sys::Oid) {
        // SAFETY: looks up the type.
        let base = unsafe { pg_sys::getBaseType(self.type_) };
        let known: Vec<String> = self.values.iter().flatten().cloned().collect();
        for value in neighbours(base, &known, self.is_ordered) {
            if self.type_ == base || is_value(self.type_, &value) {
                self.push(Some(value));
            }
        }
        if !privilege::is_not_null(table, self.number) && (!self.values.is_empty() || self.is_ordered) {
            self.push(None);
        }
    }
}

/// Whether an operator compares as an index does: `Some(true)` for equality, `Some(false)` for another order.
pub(crate) fn comparison(operator: pg_sys::Oid) -> Option<bool> {
    // SAFETY: looks up the operator; what comes back is a list of what it is in each family of operators.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        let meanings: Vec<bool> =
            elements::<pg_sys::OpBtreeInterpretation>(pg_sys::get_op_btree_interpretation(operator))
                .into_iter()
                .map(|meaning| (*meaning).strategy as u32 == pg_sys::BTEqualStrategyNumber)
                .collect();
        #[cfg(feature = "pg18")]
        let meanings: Vec<bool> =
            elements::<pg_sys::OpIndexInterpretation>(pg_sys::get_op_index_interpretation(operator))
                .into_iter()
                .map(|meaning| (*meaning).cmptype == pg_sys::CompareType::COMPARE_EQ)
                .collect();
        meanings.first().map(|_| meanings.contains(&true))
    }
}

/// The values of an expression that looks at no row: none if it is NULL.
///
/// # Safety
/// The expression must be valid.
unsafe fn evaluated(node: *mut pg_sys::Node) -> Result<Vec<pg_sys::Datum>, Undecidable> {
    // SAFETY: as the caller vouches; the statement has one column, in whose place a copy is put.
    unsafe {
        if is_a(node, NodeTag::T_Const) {
            let constant = &*node.cast::<pg_sys::Const>();
            return Ok(if constant.constisnull { Vec::new() } else { vec![constant.constvalue] });
        }
        let query = unsecured(c"SELECT NULL", &Parameters::none())?;
        if let [target] = elements::<pg_sys::TargetEntry>((*query).targetList).as_slice() {
            (**target).expr = pg_sys::copyObjectImpl(node.cast()).cast();
        }
        answers(query)
    }
}

/// What a query of one column answers, without NULL.
///
/// # Safety
/// The query must be valid.
pub(crate) unsafe fn answers(query: *mut pg_sys::Query) -> Result<Vec<pg_sys::Datum>, Undecidable> {
    // SAFETY: a copy of the query is run.
    let rows = unsafe {
        let query = pg_sys::copyObjectImpl(query.cast()).cast();
        run(query, c"", &Parameters::none(), MOST, MOST_COST)?
    };
    Ok(rows.into_iter().filter_map(|row| row.first().copied().flatten()).collect())
}

/// Puts columns of their own in the place of parts.
#[pg_guard]
unsafe extern "C-unwind" fn replace(node: *mut pg_sys::Node, context: *mut c_void) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the context is the list of parts, which are nodes of the expression that is copied.
    unsafe {
        let parts = &*context.cast::<Vec<*mut pg_sys::Node>>();
        match parts.iter().position(|part| *part == node) {
            Some(number) => {
                pg_sys::makeVar(1, CandidateValues::part(number), pg_sys::BOOLOID, -1, pg_sys::InvalidOid, 0).cast()
            }
            None => mutate(node, replace, context),
        }
    }
}
