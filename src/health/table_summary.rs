//! One pass over all tables and indexes of the database, shared by the checks that need it.

use super::error::HealthError;
use super::limits::limit;
use crate::pg::catalog::relations;
use crate::pg::catalog::relations::{Relation, TableStatistics};
use pgrx::pg_sys;

#[derive(Default)]
pub(super) struct TableSummary {
    /// Tables, materialized views and TOAST tables with many dead or inserted rows.
    pub(super) vacuum_candidates: Vec<pg_sys::Oid>,
    /// Tables and materialized views.
    pub(super) tables: u64,
    pub(super) indexes: u64,
    /// Blocks of tables, indexes and TOAST tables as of the last VACUUM or ANALYZE.
    pub(super) blocks: u64,
    /// Up to so many dead rows a table is never a vacuum candidate. See autovacuum_lag.sql.
    pub(super) dead_limit: f64,
    /// The same for rows inserted since the last vacuum.
    inserted_limit: f64,
}

impl TableSummary {
    pub(super) fn read() -> Result<Self, HealthError> {
        let mut summary = Self {
            dead_limit: limit("autovacuum_lag.warning"),
            inserted_limit: limit("autovacuum_lag.inserted"),
            ..Self::default()
        };
        let mut statistics = TableStatistics::default();
        relations::each(|relation| {
            summary.add(relation, |relation| statistics.dead_and_inserted(relation))
        })?;
        Ok(summary)
    }

    /// `statistics` returns dead rows and rows inserted since the last vacuum. It is called only
    /// where they matter, because each call costs a lookup.
    fn add(&mut self, relation: &Relation, statistics: impl FnOnce(&Relation) -> (i64, i64)) {
        let is_toast = relation.kind == pg_sys::RELKIND_TOASTVALUE;
        match relation.kind {
            pg_sys::RELKIND_INDEX => self.indexes += 1,
            pg_sys::RELKIND_RELATION | pg_sys::RELKIND_MATVIEW => self.tables += 1,
            _ if is_toast => {}
            _ => return,
        }
        self.blocks += u64::try_from(relation.pages).unwrap_or(0);
        if relation.kind == pg_sys::RELKIND_INDEX || relation.is_temporary {
            return;
        }
        let (dead, inserted) = statistics(relation);
        if dead as f64 > self.dead_limit || (inserted as f64 > self.inserted_limit && !is_toast) {
            self.vacuum_candidates.push(relation.oid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permanent_tables_above_a_minimum_are_vacuum_candidates() {
        let (dead_limit, inserted_limit) = (10_000.0, 1_000_000.0);
        let mut summary = TableSummary { dead_limit, inserted_limit, ..TableSummary::default() };
        let mut add = |oid: u32, kind: u8, is_temporary: bool, counted: Option<(i64, i64)>| {
            let relation = Relation {
                oid: pg_sys::Oid::from(oid),
                kind,
                is_temporary,
                pages: 10,
                is_shared: false,
            };
            let mut reads_statistics = false;
            summary.add(&relation, |_| {
                reads_statistics = true;
                counted.unwrap_or_default()
            });
            assert_eq!(reads_statistics, counted.is_some(), "{oid}");
        };
        add(1, b'r', false, Some((10_000, 1_000_000)));
        add(2, b'r', false, Some((10_001, 0)));
        add(3, b'm', false, Some((0, 1_000_001)));
        add(4, b't', false, Some((10_001, 0)));
        // Rows inserted into a TOAST table come with those of its table.
        add(5, b't', false, Some((0, 2_000_000)));
        add(6, b'r', true, None);
        for (oid, kind) in [(7, b'i'), (8, b'S'), (9, b'v'), (10, b'p'), (11, b'I')] {
            add(oid, kind, false, None);
        }
        assert_eq!(
            summary.vacuum_candidates.iter().map(|oid| oid.to_u32()).collect::<Vec<_>>(),
            [2, 3, 4]
        );
        assert_eq!((summary.tables, summary.indexes, summary.blocks), (4, 1, 70));
    }
}
