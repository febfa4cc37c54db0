//! Dangers to the data: collations, multixact members, settings, subscriptions, conflicts with
//! replay, and temporary files that fill the disk. Each fault has a healthy twin.

use crate::health::{in_background, run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, must_run, rows, run, server_command, value};

#[test]
fn another_collation_version_asks_for_reindex_first() {
    let cluster = Cluster::start("danger_collation", "");
    let mut a = cluster.create_database("names");
    let metric = "Collation Versions";
    assert_eq!(status(&mut a, metric), "OK");
    let versioned = "SELECT quote_ident(collname) FROM pg_collation \
        WHERE collversion IS NOT NULL AND collencoding IN (-1, 6) ORDER BY oid LIMIT 1";
    let Some(collation) = rows(&mut a, versioned).pop() else { return };
    let differ = format!(
        "UPDATE pg_collation SET collversion = '0.1' WHERE quote_ident(collname) = '{collation}'"
    );
    run(&mut a, &differ);
    assert_eq!(status(&mut a, metric), "OK", "nothing uses it");
    run(&mut a, &format!("CREATE TABLE riders (name text COLLATE {collation} UNIQUE)"));
    // The column's creation has warned; the version is still another.
    assert_eq!(worst(&mut a, metric, "status"), "CRITICAL");
    assert_eq!(
        worst(&mut a, metric, "next_command"),
        "REINDEX INDEX CONCURRENTLY public.riders_name_key;"
    );
    let rebuild = worst(&mut a, metric, "next_command");
    run(&mut a, &rebuild);
    assert_eq!(status(&mut a, metric), "CRITICAL", "until the version is recorded anew");
    let advice = worst(&mut a, metric, "recommendation");
    let (_, refresh) = advice.split_once("only then run ").expect("the second step");
    run(&mut a, refresh.trim_end_matches('.'));
    assert_eq!(status(&mut a, metric), "OK");
    // A whole database, where the server has ICU.
    let icu = "CREATE DATABASE words TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'";
    if cluster.connect("postgres").batch_execute(icu).is_err() {
        return;
    }
    let mut b = cluster.connect("words");
    run(&mut b, "CREATE EXTENSION crewsnow_ops");
    assert_eq!(status(&mut b, metric), "OK");
    run(&mut a, "UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'words'");
    assert_eq!(worst(&mut b, metric, "status || ' ' || object"), "CRITICAL database words");
    assert_eq!(worst(&mut a, metric, "status || ' ' || object"), "WARNING database words");
    let rebuild = worst(&mut b, metric, "next_command");
    assert_eq!(rebuild, "REINDEX DATABASE CONCURRENTLY words;");
    run(&mut b, &rebuild);
    run(&mut b, "ALTER DATABASE words REFRESH COLLATION VERSION");
    assert_eq!(status(&mut b, metric), "OK");
}

/// Members run out while few multixacts exist, and their ages tell nothing.
#[test]
fn used_up_multixact_members_are_reported() {
    let mut cluster = Cluster::start("danger_members", "max_prepared_transactions = 2");
    let mut a = cluster.create_database("members");
    let metric = "Multixact Members";
    run(&mut a, "CREATE TABLE trips (id int PRIMARY KEY); INSERT INTO trips VALUES (1)");
    let mut b = cluster.connect("members");
    for session in [&mut a, &mut b] {
        run_each(session, "BEGIN; SELECT FROM trips FOR SHARE");
    }
    // In an emergency the server vacuums by itself: this transaction keeps the multixact needed.
    run(&mut a, "PREPARE TRANSACTION 'forgotten'");
    run(&mut b, "COMMIT");
    assert_eq!(worst(&mut a, metric, "status || ' ' || current_value"), "OK 0 % used");
    drop((a, b));
    // Offsets at the beginning of a file of members, which the server then creates.
    for (files, expected) in [(41_100_u64, "WARNING 50 % used"), (61_600, "CRITICAL 75 % used")] {
        cluster.stop("fast");
        let offset = (files * 52_352).to_string();
        let data = cluster.scratch().join("data");
        must_run(server_command("pg_resetwal").args(["-O", &offset, "-D"]).arg(&data));
        cluster.boot();
        let mut a = cluster.connect("members");
        assert_eq!(worst(&mut a, metric, "status || ' ' || current_value"), expected);
        assert_eq!(status(&mut a, "Wraparound"), "OK", "the ages are young");
        let next = worst(&mut a, metric, "next_command");
        assert!(next.contains("VACUUM (FREEZE, VERBOSE)"), "{next}");
    }
}

