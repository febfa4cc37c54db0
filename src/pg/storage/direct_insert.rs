//! Appending a row to a partitioned table without the executor, for the one statement that applications run all day: planning aside, an
//! INSERT prepares routing, CHECK and trigger conditions anew each time, which costs more than writing the row.
//!
//! Whatever the caller has not vouched for (a constraint, a trigger, a policy, an index, a default, a hook) sends it back to SQL.

use super::brin;
use crate::pg::access::datum::column;
use crate::pg::access::scan::indexes_of;
use crate::pg::catalog::lookup;
use crate::pg::catalog::partition;
use crate::pg::xact::snapshot;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ffi::CStr;

const ROW_EXCLUSIVE: pg_sys::LOCKMODE = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;
copied_for!("pg15" "pg16" "pg17" "pg18": "oid of now() and node text of FuncExpr");

/// How the server writes an expression that is a function's call.
const CALL: &str = "{FUNCEXPR :funcid ";
/// now()'s fixed oid.
const NOW: u32 = 1299;

/// A column's name, and its value with the type that it must have.
pub type Column<'a> = (&'a CStr, DatumWithOid<'a>);

/// What a row is made of: values, and which of them are NULL.
type Values = (Vec<pg_sys::Datum>, Vec<bool>);

/// What the caller has seen to itself: the CHECK and the BEFORE ROW trigger that call these functions would let the row pass as it is.
pub struct Preconditions<'a> {
    /// The extension's function that is the only CHECK.
    pub check: &'a CStr,
    /// The extension's function of the only trigger on INSERT.
    pub trigger: &'a CStr,
    /// The column that routes. Its default must be now().
    pub time: &'a CStr,
    /// The column for the transaction's id.
    pub transaction: &'a CStr,
}

