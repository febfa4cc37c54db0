//! A dump that is restored into a fresh database has the same flags, history and audits.

use crate::rls_hostile::supabase;
use crate::rls_places::leaking_tables;
use harness::{Cluster, is_on, must_run, program, rows, run, value};
use postgres::Client;

const FLAGS: &str = "SELECT * FROM feature_flags ORDER BY flag_key";
const HISTORY: &str = "SELECT * FROM crewsnow_ops.flag_history ORDER BY flag_id, changed_at";
const USERS: &str = "SELECT * FROM crewsnow_ops.user_context ORDER BY user_id";

/// Every change of a flag that a dump could lose.
const INCIDENT: &str = "
    -- a kill switch turns a feature off
    SELECT update_feature_flag('messaging', false, NULL, 'ada');
    -- a rollout
    SELECT update_feature_flag('tracker_pro', true, 25);
    -- a launch flag is removed
    DELETE FROM feature_flags WHERE flag_key = 'voice_messages';
    -- another one is removed and created again
    DELETE FROM feature_flags WHERE flag_key = 'group_matching';
    INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('group_matching', true);
    -- one is renamed, and another takes its key
    UPDATE feature_flags SET flag_key = 'old_boost' WHERE flag_key = 'boost_station';
    UPDATE feature_flags SET flag_key = 'boost_station' WHERE flag_key = 'basic_matching';
    -- one is added
    SELECT update_feature_flag('problematic_feature', false, 0);
    DELETE FROM feature_flags WHERE flag_key = 'ai_moderation_auto';
    -- one is removed and restored
    DELETE FROM feature_flags WHERE flag_key = 'maintenance_mode';
    SELECT crewsnow_ops.restore_feature_flags(
        (SELECT max(changed_at) - interval '1 microsecond' FROM crewsnow_ops.flag_history), 'back');
    INSERT INTO crewsnow_ops.user_context
        VALUES ('11111111-1111-4111-8111-111111111111', true, 'FR', '{beta}');
    UPDATE feature_flags SET last_checked_at = now() WHERE flag_key = 'messaging';
    UPDATE feature_flags SET target_regions = '{FR,\"a,b\"}', description = E'l''été\\n\\t'
        WHERE flag_key = 'advanced_filters'";

fn everything(client: &mut Client) -> Vec<Vec<String>> {
    [FLAGS, HISTORY, USERS].iter().map(|sql| rows(client, sql)).collect()
}

/// Dumps database `from` with the options `dump`, and restores it into the new database `to`. Empty
/// `restore` options stand for psql, others for pg_restore.
pub fn dump_and_restore(cluster: &Cluster, from: &str, to: &str, dump: &[&str], restore: &[&str]) {
    let file = cluster.scratch().join(format!("{to}.dump"));
    must_run(
        cluster.client_program(program("pg_dump"), from).args(dump).arg("-f").arg(&file).arg(from),
    );
    cluster.create_empty_database(to);
    if restore.is_empty() {
        must_run(cluster.psql(to).args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file));
    } else {
        must_run(
            cluster
                .client_program(program("pg_restore"), to)
                .args(restore)
                .args(["-e", "-d", to])
                .arg(&file),
        );
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
        // A parallel restore may load flags before their history. The history then has additional
        // rows for that load.
        match name {
            "directory" => {
                assert!(expected[1].iter().all(|row| found[1].contains(row)), "{name}: history")
            }
            _ => assert_eq!(found[1], expected[1], "{name}: history"),
        }
        assert!(!is_on(&mut restored, "messaging"), "{name}: the kill switch stays off");
        assert!(
            is_on(&mut restored, "group_matching") && !is_on(&mut restored, "voice_messages"),
            "{name}"
        );
        assert_the_history_matches_the_flags(&mut restored, name);
        // The restored database accepts changes, and can be dumped again.
        run(
            &mut restored,
            "SELECT update_feature_flag('messaging', true); \
             SELECT update_feature_flag('after_restore', true)",
        );
        assert_the_history_matches_the_flags(&mut restored, name);
    }
    let second = everything(&mut cluster.connect("plain"));
    dump_and_restore(&cluster, "plain", "second_generation", &[], &[]);
    assert_eq!(everything(&mut cluster.connect("second_generation")), second);
}

