//! Messages: routes of notices, messages of applications, rights and refusals.

use harness::{Cluster, must_run, rows, run, sqlstate, value};
use postgres::Client;

pub(crate) const MINUTE: i64 = 60;
/// A rule whose alerts are the rows of public.readings.
const QUEUE: &str = "
    CREATE TABLE readings (subject text, value double precision);
    UPDATE crewsnow_ops.alert_rules SET is_enabled = false;
    INSERT INTO crewsnow_ops.alert_rules (name, description, query, warning, critical, every)
    VALUES ('queue', 'Jobs wait.', 'SELECT subject, value, ''jobs wait'' FROM public.readings',
        3, 5, '1 second')";
const QUEUED: &str = "SELECT channel, state, severity, message ->> 'reason'
    FROM crewsnow_ops.messages ORDER BY message_id";

pub(crate) fn server(name: &str) -> (Cluster, Client) {
    let cluster = Cluster::start_with_clock(name, "");
    let mut a = cluster.create_database("shop");
    run(&mut a, QUEUE);
    (cluster, a)
}

pub(crate) fn channel(a: &mut Client, name: &str, kind: &str, more: &str) {
    let sql = "INSERT INTO crewsnow_ops.channels (name, kind) VALUES";
    run(a, &format!("{sql} ('{name}', '{kind}')"));
    if !more.is_empty() {
        run(a, &format!("UPDATE crewsnow_ops.channels SET {more} WHERE name = '{name}'"));
    }
}

pub(crate) fn tick(cluster: &Cluster, a: &mut Client, minute: i64, readings: &str) {
    cluster.set_clock(minute * MINUTE);
    run(a, "TRUNCATE readings");
    if !readings.is_empty() {
        run(a, &format!("INSERT INTO readings VALUES {readings}"));
    }
    assert!(rows(a, "SELECT * FROM crewsnow_ops.tick()")[0].starts_with("DONE"), "{minute}");
}

/// Claims one message: its number, token and body.
pub(crate) fn claim(a: &mut Client) -> Option<(i64, String, String)> {
    let sql = "SELECT message_id, token::text, body FROM crewsnow_ops.claim_notifications(1)";
    let row = a.query_opt(sql, &[]).unwrap_or_else(|e| panic!("{}", harness::explain(&e)))?;
    Some((row.get(0), row.get(1), row.get(2)))
}

pub(crate) fn ack(a: &mut Client, message: i64, token: &str) -> String {
    value(a, &format!("SELECT crewsnow_ops.ack_notification({message}, '{token}')"))
}

pub(crate) fn nack(a: &mut Client, message: i64, token: &str, answer: &str) -> String {
    value(a, &format!("SELECT crewsnow_ops.nack_notification({message}, '{token}', {answer})"))
}

