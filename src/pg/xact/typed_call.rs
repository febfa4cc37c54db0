//! Whether a function call is one that the client typed.

use crate::pg::rewrite::list::elements;
use pgrx::{is_a, pg_sys};
use std::ffi::CStr;

/// Plan nodes between the top of a plan and the one that computes its target list.
const MAX_DEPTH: usize = 16;

/// Whether the call is the only target, or the only FROM item, of a SELECT that the client sent.
///
/// Then the user of the session knows of it. A call in the body of a function, a view, a rule or a
/// trigger is none of these, and neither is EXECUTE of a statement that SQL prepared. Two things
/// must agree. The text that the client sent has the call at the place that the call's expression
/// remembers: stored expressions remember none. And the running plan computes this very
/// expression, so a call in an inlined function body cannot pass for it. CREATE TABLE AS plans a
/// copy, so there the text alone decides.
#[allow(clippy::not_unsafe_ptr_arg_deref)]
pub fn is_typed(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the server passes a valid call to each function. Its expression, the portal and the
    // text of the client live as long as the call. The text is NUL-terminated.
    unsafe {
        let flinfo = (*call).flinfo;
        if flinfo.is_null() || (*flinfo).fn_expr.is_null() || !is_a((*flinfo).fn_expr, FUNC_EXPR) {
            return false;
        }
        let expression: *mut pg_sys::FuncExpr = (*flinfo).fn_expr.cast();
        let (portal, text) = (pg_sys::ActivePortal, pg_sys::debug_query_string);
        if portal.is_null() || text.is_null() || (*portal).sourceText.is_null() {
            return false;
        }
        let text = CStr::from_ptr(text);
        if CStr::from_ptr((*portal).sourceText) != text {
            return false;
        }
        let place = (*expression).location;
        let Some(statement) = statement_at(text, place) else { return false };
        match place_in(statement, place) {
            Some(Place::Target) => {
                plan_of(portal).is_some_and(|plan| first_targets(plan).contains(&expression.cast()))
            }
            Some(Place::From) => plan_of(portal).is_some_and(|plan| is_scan_of(plan, expression)),
            Some(Place::TableContent) => true,
            None => false,
        }
    }
}

const FUNC_EXPR: pg_sys::NodeTag = pg_sys::NodeTag::T_FuncExpr;

/// The place of a call in a statement.
enum Place {
    /// The only target of a SELECT.
    Target,
    /// The only FROM item of a SELECT.
    From,
    /// The only expression of CREATE TABLE AS SELECT.
    TableContent,
}

/// The raw statement of `text` that contains the byte at `place`.
///
/// # Safety
/// The result is allocated in the current memory context.
unsafe fn statement_at(text: &CStr, place: i32) -> Option<*mut pg_sys::Node> {
    if place < 0 {
        return None;
    }
    // SAFETY: a NUL-terminated text that the server has parsed before. It returns raw statements.
    unsafe {
        let parsed = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let holds = |raw: &*mut pg_sys::RawStmt| {
            let (start, length) = ((**raw).stmt_location, (**raw).stmt_len);
            start <= place && (length == 0 || place < start + length)
        };
        elements::<pg_sys::RawStmt>(parsed).into_iter().find(holds).map(|raw| (*raw).stmt)
    }
}

/// The place of the call that begins at `place`.
///
/// # Safety
/// The statement must be a raw one.
unsafe fn place_in(statement: *mut pg_sys::Node, place: i32) -> Option<Place> {
    // SAFETY: each node has the type of its tag.
    unsafe {
        let is_table = is_a(statement, pg_sys::NodeTag::T_CreateTableAsStmt);
        let query = match is_table {
            true => (*statement.cast::<pg_sys::CreateTableAsStmt>()).query,
            false => statement,
        };
        if query.is_null() || !is_a(query, pg_sys::NodeTag::T_SelectStmt) {
            return None;
        }
        let select: *mut pg_sys::SelectStmt = query.cast();
        if (*select).op != pg_sys::SetOperation::SETOP_NONE || !(*select).withClause.is_null() {
            return None;
        }
        let targets = elements::<pg_sys::ResTarget>((*select).targetList);
        let items = elements::<pg_sys::Node>((*select).fromClause);
        if let [target] = targets.as_slice()
            && is_call_at((*(*target)).val, place)
        {
            return match (is_table, items.is_empty()) {
                (false, _) => Some(Place::Target),
                (true, true) => Some(Place::TableContent),
                (true, false) => None,
            };
        }
        let [item] = items.as_slice() else { return None };
        if is_table || !is_a(*item, pg_sys::NodeTag::T_RangeFunction) {
            return None;
        }
        let functions = (*item.cast::<pg_sys::RangeFunction>()).functions;
        let [function] = elements::<pg_sys::List>(functions)[..] else { return None };
        let call = elements::<pg_sys::Node>(function).first().copied()?;
        is_call_at(call, place).then_some(Place::From)
    }
}