fn assert_the_history_matches_the_flags(client: &mut Client, name: &str) {
    // Whole rows without bookkeeping columns. A new column is compared without a change here.
    let rows = |source: &str| {
        format!(
            "SELECT to_jsonb(r.*) - '{{updated_at,last_checked_at}}'::text[] FROM {source} AS r"
        )
    };
    let (flags, history) = (rows("feature_flags"), rows("crewsnow_ops.flag_state_at('infinity')"));
    let difference = format!(
        "SELECT count(*) \
         FROM (({flags} EXCEPT {history}) UNION ALL ({history} EXCEPT {flags})) AS d"
    );
    assert_eq!(value(client, &difference), "0", "{name}: the latest history rows are the flags");
}

/// pg_dump orders data by schema. The flags precede their history if their schema sorts before
/// crewsnow_ops.
#[test]
fn the_schema_and_the_order_of_a_restore_do_not_matter() {
    let cluster = Cluster::start("dump_order", "");
    for (database, schema) in [("first", "\"A first\""), ("later", "zz_ops")] {
        cluster.create_empty_database(database);
        let mut source = cluster.connect(database);
        run(
            &mut source,
            &format!(
                "CREATE SCHEMA {schema}; CREATE EXTENSION crewsnow_ops SCHEMA {schema}; \
                 SET search_path = {schema}"
            ),
        );
        run(&mut source, INCIDENT);
        let copy = format!("{database}_copy");
        dump_and_restore(&cluster, database, &copy, &[], &[]);
        let mut restored = cluster.connect(&copy);
        run(&mut restored, &format!("SET search_path = {schema}"));
        let (expected, found) = (everything(&mut source), everything(&mut restored));
        assert_eq!(found[0], expected[0], "{schema}: flags");
        assert!(expected[1].iter().all(|row| found[1].contains(row)), "{schema}: history");
        assert_the_history_matches_the_flags(&mut restored, schema);
    }
}

