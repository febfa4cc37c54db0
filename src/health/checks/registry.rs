//! All checks, each with its name and the source of its findings. See docs/health.md.

use super::{disk, multixacts, rates, running_temp_files, samples, sessions, tables};
use crate::health::context::{CheckContext, Query};
use crate::health::error::HealthError;
use crate::health::finding::Finding;

pub(in crate::health) struct Check {
    /// The name in the column `metric`.
    pub(in crate::health) metric: &'static str,
    pub(in crate::health) source: Source,
}

pub(in crate::health) enum Source {
    /// One SQL statement.
    Query(Query),
    /// A Rust function, which gets the check's name.
    Native(fn(&'static str, &CheckContext) -> Result<Vec<Finding>, HealthError>),
}

macro_rules! checks {
    (
        row_limit $row_limit:literal;
        $(
            $metric:literal
            $($file:literal)?
            $(if $object:literal $preferred:literal)?
            $(by $native:path)?;
        )*
    ) => {
        &[$(Check {
            metric: $metric,
            source: checks!(
                @source $row_limit $($file)? $(if $object $preferred)? $(by $native)?
            ),
        }),*]
    };
    (@source $row_limit:literal by $native:path) => {
        Source::Native($native)
    };
    (@source $row_limit:literal $file:literal $(if $object:literal $preferred:literal)?) => {
        Source::Query(Query {
            row_limit: $row_limit,
            sql: include_str!(concat!("../../../sql/health/", $file, ".sql")),
            preferred: checks!(@preferred $($object $preferred)?),
        })
    };
    (@preferred) => { None };
    (@preferred $object:literal $preferred:literal) => {
        Some(($object, include_str!(concat!("../../../sql/health/", $preferred, ".sql"))))
    };
}

/// The checks of performance_health_check. `harm.rs` orders their findings; findings of equal harm
/// keep this order.
pub(in crate::health) const FAST: &[Check] = checks! {
    row_limit "200";
    "Checksum Failures" "fast/checksum_failures";
    "Collation Versions" "fast/collations";
    "Connections" "fast/connections";
    "Blocked Sessions" "fast/blocking";
    "Active Connections" "fast/active_connections";
    "Avg Query Time" "fast/avg_query_time";
    "Slow Queries" "fast/slow_statements"
        if "pg_stat_statements" "fast/slow_statements.pg_stat_statements";
    "Statement Pile-up" "fast/statement_pileup";
    "Idle in Transaction" by sessions::idle_in_transaction;
    "Long Queries" "fast/long_queries";
    "Long Transactions" "fast/long_transactions";
    "Wait Profile" by sessions::wait_profile;
    "Commit Waits" "fast/commit_waits";
    "Pooler Queue" "fast/pooler";
    "Lock Table" "fast/lock_table";
    "Prepared Transactions" "fast/prepared_transactions";
    "Restart" "fast/restart";
    "WAL Archiving" "fast/archiving";
    "Replication Slots" "fast/slots";
    "WAL Size" "fast/wal_size" if "pg_ls_waldir" "fast/wal_size.pg_ls_waldir";
    "Archive Queue" "fast/archive_queue"
        if "pg_ls_archive_statusdir" "fast/archive_queue.pg_ls_archive_statusdir";
    "Replication" "fast/replication";
    "Replay" "fast/replay";
    "Wraparound" by tables::wraparound;
    "Subscriptions" "fast/subscriptions";
    "Recovery Conflicts" "fast/recovery_conflicts";
    "Multixact Members" by multixacts::members;
    "Xmin Horizon" "fast/xmin_horizon";
    "Sequences" "sequences";
    "Autovacuum Workers" "fast/autovacuum_workers";
    "Autovacuum Lag" by tables::autovacuum_lag;
    "Invalid Indexes" by tables::invalid_indexes;
    "Session Deaths" by rates::session_deaths;
    "Deadlocks" by rates::deadlocks;
    "Rollbacks" by rates::rollbacks;
    "Temp Files" by running_temp_files::temp_files;
    "Cache Hit" by rates::cache_hit;
    "Checkpoints" by rates::checkpoints;
    "WAL Rate" by rates::wal_rate;
    "KPI Freshness" "fast/kpi_freshness"
        if "crewsnow_ops.matview_refreshes" "fast/kpi_freshness.crewsnow_ops.matview_refreshes";
    "Cron Failing" "fast/cron_failing"
        if "cron.job_run_details" "fast/cron_failing.cron.job_run_details";
    "Cron Overdue" "fast/cron_overdue"
        if "cron.job_run_details" "fast/cron_overdue.cron.job_run_details";
    "Maintenance Failing" "fast/maintenance_failing"
        if "crewsnow_ops.maintenance_runs"
            "fast/maintenance_failing.crewsnow_ops.maintenance_runs";
    "Configuration Errors" "fast/config_errors"
        if "pg_file_settings" "fast/config_errors.pg_file_settings";
    "Pending Settings" "fast/pending_settings";
    "Durability" "fast/durability";
    "Statement Statistics" "fast/statement_statistics";
    "Health Samples" by samples::health_samples;
    "Database Size" by tables::database_size;
    "Disk Space" by disk::disk_space;
};

/// The additional checks of full_health_check. None of them is urgent.
pub(in crate::health) const HYGIENE: &[Check] = checks! {
    row_limit "ALL";
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
    "Flags in Checks" "full/flags_in_checks";
    "Unlogged Tables" "full/unlogged_tables";
    "Extension Versions" "full/extension_versions";
};
