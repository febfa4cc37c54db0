//! Alerts through the life of a database: a restored copy, killed sessions, and an incident of the
//! demo application.

use harness::{Cluster, must_run, rows, run, value};

const MINUTE: i64 = 60;
const TICK: &str = "SELECT verdict, active, notices, note FROM crewsnow_ops.tick()";
const QUEUE: &str = "
    CREATE TABLE readings (subject text, value double precision);
    INSERT INTO readings VALUES ('mail', 20);
    UPDATE crewsnow_ops.alert_rules SET is_enabled = false;
    INSERT INTO crewsnow_ops.alert_rules (name, description, query, critical, every)
    VALUES ('queue', 'Jobs wait.', 'SELECT subject, value, NULL FROM public.readings', 5,
        '1 second')";

/// A restored copy keeps rules, states and history. It evaluates, and pages nobody until an admin
/// adopts its alerts.
#[test]
fn alerts_of_a_restored_copy_do_not_page() {
    let cluster = Cluster::start_with_clock("alert_copy", "");
    let mut a = cluster.create_database("original");
    run(&mut a, QUEUE);
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET critical = 7 WHERE name = 'error-rate'");
    run(
        &mut a,
        "SELECT crewsnow_ops.create_alert_rule('mine', 'SELECT ''x'', 1, NULL', p_warning => 3)",
    );
    assert_eq!(rows(&mut a, TICK), ["DONE|1|1|NULL"]);
    run(&mut a, "SELECT crewsnow_ops.acknowledge_alert('queue')");
    let dump = cluster.scratch().join("alerts.dump");
    must_run(cluster.client_program("pg_dump", "original").arg("-Fc").arg("-f").arg(&dump));
    cluster.create_empty_database("copy");
    must_run(cluster.client_program("pg_restore", "copy").args(["-d", "copy"]).arg(&dump));
    let mut b = cluster.connect("copy");
    for (table, key) in [
        ("alert_rules", "name"),
        ("alert_states", "rule, subject"),
        ("alert_events", "event_id"),
        ("alert_groups", "alert_group"),
        ("alert_acknowledgements", "acknowledgement_id"),
    ] {
        let sql = format!("SELECT * FROM crewsnow_ops.{table} ORDER BY {key}");
        assert_eq!(rows(&mut b, &sql), rows(&mut a, &sql), "{table}");
    }
    run(&mut b, "INSERT INTO readings VALUES ('export', 30)");
    for minute in 1..10 {
        cluster.set_clock(minute * MINUTE);
        let told = rows(&mut b, TICK);
        assert!(told[0].starts_with("DONE|2|0|This database is a copy"), "{told:?}");
    }
    let muted = "SELECT DISTINCT muted_by LIKE '%restored copy%' FROM crewsnow_ops.alerts";
    assert_eq!(rows(&mut b, muted), ["t"]);
    assert_eq!(rows(&mut b, "SELECT outcome FROM crewsnow_ops.alert_objection()"), ["failed"]);
    run(&mut b, "SELECT crewsnow_ops.adopt_alerts()");
    cluster.set_clock(11 * MINUTE);
    assert_eq!(rows(&mut b, TICK), ["DONE|2|1|NULL"], "the alerts are its own now");
    assert_eq!(rows(&mut a, TICK), ["DONE|1|0|NULL"], "the original goes on");
}

/// Sessions that are killed at any point of a tick leave the alerts as they were before it.
#[test]
fn killed_ticks_leave_nothing_half_done() {
    let mut cluster = Cluster::start("alert_kill", "restart_after_crash = on");
    let mut a = cluster.create_database("alerts");
    run(&mut a, QUEUE);
    run(&mut a, "INSERT INTO readings SELECT 'host-' || n, 20 FROM generate_series(1, 300) AS n");
    let mut random = harness::random::Random(19);
    for turn in 0..12 {
        let mut ticker = cluster.connect("alerts");
        let pid = value(&mut ticker, "SELECT pg_backend_pid()");
        let work = std::thread::spawn(move || {
            let _ = ticker.batch_execute("SELECT * FROM crewsnow_ops.tick()");
        });
        std::thread::sleep(std::time::Duration::from_millis(random.below(60) as u64));
        must_run(std::process::Command::new("sh").args(["-c", &format!("kill -9 {pid} || true")]));
        let _ = work.join();
        if turn % 4 == 3 {
            cluster.stop("immediate");
            cluster.boot();
        }
        crate::replication::wait_until("the server is back", || {
            cluster.try_connect("alerts").is_some()
        });
        a = cluster.connect("alerts");
        let states = value(&mut a, "SELECT count(*) FROM crewsnow_ops.alert_states");
        let fired =
            value(&mut a, "SELECT count(*) FROM crewsnow_ops.alert_events WHERE event = 'firing'");
        let notices =
            value(&mut a, "SELECT count(*) FROM crewsnow_ops.alert_events WHERE event = 'notice'");
        let whole = [["0", "0", "0"], ["301", "301", "1"]];
        assert!(whole.contains(&[&*states, &*fired, &*notices]), "{states} {fired} {notices}");
    }
    run(&mut a, "SELECT pg_sleep(1)");
    run(&mut a, "SELECT * FROM crewsnow_ops.tick()");
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.alert_states"), "301");
    let once = "SELECT count(DISTINCT alert_id) = 301 FROM crewsnow_ops.alert_events
        WHERE event = 'firing'";
    assert_eq!(value(&mut a, once), "t");
}

