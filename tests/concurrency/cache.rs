//! The flag cache of a session: which changes of other sessions it sees, and when.

use harness::{Cluster, is_on, run, sqlstate, value};
use std::time::{Duration, Instant};

#[test]
fn every_session_sees_the_committed_flags_and_its_own_changes() {
    let cluster = Cluster::start("cache", "");
    only_the_session_itself_sees_an_uncommitted_change(&cluster);
    rollback_and_errors_undo_a_change(&cluster);
    rollback_to_undoes_later_changes_only(&cluster);
    a_repeatable_read_session_sees_a_committed_kill(&cluster);
    a_serializable_session_sees_a_committed_kill(&cluster);
    a_generic_plan_without_locks_sees_a_flip(&cluster);
    a_running_statement_sees_a_flip(&cluster);
    a_prepared_statement_sees_a_flip(&cluster);
    truncate_switches_flags_off_and_is_recorded(&cluster);
    a_recreated_extension_starts_with_its_launch_flags(&cluster);
    a_flip_during_the_first_load_is_not_lost(&cluster);
    parallel_workers_evaluate_like_their_leader(&cluster);
    policies_checks_defaults_and_views_see_a_flip(&cluster);
    rewriting_a_table_changes_no_flag(&cluster);
}

fn only_the_session_itself_sees_an_uncommitted_change(cluster: &Cluster) {
    let mut a = cluster.create_database("own_change");
    let mut b = cluster.connect("own_change");
    assert!(is_on(&mut a, "messaging") && is_on(&mut b, "messaging"));
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"), "a session sees its own uncommitted change");
    assert!(is_on(&mut b, "messaging"), "no other session sees an uncommitted change");
    run(&mut a, "COMMIT");
    assert!(!is_on(&mut b, "messaging"), "every session sees a committed change");
    // A trigger of the changing statement already sees the change.
    run(
        &mut a,
        "CREATE TABLE seen (flag_key text, is_on boolean);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO seen VALUES (NEW.flag_key, is_feature_enabled_for_user(NEW.flag_key));
             RETURN NULL; END $$;
         CREATE TRIGGER zz_note AFTER UPDATE ON feature_flags FOR EACH ROW EXECUTE FUNCTION note();
         UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging'",
    );
    assert_eq!(value(&mut a, "SELECT is_on FROM seen"), "t");
}

fn rollback_and_errors_undo_a_change(cluster: &Cluster) {
    let mut a = cluster.create_database("rolled_back");
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"));
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging"), "ROLLBACK undoes the change");
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"));
    assert_eq!(sqlstate(&mut a, "SELECT 1/0"), "22012");
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging"), "an error undoes the change");
}

fn rollback_to_undoes_later_changes_only(cluster: &Cluster) {
    let mut a = cluster.create_database("savepoints");
    run(
        &mut a,
        "BEGIN; SELECT update_feature_flag('messaging', false); SAVEPOINT s;
         SELECT update_feature_flag('messaging', true)",
    );
    assert!(is_on(&mut a, "messaging"));
    run(&mut a, "ROLLBACK TO s");
    assert!(
        !is_on(&mut a, "messaging"),
        "ROLLBACK TO undoes the changes after the savepoint, and only those"
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
        IF NOT is_feature_enabled_for_user('messaging') THEN
            RAISE 'change before a caught error not undone';
        END IF;
    END $$";
    run(&mut a, caught);
    run(&mut a, "ROLLBACK");
    assert!(is_on(&mut a, "messaging"));
}

fn a_repeatable_read_session_sees_a_committed_kill(cluster: &Cluster) {
    let mut a = cluster.create_database("repeatable");
    let mut b = cluster.connect("repeatable");
    let mut c = cluster.connect("repeatable");
    // The cache is loaded inside the transaction. It must not keep the flags of the old snapshot.
    run(&mut b, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM feature_flags");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut b, "messaging"), "an old snapshot does not hide a kill");
    assert_eq!(
        value(&mut b, "SELECT is_enabled FROM feature_flags WHERE flag_key = 'messaging'"),
        "t"
    );
    run(&mut b, "COMMIT");
    assert!(!is_on(&mut b, "messaging"), "the kill lasts after COMMIT");
    assert!(!is_on(&mut c, "messaging"));
    run(&mut a, "SELECT update_feature_flag('messaging', true)");
    assert!(is_on(&mut b, "messaging") && is_on(&mut c, "messaging"));
}

fn a_serializable_session_sees_a_committed_kill(cluster: &Cluster) {
    let mut a = cluster.create_database("serializable");
    let mut b = cluster.connect("serializable");
    run(&mut b, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT 1");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut b, "messaging"));
    run(&mut b, "COMMIT");
}

fn a_generic_plan_without_locks_sees_a_flip(cluster: &Cluster) {
    let mut a = cluster.create_database("no_locks");
    let mut b = cluster.connect("no_locks");
    let statement = b.prepare("SELECT is_feature_enabled_for_user('messaging')").expect("prepared");
    run(&mut b, "BEGIN");
    // Ten executions suffice for a generic plan, which takes no lock.
    for _ in 0..10 {
        assert!(b.query_one(&statement, &[]).expect("evaluates").get::<_, bool>(0));
    }
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!b.query_one(&statement, &[]).expect("evaluates").get::<_, bool>(0));
    run(&mut b, "COMMIT");
}

fn a_running_statement_sees_a_flip(cluster: &Cluster) {
    let mut a = cluster.create_database("one_statement");
    let mut b = cluster.connect("one_statement");
    let waiting = std::thread::spawn(move || {
        // The loop is one statement in one transaction. It ends when the flip arrives.
        run(
            &mut b,
            "SET statement_timeout = '20s';
             DO $$ BEGIN WHILE is_feature_enabled_for_user('messaging') LOOP END LOOP; END $$",
        );
    });
    std::thread::sleep(Duration::from_millis(200));
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    waiting.join().expect("the loop has ended");
}

fn a_prepared_statement_sees_a_flip(cluster: &Cluster) {
    let mut a = cluster.create_database("prepared");
    let mut b = cluster.connect("prepared");
    run(
        &mut b,
        "SET plan_cache_mode = force_generic_plan;
         PREPARE p AS SELECT is_feature_enabled_for_user('messaging')",
    );
    assert_eq!(value(&mut b, "EXECUTE p"), "t");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert_eq!(value(&mut b, "EXECUTE p"), "f");
}

fn truncate_switches_flags_off_and_is_recorded(cluster: &Cluster) {
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
            "SELECT count(*) FROM crewsnow_ops.flag_history
             WHERE operation = 'TRUNCATE' AND after IS NULL"
        ),
        "13"
    );
    run(&mut a, "INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('messaging', true)");
    assert!(is_on(&mut b, "messaging"));
}

