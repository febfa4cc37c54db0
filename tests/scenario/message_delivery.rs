//! Claims and answers of senders: leases, retries, limits and order.

use super::messages::{MINUTE, ack, channel, claim, nack, server, tick};
use harness::{rows, run, value};

#[test]
fn only_the_holder_of_the_token_answers() {
    let (cluster, mut a) = server("message_tokens");
    channel(&mut a, "ops", "webhook", "");
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{\"order\": 7}')");
    let (message, token, body) = claim(&mut a).expect("a message");
    assert!(body.contains("\"data\":{\"order\":7}"), "{body}");
    assert!(claim(&mut a).is_none(), "a sender has it");
    cluster.set_clock(2 * MINUTE);
    // The lease has ended: the next sender gets the same message, with another token.
    let uid = "SELECT uid FROM crewsnow_ops.messages";
    let before = value(&mut a, uid);
    let (again, other, _) = claim(&mut a).expect("the message of the lost lease");
    assert_eq!(again, message);
    assert_ne!(other, token);
    assert_eq!(value(&mut a, uid), before);
    assert_eq!(ack(&mut a, message, &token), "f", "the lease of the first has ended");
    assert!(nack(&mut a, message, &token, "500").starts_with("another sender"));
    assert_eq!(ack(&mut a, message, &other), "t");
    assert_eq!(ack(&mut a, message, &other), "f", "it is sent");
    let steps = "SELECT step, detail FROM crewsnow_ops.message_steps((
        SELECT message_id FROM crewsnow_ops.messages))";
    assert_eq!(
        rows(&mut a, steps),
        [
            "added|channel ops, kind application",
            "lost|attempt 1 by postgres: no answer within the lease",
            "sent|attempt 2 by postgres (suite)",
            "sent|no answer within the lease",
        ]
    );
}

#[test]
fn failures_are_retried_until_a_message_is_dead() {
    let (cluster, mut a) = server("message_retries");
    channel(&mut a, "ops", "webhook", "expires_after = '7 days'");
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}')");
    for attempt in 1..=10 {
        cluster.set_clock(attempt * 20 * MINUTE);
        let (message, token, _) = claim(&mut a).unwrap_or_else(|| panic!("attempt {attempt}"));
        let next = nack(&mut a, message, &token, "503, 'busy'");
        let expected = if attempt < 10 { "next attempt at 20" } else { "dead after 10 attempts" };
        assert!(next.starts_with(expected), "{attempt}: {next}");
    }
    cluster.set_clock(300 * MINUTE);
    assert!(claim(&mut a).is_none());
    let dead = "SELECT channel, attempts, reason FROM crewsnow_ops.dead_messages";
    assert_eq!(rows(&mut a, dead), ["ops|10|busy"]);
    let replay = "SELECT crewsnow_ops.replay_messages('ops', now() - interval '1 day',
        now() + interval '1 second')";
    run(&mut a, "SELECT crewsnow_ops.repair_channel('ops')");
    assert_eq!(value(&mut a, replay), "1");
    assert_eq!(value(&mut a, replay), "0");
    let (message, token, _) = claim(&mut a).expect("the replayed message");
    assert_eq!(ack(&mut a, message, &token), "t");
    assert!(rows(&mut a, dead).is_empty());
    // A refusal is final at once; a message that expired was never tried.
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}')");
    let (message, token, _) = claim(&mut a).expect("a message");
    let next = nack(&mut a, message, &token, "400, 'no such order'");
    assert_eq!(next, "dead: the receiver refuses the message");
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}')");
    cluster.set_clock(8 * 24 * 60 * MINUTE);
    assert!(claim(&mut a).is_none());
    assert_eq!(rows(&mut a, dead), ["ops|0|expired", "ops|1|no such order"]);
}

#[test]
fn a_receiver_pauses_and_breaks_its_own_channel_only() {
    let (cluster, mut a) = server("message_limits");
    channel(&mut a, "one", "slack", "");
    channel(&mut a, "two", "webhook", "");
    let health = "SELECT status, channel, waiting FROM crewsnow_ops.channel_health";
    assert_eq!(rows(&mut a, health), ["UNTRIED|one|0", "UNTRIED|two|0"]);
    run(&mut a, "SELECT crewsnow_ops.send('one', '{\"text\": \"a\"}') FROM generate_series(1, 3)");
    let (message, token, _) = claim(&mut a).expect("a message");
    // Retry-After holds back the whole channel, and no other.
    assert!(nack(&mut a, message, &token, "429, 'slow down', '300'").starts_with("next attempt"));
    run(&mut a, "SELECT crewsnow_ops.send('two', '{}')");
    let (message, token, _) = claim(&mut a).expect("the message of the other channel");
    assert_eq!(ack(&mut a, message, &token), "t");
    assert!(claim(&mut a).is_none());
    assert_eq!(rows(&mut a, health)[0], "PAUSED|one|3");
    cluster.set_clock(6 * MINUTE);
    let (message, token, _) = claim(&mut a).expect("after the pause");
    // Slack answers 200 with another body: it has not taken the message.
    assert!(nack(&mut a, message, &token, "200, 'a page'").starts_with("next attempt"));
    let (message, token, _) = claim(&mut a).expect("another message");
    let next = nack(&mut a, message, &token, "404, 'channel_not_found'");
    assert_eq!(next, "dead: the receiver no longer accepts this channel");
    cluster.set_clock(30 * MINUTE);
    assert!(claim(&mut a).is_none(), "the channel is broken");
    let advice = "SELECT status, advice FROM crewsnow_ops.channel_health LIMIT 1";
    assert_eq!(
        rows(&mut a, advice),
        ["BROKEN|channel_not_found. Correct the address, then: \
            SELECT crewsnow_ops.repair_channel('one');"]
    );
    assert_eq!(value(&mut a, "SELECT crewsnow_ops.repair_channel('one')"), "2");
    assert!(claim(&mut a).is_some());
}

