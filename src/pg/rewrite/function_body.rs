//! Queries of functions in place of their calls, also of SECURITY DEFINER functions, so that the
//! tables that decide about access can be seen and supposed to be different.

use super::boundary_values::members;
use super::function_source::{returned, without_comments};
use super::list::elements;
use super::mutate::{mutate, mutate_query};
use super::qual::Qual;
use super::relations::relations_of;
use super::value::text_of;
use super::walk::changed;
use crate::pg::xact::sec_context;
use crate::pg::xact::subtransaction::isolated;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{is_a, pg_guard};
use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString, c_void};

copied_for!("pg15" "pg16" "pg17" "pg18": "the parser of SQL functions, executor/functions.h");

/// How many functions call one another at most.
const MAX_DEPTH: usize = 5;
/// `pg_language.oid` of SQL.
const SQL_LANGUAGE: u32 = 14;

// executor/functions.h and rewrite/rewriteDefine.h, which pgrx does not declare.
unsafe extern "C-unwind" {
    fn prepare_sql_fn_parse_info(
        function: pg_sys::HeapTuple,
        call: *mut pg_sys::Node,
        collation: pg_sys::Oid,
    ) -> *mut c_void;
    fn sql_fn_parser_setup(state: *mut pg_sys::ParseState, info: *mut c_void);
    fn setRuleCheckAsUser(node: *mut pg_sys::Node, user: pg_sys::Oid);
}

/// A qual with the queries of functions in place of their calls.
pub struct Inlined {
    /// The qual; it means the same.
    pub qual: Qual,
    /// Functions written in SQL or PL/pgSQL whose calls are left, because their bodies are more
    /// than one query.
    pub opaque: BTreeSet<u32>,
}

/// Replaces the calls of functions that read tables. The functions in `kept`, and those of the
/// server, are left as they are.
pub fn inlined(qual: Qual, kept: &[pg_sys::Oid]) -> Inlined {
    let mut inlining = Inlining {
        kept,
        path: Vec::new(),
        user: pg_sys::InvalidOid,
        known: HashMap::new(),
        opaque: BTreeSet::new(),
    };
    // SAFETY: a list of valid expressions, of which a copy is changed.
    let qual = unsafe { Qual(changed(qual.0.cast(), inline, (&raw mut inlining).cast()).cast()) };
    Inlined { qual, opaque: inlining.opaque }
}

struct Inlining<'a> {
    kept: &'a [pg_sys::Oid],
    /// The functions whose bodies are being inlined, outermost first.
    path: Vec<u32>,
    /// The owner of the SECURITY DEFINER function around the present node; `InvalidOid` if the
    /// current user evaluates it.
    user: pg_sys::Oid,
    /// Rewritten bodies with `Param` nodes for arguments, by function and user; `None` for
    /// functions that are left.
    known: HashMap<(u32, u32), Option<*mut pg_sys::Query>>,
    opaque: BTreeSet<u32>,
}

