//! The pages that the extension's own code writes past the executor: the same on a standby that
//! replays them, and sound to amcheck.

use crate::replication::wait_until;
use crate::telemetry::is_counted;
use harness::{Cluster, rows, run, value};
use postgres::Client;

/// Days before today with a partition of their own.
const DAYS: &str = "DO $$ BEGIN FOR day IN 1..5 LOOP EXECUTE format(
    'CREATE TABLE crewsnow_ops.day_%1$s (LIKE event_log INCLUDING ALL);
     CREATE INDEX ON crewsnow_ops.day_%1$s USING brin (tx, created_at);
     ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.day_%1$s FOR VALUES FROM (%2$L) TO (%3$L)',
    day, date_trunc('day', now(), 'UTC') - day * interval '1 day',
    date_trunc('day', now(), 'UTC') - (day - 1) * interval '1 day'); END LOOP; END $$";

/// Statements of two sessions.
const EVENTS: [&str; 5] = [
    "SELECT crewsnow_ops.record_edge_call('checkout', n, 200, p_payload => jsonb_build_object(
        'text', repeat('x', n * 7))) FROM generate_series(1, 200) AS n",
    "SELECT log_system_event('login', gen_random_uuid(), '{\"device\": \"phone\"}')
        FROM generate_series(1, 50)",
    "INSERT INTO event_log (event_type, function_name, execution_time_ms, created_at, endpoint)
        SELECT 'call', 'late', n, now() - n * interval '1 hour', '/passes'
        FROM generate_series(0, 110) AS n",
    "SELECT crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid', random() < 0.5,
        'declined') FROM generate_series(1, 50) AS n",
    "BEGIN; SELECT crewsnow_ops.record_edge_call('undone', 1, 500) FROM generate_series(1, 50);
     ROLLBACK",
];
/// Statements of a third one.
const FLAGS: [&str; 5] = [
    "SELECT update_feature_flag('messaging', random() < 0.5)",
    "UPDATE feature_flags SET rollout_percentage = (random() * 100)::int",
    "INSERT INTO feature_flags (flag_key) VALUES ('flag_' || gen_random_uuid())",
    "DELETE FROM feature_flags WHERE flag_key LIKE 'flag_%' AND random() < 0.3",
    "INSERT INTO crewsnow_ops.user_context (user_id, region) VALUES (gen_random_uuid(), 'alps')",
];
/// Statements of a fourth one.
const UPKEEP: [&str; 5] = [
    "UPDATE event_log SET endpoint = NULL WHERE endpoint IS NOT NULL AND execution_time_ms < 5",
    "SELECT * FROM crewsnow_ops.roll_up_events()",
    "SELECT crewsnow_ops.sample_health()",
    "VACUUM event_log, feature_flags, crewsnow_ops.event_rollups",
    "CHECKPOINT",
];

/// How often each session runs its statements.
const ROUNDS: usize = 30;

/// Runs each list of statements in a session of its own.
fn work(cluster: &Cluster, database: &str) {
    let sessions = [&EVENTS[..], &EVENTS[..], &FLAGS[..], &UPKEEP[..]].map(|statements| {
        let mut session = cluster.connect(database);
        std::thread::spawn(move || {
            for statement in statements.repeat(ROUNDS) {
                run(&mut session, statement);
            }
        })
    });
    sessions.into_iter().for_each(|session| session.join().expect("a session ends"));
}

/// Drops the days before yesterday, and the rollups before today.
fn drop_old_days(client: &mut Client) {
    is_counted(client);
    run(
        client,
        "SET crewsnow_ops.event_retention = '2d'; SET crewsnow_ops.rollup_retention = '1d'",
    );
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_log'::regclass";
    let before: u32 = value(client, days).parse().expect("a number");
    // Autovacuum may have one of them open.
    wait_until("two days are dropped", || {
        run(client, "SELECT * FROM crewsnow_ops.apply_event_retention()");
        value(client, days).parse::<u32>().expect("a number") + 2 <= before
    });
}

const TABLES: [&str; 7] = [
    "event_log",
    "processed_events",
    "feature_flags",
    "crewsnow_ops.flag_history",
    "crewsnow_ops.event_rollups",
    "crewsnow_ops.rollup_state",
    "crewsnow_ops.event_erasures",
];

/// The number of rows of each table, and a hash of all of them.
fn contents(client: &mut Client) -> Vec<String> {
    TABLES
        .iter()
        .map(|table| {
            let hash = format!(
                "SELECT '{table}', count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t"
            );
            rows(client, &hash).concat()
        })
        .collect()
}

