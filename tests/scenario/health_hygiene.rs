//! Each check of full_health_check on a neglected database.

use crate::replication::wait_until;
use harness::{Cluster, rows, run, value};
use postgres::Client;

fn found(client: &mut Client, metric: &str) -> Vec<String> {
    let sql = format!(
        "SELECT status || ' ' || coalesce(object, evidence, '') \
         FROM crewsnow_ops.full_health_check()
         WHERE metric = '{metric}' ORDER BY object"
    );
    rows(client, &sql)
}

/// Runs the next command of the worst row of a check.
fn run_next_command(client: &mut Client, metric: &str) {
    let sql = format!(
        "SELECT next_command FROM crewsnow_ops.full_health_check() WHERE metric = '{metric}' \
         ORDER BY severity_rank LIMIT 1"
    );
    let command = value(client, &sql);
    for line in command.lines() {
        run(client, line);
    }
}

// passes before: only the cure of a key that runs out has changed, from a command to a plan.
#[test]
fn neglected_objects_are_reported() {
    let cluster =
        Cluster::start("hygiene", "autovacuum = off\narchive_mode = on\narchive_command = 'true'");
    let mut a = cluster.create_database("health");
    run(
        &mut a,
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(1, \
         20000); ANALYZE parent;
         CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, s text);
         INSERT INTO child SELECT 1800000000 + i, i, md5(i::text)
             FROM generate_series(1, 20000) AS i;
         CREATE INDEX once ON child (s); CREATE INDEX twice ON child (s); ANALYZE child;
         CREATE TABLE pair (id bigint PRIMARY KEY, x int, y int); CREATE INDEX short ON pair (x);
         CREATE INDEX long ON pair (x, y);
         CREATE TABLE alike (id bigint PRIMARY KEY, s text, n int); CREATE INDEX plain ON alike (s);
         CREATE INDEX partial ON alike (s) WHERE n > 0; CREATE INDEX lowered ON alike (lower(s));
         CREATE INDEX uppered ON alike (upper(s));
         CREATE INDEX descending ON alike (s DESC);
         CREATE INDEX pattern ON alike (s text_pattern_ops);
         CREATE INDEX posix ON alike (s COLLATE \"POSIX\"); CREATE INDEX hashed ON alike USING \
             hash (s);
         CREATE INDEX covering ON alike (n) INCLUDE (s);
         CREATE INDEX copied ON alike (n, id); CREATE UNIQUE INDEX sole ON alike (n, id);
         CREATE TABLE other (id bigint PRIMARY KEY, s text); CREATE INDEX elsewhere ON other (s);
         ALTER TABLE child ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
         CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER off AFTER INSERT ON child EXECUTE FUNCTION nothing();
         ALTER TABLE child DISABLE TRIGGER off;
         CREATE TABLE gated (id int PRIMARY KEY,
             CHECK (NOT is_feature_enabled_for_user('maintenance_mode')));
         CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY);
         CREATE TABLE nameless (s text);
         INSERT INTO nameless SELECT 'x' FROM generate_series(1, 20000);
         CREATE TABLE counted (id smallserial PRIMARY KEY); SELECT setval('counted_id_seq', 32700)",
    );
    for (metric, expected) in [
        ("All Sequences", &["CRITICAL sequence public.counted_id_seq"][..]),
        ("Integer Keys", &["WARNING column public.child.id"]),
        ("Stale Statistics", &["WARNING table public.nameless"]),
        ("Unindexed Foreign Keys", &["WARNING table public.child"]),
        (
            "Duplicate Indexes",
            &[
                "WARNING index public.copied",
                "WARNING index public.short",
                "WARNING index public.twice",
            ],
        ),
        ("Missing Primary Keys", &["WARNING table public.nameless"]),
        ("Unvalidated Constraints", &["WARNING table public.child"]),
        ("Disabled Triggers", &["WARNING table public.child"]),
        ("Flags in Checks", &["WARNING table public.gated"]),
        ("Unlogged Tables", &["WARNING table public.volatile"]),
        ("Extension Versions", &["OK "]),
        ("Table Bloat", &["OK "]),
        ("Index Bloat", &["OK "]),
    ] {
        // A session writes its counters a moment later.
        wait_until(metric, || {
            let found = found(&mut a, metric);
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(f, e)| f.starts_with(e))
        });
    }
    run(
        &mut a,
        "SET allow_system_table_mods = on; UPDATE pg_extension SET extversion = '0.0.9' \
         WHERE extname = 'plpgsql'",
    );
    assert_eq!(found(&mut a, "Extension Versions"), ["WARNING extension plpgsql"]);
    run(&mut a, "UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'plpgsql'");
    // The next commands help.
    let metrics = [
        "All Sequences",
        "Integer Keys",
        "Stale Statistics",
        "Unindexed Foreign Keys",
        "Duplicate Indexes",
        "Duplicate Indexes",
        "Duplicate Indexes",
        "Missing Primary Keys",
        "Unvalidated Constraints",
        "Disabled Triggers",
        "Flags in Checks",
    ];
    for metric in metrics {
        run_next_command(&mut a, metric);
    }
    // Its next command shows how much of the range is left. The cure is a plan.
    run(&mut a, "ALTER TABLE child ALTER COLUMN id TYPE bigint");
    // A rewritten table needs a new ANALYZE.
    run(&mut a, "ANALYZE");
    for metric in metrics {
        wait_until(metric, || found(&mut a, metric)[0].starts_with("OK "));
    }
    // A role that may not read the tables cannot see the statistics of their columns.
    run(&mut a, "CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader')");
    let mut reader = cluster.connect_as("reader", "health");
    assert!(found(&mut reader, "Integer Keys")[0].starts_with("SKIPPED the statistics of "));
    let grant =
        "SELECT next_command FROM crewsnow_ops.full_health_check() WHERE metric = 'Integer Keys'";
    let grant = value(&mut reader, grant);
    run(&mut a, &grant);
    assert_eq!(found(&mut reader, "Integer Keys"), ["OK "]);
}

