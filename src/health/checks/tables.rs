//! What only a look at every table tells: taken once, for all checks that want it.

use super::disk::gigabytes;
use crate::health::context;
use crate::health::context::Known;
use crate::health::error::HealthError;
use crate::health::finding::Finding;
use crate::pg::catalog::relations;
use crate::pg::catalog::relations::{Relation, TableStatistics};
use crate::pg::xact::session;
use pgrx::pg_sys;

/// Dead rows, and rows inserted since a vacuum, of which a table may have so many whatever its own thresholds are. See autovacuum_lag.sql.
const DEAD: i64 = 10_000;
/// See [`DEAD`].
const INSERTED: i64 = 1_000_000;

/// The tables and indexes of this database.
#[derive(Debug, Default)]
pub struct Tables {
    /// Those with much to clean, TOAST tables, too.
    pub much_to_clean: Vec<pg_sys::Oid>,
    tables: u64,
    indexes: u64,
    blocks: u64,
}

impl Tables {
    /// Looks at all of them.
    pub fn read() -> Result<Self, HealthError> {
        let (mut seen, mut statistics) = (Self::default(), TableStatistics::default());
        relations::each(|relation| {
            seen.take(relation, |relation| statistics.dead_and_inserted(relation))
        })?;
        Ok(seen)
    }

    fn take(&mut self, relation: &Relation, statistics: impl FnOnce(&Relation) -> (i64, i64)) {
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
        if dead > DEAD || (inserted > INSERTED && !is_toast) {
            self.much_to_clean.push(relation.oid);
        }
    }
}

/// The check "Autovacuum Lag".
pub fn lag(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    match &known.tables {
        Ok(tables) if tables.much_to_clean.is_empty() => Ok(vec![Finding {
            current_value: Some("no table".to_owned()),
            threshold: Some(format!("{DEAD} dead rows and 20 %")),
            ..Finding::ok(metric)
        }]),
        Ok(tables) => context::ask(
            metric,
            include_str!("../../../sql/health/fast/autovacuum_lag.sql"),
            &[tables.much_to_clean.clone().into()],
        ),
        Err(why) => Ok(vec![Finding::skipped(metric, why.clone())]),
    }
}

/// The check "Invalid Indexes".
pub fn invalid_indexes(metric: &'static str, _: &Known) -> Result<Vec<Finding>, HealthError> {
    let found = relations::invalid_indexes()?;
    if found.is_empty() {
        let none = || Some("0".to_owned());
        return Ok(vec![Finding {
            current_value: none(),
            threshold: none(),
            ..Finding::ok(metric)
        }]);
    }
    context::ask(
        metric,
        include_str!("../../../sql/health/fast/invalid_indexes.sql"),
        &[found.into()],
    )
}

/// The check "Database Size", as of the last vacuum or analyze of each table: to measure it every file would have to be looked at.
pub fn size(metric: &'static str, known: &Known) -> Result<Vec<Finding>, HealthError> {
    Ok(vec![match &known.tables {
        Ok(tables) => Finding {
            object: Some(format!("database {}", session::database())),
            current_value: Some(format!(
                "{} (estimate)",
                gigabytes(tables.blocks * u64::from(pg_sys::BLCKSZ))
            )),
            evidence: Some(format!("{} tables, {} indexes", tables.tables, tables.indexes)),
            ..Finding::ok(metric)
        },
        Err(why) => Finding::skipped(metric, why.clone()),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted() {
        let mut seen = Tables::default();
        let mut of = |oid: u32, kind: u8, is_temporary: bool, counted: Option<(i64, i64)>| {
            let relation = Relation {
                oid: pg_sys::Oid::from(oid),
                kind,
                is_temporary,
                pages: 10,
                is_shared: false,
            };
            let mut asked = false;
            seen.take(&relation, |_| {
                asked = true;
                counted.unwrap_or_default()
            });
            assert_eq!(asked, counted.is_some(), "{oid}");
        };
        of(1, b'r', false, Some((10_000, 1_000_000)));
        of(2, b'r', false, Some((10_001, 0)));
        of(3, b'm', false, Some((0, 1_000_001)));
        of(4, b't', false, Some((10_001, 0)));
        // What is inserted there goes with what is inserted into its table.
        of(5, b't', false, Some((0, 2_000_000)));
        of(6, b'r', true, None);
        for (oid, kind) in [(7, b'i'), (8, b'S'), (9, b'v'), (10, b'p'), (11, b'I')] {
            of(oid, kind, false, None);
        }
        assert_eq!(
            seen.much_to_clean.iter().map(|oid| oid.to_u32()).collect::<Vec<_>>(),
            [2, 3, 4]
        );
        assert_eq!((seen.tables, seen.indexes, seen.blocks), (4, 1, 70));
    }
}