#[pg_guard]
unsafe extern "C-unwind" fn inline(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `inlined`.
    unsafe {
        match (*node).type_ {
            NodeTag::T_FuncExpr => {
                let call: *mut pg_sys::FuncExpr = mutate(node, inline, context).cast();
                if (*call).funcretset {
                    return call.cast();
                }
                match (*context.cast::<Inlining<'_>>()).of_call(call, 1) {
                    Some(body) => scalar(body),
                    None => call.cast(),
                }
            }
            NodeTag::T_Query => {
                let query = mutate_query(node.cast(), inline, context);
                (*query).hasSubLinks = true;
                (*context.cast::<Inlining<'_>>()).sets(query).cast()
            }
            _ => mutate(node, inline, context),
        }
    }
}

/// A scalar sub-query.
///
/// # Safety
/// The query must be valid and return one column.
unsafe fn scalar(body: *mut pg_sys::Query) -> *mut pg_sys::Node {
    // SAFETY: a new node of this tag.
    unsafe {
        if (*body).limitCount.is_null() && !(*body).hasAggs {
            // A function that returns no set returns its first row.
            let one = pg_sys::makeConst(
                pg_sys::INT8OID,
                -1,
                pg_sys::InvalidOid,
                8,
                1_i64.into(),
                false,
                true,
            );
            (*body).limitCount = one.cast();
        }
        let link: *mut pg_sys::SubLink =
            pg_sys::palloc0(std::mem::size_of::<pg_sys::SubLink>()).cast();
        (*link).xpr.type_ = NodeTag::T_SubLink;
        (*link).subLinkType = pg_sys::SubLinkType::EXPR_SUBLINK;
        (*link).subselect = body.cast();
        (*link).location = -1;
        link.cast()
    }
}

impl Inlining<'_> {
    /// Replaces functions that return sets: in FROM, and as the only target of a query.
    ///
    /// # Safety
    /// The query must be a valid copy.
    unsafe fn sets(&mut self, query: *mut pg_sys::Query) -> *mut pg_sys::Query {
        // SAFETY: the tag says which struct a node is.
        unsafe {
            for entry in elements::<pg_sys::RangeTblEntry>((*query).rtable) {
                let functions = elements::<pg_sys::RangeTblFunction>((*entry).functions);
                let ([function], false) = (functions.as_slice(), (*entry).funcordinality) else {
                    continue;
                };
                let call = (**function).funcexpr;
                if (*entry).rtekind != pg_sys::RTEKind::RTE_FUNCTION
                    || !is_a(call, NodeTag::T_FuncExpr)
                {
                    continue;
                }
                if let Some(body) = self.of_call(call.cast(), 1)
                    && columns(body) == (**function).funccolcount as usize
                {
                    (*entry).rtekind = pg_sys::RTEKind::RTE_SUBQUERY;
                    (*entry).subquery = body;
                    (*entry).functions = std::ptr::null_mut();
                }
            }
            let from_nothing = (*query).rtable.is_null()
                && (*query).setOperations.is_null()
                && (*(*query).jointree).quals.is_null();
            if let ([target], true) =
                (elements::<pg_sys::TargetEntry>((*query).targetList).as_slice(), from_nothing)
                && is_a((**target).expr.cast(), NodeTag::T_FuncExpr)
                && (*(**target).expr.cast::<pg_sys::FuncExpr>()).funcretset
                && let Some(body) = self.of_call((**target).expr.cast(), 0)
                && columns(body) == 1
            {
                return body;
            }
            query
        }
    }

    /// The query of a call, so many queries below the call's own; `None` if the call is to be left.
    ///
    /// # Safety
    /// The call must be valid.
    unsafe fn of_call(
        &mut self,
        call: *mut pg_sys::FuncExpr,
        below: i32,
    ) -> Option<*mut pg_sys::Query> {
        // SAFETY: as the caller vouches; the body is copied before arguments are put in.
        unsafe {
            let function = (*call).funcid;
            if function.to_u32() < pg_sys::FirstNormalObjectId || self.kept.contains(&function) {
                return None;
            }
            let key = (function.to_u32(), self.user.to_u32());
            let body = match self.known.get(&key) {
                Some(known) => *known,
                None => {
                    let body = self.body(call);
                    self.known.insert(key, body);
                    body
                }
            }?;
            let mut arguments = Arguments {
                values: elements::<pg_sys::Node>((*call).args),
                level: below - 1,
                is_missing: false,
            };
            let body = changed(body.cast(), substitute, (&raw mut arguments).cast()).cast();
            (!arguments.is_missing).then_some(body)
        }
    }

    /// # Safety
    /// The call must be valid.
    unsafe fn body(&mut self, call: *mut pg_sys::FuncExpr) -> Option<*mut pg_sys::Query> {
        // SAFETY: as the caller vouches.
        let function = unsafe { (*call).funcid }.to_u32();
        if self.path.contains(&function) || self.path.len() == MAX_DEPTH {
            return None;
        }
        // SAFETY: the query is valid, and only copies are changed.
        match isolated(|| unsafe { rewritten_body(call, self.user) }) {
            // SAFETY: as above; the walk ends before the relations are read.
            Ok(Body::Query(query, user)) => unsafe {
                self.path.push(function);
                let before = std::mem::replace(&mut self.user, user);
                let query: *mut pg_sys::Query =
                    changed(query.cast(), inline, (self as *mut Self).cast()).cast();
                self.path.pop();
                self.user = before;
                if relations_of(query.cast()).is_empty() { None } else { Some(query) }
            },
            Ok(Body::Foreign) => None,
            Ok(Body::Complex) | Err(_) => {
                self.opaque.insert(function);
                None
            }
        }
    }
}

