//! Sessions that pile up: each harmless alone, together an outage. Each fault has a healthy twin.

use crate::health::{in_background, let_time_pass, run_each, status, worst};
use crate::replication::wait_until;
use harness::{Cluster, preload_statements, rows, run, sqlstate, value};
use postgres::Client;

const ROOM: &str = "max_connections = 150";

/// Sessions of an application, each with a statement of its own that has run.
fn sessions(cluster: &Cluster, count: usize, application: &str, sql: &str) -> Vec<Client> {
    let open = |_| {
        let mut session = cluster.connect("pileup");
        run_each(&mut session, &format!("SET application_name = '{application}'; {sql}"));
        session
    };
    (0..count).map(open).collect()
}

#[test]
fn many_sessions_in_one_statement_are_counted_and_named() {
    let Some(preload) = preload_statements() else { return };
    let settings = format!("{ROOM}\n{preload}");
    let cluster = Cluster::start("pileup_statement", &settings);
    let mut a = cluster.create_database("pileup");
    run(&mut a, "CREATE EXTENSION pg_stat_statements");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let count = 31.max(4 * processors);
    let metrics = ["Statement Pile-up", "Slow Queries"];
    // The twin: as many sessions that have run it, and wait for their next statement.
    let statement = "SELECT count(*) FROM generate_series(1, 400000000) AS g WHERE g % 7 = 1";
    let idle = sessions(&cluster, count, "storefront", "SELECT 1");
    assert_eq!(metrics.map(|metric| status(&mut a, metric)), ["OK", "OK"]);
    let running: Vec<_> =
        idle.into_iter().map(|session| in_background(session, statement)).collect();
    for metric in metrics {
        wait_until(metric, || status(&mut a, metric) == "CRITICAL");
        let evidence = worst(&mut a, metric, "coalesce(object, '') || ' ' || evidence");
        assert!(evidence.contains("application storefront"), "{evidence}");
        assert!(
            evidence.ends_with(
                "query: SELECT count(*) FROM generate_series(?, ?) AS g WHERE g % ? = ?"
            ),
            "{evidence}"
        );
    }
    assert!(worst(&mut a, metrics[0], "evidence").contains(&format!("on {processors} processors")));
    let cancel = worst(&mut a, metrics[0], "next_command");
    assert!(!cancel.contains('\n'), "{cancel}");
    run(&mut a, "SET search_path = ''");
    assert_eq!(rows(&mut a, &cancel).len(), count);
    run(&mut a, "RESET search_path");
    for session in running {
        assert_eq!(session.join().expect("a session"), Some("57014".to_owned()));
    }
    assert_eq!(status(&mut a, metrics[0]), "OK");
}

#[test]
fn statements_without_a_query_id_are_compared_by_their_text() {
    let cluster = Cluster::start("pileup_text", "compute_query_id = off");
    let mut a = cluster.create_database("pileup");
    run(
        &mut a,
        "SET crewsnow_ops.health_limits = 'statement_pileup.warning = 1, slow_queries.warning = 2'",
    );
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let running: Vec<_> = (0..=processors)
        .map(|n| {
            let sql = format!("SELECT sum(g + {n}) FROM generate_series(1, 300000000) AS g");
            in_background(cluster.connect("pileup"), &sql)
        })
        .collect();
    wait_until("the pile-up", || status(&mut a, "Statement Pile-up") == "WARNING");
    let cancel = worst(&mut a, "Statement Pile-up", "next_command");
    assert_eq!(rows(&mut a, &cancel).len(), processors + 1);
    for session in running {
        assert_eq!(session.join().expect("a session"), Some("57014".to_owned()));
    }
}

