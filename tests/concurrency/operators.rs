//! Operators who change the same flags at the same time, and databases that were altered.

use harness::{Cluster, is_on, rows, run, sqlstate, value};
use std::time::Duration;

#[test]
fn concurrent_operators_and_altered_databases_lose_no_flag() {
    let cluster = Cluster::start("operators", "deadlock_timeout = '100ms'");
    update_and_restore_do_not_deadlock(&cluster);
    old_snapshots_are_refused(&cluster);
    a_hidden_or_suppressed_row_is_an_error(&cluster);
    a_trigger_that_flips_keeps_the_attribution(&cluster);
    removed_flags_can_be_restored(&cluster);
    restore_undoes_renames_swaps_and_origins(&cluster);
    flags_that_cannot_be_read_are_off(&cluster);
    times_in_the_future_are_replaced(&cluster);
    another_owner_of_the_flags_changes_nothing(&cluster);
}

fn update_and_restore_do_not_deadlock(cluster: &Cluster) {
    let mut a = cluster.create_database("deadlock");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', true)");
    let waiting: Vec<_> = [
        "SELECT update_feature_flag('messaging', true, 50)",
        "SELECT crewsnow_ops.restore_feature_flags(
         (SELECT min(changed_at) FROM crewsnow_ops.flag_history), 'back')",
    ]
    .map(|sql| {
        let mut session = cluster.connect("deadlock");
        let thread = std::thread::spawn(move || run(&mut session, sql));
        std::thread::sleep(Duration::from_millis(200));
        thread
    })
    .into();
    run(&mut a, "COMMIT");
    for thread in waiting {
        thread.join().expect("no session is a deadlock victim");
    }
}

fn old_snapshots_are_refused(cluster: &Cluster) {
    let mut a = cluster.create_database("old_snapshots");
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        for sql in
            ["SELECT crewsnow_ops.restore_feature_flags(now(), 'x')", "TRUNCATE feature_flags"]
        {
            run(&mut a, &format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1"));
            assert_eq!(sqlstate(&mut a, sql), "25001", "{isolation}: {sql}");
            run(&mut a, "ROLLBACK");
        }
        // Flipping one flag is allowed: PostgreSQL itself reports a conflict.
        run(
            &mut a,
            &format!(
                "BEGIN ISOLATION LEVEL {isolation};
                 SELECT update_feature_flag('messaging', false);
                 COMMIT"
            ),
        );
        assert!(!is_on(&mut a, "messaging"));
        run(&mut a, "SELECT update_feature_flag('messaging', true)");
    }
}

fn a_hidden_or_suppressed_row_is_an_error(cluster: &Cluster) {
    let mut a = cluster.create_database("hidden");
    run(
        &mut a,
        "SET statement_timeout = '10s';
         CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER aa_swallow BEFORE INSERT ON feature_flags FOR EACH ROW
             EXECUTE FUNCTION swallow()",
    );
    assert_eq!(sqlstate(&mut a, "SELECT update_feature_flag('ski_lift_map', true)"), "55000");
    run(
        &mut a,
        "CREATE ROLE restricted_operator LOGIN;
         SELECT crewsnow_ops.grant_access('restricted_operator', 'operator');
         ALTER TABLE feature_flags ENABLE ROW LEVEL SECURITY;
         CREATE POLICY readable ON feature_flags FOR SELECT TO restricted_operator USING (true)",
    );
    let mut b = cluster.connect_as("restricted_operator", "hidden");
    run(&mut b, "SET statement_timeout = '10s'");
    assert_eq!(sqlstate(&mut b, "SELECT update_feature_flag('messaging', false)"), "55000");
    assert!(is_on(&mut b, "messaging"));
}