#[test]
fn untouched_and_empty_installations_are_restored() {
    let cluster = Cluster::start("dump_extremes", "");
    let mut untouched = cluster.create_database("untouched");
    dump_and_restore(&cluster, "untouched", "untouched_copy", &[], &[]);
    let found = everything(&mut cluster.connect("untouched_copy"));
    assert_eq!(found, everything(&mut untouched));
    assert!(found[1].is_empty(), "an untouched installation has no history, restored or not");
    for (database, removal) in
        [("deleted", "DELETE FROM feature_flags"), ("truncated", "TRUNCATE feature_flags")]
    {
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

/// The history has a removal and a restoration of each launch flag. In a parallel restore, flags
/// and history do not deadlock.
#[test]
fn removed_and_restored_launch_flags_survive_a_restore() {
    let cluster = Cluster::start("dump_back", "deadlock_timeout = '100ms'");
    let mut source = cluster.create_database("source");
    run(&mut source, "DELETE FROM feature_flags");
    let before =
        "(SELECT min(changed_at) - interval '1 microsecond' FROM crewsnow_ops.flag_history)";
    assert_eq!(
        value(&mut source, &format!("SELECT crewsnow_ops.restore_feature_flags({before}, 'back')")),
        "13"
    );
    run(&mut source, "SELECT update_feature_flag('messaging', false)");
    let expected = everything(&mut source);
    assert_eq!(expected[1].len(), 27);
    for round in 0..5 {
        let copy = format!("parallel_{round}");
        dump_and_restore(&cluster, "source", &copy, &["-Fd"], &["-j4"]);
        let mut restored = cluster.connect(&copy);
        assert_eq!(rows(&mut restored, FLAGS), expected[0], "round {round}");
        assert_the_history_matches_the_flags(&mut restored, &copy);
    }
    for (copy, options) in [("plain", &[][..]), ("inserts", &["--inserts"])] {
        dump_and_restore(&cluster, "source", copy, options, &[]);
        assert_eq!(everything(&mut cluster.connect(copy)), expected, "{copy}");
    }
}

/// Two sessions restore flags and history at the same time. Each removes launch flags that the
/// other has removed. One session waits, and no deadlock ends either.
#[test]
fn concurrent_restores_of_flags_and_history_do_not_deadlock() {
    let cluster = Cluster::start("dump_side", "deadlock_timeout = '100ms'");
    let mut flags = cluster.create_database("side");
    let removed = |key: &str| {
        format!(
            "INSERT INTO crewsnow_ops.flag_history (flag_id, changed_at, flag_key, operation,
                 session_user_name, current_user_name, xid)
             SELECT id, '2020-02-02', flag_key, 'DELETE', 'a', 'a', '3'
                 FROM crewsnow_ops.launch_flags WHERE flag_key = '{key}'"
        )
    };
    let created_again = |key: &str| {
        format!(
            "INSERT INTO feature_flags (flag_key, created_at, updated_at) \
             VALUES ('{key}', '2020-02-03', '2020-02-03')"
        )
    };
    run(&mut flags, &format!("BEGIN; {}", created_again("messaging")));
    let mut history = cluster.connect("side");
    let sql = format!("BEGIN; {}; {}; COMMIT", removed("boost_station"), removed("messaging"));
    let waiting = std::thread::spawn(move || run(&mut history, &sql));
    std::thread::sleep(std::time::Duration::from_millis(300));
    run(&mut flags, &format!("{}; COMMIT", created_again("boost_station")));
    waiting.join().expect("the history is restored");
    assert_eq!(
        value(
            &mut flags,
            "SELECT count(*) FROM feature_flags WHERE flag_key IN ('messaging', 'boost_station')"
        ),
        "2"
    );
}

/// A row of a dump replaces an untouched launch flag only if the extension's owner restores it.
#[test]
fn only_a_restore_replaces_launch_flags() {
    let cluster = Cluster::start("unseen", "");
    let mut a = cluster.create_database("unseen");
    run(
        &mut a,
        "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator'); \
         GRANT TRIGGER ON feature_flags TO op; GRANT CREATE ON SCHEMA public TO op",
    );
    let id = value(&mut a, "SELECT id FROM feature_flags WHERE flag_key = 'messaging'");
    let mut op = cluster.connect_as("op", "unseen");
    for insert in [
        "INSERT INTO feature_flags (flag_key) VALUES ('messaging')",
        "INSERT INTO feature_flags (flag_key, created_at) VALUES ('messaging', '2020-01-01')",
        &format!("INSERT INTO feature_flags (id, flag_key) VALUES ('{id}', 'other')"),
        &format!(
            "INSERT INTO feature_flags (id, flag_key, created_at) \
             VALUES ('{id}', 'other', '2020-01-01')"
        ),
    ] {
        assert_eq!(harness::sqlstate(&mut op, insert), "23505", "{insert}");
    }
    for insert in [
        format!(
            "INSERT INTO feature_flags (id, flag_key) VALUES ('{id}', 'basic_matching') \
             ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO feature_flags (id, flag_key, created_at) \
             VALUES ('{id}', 'basic_matching', '2020-01-01') ON CONFLICT DO NOTHING"
        ),
        "INSERT INTO feature_flags (flag_key, created_at) VALUES ('messaging', '2099-01-01') \
         ON CONFLICT DO NOTHING"
            .into(),
    ] {
        run(&mut op, &insert);
        run(&mut a, &insert.replace("2020-01-01", "2099-01-01"));
    }
    assert!(is_on(&mut a, "messaging"));
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.flag_history"), "0");
    // An upsert by id changes only the columns that it sets.
    run(
        &mut op,
        &format!(
            "INSERT INTO feature_flags (id, flag_key, is_enabled)
             VALUES ('{id}', 'messaging', false)
             ON CONFLICT (id) DO UPDATE SET is_enabled = excluded.is_enabled"
        ),
    );
    assert_eq!(
        value(
            &mut a,
            "SELECT feature_category || ' ' || flag_name FROM feature_flags \
             WHERE flag_key = 'messaging'"
        ),
        "core Messaging"
    );
    assert_eq!(
        rows(&mut a, "SELECT operation, current_user_name FROM crewsnow_ops.flag_history"),
        ["UPDATE|op"]
    );
    // Triggers of other roles run with the caller's rights, not with the owner's.
    run(
        &mut op,
        "CREATE TABLE public.ran_as (name text);
         CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN
             INSERT INTO public.ran_as VALUES (current_user);
             RETURN coalesce(NEW, OLD);
         END $$;
         CREATE TRIGGER aa_note BEFORE INSERT OR UPDATE OR DELETE ON feature_flags FOR EACH ROW
             EXECUTE FUNCTION public.note();
         CREATE TRIGGER zz_note AFTER INSERT OR UPDATE OR DELETE ON feature_flags FOR EACH ROW
             EXECUTE FUNCTION public.note();
         SELECT update_feature_flag('messaging', true);
         INSERT INTO feature_flags (flag_key, created_at) VALUES ('old_flag', '2020-01-01');
         DELETE FROM feature_flags WHERE flag_key IN ('old_flag', 'boost_station');
         SELECT crewsnow_ops.restore_feature_flags((SELECT min(created_at) FROM feature_flags),
             'undo')",
    );
    assert_eq!(rows(&mut op, "SELECT DISTINCT name FROM public.ran_as"), ["op"]);
    // The history records that a backdated flag of the owner replaced a launch flag.
    run(&mut a, "DROP TRIGGER aa_note ON feature_flags; DROP TRIGGER zz_note ON feature_flags");
    run(
        &mut a,
        "INSERT INTO feature_flags (flag_key, created_at) \
         VALUES ('user_registration', '2020-01-01')",
    );
    let history = "SELECT operation FROM crewsnow_ops.flag_history \
        WHERE flag_key = 'user_registration' ORDER BY changed_at";
    assert_eq!(rows(&mut a, history), ["DELETE", "INSERT"]);
}

/// Acceptances and recorded audits are restored. The copy's drift is measured against them.
#[test]
fn a_restored_database_keeps_its_audits_and_acceptances() {
    let cluster = Cluster::start("dump_rls", "");
    let mut source = supabase(&cluster, "source");
    leaking_tables(&mut source);
    run(
        &mut source,
        "SELECT crewsnow_ops.record_rls_audit();
         SELECT crewsnow_ops.accept_finding(finding, 'known; it''s \\ \"meant\"',
             now() + interval '30 days') FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak'",
    );
    let kept = [
        "SELECT * FROM crewsnow_ops.rls_acceptances ORDER BY 1, 2",
        "SELECT * FROM crewsnow_ops.rls_runs ORDER BY 1",
        "SELECT * FROM crewsnow_ops.rls_run_findings ORDER BY 1, 2",
        "SELECT * FROM crewsnow_ops.rls_run_verdicts ORDER BY 1, 2, 3, 4",
        "SELECT finding, severity, accepted_reason FROM crewsnow_ops.audit_rls() ORDER BY 1",
    ];
    let all = |client: &mut Client| kept.map(|sql| rows(client, sql));
    let expected = all(&mut source);
    assert!(expected.iter().all(|rows| !rows.is_empty()), "{expected:?}");
    for (copy, dump, restore) in [("plain", &[][..], &[][..]), ("parallel", &["-Fd"], &["-j4"])] {
        dump_and_restore(&cluster, "source", copy, dump, restore);
        let mut restored = cluster.connect(copy);
        assert_eq!(all(&mut restored), expected, "{copy}");
        assert!(rows(&mut restored, "SELECT * FROM crewsnow_ops.rls_drift()").is_empty(), "{copy}");
        run(&mut restored, "ALTER POLICY own ON public.notes USING (true)");
        assert_ne!(
            value(&mut restored, "SELECT count(*) FROM crewsnow_ops.rls_drift()"),
            "0",
            "{copy}"
        );
    }
}
