//! Session actions: they end the intended sessions, no other, and record each.

use crate::replication::wait_until;
use harness::{Cluster, both, program, rows, run, sqlstate, value};
use postgres::Client;
use std::process::Stdio;

pub fn is_alive(session: &mut Client) -> bool {
    session.simple_query("SELECT 1").is_ok()
}

pub fn connect_named(cluster: &Cluster, user: &str, application: &str) -> Client {
    let mut session = cluster.connect_as(user, "actions");
    run(&mut session, &format!("SET application_name = '{application}'"));
    session
}

/// The call of terminate_session that ends the given session.
fn terminate(session: &mut Client) -> String {
    value(
        session,
        "SELECT format('SELECT crewsnow_ops.terminate_session(%s, %L)', pid, backend_start) \
         FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    )
}

#[test]
fn session_actions_end_the_intended_sessions_only() {
    let cluster = Cluster::start("actions", "");
    let mut a = cluster.create_database("actions");
    run(
        &mut a,
        "CREATE ROLE op LOGIN; SELECT crewsnow_ops.grant_access('op', 'operator'); CREATE ROLE \
         app LOGIN; CREATE ROLE job LOGIN;
         CREATE ROLE reader LOGIN; SELECT crewsnow_ops.grant_access('reader', 'reader')",
    );
    check_terminate_session(&cluster, &mut a);
    check_disconnect_sessions(&cluster, &mut a);
}

fn check_terminate_session(cluster: &Cluster, a: &mut Client) {
    let mut op = connect_named(cluster, "op", "oncall");
    let (mut victim, mut bystander) =
        (connect_named(cluster, "app", "web"), connect_named(cluster, "app", "web"));
    let call = terminate(&mut victim);
    let pid = value(&mut victim, "SELECT pg_backend_pid()");
    // The pid belongs to another session now.
    let other =
        format!("SELECT crewsnow_ops.terminate_session({pid}, (SELECT now() - interval '1 day'))");
    assert_eq!(sqlstate(&mut op, &other), "55000");
    for sql in [
        "SELECT crewsnow_ops.terminate_session(NULL, now())".to_owned(),
        format!("SELECT crewsnow_ops.terminate_session({pid}, NULL)"),
    ] {
        assert_eq!(sqlstate(&mut op, &sql), "22004", "{sql}");
    }
    let own = terminate(&mut op);
    assert_eq!(sqlstate(&mut op, &own), "22023", "the own session");
    assert_eq!(
        sqlstate(&mut cluster.connect_as("reader", "actions"), &call),
        "42501",
        "a reader may not end sessions"
    );
    let checkpointer = "SELECT format('SELECT crewsnow_ops.terminate_session(%s, %L)', pid, \
        backend_start) FROM pg_stat_activity WHERE backend_type = ";
    let other_call = value(a, &format!("{checkpointer}'checkpointer'"));
    assert_eq!(sqlstate(&mut op, &other_call), "22023", "a background process");
    // A replication client that streams.
    let stream = cluster.scratch().join("stream");
    std::fs::create_dir_all(&stream).expect("a directory");
    let mut receiver = cluster
        .client_program(program("pg_receivewal"), "actions")
        .args(["--no-loop", "-D"])
        .arg(&stream)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pg_receivewal");
    wait_until("it streams", || {
        value(a, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == "1"
    });
    let other_call = value(a, &format!("{checkpointer}'walsender'"));
    for session in [&mut *a, &mut op] {
        assert_eq!(sqlstate(session, &other_call), "22023", "replication, for any caller");
    }
    run(
        a,
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_older_than => '1 microsecond', \
         p_application => 'pg_receivewal', p_include_superusers => true, p_dry_run => false)",
    );
    assert!(
        receiver.try_wait().expect("its state").is_none(),
        "disconnect_sessions leaves replication alone, too"
    );
    receiver.kill().expect("it ends");
    let _ = receiver.wait();
    // The session of a superuser.
    let mut root = connect_named(cluster, "postgres", "admin");
    let other_call = terminate(&mut root);
    assert_eq!(sqlstate(&mut op, &other_call), "42501");
    assert!(is_alive(&mut victim) && is_alive(&mut bystander) && is_alive(&mut root));
    assert_eq!(
        value(a, "SELECT count(*) FROM crewsnow_ops.session_actions"),
        "0",
        "no session was ended"
    );
    // The intended session ends, and no other.
    assert_eq!(value(&mut op, &call), "t");
    assert!(!is_alive(&mut victim) && is_alive(&mut bystander));
    assert_eq!(
        rows(
            a,
            "SELECT asked_by, pid, role_name, application_name, database, state, was_there \
             FROM crewsnow_ops.session_actions"
        ),
        [format!("op|{pid}|app|web|actions|idle|t")]
    );
    let output = both(&cluster.psql("actions").args(["-At", "-c", &call]).output().expect("psql"));
    assert_eq!(
        output,
        format!("NOTICE:  there is no session {pid} any more\nf\n"),
        "a session that is gone is no error"
    );
    assert_eq!(value(a, &other_call), "t", "a superuser may end it");
    assert!(!is_alive(&mut root));
    // Only a superuser can change the records.
    for sql in [
        "DELETE FROM crewsnow_ops.session_actions",
        "UPDATE crewsnow_ops.session_actions SET asked_by = 'x'",
    ] {
        assert_eq!(sqlstate(&mut op, sql), "42501", "{sql}");
    }
    run(a, "DELETE FROM crewsnow_ops.session_actions");
}

fn check_disconnect_sessions(cluster: &Cluster, a: &mut Client) {
    let mut op = connect_named(cluster, "op", "oncall");
    for sql in [
        "SELECT * FROM crewsnow_ops.disconnect_sessions()",
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_dry_run => false)",
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_older_than => '-1 hour')",
        "SELECT * FROM crewsnow_ops.disconnect_sessions('app', p_older_than => '0')",
    ] {
        assert_eq!(sqlstate(&mut op, sql), "22023", "{sql}");
    }
    assert_eq!(
        sqlstate(
            &mut op,
            "SELECT * FROM crewsnow_ops.disconnect_sessions('app', p_dry_run => NULL)"
        ),
        "22004"
    );
    let (mut web, mut also, mut job) = (
        connect_named(cluster, "app", "web"),
        connect_named(cluster, "app", "web"),
        connect_named(cluster, "job", "batch"),
    );
    let mut root = connect_named(cluster, "postgres", "web");
    run(a, "CREATE DATABASE elsewhere");
    let mut elsewhere = cluster.connect_as("job", "elsewhere");
    let shown =
        "SELECT count(*), string_agg(DISTINCT action, ',') FROM crewsnow_ops.disconnect_sessions";
    // A dry run is the default.
    assert_eq!(rows(&mut op, &format!("{shown}('app')")), ["2|would be disconnected"]);
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_database => 'elsewhere')")),
        ["1|would be disconnected"]
    );
    assert_eq!(
        rows(&mut op, &format!("{shown}('job', 'batch', 'actions', '1 microsecond')")),
        ["1|would be disconnected"],
        "all criteria must hold"
    );
    assert_eq!(rows(&mut op, &format!("{shown}('job', 'web')")), ["0|NULL"]);
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_older_than => '1 hour', p_dry_run => false)")),
        ["0|NULL"],
        "no session is that old"
    );
    assert_eq!(
        rows(&mut op, &format!("{shown}('op', p_dry_run => false)")),
        ["0|NULL"],
        "never the own session"
    );
    assert!([&mut web, &mut also, &mut job, &mut root, &mut elsewhere].into_iter().all(is_alive));
    assert_eq!(value(a, "SELECT count(*) FROM crewsnow_ops.session_actions"), "0");
    // Without the dry run.
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_application => 'web', p_dry_run => false)")),
        ["2|disconnected"],
        "not the session of the superuser"
    );
    assert!(!is_alive(&mut web) && !is_alive(&mut also));
    assert!([&mut job, &mut root, &mut elsewhere].into_iter().all(is_alive));
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_database => 'elsewhere', p_dry_run => false)")),
        ["1|disconnected"]
    );
    assert!(!is_alive(&mut elsewhere) && is_alive(&mut job));
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_role => 'job', p_dry_run => false)")),
        ["1|disconnected"]
    );
    assert!(!is_alive(&mut job));
    // Sessions of superusers: only if a superuser includes them.
    let including = format!(
        "{shown}(p_application => 'web', p_dry_run => false, p_include_superusers => true)"
    );
    assert_eq!(sqlstate(&mut op, &including), "42501");
    assert!(is_alive(&mut root));
    assert_eq!(rows(a, &including), ["1|disconnected"]);
    assert!(!is_alive(&mut root));
    assert_eq!(
        rows(
            a,
            "SELECT asked_by, role_name, application_name, database, count(*) \
             FROM crewsnow_ops.session_actions GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4"
        ),
        [
            "op|app|web|actions|2",
            "op|job|batch|actions|1",
            "op|job|suite|elsewhere|1",
            "postgres|postgres|web|actions|1"
        ]
    );
    assert!(is_alive(&mut op));
    // A session that cannot end is not reported as ended.
    let mut stuck = connect_named(cluster, "app", "stuck");
    let pid = value(&mut stuck, "SELECT pg_backend_pid()");
    let signal =
        |name: &str| harness::must_run(std::process::Command::new("kill").args([name, &pid]));
    signal("-STOP");
    assert_eq!(
        rows(&mut op, &format!("{shown}(p_application => 'stuck', p_dry_run => false)")),
        ["1|told to end, still there"]
    );
    signal("-CONT");
    assert!(!is_alive(&mut stuck));
}
