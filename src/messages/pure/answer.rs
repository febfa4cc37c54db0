//! The meaning of a service's answer for the message and for its channel.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i64 = 1_000_000;
/// Seconds from 1970-01-01 to 2000-01-01.
const UNIX_TO_2000: i64 = 946_684_800;
/// The longest pause that a service can ask for, in microseconds.
pub const MAX_PAUSE: i64 = 3_600 * SECOND;

/// A service that is reached by HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A Slack incoming webhook.
    Slack,
    /// A receiver of Standard Webhooks.
    Webhook,
    /// The API of Alertmanager.
    Alertmanager,
    /// The Events API of PagerDuty.
    PagerDuty,
}

/// The next step for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has arrived.
    Sent,
    /// It is sent again later.
    Retry {
        /// The time for which the service wants no message at all, in microseconds.
        channel_pause: Option<i64>,
    },
    /// It will never be accepted.
    Refused {
        /// Whether the channel as a whole does not work any more.
        breaks_channel: bool,
    },
}

/// The meaning of an HTTP answer. `body` is its beginning; `now` is in microseconds since
/// 2000-01-01 UTC.
#[must_use]
pub fn classify(
    service: Service,
    status: u16,
    retry_after: Option<&str>,
    body: &str,
    now: i64,
) -> Answer {
    match (service, status) {
        // A proxy answers 200 with a page of its own: the message has not arrived.
        (Service::Slack, 200) if body.trim() != "ok" => Answer::Retry { channel_pause: None },
        (Service::Slack, 200) => Answer::Sent,
        // A 2xx that Slack does not use comes from something in between.
        (Service::Slack, 201..=299) => Answer::Retry { channel_pause: None },
        (_, 200..=299) => Answer::Sent,
        // Revoked, forbidden or archived: each further message gets the same answer.
        (Service::Slack, 403 | 404 | 410) | (Service::Webhook, 410) => {
            Answer::Refused { breaks_channel: true }
        }
        // A secret that was rotated, and not yet here: the messages wait for it.
        (_, 401 | 403 | 407 | 408 | 425 | 429 | 500..=599) => {
            Answer::Retry { channel_pause: retry_after.and_then(|text| pause(text, now)) }
        }
        // Redirects are not followed: they would lead past the list of allowed hosts.
        _ => Answer::Refused { breaks_channel: false },
    }
}

/// The meaning of an SMTP reply code; `None` for a connection that failed or timed out.
#[must_use]
pub fn classify_smtp(code: Option<u16>) -> Answer {
    match code {
        Some(200..=299) => Answer::Sent,
        // The login failed, and not the mail.
        Some(530 | 534 | 535 | 538) => Answer::Retry { channel_pause: None },
        Some(500..=599) => Answer::Refused { breaks_channel: false },
        // After a time-out behind DATA the mail may have arrived: its Message-ID stays the same.
        _ => Answer::Retry { channel_pause: None },
    }
}

/// The value of `Retry-After`, seconds or a date, as microseconds of at most [`MAX_PAUSE`]. `None`
/// for a text that is neither, and for no pause at all.
fn pause(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    let length = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are a long pause too.
        text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(SECOND)
    } else {
        micros(httpdate::parse_http_date(text).ok()?)?.saturating_sub(now)
    };
    (length > 0).then_some(length.min(MAX_PAUSE))
}

/// A time of the system in microseconds since 2000-01-01 UTC.
fn micros(time: SystemTime) -> Option<i64> {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok()?,
        Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
    };
    seconds.checked_sub(UNIX_TO_2000)?.checked_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::NOW;
    use super::*;
    use proptest::prelude::*;

    const ALL: [Service; 4] =
        [Service::Slack, Service::Webhook, Service::Alertmanager, Service::PagerDuty];

    fn answer(service: Service, status: u16, body: &str) -> Answer {
        classify(service, status, None, body, NOW)
    }

    const RETRY: Answer = Answer::Retry { channel_pause: None };
    const REFUSED: Answer = Answer::Refused { breaks_channel: false };
    const BROKEN: Answer = Answer::Refused { breaks_channel: true };

    #[test]
    fn each_status_has_its_meaning() {
        for service in ALL {
            for status in [401, 407, 408, 425, 429, 500, 502, 503, 504, 599] {
                assert_eq!(answer(service, status, "ok"), RETRY, "{service:?} {status}");
            }
            for status in [0, 101, 301, 302, 307, 308, 400, 405, 422, 600] {
                assert_eq!(answer(service, status, "ok"), REFUSED, "{service:?} {status}");
            }
        }
        assert_eq!(answer(Service::Slack, 200, "ok\n"), Answer::Sent);
        for lie in ["", "not ok", "okay", "<html>ok</html>", "invalid_payload"] {
            assert_eq!(answer(Service::Slack, 200, lie), RETRY, "{lie}");
        }
        assert_eq!(answer(Service::Slack, 204, "ok"), RETRY);
        for status in [200, 202, 204] {
            assert_eq!(answer(Service::Webhook, status, ""), Answer::Sent);
        }
        for status in [403, 404, 410] {
            assert_eq!(answer(Service::Slack, status, "no_service"), BROKEN);
        }
        assert_eq!(answer(Service::Webhook, 410, ""), BROKEN);
        assert_eq!(answer(Service::Webhook, 404, ""), REFUSED);
        assert_eq!(answer(Service::Webhook, 403, ""), RETRY);
    }

    #[test]
    fn a_pause_is_seconds_or_a_date_of_at_most_one_hour() {
        for (text, seconds) in [
            ("30", Some(30)),
            (" 0 ", None),
            ("86400", Some(3_600)),
            ("99999999999999999999", Some(3_600)),
            ("Sat, 28 Nov 2026 02:27:10 GMT", Some(30)),
            ("Saturday, 28-Nov-26 02:27:10 GMT", Some(30)),
            ("Sat, 28 Nov 2026 02:26:10 GMT", None),
            ("Sat, 28 Nov 2099 02:26:10 GMT", Some(3_600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let channel_pause = seconds.map(|seconds| seconds * SECOND);
            let answer = classify(Service::Slack, 429, Some(text), "", NOW);
            assert_eq!(answer, Answer::Retry { channel_pause }, "{text:?}");
        }
    }

    #[test]
    fn smtp_replies_have_their_meaning() {
        for (code, expected) in [
            (Some(250), Answer::Sent),
            (Some(421), RETRY),
            (Some(451), RETRY),
            (Some(535), RETRY),
            (Some(550), REFUSED),
            (Some(354), RETRY),
            (None, RETRY),
        ] {
            assert_eq!(classify_smtp(code), expected, "{code:?}");
        }
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_an_hour(text in ".{0,40}|[0-9]{1,30}", now in any::<i64>()) {
            if let Some(length) = pause(&text, now) {
                prop_assert!((1..=MAX_PAUSE).contains(&length));
            }
        }
    }
}
