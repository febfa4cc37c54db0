//! Policies that only this backend sees, for the length of a closure: the effect of ALTER POLICY
//! and DROP POLICY without DDL, without its locks, and on a standby.

use super::list::elements;
use super::mutate::inline_scalar_select;
use super::row_security::{RelationRef, Undecidable, where_clause};
use super::walk;
use crate::pg::cstring::c_string;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{PgMemoryContexts, is_a, pg_guard};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};

/// Reason why a closure did not run under the changed policies, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    /// Row-level security is off.
    #[error("row-level security is off")]
    NotSecured,
    /// The server does not accept a new clause as a condition.
    #[error(transparent)]
    Undecidable(#[from] Undecidable),
    /// A statement does something else than to change or drop a policy of the table.
    #[error("a statement changes no policy of the table")]
    Unsupported,
    /// The server has read the policies again meanwhile.
    #[error("the table's catalog entry was read again meanwhile")]
    Discarded,
}

/// An analysed clause, and whether it has sub-queries.
type Clause = (*mut pg_sys::Node, bool);

/// A change of one policy.
struct PolicyChange {
    /// Name of the policy.
    policy: CString,
    /// The parts that replace its own; `None` drops it.
    parts: Option<NewParts>,
}

/// New parts of a policy; `None` keeps the part.
#[derive(Clone, Copy)]
struct NewParts {
    using: Option<Clause>,
    check: Option<Clause>,
    roles: Option<*mut pg_sys::ArrayType>,
}

/// Runs `work` while this backend applies the policies of a table as the statements of a script
/// would change them: ALTER POLICY without RENAME, and DROP POLICY.
///
/// The server reads policies from its relation cache, and rewrites statements by them. The changed
/// policies take the place of the cached ones; nothing is written. The lock that is held meanwhile
/// keeps other sessions from changing the policies. An invalidation of the entry, such as by
/// ANALYZE, makes the server read the real policies again: then the result is not used.
pub fn with_changed_policies<R>(
    on: &RelationRef,
    script: &str,
    work: impl FnOnce() -> R,
) -> Result<R, NotApplied> {
    let script = c_string(script);
    // SAFETY: the raw parser gets a NUL-terminated text.
    let statements = unsafe { elements(pg_sys::pg_parse_query(script.as_ptr())) };
    let mut changes = Vec::new();
    for statement in statements {
        // SAFETY: a raw statement of the server's parser.
        changes.push(unsafe { change(on, statement) }?);
    }
    let is_discarded = Box::new(Cell::new(false));
    // SAFETY: the relation stays open, so its cache entry stays in place, until the guard closes
    // it. The overlay is a copy in a context of its own, as the server makes one itself. The flag
    // outlives the overlay, which the guard deletes.
    let overlay = unsafe {
        let relation = pg_sys::table_open(on.table, pg_sys::AccessShareLock as i32);
        let original = (*relation).rd_rsdesc;
        if original.is_null() {
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
            return Err(NotApplied::NotSecured);
        }
        let changed = copied(original, &changes, &is_discarded);
        // Plans in this backend know the policies of the entry that they were made with.
        pg_sys::ResetPlanCache();
        (*relation).rd_rsdesc = changed;
        Overlay { relation, original, changed, is_discarded }
    };
    let result = work();
    match overlay.is_discarded.get() {
        true => Err(NotApplied::Discarded),
        false => Ok(result),
    }
}

/// Whether a script changes policies of a table in nothing but scalar sub-queries without FROM, as
/// `(SELECT f())` in place of `f()`.
pub fn keeps_conditions(on: &RelationRef, script: &str) -> Result<bool, NotApplied> {
    let script = c_string(script);
    // SAFETY: the raw parser gets a NUL-terminated text. The relation is open while its policies
    // are read; comparing works on copies.
    unsafe {
        let mut changes = Vec::new();
        for statement in elements(pg_sys::pg_parse_query(script.as_ptr())) {
            changes.push(change(on, statement)?);
        }
        let relation = pg_sys::table_open(on.table, pg_sys::AccessShareLock as i32);
        let policies = match (*relation).rd_rsdesc.as_ref() {
            Some(policies) => elements::<pg_sys::RowSecurityPolicy>(policies.policies),
            None => Vec::new(),
        };
        let keeps = changes.iter().all(|change| {
            let name = change.policy.as_c_str();
            let is_named = |policy: &&*mut pg_sys::RowSecurityPolicy| {
                CStr::from_ptr((***policy).policy_name) == name
            };
            let Some((policy, parts)) = policies.iter().find(is_named).zip(change.parts) else {
                return false;
            };
            let is_same = |old: *mut pg_sys::Expr, new: Option<Clause>| {
                new.is_none_or(|(new, _)| {
                    let [old, new] = [old.cast(), new].map(|node: *mut pg_sys::Node| {
                        walk::changed(node, inline_scalar_select, std::ptr::null_mut())
                    });
                    pg_sys::equal(old.cast(), new.cast())
                })
            };
            parts.roles.is_none()
                && is_same((**policy).qual, parts.using)
                && is_same((**policy).with_check_qual, parts.check)
        });
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        Ok(keeps)
    }
}

