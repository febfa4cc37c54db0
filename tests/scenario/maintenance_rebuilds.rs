//! A rebuild that is cut short at any point leaves no index of its own behind.

use crate::replication::wait_until;
use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::Client;
use std::time::Duration;

const RUN: &str = "SELECT run_performance_maintenance()";
const WORKERS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'";
const REMAINS: &str = "SELECT relname FROM pg_class WHERE relname ~ '_cc(new|old)'";

/// A table with two indexes, as builds that were cut short leave them.
fn with_invalid_indexes(a: &mut Client) {
    run(
        a,
        "CREATE TABLE luggage (id int, tag text);
         INSERT INTO luggage SELECT n, md5(n::text) FROM generate_series(1, 20000) AS n;
         CREATE INDEX luggage_tag_idx ON luggage (tag);
         CREATE UNIQUE INDEX luggage_id_key ON luggage (id)",
    );
}

fn invalidate(a: &mut Client) {
    run(
        a,
        "UPDATE pg_index SET indisvalid = false \
         WHERE indexrelid IN ('luggage_tag_idx'::regclass, 'luggage_id_key'::regclass)",
    );
}

// passes before: a test that was unlucky on a fast machine; only its number of turns is new.
#[test]
fn a_rebuild_that_is_cut_short_leaves_nothing_behind() {
    let cluster = Cluster::start("rebuild_ends", "fsync = off");
    let mut a = cluster.create_database("ends");
    with_invalid_indexes(&mut a);
    let mut random = Random(16);
    let mut cut = 0;
    for number in 0..300 {
        // A fast machine ends most rebuilds before they are cut short.
        if number >= 60 && cut > 12 {
            break;
        }
        invalidate(&mut a);
        run(&mut a, RUN);
        std::thread::sleep(Duration::from_millis(random.below(90) as u64));
        let end = if number % 3 == 0 { "pg_cancel_backend" } else { "pg_terminate_backend" };
        cut += rows(
            &mut a,
            &format!(
                "SELECT {end}(pid) FROM pg_stat_activity \
                 WHERE backend_type = 'crewsnow_ops worker'"
            ),
        )
        .len();
        wait_until("no worker", || value(&mut a, WORKERS) == "0");
        assert!(rows(&mut a, REMAINS).is_empty(), "{:?}", rows(&mut a, REMAINS));
    }
    assert!(cut > 10, "only {cut} workers were met");
    let open = "SELECT object FROM crewsnow_ops.maintenance_runs WHERE verdict = 'STARTED'";
    run(&mut a, RUN);
    wait_until("no worker", || value(&mut a, WORKERS) == "0");
    let report = value(&mut a, RUN);
    assert!(report.ends_with("Performance maintenance completed"), "{report}");
    assert!(rows(&mut a, open).is_empty(), "{:?}", rows(&mut a, open));
}

#[test]
fn a_fast_shutdown_waits_for_no_rebuild_and_leaves_nothing() {
    let mut cluster = Cluster::start("rebuild_stop", "fsync = off");
    let mut a = cluster.create_database("stop");
    with_invalid_indexes(&mut a);
    invalidate(&mut a);
    // The rebuild waits for this writer.
    let mut writer = cluster.connect("stop");
    run(&mut writer, "BEGIN; LOCK TABLE luggage IN ROW EXCLUSIVE MODE");
    run(&mut a, RUN);
    wait_until("the rebuild waits", || !rows(&mut a, REMAINS).is_empty());
    let began = std::time::Instant::now();
    cluster.stop("fast");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    cluster.boot();
    let mut a = cluster.connect("stop");
    assert!(rows(&mut a, REMAINS).is_empty(), "{:?}", rows(&mut a, REMAINS));
}

#[test]
fn the_run_after_a_crash_drops_the_index_of_a_rebuild() {
    let mut cluster = Cluster::start("rebuild_crash", "");
    let mut a = cluster.create_database("crash");
    with_invalid_indexes(&mut a);
    invalidate(&mut a);
    let mut writer = cluster.connect("crash");
    run(&mut writer, "BEGIN; LOCK TABLE luggage IN ROW EXCLUSIVE MODE");
    run(&mut a, RUN);
    wait_until("the rebuild waits", || !rows(&mut a, REMAINS).is_empty());
    cluster.stop("immediate");
    cluster.boot();
    let mut a = cluster.connect("crash");
    assert!(!rows(&mut a, REMAINS).is_empty(), "the crash leaves the unfinished index");
    let failing = "SELECT object, current_value FROM performance_health_check()
        WHERE metric = 'Maintenance Failing'";
    let cut_short = ["rebuild public.luggage_id_key|cut short"];
    assert_eq!(rows(&mut a, failing)[..1], cut_short);
    run(&mut a, RUN);
    wait_until("no worker", || value(&mut a, WORKERS) == "0");
    assert!(rows(&mut a, REMAINS).is_empty(), "{:?}", rows(&mut a, REMAINS));
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(value(&mut a, invalid), "0");
    assert_eq!(rows(&mut a, failing).len(), 1);
    assert!(rows(&mut a, failing)[0].starts_with("NULL|last run"), "{:?}", rows(&mut a, failing));
}
