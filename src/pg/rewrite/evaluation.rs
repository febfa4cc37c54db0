//! The parts of a policy expression, and their values for a row that is given by its columns.

use super::list::elements;
use super::mutate::inline_scalar_select;
use super::qual::Qual;
use super::row_security::{RelationRef, Undecidable, parsed, run, unsecured};
use super::value::Parameters;
use super::walk::{changed, walk};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};

/// A column of a row: number, type and value; `None` is NULL. Number -6 is tableoid.
pub type RowColumn = (i16, pg_sys::Oid, Option<pg_sys::Datum>);

/// The number of the system column tableoid.
pub const TABLEOID: i16 = -6;

/// A condition, taken apart at its ANDs and ORs.
pub enum Condition {
    /// Each of them must hold.
    All(Vec<Self>),
    /// One of them must hold.
    Any(Vec<Self>),
    /// Any other expression.
    Term(Qual),
}

impl Condition {
    /// Takes a qual apart. Equal expressions are taken apart equally.
    pub fn of(qual: Qual) -> Self {
        // SAFETY: a list of valid expressions.
        let mut parts: Vec<Self> =
            unsafe { elements(qual.0).into_iter().map(|node| split(node)).collect() };
        if parts.len() == 1 { parts.remove(0) } else { Self::All(parts) }
    }
}

/// # Safety
/// The expression must be valid.
unsafe fn split(node: *mut pg_sys::Node) -> Condition {
    // SAFETY: the tag says which struct the node is.
    unsafe {
        if is_a(node, NodeTag::T_BoolExpr) {
            let expression = &*node.cast::<pg_sys::BoolExpr>();
            let parts = || elements(expression.args).into_iter().map(|part| split(part)).collect();
            match expression.boolop {
                pg_sys::BoolExprType::AND_EXPR => return Condition::All(parts()),
                pg_sys::BoolExprType::OR_EXPR => return Condition::Any(parts()),
                _ => {}
            }
        }
        Condition::Term(Qual::one(node))
    }
}

/// The text of a pg_node_tree as a qual, before the server rewrites it: views in it are views.
pub fn unrewritten(tree: &CStr) -> Qual {
    // SAFETY: a NUL-terminated text; the server raises for anything that is not a node.
    Qual::one(unsafe { pg_sys::stringToNode(tree.as_ptr()).cast() })
}

/// The expression that fills a column that an INSERT leaves out, or a generated column; `None` if
/// that is NULL.
pub fn default_of(table: pg_sys::Oid, column: i16) -> Option<Qual> {
    // SAFETY: the table is open while the server builds the expression, which is a copy. The lock
    // is held until the transaction or subtransaction ends.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let expression = pg_sys::build_column_default(relation, column.into());
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        (!expression.is_null()).then(|| Qual::one(expression))
    }
}

/// The values of expressions on a table's row, as the current user. Privileges on the tables of
/// their sub-queries are checked, those on the table itself are not.
///
/// The values are copied into the current memory context.
pub fn values_for(
    expressions: &[Qual],
    on: &RelationRef,
    row: &[RowColumn],
) -> Result<Vec<Option<pg_sys::Datum>>, Undecidable> {
    let sql = c"SELECT true";
    let query = unsecured(sql, &Parameters::none())?;
    let table = CString::new(format!("SELECT FROM {}", on.name)).unwrap_or_default();
    let table = parsed(&table, &Parameters::none())?;
    // SAFETY: the server made the query, which has no FROM. The expressions are copies in which
    // constants replace the columns of the row.
    unsafe {
        let tables = elements::<pg_sys::RangeTblEntry>((*table).rtable);
        let [table] = tables.as_slice() else { return Err(Undecidable::Rewritten) };
        let mut targets: *mut pg_sys::List = std::ptr::null_mut();
        for (i, expression) in expressions.iter().enumerate() {
            let node = pg_sys::make_ands_explicit(with_row(*expression, *table, row));
            let name = pg_sys::pstrdup(c"value".as_ptr());
            let target = pg_sys::makeTargetEntry(node, i as i16 + 1, name, false);
            targets = pg_sys::lappend(targets, target.cast());
        }
        (*query).targetList = targets;
        let rows = run(query, sql, &Parameters::none(), 1, f64::MAX)?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }
}

