//! Appends a row to a partitioned table without the executor. Each execution of an INSERT prepares
//! partition routing, CHECK and trigger conditions anew, at a higher cost than writing the row.
//!
//! [`insert`] declines, and the caller runs SQL, if the table has a constraint, trigger, policy,
//! index, default or hook that [`Preconditions`] does not name.

use super::brin;
use crate::pg::access::datum::column;
use crate::pg::access::scan::indexes_of;
use crate::pg::catalog::lookup;
use crate::pg::catalog::partition;
use crate::pg::xact::snapshot;
use crate::settings;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ffi::CStr;

const ROW_EXCLUSIVE: pg_sys::LOCKMODE = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;
copied_for!("pg15" "pg16" "pg17" "pg18": "oid of now() and node text of FuncExpr");

/// Beginning of a pg_node_tree that is a function call.
const CALL: &str = "{FUNCEXPR :funcid ";
/// Fixed oid of now().
const NOW: u32 = 1299;

/// The name of a column, and its value with the type that the column must have.
pub type Column<'a> = (&'a CStr, DatumWithOid<'a>);

/// The values of a row, and the NULL flag of each.
type Values = (Vec<pg_sys::Datum>, Vec<bool>);

/// The CHECK and the BEFORE ROW trigger that the caller has satisfied itself: both would accept the
/// row unchanged.
pub struct Preconditions<'a> {
    /// The extension's function that is the only CHECK constraint.
    pub check: &'a CStr,
    /// The extension's trigger function of the only trigger on INSERT.
    pub trigger: &'a CStr,
    /// The partition key column. Its default must be now().
    pub time: &'a CStr,
    /// The column for the transaction id.
    pub transaction: &'a CStr,
}