/// Appends a row of these columns, with the caller's own rights; false, and nothing done, if that takes SQL.
pub fn insert(parent: pg_sys::Oid, vouched: &Preconditions<'_>, columns: &[Column<'_>]) -> bool {
    // SAFETY: relations are locked as for INSERT before their descriptors are read; locks are kept until the transaction ends, as the
    // server keeps them. The tuple and the index's values match the descriptors that they are made for.
    unsafe {
        if (&raw const pg_sys::ExecutorCheckPerms_hook).read().is_some() {
            return false;
        }
        let root = pg_sys::try_relation_open(parent, ROW_EXCLUSIVE);
        if root.is_null() {
            return false;
        }
        let time = pg_sys::GetCurrentTransactionStartTimestamp();
        let leaf = (is_plain_root(root, vouched)
            && pg_sys::pg_class_aclcheck(parent, pg_sys::GetUserId(), pg_sys::ACL_INSERT as _)
                == pg_sys::AclResult::ACLCHECK_OK)
            .then(|| partition::holding(root, time))
            .flatten();
        pg_sys::relation_close(root, NO_LOCK);
        let Some(leaf) = leaf else { return false };
        let relation = pg_sys::relation_open(leaf, ROW_EXCLUSIVE);
        let indexes: Vec<pg_sys::Relation> =
            indexes_of(relation).into_iter().map(|index| pg_sys::index_open(index, ROW_EXCLUSIVE)).collect();
        let row = (is_plain_leaf(relation, vouched) && indexes.iter().all(|index| brin::is_minmax(*index)))
            .then(|| values(relation, vouched, time, columns))
            .flatten();
        let appended = row.is_some();
        if let Some((mut values, mut nulls)) = row {
            let tuple = pg_sys::heap_form_tuple((*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            // At the end, not into gaps of all times: what is new stays together, where readers find it.
            let options = pg_sys::HEAP_INSERT_SKIP_FSM as i32;
            pg_sys::heap_insert(relation, tuple, pg_sys::GetCurrentCommandId(true), options, std::ptr::null_mut());
            // One that is being built concurrently is not ready for rows.
            for index in indexes.iter().filter(|index| (*(***index).rd_index).indisready) {
                index_row(*index, relation, &mut (*tuple).t_self, &values, &nulls);
            }
            pg_sys::heap_freetuple(tuple);
            pg_sys::CommandCounterIncrement();
        }
        indexes.into_iter().for_each(|index| pg_sys::index_close(index, ROW_EXCLUSIVE));
        pg_sys::relation_close(relation, NO_LOCK);
        appended
    }
}

/// # Safety
/// The relation must be open.
unsafe fn is_plain_root(root: pg_sys::Relation, vouched: &Preconditions<'_>) -> bool {
    // SAFETY: as the caller vouches; a descriptor has as many defaults as it says.
    unsafe {
        let class = &*(*root).rd_rel;
        let Some(constraints) = (*(*root).rd_att).constr.as_ref() else { return false };
        class.relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE
            && !class.relispartition
            && !class.relrowsecurity
            && !class.relhasrules
            && is_plain(root, vouched)
            && (0..usize::from(constraints.num_defval)).any(|i| {
                let default = &*constraints.defval.add(i);
                name(&column((*root).rd_att, default.adnum.into())) == vouched.time
                    && called_by(CStr::from_ptr(default.adbin)) == Some(pg_sys::Oid::from(NOW))
            })
    }
}

/// # Safety
/// The relation must be open.
unsafe fn is_plain_leaf(leaf: pg_sys::Relation, vouched: &Preconditions<'_>) -> bool {
    // SAFETY: as the caller vouches.
    unsafe {
        let class = &*(*leaf).rd_rel;
        class.relkind as u8 == pg_sys::RELKIND_RELATION
            && class.relam == pg_sys::HEAP_TABLE_AM_OID
            && is_plain(leaf, vouched)
    }
}

/// Whether a table has no CHECK, trigger on INSERT or generated column but those vouched for.
///
/// # Safety
/// The relation must be open.
unsafe fn is_plain(relation: pg_sys::Relation, vouched: &Preconditions<'_>) -> bool {
    // SAFETY: as the caller vouches; there are as many constraints and triggers as their counts say, all with names.
    unsafe {
        let Some(constraints) = (*(*relation).rd_att).constr.as_ref() else { return false };
        #[cfg(feature = "pg18")]
        let is_generated = constraints.has_generated_stored || constraints.has_generated_virtual;
        #[cfg(not(feature = "pg18"))]
        let is_generated = constraints.has_generated_stored;
        let is_vouched_for = |i: usize| {
            let trigger = &*(*(*relation).trigdesc).triggers.add(i);
            trigger.tgtype & pg_sys::TRIGGER_TYPE_INSERT as i16 == 0 || is_own(trigger.tgfoid, vouched.trigger)
        };
        let triggers = (*relation).trigdesc.as_ref().map_or(0, |triggers| triggers.numtriggers);
        !is_generated
            && constraints.num_check == 1
            && called_by(CStr::from_ptr((*constraints.check).ccbin))
                .is_some_and(|function| is_own(function, vouched.check))
            && (0..usize::try_from(triggers).unwrap_or(0)).all(is_vouched_for)
    }
}

/// The function that an expression calls, if it is nothing but such a call.
fn called_by(expression: &CStr) -> Option<pg_sys::Oid> {
    let (function, _) = expression.to_str().ok()?.strip_prefix(CALL)?.split_once(' ')?;
    function.parse::<u32>().ok().map(pg_sys::Oid::from)
}

/// Whether a function is the extension's own, of this name.
fn is_own(function: pg_sys::Oid, name: &CStr) -> bool {
    // SAFETY: look-ups by oid; the name is NULL or ends with a NUL.
    unsafe {
        let found = pg_sys::get_func_name(function);
        !found.is_null()
            && CStr::from_ptr(found) == name
            && Some(pg_sys::get_func_namespace(function)) == lookup::schema(c"crewsnow_ops")
    }
}

fn name(column: &pg_sys::FormData_pg_attribute) -> &CStr {
    // SAFETY: a name ends with a NUL.
    unsafe { CStr::from_ptr(column.attname.data.as_ptr()) }
}

/// A row's values by column; `None` if a column is not among those given, or one that is NULL must not be.
///
/// # Safety
/// The relation must be open.
unsafe fn values(
    relation: pg_sys::Relation,
    vouched: &Preconditions<'_>,
    time: i64,
    columns: &[Column<'_>],
) -> Option<Values> {
    // SAFETY: as the caller vouches.
    let descriptor = unsafe { (*relation).rd_att };
    let (mut values, mut nulls) = (Vec::new(), Vec::new());
    // SAFETY: the descriptor is valid as long as the relation is open.
    for number in 1..=unsafe { (*descriptor).natts } {
        // SAFETY: the descriptor has this column.
        let column = unsafe { column(descriptor, number) };
        let value = match (name(&column), column.atttypid) {
            _ if column.attisdropped => None,
            // numeric(8, 2) would round.
            _ if column.atttypmod != -1 => return None,
            (name, pg_sys::TIMESTAMPTZOID) if name == vouched.time => Some(time.into()),
            (name, pg_sys::INT8OID) if name == vouched.transaction => Some(snapshot::assign_transaction().into()),
            (name, type_) => {
                let (_, given) = columns.iter().find(|given| given.0 == name && given.1.oid() == type_)?;
                given.datum().map(|datum| datum.sans_lifetime())
            }
        };
        if value.is_none() && column.attnotnull && !column.attisdropped {
            return None;
        }
        values.push(value.unwrap_or(pg_sys::Datum::null()));
        nulls.push(value.is_none());
    }
    Some((values, nulls))
}

/// # Safety
/// The index must be open and be one on plain columns of the open table whose row this is.
unsafe fn index_row(
    index: pg_sys::Relation,
    table: pg_sys::Relation,
    place: pg_sys::ItemPointer,
    values: &[pg_sys::Datum],
    nulls: &[bool],
) {
    // SAFETY: as the caller vouches; an index names as many of the table's columns as it says.
    unsafe {
        let info = pg_sys::BuildIndexInfo(index);
        let numbers = (*info).ii_IndexAttrNumbers;
        let columns = || numbers[..(*info).ii_NumIndexAttrs as usize].iter().map(|number| *number as usize - 1);
        let mut values: Vec<_> = columns().map(|column| values[column]).collect();
        let mut nulls: Vec<_> = columns().map(|column| nulls[column]).collect();
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
        let is_unique = pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO;
        pg_sys::index_insert(index, values, nulls, place, table, is_unique, false, info);
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        pg_sys::index_insert_cleanup(index, info);
    }
}
