//! pg_dump and restore into a fresh database give back exactly the same flags.

use harness::{Cluster, is_on, must_run, program, rows, run, value};
use postgres::Client;

const FLAGS: &str = "SELECT * FROM feature_flags ORDER BY flag_key";
const TRAIL: &str = "SELECT * FROM crewsnow_ops.flag_history ORDER BY flag_id, changed_at";
const USERS: &str = "SELECT * FROM crewsnow_ops.user_context ORDER BY user_id";

/// Everything that an operator can do to a flag and that a dump could lose.
const INCIDENT: &str = "
    SELECT update_feature_flag('messaging', false, NULL, 'ada');              -- a kill switch is pulled
    SELECT update_feature_flag('tracker_pro', true, 25);                      -- a rollout
    DELETE FROM feature_flags WHERE flag_key = 'voice_messages';              -- a launch flag is removed
    DELETE FROM feature_flags WHERE flag_key = 'group_matching';              -- another is removed and made again
    INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('group_matching', true);
    UPDATE feature_flags SET flag_key = 'old_boost' WHERE flag_key = 'boost_station';        -- renamed
    UPDATE feature_flags SET flag_key = 'boost_station' WHERE flag_key = 'basic_matching';   -- takes a launch flag's key
    SELECT update_feature_flag('problematic_feature', false, 0);              -- added
    DELETE FROM feature_flags WHERE flag_key = 'ai_moderation_auto';
    SELECT crewsnow_ops.restore_feature_flags(clock_timestamp() - interval '0 s', 'nothing to do');
    INSERT INTO crewsnow_ops.user_context VALUES ('11111111-1111-4111-8111-111111111111', true, 'FR', '{beta}');
    UPDATE feature_flags SET last_checked_at = now() WHERE flag_key = 'messaging';
    UPDATE feature_flags SET target_regions = '{FR,\"a,b\"}', description = E'l''été\\n\\t' WHERE flag_key = 'advanced_filters'";

fn everything(client: &mut Client) -> Vec<Vec<String>> {
    [FLAGS, TRAIL, USERS].iter().map(|sql| rows(client, sql)).collect()
}

fn dump_and_restore(cluster: &Cluster, from: &str, to: &str, dump: &[&str], restore: &[&str]) {
    let file = cluster.scratch().join(format!("{to}.dump"));
    must_run(cluster.client_program(program("pg_dump"), from).args(dump).arg("-f").arg(&file).arg(from));
    cluster.create_empty_database(to);
    if restore.is_empty() {
        must_run(cluster.psql(to).args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file));
    } else {
        must_run(cluster.client_program(program("pg_restore"), to).args(restore).args(["-e", "-d", to]).arg(&file));
    }
}

#[test]
fn a_restored_database_has_the_same_flags() {
    let cluster = Cluster::start("dump_restore", "");
    let mut source = cluster.create_database("source");
    run(&mut source, INCIDENT);
    let expected = everything(&mut source);
    assert_eq!(expected[0].len(), 13 - 2 + 1);
    let ways: [(&str, &[&str], &[&str]); 6] = [
        ("plain", &[], &[]),
        ("inserts", &["--inserts"], &[]),
        ("column_inserts", &["--column-inserts", "--rows-per-insert=5"], &[]),
        ("custom", &["-Fc"], &["--single-transaction"]),
        ("clean", &["-Fc", "--clean", "--if-exists"], &["--clean", "--if-exists"]),
        ("directory", &["-Fd"], &["-j4"]),
    ];
    for (name, dump, restore) in ways {
        dump_and_restore(&cluster, "source", name, dump, restore);
        let mut restored = cluster.connect(name);
        let found = everything(&mut restored);
        assert_eq!(found[0], expected[0], "{name}: flags");
        assert_eq!(found[2], expected[2], "{name}: users");
        // Restored in parallel, flags may come before their history; the trail then also says that they were loaded.
        match name {
            "directory" => assert!(expected[1].iter().all(|row| found[1].contains(row)), "{name}: trail"),
            _ => assert_eq!(found[1], expected[1], "{name}: trail"),
        }
        assert!(!is_on(&mut restored, "messaging"), "{name}: a pulled kill switch stays pulled");
        assert!(is_on(&mut restored, "group_matching") && !is_on(&mut restored, "voice_messages"), "{name}");
        assert_the_trail_is_the_flags(&mut restored, name);
        // Life goes on: changes, history, and another dump.
        run(
            &mut restored,
            "SELECT update_feature_flag('messaging', true); SELECT update_feature_flag('after_restore', true)",
        );
        assert_the_trail_is_the_flags(&mut restored, name);
    }
    let second = everything(&mut cluster.connect("plain"));
    dump_and_restore(&cluster, "plain", "second_generation", &[], &[]);
    assert_eq!(everything(&mut cluster.connect("second_generation")), second);
}

