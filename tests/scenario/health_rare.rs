//! Rare problems that need some staging: full disks, busy autovacuum, multixact wraparound, and
//! checks that are slow together.

use crate::health::{status, worst};
use crate::replication::wait_until;
use harness::{Cluster, must_run, root, rows, run, server_command, value};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A file system of its own, gone when dropped.
pub struct FileSystem(pub PathBuf);

impl FileSystem {
    /// `None` if this user may not mount one (only root may).
    pub fn mount(directory: PathBuf, options: &str) -> Option<Self> {
        // A killed run may have left its mount behind.
        let _ = Command::new("umount").arg(&directory).stderr(Stdio::null()).status();
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&directory);
        let output = mount.output().expect("mount runs");
        if !output.status.success() {
            eprintln!("not tested here: {}", harness::both(&output));
            return None;
        }
        Some(Self(directory))
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn full_disks_are_reported() {
    let cluster = Cluster::start("rare_disk", "");
    let mut a = cluster.create_database("health");
    let beside = |name: &str| cluster.scratch().with_file_name(name);
    // Both have the same size, as two disks of a server often have.
    let file_systems = ["rare_disk_space", "rare_disk_files"]
        .map(|name| FileSystem::mount(beside(name), "size=20m,nr_inodes=100,mode=755"));
    let [Some(space), Some(files)] = file_systems else { return };
    for (name, FileSystem(path)) in [("space", &space), ("files", &files)] {
        let directory = path.join("tablespace");
        std::fs::create_dir(&directory).expect("a directory");
        must_run(
            Command::new("chown")
                .arg("--reference")
                .arg(cluster.scratch().join("data/PG_VERSION"))
                .arg(&directory),
        );
        run(&mut a, &format!("CREATE TABLESPACE {name} LOCATION '{}'", directory.display()));
    }
    let row_of = |name: &str| {
        format!(
            "SELECT status, current_value FROM performance_health_check() \
             WHERE object = 'tablespace {name}' AND metric = 'Disk Space'"
        )
    };
    assert_eq!(rows(&mut a, &row_of("space")), ["OK|0 % used, 0.0 GB free"]);
    assert_eq!(
        rows(&mut a, &row_of("files")),
        ["OK|0 % used, 0.0 GB free"],
        "another file system, of the same size"
    );
    let fill = |name: &str, megabytes: f64| {
        std::fs::write(space.0.join(name), vec![0_u8; (megabytes * 1_048_576.0) as usize])
            .expect("room");
    };
    fill("most", 18.3);
    assert_eq!(rows(&mut a, &row_of("space")), ["WARNING|91 % used, 0.0 GB free"]);
    fill("more", 1.0);
    assert_eq!(rows(&mut a, &row_of("space")), ["CRITICAL|96 % used, 0.0 GB free"]);
    assert!(worst(&mut a, "Disk Space", "next_command").contains("'WAL Size'"));
    std::fs::remove_file(space.0.join("most")).expect("room is made");
    assert_eq!(rows(&mut a, &row_of("space")), ["OK|5 % used, 0.0 GB free"]);
    // Enough bytes are free, but few files more fit.
    for n in 0..90 {
        std::fs::write(files.0.join(n.to_string()), "").expect("room");
    }
    assert_eq!(rows(&mut a, &row_of("files")), ["WARNING|0 % used, 0.0 GB free"]);
    assert!(worst(&mut a, "Disk Space", "evidence").ends_with(", 93 % of the inodes used"));
    // A plain role sees the locations of tablespaces, but not data_directory.
    run(&mut a, "CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader')");
    assert_eq!(
        status(&mut cluster.connect_as("reader", "health"), "Disk Space"),
        "WARNING SKIPPED OK"
    );
    drop(cluster);
}

/// One worker for all tables, and a table that keeps it busy.
#[test]
fn busy_autovacuum_workers_are_reported() {
    let cluster =
        Cluster::start("rare_autovacuum", "autovacuum_max_workers = 1\nautovacuum_naptime = '1s'");
    let mut a = cluster.create_database("health");
    let metric = "Autovacuum Workers";
    assert_eq!(status(&mut a, metric), "OK");
    run(
        &mut a,
        "CREATE TABLE slow (id int) WITH (autovacuum_vacuum_cost_delay = 100, \
         autovacuum_vacuum_cost_limit = 1, autovacuum_freeze_max_age = 100000);
         CREATE TRIGGER note BEFORE TRUNCATE ON slow
            EXECUTE FUNCTION suppress_redundant_updates_trigger();
         INSERT INTO slow SELECT generate_series(1, 300000); DELETE FROM slow WHERE id % 2 = 0",
    );
    // The worker finishes other tables soon.
    let busy = "SELECT count(*) FROM performance_health_check()
        WHERE metric = 'Autovacuum Workers' AND status = 'WARNING'
            AND current_value = '1 of 1 workers busy'
            AND evidence ~ ('^pid \\d+ in health since .*: '
                || 'autovacuum: VACUUM (ANALYZE )?public.slow$')";
    wait_until("the worker is busy", || value(&mut a, busy) == "1");
    assert!(worst(&mut a, metric, "recommendation").starts_with("Other tables wait"));
    assert!(worst(&mut a, "Autovacuum Lag", "evidence").contains(" vacuums it now"));
    // A hundred thousand transactions later it vacuums to prevent wraparound, and does not yield.
    run(&mut a, "SET synchronous_commit = off");
    run(
        &mut a,
        "DO $$ BEGIN FOR i IN 1 .. 100100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$",
    );
    run(
        &mut a,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE backend_type = 'autovacuum worker'",
    );
    wait_until("another kind of vacuum", || {
        worst(&mut a, metric, "evidence").contains("(to prevent wraparound)")
    });
    assert_eq!(status(&mut a, metric), "WARNING");
    assert!(
        worst(&mut a, metric, "recommendation")
            .starts_with("A vacuum to prevent wraparound does not yield")
    );
    // A vacuum does not hold back other vacuums, however long it takes.
    crate::health::let_time_pass(&mut a, "25 hours");
    assert_eq!(
        status(&mut a, "Xmin Horizon"),
        "OK",
        "{}",
        worst(&mut a, "Xmin Horizon", "evidence")
    );
    // The queue behind it is cut at the statement that waits for it, and the vacuum goes on.
    let worker = value(
        &mut a,
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%(to prevent wraparound)'",
    );
    let mut session = cluster.connect("health");
    let pid = value(&mut session, "SELECT pg_backend_pid()");
    let waiter = crate::health::in_background(session, "DROP TRIGGER note ON slow");
    wait_until("DROP TRIGGER waits for it", || status(&mut a, "Blocked Sessions") == "WARNING");
    let cancel = worst(&mut a, "Blocked Sessions", "next_command");
    assert!(cancel.starts_with(&format!("SELECT crewsnow_ops.cancel_session({pid}, ")), "{cancel}");
    assert_eq!(worst(&mut a, metric, "next_command"), cancel, "both checks agree");
    assert!(
        worst(&mut a, "Blocked Sessions", "evidence")
            .contains(&format!("behind pid {worker} (wraparound vacuum)"))
    );
    run(&mut a, &cancel);
    assert_eq!(waiter.join().expect("the waiter"), Some("57014".to_owned()));
    assert_eq!(
        value(&mut a, &format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {worker}")),
        "1"
    );
    run(&mut a, "ALTER SYSTEM SET autovacuum = off");
    run(&mut a, "SELECT pg_reload_conf()");
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE backend_type = 'autovacuum worker'";
    wait_until("its end", || value(&mut a, end) == "0");
}

/// Multixacts can run out while few transaction ids are used.
#[test]
fn multixact_wraparound_is_reported() {
    let settings = "autovacuum = off\nautovacuum_multixact_freeze_max_age = 2000000000";
    let mut cluster = Cluster::start("rare_multixacts", settings);
    let mut a = cluster.create_database("health");
    assert_eq!(status(&mut a, "Wraparound"), "OK");
    drop(a);
    cluster.stop("fast");
    let data = cluster.scratch().join("data");
    // 1,450,049,536 multixacts later, at the beginning of a segment of pg_multixact/offsets.
    let offsets = data.join("pg_multixact/offsets/566E");
    std::fs::write(&offsets, vec![0_u8; 262_144]).expect("their offsets");
    must_run(Command::new("chown").arg("--reference").arg(data.join("PG_VERSION")).arg(&offsets));
    must_run(server_command("pg_resetwal").args(["-m", "1450049536,1", "-D"]).arg(&data));
    cluster.boot();
    let mut a = cluster.connect("health");
    let row = "SELECT status, next_command FROM performance_health_check() \
        WHERE metric = 'Wraparound' AND object = 'database health'";
    assert_eq!(rows(&mut a, row), ["CRITICAL|VACUUM (FREEZE, VERBOSE);"]);
    let evidence = worst(&mut a, "Wraparound", "evidence");
    assert!(evidence.contains(" transactions, 1450049535 multixacts;"), "{evidence}");
    run(&mut a, "VACUUM (FREEZE)");
    assert_eq!(rows(&mut a, row), Vec::<String>::new(), "the next command helped");
}

/// Each slow check is stopped after 1 s; after 5 s in total the rest is SKIPPED.
#[test]
fn all_checks_together_take_at_most_five_seconds() {
    let cluster = Cluster::start("rare_slow", "");
    let mut a = cluster.create_database("health");
    let metrics = "SELECT count(DISTINCT metric) FROM performance_health_check()";
    let all = value(&mut a, metrics);
    let slow = value(
        &mut a,
        "SELECT replace(pg_get_viewdef('pg_catalog.pg_stat_activity'::regclass), 'FROM (', 'FROM \
         ((SELECT pg_sleep(2) OFFSET 0) AS slow CROSS JOIN ')",
    );
    run(
        &mut a,
        &format!(
            "SET allow_system_table_mods = on; CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity \
             AS {slow}"
        ),
    );
    let started = Instant::now();
    run(&mut a, "CREATE TEMPORARY TABLE found AS SELECT * FROM performance_health_check()");
    let took = started.elapsed();
    assert!(took > Duration::from_millis(4_900) && took < Duration::from_millis(6_500), "{took:?}");
    assert_eq!(value(&mut a, "SELECT count(DISTINCT metric) FROM found"), all);
    // Four checks took 1 s, a fifth the rest, and a sixth perhaps the last fraction of a
    // millisecond.
    let stopped = "SELECT count(*) FROM found WHERE status = 'SKIPPED' \
        AND evidence ~ '^it took longer than \\d+ ms and was stopped$'";
    let stopped = value(&mut a, stopped);
    assert!(stopped == "5" || stopped == "6", "{stopped}");
    let late = "SELECT metric FROM found WHERE status = 'SKIPPED' \
        AND evidence = 'earlier checks took all of the report''s 5000 ms' ORDER BY severity_rank";
    let late = rows(&mut a, late);
    // The plans decide which checks sleep, because an empty join never gets that far. The last two
    // to run are always late.
    assert!(late.contains(&"Disk Space".to_owned()), "{late:?}");
    assert_eq!(late.last().map(String::as_str), Some("Database Size"), "{late:?}");
}

/// A sequence that was not read is unknown, not OK.
#[test]
fn unread_sequences_are_skipped() {
    let cluster = Cluster::start("rare_sequences", "");
    let mut a = cluster.create_database("health");
    run(&mut a, "CREATE SEQUENCE used_up AS int; SELECT setval('used_up', 2147483646)");
    assert_eq!(status(&mut a, "Sequences"), "CRITICAL");
    let mut b = cluster.connect("health");
    run(&mut b, "BEGIN; ALTER SEQUENCE used_up CACHE 2");
    assert_eq!(status(&mut a, "Sequences"), "SKIPPED");
    assert!(worst(&mut a, "Sequences", "evidence").ends_with(", 1 are locked by other sessions"));
    run(&mut b, "ROLLBACK; DROP SEQUENCE used_up");
    assert_eq!(status(&mut a, "Sequences"), "OK");
    // More sequences than the fast check reads: the used ones come first.
    run(
        &mut a,
        "DO $$ BEGIN FOR i IN 1 .. 210 LOOP EXECUTE format('CREATE SEQUENCE s%s AS int', i); END \
         LOOP; END $$",
    );
    assert_eq!(status(&mut a, "Sequences"), "SKIPPED");
    run(
        &mut cluster.connect("health"),
        "SELECT setval('s210', 2147483646) FROM generate_series(1, 100)",
    );
    wait_until("its use is counted", || status(&mut a, "Sequences") == "CRITICAL SKIPPED");
    let next = "SELECT next_command FROM performance_health_check() WHERE metric = 'Sequences' \
        AND status = 'SKIPPED'";
    let next = value(&mut a, next);
    assert_eq!(value(&mut a, &next.replace('*', "object")), "sequence public.s210");
    run(
        &mut a,
        "DO $$ BEGIN FOR i IN 201 .. 210 LOOP EXECUTE format('DROP SEQUENCE s%s', i); END LOOP; \
         END $$",
    );
    assert_eq!(status(&mut a, "Sequences"), "OK");
}

/// Each check has a row in the reference.
#[test]
fn every_check_is_documented() {
    let cluster = Cluster::start("rare_documents", "");
    let mut a = cluster.create_database("health");
    let reference = std::fs::read_to_string(root().join("docs/health.md")).expect("the reference");
    let named: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|names| names.split(", "))
        .collect();
    let metrics = rows(&mut a, "SELECT DISTINCT metric FROM crewsnow_ops.full_health_check()");
    let missing: Vec<_> =
        metrics.iter().filter(|metric| !named.contains(&metric.as_str())).collect();
    assert!(metrics.len() > 45 && missing.is_empty(), "{missing:?}");
}