fn a_trigger_that_flips_keeps_the_attribution(cluster: &Cluster) {
    let mut a = cluster.create_database("nested");
    run(
        &mut a,
        "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.flag_key <> 'voice_messages' THEN
                 PERFORM public.update_feature_flag(
                     'voice_messages', NEW.is_enabled, NULL, 'trigger');
             END IF;
             RETURN NEW; END $$;
         CREATE TRIGGER aa_follow BEFORE UPDATE ON feature_flags FOR EACH ROW
             EXECUTE FUNCTION follow();
         SELECT update_feature_flag('tracker_pro', true, 25, 'ada')",
    );
    let by = "SELECT string_agg(flag_key || ' ' || updated_by, ', ' ORDER BY changed_at)
        FROM crewsnow_ops.flag_history";
    assert_eq!(value(&mut a, by), "voice_messages trigger, tracker_pro ada");
    run(
        &mut a,
        "DROP TRIGGER aa_follow ON feature_flags;
         CREATE TRIGGER zz_follow AFTER UPDATE ON feature_flags FOR EACH ROW
             EXECUTE FUNCTION follow()",
    );
    run(
        &mut a,
        "UPDATE feature_flags SET description = 'x'
         WHERE flag_key IN ('messaging', 'boost_station', 'basic_matching')",
    );
    run(
        &mut a,
        "SELECT crewsnow_ops.restore_feature_flags(
         (SELECT min(created_at) FROM feature_flags), 'INC-42')",
    );
    let reasons = "SELECT count(*) FROM crewsnow_ops.flag_history
        WHERE flag_key IN ('messaging', 'boost_station', 'basic_matching') AND reason = 'INC-42'";
    assert_eq!(value(&mut a, reasons), "3");
}

fn removed_flags_can_be_restored(cluster: &Cluster) {
    for removal in ["DELETE FROM feature_flags", "TRUNCATE feature_flags"] {
        let mut a =
            cluster.create_database(if removal.starts_with('T') { "truncated" } else { "deleted" });
        let before = value(&mut a, "SELECT clock_timestamp()");
        run(&mut a, removal);
        assert_eq!(
            value(
                &mut a,
                &format!("SELECT crewsnow_ops.restore_feature_flags('{before}', 'undo')")
            ),
            "13",
            "{removal}"
        );
        assert!(is_on(&mut a, "messaging"));
        // Restores the moment without any flag.
        let none = "(SELECT max(changed_at) FROM crewsnow_ops.flag_history WHERE after IS NULL)";
        assert_eq!(
            value(&mut a, &format!("SELECT crewsnow_ops.restore_feature_flags({none}, 'none')")),
            "13",
            "{removal}"
        );
        assert!(!is_on(&mut a, "messaging"));
    }
    let mut a = cluster.create_database("backdated");
    run(
        &mut a,
        "INSERT INTO feature_flags (flag_key, created_at)
         VALUES ('old', '-infinity'), ('new', 'infinity')",
    );
    assert_eq!(
        sqlstate(&mut a, "SELECT crewsnow_ops.restore_feature_flags('1980-01-01', 'x')"),
        "22023"
    );
    assert_eq!(
        sqlstate(&mut a, "SELECT crewsnow_ops.restore_feature_flags('infinity', 'x')"),
        "22023"
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM feature_flags"), "15");
}

/// Restoring undoes renames, swaps and changed origins. It deletes no flag, because other tables
/// may reference it.
fn restore_undoes_renames_swaps_and_origins(cluster: &Cluster) {
    let mut a = cluster.create_database("all_of_it");
    run(
        &mut a,
        "CREATE TABLE notes (flag_id uuid REFERENCES feature_flags (id) ON DELETE CASCADE);
         INSERT INTO notes SELECT id FROM feature_flags;
         CREATE TABLE flags_before AS SELECT * FROM feature_flags;
         UPDATE feature_flags SET flag_key = 'tmp' WHERE flag_key = 'messaging';
         UPDATE feature_flags SET flag_key = 'messaging' WHERE flag_key = 'basic_matching';
         UPDATE feature_flags SET flag_key = 'basic_matching' WHERE flag_key = 'tmp';
         UPDATE feature_flags SET flag_key = 'renamed', created_by = 'mallory',
             created_at = '2020-01-01' WHERE flag_key = 'tracker_pro'",
    );
    let before =
        "(SELECT min(changed_at) - interval '1 microsecond' FROM crewsnow_ops.flag_history)";
    assert_eq!(
        value(&mut a, &format!("SELECT crewsnow_ops.restore_feature_flags({before}, 'undo')")),
        "3"
    );
    let difference = "SELECT id, flag_key, flag_name, description, is_enabled, rollout_percentage,
        created_by, created_at FROM feature_flags
        EXCEPT SELECT id, flag_key, flag_name, description, is_enabled, rollout_percentage,
            created_by, created_at FROM flags_before";
    assert!(rows(&mut a, difference).is_empty());
    assert_eq!(value(&mut a, "SELECT count(*) FROM notes"), "13");
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history WHERE operation <> 'UPDATE'"),
        "0"
    );
}

