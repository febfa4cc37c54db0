//! Flags on a standby and on a logical subscriber.

use harness::{Cluster, is_on, must_run, run, server_command, sqlstate, value};
use std::time::{Duration, Instant};

/// Waits at most 30 seconds for a condition that another server fulfils.
pub fn wait_until(condition: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "timed out: {condition}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn a_standby_evaluates() {
    let primary = Cluster::start("primary", "");
    let mut a = primary.create_database("ops");
    run(&mut a, "SELECT update_feature_flag('advanced_filters', true, 100)");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.user_context \
         VALUES ('11111111-1111-4111-8111-111111111111', true)",
    );
    let standby = Cluster::standby("standby", &primary);
    let mut b = standby.connect("ops");
    assert_eq!(value(&mut b, "SELECT pg_is_in_recovery()"), "t");
    assert!(is_on(&mut b, "messaging"));
    assert_eq!(
        value(
            &mut b,
            "SELECT is_feature_enabled_for_user('advanced_filters', \
             '11111111-1111-4111-8111-111111111111')"
        ),
        "t"
    );
    // A flip reaches sessions with cached flags, inside and outside a transaction.
    let mut transaction = standby.connect("ops");
    run(&mut transaction, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    assert!(is_on(&mut transaction, "messaging"));
    let mut milliseconds = Vec::new();
    for flip in 0..101 {
        let is_enabled = flip % 2 == 1;
        run(&mut a, &format!("SELECT update_feature_flag('messaging', {is_enabled})"));
        let committed = Instant::now();
        wait_until("the flip reaches the standby", || is_on(&mut b, "messaging") == is_enabled);
        milliseconds.push(committed.elapsed().as_secs_f64() * 1000.0);
    }
    milliseconds.sort_by(f64::total_cmp);
    println!(
        "flip to visible on a standby: median {:.2} ms of {}",
        milliseconds[50],
        milliseconds.len()
    );
    assert!(!is_on(&mut transaction, "messaging"));
    run(&mut transaction, "ROLLBACK");
    // The history and explanations are readable. A change fails with a hint.
    assert_eq!(value(&mut b, "SELECT count(*) FROM crewsnow_ops.flag_state_at(now())"), "13");
    assert_eq!(
        value(&mut b, "SELECT crewsnow_ops.explain_feature_flag('messaging') ->> 'reason'"),
        "DISABLED"
    );
    for sql in [
        "SELECT update_feature_flag('messaging', true)",
        "SELECT crewsnow_ops.restore_feature_flags(now() - interval '1 hour', 'x')",
    ] {
        let error = b.batch_execute(sql).expect_err("a standby accepts no change");
        let error = error.as_db_error().expect("an error of the server");
        assert_eq!(error.code().code(), "25006", "{sql}");
        assert!(error.message().contains("on a standby") && error.hint().is_some(), "{error:?}");
    }
    // After a promotion the same session accepts changes.
    drop(a);
    drop(primary);
    must_run(
        server_command("pg_ctl")
            .arg("-D")
            .arg(standby.scratch().join("data"))
            .args(["-w", "promote"]),
    );
    run(&mut b, "SELECT update_feature_flag('messaging', true)");
    assert!(is_on(&mut b, "messaging"));
}

#[test]
fn a_logical_subscriber_evaluates() {
    let cluster = Cluster::start("publisher", "");
    let mut publisher = cluster.create_database("publisher");
    let subscriber_cluster = Cluster::start("subscriber", "");
    let mut subscriber = subscriber_cluster.create_database("subscriber");
    run(
        &mut publisher,
        "SELECT update_feature_flag('messaging', false); \
         DELETE FROM feature_flags WHERE flag_key = 'voice_messages'",
    );
    run(
        &mut publisher,
        "CREATE PUBLICATION flags FOR TABLE feature_flags, crewsnow_ops.user_context",
    );
    assert!(is_on(&mut subscriber, "messaging"));
    // The publisher's flags replace the subscriber's.
    run(&mut subscriber, "TRUNCATE feature_flags");
    let connection = format!("host={} user=postgres dbname=publisher", cluster.socket().display());
    run(
        &mut subscriber,
        &format!("CREATE SUBSCRIPTION flags CONNECTION '{connection}' PUBLICATION flags"),
    );
    let all_flags = "SELECT string_agg(f::text, ' ' ORDER BY flag_key) FROM feature_flags AS f";
    let expected = value(&mut publisher, all_flags);
    wait_until("the first copy", || value(&mut subscriber, all_flags) == expected);
    for is_enabled in [true, false, true] {
        run(&mut publisher, &format!("SELECT update_feature_flag('messaging', {is_enabled})"));
        wait_until("a flip", || is_on(&mut subscriber, "messaging") == is_enabled);
    }
    run(&mut publisher, "TRUNCATE feature_flags");
    wait_until("a TRUNCATE", || !is_on(&mut subscriber, "messaging"));
    // The subscriber's flag history records replicated changes.
    let updates = value(
        &mut subscriber,
        "SELECT count(*) FROM crewsnow_ops.flag_history \
         WHERE flag_key = 'messaging' AND operation = 'UPDATE'",
    );
    assert_eq!(updates, "3");
    run(&mut subscriber, "DROP SUBSCRIPTION flags");
    assert_eq!(sqlstate(&mut subscriber, "DELETE FROM crewsnow_ops.flag_history"), "42501");
}
