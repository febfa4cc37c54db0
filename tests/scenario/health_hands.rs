//! Ending other people's sessions: the right ones, nobody else, and never unrecorded.

use crate::replication::wait_until;
use harness::{Cluster, both, program, rows, run, sqlstate, value};
use postgres::Client;
use std::process::Stdio;

fn is_alive(session: &mut Client) -> bool {
    session.simple_query("SELECT 1").is_ok()
}

fn named(cluster: &Cluster, user: &str, application: &str) -> Client {
    let mut session = cluster.connect_as(user, "hands");
    run(&mut session, &format!("SET application_name = '{application}'"));
    session
}

/// How terminate_session is called for a session.
fn terminate(session: &mut Client) -> String {
    value(
        session,
        "SELECT format('SELECT crewsnow_ops.terminate_session(%s, %L)', pid, backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    )
}

#[test]
fn hands() {
    let cluster = Cluster::start("hands", "");
    let mut a = cluster.create_database("hands");
    run(
        &mut a,
        "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator'); CREATE ROLE app LOGIN; CREATE ROLE job LOGIN;
         CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader')",
    );
    one_session(&cluster, &mut a);
    many_sessions(&cluster, &mut a);
}

fn one_session(cluster: &Cluster, a: &mut Client) {
    let mut op = named(cluster, "op", "oncall");
    let (mut victim, mut bystander) = (named(cluster, "app", "web"), named(cluster, "app", "web"));
    let call = terminate(&mut victim);
    let pid = value(&mut victim, "SELECT pg_backend_pid()");
    // Not the one that was meant.
    let other = format!("SELECT crewsnow_ops.terminate_session({pid}, (SELECT now() - interval '1 day'))");
    assert_eq!(sqlstate(&mut op, &other), "55000");
    for sql in [
        "SELECT crewsnow_ops.terminate_session(NULL, now())".to_owned(),
        format!("SELECT crewsnow_ops.terminate_session({pid}, NULL)"),
    ] {
        assert_eq!(sqlstate(&mut op, &sql), "22004", "{sql}");
    }
    let own = terminate(&mut op);
    assert_eq!(sqlstate(&mut op, &own), "22023", "one's own");
    assert_eq!(sqlstate(&mut cluster.connect_as("reader", "hands"), &call), "42501", "readers read");
    let checkpointer = "SELECT format('SELECT crewsnow_ops.terminate_session(%s, %L)', pid, backend_start) FROM pg_stat_activity WHERE backend_type = ";
    let call_of = value(a, &format!("{checkpointer}'checkpointer'"));
    assert_eq!(sqlstate(&mut op, &call_of), "22023", "the server's own");
    // Replication, by a client that streams.
    let stream = cluster.scratch().join("stream");
    std::fs::create_dir_all(&stream).expect("a directory");
    let mut receiver = cluster
        .client_program(program("pg_receivewal"), "hands")
        .args(["--no-loop", "-D"])
        .arg(&stream)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pg_receivewal");
    wait_until("it streams", || {
        value(a, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == "1"
    });
    let call_of = value(a, &format!("{checkpointer}'walsender'"));
    for session in [&mut *a, &mut op] {
        assert_eq!(sqlstate(session, &call_of), "22023", "replication, whoever asks");
    }
    run(
        a,
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_older_than => '1 microsecond', p_application => 'pg_receivewal', p_include_superusers => true, p_dry_run => false)",
    );
    assert!(receiver.try_wait().expect("its state").is_none(), "nor with the others");
    receiver.kill().expect("it ends");
    let _ = receiver.wait();
    // A superuser's.
    let mut root = named(cluster, "postgres", "admin");
    let call_of = terminate(&mut root);
    assert_eq!(sqlstate(&mut op, &call_of), "42501");
    assert!(is_alive(&mut victim) && is_alive(&mut bystander) && is_alive(&mut root));
    assert_eq!(value(a, "SELECT count(*) FROM crewsnow_ops.session_actions"), "0", "nothing was done");
    // At last: that one, and no other.
    assert_eq!(value(&mut op, &call), "t");
    assert!(!is_alive(&mut victim) && is_alive(&mut bystander));
    assert_eq!(
        rows(
            a,
            "SELECT asked_by, pid, role_name, application_name, database, state, was_there FROM crewsnow_ops.session_actions"
        ),
        [format!("op|{pid}|app|web|hands|idle|t")]
    );
    let said = both(&cluster.psql("hands").args(["-At", "-c", &call]).output().expect("psql"));
    assert_eq!(said, format!("NOTICE:  there is no session {pid} any more\nf\n"), "gone is no error");
    assert_eq!(value(a, &call_of), "t", "a superuser may");
    assert!(!is_alive(&mut root));
    // Nobody but a superuser can rewrite what was done.
    for sql in ["DELETE FROM crewsnow_ops.session_actions", "UPDATE crewsnow_ops.session_actions SET asked_by = 'x'"] {
        assert_eq!(sqlstate(&mut op, sql), "42501", "{sql}");
    }
    run(a, "DELETE FROM crewsnow_ops.session_actions");
}

fn many_sessions(cluster: &Cluster, a: &mut Client) {
    let mut op = named(cluster, "op", "oncall");
    for sql in [
        "SELECT * FROM crewsnow_ops.disconnect_sessions()",
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_dry_run => false)",
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_older_than => '-1 hour')",
        "SELECT * FROM crewsnow_ops.disconnect_sessions('app', p_older_than => '0')",
    ] {
        assert_eq!(sqlstate(&mut op, sql), "22023", "{sql}");
    }
    assert_eq!(sqlstate(&mut op, "SELECT * FROM crewsnow_ops.disconnect_sessions('app', p_dry_run => NULL)"), "22004");
    let (mut web, mut also, mut job) =
        (named(cluster, "app", "web"), named(cluster, "app", "web"), named(cluster, "job", "batch"));
    let mut root = named(cluster, "postgres", "web");
    run(a, "CREATE DATABASE elsewhere");
    let mut elsewhere = cluster.connect_as("job", "elsewhere");
    let shown = "SELECT count(*), string_agg(DISTINCT action, ',') FROM crewsnow_ops.disconnect_sessions";
    // Dry is the default.
    assert_eq!(rows(&mut op, &format!("{shown}('app')")), ["2|would be disconnected"]);
    assert_eq!(rows(&mut op, &format!("{shown}(p_database => 'elsewhere')")), ["1|would be disconnected"]);
    assert_eq!(
        rows(&mut op, &format!("{shown}('job', 'batch', 'hands', '1 microsecond')")),
        ["1|would be disconnected"],
        "all criteria hold"
    );
    assert_eq!(rows(&mut op, &format!("{shown}('job', 'web')")), ["0|NULL"]);
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_older_than => '1 hour', p_dry_run => false)")),
        ["0|NULL"],
        "nobody is that old"
    );
    assert_eq!(rows(&mut op, &format!("{shown}('op', p_dry_run => false)")), ["0|NULL"], "never one's own");
    assert!([&mut web, &mut also, &mut job, &mut root, &mut elsewhere].into_iter().all(is_alive));
    assert_eq!(value(a, "SELECT count(*) FROM crewsnow_ops.session_actions"), "0");
    // In earnest.
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_application => 'web', p_dry_run => false)")),
        ["2|disconnected"],
        "not the superuser's"
    );
    assert!(!is_alive(&mut web) && !is_alive(&mut also));
    assert!([&mut job, &mut root, &mut elsewhere].into_iter().all(is_alive));
    assert_eq!(rows(&mut op, &format!("{shown}(p_database => 'elsewhere', p_dry_run => false)")), ["1|disconnected"]);
    assert!(!is_alive(&mut elsewhere) && is_alive(&mut job));
    assert_eq!(rows(&mut op, &format!("{shown}(p_role => 'job', p_dry_run => false)")), ["1|disconnected"]);
    assert!(!is_alive(&mut job));
    // Superusers' only when one asks for it.
    let with = format!("{shown}(p_application => 'web', p_dry_run => false, p_include_superusers => true)");
    assert_eq!(sqlstate(&mut op, &with), "42501");
    assert!(is_alive(&mut root));
    assert_eq!(rows(a, &with), ["1|disconnected"]);
    assert!(!is_alive(&mut root));
    assert_eq!(
        rows(
            a,
            "SELECT asked_by, role_name, application_name, database, count(*) FROM crewsnow_ops.session_actions GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4"
        ),
        ["op|app|web|hands|2", "op|job|suite|elsewhere|1", "op|job|batch|hands|1", "postgres|postgres|web|hands|1"]
    );
    assert!(is_alive(&mut op));
    // One that cannot end is not said to have ended.
    let mut stuck = named(cluster, "app", "stuck");
    let pid = value(&mut stuck, "SELECT pg_backend_pid()");
    let signal = |name: &str| harness::must_run(std::process::Command::new("kill").args([name, &pid]));
    signal("-STOP");
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_application => 'stuck', p_dry_run => false)")),
        ["1|told to end, still there"]
    );
    signal("-CONT");
    assert!(!is_alive(&mut stuck));
}