#[test]
fn many_young_idle_transactions_are_counted_and_their_application_named() {
    let cluster = Cluster::start("pileup_idle", ROOM);
    let mut a = cluster.create_database("pileup");
    let metric = "Idle in Transaction";
    let mut few = sessions(&cluster, 9, "sync", "BEGIN; SELECT 'secret'");
    let_time_pass(&mut a, "20 seconds");
    assert_eq!(status(&mut a, metric), "OK", "nine sessions");
    few.extend(sessions(&cluster, 5, "sync", "BEGIN; SELECT 'secret'"));
    let one = sessions(&cluster, 1, "report", "BEGIN; SELECT 1");
    assert_eq!(worst(&mut a, metric, "status || ' ' || object"), "WARNING application sync");
    let evidence = worst(&mut a, metric, "evidence");
    assert!(evidence.contains("sync (14), report (1)"), "{evidence}");
    assert!(evidence.ends_with("\nquery: SELECT ?"), "{evidence}");
    // Quick transactions pause between their statements, and are no fault.
    let_time_pass(&mut a, "-1 hour");
    assert_eq!(status(&mut a, metric), "OK");
    let_time_pass(&mut a, "20 seconds");
    let end = worst(&mut a, metric, "next_command");
    run(&mut a, "SET search_path = ''");
    assert_eq!(rows(&mut a, &end).len(), 14);
    run(&mut a, "RESET search_path");
    assert_eq!(status(&mut a, metric), "OK", "the other application goes on");
    drop((few, one));
    // Half of the connections are critical, however many there are.
    let all = sessions(&cluster, 75, "sync", "BEGIN; SELECT 1");
    assert_eq!(status(&mut a, metric), "CRITICAL");
    drop(all);
}

/// A refusal at one session would undo the records of all that were signalled before it.
#[test]
fn an_operator_ends_a_pile_up_that_superusers_take_part_in() {
    let cluster = Cluster::start("pileup_operator", ROOM);
    let mut a = cluster.create_database("pileup");
    run(
        &mut a,
        "CREATE ROLE app LOGIN; CREATE ROLE night_shift LOGIN; CREATE ROLE intern LOGIN;
         GRANT pg_monitor TO night_shift, intern;
         SELECT crewsnow_ops.grant_access('night_shift', 'operator'),
             crewsnow_ops.grant_access('intern', 'reader')",
    );
    let idle = "SET application_name = 'sync'; BEGIN; SELECT 1";
    let open = |user: &str| {
        let mut session = cluster.connect_as(user, "pileup");
        run_each(&mut session, idle);
        session
    };
    let others: Vec<_> = std::iter::repeat_n("postgres", 3)
        .chain(std::iter::repeat_n("app", 12))
        .map(open)
        .collect();
    let_time_pass(&mut a, "20 seconds");
    let metric = "Idle in Transaction";
    let mut operator = cluster.connect_as("night_shift", "pileup");
    let end = worst(&mut operator, metric, "next_command");
    assert_eq!(rows(&mut operator, &end).len(), 12, "{end}");
    let recorded = "SELECT role_name, count(*) FROM crewsnow_ops.session_actions GROUP BY 1";
    assert_eq!(rows(&mut a, recorded), ["app|12"]);
    let left = "SELECT usename, count(*) FROM pg_stat_activity WHERE application_name = 'sync'
        GROUP BY 1";
    wait_until("the sessions of the application", || rows(&mut a, left) == ["postgres|3"]);
    drop(others);
    // A role that may not run the command reads which role may.
    let _others: Vec<_> = std::iter::repeat_n("app", 12).map(open).collect();
    let_time_pass(&mut a, "20 seconds");
    let mut reader = cluster.connect_as("intern", "pileup");
    let advice = worst(&mut reader, metric, "recommendation");
    assert!(advice.starts_with("As a role with the access level operator: "), "{advice}");
}

/// Replaces the wait of the sessions of one application as pg_stat_activity shows it.
fn pretend_to_wait(a: &mut Client, definition: &str, wait_type: &str, wait: &str) {
    let shown = |column: &str, text: &str| {
        format!(
            "CASE WHEN s.application_name = 'jam' THEN '{text}' ELSE s.{column} END AS {column},"
        )
    };
    let definition = definition
        .replacen("s.wait_event_type,", &shown("wait_event_type", wait_type), 1)
        .replacen("s.wait_event,", &shown("wait_event", wait), 1);
    run(a, &format!("CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity AS {definition}"));
}

