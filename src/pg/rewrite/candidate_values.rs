//! Candidate values for the columns that a client sets, taken from the conditions of a qual, and
//! the residual conditions for which no value is known.

use super::boundary_values::{fitting, has_neighbours, is_value, list, members, neighbours};
use super::list::elements;
use super::mutate::mutate;
use super::qual::Qual;
use super::row_security::{Undecidable, require_nothing, run, unsecured};
use super::sublink;
use super::value::{Parameters, text_of};
use super::vars::{columns_of, is_fixed, stripped};
use super::walk::changed;
use crate::pg::catalog::{lookup, privilege};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::ffi::{CString, c_void};

/// Number of values taken from a sub-query or a list.
const MAX_VALUES: u64 = 24;
/// Number of values taken from the referenced key of a foreign key, or from an enum.
const MAX_KEYS: u64 = 200;
/// Planner cost above which a query for values is not run.
const MAX_COST: f64 = 50_000.0;
/// Column number that stands for the first residual condition.
const FIRST_RESIDUAL: i16 = 10_000;

/// A column that a qual reads and a client sets.
pub struct Column {
    /// `attnum`.
    pub number: i16,
    /// The oid of its type.
    pub type_: pg_sys::Oid,
    /// Candidate values as texts; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// Whether a residual condition reads it.
    pub is_opaque: bool,
    /// Whether a condition other than equality reads it.
    is_ordered: bool,
}

/// The columns of a qual with their candidate values.
pub struct CandidateValues {
    /// The columns that the qual reads and the client sets.
    pub columns: Vec<Column>,
    /// Conditions for which no value is known; nodes of the qual.
    residuals: Vec<*mut pg_sys::Node>,
}

impl CandidateValues {
    /// Collects the candidate values of a folded qual on `table`, for the columns that `may_set`
    /// admits. Runs sub-queries that do not read the row: call it as the client.
    pub fn collect(
        qual: Qual,
        table: pg_sys::Oid,
        may_set: &dyn Fn(i16) -> bool,
    ) -> Result<Self, Undecidable> {
        let found = Self { columns: Vec::new(), residuals: Vec::new() };
        let mut collector = Collector { table, may_set, found };
        // SAFETY: a list of valid expressions.
        unsafe {
            for term in elements::<pg_sys::Node>(qual.0) {
                collector.boolean(term)?;
            }
        }
        let mut found = collector.found;
        for column in &mut found.columns {
            column.complete(table);
        }
        Ok(found)
    }

    /// Number of residual conditions.
    pub fn residuals(&self) -> usize {
        self.residuals.len()
    }

    /// The column number that stands for a residual condition, counted from 0.
    pub fn residual_column(number: usize) -> i16 {
        FIRST_RESIDUAL + number as i16
    }

    /// The qual with a boolean column in place of each residual condition: see
    /// [`CandidateValues::residual_column`].
    pub fn relax(&self, qual: Qual) -> Qual {
        // SAFETY: a list of valid expressions, of which a copy is changed; the residuals are nodes
        // of it.
        unsafe {
            Qual(
                changed(
                    qual.0.cast(),
                    replace_residuals,
                    (&raw const self.residuals).cast_mut().cast(),
                )
                .cast(),
            )
        }
    }
}

struct Collector<'a> {
    table: pg_sys::Oid,
    may_set: &'a dyn Fn(i16) -> bool,
    found: CandidateValues,
}

