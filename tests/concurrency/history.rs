//! The flag history under concurrent writers: one row for each change, in the order of the changes,
//! and no row is ever rewritten.

use harness::{Cluster, rows, run, sqlstate, value};

#[test]
fn each_change_has_a_row_in_order() {
    let cluster = Cluster::start("history", "");
    let mut a = cluster.create_database("history");
    const WRITERS: usize = 8;
    const CHANGES: usize = 150;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut session = cluster.connect("history");
            std::thread::spawn(move || {
                for n in 0..CHANGES {
                    let flag = ["tracker_pro", "voice_messages", "shared"][n % 3];
                    let percentage = (writer * 13 + n) % 101;
                    match n % 5 {
                        0 => run(
                            &mut session,
                            &format!(
                                "BEGIN;
                                 SELECT update_feature_flag('{flag}', true, {percentage});
                                 ROLLBACK"
                            ),
                        ),
                        1 => run(
                            &mut session,
                            &format!(
                                "UPDATE feature_flags SET rollout_percentage = {percentage}
                                 WHERE flag_key = '{flag}'"
                            ),
                        ),
                        // Several writers create and delete the flag `shared`.
                        2 => {
                            run(&mut session, "DELETE FROM feature_flags WHERE flag_key = 'shared'")
                        }
                        _ => run(
                            &mut session,
                            &format!(
                                "SELECT update_feature_flag('{flag}', {}, {percentage})",
                                n % 2 == 0
                            ),
                        ),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer ends");
    }
    let total: usize =
        value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history").parse().expect("a number");
    assert!(total > WRITERS * CHANGES / 4, "{total}");
    // `before` of each row equals `after` of the previous row. The last `after` is the flag.
    let broken = rows(
        &mut a,
        "SELECT flag_key, changed_at, operation FROM (
             SELECT *, lag(after) OVER w AS previous_after, row_number() OVER w AS n
             FROM crewsnow_ops.flag_history WINDOW w AS (PARTITION BY flag_id ORDER BY changed_at)
         ) AS h WHERE n > 1 AND before IS DISTINCT FROM previous_after",
    );
    assert!(broken.is_empty(), "{broken:?}");
    let replayed = "SELECT count(*) FROM (
        (SELECT * FROM feature_flags EXCEPT SELECT * FROM crewsnow_ops.flag_state_at('infinity'))
        UNION ALL
        (SELECT * FROM crewsnow_ops.flag_state_at('infinity') EXCEPT SELECT * FROM feature_flags)
        ) AS d";
    assert_eq!(value(&mut a, replayed), "0", "replaying the history gives the flags");
}

#[test]
fn no_role_can_rewrite_the_history() {
    let cluster = Cluster::start("append_only", "");
    let mut a = cluster.create_database("append_only");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    for sql in [
        "UPDATE crewsnow_ops.flag_history SET reason = 'never happened'",
        "DELETE FROM crewsnow_ops.flag_history",
        "TRUNCATE crewsnow_ops.flag_history",
        "SET session_replication_role = replica; DELETE FROM crewsnow_ops.flag_history",
    ] {
        assert_eq!(sqlstate(&mut a, sql), "42501", "{sql}");
    }
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history"), "1");
    // Changes by logical replication, which the replica role imitates, are recorded too.
    run(
        &mut a,
        "SET session_replication_role = replica;
         UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging'",
    );
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history"), "2");
}

#[test]
fn every_way_to_change_a_flag_is_recorded() {
    let cluster = Cluster::start("every_way", "");
    let mut a = cluster.create_database("every_way");
    run(&mut a, "SELECT update_feature_flag('messaging', false)");
    run(&mut a, "UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging'");
    run(&mut a, "INSERT INTO feature_flags (flag_key) VALUES ('by_insert')");
    let mut copy = a
        .copy_in("COPY feature_flags (flag_key, feature_category) FROM STDIN")
        .expect("COPY starts");
    std::io::Write::write_all(&mut copy, b"by_copy_1\tbeta\nby_copy_2\tcore\n")
        .expect("rows are sent");
    assert_eq!(copy.finish().expect("COPY ends"), 2);
    run(
        &mut a,
        "INSERT INTO feature_flags (flag_key) VALUES ('by_copy_1') ON CONFLICT (flag_key)
         DO UPDATE SET description = 'upsert'",
    );
    run(
        &mut a,
        "MERGE INTO feature_flags AS f USING (VALUES ('by_merge')) AS v (k) ON f.flag_key = v.k
         WHEN NOT MATCHED THEN INSERT (flag_key) VALUES (v.k)",
    );
    run(
        &mut a,
        "CREATE VIEW flags AS SELECT * FROM feature_flags;
         UPDATE flags SET rollout_percentage = 7 WHERE flag_key = 'by_merge'",
    );
    run(&mut a, "DELETE FROM feature_flags WHERE flag_key = 'by_insert'");
    let history = rows(
        &mut a,
        "SELECT operation, flag_key FROM crewsnow_ops.flag_history ORDER BY changed_at",
    );
    let expected = [
        "UPDATE|messaging",
        "UPDATE|messaging",
        "INSERT|by_insert",
        "INSERT|by_copy_1",
        "INSERT|by_copy_2",
        "UPDATE|by_copy_1",
        "INSERT|by_merge",
        "UPDATE|by_merge",
        "DELETE|by_insert",
    ];
    assert_eq!(history, expected);
}
