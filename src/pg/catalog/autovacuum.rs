//! The facts by which autovacuum chooses tables, read as it reads them: from pg_class, the storage
//! parameters and the cumulative statistics, without the executor and without locks on the tables.

use crate::pg::access::scan::{Row, TableScan, open_by_oid};
use crate::pg::memory;
use pgrx::{PgMemoryContexts, pg_sys};
use std::collections::HashMap;

/// The storage parameters `autovacuum_*` of a table; negative ones are not set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// `autovacuum_enabled`
    pub is_enabled: bool,
    /// `autovacuum_vacuum_threshold`
    pub vacuum_threshold: i32,
    /// `autovacuum_vacuum_scale_factor`
    pub vacuum_scale_factor: f64,
    /// `autovacuum_vacuum_max_threshold`, since 18; -2 is not set, -1 switches the limit off.
    pub vacuum_max_threshold: i32,
    /// `autovacuum_vacuum_insert_threshold`; -2 is not set, -1 switches it off.
    pub insert_threshold: i32,
    /// `autovacuum_vacuum_insert_scale_factor`
    pub insert_scale_factor: f64,
    /// `autovacuum_analyze_threshold`
    pub analyze_threshold: i32,
    /// `autovacuum_analyze_scale_factor`
    pub analyze_scale_factor: f64,
    /// `autovacuum_freeze_min_age`
    pub freeze_min_age: i32,
    /// `autovacuum_freeze_max_age`
    pub freeze_max_age: i32,
    /// `autovacuum_freeze_table_age`
    pub freeze_table_age: i32,
    /// `autovacuum_multixact_freeze_min_age`
    pub multixact_freeze_min_age: i32,
    /// `autovacuum_multixact_freeze_max_age`
    pub multixact_freeze_max_age: i32,
    /// `autovacuum_multixact_freeze_table_age`
    pub multixact_freeze_table_age: i32,
    /// `autovacuum_vacuum_cost_limit`
    pub cost_limit: i32,
    /// `autovacuum_vacuum_cost_delay`, in milliseconds
    pub cost_delay: f64,
}

/// The cumulative statistics of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Dead rows.
    pub dead: i64,
    /// Rows inserted since the last vacuum.
    pub inserted: i64,
    /// Rows changed since the last analyze.
    pub changed: i64,
}

/// A table as autovacuum sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table {
    /// `pg_class.oid`.
    pub oid: pg_sys::Oid,
    /// The table that a TOAST table belongs to; the table itself otherwise.
    pub main: pg_sys::Oid,
    /// Whether it is a TOAST table.
    pub is_toast: bool,
    /// Whether ANALYZE refuses it: pg_statistic.
    pub is_statistic: bool,
    /// `reltuples`; -1 if it was never vacuumed.
    pub reltuples: f32,
    /// The share of pages that are not all-frozen, since 18; 1 before.
    pub unfrozen_share: f32,
    /// `relfrozenxid`
    pub frozen_xid: u32,
    /// `relminmxid`
    pub min_multixact: u32,
    /// The storage parameters that count: those of the table for a TOAST table without its own.
    pub options: Option<Options>,
    /// `None` without statistics.
    pub counts: Option<Counts>,
}

/// The next transaction id, the next multixact id, and the age of multixacts that forces a vacuum,
/// which falls when their members fill up.
pub fn next_ids() -> (u32, u32, i32) {
    // SAFETY: reads shared memory.
    unsafe {
        (
            pg_sys::ReadNextTransactionId().into_inner(),
            pg_sys::ReadNextMultiXactId().into_inner(),
            pg_sys::MultiXactMemberFreezeThreshold(),
        )
    }
}

/// Visits each table, materialized view and TOAST table of this database that autovacuum considers:
/// all but temporary ones. TOAST tables come last.
pub fn each(mut visit: impl FnMut(&Table)) {
    let mut statistics = Statistics::default();
    let mut toasts: Vec<Table> = Vec::new();
    let mut mains: HashMap<pg_sys::Oid, (pg_sys::Oid, Option<Options>)> = HashMap::new();
    let Some(mut scan) = TableScan::open(pg_sys::RelationRelationId) else { return };
    while let Some(row) = scan.next() {
        let Some((mut table, toast, is_shared)) = read(&row, &mut statistics.0) else { continue };
        table.counts = statistics.counts(is_shared, table.oid);
        if table.is_toast {
            toasts.push(table);
            continue;
        }
        if toast != pg_sys::InvalidOid {
            mains.insert(toast, (table.oid, table.options));
        }
        visit(&table);
    }
    drop(scan);
    for mut toast in toasts {
        memory::check();
        if let Some((main, options)) = mains.get(&toast.oid) {
            toast.main = *main;
            toast.options = toast.options.or(*options);
        }
        visit(&toast);
    }
}

