//! Operators behind locks of other sessions: they wait for seconds, then an error names the holder.

use harness::{Cluster, is_on, rows, run, value};
use postgres::Client;
use std::time::{Duration, Instant};

const MAX_WAIT: Duration = Duration::from_millis(2_500);

#[test]
fn a_kill_behind_an_idle_transaction_names_the_holder() {
    let cluster = Cluster::start("flag_locks", "max_prepared_transactions = 2");
    each_write_names_the_holder(&cluster);
    the_second_in_the_queue_waits_no_longer(&cluster);
    a_chain_of_waits_leads_to_its_root(&cluster);
    a_prepared_transaction_is_named(&cluster);
    a_shorter_limit_of_the_session_counts(&cluster);
    the_limit_ends_with_the_statement(&cluster);
    a_waiting_restore_is_in_no_way(&cluster);
    a_reference_to_a_flag_blocks_no_kill(&cluster);
    an_operator_can_end_the_holder(&cluster);
}

/// The backend's process id.
fn pid(client: &mut Client) -> String {
    value(client, "SELECT pg_backend_pid()")
}

/// The error of a statement that must give up in time: message, DETAIL and HINT.
fn refused(client: &mut Client, sql: &str) -> (String, String, String) {
    let began = Instant::now();
    let error = client.batch_execute(sql).expect_err(sql);
    assert!(began.elapsed() < MAX_WAIT, "{sql}: {:?}", began.elapsed());
    let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    assert_eq!(error.code().code(), "55P03", "{sql}: {error:?}");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (error.message().to_owned(), text(error.detail()), text(error.hint()))
}

/// Refuses a statement behind `holder`, and checks that the error names it.
fn assert_named(client: &mut Client, sql: &str, holder: &str) {
    let (_, detail, hint) = refused(client, sql);
    assert!(detail.contains(&format!("Process {holder} (idle in transaction)")), "{sql}: {detail}");
    assert!(detail.contains("s old"), "{sql}: {detail}");
    assert!(hint.contains(&format!("terminate_session({holder}, '")), "{sql}: {hint}");
    assert!(hint.contains(&format!("pg_terminate_backend({holder});")), "{sql}: {hint}");
}

fn each_write_names_the_holder(cluster: &Cluster) {
    let mut a = cluster.create_database("writes");
    let mut holder = cluster.connect("writes");
    run(
        &mut holder,
        "BEGIN; UPDATE feature_flags SET description = 'x' WHERE flag_key = 'messaging'",
    );
    let pid = pid(&mut holder);
    for sql in [
        "SELECT update_feature_flag('messaging', false)",
        "UPDATE feature_flags SET is_enabled = false WHERE flag_key = 'messaging'",
        "UPDATE feature_flags SET is_enabled = false WHERE feature_category = 'core'",
        "DELETE FROM feature_flags WHERE flag_key = 'messaging'",
        "INSERT INTO feature_flags (flag_key) VALUES ('messaging')
         ON CONFLICT (flag_key) DO UPDATE SET is_enabled = false",
        "MERGE INTO feature_flags AS f USING (VALUES ('messaging')) AS v (k) ON f.flag_key = v.k
         WHEN MATCHED THEN UPDATE SET is_enabled = false",
        "SELECT crewsnow_ops.restore_feature_flags(now(), 'INC-7')",
        "SELECT crewsnow_ops.restore_feature_flags(now(), 'INC-7', ARRAY['messaging'])",
        "DO $$ BEGIN UPDATE feature_flags SET is_enabled = false; END $$",
    ] {
        assert_named(&mut a, sql, &pid);
    }
    assert!(is_on(&mut a, "messaging"));
    // Other flags are free.
    run(&mut a, "SELECT update_feature_flag('boost_station', false)");
    run(
        &mut a,
        "SELECT crewsnow_ops.restore_feature_flags(
             (SELECT max(changed_at) - interval '1 microsecond' FROM crewsnow_ops.flag_history),
             'INC-7', ARRAY['boost_station'])",
    );
    assert!(is_on(&mut a, "boost_station"));
    run(&mut holder, "ROLLBACK");
    // A table that is locked, and a key that another session is creating.
    run(&mut holder, "BEGIN; LOCK TABLE feature_flags");
    assert_named(&mut a, "SELECT update_feature_flag('messaging', false)", &pid);
    assert_named(&mut a, "SELECT crewsnow_ops.restore_feature_flags(now(), 'INC-7')", &pid);
    run(&mut holder, "ROLLBACK; BEGIN; INSERT INTO feature_flags (flag_key) VALUES ('lift_map')");
    assert_named(&mut a, "SELECT update_feature_flag('lift_map', true)", &pid);
    assert_named(&mut a, "INSERT INTO feature_flags (flag_key) VALUES ('lift_map')", &pid);
    run(&mut holder, "ROLLBACK");
    // The error ends the statement, not the session, and not the savepoint around it.
    run(&mut holder, "BEGIN; SELECT update_feature_flag('messaging', true, 50)");
    run(&mut a, "BEGIN; SAVEPOINT s");
    for _ in 0..2 {
        assert_named(&mut a, "SELECT update_feature_flag('messaging', false)", &pid);
        run(&mut a, "ROLLBACK TO s");
        assert_named(&mut a, "UPDATE feature_flags SET is_enabled = false", &pid);
        run(&mut a, "ROLLBACK TO s");
    }
    run(&mut holder, "COMMIT");
    run(&mut a, "SELECT update_feature_flag('messaging', false); COMMIT");
    assert!(!is_on(&mut a, "messaging"));
}