/// Five failures in a row open the breaker; after a minute one probe may pass.
#[test]
fn a_breaker_lets_one_probe_through() {
    let (cluster, mut a) = server("message_breaker");
    channel(&mut a, "ops", "webhook", "");
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}') FROM generate_series(1, 8)");
    for _ in 0..5 {
        let (message, token, _) = claim(&mut a).expect("a message");
        nack(&mut a, message, &token, "NULL, 'connection refused'");
    }
    assert!(claim(&mut a).is_none(), "the breaker is open");
    let health = "SELECT status, advice FROM crewsnow_ops.channel_health";
    assert_eq!(rows(&mut a, health), ["FAILING|last error: connection refused"]);
    cluster.set_clock(2 * MINUTE);
    let count = "SELECT count(*) FROM crewsnow_ops.claim_notifications(9, '5 minutes')";
    assert_eq!(value(&mut a, count), "1", "the probe");
    assert_eq!(value(&mut a, count), "0", "its answer is awaited");
    let probe = rows(
        &mut a,
        "SELECT message_id, token FROM crewsnow_ops.messages
        WHERE state = 'sending'",
    );
    let (message, token) = probe[0].split_once('|').expect("two columns");
    assert_eq!(ack(&mut a, message.parse().expect("a number"), token), "t");
    assert_eq!(value(&mut a, count), "7");
}

#[test]
fn messages_of_a_thread_keep_their_order_and_a_channel_its_rate() {
    let (cluster, mut a) = server("message_order");
    channel(&mut a, "ops", "webhook", "per_minute = 6");
    run(
        &mut a,
        "SELECT crewsnow_ops.send('ops', jsonb_build_object('n', n), 'order 7')
         FROM generate_series(1, 3) AS n",
    );
    let claimed = "SELECT body FROM crewsnow_ops.claim_notifications(9)";
    let first = rows(&mut a, claimed);
    assert!(first.len() == 1 && first[0].contains("\"n\":1"), "{first:?}");
    assert!(rows(&mut a, claimed).is_empty(), "the second waits for the first");
    run(
        &mut a,
        "UPDATE crewsnow_ops.messages SET state = 'sent', ended_at = now(), token = NULL,
        lease_until = NULL WHERE state = 'sending'",
    );
    let second = rows(&mut a, claimed);
    assert!(second.len() == 1 && second[0].contains("\"n\":2"), "{second:?}");
    // Two of the six tokens are gone; one comes back each ten seconds.
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}') FROM generate_series(1, 20)");
    assert_eq!(rows(&mut a, claimed).len(), 4);
    assert!(rows(&mut a, claimed).is_empty());
    cluster.set_clock(31);
    assert_eq!(rows(&mut a, claimed).len(), 3);
}

/// A notice that died is not sent after its end.
#[test]
fn a_replay_does_not_reopen_an_incident() {
    let (cluster, mut a) = server("message_replay");
    channel(&mut a, "pager", "pagerduty", "");
    tick(&cluster, &mut a, 1, "('mail', 9)");
    let (message, token, _) = claim(&mut a).expect("the beginning");
    assert!(nack(&mut a, message, &token, "400").starts_with("dead"));
    tick(&cluster, &mut a, 2, "('mail', 0)");
    let (message, token, _) = claim(&mut a).expect("the end");
    assert_eq!(ack(&mut a, message, &token), "t");
    let replay = "SELECT crewsnow_ops.replay_messages('pager', '-infinity', 'infinity')";
    assert_eq!(value(&mut a, replay), "0");
    assert!(claim(&mut a).is_none());
}

/// A long queue leaves room for the others, and a step back of the clock makes none of them wait.
#[test]
fn no_channel_waits_for_another_or_for_the_clock() {
    let (cluster, mut a) = server("message_share");
    channel(&mut a, "apps", "webhook", "per_minute = 10000");
    channel(&mut a, "ops", "webhook", "");
    run(&mut a, "SELECT crewsnow_ops.send('apps', '{}') FROM generate_series(1, 500)");
    cluster.set_clock(26 * 60 * MINUTE);
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}')");
    let claimed = "SELECT DISTINCT channel FROM crewsnow_ops.claim_notifications(10, '1 hour')
        ORDER BY 1";
    cluster.set_clock(0);
    assert_eq!(rows(&mut a, claimed), ["apps", "ops"]);
}

/// A sender that holds its claim open makes neither ticks nor other senders wait.
#[test]
fn an_open_claim_makes_nobody_wait() {
    let (cluster, mut a) = server("message_open");
    channel(&mut a, "ops", "webhook", "");
    channel(&mut a, "other", "webhook", "");
    tick(&cluster, &mut a, 1, "('mail', 4)");
    // The first claim adds the states of new channels.
    assert!(claim(&mut a).is_some());
    let mut idle = cluster.connect("shop");
    run(&mut idle, "BEGIN; SELECT * FROM crewsnow_ops.claim_notifications(1)");
    run(&mut a, "SET statement_timeout = '5s'; SET lock_timeout = '1s'");
    tick(&cluster, &mut a, 2, "('mail', 9)");
    run(&mut a, "SELECT crewsnow_ops.send('ops', '{}')");
    let channels = "SELECT DISTINCT channel FROM crewsnow_ops.claim_notifications(9)";
    assert_eq!(rows(&mut a, channels), ["ops"]);
    run(&mut idle, "ROLLBACK");
    assert_eq!(rows(&mut a, channels), ["other"]);
}
