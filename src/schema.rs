//! The order of the install script: one SQL file per topic.

use pgrx::prelude::*;

/// Lets functions name `schema = "crewsnow_ops"`. For it pgrx writes CREATE SCHEMA IF NOT EXISTS,
/// after the plain CREATE SCHEMA of the bootstrap file, which fails if the schema was squatted.
#[pg_schema]
mod crewsnow_ops {}

extension_sql_file!("../sql/schema/00_bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!("../sql/schema/05_access.sql", name = "access", requires = ["bootstrap"]);
extension_sql_file!("../sql/schema/10_flags.sql", name = "flags", requires = ["access"]);
extension_sql_file!(
    "../sql/schema/11_flag_functions.sql",
    name = "flag_functions",
    requires = [
        "flags",
        flags::api::update_feature_flag,
        flags::erasure::erase_user_from_flags,
        flags::evaluation::evaluate_all,
        flags::evaluation::evaluate_all_for_text,
        flags::evaluation::explain_feature_flag,
        flags::evaluation::explain_feature_flag_for_text,
        flags::restore::restore_feature_flags,
        flags::restore::restore_flag_transaction
    ]
);
extension_sql_file!(
    "../sql/schema/12_launch_configuration.sql",
    name = "launch_configuration",
    requires = ["flag_functions"]
);
extension_sql_file!(
    "../sql/schema/20_telemetry.sql",
    name = "telemetry",
    requires = ["launch_configuration", telemetry::ingest::record::is_valid_event]
);
extension_sql_file!(
    "../sql/schema/21_telemetry_functions.sql",
    name = "telemetry_functions",
    requires = [
        "telemetry",
        telemetry::sketch::aggregates::latency_sketch_add,
        telemetry::sketch::aggregates::latency_sketch_merge,
        telemetry::sketch::aggregates::latency_sketch_combine,
        telemetry::sketch::aggregates::latency_sketch_serialize,
        telemetry::sketch::aggregates::latency_sketch_deserialize,
        telemetry::sketch::aggregates::latency_sketch_final,
        telemetry::sketch::aggregates::sketch_quantile,
        dashboard::dashboard_now,
        telemetry::ingest::record::log_system_event,
        telemetry::ingest::record::log_system_event_float,
        telemetry::ingest::record::log_system_event_json_float,
        telemetry::ingest::record::log_system_event_text,
        telemetry::ingest::record::log_system_event_text_float,
        telemetry::ingest::record::record_edge_call,
        telemetry::ingest::record::record_stripe_webhook,
        telemetry::rollup::retention::apply_event_retention,
        telemetry::rollup::roll_up::rebuild_rollups,
        telemetry::rollup::roll_up::roll_up_events,
        telemetry::views::monitoring::webhooks_now,
        telemetry::views::silent_functions::silent_functions_now
    ]
);
extension_sql_file!(
    "../sql/schema/30_health.sql",
    name = "health",
    requires = ["telemetry_functions"]
);
extension_sql_file!(
    "../sql/schema/31_health_functions.sql",
    name = "health_functions",
    requires = [
        "health",
        health::sample::sample_health,
        health::sessions::cancel_session,
        health::sessions::disconnect_sessions,
        health::sessions::terminate_session,
        health::sql_views::mask_literals
    ]
);
extension_sql_file!("../sql/schema/40_rls.sql", name = "rls", requires = ["health_functions"]);
extension_sql_file!(
    "../sql/schema/41_rls_functions.sql",
    name = "rls_functions",
    requires = [
        "rls",
        rls::target::policy::rls_owner_columns,
        rls::target::policy::rls_policy_facts,
        rls::acceptance::accept_finding,
        rls::drift::record_rls_audit
    ]
);
extension_sql_file!(
    "../sql/schema/50_readiness.sql",
    name = "readiness",
    requires = ["rls_functions"]
);
extension_sql_file!(
    "../sql/schema/51_readiness_functions.sql",
    name = "readiness_functions",
    requires = [
        "readiness",
        readiness::alterations::approve_criterion,
        readiness::e2e_registry::remove_e2e_test,
        readiness::evidence::record_evidence,
        readiness::waivers::approve_waiver,
        readiness::waivers::end_freeze,
        readiness::waivers::freeze_releases,
        readiness::waivers::revoke_waiver,
        readiness::waivers::waive_criterion
    ]
);
extension_sql_file!(
    "../sql/schema/60_adoption.sql",
    name = "adoption",
    requires = ["readiness_functions"]
);
extension_sql_file!(
    "../sql/schema/70_maintenance.sql",
    name = "maintenance",
    requires = ["adoption"]
);
extension_sql_file!(
    "../sql/schema/71_maintenance_functions.sql",
    name = "maintenance_functions",
    requires = ["maintenance", maintenance::run::run_performance_maintenance]
);
extension_sql_file!(
    "../sql/schema/72_maintenance_windows.sql",
    name = "maintenance_windows",
    requires = ["maintenance_functions", maintenance::windows::maintenance_calendar]
);
extension_sql_file!(
    "../sql/schema/73_backups.sql",
    name = "backups",
    requires = ["maintenance_windows"]
);
extension_sql_file!(
    "../sql/schema/74_maintenance_schedule.sql",
    name = "maintenance_schedule",
    requires = [
        "backups",
        health::cron::next_cron_time,
        maintenance::schedule::schedule_maintenance,
        maintenance::schedule::unschedule_maintenance
    ]
);
extension_sql_file!(
    "../sql/schema/75_restore_functions.sql",
    name = "restore_functions",
    requires = [
        "maintenance_schedule",
        maintenance::restore::manifest::record_backup,
        maintenance::restore::run::await_restore_test,
        maintenance::restore::run::test_backup_restore_procedure
    ]
);
extension_sql_file!(
    "../sql/schema/76_retention.sql",
    name = "retention",
    requires = [
        "restore_functions",
        maintenance::retention::preview::preview_retention,
        maintenance::retention::run::run_gdpr_maintenance
    ]
);
extension_sql_file!(
    "../sql/schema/77_retention_findings.sql",
    name = "retention_findings",
    requires = ["retention"]
);
extension_sql_file!(
    "../sql/schema/78_erasure.sql",
    name = "erasure",
    requires = ["retention_findings"]
);
extension_sql_file!(
    "../sql/schema/79_erasure_functions.sql",
    name = "erasure_functions",
    requires = [
        "erasure",
        maintenance::erasure::ledger::export_erasures,
        maintenance::erasure::request::request_erasure
    ]
);
extension_sql_file!(
    "../sql/schema/80_alerts.sql",
    name = "alerts",
    requires = ["erasure_functions"]
);
extension_sql_file!(
    "../sql/schema/81_alert_rule_functions.sql",
    name = "alert_rule_functions",
    requires = [
        "alerts",
        alerts::define::create_alert_rule,
        alerts::evaluation::rule_time,
        alerts::trial::test_rule
    ]
);
extension_sql_file!(
    "../sql/schema/82_alert_sources.sql",
    name = "alert_sources",
    requires = [
        "alert_rule_functions",
        alerts::sources::calls_in,
        alerts::sources::errors_in,
        alerts::sources::check_level,
        alerts::sources::wal_disk_free,
        alerts::sources::webhooks_in
    ]
);
extension_sql_file!(
    "../sql/schema/83_alert_rules.sql",
    name = "alert_built_in_rules",
    requires = ["alert_sources"]
);
extension_sql_file!(
    "../sql/schema/84_alert_functions.sql",
    name = "alert_functions",
    requires = [
        "alert_built_in_rules",
        alerts::operate::acknowledge_alert,
        alerts::operate::adopt_alerts,
        alerts::operate::end_silence,
        alerts::operate::silence,
        alerts::operate::silence_matches,
        alerts::operate::simulate_alert,
        alerts::replay::replay_events,
        alerts::tick::tick
    ]
);
extension_sql_file!(
    "../sql/schema/85_messages.sql",
    name = "messages",
    requires = ["alert_functions"]
);
extension_sql_file!(
    "../sql/schema/86_message_functions.sql",
    name = "message_functions",
    requires = ["messages"]
);
extension_sql_file!(
    "../sql/schema/90_lockdown.sql",
    name = "lockdown",
    requires = ["message_functions", access::grant_access, access::revoke_access],
    finalize
);