/// Puts the original policies back when dropped, also when an error unwinds the stack.
struct Overlay {
    relation: pg_sys::Relation,
    original: *mut pg_sys::RowSecurityDesc,
    changed: *mut pg_sys::RowSecurityDesc,
    /// Whether the server has deleted the changed policies.
    is_discarded: Box<Cell<bool>>,
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // SAFETY: the relation is open. If the server has replaced the entry's policies, it has
        // deleted the changed ones, and nothing refers to the original ones any more. No call here
        // raises an error. While an error unwinds, the abort of the subtransaction closes the
        // relation.
        unsafe {
            if self.is_discarded.get() {
                pg_sys::MemoryContextDelete((*self.original).rscxt);
            } else {
                (*self.relation).rd_rsdesc = self.original;
                pg_sys::MemoryContextDelete((*self.changed).rscxt);
            }
            pg_sys::ResetPlanCache();
            if !std::thread::panicking() {
                pg_sys::table_close(self.relation, pg_sys::NoLock as i32);
            }
        }
    }
}

/// The change that a statement makes to a policy of the table.
///
/// # Safety
/// The statement must be from the server's raw parser.
unsafe fn change(
    on: &RelationRef,
    statement: *mut pg_sys::RawStmt,
) -> Result<PolicyChange, NotApplied> {
    // SAFETY: the tag says which struct a node is; names are NUL-terminated.
    unsafe {
        let statement = (*statement).stmt;
        let is_on_table = |table: *mut pg_sys::RangeVar| {
            let missing_ok = pg_sys::RVROption::RVR_MISSING_OK;
            let no_lock = pg_sys::NoLock as i32;
            let none = std::ptr::null_mut();
            pg_sys::RangeVarGetRelidExtended(table, no_lock, missing_ok, None, none) == on.table
        };
        if is_a(statement, NodeTag::T_AlterPolicyStmt) {
            let statement = &*statement.cast::<pg_sys::AlterPolicyStmt>();
            if !is_on_table(statement.table) {
                return Err(NotApplied::Unsupported);
            }
            let clause = |raw: *mut pg_sys::Node| -> Result<Option<Clause>, Undecidable> {
                if raw.is_null() { Ok(None) } else { where_clause(on, raw).map(Some) }
            };
            let roles = (!statement.roles.is_null()).then(|| roles(statement.roles));
            let (using, check) = (clause(statement.qual)?, clause(statement.with_check)?);
            let policy = CStr::from_ptr(statement.policy_name).to_owned();
            return Ok(PolicyChange { policy, parts: Some(NewParts { using, check, roles }) });
        }
        if is_a(statement, NodeTag::T_DropStmt) {
            let statement = &*statement.cast::<pg_sys::DropStmt>();
            let objects = elements::<pg_sys::List>(statement.objects);
            if let (pg_sys::ObjectType::OBJECT_POLICY, [object]) =
                (statement.removeType, objects.as_slice())
            {
                let table = pg_sys::list_copy(*object);
                let table = pg_sys::list_truncate(table, (**object).length - 1);
                let names = elements::<pg_sys::Node>(*object);
                if let Some(name) = names.last()
                    && is_on_table(pg_sys::makeRangeVarFromNameList(table))
                {
                    let policy = CStr::from_ptr(string_of(*name)).to_owned();
                    return Ok(PolicyChange { policy, parts: None });
                }
            }
        }
        Err(NotApplied::Unsupported)
    }
}

/// The text of a String node.
///
/// # Safety
/// The node must be a String.
unsafe fn string_of(node: *mut pg_sys::Node) -> *const std::ffi::c_char {
    // SAFETY: as the caller vouches.
    unsafe { (*node.cast::<pg_sys::String>()).sval }
}

