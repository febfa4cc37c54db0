use super::super::cut::tests::units;
use super::super::message::tests::{NOW, alert, any_message, application, notice};
use super::*;
use proptest::prelude::*;

const MINUTE: i64 = 60_000_000;

fn both(message: &Message) -> [String; 2] {
    [En, Fr].map(|language| {
        let Text { title, body } = text(message, language);
        format!("{title}\n{body}")
    })
}

fn storm(reason: Reason) -> Message {
    let alerts = (0..20).map(|i| alert("http-5xx", &format!("/pay/{i}"))).collect();
    Message { more: 280, level: 2, ..notice(reason, alerts) }
}

#[test]
fn a_first_notice_says_what_where_and_since_when() {
    let mut page = alert("http-5xx", "/pay");
    page.text = "15 of 240 requests failed.".into();
    let [english, french] = both(&notice(Reason::Firing, vec![page]));
    assert_eq!(
        english,
        "Critical: http-5xx /pay (payments on shop)\n\
         1 alert in payments on shop has been firing since 02:14 UTC (12 min).\n\
         - Critical: http-5xx /pay is 6.25, above 5 (240 samples), since 02:14 UTC. \
         15 of 240 requests failed.\n\
         To see all: SELECT * FROM crewsnow_ops.alerts;"
    );
    assert_eq!(
        french,
        "Critique : http-5xx /pay (payments sur shop)\n\
         1 alerte dans payments sur shop est active depuis 02:14 UTC (12 min).\n\
         - Critique : http-5xx /pay vaut 6,25, au-dessus de 5 (240 mesures), depuis 02:14 UTC. \
         15 of 240 requests failed.\n\
         Pour tout voir : SELECT * FROM crewsnow_ops.alerts;"
    );
}

#[test]
fn a_resolved_notice_says_how_long_it_lasted() {
    let mut over = alert("http-5xx", "/pay");
    (over.since, over.state) = (NOW - 125 * MINUTE, State::Resolved);
    let [english, french] = both(&notice(Reason::Resolved, vec![over]));
    assert_eq!(
        english,
        "Resolved after 2 h 5 min: http-5xx /pay (payments on shop)\n\
         No alert in payments on shop fires any more.\n\
         - http-5xx /pay: lasted 2 h 5 min, from 00:21 UTC."
    );
    assert!(french.starts_with("Résolu après 2 h 5 min : http-5xx /pay (payments sur shop)"));
    assert!(french.contains("http-5xx /pay : durée 2 h 5 min, début 00:21 UTC."), "{french}");
}

#[test]
fn each_length_is_that_of_its_alerts() {
    let mut warning = alert("backup-age", "");
    (warning.severity, warning.since) = (Severity::Warning, NOW - 125 * MINUTE);
    let [english, _] = both(&notice(Reason::Reminder, vec![alert("p95", ""), warning.clone()]));
    assert!(english.starts_with("Critical for 12 min: 2 alerts"), "{english}");
    assert!(english.contains("the first since 00:21 UTC (2 h 5 min)."), "{english}");
    (warning.state, warning.ended) = (State::Resolved, Some(NOW - 120 * MINUTE));
    let [english, _] = both(&notice(Reason::Resolved, vec![alert("p95", ""), warning]));
    assert!(english.contains("It lasted 2 h 5 min, from 00:21 UTC."), "{english}");
    assert!(english.ends_with("- backup-age: lasted 5 min, from 00:21 UTC."), "{english}");
}

#[test]
fn a_storm_has_ten_lines() {
    for reason in [Reason::Firing, Reason::MoreAlerts, Reason::Reminder, Reason::Resolved] {
        for message in both(&storm(reason)) {
            let (title, body) = message.split_once('\n').expect("a body");
            assert!(body.lines().count() <= MAX_LINES, "{body}");
            assert!(title.contains("300 alert"), "{title}");
            assert!(body.contains("294 "), "{body}");
        }
    }
}

#[test]
fn each_reason_has_its_title() {
    for (reason, english, french) in [
        (Reason::Escalated, "Critical now: 300 alerts", "Critique désormais : 300 alertes"),
        (Reason::MoreAlerts, "Critical, more alerts: 300", "Critique, nouvelles alertes : 300"),
        (Reason::Reminder, "Critical for 12 min: 300", "Critique depuis 12 min : 300"),
        (Reason::Resolved, "Resolved after 12 min: 300", "Résolu après 12 min : 300"),
        (Reason::PartlyResolved, "Partly resolved: payments", "Résolu en partie : payments"),
    ] {
        let [a, b] = both(&storm(reason));
        assert!(a.starts_with(english), "{a}");
        assert!(b.starts_with(french), "{b}");
    }
    let own = Message { title: Some("Checkout\nis down".into()), ..storm(Reason::Firing) };
    assert_eq!(text(&own, En).title, "Checkout is down");
}

#[test]
fn values_without_a_threshold_and_no_value_read_well() {
    let mut one = alert("queue", "");
    let message = notice(Reason::Firing, vec![]);
    (one.threshold, one.samples) = (None, Some(1));
    assert_eq!(line(&one, &message, En), "Critical: queue is 6.25 (1 sample), since 02:14 UTC.");
    (one.value, one.state) = (None, State::Recovering);
    assert_eq!(
        line(&one, &message, En),
        "Critical: queue has no value, recovering, since 02:14 UTC."
    );
    (one.value, one.threshold) = (Some(5.000_01), Some(5.0));
    assert!(line(&one, &message, En).contains("is 5.00001, above 5"));
    (one.value, one.threshold) = (Some(0.5), Some(1.0));
    assert!(line(&one, &message, Fr).contains("vaut 0,5, en dessous de 1"));
}

#[test]
fn other_messages_say_what_they_are() {
    let test = Message { kind: Kind::Test, reason: None, ..notice(Reason::Firing, vec![]) };
    assert!(both(&test)[0].starts_with("Test message from shop\nThis channel works."));
    let sent = |data| text(&application(data), En);
    let order = sent(serde_json::json!({"title": "Order 7", "text": "a\nb"}));
    assert_eq!((order.title.as_str(), order.body.as_str()), ("Order 7", "a\nb"));
    let raw = sent(serde_json::json!({"text": 5}));
    assert_eq!((raw.title.as_str(), raw.body.as_str()), ("payments on shop", "{\"text\":5}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_text_keeps_its_limits(message in any_message()) {
        for language in [En, Fr] {
            let Text { title, body } = text(&message, language);
            prop_assert!(units(&title) <= MAX_TITLE && !title.contains(['\n', '\r', '\0']));
            prop_assert!(units(&body) <= MAX_TEXT && !body.contains(['\r', '\0']));
            if message.kind != Kind::Application {
                prop_assert!(body.lines().count() <= MAX_LINES, "{}", body);
                prop_assert!(units(&body) <= 6_000);
            }
        }
    }
}
