//! What a session's cache must see and must not see, interleaving by interleaving.

use harness::{Cluster, is_on, run, sqlstate, value};
use std::time::{Duration, Instant};

#[test]
fn interleavings() {
    let cluster = Cluster::start("cache", "");
    own_uncommitted_change(&cluster);
    rollback(&cluster);
    savepoint(&cluster);
    repeatable_read(&cluster);
    serializable(&cluster);
    long_transaction_without_locks(&cluster);
    one_running_statement(&cluster);
    prepared_plan(&cluster);
    truncate(&cluster);
    drop_and_create_again(&cluster);
    invalidation_during_load(&cluster);
    parallel_workers(&cluster);
    policies_checks_triggers_and_views(&cluster);
    vacuum_full_and_reindex(&cluster);
}

fn own_uncommitted_change(cluster: &Cluster) {
    let mut a = cluster.create_database("own_change");
    let mut b = cluster.connect("own_change");
    assert!(is_on(&mut a, "messaging") && is_on(&mut b, "messaging"));
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"), "the own change is seen");
    assert!(is_on(&mut b, "messaging"), "nobody else sees it");
    run(&mut a, "COMMIT");
    assert!(!is_on(&mut b, "messaging"), "everybody sees it after COMMIT");
    // Rows changed and read by one statement's trigger: the change is seen before the statement has ended.
    run(
        &mut a,
        "CREATE TABLE seen (flag_key text, is_on boolean);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO seen VALUES (NEW.flag_key, is_feature_enabled_for_user(NEW.flag_key)); RETURN NULL; END $$;
         CREATE TRIGGER zz_note AFTER UPDATE ON feature_flags FOR EACH ROW EXECUTE FUNCTION note();
         UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging'",
    );
    assert_eq!(value(&mut a, "SELECT is_on FROM seen"), "t");
}

fn rollback(cluster: &Cluster) {
    let mut a = cluster.create_database("rolled_back");
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"));
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging"), "ROLLBACK forgets");
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"));
    assert_eq!(sqlstate(&mut a, "SELECT 1/0"), "22012");
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging"), "an error forgets");
}

fn savepoint(cluster: &Cluster) {
    let mut a = cluster.create_database("savepoints");
    run(
        &mut a,
        "BEGIN; SELECT update_feature_flag('messaging', false); SAVEPOINT s; SELECT update_feature_flag('messaging', true)",
    );
    assert!(is_on(&mut a, "messaging"));
    run(&mut a, "ROLLBACK TO s");
    assert!(
        !is_on(&mut a, "messaging"),
        "ROLLBACK TO forgets what came after the savepoint, and only that"
    );
    run(&mut a, "SELECT update_feature_flag('messaging', true); RELEASE s");
    assert!(is_on(&mut a, "messaging"));
    let caught = "DO $$ BEGIN
        BEGIN
            PERFORM update_feature_flag('messaging', false);
            IF is_feature_enabled_for_user('messaging') THEN RAISE 'own change not seen'; END IF;
            RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
        IF NOT is_feature_enabled_for_user('messaging') THEN RAISE 'caught error not forgotten'; END IF;
    END $$";
    run(&mut a, caught);
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging"));
}