/// Each channel gets the notices of its severity, level and groups; the end of an incident goes to
/// those that were told of it. A later notice replaces one that still waits.
#[test]
fn notices_go_to_the_channels_that_want_them() {
    let (cluster, mut a) = server("message_routes");
    channel(&mut a, "all", "webhook", "");
    channel(&mut a, "critical", "slack", "min_severity = 'critical', language = 'fr'");
    channel(&mut a, "third", "email", "min_level = 3");
    channel(&mut a, "other", "webhook", "groups = '{pay*}'");
    channel(&mut a, "off", "webhook", "is_enabled = false");
    tick(&cluster, &mut a, 1, "('mail', 4)");
    assert_eq!(rows(&mut a, QUEUED), ["all|queued|warning|firing"]);
    tick(&cluster, &mut a, 2, "('mail', 9)");
    let expected = [
        "all|superseded|warning|firing",
        "all|queued|critical|escalated",
        "critical|queued|critical|escalated",
    ];
    assert_eq!(rows(&mut a, QUEUED), expected);
    let message = "SELECT message ->> 'group', message #>> '{alerts,0,subject}',
        message #>> '{alerts,0,value}', message #>> '{alerts,0,threshold}', message ->> 'source'
        FROM crewsnow_ops.messages WHERE channel = 'critical'";
    assert_eq!(rows(&mut a, message), ["queue|mail|9.0|5.0|shop"]);
    // The third level, and the reminder that tells it.
    tick(&cluster, &mut a, 40, "('mail', 9)");
    let reminded =
        ["all", "critical", "third"].map(|name| format!("{name}|queued|critical|reminder"));
    assert_eq!(rows(&mut a, QUEUED)[3..], reminded);
    tick(&cluster, &mut a, 50, "('mail', 0)");
    assert_eq!(
        rows(&mut a, &QUEUED.replace("ORDER BY", "WHERE state = 'queued' ORDER BY")),
        [
            "all|queued|critical|resolved",
            "critical|queued|critical|resolved",
            "third|queued|critical|resolved"
        ]
    );
    // The texts are those of the channel's kind and language.
    run(&mut a, "UPDATE crewsnow_ops.messages SET next_attempt_at = now()");
    let claimed = rows(
        &mut a,
        "SELECT channel, headers ->> 'subject', body::text LIKE '%crewsnow_ops.alerts.resolved%'
         FROM crewsnow_ops.claim_notifications(9) ORDER BY channel",
    );
    assert_eq!(claimed.len(), 3, "{claimed:?}");
    assert!(claimed[0].ends_with("|t") && claimed[1].starts_with("critical|NULL|f"), "{claimed:?}");
    let subject = "third|Resolved after 49 min: queue mail (queue on shop)|";
    assert!(claimed[2].starts_with(subject), "{claimed:?}");
}

/// An incident that no channel was told of ends without a message.
#[test]
fn an_end_goes_only_where_the_beginning_went() {
    let (cluster, mut a) = server("message_ends");
    tick(&cluster, &mut a, 1, "('mail', 9)");
    channel(&mut a, "late", "webhook", "");
    tick(&cluster, &mut a, 2, "('mail', 0)");
    assert!(rows(&mut a, QUEUED).is_empty());
    // A tick that is rolled back leaves no message.
    cluster.set_clock(3 * MINUTE);
    run(&mut a, "UPDATE readings SET value = 9; BEGIN");
    let told = rows(&mut a, "SELECT verdict, active, notices FROM crewsnow_ops.tick()");
    assert_eq!(told, ["DONE|1|1"]);
    assert_eq!(rows(&mut a, QUEUED), ["late|queued|critical|firing"]);
    run(&mut a, "ROLLBACK");
    assert!(rows(&mut a, QUEUED).is_empty());
}

/// Each reason of a notice becomes a message; a later one replaces the one that waits.
#[test]
fn a_group_is_told_from_its_first_alert_to_its_last() {
    let (cluster, mut a) = server("message_reasons");
    channel(&mut a, "ops", "slack", "");
    tick(&cluster, &mut a, 1, "('mail', 9)");
    tick(&cluster, &mut a, 8, "('mail', 9), ('export', 9)");
    let end = "SELECT crewsnow_ops.silence('queue/export', 'known', now() + interval '5 hours')";
    run(&mut a, end);
    tick(&cluster, &mut a, 9, "('mail', 0), ('export', 9)");
    tick(&cluster, &mut a, 10, "('mail', 9), ('export', 9)");
    tick(&cluster, &mut a, 11, "('mail', 0), ('export', 0)");
    let told = "SELECT state, message ->> 'reason', message ->> 'more',
        jsonb_array_length(message -> 'alerts') FROM crewsnow_ops.messages ORDER BY message_id";
    assert_eq!(
        rows(&mut a, told),
        [
            "superseded|firing|0|1",
            "superseded|more_alerts|0|2",
            "superseded|partly_resolved|0|1",
            "superseded|firing|0|1",
            "queued|resolved|0|2",
        ]
    );
    let body = "SELECT body FROM crewsnow_ops.claim_notifications()";
    let body = value(&mut a, body);
    assert!(body.contains("Resolved after 10 min: 2 alerts"), "{body}");
    assert!(body.contains("queue export: lasted 3 min"), "{body}");
}