fn assert_the_trail_is_the_flags(client: &mut Client, name: &str) {
    let columns = "id, flag_key, is_enabled, rollout_percentage, target_regions, description, rollout_group";
    let difference = format!(
        "SELECT count(*) FROM ((SELECT {columns} FROM feature_flags EXCEPT SELECT {columns} FROM crewsnow_ops.flag_state_at('infinity'))
         UNION ALL (SELECT {columns} FROM crewsnow_ops.flag_state_at('infinity') EXCEPT SELECT {columns} FROM feature_flags)) AS d"
    );
    assert_eq!(value(client, &difference), "0", "{name}: the trail's last word is the flags");
}

/// The flags' data may come before the trail's: when their schema sorts before crewsnow_ops.
#[test]
fn any_target_schema_and_any_order() {
    let cluster = Cluster::start("dump_order", "");
    for (database, schema) in [("first", "\"A first\""), ("later", "zz_ops")] {
        cluster.create_empty_database(database);
        let mut source = cluster.connect(database);
        run(
            &mut source,
            &format!(
                "CREATE SCHEMA {schema}; CREATE EXTENSION crewsnow_ops SCHEMA {schema}; SET search_path = {schema}"
            ),
        );
        run(&mut source, INCIDENT);
        let copy = format!("{database}_copy");
        dump_and_restore(&cluster, database, &copy, &[], &[]);
        let mut restored = cluster.connect(&copy);
        run(&mut restored, &format!("SET search_path = {schema}"));
        let (expected, found) = (everything(&mut source), everything(&mut restored));
        assert_eq!(found[0], expected[0], "{schema}: flags");
        assert!(expected[1].iter().all(|row| found[1].contains(row)), "{schema}: trail");
        assert_the_trail_is_the_flags(&mut restored, schema);
    }
}

#[test]
fn nothing_touched_and_everything_gone() {
    let cluster = Cluster::start("dump_extremes", "");
    let mut untouched = cluster.create_database("untouched");
    dump_and_restore(&cluster, "untouched", "untouched_copy", &[], &[]);
    let found = everything(&mut cluster.connect("untouched_copy"));
    assert_eq!(found, everything(&mut untouched));
    assert!(found[1].is_empty(), "an untouched installation has no history, restored or not");
    for (database, removal) in [("deleted", "DELETE FROM feature_flags"), ("truncated", "TRUNCATE feature_flags")] {
        let mut gone = cluster.create_database(database);
        run(&mut gone, removal);
        let copy = format!("{database}_copy");
        dump_and_restore(&cluster, database, &copy, &[], &[]);
        let mut restored = cluster.connect(&copy);
        assert_eq!(everything(&mut restored), everything(&mut gone), "{removal}");
        assert_eq!(value(&mut restored, "SELECT count(*) FROM feature_flags"), "0", "{removal}");
        assert!(!is_on(&mut restored, "messaging"));
    }
}

/// What lets a dump's row take the place of an untouched launch flag must not let anybody else replace one unseen.
#[test]
fn launch_flags_cannot_be_replaced_unseen() {
    let cluster = Cluster::start("unseen", "");
    let mut a = cluster.create_database("unseen");
    let insert = "INSERT INTO feature_flags (flag_key) VALUES ('messaging')";
    assert_eq!(harness::sqlstate(&mut a, insert), "23505");
    assert!(is_on(&mut a, "messaging"));
    // With a forged creation date it works, as a dump's row would, and both the removal and the new flag are in the trail.
    run(&mut a, "INSERT INTO feature_flags (flag_key, created_at) VALUES ('messaging', '2020-01-01')");
    assert!(!is_on(&mut a, "messaging"));
    assert_eq!(
        rows(&mut a, "SELECT operation FROM crewsnow_ops.flag_history ORDER BY changed_at"),
        ["DELETE", "INSERT"]
    );
    // With a forged id as well.
    run(
        &mut a,
        "INSERT INTO feature_flags (id, flag_key)
         SELECT id, flag_key FROM crewsnow_ops.launch_flags WHERE flag_key = 'boost_station'",
    );
    assert!(!is_on(&mut a, "boost_station"));
    let last = "SELECT before ->> 'is_enabled', after ->> 'is_enabled' FROM crewsnow_ops.flag_history WHERE flag_key = 'boost_station'";
    assert_eq!(rows(&mut a, last), ["true|false"]);
    // A flag that somebody has touched is not replaced at all.
    run(&mut a, "SELECT update_feature_flag('user_registration', false)");
    let forged = "INSERT INTO feature_flags (flag_key, created_at) VALUES ('user_registration', '2020-01-01')";
    assert_eq!(harness::sqlstate(&mut a, forged), "23505");
}
