//! Alerts from the first failure to the notice of their end, on a server whose clock the tests
//! move.

use harness::{Cluster, rows, run, value};
use postgres::Client;

/// A rule over a table of values: warning above 5, critical above 10, clear at 4 and 8.
const RULE: &str = "
    CREATE TABLE readings (subject text, value double precision);
    INSERT INTO crewsnow_ops.alert_rules (name, description, query, warning, critical,
        warning_clears, critical_clears, fires_after, clears_after)
    VALUES ('queue', 'Jobs wait.',
        'SELECT subject, value, subject || '' has '' || value FROM public.readings',
        5, 10, 4, 8, '2 minutes', '3 minutes')";

const MINUTE: i64 = 60;

/// A server with a clock, a database, and only the rule `queue`.
fn server(name: &str) -> (Cluster, Client) {
    let cluster = Cluster::start_with_clock(name, "");
    let mut a = cluster.create_database("alerts");
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET is_enabled = false");
    run(&mut a, RULE);
    (cluster, a)
}

fn set(a: &mut Client, subject: &str, reading: &str) {
    run(
        a,
        &format!(
            "DELETE FROM readings WHERE subject = '{subject}';
             INSERT INTO readings VALUES ('{subject}', {reading})"
        ),
    );
}

pub fn tick(a: &mut Client) -> String {
    rows(
        a,
        "SELECT verdict, evaluated, failed, waiting, active, notices, note \
            FROM crewsnow_ops.tick()",
    )
    .join("\n")
}

/// Ticks at each of these minutes.
fn ticks(cluster: &Cluster, a: &mut Client, minutes: std::ops::RangeInclusive<i64>) {
    for minute in minutes {
        cluster.set_clock(minute * MINUTE);
        let told = tick(a);
        assert!(told.starts_with("DONE|1|0|0|"), "minute {minute}: {told}");
    }
}

/// The events so far, with the minute in which they happened.
fn events(a: &mut Client, after: i64) -> Vec<String> {
    rows(
        a,
        &format!(
            "SELECT round(extract(epoch FROM at
                    - (SELECT min(at) FROM crewsnow_ops.alert_events)) / 60),
                 event, coalesce(subject, ''), coalesce(severity, '')
             FROM crewsnow_ops.alert_events WHERE event_id > {after} ORDER BY event_id"
        ),
    )
}

/// The whole way: pending, firing, critical, less critical, recovering, over the threshold again,
/// resolved. The times are those of the rule, and each notice goes out once.
#[test]
fn an_alert_goes_from_its_first_failure_to_resolved() {
    let (cluster, mut a) = server("alert_way");
    let mut listener = cluster.connect("alerts");
    run(&mut listener, "LISTEN crewsnow_ops_alerts");
    set(&mut a, "mail", "3");
    ticks(&cluster, &mut a, 0..=1);
    assert!(events(&mut a, 0).is_empty(), "a healthy value is no event");
    set(&mut a, "mail", "6");
    ticks(&cluster, &mut a, 2..=4);
    set(&mut a, "mail", "12");
    ticks(&cluster, &mut a, 5..=7);
    set(&mut a, "mail", "7");
    ticks(&cluster, &mut a, 8..=11);
    set(&mut a, "mail", "1");
    ticks(&cluster, &mut a, 12..=13);
    set(&mut a, "mail", "6");
    ticks(&cluster, &mut a, 14..=14);
    set(&mut a, "mail", "1");
    ticks(&cluster, &mut a, 15..=19);
    assert_eq!(
        events(&mut a, 0),
        [
            "0|pending|mail|warning",
            "2|firing|mail|warning",
            "2|group_opened||warning",
            "2|notice||warning",
            "5|escalated|mail|critical",
            "5|notice||critical",
            "9|eased|mail|warning",
            "10|recovering|mail|warning",
            "12|firing|mail|warning",
            "13|recovering|mail|warning",
            "16|resolved|mail|warning",
            "16|notice||critical",
            "16|group_closed||",
        ]
    );
    let notices =
        "SELECT message FROM crewsnow_ops.alert_events WHERE event = 'notice' ORDER BY event_id";
    assert_eq!(
        rows(&mut a, notices),
        [
            "queue: warning, 1 alert, worst queue/mail: mail has 6",
            "queue: critical, 1 alert, worst queue/mail: mail has 12",
            "queue: all alerts are resolved",
        ]
    );
    let told = std::iter::from_fn(|| {
        use postgres::fallible_iterator::FallibleIterator;
        let timeout = std::time::Duration::from_secs(2);
        listener.notifications().timeout_iter(timeout).next().expect("a notification")
    });
    let told: Vec<String> = told.take(3).map(|heard| heard.payload().to_owned()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].contains("\"reason\":\"escalated\""), "{told:?}");
    assert_eq!(
        value(&mut a, "SELECT count(DISTINCT alert_id) FROM crewsnow_ops.alert_events"),
        "1"
    );
}