/// The payments of the demo application fail. The history tells it from the first failure to the
/// end.
#[test]
fn the_incident_of_the_demo_is_told_to_its_end() {
    let cluster = Cluster::start_with_clock("alert_demo", "");
    let mut a = cluster.create_demo("demo", false);
    for minute in 0..4 {
        cluster.set_clock(minute * MINUTE);
        assert!(rows(&mut a, TICK)[0].starts_with("DONE|"));
    }
    let worst = "SELECT status, severity, rule FROM crewsnow_ops.alerts LIMIT 1";
    assert_eq!(rows(&mut a, worst), ["FIRING|critical|webhook-failures"]);
    let signal = "SELECT status FROM crewsnow_ops.dashboard WHERE signal = 'Alerts'";
    assert_eq!(rows(&mut a, signal), ["🚨 FIRING"]);
    assert_eq!(rows(&mut a, "SELECT outcome FROM crewsnow_ops.alert_objection()"), ["failed"]);
    // Stripe is back: webhooks are processed, and calls succeed.
    run(&mut a, "UPDATE processed_events SET status = 'processed' WHERE status <> 'processed'");
    for minute in 4..420 {
        cluster.set_clock(minute * MINUTE);
        run(
            &mut a,
            "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload)
             SELECT 'edge_function_call', f, 100, '{\"status_code\": 200}'
             FROM unnest(ARRAY['create-checkout', 'stripe-webhook', 'swipe']) AS f,
                generate_series(1, 20)",
        );
        run(
            &mut a,
            "INSERT INTO processed_events (event_id, event_type)
             SELECT 'evt_' || gen_random_uuid(), 'invoice.paid' FROM generate_series(1, 8)",
        );
        assert!(rows(&mut a, TICK)[0].starts_with("DONE|"));
    }
    assert!(rows(&mut a, "TABLE crewsnow_ops.alerts").is_empty());
    let payments = "SELECT event FROM crewsnow_ops.alert_events
        WHERE alert_group = 'payments'
            AND (rule IS NULL OR rule = 'webhook-failures') ORDER BY event_id";
    let told = rows(&mut a, payments);
    assert_eq!(told[..3], ["firing", "group_opened", "notice"], "{told:?}");
    assert_eq!(told[told.len() - 2..], ["notice", "group_closed"], "{told:?}");
    assert!(told.contains(&"resolved".to_owned()), "{told:?}");
    let quality = "SELECT notices > 0, alerts FROM crewsnow_ops.alert_quality
        WHERE rule = 'webhook-failures'";
    assert_eq!(rows(&mut a, quality), ["t|1"]);
}

/// An alert that has fired for half an hour stays at level 3 when the clock steps back, also if
/// the query of its rule fails just then.
#[test]
fn a_step_back_of_the_clock_lowers_no_level() {
    let cluster = Cluster::start_with_clock("alert_level", "");
    let mut a = cluster.create_database("alerts");
    run(&mut a, QUEUE);
    assert_eq!(rows(&mut a, TICK), ["DONE|1|1|NULL"]);
    let level = "SELECT level FROM crewsnow_ops.alerts WHERE status = 'FIRING'";
    for (minute, expected) in [(16, "2"), (31, "3"), (-120, "3"), (-119, "3")] {
        cluster.set_clock(minute * MINUTE);
        assert_eq!(rows(&mut a, level), [expected], "before the tick of minute {minute}");
        run(&mut a, TICK);
        assert_eq!(rows(&mut a, level), [expected], "minute {minute}");
    }
    run(&mut a, "ALTER TABLE readings RENAME TO gone");
    cluster.set_clock(-300 * MINUTE);
    run(&mut a, TICK);
    assert_eq!(rows(&mut a, level), ["3"], "its query fails");
}