/// Appends a row with the caller's privileges. Returns false, without an effect, if the row needs
/// SQL or crewsnow_ops.direct_insert is off.
pub fn insert(parent: pg_sys::Oid, satisfied: &Preconditions<'_>, columns: &[Column<'_>]) -> bool {
    if !settings::direct_insert() {
        return false;
    }
    // SAFETY: relations are locked as for INSERT before their descriptors are read; locks are held
    // until the transaction ends, as the server holds them. The tuple and the index values match
    // the descriptors that they are made for.
    unsafe {
        if (&raw const pg_sys::ExecutorCheckPerms_hook).read().is_some() {
            return false;
        }
        let root = pg_sys::try_relation_open(parent, ROW_EXCLUSIVE);
        if root.is_null() {
            return false;
        }
        let time = pg_sys::GetCurrentTransactionStartTimestamp();
        let leaf = (is_plain_root(root, satisfied)
            && pg_sys::pg_class_aclcheck(parent, pg_sys::GetUserId(), pg_sys::ACL_INSERT as _)
                == pg_sys::AclResult::ACLCHECK_OK)
            .then(|| partition::holding(root, time))
            .flatten();
        pg_sys::relation_close(root, NO_LOCK);
        let Some(leaf) = leaf else { return false };
        let relation = pg_sys::relation_open(leaf, ROW_EXCLUSIVE);
        let open = |index| pg_sys::index_open(index, ROW_EXCLUSIVE);
        let indexes: Vec<pg_sys::Relation> = indexes_of(relation).into_iter().map(open).collect();
        let is_plain = is_plain_leaf(relation, satisfied)
            && indexes.iter().all(|index| brin::is_minmax(*index));
        let row = is_plain.then(|| values(relation, satisfied, time, columns)).flatten();
        let appended = row.is_some();
        if let Some((mut values, mut nulls)) = row {
            let descriptor = (*relation).rd_att;
            let tuple =
                pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            // At the end of the table and not into gaps: new rows stay together, where the BRIN
            // index finds them.
            let options = pg_sys::HEAP_INSERT_SKIP_FSM as i32;
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::heap_insert(relation, tuple, command, options, std::ptr::null_mut());
            // An index that CREATE INDEX CONCURRENTLY builds may not be ready for rows.
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
unsafe fn is_plain_root(root: pg_sys::Relation, satisfied: &Preconditions<'_>) -> bool {
    // SAFETY: as the caller vouches; a descriptor has as many defaults as it says.
    unsafe {
        let class = &*(*root).rd_rel;
        let Some(constraints) = (*(*root).rd_att).constr.as_ref() else { return false };
        class.relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE
            && !class.relispartition
            && !class.relrowsecurity
            && !class.relhasrules
            && is_plain(root, satisfied)
            && (0..usize::from(constraints.num_defval)).any(|i| {
                let default = &*constraints.defval.add(i);
                name(&column((*root).rd_att, default.adnum.into())) == satisfied.time
                    && called_by(CStr::from_ptr(default.adbin)) == Some(pg_sys::Oid::from(NOW))
            })
    }
}

/// # Safety
/// The relation must be open.
unsafe fn is_plain_leaf(leaf: pg_sys::Relation, satisfied: &Preconditions<'_>) -> bool {
    // SAFETY: as the caller vouches.
    unsafe {
        let class = &*(*leaf).rd_rel;
        class.relkind as u8 == pg_sys::RELKIND_RELATION
            && class.relam == pg_sys::HEAP_TABLE_AM_OID
            && is_plain(leaf, satisfied)
    }
}

/// Whether the only CHECK and the only triggers on INSERT are the satisfied ones, and no column is
/// generated.
///
/// # Safety
/// The relation must be open.
unsafe fn is_plain(relation: pg_sys::Relation, satisfied: &Preconditions<'_>) -> bool {
    // SAFETY: as the caller vouches; constraints and triggers are as many as their counts say.
    unsafe {
        let Some(constraints) = (*(*relation).rd_att).constr.as_ref() else { return false };
        #[cfg(feature = "pg18")]
        let is_generated = constraints.has_generated_stored || constraints.has_generated_virtual;
        #[cfg(not(feature = "pg18"))]
        let is_generated = constraints.has_generated_stored;
        let is_satisfied = |i: usize| {
            let trigger = &*(*(*relation).trigdesc).triggers.add(i);
            trigger.tgtype & pg_sys::TRIGGER_TYPE_INSERT as i16 == 0
                || is_own(trigger.tgfoid, satisfied.trigger)
        };
        let triggers = (*relation).trigdesc.as_ref().map_or(0, |triggers| triggers.numtriggers);
        !is_generated
            && constraints.num_check == 1
            && called_by(CStr::from_ptr((*constraints.check).ccbin))
                .is_some_and(|function| is_own(function, satisfied.check))
            && (0..usize::try_from(triggers).unwrap_or(0)).all(is_satisfied)
    }
}

/// The function of an expression that is a single function call; `None` for any other expression.
fn called_by(expression: &CStr) -> Option<pg_sys::Oid> {
    let (function, _) = expression.to_str().ok()?.strip_prefix(CALL)?.split_once(' ')?;
    function.parse::<u32>().ok().map(pg_sys::Oid::from)
}

/// Whether a function is the one called `name` in the schema crewsnow_ops.
fn is_own(function: pg_sys::Oid, name: &CStr) -> bool {
    // SAFETY: look-ups by oid; the name is NULL or NUL-terminated.
    unsafe {
        let found = pg_sys::get_func_name(function);
        !found.is_null()
            && CStr::from_ptr(found) == name
            && Some(pg_sys::get_func_namespace(function)) == lookup::schema(c"crewsnow_ops")
    }
}

fn name(column: &pg_sys::FormData_pg_attribute) -> &CStr {
    // SAFETY: a name is NUL-terminated.
    unsafe { CStr::from_ptr(column.attname.data.as_ptr()) }
}

/// The values of a row in the order of the table's columns; `None` if a column is not among
/// `columns`, or a NULL violates NOT NULL.
///
/// # Safety
/// The relation must be open.
unsafe fn values(
    relation: pg_sys::Relation,
    satisfied: &Preconditions<'_>,
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
            // A type modifier changes values: numeric(8, 2) rounds.
            _ if column.atttypmod != -1 => return None,
            (name, pg_sys::TIMESTAMPTZOID) if name == satisfied.time => Some(time.into()),
            (name, pg_sys::INT8OID) if name == satisfied.transaction => {
                Some(snapshot::assign_transaction().into())
            }
            (name, type_) => {
                let is_given = |given: &&Column<'_>| given.0 == name && given.1.oid() == type_;
                let (_, given) = columns.iter().find(is_given)?;
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
/// The index must be open, on plain columns of the open table, and the row must be of that table.
unsafe fn index_row(
    index: pg_sys::Relation,
    table: pg_sys::Relation,
    place: pg_sys::ItemPointer,
    values: &[pg_sys::Datum],
    nulls: &[bool],
) {
    // SAFETY: as the caller vouches; an index has as many columns as its IndexInfo says.
    unsafe {
        let info = pg_sys::BuildIndexInfo(index);
        let numbers = (*info).ii_IndexAttrNumbers;
        let numbers = &numbers[..(*info).ii_NumIndexAttrs as usize];
        let columns = || numbers.iter().map(|number| *number as usize - 1);
        let mut values: Vec<_> = columns().map(|column| values[column]).collect();
        let mut nulls: Vec<_> = columns().map(|column| nulls[column]).collect();
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
        let is_unique = pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO;
        pg_sys::index_insert(index, values, nulls, place, table, is_unique, false, info);
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        pg_sys::index_insert_cleanup(index, info);
    }
}