#[test]
fn settings_that_lose_data_are_reported() {
    let cluster =
        Cluster::start("danger_settings", "archive_mode = on\narchive_command = 'test -f %p'");
    let mut a = cluster.create_database("settings");
    let metric = "Durability";
    // Servers of tests run without fsync.
    assert_eq!(worst(&mut a, metric, "status || ' ' || object"), "CRITICAL setting fsync");
    assert!(worst(&mut a, metric, "evidence").ends_with("WAL is archived"));
    let repair = worst(&mut a, metric, "next_command");
    run_each(&mut a, repair.trim_end_matches(';'));
    wait_until("the setting", || status(&mut a, metric) == "OK");
    // A session that trades its own commits is no fault of the server.
    run(&mut a, "SET synchronous_commit = off");
    assert_eq!(status(&mut a, metric), "OK");
    run_each(&mut a, "ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf()");
    wait_until("the setting", || status(&mut a, metric) == "CRITICAL");
    run_each(
        &mut a,
        "ALTER SYSTEM RESET full_page_writes; ALTER SYSTEM SET archive_command = '/bin/true'; \
         SELECT pg_reload_conf()",
    );
    wait_until("the setting", || status(&mut a, metric) == "WARNING");
    assert_eq!(worst(&mut a, metric, "object"), "setting archive_command");
}

/// Servers for tests have no archive, standby or slot, and trade their data on purpose.
#[test]
fn a_server_on_which_nobody_relies_is_only_warned() {
    let cluster = Cluster::start("danger_alone", "");
    let mut a = cluster.create_database("settings");
    assert_eq!(status(&mut a, "Durability"), "WARNING");
    run(&mut a, "SELECT pg_create_physical_replication_slot('standby')");
    assert_eq!(status(&mut a, "Durability"), "CRITICAL", "a standby relies on it");
    run(&mut a, "SELECT pg_drop_replication_slot('standby')");
    assert_eq!(status(&mut a, "Durability"), "WARNING");
}

#[test]
fn a_subscription_that_fails_in_a_loop_is_reported() {
    let cluster = Cluster::start("danger_subscription", "wal_retrieve_retry_interval = '200ms'");
    let mut a = cluster.create_database("origin");
    let mut b = cluster.create_database("copy");
    let metric = "Subscriptions";
    for client in [&mut a, &mut b] {
        run(client, "CREATE TABLE rides (id int PRIMARY KEY)");
    }
    run(&mut a, "CREATE PUBLICATION rides FOR TABLE rides");
    run(&mut a, "SELECT pg_create_logical_replication_slot('rides', 'pgoutput')");
    assert_eq!(status(&mut b, metric), "OK");
    let source = format!("host={} user=postgres dbname=origin", cluster.socket().display());
    run(
        &mut b,
        &format!(
            "CREATE SUBSCRIPTION rides CONNECTION '{source}' PUBLICATION rides \
             WITH (create_slot = false, slot_name = 'rides')"
        ),
    );
    run(&mut a, "INSERT INTO rides VALUES (1)");
    wait_until("the first row", || value(&mut b, "SELECT count(*) FROM rides") == "1");
    wait_until("a worker", || status(&mut b, metric) == "OK");
    run(&mut b, "INSERT INTO rides VALUES (2)");
    run(&mut a, "INSERT INTO rides VALUES (2)");
    // The server has run for less than a minute: a young worker is no evidence yet.
    let restarted = "SELECT pg_postmaster_start_time() > now() - interval '1 minute'";
    let mut tries = 0;
    while value(&mut b, restarted) == "t" && tries < 70 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        tries += 1;
    }
    wait_until("the loop", || {
        worst(&mut b, metric, "status || object") == "CRITICALsubscription rides"
    });
    assert_eq!(status(&mut a, metric), "CRITICAL", "every database of the server tells");
    let look = worst(&mut b, metric, "next_command");
    run(&mut b, "SET search_path = ''");
    assert_eq!(rows(&mut b, &look).len(), 1);
    run(&mut b, "RESET search_path; DELETE FROM rides WHERE id = 2");
    wait_until("the worker goes on", || value(&mut b, "SELECT count(*) FROM rides") == "2");
    wait_until("it is trusted again", || status(&mut b, metric) == "OK");
    run(&mut b, "ALTER SUBSCRIPTION rides DISABLE");
    wait_until("a deliberate stop", || status(&mut b, metric) == "OK");
    run(&mut b, "ALTER SUBSCRIPTION rides SET (slot_name = NONE); DROP SUBSCRIPTION rides");
}