fn repeatable_read(cluster: &Cluster) {
    let mut a = cluster.create_database("repeatable");
    let mut b = cluster.connect("repeatable");
    let mut c = cluster.connect("repeatable");
    // Loaded inside the transaction, under its old snapshot: nothing of that snapshot may stay.
    run(&mut b, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM feature_flags");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut b, "messaging"), "a kill reaches old snapshots too");
    assert_eq!(
        value(&mut b, "SELECT is_enabled FROM feature_flags WHERE flag_key = 'messaging'"),
        "t"
    );
    run(&mut b, "COMMIT");
    assert!(!is_on(&mut b, "messaging"), "and stays");
    assert!(!is_on(&mut c, "messaging"));
    run(&mut a, "SELECT update_feature_flag('messaging', true)");
    assert!(is_on(&mut b, "messaging") && is_on(&mut c, "messaging"));
}

fn serializable(cluster: &Cluster) {
    let mut a = cluster.create_database("serializable");
    let mut b = cluster.connect("serializable");
    run(&mut b, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT 1");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut b, "messaging"));
    run(&mut b, "COMMIT");
}

fn long_transaction_without_locks(cluster: &Cluster) {
    let mut a = cluster.create_database("no_locks");
    let mut b = cluster.connect("no_locks");
    let statement = b.prepare("SELECT is_feature_enabled_for_user('messaging')").expect("prepared");
    run(&mut b, "BEGIN");
    // Often enough for the server to go over to a generic plan, which is then run without taking any lock.
    for _ in 0..10 {
        assert!(b.query_one(&statement, &[]).expect("evaluates").get::<_, bool>(0));
    }
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!b.query_one(&statement, &[]).expect("evaluates").get::<_, bool>(0));
    run(&mut b, "COMMIT");
}

fn one_running_statement(cluster: &Cluster) {
    let mut a = cluster.create_database("one_statement");
    let mut b = cluster.connect("one_statement");
    let waiting = std::thread::spawn(move || {
        // One statement, one transaction, one expression: it ends when the flip arrives.
        run(
            &mut b,
            "SET statement_timeout = '20s'; DO $$ BEGIN WHILE is_feature_enabled_for_user('messaging') LOOP END LOOP; END $$",
        );
    });
    std::thread::sleep(Duration::from_millis(200));
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    waiting.join().expect("the loop has ended");
}

fn prepared_plan(cluster: &Cluster) {
    let mut a = cluster.create_database("prepared");
    let mut b = cluster.connect("prepared");
    run(
        &mut b,
        "SET plan_cache_mode = force_generic_plan; PREPARE p AS SELECT is_feature_enabled_for_user('messaging')",
    );
    assert_eq!(value(&mut b, "EXECUTE p"), "t");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert_eq!(value(&mut b, "EXECUTE p"), "f");
}

fn truncate(cluster: &Cluster) {
    let mut a = cluster.create_database("truncated");
    let mut b = cluster.connect("truncated");
    assert!(is_on(&mut b, "messaging"));
    run(&mut a, "BEGIN; TRUNCATE feature_flags");
    assert!(!is_on(&mut a, "messaging"));
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging") && is_on(&mut b, "messaging"));
    run(&mut a, "TRUNCATE feature_flags");
    assert!(!is_on(&mut b, "messaging"));
    assert_eq!(
        value(
            &mut a,
            "SELECT count(*) FROM crewsnow_ops.flag_history WHERE operation = 'TRUNCATE' AND after IS NULL"
        ),
        "13"
    );
    run(&mut a, "INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('messaging', true)");
    assert!(is_on(&mut b, "messaging"));
}

fn drop_and_create_again(cluster: &Cluster) {
    let mut a = cluster.create_database("again");
    let mut b = cluster.connect("again");
    for round in 0..3 {
        run(&mut a, "SELECT update_feature_flag('messaging', false)");
        assert!(!is_on(&mut a, "messaging") && !is_on(&mut b, "messaging"), "round {round}");
        run(&mut a, "DROP EXTENSION crewsnow_ops; CREATE EXTENSION crewsnow_ops");
        assert!(is_on(&mut a, "messaging") && is_on(&mut b, "messaging"), "round {round}");
    }
    run(&mut a, "DROP EXTENSION crewsnow_ops");
    assert_eq!(sqlstate(&mut b, "SELECT is_feature_enabled_for_user('messaging')"), "42883");
    run(&mut a, "CREATE SCHEMA ops; CREATE EXTENSION crewsnow_ops SCHEMA ops");
    assert_eq!(value(&mut b, "SELECT ops.is_feature_enabled_for_user('messaging')"), "t");
    run(&mut a, "SELECT ops.update_feature_flag('messaging', false)");
    assert_eq!(value(&mut b, "SELECT ops.is_feature_enabled_for_user('messaging')"), "f");
    run(&mut a, "BEGIN; DROP EXTENSION crewsnow_ops; ROLLBACK");
    assert_eq!(value(&mut a, "SELECT ops.is_feature_enabled_for_user('messaging')"), "f");
}

/// A new session's first load takes milliseconds. A flip that arrives in the middle of it must not be lost, and nothing after it tells
/// again.
fn invalidation_during_load(cluster: &Cluster) {
    let mut a = cluster.create_database("during_load");
    run(
        &mut a,
        "INSERT INTO feature_flags (flag_key, is_enabled, target_segments)
         SELECT 'flag_' || n, true, ARRAY['a', 'b', 'c'] FROM generate_series(1, 5000) AS n",
    );
    let mut during = 0;
    for round in 0..300 {
        let is_enabled = round % 2 == 1;
        let mut b = cluster.connect("during_load");
        let loading = std::thread::spawn(move || {
            let began = Instant::now();
            is_on(&mut b, "messaging");
            (b, began, Instant::now())
        });
        std::thread::sleep(Duration::from_micros(round % 100 * 150));
        run(&mut a, &format!("SELECT update_feature_flag('messaging', {is_enabled})"));
        let flipped = Instant::now();
        let (mut b, began, loaded) = loading.join().expect("the first evaluation");
        assert_eq!(
            is_on(&mut b, "messaging"),
            is_enabled,
            "round {round}: the flip was lost in the load"
        );
        during += u32::from(began < flipped && flipped < loaded);
    }
    assert!(during > 30, "only {during} of 300 flips came during a load");
}

fn parallel_workers(cluster: &Cluster) {
    let mut a = cluster.create_database("parallel");
    run(
        &mut a,
        "CREATE TABLE users AS SELECT gen_random_uuid() AS id FROM generate_series(1, 200000);
         ANALYZE users;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off",
    );
    let query = "SELECT count(*) FROM users WHERE is_feature_enabled_for_user('tracker_pro', id)";
    let plan = harness::rows(&mut a, &format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}"))
        .join("\n");
    assert!(
        plan.contains("Workers Launched: 2") && plan.contains("Filter: is_feature_enabled"),
        "{plan}"
    );
    assert_eq!(value(&mut a, query), "0");
    run(&mut a, "SELECT update_feature_flag('tracker_pro', true, 50)");
    let half: u32 = value(&mut a, query).parse().expect("a number");
    assert!((98_000..102_000).contains(&half), "{half}");
    // A worker sees the leader's own uncommitted change, and targeting by a table works in it.
    run(
        &mut a,
        "BEGIN; UPDATE feature_flags SET rollout_percentage = 100, target_premium_only = true WHERE flag_key = 'tracker_pro'",
    );
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.user_context (user_id, is_premium) SELECT id, true FROM users LIMIT 1000",
    );
    assert_eq!(value(&mut a, query), "1000");
    run(&mut a, "ROLLBACK");
    assert_eq!(value(&mut a, query), half.to_string());
    run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    run(&mut cluster.connect("parallel"), "SELECT update_feature_flag('tracker_pro', false)");
    assert_eq!(value(&mut a, query), "0");
    run(&mut a, "COMMIT");
}