/// Two tickers at once: one works, the other says who does.
#[test]
fn one_session_at_a_time_evaluates() {
    let (cluster, mut a) = server("alert_busy");
    let pid = value(&mut a, "SELECT pg_backend_pid()");
    let mut b = cluster.connect("alerts");
    run(&mut a, "BEGIN");
    assert!(tick(&mut a).starts_with("DONE|1|"));
    assert_eq!(tick(&mut b), format!("BUSY|0|0|0|0|0|Process {pid} evaluates the rules."));
    run(&mut a, "COMMIT");
    assert_eq!(tick(&mut b), "DONE|0|0|0|0|0|NULL", "nothing is due again at once");
    let refused =
        b.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT crewsnow_ops.tick()");
    assert_eq!(refused.expect_err("an old snapshot").code().map(|code| code.code()), Some("25001"));
}

/// A crash, and then a wait, lose neither the state nor the time that has passed.
#[test]
fn a_crash_loses_no_state() {
    let (mut cluster, mut a) = server("alert_crash");
    set(&mut a, "mail", "6");
    ticks(&cluster, &mut a, 0..=1);
    run(&mut a, "CHECKPOINT");
    cluster.stop("immediate");
    cluster.boot();
    let mut a = cluster.connect("alerts");
    ticks(&cluster, &mut a, 2..=2);
    let firing = "SELECT state, severity FROM crewsnow_ops.alert_states";
    assert_eq!(rows(&mut a, firing), ["firing|warning"]);
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM crewsnow_ops.alert_events WHERE event = 'notice'"),
        "1"
    );
}

/// A clock that steps back by two hours or forward by a day neither delays an alert nor makes one.
#[test]
fn steps_of_the_clock_neither_delay_nor_make_an_alert() {
    let (cluster, mut a) = server("alert_steps");
    set(&mut a, "mail", "6");
    ticks(&cluster, &mut a, 0..=1);
    ticks(&cluster, &mut a, -120..=-119);
    let state = "SELECT state FROM crewsnow_ops.alert_states";
    assert_eq!(rows(&mut a, state), ["firing"], "one minute before the step, one after it");
    set(&mut a, "mail", "1");
    ticks(&cluster, &mut a, -118..=-118);
    ticks(&cluster, &mut a, 1440..=1440);
    assert_eq!(rows(&mut a, state), ["ok"], "three intervals of a gap count: clears_after");
    set(&mut a, "mail", "6");
    run(
        &mut a,
        "UPDATE crewsnow_ops.alert_rules SET fires_after = '10 minutes' WHERE name = 'queue'",
    );
    ticks(&cluster, &mut a, 1441..=1441);
    ticks(&cluster, &mut a, 2880..=2886);
    assert_eq!(rows(&mut a, state), ["pending"], "of the day without ticks three minutes count");
    ticks(&cluster, &mut a, 2887..=2887);
    assert_eq!(rows(&mut a, state), ["firing"]);
    let seen = "SELECT event FROM crewsnow_ops.alert_events
        WHERE event IN ('clock_stepped', 'ticks_missed') ORDER BY event_id";
    assert_eq!(rows(&mut a, seen), ["clock_stepped", "ticks_missed", "ticks_missed"]);
}

/// A storm of a thousand subjects is one group and at most two notices.
#[test]
fn a_storm_is_one_group_and_two_notices() {
    let (cluster, mut a) = server("alert_storm");
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET fires_after = '0' WHERE name = 'queue'");
    for part in 0..4 {
        run(
            &mut a,
            &format!(
                "INSERT INTO readings SELECT 'host-' || n, 20
                 FROM generate_series({part} * 250 + 1, {part} * 250 + 250) AS n"
            ),
        );
        ticks(&cluster, &mut a, part..=part);
    }
    ticks(&cluster, &mut a, 4..=12);
    assert_eq!(
        value(&mut a, "SELECT count(*) FROM crewsnow_ops.alerts WHERE status = 'FIRING'"),
        "1000"
    );
    let notices = "SELECT details ->> 'reason', details ->> 'alerts' FROM crewsnow_ops.alert_events
        WHERE event = 'notice' ORDER BY event_id";
    assert_eq!(rows(&mut a, notices), ["firing|250", "more alerts|1000"]);
    assert_eq!(value(&mut a, "SELECT members FROM crewsnow_ops.alert_groups"), "1000");
    // A critical alert is told again after half an hour.
    ticks(&cluster, &mut a, 36..=36);
    assert_eq!(rows(&mut a, notices).last().map(String::as_str), Some("reminder|1000"));
}

