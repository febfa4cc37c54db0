//! Changes of flags by several people and clients: reasons, lost updates, restores, notifications.

use harness::{Cluster, explain, is_on, rows, run, sqlstate, value};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use std::time::Duration;

#[test]
fn changes_of_several_people_stay_apart() {
    let cluster = Cluster::start("flag_changes", "");
    a_reason_ends_with_its_transaction(&cluster);
    a_reason_from_before_the_library_is_dropped(&cluster);
    the_jwt_subject_is_kept(&cluster);
    a_save_of_an_older_row_is_refused(&cluster);
    saves_that_are_not_older_pass(&cluster);
    a_restore_of_a_person_leaves_the_others(&cluster);
    a_preview_tells_what_a_restore_does(&cluster);
    only_evaluated_columns_invalidate(&cluster);
    listeners_hear_of_committed_changes(&cluster);
    enabling_for_nobody_warns(&cluster);
}

fn reasons(client: &mut Client) -> Vec<String> {
    rows(client, "SELECT reason FROM crewsnow_ops.flag_history ORDER BY changed_at")
}

/// A pooler hands the session to another client after each transaction.
fn a_reason_ends_with_its_transaction(cluster: &Cluster) {
    let mut pooled = cluster.create_database("pooled");
    assert!(is_on(&mut pooled, "messaging"), "the library is loaded");
    run(&mut pooled, "SET crewsnow_ops.change_reason = 'INC-42, by alice'");
    assert_eq!(value(&mut pooled, "SHOW crewsnow_ops.change_reason"), "");
    run(&mut pooled, "SELECT update_feature_flag('messaging', false)");
    run(
        &mut pooled,
        "BEGIN; SET crewsnow_ops.change_reason = 'INC-43';
         SELECT update_feature_flag('messaging', true); COMMIT",
    );
    run(&mut pooled, "SELECT update_feature_flag('messaging', false)");
    run(
        &mut pooled,
        "BEGIN; SET LOCAL crewsnow_ops.change_reason = 'INC-44';
         SELECT update_feature_flag('messaging', true); ROLLBACK",
    );
    run(&mut pooled, "UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging'");
    run(&mut pooled, "SELECT update_feature_flag('messaging', false, NULL, 'bob', 'INC-45')");
    run(&mut pooled, "SELECT update_feature_flag('messaging', true, NULL, 'bob', '  ')");
    assert_eq!(reasons(&mut pooled), ["NULL", "INC-43", "NULL", "NULL", "INC-45", "NULL"]);
    // The configuration of a role is no leak: it holds for each of its sessions.
    run(
        &mut pooled,
        "CREATE ROLE deployer LOGIN; SELECT crewsnow_ops.grant_access('deployer', 'operator');
         ALTER ROLE deployer SET crewsnow_ops.change_reason = 'deployment'",
    );
    let mut deployer = cluster.connect_as("deployer", "pooled");
    for _ in 0..2 {
        run(
            &mut deployer,
            "SELECT update_feature_flag('messaging', NOT
            is_feature_enabled_for_user('messaging'))",
        );
    }
    assert_eq!(reasons(&mut pooled)[6..], ["deployment", "deployment"]);
}

/// The first SET of a session precedes the library, which then cannot clear it at once.
fn a_reason_from_before_the_library_is_dropped(cluster: &Cluster) {
    let mut pooled = cluster.create_database("unloaded");
    for (set, expected) in [
        ("SET crewsnow_ops.change_reason = 'of another client'", "NULL"),
        ("BEGIN; SET LOCAL crewsnow_ops.change_reason = 'INC-46'", "INC-46"),
        ("BEGIN; SET crewsnow_ops.change_reason = 'INC-47'", "INC-47"),
    ] {
        let mut fresh = cluster.connect("unloaded");
        run(&mut fresh, set);
        run(
            &mut fresh,
            "UPDATE feature_flags SET is_enabled = NOT is_enabled WHERE flag_key = 'messaging'",
        );
        run(&mut fresh, "COMMIT");
        run(&mut fresh, "SELECT update_feature_flag('boost_station', NULL, 7)");
        run(&mut fresh, "SELECT update_feature_flag('boost_station', NULL, 100)");
        let latest =
            "SELECT reason FROM crewsnow_ops.flag_history ORDER BY changed_at DESC LIMIT 3";
        assert_eq!(rows(&mut pooled, latest), ["NULL", "NULL", expected], "{set}");
    }
}

