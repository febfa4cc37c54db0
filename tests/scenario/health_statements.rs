//! Reports of statements, with pg_stat_statements in all its states and without it.

use crate::health::{in_background, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, both, has_extension, preload_statements, rows, run, value};
use postgres::Client;
use std::time::{Duration, Instant};

/// A statement that has been running for over a second is shown, masked.
fn assert_running_is_shown(cluster: &Cluster, a: &mut Client) {
    let sleeper = in_background(cluster.connect("health"), "SELECT 'S3CRET', pg_sleep(60)");
    let running = "SELECT pid, query_snippet, total_time_ms >= 1000, finding \
        FROM analyze_slow_queries() WHERE pid IS NOT NULL";
    wait_until("it is slow", || rows(a, running).len() == 1);
    let found = rows(a, running);
    assert!(
        found[0].ends_with("|SELECT ?, pg_sleep(?)|t|running, waits for Timeout:PgSleep"),
        "{found:?}"
    );
    let cancel = value(
        a,
        "SELECT substring(optimization_suggestion FROM 'SELECT .*') FROM analyze_slow_queries() \
         WHERE pid IS NOT NULL",
    );
    assert_eq!(value(a, &cancel), "t", "{cancel}");
    assert_eq!(sleeper.join().expect("the sleeper"), Some("57014".to_owned()));
}

// passes before: only servers without pg_stat_statements are treated otherwise
#[test]
fn reports_work_without_pg_stat_statements() {
    let cluster = Cluster::start("statements_none", "");
    let mut a = cluster.create_database("health");
    let advice = "SELECT query_hash, finding, optimization_suggestion FROM analyze_slow_queries()";
    let preload = "(no statistics)|SKIPPED: pg_stat_statements is not loaded|Preload \
        pg_stat_statements (shared_preload_libraries) with the next restart, \
        then CREATE EXTENSION pg_stat_statements;";
    assert_eq!(rows(&mut a, advice), [preload]);
    assert_eq!(status(&mut a, "Statement Statistics"), "WARNING");
    assert_eq!(
        worst(&mut a, "Statement Statistics", "next_command"),
        "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';"
    );
    // The filter of the runbook leaves no row; the NOTICE tells why.
    let typed = cluster
        .psql("health")
        .args(["-At", "-c", "SELECT * FROM analyze_slow_queries() WHERE avg_time_ms > 1000;"])
        .output();
    let output = both(&typed.expect("psql"));
    assert!(output.starts_with("NOTICE:  pg_stat_statements"), "{output}");
    assert_running_is_shown(&cluster, &mut a);
    if has_extension(&mut a, "pg_stat_statements") {
        // Created, but the library is not loaded: reading it would fail.
        run(&mut a, "CREATE EXTENSION pg_stat_statements");
        assert_eq!(rows(&mut a, advice), [preload]);
        assert_eq!(status(&mut a, "Statement Statistics"), "WARNING");
        assert_eq!(status(&mut a, "Slow Queries"), "OK", "only running statements count");
        run(&mut a, "SELECT crewsnow_ops.sample_health()");
        assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.statement_samples"), "0");
    }
}