/// The standby compares each page image of the primary with its own page after replay. It stops
/// with FATAL at the first difference.
// passes before: the extension's pages were replayed correctly all along
#[test]
fn a_standby_replays_every_page_as_it_was() {
    let settings = "wal_consistency_checking = 'all'\nwal_keep_size = '4GB'";
    let primary = Cluster::start("consistent", settings);
    let mut a = primary.create_database("ops");
    run(&mut a, "SELECT crewsnow_ops.roll_up_events()");
    let standby = Cluster::standby("replaying", &primary);
    let mut b = standby.connect("ops");
    assert_eq!(value(&mut b, "SHOW wal_consistency_checking"), "all");
    run(&mut a, DAYS);
    work(&primary, "ops");
    drop_old_days(&mut a);
    let end = value(&mut a, "SELECT pg_current_wal_flush_lsn()");
    wait_until("the standby replays everything", || {
        value(&mut b, &format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")) == "t"
    });
    assert_eq!(contents(&mut b), contents(&mut a));
    assert_eq!(differences(&standby), Vec::<String>::new());
}

/// The lines of the standby's log about pages that differ after replay.
fn differences(standby: &Cluster) -> Vec<String> {
    let path = standby.scratch().join("data/server.log");
    let log = std::fs::read_to_string(&path).expect("the standby's log");
    log.lines().filter(|line| line.contains("inconsistent page")).map(str::to_owned).collect()
}

/// The test above can fail: one letter that differs on the standby ends its replay.
// passes before: it checks the server's own comparison
#[test]
fn a_page_that_differs_ends_the_replay() {
    let settings = "wal_consistency_checking = 'all'\nfull_page_writes = off";
    let primary = Cluster::start("sound", settings);
    let mut a = primary.create_database("ops");
    let mut standby = Cluster::standby("altered", &primary);
    run(&mut a, "CHECKPOINT");
    let path = value(&mut a, "SELECT pg_relation_filepath('feature_flags')");
    standby.stop("fast");
    let path = standby.scratch().join("data").join(path);
    let mut page = std::fs::read(&path).expect("the table's file");
    let at = page.windows(9).position(|bytes| bytes == b"messaging").expect("a flag's key");
    page[at] = b'M';
    std::fs::write(&path, page).expect("the table's file is written");
    standby.boot();
    assert_eq!(differences(&standby), Vec::<String>::new());
    run(&mut a, "UPDATE feature_flags SET is_enabled = NOT is_enabled");
    wait_until("the difference is found", || !differences(&standby).is_empty());
}

/// Heap and B-tree of the extension's tables, their TOAST tables and the catalogs that partitions
/// are recorded in.
// passes before: no fault was known
#[test]
fn amcheck_finds_no_fault() {
    let cluster = Cluster::start("checked", "");
    let mut a = cluster.create_database("ops");
    run(&mut a, "CREATE EXTENSION amcheck; SELECT crewsnow_ops.roll_up_events()");
    run(&mut a, DAYS);
    work(&cluster, "ops");
    let check = |a: &mut Client| {
        let ours =
            "SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('crewsnow_ops', 'public')
                OR c.oid IN (SELECT reltoastrelid FROM pg_class AS t
                    WHERE t.relnamespace IN ('crewsnow_ops'::regnamespace, 'public'::regnamespace))
                OR c.oid IN ('pg_class'::regclass, 'pg_attribute'::regclass,
                    'pg_inherits'::regclass, 'pg_depend'::regclass)";
        let faults = format!(
            "SELECT c.oid::regclass, v.blkno, v.offnum, v.msg FROM pg_class AS c,
                LATERAL verify_heapam(c.oid, check_toast => true) AS v
             WHERE c.oid IN ({ours}) AND c.relkind IN ('r', 'm', 't')"
        );
        assert_eq!(rows(a, &faults), Vec::<String>::new());
        let ordinary =
            format!("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid IN ({ours})");
        let tables: u32 = value(a, &ordinary).parse().expect("a number");
        assert!(tables > 20, "tables checked: {tables}");
        let indexes = format!(
            "SELECT i.indexrelid::regclass, bt_index_check(i.indexrelid, true), (
                SELECT bt_index_parent_check(i.indexrelid, true, true))
             FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
             WHERE i.indrelid IN ({ours}) AND c.relkind = 'i'
                AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')"
        );
        rows(a, &indexes).len()
    };
    let before = check(&mut a);
    assert!(before > 20, "indexes checked: {before}");
    drop_old_days(&mut a);
    run(
        &mut a,
        "SELECT crewsnow_ops.record_edge_call('after', 1, 200);
         SELECT crewsnow_ops.roll_up_events()",
    );
    assert!(check(&mut a) > 20);
}