/// Number of columns that a query returns.
///
/// # Safety
/// The query must be valid.
unsafe fn columns(query: *mut pg_sys::Query) -> usize {
    // SAFETY: a target list holds target entries.
    unsafe {
        elements::<pg_sys::TargetEntry>((*query).targetList)
            .into_iter()
            .filter(|target| !(**target).resjunk)
            .count()
    }
}

enum Body {
    /// The query, and the owner that evaluates it, as in `Inlining::user`.
    Query(*mut pg_sys::Query, pg_sys::Oid),
    /// In SQL or PL/pgSQL, but not one query.
    Complex,
    /// In another language.
    Foreign,
}

/// The query of a function, rewritten with the row-level security of its owner or of the current
/// user.
///
/// # Safety
/// The call must be valid.
unsafe fn rewritten_body(call: *mut pg_sys::FuncExpr, user: pg_sys::Oid) -> Body {
    // SAFETY: the row is released after its last use; its fixed part is a pg_proc row.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::PROCOID as i32;
        let row = pg_sys::SearchSysCache1(id, (*call).funcid.into());
        if row.is_null() {
            return Body::Foreign;
        }
        let body = body_of_row(row, call, user);
        pg_sys::ReleaseSysCache(row);
        body
    }
}

/// # Safety
/// The row must be of pg_proc, and the call one of that function.
unsafe fn body_of_row(
    row: pg_sys::HeapTuple,
    call: *mut pg_sys::FuncExpr,
    user: pg_sys::Oid,
) -> Body {
    // SAFETY: as the caller vouches. Errors leave the row to the subtransaction.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::PROCOID as i32;
        let function = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_proc>();
        let attribute = |number: u32| {
            let mut is_null = false;
            let value = pg_sys::SysCacheGetAttr(id, row, number as i16, &mut is_null);
            (!is_null).then_some(value)
        };
        let plpgsql = pg_sys::get_language_oid(c"plpgsql".as_ptr(), true);
        let is_sql = function.prolang.to_u32() == SQL_LANGUAGE;
        if function.prokind as u8 != b'f' || !(is_sql || function.prolang == plpgsql) {
            return Body::Foreign;
        }
        let source = || {
            attribute(pg_sys::Anum_pg_proc_prosrc)
                .map(|source| text_of(pg_sys::TEXTOID, source))
                .unwrap_or_default()
        };
        let stored = attribute(pg_sys::Anum_pg_proc_prosqlbody).filter(|_| is_sql);
        let query = match stored {
            Some(tree) => stored_query(tree),
            None => {
                let source = without_comments(&source());
                let source = if is_sql { Some(source) } else { returned(&source) };
                let Some(source) = source.and_then(|source| CString::new(source).ok()) else {
                    return Body::Complex;
                };
                let settings = attribute(pg_sys::Anum_pg_proc_proconfig)
                    .map(|settings| members(settings, pg_sys::TEXTOID))
                    .unwrap_or_default();
                let path = settings
                    .into_iter()
                    .map(|setting| text_of(pg_sys::TEXTOID, setting))
                    .find_map(|setting| setting.strip_prefix("search_path=").map(str::to_owned));
                let info = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    prepare_sql_fn_parse_info(row, call.cast(), (*call).inputcollid)
                });
                with_search_path(path, || parsed(&source, info))
            }
        };
        let Some(query) = query else { return Body::Complex };
        if (*query).commandType != pg_sys::CmdType::CMD_SELECT {
            return Body::Complex;
        }
        let targets = elements::<pg_sys::TargetEntry>((*query).targetList);
        if let [target] = targets.as_slice()
            && !function.proretset
            && pg_sys::exprType((**target).expr.cast()) != (*call).funcresulttype
        {
            return Body::Complex;
        }
        if targets.len() != 1 && !function.proretset {
            return Body::Complex;
        }
        let user = if function.prosecdef { function.proowner } else { user };
        if user != pg_sys::InvalidOid {
            pg_sys::ffi::pg_guard_ffi_boundary(|| setRuleCheckAsUser(query.cast(), user));
        }
        pg_sys::AcquireRewriteLocks(query, true, false);
        match elements::<pg_sys::Query>(pg_sys::QueryRewrite(query)).as_slice() {
            [query] => Body::Query(*query, user),
            _ => Body::Complex,
        }
    }
}