fn policies_checks_triggers_and_views(cluster: &Cluster) {
    let mut a = cluster.create_database("everywhere");
    let mut b = cluster.connect("everywhere");
    run(
        &mut a,
        "CREATE ROLE anon_everywhere;
         CREATE TABLE guarded (id int, CONSTRAINT open CHECK (is_feature_enabled_for_user('messaging')));
         CREATE TABLE filtered (id int); INSERT INTO filtered VALUES (1);
         ALTER TABLE filtered ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON filtered USING ((SELECT is_feature_enabled_for_user('messaging')));
         GRANT SELECT ON filtered TO anon_everywhere;
         CREATE VIEW flags_seen AS SELECT is_feature_enabled_for_user('messaging') AS messaging;
         CREATE TABLE defaulted (is_on boolean DEFAULT is_feature_enabled_for_user('messaging'), id int)",
    );
    run(&mut b, "SET ROLE anon_everywhere");
    for is_enabled in [true, false, true] {
        run(&mut a, &format!("SELECT update_feature_flag('messaging', {is_enabled})"));
        assert_eq!(
            value(&mut b, "SELECT count(*) FROM filtered"),
            if is_enabled { "1" } else { "0" }
        );
        assert_eq!(
            value(&mut a, "SELECT messaging FROM flags_seen"),
            if is_enabled { "t" } else { "f" }
        );
        run(&mut a, "INSERT INTO defaulted (id) VALUES (1)");
        match is_enabled {
            true => run(&mut a, "INSERT INTO guarded VALUES (1)"),
            false => assert_eq!(sqlstate(&mut a, "INSERT INTO guarded VALUES (1)"), "23514"),
        }
    }
    assert_eq!(
        value(&mut a, "SELECT string_agg(is_on::text, ' ') FROM defaulted"),
        "true false true"
    );
}

/// What rewrites the table or its indexes moves the rows, not the flags.
fn vacuum_full_and_reindex(cluster: &Cluster) {
    let mut a = cluster.create_database("rewritten");
    let mut b = cluster.connect("rewritten");
    let user = "11111111-1111-4111-8111-111111111111";
    run(&mut a, &format!("INSERT INTO crewsnow_ops.user_context VALUES ('{user}', true)"));
    run(&mut a, "SELECT update_feature_flag('advanced_filters', true, 100)");
    let evaluate = format!("SELECT is_feature_enabled_for_user('advanced_filters', '{user}')");
    assert_eq!(value(&mut b, &evaluate), "t");
    for sql in [
        "VACUUM FULL feature_flags",
        "VACUUM FULL crewsnow_ops.user_context",
        "REINDEX TABLE CONCURRENTLY crewsnow_ops.user_context",
        "REINDEX TABLE CONCURRENTLY feature_flags",
        "ALTER TABLE feature_flags CLUSTER ON feature_flags_pkey",
        "ANALYZE feature_flags",
    ] {
        run(&mut a, sql);
        assert_eq!(value(&mut b, &evaluate), "t", "{sql}");
        assert_eq!(value(&mut a, &evaluate), "t", "{sql}");
    }
}
