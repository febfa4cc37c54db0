//! Records of health: samples of counters, and the last refresh of each materialized view.

use crate::dump_restore::dump_and_restore;
use crate::health::{run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, both, rows, run, sqlstate, value};
use postgres::Client;

/// Rates cover the time since a comparable sample, else the lifetime.
#[test]
fn rates_cover_the_time_since_a_comparable_sample() {
    let cluster = Cluster::start("health_samples", "");
    let mut a = cluster.create_database("health");
    run(&mut a, "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator')");
    let mut op = cluster.connect_as("op", "health");
    let since = |client: &mut Client| worst(client, "Rollbacks", "since");
    let age = |by: &str| {
        format!("UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '{by}'")
    };
    assert!(since(&mut a).starts_with("lifetime since "), "{}", since(&mut a));
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    assert_eq!(
        value(&mut op, "SELECT crewsnow_ops.sample_health()"),
        "f",
        "five seconds have not passed"
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.health_samples"), "1");
    assert!(since(&mut a).starts_with("lifetime"), "the sample is too young");
    run(&mut a, &age("20 seconds"));
    assert!(since(&mut a).starts_with("lifetime"), "so is one of less than 30 s");
    run(&mut a, &age("20 seconds"));
    assert!(since(&mut a).starts_with("last 4"), "{}", since(&mut a));
    assert!(since(&mut op).starts_with("last 4"), "{}", since(&mut op));
    run(&mut a, &age("4 minutes"));
    assert_eq!(since(&mut a), "last 5 min");
    // Of several samples, the one closest to five minutes ago.
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    run(&mut a, &age("30 minutes"));
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    run(
        &mut a,
        "UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '6 minutes' \
         WHERE sampled_at > now() - interval '1 minute'",
    );
    assert_eq!(since(&mut a), "last 6 min");
    // After a reset the counters do not compare.
    run(&mut a, "SELECT pg_stat_reset()");
    wait_until("the reset", || since(&mut a).starts_with("lifetime"));
    assert!(
        worst(&mut a, "Checkpoints", "since").starts_with("last"),
        "the counters of checkpoints were not reset"
    );
    run(&mut a, "SELECT pg_stat_reset_shared('bgwriter'); SELECT pg_stat_reset_shared('wal')");
    if value(&mut a, "SELECT to_regclass('pg_stat_checkpointer') IS NOT NULL") == "t" {
        run(&mut a, "SELECT pg_stat_reset_shared('checkpointer')");
    }
    wait_until("the other reset", || worst(&mut a, "Checkpoints", "since").starts_with("lifetime"));
    // Samples older than an hour go, and so do samples from the future.
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.health_samples"), "3");
    run(&mut a, &age("50 minutes"));
    run(&mut a, "INSERT INTO crewsnow_ops.health_samples VALUES (now() + interval '1 day', '{}')");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.statement_samples VALUES (now() - interval '3 hours', '{}', \
         '{}', '{}', '{}')",
    );
    assert_eq!(value(&mut op, "SELECT crewsnow_ops.sample_health()"), "t");
    assert_eq!(
        rows(
            &mut a,
            "SELECT count(*), count(*) FILTER (WHERE sampled_at > now()), (SELECT count(*) \
             FROM crewsnow_ops.statement_samples) FROM crewsnow_ops.health_samples"
        ),
        ["2|0|0"],
        "the last sample, and the one of 56 minutes ago"
    );
    // A caller without access to the samples gets lifetimes, not an error.
    run(&mut a, "REVOKE SELECT ON crewsnow_ops.health_samples FROM op");
    assert!(since(&mut op).starts_with("lifetime"));
}