/// A silence and a maintenance window hold notices back and nothing else. An alert that still fires
/// at their end is told then.
#[test]
fn silences_and_windows_hold_back_notices_only() {
    let (cluster, mut a) = server("alert_silence");
    set(&mut a, "mail", "20");
    run(
        &mut a,
        "SELECT crewsnow_ops.silence('queue/ma*', 'moving the queue',
            clock_timestamp() + interval '9 min')",
    );
    ticks(&cluster, &mut a, 0..=8);
    let told = "SELECT event, suppressed_by FROM crewsnow_ops.alert_events
        WHERE event IN ('firing', 'notice') ORDER BY event_id";
    assert_eq!(rows(&mut a, told), ["firing|NULL", "notice|silence 1"]);
    let muted = "SELECT status, muted_by FROM crewsnow_ops.alerts";
    assert_eq!(rows(&mut a, muted), ["FIRING|silence 1"]);
    ticks(&cluster, &mut a, 9..=10);
    assert_eq!(rows(&mut a, told)[2..], ["notice|NULL"], "told when the silence ends");
    set(&mut a, "mail", "1");
    ticks(&cluster, &mut a, 11..=15);
    assert!(rows(&mut a, muted).is_empty());
    // A window: one that is open now, in the time of the server.
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.maintenance_windows
            (name, on_date, local_start, duration, time_zone)
         SELECT 'now', (t.at AT TIME ZONE 'UTC')::date, (t.at AT TIME ZONE 'UTC')::time,
            '10 minutes', 'UTC'
         FROM (SELECT clock_timestamp() - interval '1 second') AS t (at)",
    );
    let last = value(&mut a, "SELECT max(event_id) FROM crewsnow_ops.alert_events");
    set(&mut a, "mail", "20");
    for minute in 16..=24 {
        cluster.set_clock(minute * MINUTE);
        assert!(tick(&mut a).ends_with("|Maintenance window now is open."));
    }
    let since = format!(
        "SELECT event, suppressed_by FROM crewsnow_ops.alert_events
         WHERE event IN ('firing', 'notice') AND event_id > {last} ORDER BY event_id"
    );
    assert_eq!(rows(&mut a, &since), ["firing|NULL", "notice|maintenance window now"]);
    ticks(&cluster, &mut a, 26..=26);
    assert_eq!(rows(&mut a, &since)[2..], ["notice|NULL"], "told when the window ends");
}

/// An acknowledgement stops reminders, and ends.
#[test]
fn an_acknowledgement_ends() {
    let (cluster, mut a) = server("alert_ack");
    set(&mut a, "mail", "20");
    ticks(&cluster, &mut a, 0..=3);
    assert_eq!(
        value(&mut a, "SELECT crewsnow_ops.acknowledge_alert('queue', 'mail', 'looking')"),
        "1"
    );
    ticks(&cluster, &mut a, 4..=60);
    let told = "SELECT event, details ->> 'reason' FROM crewsnow_ops.alert_events
        WHERE event IN ('acknowledged', 'acknowledgement_expired', 'notice') ORDER BY event_id";
    assert_eq!(rows(&mut a, told), ["notice|firing", "acknowledged|NULL"]);
    ticks(&cluster, &mut a, 61..=65);
    let last = rows(&mut a, told);
    assert!(last.contains(&"acknowledgement_expired|NULL".to_owned()), "{last:?}");
    assert_eq!(last.last().map(String::as_str), Some("notice|reminder"));
    let code = |error: postgres::Error| error.code().map(|code| code.code().to_owned());
    let late = a.batch_execute("SELECT crewsnow_ops.acknowledge_alert('queue', 'nothing')");
    assert_eq!(code(late.expect_err("no such alert")).as_deref(), Some("42704"));
}