#[test]
fn queries_that_replay_cancels_are_reported() {
    let primary = Cluster::start("danger_primary", "");
    let mut a = primary.create_database("conflicts");
    run(&mut a, "CREATE TABLE stops (id int)");
    let standby = Cluster::standby("danger_standby", &primary);
    let mut b = standby.connect("conflicts");
    let metric = "Recovery Conflicts";
    assert_eq!((status(&mut a, metric), status(&mut b, metric)), ("OK".into(), "OK".into()));
    run_each(&mut b, "ALTER SYSTEM SET max_standby_streaming_delay = 0; SELECT pg_reload_conf()");
    for n in 0..2 {
        let reader = standby.connect("conflicts");
        let reading =
            in_background(reader, "SELECT pg_sleep(30) FROM (SELECT count(*) FROM stops) s");
        let held = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'stops'::regclass";
        wait_until("the reader", || value(&mut b, held) == "t");
        run(&mut a, &format!("ALTER TABLE stops ADD COLUMN c{n} int"));
        assert_eq!(reading.join().expect("the reader"), Some("40001".to_owned()));
    }
    wait_until("the conflicts are counted", || status(&mut b, metric) == "WARNING");
    assert!(worst(&mut b, metric, "evidence").contains("2 by locks"));
    assert!(worst(&mut b, metric, "recommendation").contains("run such DDL at quiet times"));
    assert_eq!(status(&mut a, metric), "OK", "the primary cancels nothing");
}

#[test]
fn temporary_files_of_running_statements_are_reported() {
    let cluster = Cluster::start("danger_temp", "");
    let mut a = cluster.create_database("spill");
    let metric = "Temp Files";
    // Another tablespace, inside the data directory.
    run_each(
        &mut a,
        "SET allow_in_place_tablespaces = on; CREATE TABLESPACE spill LOCATION ''; \
         CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader')",
    );
    for (tablespace, application) in [("", "report"), ("spill", "export")] {
        let mut session = cluster.connect("spill");
        run_each(
            &mut session,
            &format!(
                "SET application_name = '{application}'; SET work_mem = '64kB'; \
                 SET temp_tablespaces = '{tablespace}'"
            ),
        );
        let sorting = in_background(
            session,
            "SELECT count(*) FROM (SELECT repeat(md5(g::text), 10) \
             FROM generate_series(1, 20000000) AS g ORDER BY 1) AS s",
        );
        let written = "SELECT count(*) FROM performance_health_check() WHERE metric = 'Temp Files' \
            AND object LIKE 'pid %'";
        assert_eq!(value(&mut a, written), "0", "a small file is no fault");
        run(&mut a, "SET crewsnow_ops.health_limits = 'temp_files.session = 5'");
        wait_until("the files grow", || value(&mut a, written) == "1");
        let evidence = worst(&mut a, metric, "evidence");
        assert!(evidence.contains(&format!("application {application}")), "{evidence}");
        // A role without pg_monitor learns that it does not see them.
        let mut plain = cluster.connect_as("reader", "spill");
        assert!(status(&mut plain, metric).contains("SKIPPED"));
        let cancel = worst(&mut a, metric, "next_command");
        run(&mut a, "SET search_path = ''");
        assert_eq!(rows(&mut a, &cancel), ["t"]);
        run(&mut a, "RESET search_path; RESET crewsnow_ops.health_limits");
        assert_eq!(sorting.join().expect("the sort"), Some("57014".to_owned()));
        assert_eq!(value(&mut a, written), "0");
    }
}

/// The acts of an operator are no incident: sessions that were ended on purpose, and a restart.
#[test]
fn deliberate_acts_are_no_failures() {
    let mut cluster = Cluster::start("danger_acts", "");
    let mut a = cluster.create_database("acts");
    let metric = "Session Deaths";
    let later =
        "UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '1 minute'";
    run_each(&mut a, &format!("SELECT crewsnow_ops.sample_health(); {later}"));
    let victims: Vec<_> = (0..15).map(|_| cluster.connect("acts")).collect();
    run(
        &mut a,
        "SET application_name = 'operator'; SELECT * FROM crewsnow_ops.disconnect_sessions(\
         p_application => 'suite', p_include_superusers => true, p_dry_run => false)",
    );
    drop(victims);
    wait_until("they are counted", || {
        worst(&mut a, metric, "evidence").contains("15 terminated on purpose")
    });
    assert_eq!(status(&mut a, metric), "OK");
    // So are those that idle_session_timeout ends.
    run_each(
        &mut a,
        "CREATE ROLE sleepy LOGIN; ALTER ROLE sleepy SET idle_session_timeout = '200ms'",
    );
    let sleepers: Vec<_> = (0..15).map(|_| cluster.connect_as("sleepy", "acts")).collect();
    wait_until("they are counted", || {
        worst(&mut a, metric, "evidence").contains("15 ended by a fatal error")
    });
    assert_eq!(status(&mut a, metric), "OK");
    drop(sleepers);
    run(&mut a, "DROP ROLE sleepy");
    // Clients that vanish are failures.
    let mut vanishing: Vec<_> = (0..15)
        .map(|_| {
            let mut psql = cluster.psql("acts");
            psql.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
            psql.spawn().expect("psql")
        })
        .collect();
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'";
    wait_until("they are connected", || value(&mut a, connected) == "15");
    for psql in &mut vanishing {
        psql.kill().expect("it ends");
        psql.wait().expect("it has ended");
    }
    wait_until("they are counted", || status(&mut a, metric) == "CRITICAL");
    assert!(worst(&mut a, metric, "evidence").starts_with("15 lost their client"));
    // An old lifetime does not warn for ever.
    run(&mut a, "TRUNCATE crewsnow_ops.health_samples");
    assert_eq!(status(&mut a, metric), "WARNING", "statistics of minutes tell of now");
    // A planned restart: the statistics stay, and its sessions count as terminated.
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    let others: Vec<_> = (0..15).map(|_| cluster.connect("acts")).collect();
    cluster.stop("fast");
    drop((others, a));
    cluster.boot();
    let mut a = cluster.connect("acts");
    run(&mut a, later);
    assert_eq!((status(&mut a, metric), status(&mut a, "Restart")), ("OK".into(), "OK".into()));
    assert!(worst(&mut a, "Restart", "evidence").ends_with("it had been shut down cleanly"));
    drop(a);
    cluster.stop("immediate");
    cluster.boot();
    assert_eq!(status(&mut cluster.connect("acts"), "Restart"), "WARNING", "a crash");
}