/// The oids of the roles of a policy, as it stores them.
///
/// # Safety
/// The list must hold RoleSpec nodes.
unsafe fn roles(list: *mut pg_sys::List) -> *mut pg_sys::ArrayType {
    // SAFETY: as the caller vouches. An unknown role raises an error.
    unsafe {
        let oid = |spec: *mut pg_sys::RoleSpec| match (*spec).roletype {
            pg_sys::RoleSpecType::ROLESPEC_PUBLIC => pg_sys::InvalidOid,
            _ => pg_sys::get_rolespec_oid(spec, false),
        };
        let mut oids: Vec<pg_sys::Datum> =
            elements::<pg_sys::RoleSpec>(list).into_iter().map(|spec| oid(spec).into()).collect();
        let align = pg_sys::TYPALIGN_INT as std::ffi::c_char;
        let count = oids.len() as i32;
        pg_sys::construct_array(oids.as_mut_ptr(), count, pg_sys::OIDOID, 4, true, align)
    }
}

/// A copy of the policies with the changes, in a memory context that sets the flag when the server
/// deletes it.
///
/// # Safety
/// The policies must be those of an open relation, and the clauses valid expressions on it. The
/// flag must live longer than the copy.
unsafe fn copied(
    original: *mut pg_sys::RowSecurityDesc,
    changes: &[PolicyChange],
    is_discarded: &Cell<bool>,
) -> *mut pg_sys::RowSecurityDesc {
    // SAFETY: as the caller vouches. Until the copy is complete, the context belongs to the current
    // one, so that an error frees it.
    unsafe {
        let context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"crewsnow_ops policies".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        );
        let changed = PgMemoryContexts::For(context).switch_to(|_| {
            let changed = palloc::<pg_sys::RowSecurityDesc>();
            (*changed).rscxt = context;
            for policy in elements::<pg_sys::RowSecurityPolicy>((*original).policies) {
                let name = CStr::from_ptr((*policy).policy_name);
                let change = changes.iter().find(|change| change.policy.as_c_str() == name);
                let parts = match change {
                    Some(PolicyChange { parts: None, .. }) => continue,
                    Some(PolicyChange { parts: Some(parts), .. }) => *parts,
                    None => NewParts { using: None, check: None, roles: None },
                };
                let copy = palloc::<pg_sys::RowSecurityPolicy>();
                *copy = *policy;
                (*copy).policy_name = pg_sys::pstrdup((*policy).policy_name);
                let roles = parts.roles.unwrap_or((*policy).roles);
                (*copy).roles = pg_sys::pg_detoast_datum_copy(roles.cast()).cast();
                let node = |old: *mut pg_sys::Expr, new: Option<Clause>| -> *mut pg_sys::Expr {
                    let node = new.map_or(old.cast(), |(node, _)| node);
                    if node.is_null() {
                        return std::ptr::null_mut();
                    }
                    pg_sys::copyObjectImpl(node.cast()).cast()
                };
                (*copy).qual = node((*policy).qual, parts.using);
                (*copy).with_check_qual = node((*policy).with_check_qual, parts.check);
                (*copy).hassublinks |= [parts.using, parts.check]
                    .iter()
                    .flatten()
                    .any(|(_, has_sub_queries)| *has_sub_queries);
                (*changed).policies = pg_sys::lappend((*changed).policies, copy.cast());
            }
            let callback = palloc::<pg_sys::MemoryContextCallback>();
            (*callback).func = Some(discard);
            (*callback).arg = (&raw const *is_discarded).cast_mut().cast();
            pg_sys::MemoryContextRegisterResetCallback(context, callback);
            changed
        });
        pg_sys::MemoryContextSetParent(context, pg_sys::CacheMemoryContext);
        changed
    }
}

/// Zeroed memory for a struct in the current context.
///
/// # Safety
/// Zeroes must be a valid value.
unsafe fn palloc<T>() -> *mut T {
    // SAFETY: as the caller vouches.
    unsafe { pg_sys::palloc0(std::mem::size_of::<T>()).cast() }
}

#[pg_guard]
unsafe extern "C-unwind" fn discard(flag: *mut c_void) {
    // SAFETY: `copied` registers the flag of its caller.
    unsafe { (*flag.cast::<Cell<bool>>()).set(true) };
}