/// Whether a raw expression is the call at `place`, or tests or casts its result.
///
/// # Safety
/// The expression must be a raw one.
unsafe fn is_call_at(mut expression: *mut pg_sys::Node, place: i32) -> bool {
    // SAFETY: each node has the type of its tag.
    unsafe {
        loop {
            if expression.is_null() {
                return false;
            }
            expression = match (*expression).type_ {
                pg_sys::NodeTag::T_NullTest => (*expression.cast::<pg_sys::NullTest>()).arg.cast(),
                pg_sys::NodeTag::T_TypeCast => (*expression.cast::<pg_sys::TypeCast>()).arg,
                pg_sys::NodeTag::T_FuncCall => {
                    return (*expression.cast::<pg_sys::FuncCall>()).location == place;
                }
                _ => return false,
            };
        }
    }
}

/// The plan of the portal's only statement, if that is planned.
///
/// # Safety
/// The portal must be valid.
unsafe fn plan_of(portal: pg_sys::Portal) -> Option<*mut pg_sys::Plan> {
    // SAFETY: a portal's statements are planned ones; a utility statement has no plan.
    unsafe {
        let [statement] = elements::<pg_sys::PlannedStmt>((*portal).stmts)[..] else { return None };
        let plan = (*statement).planTree;
        (!plan.is_null()).then_some(plan)
    }
}

/// The first target of the top node and of the nodes below it on the outer side, without tests and
/// casts. Sort and Limit compute nothing and leave the target to a node below.
///
/// # Safety
/// The plan must be valid.
unsafe fn first_targets(mut plan: *mut pg_sys::Plan) -> Vec<*mut pg_sys::Node> {
    let mut targets = Vec::new();
    // SAFETY: a target list holds target entries; each expression has the type of its tag.
    unsafe {
        while !plan.is_null() && targets.len() < MAX_DEPTH {
            if let Some(entry) = elements::<pg_sys::TargetEntry>((*plan).targetlist).first() {
                let mut expression: *mut pg_sys::Node = (**entry).expr.cast();
                while !expression.is_null() {
                    expression = match (*expression).type_ {
                        pg_sys::NodeTag::T_NullTest => {
                            (*expression.cast::<pg_sys::NullTest>()).arg.cast()
                        }
                        pg_sys::NodeTag::T_RelabelType => {
                            (*expression.cast::<pg_sys::RelabelType>()).arg.cast()
                        }
                        pg_sys::NodeTag::T_CoerceViaIO => {
                            (*expression.cast::<pg_sys::CoerceViaIO>()).arg.cast()
                        }
                        _ => break,
                    };
                }
                targets.push(expression);
            }
            plan = (*plan).lefttree;
        }
    }
    targets
}

/// Whether the plan is a scan of the result of this very call.
///
/// # Safety
/// The plan must be valid.
unsafe fn is_scan_of(plan: *mut pg_sys::Plan, call: *mut pg_sys::FuncExpr) -> bool {
    // SAFETY: a FunctionScan holds functions of the range table.
    unsafe {
        if !is_a(plan.cast(), pg_sys::NodeTag::T_FunctionScan) {
            return false;
        }
        let functions = (*plan.cast::<pg_sys::FunctionScan>()).functions;
        let functions = elements::<pg_sys::RangeTblFunction>(functions);
        functions.first().is_some_and(|function| (**function).funcexpr == call.cast())
    }
}