/// The limit holds for all waits of a statement together.
fn the_second_in_the_queue_waits_no_longer(cluster: &Cluster) {
    let mut a = cluster.create_database("queue");
    run(&mut a, "BEGIN; UPDATE feature_flags SET description = 'x' WHERE flag_key = 'messaging'");
    let holder = pid(&mut a);
    let waiting: Vec<_> = (0..3)
        .map(|n| {
            let mut session = cluster.connect("queue");
            let holder = holder.clone();
            std::thread::sleep(Duration::from_millis(100));
            std::thread::spawn(move || {
                let sql = match n {
                    1 => "UPDATE feature_flags SET is_enabled = false WHERE flag_key = 'messaging'",
                    _ => "SELECT update_feature_flag('messaging', false)",
                };
                assert_named(&mut session, sql, &holder);
            })
        })
        .collect();
    for session in waiting {
        session.join().expect("each session gives up in time");
    }
}

fn a_chain_of_waits_leads_to_its_root(cluster: &Cluster) {
    let mut a = cluster.create_database("chain");
    let mut root = cluster.connect("chain");
    run(&mut a, "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)");
    run(&mut root, "BEGIN; UPDATE other SET id = 1");
    let mut middle = cluster.connect("chain");
    let chained = std::thread::spawn(move || {
        run(
            &mut middle,
            "BEGIN; UPDATE feature_flags SET description = 'x' WHERE flag_key = 'messaging';
             UPDATE other SET id = 1; COMMIT",
        );
    });
    std::thread::sleep(Duration::from_millis(300));
    let pid = pid(&mut root);
    assert_named(&mut a, "SELECT update_feature_flag('messaging', false)", &pid);
    assert_named(&mut a, "UPDATE feature_flags SET is_enabled = false", &pid);
    run(&mut root, "ROLLBACK");
    chained.join().expect("the session in the middle goes on");
}

fn a_prepared_transaction_is_named(cluster: &Cluster) {
    let mut a = cluster.create_database("prepared");
    run(&mut a, "BEGIN; SELECT update_feature_flag('messaging', false)");
    run(&mut a, "PREPARE TRANSACTION 'left over'");
    for sql in [
        "SELECT update_feature_flag('messaging', false)",
        "UPDATE feature_flags SET is_enabled = false",
    ] {
        let (_, detail, hint) = refused(&mut a, sql);
        assert!(detail.starts_with("A prepared transaction holds the lock."), "{detail}");
        assert_eq!(rows(&mut a, &hint).len(), 1, "{hint}");
        let end = rows(&mut a, &hint)[0].split('|').next().expect("a column").to_owned();
        assert_eq!(end, "ROLLBACK PREPARED 'left over';");
    }
    run(&mut a, "ROLLBACK PREPARED 'left over'");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
}

