//! What health keeps: the counters of some minutes ago, and when materialized views were refreshed.

use crate::dump_restore::dump_and_restore;
use crate::health::{each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, both, rows, run, value};
use postgres::Client;

/// Rates are of the time since a sample, where one compares.
#[test]
fn samples() {
    let cluster = Cluster::start("health_samples", "");
    let mut a = cluster.create_database("health");
    run(&mut a, "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator')");
    let mut op = cluster.connect_as("op", "health");
    let since = |client: &mut Client| worst(client, "Rollbacks", "since");
    let age = |by: &str| format!("UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '{by}'");
    assert!(since(&mut a).starts_with("lifetime since "), "{}", since(&mut a));
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "f", "five seconds are not over");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.health_samples"), "1");
    assert!(since(&mut a).starts_with("lifetime"), "a window of no time says nothing");
    run(&mut a, &age("20 seconds"));
    assert!(since(&mut a).starts_with("lifetime"), "nor does one of less than 30 s");
    run(&mut a, &age("20 seconds"));
    assert!(since(&mut a).starts_with("last 4"), "{}", since(&mut a));
    assert!(since(&mut op).starts_with("last 4"), "{}", since(&mut op));
    run(&mut a, &age("4 minutes"));
    assert_eq!(since(&mut a), "last 5 min");
    // Of several, the one of about five minutes ago.
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    run(&mut a, &age("30 minutes"));
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    run(
        &mut a,
        "UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '6 minutes' WHERE sampled_at > now() - interval '1 minute'",
    );
    assert_eq!(since(&mut a), "last 6 min");
    // Somebody resets: counters of another life do not compare.
    run(&mut a, "SELECT pg_stat_reset()");
    wait_until("the reset", || since(&mut a).starts_with("lifetime"));
    assert!(worst(&mut a, "Checkpoints", "since").starts_with("last"), "those of the server were not reset");
    run(&mut a, "SELECT pg_stat_reset_shared('bgwriter'); SELECT pg_stat_reset_shared('wal')");
    if value(&mut a, "SELECT to_regclass('pg_stat_checkpointer') IS NOT NULL") == "t" {
        run(&mut a, "SELECT pg_stat_reset_shared('checkpointer')");
    }
    wait_until("the other reset", || worst(&mut a, "Checkpoints", "since").starts_with("lifetime"));
    // An hour is kept, and nothing of a clock that was wrong.
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.health_samples"), "3");
    run(&mut a, &age("50 minutes"));
    run(&mut a, "INSERT INTO crewsnow_ops.health_samples VALUES (now() + interval '1 day', '{}')");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.statement_samples VALUES (now() - interval '3 hours', '{}', '{}', '{}', '{}')",
    );
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    assert_eq!(
        rows(
            &mut a,
            "SELECT count(*), count(*) FILTER (WHERE sampled_at > now()), (SELECT count(*) FROM crewsnow_ops.statement_samples) FROM crewsnow_ops.health_samples"
        ),
        ["2|0|0"],
        "the last, and the one of 56 minutes ago"
    );
    // A caller who must not read the samples gets lifetimes, not an error.
    run(&mut a, "REVOKE SELECT ON crewsnow_ops.health_samples FROM op");
    assert!(since(&mut op).starts_with("lifetime"));
}