/// A table as it is now; `None` if it was dropped.
pub fn table(earlier: &Table) -> Option<Table> {
    let mut statistics = Statistics::default();
    let index = pg_sys::Oid::from(pg_sys::ClassOidIndexId);
    let mut scan = open_by_oid(pg_sys::RelationRelationId, index, earlier.oid)?;
    let row = scan.next()?;
    let (mut table, _, is_shared) = read(&row, &mut statistics.0)?;
    table.counts = statistics.counts(is_shared, table.oid);
    if table.is_toast {
        table.main = earlier.main;
        table.options = table.options.or(earlier.options);
    }
    Some(table)
}

/// The table of a row of pg_class, its TOAST table, and whether it is a shared catalog.
fn read(row: &Row<'_>, scratch: &mut PgMemoryContexts) -> Option<(Table, pg_sys::Oid, bool)> {
    // SAFETY: a row of pg_class begins with this struct.
    let class = unsafe { &*row.as_struct::<pg_sys::FormData_pg_class>() };
    let kind = class.relkind as u8;
    let is_toast = kind == pg_sys::RELKIND_TOASTVALUE;
    let is_table = kind == pg_sys::RELKIND_RELATION || kind == pg_sys::RELKIND_MATVIEW;
    if !(is_toast || is_table) || class.relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP {
        return None;
    }
    #[cfg(feature = "pg18")]
    let unfrozen_share = if class.relpages > 0 && class.relallfrozen > 0 {
        1.0 - class.relallfrozen.min(class.relpages) as f32 / class.relpages as f32
    } else {
        1.0
    };
    #[cfg(not(feature = "pg18"))]
    let unfrozen_share = 1.0;
    let table = Table {
        oid: class.oid,
        main: class.oid,
        is_toast,
        is_statistic: class.oid == pg_sys::StatisticRelationId,
        reltuples: class.reltuples,
        unfrozen_share,
        frozen_xid: class.relfrozenxid.into_inner(),
        min_multixact: class.relminmxid.into_inner(),
        options: options(row, scratch),
        counts: None,
    };
    Some((table, class.reltoastrelid, class.relisshared))
}

/// The storage parameters of a table; `None` if it has none at all.
fn options(row: &Row<'_>, scratch: &mut PgMemoryContexts) -> Option<Options> {
    // SAFETY: the tuple is one of pg_class with that descriptor. The kinds of relations that `read`
    // lets pass have this struct of options. It is read before its memory is freed.
    unsafe {
        let options = scratch.switch_to(|_| {
            let (tuple, descriptor) = row.parts();
            let bytes = pg_sys::extractRelOptions(tuple, descriptor, None);
            bytes.cast::<pg_sys::StdRdOptions>().as_ref().map(|options| {
                let set = &options.autovacuum;
                Options {
                    is_enabled: set.enabled,
                    vacuum_threshold: set.vacuum_threshold,
                    vacuum_scale_factor: set.vacuum_scale_factor,
                    #[cfg(feature = "pg18")]
                    vacuum_max_threshold: set.vacuum_max_threshold,
                    #[cfg(not(feature = "pg18"))]
                    vacuum_max_threshold: -2,
                    insert_threshold: set.vacuum_ins_threshold,
                    insert_scale_factor: set.vacuum_ins_scale_factor,
                    analyze_threshold: set.analyze_threshold,
                    analyze_scale_factor: set.analyze_scale_factor,
                    freeze_min_age: set.freeze_min_age,
                    freeze_max_age: set.freeze_max_age,
                    freeze_table_age: set.freeze_table_age,
                    multixact_freeze_min_age: set.multixact_freeze_min_age,
                    multixact_freeze_max_age: set.multixact_freeze_max_age,
                    multixact_freeze_table_age: set.multixact_freeze_table_age,
                    cost_limit: set.vacuum_cost_limit,
                    cost_delay: set.vacuum_cost_delay,
                }
            })
        });
        if options.is_some() {
            scratch.reset();
        }
        options
    }
}

/// Reads the cumulative statistics, in a memory context of its own.
struct Statistics(PgMemoryContexts);

impl Default for Statistics {
    fn default() -> Self {
        Self(PgMemoryContexts::new("crewsnow_ops statistics"))
    }
}

impl Statistics {
    fn counts(&mut self, is_shared: bool, table: pg_sys::Oid) -> Option<Counts> {
        // SAFETY: the entry is a copy in this context, or the server's own for this transaction; it
        // is read before the context is reset.
        unsafe {
            let counts = self.0.switch_to(|_| {
                let entry = pg_sys::pgstat_fetch_stat_tabentry_ext(is_shared, table).as_ref();
                #[cfg(feature = "pg15")]
                let counts = entry.map(|entry| Counts {
                    dead: entry.n_dead_tuples,
                    inserted: entry.inserts_since_vacuum,
                    changed: entry.changes_since_analyze,
                });
                #[cfg(not(feature = "pg15"))]
                let counts = entry.map(|entry| Counts {
                    dead: entry.dead_tuples,
                    inserted: entry.ins_since_vacuum,
                    changed: entry.mod_since_analyze,
                });
                counts
            });
            if counts.is_some() {
                self.0.reset();
            }
            counts
        }
    }
}