fn a_recreated_extension_starts_with_its_launch_flags(cluster: &Cluster) {
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

/// The first load of a session takes milliseconds. A flip during it must not be lost, because
/// no later message announces it again.
fn a_flip_during_the_first_load_is_not_lost(cluster: &Cluster) {
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
        assert_eq!(is_on(&mut b, "messaging"), is_enabled, "round {round}: the load lost the flip");
        during += u32::from(began < flipped && flipped < loaded);
    }
    assert!(during > 30, "only {during} of 300 flips happened during a load");
}

fn parallel_workers_evaluate_like_their_leader(cluster: &Cluster) {
    let mut a = cluster.create_database("parallel");
    run(
        &mut a,
        "CREATE TABLE users AS SELECT gen_random_uuid() AS id FROM generate_series(1, 200000);
         ANALYZE users;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET min_parallel_table_scan_size = 0;
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
    // A worker sees the leader's uncommitted changes, of flags and of user_context.
    run(
        &mut a,
        "BEGIN; UPDATE feature_flags SET rollout_percentage = 100, target_premium_only = true
         WHERE flag_key = 'tracker_pro'",
    );
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.user_context (user_id, is_premium)
         SELECT id, true FROM users LIMIT 1000",
    );
    assert_eq!(value(&mut a, query), "1000");
    run(&mut a, "ROLLBACK");
    assert_eq!(value(&mut a, query), half.to_string());
    run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    run(&mut cluster.connect("parallel"), "SELECT update_feature_flag('tracker_pro', false)");
    assert_eq!(value(&mut a, query), "0");
    run(&mut a, "COMMIT");
}

fn policies_checks_defaults_and_views_see_a_flip(cluster: &Cluster) {
    let mut a = cluster.create_database("everywhere");
    let mut b = cluster.connect("everywhere");
    run(
        &mut a,
        "CREATE ROLE anon_everywhere;
         CREATE TABLE guarded (id int,
             CONSTRAINT open CHECK (is_feature_enabled_for_user('messaging')));
         CREATE TABLE filtered (id int); INSERT INTO filtered VALUES (1);
         ALTER TABLE filtered ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON filtered USING ((SELECT is_feature_enabled_for_user('messaging')));
         GRANT SELECT ON filtered TO anon_everywhere;
         CREATE VIEW flags_seen AS SELECT is_feature_enabled_for_user('messaging') AS messaging;
         CREATE TABLE defaulted (is_on boolean DEFAULT is_feature_enabled_for_user('messaging'),
             id int)",
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

/// Commands that rewrite a table or its indexes invalidate caches but change no flag.
fn rewriting_a_table_changes_no_flag(cluster: &Cluster) {
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