/// The expressions of a qual with the row's values in place of its columns.
///
/// # Safety
/// The entry must be that of the qual's table, with a lock, and each value of its column's type.
unsafe fn with_row(
    qual: Qual,
    table: *mut pg_sys::RangeTblEntry,
    row: &[RowColumn],
) -> *mut pg_sys::List {
    // SAFETY: changes a copy. The server expands whole-row references by the entry.
    unsafe {
        let targets = row.iter().fold(std::ptr::null_mut(), |targets, (number, type_, value)| {
            let (mut length, mut by_value) = (0, false);
            pg_sys::get_typlenbyval(*type_, &mut length, &mut by_value);
            let collation = pg_sys::get_typcollation(*type_);
            let (is_null, value) = (value.is_none(), value.unwrap_or(pg_sys::Datum::null()));
            let constant =
                pg_sys::makeConst(*type_, -1, collation, length.into(), value, is_null, by_value);
            let target =
                pg_sys::makeTargetEntry(constant.cast(), *number, std::ptr::null_mut(), false);
            pg_sys::lappend(targets, target.cast())
        });
        let mut has_sublinks = true;
        let node = pg_sys::ReplaceVarsFromTargetList(
            super::mutate::copy(qual.0).cast(),
            1,
            0,
            table,
            targets,
            #[cfg(feature = "pg18")]
            0,
            pg_sys::ReplaceVarsNoMatchOption::REPLACEVARS_REPORT_ERROR,
            1,
            &mut has_sublinks,
        );
        node.cast()
    }
}

/// Relations and functions that an expression uses, by oid.
#[derive(Default)]
pub struct Objects {
    /// Relations that its sub-queries read.
    pub relations: BTreeSet<u32>,
    /// Functions that it calls by name.
    pub functions: BTreeSet<u32>,
    /// Functions that it runs by another name: aggregates, and those of operators and casts.
    pub other_functions: BTreeSet<u32>,
    /// Types of users among its values: their input functions check the constraints of domains.
    pub types: BTreeSet<u32>,
}

impl Objects {
    fn add_type(&mut self, type_: pg_sys::Oid) {
        if type_.to_u32() >= pg_sys::FirstNormalObjectId {
            self.types.insert(type_.to_u32());
        }
    }

    /// # Safety
    /// The list must be one of type oids.
    unsafe fn add_types(&mut self, types: *mut pg_sys::List) {
        // SAFETY: as the caller vouches; NIL has no cells.
        unsafe {
            for cell in 0..types.as_ref().map_or(0, |types| types.length as usize) {
                self.add_type((*(*types).elements.add(cell)).oid_value);
            }
        }
    }
}

/// The relations and functions of an expression and its sub-queries.
pub fn objects(qual: Qual) -> Objects {
    // SAFETY: a list of valid expressions.
    unsafe { objects_of(qual.0.cast()) }
}

/// As [`objects`], of any node.
///
/// # Safety
/// The node must be valid.
pub(crate) unsafe fn objects_of(node: *mut pg_sys::Node) -> Objects {
    let mut objects = Objects::default();
    // SAFETY: as the caller vouches; the context outlives the walk.
    unsafe { walk(node, find_objects, (&raw mut objects).cast()) };
    objects
}

#[pg_guard]
unsafe extern "C-unwind" fn find_objects(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `objects`.
    unsafe {
        let objects = &mut *context.cast::<Objects>();
        match (*node).type_ {
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                objects.functions.insert(call.funcid.to_u32());
                objects.add_type(call.funcresulttype);
            }
            NodeTag::T_Const
            | NodeTag::T_Var
            | NodeTag::T_Param
            | NodeTag::T_CoerceToDomain
            | NodeTag::T_CoerceViaIO
            | NodeTag::T_ArrayCoerceExpr
            | NodeTag::T_RelabelType
            | NodeTag::T_ConvertRowtypeExpr
            | NodeTag::T_RowExpr
            | NodeTag::T_ArrayExpr => objects.add_type(pg_sys::exprType(node)),
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            NodeTag::T_JsonExpr => objects.add_type(pg_sys::exprType(node)),
            NodeTag::T_RangeTblFunction => {
                objects.add_types((*node.cast::<pg_sys::RangeTblFunction>()).funccoltypes);
            }
            NodeTag::T_TableFunc => {
                objects.add_types((*node.cast::<pg_sys::TableFunc>()).coltypes);
            }
            NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                for table in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
                    if (*table).rtekind == pg_sys::RTEKind::RTE_RELATION {
                        objects.relations.insert((*table).relid.to_u32());
                    }
                }
                return pg_sys::query_tree_walker(query, Some(find_objects), context, 0);
            }
            _ => {
                pg_sys::check_functions_in_node(node, Some(note_function), context);
            }
        }
        pg_sys::expression_tree_walker(node, Some(find_objects), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn note_function(function: pg_sys::Oid, context: *mut c_void) -> bool {
    // SAFETY: the context is that of `objects`.
    unsafe { (*context.cast::<Objects>()).other_functions.insert(function.to_u32()) };
    false
}

/// A sub-expression that depends on the request and not on any row.
pub struct RequestValue {
    /// The sub-expression.
    pub expression: Qual,
    /// Whether it is made of claims and settings alone, without functions that read tables.
    pub is_claim: bool,
}

struct RequestValues<'a> {
    identity_functions: &'a [pg_sys::Oid],
    found: Vec<*mut pg_sys::Node>,
}