impl Collector<'_> {
    fn column(&mut self, number: i16) -> &mut Column {
        let columns = &mut self.found.columns;
        let place =
            columns.iter().position(|column| column.number == number).unwrap_or_else(|| {
                // SAFETY: looks up the column's type.
                let type_ = unsafe { pg_sys::get_atttype(self.table, number) };
                columns.push(Column {
                    number,
                    type_,
                    values: Vec::new(),
                    is_opaque: false,
                    is_ordered: false,
                });
                columns.len() - 1
            });
        &mut columns[place]
    }

    /// Collects from a boolean expression.
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
                NodeTag::T_CoalesceExpr => {
                    self.booleans((*node.cast::<pg_sys::CoalesceExpr>()).args)
                }
                NodeTag::T_BooleanTest => {
                    self.boolean((*node.cast::<pg_sys::BooleanTest>()).arg.cast())
                }
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
                        // An ordered column gets NULL and other values in any case.
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
        unsafe {
            elements::<pg_sys::Node>(list).into_iter().try_for_each(|node| self.boolean(node))
        }
    }

    /// # Safety
    /// As for `boolean`.
    unsafe fn leaf(&mut self, node: *mut pg_sys::Node) -> Result<(), Undecidable> {
        // SAFETY: as the caller vouches.
        unsafe {
            let columns = columns_of(node, 0).ok_or(Undecidable::WholeRow)?;
            let free: Vec<i16> =
                columns.into_iter().filter(|column| (self.may_set)(*column)).collect();
            if free.is_empty() || self.is_known(node)? {
                return Ok(());
            }
            let mut is_all = true;
            for number in free {
                let is_finite = self.add_domain(number)?;
                self.column(number).is_opaque |= !is_finite;
                is_all &= is_finite;
            }
            if !is_all {
                self.found.residuals.push(node);
            }
            Ok(())
        }
    }

    /// Adds every possible value of a boolean, an enum, or a foreign key. Returns whether these are
    /// all values that the column can have.
    fn add_domain(&mut self, number: i16) -> Result<bool, Undecidable> {
        let type_ = self.column(number).type_;
        if type_ == pg_sys::BOOLOID {
            return Ok(true);
        }
        // SAFETY: looks up the type.
        let (sql, from) = if unsafe { pg_sys::get_typtype(type_) } as u8 == pg_sys::TYPTYPE_ENUM {
            let name = lookup::qualified_type_name(type_);
            (
                format!("SELECT pg_catalog.unnest(pg_catalog.enum_range(CAST(NULL AS {name})))"),
                type_,
            )
        } else {
            let Some((table, key, from)) = lookup::referenced(self.table, number) else {
                return Ok(false);
            };
            (format!("SELECT k.{} FROM {table} AS k", pgrx::spi::quote_identifier(key)), from)
        };
        let sql = CString::new(sql).unwrap_or_default();
        let query = unsecured(&sql, &Parameters::none())?;
        // SAFETY: the server made the query. It bypasses privileges, because the values are tried
        // and not reported.
        let rows = unsafe {
            require_nothing(query);
            run(query, &sql, &Parameters::none(), MAX_KEYS + 1, MAX_COST)?
        };
        let is_all = rows.len() as u64 <= MAX_KEYS;
        let column = self.column(number);
        for value in rows
            .into_iter()
            .take(MAX_KEYS as usize)
            .filter_map(|row| row.first().copied().flatten())
        {
            fitting(type_, from, &text_of(from, value))
                .into_iter()
                .for_each(|text| column.push(Some(text)));
        }
        Ok(is_all)
    }

    /// Adds the values that a comparison names. Returns whether no other value matters.
    ///
    /// # Safety
    /// As for `boolean`.
    unsafe fn is_known(&mut self, node: *mut pg_sys::Node) -> Result<bool, Undecidable> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            match (*node).type_ {
                // A boolean column: `complete` adds both values.
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
                            let Some(is_equality) = lookup::comparison(call.opno) else {
                                return Ok(false);
                            };
                            let values = evaluated(other)?;
                            return Ok(self.add(
                                number,
                                pg_sys::exprType(other),
                                values,
                                is_equality,
                            ));
                        }
                    }
                    Ok(false)
                }
                NodeTag::T_ScalarArrayOpExpr => {
                    let call = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                    let arguments = elements::<pg_sys::Node>(call.args);
                    let [left, right] = arguments.as_slice() else { return Ok(false) };
                    let Some(is_equality) = lookup::comparison(call.opno) else { return Ok(false) };
                    if let (Some(number), true) = (self.free(*left, 0), is_fixed(*right)) {
                        let type_ = pg_sys::get_base_element_type(pg_sys::exprType(*right));
                        let mut values = Vec::new();
                        for array in evaluated(*right)? {
                            values.extend(members(array, type_));
                        }
                        let is_all = values.len() <= MAX_VALUES as usize;
                        values.truncate(MAX_VALUES as usize);
                        return Ok(self.add(number, type_, values, is_equality) && is_all);
                    }
                    if let (Some(number), true, true) =
                        (self.free(*right, 0), is_fixed(*left), call.useOr)
                    {
                        let type_ = pg_sys::exprType(*left);
                        let lists =
                            evaluated(*left)?.into_iter().map(|value| list(&text_of(type_, value)));
                        let column = self.column(number);
                        lists.chain(["{}".to_owned()]).for_each(|list| column.push(Some(list)));
                        return Ok(is_equality);
                    }
                    Ok(false)
                }
                NodeTag::T_SubLink => {
                    let found =
                        sublink::comparisons(node.cast(), &|node, level| self.free(node, level));
                    let Some(comparisons) = found else { return Ok(false) };
                    let mut is_all = true;
                    for compared in comparisons {
                        let values = answers(compared.query)?;
                        is_all &= values.len() < MAX_VALUES as usize;
                        is_all &=
                            self.add(compared.column, compared.type_, values, compared.is_equality);
                    }
                    Ok(is_all)
                }
                _ => Ok(false),
            }
        }
    }

    /// Adds values of a type to a column. Returns whether no value but these and their neighbours
    /// matters.
    fn add(
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

    /// The column number, if the expression is a column of the row `level` queries up that may be
    /// set.
    ///
    /// # Safety
    /// As for `boolean`.
    unsafe fn free(&self, node: *mut pg_sys::Node, level: u32) -> Option<i16> {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            let node = stripped(node);
            if !is_a(node, NodeTag::T_Var) {
                return None;
            }
            let var = &*node.cast::<pg_sys::Var>();
            (var.varno == 1
                && var.varlevelsup == level
                && var.varattno > 0
                && (self.may_set)(var.varattno))
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

    /// Adds neighbours of the values, and NULL.
    fn complete(&mut self, table: pg_sys::Oid) {
        // SAFETY: looks up the type.
        let base = unsafe { pg_sys::getBaseType(self.type_) };
        let known: Vec<String> = self.values.iter().flatten().cloned().collect();
        for value in neighbours(base, &known, self.is_ordered) {
            if self.type_ == base || is_value(self.type_, &value) {
                self.push(Some(value));
            }
        }
        if !privilege::is_not_null(table, self.number)
            && (!self.values.is_empty() || self.is_ordered)
        {
            self.push(None);
        }
    }
}

/// The value of an expression that reads no row; empty if it is NULL.
///
/// # Safety
/// The expression must be valid.
pub(crate) unsafe fn evaluated(node: *mut pg_sys::Node) -> Result<Vec<pg_sys::Datum>, Undecidable> {
    // SAFETY: as the caller vouches; a copy replaces the only column of the statement.
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

/// The values of a query of one column, without NULL.
///
/// # Safety
/// The query must be valid.
unsafe fn answers(query: *mut pg_sys::Query) -> Result<Vec<pg_sys::Datum>, Undecidable> {
    // SAFETY: a copy of the query is run.
    let rows = unsafe {
        let query = pg_sys::copyObjectImpl(query.cast()).cast();
        run(query, c"", &Parameters::none(), MAX_VALUES, MAX_COST)?
    };
    Ok(rows.into_iter().filter_map(|row| row.first().copied().flatten()).collect())
}

#[pg_guard]
unsafe extern "C-unwind" fn replace_residuals(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the context is the list of residuals, which are nodes of the expression that is
    // copied.
    unsafe {
        let residuals = &*context.cast::<Vec<*mut pg_sys::Node>>();
        match residuals.iter().position(|residual| *residual == node) {
            Some(number) => {
                let column = CandidateValues::residual_column(number);
                pg_sys::makeVar(1, column, pg_sys::BOOLOID, -1, pg_sys::InvalidOid, 0).cast()
            }
            None => mutate(node, replace_residuals, context),
        }
    }
}