/// The application's message is part of its transaction. A second call with its key adds none.
#[test]
fn an_application_sends_within_its_transaction() {
    let (_cluster, mut a) = server("message_application");
    channel(&mut a, "ops", "webhook", "");
    let send = "SELECT crewsnow_ops.send('ops', '{\"a\": 1}', 'orders', 'order 7')";
    run(&mut a, "BEGIN");
    run(&mut a, send);
    run(&mut a, "ROLLBACK");
    assert!(claim(&mut a).is_none());
    let first = value(&mut a, send);
    assert_eq!(value(&mut a, send), first);
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.messages"), "1");
    // NOTIFY needs no sender.
    let more = "target = '{\"channel\": \"shop_events\"}'";
    channel(&mut a, "listeners", "notify", more);
    run(&mut a, "LISTEN shop_events");
    run(&mut a, "SELECT crewsnow_ops.send('listeners', '{\"text\": \"done\"}')");
    use postgres::fallible_iterator::FallibleIterator;
    let timeout = std::time::Duration::from_secs(5);
    let heard = a.notifications().timeout_iter(timeout).next().expect("a notification");
    assert!(heard.expect("one comes").payload().contains("done"));
    let state = "SELECT state FROM crewsnow_ops.messages WHERE channel = 'listeners'";
    assert_eq!(rows(&mut a, state), ["sent"]);
}