/// The largest sub-expressions that depend on the request and not on any row; none that are
/// boolean.
pub fn request_values(qual: Qual, identity_functions: &[pg_sys::Oid]) -> Vec<RequestValue> {
    let mut search = RequestValues { identity_functions, found: Vec::new() };
    // SAFETY: works on a copy of a list of valid expressions; the context outlives the walks.
    unsafe {
        let copy = changed(
            pg_sys::copyObjectImpl(qual.0.cast()).cast(),
            inline_scalar_select,
            std::ptr::null_mut(),
        );
        walk(copy, find_request_values, (&raw mut search).cast());
        let mut distinct: Vec<*mut pg_sys::Node> = Vec::new();
        for node in std::mem::take(&mut search.found) {
            if !distinct.iter().any(|known| pg_sys::equal((*known).cast(), node.cast())) {
                distinct.push(node);
            }
        }
        let value = |node: *mut pg_sys::Node| RequestValue {
            expression: Qual::one(node),
            is_claim: !walk(node, reads_more_than_claims, (&raw mut search).cast()),
        };
        distinct.into_iter().map(value).collect()
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn find_request_values(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `request_values`.
    unsafe {
        let is_value = matches!(
            (*node).type_,
            NodeTag::T_FuncExpr
                | NodeTag::T_OpExpr
                | NodeTag::T_NullIfExpr
                | NodeTag::T_CoerceViaIO
                | NodeTag::T_RelabelType
                | NodeTag::T_ArrayCoerceExpr
                | NodeTag::T_CoalesceExpr
                | NodeTag::T_CaseExpr
                | NodeTag::T_SubscriptingRef
                | NodeTag::T_SQLValueFunction
        );
        if is_value
            && pg_sys::exprType(node) != pg_sys::BOOLOID
            && !walk(node, depends_on_rows, std::ptr::null_mut())
            && pg_sys::contain_mutable_functions(node)
        {
            (*context.cast::<RequestValues<'_>>()).found.push(node);
            return false;
        }
        if is_a(node, NodeTag::T_Query) {
            return pg_sys::query_tree_walker(node.cast(), Some(find_request_values), context, 0);
        }
        pg_sys::expression_tree_walker(node, Some(find_request_values), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn depends_on_rows(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is.
    unsafe {
        match (*node).type_ {
            NodeTag::T_Var
            | NodeTag::T_Param
            | NodeTag::T_Aggref
            | NodeTag::T_WindowFunc
            | NodeTag::T_SubLink => true,
            _ => pg_sys::expression_tree_walker(node, Some(depends_on_rows), context),
        }
    }
}

/// Whether an expression calls a function that may read more than claims and settings.
#[pg_guard]
unsafe extern "C-unwind" fn reads_more_than_claims(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `request_values`.
    unsafe {
        let is_plain = |function: pg_sys::Oid| {
            let search = &*context.cast::<RequestValues<'_>>();
            // Fixed oids of current_setting(text) and current_setting(text, boolean).
            search.identity_functions.contains(&function)
                || [2077, 3294].contains(&function.to_u32())
                || (function.to_u32() < pg_sys::FirstNormalObjectId
                    && pg_sys::func_volatile(function) as u8 == pg_sys::PROVOLATILE_IMMUTABLE)
        };
        let is_plain = match (*node).type_ {
            NodeTag::T_FuncExpr => is_plain((*node.cast::<pg_sys::FuncExpr>()).funcid),
            NodeTag::T_OpExpr | NodeTag::T_NullIfExpr => {
                is_plain(pg_sys::get_opcode((*node.cast::<pg_sys::OpExpr>()).opno))
            }
            _ => true,
        };
        !is_plain || pg_sys::expression_tree_walker(node, Some(reads_more_than_claims), context)
    }
}

/// The type of a qual that is one expression.
pub fn type_of(expression: Qual) -> pg_sys::Oid {
    // SAFETY: a list of valid expressions; the type of a missing one is InvalidOid.
    unsafe {
        let node = elements::<pg_sys::Node>(expression.0).first().copied();
        pg_sys::exprType(node.unwrap_or(std::ptr::null_mut()))
    }
}

/// Whether a qual is a test of whether a sub-query finds a row: EXISTS or IN.
pub fn is_existence_test(expression: Qual) -> bool {
    // SAFETY: a list of valid expressions; the tag says which struct a node is.
    unsafe {
        let nodes = elements::<pg_sys::Node>(expression.0);
        let [node] = nodes.as_slice() else { return false };
        is_a(*node, NodeTag::T_SubLink)
            && matches!(
                (*node.cast::<pg_sys::SubLink>()).subLinkType,
                pg_sys::SubLinkType::EXISTS_SUBLINK | pg_sys::SubLinkType::ANY_SUBLINK
            )
    }
}