/// PostgreSQL does not record refreshes; the event trigger does.
#[test]
fn refreshes_are_recorded() {
    let cluster = Cluster::start("health_kpi", "");
    cluster.create_empty_database("health");
    let mut a = cluster.connect("health");
    let metric = "KPI Freshness";
    run(&mut a, "CREATE MATERIALIZED VIEW before AS SELECT 1 AS n; CREATE EXTENSION crewsnow_ops");
    assert_eq!(status(&mut a, metric), "SKIPPED", "the time of its refresh is unknown");
    let refresh = worst(&mut a, metric, "next_command");
    run(&mut a, &refresh);
    assert_eq!(status(&mut a, metric), "OK", "the next command helped");
    run(&mut a, "CREATE MATERIALIZED VIEW kpi AS SELECT 1 AS n; CREATE UNIQUE INDEX ON kpi (n)");
    assert_eq!(status(&mut a, metric), "OK", "filled by CREATE");
    let age = "UPDATE crewsnow_ops.matview_refreshes SET intervals = '{}', refreshed_at = \
        refreshed_at - interval";
    for refresh in ["REFRESH MATERIALIZED VIEW kpi", "REFRESH MATERIALIZED VIEW CONCURRENTLY kpi"] {
        run(&mut a, &format!("{age} '3 hours' WHERE relid = 'kpi'::regclass"));
        assert_eq!(status(&mut a, metric), "WARNING");
        assert_eq!(worst(&mut a, metric, "object"), "materialized view public.kpi");
        run(&mut a, &format!("{age} '22 hours' WHERE relid = 'kpi'::regclass"));
        assert_eq!(status(&mut a, metric), "WARNING", "its interval is unknown");
        run(&mut a, refresh);
        assert_eq!(status(&mut a, metric), "OK", "{refresh}");
    }
    // A refresh that was rolled back does not count.
    run_each(
        &mut a,
        &format!(
            "{age} '3 hours'; BEGIN; REFRESH MATERIALIZED VIEW kpi; REFRESH MATERIALIZED VIEW \
             before; ROLLBACK"
        ),
    );
    assert_eq!(status(&mut a, metric), "WARNING");
    run(&mut a, "REFRESH MATERIALIZED VIEW kpi; REFRESH MATERIALIZED VIEW before");
    run(&mut a, "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA");
    assert_eq!(worst(&mut a, metric, "status || ' ' || current_value"), "WARNING never filled");
    run(&mut a, "DROP MATERIALIZED VIEW empty");
    // A refresh by a role without other privileges.
    run(
        &mut a,
        &format!(
            "{age} '3 hours' WHERE relid = 'kpi'::regclass; CREATE ROLE owner LOGIN; ALTER \
             MATERIALIZED VIEW kpi OWNER TO owner"
        ),
    );
    run(&mut cluster.connect_as("owner", "health"), "REFRESH MATERIALIZED VIEW kpi");
    assert_eq!(status(&mut a, metric), "OK");

    // After dump and restore, the restore counts as the refresh.
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    for (copy, dump, restore) in [("plain", &[][..], &[][..]), ("parallel", &["-Fd"], &["-j4"])] {
        dump_and_restore(&cluster, "health", copy, dump, restore);
        let mut restored = cluster.connect(copy);
        assert_eq!(
            value(&mut restored, "SELECT count(*) FROM crewsnow_ops.health_samples"),
            "0",
            "{copy}: samples are not dumped"
        );
        let records = "SELECT count(*) FROM crewsnow_ops.matview_refreshes AS r JOIN pg_class AS \
            c ON c.oid = r.relid WHERE c.relname IN ('kpi', 'before')";
        assert_eq!(value(&mut restored, records), "2", "{copy}");
        assert_eq!(status(&mut restored, metric), "OK", "{copy}");
    }

    // If the record fails, the refresh succeeds with a WARNING.
    run(&mut a, "ALTER TABLE crewsnow_ops.matview_refreshes RENAME TO elsewhere");
    let output = both(
        &cluster
            .psql("health")
            .args(["-c", "REFRESH MATERIALIZED VIEW kpi"])
            .output()
            .expect("psql"),
    );
    assert!(
        output.starts_with("WARNING:  crewsnow_ops could not record")
            && output.contains("REFRESH MATERIALIZED VIEW"),
        "{output}"
    );
    run(&mut a, "CREATE MATERIALIZED VIEW another AS SELECT 2 AS n");
    assert_eq!(value(&mut a, "SELECT n FROM another"), "2");
    assert_eq!(status(&mut a, metric), "SKIPPED", "without the table the age is unknown");
    run(
        &mut a,
        "ALTER TABLE crewsnow_ops.elsewhere RENAME TO matview_refreshes; DROP MATERIALIZED VIEW \
         another",
    );
    assert_eq!(status(&mut a, metric), "OK");
}

/// The event trigger notes refreshes without waiting for another session, and never keeps a
/// command from ending.
#[test]
fn a_refresh_waits_for_no_stranger_and_can_be_cancelled() {
    let cluster = Cluster::start("refresh_alone", "");
    let mut a = cluster.create_database("refresh");
    let mut b = cluster.connect("refresh");
    run(
        &mut a,
        "CREATE MATERIALIZED VIEW first AS SELECT 1; CREATE MATERIALIZED VIEW second AS SELECT 1;
         CREATE MATERIALIZED VIEW gone AS SELECT 1; DROP MATERIALIZED VIEW gone",
    );
    let noted = "SELECT count(*) FROM crewsnow_ops.matview_refreshes AS r
        WHERE r.relid = 'second'::regclass AND r.refreshed_at > now() - interval '1 minute'";
    let forget = "DELETE FROM crewsnow_ops.matview_refreshes WHERE relid = 'second'::regclass";
    run(&mut b, "SET statement_timeout = '5s'");
    run(&mut b, forget);
    // This transaction has removed the row of the dropped view, and stays open.
    run(&mut a, "BEGIN; REFRESH MATERIALIZED VIEW first");
    run(&mut b, "REFRESH MATERIALIZED VIEW second");
    assert_eq!(value(&mut b, noted), "1");
    run(&mut a, "ROLLBACK");
    // Nor does it wait for a lock on its table. The refresh succeeds, and is not noted.
    run(&mut b, forget);
    run(&mut a, "BEGIN; LOCK TABLE crewsnow_ops.matview_refreshes");
    run(&mut b, "REFRESH MATERIALIZED VIEW second");
    run(&mut a, "ROLLBACK");
    assert_eq!(value(&mut b, noted), "0");
    // A timeout that strikes inside of the trigger ends the command.
    run(
        &mut a,
        "CREATE FUNCTION public.nap() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
         CREATE TRIGGER nap BEFORE INSERT ON crewsnow_ops.matview_refreshes
             FOR EACH ROW EXECUTE FUNCTION public.nap()",
    );
    run(&mut b, "SET statement_timeout = '300ms'");
    assert_eq!(sqlstate(&mut b, "REFRESH MATERIALIZED VIEW second"), "57014");
}