/// An owner may alter the tables. A flag whose definition or targeting cannot be read is off,
/// and the server keeps running.
fn flags_that_cannot_be_read_are_off(cluster: &Cluster) {
    let user = "11111111-1111-4111-8111-111111111111";
    let evaluate = format!("SELECT is_feature_enabled_for_user('advanced_filters', '{user}')");
    for (n, (sql, expected)) in [
        (
            "CREATE TYPE r AS ENUM ('FR');
             ALTER TABLE crewsnow_ops.user_context ALTER region TYPE r USING region::r",
            "t",
        ),
        (
            "ALTER TABLE crewsnow_ops.user_context ALTER segments DROP DEFAULT,
            ALTER segments TYPE bytea USING ''",
            "t",
        ),
        (
            "ALTER TABLE crewsnow_ops.user_context ALTER is_premium DROP DEFAULT,
            ALTER is_premium TYPE text",
            "f",
        ),
        ("ALTER TABLE crewsnow_ops.user_context DROP CONSTRAINT user_context_pkey", "t"),
        (
            "ALTER TABLE crewsnow_ops.user_context DROP CONSTRAINT user_context_pkey,
            ADD PRIMARY KEY (is_premium)",
            "t",
        ),
        ("ALTER TABLE crewsnow_ops.user_context RENAME user_id TO id", "f"),
        ("ALTER TABLE feature_flags ALTER rollout_group TYPE integer USING 1", "f"),
        (
            "ALTER TABLE feature_flags ALTER target_regions DROP DEFAULT,
            ALTER target_regions TYPE text USING 'FR'",
            "f",
        ),
        ("ALTER TABLE feature_flags RENAME target_segments TO segments", "f"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut a = cluster.create_database(&format!("altered_{n}"));
        run(
            &mut a,
            &format!("INSERT INTO crewsnow_ops.user_context VALUES ('{user}', true, 'FR')"),
        );
        run(&mut a, "SELECT update_feature_flag('advanced_filters', true, 100)");
        assert_eq!(value(&mut a, &evaluate), "t");
        run(&mut a, sql);
        assert_eq!(value(&mut a, &evaluate), expected, "{sql}");
    }
}

fn times_in_the_future_are_replaced(cluster: &Cluster) {
    let mut a = cluster.create_database("future");
    run(
        &mut a,
        "INSERT INTO feature_flags (flag_key, updated_at) VALUES ('ski_lift_map', 'infinity')",
    );
    run(
        &mut a,
        "CREATE TABLE was AS SELECT updated_at FROM feature_flags WHERE flag_key = 'ski_lift_map';
         SELECT update_feature_flag('ski_lift_map', true)",
    );
    let moved = "SELECT f.updated_at > w.updated_at AND f.updated_at <= clock_timestamp()
        FROM feature_flags AS f, was AS w WHERE flag_key = 'ski_lift_map'";
    assert_eq!(value(&mut a, moved), "t");
    // The history keeps the clock time of a replicated change, not its updated_at.
    run(
        &mut a,
        "SET session_replication_role = replica;
         UPDATE feature_flags SET is_enabled = false, updated_at = '2020-01-01'
         WHERE flag_key = 'messaging'",
    );
    assert_eq!(
        value(
            &mut a,
            "SELECT min(changed_at) > now() - interval '1 hour' FROM crewsnow_ops.flag_history"
        ),
        "t"
    );
}

/// The flags and their history may have different owners.
fn another_owner_of_the_flags_changes_nothing(cluster: &Cluster) {
    let mut a = cluster.create_database("another_owner");
    run(
        &mut a,
        "CREATE ROLE app_owner; ALTER TABLE feature_flags OWNER TO app_owner;
         SELECT update_feature_flag('messaging', false)",
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history"), "1");
}
