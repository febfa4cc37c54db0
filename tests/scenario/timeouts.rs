//! PostgreSQL's own timeouts beside the one that the extension registers. A wrong timeout id would
//! silently replace the handler of another timeout.

use harness::{Cluster, explain, run, sqlstate, value};
use postgres::Client;
use std::time::{Duration, Instant};

/// Runs a function with a time limit, which registers the extension's timeout.
fn register(client: &mut Client) {
    assert_ne!(value(client, "SELECT count(*) FROM performance_health_check()"), "0");
}

/// The SQLSTATE with which the server ends an idle session.
fn ended(client: &mut Client) -> String {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(200));
        if client.is_closed() {
            break;
        }
    }
    match client.batch_execute("SELECT 1") {
        Ok(()) => panic!("the server did not end the session"),
        Err(error) => {
            error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| explain(&error))
        }
    }
}

// passes before: only servers of 17 and later are treated otherwise
#[test]
fn timeouts_of_the_server_work_beside_the_extensions_own() {
    let cluster = Cluster::start("timeouts", "deadlock_timeout = '100ms'\nlog_lock_waits = on");
    let mut a = cluster.create_database("timeouts");
    let mut b = cluster.connect("timeouts");
    run(&mut a, "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    register(&mut a);
    register(&mut b);
    // Two rounds, because a handler may be wrong only the second time.
    for _ in 0..2 {
        let began = Instant::now();
        run(&mut a, "SET statement_timeout = '100ms'");
        assert_eq!(sqlstate(&mut a, "SELECT pg_sleep(20)"), "57014");
        run(&mut a, "RESET statement_timeout; SET lock_timeout = '100ms'");
        run(&mut b, "BEGIN; LOCK TABLE t");
        assert_eq!(sqlstate(&mut a, "SELECT FROM t"), "55P03");
        run(&mut b, "ROLLBACK");
        run(&mut a, "RESET lock_timeout");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        register(&mut a);
    }
    // A timeout starts the deadlock check, too.
    run(&mut a, "BEGIN; UPDATE t SET id = id WHERE id = 1");
    run(&mut b, "BEGIN; UPDATE t SET id = id WHERE id = 2");
    let waiting = std::thread::spawn(move || {
        let outcome = b.batch_execute("UPDATE t SET id = id WHERE id = 1");
        let _ = b.batch_execute("ROLLBACK");
        outcome.err().and_then(|error| error.code().map(|code| code.code().to_owned()))
    });
    std::thread::sleep(Duration::from_millis(300));
    let outcome = a.batch_execute("UPDATE t SET id = id WHERE id = 2");
    run(&mut a, "ROLLBACK");
    let codes = [
        waiting.join().expect("the other session"),
        outcome.err().and_then(|e| e.code().map(|c| c.code().to_owned())),
    ];
    assert_eq!(
        codes.iter().flatten().collect::<Vec<_>>(),
        ["40P01"],
        "exactly one of the two sessions fails"
    );
    run(&mut a, "SET idle_in_transaction_session_timeout = '200ms'; BEGIN");
    let idle = ended(&mut a);
    assert!(idle.contains("25P03") || idle.contains("closed"), "{idle}");
    let mut c = cluster.connect("timeouts");
    register(&mut c);
    run(&mut c, "SET idle_session_timeout = '200ms'");
    let idle = ended(&mut c);
    assert!(idle.contains("57P05") || idle.contains("closed"), "{idle}");
    // transaction_timeout is new in PostgreSQL 17. It moved the ids of later timeouts.
    let mut messages = vec!["idle-in-transaction timeout", "idle-session timeout"];
    let mut d = cluster.connect("timeouts");
    if value(&mut d, "SELECT current_setting('server_version_num')::integer >= 170000") == "t" {
        register(&mut d);
        run(&mut d, "SET transaction_timeout = '300ms'; BEGIN");
        let began = Instant::now();
        let error = d.batch_execute("SELECT pg_sleep(20)").expect_err("the session ends");
        // The server closes the connection, perhaps before the client has read the reason.
        assert!(error.is_closed() || explain(&error).starts_with("25P04"), "{}", explain(&error));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        messages.push("transaction timeout");
    }
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log"));
    if let Ok(log) = log {
        for message in messages {
            assert!(log.contains(message), "{message}: {log}");
        }
    }
}
