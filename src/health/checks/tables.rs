//! Checks that use the summary of all tables and indexes.

use crate::health::context;
use crate::health::context::CheckContext;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, gigabytes};
use crate::pg::catalog::{relations, temporary_schemas};
use crate::pg::xact::session;
use pgrx::pg_sys;

pub(super) fn autovacuum_lag(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    match &*context.tables {
        Ok(tables) if tables.vacuum_candidates.is_empty() => Ok(vec![Finding {
            current_value: Some("no table".to_owned()),
            threshold: Some(format!("{} dead rows and 20 %", tables.dead_limit)),
            ..Finding::ok(metric)
        }]),
        Ok(tables) => context::run_query(
            metric,
            include_str!("../../../sql/health/fast/autovacuum_lag.sql"),
            &[tables.vacuum_candidates.clone().into()],
        ),
        Err(reason) => Ok(vec![Finding::skipped(metric, reason.clone())]),
    }
}

pub(super) fn invalid_indexes(
    metric: &'static str,
    _: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    let indexes = relations::invalid_indexes()?;
    if indexes.is_empty() {
        return Ok(vec![Finding {
            current_value: Some("0".to_owned()),
            threshold: Some("0".to_owned()),
            ..Finding::ok(metric)
        }]);
    }
    context::run_query(
        metric,
        include_str!("../../../sql/health/fast/invalid_indexes.sql"),
        &[indexes.into()],
    )
}

/// Ages of databases and tables, with the sessions that own old temporary tables.
pub(super) fn wraparound(
    metric: &'static str,
    _: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    let (schemas, pids): (Vec<pg_sys::Oid>, Vec<i32>) =
        temporary_schemas::owners().into_iter().map(|owner| (owner.schema, owner.pid)).unzip();
    context::run_query(
        metric,
        include_str!("../../../sql/health/fast/wraparound.sql"),
        &[schemas.into(), pids.into()],
    )
}

/// The size as of the last VACUUM or ANALYZE of each table. An exact size would need a stat of
/// each file.
pub(super) fn database_size(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    Ok(vec![match &*context.tables {
        Ok(tables) => Finding {
            object: Some(format!("database {}", session::database())),
            current_value: Some(format!(
                "{} (estimate)",
                gigabytes(tables.blocks * u64::from(pg_sys::BLCKSZ))
            )),
            evidence: Some(format!("{} tables, {} indexes", tables.tables, tables.indexes)),
            ..Finding::ok(metric)
        },
        Err(reason) => Finding::skipped(metric, reason.clone()),
    }])
}