fn a_shorter_limit_of_the_session_counts(cluster: &Cluster) {
    let mut a = cluster.create_database("shorter");
    let mut holder = cluster.connect("shorter");
    run(&mut holder, "BEGIN; UPDATE feature_flags SET description = 'x'");
    let pid = pid(&mut holder);
    run(&mut a, "SET lock_timeout = '200ms'");
    for sql in [
        "SELECT update_feature_flag('messaging', false)",
        "UPDATE feature_flags SET is_enabled = false",
    ] {
        let began = Instant::now();
        assert_named(&mut a, sql, &pid);
        assert!(began.elapsed() < Duration::from_millis(1_000), "{sql}: {:?}", began.elapsed());
    }
    assert_eq!(value(&mut a, "SHOW lock_timeout"), "200ms");
    run(&mut holder, "ROLLBACK");
}

/// Other statements of the transaction wait as the session has set.
fn the_limit_ends_with_the_statement(cluster: &Cluster) {
    let mut a = cluster.create_database("ends");
    for own in ["0", "5s", "1s"] {
        run(&mut a, &format!("SET lock_timeout = '{own}'"));
        run(&mut a, "BEGIN");
        for sql in [
            "UPDATE feature_flags SET description = 'y' WHERE flag_key = 'messaging'",
            "UPDATE feature_flags SET description = 'z' WHERE flag_key = 'no_such_flag'",
            "INSERT INTO feature_flags (flag_key) VALUES ('messaging')
             ON CONFLICT (flag_key) DO UPDATE SET description = 'x'",
            "SELECT update_feature_flag('messaging', false)",
            "SELECT crewsnow_ops.restore_feature_flags(
                 (SELECT min(created_at) FROM feature_flags), 'x')",
            "DO $$ BEGIN
                 UPDATE feature_flags SET rollout_percentage = 101;
             EXCEPTION WHEN check_violation THEN NULL; END $$",
        ] {
            run(&mut a, sql);
            assert_eq!(value(&mut a, "SHOW lock_timeout"), own, "{sql}");
        }
        run(&mut a, "ROLLBACK");
        assert_eq!(value(&mut a, "SHOW lock_timeout"), own);
    }
}

/// A restore that waits for one flag does not block flips of the others, nor their restore.
fn a_waiting_restore_is_in_no_way(cluster: &Cluster) {
    let mut a = cluster.create_database("restore");
    let mut holder = cluster.connect("restore");
    let moment = value(&mut a, "SELECT clock_timestamp()");
    run(&mut a, "SELECT update_feature_flag('boost_station', false)");
    run(
        &mut holder,
        "BEGIN; UPDATE feature_flags SET description = 'x' WHERE flag_key = 'messaging'",
    );
    let sql = format!("SELECT crewsnow_ops.restore_feature_flags('{moment}', 'back')");
    let mut restoring = cluster.connect("restore");
    let waiting = std::thread::spawn(move || run(&mut restoring, &sql));
    std::thread::sleep(Duration::from_millis(300));
    for flag in ["premium_subscriptions", "boost_station", "tracker_pro"] {
        let began = Instant::now();
        run(&mut a, &format!("SELECT update_feature_flag('{flag}', false, 7)"));
        run(
            &mut a,
            &format!("UPDATE feature_flags SET is_enabled = true WHERE flag_key = '{flag}'"),
        );
        assert!(began.elapsed() < Duration::from_millis(500), "{flag}: {:?}", began.elapsed());
    }
    run(&mut holder, "ROLLBACK");
    waiting.join().expect("the restore goes on");
    // It has undone what happened while it waited, too.
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM feature_flags WHERE rollout_percentage = 7"),
        "0"
    );
}

/// A row that references a flag locks its key only.
fn a_reference_to_a_flag_blocks_no_kill(cluster: &Cluster) {
    let mut a = cluster.create_database("referenced");
    run(&mut a, "CREATE TABLE notes (flag_id uuid REFERENCES feature_flags (id))");
    let mut holder = cluster.connect("referenced");
    run(&mut holder, "BEGIN; INSERT INTO notes SELECT id FROM feature_flags");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut a, "messaging"));
    run(&mut holder, "ROLLBACK");
}