fn the_jwt_subject_is_kept(cluster: &Cluster) {
    let mut a = cluster.create_database("jwt");
    for (setting, claims) in [
        ("request.jwt.claims", r#"{"sub": "user-7", "role": "authenticated"}"#),
        ("request.jwt.claim.sub", "user-8"),
        ("request.jwt.claims", "not json"),
        ("request.jwt.claims", r#"{"role": "anon"}"#),
        ("request.jwt.claims", ""),
    ] {
        run(
            &mut a,
            &format!(
                "BEGIN; SELECT set_config('{setting}', '{claims}', true);
                 UPDATE feature_flags SET is_enabled = NOT is_enabled
                 WHERE flag_key = 'messaging'; COMMIT"
            ),
        );
    }
    let subjects = "SELECT jwt_subject, session_user_name FROM crewsnow_ops.flag_history
        ORDER BY changed_at";
    assert_eq!(
        rows(&mut a, subjects),
        ["user-7|postgres", "user-8|postgres", "NULL|postgres", "NULL|postgres", "NULL|postgres"]
    );
}

/// Saves the whole row that `form` holds, as an ORM does.
const SAVE: &str = "UPDATE feature_flags AS f
    SET flag_name = m.flag_name, description = 'better', is_enabled = m.is_enabled,
        rollout_percentage = m.rollout_percentage, updated_at = m.updated_at
    FROM form AS m WHERE f.id = m.id";

fn a_save_of_an_older_row_is_refused(cluster: &Cluster) {
    let mut editor = cluster.create_database("stale");
    let mut on_call = cluster.connect("stale");
    run(
        &mut editor,
        "CREATE TABLE form AS SELECT * FROM feature_flags WHERE flag_key = 'messaging'",
    );
    run(&mut on_call, "SELECT update_feature_flag('messaging', false, NULL, 'on-call')");
    let error = editor.batch_execute(SAVE).expect_err("the row is older");
    let text = explain(&error);
    assert!(text.starts_with("40001 feature flag \"messaging\" was changed since"), "{text}");
    assert!(text.contains("by on-call: is_enabled from true to false"), "{text}");
    assert!(!is_on(&mut editor, "messaging"));
    // In other shapes, too.
    for sql in [
        SAVE.replace("m.updated_at", "date_trunc('milliseconds', m.updated_at)"),
        "INSERT INTO feature_flags SELECT * FROM form ON CONFLICT (id) DO UPDATE
             SET is_enabled = excluded.is_enabled, updated_at = excluded.updated_at"
            .into(),
        "MERGE INTO feature_flags AS f USING form AS m ON f.id = m.id WHEN MATCHED THEN UPDATE
             SET is_enabled = m.is_enabled, updated_at = m.updated_at"
            .into(),
    ] {
        assert_eq!(sqlstate(&mut editor, &sql), "40001", "{sql}");
    }
    // A change that the save has waited for counts.
    run(&mut on_call, "SELECT update_feature_flag('messaging', true)");
    run(&mut editor, "DROP TABLE form");
    run(
        &mut editor,
        "CREATE TABLE form AS SELECT * FROM feature_flags WHERE flag_key = 'messaging'",
    );
    run(&mut on_call, "BEGIN; SELECT update_feature_flag('messaging', false)");
    let waiting = std::thread::spawn(move || {
        let code = sqlstate(&mut editor, SAVE);
        (editor, code)
    });
    std::thread::sleep(Duration::from_millis(300));
    run(&mut on_call, "COMMIT");
    let (mut editor, code) = waiting.join().expect("the save ends");
    assert_eq!(code, "40001");
    // The setting lets it through.
    for mode in ["warn", "off"] {
        run(&mut editor, &format!("SET crewsnow_ops.lost_updates = {mode}; {SAVE}"));
        assert!(is_on(&mut editor, "messaging"), "{mode}");
        run(&mut on_call, "SELECT update_feature_flag('messaging', false)");
    }
}

fn saves_that_are_not_older_pass(cluster: &Cluster) {
    let mut a = cluster.create_database("fresh");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    let form = "DROP TABLE IF EXISTS form;
        CREATE TABLE form AS SELECT * FROM feature_flags WHERE flag_key = 'messaging'";
    for time in [
        "m.updated_at",
        "date_trunc('milliseconds', m.updated_at)",
        "date_trunc('second', m.updated_at)",
        "clock_timestamp()",
        "now()",
        "statement_timestamp()",
        "DEFAULT",
    ] {
        run(&mut a, form);
        run(&mut a, &SAVE.replace("m.updated_at", time));
        run(&mut a, "SELECT update_feature_flag('messaging', NULL, 50)");
        run(&mut a, "SELECT update_feature_flag('messaging', NULL, 100)");
        run(&mut a, "UPDATE feature_flags SET description = 'worse' WHERE flag_key = 'messaging'");
    }
    // A kill in a transaction that began before the last change, with the usual now().
    let mut b = cluster.connect("fresh");
    run(&mut a, "BEGIN; SELECT now()");
    run(&mut b, "SELECT update_feature_flag('messaging', true)");
    run(
        &mut a,
        "UPDATE feature_flags SET is_enabled = false, updated_at = now()
         WHERE flag_key = 'messaging'; COMMIT",
    );
    assert!(!is_on(&mut b, "messaging"));
    // A review alone is no change, whatever else it carries.
    run(&mut a, "UPDATE feature_flags SET last_checked_at = now(), updated_at = '2020-01-01'");
}

fn a_restore_of_a_person_leaves_the_others(cluster: &Cluster) {
    let mut a = cluster.create_database("people");
    let moment = value(&mut a, "SELECT clock_timestamp()");
    run(
        &mut a,
        "SELECT update_feature_flag('boost_station', false, NULL, 'ada');
         SELECT update_feature_flag('messaging', false, NULL, 'bob');
         SELECT update_feature_flag('tracker_pro', true, 10, 'ada');
         SELECT update_feature_flag('tracker_pro', true, 20, 'bob');
         INSERT INTO feature_flags (flag_key) VALUES ('lift_map')",
    );
    let restore = |arguments: &str| {
        format!("SELECT crewsnow_ops.restore_feature_flags('{moment}', 'undo', {arguments})")
    };
    assert_eq!(value(&mut a, &restore("p_person => 'ada'")), "1");
    assert!(is_on(&mut a, "boost_station") && !is_on(&mut a, "messaging"));
    assert_eq!(
        value(
            &mut a,
            "SELECT rollout_percentage FROM feature_flags
                       WHERE flag_key = 'tracker_pro'"
        ),
        "20",
        "bob changed it later"
    );
    assert_eq!(value(&mut a, &restore("p_person => 'nobody'")), "0");
    assert_eq!(value(&mut a, &restore("ARRAY['messaging']")), "1");
    assert!(is_on(&mut a, "messaging"));
    assert_eq!(value(&mut a, &restore("'{}'")), "0");
    for (arguments, state) in [
        ("ARRAY['mesaging']", "42704"),
        ("ARRAY['messaging', 'no_such_flag']", "42704"),
        ("ARRAY['messaging', NULL]", "22004"),
    ] {
        assert_eq!(sqlstate(&mut a, &restore(arguments)), state, "{arguments}");
    }
    // A restore of all flags names the people whose changes it undoes, if there are several.
    let output = cluster
        .psql("people")
        .args(["-X", "-q", "-At", "-c"])
        .arg(format!(
            "BEGIN; SELECT crewsnow_ops.restore_feature_flags('{moment}', 'undo'); ROLLBACK"
        ))
        .output()
        .expect("psql runs");
    let notices = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(notices.contains("\"ada\", \"bob\" and \"postgres\" were undone"), "{notices}");
    // One transaction, with a flag that it created and one that it renamed.
    run(
        &mut a,
        "BEGIN; UPDATE feature_flags SET flag_key = 'chat' WHERE flag_key = 'messaging';
         INSERT INTO feature_flags (flag_key) VALUES ('messaging');
         DELETE FROM feature_flags WHERE flag_key = 'voice_messages'; COMMIT;
         SELECT update_feature_flag('boost_station', false)",
    );
    let xid =
        value(&mut a, "SELECT DISTINCT xid FROM crewsnow_ops.flag_history WHERE flag_key = 'chat'");
    let undo = format!("SELECT crewsnow_ops.restore_flag_transaction('{xid}', 'undo')");
    assert_eq!(value(&mut a, &undo), "3");
    assert!(is_on(&mut a, "messaging") && !is_on(&mut a, "boost_station"));
    let keys = "SELECT flag_key FROM feature_flags
        WHERE flag_key IN ('chat', 'messaging', 'voice_messages') ORDER BY 1";
    assert_eq!(rows(&mut a, keys), ["messaging", "voice_messages"]);
    assert_eq!(value(&mut a, &undo), "0", "the restore is a later change, which stays");
    for (call, state) in [
        ("crewsnow_ops.restore_flag_transaction('3', 'undo')", "42704"),
        ("crewsnow_ops.restore_flag_transaction(NULL, 'undo')", "22004"),
        ("crewsnow_ops.restore_flag_transaction('3', ' ')", "22023"),
    ] {
        assert_eq!(sqlstate(&mut a, &format!("SELECT {call}")), state, "{call}");
    }
}

fn a_preview_tells_what_a_restore_does(cluster: &Cluster) {
    let mut a = cluster.create_database("preview");
    let moment = value(&mut a, "SELECT clock_timestamp()");
    run(
        &mut a,
        "SELECT update_feature_flag('messaging', false, NULL, 'ada');
         DELETE FROM feature_flags WHERE flag_key = 'voice_messages';
         INSERT INTO feature_flags (flag_key) VALUES ('lift_map');
         UPDATE feature_flags SET description = 'x' WHERE flag_key = 'tracker_pro'",
    );
    let preview = format!(
        "SELECT flag_key, action, is_now, becomes, changes
         FROM crewsnow_ops.preview_restore('{moment}')"
    );
    assert_eq!(
        rows(&mut a, &preview),
        [
            "lift_map|remove|disabled at 100 %|NULL|NULL",
            "messaging|change|disabled at 100 %|enabled at 100 %|is_enabled",
            "tracker_pro|change|disabled at 0 %|disabled at 0 %|description",
            "voice_messages|add|NULL|disabled at 0 %|NULL",
        ]
    );
    let count =
        value(&mut a, &format!("SELECT crewsnow_ops.restore_feature_flags('{moment}', 'undo')"));
    assert_eq!(count, "4", "as many as the preview has rows");
    assert!(rows(&mut a, &preview).is_empty());
    for (arguments, state) in
        [("'2001-01-01'", "22023"), ("now() + interval '1 hour'", "22023"), ("NULL", "22004")]
    {
        let sql = format!("SELECT * FROM crewsnow_ops.preview_restore({arguments})");
        assert_eq!(sqlstate(&mut a, &sql), state, "{arguments}");
    }
}

/// A load of the flags scans the table, and the server counts scans.
fn only_evaluated_columns_invalidate(cluster: &Cluster) {
    let mut a = cluster.create_database("loads");
    let mut b = cluster.connect("loads");
    run(&mut b, "BEGIN");
    let mut loads = || {
        assert!(is_on(&mut b, "basic_matching"));
        let scans = "SELECT pg_stat_get_xact_numscans('public.feature_flags'::regclass)";
        value(&mut b, scans).parse::<i64>().expect("a number")
    };
    let first = loads();
    for column in [
        "last_checked_at = now()",
        "description = 'x'",
        "flag_name = 'x'",
        "module_name = 'x'",
        "feature_category = 'beta'",
        "created_by = 'x'",
        "is_enabled = is_enabled",
        "updated_at = now()",
    ] {
        run(&mut a, &format!("UPDATE feature_flags SET {column} WHERE flag_key = 'messaging'"));
        assert_eq!(loads(), first, "{column}");
    }
    let mut expected = first;
    for change in [
        "UPDATE feature_flags SET is_enabled = false WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET rollout_percentage = 7 WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET target_premium_only = true WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET target_regions = '{FR}' WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET target_segments = '{x}' WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET target_user_ids = ARRAY[id] WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET flag_key = 'chat' WHERE flag_key = 'messaging'",
        "DELETE FROM feature_flags WHERE flag_key = 'chat'",
        "INSERT INTO feature_flags (flag_key) VALUES ('chat')",
    ] {
        run(&mut a, change);
        expected += 1;
        assert_eq!(loads(), expected, "{change}");
    }
}

/// The payloads that have arrived.
fn heard(client: &mut Client) -> Vec<String> {
    run(client, "SELECT 1");
    let mut notifications = client.notifications();
    let mut payloads = Vec::new();
    let mut arrived = notifications.timeout_iter(Duration::from_millis(200));
    while let Some(notification) = arrived.next().expect("a connection") {
        assert_eq!(notification.channel(), "crewsnow_ops_flags");
        payloads.push(notification.payload().to_owned());
    }
    payloads
}

fn listeners_hear_of_committed_changes(cluster: &Cluster) {
    let mut a = cluster.create_database("listen");
    let mut listener = cluster.connect("listen");
    run(&mut listener, "LISTEN crewsnow_ops_flags");
    for (sql, expected) in [
        ("SELECT update_feature_flag('messaging', false)", &["messaging"][..]),
        ("BEGIN; SELECT update_feature_flag('messaging', true); ROLLBACK", &[]),
        (
            "BEGIN; SAVEPOINT s; SELECT update_feature_flag('boost_station', false);
             ROLLBACK TO s; SELECT update_feature_flag('messaging', true); COMMIT",
            &["messaging"],
        ),
        ("UPDATE feature_flags SET description = 'x'", &[]),
        (
            "UPDATE feature_flags SET flag_key = 'chat' WHERE flag_key = 'messaging'",
            &["chat", "messaging"],
        ),
        (
            "INSERT INTO feature_flags (flag_key)
             SELECT 'f' || n FROM generate_series(1, 101) AS n",
            &[""],
        ),
        ("TRUNCATE feature_flags", &[""]),
        (
            "SET crewsnow_ops.notify_flag_changes = off;
             INSERT INTO feature_flags (flag_key) VALUES ('quiet')",
            &[],
        ),
    ] {
        run(&mut a, sql);
        assert_eq!(heard(&mut listener), expected, "{sql}");
    }
}

fn enabling_for_nobody_warns(cluster: &Cluster) {
    let mut a = cluster.create_database("nobody");
    let warnings = |sql: &str| {
        let output = cluster
            .psql("nobody")
            .args(["-X", "-q", "-At", "-c", sql])
            .output()
            .expect("psql runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = text.lines().filter(|line| line.contains("users")).collect::<Vec<_>>();
        text.join(" ")
    };
    let user = "11111111-1111-4111-8111-111111111111";
    assert_eq!(
        warnings("SELECT update_feature_flag('advanced_filters', true, 100)"),
        "WARNING:  advanced_filters is enabled, but 0 users get it DETAIL:  None of 0 users in \
         crewsnow_ops.user_context meets its targeting and percentage."
    );
    run(&mut a, &format!("INSERT INTO crewsnow_ops.user_context VALUES ('{user}', true, 'FR')"));
    let by_sql = "UPDATE feature_flags SET is_enabled = true, rollout_percentage = 100,
        target_regions = '{DE}' WHERE flag_key = 'voice_messages'";
    assert!(warnings(by_sql).contains("voice_messages is enabled, but 0 users get it"));
    let listed = format!(
        "UPDATE feature_flags SET target_user_ids = '{{{user}}}', target_segments = '{{x}}'
         WHERE flag_key = 'voice_messages'"
    );
    assert!(warnings(&listed).contains("but 1 users get it, those in target_user_ids"));
    // Silence where a user gets it, and where no one is kept out.
    for sql in [
        "SELECT update_feature_flag('advanced_filters', false)",
        "SELECT update_feature_flag('advanced_filters', true, 100)",
        "UPDATE feature_flags SET target_regions = '{FR,CH}' WHERE flag_key = 'advanced_filters'",
        "SELECT update_feature_flag('tracker_pro', true, 50)",
        "UPDATE feature_flags SET description = 'x' WHERE flag_key = 'voice_messages'",
    ] {
        assert_eq!(warnings(sql), "", "{sql}");
    }
}