/// The only query of a body that is stored as a tree.
///
/// # Safety
/// The value must be `pg_proc.prosqlbody`.
unsafe fn stored_query(tree: pg_sys::Datum) -> Option<*mut pg_sys::Query> {
    // SAFETY: a tree is a query, or a list with one list of queries.
    unsafe {
        let text = CString::new(text_of(pg_sys::TEXTOID, tree)).ok()?;
        let node: *mut pg_sys::Node = pg_sys::stringToNode(text.as_ptr()).cast();
        if is_a(node, NodeTag::T_Query) {
            return Some(node.cast());
        }
        match elements::<pg_sys::List>(node.cast()).as_slice() {
            [queries] => match elements::<pg_sys::Query>(*queries).as_slice() {
                [query] => Some(*query),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Parses and analyses the only statement of a function. Names are resolved as the bootstrap
/// superuser: USAGE on schemas is not under test, and no user code runs.
///
/// # Safety
/// The information must be that of the function.
unsafe fn parsed(source: &CStr, info: *mut c_void) -> Option<*mut pg_sys::Query> {
    let superuser = pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID);
    sec_context::as_role(superuser, || {
        // SAFETY: a NUL-terminated statement; the setup function takes this information.
        unsafe {
            let raw = elements::<pg_sys::RawStmt>(pg_sys::pg_parse_query(source.as_ptr()));
            let [raw] = raw.as_slice() else { return None };
            if !is_a((**raw).stmt, NodeTag::T_SelectStmt) {
                return None;
            }
            let setup: unsafe extern "C-unwind" fn(*mut pg_sys::ParseState, *mut c_void) =
                sql_fn_parser_setup;
            Some(pg_sys::parse_analyze_withcb(
                *raw,
                source.as_ptr(),
                Some(setup),
                info,
                std::ptr::null_mut(),
            ))
        }
    })
}

/// Runs `work` with the search_path of a function.
fn with_search_path<R>(path: Option<String>, work: impl FnOnce() -> R) -> R {
    let Some(path) = path.and_then(|path| CString::new(path).ok()) else { return work() };
    // SAFETY: both are NUL-terminated and copied by the server. After an error, the subtransaction
    // restores the setting.
    unsafe {
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            path.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        let result = work();
        pg_sys::AtEOXact_GUC(true, level);
        result
    }
}

/// The arguments of a call, to be put into its body.
struct Arguments {
    values: Vec<*mut pg_sys::Node>,
    /// Nesting depth, relative to the query of the call.
    level: i32,
    is_missing: bool,
}

#[pg_guard]
unsafe extern "C-unwind" fn substitute(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: the tag says which struct the node is; the context is that of `of_call`.
    unsafe {
        match (*node).type_ {
            NodeTag::T_Param
                if (*node.cast::<pg_sys::Param>()).paramkind == pg_sys::ParamKind::PARAM_EXTERN =>
            {
                let arguments = &mut *context.cast::<Arguments>();
                let place = (*node.cast::<pg_sys::Param>()).paramid as usize;
                let value = place.checked_sub(1).and_then(|place| arguments.values.get(place));
                let Some(value) = value else {
                    arguments.is_missing = true;
                    return node;
                };
                let copy: *mut pg_sys::Node = pg_sys::copyObjectImpl((*value).cast()).cast();
                pg_sys::IncrementVarSublevelsUp(copy, arguments.level, 0);
                copy
            }
            NodeTag::T_Query => {
                (*context.cast::<Arguments>()).level += 1;
                let query = mutate_query(node.cast(), substitute, context);
                (*context.cast::<Arguments>()).level -= 1;
                query.cast()
            }
            _ => mutate(node, substitute, context),
        }
    }
}