#[test]
fn waits_are_told_with_their_cause_and_only_if_they_last() {
    let cluster = Cluster::start("pileup_waits", ROOM);
    let mut a = cluster.create_database("pileup");
    let metric = "Wait Profile";
    let mut oldest = sessions(&cluster, 1, "batch", "BEGIN; SAVEPOINT s; SELECT txid_current()");
    let pid = value(&mut oldest[0], "SELECT pg_backend_pid()");
    let jam: Vec<_> = sessions(&cluster, 12, "jam", "SELECT 1")
        .into_iter()
        .map(|session| in_background(session, "SELECT pg_sleep(60)"))
        .collect();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_until("they run", || value(&mut a, sleeping) == "12");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    run(&mut a, "SET allow_system_table_mods = on");
    let definition =
        value(&mut a, "SELECT pg_get_viewdef('pg_catalog.pg_stat_activity'::regclass)");
    for (wait_type, wait, told) in [
        ("Client", "ClientRead", "OK"),
        ("Timeout", "PgSleep", "OK"),
        ("IO", "DataFileRead", "WARNING The sessions wait for the disk"),
        ("LWLock", "LockManager", "WARNING Each statement locks more tables"),
        ("LWLock", "SubtransSLRU", "WARNING A long transaction beside savepoints"),
        ("LWLock", "MultiXactMemberSLRU", "WARNING Many transactions lock the same rows"),
    ] {
        pretend_to_wait(&mut a, &definition, wait_type, wait);
        let found = worst(&mut a, metric, "status || ' ' || recommendation");
        assert!(found.starts_with(told), "{wait}: {found}");
        if wait == "SubtransSLRU" {
            let evidence = worst(&mut a, metric, "evidence");
            assert!(evidence.contains(&format!("oldest transaction: pid {pid}")), "{evidence}");
            let end = worst(&mut a, metric, "next_command");
            assert!(end.starts_with(&format!("SELECT crewsnow_ops.terminate_session({pid}, ")));
        }
    }
    // Statements that have just begun wait a little on any busy server.
    let young = definition.replacen("s.query_start,", "clock_timestamp() AS query_start,", 1);
    pretend_to_wait(&mut a, &young, "LWLock", "WALWrite");
    assert_eq!(status(&mut a, metric), "OK");
    // Commits that wait for a standby have a check of their own.
    pretend_to_wait(&mut a, &definition, "IPC", "SyncRep");
    assert_eq!(status(&mut a, "Commit Waits"), "OK", "for a few seconds");
    let late =
        definition.replacen("s.query_start,", "s.query_start - interval '20 s' AS query_start,", 1);
    pretend_to_wait(&mut a, &late, "IPC", "SyncRep");
    assert_eq!(worst(&mut a, "Commit Waits", "status || object"), "CRITICALapplication jam");
    run(&mut a, &format!("CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity AS {definition}"));
    run(
        &mut a,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'jam'",
    );
    assert!(jam.into_iter().all(|session| session.join().expect("a session").is_some()));
}

#[test]
fn a_pool_without_an_idle_session_may_have_a_queue() {
    let cluster = Cluster::start("pileup_pool", "");
    let mut a = cluster.create_database("pileup");
    let metric = "Pooler Queue";
    assert_eq!(status(&mut a, metric), "OK", "no pooler");
    let mut pool = sessions(&cluster, 2, "PgBouncer 1.22", "SELECT 1");
    assert_eq!(status(&mut a, metric), "OK", "both are idle");
    run(&mut pool[0], "BEGIN");
    assert_eq!(status(&mut a, metric), "OK", "one is idle");
    run(&mut pool[1], "BEGIN");
    assert_eq!(status(&mut a, metric), "SKIPPED");
    assert!(worst(&mut a, metric, "recommendation").contains("SHOW POOLS"));
}

#[test]
fn limits_are_settings_and_a_bad_one_is_refused() {
    let cluster = Cluster::start("pileup_limits", "crewsnow_ops.health_limits = 'nonsense'");
    let mut a = cluster.create_database("pileup");
    // A bad value of the configuration file changes no limit.
    assert_eq!(worst(&mut a, "Long Queries", "threshold"), "< 1800 s");
    let set = "SET crewsnow_ops.health_limits = ";
    run(&mut a, &format!("{set}'long_queries.warning = 7200, connections.warning = 1'"));
    assert_eq!(worst(&mut a, "Long Queries", "threshold"), "< 7200 s");
    assert_eq!(status(&mut a, "Connections"), "WARNING");
    for bad in ["long_queries.warning = 1h", "long_query.warning = 1", "disk_space.warning = 0"] {
        assert_eq!(sqlstate(&mut a, &format!("{set}'{bad}'")), "22023", "{bad}");
    }
    run(&mut a, "RESET crewsnow_ops.health_limits");
    assert_eq!(status(&mut a, "Connections"), "OK");
    // With higher limits an ordinary role would pass decisions.
    run(&mut a, "CREATE ROLE shopper LOGIN; SELECT crewsnow_ops.grant_access('shopper', 'reader')");
    let mut b = cluster.connect_as("shopper", "pileup");
    assert_eq!(status(&mut b, "Restart"), "OK", "the library is loaded");
    assert_eq!(sqlstate(&mut b, &format!("{set}'cache_hit.warning = 1'")), "42501");
}