/// Commands that request a checkpoint are no flood of WAL.
#[test]
fn checkpoints_that_were_asked_for_are_no_fault() {
    let cluster =
        Cluster::start("danger_checkpoints", "max_wal_size = '32MB'\nmin_wal_size = '32MB'");
    let mut a = cluster.create_database("checkpoints");
    let later =
        "UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '1 minute'";
    run_each(&mut a, &format!("SELECT crewsnow_ops.sample_health(); {later}"));
    for n in 0..4 {
        run(&mut a, &format!("CREATE DATABASE d{n} STRATEGY file_copy"));
        run(&mut a, &format!("DROP DATABASE d{n}"));
    }
    let requested = "SELECT split_part(evidence, ' ', 1)::int >= 4 FROM performance_health_check() \
        WHERE metric = 'Checkpoints'";
    wait_until("they are counted", || value(&mut a, requested) == "t");
    assert_eq!(status(&mut a, "Checkpoints"), "OK", "{}", worst(&mut a, "Checkpoints", "evidence"));
    run(&mut a, "CREATE TABLE flood (t text)");
    wait_until("WAL forces checkpoints", || {
        run(
            &mut a,
            "INSERT INTO flood SELECT repeat(md5(g::text), 20) FROM generate_series(1, 20000) g",
        );
        status(&mut a, "Checkpoints") == "WARNING"
    });
}

/// A report of a month is not late after a day, and never as bad as an outage.
#[test]
fn a_view_is_late_by_its_own_interval() {
    let cluster = Cluster::start("danger_views", "");
    let mut a = cluster.create_database("views");
    let metric = "KPI Freshness";
    run_each(
        &mut a,
        "CREATE MATERIALIZED VIEW monthly AS SELECT 1; CREATE MATERIALIZED VIEW quick AS SELECT 2",
    );
    let age = |client: &mut _, view: &str, age: &str, intervals: &str| {
        let sql = format!(
            "UPDATE crewsnow_ops.matview_refreshes SET refreshed_at = now() - interval '{age}', \
             intervals = '{intervals}' WHERE relid = '{view}'::regclass"
        );
        run(client, &sql);
    };
    age(&mut a, "monthly", "20 days", "{}");
    assert_eq!(status(&mut a, metric), "WARNING", "its interval is not known");
    age(&mut a, "monthly", "20 days", "{31 days,30 days,28 days}");
    assert_eq!(status(&mut a, metric), "OK");
    age(&mut a, "monthly", "50 days", "{31 days,30 days,28 days}");
    assert_eq!(status(&mut a, metric), "WARNING");
    run(&mut a, "COMMENT ON MATERIALIZED VIEW monthly IS 'Sales by month. max_age: 3 months'");
    assert_eq!(status(&mut a, metric), "OK");
    run(&mut a, "COMMENT ON MATERIALIZED VIEW monthly IS 'max_age: 99999999999 days, a mistake'");
    assert_eq!(status(&mut a, metric), "WARNING", "no such age");
    run(&mut a, "REFRESH MATERIALIZED VIEW monthly");
    let learnt = "SELECT cardinality(intervals) FROM crewsnow_ops.matview_refreshes \
        WHERE relid = 'monthly'::regclass";
    assert_eq!(value(&mut a, learnt), "4", "a refresh records its interval");
    run(&mut a, "REFRESH MATERIALIZED VIEW monthly");
    assert_eq!(value(&mut a, learnt), "4", "a repetition is no interval");
    age(&mut a, "quick", "25 hours", "{00:05:00,00:05:00,00:05:00}");
    assert_eq!(worst(&mut a, metric, "status || object"), "CRITICALmaterialized view public.quick");
}