/// The HINT ends the holder as it stands, and the kill then succeeds.
fn an_operator_can_end_the_holder(cluster: &Cluster) {
    let mut a = cluster.create_database("ended");
    run(
        &mut a,
        "CREATE ROLE app_user LOGIN; CREATE ROLE on_call LOGIN;
         GRANT SELECT, UPDATE ON feature_flags TO app_user;
         SELECT crewsnow_ops.grant_access('on_call', 'operator')",
    );
    let mut holder = cluster.connect_as("app_user", "ended");
    run(
        &mut holder,
        "BEGIN; UPDATE feature_flags SET description = 'x' WHERE flag_key = 'messaging'",
    );
    let mut operator = cluster.connect_as("on_call", "ended");
    let (message, _, hint) =
        refused(&mut operator, "SELECT update_feature_flag('messaging', false)");
    assert!(message.starts_with("could not lock feature flag \"messaging\" within 2 s: process"));
    assert_eq!(value(&mut operator, &hint), "t", "{hint}");
    run(&mut operator, "SELECT update_feature_flag('messaging', false)");
    assert!(!is_on(&mut operator, "messaging"));
}

/// A new session has no flags yet. It finds them even while an ALTER TABLE holds the table.
#[test]
fn evaluation_does_not_hang_behind_an_alter_table() {
    let cluster = Cluster::start("flags_locked", "");
    let mut a = cluster.create_database("locked");
    let user = "11111111-1111-4111-8111-111111111111";
    run(
        &mut a,
        &format!(
            "INSERT INTO crewsnow_ops.user_context VALUES ('{user}', true, 'FR', '{{beta}}');
             SELECT update_feature_flag('advanced_filters', true, 100);
             SELECT update_feature_flag('tracker_pro', true, 50);
             UPDATE feature_flags SET target_user_ids = '{{{user}}}' WHERE flag_key = 'tracker_pro';
             UPDATE feature_flags SET target_regions = '{{FR,\"a,b\"}}', is_enabled = true,
                 rollout_percentage = 100 WHERE flag_key = 'voice_messages';
             INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('lift_map', true);
             DELETE FROM feature_flags WHERE flag_key = 'group_matching';
             UPDATE feature_flags SET flag_key = 'chat' WHERE flag_key = 'messaging'"
        ),
    );
    let all = format!(
        "SELECT flag_key, value, reason FROM crewsnow_ops.evaluate_all('{user}')
         UNION ALL SELECT flag_key, value, reason FROM crewsnow_ops.evaluate_all()"
    );
    let expected = rows(&mut a, &all);
    assert_eq!(expected.len(), 26);
    let mut old = cluster.connect("locked");
    assert_eq!(rows(&mut old, &all), expected);
    // Its change is its own until it commits.
    run(
        &mut a,
        "BEGIN; UPDATE feature_flags SET is_enabled = false WHERE flag_key = 'chat';
         ALTER TABLE feature_flags ADD COLUMN note text",
    );
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(rows(&mut cluster.connect("locked"), &all), expected);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    assert_eq!(rows(&mut old, &all), expected);
    let mut new = cluster.connect("locked");
    assert_eq!(rows(&mut new, &all), expected);
    run(&mut a, "COMMIT");
    for session in [&mut new, &mut old, &mut a] {
        assert!(!is_on(session, "chat"), "the commit reaches each session");
    }
    // Targeting cannot be decided without the users' rows: off, after at most 2 seconds.
    run(&mut a, "BEGIN; LOCK TABLE crewsnow_ops.user_context");
    let began = Instant::now();
    let explain = format!(
        "SELECT crewsnow_ops.explain_feature_flag('advanced_filters', '{user}') ->> 'reason'"
    );
    assert_eq!(value(&mut new, &explain), "ERROR");
    assert!(began.elapsed() < MAX_WAIT, "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(value(&mut new, &explain), "ERROR");
    assert!(began.elapsed() < Duration::from_secs(1), "it does not wait again");
    assert!(is_on(&mut new, "lift_map"), "a flag without targeting needs no row");
    run(&mut a, "ROLLBACK");
    assert_eq!(value(&mut new, &explain), "STATIC");
}
