//! Servers that do not record what health checks read: SKIPPED, never OK.

use crate::replication::wait_until;
use harness::{Cluster, preload_statements, rows, run, value};

/// The statuses of some checks.
const STATUSES: &str = "SELECT metric || ' ' || status FROM performance_health_check() WHERE \
    metric IN ('Slow Queries', 'Statement Statistics', 'Long Queries', 'Deadlocks') ORDER BY 1";

// passes before: only servers without pg_stat_statements are treated otherwise
#[test]
fn a_check_of_what_the_server_does_not_record_is_skipped() {
    let Some(preload) = preload_statements() else { return };
    let cluster = Cluster::start("health_blind", preload);
    let mut a = cluster.create_database("blind");
    let mut idle = cluster.connect("blind");
    run(&mut a, "CREATE EXTENSION pg_stat_statements");
    let healthy = ["Deadlocks OK", "Long Queries OK", "Slow Queries OK", "Statement Statistics OK"];
    assert_eq!(rows(&mut a, STATUSES), healthy);
    for (setting, off, skipped) in [
        ("track_activities", "off", "Long Queries SKIPPED|Slow Queries SKIPPED"),
        ("track_counts", "off", "Deadlocks SKIPPED"),
        ("pg_stat_statements.track", "none", "Slow Queries SKIPPED|Statement Statistics SKIPPED"),
        ("compute_query_id", "off", "Slow Queries SKIPPED|Statement Statistics SKIPPED"),
    ] {
        let shown = format!("SHOW {setting}");
        let before = value(&mut a, &shown);
        run(&mut a, &format!("ALTER SYSTEM SET {setting} = {off}"));
        run(&mut a, "SELECT pg_reload_conf()");
        wait_until("the setting", || {
            value(&mut a, &shown) == off && value(&mut idle, &shown) == off
        });
        let statuses = rows(&mut a, STATUSES);
        let found: Vec<_> =
            statuses.iter().filter(|status| status.ends_with("SKIPPED")).cloned().collect();
        assert_eq!(found.join("|"), skipped, "{setting}");
        let command = "SELECT count(*) FROM performance_health_check() WHERE status = 'SKIPPED' \
            AND next_command LIKE 'ALTER SYSTEM SET %'";
        assert_ne!(value(&mut a, command), "0", "{setting}");
        run(&mut a, &format!("ALTER SYSTEM RESET {setting}"));
        run(&mut a, "SELECT pg_reload_conf()");
        wait_until("the setting", || {
            value(&mut a, &shown) == before && value(&mut idle, &shown) == before
        });
        wait_until("the checks see again", || rows(&mut a, STATUSES) == healthy);
    }
    // A role whose statements are not recorded, unless it only monitors.
    run(&mut a, "CREATE ROLE shopper; CREATE ROLE watcher IN ROLE pg_monitor");
    run(&mut a, "ALTER ROLE watcher SET pg_stat_statements.track = 'none'");
    assert_eq!(rows(&mut a, STATUSES), healthy);
    run(&mut a, "ALTER ROLE shopper SET pg_stat_statements.track = 'none'");
    let evidence = "SELECT evidence FROM performance_health_check() WHERE metric = 'Statement \
        Statistics'";
    assert_eq!(value(&mut a, evidence), "pg_stat_statements.track is none for role shopper");
}