/// Bloat, sequential scans and unused indexes; the checks of usage need statistics of a week.
#[test]
fn usage_checks_need_a_week_of_statistics() {
    let cluster =
        Cluster::start("hygiene_week", "autovacuum = off\nmaintenance_work_mem = '256MB'");
    let mut a = cluster.create_database("health");
    run(
        &mut a,
        "CREATE TABLE large (s text); INSERT INTO large SELECT lpad(i::text, 480, md5(i::text)) \
         FROM generate_series(1, 240000) AS i;
         CREATE INDEX large_s ON large (s);
         DELETE FROM large WHERE ctid > '(100,0)'; ANALYZE large",
    );
    assert_eq!(found(&mut a, "Table Bloat"), ["WARNING table public.large"]);
    let used = ["Unused Indexes", "Sequential Scans"];
    for metric in used {
        assert!(
            found(&mut a, metric)[0].starts_with("SKIPPED the statistics are 00:0"),
            "{metric}"
        );
    }
    run(
        &mut a,
        "CREATE TABLE read (id int); INSERT INTO read SELECT generate_series(1, 20000); ANALYZE \
         read;
         DO $$ BEGIN FOR i IN 1 .. 1001 LOOP PERFORM count(*) FROM read; END LOOP; END $$",
    );
    // A server eight days later.
    let definition = "SELECT replace(pg_get_viewdef('pg_catalog.pg_stat_bgwriter'::regclass), ' \
        AS stats_reset', ' - interval ''8 days'' AS stats_reset')";
    let definition = value(&mut a, definition);
    run(
        &mut a,
        &format!(
            "SET allow_system_table_mods = on; CREATE OR REPLACE VIEW pg_catalog.pg_stat_bgwriter \
             AS {definition}"
        ),
    );
    assert_eq!(found(&mut a, used[0]), ["WARNING index public.large_s"]);
    wait_until("the scans are counted", || found(&mut a, used[1]) == ["WARNING table public.read"]);
    run(&mut a, "VACUUM (INDEX_CLEANUP on, TRUNCATE off) large");
    assert_eq!(found(&mut a, "Index Bloat"), ["WARNING index public.large_s"]);
    run_next_command(&mut a, "Index Bloat");
    assert_eq!(found(&mut a, "Index Bloat"), ["OK "]);
}