// passes before: only servers without pg_stat_statements are treated otherwise
#[test]
fn slow_statements_are_those_of_the_window() {
    let Some(preload) = preload_statements() else { return };
    let cluster = Cluster::start("statements", &format!("{preload}\npg_stat_statements.max = 100"));
    let started = Instant::now();
    let mut a = cluster.create_database("health");
    // Loaded, but not created in this database.
    assert_eq!(
        worst(&mut a, "Statement Statistics", "status || ' ' || next_command"),
        "WARNING CREATE EXTENSION pg_stat_statements;"
    );
    let advice = "SELECT optimization_suggestion FROM analyze_slow_queries() \
        WHERE query_hash = '(no statistics)'";
    assert_eq!(value(&mut a, advice), "CREATE EXTENSION pg_stat_statements;");
    run(
        &mut a,
        "CREATE SCHEMA \"Odd place\"; CREATE EXTENSION pg_stat_statements SCHEMA \"Odd place\"",
    );
    assert_eq!(status(&mut a, "Statement Statistics"), "OK");
    assert_eq!(rows(&mut a, advice), Vec::<String>::new());

    // A role that sees only its own statements gets SKIPPED, not figures that pass for the
    // server's.
    run(
        &mut a,
        "CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader'); GRANT \
         USAGE ON SCHEMA \"Odd place\" TO reader",
    );
    let mut reader = cluster.connect_as("reader", "health");
    assert_eq!(status(&mut reader, "Slow Queries"), "SKIPPED");
    assert_eq!(status(&mut reader, "Statement Statistics"), "SKIPPED");
    assert!(worst(&mut reader, "Avg Query Time", "current_value").ends_with("per transaction"));
    assert_eq!(
        value(
            &mut reader,
            "SELECT count(*) FROM analyze_slow_queries() WHERE query_hash = '(hidden)'"
        ),
        "1"
    );

    // Before the sample: the most expensive statement of the lifetime.
    let before = "SELECT pg_sleep(3), 'S3CRET' AS before";
    let during = "SELECT pg_sleep(1.2), 'S3CRET' AS during";
    run(&mut a, before);
    let lifetime = "SELECT query_snippet, calls, avg_time_ms > 3000, \"window\" LIKE 'lifetime%' \
        FROM analyze_slow_queries() LIMIT 1";
    assert_eq!(rows(&mut a, lifetime), ["SELECT pg_sleep($1), $2 AS before|1|t|t"]);
    assert_running_is_shown(&cluster, &mut a);
    let counted = "SELECT sum(calls) FROM \"Odd place\".pg_stat_statements";
    let reset = "SELECT stats_reset FROM \"Odd place\".pg_stat_statements_info";
    let (calls, since) = (value(&mut a, counted), value(&mut a, reset));
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    // A sample counts if it is half a minute old and younger than the statistics, so the test
    // waits.
    std::thread::sleep(Duration::from_secs(33).saturating_sub(started.elapsed()));
    run(
        &mut a,
        "UPDATE crewsnow_ops.statement_samples SET sampled_at = clock_timestamp() - interval '31 \
         seconds';
         UPDATE crewsnow_ops.health_samples
             SET sampled_at = clock_timestamp() - interval '31 seconds'",
    );
    run(&mut a, during);
    let window = "SELECT query_snippet, calls, finding LIKE '%slow%', \"window\" LIKE 'since%' \
        FROM analyze_slow_queries() WHERE avg_time_ms > 1000";
    assert_eq!(
        rows(&mut a, window),
        ["SELECT pg_sleep($1), $2 AS during|1|t|t"],
        "a statement that was slow before the window is left out"
    );
    assert_eq!(worst(&mut a, "Slow Queries", "current_value"), "0 sessions, 1 statements");
    assert!(worst(&mut a, "Avg Query Time", "current_value").ends_with("ms per statement"));
    // Ten different statements: an alias alone would not make them differ.
    let sleeps: Vec<_> = (0..10)
        .map(|n| {
            in_background(
                cluster.connect("health"),
                &format!("SELECT pg_sleep(1.1){}", ", 1".repeat(n)),
            )
        })
        .collect();
    assert!(sleeps.into_iter().all(|sleep| sleep.join().expect("a sleeper").is_none()));
    assert_eq!(status(&mut a, "Slow Queries"), "WARNING");
    assert_ne!(status(&mut a, "Avg Query Time"), "OK");
    let leaks = rows(
        &mut a,
        "SELECT r::text FROM analyze_slow_queries() AS r WHERE r::text LIKE '%' || 'S3' || 'CRET%'",
    );
    assert_eq!(leaks, Vec::<String>::new());
    // The reports reset no statistics.
    assert_eq!(value(&mut a, reset), since);
    assert_eq!(value(&mut a, &format!("SELECT ({counted}) > {calls}")), "t");
    // If the samples are locked, figures cover the lifetime.
    let mut lock = cluster.connect("health");
    run(&mut lock, "BEGIN; LOCK TABLE crewsnow_ops.statement_samples IN ACCESS EXCLUSIVE MODE");
    let lifetime =
        "SELECT DISTINCT left(\"window\", 8) FROM analyze_slow_queries() WHERE pid IS NULL";
    assert_eq!(rows(&mut a, lifetime), ["lifetime"]);
    run(&mut lock, "ROLLBACK");
    assert_eq!(rows(&mut a, lifetime), ["since 20"]);
    // More statements than pg_stat_statements.max.
    for n in 20..170 {
        run(&mut a, &format!("SELECT 1{}", ", 1".repeat(n)));
    }
    assert_eq!(status(&mut a, "Statement Statistics"), "WARNING", "some were evicted");
    assert_eq!(
        value(
            &mut a,
            "SELECT bool_and(\"window\" LIKE '%incomplete: % evictions') \
             FROM analyze_slow_queries() WHERE pid IS NULL"
        ),
        "t"
    );
    // If pg_stat_statements fails, its checks are SKIPPED, and the others go on.
    let broken = "SELECT regexp_replace(pg_get_functiondef('\"Odd \
        place\".pg_stat_statements'::regproc), 'LANGUAGE c.*', 'LANGUAGE plpgsql STRICT AS $$ \
            BEGIN RAISE EXCEPTION ''broken''; END $$')";
    let broken = value(&mut a, broken);
    run(&mut a, &broken);
    assert_eq!(
        rows(
            &mut a,
            "SELECT metric, evidence FROM performance_health_check() WHERE status = 'SKIPPED' \
             AND metric <> 'Checksum Failures'"
        ),
        ["Slow Queries|broken", "Statement Statistics|broken"]
    );
    assert!(worst(&mut a, "Avg Query Time", "current_value").ends_with("per transaction"));
}
