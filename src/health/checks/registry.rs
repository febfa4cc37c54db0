//! The checks: a name and how they look, most by a query of one row shape. See docs/health.md.

use super::{disk, rates, tables};
use crate::health::context::Known;
use crate::health::error::HealthError;
use crate::health::finding::Finding;

/// One check.
pub struct Check {
    /// What the reports call it.
    pub metric: &'static str,
    /// How it looks.
    pub look: Look,
}

/// How a check looks.
pub enum Look {
    /// By SQL.
    Query(Query),
    /// By itself.
    Itself(fn(&'static str, &Known) -> Result<Vec<Finding>, HealthError>),
}

/// A check's query, which answers `status, object, current_value, threshold, evidence, recommendation, next_command, since`, all text.
pub struct Query {
    /// The query.
    pub sql: &'static str,
    /// At most how many objects the query reads, where that costs: `@most@` in it.
    pub most: &'static str,
    /// What must be there and usable by the caller for the better query, and that query.
    pub better: Option<(&'static str, &'static str)>,
}

/// The extension whose functions are a check's better source.
pub const STATEMENTS: &str = "pg_stat_statements";

macro_rules! checks {
    (most $most:literal; $($metric:literal $($file:literal)? $(if $object:literal $better:literal)? $(by $itself:path)?;)*) => {
        &[$(Check { metric: $metric, look: checks!(@look $most $($file)? $(if $object $better)? $(by $itself)?) }),*]
    };
    (@look $most:literal by $itself:path) => {
        Look::Itself($itself)
    };
    (@look $most:literal $file:literal $(if $object:literal $better:literal)?) => {
        Look::Query(Query {
            most: $most,
            sql: include_str!(concat!("../../../sql/health/", $file, ".sql")),
            better: checks!(@better $($object $better)?),
        })
    };
    (@better) => { None };
    (@better $object:literal $better:literal) => {
        Some(($object, include_str!(concat!("../../../sql/health/", $better, ".sql"))))
    };
}

/// The fast ones, those first that hit users hardest.
pub const FAST: &[Check] = checks! {
    most "200";
    "Checksum Failures" "fast/checksum_failures";
    "Connections" "fast/connections";
    "Blocked Sessions" "fast/blocking";
    "Active Connections" "fast/active_connections";
    "Avg Query Time" "fast/avg_query_time";
    "Slow Queries" "fast/slow_statements" if "pg_stat_statements" "fast/slow_statements.pg_stat_statements";
    "Idle in Transaction" "fast/idle_in_transaction";
    "Long Queries" "fast/long_queries";
    "Long Transactions" "fast/long_transactions";
    "Wait Profile" "fast/wait_profile";
    "Lock Table" "fast/lock_table";
    "Prepared Transactions" "fast/prepared_transactions";
    "Restart" "fast/restart";
    "WAL Archiving" "fast/archiving";
    "Replication Slots" "fast/slots";
    "WAL Size" "fast/wal_size" if "pg_ls_waldir" "fast/wal_size.pg_ls_waldir";
    "Archive Queue" "fast/archive_queue" if "pg_ls_archive_statusdir" "fast/archive_queue.pg_ls_archive_statusdir";
    "Replication" "fast/replication";
    "Replay" "fast/replay";
    "Wraparound" "fast/wraparound";
    "Xmin Horizon" "fast/xmin_horizon";
    "Sequences" "sequences";
    "Autovacuum Workers" "fast/autovacuum_workers";
    "Autovacuum Lag" by tables::lag;
    "Invalid Indexes" by tables::invalid_indexes;
    "Session Deaths" by rates::session_deaths;
    "Deadlocks" by rates::deadlocks;
    "Rollbacks" by rates::rollbacks;
    "Temp Files" by rates::temp_files;
    "Cache Hit" by rates::cache_hit;
    "Checkpoints" by rates::checkpoints;
    "WAL Rate" by rates::wal_rate;
    "KPI Freshness" "fast/kpi_freshness" if "crewsnow_ops.matview_refreshes" "fast/kpi_freshness.crewsnow_ops.matview_refreshes";
    "Configuration Errors" "fast/config_errors" if "pg_file_settings" "fast/config_errors.pg_file_settings";
    "Pending Settings" "fast/pending_settings";
    "Statement Statistics" "fast/statement_statistics";
    "Database Size" by tables::size;
    "Disk Space" by disk::findings;
};

/// Hygiene: worth doing, on another day.
pub const SLOW: &[Check] = checks! {
    most "ALL";
    "All Sequences" "sequences";
    "Integer Keys" "full/int4_keys";
    "Table Bloat" "full/table_bloat";
    "Index Bloat" "full/index_bloat";
    "Stale Statistics" "full/stale_analyze";
    "Sequential Scans" "full/sequential_scans";
    "Unindexed Foreign Keys" "full/unindexed_foreign_keys";
    "Unused Indexes" "full/unused_indexes";
    "Duplicate Indexes" "full/duplicate_indexes";
    "Missing Primary Keys" "full/missing_primary_keys";
    "Unvalidated Constraints" "full/unvalidated_constraints";
    "Disabled Triggers" "full/disabled_triggers";
    "Unlogged Tables" "full/unlogged_tables";
    "Extension Versions" "full/extension_versions";
};