/// A listener hears each notice, with an identifier of its own. A target that no NOTIFY takes, and
/// one that serde cannot read, cost neither the tick nor the claims of others.
#[test]
fn a_bad_target_costs_its_own_channel_only() {
    let (cluster, mut a) = server("message_targets");
    channel(&mut a, "heard", "notify", "target = '{\"channel\": \"shop\"}'");
    channel(&mut a, "empty", "notify", "target = '{\"channel\": \"\"}'");
    channel(&mut a, "large", "webhook", "target = '{\"x\": 1e400}'");
    run(&mut a, "LISTEN shop");
    tick(&cluster, &mut a, 1, "('mail', 9)");
    use postgres::fallible_iterator::FallibleIterator;
    let timeout = std::time::Duration::from_secs(5);
    let heard = a.notifications().timeout_iter(timeout).next().expect("a notification");
    let heard = heard.expect("one comes").payload().to_owned();
    let told = "SELECT channel, state, last_error, uid FROM crewsnow_ops.messages ORDER BY channel";
    let told = rows(&mut a, told);
    assert!(told[0].starts_with("empty|dead|its target names no channel"), "{told:?}");
    assert!(told[1].starts_with("heard|sent|NULL|"), "{told:?}");
    let uid = told[1].rsplit('|').next().unwrap_or_default();
    assert!(heard.contains(uid) && heard.contains("queue"), "{heard}");
    assert!(claim(&mut a).is_some(), "the webhook is claimed");
    // The message around a payload has one level more, and must be readable, too.
    let deep = |levels: usize| {
        format!(
            "SELECT crewsnow_ops.send('large', '{}1{}')",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let sent: Vec<bool> =
        (124..=128).map(|levels| a.batch_execute(&deep(levels)).is_ok()).collect();
    assert!(sent[0] && !sent[4], "{sent:?}");
    let claimed = rows(&mut a, "SELECT channel FROM crewsnow_ops.claim_notifications(9)");
    assert_eq!(claimed.len(), sent.iter().filter(|sent| **sent).count(), "{sent:?}");
    let long = "SELECT crewsnow_ops.send('large', to_jsonb(repeat('x', 300000)))";
    assert_eq!(sqlstate(&mut a, long), "22023");
}

/// PagerDuty and Alertmanager would keep an incident open whose end is silenced.
#[test]
fn receivers_that_keep_alerts_hear_of_a_silenced_end() {
    let (cluster, mut a) = server("message_silenced");
    channel(&mut a, "pager", "pagerduty", "");
    channel(&mut a, "chat", "slack", "");
    tick(&cluster, &mut a, 1, "('mail', 9)");
    run(&mut a, "SELECT crewsnow_ops.silence('queue', 'known', now() + interval '5 hours')");
    tick(&cluster, &mut a, 2, "('mail', 0)");
    let waiting = "SELECT channel, message ->> 'reason' FROM crewsnow_ops.messages
        WHERE state = 'queued' ORDER BY channel";
    assert_eq!(rows(&mut a, waiting), ["chat|firing", "pager|resolved"]);
    let body = "SELECT body FROM crewsnow_ops.claim_notifications(1, '1 minute', '{pager}')";
    assert!(value(&mut a, body).contains("\"event_action\":\"resolve\""));
}

#[test]
fn bad_calls_are_refused_and_change_nothing() {
    let (_cluster, mut a) = server("message_refusals");
    channel(&mut a, "ops", "webhook", "");
    channel(&mut a, "off", "webhook", "is_enabled = false");
    channel(&mut a, "nowhere", "notify", "");
    for (sql, state) in [
        ("SELECT crewsnow_ops.send(NULL, '{}')", "22004"),
        ("SELECT crewsnow_ops.send('ops', NULL)", "22004"),
        ("SELECT crewsnow_ops.send('op', '{}')", "42704"),
        ("SELECT crewsnow_ops.send('off', '{}')", "55000"),
        ("SELECT crewsnow_ops.send('nowhere', '{}')", "22023"),
        ("SELECT crewsnow_ops.send('ops', to_jsonb(repeat('x', 30000)))", "22023"),
        ("SELECT crewsnow_ops.send('ops', '{}', repeat('x', 300))", "22023"),
        ("SELECT crewsnow_ops.send('ops', '{}', 'x', repeat('x', 300))", "22023"),
        ("BEGIN READ ONLY; SELECT crewsnow_ops.send('ops', '{}')", "25006"),
        ("SELECT crewsnow_ops.test_channel('op')", "42704"),
        ("SELECT crewsnow_ops.claim_notifications(0)", "22023"),
        ("SELECT crewsnow_ops.claim_notifications(1001)", "22023"),
        ("SELECT crewsnow_ops.claim_notifications(1, '0')", "22023"),
        ("SELECT crewsnow_ops.claim_notifications(1, '2 hours')", "22023"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT crewsnow_ops.claim_notifications()", "25001"),
        ("SELECT crewsnow_ops.ack_notification(1, NULL)", "22004"),
        ("SELECT crewsnow_ops.nack_notification(NULL, gen_random_uuid())", "22004"),
        ("SELECT crewsnow_ops.replay_messages('op', now(), now())", "42704"),
        ("SELECT crewsnow_ops.repair_channel('op')", "42704"),
        ("INSERT INTO crewsnow_ops.channels (name, kind) VALUES ('Ops', 'slack')", "23514"),
        ("INSERT INTO crewsnow_ops.channels (name, kind) VALUES ('fax', 'fax')", "23514"),
    ] {
        assert_eq!(sqlstate(&mut a, sql), state, "{sql}");
        run(&mut a, "ROLLBACK");
    }
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.messages"), "0");
    let error = a.batch_execute("SELECT crewsnow_ops.send('op', '{}')").expect_err("no channel");
    assert!(harness::explain(&error).contains("Close names: ops"), "{}", harness::explain(&error));
    // A channel that is removed takes its messages with it, and they are not lost silently.
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}')");
    run(&mut a, "DELETE FROM crewsnow_ops.channels WHERE name = 'ops'");
    assert!(claim(&mut a).is_none());
    let dead = "SELECT channel, reason FROM crewsnow_ops.dead_messages";
    assert_eq!(rows(&mut a, dead), ["ops|the channel was removed"]);
}

/// Texts and tokens are for senders; applications can only add.
#[test]
fn each_level_has_its_part_of_the_outbox() {
    let (cluster, mut a) = server("message_rights");
    channel(&mut a, "ops", "webhook", "");
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{\"to\": \"anna\"}')");
    for (role, level) in [("r", "reader"), ("w", "writer"), ("o", "operator"), ("s", "admin")] {
        run(&mut a, &format!("CREATE ROLE {role} LOGIN"));
        run(&mut a, &format!("SELECT crewsnow_ops.grant_access('{role}', '{level}')"));
    }
    let acts = [
        ("SELECT crewsnow_ops.send('ops', '{}')", "w o s"),
        ("SELECT status FROM crewsnow_ops.channel_health", "r o s"),
        ("SELECT reason FROM crewsnow_ops.dead_messages", "r o s"),
        ("SELECT message_id, state FROM crewsnow_ops.messages", "r o s"),
        ("SELECT message FROM crewsnow_ops.messages", ""),
        ("SELECT token FROM crewsnow_ops.messages", ""),
        ("SELECT thread FROM crewsnow_ops.messages", ""),
        ("SELECT detail FROM crewsnow_ops.delivery_attempts", "o s"),
        ("SELECT crewsnow_ops.message_steps(1)", "o s"),
        ("SELECT crewsnow_ops.test_channel('ops')", "o s"),
        ("SELECT crewsnow_ops.repair_channel('ops')", "o s"),
        ("SELECT crewsnow_ops.replay_messages('ops', now(), now())", "o s"),
        ("SELECT crewsnow_ops.claim_notifications()", "s"),
        ("SELECT crewsnow_ops.ack_notification(1, gen_random_uuid())", "s"),
        ("SELECT crewsnow_ops.nack_notification(1, gen_random_uuid())", "s"),
        ("UPDATE crewsnow_ops.channels SET per_minute = 9", "s"),
        ("UPDATE crewsnow_ops.messages SET state = 'sent'", ""),
        ("DELETE FROM crewsnow_ops.delivery_attempts", ""),
    ];
    for role in ["r", "w", "o", "s"] {
        let mut session = cluster.connect_as(role, "shop");
        for (sql, roles) in acts {
            if roles.split(' ').any(|allowed| allowed == role) {
                run(&mut session, sql);
            } else {
                assert_eq!(sqlstate(&mut session, sql), "42501", "{role}: {sql}");
            }
        }
    }
}

/// The copy has its channels, and neither the messages nor the right to deliver any.
#[test]
fn a_restored_copy_delivers_nothing() {
    let (cluster, mut a) = server("message_copy");
    channel(&mut a, "ops", "webhook", "");
    tick(&cluster, &mut a, 1, "('mail', 9)");
    let dump = cluster.scratch().join("messages.dump");
    must_run(cluster.client_program("pg_dump", "shop").arg("-Fc").arg("-f").arg(&dump));
    cluster.create_empty_database("copy");
    must_run(cluster.client_program("pg_restore", "copy").args(["-d", "copy"]).arg(&dump));
    let mut b = cluster.connect("copy");
    assert_eq!(rows(&mut b, "SELECT name FROM crewsnow_ops.channels"), ["ops"]);
    assert!(rows(&mut b, QUEUED).is_empty());
    let claims = "SELECT * FROM crewsnow_ops.claim_notifications()";
    assert_eq!(sqlstate(&mut b, claims), "55000");
    tick(&cluster, &mut b, 2, "('mail', 9)");
    assert_eq!(sqlstate(&mut b, claims), "55000");
    run(&mut b, "SELECT crewsnow_ops.adopt_alerts()");
    assert!(rows(&mut b, claims).is_empty());
    assert!(claim(&mut a).is_some(), "the original delivers");
}
