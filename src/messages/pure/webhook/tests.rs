use super::super::message::tests::{NOW, alert, any_message, application, huge, notice};
use super::*;
use proptest::prelude::*;

const UNIX_NOW: i64 = NOW / SECOND + UNIX_TO_2000;

fn secret(byte: u8, length: usize) -> Secret {
    let text = format!("whsec_{}", STANDARD.encode(vec![byte; length]));
    Secret::parse(&text).expect("a secret")
}

/// The example of the specification.
#[test]
fn the_published_example_is_signed_alike() {
    let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let signature = sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        "{\"test\": 2432232314}",
        std::slice::from_ref(&secret),
    );
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_bad_secret_is_refused_with_its_reason() {
    let parse = |length| Secret::parse(&format!("whsec_{}", STANDARD.encode(vec![7; length])));
    assert!(parse(24).is_ok() && parse(64).is_ok());
    assert_eq!(parse(23), Err(BadSecret::Length(23)));
    assert_eq!(parse(65), Err(BadSecret::Length(65)));
    assert_eq!(Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Err(BadSecret::Prefix));
    assert_eq!(Secret::parse("whsec_*secret*"), Err(BadSecret::Base64));
    assert_eq!(Secret::parse("whsec_"), Err(BadSecret::Length(0)));
    assert_eq!(format!("{:?}", secret(7, 24)), "Secret");
}

#[test]
fn both_secrets_sign_while_one_rotates() {
    let (old, new, other) = (secret(1, 24), secret(2, 32), secret(3, 64));
    let message = notice(Reason::Firing, vec![alert("p95", "/pay")]);
    let secrets = [new.clone(), old.clone()];
    let request = render(&message, Language::En, &secrets, NOW).expect("a request");
    assert_eq!((request.id.as_str(), request.timestamp), ("0190a1b2-c3d4", UNIX_NOW));
    assert_eq!(request.signature.split(' ').count(), 2);
    assert!(verify(&request, &old, UNIX_NOW) && verify(&request, &new, UNIX_NOW));
    assert!(!verify(&request, &other, UNIX_NOW));
    assert!(verify(&request, &old, UNIX_NOW + 300) && !verify(&request, &old, UNIX_NOW + 301));
    assert_eq!(render(&message, Language::En, &[], NOW), Err(Fault::NoSecret));
    let later = render(&message, Language::En, &secrets, NOW + SECOND).expect("a request");
    assert_eq!((&later.id, &later.body), (&request.id, &request.body), "the same on each retry");
    assert_ne!(later.signature, request.signature);
}

#[test]
fn the_body_has_a_type_a_time_and_data() {
    let message = notice(Reason::Resolved, vec![alert("p95", "/pay")]);
    let request = render(&message, Language::En, &[secret(1, 24)], NOW).expect("a request");
    let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["type"], "crewsnow_ops.alerts.resolved");
    assert_eq!(body["timestamp"], "2026-11-28T02:26:40.000000Z");
    assert_eq!(body["data"]["alerts"][0]["rule"], "p95");
    let own = application(json!({"order": 7}));
    let request = render(&own, Language::En, &[secret(1, 24)], NOW).expect("a request");
    assert!(request.body.contains("\"data\":{\"order\":7}"), "{}", request.body);
}

#[test]
fn only_the_payload_of_an_application_can_be_too_large() {
    let secrets = [secret(1, 24)];
    let own = huge(Kind::Application, "x");
    let fault = render(&own, Language::En, &secrets, NOW).expect_err("too large");
    assert!(matches!(fault, Fault::TooLarge { bytes: 20_000_000.., limit: 19_999 }), "{fault}");
    for piece in ["\u{1}\"", "👩‍👧 <", "\n\r\0"] {
        let request = render(&huge(Kind::Alert, piece), Language::Fr, &secrets, NOW);
        assert!(request.is_ok_and(|request| request.body.len() < MAX_BYTES));
    }
    // 19,999 bytes pass, and one more does not.
    let sized = |length: usize| {
        let message = application(json!("x".repeat(length)));
        render(&message, Language::En, &secrets, NOW).map(|request| request.body.len())
    };
    let envelope = sized(0).unwrap_or_default();
    assert_eq!(sized(19_999 - envelope), Ok(19_999));
    assert_eq!(sized(20_000 - envelope), Err(Fault::TooLarge { bytes: 20_000, limit: 19_999 }));
    let dotted = Message { id: "a.b".into(), ..own };
    assert_eq!(render(&dotted, Language::En, &secrets, NOW), Err(Fault::Id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_request_keeps_its_limit_and_verifies(message in any_message(), byte in any::<u8>()) {
        let secret = secret(byte, 24 + usize::from(byte) % 41);
        match render(&message, Language::En, std::slice::from_ref(&secret), NOW) {
            Ok(request) => {
                prop_assert!(request.body.len() < MAX_BYTES);
                prop_assert!(serde_json::from_str::<serde_json::Value>(&request.body).is_ok());
                prop_assert!(verify(&request, &secret, UNIX_NOW));
                let mut changed = request.clone();
                changed.body.push(' ');
                prop_assert!(!verify(&changed, &secret, UNIX_NOW));
                let changed = Request { timestamp: request.timestamp + 1, ..request };
                prop_assert!(!verify(&changed, &secret, UNIX_NOW));
            }
            Err(Fault::Id) => prop_assert!(!is_valid_id(&message.id)),
            Err(fault) => prop_assert_eq!(message.kind, Kind::Application, "{}", fault),
        }
    }
}