/// PostgreSQL does not record refreshes; an event trigger does.
#[test]
fn kpi_freshness() {
    let cluster = Cluster::start("health_kpi", "");
    cluster.create_empty_database("health");
    let mut a = cluster.connect("health");
    let metric = "KPI Freshness";
    run(&mut a, "CREATE MATERIALIZED VIEW before AS SELECT 1 AS n; CREATE EXTENSION crewsnow_ops");
    assert_eq!(status(&mut a, metric), "SKIPPED", "nobody knows when it was filled");
    let refresh = worst(&mut a, metric, "next_command");
    run(&mut a, &refresh);
    assert_eq!(status(&mut a, metric), "OK", "what was typed helped");
    run(&mut a, "CREATE MATERIALIZED VIEW kpi AS SELECT 1 AS n; CREATE UNIQUE INDEX ON kpi (n)");
    assert_eq!(status(&mut a, metric), "OK", "filled by CREATE");
    let age = "UPDATE crewsnow_ops.matview_refreshes SET refreshed_at = refreshed_at - interval";
    for refresh in ["REFRESH MATERIALIZED VIEW kpi", "REFRESH MATERIALIZED VIEW CONCURRENTLY kpi"] {
        run(&mut a, &format!("{age} '3 hours' WHERE relid = 'kpi'::regclass"));
        assert_eq!(status(&mut a, metric), "WARNING");
        assert_eq!(worst(&mut a, metric, "object"), "materialized view public.kpi");
        run(&mut a, &format!("{age} '22 hours' WHERE relid = 'kpi'::regclass"));
        assert_eq!(status(&mut a, metric), "CRITICAL");
        run(&mut a, refresh);
        assert_eq!(status(&mut a, metric), "OK", "{refresh}");
    }
    // A refresh that was rolled back was none.
    each(
        &mut a,
        &format!("{age} '3 hours'; BEGIN; REFRESH MATERIALIZED VIEW kpi; REFRESH MATERIALIZED VIEW before; ROLLBACK"),
    );
    assert_eq!(status(&mut a, metric), "WARNING");
    run(&mut a, "REFRESH MATERIALIZED VIEW kpi; REFRESH MATERIALIZED VIEW before");
    run(&mut a, "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA");
    assert_eq!(worst(&mut a, metric, "status || ' ' || current_value"), "CRITICAL never filled");
    run(&mut a, "DROP MATERIALIZED VIEW empty");
    // By a role that may do nothing else here.
    run(
        &mut a,
        &format!(
            "{age} '3 hours' WHERE relid = 'kpi'::regclass; CREATE ROLE owner LOGIN; ALTER MATERIALIZED VIEW kpi OWNER TO owner"
        ),
    );
    run(&mut cluster.connect_as("owner", "health"), "REFRESH MATERIALIZED VIEW kpi");
    assert_eq!(status(&mut a, metric), "OK");

    // Dumped and restored, in several ways: the copy's views were filled by the restore.
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    for (copy, dump, restore) in [("plain", &[][..], &[][..]), ("parallel", &["-Fd"], &["-j4"])] {
        dump_and_restore(&cluster, "health", copy, dump, restore);
        let mut restored = cluster.connect(copy);
        assert_eq!(
            value(&mut restored, "SELECT count(*) FROM crewsnow_ops.health_samples"),
            "0",
            "{copy}: another server's counters"
        );
        let of = "SELECT count(*) FROM crewsnow_ops.matview_refreshes AS r JOIN pg_class AS c ON c.oid = r.relid WHERE c.relname IN ('kpi', 'before')";
        assert_eq!(value(&mut restored, of), "2", "{copy}");
        assert_eq!(status(&mut restored, metric), "OK", "{copy}");
    }

    // Whatever is wrong with the record, the refresh itself succeeds, and says what is wrong.
    run(&mut a, "ALTER TABLE crewsnow_ops.matview_refreshes RENAME TO elsewhere");
    let said = both(&cluster.psql("health").args(["-c", "REFRESH MATERIALIZED VIEW kpi"]).output().expect("psql"));
    assert!(
        said.starts_with("WARNING:  crewsnow_ops could not note") && said.contains("REFRESH MATERIALIZED VIEW"),
        "{said}"
    );
    run(&mut a, "CREATE MATERIALIZED VIEW another AS SELECT 2 AS n");
    assert_eq!(value(&mut a, "SELECT n FROM another"), "2");
    assert_eq!(status(&mut a, metric), "SKIPPED", "without the record nothing is known");
    run(&mut a, "ALTER TABLE crewsnow_ops.elsewhere RENAME TO matview_refreshes; DROP MATERIALIZED VIEW another");
    assert_eq!(status(&mut a, metric), "OK");
}
